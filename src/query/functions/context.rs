//! What an evaluation carries along: the time zone, and what is costly to make twice. One a query or one a task;
//! sharing one between threads is correct, only slower.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::columnar::text::Texts;
use crate::error::Result;
use crate::query::budget::Budget;
use crate::query::entries::Entries;
use crate::query::expression::Expr;
use crate::query::functions::search::Search;
use crate::query::matcher::{Matcher, compile};
use crate::time::{Bucket, Bucketer, Calendar};
use crate::value::Value;

/// Compiled patterns kept; literals of a query fit, patterns out of a column turn over.
const PATTERNS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// Expressions whose results for a dictionary are kept; those of a query fit.
const ENTRIES: usize = 32;

/// The surroundings of an evaluation.
#[derive(Debug)]
pub struct Context {
    /// Where days and weeks begin, and what `strftime` and `extract` read the clock in.
    pub calendar: Calendar,
    /// What the question may take.
    pub budget: Arc<Budget>,
    kept: Mutex<Kept>,
}

struct Kept {
    patterns: LruCache<(PatternKind, String), Arc<Matcher>>,
    searches: LruCache<Vec<Value>, Arc<Search>>,
    buckets: Vec<(Bucket, Bucketer)>,
    entries: Vec<Entries>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("patterns", &self.patterns.len()).finish_non_exhaustive()
    }
}

/// How a pattern is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PatternKind {
    /// LIKE, or ILIKE where `insensitive`.
    Like {
        /// The ESCAPE character.
        escape: Option<char>,
        /// ILIKE.
        insensitive: bool,
    },
    /// REGEXP, or `regexp_replace` with its flags.
    Regexp {
        /// Letters of `gims`.
        flags: String,
    },
}

impl Context {
    /// A context for one calendar, of work that may take what it needs.
    pub fn new(calendar: impl Into<Calendar>) -> Self {
        Self::within(calendar, Budget::unbounded())
    }

    /// A context for one calendar, within a budget.
    pub fn within(calendar: impl Into<Calendar>, budget: Arc<Budget>) -> Self {
        let (patterns, searches) = (LruCache::new(PATTERNS), LruCache::new(PATTERNS));
        Self {
            calendar: calendar.into(),
            budget,
            kept: Mutex::new(Kept { patterns, searches, buckets: Vec::new(), entries: Vec::new() }),
        }
    }

    /// The pattern made ready, from the cache where it was used before.
    pub fn matcher(&self, kind: PatternKind, pattern: &str) -> Result<Arc<Matcher>> {
        let key = (kind, pattern.to_owned());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(matcher) = kept.patterns.get(&key) {
            return Ok(Arc::clone(matcher));
        }
        let matcher = Arc::new(match &key.0 {
            PatternKind::Like { escape, insensitive } => Matcher::like(pattern, *escape, *insensitive)?,
            PatternKind::Regexp { flags } => Matcher::Regexp(compile(pattern, flags)?),
        });
        kept.patterns.put(key, Arc::clone(&matcher));
        Ok(matcher)
    }

    /// A search made ready, from the cache where it was used before: what is looked for, and perhaps the list of the
    /// names of the texts.
    pub fn search(&self, asked: &[Value]) -> Arc<Search> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(search) = kept.searches.get(asked) {
            return Arc::clone(search);
        }
        let search = Arc::new(Search::new(asked));
        kept.searches.put(asked.to_vec(), Arc::clone(&search));
        search
    }

    /// The start of the bucket that the instant lies in.
    pub fn bucket_start(&self, bucket: Bucket, us: i64) -> i64 {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bucketer)) = kept.buckets.iter_mut().find(|(known, _)| *known == bucket) {
            return bucketer.start(us);
        }
        let mut bucketer = Bucketer::new(bucket, &self.calendar);
        let start = bucketer.start(us);
        kept.buckets.push((bucket, bucketer));
        start
    }

    /// The results of an expression for a dictionary, those of earlier blocks among them; to be given back by
    /// [`Context::keep_entries`].
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn take_entries(&self, expression: &Expr, texts: &Texts, is_json: bool) -> Result<Entries> {
        let known = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let known = kept.entries.iter().position(|entries| entries.is_of(expression));
            known.map(|at| kept.entries.swap_remove(at))
        };
        // those of another dictionary go: it is that of a block or segment that is done with
        match known.filter(|entries| entries.is_over(texts, is_json)) {
            Some(entries) => Ok(entries),
            None => Entries::new(expression, texts, is_json, self),
        }
    }

    /// Keeps results for the next block.
    pub fn keep_entries(&self, entries: Entries) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.entries.len() >= ENTRIES {
            kept.entries.swap_remove(0);
        }
        kept.entries.push(entries);
    }
}
