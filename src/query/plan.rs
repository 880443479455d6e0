//! From a Query to a Plan: names are resolved, types checked, aggregates and keys told apart, conditions made ready
//! for pruning. No I/O, and nothing of the data is read but the list of fields.

use std::sync::Arc;

use crate::cache::Cache;
use crate::columnar::TIME;
use crate::error::{Error, Result, nearest_or_first};
use crate::fields::{FieldType, Kinds, is_system};
use crate::query::budget::Budget;
use crate::query::explode::check_exploded;
use crate::query::expression::{AggregateCall, AggregateFunction, BinaryOp, Expr};
use crate::query::functions::Returns;
use crate::query::language::{Item, Order, Query, Range};
use crate::query::matcher::shorten;
use crate::query::series::Series;
use crate::store::keyed::is_lazy;
use crate::store::snapshot::Dataset;
use crate::time::Calendar;
use crate::value::Value;

/// A query against one dataset, ready to run.
#[derive(Debug)]
pub struct Plan {
    /// Names of the output columns.
    pub names: Vec<String>,
    /// Types of the output columns, where they are known beforehand.
    pub types: Vec<Option<FieldType>>,
    /// Rows that count; names in it are those of the columns.
    pub filter: Option<Expr>,
    /// Rows or groups.
    pub shape: Shape,
    /// Equal rows of the output once.
    pub distinct: bool,
    /// Rows at most.
    pub limit: Option<usize>,
    /// Rows left out first.
    pub offset: usize,
    /// Where days and weeks begin.
    pub calendar: Calendar,
    /// The time buckets among the keys; one at most, where gaps are filled.
    pub series: Vec<Series>,
    /// Whether buckets without events are groups too.
    pub fill: bool,
    /// What the question may take, from now on.
    pub budget: Arc<Budget>,
    /// Where what segments and large blocks of the tail come to is kept; `None`: everything is looked at, as of datasets that are
    /// made for a question and are another one each time.
    pub cache: Option<Arc<Cache>>,
}

impl Plan {
    /// Whether an aggregate is in it whose answer may differ from the exact one.
    pub fn is_approximate(&self) -> bool {
        match &self.shape {
            Shape::Rows { .. } => false,
            Shape::Groups { aggregates, .. } => aggregates.iter().any(|call| call.function.is_approximate()),
        }
    }
}

/// What the output rows are made of.
#[derive(Debug)]
pub enum Shape {
    /// A row of output a row of data.
    Rows {
        /// The output columns.
        select: Vec<Expr>,
        /// Compared before them.
        order: Vec<Order>,
    },
    /// A row of output a group. Below, `Column("0")` is the first key, and the aggregates go on after the keys.
    Groups {
        /// What rows are grouped by.
        keys: Vec<Expr>,
        /// What is computed of each group.
        aggregates: Vec<AggregateCall>,
        /// The output columns, over keys and aggregates.
        select: Vec<Expr>,
        /// Groups that count, over keys and aggregates.
        having: Option<Expr>,
        /// Compared before the output, over keys and aggregates.
        order: Vec<Order>,
    },
}

/// Plans a query.
///
/// # Errors
/// Names that the dataset does not have, with the nearest ones; columns outside of groups; types that cannot be
/// meant.
pub fn plan(query: &Query, dataset: &Dataset) -> Result<Plan> {
    let names = Names { fields: dataset, calendar: &query.calendar };
    let Query { select, by: keys, filter, having, order, distinct, limit, offset, calendar, fill, .. } =
        resolve(query, dataset)?;
    let (select, output): (Vec<Expr>, Vec<String>) =
        select.into_iter().map(|item| (item.expression, item.name)).unzip();
    let types = select.iter().map(|e| names.type_of(e)).collect();
    let is_grouped = !keys.is_empty()
        || having.is_some()
        || select.iter().chain(order.iter().map(|o| &o.expression)).any(Expr::has_aggregate);
    let series = Series::among(&keys, query, dataset);
    if fill && series.len() != 1 {
        return Err(Error::invalid(format!(
            "/fill: one time bucket in \"by\" is needed, such as \"day(_time)\"; there are {}",
            series.len()
        )));
    }
    // equal rows once are the groups of what is put out: nothing is kept of a row that is like another
    let (keys, is_grouped, distinct) = match distinct && !is_grouped {
        true => (select.clone(), true, false),
        false => (keys, is_grouped, distinct),
    };
    let shape = if is_grouped { group(keys, select, having, order)? } else { Shape::Rows { select, order } };
    check_exploded(&shape)?;
    let budget = Budget::new(&query.limits);
    Ok(Plan {
        names: output,
        types,
        filter,
        shape,
        distinct,
        limit,
        offset,
        calendar,
        series,
        fill,
        budget,
        cache: None,
    })
}

