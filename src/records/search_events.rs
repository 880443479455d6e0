//! A search of events: their texts have no index, so nothing is written for it when they come in. The newest are pages of
//! rows for which `matches` is true; the best are found among the newest of these, ranked as FTS5 does.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::limits;
use crate::query::describe::extent;
use crate::query::expression::{AggregateCall, AggregateFunction, BinaryOp, Expr};
use crate::query::functions::Function;
use crate::query::functions::search::text_of;
use crate::query::language::{Item, Order, Query};
use crate::query::page::{self, PageRequest};
use crate::query::words::matching::Matcher;
use crate::query::words::near::Known;
use crate::query::words::tokens;
use crate::query::{self, parse};
use crate::records::search::{Asked, FACET_VALUES, Facet, Found, FoundRow};
use crate::records::search_records::corrected;
use crate::store::snapshot::Snapshot;
use crate::value::Value;

/// Different texts whose words are known for corrections.
const TEXTS: usize = 100_000;

/// What looking through events finds.
///
/// # Errors
/// Unknown names, and more than the search may take.
pub(super) fn find(snapshot: &Snapshot, asked: &Asked<'_>) -> Result<Found> {
    let there = there(asked);
    if there.is_empty() {
        return Ok(Found { total: asked.request.count.then_some(0), ..Found::default() });
    }
    let condition = with_filter(asked, has_words(&there, &asked.node.to_text())?)?;
    let mut found = match asked.by_rank {
        true => best(snapshot, asked, &condition)?,
        false => newest(snapshot, asked, &condition)?,
    };
    if asked.request.count {
        found.total = Some(count(snapshot, asked, &condition)?);
    }
    if !found.rows.is_empty() {
        let facets = asked.facets.iter().map(|name| facet(snapshot, asked, name, &condition));
        found.facets = facets.collect::<Result<_>>()?;
    }
    Ok(found)
}

/// That the texts of an event have the words of a search.
fn has_words(names: &[&str], search: &str) -> Result<Expr> {
    let Some(matches) = Function::find("matches") else {
        return Err(Error::Internal("the function matches is not there".into()));
    };
    let list: Vec<Arc<str>> = names.iter().map(|name| (*name).into()).collect();
    let asked = [Value::text(search), Value::List(list.into())].map(Expr::Literal);
    let texts = names.iter().map(|name| Expr::Column((*name).to_owned()));
    Ok(Expr::Call(matches, asked.into_iter().chain(texts).collect()))
}

fn with_filter(asked: &Asked<'_>, condition: Expr) -> Result<Expr> {
    Ok(match &asked.request.filter {
        None => condition,
        Some(text) => Expr::Binary(BinaryOp::And, Box::new(parse::filter(text)?), Box::new(condition)),
    })
}

/// The searched fields that an event has so far.
fn there<'a>(asked: &Asked<'a>) -> Vec<&'a str> {
    asked.names.iter().copied().filter(|name| asked.dataset.fields.kinds(name).is_some()).collect()
}

/// Fields of a row that are told, and the texts that are searched.
fn wanted(asked: &Asked<'_>) -> Vec<String> {
    let there = there(asked);
    let names = there.iter().filter(|name| !asked.fields.iter().any(|field| **field == ***name));
    asked.fields.iter().map(ToString::to_string).chain(names.map(|name| (*name).to_owned())).collect()
}

fn value_of(row: &[(Arc<str>, Value)], wanted: &str) -> Value {
    row.iter().find(|(name, _)| **name == *wanted).map_or(Value::Null, |(_, value)| value.clone())
}

fn told(asked: &Asked<'_>, row: &[(Arc<str>, Value)], score: Option<f64>) -> FoundRow {
    let values: Vec<Value> = asked.fields.iter().map(|name| value_of(row, name)).collect();
    let texts: Vec<Value> = asked.names.iter().map(|name| value_of(row, name)).collect();
    asked.row(&values, asked.piece(&texts), score)
}

fn request(asked: &Asked<'_>, condition: &Expr, limit: usize) -> PageRequest {
    PageRequest {
        dataset: asked.request.dataset.clone(),
        filter: Some(condition.to_string()),
        fields: Some(wanted(asked)),
        limit: Some(limit),
        limits: asked.request.limits.clone(),
        ..PageRequest::default()
    }
}

/// Pages of rows; the cursor of the page is in that of the search.
fn newest(snapshot: &Snapshot, asked: &Asked<'_>, condition: &Expr) -> Result<Found> {
    let inner = asked.after.as_ref().and_then(|after| after.page.clone());
    let mut request = request(asked, condition, asked.limit);
    if inner.is_some() {
        // the cursor has the words as they were corrected
        (request.filter, request.cursor) = (None, inner);
    }
    let page = page::page(snapshot, asked.secret, &request)?;
    let rows = page.rows.iter().map(|row| told(asked, row, None)).collect();
    Ok(Found { rows, next: page.next.map(|next| asked.cursor_of_page(next)), ..Found::default() })
}

