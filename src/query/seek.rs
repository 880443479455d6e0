//! Finds the next few rows after a place in an order: blocks whose keys cannot come in are left out by their zone
//! maps, and of the others only the rows that can come in get their keys read.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rayon::prelude::*;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::error::Result;
use crate::fields::FieldType;
use crate::query::expression::{BinaryOp, Expr};
use crate::query::functions::Context;
use crate::query::plan::add_columns;
use crate::query::prune::may_match;
use crate::query::sort::{Direction, compare_keys, keep_first};
use crate::query::vector;
use crate::query::view::{self, View};
use crate::store::snapshot::{Dataset, TailBlock};
use crate::value::Value;

/// What is looked for.
#[derive(Debug)]
pub struct Seek<'a> {
    /// Where.
    pub dataset: &'a Dataset,
    /// Rows that count.
    pub filter: Option<&'a Expr>,
    /// Columns that the order compares, and whether each is descending. Rows that are equal in all of them come in
    /// order of `_seq`, descending where the last key is.
    pub keys: Vec<(Arc<str>, bool)>,
    /// The whole order turned round.
    pub backward: bool,
    /// Only rows behind this place: keys and `_seq`.
    pub after: Option<(&'a [Value], i64)>,
    /// Rows at most.
    pub wanted: usize,
}

/// A row that was found.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// What it is ordered by.
    pub keys: Vec<Value>,
    /// Its `_seq`, which decides between equal keys.
    pub seq: i64,
    /// Its block.
    pub source: &'a TailBlock,
    /// Its row there.
    pub row: usize,
}

