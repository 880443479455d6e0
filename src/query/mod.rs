//! Questions and answers: `parse → Query → plan → execute`.

pub mod expression;
pub mod functions;
pub mod language;
