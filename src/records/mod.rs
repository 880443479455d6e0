//! Records: things with a key, in tables of SQLite's (`store::keyed`). What is declared of them, how they are put, changed
//! and deleted, what belongs to them, and how they are searched.
//!
//! ```text
//! http/api/records | ingest/destination → put → store/writer → store/keyed (table, lazy fields, search)
//! http/api/rows → query/page → query/keyed → relations (a query a level)        http/api/search → search
//! ```

pub mod advice;
pub mod change;
pub mod checks;
pub mod declare;
mod merge;
pub mod one;
pub mod put;
pub mod relations;
pub mod search;
mod search_events;
mod search_records;
pub mod walk;
