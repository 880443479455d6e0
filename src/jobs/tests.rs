//! Jobs from their submission to their end, within one process.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use serde_json::json;

use super::*;
use crate::fields::Declaration;
use crate::records::declare;
use crate::store::StoreOptions;
use crate::time;

/// Clocks that stand do so here: the upkeep forgets by the real one.
const FUTURE: &str = "2096-03-25T00:00:00Z";

fn store(folder: &tempfile::TempDir) -> Arc<Store> {
    Arc::new(Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap())
}

fn start(store: &Arc<Store>, kinds: impl IntoIterator<Item = Kind>) -> Jobs {
    start_with(store, kinds, JobOptions::default())
}

fn start_with(store: &Arc<Store>, kinds: impl IntoIterator<Item = Kind>, options: JobOptions) -> Jobs {
    Jobs::start(Arc::clone(store), Kinds::of(kinds).unwrap(), options).unwrap()
}

/// Waits until a job is in a state.
#[track_caller]
fn reaches(jobs: &Jobs, id: i64, state: State) -> Job {
    let begun = Instant::now();
    loop {
        let job = jobs.get(id).unwrap();
        if job.state == state {
            return job;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "job {id} is {:?}: {job:?}", job.state);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn quick(name: &str, function: impl Fn(&Context) -> Result<Outcome> + Send + Sync + 'static) -> Kind {
    Kind { backoff: Duration::from_millis(1), ..Kind::new(name, function) }
}

/// A kind whose jobs wait for a message, and the way to send it.
fn held(name: &str) -> (Kind, Sender<()>, Receiver<i64>) {
    let (go, wait) = unbounded::<()>();
    let (begun, begins) = unbounded();
    let kind = quick(name, move |context| {
        let _ = begun.send(context.id());
        while wait.recv_timeout(Duration::from_millis(5)).is_err() {
            context.check()?;
        }
        Ok(Outcome::default())
    });
    (kind, go, begins)
}

fn counter(store: &Store, key: &str) -> (i64, i64) {
    let sql = format!("SELECT n, _version FROM counters WHERE name = '{key}'");
    let statement = crate::query::parse::sql(&sql, &[]).unwrap();
    let rows = crate::query::run(&store.snapshot(), &statement).unwrap().rows;
    let number = |value: &crate::value::Value| match value {
        crate::value::Value::Int(n) => *n,
        other => panic!("{other:?}"),
    };
    rows.first().map_or((0, 0), |row| (number(&row[0]), number(&row[1])))
}

fn declare_counters(store: &Store) {
    let text = r#"{"kind": "records", "key": "name", "fields": {"n": {"type": "int"}}}"#;
    declare::declare(store, "counters", Declaration::from_json(text.as_bytes()).unwrap()).unwrap();
}

/// Reads a counter and puts it one higher, with an event.
fn bump() -> Kind {
    quick("bump", |context| {
        let (n, version) = counter(context.store(), "all");
        let record = json!({"name": "all", "n": n + 1, "_version": version});
        let event = json!({"job": context.id()});
        let effects = Effects::default().records("counters", record.to_string());
        Ok(effects.events("bumps", event.to_string()).into())
    })
}

#[test]
fn a_result_is_kept_and_effects_are_there_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let greet = Kind::new("greet", |context| {
        let told = json!({"name": context.payload()["name"]});
        Ok(Outcome {
            result: json!({"n": 1}),
            effects: Effects::default().events("told", told.to_string()),
            ..Outcome::default()
        })
    });
    let jobs = start(&store, [greet]);
    let id = jobs.submit(NewJob::new("greet").payload(json!({"name": "Ada"}))).unwrap().id;
    let job = reaches(&jobs, id, State::Done);
    assert_eq!((job.result.as_deref(), job.attempt, job.failures), (Some(r#"{"n":1}"#), 1, 0));
    assert_eq!(store.snapshot().whole_dataset("told").unwrap().rows(), 1);
    assert!(job.finished_us >= job.started_us && job.started_us.unwrap() >= job.created_us);
}

#[test]
fn concurrent_jobs_bump_a_counter_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    declare_counters(&store);
    let jobs = start_with(&store, [bump()], JobOptions { workers: 4, ..JobOptions::default() });
    let submitted = jobs.submit_all((0..200).map(|_| NewJob::new("bump"))).unwrap();
    for job in &submitted {
        let job = reaches(&jobs, job.id, State::Done);
        assert_eq!(job.failures, 0, "a conflict is no failure");
    }
    assert_eq!(counter(&store, "all"), (200, 200));
    assert_eq!(store.snapshot().whole_dataset("bumps").unwrap().rows(), 200);
}

#[test]
fn a_failure_is_tried_again_and_dead_in_the_end_and_can_be_retried() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let fails = Arc::new(AtomicU64::new(u64::MAX));
    let left = Arc::clone(&fails);
    let flaky = quick("flaky", move |context| {
        if left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(Error::Conflict(format!("attempt {} failed", context.attempt())));
        }
        Ok(Outcome::default())
    });
    let jobs = start(&store, [flaky]);
    let id = jobs.submit(NewJob::new("flaky")).unwrap().id;
    let job = reaches(&jobs, id, State::Dead);
    assert_eq!((job.attempt, job.failures, job.error.as_deref()), (3, 3, Some("attempt 3 failed")));
    let told: Vec<String> = jobs.failures(id).unwrap().into_iter().map(|failure| failure.error).collect();
    assert_eq!(told, ["attempt 1 failed", "attempt 2 failed", "attempt 3 failed"]);
    fails.store(1, Ordering::SeqCst);
    jobs.retry(id).unwrap();
    let job = reaches(&jobs, id, State::Done);
    assert_eq!((job.attempt, job.failures), (5, 1));
    assert_eq!(jobs.failures(id).unwrap().len(), 4, "the history stays");
    assert!(matches!(jobs.retry(id), Err(Error::Conflict(_))));
}

#[test]
fn a_panic_is_a_failure_of_its_job_and_the_worker_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let panics = quick("panics", |_| panic!("as a bug would"));
    let fine = quick("fine", |_| Ok(Outcome::default()));
    let jobs = start_with(&store, [panics, fine], JobOptions { workers: 1, ..JobOptions::default() });
    let id = jobs.submit(NewJob::new("panics").max_attempts(2)).unwrap().id;
    let job = reaches(&jobs, id, State::Dead);
    assert_eq!(job.error.as_deref(), Some("it panicked: as a bug would"));
    let id = jobs.submit(NewJob::new("fine")).unwrap().id;
    reaches(&jobs, id, State::Done);
}

