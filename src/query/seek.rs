//! Finds the next few rows after a place in an order. Segments, then their blocks, come in order of the best row that
//! each could have, until no other can come in; of those that are read only the rows that can come in get their keys.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rayon::prelude::*;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::error::Result;
use crate::fields::FieldType;
use crate::query::budget::{Budget, bytes_of};
use crate::query::expression::{BinaryOp, Expr};
use crate::query::filter::Filter;
use crate::query::functions::Context;
use crate::query::place::{Bound, PageOrder};
use crate::query::prune::{Verdict, is_never_null};
use crate::query::sort::keep_first;
use crate::query::view;
use crate::store::part::{Part, RowSeqs, Source, Stored};
use crate::store::snapshot::Dataset;
use crate::value::Value;

/// What is looked for.
#[derive(Debug)]
pub struct Seek<'a> {
    /// Where.
    pub dataset: &'a Dataset,
    /// Rows that count.
    pub filter: Option<&'a Expr>,
    /// Which rows come first.
    pub order: PageOrder,
    /// Only rows behind this place: keys and `_seq`.
    pub after: Option<(&'a [Value], i64)>,
    /// Rows at most.
    pub wanted: usize,
    /// What it may take.
    pub budget: Arc<Budget>,
}

/// A row that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it is ordered by.
    pub keys: Vec<Value>,
    /// Its `_seq`, which decides between equal keys.
    pub seq: i64,
    /// Where it is.
    pub part: Part,
    /// Its row there.
    pub row: usize,
}

impl Found {
    fn bytes(&self) -> usize {
        size_of::<Self>() + bytes_of(&self.keys)
    }
}

/// A segment or a part that is not read yet.
struct Open<'s> {
    order: &'s PageOrder,
    bound: Bound,
    what: Unread,
}

enum Unread {
    Segment(Source),
    Run(Stored),
    Part(Part),
}

impl<'a> Seek<'a> {
    /// The first rows in order.
    ///
    /// # Errors
    /// As the filter and the budget, and columns that are damaged or cannot be read.
    pub fn run(&self) -> Result<Vec<Found>> {
        let condition = self.condition();
        let filter = Filter::new(condition.as_ref());
        let context = Context::within(TimeZone::UTC, Arc::clone(&self.budget));
        let mut open = self.sources(&filter)?;
        let (mut found, mut held): (Vec<Found>, _) = (Vec::new(), self.budget.hold());
        let widest = rayon::current_num_threads().max(1);
        // one by one as long as that may do: with rows in order of time a page lies in one or two blocks
        let widths = [1, 1].into_iter().chain((1..).map(|step| widest.min(1 << step.min(16))));
        for width in widths {
            let wave = self.next_wave(&mut open, &filter, &found, width)?;
            match wave.as_slice() {
                [] => break,
                [one] => found.extend(self.in_part(one, &filter, &context)?),
                many => {
                    let rows: Vec<Vec<Found>> = many
                        .par_iter()
                        .map(|part| self.in_part(part, &filter, &context))
                        .collect::<Result<_>>()?;
                    found.extend(rows.into_iter().flatten());
                }
            }
            keep_first(&mut found, self.wanted, |a, b| {
                self.order.compare((&a.keys, a.seq), (&b.keys, b.seq))
            });
            held.set(found.iter().map(Found::bytes).sum())?;
        }
        Ok(found)
    }