/// The same query in the dataset's own names, its times read and its types checked: `*` written out, the range as a
/// part of the filter.
///
/// # Errors
/// As [`plan`], but for what is told of groups.
pub fn resolve(query: &Query, dataset: &Dataset) -> Result<Query> {
    let names = Names { fields: dataset, calendar: &query.calendar };
    let resolved = |item: &Item| {
        Ok(Item { expression: names.resolve(item.expression.clone())?, name: item.name.clone() })
    };
    let select: Vec<Item> = match query.all_fields {
        true => {
            let item =
                |name: Arc<str>| Item { expression: Expr::Column(name.to_string()), name: name.to_string() };
            all_fields(dataset).map(item).collect()
        }
        false => query.select.iter().map(resolved).collect::<Result<_>>()?,
    };
    let order = |o: &Order| Ok(Order { expression: names.resolve(o.expression.clone())?, ..o.clone() });
    let order = query.order.iter().map(order).collect::<Result<Vec<_>>>()?;
    if query.distinct {
        check_distinct(&select, &order)?;
    }
    let filter = query.filter.clone().map(|e| names.condition(e, "where")).transpose()?;
    Ok(Query {
        select,
        all_fields: false,
        by: query.by.iter().map(|e| names.resolve(e.clone())).collect::<Result<_>>()?,
        filter: with_range(filter, &query.range),
        range: Range::default(),
        having: query.having.clone().map(|e| names.condition(e, "having")).transpose()?,
        order,
        ..query.clone()
    })
}

/// Rows that are alike but for what they are ordered by would be one row in several places.
fn check_distinct(select: &[Item], order: &[Order]) -> Result<()> {
    let is_put_out = |order: &&Order| select.iter().any(|item| is_same(&item.expression, &order.expression));
    match order.iter().find(|order| !is_put_out(order)) {
        None => Ok(()),
        Some(Order { expression, .. }) => Err(Error::invalid(format!(
            "DISTINCT rows can only be ordered by what is selected, and {expression} is not; add it to the SELECT"
        ))),
    }
}

/// The kinds of value that a field of the dataset can have.
pub fn field_kinds(name: &str, dataset: &Dataset) -> Kinds {
    match name {
        TIME => Kinds::of(FieldType::Time),
        "_seq" => Kinds::of(FieldType::Int),
        "_id" => Kinds::of(FieldType::String),
        _ => dataset.fields.kinds(name).unwrap_or_default(),
    }
}

/// The condition of a page, resolved and checked.
///
/// # Errors
/// As [`plan`].
pub fn condition(expression: Expr, dataset: &Dataset) -> Result<Expr> {
    if expression.has_aggregate() {
        return Err(Error::invalid("an aggregate has no meaning in where; it belongs to select or having"));
    }
    Names { fields: dataset, calendar: &Calendar::default() }.condition(expression, "where")
}

/// The column that a name means.
///
/// # Errors
/// `Invalid` with the nearest names.
pub fn field_name(name: &str, dataset: &Dataset) -> Result<Arc<str>> {
    dataset.canonical(name)
}

