//! Words: what full-text search is made of apart from the index. Pure functions of texts, without SQLite and without
//! files, so that events in memory, which have no index, are searched by the same language and the same tokens as
//! documents, whose index is SQLite's FTS5.
//!
//! A search goes through `language` (what was typed, cut up by `lexemes` and read into a tree of `node`), then either
//! as an expression to FTS5 or through `matching` over texts in memory; `near` corrects words that no text has;
//! `snippet` shows where the words are. All of them cut texts into words with `tokens`, which asks `characters` for
//! all that is not ASCII; `matching` and `snippet` find wanted words with `lookup`.

pub mod characters;
pub mod language;
mod lexemes;
mod lookup;
pub mod matching;
pub mod near;
pub mod node;
pub mod snippet;
pub mod tokens;
