//! The generator: visitors come, look at pages, reach goals, and come back. It draws one session after the other, in
//! order of their beginnings, and gives events in order of time; what it holds are the sessions under way and the
//! visitors who may return, whatever the number of rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::packs::SampleRequest;
use crate::packs::random::{Random, mix};
use crate::time::{MINUTE, SECOND};

use super::calendar::{Calendar, Slot, presence};
use super::world::{
    CART, CHECKOUT, COUNTRIES, DESKTOPS, HANDHELDS, Happening, LAUNCH_PAGE, LAUNCH_SITE, LAUNCH_SOURCE,
    Machine, ROBOT, SHOP, SITES, SOURCES,
};

/// Events of one session at most.
const SESSION_EVENTS: usize = 40;
/// Visitors of one country who may return: bounds the memory.
const REGULARS: usize = 4_096;
/// As if so many places were taken, at first.
const FEW_REGULARS: u64 = 200;
/// Sessions of visitors who have been there before, per mille.
const RETURNING: u64 = 440;
/// New visitors that are robots, per mille.
const ROBOTS: u64 = 12;
/// A page is looked at for this long at least, and for this much longer at most.
const DWELL_MS: (u64, u64) = (1_200, 280_000);
/// What an order comes to: in cents, at least and more.
const ORDER_CENTS: (u64, u64) = (990, 38_000);

/// One person, or robot.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    pub id: u64,
    /// The site that it first came to, and prefers.
    site: u8,
    pub country: u8,
    /// The country whose language it reads.
    pub reads: u8,
    pub machine: &'static Machine,
    pub is_robot: bool,
}

/// One visit.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    pub id: u64,
    pub visitor: Visitor,
    pub site: u8,
    pub source: u8,
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// When, µs; whole ms.
    pub time_us: i64,
    pub(super) session: Session,
    pub(super) happening: Happening,
    pub(super) page: &'static str,
    /// How long the page was looked at; page views only.
    pub(super) duration_ms: Option<u32>,
    /// What was paid; purchases only.
    pub(super) revenue_cents: Option<u32>,
}

/// Events wait here until no session can begin before them; equal times keep the order of drawing.
struct Waiting {
    number: u64,
    event: Event,
}

