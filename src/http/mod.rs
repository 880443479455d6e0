//! HTTP: `guard → server → routes → access → api`. `guard` lets whole requests through, `server` makes a [`message::Request`] of
//! each, `routes` finds the handler in one table, `access` lets the request in, a handler of `api` answers (or `ui`, with a
//! page), and `problem` is the one map from errors to replies. Clients that are told what is new stay with the guard, and `live`
//! tells them. `edge` is guard and server as one; `app` starts it.

pub mod access;
pub mod api;
pub mod body;
pub mod certificate;
pub mod edge;
pub mod guard;
pub mod idempotency;
pub mod limiting;
pub mod listener;
pub mod live;
pub mod message;
pub mod negotiate;
pub mod openapi;
pub mod passes;
pub mod problem;
pub mod routes;
pub mod server;
mod turns;
pub mod ui;
mod unchanged;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::http::access::{Access, Gate};
use crate::http::idempotency::Idempotency;
use crate::http::limiting::Subject;
use crate::http::live::hub::Reception;
use crate::http::message::Request;
use crate::jobs::{Jobs, Kinds};
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
    pub warm: Arc<WarmList>,
    /// Who is let in.
    pub gate: Gate,
    /// Requests that may be sent again.
    pub idempotency: Idempotency,
    /// What clients may ask for how often.
    pub rate_limits: Policies,
    /// What they have used of it.
    pub limiter: Limiter,
    /// What of it goes on.
    pub slots: Slots,
    /// Work in the background.
    pub jobs: Arc<Jobs>,
    /// Where clients join that are told what is new.
    pub live: Reception,
    /// Who asks, for limits.
    pub subject: fn(&Access, &Request) -> Subject,
    ready: AtomicBool,
}

impl Service {
    /// A service over an open file that lets anyone in, ready from the start.
    pub fn new(
        store: Arc<Store>,
        address: SocketAddr,
        limits: Limits,
        warm: impl Into<Arc<WarmList>>,
    ) -> Self {
        let jobs = Arc::new(Jobs::idle(Arc::clone(&store), Kinds::default()));
        Self {
            jobs,
            store,
            address,
            limits,
            warm: warm.into(),
            gate: Gate::new(address, &[], true),
            idempotency: Idempotency::default(),
            rate_limits: Policies::default(),
            limiter: Limiter::default(),
            slots: Slots::default(),
            live: Reception::default(),
            subject: limiting::subject,
            ready: AtomicBool::new(true),
        }
    }

    /// The same with this gate.
    #[must_use]
    pub fn with_gate(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// The same, which submits to these jobs.
    #[must_use]
    pub fn with_jobs(self, jobs: Arc<Jobs>) -> Self {
        Self { jobs, ..self }
    }

    /// The same with other limits.
    #[must_use]
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
