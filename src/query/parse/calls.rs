//! Calls in an expression: scalar functions by their table, aggregates by the one here.

use sqlparser::ast::{
    DuplicateTreatment, Function as Call, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart,
};
use sqlparser::tokenizer::Location;

use crate::error::{Error, Result};
use crate::query::expression::{AggregateCall, AggregateFunction, Expr};
use crate::query::functions::{EXPLODE_STANDS_ALONE, Function, bucket_of, part_name, unknown};
use crate::query::relational::tree::RANKS;
use crate::value::Value;

use super::expression::{Place, Reader};

/// The aggregates by name. Quantiles have their q as second argument, `p95` and the like are quantiles by name.
const AGGREGATES: [(&str, AggregateFunction); 16] = [
    ("count", AggregateFunction::Count),
    ("uniq", AggregateFunction::Uniq),
    ("sum", AggregateFunction::Sum),
    ("avg", AggregateFunction::Avg),
    ("mean", AggregateFunction::Avg),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
    ("median", AggregateFunction::Quantile(0.5)),
    ("quantile", AggregateFunction::Quantile(f64::NAN)),
    ("approx_uniq", AggregateFunction::ApproxUniq),
    ("approx_count_distinct", AggregateFunction::ApproxUniq),
    ("approx_quantile", AggregateFunction::ApproxQuantile(f64::NAN)),
    ("first", AggregateFunction::First),
    ("last", AggregateFunction::Last),
    ("any", AggregateFunction::Any),
    ("any_value", AggregateFunction::Any),
];

/// What other dialects call the present. A question here says itself which times it means, so that an answer can be
/// had again.
const PRESENT: [&str; 8] = [
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "getdate",
    "localtimestamp",
    "sysdate",
];

/// An argument of a call.
pub(super) enum Argument {
    Star,
    Expression(Expr),
}

