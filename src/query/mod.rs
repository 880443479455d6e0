//! Questions and answers: `parse → Query → plan → execute`.

mod cast;
pub mod expression;
pub mod functions;
pub mod language;
pub mod matcher;
pub mod parse;
mod print;
pub mod scalar;
