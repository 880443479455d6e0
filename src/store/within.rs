//! Which rows of a dataset are there at all for the one who asks: what a row filter has come to for one dataset. A `Dataset`
//! carries it, `part` leaves all other rows out before anything reads them, and the writer of records asks it before it
//! changes one. `query::reach` makes it, as conditions are of the language, which the store does not know.

use std::fmt;
use std::sync::Arc;

use crate::columnar::Block;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::error::Result;
use crate::store::part::Part;
use crate::value::Value;

/// Tells which rows of a part a condition is true for.
type Choose = dyn Fn(&Part) -> Result<Bitmap> + Send + Sync;

/// A condition on the rows of one dataset.
pub struct Within {
    /// The condition in the words of the one who set it.
    pub text: Arc<str>,
    /// The fields that it reads.
    pub fields: Vec<Arc<str>>,
    /// It as SQL over the table of a dataset of records.
    pub sql: String,
    choose: Box<Choose>,
}

impl Within {
    /// A condition that `choose` asks.
    pub fn new(
        text: Arc<str>,
        fields: Vec<Arc<str>>,
        sql: String,
        choose: impl Fn(&Part) -> Result<Bitmap> + Send + Sync + 'static,
    ) -> Self {
        Self { text, fields, sql, choose: Box::new(choose) }
    }

    /// The rows of a part that it is true for.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read.
    pub fn rows(&self, part: &Part) -> Result<Bitmap> {
        (self.choose)(part)
    }

    /// Whether it is true for one row, of which `value` tells the fields.
    ///
    /// # Errors
    /// As [`Within::rows`].
    pub fn holds(&self, value: &dyn Fn(&str) -> Value) -> Result<bool> {
        let column = |name: &Arc<str>| (Arc::clone(name), Arc::new(column_of(std::iter::once(value(name)))));
        let columns: Vec<(Arc<str>, Arc<Column>)> = self.fields.iter().map(column).collect();
        let rows = self.rows(&Part::of_block(Arc::new(Block::new(1, columns))))?;
        Ok(rows.count_ones() == 1)
    }

    /// Why a row is not taken that it is not true for.
    pub fn refusal(&self) -> String {
        format!("it is out of reach: what is written here has to satisfy {}", self.text)
    }
}

impl fmt::Debug for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("text", &self.text).finish_non_exhaustive()
    }
}
