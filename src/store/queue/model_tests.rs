//! Random histories of jobs beside a list in memory that does the same in the plainest way: which jobs are handed out, in which
//! order, and in which state every job is after each step.

use proptest::prelude::*;

use super::tests::{claim, finish, new_row, open, submit};
use super::*;
use crate::store::Store;

const QUEUES: [&str; 2] = ["a", "b"];
/// Jobs that wait in a queue at most.
const SIZE: u64 = 6;

#[derive(Debug, Clone)]
enum Step {
    /// Of a queue, with a priority, not before so long from now, with a key of few, after the job of an id.
    Submit {
        queue: usize,
        priority: u8,
        delay: Option<i64>,
        key: Option<u8>,
        after: Option<usize>,
    },
    Claim {
        queue: usize,
        now: usize,
        ahead: usize,
    },
    /// One of those in hand: done, failed for the first time, failed for good, given back, stopped.
    Finish(usize, u8),
    /// One of those in hand is so far.
    GoOn(usize, u8),
    Cancel(usize),
    Retry(usize),
    /// Time goes on, in steps of ageing.
    Wait(i64),
    /// The process dies.
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    let key = proptest::option::weighted(0.2, 0..3_u8);
    let (delay, after) =
        (proptest::option::weighted(0.2, 1..5_i64), proptest::option::weighted(0.3, 0..12_usize));
    let submit = (0..2_usize, 1..=15_u8, delay, key, after);
    prop_oneof![
        6 => submit.prop_map(|(queue, priority, delay, key, after)| Step::Submit { queue, priority, delay, key, after }),
        4 => (0..2_usize, 0..3_usize, 0..3_usize).prop_map(|(queue, now, ahead)| Step::Claim { queue, now, ahead }),
        5 => (0..6_usize, 0..5_u8).prop_map(|(at, how)| Step::Finish(at, how)),
        2 => (0..6_usize, 0..2_u8).prop_map(|(at, place)| Step::GoOn(at, place)),
        1 => (0..12_usize).prop_map(Step::Cancel),
        1 => (0..12_usize).prop_map(Step::Retry),
        3 => (1..4_i64).prop_map(Step::Wait),
        1 => Just(Step::Die),
    ]
}

#[derive(Debug, Clone)]
struct Model {
    state: State,
    queue: usize,
    priority: u8,
    rank_us: i64,
    due_us: Option<i64>,
    key: Option<u8>,
    after: Vec<usize>,
    attempt: i64,
    failures: u32,
    was_cut_off: bool,
    is_cancelled: bool,
    checkpoint: Option<String>,
}

#[derive(Debug, Default)]
struct World {
    now_us: i64,
    jobs: Vec<Model>,
}

impl World {
    fn rank(queued_us: i64, priority: u8) -> i64 {
        queued_us + i64::from(priority - 1) * limits::JOB_AGEING_US
    }

    /// Gives the place of the job, and whether it is new; `None` where it is refused.
    fn submit(&mut self, new: Model) -> Option<(usize, bool)> {
        let same = |job: &Model| new.key.is_some() && job.key == new.key && !job.state.is_finished();
        if let Some(at) = self.jobs.iter().position(same) {
            return Some((at, false));
        }
        let waiting = self.jobs.iter().filter(|job| job.queue == new.queue && job.state.is_waiting());
        if waiting.count() as u64 >= SIZE {
            return None;
        }
        if new.after.iter().any(|at| {
            self.jobs.get(*at).is_none_or(|job| matches!(job.state, State::Dead | State::Cancelled))
        }) {
            return None;
        }
        self.jobs.push(Model { state: State::Blocked, ..new });
        let at = self.jobs.len() - 1;
        self.place(at);
        Some((at, true))
    }

    /// Puts a blocked job where it belongs.
    fn place(&mut self, at: usize) {
        let blocks = |earlier: &usize| self.jobs[*earlier].state != State::Done;
        if self.jobs[at].after.iter().any(blocks) {
            return;
        }
        let job = &mut self.jobs[at];
        let due_us = job.due_us.filter(|due_us| *due_us > self.now_us);
        job.state = if due_us.is_some() { State::Delayed } else { State::Queued };
        (job.due_us, job.rank_us) = (due_us, Self::rank(self.now_us, job.priority));
    }