#[test]
fn cancelling_stops_what_runs_and_refuses_what_comes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (held, _go, begins) = held("held");
    let (release, wait) = bounded::<()>(1);
    let deaf = quick("deaf", move |_| {
        let _ = wait.recv();
        Ok(Effects::default().events("told", r#"{"n": 1}"#).into())
    });
    let jobs = start_with(&store, [held, deaf], JobOptions { workers: 2, ..JobOptions::default() });
    let id = jobs.submit(NewJob::new("held")).unwrap().id;
    assert_eq!(begins.recv().unwrap(), id);
    let waiting = jobs.submit(NewJob::new("held").after(id)).unwrap().id;
    assert_eq!(jobs.cancel(id).unwrap(), State::Running);
    reaches(&jobs, id, State::Cancelled);
    let told = reaches(&jobs, waiting, State::Cancelled).error.unwrap();
    assert!(told.contains(&format!("job {id}")), "{told}");
    let deaf = jobs.submit(NewJob::new("deaf")).unwrap().id;
    reaches(&jobs, deaf, State::Running);
    jobs.cancel(deaf).unwrap();
    assert!(jobs.get(deaf).unwrap().is_cancelled);
    release.send(()).unwrap();
    reaches(&jobs, deaf, State::Cancelled);
    assert!(store.snapshot().whole_dataset("told").is_err(), "nothing of it was written");
    let later = jobs.submit(NewJob::new("deaf").run_at(i64::MAX)).unwrap().id;
    assert_eq!(jobs.cancel(later).unwrap(), State::Cancelled);
    assert_eq!(jobs.cancel(later).unwrap(), State::Cancelled, "again is no mistake");
}

#[test]
fn a_deadline_ends_an_attempt_and_counts_as_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (held, _go, _begins) = held("held");
    let jobs = start(&store, [held]);
    let short = NewJob::new("held").deadline(Duration::from_millis(20)).max_attempts(2);
    let job = reaches(&jobs, jobs.submit(short).unwrap().id, State::Dead);
    assert!(job.error.as_ref().unwrap().contains("deadline of 0.02 s"), "{job:?}");
    assert_eq!(job.failures, 2);
}

