//! Records as columns in memory, for the vector engine: a dataset of the same name and fields without segments, its rows
//! in order of `_seq`.

use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::Result;
use crate::limits;
use crate::query::budget::{Budget, Held};
use crate::query::plan::all_fields;
use crate::query::print::sqlite::keyed::{column, own_name};
use crate::query::keyed::reader;
use crate::store::snapshot::{Dataset, TailBlock};
use crate::time::Calendar;
use crate::value::Value;

/// The records of a dataset with these fields, or with all that are not lazy, and the memory that they hold.
///
/// # Errors
/// Those of reading, and more memory than the question may take.
pub fn dataset(dataset: &Dataset, fields: Option<&[Arc<str>]>, budget: &Arc<Budget>) -> Result<(Dataset, Held)> {
    let all: Vec<Arc<str>> = match fields {
        Some(fields) => fields.to_vec(),
        None => all_fields(dataset).collect(),
    };
    let own = own_name(dataset);
    let wanted: Vec<Arc<str>> =
        all.into_iter().filter(|name| !matches!(&**name, TIME | "_seq")).collect();
    let mut list = vec![format!("{own}._seq"), format!("{own}._time")];
    for name in &wanted {
        list.push(column(dataset, &own, name)?.sql);
    }
    let reader = reader::open(dataset.keyed()?, &Calendar::default(), budget)?;
    let sql = format!("SELECT {} FROM {own} WHERE {own}._seq > ?1 ORDER BY {own}._seq LIMIT ?2", list.join(", "));
    let mut held = budget.hold();
    let (mut tail, mut last) = (Vec::new(), i64::MIN);
    loop {
        let (rows, _) = reader.rows(&sql, &[Value::Int(last), Value::Int(limits::TAIL_BLOCK_ROWS as i64)])?;
        let seqs: Vec<i64> = rows.iter().map(|row| integer(row.first())).collect();
        let Some(end) = seqs.last() else { break };
        last = *end;
        // a block has its rows numbered without gaps
        let mut begin = 0;
        while begin < rows.len() {
            let gap = (begin + 1..rows.len()).find(|at| seqs[*at] != seqs[begin] + (at - begin) as i64);
            let end = gap.unwrap_or(rows.len());
            let block = block(&wanted, &rows[begin..end]);
            held.add(block.bytes())?;
            tail.push(TailBlock { first_seq: seqs[begin], block: Arc::new(block) });
            begin = end;
        }
    }
    let declaration = crate::fields::Declaration { kind: Default::default(), ..dataset.declaration.clone() };
    Ok((Dataset { tail, keyed: None, declaration, ..dataset.clone() }, held))
}

fn integer(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}

fn block(names: &[Arc<str>], rows: &[Vec<Value>]) -> Block {
    let cells = |at: usize| rows.iter().map(move |row| row.get(at).cloned().unwrap_or(Value::Null));
    let column = |(at, name): (usize, &Arc<str>)| (Arc::clone(name), Arc::new(column_of(cells(at + 2))));
    let mut columns: Vec<(Arc<str>, Arc<Column>)> = names.iter().enumerate().map(column).collect();
    columns.push((TIME.into(), Arc::new(column_of(cells(1)))));
    Block::new(rows.len(), columns)
}
