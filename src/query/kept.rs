//! Whole answers, kept for the next one who asks the same of the same data: `query::answer` and `sequences::run` ask here
//! first. An answer is of a version of the datasets that it is of, which is another one after every commit that changes
//! them; so a stored answer is exact, unless the question takes one of an age.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::cache::class::{Terms, Use};
use crate::cache::key::Key;
use crate::cache::{Computed, Kept, Wish};
use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::Result;
use crate::fields::FieldType;
use crate::query::answer::{Answer, AnswerColumn, Series, Stats};
use crate::query::budget::Limits;
use crate::query::expression::Expr;
use crate::query::language::{Query, Question, Range};
use crate::query::relational::tree::Relational;
use crate::query::sequences::{Events, Sequence};
use crate::store::snapshot::{Dataset, Snapshot};
use crate::time::{Bucket, Bucketer, Step};
use crate::value::Value;

/// Bytes of an answer that is kept: giving a larger one takes as long as many a question.
const ANSWER_BYTES: usize = 8 << 20;

/// What is asked, as far as it tells one answer from another.
pub(super) struct Asked<'a> {
    /// What sort of question it is.
    pub sort: &'static str,
    /// The datasets that it is about.
    pub datasets: Vec<&'a str>,
    /// All else that it says.
    pub text: String,
    /// Which stored answers are welcome.
    pub cache: Use,
    /// What it may take.
    pub limits: &'a Limits,
}

impl<'a> Asked<'a> {
    /// A question in JSON or SQL.
    pub fn question(question: &'a Question) -> Self {
        match question {
            Question::Plain(query) => Self::query(query),
            Question::Relational(relational) => Self::relational(relational),
        }
    }

    fn query(query: &'a Query) -> Self {
        // which bucket of time is not over hangs on the present, all else does not
        let present = query.by.iter().filter_map(|key| match key {
            Expr::Call(function, _) => function.bucket(),
            _ => None,
        });
        let present = present.map(|bucket| Bucketer::new(bucket, &query.calendar).start(query.now));
        let present: Vec<i64> = present.collect();
        let (range, moving) = range(query.range, query.now, query.cache);
        let bare = Query { range, limits: Limits::default(), cache: Use::Exact, now: 0, ..query.clone() };
        Self {
            sort: "answer",
            datasets: vec![&query.from],
            text: format!("{bare:?} {present:?} {moving}"),
            cache: query.cache,
            limits: &query.limits,
        }
    }

    fn relational(relational: &'a Relational) -> Self {
        let bare = Relational { limits: Limits::default(), cache: Use::Exact, ..relational.clone() };
        Self {
            sort: "answer",
            datasets: relational.tables(),
            text: format!("{bare:?}"),
            cache: relational.cache,
            limits: &relational.limits,
        }
    }

    /// A question about what follows what.
    pub fn sequence(sequence: &'a Sequence) -> Self {
        let Sequence { events, analysis } = sequence;
        let (range, moving) = range(events.range, events.now, events.cache);
        let bare = Events { range, limits: Limits::default(), cache: Use::Exact, now: 0, ..events.clone() };
        Self {
            sort: "sequence",
            datasets: vec![&events.from],
            text: format!("{bare:?} {analysis:?} {moving}"),
            cache: events.cache,
            limits: &events.limits,
        }
    }
}

/// The range as it tells questions apart: for who takes an answer of some age, one that ends at the present is the same
/// whenever that is.
fn range(range: Range, now: i64, cache: Use) -> (Range, String) {
    match range {
        Range { from: Some(from), to: Some(to), step } if cache.takes_older() && to == now => match step {
            Some(Step::Exact(length)) if to.checked_sub(length) == Some(from) => {
                (Range::default(), format!("the last {length}"))
            }
            _ => (Range { from: Some(from), to: None, step: None }, "to now".to_owned()),
        },
        range => (range, String::new()),
    }
}

/// What a question says of stored answers that is to be computed anew: none that is older.
pub(super) const ANEW: Use = Use::Within(Duration::ZERO, Duration::ZERO);