    fn claim(&mut self, queue: usize, now: usize, ahead: usize) -> Vec<usize> {
        for job in self.jobs.iter_mut().filter(|job| job.state == State::Delayed) {
            if let Some(due_us) = job.due_us.filter(|due_us| *due_us <= self.now_us) {
                job.state = State::Queued;
                (job.rank_us, job.due_us) = (Self::rank(due_us, job.priority), None);
            }
        }
        let is_there = |at: &usize| self.jobs[*at].queue == queue && self.jobs[*at].state == State::Queued;
        let mut order: Vec<usize> = (0..self.jobs.len()).filter(is_there).collect();
        order.sort_by_key(|at| (self.jobs[*at].rank_us, *at));
        order.truncate(now + ahead);
        let may_be_ahead = |job: &Model| !job.was_cut_off && job.failures + 1 < 3;
        let end = (0..order.len()).find(|place| *place >= now && !may_be_ahead(&self.jobs[order[*place]]));
        order.truncate(end.unwrap_or(order.len()));
        for at in &order {
            self.jobs[*at].state = State::Running;
            self.jobs[*at].attempt += 1;
        }
        order
    }

    fn end(&mut self, at: usize, state: State) {
        self.jobs[at].state = state;
        self.jobs[at].is_cancelled = false;
        let after: Vec<usize> =
            (0..self.jobs.len()).filter(|next| self.jobs[*next].after.contains(&at)).collect();
        for next in
            after.into_iter().filter(|next| self.jobs[*next].state == State::Blocked).collect::<Vec<_>>()
        {
            match state {
                State::Done => self.place(next),
                _ => self.end(next, state),
            }
        }
    }

    fn fail(&mut self, at: usize, is_final: bool, is_cut_off: bool) {
        let job = &mut self.jobs[at];
        job.failures += 1;
        job.was_cut_off = is_cut_off;
        if is_final || job.failures >= 3 {
            return self.end(at, State::Dead);
        }
        let job = &mut self.jobs[at];
        if is_cut_off {
            job.state = State::Queued;
        } else {
            (job.state, job.due_us) = (State::Delayed, Some(self.now_us + limits::JOB_AGEING_US));
        }
    }

    fn finish(&mut self, at: usize, how: u8) {
        if self.jobs[at].is_cancelled {
            return self.end(at, State::Cancelled);
        }
        match how {
            0 => self.end(at, State::Done),
            1 | 2 => self.fail(at, how == 2, false),
            _ => {
                self.jobs[at].state = State::Queued;
                self.jobs[at].attempt -= i64::from(how == 3);
            }
        }
    }

    fn go_on(&mut self, at: usize, checkpoint: &str) {
        let job = &mut self.jobs[at];
        if !job.is_cancelled && job.checkpoint.as_deref() != Some(checkpoint) {
            (job.failures, job.was_cut_off) = (0, false);
            job.checkpoint = Some(checkpoint.to_owned());
        }
    }

    fn die(&mut self) {
        let running = |at: &usize| self.jobs[*at].state == State::Running;
        for at in (0..self.jobs.len()).filter(running).collect::<Vec<_>>() {
            match self.jobs[at].is_cancelled {
                true => self.end(at, State::Cancelled),
                false => self.fail(at, false, true),
            }
        }
    }

    fn retry(&mut self, at: usize) -> bool {
        let job = self.jobs[at].clone();
        let is_taken =
            |other: &Model| job.key.is_some() && other.key == job.key && !other.state.is_finished();
        let is_hopeless =
            |earlier: &usize| matches!(self.jobs[*earlier].state, State::Dead | State::Cancelled);
        if !matches!(job.state, State::Dead | State::Cancelled)
            || self.jobs.iter().any(is_taken)
            || job.after.iter().any(is_hopeless)
        {
            return false;
        }
        self.jobs[at] = Model { state: State::Blocked, failures: 0, was_cut_off: false, due_us: None, ..job };
        self.place(at);
        true
    }
}

fn verdict(how: u8, now_us: i64) -> Verdict {
    match how {
        0 => Verdict::Done(None),
        1 | 2 => Verdict::Failed {
            error: "no".into(),
            retry_at_us: now_us + limits::JOB_AGEING_US,
            is_final: how == 2,
        },
        3 => Verdict::Released,
        _ => Verdict::Stopped,
    }
}

fn new_job(
    now_us: i64,
    (queue, priority): (usize, u8),
    delay: Option<i64>,
    key: Option<u8>,
    after: Option<usize>,
) -> (NewRow, Model) {
    let after: Vec<usize> = after.into_iter().collect();
    let row = NewRow {
        priority,
        run_at_us: delay.map(|steps| now_us + steps * limits::JOB_AGEING_US),
        unique: key.map(|key| key.to_string()),
        after: after.iter().map(|at| *at as i64 + 1).collect(),
        ..new_row(QUEUES[queue])
    };
    let new = Model {
        state: State::Queued,
        queue,
        priority,
        rank_us: 0,
        due_us: row.run_at_us,
        key,
        after,
        attempt: 0,
        failures: 0,
        was_cut_off: false,
        is_cancelled: false,
        checkpoint: None,
    };
    (row, new)
}

