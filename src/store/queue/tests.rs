//! The rows of jobs by themselves: what a start finds, what is forgotten, and that plans use the indexes.

use super::read::JobFilter;
use super::*;
use crate::store::{Store, StoreOptions};
use crate::time;

pub(super) fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap()
}

pub(super) fn new_row(queue: &str) -> NewRow {
    NewRow {
        kind: "kind".into(),
        queue: queue.into(),
        payload: "null".into(),
        priority: 8,
        run_at_us: None,
        user: None,
        unique: None,
        after: Vec::new(),
        max_attempts: 3,
        deadline_ms: None,
        // the upkeep looks at the real clock
        keep_us: 200 * 366 * time::DAY,
        keep_dead_us: 200 * 366 * time::DAY,
    }
}

pub(super) fn submit(store: &Store, now_us: i64, jobs: Vec<NewRow>) -> Result<Vec<Submitted>> {
    match store.act(Act { now_us, jobs, ..Act::default() })? {
        Acted::Done(submitted, None) => Ok(submitted),
        other => panic!("{other:?}"),
    }
}

pub(super) fn claim(store: &Store, now_us: i64, wants: &[(&str, usize, usize)]) -> Vec<Claimed> {
    let (send, receive) = bounded(1);
    let want = |(queue, now, ahead): &(&str, usize, usize)| Want {
        queue: (*queue).into(),
        now: *now,
        ahead: *ahead,
    };
    let claim = Claim { now_us, wants: wants.iter().map(want).collect() };
    store.claim_jobs(claim, move |told| send.send(told).unwrap());
    receive.recv().unwrap().unwrap()
}

pub(super) fn finish(store: &Store, job: &Claimed, verdict: Verdict, now_us: i64) -> Acted {
    store.act(Act { now_us, of: Some((job.id, job.attempt, verdict)), ..Act::default() }).unwrap()
}

fn counts_are_those_of_the_table(store: &Store) {
    let fresh = load(&store.reader().unwrap()).unwrap();
    let now = store.queues();
    for (name, queue) in &now.by_name {
        assert_eq!(queue.counts, fresh.by_name.get(name).map_or([0; 7], |fresh| fresh.counts), "{name}");
    }
}

#[test]
fn what_was_in_hand_when_the_process_died_goes_back_and_counts_as_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let once = NewRow { max_attempts: 1, ..new_row("q") };
    let ids: Vec<i64> =
        submit(&store, 1, vec![new_row("q"), once, new_row("q")]).unwrap().iter().map(|job| job.id).collect();
    let claimed = claim(&store, 2, &[("q", 3, 0)]);
    assert_eq!(claimed.iter().map(|job| job.id).collect::<Vec<_>>(), ids);
    store.cancel_job(ids[2], 3).unwrap();
    // the writer ends without having heard of them again, as in a process that dies
    drop(store);
    let store = open(&folder);
    counts_are_those_of_the_table(&store);
    let states: Vec<State> = ids.iter().map(|id| store.job(*id).unwrap().state).collect();
    assert_eq!(states, [State::Queued, State::Dead, State::Cancelled]);
    assert_eq!(store.job(ids[0]).unwrap().failures, 1);
    assert_eq!(
        finish(&store, &claimed[0], Verdict::Done(None), 4),
        Acted::Lost,
        "the old attempt is of no use"
    );
    assert_eq!(claim(&store, 5, &[("q", 0, 9)]).len(), 0, "not ahead of a free worker");
    let again = claim(&store, 5, &[("q", 1, 9)]);
    assert_eq!((again[0].id, again[0].attempt, again[0].failures), (ids[0], 2, 1));
    assert_eq!(finish(&store, &again[0], Verdict::Done(None), 6), Acted::Done(Vec::new(), Some(State::Done)));
    assert_eq!(finish(&store, &again[0], Verdict::Done(None), 7), Acted::Lost, "only once");
    counts_are_those_of_the_table(&store);
}

#[test]
fn a_last_attempt_is_not_handed_out_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let once = NewRow { max_attempts: 1, ..new_row("q") };
    submit(&store, 1, vec![new_row("q"), new_row("q"), once, new_row("q")]).unwrap();
    assert_eq!(claim(&store, 2, &[("q", 1, 9)]).len(), 2, "it waits until it can be run at once");
    assert_eq!(claim(&store, 2, &[("q", 1, 9)]).len(), 2);
}

