//! Which blocks a condition can be true in, told by their zone maps alone: smallest and largest number of a column,
//! entries of a dictionary. A block that may match is scanned; one that cannot is not touched.

use crate::columnar::column::{Column, Data};
use crate::query::expression::{BinaryOp, Expr};
use crate::store::snapshot::TailBlock;
use crate::value::Value;

/// False only where no row of the block can satisfy the condition.
pub fn may_match(condition: &Expr, source: &TailBlock) -> bool {
    match condition {
        Expr::Binary(BinaryOp::And, a, b) => may_match(a, source) && may_match(b, source),
        Expr::Binary(BinaryOp::Or, a, b) => may_match(a, source) || may_match(b, source),
        Expr::Binary(op, left, right) => match (&**left, &**right) {
            (Expr::Column(name), Expr::Literal(literal)) => column_may(source, name, *op, literal),
            (Expr::Literal(literal), Expr::Column(name)) => column_may(source, name, mirrored(*op), literal),
            _ => true,
        },
        _ => true,
    }
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

fn column_may(source: &TailBlock, name: &str, op: BinaryOp, literal: &Value) -> bool {
    let is_comparison = matches!(
        op,
        BinaryOp::Eq | BinaryOp::NotEq | BinaryOp::Lt | BinaryOp::LtEq | BinaryOp::Gt | BinaryOp::GtEq
    );
    if !is_comparison || name == "_id" {
        return true;
    }
    if name == "_seq" {
        let last = source.first_seq + source.block.rows() as i64 - 1;
        return span_may(&Value::Int(source.first_seq), &Value::Int(last), op, literal);
    }
    match source.block.column(name) {
        // a comparison with null is never true
        None => false,
        Some(column) => values_may(column, op, literal),
    }
}

fn values_may(column: &Column, op: BinaryOp, literal: &Value) -> bool {
    match (&column.data, literal) {
        (Data::Int(ints), Value::Int(_) | Value::Float(_)) => {
            span_may(&Value::Int(ints.min()), &Value::Int(ints.max()), op, literal)
        }
        (Data::Time(times), Value::Time(_)) => {
            span_may(&Value::Time(times.min()), &Value::Time(times.max()), op, literal)
        }
        (Data::Text(texts), Value::Text(wanted)) if op == BinaryOp::Eq => {
            texts.dictionary.find(wanted).is_some()
        }
        _ => true,
    }
}

fn span_may(min: &Value, max: &Value, op: BinaryOp, literal: &Value) -> bool {
    let (low, high) = (literal.compare(min), literal.compare(max));
    match op {
        BinaryOp::Eq => low.is_ge() && high.is_le(),
        BinaryOp::Lt => low.is_gt(),
        BinaryOp::LtEq => low.is_ge(),
        BinaryOp::Gt => high.is_lt(),
        BinaryOp::GtEq => high.is_le(),
        _ => true,
    }
}
