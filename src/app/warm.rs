//! The thread that asks listed questions ahead: once at start, and again when something was declared outdated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::app::Engine;
use crate::error::{Error, Result};
use crate::http::Service;

/// Time between two looks at whether something was declared outdated.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The thread; without questions there is none.
pub(super) struct Warmer {
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Warmer {
    /// Starts asking.
    pub(super) fn start(engine: &Engine, service: Arc<Service>) -> Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let Some(cache) = engine.cache.clone().filter(|_| !service.warm.is_empty()) else {
            return Ok(Self { is_stopping, thread: None });
        };
        let stopping = Arc::clone(&is_stopping);
        let work = move || {
            let mut known = None;
            while !stopping.load(Ordering::Relaxed) {
                let now = cache.invalidations();
                if known == Some(now) {
                    std::thread::park_timeout(LOOK_EVERY);
                    continue;
                }
                known = Some(now);
                let goes_on = || !stopping.load(Ordering::Relaxed);
                let warmed = service.warm.ask(&service.store, &service.limits, goes_on);
                tracing::info!("asked {} listed questions ahead", warmed.asked);
                for failed in &warmed.failed {
                    tracing::warn!("the listed question in line {}: {}", failed.line, failed.message);
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("warm".into())
            .spawn(work)
            .map_err(|e| Error::io("cannot start the thread that asks questions ahead", e))?;
        Ok(Self { is_stopping, thread: Some(thread) })
    }

    /// Ends it after the question at hand.
    pub(super) fn stop(self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread that asks questions ahead panicked");
            }
        }
    }
}