/// The stored answer to a question, or that of `compute`, which is stored then. `again` makes what asks the same question,
/// with [`ANEW`], in the background.
///
/// # Errors
/// Those of computing.
pub(super) fn answer(
    snapshot: &Snapshot,
    asked: &Asked<'_>,
    compute: impl FnOnce() -> Result<Answer>,
    again: impl FnOnce() -> Box<dyn FnOnce() + Send>,
) -> Result<Answer> {
    let Some(cache) = asked.limits.cache.as_ref().filter(|_| asked.cache.is_welcome()) else {
        return compute();
    };
    let begin = Instant::now();
    let key = Key::of_text(asked.sort, &asked.datasets, &asked.text, asked.limits.reach.text().as_deref());
    let Terms { class, max_age, stale } = asked.cache.terms(cache.classes());
    let deadline = begin.checked_add(asked.limits.deadline);
    let wish = Wish { version: version(snapshot, &asked.datasets), class, max_age, deadline };
    if let Some(got) = cache.get_stale::<Stored>(&key, &wish, stale, again) {
        return Ok(got.value.answer_of_age(got.age, begin));
    }
    let mut own = None;
    let got = cache.get_or_compute(&key, &wish, || {
        let answer = compute()?;
        let value = Stored::of(&answer);
        let is_kept = value.bytes() <= ANSWER_BYTES;
        Ok(Computed { rows: own.insert(answer).stats.rows_scanned, is_kept, value })
    })?;
    if let Some(answer) = own {
        return Ok(answer);
    }
    Ok(got.value.answer_of_age(got.age, begin))
}

/// What a snapshot holds of some datasets, as a number: another one after every commit that changes them.
pub fn version(snapshot: &Snapshot, datasets: &[&str]) -> u128 {
    let mut all: Vec<u8> = Vec::new();
    for name in datasets {
        all.extend(name.as_bytes());
        if let Some(dataset) = snapshot.datasets.get(*name) {
            add_version(dataset, &mut all);
        }
        all.push(0);
    }
    xxh3_128(&all)
}

fn add_version(dataset: &Dataset, all: &mut Vec<u8>) {
    for number in [dataset.id, dataset.version] {
        all.extend(number.to_le_bytes());
    }
    for segment in &dataset.segments {
        all.extend(segment.tag.to_le_bytes());
    }
}

/// What is written of an answer beside its rows.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    columns: Vec<(String, String)>,
    rows: usize,
    next: Option<String>,
    rows_scanned: u64,
    segments: u64,
    is_of_sqlite: bool,
    approximate: bool,
    tz: String,
    /// Column, name of the bucket, partial rows, gaps.
    series: Option<(usize, String, Vec<usize>, Vec<usize>)>,
    range: (Option<i64>, Option<i64>),
    previous: Option<(Option<i64>, Option<i64>)>,
}

/// An answer as it is kept: its rows as columns, which are a few allocations of known size where rows are very many.
#[derive(Debug)]
struct Stored {
    /// All of it but its rows.
    head: Answer,
    rows: usize,
    columns: Vec<Arc<Column>>,
}

impl Stored {
    fn of(answer: &Answer) -> Self {
        let value = |row: &Vec<Value>, at: usize| row.get(at).cloned().unwrap_or(Value::Null);
        let column = |at: usize| Arc::new(column_of(answer.rows.iter().map(|row| value(row, at))));
        Self {
            head: answer.without_rows(),
            rows: answer.rows.len(),
            columns: (0..answer.columns.len()).map(column).collect(),
        }
    }

    fn answer(&self) -> Answer {
        let row = |row: usize| self.columns.iter().map(|column| column.get(row)).collect();
        Answer { rows: (0..self.rows).map(row).collect(), ..self.head.clone() }
    }
}

impl Stored {
    /// The answer to who asked at an instant.
    fn answer_of_age(&self, age: Duration, begin: Instant) -> Answer {
        let mut answer = self.answer();
        let elapsed_ms = begin.elapsed().as_secs_f64() * 1e3;
        answer.stats = Stats { elapsed_ms, rows_scanned: 0, segments: 0, cache: "hit", age, ..answer.stats };
        answer
    }
}

impl Kept for Stored {
    fn bytes(&self) -> usize {
        let names = self.head.columns.iter().map(|column| column.name.len() + 48).sum::<usize>();
        size_of::<Self>() + names + self.columns.iter().map(|column| column.bytes()).sum::<usize>()
    }