#[test]
fn a_job_comes_after_another_and_dies_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let note = quick("note", move |context| {
        seen.lock().unwrap().push(context.id());
        Ok(Outcome::default())
    });
    let fails = quick("fails", |_| Err(Error::Conflict("no".into())));
    let (held, go, _begins) = held("held");
    let jobs = start(&store, [note, fails, held]);
    let first = jobs.submit(NewJob::new("held")).unwrap().id;
    let second = jobs.submit(NewJob::new("note").after(first)).unwrap().id;
    let third = jobs.submit(NewJob::new("note").after(first).after(second).priority(1)).unwrap().id;
    assert_eq!(jobs.get(third).unwrap().after, [first, second]);
    go.send(()).unwrap();
    reaches(&jobs, third, State::Done);
    assert_eq!(*order.lock().unwrap(), [second, third]);
    let dies = jobs.submit(NewJob::new("fails").max_attempts(1).run_at(time::now() + 50_000)).unwrap().id;
    let with = jobs.submit(NewJob::new("note").after(dies)).unwrap().id;
    let and = jobs.submit(NewJob::new("note").after(with)).unwrap().id;
    let job = reaches(&jobs, and, State::Dead);
    assert_eq!(job.error, Some(format!("job {with}, which it comes after, is dead")));
    assert!(jobs.retry(and).unwrap_err().to_string().contains(&format!("job {with}")));
    assert!(matches!(jobs.submit(NewJob::new("note").after(dies)), Err(Error::Conflict(_))));
    assert!(matches!(jobs.submit(NewJob::new("note").after(999)), Err(Error::NotFound(_))));
    let done = jobs.submit(NewJob::new("note").after(first)).unwrap().id;
    reaches(&jobs, done, State::Done);
}

#[test]
fn a_queue_runs_no_more_at_once_than_it_may_and_takes_no_more_than_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let counts = quick("counts", move |_| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(Outcome::default())
    });
    let jobs = start_with(&store, [counts], JobOptions { workers: 8, ..JobOptions::default() });
    jobs.configure("narrow", QueueSettings { size: 50, concurrency: Some(2), ..QueueSettings::default() })
        .unwrap();
    let many = |count: usize| (0..count).map(|_| NewJob::new("counts").queue("narrow"));
    assert!(matches!(jobs.submit_all(many(51)), Err(Error::Busy { .. })));
    assert_eq!(jobs.list(&JobFilter::default()).unwrap().jobs, [], "all or none of them");
    let last = jobs.submit_all(many(50)).unwrap().pop().unwrap().id;
    reaches(&jobs, last, State::Done);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let default = jobs.submit_all((0..limits::QUEUE_JOBS + 1).map(|_| NewJob::new("counts")));
    assert!(matches!(default, Err(Error::Busy { retry_after_s: 1.., .. })), "1,000 where nothing is set");
}

#[test]
fn a_stop_gives_back_what_was_not_begun_and_what_ends_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (first, _go, begins) = held("held");
    let jobs = start_with(&store, [first], JobOptions { workers: 2, ..JobOptions::default() });
    let all = jobs.submit_all((0..20).map(|_| NewJob::new("held"))).unwrap();
    begins.recv().unwrap();
    begins.recv().unwrap();
    jobs.stop_within(Duration::ZERO, Duration::from_secs(20));
    for job in &all {
        let job = jobs.get(job.id).unwrap();
        assert_eq!((job.state, job.failures), (State::Queued, 0));
    }
    let attempts: i64 = all.iter().map(|job| jobs.get(job.id).unwrap().attempt).sum();
    assert_eq!(attempts, 2, "attempts that were not begun do not count");
    let jobs = start(&store, [quick("held", |_| Ok(Outcome::default()))]);
    reaches(&jobs, all.last().unwrap().id, State::Done);
}

#[test]
fn progress_is_there_while_a_job_runs() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (told, tells) = bounded(1);
    let (go, wait) = bounded::<()>(1);
    let slow = quick("slow", move |context| {
        context.progress(3, Some(4), "parts");
        let _ = told.send(());
        let _ = wait.recv();
        Ok(Outcome::default())
    });
    let jobs = start(&store, [slow]);
    let id = jobs.submit(NewJob::new("slow")).unwrap().id;
    tells.recv().unwrap();
    let progress = jobs.progress(id).unwrap();
    assert_eq!((progress.done, progress.total, progress.message.as_str()), (3, Some(4), "parts"));
    assert!(progress.left_s.is_some());
    go.send(()).unwrap();
    reaches(&jobs, id, State::Done);
    until("nothing is told of what has ended", || jobs.progress(id).is_none());
}

