//! What an expression makes of the texts of a dictionary. All blocks of a segment's column share one dictionary, so
//! the results are kept from block to block, each computed when the first row that holds its text comes along.

use std::sync::Arc;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::kernels::rows_where;
use crate::columnar::narrow::with_narrow;
use crate::columnar::text::{Dictionary, Texts};
use crate::error::Result;
use crate::query::expression::Expr;
use crate::query::functions::Context;
use crate::query::rule::Rule;
use crate::query::scalar;
use crate::value::Value;

const UNKNOWN: u8 = 0;
const NULL: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const OTHER: u8 = 4;

/// The results of one expression for the texts of one dictionary; the last one is that of null.
#[derive(Debug)]
pub struct Entries {
    expression: Expr,
    dictionary: Arc<Dictionary>,
    is_json: bool,
    /// By code: what is known of the result.
    states: Vec<u8>,
    /// By code: results that are neither null, false nor true; empty until there is one.
    values: Vec<Value>,
    /// All results, once every one of them is known.
    all: Option<Arc<Column>>,
    tried_all: bool,
    /// Rows that were asked for so far.
    rows: usize,
    /// For a simple condition, the texts that it is true for; it is null for null.
    rule: Option<Rule>,
}

impl Entries {
    /// Nothing is known yet, unless the condition is a simple one.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(expression: &Expr, texts: &Texts, is_json: bool, context: &Context) -> Result<Self> {
        let rule = if is_json { None } else { Rule::of(expression, &texts.dictionary, context)? };
        let unknown = if rule.is_some() { 0 } else { texts.dictionary.len() + 1 };
        Ok(Self {
            expression: expression.clone(),
            dictionary: Arc::clone(&texts.dictionary),
            is_json,
            states: vec![UNKNOWN; unknown],
            values: Vec::new(),
            all: None,
            tried_all: false,
            rows: 0,
            rule,
        })
    }

    /// Whether these are results of this expression, constants being of the same types too.
    pub fn is_of(&self, expression: &Expr) -> bool {
        self.expression == *expression && literals(&self.expression).eq(&literals(expression))
    }

    /// Whether these are results for the texts of this column.
    pub fn is_over(&self, texts: &Texts, is_json: bool) -> bool {
        self.is_json == is_json && Arc::ptr_eq(&self.dictionary, &texts.dictionary)
    }

    /// The result of every row.
    ///
    /// # Errors
    /// As the expression, for a text that a row holds.
    pub fn column(&mut self, texts: &Texts, column: &Column, context: &Context) -> Result<Column> {
        if let Some(rule) = &self.rule {
            let bits = rule.rows(&texts.codes);
            return Ok(Column {
                rows: column.rows,
                validity: column.validity.clone(),
                data: Data::Bool(bits),
            });
        }
        self.rows += column.rows;
        if !self.tried_all && self.dictionary.len() <= self.rows {
            self.tried_all = true;
            // a fault in an entry that no row holds is none: then only those that rows hold are asked
            let known = (0..self.states.len()).try_for_each(|code| self.ask(code, context));
            if known.is_ok() {
                self.all = Some(Arc::new(column_of((0..self.states.len()).map(|code| self.result(code)))));
            }
        }
        if let Some(all) = &self.all {
            return Ok(spread(all, texts, column));
        }
        let null = self.states.len() - 1;
        let code_of = |row: usize, code: usize| if column.is_valid(row) { code } else { null };
        let codes: Vec<u32> = with_narrow!(&texts.codes, codes => {
            codes.iter().enumerate().map(|(row, code)| code_of(row, *code as usize) as u32).collect()
        });
        for code in &codes {
            self.ask(*code as usize, context)?;
        }
        let state = |row: usize| self.states[codes[row] as usize];
        if (0..codes.len()).all(|row| state(row) != OTHER) {
            let known = Bitmap::from_fn(codes.len(), |row| state(row) != NULL);
            let bits = Bitmap::from_fn(codes.len(), |row| state(row) == TRUE);
            return Ok(Column::new(codes.len(), Some(known), Data::Bool(bits)));
        }
        Ok(column_of(codes.iter().map(|code| self.result(*code as usize))))
    }

    /// Computes the result of a code unless it is known.
    fn ask(&mut self, code: usize, context: &Context) -> Result<()> {
        if self.states[code] != UNKNOWN {
            return Ok(());
        }
        let cell = match code {
            null if null == self.dictionary.len() => Value::Null,
            code if self.is_json => Value::Json(self.dictionary.get(code).into()),
            code => Value::text(self.dictionary.get(code)),
        };
        self.states[code] = match scalar::evaluate(&self.expression, &|_| cell.clone(), context)? {
            Value::Null => NULL,
            Value::Bool(false) => FALSE,
            Value::Bool(true) => TRUE,
            other => {
                if self.values.is_empty() {
                    self.values = vec![Value::Null; self.states.len()];
                }
                self.values[code] = other;
                OTHER
            }
        };
        Ok(())
    }

    fn result(&self, code: usize) -> Value {
        match self.states[code] {
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            OTHER => self.values[code].clone(),
            _ => Value::Null,
        }
    }
}