/// The best of the newest.
fn best(snapshot: &Snapshot, asked: &Asked<'_>, condition: &Expr) -> Result<Found> {
    let mut request = request(asked, condition, limits::PAGE_ROWS);
    if let Some(fields) = &mut request.fields {
        fields
            .extend(["_seq".to_owned()].into_iter().filter(|_| !asked.fields.iter().any(|f| **f == *"_seq")));
    }
    let rows = page::page(snapshot, asked.secret, &request)?.rows;
    let texts = |row: &[(Arc<str>, Value)]| -> Vec<String> {
        asked.names.iter().map(|name| text_of(&value_of(row, name))).collect()
    };
    let all = extent(asked.dataset, &asked.request.limits)?.0 as f64;
    let mut idfs = HashMap::new();
    for word in asked.node.wanted() {
        let search = if word.is_prefix { format!("{}*", word.word) } else { word.word.clone() };
        let having = count(snapshot, asked, &has_words(&there(asked), &search)?)? as f64;
        // as FTS5 has it
        let idf = ((all - having + 0.5) / (having + 0.5)).ln();
        idfs.insert(word.word, if idf <= 0.0 { 1e-6 } else { idf });
    }
    let words: usize = rows.iter().flat_map(|row| texts(row)).map(|text| tokens::words(&text).len()).sum();
    let average = words as f64 / rows.len().max(1) as f64;
    let matcher = Matcher::new(&asked.node);
    let mut scored: Vec<(f64, i64, &FoundRow)> = rows
        .iter()
        .map(|row| {
            let texts = texts(row);
            let named: Vec<(&str, &str)> =
                asked.names.iter().zip(&texts).map(|(name, text)| (*name, text.as_str())).collect();
            let idf = |word: &str| idfs.get(word).copied().unwrap_or(1e-6);
            let score = matcher.score(&named, &asked.weights, &idf, average);
            let seq = match value_of(row, "_seq") {
                Value::Int(seq) => seq,
                _ => 0,
            };
            (-score, seq, row)
        })
        .collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    if let Some(after) = &asked.after {
        scored.retain(|(score, seq, _)| *score > after.score || *score == after.score && *seq < after.seq);
    }
    let has_more = scored.len() > asked.limit;
    scored.truncate(asked.limit);
    let next = scored.last().filter(|_| has_more).map(|(score, seq, _)| asked.cursor(*score, *seq));
    let rows = scored.iter().map(|(score, _, row)| told(asked, row, Some(-score))).collect();
    Ok(Found { rows, next, ..Found::default() })
}

/// A question about the events for which a condition is true.
fn question(asked: &Asked<'_>, condition: &Expr) -> Query {
    Query {
        filter: Some(condition.clone()),
        limits: asked.request.limits.clone(),
        all_fields: false,
        ..Query::all_of(asked.request.dataset.clone())
    }
}

fn rows_counted() -> Expr {
    Expr::Aggregate(Box::new(AggregateCall {
        function: AggregateFunction::Count,
        argument: None,
        filter: None,
    }))
}

fn item(expression: Expr, name: &str) -> Item {
    Item { expression, name: name.to_owned() }
}

fn count(snapshot: &Snapshot, asked: &Asked<'_>, condition: &Expr) -> Result<u64> {
    let select = vec![item(rows_counted(), "rows")];
    let answer = query::run(snapshot, &Query { select, ..question(asked, condition) })?;
    Ok(match answer.rows.first().and_then(|row| row.first()) {
        Some(Value::Int(rows)) => rows.unsigned_abs(),
        _ => 0,
    })
}

fn facet(snapshot: &Snapshot, asked: &Asked<'_>, name: &Arc<str>, condition: &Expr) -> Result<Facet> {
    let column = || Expr::Column(name.to_string());
    let has_lists = asked.dataset.fields.kinds(name).is_some_and(|kinds| kinds.has(FieldType::Strings));
    let key = match Function::find("explode").filter(|_| has_lists) {
        Some(explode) => Expr::Call(explode, vec![column()]),
        None => column(),
    };
    let has_value = Expr::Not(Box::new(Expr::IsNull(Box::new(column()))));
    let filter = Expr::Binary(BinaryOp::And, Box::new(condition.clone()), Box::new(has_value));
    let query = Query {
        select: vec![item(key.clone(), "value"), item(rows_counted(), "count")],
        by: vec![key],
        order: vec![Order { expression: rows_counted(), descending: true, nulls_first: false }],
        limit: Some(FACET_VALUES),
        ..question(asked, &filter)
    };
    let counted = query::run(snapshot, &query)?.rows.into_iter().filter_map(|row| {
        let mut row = row.into_iter();
        match (row.next()?, row.next()?) {
            (value, Value::Int(count)) => Some((value, count.unsigned_abs())),
            _ => None,
        }
    });
    Ok((name.to_string(), counted.collect()))
}

/// Words of the newest different texts that were meant by words that none of these has.
///
/// # Errors
/// Those of reading.
pub(super) fn corrections(
    snapshot: &Snapshot,
    asked: &Asked<'_>,
    words: impl Iterator<Item = String>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let mut known: HashMap<String, u64> = HashMap::new();
    for name in there(asked) {
        let column = Expr::Column(name.to_owned());
        let query = Query {
            select: vec![item(column.clone(), "text")],
            by: vec![column],
            limit: Some(TEXTS),
            ..question(asked, &Expr::Literal(Value::Bool(true)))
        };
        for row in query::run(snapshot, &query)?.rows {
            let text = row.first().map_or(String::new(), text_of);
            let words: HashSet<String> = tokens::words(&text).into_iter().collect();
            words.into_iter().for_each(|word| *known.entry(word).or_default() += 1);
        }
    }
    Ok(corrected(&Known::new(known.into_iter()), words))
}
