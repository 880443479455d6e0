//! Functions of numbers, and those that choose among their arguments. Text is no number here: it gives null.
//! Called through the table in `functions`.

use crate::error::{Error, Result};
use crate::query::scalar::compare;
use crate::value::{Value, whole};

use super::Context;
use std::cmp::Ordering;

pub(super) fn coalesce(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(arguments.iter().find(|value| !value.is_null()).cloned().unwrap_or(Value::Null))
}

pub(super) fn nullif(arguments: &[Value], _: &Context) -> Result<Value> {
    let [a, b] = arguments else { return Ok(Value::Null) };
    Ok(if compare(a, b) == Some(Ordering::Equal) { Value::Null } else { a.clone() })
}

pub(super) fn least(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(extreme(arguments, Ordering::Less))
}

pub(super) fn greatest(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(extreme(arguments, Ordering::Greater))
}

fn extreme(arguments: &[Value], wanted: Ordering) -> Value {
    let mut best = &Value::Null;
    for value in arguments.iter().filter(|value| !value.is_null()) {
        if best.is_null() || compare(value, best) == Some(wanted) {
            best = value;
        }
    }
    best.clone()
}

pub(super) fn round(arguments: &[Value], _: &Context) -> Result<Value> {
    let (value, digits) = match arguments {
        [value] => (value, 0),
        [value, digits] => match integer(digits) {
            Some(digits) => (value, digits.clamp(-400, 400)),
            None => return Ok(Value::Null),
        },
        _ => return Ok(Value::Null),
    };
    match value {
        Value::Bool(b) => Ok(Value::Int(i64::from(*b))),
        Value::Int(i) if digits >= 0 => Ok(Value::Int(*i)),
        Value::Int(i) => round_integer(*i, digits),
        Value::Float(f) => Ok(Value::finite(round_float(*f, digits))),
        _ => Ok(Value::Null),
    }
}

fn round_integer(number: i64, digits: i64) -> Result<Value> {
    // 10^19 is more than twice any i64
    let Some(unit) =
        u32::try_from(-digits).ok().and_then(|d| 10i128.checked_pow(d)).filter(|u| *u <= 10i128.pow(19))
    else {
        return Ok(Value::Int(0));
    };
    let half = unit / 2 * i128::from(number.signum());
    let rounded = (i128::from(number) + half) / unit * unit;
    i64::try_from(rounded)
        .map(Value::Int)
        .map_err(|_| Error::invalid(format!("integer overflow in round({number}, {digits})")))
}

fn round_float(number: f64, digits: i64) -> f64 {
    let Ok(power) = i32::try_from(digits) else { return number };
    if digits >= 0 {
        let unit = 10f64.powi(power);
        let scaled = number * unit;
        // beyond 2^53 every float is whole: there is nothing to round
        if scaled.abs() < 9.0e15 { scaled.round() / unit } else { number }
    } else {
        let unit = 10f64.powi(-power);
        if unit.is_finite() { (number / unit).round() * unit } else { 0.0 }
    }
}

pub(super) fn floor(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(to_whole(arguments, f64::floor))
}

pub(super) fn ceil(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(to_whole(arguments, f64::ceil))
}

pub(super) fn trunc(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(to_whole(arguments, f64::trunc))
}

fn to_whole(arguments: &[Value], to: fn(f64) -> f64) -> Value {
    match arguments {
        [Value::Bool(b)] => Value::Int(i64::from(*b)),
        [Value::Int(i)] => Value::Int(*i),
        [Value::Float(f)] => Value::finite(to(*f)),
        _ => Value::Null,
    }
}

pub(super) fn abs(arguments: &[Value], _: &Context) -> Result<Value> {
    match arguments {
        [Value::Bool(b)] => Ok(Value::Int(i64::from(*b))),
        [Value::Int(i)] => i
            .checked_abs()
            .map(Value::Int)
            .ok_or_else(|| Error::invalid(format!("integer overflow in abs({i}); cast it to float"))),
        [Value::Float(f)] => Ok(Value::finite(f.abs())),
        _ => Ok(Value::Null),
    }
}

pub(super) fn sign(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(match arguments {
        [Value::Bool(b)] => Value::Int(i64::from(*b)),
        [Value::Int(i)] => Value::Int(i.signum()),
        [Value::Float(f)] if *f == 0.0 => Value::Int(0),
        [Value::Float(f)] => Value::Int(if *f > 0.0 { 1 } else { -1 }),
        _ => Value::Null,
    })
}

/// The whole number in a value, for positions and digits.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Int(i) => Some(*i),
        Value::Float(f) => whole(*f),
        _ => None,
    }
}
