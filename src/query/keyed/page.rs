//! Pages of records by cursor, or by number. What comes behind a place in an order is a few ranges one after the other:
//! with the order `a,b` first the rows of the same a and b with a later `_seq`, then those of the same a with a later b,
//! then those with a later a, then those without an a. Each is one SELECT that begins at its place in an index of that
//! order, if there is one, so a page costs the same at any depth; nothing behind the last row of the page is read.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fields::records::VERSION;
use crate::query::budget::Budget;
use crate::query::cursor::Cursor;
use crate::query::keyed::reader::{self, Reader};
use crate::query::page::{Page, PageRequest, canonical, checked_cursor, checked_limit, order_keys};
use crate::query::plan::all_fields;
use crate::query::print::sqlite::keyed::{column, own_name, source};
use crate::query::print::sqlite::{Printed, mixes, stored_expression, stored_literal};
use crate::query::{filter, parse, plan};
use crate::store::snapshot::Dataset;
use crate::store::values::sort_key;
use crate::time::Calendar;
use crate::value::Value;

/// One part of an order.
struct Key {
    printed: Printed,
    /// Largest first, as the page goes.
    descending: bool,
    /// Whether rows without a value come before all others, as the page goes.
    nulls_first: bool,
    is_nullable: bool,
}

/// Rows that come one after the other: those for which some conditions hold, in an order.
struct Section {
    conditions: Vec<String>,
    order: Vec<String>,
}

/// Reads one page of records.
///
/// # Errors
/// As [`page`](crate::query::page::page).
pub fn page(dataset: &Dataset, secret: &[u8; 32], request: &PageRequest) -> Result<Page> {
    let limit = checked_limit(request)?;
    let cursor = request.cursor.as_deref().map(|text| checked_cursor(text, secret, request)).transpose()?;
    let filter_text = cursor.as_ref().map_or(request.filter.as_ref(), |c| c.filter.as_ref());
    let order_text = cursor.as_ref().map_or(request.order.as_ref(), |c| c.order.as_ref());
    let may_fail = filter_text.map_or(Ok(false), |text| parse::filter(text).map(|e| filter::may_fail(&e)))?;
    let filter = filter_text.map(|text| condition(text, dataset)).transpose()?;
    let backward = cursor.as_ref().is_some_and(|c| c.backward);
    let keys = keys(order_text.map(String::as_str), dataset, backward)?;
    let fields: Vec<Arc<str>> = match &request.fields {
        Some(names) => canonical(names, dataset)?,
        None => all_fields(dataset).collect(),
    };
    let budget = Budget::new(&request.limits);
    let reader = reader::open(dataset.keyed()?, &Calendar::default(), &budget)?;
    let list = Listed { dataset, keys: &keys, fields: &fields, filter: filter.as_deref(), may_fail };
    let skipped = request.page.map_or(0, |number| number.saturating_sub(1).saturating_mul(limit));
    // one more than the page tells whether there is another page
    let mut rows = match request.page {
        Some(_) => list.by_number(&reader, limit + 1, skipped)?,
        None => {
            let after = cursor.as_ref().map(|c| (c.keys.as_slice(), c.seq));
            if after.is_some_and(|(values, _)| values.len() + 1 != keys.len()) {
                return Err(Error::invalid(
                    "the order of the rows is another by now; begin again without a cursor",
                ));
            }
            list.behind(&reader, after, limit + 1)?
        }
    };
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    if backward {
        rows.reverse();
    }
    let place = |row: Option<&Vec<Value>>, backward| {
        row.map(|row| {
            let cursor = Cursor {
                dataset: request.dataset.clone(),
                filter: filter_text.cloned(),
                order: order_text.cloned(),
                backward,
                keys: row.iter().skip(1).take(keys.len() - 1).cloned().collect(),
                seq: seq_of(row),
                reach: request.limits.reach.filter().map(str::to_owned),
            };
            cursor.sign(secret)
        })
    };
    let has_next = if backward { cursor.is_some() } else { has_more };
    let has_prev = if backward { has_more } else { cursor.is_some() || skipped > 0 };
    let total = request.count.then(|| list.count(&reader)).transpose()?;
    Ok(Page {
        next: place(rows.last(), false).filter(|_| has_next),
        prev: place(rows.first(), true).filter(|_| has_prev),
        rows: rows.iter().map(|row| named(&fields, &row[keys.len()..], request.fields.is_some())).collect(),
        total,
    })
}

