//! What belongs to records, loaded along: `include=queries.results` reads the queries of all records of a page with one
//! statement, and the results of all of these with another: a statement a level, never one a record.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result, nearest_or_first};
use crate::fields::records::Relation;
use crate::limits;
use crate::query::budget::{Budget, Limits};
use crate::query::format::row_json;
use crate::query::keyed::{page as keyed_page, reader};
use crate::query::page::{self, Page, PageRequest};
use crate::query::plan::all_fields;
use crate::query::print::sqlite::keyed::{column, own_name, source};
use crate::store::snapshot::{Dataset, Snapshot};
use crate::time::Calendar;
use crate::value::Value;

type Row = Vec<(Arc<str>, Value)>;

/// The relations to load, and those to load of what they give.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Include(Vec<(String, Include)>);

impl Include {
    /// Whether there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = self.0.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
            self.0.push(((*first).to_owned(), Self::default()));
            self.0.len() - 1
        });
        self.0[at].1.add(rest);
    }
}

/// Reads `a.b,c`: paths along relations.
///
/// # Errors
/// Empty names, and paths that are too long.
pub fn paths(text: Option<&str>) -> Result<Include> {
    let mut include = Include::default();
    for path in text.into_iter().flat_map(|text| text.split(',')) {
        let names: Vec<&str> = path.split('.').map(str::trim).collect();
        if names.iter().any(|name| name.is_empty()) || names.len() > limits::INCLUDE_LEVELS {
            return Err(Error::invalid(format!(
                "include=\"{path}\" is no path of relations; write names with dots between levels, {} at most, and commas \
                 between paths, as in include=queries.results,author",
                limits::INCLUDE_LEVELS
            )));
        }
        include.add(&names);
    }
    Ok(include)
}

/// A page of rows with what belongs to them.
///
/// # Errors
/// As [`page::page`], relations that are not declared, and more records than a level may load.
pub fn page(
    snapshot: &Snapshot,
    secret: &[u8; 32],
    request: &PageRequest,
    include: &Include,
) -> Result<Page> {
    if include.is_empty() {
        return page::page(snapshot, secret, request);
    }
    let dataset = &*request.limits.reach.dataset(snapshot, &request.dataset)?;
    dataset.keyed()?;
    let needed = needed(dataset, include)?;
    // what the relations go by is read too, and told only where it was asked for
    let extra: Vec<Arc<str>> = match &request.fields {
        None => Vec::new(),
        Some(fields) => {
            let named = page::canonical(fields, dataset)?;
            needed.into_iter().filter(|name| !named.contains(name)).collect()
        }
    };
    let mut asked = request.clone();
    if let Some(fields) = &mut asked.fields {
        fields.extend(extra.iter().map(ToString::to_string));
    }
    let mut page = page::page(snapshot, secret, &asked)?;
    load(snapshot, dataset, &mut page.rows, include, &request.limits)?;
    for row in &mut page.rows {
        row.retain(|(name, _)| !extra.contains(name));
    }
    Ok(page)
}

/// What belongs to one record, of which all fields are given.
///
/// # Errors
/// As [`page()`].
pub fn of_one(
    snapshot: &Snapshot,
    dataset: &str,
    row: Row,
    include: &Include,
    limits: &Limits,
) -> Result<Row> {
    let dataset = &*limits.reach.dataset(snapshot, dataset)?;
    let known = row.len();
    let mut rows = [row];
    load(snapshot, dataset, &mut rows, include, limits)?;
    let [row] = rows;
    Ok(row.into_iter().skip(known).collect())
}

/// The fields that relations go by.
fn needed(dataset: &Dataset, include: &Include) -> Result<Vec<Arc<str>>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for (name, _) in &include.0 {
        let relation = relation(dataset, name)?;
        let own = if relation.is_many() { &dataset.declaration.key } else { &relation.by };
        for field in own {
            if !names.iter().any(|known| **known == **field) {
                names.push(field.as_str().into());
            }
        }
    }
    Ok(names)
}

fn relation<'d>(dataset: &'d Dataset, name: &str) -> Result<&'d Relation> {
    dataset.declaration.relations.get(name).ok_or_else(|| {
        let known = dataset.declaration.relations.keys().map(String::as_str);
        let hint = nearest_or_first(name, known);
        Error::invalid(format!(
            "\"{}\" has no relation \"{name}\"{hint}; relations are declared with the dataset",
            dataset.name
        ))
    })
}