#[test]
fn finished_jobs_are_forgotten_when_their_time_is_over_and_ids_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let short = NewRow { keep_us: 1_000, keep_dead_us: 2_000, ..new_row("q") };
    let end = time::now() + time::DAY;
    submit(&store, 0, vec![short.clone(), short]).unwrap();
    let jobs = claim(&store, 0, &[("q", 2, 0)]);
    finish(&store, &jobs[0], Verdict::Done(Some("1".into())), end);
    let failed = Verdict::Failed { error: "no".into(), retry_at_us: 0, is_final: true };
    finish(&store, &jobs[1], failed, end);
    assert_eq!(store.forget_jobs(end + 999).unwrap(), 0);
    assert_eq!(store.forget_jobs(end + 1_000).unwrap(), 1);
    assert!(matches!(store.job(jobs[0].id), Err(Error::NotFound(_))));
    assert_eq!(store.forget_jobs(end + 2_000).unwrap(), 1);
    assert_eq!(store.job_failures(jobs[1].id).unwrap(), []);
    drop(store);
    let store = open(&folder);
    assert_eq!(submit(&store, 0, vec![new_row("q")]).unwrap()[0].id, 3);
    counts_are_those_of_the_table(&store);
}

#[test]
fn who_waits_longer_than_a_step_goes_before_a_better_priority() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let step = limits::JOB_AGEING_US;
    let of = |priority| NewRow { priority, ..new_row("q") };
    let last = submit(&store, 0, vec![of(15)]).unwrap()[0].id;
    for round in 0..20 {
        submit(&store, round * step, vec![of(1), of(1)]).unwrap();
        let job = &claim(&store, round * step, &[("q", 1, 0)])[0];
        if job.id == last {
            assert_eq!(round, 15 + 14, "never reached");
        }
        finish(&store, job, Verdict::Done(None), round * step);
    }
    let order: Vec<i64> = claim(&store, 20 * step, &[("q", 100, 0)]).iter().map(|job| job.id).collect();
    let place = order.iter().position(|id| *id == last).unwrap();
    assert!(place < order.len() - 1, "later jobs of priority 1 come after it: {place} of {}", order.len());
}

#[test]
fn settings_of_queues_are_kept_and_a_full_queue_takes_the_repetition_of_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let settings = QueueSettings { size: 1, concurrency: Some(3), ..QueueSettings::default() };
    store.configure_queue("q", settings.clone()).unwrap();
    drop(store);
    let store = open(&folder);
    assert_eq!(store.queues().by_name["q"].settings, settings);
    let unique = NewRow { unique: Some("a".into()), ..new_row("q") };
    let id = submit(&store, 0, vec![unique.clone()]).unwrap()[0].id;
    assert!(matches!(submit(&store, 0, vec![new_row("q")]), Err(Error::Busy { .. })));
    assert_eq!(submit(&store, 0, vec![unique]).unwrap(), [Submitted { id, is_new: false }]);
    submit(&store, 0, vec![new_row("other")]).unwrap();
}

#[test]
fn lists_are_pages_from_the_newest_and_another_process_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    submit(&store, 0, (0..9).map(|n| new_row(if n % 2 == 0 { "even" } else { "odd" })).collect()).unwrap();
    let file = read::JobFile::open(&folder.path().join("a.db")).unwrap();
    let of_queue = JobFilter { queue: Some("even".into()), limit: Some(3), ..JobFilter::default() };
    let ids =
        |filter: &JobFilter| file.list(filter).unwrap().jobs.iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(ids(&of_queue), [9, 7, 5]);
    assert_eq!(ids(&JobFilter { before: Some(5), ..of_queue }), [3, 1]);
    let done = JobFilter { state: Some(State::Done), ..JobFilter::default() };
    assert_eq!(store.list_jobs(&done).unwrap().jobs, []);
    assert_eq!(file.queues().unwrap().by_name["odd"].count(State::Queued), 4);
    let large = JobFilter { limit: Some(limits::PAGE_ROWS + 1), ..JobFilter::default() };
    assert!(matches!(store.list_jobs(&large), Err(Error::Invalid { .. })));
}

