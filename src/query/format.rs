//! Answers and pages as bytes: JSON, CSV and NDJSON. HTTP picks one by `Accept`, the command line by `--format`; a new
//! form is a row of [`Format::ALL`] and a function here. Tables and charts for people are in `cli/terminal`.

use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::error::{Error, Result, nearest};
use crate::query::answer::Answer;
use crate::query::language::Range;
use crate::query::page::Page;
use crate::time;
use crate::value::{Value, write_json_string};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The contract's tabular reply.
    Json,
    /// A header line, then a line a row.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

impl Format {
    /// Every format with its name and its media type.
    pub const ALL: [(Format, &'static str, &'static str); 3] = [
        (Self::Json, "json", "application/json"),
        (Self::Csv, "csv", "text/csv; charset=utf-8"),
        (Self::Ndjson, "ndjson", "application/x-ndjson"),
    ];

    fn row(self) -> (Self, &'static str, &'static str) {
        Self::ALL.into_iter().find(|(format, ..)| *format == self).unwrap_or(Self::ALL[0])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its media type, as a reply's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        self.row().2
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(format, ..)| *format).ok_or_else(|| {
            let names = Self::ALL.map(|(_, known, _)| known);
            let hint = nearest(name, names.into_iter());
            Error::invalid(format!("\"{name}\" is no format; formats are {}{hint}", names.join(", ")))
        })
    }
}

/// An answer in a format.
///
/// ```
/// use windrow::query::answer::{Answer, AnswerColumn, Stats};
/// use windrow::query::format::{Format, answer};
/// use windrow::query::language::Range;
/// let count = AnswerColumn { name: "n".into(), kind: "int" };
/// let tz = jiff::tz::TimeZone::UTC;
/// let rows = vec![vec![windrow::value::Value::Int(7)]];
/// let stats = Stats::default();
/// let found = Answer { columns: vec![count], rows, next: None, stats, tz, series: None, range: Range::default(), previous: None };
/// assert_eq!(answer(&found, Format::Csv)?, b"n\n7\n");
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn answer(answer: &Answer, format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Json => Ok(json(answer)),
        Format::Csv => csv(answer),
        Format::Ndjson => Ok(ndjson(answer)),
    }
}

/// The tabular reply: `columns`, `rows`, `next`, `stats`, and `series` where the rows are one.
pub fn json(answer: &Answer) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + answer.rows.len() * answer.columns.len() * 12);
    out.push(b'{');
    table(answer, &mut out);
    out.extend_from_slice(b",\"next\":");
    optional(&answer.next, &mut out);
    let stats = &answer.stats;
    let text = format!(
        ",\"stats\":{{\"elapsed_ms\":{:.3},\"rows_scanned\":{},\"segments\":{},\"cache\":\"{}\",\"engine\":\"{}\",\"approximate\":{}}}",
        stats.elapsed_ms, stats.rows_scanned, stats.segments, stats.cache, stats.engine, stats.approximate
    );
    out.extend_from_slice(text.as_bytes());
    if let Some(series) = &answer.series {
        out.extend_from_slice(b",\"series\":{\"column\":");
        let column = answer.columns.get(series.column).map_or("", |column| column.name.as_str());
        write_json_string(column, &mut out);
        let text = format!(
            ",\"bucket\":\"{}\",\"partial\":{:?},\"gaps\":{:?}}}",
            series.bucket.name(),
            series.partial,
            series.gaps
        );
        out.extend_from_slice(text.replace(", ", ",").as_bytes());
    }
    for (name, range) in [("range", Some(answer.range)), ("previous", answer.previous)] {
        if let Some(range) = range.filter(|range| *range != Range::default()) {
            out.extend_from_slice(format!(",\"{name}\":{{").as_bytes());
            for (place, (end, at)) in [("from", range.from), ("to", range.to)].into_iter().enumerate() {
                out.extend_from_slice(format!("{}\"{end}\":", if place > 0 { "," } else { "" }).as_bytes());
                cell_json(&at.map_or(Value::Null, Value::Time), &answer.tz, &mut out);
            }
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"}\n");
    out
}

/// `"columns"` and `"rows"` of the tabular reply, without the braces around them: what is the same whenever it is asked.
pub fn table_json(answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    table(answer, &mut out);
    out
}

fn table(answer: &Answer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"columns\":");
    list(out, &answer.columns, |out, column| {
        out.extend_from_slice(b"{\"name\":");
        write_json_string(&column.name, out);
        out.extend_from_slice(b",\"type\":");
        write_json_string(column.kind, out);
        out.push(b'}');
    });
    out.extend_from_slice(b",\"rows\":");
    list(out, &answer.rows, |out, row| list(out, row, |out, value| cell_json(value, &answer.tz, out)));
}

/// A header line with the names, then a line a row; null is nothing.
///
/// # Errors
/// A bug: memory is always writable.
pub fn csv(answer: &Answer) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(answer.columns.iter().map(|column| &column.name)).map_err(unwritten)?;
    for row in &answer.rows {
        writer.write_record(row.iter().map(|value| cell_text(value, &answer.tz))).map_err(unwritten)?;
    }
    writer.into_inner().map_err(|e| Error::Internal(format!("CSV: {e}")))
}

/// An object a row, in the order of the columns.
pub fn ndjson(answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    for row in &answer.rows {
        let named = answer.columns.iter().map(|column| column.name.as_str()).zip(row);
        object(named, &answer.tz, &mut out);
        out.push(b'\n');
    }
    out
}

/// The place of a page among pages that have numbers.
#[derive(Debug, Clone, Copy)]
pub struct PageNumber {
    /// From 1.
    pub page: usize,
    /// Rows of a page.
    pub per_page: usize,
}

