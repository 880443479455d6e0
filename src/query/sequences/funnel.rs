//! Funnels: how many get how far through some steps, in their order. Each step is one pass over the events that match
//! it, with the time of the step before at hand by number; strict ones walk along whole trails.

use crate::columnar::bitmap::Bitmap;
use crate::error::Result;
use crate::query::expression::Expr;
use crate::query::language::Item;
use crate::query::plan::Names;
use crate::query::sequences::people::Numbered;
use crate::query::sequences::scan::Scan;
use crate::query::sequences::trails::{Event, Found, Trails};
use crate::query::sequences::{Table, rate};
use crate::time::SECOND;
use crate::value::Value;

/// What is asked of a funnel.
#[derive(Debug, Clone)]
pub struct Funnel {
    /// The steps: conditions with names, `limits::FUNNEL_STEPS` at most.
    pub steps: Vec<Item>,
    /// µs that all steps must lie within, counted from the first; `None`: any time.
    pub within_us: Option<i64>,
    /// Whether nothing else may lie between two steps.
    pub strict: bool,
}

/// Later than every event: who has not reached a step.
const NEVER: i64 = i64::MAX;

/// Whose event matches a step, by number, and its time.
type Match = (u32, i64);

/// For each step how long those who reached it took from the first, µs, in any order.
type Reached = Vec<Vec<i64>>;

impl Funnel {
    /// A row a step: how many reached it, as parts of the first and the one before, and the median time from the first.
    ///
    /// # Errors
    /// Steps that are no conditions; as the scan.
    pub(super) fn answer(&self, by: &Expr, names: &Names<'_>, scan: &Scan<'_>) -> Result<Table> {
        let place = |at: usize| format!("/steps/{at}:");
        let steps = self.steps.iter().enumerate();
        let steps: Vec<Expr> = steps
            .map(|(at, step)| names.condition(step.expression.clone(), &place(at)))
            .collect::<Result<_>>()?;
        let by = scan.numbered(by)?;
        let reached = match self.strict {
            true => self.strict(&by, &steps, scan)?,
            false => self.in_order(&by, &steps, scan)?,
        };
        let counts: Vec<u64> = reached.iter().map(|times| times.len() as u64).collect();
        let row = |(at, times): (usize, Vec<i64>)| {
            let before = at.checked_sub(1).map(|before| counts[before]);
            vec![
                Value::text(self.steps[at].name.as_str()),
                Value::Int(counts[at] as i64),
                rate(counts[at], counts[0]),
                before.map_or(Value::Null, |before| rate(counts[at], before)),
                if at == 0 { Value::Null } else { median_seconds(times) },
            ]
        };
        let columns = vec![
            ("step", "string"),
            ("count", "int"),
            ("rate", "float"),
            ("rate_from_previous", "float"),
            ("median_seconds", "float"),
        ];
        Ok((columns, reached.into_iter().enumerate().map(row).collect()))
    }

