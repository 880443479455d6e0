//! Sessions: the events of each with no long gap between them. They become a dataset of their own, a row a session, in
//! memory, which `query::run` then asks as any other.

use std::sync::Arc;

use rayon::prelude::*;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::columnar::{Block, TIME};
use crate::error::{Error, Result};
use crate::fields::{FieldSet, FieldType, is_system};
use crate::limits;
use crate::query::budget::{Budget, Held};
use crate::query::expression::{BinaryOp, Expr};
use crate::query::language::{Item, Query, Range};
use crate::query::plan::{Names, with_range};
use crate::query::sequences::people::{Joined, Numbered};
use crate::query::sequences::scan::Scan;
use crate::query::sequences::trails::{Event, Found, Trails};
use crate::store::snapshot::{Dataset, TailBlock};
use crate::time::{Calendar, DAY, MINUTE, SECOND};
use crate::value::Value;

/// What sessions are made of.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// Whose they are, and what that column is called.
    pub by: Item,
    /// A session ends where nothing comes for longer than this, µs.
    pub gap_us: i64,
    /// What is a page; null is none.
    pub page: Option<Expr>,
    /// Events that sessions are made of.
    pub filter: Option<Expr>,
}

/// The gap where none is said.
pub const GAP_US: i64 = 30 * MINUTE;

/// When a session began: its `_time` too, and with its name for those who read it.
const START: &str = "start";

/// The columns of a session beside whose it is, in their order; those after `bounce` are there with a page.
const COLUMNS: [&str; 8] = [START, "end", "duration_s", "events", "bounce", "pages", "entry", "exit"];

/// Sessions as a dataset.
#[derive(Debug)]
pub struct Built {
    /// A row a session, in order of their start.
    pub dataset: Dataset,
    /// Events looked at for it.
    pub rows_scanned: u64,
    /// Segments that they are of; the tail is one.
    pub segments: u64,
    held: Held,
}

impl Built {
    /// The dataset, and the memory that it holds.
    pub fn into_dataset(self) -> (Dataset, Held) {
        (self.dataset, self.held)
    }
}

/// One session.
#[derive(Debug, Clone, Copy)]
struct Session {
    whose: u32,
    start: i64,
    end: i64,
    /// `_seq` of its first event.
    seq: i64,
    events: u32,
    pages: u32,
    entry: u32,
    exit: u32,
}

/// The sessions that a query may be about: those that start in its range.
///
/// # Errors
/// Names and types; as the scan; `TooLarge` where they are too many.
pub fn build(sessions: &Sessions, query: &Query, source: &Dataset, budget: &Arc<Budget>) -> Result<Built> {
    let plan = Plan::of(sessions, query, source)?;
    let (from, to) = (plan.starts.from.unwrap_or(i64::MIN), plan.starts.to.unwrap_or(i64::MAX));
    let last = source.time_range().map_or(i64::MIN, |(_, last)| last);
    // whoever had an event within the gap before the range does not begin in it; one who did begin may go on after it,
    // and the later events are read in growing steps until none that began does
    let mut beyond = plan.gap_us.max(DAY);
    loop {
        let until = to.saturating_add(beyond);
        let condition = with_range(
            plan.filter.clone(),
            &Range {
                from: plan.starts.from.map(|from| from.saturating_sub(plan.gap_us)),
                to: (until <= last).then_some(until),
                step: None,
            },
        );
        let scan = Scan::new(source, condition.as_ref(), plan.calendar, Arc::clone(budget))?;
        let (mut found, people, pages) = scan.ask(|| plan.read(&scan, from, to))?;
        let goes_on = |session: &Session| session.end.saturating_add(plan.gap_us) >= until;
        if until <= last && found.iter().any(goes_on) {
            beyond = beyond.saturating_mul(4);
            continue;
        }
        found.par_sort_unstable_by_key(|session| (session.start, session.seq));
        let (rows_scanned, segments) = scan.looked_at();
        let mut held = budget.hold();
        held.set(found.len() * size_of::<Session>())?;
        let dataset = plan.dataset(&found, &people, pages.as_ref());
        return Ok(Built { dataset, rows_scanned, segments, held });
    }
}

/// Sessions of one dataset, names resolved.
struct Plan<'a> {
    source: &'a Dataset,
    calendar: &'a Calendar,
    by: Expr,
    by_name: Arc<str>,
    gap_us: i64,
    page: Option<Expr>,
    filter: Option<Expr>,
    /// Where the sessions start that count.
    starts: Range,
}