impl PageNumber {
    /// How many pages so many rows make; without rows there is one, which is empty.
    pub fn pages(self, total: u64) -> u64 {
        total.div_ceil(self.per_page.max(1) as u64).max(1)
    }
}

/// A page as JSON: `rows`, `next`, `prev`, and `total` where it was counted; with `page`, `pages`, `has_next` and
/// `has_prev` where pages have numbers.
pub fn page_json(page: &Page, number: Option<PageNumber>) -> Vec<u8> {
    let mut out = b"{\"rows\":".to_vec();
    list(&mut out, &page.rows, |out, row| object(named(row), &TimeZone::UTC, out));
    out.extend_from_slice(b",\"next\":");
    optional(&page.next, &mut out);
    out.extend_from_slice(b",\"prev\":");
    optional(&page.prev, &mut out);
    if let Some(total) = page.total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    if let (Some(number), Some(total)) = (number, page.total) {
        let pages = number.pages(total);
        let at = number.page as u64;
        let (next, previous) = (at < pages, at > 1);
        let text = format!(",\"pages\":{pages},\"page\":{at},\"has_next\":{next},\"has_prev\":{previous}");
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(b"}\n");
    out
}

/// Rows that a search found, with the facets and what is told of it; `told` is a JSON object, of which the parts stand
/// beside the rows.
///
/// # Errors
/// A bug.
pub fn found_json(
    page: &Page,
    facets: &[(String, Vec<(Value, u64)>)],
    told: &impl serde::Serialize,
) -> Result<Vec<u8>> {
    let mut out = b"{\"rows\":".to_vec();
    list(&mut out, &page.rows, |out, row| object(named(row), &TimeZone::UTC, out));
    out.extend_from_slice(b",\"facets\":{");
    for (at, (name, values)) in facets.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_json_string(name, &mut out);
        out.push(b':');
        list(&mut out, values, |out, (value, count)| {
            let count = Value::Int(i64::try_from(*count).unwrap_or(i64::MAX));
            object([("value", value), ("count", &count)].into_iter(), &TimeZone::UTC, out);
        });
    }
    out.extend_from_slice(b"},\"next\":");
    optional(&page.next, &mut out);
    if let Some(total) = page.total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    let told = serde_json::to_string(told)
        .map_err(|e| Error::Internal(format!("what is told of a search does not serialize: {e}")))?;
    if let Some(inner) =
        told.strip_prefix('{').and_then(|told| told.strip_suffix('}')).filter(|t| !t.is_empty())
    {
        out.push(b',');
        out.extend_from_slice(inner.as_bytes());
    }
    out.extend_from_slice(b"}\n");
    Ok(out)
}

/// One row as a JSON object.
pub fn row_json(row: &[(std::sync::Arc<str>, Value)]) -> Vec<u8> {
    let mut out = Vec::new();
    object(named(row), &TimeZone::UTC, &mut out);
    out.push(b'\n');
    out
}

/// A page as CSV: the fields asked for, else all names of its rows in the order of their first appearance.
///
/// # Errors
/// A bug: memory is always writable.
pub fn page_csv(page: &Page, fields: Option<&[String]>) -> Result<Vec<u8>> {
    let mut names: Vec<&str> = fields.unwrap_or_default().iter().map(String::as_str).collect();
    if let Some(row) = page.rows.first() {
        // a field asked for in letters of another case is called as in the dataset
        let known = |name: &str| row.iter().any(|(known, _)| **known == *name);
        for name in names.iter_mut().filter(|name| !known(name)) {
            let alike = row.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            *name = alike.map_or(*name, |(known, _)| known);
        }
    }
    if fields.is_none() {
        let mut seen = std::collections::HashSet::new();
        names.extend(page.rows.iter().flatten().map(|(name, _)| &**name).filter(|name| seen.insert(*name)));
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&names).map_err(unwritten)?;
    for row in &page.rows {
        let cells = names.iter().map(|name| {
            let value = row.iter().find(|(known, _)| **known == **name).map(|(_, value)| value);
            value.map_or_else(String::new, |value| cell_text(value, &TimeZone::UTC))
        });
        writer.write_record(cells).map_err(unwritten)?;
    }
    writer.into_inner().map_err(|e| Error::Internal(format!("CSV: {e}")))
}

/// A page as NDJSON: an object a row.
pub fn page_ndjson(page: &Page) -> Vec<u8> {
    let mut out = Vec::new();
    for row in &page.rows {
        object(named(row), &TimeZone::UTC, &mut out);
        out.push(b'\n');
    }
    out
}

fn named(row: &[(Arc<str>, Value)]) -> impl Iterator<Item = (&str, &Value)> {
    row.iter().map(|(name, value)| (&**name, value))
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>, tz: &TimeZone, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, (name, value)) in fields.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_json_string(name, out);
        out.push(b':');
        cell_json(value, tz, out);
    }
    out.push(b'}');
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn optional(text: &Option<String>, out: &mut Vec<u8>) {
    match text {
        Some(text) => write_json_string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn cell_json(value: &Value, tz: &TimeZone, out: &mut Vec<u8>) {
    match value {
        Value::Time(us) => write_json_string(&time::format_in(*us, tz), out),
        other => other.write_json(out),
    }
}

fn cell_text(value: &Value, tz: &TimeZone) -> String {
    match value {
        Value::Time(us) => time::format_in(*us, tz),
        other => other.to_text().into_owned(),
    }
}

fn unwritten(error: csv::Error) -> Error {
    Error::Internal(format!("CSV: {error}"))
}

#[cfg(test)]
mod tests;