/// The columns that an expression reads, each once, added to those given.
pub fn add_columns(expression: &Expr, names: &mut Vec<Arc<str>>) {
    expression.walk(&mut |part| {
        if let Expr::Column(name) = part
            && !names.iter().any(|known| **known == **name)
        {
            names.push(name.as_str().into());
        }
    });
}

/// A condition together with the range, in which it is asked.
pub(super) fn with_range(filter: Option<Expr>, range: &Range) -> Option<Expr> {
    let bound = |op, us: Option<i64>| {
        let literal = |us| Box::new(Expr::Literal(Value::Time(us)));
        us.map(|us| Expr::Binary(op, Box::new(Expr::Column(TIME.into())), literal(us)))
    };
    let parts = [bound(BinaryOp::GtEq, range.from), bound(BinaryOp::Lt, range.to), filter];
    parts.into_iter().flatten().reduce(|a, b| Expr::Binary(BinaryOp::And, Box::new(a), Box::new(b)))
}

fn group(keys: Vec<Expr>, select: Vec<Expr>, having: Option<Expr>, order: Vec<Order>) -> Result<Shape> {
    let mut aggregates: Vec<AggregateCall> = Vec::new();
    let mut over_group = |e: Expr| to_slots(e, &keys, &mut aggregates);
    let select = select.into_iter().map(&mut over_group).collect::<Result<_>>()?;
    let having = having.map(&mut over_group).transpose()?;
    let order = order
        .into_iter()
        .map(|o| Ok(Order { expression: over_group(o.expression)?, ..o }))
        .collect::<Result<_>>()?;
    Ok(Shape::Groups { keys, aggregates, select, having, order })
}

/// Replaces keys and aggregates by their places in the finished group.
fn to_slots(expression: Expr, keys: &[Expr], aggregates: &mut Vec<AggregateCall>) -> Result<Expr> {
    if let Some(at) = keys.iter().position(|key| is_same(key, &expression)) {
        return Ok(Expr::Column(at.to_string()));
    }
    match expression {
        Expr::Aggregate(call) => {
            let at = aggregates.iter().position(|known| is_same(known, &*call)).unwrap_or_else(|| {
                aggregates.push(*call);
                aggregates.len() - 1
            });
            Ok(Expr::Column((keys.len() + at).to_string()))
        }
        Expr::Column(name) => Err(Error::invalid(format!(
            "\"{name}\" has many values in a group; add it to the group by, or put it into an aggregate such as min(\"{name}\")"
        ))),
        other => other.map_children(&mut |child| to_slots(child, keys, aggregates)),
    }
}

/// Whether two expressions are written the same, types of constants included: 1, 1.0 and TRUE are equal as values,
/// but not as parts of a text.
pub fn is_same<T: PartialEq + std::fmt::Debug + ?Sized>(a: &T, b: &T) -> bool {
    a == b && format!("{a:?}") == format!("{b:?}")
}

/// What has columns by name: a dataset, or the tables of a SELECT.
pub(super) trait Fields {
    /// The column that a name means.
    ///
    /// # Errors
    /// `Invalid` with the nearest names.
    fn canonical(&self, name: &str) -> Result<Arc<str>>;

    /// The type of a column, where it has one whatever the rows hold.
    fn type_of(&self, name: &str) -> Option<FieldType>;
}

impl Fields for Dataset {
    fn canonical(&self, name: &str) -> Result<Arc<str>> {
        if let Some(found) = find(name, self) {
            return Ok(found);
        }
        let known: Vec<Arc<str>> = all_fields(self).collect();
        let what = format!("the dataset \"{}\" has no field", self.name);
        Err(unknown_name(&what, name, known.iter().map(|n| &**n)))
    }

    fn type_of(&self, name: &str) -> Option<FieldType> {
        match name {
            TIME => Some(FieldType::Time),
            "_seq" => Some(FieldType::Int),
            "_id" => Some(FieldType::String),
            _ => {
                let declared = self.declaration.fields.get(name).and_then(|f| f.kind);
                self.fields.kinds(name).map_or(declared, |kinds| kinds.single())
            }
        }
    }
}

