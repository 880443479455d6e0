//! The rows that count, part by part. A condition is taken apart at its ANDs: what the zones decide is not evaluated,
//! the cheapest is evaluated first, and the columns of the others are read only where rows are left.

use std::sync::Arc;

use rayon::prelude::*;

use crate::columnar::bitmap::Bitmap;
use crate::error::Result;
use crate::query::expression::{BinaryOp, Expr};
use crate::query::functions::Context;
use crate::query::plan::add_columns;
use crate::query::prune::{self, Verdict};
use crate::query::vector;
use crate::query::view::View;
use crate::store::part::{Part, Stored, Zone, Zones};
use crate::store::snapshot::Dataset;

/// A condition, ready to be asked of parts.
#[derive(Debug)]
pub struct Filter<'a> {
    condition: Option<&'a Expr>,
    steps: Vec<Step<'a>>,
    /// Steps up to the last one that may fail: faults count in rows that no step before has decided, so up to there
    /// rows whose outcome is unknown go along.
    careful: usize,
}

/// One of the conditions that an AND joins.
#[derive(Debug)]
struct Step<'a> {
    condition: &'a Expr,
    names: Vec<Arc<str>>,
    may_fail: bool,
    /// A comparison of a column with a constant.
    is_simple: bool,
}

impl<'a> Filter<'a> {
    /// A filter by a condition; without one all rows count.
    pub fn new(condition: Option<&'a Expr>) -> Self {
        let mut joined = Vec::new();
        if let Some(condition) = condition {
            take_apart(condition, &mut joined);
        }
        let mut steps: Vec<Step<'a>> = joined
            .into_iter()
            .map(|condition| {
                let mut names = Vec::new();
                add_columns(condition, &mut names);
                Step { condition, names, may_fail: may_fail(condition), is_simple: cost(condition) <= 3 }
            })
            .collect();
        // only among those that cannot fail: a step put before one that can would hide its faults, or bring new ones
        for run in steps.chunk_by_mut(|a, b| !a.may_fail && !b.may_fail) {
            run.sort_by_key(|step| cost(step.condition));
        }
        let careful = steps.iter().rposition(|step| step.may_fail).map_or(0, |last| last + 1);
        Self { condition, steps, careful }
    }

    /// What zones tell of it.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn verdict(&self, zones: &impl Zones) -> Result<Verdict> {
        self.condition.map_or(Ok(Verdict::Always), |condition| prune::verdict(condition, zones))
    }

    /// The conditions that are joined by AND, each with the columns that it reads.
    pub fn conditions(&self) -> impl Iterator<Item = (&'a Expr, &[Arc<str>])> {
        self.steps.iter().map(|step| (step.condition, step.names.as_slice()))
    }

    /// The parts of a dataset that may hold rows that count, in order.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn parts(&self, dataset: &Dataset) -> Result<Vec<Part>> {
        let mut runs = Vec::new();
        for source in dataset.sources() {
            match self.first_verdict(dataset, &source)? {
                Verdict::Never => {}
                Verdict::Always => runs.extend(source.runs()),
                Verdict::Maybe => {
                    for run in source.runs() {
                        if self.first_verdict(dataset, &run)? != Verdict::Never {
                            runs.push(run);
                        }
                    }
                }
            }
        }
        if dataset.within.is_none() {
            return runs.into_iter().map(|run| dataset.part(run)).collect();
        }
        let part = |run: Stored| {
            let part = dataset.part(run)?;
            // what is left depends on nothing but rows that are there
            Ok((part.rows() > 0 && self.safe_verdict(&part)? != Verdict::Never).then_some(part))
        };
        let parts: Vec<Option<Part>> = runs.into_par_iter().map(part).collect::<Result<_>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// What zones tell that are of all rows that are stored. Where only some of these are there, it may make a difference
    /// to nothing but time: texts decide nothing, of which less is told for some rows.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn first_verdict(&self, dataset: &Dataset, zones: &impl Zones) -> Result<Verdict> {
        if dataset.within.is_none() {
            return self.verdict(zones);
        }
        self.safe_verdict(&Numbers(zones))
    }

    /// What zones tell of the conditions before the first that may fail: rows that these rule out meet no fault anyway, so
    /// it makes no difference to one which rows lie together.
    fn safe_verdict(&self, zones: &impl Zones) -> Result<Verdict> {
        for step in self.steps.iter().take_while(|step| !step.may_fail) {
            if prune::verdict(step.condition, zones)? == Verdict::Never {
                return Ok(Verdict::Never);
            }
        }
        Ok(Verdict::Maybe)
    }

    /// Whether there may be rows for which it is an error.
    pub fn may_fail(&self) -> bool {
        self.careful > 0
    }

    /// The rows of a part that count.
    ///
    /// # Errors
    /// As the condition, and columns that are damaged or cannot be read.
    pub fn rows(&self, dataset: &Dataset, part: &Part, context: &Context) -> Result<Bitmap> {
        let all = part.rows();
        let mut holds = Bitmap::filled(all, true);
        // without a step that may fail no one asks for it
        let mut undecided = if self.careful > 0 { holds.clone() } else { Bitmap::filled(0, true) };
        for (at, step) in self.steps.iter().enumerate() {
            let is_asked = step.may_fail && part.is_bound();
            if !is_asked && prune::verdict(step.condition, part)? == Verdict::Always {
                continue;
            }
            let asked = if at < self.careful { &undecided } else { &holds };
            let count = asked.count_ones();
            if count == 0 {
                return Ok(Bitmap::filled(all, false));
            }
            // a kernel goes through all rows in less time than it takes to pick some
            let takes_all = count == all || !step.may_fail && (step.is_simple || count > all / 4);
            let picked: Option<Vec<u32>> = (!takes_all).then(|| asked.rows());
            let view = View::columns(dataset, part, &step.names, picked.as_deref())?;
            let (mut is_true, mut is_false) = vector::truth(step.condition, &view, context)?;
            if let Some(picked) = &picked {
                (is_true, is_false) = (scattered(&is_true, picked, all), scattered(&is_false, picked, all));
            }
            holds.and(&is_true);
            if self.careful > 0 {
                is_false.invert();
                undecided.and(&is_false);
            }
        }
        Ok(holds)
    }
}