impl<'a> Plan<'a> {
    fn of(sessions: &Sessions, query: &'a Query, source: &'a Dataset) -> Result<Self> {
        let names = Names { fields: source, calendar: &query.calendar };
        let by = names.resolve(sessions.by.expression.clone())?;
        let by_name = match (&by, &sessions.by.expression) {
            // a field has its own name, however it was written
            (Expr::Column(field), Expr::Column(written)) if *written == sessions.by.name => field.as_str(),
            _ => sessions.by.name.as_str(),
        };
        if COLUMNS.contains(&by_name) || is_system(by_name) {
            return Err(Error::invalid(format!(
                "/sessions/by: sessions have a column \"{by_name}\" of their own; give this one another name, as in \
                 \"{by_name} as visitor\""
            )));
        }
        let by_name = by_name.into();
        let page = sessions.page.clone().map(|page| names.resolve(page)).transpose()?;
        let filter = sessions.filter.clone().map(|e| names.condition(e, "/sessions/where:")).transpose()?;
        let (calendar, gap_us, starts) = (&query.calendar, sessions.gap_us, starts(query));
        Ok(Self { source, calendar, by, by_name, gap_us, page, filter, starts })
    }

    /// The sessions that start from one instant on and before another, in any order, with whose they are and the pages.
    fn read(&self, scan: &Scan<'_>, from: i64, to: i64) -> Result<(Vec<Session>, Joined, Option<Joined>)> {
        let by = scan.numbered(&self.by)?;
        let page = self.page.as_ref().map(|page| scan.numbered(page)).transpose()?;
        let runs = scan.each_run(
            || (page.as_ref().map(Numbered::start), Found::<u32>::new(&by)),
            |(pages, found), rows| {
                let numbers = pages.as_mut().map(|pages| pages.of(rows)).transpose()?;
                found.add(scan, rows, |row| numbers.as_ref().map_or(0, |numbers| numbers.of(row)))
            },
        )?;
        let (pages, runs): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        let pages = page.as_ref().map(|page| page.join(pages.into_iter().flatten())).transpose()?;
        let translate = |run, page| pages.as_ref().map_or(0, |pages| pages.translate(run, page));
        let trails = Trails::of(&by, runs, translate)?;
        let found = self.cut(&trails, pages.as_ref().and_then(Joined::null), from, to)?;
        Ok((found, trails.people, pages))
    }

    fn cut(&self, trails: &Trails<u32>, no_page: Option<u32>, from: i64, to: i64) -> Result<Vec<Session>> {
        let is_near = |a: &Event<u32>, b: &Event<u32>| b.time.saturating_sub(a.time) <= self.gap_us;
        let found = trails.walk(Vec::new, |found, trail| {
            let sessions = trail.chunk_by(is_near).filter(|events| (from..to).contains(&events[0].time));
            found.extend(sessions.map(|events| Session::of(events, no_page)));
            check_count(found.len())
        })?;
        check_count(found.iter().map(Vec::len).sum())?;
        Ok(found.into_iter().flatten().collect())
    }

    fn dataset(&self, sessions: &[Session], people: &Joined, pages: Option<&Joined>) -> Dataset {
        let numbers = |number: fn(&Session) -> u32| sessions.iter().map(number).collect::<Vec<u32>>();
        let whose = people.column(&numbers(|session| session.whose));
        let mut columns = vec![(Arc::clone(&self.by_name), whose)];
        columns.extend(of_sessions(sessions, pages.is_some()));
        if let Some(pages) = pages {
            columns.push(("entry".into(), pages.column(&numbers(|session| session.entry))));
            columns.push(("exit".into(), pages.column(&numbers(|session| session.exit))));
        }
        // without a session they are known all the same
        let mut fields = FieldSet::default();
        for (name, column) in &columns {
            fields.add(name, column.kinds());
        }
        let starts: Vec<i64> = sessions.iter().map(|session| session.start).collect();
        columns.push((TIME.into(), Column::times(&starts)));
        let columns = columns.into_iter().map(|(name, column)| (name, Arc::new(column))).collect();
        let all = Block::new(sessions.len(), columns);
        let rows: Vec<u32> = (0..sessions.len() as u32).collect();
        let block =
            |rows: &[u32]| TailBlock { first_seq: 1 + i64::from(rows[0]), block: Arc::new(all.take(rows)) };
        Dataset {
            time_field: Some(START.into()),
            fields: Arc::new(fields),
            next_seq: 1 + sessions.len() as i64,
            tail: rows.chunks(limits::TAIL_BLOCK_ROWS).map(block).collect(),
            ..Dataset::new(format!("sessions({})", self.source.name).into())
        }
    }
}