/// A condition of a page as SQL.
///
/// # Errors
/// Text that is no condition, and unknown names.
pub fn condition(text: &str, dataset: &Dataset) -> Result<String> {
    let resolved = plan::condition(parse::filter(text)?, dataset)?;
    let own = own_name(dataset);
    Ok(stored_expression(&resolved, &|name| column(dataset, &own, name))?.condition())
}

/// Values of fields under their names; without those that are null where all fields were meant.
pub fn named(fields: &[Arc<str>], values: &[Value], keeps_nulls: bool) -> Vec<(Arc<str>, Value)> {
    let row = fields.iter().zip(values).filter(|(_, value)| keeps_nulls || !value.is_null());
    row.map(|(name, value)| (Arc::clone(name), value.clone())).collect()
}

fn seq_of(row: &[Value]) -> i64 {
    row.first().and_then(Value::as_int).unwrap_or_default()
}

/// The parts of an order; the last is `_seq`, in the direction of the part before it.
fn keys(text: Option<&str>, dataset: &Dataset, backward: bool) -> Result<Vec<Key>> {
    let mut named = order_keys(text, dataset)?;
    // without a time field `_time` is that of arrival, in which `_seq` counts
    if text.is_none_or(|text| text.trim().is_empty()) && dataset.time_field.is_none() {
        named.clear();
    }
    let last = named.last().is_none_or(|(_, descending)| *descending);
    named.push(("_seq".into(), last));
    let own = own_name(dataset);
    let key = |(name, descending): (Arc<str>, bool)| {
        Ok(Key {
            printed: column(dataset, &own, &name)?,
            descending: descending ^ backward,
            nulls_first: backward,
            is_nullable: is_nullable(&name, dataset),
        })
    };
    named.into_iter().map(key).collect()
}

fn is_nullable(name: &str, dataset: &Dataset) -> bool {
    let is_own = matches!(name, "_time" | "_seq" | "_id" | VERSION);
    let declared = &dataset.declaration;
    let is_required = declared.fields.get(name).is_some_and(|field| field.required && !field.lazy);
    !is_own && !is_required && !declared.key.iter().any(|key| key == name)
}

impl Key {
    fn order(&self, can_be_null: bool) -> String {
        let direction = if self.descending { " DESC" } else { "" };
        // SQLite takes null for the least value: only where that is not meant it is said
        let is_native = self.descending != self.nulls_first;
        let nulls = match (can_be_null && self.is_nullable && !is_native, self.nulls_first) {
            (false, _) => "",
            (true, true) => " NULLS FIRST",
            (true, false) => " NULLS LAST",
        };
        format!("{}{direction}{nulls}", self.printed.sort_key())
    }

    fn value(&self, value: &Value) -> String {
        match mixes(self.printed.kinds) {
            true => stored_literal(&sort_key(value.clone())),
            false => stored_literal(value),
        }
    }

    fn is_at(&self, value: &Value) -> String {
        match value.is_null() {
            true => format!("{} IS NULL", self.printed.sql),
            false => format!("{} = {}", self.printed.sort_key(), self.value(value)),
        }
    }

    /// What is behind a value: with values, then without.
    fn behind(&self, value: &Value) -> Vec<String> {
        let expression = self.printed.sort_key();
        let operator = if self.descending { "<" } else { ">" };
        let mut ranges = Vec::new();
        match (value.is_null(), self.nulls_first) {
            (true, true) => ranges.push(format!("{expression} IS NOT NULL")),
            (true, false) => {}
            (false, _) => ranges.push(format!("{expression} {operator} {}", self.value(value))),
        }
        if !value.is_null() && !self.nulls_first && self.is_nullable {
            ranges.push(format!("{expression} IS NULL"));
        }
        ranges
    }
}

/// What is listed of which records.
struct Listed<'a> {
    dataset: &'a Dataset,
    keys: &'a [Key],
    fields: &'a [Arc<str>],
    filter: Option<&'a str>,
    may_fail: bool,
}