/// Zones without those of texts.
struct Numbers<'z, Z>(&'z Z);

impl<Z: Zones> Zones for Numbers<'_, Z> {
    fn zone(&self, name: &str) -> Result<Zone> {
        Ok(match self.0.zone(name)? {
            Zone::Texts { .. } => Zone::Unknown,
            other => other,
        })
    }

    fn seqs(&self) -> Result<(i64, i64)> {
        self.0.seqs()
    }
}

fn take_apart<'a>(condition: &'a Expr, joined: &mut Vec<&'a Expr>) {
    match condition {
        Expr::Binary(BinaryOp::And, a, b) => {
            take_apart(a, joined);
            take_apart(b, joined);
        }
        other => joined.push(other),
    }
}

/// The bits of some rows at their places among all.
pub(super) fn scattered(bits: &Bitmap, rows: &[u32], all: usize) -> Bitmap {
    let mut words = vec![0u64; all.div_ceil(64)];
    for at in bits.ones() {
        let row = rows[at] as usize;
        words[row / 64] |= 1 << (row % 64);
    }
    Bitmap::from_words(words, all).unwrap_or_else(|| Bitmap::filled(all, false))
}

/// Whether there may be a row for which a condition is an error. What is not known to be safe may fail.
pub fn may_fail(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(_) | Expr::Column(_) => false,
        Expr::Not(a) | Expr::IsNull(a) | Expr::Cast(a, _) => may_fail(a),
        Expr::Binary(op, a, b) => {
            let is_safe = matches!(
                op,
                BinaryOp::Eq
                    | BinaryOp::NotEq
                    | BinaryOp::Lt
                    | BinaryOp::LtEq
                    | BinaryOp::Gt
                    | BinaryOp::GtEq
                    | BinaryOp::And
                    | BinaryOp::Or
                    | BinaryOp::Distinct
            );
            !is_safe || may_fail(a) || may_fail(b)
        }
        Expr::In(operand, list) => may_fail(operand) || list.iter().any(may_fail),
        Expr::Like { operand, pattern, escape: None, .. } => {
            may_fail(operand) || !matches!(**pattern, Expr::Literal(_))
        }
        _ => true,
    }
}

/// How much work a condition is, and how few rows it leaves, roughly: an order, not a measure.
fn cost(condition: &Expr) -> u32 {
    match condition {
        Expr::Literal(_) => 0,
        Expr::Column(_) | Expr::IsNull(_) => 3,
        Expr::Binary(op, a, b) => match (&**a, &**b) {
            (Expr::Column(_), Expr::Literal(_)) | (Expr::Literal(_), Expr::Column(_)) => match op {
                BinaryOp::Eq => 1,
                BinaryOp::NotEq => 3,
                _ => 2,
            },
            (a, b) => 4 + cost(a) + cost(b),
        },
        Expr::In(operand, list) => 2 + cost(operand) + list.len() as u32 / 8,
        Expr::Not(inner) => 1 + cost(inner),
        _ => 8,
    }
}