/// The file says what the list says.
fn agree(store: &Store, world: &World, step: &Step) {
    for (at, model) in world.jobs.iter().enumerate() {
        let job = store.job(at as i64 + 1).unwrap();
        let (is, should) =
            ((job.state, job.attempt, job.failures), (model.state, model.attempt, model.failures));
        assert_eq!(is, should, "job {} after {step:?}", job.id);
        assert_eq!(job.checkpoint, model.checkpoint, "job {} after {step:?}", job.id);
    }
    let fresh = load(&store.reader().unwrap()).unwrap();
    for (name, queue) in &store.queues().by_name {
        assert_eq!(queue.counts, fresh.by_name[name].counts, "{name} after {step:?}");
    }
}

fn play(steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    for queue in QUEUES {
        store.configure_queue(queue, QueueSettings { size: SIZE, ..QueueSettings::default() }).unwrap();
    }
    let mut world = World { now_us: 1_000_000, jobs: Vec::new() };
    let mut in_hand: Vec<Claimed> = Vec::new();
    let place = |id: i64| usize::try_from(id).unwrap() - 1;
    for step in steps {
        let now_us = world.now_us;
        let existing = |at: usize| (at < world.jobs.len()).then_some(at);
        match step.clone() {
            Step::Submit { queue, priority, delay, key, after } => {
                let (row, new) = new_job(now_us, (queue, priority), delay, key, after);
                let told = submit(&store, now_us, vec![row]).ok();
                let told = told.map(|told| (place(told[0].id), told[0].is_new));
                assert_eq!(told, world.submit(new));
            }
            Step::Claim { queue, now, ahead } => {
                let claimed = claim(&store, now_us, &[(QUEUES[queue], now, ahead)]);
                let places: Vec<usize> = claimed.iter().map(|job| place(job.id)).collect();
                for job in &claimed {
                    assert_eq!(job.checkpoint, world.jobs[place(job.id)].checkpoint);
                }
                assert_eq!(places, world.claim(queue, now, ahead));
                in_hand.extend(claimed);
            }
            Step::Finish(at, how) if at < in_hand.len() => {
                let job = in_hand.remove(at);
                let is_cancelled = world.jobs[place(job.id)].is_cancelled;
                let acted = finish(&store, &job, verdict(how, now_us), now_us);
                assert_eq!(acted == Acted::Cancelled, is_cancelled, "{acted:?}");
                world.finish(place(job.id), how);
                let again = finish(&store, &job, verdict(0, now_us), now_us);
                assert_eq!(again, Acted::Lost, "an attempt ends once");
            }
            Step::GoOn(at, n) if at < in_hand.len() => {
                let (job, checkpoint) = (&in_hand[at], n.to_string());
                let acted = finish(&store, job, Verdict::Checkpoint(checkpoint.clone()), now_us);
                let is_cancelled = world.jobs[place(job.id)].is_cancelled;
                let runs_on = Acted::Done(Vec::new(), Some(State::Running));
                assert_eq!(acted, if is_cancelled { Acted::Cancelled } else { runs_on });
                world.go_on(place(job.id), &checkpoint);
            }
            Step::Cancel(at) if existing(at).is_some() => {
                let told = store.cancel_job(at as i64 + 1, now_us);
                match world.jobs[at].state {
                    State::Done | State::Dead => assert!(told.is_err()),
                    State::Running => world.jobs[at].is_cancelled = true,
                    State::Cancelled => {}
                    _ => world.end(at, State::Cancelled),
                }
            }
            Step::Retry(at) if existing(at).is_some() => {
                assert_eq!(store.retry_job(at as i64 + 1, now_us).is_ok(), world.retry(at));
            }
            Step::Wait(steps) => world.now_us += steps * limits::JOB_AGEING_US,
            Step::Die => {
                drop(store);
                in_hand.clear();
                store = open(&folder);
                world.die();
            }
            Step::Finish(..) | Step::GoOn(..) | Step::Cancel(_) | Step::Retry(_) => {}
        }
        agree(&store, &world, step);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn jobs_are_handed_out_and_end_as_a_plain_list_says(steps in proptest::collection::vec(step(), 1..60)) {
        play(&steps);
    }
}
