//! Events in: bytes become rows of typed columns, checked against what their dataset declares, and are committed.
//! `accept` is the one way in for HTTP, command line and library; decoders differ only in how they find the cells.

pub mod accept;
pub mod json;
pub mod rows;
pub mod rules;
pub mod split;

#[cfg(test)]
mod tests;