    /// The earliest match of the first step, then the earliest strictly later match of each next.
    fn in_order(&self, by: &Numbered<'_>, steps: &[Expr], scan: &Scan<'_>) -> Result<Reached> {
        let runs = scan.each_run(
            || (by.start(), vec![Vec::<Match>::new(); steps.len()]),
            |(people, matches), rows| {
                let bits = rows.matching(steps.iter())?;
                let any = any_of(&bits, rows.count());
                let rows = rows.only(&any);
                if rows.count() == 0 {
                    return Ok(());
                }
                let (numbers, times) = (people.of(&rows)?, rows.times()?);
                let nobody = people.null();
                for (bits, matches) in bits.iter().zip(matches) {
                    let before = matches.len();
                    for (place, row) in any.ones().enumerate() {
                        if bits.get(row) && Some(numbers.of(place)) != nobody {
                            matches.push((numbers.of(place), times[place]));
                        }
                    }
                    scan.hold((matches.len() - before) * size_of::<Match>())?;
                }
                Ok(())
            },
        )?;
        let (people, matches): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        let people = by.join(people)?;
        let each = |step: usize, act: &mut dyn FnMut(usize, i64)| {
            for (run, matches) in matches.iter().enumerate() {
                matches[step]
                    .iter()
                    .for_each(|(number, time)| act(people.translate(run, *number) as usize, *time));
            }
        };
        // those who begin are few among all that there are: what is known of them lies close together
        scan.hold(people.count() * size_of::<u32>())?;
        let (mut places, mut first) = (vec![u32::MAX; people.count()], Vec::new());
        each(0, &mut |number, time| match first.get_mut(places[number] as usize) {
            Some(first) => *first = time.min(*first),
            None => {
                places[number] = first.len() as u32;
                first.push(time);
            }
        });
        let within = self.within_us.unwrap_or(NEVER);
        let mut reached = vec![vec![0; first.len()]];
        let mut last = first.clone();
        for step in 1..steps.len() {
            let mut next = vec![NEVER; first.len()];
            each(step, &mut |number, time| {
                let place = places[number] as usize;
                if last.get(place).is_some_and(|last| time > *last) {
                    next[place] = time.min(next[place]);
                }
            });
            // the earliest match may be too late; then every other is, and so are all further steps
            next.iter_mut().zip(&first).for_each(|(time, first)| {
                if *time > first.saturating_add(within) {
                    *time = NEVER;
                }
            });
            let took = next.iter().zip(&first).filter(|(time, _)| **time != NEVER);
            reached.push(took.map(|(time, first)| time - first).collect());
            last = next;
        }
        Ok(reached)
    }

    fn strict(&self, by: &Numbered<'_>, steps: &[Expr], scan: &Scan<'_>) -> Result<Reached> {
        let runs = scan.each_run(
            || Found::<u64>::new(by),
            |found, rows| {
                let bits = rows.matching(steps.iter())?;
                let mask = |row| bits.iter().rev().fold(0, |mask, bits| mask << 1 | u64::from(bits.get(row)));
                found.add(scan, rows, mask)
            },
        )?;
        let trails = Trails::of(by, runs, |_, mask| mask)?;
        let none = || vec![Vec::new(); steps.len()];
        let found = trails.walk(none, |reached: &mut Reached, trail| {
            reached.iter_mut().zip(self.farthest(trail)).for_each(|(reached, took)| reached.push(took));
            Ok(())
        })?;
        let mut reached = none();
        for more in found {
            reached.iter_mut().zip(more).for_each(|(reached, more)| reached.extend(more));
        }
        Ok(reached)
    }

    /// The attempt on a trail that gets farthest, the earliest of these: how long it took to each step it reached. One
    /// begins at every match of the first step and goes on from instant to instant, as long as each has a match of the
    /// next step.
    fn farthest(&self, trail: &[Event<u64>]) -> Vec<i64> {
        let instants: Vec<(i64, u64)> = trail
            .chunk_by(|a, b| a.time == b.time)
            .map(|same| (same[0].time, same.iter().fold(0, |mask, event| mask | event.what)))
            .collect();
        let within = self.within_us.unwrap_or(NEVER);
        // bit k: an attempt has just reached step k; it began k instants ago, since none may be left out
        let (mut going, mut best) = (0u64, (0, 0));
        for (at, (time, mask)) in instants.iter().enumerate() {
            going = (going << 1 | 1) & mask;
            while going != 0 {
                let farthest = going.ilog2() as usize;
                if *time > instants[at - farthest].0.saturating_add(within) {
                    going ^= 1 << farthest;
                    continue;
                }
                if farthest + 1 > best.1 {
                    best = (at - farthest, farthest + 1);
                }
                break;
            }
        }
        let (begin, steps) = best;
        instants[begin..begin + steps].iter().map(|(time, _)| time - instants[begin].0).collect()
    }
}

fn any_of(bits: &[Bitmap], rows: usize) -> Bitmap {
    let mut any = Bitmap::filled(rows, false);
    bits.iter().for_each(|bits| any.or(bits));
    any
}

/// The ⌈n/2⌉-th smallest, as `median` means it everywhere.
fn median_seconds(mut times: Vec<i64>) -> Value {
    let Some(middle) = times.len().div_ceil(2).checked_sub(1) else { return Value::Null };
    let (_, median, _) = times.select_nth_unstable(middle);
    Value::Float(*median as f64 / SECOND as f64)
}
