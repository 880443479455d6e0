//! Parquet files as the crate's own writer makes them, and damaged ones.
