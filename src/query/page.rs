//! Pages of rows by cursor. A page is found by its place, never by counting rows before it, so any page costs the
//! same at any depth and rows added meanwhile move nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rayon::prelude::*;

use crate::columnar::TIME;
use crate::columnar::column::Column;
use crate::error::{Error, Result};
use crate::limits;
use crate::query::budget::{Budget, Limits};
use crate::query::cursor::Cursor;
use crate::query::expression::Expr;
use crate::query::filter::Filter;
use crate::query::functions::Context;
use crate::query::place::PageOrder;
use crate::query::seek::{Found, Seek};
use crate::query::view::{self, Ids};
use crate::query::{keyed, parse, plan};
use crate::store::part::Part;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::value::Value;

/// What a page is asked with; texts as the client sent them.
#[derive(Debug, Default, Clone)]
pub struct PageRequest {
    /// The dataset.
    pub dataset: String,
    /// Rows that count: a SQL expression.
    pub filter: Option<String>,
    /// `-a,b`: descending by a, then ascending by b.
    pub order: Option<String>,
    /// Exactly these fields, in this order.
    pub fields: Option<Vec<String>>,
    /// Rows at most.
    pub limit: Option<usize>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Whether all matching rows are to be counted.
    pub count: bool,
    /// Page number from 1, where page numbers are wanted instead of cursors.
    pub page: Option<usize>,
    /// What it may take.
    pub limits: Limits,
}

/// One page.
#[derive(Debug, Default)]
pub struct Page {
    /// Rows as names and values. With `fields` every row has all of them; else nulls are left out.
    pub rows: Vec<Vec<(Arc<str>, Value)>>,
    /// Cursor of the page after this one.
    pub next: Option<String>,
    /// Cursor of the page before this one.
    pub prev: Option<String>,
    /// All matching rows, where they were to be counted.
    pub total: Option<u64>,
}

/// Reads one page. `secret` signs the cursors.
///
/// # Errors
/// Unknown dataset or field, a limit above [`limits::PAGE_ROWS`], a cursor that is altered or of another query.
pub fn page(snapshot: &Snapshot, secret: &[u8; 32], request: &PageRequest) -> Result<Page> {
    let dataset = &*request.limits.reach.dataset(snapshot, &request.dataset)?;
    if dataset.keyed.is_some() {
        return keyed::page::page(dataset, secret, request);
    }
    let limit = checked_limit(request)?;
    let cursor = request.cursor.as_deref().map(|text| checked_cursor(text, secret, request)).transpose()?;
    let filter_text = cursor.as_ref().map_or(request.filter.as_ref(), |c| c.filter.as_ref());
    let order_text = cursor.as_ref().map_or(request.order.as_ref(), |c| c.order.as_ref());
    let filter = filter_text.map(|text| plan::condition(parse::filter(text)?, dataset)).transpose()?;
    let fields = request.fields.as_ref().map(|names| canonical(names, dataset)).transpose()?;
    let backward = cursor.as_ref().is_some_and(|c| c.backward);
    let skipped = request.page.map_or(0, |number| number.saturating_sub(1).saturating_mul(limit));
    let budget = Budget::new(&request.limits);
    let seek = Seek {
        dataset,
        filter: filter.as_ref(),
        order: PageOrder::new(order_keys(order_text.map(String::as_str), dataset)?, backward),
        after: cursor.as_ref().map(|c| (c.keys.as_slice(), c.seq)),
        // one more than the page tells whether there is another page
        wanted: skipped.saturating_add(limit).saturating_add(1),
        budget: Arc::clone(&budget),
    };
    // a page beyond the end has nothing to look for
    let counts_all = dataset.within.is_none() && request.filter.is_none();
    let is_beyond = counts_all && skipped > 0 && skipped as u64 >= dataset.rows();
    let mut found = if is_beyond { Vec::new() } else { seek.run()? };
    found.drain(..skipped.min(found.len()));
    let has_more = found.len() > limit;
    found.truncate(limit);
    if backward {
        found.reverse();
    }
    let place = |at: Option<&Found>, backward| {
        at.map(|found| {
            let cursor = Cursor {
                dataset: request.dataset.clone(),
                filter: filter_text.cloned(),
                order: order_text.cloned(),
                backward,
                keys: found.keys.clone(),
                seq: found.seq,
                reach: request.limits.reach.filter().map(str::to_owned),
            };
            cursor.sign(secret)
        })
    };
    let has_next = if backward { cursor.is_some() } else { has_more };
    let has_prev = if backward { has_more } else { cursor.is_some() || skipped > 0 };
    let total = request.count.then(|| count(dataset, filter.as_ref(), &budget)).transpose()?;
    Ok(Page {
        next: place(found.last(), false).filter(|_| has_next),
        prev: place(found.first(), true).filter(|_| has_prev),
        rows: materialise(dataset, &found, fields.as_deref(), &budget)?,
        total,
    })
}

pub(super) fn checked_limit(request: &PageRequest) -> Result<usize> {
    match request.limit.unwrap_or(limits::PAGE_ROWS_DEFAULT) {
        limit @ 1..=limits::PAGE_ROWS => Ok(limit),
        limit => Err(Error::invalid(format!(
            "a page has a limit of 1 to {} rows, not {limit}; take further rows by cursor",
            limits::PAGE_ROWS
        ))),
    }
}

