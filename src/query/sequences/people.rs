//! Whose an event is, as a small number: equal values have the same number in all of a run and, once the runs are
//! joined, in all of them. Whoever follows events works on these numbers; where they come from is for `codes` to choose.

use crate::columnar::column::Column;
use crate::error::{Error, Result};
use crate::limits;
use crate::query::codes::{Coder, Codes, Domain};
use crate::query::expression::Expr;
use crate::query::needs::Needs;
use crate::query::sequences::scan::Rows;

/// An expression whose values are numbered: whose events are, their steps, their pages.
#[derive(Debug)]
pub struct Numbered<'a> {
    expression: &'a Expr,
    domain: Domain,
    needs: Needs,
}

/// The numbers that one run gives to its values.
#[derive(Debug)]
pub struct Numbers<'a> {
    of: &'a Numbered<'a>,
    coder: Coder,
}

/// The numbers of all runs made one.
#[derive(Debug)]
pub struct Joined {
    coder: Coder,
    /// For each run, in order: the number that holds everywhere, by the number that the run gave; `None`: the same.
    maps: Vec<Option<Vec<u32>>>,
}

impl<'a> Numbered<'a> {
    /// The values of an expression, of which it is known what they can be.
    pub fn new(expression: &'a Expr, domain: Domain) -> Self {
        let mut needs = Needs::default();
        needs.add_coded(expression, &domain);
        Self { expression, domain, needs }
    }

    /// The numbers of no rows yet.
    pub fn start(&'a self) -> Numbers<'a> {
        Numbers { of: self, coder: Coder::new(&self.domain) }
    }

    /// Joins the numbers of runs, in their order.
    ///
    /// # Errors
    /// `TooLarge` where there are too many values.
    pub fn join(&self, runs: impl IntoIterator<Item = Numbers<'a>>) -> Result<Joined> {
        let mut runs = runs.into_iter();
        let first = runs.next().map(|run| run.coder);
        let mut joined =
            Joined { coder: first.unwrap_or_else(|| Coder::new(&self.domain)), maps: vec![None] };
        for run in runs {
            let map = joined.coder.absorb(run.coder);
            joined.maps.push(map);
        }
        check(joined.count())?;
        Ok(joined)
    }
}

impl Numbers<'_> {
    /// The numbers of rows; null has one too.
    ///
    /// # Errors
    /// As the expression; `TooLarge` where there are too many values.
    pub fn of(&mut self, rows: &Rows<'_>) -> Result<Codes> {
        let view = rows.view(&self.of.needs)?;
        let codes = self.coder.codes(self.of.expression, &view, rows.context)?;
        check(self.count())?;
        Ok(codes)
    }

    /// One more than the largest number so far.
    pub fn count(&self) -> usize {
        self.coder.bound()
    }

    /// The number of null, where rows so far had it.
    pub fn null(&self) -> Option<u32> {
        self.coder.null()
    }
}

impl Joined {
    /// One more than the largest number.
    pub fn count(&self) -> usize {
        self.coder.bound()
    }

    /// The number of null, where there is one.
    pub fn null(&self) -> Option<u32> {
        self.coder.null()
    }

    /// How the numbers of a run are those that hold everywhere; `None`: they are the same.
    pub fn map(&self, run: usize) -> Option<&[u32]> {
        self.maps.get(run).and_then(|map| map.as_deref())
    }

    /// The number that holds everywhere.
    pub fn translate(&self, run: usize, number: u32) -> u32 {
        self.map(run).map_or(number, |map| map[number as usize])
    }

    /// The values of some numbers, as a column; each value is looked up once, however many rows have it.
    pub fn column(&self, numbers: &[u32]) -> Column {
        let (mut places, mut distinct) = (vec![u32::MAX; self.count()], Vec::new());
        let mut place = |number: u32| {
            let place = &mut places[number as usize];
            if *place == u32::MAX {
                *place = distinct.len() as u32;
                distinct.push(number);
            }
            *place
        };
        let rows: Vec<u32> = numbers.iter().map(|number| place(*number)).collect();
        self.coder.column(&distinct).take(&rows)
    }
}

fn check(values: usize) -> Result<()> {
    if values > limits::GROUPS {
        return Err(Error::TooLarge(format!(
            "there are more than {} different values to follow; narrow the question with where or range",
            limits::GROUPS
        )));
    }
    Ok(())
}
