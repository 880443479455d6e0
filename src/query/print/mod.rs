//! Expressions and queries as text: `canonical` is the form that reads back as the same expression, for messages and
//! names; `sqlite` is SQL that SQLite runs with our functions registered, and means there what it means here.

mod canonical;
pub mod kinds;
pub mod sqlite;

#[cfg(test)]
mod tests;
