//! Expressions over columns. `scalar` says what an expression means; this file does the same for many rows at once:
//! comparisons and arithmetic of numbers by kernel, whatever depends on one dictionary column alone once an entry,
//! time buckets with the last bucket kept, and all that is left row by row through `scalar` itself.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::kernels::rows_where;
use crate::columnar::narrow::{Ints, Narrow};
use crate::error::Result;
use crate::query::explode::ENTRIES;
use crate::query::expression::{BinaryOp, Expr};
use crate::query::functions::Context;
use crate::query::scalar;
use crate::query::view::View;
use crate::time::Bucketer;
use crate::value::{Value, compare_int_float};

/// The value of an expression for every row.
///
/// # Errors
/// As `scalar::evaluate`: overflow, a wrong pattern.
pub fn evaluate(expression: &Expr, view: &View, context: &Context) -> Result<Arc<Column>> {
    if let Expr::Column(name) = expression {
        return Ok(view.column(name));
    }
    if matches!(expression, Expr::Call(function, _) if function.is_explode()) {
        return Ok(view.column(ENTRIES));
    }
    if let Some(column) = by_dictionary(expression, view, context)? {
        return Ok(Arc::new(column));
    }
    let kernel = match expression {
        Expr::Binary(BinaryOp::And | BinaryOp::Or, ..) | Expr::Not(_) | Expr::IsNull(_) => {
            let (is_true, is_false) = truth(expression, view, context)?;
            let mut known = is_true.clone();
            known.or(&is_false);
            Some(Column::new(view.rows, Some(known), Data::Bool(is_true)))
        }
        Expr::Binary(op, left, right) => binary(*op, left, right, view, context)?,
        Expr::Call(function, arguments) => match (function.bucket(), arguments.as_slice()) {
            (Some(bucket), [operand]) => {
                let operand = evaluate(operand, view, context)?;
                bucket_starts(&operand, Bucketer::new(bucket, &context.calendar))
            }
            _ => None,
        },
        _ => None,
    };
    match kernel {
        Some(column) => Ok(Arc::new(column)),
        None => by_row(expression, view, context).map(Arc::new),
    }
}

/// The rows for which a condition is true.
///
/// # Errors
/// As [`evaluate`].
pub fn filter(condition: &Expr, view: &View, context: &Context) -> Result<Bitmap> {
    truth(condition, view, context).map(|(is_true, _)| is_true)
}

/// Three-valued logic as two bitmaps: true, and false. In neither: unknown.
///
/// # Errors
/// As [`evaluate`].
pub fn truth(condition: &Expr, view: &View, context: &Context) -> Result<(Bitmap, Bitmap)> {
    match condition {
        Expr::Binary(op @ (BinaryOp::And | BinaryOp::Or), left, right) => {
            let (mut true_1, mut false_1) = truth(left, view, context)?;
            let decided = if *op == BinaryOp::And { &false_1 } else { &true_1 };
            if decided.all() {
                return Ok((true_1, false_1));
            }
            // a fault in a row that the left side has decided is none: row by row the right side is not asked there
            let Ok((true_2, false_2)) = truth(right, view, context) else {
                return by_row(condition, view, context).map(|column| split_truth(&column));
            };
            if *op == BinaryOp::And {
                true_1.and(&true_2);
                false_1.or(&false_2);
            } else {
                true_1.or(&true_2);
                false_1.and(&false_2);
            }
            Ok((true_1, false_1))
        }
        Expr::Not(inner) => truth(inner, view, context).map(|(is_true, is_false)| (is_false, is_true)),
        Expr::IsNull(inner) => {
            let column = evaluate(inner, view, context)?;
            let valid = column.validity.clone().unwrap_or_else(|| Bitmap::filled(view.rows, true));
            let mut null = valid.clone();
            null.invert();
            Ok((null, valid))
        }
        _ => {
            let column = evaluate(condition, view, context)?;
            Ok(split_truth(&column))
        }
    }
}

