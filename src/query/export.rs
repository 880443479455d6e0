//! A dataset as a file: every row that counts, in order of `_seq`, streamed batch by batch, with what pages of rows give
//! (`_time`, `_seq`, `_id`, then the fields in the dataset's order). `windrow export` calls it.
//!
//! Rows of a segment stand by time, so their places are sorted by `_seq` first; columns are then read batch by batch
//! through the buffer pool. Memory is bounded by the places of one segment, the pool, and the batches that are encoded at
//! the same time, whatever the size of the dataset.

pub mod csv;
pub mod ndjson;
pub mod parquet;

use std::sync::Arc;

use rayon::prelude::*;

use crate::columnar::column::Column;
use crate::error::Result;
use crate::query::budget::Budget;
use crate::query::expression::Expr;
use crate::query::filter::Filter;
use crate::query::functions::Context;
use crate::query::keyed::columns::{Chunks, with};
use crate::query::prune::Verdict;
use crate::query::reach::Reach;
use crate::query::view::View;
use crate::query::{page, parse, plan};
use crate::store::part::Part;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::value::Value;

/// Rows that are encoded at once.
const BATCH_ROWS: usize = 8_192;

/// What is exported; texts as the user wrote them.
#[derive(Debug, Default, Clone)]
pub struct ExportRequest {
    /// The dataset.
    pub dataset: String,
    /// Rows that count: a SQL expression.
    pub filter: Option<String>,
    /// Exactly these fields, in this order.
    pub fields: Option<Vec<String>>,
    /// Which datasets may be exported, and which of their rows.
    pub reach: Arc<Reach>,
}

/// An export, ready to run.
#[derive(Debug)]
pub struct Export {
    dataset: Arc<Dataset>,
    filter: Option<Expr>,
    fields: Vec<Arc<str>>,
    names_fields: bool,
}

/// Some rows of an export.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The names of the fields, in order.
    pub fields: &'a [Arc<str>],
    /// The field lists were named: each row has all of them, also without a value.
    pub keeps_nulls: bool,
    /// By part, then by field.
    columns: Vec<Vec<Arc<Column>>>,
    places: Vec<(u32, u32)>,
}

/// A row that counts: its `_seq`, its part, its place there.
type Pick = (i64, u32, u32);

impl Batch<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.places.len()
    }

    /// One cell, by the place of the field.
    pub fn get(&self, row: usize, field: usize) -> Value {
        let (part, at) = self.places[row];
        self.columns[part as usize][field].get(at as usize)
    }
}

impl Export {
    /// Resolves names and condition.
    ///
    /// ```
    /// use windrow::Engine;
    /// use windrow::query::export::{Export, ExportRequest, ndjson};
    /// use windrow::store::read;
    ///
    /// # fn main() -> windrow::error::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("visits.db");
    /// let engine = Engine::open(&path)?;
    /// engine.ingest("visits", br#"[{"_time": "2026-03-01T10:00:00Z", "n": 1}, {"n": 2}]"#)?;
    /// let filter = Some("n < 2".to_owned());
    /// let request = ExportRequest { dataset: "visits".into(), filter, ..ExportRequest::default() };
    /// let mut out = Vec::new();
    /// let export = Export::new(&read(&path, None)?, &request)?;
    /// export.run(ndjson::encode, |bytes| Ok(out.extend(bytes)))?;
    /// let line = r#"{"_time":"2026-03-01T10:00:00Z","_seq":1,"_id":"1","n":1}"#;
    /// assert_eq!(String::from_utf8_lossy(&out).trim_end(), line);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Unknown names, and a condition that cannot be read.
    pub fn new(snapshot: &Snapshot, request: &ExportRequest) -> Result<Self> {
        let dataset = request.reach.dataset(snapshot, &request.dataset)?;
        let filter = match &request.filter {
            Some(text) => Some(plan::condition(parse::filter(text)?, &dataset)?),
            None => None,
        };
        let fields = match &request.fields {
            Some(names) => page::canonical(names, &dataset)?,
            None => {
                let own = ["_time", "_seq", "_id"].map(Arc::from);
                own.into_iter().chain(dataset.fields.iter().map(|(name, _)| Arc::clone(name))).collect()
            }
        };
        Ok(Self { dataset, filter, fields, names_fields: request.fields.is_some() })
    }