    /// All segments and blocks of the tail that may hold rows; of segments no block is looked at yet.
    fn sources(&self, filter: &Filter<'_>) -> Result<BinaryHeap<Open<'_>>> {
        let mut open = Vec::new();
        if self.dataset.within.is_some() && filter.may_fail() {
            // all of them are read, whatever lies beside the rows that are there: a fault in these is met or is not
            for part in filter.parts(self.dataset)? {
                let bound = self.order.bound(&part, self.after)?;
                open.push(Open { order: &self.order, bound, what: Unread::Part(part) });
            }
            return Ok(BinaryHeap::from(open));
        }
        for source in self.dataset.sources() {
            if filter.verdict(&source)? == Verdict::Never {
                continue;
            }
            let bound = self.order.bound(&source, self.after)?;
            let what = match source {
                Source::Tail(block) => Unread::Run(Stored::Tail(block)),
                segment @ Source::Segment(_) => Unread::Segment(segment),
            };
            open.push(Open { order: &self.order, bound, what });
        }
        Ok(BinaryHeap::from(open))
    }

    /// The parts to read next; none where no other can come in.
    fn next_wave<'s>(
        &'s self,
        open: &mut BinaryHeap<Open<'s>>,
        filter: &Filter<'_>,
        found: &[Found],
        width: usize,
    ) -> Result<Vec<Part>> {
        // a fault in one's own rows is met wherever these lie among others; without faults the order makes no difference
        let reads_all = self.dataset.within.is_some() && filter.may_fail();
        let worst = found.last().filter(|_| found.len() >= self.wanted && !reads_all);
        let mut wave = Vec::new();
        while wave.len() < width
            && let Some(next) = open.pop()
        {
            // all that is left comes behind this one
            if worst.is_some_and(|f| !self.order.may_precede(&next.bound, (&f.keys, f.seq))) {
                open.clear();
                break;
            }
            let source = match next.what {
                Unread::Part(part) => {
                    wave.push(part);
                    continue;
                }
                Unread::Run(run) => {
                    wave.push(self.dataset.part(run)?);
                    continue;
                }
                Unread::Segment(source) => source,
            };
            for run in source.runs() {
                if filter.verdict(&run)? != Verdict::Never {
                    let bound = self.order.bound(&run, self.after)?;
                    open.push(Open { order: &self.order, bound, what: Unread::Run(run) });
                }
            }
        }
        Ok(wave)
    }

    /// Filter and place as one condition, as far as the first key of the place allows it.
    fn condition(&self) -> Option<Expr> {
        let place = self.after.and_then(|(keys, _)| {
            let ((name, _), value) = (self.order.keys.first()?, keys.first()?);
            if value.is_null() || self.compares_otherwise(name) {
                return None;
            }
            let op = if self.order.is_descending(0) { BinaryOp::LtEq } else { BinaryOp::GtEq };
            let column = || Box::new(Expr::Column(name.to_string()));
            let beyond = Expr::Binary(op, column(), Box::new(Expr::Literal(value.clone())));
            // nulls stand last, so going forward they are beyond every value
            Some(match self.order.backward || is_never_null(name) {
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

    /// The first rows of a part.
    fn in_part(&self, part: &Part, filter: &Filter<'_>, context: &Context) -> Result<Vec<Found>> {
        self.budget.check()?;
        let bits = filter.rows(self.dataset, part, context)?;
        if bits.count_ones() == 0 {
            return Ok(Vec::new());
        }
        let keys = self.order.keys.iter().map(|(name, _)| view::column(self.dataset, part, name));
        let columns: Vec<Arc<Column>> = keys.collect::<Result<_>>()?;
        let seqs = part.row_seqs()?;
        let places = self.candidates(&bits, &columns, &seqs).into_iter().map(|row| {
            let keys: Vec<Value> = columns.iter().map(|column| column.get(row)).collect();
            (keys, seqs.get(row), row)
        });
        let is_behind = |keys: &[Value], seq| {
            self.after.is_none_or(|after| self.order.compare((keys, seq), after).is_gt())
        };
        let mut places: Vec<(Vec<Value>, i64, usize)> =
            places.filter(|(keys, seq, _)| is_behind(keys, *seq)).collect();
        keep_first(&mut places, self.wanted, |a, b| self.order.compare((&a.0, a.1), (&b.0, b.1)));
        Ok(places.into_iter().map(|(keys, seq, row)| Found { keys, seq, part: part.clone(), row }).collect())
    }

    /// The rows among which the wanted ones are. With one key of whole numbers these are picked without
    /// making a single value: that is the order by time, which nearly every page has.
    fn candidates(&self, bits: &Bitmap, columns: &[Arc<Column>], seqs: &RowSeqs) -> Vec<usize> {
        let all = || bits.ones().collect();
        let [column] = columns else { return all() };
        let (Data::Int(ints) | Data::Time(ints), None) = (&column.data, &column.validity) else {
            return all();
        };
        let descending = self.order.is_descending(0);
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
            .map(|row| (place(ints.get(row), seqs.get(row)), row as u32))
            .filter(|(place, _)| after.is_none_or(|after| *place > after))
            .collect();
        if places.len() > self.wanted {
            places.select_nth_unstable(self.wanted);
            places.truncate(self.wanted);
        }
        places.into_iter().map(|(_, row)| row as usize).collect()
    }
}

impl PartialEq for Open<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Open<'_> {}

impl PartialOrd for Open<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Open<'_> {
    /// The one to read first is the greatest, as a heap gives it out.
    fn cmp(&self, other: &Self) -> Ordering {
        self.order.compare_bounds(&other.bound, &self.bound)
    }
}