#[test]
fn a_delayed_job_runs_when_the_clock_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let begin = time::parse(FUTURE).unwrap();
    let clock = Clock::standing(begin);
    let nothing = quick("nothing", |_| Ok(Outcome::default()));
    let jobs = start_with(&store, [nothing], JobOptions { clock: clock.clone(), ..JobOptions::default() });
    let id = jobs.submit(NewJob::new("nothing").run_at(begin + 5)).unwrap().id;
    let marker = jobs.submit(NewJob::new("nothing")).unwrap().id;
    reaches(&jobs, marker, State::Done);
    assert_eq!(jobs.get(id).unwrap().state, State::Delayed);
    clock.set(begin + 5);
    jobs.look();
    reaches(&jobs, id, State::Done);
}

#[test]
fn jobs_and_events_are_committed_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let nothing = quick("nothing", |_| Ok(Outcome::default()))
        .with_check(|payload| if payload.is_object() { Ok(()) } else { Err(Error::invalid("no object")) });
    let jobs = Jobs::idle(Arc::clone(&store), Kinds::of([nothing]).unwrap());
    let right = NewJob::new("nothing").payload(json!({}));
    let both = Effects::default().events("visits", r#"{"n": 1}"#).job(right.clone());
    jobs.commit(both.clone()).unwrap();
    let rows = || store.snapshot().whole_dataset("visits").unwrap().rows();
    assert_eq!((rows(), jobs.list(&JobFilter::default()).unwrap().jobs.len()), (1, 1));
    for wrong in [
        both.clone().job(NewJob::new("nothing")),
        both.clone().job(NewJob::new("nothng").payload(json!({}))),
        both.clone().job(right.clone().after(77)),
        both.clone().job(right.clone().priority(16)),
        both.clone().job(right.clone().queue("No Queue")),
        both.clone().events("visits", "[1]"),
        both.clone().records("visits", r#"{"n": 1}"#),
    ] {
        jobs.commit(wrong).unwrap_err();
        assert_eq!((rows(), jobs.list(&JobFilter::default()).unwrap().jobs.len()), (1, 1));
    }
    let again = right.clone().unique("once");
    let (first, second) = (jobs.submit(again.clone()).unwrap(), jobs.submit(again).unwrap());
    assert_eq!((first.is_new, second.is_new, first.id), (true, false, second.id));
}

#[test]
fn a_job_of_a_kind_that_nobody_knows_is_dead_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let old = Jobs::idle(Arc::clone(&store), Kinds::of([quick("old", |_| Ok(Outcome::default()))]).unwrap());
    let id = old.submit(NewJob::new("old")).unwrap().id;
    let jobs = start(&store, [quick("new", |_| Ok(Outcome::default()))]);
    let told = reaches(&jobs, id, State::Dead).error.unwrap();
    assert!(told.contains("no kind of job \"old\"") && told.contains("\"new\""), "{told}");
}

