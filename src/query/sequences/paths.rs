//! Paths: the ways that are taken. Of each the first few steps in the order of time, from its first event or from one
//! that a condition names, forwards or backwards; equal paths are counted together.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::columnar::column::Data;
use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::limits;
use crate::query::expression::Expr;
use crate::query::plan::Names;
use crate::query::sequences::Table;
use crate::query::sequences::people::Joined;
use crate::query::sequences::scan::Scan;
use crate::query::sequences::trails::{Event, Found, Trails};
use crate::query::sort::keep_first;
use crate::value::Value;

/// What is asked of paths.
#[derive(Debug, Clone)]
pub struct Paths {
    /// What a step is called; an event where it is null is none.
    pub step: Expr,
    /// The event that paths begin after or end before; `None`: they begin with the first.
    pub anchor: Option<Anchor>,
    /// Steps of a path at most.
    pub depth: usize,
    /// Whether equal steps that follow each other are one.
    pub collapse: bool,
    /// Paths of the answer at most, the most frequent ones.
    pub limit: usize,
}

/// The first event of someone's that a condition is true for.
#[derive(Debug, Clone)]
pub struct Anchor {
    /// Whether paths are what follows it, or what goes before it.
    pub side: Side,
    /// Which event it is.
    pub condition: Expr,
}

/// Where paths lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// After the anchor.
    After,
    /// Before it.
    Before,
}

/// What is known of an event.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    /// The number of its step.
    number: u32,
    /// Whether it has one.
    is_step: bool,
    is_anchor: bool,
}

/// How often each path was taken, by the numbers of its steps.
type Counts = HashMap<Box<[u32]>, u64, FixedState>;

impl Paths {
    /// A row a path, the most frequent first, equally frequent ones by their steps.
    ///
    /// # Errors
    /// Names and types; as the scan; `TooLarge` where there are too many different paths.
    pub(super) fn answer(&self, by: &Expr, names: &Names<'_>, scan: &Scan<'_>) -> Result<Table> {
        // a path is a list of texts: 7 and '7' are one step
        let step = match names.resolve(self.step.clone())? {
            step if names.type_of(&step) == Some(FieldType::String) => step,
            other => Expr::Cast(Box::new(other), FieldType::String),
        };
        let anchor = self.anchor.as_ref().map(|anchor| {
            let place = if anchor.side == Side::After { "/after:" } else { "/before:" };
            names.condition(anchor.condition.clone(), place)
        });
        let anchor = anchor.transpose()?;
        let (by, step) = (scan.numbered(by)?, scan.numbered(&step)?);
        let runs = scan.each_run(
            || (step.start(), Found::<Step>::new(&by)),
            |(steps, found), rows| {
                let (numbers, none) = (steps.of(rows)?, steps.null());
                let anchors = rows.matching(anchor.iter())?.pop();
                let is_anchor = |row: usize| anchors.as_ref().is_some_and(|bits| bits.get(row));
                found.add(scan, rows, |row| {
                    let number = numbers.of(row);
                    Step { number, is_step: Some(number) != none, is_anchor: is_anchor(row) }
                })
            },
        )?;
        let (steps, runs): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        let steps = step.join(steps)?;
        let translate = |run, step: Step| Step { number: steps.translate(run, step.number), ..step };
        let counts = self.counts(&Trails::of(&by, runs, translate)?)?;
        Ok((vec![("path", "strings"), ("count", "int")], self.rows(counts, &steps)))
    }

    fn counts(&self, trails: &Trails<Step>) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut path = Vec::with_capacity(self.depth);
        for (_, trail) in trails.iter() {
            if !self.walk(trail, &mut path) {
                continue;
            }
            match counts.get_mut(path.as_slice()) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(path.as_slice().into(), 1);
                }
            }
            if counts.len() > limits::PATHS {
                return Err(Error::TooLarge(format!(
                    "there are more than {} different paths; take a smaller depth or coarser steps, or narrow the question \
                     with where or range",
                    limits::PATHS
                )));
            }
        }
        Ok(counts)
    }

    /// Writes the path of a trail; false where it has none.
    fn walk(&self, trail: &[Event<Step>], path: &mut Vec<u32>) -> bool {
        path.clear();
        let anchor = self.anchor.as_ref().map(|anchor| anchor.side);
        let at = trail.iter().position(|event| event.what.is_anchor);
        match (anchor, at) {
            (None, _) => self.take(trail.iter(), path),
            (Some(Side::After), Some(at)) => self.take(trail[at + 1..].iter(), path),
            (Some(Side::Before), Some(at)) => {
                self.take(trail[..at].iter().rev(), path);
                path.reverse();
            }
            (Some(_), None) => return false,
        }
        // someone without a step has no path, but where nothing goes before an anchor or follows it, that is one
        anchor.is_some() || !path.is_empty()
    }

    fn take<'a>(&self, events: impl Iterator<Item = &'a Event<Step>>, path: &mut Vec<u32>) {
        for number in events.filter(|event| event.what.is_step).map(|event| event.what.number) {
            if self.collapse && path.last() == Some(&number) {
                continue;
            }
            if path.len() == self.depth {
                return;
            }
            path.push(number);
        }
    }

    fn rows(&self, counts: Counts, steps: &Joined) -> Vec<Vec<Value>> {
        let mut counts: Vec<(Box<[u32]>, u64)> = counts.into_iter().collect();
        let all: Vec<u32> = (0..steps.count() as u32).collect();
        let column = steps.column(&all);
        let (mut texts, mut ranks) = (None, Vec::new());
        if let Data::Text(found) = &column.data {
            // codes are in the order of the texts
            ranks = found.codes.iter().collect();
            texts = Some(found);
        }
        let rank = |step: &u32| ranks.get(*step as usize);
        let by_steps = |a: &[u32], b: &[u32]| a.iter().map(rank).cmp(b.iter().map(rank));
        keep_first(&mut counts, self.limit, |a, b| b.1.cmp(&a.1).then_with(|| by_steps(&a.0, &b.0)));
        let text = |step: &u32| texts.map_or_else(|| "".into(), |texts| texts.get(*step as usize).into());
        let path = |numbers: &[u32]| Value::List(numbers.iter().map(text).collect());
        counts.iter().map(|(numbers, count)| vec![path(numbers), Value::Int(*count as i64)]).collect()
    }
}
