//! Many items in batches, some at once: for a job, or any other work, that goes through a list and tells how far it is.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::error::Result;
use crate::jobs::progress::Progress;

/// How items are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// Items of a batch; the last one may have fewer.
    pub batch_size: usize,
    /// Batches at once.
    pub concurrency: usize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { batch_size: 50, concurrency: 3 }
    }
}

/// Calls `work` with batch after batch, several at once, and gives what came of each, in the order of the items. `on_progress` is
/// told after each batch, in this thread; its error, or one of `work`, begins no further batch and is given back when those that
/// run have ended. Items are taken as they are needed, so they may be more than fit into memory.
///
/// ```
/// use windrow::jobs::{BatchOptions, process};
///
/// # fn main() -> windrow::Result<()> {
/// let sums = process(1..=120, BatchOptions::default(), |batch| Ok(batch.iter().sum::<u32>()), |_| Ok(()))?;
/// assert_eq!(sums, [1275, 3775, 2210]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The first that `work` or `on_progress` gave. A panic of `work` goes on in the caller.
pub fn process<T: Send, R: Send>(
    items: impl IntoIterator<Item = T>,
    options: BatchOptions,
    work: impl Fn(Vec<T>) -> Result<R> + Sync,
    mut on_progress: impl FnMut(&Progress) -> Result<()>,
) -> Result<Vec<R>> {
    let (size, concurrency) = (options.batch_size.max(1), options.concurrency.max(1));
    let mut items = items.into_iter();
    let total = match items.size_hint() {
        (least, Some(most)) if least == most => u64::try_from(most).ok(),
        _ => None,
    };
    let begun = Instant::now();
    let stop = Stop::default();
    let (send, batches) = bounded::<(usize, Vec<T>)>(concurrency);
    let (tell, told) = unbounded();
    let mut results: Vec<Option<R>> = Vec::new();
    let mut failed = None;
    std::thread::scope(|scope| {
        for _ in 0..concurrency {
            let (batches, tell, work, stop) = (batches.clone(), tell.clone(), &work, &stop);
            scope.spawn(move || work_off(&batches, work, &tell, stop));
        }
        drop((batches, tell));
        let mut send = Some(send);
        let (mut place, mut in_work, mut done) = (0, 0, 0);
        loop {
            while let Some(channel) = send.as_ref().filter(|_| in_work < concurrency) {
                let batch: Vec<T> = items.by_ref().take(size).collect();
                if batch.is_empty()
                    || stop.is_over.load(Ordering::Relaxed)
                    || channel.send((place, batch)).is_err()
                {
                    // the threads end with what they have
                    send = None;
                    break;
                }
                results.push(None);
                (place, in_work) = (place + 1, in_work + 1);
            }
            let Ok((at, count, result)) = told.recv() else { break };
            in_work -= 1;
            done += count as u64;
            let noted = result.and_then(|result| {
                if let Some(slot) = results.get_mut(at) {
                    *slot = Some(result);
                }
                let elapsed_us = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
                on_progress(&Progress::told(done, total, "", elapsed_us))
            });
            if let Err(e) = noted {
                failed.get_or_insert(e);
                stop.is_over.store(true, Ordering::Relaxed);
                send = None;
            }
        }
    });
    if let Some(what) = stop.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(what);
    }
    match failed {
        Some(e) => Err(e),
        None => Ok(results.into_iter().flatten().collect()),
    }
}

/// Why no further batch begins.
#[derive(Default)]
struct Stop {
    is_over: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Does batches until there are no more.
fn work_off<T, R>(
    batches: &Receiver<(usize, Vec<T>)>,
    work: &impl Fn(Vec<T>) -> Result<R>,
    tell: &Sender<(usize, usize, Result<R>)>,
    stop: &Stop,
) {
    for (place, batch) in batches {
        if stop.is_over.load(Ordering::Relaxed) {
            continue;
        }
        let count = batch.len();
        match catch_unwind(AssertUnwindSafe(|| work(batch))) {
            Ok(result) => _ = tell.send((place, count, result)),
            Err(what) => {
                stop.is_over.store(true, Ordering::Relaxed);
                *stop.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::error::Error;

    #[test]
    fn batches_have_their_size_and_results_their_order_and_no_more_run_than_may() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut told = Vec::new();
        let work = |batch: Vec<usize>| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // the later ones are quicker
            std::thread::sleep(Duration::from_millis(if batch[0] == 0 { 20 } else { 2 }));
            running.fetch_sub(1, Ordering::SeqCst);
            Ok((batch[0], batch.len()))
        };
        let done = process((0..1_020).collect::<Vec<_>>(), BatchOptions::default(), work, |progress| {
            told.push((progress.done, progress.total));
            Ok(())
        });
        let done = done.unwrap();
        assert_eq!(done.len(), 21);
        assert!(done.iter().enumerate().all(|(at, (first, _))| *first == at * 50));
        assert_eq!(done.last(), Some(&(1_000, 20)));
        assert_eq!(most.load(Ordering::SeqCst), 3);
        assert_eq!((told.len(), told.last()), (21, Some(&(1_020, Some(1_020)))));
        assert!(told.is_sorted());
    }

    #[test]
    fn an_error_ends_it_and_takes_no_more_items() {
        let taken = AtomicUsize::new(0);
        let items = (0..).inspect(|_| _ = taken.fetch_add(1, Ordering::SeqCst));
        let options = BatchOptions { batch_size: 10, concurrency: 2 };
        let work = |batch: Vec<usize>| match batch.contains(&55) {
            true => Err(Error::Conflict("no".into())),
            false => Ok(()),
        };
        let failed = process(items, options, work, |_| Ok(())).unwrap_err();
        assert_eq!(failed.to_string(), "no");
        assert!(taken.load(Ordering::SeqCst) < 200, "{taken:?}");
        let stopped = process(
            0..100,
            options,
            |_| Ok(()),
            |progress| match progress.done {
                30.. => Err(Error::Conflict("enough".into())),
                _ => Ok(()),
            },
        );
        assert_eq!(stopped.unwrap_err().to_string(), "enough");
    }

    #[test]
    fn nothing_is_nothing_and_a_panic_goes_on() {
        let nothing = process(Vec::<u8>::new(), BatchOptions::default(), |_| Ok(1), |_| Ok(())).unwrap();
        assert!(nothing.is_empty());
        let panics =
            || process(0..10, BatchOptions::default(), |_| -> Result<()> { panic!("as a bug") }, |_| Ok(()));
        assert!(catch_unwind(panics).is_err());
    }
}