fn split_truth(column: &Column) -> (Bitmap, Bitmap) {
    let (mut is_true, mut is_false) = match &column.data {
        Data::Bool(bits) => {
            let mut inverted = bits.clone();
            inverted.invert();
            (bits.clone(), inverted)
        }
        _ => {
            let truths: Vec<Option<bool>> =
                (0..column.rows).map(|row| scalar::truth(&column.get(row))).collect();
            (
                Bitmap::from_fn(column.rows, |row| truths[row] == Some(true)),
                Bitmap::from_fn(column.rows, |row| truths[row] == Some(false)),
            )
        }
    };
    if let Some(valid) = &column.validity {
        is_true.and(valid);
        is_false.and(valid);
    }
    (is_true, is_false)
}

/// An expression that depends on one dictionary column alone has one value an entry: LIKE, lower, IN, equality.
fn by_dictionary(expression: &Expr, view: &View, context: &Context) -> Result<Option<Column>> {
    let Some(name) = only_column(expression) else { return Ok(None) };
    let column = view.column(name);
    let (Data::Text(texts) | Data::Json(texts)) = &column.data else { return Ok(None) };
    let is_json = matches!(column.data, Data::Json(_));
    let mut entries = context.take_entries(expression, texts, is_json)?;
    let results = entries.column(texts, &column, context);
    context.keep_entries(entries);
    results.map(Some)
}

/// The one column that an expression names, if it names just one.
fn only_column(expression: &Expr) -> Option<&str> {
    let mut found: Option<&str> = None;
    let mut several = false;
    expression.walk(&mut |part| {
        if let Expr::Column(name) = part {
            several |= found.is_some_and(|earlier| earlier != name);
            found = Some(name);
        }
    });
    found.filter(|_| !several)
}

/// The reference meaning, row by row.
fn by_row(expression: &Expr, view: &View, context: &Context) -> Result<Column> {
    let mut meter = context.budget.meter();
    let value = |row| {
        let value = scalar::evaluate(expression, &|name| view.value(name, row), context)?;
        // once as it is, once in the column
        meter.count(value.bytes() * 2)?;
        Ok(value)
    };
    let values = (0..view.rows).map(value).collect::<Result<Vec<Value>>>()?;
    Ok(column_of(values))
}

fn bucket_starts(operand: &Column, mut bucketer: Bucketer) -> Option<Column> {
    let Data::Time(times) = &operand.data else { return None };
    let starts: Vec<i64> = times.to_vec().into_iter().map(|us| bucketer.start(us)).collect();
    let ints = match &operand.validity {
        None => Ints::from_values(&starts),
        Some(valid) => Ints::from_masked(&starts, valid),
    };
    Some(Column { rows: operand.rows, validity: operand.validity.clone(), data: Data::Time(ints) })
}

/// Comparison and arithmetic of numbers; `None` where the types are others.
fn binary(op: BinaryOp, left: &Expr, right: &Expr, view: &View, context: &Context) -> Result<Option<Column>> {
    let Some(compare) = comparison(op) else { return arithmetic(op, left, right, view, context) };
    let (operand, literal, compare) = match (left, right) {
        (_, Expr::Literal(literal)) => (left, literal, compare),
        (Expr::Literal(literal), _) => (right, literal, reversed(compare)),
        _ => return Ok(None),
    };
    let column = evaluate(operand, view, context)?;
    let by_number =
        |order: &dyn Fn(usize) -> Ordering| Bitmap::from_fn(column.rows, |row| compare.holds(order(row)));
    let bits = match (&column.data, literal) {
        (Data::Int(ints), Value::Int(n)) | (Data::Time(ints), Value::Time(n)) => {
            compare_ints(ints, *n, compare)
        }
        (Data::Int(ints), Value::Float(f)) => by_number(&|row| compare_int_float(ints.get(row), *f)),
        (Data::Float { values, .. }, Value::Int(n)) if n.unsigned_abs() > EXACT => {
            by_number(&|row| compare_int_float(*n, values[row]).reverse())
        }
        (Data::Float { values, .. }, Value::Int(n)) => compare_floats(values, *n as f64, compare),
        (Data::Float { values, .. }, Value::Float(f)) => compare_floats(values, *f, compare),
        _ => return Ok(None),
    };
    Ok(Some(Column { rows: column.rows, validity: column.validity.clone(), data: Data::Bool(bits) }))
}