/// Every column of `SELECT *`: lazy fields are read where they are named.
pub fn all_fields(dataset: &Dataset) -> impl Iterator<Item = Arc<str>> {
    let system = [TIME, "_seq", "_id"].into_iter().map(Arc::from);
    let fields = dataset.fields.iter().map(|(name, _)| name);
    system.chain(fields.filter(|name| !is_lazy(dataset, name)).cloned())
}

/// The column of a dataset that a name means.
pub(super) fn find(name: &str, dataset: &Dataset) -> Option<Arc<str>> {
    // a declared one may be in no event yet
    let is_declared = || dataset.declaration.fields.contains_key(name).then(|| name.into());
    if is_system(name) {
        Some(name.into())
    } else {
        dataset.fields.resolve(name).cloned().or_else(is_declared)
    }
}

/// The error of a name that means nothing; `what` tells where it was looked for.
pub(super) fn unknown_name<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Error {
    let hint = nearest_or_first(name, known);
    // many a language takes a text in double quotes; a name that is near to a field was meant as one
    let text = match hint.starts_with("; there are") {
        true => format!("; a text stands in single quotes: '{}'", shorten(&name.replace('\'', "''"))),
        false => String::new(),
    };
    Error::invalid(format!("{what} \"{name}\"{hint}{text}"))
}

/// What names in a question mean: columns, and a calendar.
pub(super) struct Names<'a> {
    pub(super) fields: &'a dyn Fields,
    /// Whose clock local times are on.
    pub(super) calendar: &'a Calendar,
}

