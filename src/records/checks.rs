//! The conditions that a declaration sets for every record: asked of each one before it is written, and of all that are
//! there when one is declared. A condition that is null says nothing, as in SQL.

use crate::error::{Error, Result};
use crate::query::expression::Expr;
use crate::query::functions::Context;
use crate::query::scalar::{evaluate, truth};
use crate::query::{parse, plan};
use crate::store::snapshot::Dataset;
use crate::time::Calendar;
use crate::value::Value;

/// The checks of a dataset, ready to be asked.
pub struct Checks {
    checks: Vec<(String, Expr)>,
    context: Context,
}

impl Checks {
    /// Those that a dataset declares.
    ///
    /// # Errors
    /// Text that is no condition, and unknown names.
    pub fn of(dataset: &Dataset) -> Result<Self> {
        let read = |text: &String| {
            let told = |e: Error| match e {
                Error::Invalid { detail, items } => {
                    Error::Invalid { detail: format!("the check \"{text}\": {detail}"), items }
                }
                other => other,
            };
            let condition = parse::filter(text).and_then(|e| plan::condition(e, dataset)).map_err(told)?;
            Ok((text.clone(), condition))
        };
        let checks = dataset.declaration.checks.iter().map(read).collect::<Result<_>>()?;
        Ok(Self { checks, context: Context::new(Calendar::default()) })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// Why a record is not as it has to be; `None` where it is.
    pub fn refusal(&self, value: &dyn Fn(&str) -> Value) -> Option<String> {
        self.checks.iter().find_map(|(text, check)| match evaluate(check, value, &self.context) {
            Ok(result) => (truth(&result) == Some(false)).then(|| format!("it breaks the check \"{text}\"")),
            Err(e) => Some(format!("the check \"{text}\" cannot be asked of it: {e}")),
        })
    }
}
