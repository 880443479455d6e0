//! One computation for all who want the same thing at once: the first one leads, the others wait for what he finds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::cache::Kept;
use crate::cache::key::{Key, Selector};

/// What is computed right now, by key and version.
#[derive(Debug, Default)]
pub struct Flights(Arc<Mutex<HashMap<Id, Arc<Flight>>>>);

type Id = (u128, u128);

/// One computation.
#[derive(Debug)]
struct Flight {
    key: Key,
    is_outdated: AtomicBool,
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Flying,
    Landed(Arc<dyn Kept>),
    Lost,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flying => "Flying",
            Self::Landed(_) => "Landed",
            Self::Lost => "Lost",
        })
    }
}

/// The part that someone has in a computation.
#[derive(Debug)]
pub enum Place {
    /// He computes.
    Leader(Leader),
    /// He waits.
    Follower(Follower),
}

/// Who computes. Where he goes without an end, by an error or a panic, those who wait compute themselves.
#[derive(Debug)]
pub struct Leader {
    flights: Arc<Mutex<HashMap<Id, Arc<Flight>>>>,
    flight: Arc<Flight>,
    id: Id,
}

/// Who waits.
#[derive(Debug)]
pub struct Follower(Arc<Flight>);

impl Flights {
    /// Joins the computation of a key, or begins it.
    pub fn board(&self, key: &Key, version: u128) -> Place {
        let id = (key.hash, version);
        match lock(&self.0).entry(id) {
            Entry::Occupied(known) => Place::Follower(Follower(Arc::clone(known.get()))),
            Entry::Vacant(free) => {
                let flight = Arc::new(Flight {
                    key: key.clone(),
                    is_outdated: AtomicBool::new(false),
                    state: Mutex::default(),
                    landed: Condvar::new(),
                });
                free.insert(Arc::clone(&flight));
                Place::Leader(Leader { flights: Arc::clone(&self.0), flight, id })
            }
        }
    }

    /// Whether a key is computed right now.
    pub fn is_flying(&self, key: &Key, version: u128) -> bool {
        lock(&self.0).contains_key(&(key.hash, version))
    }

    /// What is computed right now of what a selector names is not kept, and nobody joins it any more: he would be given
    /// what was before.
    pub fn outdate(&self, selector: &Selector) {
        lock(&self.0).retain(|_, flight| {
            let is_outdated = selector.takes(&flight.key.name, &flight.key.tags);
            flight.is_outdated.fetch_or(is_outdated, Ordering::Relaxed);
            !is_outdated
        });
    }
}

impl Leader {
    /// Gives what he found to those who wait, and keeps it, unless it was declared outdated meanwhile: nobody can do so
    /// between the look and the keeping.
    pub fn land(self, value: Arc<dyn Kept>, keep: impl FnOnce()) {
        let flights = lock(&self.flights);
        if !self.flight.is_outdated.load(Ordering::Relaxed) {
            keep();
        }
        drop(flights);
        *lock(&self.flight.state) = State::Landed(value);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        // one that began after this was outdated has its place
        if flights.get(&self.id).is_some_and(|known| Arc::ptr_eq(known, &self.flight)) {
            flights.remove(&self.id);
        }
        drop(flights);
        let mut state = lock(&self.flight.state);
        if matches!(*state, State::Flying) {
            *state = State::Lost;
        }
        drop(state);
        self.flight.landed.notify_all();
    }
}

impl Follower {
    /// What the leader found; `None` where he found nothing, or not before the deadline.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<Arc<dyn Kept>> {
        let mut state = lock(&self.0.state);
        loop {
            match &*state {
                State::Landed(value) => return Some(Arc::clone(value)),
                State::Lost => return None,
                State::Flying => {}
            }
            state = match deadline {
                None => self.0.landed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.checked_duration_since(Instant::now())?;
                    self.0.landed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