/// Which outcomes of a comparison make it true.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outcomes {
    less: bool,
    equal: bool,
    greater: bool,
}

impl Outcomes {
    fn holds(self, ordering: Ordering) -> bool {
        match ordering {
            Ordering::Less => self.less,
            Ordering::Equal => self.equal,
            Ordering::Greater => self.greater,
        }
    }
}

fn comparison(op: BinaryOp) -> Option<Outcomes> {
    let (less, equal, greater) = match op {
        BinaryOp::Eq => (false, true, false),
        BinaryOp::NotEq => (true, false, true),
        BinaryOp::Lt => (true, false, false),
        BinaryOp::LtEq => (true, true, false),
        BinaryOp::Gt => (false, false, true),
        BinaryOp::GtEq => (false, true, true),
        _ => return None,
    };
    Some(Outcomes { less, equal, greater })
}

fn reversed(outcomes: Outcomes) -> Outcomes {
    Outcomes { less: outcomes.greater, equal: outcomes.equal, greater: outcomes.less }
}

/// Whole numbers up to here are exact as floats.
const EXACT: u64 = 1 << 53;

fn compare_floats(values: &[f64], wanted: f64, outcomes: Outcomes) -> Bitmap {
    match (outcomes.less, outcomes.equal, outcomes.greater) {
        (false, true, false) => rows_where(values, |value| value == wanted),
        (true, false, true) => rows_where(values, |value| value != wanted),
        (true, false, false) => rows_where(values, |value| value < wanted),
        (true, true, false) => rows_where(values, |value| value <= wanted),
        (false, false, true) => rows_where(values, |value| value > wanted),
        (false, true, true) => rows_where(values, |value| value >= wanted),
        (all, _, _) => Bitmap::filled(values.len(), all),
    }
}

/// Compares on the narrow offsets; a literal outside their span decides all rows at once.
fn compare_ints(ints: &Ints, number: i64, outcomes: Outcomes) -> Bitmap {
    let rows = ints.offsets().len();
    if number < ints.min() {
        return Bitmap::filled(rows, outcomes.greater);
    }
    if number > ints.max() {
        return Bitmap::filled(rows, outcomes.less);
    }
    let wanted = number.wrapping_sub(ints.min()) as u64;
    match ints.offsets() {
        Narrow::U8(offsets) => compare_narrow(offsets, wanted, outcomes),
        Narrow::U16(offsets) => compare_narrow(offsets, wanted, outcomes),
        Narrow::U32(offsets) => compare_narrow(offsets, wanted, outcomes),
        Narrow::U64(offsets) => compare_narrow(offsets, wanted, outcomes),
    }
}

fn compare_narrow<T: Copy + Ord + TryFrom<u64>>(offsets: &[T], wanted: u64, outcomes: Outcomes) -> Bitmap {
    let Ok(wanted) = T::try_from(wanted) else { return Bitmap::filled(offsets.len(), outcomes.less) };
    match (outcomes.less, outcomes.equal, outcomes.greater) {
        (false, true, false) => rows_where(offsets, |offset| offset == wanted),
        (true, false, true) => rows_where(offsets, |offset| offset != wanted),
        (true, false, false) => rows_where(offsets, |offset| offset < wanted),
        (true, true, false) => rows_where(offsets, |offset| offset <= wanted),
        (false, false, true) => rows_where(offsets, |offset| offset > wanted),
        (false, true, true) => rows_where(offsets, |offset| offset >= wanted),
        (all, _, _) => Bitmap::filled(offsets.len(), all),
    }
}