/// Adds what belongs to rows, level by level.
fn load(
    snapshot: &Snapshot,
    dataset: &Dataset,
    rows: &mut [Row],
    include: &Include,
    limits: &Limits,
) -> Result<()> {
    for (name, deeper) in &include.0 {
        let relation = relation(dataset, name)?;
        let other = &*limits.reach.dataset(snapshot, relation.dataset())?;
        other.keyed()?;
        let (own, theirs) = match relation.is_many() {
            true => (&dataset.declaration.key, &relation.by),
            false => (&relation.by, &other.declaration.key),
        };
        if own.len() != theirs.len() {
            return Err(Error::invalid(format!(
                "the relation \"{name}\" of \"{}\" goes by {} fields, and the key has {}",
                dataset.name,
                relation.by.len(),
                own.len().max(theirs.len())
            )));
        }
        let key_of = |row: &Row, names: &[String]| -> Option<Vec<Value>> {
            let value =
                |name: &String| row.iter().find(|(known, _)| **known == **name).map(|(_, v)| v.clone());
            names.iter().map(value).map(|value| value.filter(|value| !value.is_null())).collect()
        };
        let mut wanted: Vec<Vec<Value>> = rows.iter().filter_map(|row| key_of(row, own)).collect();
        wanted.sort_by(|a, b| {
            a.iter()
                .zip(b)
                .map(|(a, b)| a.compare(b))
                .find(|o| o.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        wanted.dedup();
        let mut found = level(other, theirs, &wanted, limits)?;
        load(snapshot, other, &mut found, deeper, limits)?;
        let mut by_key: HashMap<Vec<Value>, Vec<String>> = HashMap::new();
        for row in found {
            let Some(key) = key_of(&row, theirs) else { continue };
            let text = String::from_utf8_lossy(row_json(&row).trim_ascii_end()).into_owned();
            by_key.entry(key).or_default().push(text);
        }
        for row in rows.iter_mut() {
            let of_row = key_of(row, own).and_then(|key| by_key.get(&key));
            let value = match (relation.is_many(), of_row) {
                (true, of_row) => {
                    Value::Json(format!("[{}]", of_row.map_or(String::new(), |all| all.join(","))).into())
                }
                (false, Some(of_row)) => {
                    of_row.first().map_or(Value::Null, |one| Value::Json(one.as_str().into()))
                }
                (false, None) => Value::Null,
            };
            row.push((name.as_str().into(), value));
        }
    }
    Ok(())
}

/// The records of a dataset whose fields have one of these values, in order of `_seq`: one statement.
fn level(dataset: &Dataset, by: &[String], wanted: &[Vec<Value>], limits: &Limits) -> Result<Vec<Row>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let own = own_name(dataset);
    let fields: Vec<Arc<str>> = all_fields(dataset).collect();
    let list = fields.iter().map(|name| Ok(column(dataset, &own, name)?.sql)).collect::<Result<Vec<_>>>()?;
    let columns = by
        .iter()
        .map(|name| Ok(column(dataset, &own, &crate::query::plan::field_name(name, dataset)?)?.sql))
        .collect::<Result<Vec<_>>>()?;
    let mut place = 0;
    let mut values = || {
        let places: Vec<String> = (0..by.len())
            .map(|_| {
                place += 1;
                format!("?{place}")
            })
            .collect();
        places.join(", ")
    };
    let all: Vec<String> = wanted.iter().map(|_| values()).collect();
    let condition = match columns.as_slice() {
        [one] => format!("{one} IN ({})", all.join(", ")),
        several => format!("({}) IN (VALUES ({}))", several.join(", "), all.join("), (")),
    };
    let most = limits::INCLUDED_RECORDS;
    let sql = format!(
        "SELECT {} FROM {} WHERE {condition} ORDER BY {own}._seq LIMIT {}",
        list.join(", "),
        source(dataset, false),
        most + 1
    );
    let reader = reader::open(dataset.keyed()?, &Calendar::default(), &Budget::new(limits))?;
    let parameters: Vec<Value> = wanted.iter().flatten().cloned().collect();
    let (rows, _) = reader.rows(&sql, &parameters)?;
    if rows.len() > most {
        return Err(Error::TooLarge(format!(
            "more than {most} records of \"{}\" belong to the rows of this page; ask for fewer rows with limit",
            dataset.name
        )));
    }
    Ok(rows.iter().map(|values| keyed_page::named(&fields, values, false)).collect())
}