    fn write(&self) -> Option<Vec<u8>> {
        let head = &self.head;
        let range = |range: Range| (range.from, range.to);
        let written = Head {
            columns: head
                .columns
                .iter()
                .map(|column| (column.name.clone(), column.kind.to_owned()))
                .collect(),
            rows: self.rows,
            next: head.next.clone(),
            rows_scanned: head.stats.rows_scanned,
            segments: head.stats.segments,
            is_of_sqlite: head.stats.engine == "sqlite",
            approximate: head.stats.approximate,
            // a zone without a name is one of this process
            tz: if head.tz == TimeZone::UTC { "UTC" } else { head.tz.iana_name()? }.to_owned(),
            series: head.series.as_ref().map(|series| {
                (series.column, series.bucket.name().to_owned(), series.partial.clone(), series.gaps.clone())
            }),
            range: range(head.range),
            previous: head.previous.map(range),
        };
        let columns = self.columns.iter().map(|column| Column::clone(column));
        let rows = block_of(self.rows, columns).encode().ok()?;
        let written = serde_json::to_vec(&written).ok()?;
        let mut bytes = u32::try_from(written.len()).ok()?.to_le_bytes().to_vec();
        bytes.extend(written);
        bytes.extend(rows);
        Some(bytes)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (written, rows) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let written: Head = serde_json::from_slice(written).ok()?;
        let block = Block::decode(rows).ok()?;
        let columns = columns_of(&block);
        if columns.len() != written.columns.len() || block.rows() != written.rows {
            return None;
        }
        let kind = |name: &str| match name {
            "mixed" => Some("mixed"),
            name => name.parse::<FieldType>().ok().map(FieldType::name),
        };
        let named =
            |(name, of): &(String, String)| Some(AnswerColumn { name: name.clone(), kind: kind(of)? });
        let range = |(from, to)| Range { from, to, step: None };
        let series = |(column, bucket, partial, gaps): (usize, String, Vec<usize>, Vec<usize>)| {
            Some(Series { column, bucket: Bucket::from_name(&bucket)?, partial, gaps })
        };
        let head = Answer {
            columns: written.columns.iter().map(named).collect::<Option<_>>()?,
            rows: Vec::new(),
            next: written.next,
            stats: Stats {
                rows_scanned: written.rows_scanned,
                segments: written.segments,
                cache: "miss",
                engine: if written.is_of_sqlite { "sqlite" } else { "vector" },
                approximate: written.approximate,
                ..Stats::default()
            },
            tz: if written.tz == "UTC" { TimeZone::UTC } else { TimeZone::get(&written.tz).ok()? },
            series: match written.series {
                Some(told) => Some(series(told)?),
                None => None,
            },
            range: range(written.range),
            previous: written.previous.map(range),
        };
        Some(Self { head, rows: written.rows, columns })
    }
}

/// Columns in their order as a block, which is how they are stored.
pub(super) fn block_of(rows: usize, columns: impl Iterator<Item = Column>) -> Block {
    let named = columns.enumerate().map(|(at, column)| (format!("c{at:06}").into(), Arc::new(column)));
    // every block has times, and those of events they are not
    let times = (TIME.into(), Arc::new(Column::times(&vec![0; rows])));
    Block::new(rows, named.chain([times]).collect())
}

/// The columns of [`block_of`].
pub(super) fn columns_of(block: &Block) -> Vec<Arc<Column>> {
    block.columns().filter(|(name, _)| ***name != *TIME).map(|(_, column)| Arc::clone(column)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-9i64..9).prop_map(Value::Int),
            (-9i64..9).prop_map(|n| Value::Float(n as f64)),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Float),
            any::<i64>().prop_map(Value::Time),
            ".{0,6}".prop_map(Value::text),
            ".{0,3}".prop_map(|text| Value::Json(format!("[{text:?}]").as_str().into())),
            prop::collection::vec("[a-c]{0,2}", 0..3)
                .prop_map(|list| Value::List(list.iter().map(|item| item.as_str().into()).collect())),
        ]
    }

    proptest! {
        #[test]
        fn an_answer_comes_back_as_it_went(rows in prop::collection::vec(prop::collection::vec(value(), 3), 0..20)) {
            let column = |name: &str, kind| AnswerColumn { name: name.into(), kind };
            let range = Range { from: Some(1), to: None, step: None };
            let answer = Answer {
                columns: vec![column("a", "int"), column("a", "mixed"), column("ä", "strings")],
                rows,
                next: None,
                stats: Stats { rows_scanned: 7, segments: 2, cache: "miss", engine: "sqlite", ..Stats::default() },
                tz: TimeZone::get("Europe/Berlin").unwrap(),
                series: Some(Series { column: 0, bucket: Bucket::Week, partial: vec![1], gaps: vec![0, 2] }),
                range,
                previous: Some(range),
            };
            let stored = Stored::of(&answer);
            prop_assert_eq!(format!("{:?}", stored.answer()), format!("{answer:?}"));
            let read = Stored::read(&stored.write().unwrap()).unwrap();
            prop_assert_eq!(format!("{:?}", read.answer()), format!("{answer:?}"));
        }
    }
}