/// Waits until a condition holds.
#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_schedule_submits_a_job_each_time_and_one_for_all_that_went_by() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let minutes = |minutes: i64| time::parse(FUTURE).unwrap() + minutes * time::MINUTE;
    let clock = Clock::standing(minutes(1));
    let options = || JobOptions { clock: clock.clone(), ..JobOptions::default() };
    let kind = || quick("tidy", |_| Ok(Outcome::default()));
    let jobs = start_with(&store, [kind()], options());
    let every = Schedule::new("tens", "*/10 * * * *", NewJob::new("tidy")).zone("Europe/Berlin");
    jobs.schedule(&every).unwrap();
    let done = |jobs: &Jobs| jobs.queues().by_name.get("default").map_or(0, |queue| queue.count(State::Done));
    let scheduled = |jobs: &Jobs| jobs.schedules().unwrap().remove(0);
    assert_eq!((scheduled(&jobs).next_us, done(&jobs)), (minutes(10), 0));
    for (now, jobs_so_far, next) in [(10, 1, 20), (20, 2, 30), (95, 3, 100)] {
        clock.set(minutes(now));
        jobs.look();
        until("it is due", || done(&jobs) == jobs_so_far && scheduled(&jobs).next_us == minutes(next));
    }
    let last = scheduled(&jobs);
    assert_eq!(last.last_us, Some(minutes(30)), "the first of those that went by");
    assert_eq!(jobs.get(last.last_job.unwrap()).unwrap().state, State::Done);
    drop(jobs);
    clock.set(minutes(500));
    let jobs = start_with(&store, [kind()], options());
    jobs.schedule(&every).unwrap();
    until("what went by is caught up", || done(&jobs) == 4 && scheduled(&jobs).next_us == minutes(510));
    jobs.unschedule("tens").unwrap();
    clock.set(minutes(1_000));
    jobs.look();
    let marker = jobs.submit(NewJob::new("tidy")).unwrap().id;
    reaches(&jobs, marker, State::Done);
    assert_eq!(done(&jobs), 5, "the marker alone");
    assert!(matches!(jobs.unschedule("tens"), Err(Error::NotFound(_))));
    for wrong in [
        Schedule::new("a b", "@daily", NewJob::new("tidy")),
        Schedule::new("a", "0 0 31 feb *", NewJob::new("tidy")),
        Schedule::new("a", "@daily", NewJob::new("tidy")).zone("Europe/Berlim"),
        Schedule::new("a", "@daily", NewJob::new("tydi")),
        Schedule::new("a", "@daily", NewJob::new("tidy").run_at(1)),
    ] {
        assert!(matches!(jobs.schedule(&wrong), Err(Error::Invalid { .. })), "{wrong:?}");
    }
}

#[test]
fn two_jobs_of_a_schedule_are_never_there_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let hours = |hours: i64| time::parse(FUTURE).unwrap() + hours * time::HOUR;
    let clock = Clock::standing(hours(0));
    let (held, go, begins) = held("held");
    let jobs = start_with(&store, [held], JobOptions { clock: clock.clone(), ..JobOptions::default() });
    jobs.schedule(&Schedule::new("hours", "@hourly", NewJob::new("held"))).unwrap();
    for now in 1..4 {
        clock.set(hours(now));
        jobs.look();
        until("it goes on", || jobs.schedules().unwrap()[0].next_us == hours(now + 1));
    }
    let id = begins.recv().unwrap();
    assert_eq!(jobs.list(&JobFilter::default()).unwrap().jobs.len(), 1);
    go.send(()).unwrap();
    reaches(&jobs, id, State::Done);
}

/// A limiter on a clock of its own, and that.
fn limiter() -> (Arc<Limiter>, Arc<AtomicU64>) {
    let seconds = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&seconds);
    (Arc::new(Limiter::with_clock(move || Duration::from_secs(clock.load(Ordering::SeqCst)))), seconds)
}

#[test]
fn a_queue_begins_no_more_jobs_than_its_rate_and_the_first_ones_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let note = quick("note", move |context| {
        seen.lock().unwrap().push(context.id());
        Ok(Outcome::default())
    });
    let (limiter, _) = limiter();
    let options = JobOptions { limiter, ..JobOptions::default() };
    let jobs = start_with(&store, [note], options);
    let rated = QueueSettings { rate: Some("3/min".into()), ..QueueSettings::default() };
    jobs.configure("rated", rated).unwrap();
    let of = |priority| NewJob::new("note").queue("rated").priority(priority);
    let submitted = jobs.submit_all([of(9), of(8), of(2), of(1), of(15)]).unwrap();
    let free = jobs.submit(NewJob::new("note")).unwrap().id;
    reaches(&jobs, free, State::Done);
    until("three began", || order.lock().unwrap().len() == 4);
    std::thread::sleep(Duration::from_millis(50));
    let begun = order.lock().unwrap().clone();
    let begun: Vec<i64> = begun.into_iter().filter(|id| *id != free).collect();
    let mut first = vec![submitted[3].id, submitted[2].id, submitted[1].id];
    first.sort_unstable();
    let mut sorted = begun.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, first, "the best three of five");
    for wrong in ["3", "3/min windw"] {
        let settings = QueueSettings { user_rate: Some(wrong.into()), ..QueueSettings::default() };
        assert!(jobs.configure("rated", settings).is_err());
    }
    let unknown = QueueSettings { limit: Some("model_cals".into()), ..QueueSettings::default() };
    let told = jobs.configure("rated", unknown).unwrap_err().to_string();
    assert!(told.contains("did you mean \"model_calls\""), "{told}");
}

