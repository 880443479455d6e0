//! Whose turn it is to wait for the next request. One worker at a time does; the others wait in a stack, so the one that
//! was busy last goes first. With as many workers as there may be slow requests, and requests that come one after the other, two
//! of them do all the work: what the allocator keeps for each thread, and what is in the caches of the processor, is that
//! of two threads and not of all. `server` asks it.

use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

/// The turns of the workers of one server.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether one waits for a request, or is on its way there.
    is_taken: bool,
    /// The others that wait, the one that was busy last at the end.
    waiting: Vec<Sender<()>>,
}

/// The place of one worker.
#[derive(Debug)]
pub(super) struct Place {
    called: Receiver<()>,
    call: Sender<()>,
}

impl Default for Place {
    fn default() -> Self {
        let (call, called) = bounded(1);
        Self { called, call }
    }
}

impl Turns {
    /// Returns when it is the worker's turn.
    pub(super) fn wait(&self, place: &Place) {
        {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.is_taken {
                state.is_taken = true;
                return;
            }
            state.waiting.push(place.call.clone());
        }
        // the place holds a sender itself, so there is always one
        let _ = place.called.recv();
    }

    /// Gives the turn to another: whoever has it does so before anything that takes time.
    pub(super) fn pass(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.waiting.pop() {
            // the one message that its channel has room for
            Some(next) => drop(next.try_send(())),
            None => state.is_taken = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_has_the_turn_at_a_time_and_all_come_to_it() {
        let (turns, inside, all) = (Arc::new(Turns::default()), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let place = Place::default();
                    for _ in 0..500 {
                        turns.wait(&place);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                        all.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        turns.pass();
                    }
                });
            }
        });
        assert_eq!(all.into_inner(), 8 * 500);
    }

    #[test]
    fn work_that_comes_one_by_one_is_done_by_two() {
        let turns = Arc::new(Turns::default());
        let (give, work) = bounded::<()>(0);
        let (report, done) = bounded(0);
        let workers: Vec<_> = (0..6)
            .map(|number| {
                let (turns, work, report) = (Arc::clone(&turns), work.clone(), report.clone());
                thread::spawn(move || {
                    let place = Place::default();
                    loop {
                        turns.wait(&place);
                        let item = work.recv();
                        turns.pass();
                        if item.is_err() {
                            return;
                        }
                        let _ = report.send(number);
                    }
                })
            })
            .collect();
        let mut busy = Vec::new();
        for _ in 0..60 {
            give.send(()).unwrap();
            busy.push(done.recv().unwrap());
            // the worker is back in the stack before the next piece comes
            thread::sleep(std::time::Duration::from_millis(2));
        }
        drop(give);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let mut late = busy.split_off(20);
        late.sort_unstable();
        late.dedup();
        assert!(late.len() <= 3, "{} workers were busy", late.len());
    }
}
