//! Events in: bytes become rows of typed columns, checked against what their dataset declares, and are committed.
//! `accept` is the one way in for HTTP, command line and library; decoders differ only in how they find the cells.

pub mod accept;
pub mod access_log;
pub mod arrival;
pub mod cells;
pub mod chunks;
pub mod csv_rows;
pub mod declare_key;
pub mod declare_time;
pub mod destination;
pub mod dialect;
pub mod document;
pub mod foreign;
pub mod format;
pub mod gather;
pub mod import;
pub mod json;
pub mod options;
pub mod parquet;
pub mod records;
pub mod resume;
pub mod rows;
pub mod rules;
pub mod source;
pub mod split;
pub mod turns;
mod within;

#[cfg(test)]
mod tests;
