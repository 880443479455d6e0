//! The statements that were run over the records of a dataset since the process began, by their shape: how often, how long,
//! and by which plan. Readers note them, advice is made of them.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::value::Value;

/// Shapes that are kept; the one that was not run for the longest time goes first.
const SHAPES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Statements of one shape.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The text, with `?` for every constant.
    pub shape: String,
    /// One of them as it was run.
    pub sql: String,
    /// Its parameters.
    pub parameters: Vec<Value>,
    /// SQLite's plan: the lines of EXPLAIN QUERY PLAN; none where it was not run since the tables were changed.
    pub plan: Vec<String>,
    /// How often one was run.
    pub runs: u64,
    /// How long they took in all.
    pub took: Duration,
}

/// Statements by their shape.
#[derive(Debug)]
pub struct Statements(Mutex<LruCache<String, Seen>>);

impl Default for Statements {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(SHAPES)))
    }
}

impl Statements {
    /// Notes that a statement was run; `plan` is asked where that of its shape is not known.
    pub fn note(&self, sql: &str, parameters: &[Value], took: Duration, plan: impl FnOnce() -> Vec<String>) {
        let shape = shape(sql);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get_mut(&shape).map(|known| {
            known.runs += 1;
            known.took += took;
            !known.plan.is_empty()
        });
        drop(seen);
        match known {
            Some(true) => return,
            Some(false) => {
                let plan = plan();
                let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                return seen.get_mut(&shape).into_iter().for_each(|known| known.plan.clone_from(&plan));
            }
            None => {}
        }
        let new = Seen {
            shape: shape.clone(),
            sql: sql.to_owned(),
            parameters: parameters.to_vec(),
            plan: plan(),
            runs: 1,
            took,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(shape, new);
    }

    /// Forgets all plans: the tables have other indexes, or were measured anew.
    pub fn forget_plans(&self) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter_mut().for_each(|(_, known)| known.plan.clear());
    }

    /// All of them, those that took the longest in all first.
    pub fn all(&self) -> Vec<Seen> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Seen> = seen.iter().map(|(_, seen)| seen.clone()).collect();
        all.sort_by_key(|seen| std::cmp::Reverse(seen.took));
        all
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A statement with `?` in the place of every constant; several in a row are one.
///
/// ```
/// use windrow::store::keyed::statements::shape;
///
/// assert_eq!(shape("SELECT r1.\"a 1\" FROM r1 WHERE b = 'it''s' AND c IN (1, 2.5, x'01')"),
///     "SELECT r1.\"a 1\" FROM r1 WHERE b = ? AND c IN (?)");
/// ```
pub fn shape(sql: &str) -> String {
    let mut shape = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let before = shape.chars().next_back();
        let is_in_name = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '?'));
        let length = match first {
            '\'' => quoted_length(rest, '\''),
            'x' if !is_in_name && rest[1..].starts_with('\'') => 1 + quoted_length(&rest[1..], '\''),
            '0'..='9' if !is_in_name => {
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len())
            }
            '"' => {
                let length = quoted_length(rest, '"');
                shape.push_str(rest.get(..length).unwrap_or_default());
                rest = rest.get(length..).unwrap_or_default();
                continue;
            }
            other => {
                shape.push(other);
                rest = rest.get(other.len_utf8()..).unwrap_or_default();
                continue;
            }
        };
        rest = rest.get(length..).unwrap_or_default();
        match shape.strip_suffix("?, ") {
            Some(list) => shape.truncate(list.len() + 1),
            None => shape.push('?'),
        }
    }
    shape
}

/// Bytes of a text in quotes, which stand twice within it.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = text.get(at..).and_then(|rest| rest.find(quote)) {
        at += end + 1;
        if !text.get(at..).is_some_and(|rest| rest.starts_with(quote)) {
            return at;
        }
        at += 1;
    }
    text.len()
}
