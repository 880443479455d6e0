//! `"compare": "previous"`: the same question about the period before, and its aggregates beside those of the range.
//! Called by `run`, which then has both in one answer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::query::execute::{self, Output};
use crate::query::language::{Item, Query, Range};
use crate::query::plan::{self, Plan};
use crate::query::series::Series;
use crate::store::snapshot::Dataset;
use crate::value::Value;

/// Adds a column `<name>.previous` for each aggregate; the result is the period that they are of. The keys are the
/// first columns of a row, as they are in every query that can ask for it. A row is compared with the group of the same
/// keys in the period before, its bucket with the one at the same place there; where that period has no such bucket the
/// new columns are null.
///
/// # Errors
/// `Invalid` for a query without a range that has both ends, without aggregates, or by a bucket that is none of `_time`.
pub fn add_previous(query: &Query, plan: &mut Plan, dataset: &Dataset, output: &mut Output) -> Result<Range> {
    let before = check(query, plan)?;
    let keys = query.by.len();
    let compared: Vec<usize> =
        (keys..query.select.len()).filter(|at| query.select[*at].expression.has_aggregate()).collect();
    let places = plan.series.first().map(|series| Places::new(series, query, &before)).transpose()?;
    let previous_key = |row: &[Value]| -> Option<Vec<Value>> {
        let mut key = row[..keys].to_vec();
        if let Some(places) = &places {
            key[places.key] = places.previous(&key[places.key])?;
        }
        Some(key)
    };

    let wanted: Vec<Vec<Value>> = output.rows.iter().filter_map(|row| previous_key(row)).collect();
    let earlier = earlier(query, before);
    // one question, one budget
    let (budget, cache) = (Arc::clone(&plan.budget), plan.cache.clone());
    let earlier = Plan { budget, cache, ..plan::plan(&earlier, dataset)? };
    let found = execute::execute(&earlier, dataset, Some(&wanted))?;
    let found_rows = found.rows.iter().map(|row| (&row[..keys], row));
    let by_key: HashMap<&[Value], &Vec<Value>> = found_rows.collect();
    for row in &mut output.rows {
        let previous = previous_key(row).and_then(|key| by_key.get(key.as_slice()).copied());
        let cells = compared.iter().map(|at| previous.map_or(Value::Null, |found| found[*at].clone()));
        row.extend(cells.collect::<Vec<_>>());
    }
    for at in compared {
        plan.names.push(format!("{}.previous", plan.names[at]));
        plan.types.push(plan.types[at]);
    }
    output.rows_scanned += found.rows_scanned;
    output.rows_kept += found.rows_kept;
    output.segments += found.segments;
    Ok(before)
}

fn check(query: &Query, plan: &Plan) -> Result<Range> {
    if !query.select.iter().any(|Item { expression, .. }| expression.has_aggregate()) {
        return Err(Error::invalid(
            "/compare: there is no aggregate to compare; add one to \"select\", such as \"count()\"",
        ));
    }
    if plan.series.len() > 1 || plan.series.iter().any(|series| !series.is_of_events) {
        return Err(Error::invalid(
            "/compare: periods are compared by one bucket of _time at most; group by one, such as \"day(_time)\"",
        ));
    }
    if query.range.from.is_none() || query.range.to.is_none() {
        return Err(Error::invalid(
            "/compare: a range with both ends is needed, as in \"range\": {\"last\": \"30d\"}, to know what was before",
        ));
    }
    let before = query.range.before(&query.calendar);
    before.ok_or_else(|| Error::invalid("/compare: the period before the range begins before all time"))
}

/// The question about the period before, in any order: which groups it is about, the rows of the range say.
fn earlier(query: &Query, range: Range) -> Query {
    Query {
        range,
        fill: false,
        compare: false,
        having: None,
        order: Vec::new(),
        limit: None,
        offset: 0,
        distinct: false,
        ..query.clone()
    }
}

/// The start of each bucket's counterpart in the period before.
struct Places {
    key: usize,
    previous: HashMap<i64, i64>,
}

impl Places {
    fn new(series: &Series, query: &Query, before: &Range) -> Result<Self> {
        let there = series.places(before)?;
        let mut by_place = HashMap::with_capacity(there.len());
        for (start, place) in there {
            // of an hour that the clock repeats the first
            by_place.entry(place).or_insert(start);
        }
        let here = series.places(&query.range)?;
        let pairs = here.into_iter().filter_map(|(start, place)| Some((start, *by_place.get(&place)?)));
        Ok(Self { key: series.key, previous: pairs.collect() })
    }

    fn previous(&self, bucket: &Value) -> Option<Value> {
        match bucket {
            Value::Time(start) => self.previous.get(start).copied().map(Value::Time),
            _ => None,
        }
    }
}
