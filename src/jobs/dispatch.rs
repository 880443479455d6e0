//! The dispatcher: one thread that has jobs handed out by the writer and gives them to the workers, within what each queue allows.
//! It sleeps until something happens or is due. Where jobs prove short it has some handed out ahead, so that one commit serves
//! many; those go back when it stops. Jobs that wait and jobs that compute have threads of their own, so neither takes the
//! other's.

mod left;
mod turns;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};

use crate::error::{Error, Result};
use crate::jobs::JobOptions;
use crate::jobs::backoff::{Random, wait_us};
use crate::jobs::context::{Running, Why};
use crate::jobs::crew::Crew;
use crate::jobs::dispatch::left::Begun;
use crate::jobs::gauge::Gauge;
use crate::jobs::line::Line;
use crate::jobs::rates::{Rates, Wait};
use crate::jobs::timetable::Timetable;
use crate::jobs::worker::{Attempt, Ending, Shop, settle};
use crate::limits;
use crate::store::queue::{Acted, Claim, Claimed, State, Verdict};

/// How long the writer is left alone after it failed.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest sleep: a system clock that is set changes when things are due.
const SLEEP: Duration = Duration::from_secs(60);

/// What the dispatcher is told.
pub(super) enum Event {
    /// Jobs were handed out.
    Claimed(Result<Vec<Claimed>>),
    /// The function of a job has returned, in this attempt, after so long.
    Returned(i64, i64, Duration),
    /// The failure of an attempt that was left alone was written.
    Left(i64, Arc<Running>),
    /// What became of an ending.
    Settled(Box<(Attempt, Ending, Result<Acted>)>),
    /// A job that is in hand was cancelled.
    Cancel(i64),
    /// No more jobs are begun; those that run may go on for a while, and are told to end then.
    Stop(Duration, Duration),
    /// A schedule was due, and went on to its next time with this.
    Scheduled(Arc<str>, i64, Result<Acted>),
    /// Schedules were changed.
    Schedules,
    /// Something may be due.
    Look,
}

/// What runs, for those who look at it from other threads.
#[derive(Debug, Default)]
pub(super) struct InHand(Mutex<HashMap<i64, Arc<Running>>>);

