//! A question that is watched: asked anew when what it reads has changed, once for all who watch, on a thread of its own, so
//! that nobody waits for it but those who watch it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::cache::class::Use;
use crate::error::{Bound, Error, Result};
use crate::http::live::state::Subject;
use crate::limits;
use crate::query::budget::Limits;
use crate::query::language::{self, Range, Statement};
use crate::query::reach::Reach;
use crate::query::{self, format, kept, parse, plan};
use crate::store::Store;
use crate::store::snapshot::Snapshot;
use crate::time;

/// A question: one SELECT, or a JSON query.
#[derive(Debug, Clone)]
pub struct Question {
    text: String,
    limits: Limits,
    /// What it reads.
    datasets: Vec<String>,
}

/// What came of asking.
#[derive(Debug)]
pub struct Answered {
    /// The key of the topic.
    pub key: String,
    /// Which asking it was.
    number: u64,
    took: Duration,
    /// `"columns"` and `"rows"`, as they stand in a message.
    outcome: Result<String>,
}

/// Asks, a few questions at once.
#[derive(Debug)]
pub struct Asker {
    store: Arc<Store>,
    asked: Arc<AtomicU64>,
    number: u64,
    /// Askings that go on.
    running: usize,
    answers: Sender<Answered>,
    answered: Receiver<Answered>,
}

/// How far the watching of a question is.
#[derive(Debug, Default)]
pub struct Watched {
    /// What it was last asked of: a version of its datasets, and a span of time.
    asked: Option<(u128, Range)>,
    /// When its span was last looked at, which moves without events, too.
    looked: Option<Instant>,
    /// The asking that goes on, and what ends it.
    running: Option<(u64, Arc<AtomicBool>)>,
    /// It is not asked again before.
    not_before: Option<Instant>,
}

impl Question {
    /// One SELECT or a JSON query, and what each asking may take and touch.
    ///
    /// # Errors
    /// It is no question, or an EXPLAIN.
    pub fn new(text: String, limits: Limits) -> Result<Self> {
        let statement = read(&text)?;
        let datasets = statement.question.datasets().into_iter().map(str::to_owned).collect();
        Ok(Self { text, limits, datasets })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether somebody who reaches so far may have its answer.
    pub fn is_for(&self, reach: &Reach) -> bool {
        reach.text() == self.limits.reach.text()
    }

    /// What tells it from others: who may read something else has another one.
    pub fn key(&self) -> String {
        format!("{:?}", (&self.text, self.limits.reach.text()))
    }

    /// What is wrong with it, as far as that can be told without asking.
    ///
    /// # Errors
    /// Where it is about one dataset: names and types.
    pub fn check(&self, snapshot: &Snapshot) -> Result<()> {
        let statement = read(&self.text)?.within(self.limits.clone());
        let language::Question::Plain(query) = &statement.question else { return Ok(()) };
        let dataset = query.limits.reach.dataset(snapshot, &query.from)?;
        // sessions and tables of records have to be made first
        if query.sessions.is_none() && dataset.keyed.is_none() {
            plan::plan(query, &dataset)?;
        }
        Ok(())
    }

    fn answer(&self, store: &Store, abandoned: &Arc<AtomicBool>) -> Result<String> {
        let limits = Limits { abandoned: Arc::clone(abandoned), ..self.limits.clone() };
        let statement = read(&self.text)?.within(limits);
        let answer = query::answer(&store.snapshot(), &statement).map_err(|e| self.in_other_words(e))?;
        let text = String::from_utf8(format::table_json(&answer))
            .map_err(|e| Error::Internal(format!("an answer is no UTF-8: {e}")))?;
        if text.len() > limits::LIVE_ANSWER_BYTES {
            return Err(Error::TooLarge(format!(
                "the answer has {} bytes, and {} are the most that is told as it changes; ask for fewer rows or columns",
                text.len(),
                limits::LIVE_ANSWER_BYTES
            )));
        }
        Ok(text)
    }

    /// No setting gives more time to what is asked again and again.
    fn in_other_words(&self, error: Error) -> Error {
        match error {
            Error::OverBudget { bound: Bound::Deadline, .. } => Error::OverBudget {
                bound: Bound::Deadline,
                detail: format!(
                    "the question takes longer than {} s, the limit for one that is watched; narrow it with a range of _time, \
                     where, fewer group keys or a limit, or ask it now and then",
                    self.limits.deadline.as_secs_f64()
                ),
            },
            other => other,
        }
    }
}

/// What a text asks, as of now.
fn read(text: &str) -> Result<Statement> {
    let text = text.trim_start();
    let statement = match text.starts_with('{') {
        true => parse::question(text.as_bytes(), time::now())?,
        false => parse::statement(text, &[])?,
    };
    if statement.explain.is_some() {
        return Err(Error::invalid(
            "how a question is answered is not watched; ask the question itself, or POST /v1/sql for its EXPLAIN",
        ));
    }
    Ok(statement.cached(Use::Exact))
}

impl Asker {
    /// One that counts what it asks.
    pub fn new(store: Arc<Store>, asked: Arc<AtomicU64>) -> Self {
        let (answers, answered) = unbounded();
        Self { store, asked, number: 0, running: 0, answers, answered }
    }