impl Reader<'_> {
    pub(super) fn call(&mut self, call: &Call, place: Place) -> Result<Expr> {
        let [ObjectNamePart::Identifier(written)] = call.name.0.as_slice() else {
            return Err(self.error(None, &format!("there is no function {}", call.name)));
        };
        let at = Some(written.span.start);
        let name = written.value.to_lowercase();
        if !call.within_group.is_empty() {
            return Err(self.error(at, "WITHIN GROUP is not answered; use quantile(x, q)"));
        }
        if call.null_treatment.is_some() || !matches!(call.parameters, FunctionArguments::None) {
            return Err(self.error(at, "this form of a call is not answered; write name(arguments)"));
        }
        if let Some(over) = &call.over {
            return self.window(call, over, place, at);
        }
        match aggregate_function(&name) {
            Some(function) => self.aggregate(&name, function, call, place, at),
            None => self.scalar_call(&name, call, place, at),
        }
    }

    fn scalar_call(&mut self, name: &str, call: &Call, place: Place, at: Option<Location>) -> Result<Expr> {
        let Some(function) = Function::find(name) else {
            if PRESENT.contains(&name) {
                return Err(self.error(
                    at,
                    &format!(
                        "there is no function \"{name}\" in SQL; write the time, or ask a JSON query with \"range\": \
                         {{\"last\": \"30d\"}} or \"range\": \"this month\""
                    ),
                ));
            }
            if RANKS.iter().any(|rank| rank.name == name) {
                return Err(self.error(
                    at,
                    &format!("{name}() is a window function: write {name}(..) OVER (ORDER BY ..)"),
                ));
            }
            let known = Function::names().chain(AGGREGATES.iter().map(|(name, _)| *name));
            return Err(self.error(at, &unknown("function", name, known).to_string()));
        };
        if function.is_explode() && !matches!(place, Place::Anywhere | Place::Key) {
            return Err(self.error(at, EXPLODE_STANDS_ALONE));
        }
        if call.filter.is_some() {
            return Err(self.error(at, &format!("FILTER belongs to aggregates; {name}() is none")));
        }
        let (distinct, arguments) = self.arguments(call, place, at)?;
        if distinct {
            return Err(self.error(at, &format!("DISTINCT belongs to aggregates; {name}() is none")));
        }
        let arguments: Vec<Expr> = arguments
            .into_iter()
            .map(|argument| match argument {
                Argument::Expression(expression) => Ok(expression),
                Argument::Star => Err(self.error(at, &format!("{name}(*) has no meaning; name a field"))),
            })
            .collect::<Result<_>>()?;
        self.located(at, function.check_arguments(arguments.len()))?;
        self.located(at, canonical(function, arguments))
    }

    fn aggregate(
        &mut self,
        name: &str,
        function: AggregateFunction,
        call: &Call,
        place: Place,
        at: Option<Location>,
    ) -> Result<Expr> {
        let reason = match place {
            Place::Anywhere | Place::Window => None,
            Place::Where => Some("stand here: rows are filtered before they are grouped; put it into HAVING"),
            Place::Condition => Some("stand here: the condition is about one row at a time"),
            Place::Key => Some("stand here; an aggregate belongs into SELECT, HAVING or ORDER BY"),
            Place::Aggregate => Some("stand in another"),
        };
        if let Some(reason) = reason {
            return Err(self.error(at, &format!("{name}() is an aggregate and cannot {reason}")));
        }
        let call = self.aggregate_call(name, function, call, Place::Aggregate, at)?;
        Ok(Expr::Aggregate(Box::new(call)))
    }

    /// The same wherever it stands; `inside` is where its argument and its filter do.
    pub(super) fn aggregate_call(
        &mut self,
        name: &str,
        function: AggregateFunction,
        call: &Call,
        inside: Place,
        at: Option<Location>,
    ) -> Result<AggregateCall> {
        let (distinct, arguments) = self.arguments(call, inside, at)?;
        let function = match (function, distinct) {
            (AggregateFunction::Count, true) if !arguments.is_empty() => AggregateFunction::Uniq,
            (other, false) => other,
            (other, true) if other.is_blind_to_repeats() => other,
            _ => {
                let hint = "group by the value as well, and aggregate those groups yourself";
                return Err(self.error(at, &format!("{name}(DISTINCT ..) is not answered; {hint}")));
            }
        };
        let (function, argument) = self.aggregate_argument(name, function, arguments, at)?;
        let filter = call.filter.as_deref().map(|tree| self.read(tree, inside)).transpose()?;
        Ok(AggregateCall { function, argument, filter })
    }

    fn aggregate_argument(
        &self,
        name: &str,
        function: AggregateFunction,
        arguments: Vec<Argument>,
        at: Option<Location>,
    ) -> Result<(AggregateFunction, Option<Expr>)> {
        let takes_q = matches!(function, AggregateFunction::Quantile(q) | AggregateFunction::ApproxQuantile(q) if q.is_nan());
        let mut arguments = arguments.into_iter();
        match (arguments.next(), arguments.next(), arguments.next()) {
            (None | Some(Argument::Star), None, None) if function == AggregateFunction::Count => {
                Ok((function, None))
            }
            (Some(Argument::Expression(x)), Some(Argument::Expression(q)), None) if takes_q => {
                let q = match q {
                    Expr::Literal(Value::Float(q)) if (0.0..=1.0).contains(&q) => q,
                    Expr::Literal(Value::Int(q @ 0..=1)) => q as f64,
                    _ => {
                        let wanted =
                            format!("{name}(x, q) takes a number from 0 to 1 as q, as in {name}(x, 0.95)");
                        return Err(self.error(at, &wanted));
                    }
                };
                let function = match function {
                    AggregateFunction::ApproxQuantile(_) => AggregateFunction::ApproxQuantile(q),
                    _ => AggregateFunction::Quantile(q),
                };
                Ok((function, Some(x)))
            }
            (Some(Argument::Expression(x)), None, None) if !takes_q => Ok((function, Some(x))),
            _ => {
                let wanted = match function {
                    _ if takes_q => format!("two arguments, as in {name}(x, 0.95)"),
                    AggregateFunction::Count => "one argument or none".into(),
                    AggregateFunction::Min => {
                        "one argument; the smallest of several values is least(a, b)".into()
                    }
                    AggregateFunction::Max => {
                        "one argument; the largest of several values is greatest(a, b)".into()
                    }
                    _ => "one argument".to_owned(),
                };
                Err(self.error(at, &format!("{name}() takes {wanted}")))
            }
        }
    }

    pub(super) fn arguments(
        &mut self,
        call: &Call,
        place: Place,
        at: Option<Location>,
    ) -> Result<(bool, Vec<Argument>)> {
        let list = match &call.args {
            FunctionArguments::List(list) => list,
            FunctionArguments::None => return Ok((false, Vec::new())),
            FunctionArguments::Subquery(_) => {
                return Err(self.error(at, "a subquery as an argument stands in parentheses of its own"));
            }
        };
        if let Some(clause) = list.clauses.first() {
            return Err(self.error(at, &format!("\"{clause}\" within a call is not answered")));
        }
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let arguments = list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(tree)) => {
                    self.read(tree, place).map(Argument::Expression)
                }
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Ok(Argument::Star),
                _ => Err(self.error(at, "arguments have no names here; write name(a, b)")),
            })
            .collect::<Result<_>>()?;
        Ok((distinct, arguments))
    }
}

/// The part that `extract` takes, as its first argument.
pub(super) fn part(name: &str) -> Result<Expr> {
    let bare = name.trim_matches('\'');
    part_name(bare).map(|known| Expr::Literal(Value::text(known)))
}

/// The one form of calls that have several: `date_trunc('day', x)` is `day(x)`, parts have one name.
fn canonical(function: Function, arguments: Vec<Expr>) -> Result<Expr> {
    match (function.name(), arguments.as_slice()) {
        ("date_trunc", [Expr::Literal(Value::Text(unit)), _]) => {
            let bucket = bucket_of(unit)?;
            match Function::of_bucket(bucket) {
                Some(bucket) => Ok(Expr::Call(bucket, arguments.into_iter().skip(1).collect())),
                None => Err(Error::Internal(format!("no function is the bucket {}", bucket.name()))),
            }
        }
        ("extract", [Expr::Literal(Value::Text(name)), of]) => {
            Ok(Expr::Call(function, vec![part(name)?, of.clone()]))
        }
        _ => Ok(Expr::Call(function, arguments)),
    }
}

pub(super) fn aggregate_function(name: &str) -> Option<AggregateFunction> {
    AGGREGATES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, function)| *function)
        .or_else(|| percentile(name))
}

/// `p5`, `p50`, `p95` are percent; with more digits they begin with 99: `p999` is 0.999.
fn percentile(name: &str) -> Option<AggregateFunction> {
    let digits = name.strip_prefix('p')?;
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let q: f64 = match digits.len() {
        1 => format!("0.0{digits}"),
        2 => format!("0.{digits}"),
        _ if digits.starts_with("99") => format!("0.{digits}"),
        _ => return None,
    }
    .parse()
    .ok()?;
    Some(AggregateFunction::Quantile(q))
}