impl<'a> Seek<'a> {
    /// The first rows in order.
    ///
    /// # Errors
    /// As the filter.
    pub fn run(&self) -> Result<Vec<Found<'a>>> {
        let condition = self.condition();
        let mut blocks: Vec<(&TailBlock, Option<Value>)> = self
            .dataset
            .tail
            .iter()
            .filter(|source| condition.as_ref().is_none_or(|c| may_match(c, source)))
            .map(|source| (source, self.best_key(source)))
            .collect();
        // blocks that can hold the first rows come first; those that cannot tell have to be read anyway
        blocks.sort_by(|a, b| match (&a.1, &b.1) {
            (Some(a), Some(b)) => self.compare_first(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        let mut found: Vec<Found<'a>> = Vec::new();
        for wave in blocks.chunks(rayon::current_num_threads().max(1)) {
            let is_full = found.len() >= self.wanted;
            let worst = found.last().and_then(|f| f.keys.first()).filter(|_| is_full);
            let useful = wave.iter().filter(|(_, best)| match (best, worst) {
                (Some(best), Some(worst)) => self.compare_first(best, worst).is_le(),
                _ => true,
            });
            let useful: Vec<&TailBlock> = useful.map(|(source, _)| *source).collect();
            let rows: Vec<Vec<Found<'a>>> = useful
                .into_par_iter()
                .map(|source| self.in_block(source, condition.as_ref()))
                .collect::<Result<_>>()?;
            found.extend(rows.into_iter().flatten());
            keep_first(&mut found, self.wanted, |a, b| self.compare((&a.keys, a.seq), (&b.keys, b.seq)));
        }
        Ok(found)
    }

    /// Filter and place as one condition, as far as the first key of the place allows it.
    fn condition(&self) -> Option<Expr> {
        let place = self.after.and_then(|(keys, _)| {
            let ((name, descending), value) = (self.keys.first()?, keys.first()?);
            if value.is_null() || self.compares_otherwise(name) {
                return None;
            }
            let op = if descending ^ self.backward { BinaryOp::LtEq } else { BinaryOp::GtEq };
            let column = || Box::new(Expr::Column(name.to_string()));
            let beyond = Expr::Binary(op, column(), Box::new(Expr::Literal(value.clone())));
            // nulls stand last, so going forward they are beyond every value
            Some(match self.backward || is_never_null(name) {
                true => beyond,
                false => Expr::Binary(BinaryOp::Or, Box::new(beyond), Box::new(Expr::IsNull(column()))),
            })
        });
        match (place, self.filter.cloned()) {
            (Some(place), Some(filter)) => {
                Some(Expr::Binary(BinaryOp::And, Box::new(place), Box::new(filter)))
            }
            (place, filter) => place.or(filter),
        }
    }

    /// Whether conditions and order may see a field differently: beside a time a text is read as a time in
    /// conditions, while the order has all times before all texts.
    fn compares_otherwise(&self, name: &str) -> bool {
        let kinds = self.dataset.fields.kinds(name).unwrap_or_default();
        kinds.has(FieldType::Time) && kinds.has(FieldType::String)
    }

    fn in_block(&self, source: &'a TailBlock, condition: Option<&Expr>) -> Result<Vec<Found<'a>>> {
        let mut names = Vec::new();
        condition.iter().for_each(|c| add_columns(c, &mut names));
        let bits = match condition {
            None => Bitmap::filled(source.block.rows(), true),
            Some(condition) => {
                let view = View::new(self.dataset, source, &names, None);
                vector::filter(condition, &view, &Context::new(TimeZone::UTC))?
            }
        };
        let columns: Vec<Arc<Column>> =
            self.keys.iter().map(|(name, _)| view::column(self.dataset, source, name)).collect();
        let rows = self.candidates(&bits, &columns, source.first_seq);
        let mut found: Vec<Found<'a>> = rows
            .into_iter()
            .map(|row| Found {
                keys: columns.iter().map(|column| column.get(row)).collect(),
                seq: source.first_seq + row as i64,
                source,
                row,
            })
            .filter(|f| {
                self.after.is_none_or(|(keys, seq)| self.compare((&f.keys, f.seq), (keys, seq)).is_gt())
            })
            .collect();
        keep_first(&mut found, self.wanted, |a, b| self.compare((&a.keys, a.seq), (&b.keys, b.seq)));
        Ok(found)
    }

    /// The rows among which the wanted ones are. With one key of whole numbers these are picked without making a
    /// single value: that is the order by time, which nearly every page has.
    fn candidates(&self, bits: &Bitmap, columns: &[Arc<Column>], first_seq: i64) -> Vec<usize> {
        let all = || bits.ones().collect();
        let [column] = columns else { return all() };
        let (Data::Int(ints) | Data::Time(ints), None) = (&column.data, &column.validity) else {
            return all();
        };
        let descending = self.keys.first().is_some_and(|(_, d)| *d) ^ self.backward;
        let place = |number: i64, seq: i64| {
            let place = (i128::from(number) << 64) | i128::from(seq);
            if descending { -place } else { place }
        };
        let after = match self.after.map(|(keys, seq)| (keys.first(), seq)) {
            None => None,
            Some((Some(Value::Int(n) | Value::Time(n)), seq)) => Some(place(*n, seq)),
            // a key of another type, as of a mixed field, may tie with whole numbers
            Some(_) => return all(),
        };
        let mut places: Vec<(i128, u32)> = bits
            .ones()
            .map(|row| (place(ints.get(row), first_seq + row as i64), row as u32))
            .filter(|(place, _)| after.is_none_or(|after| *place > after))
            .collect();
        if places.len() > self.wanted {
            places.select_nth_unstable(self.wanted);
            places.truncate(self.wanted);
        }
        places.into_iter().map(|(_, row)| row as usize).collect()
    }

    /// The first key that a row of the block could have at best; `None` where the zone map does not tell.
    fn best_key(&self, source: &TailBlock) -> Option<Value> {
        let (name, descending) = self.keys.first()?;
        let from_end = descending ^ self.backward;
        match &**name {
            "_seq" => {
                let last = source.first_seq + source.block.rows() as i64 - 1;
                Some(Value::Int(if from_end { last } else { source.first_seq }))
            }
            _ => {
                let column = source.block.column(name).filter(|c| c.validity.is_none())?;
                match &column.data {
                    Data::Int(ints) => Some(Value::Int(if from_end { ints.max() } else { ints.min() })),
                    Data::Time(ints) => Some(Value::Time(if from_end { ints.max() } else { ints.min() })),
                    _ => None,
                }
            }
        }
    }

    fn compare_first(&self, a: &Value, b: &Value) -> Ordering {
        self.compare_values(std::slice::from_ref(a), std::slice::from_ref(b))
    }

    fn compare_values(&self, a: &[Value], b: &[Value]) -> Ordering {
        let directions: Vec<Direction> = self
            .keys
            .iter()
            .map(|(_, descending)| Direction { descending: *descending, nulls_first: false })
            .collect();
        let ordering = compare_keys(a, b, &directions);
        if self.backward { ordering.reverse() } else { ordering }
    }

    fn compare(&self, a: (&[Value], i64), b: (&[Value], i64)) -> Ordering {
        self.compare_values(a.0, b.0).then_with(|| {
            let descending = self.keys.last().is_some_and(|(_, d)| *d) ^ self.backward;
            if descending { b.1.cmp(&a.1) } else { a.1.cmp(&b.1) }
        })
    }
}

fn is_never_null(name: &str) -> bool {
    matches!(name, "_time" | "_seq" | "_id")
}
