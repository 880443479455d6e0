//! A search of records: FTS5 finds and ranks them, their rows and texts are read for the few that are told, and facets are
//! counted over all that were found.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::query::keyed::page::condition;
use crate::query::keyed::reader::{self, Reader};
use crate::query::print::sqlite::keyed::{column, own_name};
use crate::query::words::near::Known;
use crate::query::words::node::Node;
use crate::records::search::{After, Asked, FACET_VALUES, Facet, Found, FoundRow};
use crate::store::keyed::{is_lazy, text_table, words_table};
use crate::time::Calendar;
use crate::value::Value;

/// Records from which on they are ranked in two halves; few in unit tests, so that they see both ways.
const HALVED_ROWS: u64 = if cfg!(test) { 20 } else { 100_000 };
/// Words that one is corrected to.
const CORRECTIONS: usize = 3;

/// What the index finds.
///
/// # Errors
/// Unknown names, and more than the search may take.
pub(super) fn find(asked: &Asked<'_>) -> Result<Found> {
    let reader = reader::open(asked.dataset.keyed()?, &Calendar::default(), &asked.budget)?;
    let own = own_name(asked.dataset);
    let text = text_table(asked.dataset.id);
    let filter = asked.request.filter.as_ref().map(|text| condition(text, asked.dataset)).transpose()?;
    // the table of records is asked only where a condition needs it
    let (from, filter) = match filter {
        None => (format!("{text} WHERE {text} MATCH ?1"), String::new()),
        Some(filter) => (
            format!("{text} JOIN {own} ON {own}._seq = {text}.rowid WHERE {text} MATCH ?1"),
            format!(" AND {filter}"),
        ),
    };
    let matched = format!("{from}{filter}");
    let query = Value::text(to_fts5(&asked.node, &asked.names));
    let hits = hits(asked, &reader, &text, &matched, &query)?;
    let has_more = hits.len() > asked.limit;
    let hits = hits.get(..asked.limit.min(hits.len())).unwrap_or_default();
    let next = hits.last().filter(|_| has_more).map(|(score, seq)| asked.cursor(*score, *seq));
    let total = match asked.request.count {
        false => None,
        true => {
            let sql = format!("SELECT count(*) FROM {matched}");
            let (rows, _) = reader.rows(&sql, std::slice::from_ref(&query))?;
            Some(integer(rows.first().and_then(|row| row.first())).unsigned_abs())
        }
    };
    let facets = if hits.is_empty() { Vec::new() } else { facets(asked, &reader, &text, &matched, &query)? };
    Ok(Found { rows: rows(asked, &reader, hits)?, facets, next, total, ..Found::default() })
}

/// Score and `_seq` of the first that are found behind the place, and of one more.
fn hits(
    asked: &Asked<'_>,
    reader: &Reader,
    text: &str,
    matched: &str,
    query: &Value,
) -> Result<Vec<(f64, i64)>> {
    let most = Value::Int(asked.limit as i64 + 1);
    let After { score, seq, .. } = asked.after.clone().unwrap_or_default();
    if asked.by_rank {
        let weights: Vec<String> = asked.weights.iter().map(ToString::to_string).collect();
        // FTS5 has the best as the least
        let all = format!(
            "SELECT {text}.rowid AS seq, bm25({text}, {}) AS score FROM {matched}",
            weights.join(", ")
        );
        let (behind, order) = match asked.after {
            None => ("", "ORDER BY score, seq LIMIT ?2"),
            Some(_) => (" WHERE score > ?3 OR (score = ?3 AND seq > ?4)", "ORDER BY score, seq LIMIT ?2"),
        };
        let sql = |half: &str| {
            format!("WITH r0 AS MATERIALIZED ({all}{half}) SELECT score, seq FROM r0{behind} {order}")
        };
        let place = asked.after.as_ref().map(|_| [Value::Float(score), Value::Int(seq)]);
        let parameters: Vec<Value> =
            vec![query.clone(), most].into_iter().chain(place.into_iter().flatten()).collect();
        if asked.dataset.rows() < HALVED_ROWS {
            return Ok(reader.rows(&sql(""), &parameters)?.0.iter().map(|row| hit(row)).collect());
        }
        // ranking takes the time, so both halves of the records are ranked at once
        let middle = asked.dataset.next_seq / 2;
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let other = reader::open(asked.dataset.keyed()?, &Calendar::default(), &asked.budget)?;
                other.rows(&sql(&format!(" AND {text}.rowid > {middle}")), &parameters)
            });
            let first = reader.rows(&sql(&format!(" AND {text}.rowid <= {middle}")), &parameters);
            let panicked = |_| Err(Error::Internal("ranking panicked".into()));
            (first, second.join().unwrap_or_else(panicked))
        });
        let mut hits: Vec<(f64, i64)> = first?.0.iter().chain(&second?.0).map(|row| hit(row)).collect();
        hits.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        hits.truncate(asked.limit + 1);
        Ok(hits)
    } else {
        let last = if asked.after.is_some() { seq } else { i64::MAX };
        let sql = format!(
            "SELECT 0.0, {text}.rowid FROM {matched} AND {text}.rowid < ?3 ORDER BY {text}.rowid DESC LIMIT ?2"
        );
        let parameters = [query.clone(), most, Value::Int(last)];
        Ok(reader.rows(&sql, &parameters)?.0.iter().map(|row| hit(row)).collect())
    }
}

