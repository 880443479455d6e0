//! The hub without a guard: who is told what, and what it takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Poll, Token, Waker};
use serde_json::{Value, json};

use crate::http::live::hub::{Hub, Subscription};
use crate::http::live::line::{Form, Line, News, Push, Switchboard};
use crate::http::live::question::Question;
use crate::http::live::state::Subject;
use crate::http::live::topic::Watch;
use crate::http::message::{Method, Request};
use crate::http::{Service, routes};
use crate::jobs::{Jobs, Kind, Kinds, NewJob, Outcome};
use crate::query::budget::Limits;
use crate::query::warm::WarmList;
use crate::store::{Store, StoreOptions};

/// More than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A hub whose clients are lines alone.
struct House {
    service: Arc<Service>,
    hub: Option<Hub>,
    switchboard: Switchboard,
    lines: Vec<Arc<Line>>,
    _poll: Poll,
    _folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap());
        let address = ([127, 0, 0, 1], 7878).into();
        let kinds = Kinds::of([Kind::new("k", |_| Ok(Outcome::default()))]).unwrap();
        let jobs = Arc::new(Jobs::idle(Arc::clone(&store), kinds));
        let service = Service::new(store, address, Limits::default(), WarmList::default());
        let service = Arc::new(service.with_jobs(jobs));
        let hub = Some(Hub::start(Arc::clone(&service)).unwrap());
        let poll = Poll::new().unwrap();
        let switchboard = Switchboard::new(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        Self { service, hub, switchboard, lines: Vec::new(), _poll: poll, _folder: folder }
    }

    fn add(&self, n: i64) {
        let mut request = Request::new(Method::Post, "/v1/datasets/d/events").unwrap();
        request.body = json!({ "n": n }).to_string().into_bytes();
        assert_eq!(routes::answer(&self.service, &request).status, 200);
    }

    fn watch(&mut self, subject: Subject) {
        let line = self.switchboard.line(self.lines.len(), 1);
        line.open(Form::WebSocket { accept: String::new(), is_packed: true });
        line.set_free();
        let watch = Watch::State { subject, has: None };
        let credentials = Request::new(Method::Get, "/v1/live").unwrap();
        let subscription = Subscription { line: Arc::downgrade(&line), watch, credentials };
        self.lines.push(line);
        while self.service.live.join(subscription_of(&subscription)).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn question(&self, sql: &str) -> Subject {
        Subject::Question(Arc::new(Question::new(sql.to_owned(), Limits::default()).unwrap()))
    }

    /// What is told next, and to whom; the line takes more then, where it `takes`.
    fn next(&self, takes: bool) -> (usize, Value) {
        let begin = Instant::now();
        loop {
            if let Some(Push { slot, news, .. }) = self.switchboard.next() {
                if takes {
                    self.lines[slot].set_free();
                }
                let (News::Say(message) | News::End(message)) = news;
                return (slot, serde_json::from_str(message.text()).unwrap());
            }
            assert!(begin.elapsed() < PATIENCE, "nothing was told");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.hub.take().unwrap().stop();
    }
}

/// The same again: what could not be handed over is gone.
fn subscription_of(subscription: &Subscription) -> Subscription {
    let Watch::State { subject, has } = &subscription.watch else { panic!("a state") };
    let watch = Watch::State { subject: subject.clone(), has: *has };
    let credentials = Request { headers: subscription.credentials.headers.clone(), ..Request::default() };
    Subscription { line: subscription.line.clone(), watch, credentials }
}

#[test]
fn a_question_is_asked_once_for_a_thousand_who_watch_it() {
    let mut house = House::new();
    house.add(1);
    for _ in 0..1_000 {
        house.watch(house.question("SELECT sum(n) FROM d"));
    }
    for sum in 1..=4 {
        let mut told: HashMap<usize, usize> = HashMap::new();
        while told.len() < 1_000 {
            let (slot, message) = house.next(true);
            assert_eq!(message["rows"], json!([[sum]]));
            *told.entry(slot).or_default() += 1;
        }
        assert!(told.values().all(|times| *times == 1), "each is told once");
        assert_eq!(house.service.live.asked(), sum);
        house.add(1);
    }
}

#[test]
fn a_question_is_not_asked_while_nothing_changes_or_nobody_watches() {
    let mut house = House::new();
    house.add(1);
    house.watch(house.question("SELECT sum(n) FROM d"));
    house.next(true);
    // another one sees that looks go by
    let mut request = Request::new(Method::Post, "/v1/datasets/other/events").unwrap();
    request.body = b"{\"m\":1}".to_vec();
    assert_eq!(routes::answer(&house.service, &request).status, 200);
    house.watch(house.question("SELECT count(*) FROM other"));
    assert_eq!(house.next(true).1["rows"], json!([[1]]));
    assert_eq!(house.service.live.asked(), 2);
    // who goes is forgotten, and what he asked with him
    house.lines[0] = Arc::clone(&house.lines[1]);
    for n in 2..5 {
        house.add(n);
        assert_eq!(routes::answer(&house.service, &request).status, 200);
        assert_eq!(house.next(true).1["rows"], json!([[n]]));
    }
    assert!(house.service.live.asked() <= 6, "{}", house.service.live.asked());
}

#[test]
fn who_is_slow_gets_the_newest_state_and_nobody_waits() {
    let mut house = House::new();
    let submit = |house: &House| house.service.jobs.submit(NewJob::new("k").queue("q")).unwrap();
    house.service.jobs.configure("q", Default::default()).unwrap();
    for _ in 0..2 {
        house.watch(Subject::Queue("q".into()));
    }
    let waiting = |told: &Value| told["queue"]["waiting"].as_u64().unwrap();
    let first: Vec<_> = (0..2).map(|_| house.next(false)).collect();
    assert!(first.iter().all(|(_, told)| waiting(told) == 0));
    // the second one takes nothing
    house.lines[0].set_free();
    for n in 1..5 {
        submit(&house);
        let (slot, told) = house.next(true);
        assert_eq!((slot, waiting(&told)), (0, n));
    }
    house.lines[1].set_free();
    let (slot, told) = house.next(true);
    assert_eq!((slot, waiting(&told)), (1, 4));
}