/// `+ - * / %` of whole numbers with a whole number, or of floats; overflow is left to the reference to tell.
fn arithmetic(
    op: BinaryOp,
    left: &Expr,
    right: &Expr,
    view: &View,
    context: &Context,
) -> Result<Option<Column>> {
    let is_known = matches!(
        op,
        BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo
    );
    if !is_known {
        return Ok(None);
    }
    let (a, b) = (operand(left, view, context)?, operand(right, view, context)?);
    let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
    let mut validity = a.validity().cloned().unwrap_or_else(|| Bitmap::filled(view.rows, true));
    if let Some(more) = b.validity() {
        validity.and(more);
    }
    if let (Some(x), Some(y), true) = (a.integers(view.rows), b.integers(view.rows), op != BinaryOp::Divide) {
        if op == BinaryOp::Modulo {
            // the rest of a division by 0 is null
            validity.and(&Bitmap::from_fn(view.rows, |row| y[row] != 0));
        }
        let apply: fn(i64, i64) -> Option<i64> = match op {
            BinaryOp::Add => i64::checked_add,
            BinaryOp::Subtract => i64::checked_sub,
            BinaryOp::Modulo => |x, y| (y != 0).then(|| x.wrapping_rem(y)),
            _ => i64::checked_mul,
        };
        let mut out = Vec::with_capacity(view.rows);
        for (row, (x, y)) in x.iter().zip(&y).enumerate() {
            match apply(*x, *y) {
                Some(n) => out.push(n),
                None if validity.get(row) => return Ok(None),
                None => out.push(0),
            }
        }
        let ints = Ints::from_masked(&out, &validity);
        return Ok(Some(Column::new(view.rows, Some(validity), Data::Int(ints))));
    }
    let (Some(x), Some(y)) = (a.floats(view.rows), b.floats(view.rows)) else { return Ok(None) };
    let apply: fn(f64, f64) -> f64 = match op {
        BinaryOp::Add => |x, y| x + y,
        BinaryOp::Subtract => |x, y| x - y,
        BinaryOp::Multiply => |x, y| x * y,
        BinaryOp::Modulo => |x, y| x % y,
        _ => |x, y| x / y,
    };
    let values: Vec<f64> = x.iter().zip(&y).map(|(x, y)| apply(*x, *y)).collect();
    // what is no finite number (x / 0, overflow) is null
    let finite = Bitmap::from_fn(view.rows, |row| values[row].is_finite());
    validity.and(&finite);
    let values = values.into_iter().map(|v| if v.is_finite() { v } else { 0.0 }).collect();
    Ok(Some(Column::new(view.rows, Some(validity), Data::Float { values, whole: None })))
}

/// A side of an arithmetic kernel: a column of one number type, or a number.
enum Operand {
    Column(Arc<Column>),
    Number(Value),
}

fn operand(expression: &Expr, view: &View, context: &Context) -> Result<Option<Operand>> {
    if let Expr::Literal(literal) = expression {
        let is_number = matches!(literal, Value::Int(_) | Value::Float(_));
        return Ok(is_number.then(|| Operand::Number(literal.clone())));
    }
    let column = evaluate(expression, view, context)?;
    let fits = match &column.data {
        Data::Int(_) => true,
        // rows that came as integers follow the rules of integers
        Data::Float { whole, .. } => whole.is_none(),
        _ => false,
    };
    Ok(fits.then_some(Operand::Column(column)))
}

impl Operand {
    fn validity(&self) -> Option<&Bitmap> {
        match self {
            Self::Column(column) => column.validity.as_ref(),
            Self::Number(_) => None,
        }
    }

    fn integers(&self, rows: usize) -> Option<Vec<i64>> {
        match self {
            Self::Number(Value::Int(n)) => Some(vec![*n; rows]),
            Self::Column(column) => match &column.data {
                Data::Int(ints) => Some(ints.to_vec()),
                _ => None,
            },
            Self::Number(_) => None,
        }
    }

    fn floats(&self, rows: usize) -> Option<Vec<f64>> {
        match self {
            Self::Number(number) => number.as_f64().map(|n| vec![n; rows]),
            Self::Column(column) => match &column.data {
                Data::Int(ints) => Some(ints.to_vec().into_iter().map(|n| n as f64).collect()),
                Data::Float { values, .. } => Some(values.clone()),
                _ => None,
            },
        }
    }
}
