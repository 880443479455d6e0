//! What zones tell of a condition before a value is read: that no row can satisfy it, or that every row does. A
//! segment or block where none can is not touched; a condition that holds throughout is not evaluated there.

use crate::columnar::TIME;
use crate::error::Result;
use crate::query::expression::{BinaryOp, Expr};
use crate::query::scalar;
use crate::store::part::{Zone, Zones};
use crate::value::Value;

/// For how many rows a condition is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// For none.
    Never,
    /// That has to be looked at.
    Maybe,
    /// For all.
    Always,
}

/// False only where no row can satisfy the condition.
///
/// # Errors
/// A zone that cannot be read.
pub fn may_match(condition: &Expr, zones: &impl Zones) -> Result<bool> {
    verdict(condition, zones).map(|found| found != Verdict::Never)
}

/// What the zones tell of a condition.
///
/// # Errors
/// A zone that cannot be read, unless another one decides.
pub fn verdict(condition: &Expr, zones: &impl Zones) -> Result<Verdict> {
    match condition {
        Expr::Literal(value) => Ok(match scalar::truth(value) {
            Some(true) => Verdict::Always,
            _ => Verdict::Never,
        }),
        Expr::Binary(BinaryOp::And, a, b) => match (verdict(a, zones), verdict(b, zones)) {
            // a range of times keeps a query from columns that are damaged outside of it
            (Ok(Verdict::Never), _) | (_, Ok(Verdict::Never)) => Ok(Verdict::Never),
            (a, b) => Ok(if a? == Verdict::Always { b? } else { b.map(|_| Verdict::Maybe)? }),
        },
        Expr::Binary(BinaryOp::Or, a, b) => match (verdict(a, zones)?, verdict(b, zones)?) {
            (Verdict::Always, _) | (_, Verdict::Always) => Ok(Verdict::Always),
            (Verdict::Never, Verdict::Never) => Ok(Verdict::Never),
            _ => Ok(Verdict::Maybe),
        },
        Expr::Binary(op, left, right) => match (&**left, &**right) {
            (Expr::Column(name), Expr::Literal(literal)) => of_comparison(zones, name, *op, literal),
            (Expr::Literal(literal), Expr::Column(name)) => {
                of_comparison(zones, name, mirrored(*op), literal)
            }
            _ => Ok(Verdict::Maybe),
        },
        Expr::In(operand, list) => match &**operand {
            Expr::Column(name) => of_list(zones, name, list),
            _ => Ok(Verdict::Maybe),
        },
        Expr::IsNull(operand) => is_null(operand, zones),
        Expr::Not(inner) => match &**inner {
            // the only one whose opposite is sure: it is never unknown
            Expr::IsNull(operand) => is_null(operand, zones).map(|found| match found {
                Verdict::Never => Verdict::Always,
                Verdict::Maybe => Verdict::Maybe,
                Verdict::Always => Verdict::Never,
            }),
            _ => Ok(Verdict::Maybe),
        },
        _ => Ok(Verdict::Maybe),
    }
}

/// Whether every row has a value, whatever the data are.
pub fn is_never_null(name: &str) -> bool {
    matches!(name, TIME | "_seq" | "_id")
}

/// What is told of a column as a query sees it.
///
/// # Errors
/// A zone that cannot be read.
pub fn zone_of(zones: &impl Zones, name: &str) -> Result<Zone> {
    match name {
        // it is put together of several
        "_id" => Ok(Zone::Unknown),
        _ => zones.zone(name),
    }
}

fn is_null(operand: &Expr, zones: &impl Zones) -> Result<Verdict> {
    let Expr::Column(name) = operand else { return Ok(Verdict::Maybe) };
    if is_never_null(name) {
        return Ok(Verdict::Never);
    }
    Ok(match zone_of(zones, name)? {
        Zone::Empty => Verdict::Always,
        Zone::Ints { has_nulls: false, .. } | Zone::Times { has_nulls: false, .. } => Verdict::Never,
        _ => Verdict::Maybe,
    })
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::LtEq => BinaryOp::GtEq,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::GtEq => BinaryOp::LtEq,
        other => other,
    }
}

fn of_comparison(zones: &impl Zones, name: &str, op: BinaryOp, literal: &Value) -> Result<Verdict> {
    let is_comparison = matches!(
        op,
        BinaryOp::Eq | BinaryOp::NotEq | BinaryOp::Lt | BinaryOp::LtEq | BinaryOp::Gt | BinaryOp::GtEq
    );
    if !is_comparison {
        return Ok(Verdict::Maybe);
    }
    zone_of(zones, name).map(|zone| of_values(&zone, op, literal))
}

/// `IN` is true where one of the list is equal.
fn of_list(zones: &impl Zones, name: &str, list: &[Expr]) -> Result<Verdict> {
    let zone = zone_of(zones, name)?;
    let may_equal = |item: &Expr| match item {
        Expr::Literal(literal) => of_values(&zone, BinaryOp::Eq, literal) != Verdict::Never,
        _ => true,
    };
    Ok(if list.iter().any(may_equal) { Verdict::Maybe } else { Verdict::Never })
}

fn of_values(zone: &Zone, op: BinaryOp, literal: &Value) -> Verdict {
    match (zone, literal) {
        // a comparison with null is never true
        (Zone::Empty, _) | (_, Value::Null) => Verdict::Never,
        (Zone::Ints { min, max, has_nulls }, Value::Int(_) | Value::Float(_)) => {
            of_span(&Value::Int(*min), &Value::Int(*max), op, literal, *has_nulls)
        }
        (Zone::Times { min, max, has_nulls }, Value::Time(_)) => {
            of_span(&Value::Time(*min), &Value::Time(*max), op, literal, *has_nulls)
        }
        (Zone::Texts { dictionary, min, max }, Value::Text(wanted)) => {
            let (min, max) = (*min as usize, *max as usize);
            if max >= dictionary.len() {
                return Verdict::Maybe;
            }
            if op == BinaryOp::Eq && dictionary.find(wanted).is_none_or(|code| code < min || code > max) {
                return Verdict::Never;
            }
            of_span(&Value::text(dictionary.get(min)), &Value::text(dictionary.get(max)), op, literal, true)
        }
        _ => Verdict::Maybe,
    }
}

fn of_span(min: &Value, max: &Value, op: BinaryOp, literal: &Value, has_nulls: bool) -> Verdict {
    let (low, high) = (literal.compare(min), literal.compare(max));
    let outside = low.is_lt() || high.is_gt();
    let only = low.is_eq() && high.is_eq();
    let (never, always) = match op {
        BinaryOp::Eq => (outside, only),
        BinaryOp::NotEq => (only, outside),
        BinaryOp::Lt => (low.is_le(), high.is_gt()),
        BinaryOp::LtEq => (low.is_lt(), high.is_ge()),
        BinaryOp::Gt => (high.is_ge(), low.is_lt()),
        BinaryOp::GtEq => (high.is_gt(), low.is_le()),
        _ => (false, false),
    };
    match (never, always && !has_nulls) {
        (true, _) => Verdict::Never,
        (_, true) => Verdict::Always,
        _ => Verdict::Maybe,
    }
}