#[test]
fn a_user_who_has_had_his_share_keeps_nobody_else_waiting_and_queues_share_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (limiter, _) = limiter();
    let policies = Arc::new(Policies::read("model_calls=2/min").unwrap());
    let nothing = quick("nothing", |_| Ok(Outcome::default()));
    let jobs = start_with(&store, [nothing], JobOptions { limiter, policies, ..JobOptions::default() });
    let fair = QueueSettings { user_rate: Some("1/min".into()), ..QueueSettings::default() };
    jobs.configure("fair", fair).unwrap();
    let of = |user: &str| NewJob::new("nothing").queue("fair").user(user);
    let submitted = jobs.submit_all([of("ada"), of("ada"), of("ada"), of("bob")]).unwrap();
    reaches(&jobs, submitted[0].id, State::Done);
    reaches(&jobs, submitted[3].id, State::Done);
    let waits = reaches(&jobs, submitted[1].id, State::Delayed);
    assert_eq!((waits.attempt, waits.failures), (0, 0));
    for queue in ["left", "right"] {
        let shared = QueueSettings { limit: Some("model_calls".into()), ..QueueSettings::default() };
        jobs.configure(queue, shared).unwrap();
    }
    let of = |queue: &str| NewJob::new("nothing").queue(queue);
    jobs.submit_all([of("left"), of("right"), of("left"), of("right")]).unwrap();
    let done = || {
        let queues = jobs.queues();
        ["left", "right"].iter().map(|queue| queues.by_name[*queue].count(State::Done)).sum::<u64>()
    };
    until("two began", || done() == 2);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(done(), 2, "two of both queues together");
}

#[test]
fn an_attempt_that_is_run_again_begins_where_the_last_step_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    declare_counters(&store);
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&starts);
    let steps = quick("steps", move |context| {
        let from = context.checkpoint()?.and_then(|at| at.as_i64()).unwrap_or(0);
        seen.lock().unwrap().push((context.attempt(), from));
        let record = |version: i64| json!({"name": "all", "n": 1, "_version": version}).to_string();
        match from {
            0 => {
                assert!(context.commit(&Effects::default().records("counters", record(0)), 1)?);
                assert!(
                    !context.commit(&Effects::default().records("counters", record(0)), 2)?,
                    "it is there"
                );
                // others have changed what the end was to change: the function is called again, which is no failure
                Ok(Effects::default().records("counters", record(0)).into())
            }
            1 => {
                assert!(context.commit(&Effects::default().events("steps", "{}"), 2)?);
                Err(Error::Conflict("after a step".into()))
            }
            _ => Ok(Outcome::result(from)),
        }
    });
    let jobs = start(&store, [steps]);
    let id = jobs.submit(NewJob::new("steps").max_attempts(2)).unwrap().id;
    let job = reaches(&jobs, id, State::Done);
    assert_eq!(*starts.lock().unwrap(), [(1, 0), (1, 1), (2, 2)]);
    assert_eq!((job.failures, job.checkpoint.as_deref(), job.result.as_deref()), (1, Some("2"), Some("2")));
    assert_eq!(counter(&store, "all"), (1, 1));
}

#[test]
fn a_job_that_is_cancelled_commits_no_further_step() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let steps = quick("steps", |context| {
        for step in 0.. {
            context.commit(&Effects::default().events("steps", "{}"), step)?;
        }
        Ok(Outcome::default())
    });
    let jobs = start(&store, [steps]);
    let id = jobs.submit(NewJob::new("steps")).unwrap().id;
    while jobs.get(id).unwrap().checkpoint.is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    jobs.cancel(id).unwrap();
    let job = reaches(&jobs, id, State::Cancelled);
    let rows = store.snapshot().datasets["steps"].rows();
    assert_eq!(job.checkpoint, Some((rows - 1).to_string()), "a row a step");
}

