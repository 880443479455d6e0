//! HTTP: `server → routes → api`. `server` turns bytes into a [`message::Request`], `routes` finds the handler in one
//! table, a handler of `api` answers (or `ui`, with a page), and `problem` is the one map from errors to replies. `app` starts it.

pub mod api;
pub mod body;
pub mod idempotency;
pub mod limiting;
pub mod message;
pub mod negotiate;
pub mod nudge;
pub mod openapi;
pub mod problem;
pub mod routes;
pub mod server;
mod turns;
pub mod ui;
mod unchanged;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::http::idempotency::Idempotency;
use crate::http::limiting::Subject;
use crate::http::message::Request;
use crate::limiter::Limiter;
use crate::limiter::policy::Policies;
use crate::limiter::slots::Slots;
use crate::query::budget::Limits;
use crate::query::warm::WarmList;
use crate::store::Store;

/// What the handlers work with.
#[derive(Debug)]
pub struct Service {
    /// The open file.
    pub store: Arc<Store>,
    /// Where it is served.
    pub address: SocketAddr,
    /// What each question may take.
    pub limits: Limits,
    /// The questions that are asked ahead.
    pub warm: WarmList,
    /// Requests that may be sent again.
    pub idempotency: Idempotency,
    /// What clients may ask for how often.
    pub rate_limits: Policies,
    /// What they have used of it.
    pub limiter: Limiter,
    /// What of it goes on.
    pub slots: Slots,
    /// Who asks, for limits: without access control everybody is bound in what goes on at once alone.
    pub subject: fn(&Request) -> Subject,
    ready: AtomicBool,
}

impl Service {
    /// A service over an open file, ready from the start.
    pub fn new(store: Arc<Store>, address: SocketAddr, limits: Limits, warm: WarmList) -> Self {
        Self {
            store,
            address,
            limits,
            warm,
            idempotency: Idempotency::default(),
            rate_limits: Policies::default(),
            limiter: Limiter::default(),
            slots: Slots::default(),
            subject: |_| Subject::Unlimited,
            ready: AtomicBool::new(true),
        }
    }

    /// The same with other limits.
    pub fn with_rate_limits(self, rate_limits: Policies) -> Self {
        Self { rate_limits, ..self }
    }

    /// Whether it takes requests; no longer once it stops.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// From now on `/readyz` says that it stops.
    pub fn set_stopping(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    /// Ends the questions that still run: each is told so with its next block.
    pub fn cancel_questions(&self) {
        self.limits.cancelled.store(true, Ordering::Relaxed);
    }
}