    /// Where answers come in; [`Asker::note`] has to be told of each.
    pub fn answered(&self) -> &Receiver<Answered> {
        &self.answered
    }

    /// Notes that an answer came.
    pub fn note(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Waits for what goes on.
    pub fn rest(&mut self) {
        while self.running > 0 && self.answered.recv_timeout(2 * limits::LIVE_TIME).is_ok() {
            self.note();
        }
    }

    fn ask(&mut self, question: &Arc<Question>) -> Result<(u64, Arc<AtomicBool>)> {
        self.number += 1;
        let (number, abandoned) = (self.number, Arc::<AtomicBool>::default());
        let (store, answers) = (Arc::clone(&self.store), self.answers.clone());
        let (question, ends) = (Arc::clone(question), Arc::clone(&abandoned));
        let work = move || {
            let begin = Instant::now();
            let asked = std::panic::AssertUnwindSafe(|| question.answer(&store, &ends));
            let outcome = std::panic::catch_unwind(asked)
                .unwrap_or_else(|_| Err(Error::Internal("the question could not be answered".into())));
            let key = Subject::Question(question).key();
            // a hub that has stopped takes none
            let _ = answers.send(Answered { key, number, took: begin.elapsed(), outcome });
        };
        std::thread::Builder::new()
            .name("live-query".into())
            .spawn(work)
            .map_err(|e| Error::io("cannot start a thread for a question", e))?;
        self.running += 1;
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok((number, abandoned))
    }
}

impl Watched {
    /// Asks again, where what the question reads has changed and there is room.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn look(&mut self, question: &Arc<Question>, snapshot: &Snapshot, asker: &mut Asker) -> Result<()> {
        let now = Instant::now();
        let has_to_wait = self.not_before.is_some_and(|time| now < time);
        if self.running.is_some() || has_to_wait || asker.running >= limits::LIVE_QUERIES_AT_ONCE {
            return Ok(());
        }
        let datasets: Vec<&str> = question.datasets.iter().map(String::as_str).collect();
        let version = kept::version(snapshot, &datasets);
        let is_known = self.asked.is_some_and(|(known, _)| known == version);
        if is_known && self.looked.is_some_and(|looked| now - looked < limits::LIVE_RANGE_TIME) {
            return Ok(());
        }
        self.looked = Some(now);
        let range = match read(&question.text)?.question {
            language::Question::Plain(query) => query.range,
            language::Question::Relational(_) => Range::default(),
        };
        if self.asked != Some((version, range)) {
            self.running = Some(asker.ask(question)?);
            self.asked = Some((version, range));
        }
        Ok(())
    }

    /// Takes what came of asking; `None`: it is of another asking.
    pub fn take(&mut self, answered: Answered) -> Option<Result<String>> {
        self.running.take_if(|(number, _)| *number == answered.number)?;
        // whatever it takes, it has a small part of the machine
        self.not_before = Instant::now().checked_add(answered.took * limits::LIVE_QUERY_RESTS);
        Some(answered.outcome)
    }

    /// Ends what goes on.
    pub fn give_up(&self) {
        if let Some((_, abandoned)) = &self.running {
            abandoned.store(true, Ordering::Relaxed);
        }
    }
}