#[test]
fn jobs_that_wait_run_beside_those_that_compute_and_no_more_of_them_than_may() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (wait, go, begins) = held("wait");
    let (compute, go_on, computes) = held("compute");
    let options = JobOptions { workers: 1, workers_max: 1, waiting: 30, ..JobOptions::default() };
    let jobs = start_with(&store, [Kind { waits: true, ..wait }, compute], options);
    // of one queue, in turns: neither sort keeps the other from its threads
    let kinds = (0..80).map(|n| if n % 8 == 0 { "compute" } else { "wait" });
    let submitted = jobs.submit_all(kinds.map(NewJob::new)).unwrap();
    let (mut waiting, mut computing) = (0, 0);
    while computing < 10 {
        match computes.recv_timeout(Duration::from_millis(300)) {
            Ok(_) => {
                computing += 1;
                go_on.send(()).unwrap();
            }
            // the next one that computes stands behind those that wait
            Err(_) => {
                waiting += begins.try_iter().count();
                assert!(waiting <= 30 || computing > 3, "{waiting} {computing}");
                go.send(()).unwrap();
            }
        }
    }
    for _ in 0..70 {
        go.send(()).unwrap();
    }
    for job in submitted {
        let job = reaches(&jobs, job.id, State::Done);
        assert_eq!((job.attempt, job.failures), (1, 0), "what went back was no attempt");
    }
    jobs.stop();
}

#[test]
fn a_failure_says_when_to_try_again_and_what_it_writes_is_written_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let fails = quick("fails", |context| {
        let again = match context.payload().as_str() {
            Some("never") => Again::Never,
            Some("later") if context.attempt() == 1 => Again::After(Duration::from_millis(300)),
            _ => Again::AsUsual,
        };
        let event = json!({"job": context.id(), "attempt": context.attempt()});
        let effects = Effects::default().events("attempts", event.to_string());
        let failure = Failure { error: Error::Conflict("no".into()), again };
        Ok(Outcome { effects, failure: Some(failure), ..Outcome::result("is not kept") })
    });
    let jobs = start(&store, [fails]);
    let id = |payload: &str| jobs.submit(NewJob::new("fails").payload(payload).max_attempts(2)).unwrap().id;
    let rows = || store.snapshot().whole_dataset("attempts").unwrap().rows();
    let never = reaches(&jobs, id("never"), State::Dead);
    assert_eq!((never.failures, never.error.as_deref(), never.result), (1, Some("no"), None));
    assert_eq!(rows(), 1);
    let begun = Instant::now();
    let later = reaches(&jobs, id("later"), State::Dead);
    assert!(later.failures == 2 && begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(rows(), 3);
}

#[test]
fn a_function_that_never_ends_takes_a_thread_and_not_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let go = Arc::new(AtomicBool::new(false));
    let endless = |waits: bool| {
        let go = Arc::clone(&go);
        let kind = quick(if waits { "endless.waits" } else { "endless" }, move |_| {
            // it never asks whether it shall go on
            while !go.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(Effects::default().events("late", "{}").into())
        });
        Kind { waits, deadline: Duration::from_millis(50), ..kind }
    };
    let short = quick("short", |_| Ok(Outcome::default()));
    let left_after = Duration::from_millis(50);
    let options = JobOptions { workers: 1, workers_max: 1, waiting: 1, left_after, ..JobOptions::default() };
    let jobs = start_with(&store, [endless(false), endless(true), short], options);
    let endless =
        ["endless", "endless.waits"].map(|kind| jobs.submit(NewJob::new(kind).max_attempts(2)).unwrap().id);
    for id in endless {
        let job = reaches(&jobs, id, State::Dead);
        let why = job.error.unwrap();
        assert!(job.failures == 2 && why.contains("deadline") && why.contains("left alone"), "{why}");
    }
    let cancelled = jobs.submit(NewJob::new("endless").deadline(Duration::from_secs(3_600))).unwrap().id;
    while jobs.get(cancelled).unwrap().state != State::Running {
        std::thread::sleep(Duration::from_millis(1));
    }
    jobs.cancel(cancelled).unwrap();
    reaches(&jobs, cancelled, State::Cancelled);
    let after = jobs.submit(NewJob::new("short")).unwrap().id;
    reaches(&jobs, after, State::Done);
    // what they give back in the end is of an attempt that is over
    go.store(true, Ordering::SeqCst);
    let after = jobs.submit(NewJob::new("short")).unwrap().id;
    reaches(&jobs, after, State::Done);
    jobs.stop();
    assert!(!store.snapshot().datasets.contains_key("late"));
}