pub(super) fn checked_cursor(text: &str, secret: &[u8; 32], request: &PageRequest) -> Result<Cursor> {
    let cursor = Cursor::verify(text, secret)?;
    let differs = |name: &str, kept: &Option<String>, sent: &Option<String>| {
        (sent.is_some() && sent != kept).then(|| {
            Error::invalid(format!(
                "the cursor belongs to another {name}; repeat {name} unchanged, leave it out, or begin again without the cursor"
            ))
        })
    };
    if cursor.dataset != request.dataset {
        return Err(Error::invalid(format!(
            "the cursor belongs to the dataset \"{}\"; begin again without it",
            cursor.dataset
        )));
    }
    if cursor.reach.as_deref() != request.limits.reach.filter() {
        return Err(Error::invalid(
            "the cursor was given to someone of another reach; begin again without it",
        ));
    }
    if request.page.is_some() {
        return Err(Error::invalid("page and cursor exclude each other; leave one of them out"));
    }
    let problem = differs("where", &cursor.filter, &request.filter)
        .or_else(|| differs("order", &cursor.order, &request.order));
    problem.map_or(Ok(cursor), Err)
}

/// The fields that names mean, each once.
///
/// # Errors
/// Unknown names, and one that is named twice.
pub fn canonical(names: &[String], dataset: &Dataset) -> Result<Vec<Arc<str>>> {
    let mut known: Vec<Arc<str>> = Vec::with_capacity(names.len());
    for name in names {
        let field = plan::field_name(name, dataset)?;
        if known.contains(&field) {
            return Err(Error::invalid(format!("fields names \"{field}\" twice; a row has each field once")));
        }
        known.push(field);
    }
    Ok(known)
}

/// `-a,b` as names and whether each is descending; without an order the newest come first.
pub(super) fn order_keys(text: Option<&str>, dataset: &Dataset) -> Result<Vec<(Arc<str>, bool)>> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(vec![(TIME.into(), true)]);
    };
    let key = |part: &str| {
        let part = part.trim();
        if part.trim_start_matches(['-', '+']).is_empty() {
            return Err(Error::invalid(format!(
                "\"{text}\" is no order: a field is missing, as in order=-a,b"
            )));
        }
        let (name, descending) = part.strip_prefix('-').map_or((part, false), |name| (name, true));
        Ok((plan::field_name(name.trim_start_matches('+'), dataset)?, descending))
    };
    text.split(',').map(key).collect()
}

fn count(dataset: &Dataset, filter: Option<&Expr>, budget: &Arc<Budget>) -> Result<u64> {
    if filter.is_none() && dataset.within.is_none() {
        return Ok(dataset.rows());
    }
    let filter = Filter::new(filter);
    filter
        .parts(dataset)?
        .par_iter()
        .map_init(
            || Context::within(jiff::tz::TimeZone::UTC, Arc::clone(budget)),
            |context, part| {
                budget.check()?;
                filter.rows(dataset, part, context).map(|bits| bits.count_ones() as u64)
            },
        )
        .sum()
}

type Row = Vec<(Arc<str>, Value)>;

/// What the rows of one part are made of, looked up once.
struct Columns {
    ids: Option<Ids>,
    /// `_seq` and `_id` have no column: they are made for the few rows of a page.
    named: Vec<(Arc<str>, Option<Arc<Column>>)>,
}

/// The cells of the rows found: only now is anything read but keys and conditions.
fn materialise(
    dataset: &Dataset,
    found: &[Found],
    fields: Option<&[Arc<str>]>,
    budget: &Arc<Budget>,
) -> Result<Vec<Row>> {
    let mut meter = budget.meter();
    let mut known: HashMap<(i64, usize), Columns> = HashMap::new();
    let mut row_of = |found: &Found| -> Result<Row> {
        let columns = match known.entry(found.part.key()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Columns::new(dataset, &found.part, fields)?),
        };
        let cells =
            columns.named.iter().map(|(name, column)| (Arc::clone(name), columns.cell(found, name, column)));
        let row: Row = cells.filter(|(_, value)| fields.is_some() || !value.is_null()).collect();
        meter.count(row.iter().map(|(name, value)| size_of_val(name) + value.bytes()).sum())?;
        Ok(row)
    };
    found.iter().map(&mut row_of).collect()
}

impl Columns {
    fn new(dataset: &Dataset, part: &Part, fields: Option<&[Arc<str>]>) -> Result<Self> {
        let names = fields.map_or_else(|| all_names(dataset, part), <[Arc<str>]>::to_vec);
        let column = |name: Arc<str>| match &*name {
            "_seq" | "_id" => Ok((name, None)),
            _ => view::column(dataset, part, &name).map(|column| (name, Some(column))),
        };
        let has_ids = names.iter().any(|name| &**name == "_id");
        let ids = has_ids.then(|| Ids::new(dataset, part)).transpose()?;
        Ok(Self { ids, named: names.into_iter().map(column).collect::<Result<_>>()? })
    }

    fn cell(&self, found: &Found, name: &str, column: &Option<Arc<Column>>) -> Value {
        match (column, &self.ids) {
            (Some(column), _) => column.get(found.row),
            (None, Some(ids)) if name == "_id" => ids.get(found.row, found.seq),
            (None, _) => Value::Int(found.seq),
        }
    }
}

/// The engine's own first, then the fields of the part in the dataset's order.
fn all_names(dataset: &Dataset, part: &Part) -> Vec<Arc<str>> {
    let place = |name: &&Arc<str>| dataset.fields.position(name);
    let mut fields: Vec<(usize, &Arc<str>)> =
        part.fields().into_iter().filter_map(|name| place(&name).map(|at| (at, name))).collect();
    fields.sort_unstable_by_key(|(at, _)| *at);
    let system = [TIME, "_seq", "_id"].into_iter().map(Arc::from);
    system.chain(fields.into_iter().map(|(_, name)| Arc::clone(name))).collect()
}