/// The types of an expression's constants in their order: 1, 1.0 and TRUE are equal as values.
fn literals(expression: &Expr) -> Vec<std::mem::Discriminant<Value>> {
    let mut found = Vec::new();
    expression.walk(&mut |part| {
        if let Expr::Literal(value) = part {
            found.push(std::mem::discriminant(value));
        }
    });
    found
}

/// Gives every row the result of its entry; the last result is that of null.
fn spread(results: &Column, texts: &Texts, column: &Column) -> Column {
    let null = results.rows - 1;
    if let Data::Bool(bits) = &results.data {
        let of = |bits: &Bitmap| {
            let table: Vec<u8> = (0..results.rows).map(|row| u8::from(bits.get(row))).collect();
            let mut rows =
                with_narrow!(&texts.codes, codes => rows_where(codes, |code| table[code as usize] != 0));
            if let Some(valid) = &column.validity {
                if bits.get(null) {
                    let mut missing = valid.clone();
                    missing.invert();
                    rows.or(&missing);
                } else {
                    rows.and(valid);
                }
            }
            rows
        };
        return Column::new(column.rows, results.validity.as_ref().map(of), Data::Bool(of(bits)));
    }
    let entry = |row: usize, code: usize| if column.is_valid(row) { code } else { null };
    let rows: Vec<u32> =
        texts.codes.iter().enumerate().map(|(row, code)| entry(row, code as usize) as u32).collect();
    results.take(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;
    use jiff::tz::TimeZone;

    fn texts(column: &Column) -> &Texts {
        match &column.data {
            Data::Text(texts) => texts,
            other => panic!("no texts: {other:?}"),
        }
    }

    #[test]
    fn only_texts_that_rows_hold_are_computed_and_only_once() {
        let all = column_of((0..1_000).map(|n| Value::text(format!("{n:04}"))));
        let expression = parse::expression("upper(c)").expect("parses");
        let context = Context::new(TimeZone::UTC);
        let mut entries = Entries::new(&expression, texts(&all), false, &context).expect("entries");
        for rows in [[3, 500, 3], [500, 3, 999]] {
            let few = all.take(&rows);
            let got = entries.column(texts(&few), &few, &context).expect("a column");
            assert_eq!((0..3).map(|row| got.get(row)).collect::<Vec<_>>(), rows.map(|r| all.get(r as usize)));
        }
        assert_eq!(entries.states.iter().filter(|state| **state != UNKNOWN).count(), 3);
    }

    #[test]
    fn constants_of_other_types_are_other_expressions() {
        let column = column_of([Value::text("x")]);
        let expression = |text: &str| parse::expression(text).expect("parses");
        let context = Context::new(TimeZone::UTC);
        let entries =
            Entries::new(&expression("concat(c, 1)"), texts(&column), false, &context).expect("entries");
        assert!(entries.is_of(&expression("concat(c, 1)")));
        assert!(!entries.is_of(&expression("concat(c, 1.0)")));
        assert!(!entries.is_of(&expression("concat(c, true)")));
    }
}
