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

/// What is known of an event: the number of its step, and whether it may be an anchor, in the lowest bit. Numbers stay
/// far below the 31 bits that are left.
#[derive(Debug, Clone, Copy, Default)]
struct Step(u32);

impl Step {
    fn new(number: u32, is_anchor: bool) -> Self {
        Self(number << 1 | u32::from(is_anchor))
    }

    fn number(self) -> u32 {
        self.0 >> 1
    }

    fn is_anchor(self) -> bool {
        self.0 & 1 == 1
    }
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
                let numbers = steps.of(rows)?;
                let anchors = rows.matching(anchor.iter())?.pop();
                let is_anchor = |row: usize| anchors.as_ref().is_some_and(|bits| bits.get(row));
                found.add(scan, rows, |row| Step::new(numbers.of(row), is_anchor(row)))
            },
        )?;
        let (steps, runs): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        let steps = step.join(steps)?;
        let translate = |run, step: Step| Step::new(steps.translate(run, step.number()), step.is_anchor());
        let counts = self.counts(&Trails::of(&by, runs, translate)?, steps.null())?;
        Ok((vec![("path", "strings"), ("count", "int")], self.rows(counts, &steps)))
    }

    fn counts(&self, trails: &Trails<Step>, no_step: Option<u32>) -> Result<Counts> {
        let begin = || (Counts::default(), Vec::with_capacity(self.depth));
        let found = trails.walk(begin, |(counts, path), trail| {
            if self.path(trail, no_step, path) {
                count(counts, path, 1)?;
            }
            Ok(())
        })?;
        let mut found = found.into_iter().map(|(counts, _)| counts);
        let mut all = found.next().unwrap_or_default();
        for (path, times) in found.flatten() {
            count(&mut all, &path, times)?;
        }
        Ok(all)
    }

    /// Writes the path of a trail; false where it has none.
    fn path(&self, trail: &[Event<Step>], no_step: Option<u32>, path: &mut Vec<u32>) -> bool {
        path.clear();
        let anchor = self.anchor.as_ref().map(|anchor| anchor.side);
        let at = trail.iter().position(|event| event.what.is_anchor());
        let is_step = |number: &u32| Some(*number) != no_step;
        let number = |event: &Event<Step>| event.what.number();
        match (anchor, at) {
            (None, _) => self.take(trail.iter().map(number).filter(is_step), path),
            (Some(Side::After), Some(at)) => {
                self.take(trail[at + 1..].iter().map(number).filter(is_step), path);
            }
            (Some(Side::Before), Some(at)) => {
                self.take(trail[..at].iter().rev().map(number).filter(is_step), path);
                path.reverse();
            }
            (Some(_), None) => return false,
        }
        // someone without a step has no path, but where nothing goes before an anchor or follows it, that is one
        anchor.is_some() || !path.is_empty()
    }

    fn take(&self, steps: impl Iterator<Item = u32>, path: &mut Vec<u32>) {
        for number in steps {
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

/// Counts a path so many times more.
fn count(counts: &mut Counts, path: &[u32], times: u64) -> Result<()> {
    if let Some(count) = counts.get_mut(path) {
        *count += times;
        return Ok(());
    }
    if counts.len() == limits::PATHS {
        return Err(Error::TooLarge(format!(
            "there are more than {} different paths; take a smaller depth or coarser steps, or narrow the question with \
             where or range",
            limits::PATHS
        )));
    }
    counts.insert(path.into(), times);
    Ok(())
}