fn hit(row: &[Value]) -> (f64, i64) {
    (row.first().and_then(Value::as_f64).unwrap_or(0.0), integer(row.get(1)))
}

/// The rows of hits, in their order. Lazy texts are read only of those that have none of the words elsewhere.
fn rows(asked: &Asked<'_>, reader: &Reader, hits: &[(f64, i64)]) -> Result<Vec<FoundRow>> {
    let (lazy, quick): (Vec<&str>, Vec<&str>) =
        asked.names.iter().partition(|name| is_lazy(asked.dataset, name));
    let told: Vec<&str> = asked.fields.iter().map(|field| &**field).chain(quick).collect();
    let all: Vec<i64> = hits.iter().map(|(_, seq)| *seq).collect();
    let by_seq = read(asked, reader, &told, &all)?;
    let mut pieces: HashMap<i64, String> = HashMap::new();
    let mut add = |seq: i64, texts: &[Value]| {
        let piece = asked.piece(texts);
        piece.map(|piece| pieces.insert(seq, piece)).is_some()
    };
    let without = |seq: &&i64| {
        let texts = by_seq.get(*seq).and_then(|values| values.get(asked.fields.len()..));
        !texts.is_some_and(|texts| add(**seq, texts))
    };
    let left: Vec<i64> = all.iter().filter(without).copied().collect();
    if !lazy.is_empty() {
        read(asked, reader, &lazy, &left)?.iter().for_each(|(seq, texts)| _ = add(*seq, texts));
    }
    let row = |(score, seq): &(f64, i64)| {
        let values = by_seq.get(seq)?.get(..asked.fields.len())?;
        Some(asked.row(values, pieces.remove(seq), asked.by_rank.then_some(-score)))
    };
    Ok(hits.iter().filter_map(row).collect())
}

/// Fields of records, by their `_seq`.
fn read(
    asked: &Asked<'_>,
    reader: &Reader,
    names: &[&str],
    seqs: &[i64],
) -> Result<HashMap<i64, Vec<Value>>> {
    if seqs.is_empty() {
        return Ok(HashMap::new());
    }
    let own = own_name(asked.dataset);
    let mut list = vec![format!("{own}._seq")];
    for name in names {
        list.push(column(asked.dataset, &own, name)?.sql);
    }
    let numbers: Vec<String> = seqs.iter().map(ToString::to_string).collect();
    let sql = format!("SELECT {} FROM {own} WHERE {own}._seq IN ({})", list.join(", "), numbers.join(", "));
    let mut found = HashMap::with_capacity(seqs.len());
    reader.for_each(&sql, &[], |mut row| {
        let values = row.split_off(1);
        found.insert(integer(row.first()), values);
        Ok(())
    })?;
    Ok(found)
}

