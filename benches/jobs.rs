//! What the queue of jobs does: submitting in batches, running what is queued, and how long a job waits when nothing else is to
//! be done. `--quick` takes a tenth of it.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use windrow::store::queue::{QueueSettings, State};
use windrow::{Engine, JobOptions, Kind, NewJob, Outcome};

/// Jobs of one submission.
const BATCH: usize = 1_000;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (jobs, lone) = if quick { (10_000, 100) } else { (100_000, 1_000) };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let engine = Engine::open(folder.path().join("jobs.db")).expect("opens");
    let (started, starts) = unbounded();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let kinds = || {
        let (started, counted) = (started.clone(), Arc::clone(&counted));
        let nothing = Kind::new("nothing", move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Outcome::default())
        });
        let lone = Kind::new("lone", move |_| {
            let _ = started.send(Instant::now());
            Ok(Outcome::default())
        });
        [nothing, lone]
    };

    // nobody runs them yet
    let known = windrow::jobs::Kinds::of(kinds()).expect("kinds");
    let store = Arc::clone(engine.jobs().store());
    let waiting = windrow::Jobs::idle(store, known);
    let large = QueueSettings { size: 1_000_000, ..QueueSettings::default() };
    waiting.configure("default", large).expect("sets the size");
    let begin = Instant::now();
    for _ in 0..jobs / BATCH {
        waiting.submit_all((0..BATCH).map(|_| NewJob::new("nothing"))).expect("submits");
    }
    report("submit, 1,000 at once", jobs, begin.elapsed());
    drop(waiting);

    let begin = Instant::now();
    let engine = engine.with_jobs(kinds(), JobOptions::default()).expect("starts");
    let done = || engine.jobs().queues().by_name.get("default").map_or(0, |queue| queue.count(State::Done));
    while done() < jobs as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    report("run jobs that do nothing", jobs, begin.elapsed());
    assert_eq!(count.load(Ordering::Relaxed), jobs as u64, "each once");

    let mut waits: Vec<Duration> = (0..lone)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(2));
            let begin = Instant::now();
            engine.jobs().submit(NewJob::new("lone")).expect("submits");
            starts.recv().expect("it starts").duration_since(begin)
        })
        .collect();
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let (middle, most) = (at(0.5), at(0.99));
    println!("from submit to start, idle: p50 {middle:.2} ms, p99 {most:.2} ms, most {:.2} ms", at(1.0));
    engine.close();
}

fn report(name: &str, jobs: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    println!("{name:32} {jobs} in {seconds:.2} s: {:.0}/s", jobs as f64 / seconds);
}