    /// The names of the fields, in order.
    pub fn fields(&self) -> &[Arc<str>] {
        &self.fields
    }

    /// The dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Encodes all rows, several batches at a time, and hands the results over in order; tells how many rows there were.
    ///
    /// # Errors
    /// Those of the condition, of `encode` and `take`, and columns that are damaged or cannot be read.
    pub fn run<T: Send>(
        &self,
        encode: impl Fn(&Batch<'_>) -> Result<T> + Sync,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<u64> {
        if self.dataset.keyed.is_none() {
            return self.run_over(&self.dataset, &encode, &mut take);
        }
        let mut fields = self.fields.clone();
        self.filter.iter().for_each(|filter| plan::add_columns(filter, &mut fields));
        let mut chunks = Chunks::new(&self.dataset, &fields, &Budget::unbounded())?;
        let mut rows = 0;
        while let Some(blocks) = chunks.read_next()? {
            rows += self.run_over(&with(&self.dataset, blocks), &encode, &mut take)?;
        }
        Ok(rows)
    }

    fn run_over<T: Send>(
        &self,
        dataset: &Dataset,
        encode: &(impl Fn(&Batch<'_>) -> Result<T> + Sync),
        take: &mut impl FnMut(T) -> Result<()>,
    ) -> Result<u64> {
        let filter = Filter::new(self.filter.as_ref());
        let mut rows = 0;
        for source in dataset.sources() {
            if filter.first_verdict(dataset, &source)? == Verdict::Never {
                continue;
            }
            let parts: Vec<Part> =
                source.runs().into_par_iter().map(|run| dataset.part(run)).collect::<Result<_>>()?;
            let picks = picks(dataset, &parts, &filter)?;
            rows += picks.len() as u64;
            let batches: Vec<&[Pick]> = picks.chunks(BATCH_ROWS).collect();
            for together in batches.chunks(rayon::current_num_threads().max(1)) {
                let encoded: Vec<Result<T>> =
                    together.par_iter().map(|picks| encode(&self.batch(dataset, &parts, picks)?)).collect();
                encoded.into_iter().try_for_each(|one| take(one?))?;
            }
        }
        Ok(rows)
    }

    fn batch(&self, dataset: &Dataset, parts: &[Part], picks: &[Pick]) -> Result<Batch<'_>> {
        let mut slots: Vec<(u32, Vec<u32>)> = Vec::new();
        let mut places = Vec::with_capacity(picks.len());
        for (_, part, row) in picks {
            // rows next to each other mostly come from one part
            let slot = slots.iter().rposition(|(known, _)| known == part).unwrap_or_else(|| {
                slots.push((*part, Vec::new()));
                slots.len() - 1
            });
            places.push((slot as u32, slots[slot].1.len() as u32));
            slots[slot].1.push(*row);
        }
        let columns_of = |(part, rows): &(u32, Vec<u32>)| -> Result<Vec<Arc<Column>>> {
            let view = View::columns(dataset, &parts[*part as usize], &self.fields, Some(rows))?;
            Ok(self.fields.iter().map(|name| view.column(name)).collect())
        };
        let columns = slots.iter().map(columns_of).collect::<Result<_>>()?;
        Ok(Batch { fields: &self.fields, keeps_nulls: self.names_fields, columns, places })
    }
}

/// The rows that count, in order of `_seq`.
fn picks(dataset: &Dataset, parts: &[Part], filter: &Filter<'_>) -> Result<Vec<Pick>> {
    let of_part = |at: usize| -> Result<Vec<Pick>> {
        let part = &parts[at];
        if filter.first_verdict(dataset, part)? == Verdict::Never {
            return Ok(Vec::new());
        }
        let context = Context::new(jiff::tz::TimeZone::UTC);
        let (bits, seqs) = (filter.rows(dataset, part, &context)?, part.row_seqs()?);
        Ok(bits.ones().map(|row| (seqs.get(row), at as u32, row as u32)).collect())
    };
    let found: Vec<Vec<Pick>> = (0..parts.len()).into_par_iter().map(of_part).collect::<Result<_>>()?;
    let mut picks = found.concat();
    picks.sort_unstable();
    Ok(picks)
}
