//! `explode(list)` as a group key: rows repeated, once for every entry of their list. A row without entries, or whose list
//! is null, counts nowhere; what is no list is its own only entry, so a field of texts and lists can be grouped by.
//! `measures` calls it before groups are made; `vector` finds the entries in the view.

use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::error::{Error, Result};
use crate::query::expression::Expr;
use crate::query::functions::{Context, EXPLODE_STANDS_ALONE};
use crate::query::plan::Shape;
use crate::query::vector;
use crate::query::view::View;
use crate::value::Value;

/// The column of the entries in a view that was exploded; no field is called so.
pub const ENTRIES: &str = "\0entries";

/// The list of the one key that explodes it, if there is one.
pub fn exploded(keys: &[Expr]) -> Option<&Expr> {
    keys.iter().find_map(|key| match key {
        Expr::Call(function, arguments) if function.is_explode() => arguments.first(),
        _ => None,
    })
}

/// The rows of a view, each as often as its list has entries, with the entries beside.
///
/// # Errors
/// As evaluating the list.
pub fn explode(view: &View, list: &Expr, context: &Context) -> Result<View> {
    let column = vector::evaluate(list, view, context)?;
    let (rows, entries) = match &column.data {
        Data::List { ends, items } => {
            let (mut rows, mut places) = (Vec::new(), Vec::new());
            for row in (0..column.rows).filter(|row| column.is_valid(*row)) {
                let start = if row == 0 { 0 } else { ends[row - 1] };
                rows.extend((start..ends[row]).map(|_| row as u32));
                places.extend(start..ends[row]);
            }
            let entries = Column { rows: rows.len(), validity: None, data: Data::Text(items.take(&places)) };
            (rows, entries)
        }
        Data::Mixed(_) => entries_of_any(&column),
        _ => {
            let rows: Vec<u32> =
                (0..column.rows).filter(|row| column.is_valid(*row)).map(|row| row as u32).collect();
            let entries = column.take(&rows);
            (rows, entries)
        }
    };
    Ok(view.take(&rows).with(ENTRIES, Arc::new(entries)))
}

fn entries_of_any(column: &Column) -> (Vec<u32>, Column) {
    let (mut rows, mut entries) = (Vec::new(), Vec::new());
    for row in 0..column.rows {
        match column.get(row) {
            Value::Null => {}
            Value::List(items) => {
                rows.extend(items.iter().map(|_| row as u32));
                entries.extend(items.iter().map(|item| Value::Text(Arc::clone(item))));
            }
            other => {
                rows.push(row as u32);
                entries.push(other);
            }
        }
    }
    (rows, column_of(entries))
}

/// `explode` makes rows, so it is a key as it stands, and the only one of its kind. Where the output names the key its
/// place stands already.
pub(super) fn check_exploded(shape: &Shape) -> Result<()> {
    let explodes = |e: &Expr| {
        let mut count = 0;
        e.walk(&mut |part| count += usize::from(matches!(part, Expr::Call(f, _) if f.is_explode())));
        count
    };
    let (keys, others): (&[Expr], Vec<&Expr>) = match shape {
        Shape::Rows { select, order } => {
            (&[], select.iter().chain(order.iter().map(|o| &o.expression)).collect())
        }
        Shape::Groups { keys, select, having, order, .. } => {
            (keys, select.iter().chain(having).chain(order.iter().map(|o| &o.expression)).collect())
        }
    };
    let is_key = |key: &&Expr| matches!(key, Expr::Call(f, _) if f.is_explode());
    let as_keys = keys.iter().filter(is_key).count();
    let all: usize = keys.iter().chain(others).map(explodes).sum();
    match as_keys {
        _ if all > as_keys => Err(Error::invalid(EXPLODE_STANDS_ALONE)),
        2.. => Err(Error::invalid("one explode(..) at a time: a row would count for every pair of entries")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Calendar;

    #[test]
    fn rows_count_once_for_every_entry() {
        let list = |items: &[&str]| Value::List(items.iter().map(|item| Arc::from(*item)).collect());
        let lists = [list(&["a", "b"]), Value::Null, list(&[]), list(&["b", "b"])];
        let mixed = [Value::text("a"), list(&["b", "a"]), Value::Int(7), Value::Null];
        let plain = [Value::Int(1), Value::Null, Value::Int(2), Value::Int(1)];
        for (values, wanted) in [
            (lists.to_vec(), vec![(0, Value::text("a")), (0, "b".into()), (3, "b".into()), (3, "b".into())]),
            (mixed.to_vec(), vec![(0, "a".into()), (1, "b".into()), (1, "a".into()), (2, Value::Int(7))]),
            (plain.to_vec(), vec![(0, Value::Int(1)), (2, Value::Int(2)), (3, Value::Int(1))]),
        ] {
            let numbers = Arc::new(column_of((0..4).map(Value::Int)));
            let column = Arc::new(column_of(values));
            let view = View::of(4, vec![("n".into(), numbers), ("x".into(), column)]);
            let context = Context::new(Calendar::default());
            let view = explode(&view, &Expr::Column("x".into()), &context).expect("exploded");
            let (numbers, entries) = (view.column("n"), view.column(ENTRIES));
            let found: Vec<(Value, Value)> =
                (0..view.rows).map(|row| (numbers.get(row), entries.get(row))).collect();
            let wanted: Vec<(Value, Value)> =
                wanted.into_iter().map(|(row, entry)| (Value::Int(row), entry)).collect();
            assert_eq!(found, wanted);
        }
    }

    impl From<&str> for Value {
        fn from(text: &str) -> Self {
            Value::text(text)
        }
    }
}
