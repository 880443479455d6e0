//! What a question reads of a part, gathered from its expressions before a part is looked at; `view` reads it.

use std::sync::Arc;

use crate::query::codes::Domain;
use crate::query::expression::Expr;
use crate::query::plan::add_columns;

/// What is needed of a part: columns, or what stands for their values.
#[derive(Debug, Default, Clone)]
pub struct Needs {
    /// Columns by name.
    pub columns: Vec<Arc<str>>,
    /// Codes that are made of a part as a whole, by the name of what they stand for.
    pub coded: Vec<(Arc<str>, Domain)>,
}

impl Needs {
    /// Whether rows are needed as such alone.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.coded.is_empty()
    }

    /// Adds what coding an expression reads.
    pub fn add_coded(&mut self, expression: &Expr, domain: &Domain) {
        match domain {
            Domain::Numbered { column: name, .. } | Domain::Buckets { name, .. } => {
                if !self.coded.iter().any(|(known, _)| known == name) {
                    self.coded.push((Arc::clone(name), domain.clone()));
                }
            }
            _ => self.add(expression),
        }
    }

    /// Adds what evaluating an expression reads.
    pub fn add(&mut self, expression: &Expr) {
        add_columns(expression, &mut self.columns);
    }
}