impl Names<'_> {
    /// Canonical names; texts that are compared with a time become times.
    pub(super) fn resolve(&self, expression: Expr) -> Result<Expr> {
        expression.rewrite(&mut |part| match part {
            Expr::Column(name) => self.fields.canonical(&name).map(|name| Expr::Column(name.to_string())),
            // these take text for what it is
            Expr::Binary(BinaryOp::Concat | BinaryOp::Regexp | BinaryOp::And | BinaryOp::Or, ..) => Ok(part),
            Expr::Binary(op, left, right) => {
                let (left, right) = (self.as_time_of(*left, &right)?, *right);
                let right = self.as_time_of(right, &left)?;
                Ok(Expr::Binary(op, Box::new(left), Box::new(right)))
            }
            Expr::In(operand, list) => {
                let list = list.into_iter().map(|e| self.as_time_of(e, &operand)).collect::<Result<_>>()?;
                Ok(Expr::In(operand, list))
            }
            Expr::Aggregate(call) => {
                self.check_aggregate(&call)?;
                Ok(Expr::Aggregate(call))
            }
            Expr::Cast(operand, FieldType::Time) => match &*operand {
                // what is written in the query is on its clock, what is read from data is UTC as at ingest
                Expr::Literal(Value::Text(text)) => Ok(match self.calendar.read(text)? {
                    Some(us) => Expr::Literal(Value::Time(us)),
                    None => Expr::Cast(operand, FieldType::Time),
                }),
                _ => Ok(Expr::Cast(operand, FieldType::Time)),
            },
            // a bucket of a text that stands in the query, as day('2026-03-29'), is one of its clock too
            Expr::Call(function, mut arguments) if function.bucket().is_some() => {
                if let [Expr::Literal(Value::Text(text))] = arguments.as_slice()
                    && let Some(us) = self.calendar.read(text)?
                {
                    arguments = vec![Expr::Literal(Value::Time(us))];
                }
                Ok(Expr::Call(function, arguments))
            }
            other => Ok(other),
        })
    }

    fn as_time_of(&self, literal: Expr, other: &Expr) -> Result<Expr> {
        match &literal {
            Expr::Literal(Value::Text(text)) if self.type_of(other) == Some(FieldType::Time) => {
                let us = self.calendar.read(text)?.ok_or_else(|| {
                    Error::invalid(format!(
                        "'{text}' is compared with a time, but is none; write '2026-01-31' or '2026-01-31T12:00:00Z'"
                    ))
                })?;
                Ok(Expr::Literal(Value::Time(us)))
            }
            _ => Ok(literal),
        }
    }

    fn check_aggregate(&self, call: &AggregateCall) -> Result<()> {
        let numbers = matches!(
            call.function,
            AggregateFunction::Sum
                | AggregateFunction::Avg
                | AggregateFunction::Quantile(_)
                | AggregateFunction::ApproxQuantile(_)
        );
        let Some(argument) = call.argument.as_ref().filter(|_| numbers) else { return Ok(()) };
        match self.type_of(argument) {
            Some(kind @ (FieldType::String | FieldType::Strings | FieldType::Json)) => {
                Err(Error::invalid(format!(
                    "{argument} is of type {kind}, and sums, averages and quantiles are of numbers; cast it, as in cast({argument} as float)"
                )))
            }
            _ => Ok(()),
        }
    }

    /// A resolved expression that may be a condition; `place` begins the error where it cannot.
    pub(super) fn condition(&self, expression: Expr, place: &str) -> Result<Expr> {
        let resolved = self.resolve(expression)?;
        match self.type_of(&resolved) {
            Some(kind) if kind != FieldType::Bool => Err(Error::invalid(format!(
                "{place} needs a condition that is true or false; {resolved} is of type {kind}"
            ))),
            None if resolved.is_arithmetic() => Err(Error::invalid(format!(
                "{place} needs a condition that is true or false; {resolved} is a number or a time"
            ))),
            _ => Ok(resolved),
        }
    }

    /// The type of an expression, where it has one whatever the rows hold.
    pub(super) fn type_of(&self, expression: &Expr) -> Option<FieldType> {
        match expression {
            Expr::Literal(value) => type_of_value(value),
            Expr::Column(name) => self.fields.type_of(name),
            Expr::Not(_) | Expr::IsNull(_) | Expr::In(..) | Expr::Like { .. } => Some(FieldType::Bool),
            Expr::Cast(_, to) => Some(*to),
            Expr::Binary(op, ..) => match op {
                BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Modulo => None,
                BinaryOp::Divide => Some(FieldType::Float),
                // of floats it is a float
                BinaryOp::IntegerDivide => None,
                BinaryOp::Concat => Some(FieldType::String),
                _ => Some(FieldType::Bool),
            },
            Expr::Call(function, arguments) => match function.returns() {
                Returns::Always(kind) => Some(kind),
                Returns::First => arguments.first().and_then(|e| self.type_of(e)),
                Returns::Common => None,
                Returns::Entry => arguments.first().and_then(|e| self.type_of(e)).map(|kind| match kind {
                    FieldType::Strings => FieldType::String,
                    other => other,
                }),
            },
            Expr::Aggregate(call) => match call.function {
                AggregateFunction::Count | AggregateFunction::Uniq | AggregateFunction::ApproxUniq => {
                    Some(FieldType::Int)
                }
                AggregateFunction::Avg | AggregateFunction::ApproxQuantile(_) => Some(FieldType::Float),
                AggregateFunction::Sum | AggregateFunction::Quantile(_) => call
                    .argument
                    .as_ref()
                    .and_then(|e| self.type_of(e))
                    .filter(|kind| matches!(kind, FieldType::Int | FieldType::Float)),
                AggregateFunction::Min
                | AggregateFunction::Max
                | AggregateFunction::First
                | AggregateFunction::Last
                | AggregateFunction::Any => call.argument.as_ref().and_then(|e| self.type_of(e)),
            },
            Expr::Negate(_) | Expr::Case { .. } => None,
        }
    }
}

/// The type of a value; null has none.
pub fn type_of_value(value: &Value) -> Option<FieldType> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => FieldType::Bool,
        Value::Int(_) => FieldType::Int,
        Value::Float(_) => FieldType::Float,
        Value::Time(_) => FieldType::Time,
        Value::Text(_) => FieldType::String,
        Value::List(_) => FieldType::Strings,
        Value::Json(_) => FieldType::Json,
    })
}
