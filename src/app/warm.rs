//! Questions that are asked ahead are asked by a job: at start, and again when something of the cache was declared outdated. The thread
//! here sees to that; the list of questions is `query/warm`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::app::Engine;
use crate::app::upkeep::{MAINTENANCE, no_payload};
use crate::error::{Error, Result};
use crate::jobs::{Kind, NewJob, Outcome};
use crate::query::budget::Limits;
use crate::query::warm::WarmList;

/// The kind, and the key of its jobs: one that waits is enough.
const WARM: &str = "warm";
/// Time between two looks at whether something was declared outdated.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The kind; `limits` say which cache is warmed.
pub(super) fn kind(list: Arc<WarmList>, limits: Limits) -> Kind {
    let is_empty = list.is_empty();
    let kind = Kind::new(WARM, move |context| {
        let limits = Limits { cancelled: Arc::clone(context.ends()), ..limits.clone() };
        let total = list.len() as u64;
        let warmed = list.ask(context.store(), &limits, |asked| {
            context.progress(asked, Some(total), "questions");
            context.check().is_ok()
        });
        context.check()?;
        for failed in &warmed.failed {
            tracing::warn!("the listed question in line {}: {}", failed.line, failed.message);
        }
        Ok(Outcome::result(json!(warmed)))
    });
    let kind = kind.with_check(move |payload| {
        no_payload(WARM, payload)?;
        if is_empty {
            let detail =
                "no questions are listed to be asked ahead; name a file of them in the setting cache_warm";
            return Err(Error::Conflict(detail.into()));
        }
        Ok(())
    });
    // what was outdated is asked again when the next thing is, so a failure needs no second attempt
    Kind { queue: MAINTENANCE.into(), max_attempts: 1, ..kind }
}

/// The thread; without questions there is none.
pub(super) struct Warmer {
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Warmer {
    /// Starts to look.
    pub(super) fn start(engine: &Engine, list: &WarmList) -> Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let Some(cache) = engine.cache.clone().filter(|_| !list.is_empty()) else {
            return Ok(Self { is_stopping, thread: None });
        };
        let (stopping, jobs) = (Arc::clone(&is_stopping), Arc::clone(&engine.jobs));
        let work = move || {
            let mut known = None;
            while !stopping.load(Ordering::Relaxed) {
                let now = cache.invalidations();
                if known != Some(now) {
                    match jobs.submit(NewJob::new(WARM).unique(WARM)) {
                        // one that runs may have asked already what is outdated now
                        Ok(submitted) if submitted.is_new => known = Some(now),
                        Ok(_) => {}
                        Err(e) => tracing::warn!("no job asks the listed questions ahead: {e}"),
                    }
                }
                std::thread::park_timeout(LOOK_EVERY);
            }
        };
        let thread = std::thread::Builder::new()
            .name("warm".into())
            .spawn(work)
            .map_err(|e| Error::io("cannot start the thread that has questions asked ahead", e))?;
        Ok(Self { is_stopping, thread: Some(thread) })
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread that has questions asked ahead panicked");
            }
        }
    }
}
