//! Which kinds of value an expression can have: a set that holds all that can come, and may hold more. Printing asks it
//! whether an operator of another engine means the same as ours.

use crate::fields::{FieldType, Kinds};
use crate::query::expression::{AggregateFunction, BinaryOp, Expr};
use crate::query::functions::Returns;
use crate::query::plan::type_of_value;

/// The kinds of an expression; `column` knows those of the fields. Null is no kind.
pub fn kinds_of(expression: &Expr, column: &dyn Fn(&str) -> Kinds) -> Kinds {
    let of = |e: &Expr| kinds_of(e, column);
    match expression {
        Expr::Literal(value) => type_of_value(value).map_or(Kinds::default(), Kinds::of),
        Expr::Column(name) => of_field(column(name)),
        Expr::Not(_) | Expr::IsNull(_) | Expr::In(..) | Expr::Like { .. } => Kinds::of(FieldType::Bool),
        Expr::Negate(_) => numbers(),
        Expr::Binary(op, a, b) => of_binary(*op, of(a), of(b)),
        Expr::Case { branches, otherwise } => {
            let results = branches.iter().map(|(_, result)| result).chain(otherwise.as_deref());
            union(results.map(of))
        }
        Expr::Cast(_, to) => Kinds::of(*to),
        Expr::Call(function, arguments) => match function.returns() {
            Returns::Always(kind) => Kinds::of(kind),
            // a bool is rounded to 1 or 0
            Returns::First => {
                let first = arguments.first().map_or(Kinds::default(), of);
                if first.has(FieldType::Bool) { first.with(Kinds::of(FieldType::Int)) } else { first }
            }
            Returns::Common => union(arguments.iter().map(of)),
            Returns::Entry => {
                let first = arguments.first().map_or(Kinds::default(), of);
                if first.has(FieldType::Strings) { first.with(Kinds::of(FieldType::String)) } else { first }
            }
        },
        Expr::Aggregate(call) => {
            let argument = call.argument.as_ref().map_or(Kinds::default(), of);
            match call.function {
                AggregateFunction::Count | AggregateFunction::Uniq | AggregateFunction::ApproxUniq => {
                    Kinds::of(FieldType::Int)
                }
                AggregateFunction::Avg | AggregateFunction::ApproxQuantile(_) => Kinds::of(FieldType::Float),
                AggregateFunction::Sum | AggregateFunction::Quantile(_) => numbers(),
                AggregateFunction::Min
                | AggregateFunction::Max
                | AggregateFunction::First
                | AggregateFunction::Last
                | AggregateFunction::Any => argument,
            }
        }
    }
}

/// The kinds that a field's values can have: whole numbers may lie in a field of floats.
pub fn of_field(kinds: Kinds) -> Kinds {
    if kinds.has(FieldType::Float) { kinds.with(Kinds::of(FieldType::Int)) } else { kinds }
}

/// Every kind there is: what is right for an expression that nothing is known of.
pub fn every() -> Kinds {
    union(FieldType::ALL.iter().map(|(kind, _)| Kinds::of(*kind)))
}

/// Whole numbers and floats.
pub fn numbers() -> Kinds {
    Kinds::of(FieldType::Int).with(Kinds::of(FieldType::Float))
}

fn union(all: impl Iterator<Item = Kinds>) -> Kinds {
    all.fold(Kinds::default(), Kinds::with)
}

fn of_binary(op: BinaryOp, a: Kinds, b: Kinds) -> Kinds {
    match op {
        BinaryOp::Add | BinaryOp::Subtract => {
            let time = Kinds::of(FieldType::Time);
            if a.with(b).has(FieldType::Time) { numbers().with(time) } else { numbers() }
        }
        BinaryOp::Multiply | BinaryOp::IntegerDivide | BinaryOp::Modulo => numbers(),
        BinaryOp::Divide => Kinds::of(FieldType::Float),
        BinaryOp::Concat => Kinds::of(FieldType::String),
        _ => Kinds::of(FieldType::Bool),
    }
}