impl Listed<'_> {
    /// The first rows behind a place, or of all: `_seq`, the other keys, the fields.
    fn behind(
        &self,
        reader: &Reader,
        after: Option<(&[Value], i64)>,
        wanted: usize,
    ) -> Result<Vec<Vec<Value>>> {
        let mut found = Vec::new();
        for section in self.sections(after) {
            let (rows, _) = reader.rows(&self.select(&section, wanted - found.len(), 0)?, &[])?;
            found.extend(rows);
            if found.len() >= wanted {
                break;
            }
        }
        Ok(found)
    }

    fn by_number(&self, reader: &Reader, wanted: usize, skipped: usize) -> Result<Vec<Vec<Value>>> {
        // where a condition may fail, or some rows alone are there, the number of all tells what is to stay untold
        let counts_all = self.filter.is_none() && self.dataset.within.is_none();
        if counts_all && skipped as u64 > self.dataset.rows() {
            return Ok(Vec::new());
        }
        let order = self.keys.iter().map(|key| key.order(true)).collect();
        let section = Section { conditions: Vec::new(), order };
        reader.rows(&self.select(&section, wanted, skipped)?, &[]).map(|(rows, _)| rows)
    }

    fn count(&self, reader: &Reader) -> Result<u64> {
        let filter = match (self.filter, &self.dataset.within) {
            (None, None) => return Ok(self.dataset.rows()),
            (filter, _) => filter.unwrap_or("1"),
        };
        let from = source(self.dataset, self.may_fail);
        let sql = format!("SELECT count(*) FROM {from} WHERE {filter}");
        let (rows, _) = reader.rows(&sql, &[])?;
        Ok(rows.first().map_or(0, |row| seq_of(row)).unsigned_abs())
    }

    fn sections(&self, after: Option<(&[Value], i64)>) -> Vec<Section> {
        let order_from = |first: usize, can_be_null: bool| {
            let rest = self.keys.iter().enumerate().skip(first);
            rest.map(|(at, key)| key.order(at > first || can_be_null)).collect()
        };
        let Some((values, seq)) = after else {
            let first = &self.keys[0];
            if !first.is_nullable || first.descending {
                return vec![Section { conditions: Vec::new(), order: order_from(0, true) }];
            }
            let is_null = format!("{} IS NULL", first.printed.sort_key());
            let is_not_null = format!("{} IS NOT NULL", first.printed.sort_key());
            return vec![
                Section { conditions: vec![is_not_null], order: order_from(0, false) },
                Section { conditions: vec![is_null], order: order_from(1, true) },
            ];
        };
        let seq = Value::Int(seq);
        let values: Vec<&Value> = values.iter().chain([&seq]).collect();
        let mut sections = Vec::new();
        for depth in (0..self.keys.len()).rev() {
            let same = || self.keys.iter().zip(&values).take(depth).map(|(key, value)| key.is_at(value));
            for range in self.keys[depth].behind(values[depth]) {
                let is_of_nulls = range.ends_with("IS NULL");
                let conditions = same().chain([range]).collect();
                let order = order_from(if is_of_nulls { depth + 1 } else { depth }, is_of_nulls);
                sections.push(Section { conditions, order });
            }
        }
        sections
    }

    /// The SELECT of a section.
    fn select(&self, section: &Section, limit: usize, offset: usize) -> Result<String> {
        let own = own_name(self.dataset);
        let mut list = vec![format!("{own}._seq")];
        list.extend(self.keys[..self.keys.len() - 1].iter().map(|key| key.printed.sql.clone()));
        for field in self.fields {
            list.push(column(self.dataset, &own, field)?.sql);
        }
        let conditions: Vec<&str> =
            self.filter.into_iter().chain(section.conditions.iter().map(String::as_str)).collect();
        let filter = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let order = match section.order.is_empty() {
            true => String::new(),
            false => format!(" ORDER BY {}", section.order.join(", ")),
        };
        let offset = if offset == 0 { String::new() } else { format!(" OFFSET {offset}") };
        let from = source(self.dataset, self.may_fail);
        Ok(format!("SELECT {} FROM {from}{filter}{order} LIMIT {limit}{offset}", list.join(", ")))
    }
}