/// The values of fields over everything found: one statement, counted here, as the entries of a list count one by one.
fn facets(
    asked: &Asked<'_>,
    reader: &Reader,
    text: &str,
    matched: &str,
    query: &Value,
) -> Result<Vec<Facet>> {
    if asked.facets.is_empty() {
        return Ok(Vec::new());
    }
    let own = own_name(asked.dataset);
    let list = asked.facets.iter().map(|name| Ok(column(asked.dataset, &own, name)?.sql));
    let list = list.collect::<Result<Vec<_>>>()?.join(", ");
    let joined = format!("{text} JOIN {own} ON {own}._seq = {text}.rowid");
    let from =
        if matched.contains(" JOIN ") { matched.to_owned() } else { matched.replacen(text, &joined, 1) };
    let mut counts: Vec<HashMap<Value, u64>> = vec![HashMap::new(); asked.facets.len()];
    let mut held = asked.budget.hold();
    reader.for_each(&format!("SELECT {list} FROM {from}"), std::slice::from_ref(query), |row| {
        let mut bytes = 0;
        for (counts, value) in counts.iter_mut().zip(row) {
            let mut count = |value: Value| {
                let size = value.bytes();
                bytes += match counts.entry(value) {
                    Entry::Occupied(mut entry) => {
                        *entry.get_mut() += 1;
                        0
                    }
                    Entry::Vacant(entry) => {
                        entry.insert(1);
                        size
                    }
                };
            };
            match value {
                Value::Null => {}
                Value::List(items) => items.iter().for_each(|item| count(Value::Text(Arc::clone(item)))),
                other => count(other),
            }
        }
        held.add(bytes)
    })?;
    let told = asked.facets.iter().zip(counts).map(|(name, counts)| {
        let mut values: Vec<(Value, u64)> = counts.into_iter().collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.compare(&b.0)));
        values.truncate(FACET_VALUES);
        (name.to_string(), values)
    });
    Ok(told.collect())
}

/// Words of the index that were meant by words that it has not. The list of its words is kept until records change.
///
/// # Errors
/// Those of reading.
pub(super) fn corrections(
    asked: &Asked<'_>,
    words: impl Iterator<Item = String>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let keyed = asked.dataset.keyed()?;
    let known = keyed.kept(|| {
        let reader = reader::open(keyed, &Calendar::default(), &asked.budget)?;
        let sql = format!("SELECT term, doc FROM {}", words_table(asked.dataset.id));
        let mut known = Vec::new();
        reader.for_each(&sql, &[], |row| {
            if let [Value::Text(word), Value::Int(documents)] = row.as_slice() {
                known.push((word.to_string(), documents.unsigned_abs()));
            }
            Ok(())
        })?;
        Ok(Known::new(known.into_iter()))
    })?;
    Ok(corrected(&known, words))
}

/// The nearest known words of those that are not known.
pub(super) fn corrected(known: &Known, words: impl Iterator<Item = String>) -> BTreeMap<String, Vec<String>> {
    let unknown = words.filter(|word| !known.contains(word));
    let near = unknown.map(|word| {
        let near = known.near(&word, CORRECTIONS);
        (word, near)
    });
    near.filter(|(_, near)| !near.is_empty()).collect()
}

/// The search for FTS5, whose columns are called c0, c1 and so on.
fn to_fts5(node: &Node, names: &[&str]) -> String {
    fn renamed(node: &Node, names: &[&str]) -> Node {
        let all = |nodes: &[Node]| nodes.iter().map(|node| renamed(node, names)).collect();
        match node {
            Node::Words { field, words, is_prefix } => Node::Words {
                field: field.as_ref().and_then(|field| {
                    let at = names.iter().position(|name| name == field)?;
                    Some(format!("c{at}"))
                }),
                words: words.clone(),
                is_prefix: *is_prefix,
            },
            Node::And(nodes) => Node::And(all(nodes)),
            Node::Or(nodes) => Node::Or(all(nodes)),
            Node::Not(wanted, unwanted) => {
                Node::Not(Box::new(renamed(wanted, names)), Box::new(renamed(unwanted, names)))
            }
        }
    }
    renamed(node, names).to_fts5()
}

fn integer(value: Option<&Value>) -> i64 {
    value.and_then(Value::as_int).unwrap_or_default()
}