impl Waiting {
    fn key(&self) -> (i64, u64) {
        (self.event.time_us, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The events of a request, in order of time.
pub struct Events {
    request: SampleRequest,
    calendar: Calendar,
    random: Random,
    /// Events drawn so far.
    drawn: u64,
    /// The next session, whose beginning is known: events before it can go.
    next_begin: Option<(i64, Slot)>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// By country, the latest visitors last in the circle.
    regulars: Vec<Circle>,
}

#[derive(Default)]
struct Circle {
    visitors: Vec<Visitor>,
    next: usize,
}

impl Circle {
    fn add(&mut self, visitor: Visitor) {
        if self.visitors.len() < REGULARS {
            self.visitors.push(visitor);
        } else {
            self.visitors[self.next] = visitor;
        }
        self.next = (self.next + 1) % REGULARS;
    }

    /// One of those there, who came last more likely.
    fn pick(&self, random: &mut Random) -> Option<Visitor> {
        // while few have been there, most are new
        let count = (self.visitors.len() as u64).max(FEW_REGULARS);
        let back = random.below(count).min(random.below(count)).min(random.below(count)) as usize;
        let place = (self.next + REGULARS - 1 - back) % REGULARS;
        self.visitors.get(place).copied()
    }
}

impl Events {
    /// The events of a request; none where its span is empty.
    pub fn new(request: SampleRequest) -> Self {
        let span = request.until_us.saturating_sub(request.from_us).max(1);
        let calendar = Calendar::new(request.seed, request.from_us, request.from_us + span);
        let random = Random::new(request.seed ^ mix(request.from_us as u64));
        let regulars = COUNTRIES.iter().map(|_| Circle::default()).collect();
        let mut events = Self {
            request,
            calendar,
            random,
            drawn: 0,
            next_begin: None,
            waiting: BinaryHeap::new(),
            regulars,
        };
        events.next_begin = events.begin_of_next();
        events
    }

    /// Sessions begin where the events so far have brought the calendar, so there are as many events as it says at
    /// any time, and all of them at its end.
    fn begin_of_next(&mut self) -> Option<(i64, Slot)> {
        const FINE: u64 = 1_024;
        if self.drawn >= self.request.rows {
            return None;
        }
        let part = u128::from(self.drawn) * u128::from(FINE) + u128::from(self.random.below(FINE));
        let (time_us, slot) = self.calendar.time(part, u128::from(self.request.rows) * u128::from(FINE));
        // whole ms, but never before the span
        Some(((time_us - time_us.rem_euclid(1_000)).max(self.request.from_us), slot))
    }

    /// Draws the session that begins next, and the beginning of the one after it.
    fn draw_session(&mut self, begin_us: i64, slot: Slot) {
        let is_for_launch = self.random.per_mille(slot.launch_per_mille);
        let visitor = self.visitor(begin_us, is_for_launch);
        let session = self.session(visitor, is_for_launch);
        let room = (self.request.rows - self.drawn).min(SESSION_EVENTS as u64) as usize;
        let mut visit = Visit { session, time_us: begin_us, events: Vec::with_capacity(8) };
        if visitor.is_robot {
            visit.crawl(&mut self.random, room);
        } else {
            visit.browse(&mut self.random, is_for_launch);
        }
        visit.events.truncate(room);
        let until = self.request.until_us.max(begin_us + 1);
        for event in visit.events.into_iter().take_while(|event| event.time_us < until) {
            self.drawn += 1;
            self.waiting.push(Reverse(Waiting { number: self.drawn, event }));
        }
        self.next_begin = self.begin_of_next();
    }

    fn visitor(&mut self, time_us: i64, is_for_launch: bool) -> Visitor {
        let random = &mut self.random;
        let country = random.weighted(COUNTRIES.iter().map(|country| presence(country, time_us)));
        let returning = if random.per_mille(RETURNING) && !is_for_launch {
            self.regulars[country].pick(random)
        } else {
            None
        };
        let visitor = returning.unwrap_or_else(|| {
            let site = match is_for_launch {
                true => LAUNCH_SITE,
                false => random.weighted(SITES.iter().map(|site| site.share)),
            };
            let is_robot = random.per_mille(ROBOTS);
            let machines: &'static [Machine] = match random.per_mille(SITES[site].mobile) {
                _ if is_robot => std::slice::from_ref(&ROBOT),
                true => &HANDHELDS,
                false => &DESKTOPS,
            };
            let reads = match random.below(100) {
                0..84 => country,
                84..97 => 0,
                _ => random.below(COUNTRIES.len() as u64) as usize,
            };
            Visitor {
                id: random.bits(),
                site: site as u8,
                country: country as u8,
                reads: reads as u8,
                machine: &machines[random.weighted(machines.iter().map(|machine| machine.3))],
                is_robot,
            }
        });
        self.regulars[country].add(visitor);
        visitor
    }

    fn session(&mut self, visitor: Visitor, is_for_launch: bool) -> Session {
        let random = &mut self.random;
        let site = match random.per_mille(860) {
            true => usize::from(visitor.site),
            false => random.weighted(SITES.iter().map(|site| site.share)),
        };
        let source = match (visitor.is_robot, is_for_launch && site == LAUNCH_SITE) {
            (true, _) => 0,
            (_, true) if random.per_mille(700) => LAUNCH_SOURCE,
            _ => random.weighted(SOURCES.iter().map(|source| source.shares[site])),
        };
        Session { id: random.bits(), visitor, site: site as u8, source: source as u8 }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        // an event can go once the next session begins after it
        while let Some((begin, slot)) = self.next_begin {
            if self.waiting.peek().is_some_and(|first| first.0.event.time_us < begin) {
                break;
            }
            self.draw_session(begin, slot);
        }
        self.waiting.pop().map(|first| first.0.event)
    }
}

/// A session in the making.
struct Visit {
    session: Session,
    time_us: i64,
    events: Vec<Event>,
}

impl Visit {
    fn add(&mut self, happening: Happening, page: &'static str) -> &mut Event {
        let event = Event {
            time_us: self.time_us,
            session: self.session,
            happening,
            page,
            duration_ms: None,
            revenue_cents: None,
        };
        self.events.push(event);
        let last = self.events.len() - 1;
        &mut self.events[last]
    }

    /// Looks at a page for a while, mostly a short one.
    fn view(&mut self, random: &mut Random, page: &'static str) {
        let third = |random: &mut Random| random.below(1_000);
        let long = third(random) * third(random) * third(random) * DWELL_MS.1 / 1_000_000_000;
        let duration_ms = DWELL_MS.0 + long + random.below(400);
        self.add(Happening::PageView, page).duration_ms = Some(duration_ms as u32);
        self.time_us += duration_ms as i64 * 1_000;
    }

    /// Something done on a page, a moment after it was looked at.
    fn act(&mut self, random: &mut Random, happening: Happening, page: &'static str) {
        self.add(happening, page);
        self.time_us += SECOND + random.below(4_000) as i64 * 1_000;
    }

    /// From page to page, until there is nothing more to see or a goal is reached.
    fn browse(&mut self, random: &mut Random, is_for_launch: bool) {
        let site = &SITES[usize::from(self.session.site)];
        let source = &SOURCES[usize::from(self.session.source)];
        let mut page = if is_for_launch && usize::from(self.session.site) == LAUNCH_SITE {
            LAUNCH_PAGE
        } else if random.per_mille(source.home) {
            site.pages[0]
        } else {
            popular(random, &site.pages[1..])
        };
        for seen in 1..=SESSION_EVENTS {
            self.view(random, page);
            let (goal, often) = site.goal;
            if seen >= 2 && random.per_mille(often) {
                return self.reach(random, goal, page);
            }
            if !random.per_mille(source.goes_on) {
                return;
            }
            let before = page;
            while page == before {
                page = popular(random, site.pages);
            }
            // a tab left open over lunch is still the same visit
            if random.per_mille(15) {
                self.time_us += (5 + random.below(20)) as i64 * MINUTE;
            }
        }
    }

    /// The goal of the site, and what follows from it.
    fn reach(&mut self, random: &mut Random, goal: Happening, page: &'static str) {
        self.act(random, goal, page);
        if usize::from(self.session.site) != SHOP {
            return;
        }
        self.view(random, CART);
        if !random.per_mille(620) {
            return;
        }
        self.view(random, CHECKOUT);
        if !random.per_mille(640) {
            return;
        }
        let more = random.below(1_000) * random.below(1_000) * ORDER_CENTS.1 / 1_000_000;
        self.act(random, Happening::Purchase, CHECKOUT);
        if let Some(purchase) = self.events.last_mut() {
            purchase.revenue_cents = Some((ORDER_CENTS.0 + more) as u32);
        }
        if random.per_mille(240) {
            self.act(random, Happening::Signup, CHECKOUT);
        }
    }

    /// A robot takes page after page, in their order, and reads none.
    fn crawl(&mut self, random: &mut Random, room: usize) {
        let pages = SITES[usize::from(self.session.site)].pages;
        let first = random.below(pages.len() as u64) as usize;
        let count = (3 + random.below(18) as usize).min(pages.len()).min(room);
        for step in 0..count {
            let duration_ms = 150 + random.below(900);
            let page = pages[(first + step) % pages.len()];
            self.add(Happening::PageView, page).duration_ms = Some(duration_ms as u32);
            self.time_us += duration_ms as i64 * 1_000;
        }
    }
}

/// A page by Zipf's law: the second is visited half as often as the first, the third a third.
fn popular(random: &mut Random, pages: &'static [&'static str]) -> &'static str {
    let weight = |place: usize| 100_000 / (place as u64 + 1);
    pages[random.weighted((0..pages.len()).map(weight))]
}
