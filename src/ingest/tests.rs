//! Ingest as its callers see it.