impl InHand {
    pub fn get(&self, id: i64) -> Option<Arc<Running>> {
        self.lock().get(&id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Arc<Running>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Dispatcher {
    pub shop: Arc<Shop>,
    pub in_hand: Arc<InHand>,
    /// To the workers.
    tasks: (Sender<Attempt>, Receiver<Attempt>),
    /// Given to those who tell it something.
    pub events: Sender<Event>,
    /// Functions that compute and may run at once.
    gauge: Gauge,
    /// Runs those that wait.
    crew: Crew,
    rates: Rates,
    timetable: Timetable,
    lines: BTreeMap<Arc<str>, Line>,
    /// Each job whose function is running.
    running: HashMap<i64, Begun>,
    /// Attempts that were left alone, and whether the crew runs them.
    left: HashMap<(i64, i64), bool>,
    left_after: Duration,
    is_claiming: bool,
    /// Whether something has happened since the last claim was sent that may let another one bring jobs.
    has_news: bool,
    /// Attempts that are run again, and the one that is: one at a time, as each changes what the others read.
    again: VecDeque<Attempt>,
    rerunning: Option<i64>,
    /// Endings that wait for the writer.
    later: Vec<(Attempt, Ending)>,
    paused_until: Option<Instant>,
    stopping: Option<Stopping>,
    random: Random,
}

/// When what runs is told to end, and when it is given up.
struct Stopping {
    tell_at: Instant,
    give_up_at: Instant,
}

impl Dispatcher {
    pub fn new(
        shop: Arc<Shop>,
        in_hand: Arc<InHand>,
        tasks: (Sender<Attempt>, Receiver<Attempt>),
        events: Sender<Event>,
        options: JobOptions,
    ) -> Self {
        let random = Random::new(shop.clock.now_us());
        let crew = Crew::new(Arc::clone(&shop), events.clone(), options.waiting);
        Self {
            shop,
            in_hand,
            tasks,
            events,
            gauge: Gauge::new(options.workers, options.workers_max, Instant::now()),
            crew,
            rates: Rates::new(options.limiter, options.policies),
            timetable: Timetable::default(),
            lines: BTreeMap::new(),
            running: HashMap::new(),
            left: HashMap::new(),
            left_after: options.left_after,
            is_claiming: false,
            has_news: true,
            again: VecDeque::new(),
            rerunning: None,
            later: Vec::new(),
            paused_until: None,
            stopping: None,
            random,
        }
    }

    /// Works until it is stopped; true where nothing was left running.
    pub fn run(mut self, inbox: &Receiver<Event>) -> bool {
        let bell = self.shop.store.job_bell();
        self.read_schedules();
        loop {
            self.submit_what_is_due();
            self.begin_what_may();
            self.claim();
            let wait = self.wait();
            select! {
                recv(inbox) -> event => if let Ok(event) = event { self.take(event) },
                recv(bell) -> _ => self.has_news = true,
                default(wait) => self.has_news = true,
            }
            while let Ok(event) = inbox.try_recv() {
                self.take(event);
            }
            self.look_at_the_clock();
            if let Some(stopping) = &self.stopping {
                let is_empty = self.in_hand.lock().is_empty() && !self.is_claiming;
                if is_empty && self.left.is_empty() {
                    self.crew.join();
                    return true;
                }
                if is_empty || Instant::now() >= stopping.give_up_at {
                    return false;
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Claimed(claimed) => self.take_claimed(claimed),
            Event::Returned(id, attempt, took) => {
                self.has_news = true;
                if self.has_come_back(id, attempt) {
                    return;
                }
                let Some(Begun { queue, is_of_crew, .. }) = self.running.remove(&id) else { return };
                if is_of_crew {
                    self.crew.note();
                } else {
                    self.gauge.note();
                }
                if let Some(line) = self.lines.get_mut(&queue) {
                    line.running = line.running.saturating_sub(1);
                    line.note(took);
                }
            }
            Event::Left(id, running) => self.forget(id, &running),
            Event::Settled(settled) => {
                let (attempt, ending, told) = *settled;
                self.take_settled(attempt, ending, told);
            }
            Event::Cancel(id) => match self.lines.values_mut().find_map(|line| line.remove(id)) {
                Some(job) => self.give_back(job, Verdict::Released),
                None => _ = self.in_hand.get(id).map(|running| running.end(Why::Cancelled)),
            },
            Event::Stop(grace, rest) => {
                let tell_at = Instant::now() + grace;
                self.stopping = Some(Stopping { tell_at, give_up_at: tell_at + rest });
                for attempt in std::mem::take(&mut self.again) {
                    settle(&self.shop, attempt, Ending::of(Verdict::Stopped), &self.events);
                }
                let waiting: Vec<Claimed> = self.lines.values_mut().flat_map(Line::drain).collect();
                waiting.into_iter().for_each(|job| self.give_back(job, Verdict::Released));
            }
            Event::Scheduled(name, next_us, told) => {
                let told = told.map(|acted| matches!(acted, Acted::Done(..)).then_some(next_us));
                if !self.timetable.taken(&name, told, self.shop.clock.now_us()) {
                    self.read_schedules();
                }
            }
            Event::Schedules => self.read_schedules(),
            Event::Look => self.has_news = true,
        }
    }

    fn take_claimed(&mut self, claimed: Result<Vec<Claimed>>) {
        self.is_claiming = false;
        match claimed {
            Ok(jobs) => {
                self.has_news |= !jobs.is_empty();
                for job in jobs {
                    self.take_one(job);
                }
            }
            Err(e) => {
                tracing::warn!("no jobs are handed out for a while: {e}");
                self.paused_until = Some(Instant::now() + PAUSE);
            }
        }
    }

    fn take_one(&mut self, job: Claimed) {
        let waits = self.shop.kinds.waits(&job.kind);
        let is_full = self.free(false) == 0;
        let line = self.lines.entry(Arc::clone(&job.queue)).or_default();
        // it was asked for as one that waits, and would be in hand for long
        let is_too_many = line.waits() && !waits && is_full;
        line.learn(waits);
        if self.stopping.is_some() || is_too_many {
            self.give_back(job, Verdict::Released);
        } else {
            line.in_hand(waits).push_back(job);
        }
    }

    /// Puts a job back that was not begun.
    fn give_back(&mut self, job: Claimed, verdict: Verdict) {
        let attempt = self.attempt(job);
        self.in_hand.lock().insert(attempt.job.id, Arc::clone(&attempt.running));
        settle(&self.shop, attempt, Ending::of(verdict), &self.events);
    }

    fn attempt(&mut self, job: Claimed) -> Attempt {
        let base_us = self.shop.kinds.get(&job.kind).map_or(limits::JOB_BACKOFF_US, |kind| {
            i64::try_from(kind.backoff.as_micros()).unwrap_or(i64::MAX)
        });
        let backoff_us = wait_us(base_us, job.failures.saturating_add(1), self.random.next());
        Attempt { running: Arc::new(Running::new(&job)), job, backoff_us, conflicts: 0, stale: 0 }
    }

    /// Gives the workers what waits, the best rank of all queues first.
    fn begin_what_may(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        if self.rerunning.is_none()
            && let Some(attempt) = self.again.pop_front()
        {
            self.rerunning = Some(attempt.job.id);
            self.begin(attempt);
        }
        let queues = self.shop.store.queues();
        while let Some((name, waits)) = self.next(&queues) {
            let line = self.lines.get_mut(&name);
            let Some(job) = line.and_then(|line| line.in_hand(waits).pop_front()) else { return };
            match self.rates.take(&job, queues.by_name.get(&name)) {
                Ok(()) => {
                    let attempt = self.attempt(job);
                    self.begin(attempt);
                }
                Err(Wait::Queue(wait)) => {
                    if let Some(line) = self.lines.get_mut(&name) {
                        line.in_hand(waits).push_front(job);
                        line.not_before = Some(Instant::now() + wait);
                    }
                }
                // others of the queue may begin meanwhile
                Err(Wait::User(wait)) => {
                    let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                    let due_us = self.shop.clock.now_us().saturating_add(wait_us);
                    self.give_back(job, Verdict::Later(due_us));
                }
            }
        }
    }

    fn read_schedules(&mut self) {
        match Timetable::read(&self.shop.store) {
            Ok(timetable) => self.timetable = timetable,
            Err(e) => tracing::error!("the schedules cannot be read, those that are known go on: {e}"),
        }
    }

    /// Has the jobs of schedules submitted whose time has come.
    fn submit_what_is_due(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        for (name, act) in self.timetable.due(&self.shop.kinds, self.shop.clock.now_us()) {
            let next_us = act.step.as_ref().map_or(i64::MAX, |step| step.next_us);
            let events = self.events.clone();
            self.shop.store.act_later(act, move |told| {
                let _ = events.send(Event::Scheduled(name, next_us, told));
            });
        }
    }

    fn begin(&mut self, attempt: Attempt) {
        let (id, begun) = (attempt.job.id, Begun::of(&attempt));
        self.lines.entry(Arc::clone(&begun.queue)).or_default().running += 1;
        self.in_hand.lock().insert(id, Arc::clone(&attempt.running));
        let waits = self.shop.kinds.waits(&attempt.job.kind);
        let left = if waits { self.crew.begin(attempt) } else { Some(attempt) };
        self.running.insert(id, Begun { is_of_crew: left.is_none(), ..begun });
        if let Some(attempt) = left {
            // a worker takes it at once: there are as many as functions may run
            let _ = self.tasks.0.send(attempt);
        }
    }

    /// Asks the writer for jobs, where some wait and may be begun.
    fn claim(&mut self) {
        let is_paused = self.paused_until.is_some_and(|until| Instant::now() < until);
        if self.is_claiming || !self.has_news || self.stopping.is_some() || is_paused {
            return;
        }
        self.paused_until = None;
        let now_us = self.shop.clock.now_us();
        let queues = self.shop.store.queues();
        let mut free = [self.free(false), self.free(true)];
        let limits = [self.limit(false), self.limit(true)];
        let mut wants = Vec::new();
        for (queue, now) in queues.by_name.iter().filter(|(_, now)| now.count(State::Queued) > 0) {
            let line = self.lines.entry(Arc::clone(queue)).or_default();
            if !line.is_let() {
                continue;
            }
            match self.rates.room(queue, now) {
                Ok(room) => {
                    let sort = usize::from(line.waits());
                    wants.extend(line.want(queue, now, room, (&mut free[sort], limits[sort])));
                }
                // what would have to wait in hand waits in its queue
                Err(wait) => line.not_before = Some(Instant::now() + wait),
            }
        }
        let is_due = queues.next_due_us.is_some_and(|due_us| due_us <= now_us);
        if wants.is_empty() && !is_due {
            return;
        }
        (self.is_claiming, self.has_news) = (true, false);
        let events = self.events.clone();
        self.shop.store.claim_jobs(Claim { now_us, wants }, move |claimed| {
            let _ = events.send(Event::Claimed(claimed));
        });
    }

    fn take_settled(&mut self, mut attempt: Attempt, ending: Ending, told: Result<Acted>) {
        let now_us = self.shop.clock.now_us();
        self.rerunning = self.rerunning.filter(|id| *id != attempt.job.id);
        let failed = match told {
            Ok(Acted::Done(..)) => {
                self.observe(&attempt, &ending);
                None
            }
            Ok(Acted::Cancelled) => None,
            Ok(Acted::Lost) => {
                tracing::warn!(
                    "job {} is not of this attempt any more; nothing of it was written",
                    attempt.job.id
                );
                None
            }
            Ok(Acted::Stale) if attempt.stale < limits::STALE_RETRIES => {
                attempt.stale += 1;
                settle(&self.shop, attempt, ending, &self.events);
                return;
            }
            Ok(Acted::Stale) => Some(Error::Busy {
                detail: "the declaration of a dataset keeps changing".into(),
                retry_after_s: 1,
            }),
            Ok(Acted::Outdated(_)) if self.stopping.is_some() => {
                settle(&self.shop, attempt, Ending::of(Verdict::Stopped), &self.events);
                return;
            }
            Ok(Acted::Outdated(_)) if attempt.conflicts < limits::JOB_CONFLICTS => {
                attempt.conflicts += 1;
                self.again.push_back(attempt);
                return;
            }
            Ok(Acted::Outdated(why)) => Some(Error::Conflict(format!("what it read keeps changing: {why}"))),
            Err(Error::StorageUnavailable(why)) if self.stopping.is_none() => {
                tracing::warn!("the end of job {} is written later: {why}", attempt.job.id);
                self.paused_until = Some(Instant::now() + PAUSE);
                self.later.push((attempt, ending));
                return;
            }
            Err(e) => Some(e),
        };
        match failed {
            // what a verdict alone meets is not the job's fault, and the next start finds it
            Some(e) if ending.effects.is_none() => {
                tracing::error!("the end of job {} cannot be written: {e}", attempt.job.id);
            }
            Some(e) => {
                let ending = attempt.failed(&e, false, now_us);
                settle(&self.shop, attempt, ending, &self.events);
                return;
            }
            None => {}
        }
        self.forget(attempt.job.id, &attempt.running);
    }

    /// Tells limits that give way to trouble how a job went.
    fn observe(&mut self, attempt: &Attempt, ending: &Ending) {
        let failed = match ending.verdict {
            Verdict::Done(_) => false,
            Verdict::Failed { .. } => true,
            Verdict::Stopped | Verdict::Released | Verdict::Later(_) | Verdict::Checkpoint(_) => return,
        };
        let queues = self.shop.store.queues();
        let queue = queues.by_name.get(&attempt.job.queue);
        self.rates.observe(&attempt.job, queue, failed, attempt.running.elapsed());
    }

    /// How long nothing has to be done, unless something happens.
    fn wait(&self) -> Duration {
        let now = Instant::now();
        let mut until = now + SLEEP;
        let is_ahead = |deadline: &Instant| *deadline > now;
        let next =
            self.in_hand.lock().values().filter_map(|running| running.deadline()).filter(is_ahead).min();
        let stopping = self.stopping.as_ref();
        let told = stopping
            .map(|stopping| if stopping.tell_at > now { stopping.tell_at } else { stopping.give_up_at });
        let lines =
            self.lines.values().filter(|line| !line.is_let()).filter_map(|line| line.not_before).min();
        let leaves = self.leaves_at();
        for time in [next, told, leaves, self.paused_until, lines, self.crew.due()].into_iter().flatten() {
            until = until.min(time);
        }
        let wait = until.saturating_duration_since(now);
        if self.stopping.is_some() {
            return wait;
        }
        let may_claim = !self.is_claiming && self.paused_until.is_none();
        let jobs_us = self.shop.store.queues().next_due_us.filter(|_| may_claim);
        match jobs_us.into_iter().chain(self.timetable.next_us()).min() {
            Some(due_us) => {
                let left_us = due_us.saturating_sub(self.shop.clock.now_us()).max(1_000);
                wait.min(Duration::from_micros(left_us.unsigned_abs()))
            }
            None => wait,
        }
    }

    /// What the time brings: deadlines, a writer that is asked again, the end of patience.
    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        self.crew.look(now);
        let is_full = self.running(false) >= self.gauge.limit();
        self.gauge.look(is_full && self.has_more(), now);
        if self.stopping.as_ref().is_some_and(|stopping| now >= stopping.tell_at) {
            self.in_hand.lock().values().for_each(|running| running.end(Why::Stopping));
        }
        for running in self.in_hand.lock().values() {
            if running.deadline().is_some_and(|deadline| now >= deadline) && running.why() == Why::Nothing {
                running.end(Why::Deadline);
            }
        }
        self.leave_alone(now);
        if self.paused_until.is_none_or(|until| now >= until) {
            self.paused_until = None;
            for (attempt, ending) in std::mem::take(&mut self.later) {
                settle(&self.shop, attempt, ending, &self.events);
            }
        }
    }
}
