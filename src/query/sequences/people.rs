//! Whose an event is, as a small number: equal values of `by` have the same number in all of a run, and after the runs
//! are joined in all of them. Whoever follows events works on these numbers; this file alone knows where they come from.

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::error::{Error, Result};
use crate::limits;
use crate::query::expression::Expr;
use crate::query::intern::Interner;
use crate::query::sequences::scan::Rows;
use crate::value::Value;

/// The number of a row without a value: nobody's event, a step that is none.
pub const NOBODY: u32 = u32::MAX;

/// The numbers that one run has given to the values of an expression.
#[derive(Debug, Default)]
pub struct Numbers {
    interner: Interner,
}

/// The numbers of all runs made one.
#[derive(Debug)]
pub struct Joined {
    /// For each run, in order: the number that holds everywhere, by the number that the run gave.
    pub maps: Vec<Vec<u32>>,
    values: Interner,
}

impl Numbers {
    /// The number of each row.
    ///
    /// # Errors
    /// As the expression; `TooLarge` where there are too many values.
    pub fn of(&mut self, rows: &Rows<'_>, by: &Expr) -> Result<Vec<u32>> {
        let column = rows.evaluate(by)?;
        let mut numbers = self.interner.ids(&column);
        if let Some(valid) = &column.validity {
            numbers.iter_mut().enumerate().for_each(|(row, number)| {
                if !valid.get(row) {
                    *number = NOBODY;
                }
            });
        }
        check(self.count())?;
        Ok(numbers)
    }

    /// One more than the largest number so far.
    pub fn count(&self) -> usize {
        self.interner.count()
    }

    /// Joins the numbers of runs, in their order.
    ///
    /// # Errors
    /// `TooLarge` where there are too many values.
    pub fn join(runs: impl IntoIterator<Item = Numbers>) -> Result<Joined> {
        let mut values = Interner::default();
        let maps: Vec<Vec<u32>> = runs.into_iter().map(|run| values.absorb(run.interner)).collect();
        check(values.count())?;
        Ok(Joined { maps, values })
    }
}

impl Joined {
    /// One more than the largest number.
    pub fn count(&self) -> usize {
        self.values.count()
    }

    /// The value of a number.
    pub fn value(&self, number: u32) -> &Value {
        self.values.value(number)
    }

    /// The values of many numbers as columns are made of: the row of a number is its place, and [`Joined::place`] that of
    /// [`NOBODY`].
    pub fn column(&self) -> Column {
        let values = (0..self.count() as u32).map(|number| self.value(number).clone());
        column_of(values.chain([Value::Null]))
    }

    /// The row in [`Joined::column`] of a number.
    pub fn place(&self, number: u32) -> u32 {
        number.min(self.count() as u32)
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