#[test]
fn handing_out_walks_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let reader = store.reader().unwrap();
    for (sql, index) in [
        (
            "SELECT id FROM job INDEXED BY job_queued WHERE state = 0 AND queue = 'q' ORDER BY rank_us, id LIMIT 5",
            "job_queued",
        ),
        (
            "SELECT id FROM job INDEXED BY job_delayed WHERE state = 1 AND due_us <= 1 ORDER BY due_us, id LIMIT 5",
            "job_delayed",
        ),
        ("SELECT min(due_us) FROM job INDEXED BY job_delayed WHERE state = 1", "job_delayed"),
        (
            "SELECT id FROM job INDEXED BY job_kept WHERE state >= 4 AND due_us <= 1 ORDER BY due_us LIMIT 5",
            "job_kept",
        ),
        ("SELECT id FROM job WHERE kind = 'k' AND unique_key = 'u' AND state < 4", "job_unique"),
        ("SELECT id FROM job WHERE state = 3 ORDER BY id", "job_state"),
    ] {
        let plan: Vec<String> = reader
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap()
            .query_map([], |row| row.get(3))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let plan = plan.join("; ");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[test]
fn a_step_is_committed_with_its_place_while_the_job_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let id = submit(&store, 1, vec![new_row("q")]).unwrap()[0].id;
    let first = claim(&store, 2, &[("q", 1, 0)]).remove(0);
    assert_eq!(first.checkpoint, None);
    let step = |job: &Claimed, place: &str, jobs: Vec<NewRow>| {
        let of = Some((job.id, job.attempt, Verdict::Checkpoint(place.into())));
        store.act(Act { now_us: 3, of, jobs, ..Act::default() })
    };
    let done = step(&first, "1", vec![new_row("other")]).unwrap();
    assert!(matches!(&done, Acted::Done(jobs, Some(State::Running)) if jobs.len() == 1), "{done:?}");
    // what is wrong with a step takes back its place too
    let unknown = NewRow { after: vec![4_711], ..new_row("other") };
    assert!(matches!(step(&first, "2", vec![unknown]), Err(Error::NotFound(_))));
    assert_eq!(store.job(id).unwrap().checkpoint.as_deref(), Some("1"));
    let failed = || Verdict::Failed { error: "no".into(), retry_at_us: 3, is_final: false };
    finish(&store, &first, failed(), 3);
    assert_eq!(step(&first, "3", Vec::new()).unwrap(), Acted::Lost, "of an attempt that has ended");
    let second = claim(&store, 4, &[("q", 1, 0)]).remove(0);
    assert_eq!((second.checkpoint.as_deref(), second.failures), (Some("1"), 1));
    step(&second, "1", Vec::new()).unwrap();
    assert_eq!(store.job(id).unwrap().failures, 1, "it is no further");
    step(&second, "2", Vec::new()).unwrap();
    assert_eq!(store.job(id).unwrap().failures, 0, "it is");
    store.cancel_job(id, 5).unwrap();
    assert_eq!(step(&second, "3", vec![new_row("other")]).unwrap(), Acted::Cancelled);
    assert_eq!(store.job(id).unwrap().state, State::Running, "until its function returns");
    assert_eq!(finish(&store, &second, failed(), 6), Acted::Cancelled);
    let job = store.job(id).unwrap();
    assert_eq!((job.state, job.checkpoint.as_deref()), (State::Cancelled, Some("2")));
    assert_eq!(store.queues().by_name["other"].count(State::Queued), 1);
    store.retry_job(id, 7).unwrap();
    assert_eq!(claim(&store, 8, &[("q", 1, 0)])[0].checkpoint.as_deref(), Some("2"), "it goes on there");
    counts_are_those_of_the_table(&store);
}

#[test]
fn a_list_by_queue_or_kind_goes_on_over_pages() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let rows = (0..9).map(|n| NewRow { kind: if n == 0 { "rare" } else { "kind" }.into(), ..new_row("q") });
    submit(&store, 1, rows.collect()).unwrap();
    let page = |before, limit| {
        let filter =
            JobFilter { kind: Some("kind".into()), before, limit: Some(limit), ..JobFilter::default() };
        let page = store.list_jobs(&filter).unwrap();
        (page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(page(None, 3), (vec![9, 8, 7], Some(7)));
    assert_eq!(page(Some(7), 3), (vec![6, 5, 4], Some(4)));
    assert_eq!(page(Some(4), 3), (vec![3, 2], None), "there are no more");
}