impl Session {
    /// The session of some events, one at least.
    fn of(events: &[Event<u32>], no_page: Option<u32>) -> Self {
        let pages = || events.iter().map(|event| event.what).filter(|page| Some(*page) != no_page);
        let (first, last) = (events[0], events[events.len() - 1]);
        Self {
            whose: first.number,
            start: first.time,
            end: last.time,
            seq: first.seq,
            events: events.len() as u32,
            pages: pages().count() as u32,
            entry: pages().next().or(no_page).unwrap_or(0),
            exit: pages().next_back().or(no_page).unwrap_or(0),
        }
    }
}

fn check_count(sessions: usize) -> Result<()> {
    if sessions > limits::SESSIONS {
        return Err(Error::TooLarge(format!(
            "there are more than {} sessions; take a shorter range, a longer gap, or fewer events by \"where\" within \
             \"sessions\"",
            limits::SESSIONS
        )));
    }
    Ok(())
}

/// The columns that are numbers, times and bools.
fn of_sessions(sessions: &[Session], has_pages: bool) -> Vec<(Arc<str>, Column)> {
    let integers = |number: &dyn Fn(&Session) -> i64| {
        Ints::from_values(&sessions.iter().map(number).collect::<Vec<i64>>())
    };
    let column = |data| Column::new(sessions.len(), None, data);
    let seconds = sessions.iter().map(|session| (session.end - session.start) as f64 / SECOND as f64);
    // one page and no more; where there are none, one event
    let is_bounce = |session: &Session| if has_pages { session.pages <= 1 } else { session.events == 1 };
    let bounces = Bitmap::from_fn(sessions.len(), |row| is_bounce(&sessions[row]));
    let mut columns = vec![
        (START.into(), column(Data::Time(integers(&|session| session.start)))),
        ("end".into(), column(Data::Time(integers(&|session| session.end)))),
        ("duration_s".into(), column(Data::Float { values: seconds.collect(), whole: None })),
        ("events".into(), column(Data::Int(integers(&|session| i64::from(session.events))))),
        ("bounce".into(), column(Data::Bool(bounces))),
    ];
    if has_pages {
        columns.push(("pages".into(), column(Data::Int(integers(&|session| i64::from(session.pages))))));
    }
    columns
}

/// Where the sessions that a query is about start: its range, with the period before it where it compares them, and what
/// its condition says of `_time` and `start`.
fn starts(query: &Query) -> Range {
    let mut range = query.range;
    if query.compare {
        range.from = range.before(&query.calendar).and_then(|before| before.from).or(range.from);
        return range;
    }
    if let Some(filter) = &query.filter {
        narrow(&mut range, filter, &query.calendar);
    }
    range
}

fn narrow(range: &mut Range, condition: &Expr, calendar: &Calendar) {
    let Expr::Binary(op, left, right) = condition else { return };
    if *op == BinaryOp::And {
        narrow(range, left, calendar);
        narrow(range, right, calendar);
        return;
    }
    let is_start = |e: &Expr| matches!(e, Expr::Column(name) if name == TIME || name == START);
    let instant = |e: &Expr| match e {
        Expr::Literal(Value::Time(us)) => Some(*us),
        Expr::Literal(Value::Text(text)) => calendar.read(text).ok().flatten(),
        Expr::Cast(inner, FieldType::Time) => match &**inner {
            Expr::Literal(Value::Text(text)) => calendar.read(text).ok().flatten(),
            _ => None,
        },
        _ => None,
    };
    let (op, us) = match (is_start(left), instant(right), instant(left), is_start(right)) {
        (true, Some(us), ..) => (*op, us),
        (_, _, Some(us), true) => match op {
            BinaryOp::Lt => (BinaryOp::Gt, us),
            BinaryOp::LtEq => (BinaryOp::GtEq, us),
            BinaryOp::Gt => (BinaryOp::Lt, us),
            BinaryOp::GtEq => (BinaryOp::LtEq, us),
            _ => return,
        },
        _ => return,
    };
    match op {
        // a bound that is not quite as narrow as it might be leaves the rest to the condition itself
        BinaryOp::Gt | BinaryOp::GtEq => range.from = Some(range.from.map_or(us, |from| from.max(us))),
        BinaryOp::Lt | BinaryOp::LtEq => {
            let end = us.saturating_add(1);
            range.to = Some(range.to.map_or(end, |to| to.min(end)));
        }
        _ => {}
    }
}
