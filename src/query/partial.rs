//! What was found in some rows, told apart from the question that found it: groups by the values of their keys, and the
//! states of what is computed of each. `measures` makes it of what a question found and takes it in again, `pieces` keeps it.

use crate::cache::Kept;
use crate::columnar::column::Column;
use crate::query::aggregate::stored::{self, Table};
use crate::query::aggregate::{Family, State};

/// Groups with the states of all measures.
#[derive(Debug)]
pub struct Partial {
    /// A column a key, with a row a group.
    pub keys: Vec<Column>,
    /// Rows of each group.
    pub rows: Vec<u64>,
    /// By measure, the state; its slots are the groups in their order.
    pub states: Vec<State>,
    /// By measure, its family and whether it has a condition of its own.
    pub kinds: Vec<(Family, bool)>,
}

impl Kept for Partial {
    fn bytes(&self) -> usize {
        self.keys.iter().map(Column::bytes).sum::<usize>()
            + self.rows.len() * size_of::<u64>()
            + self.states.iter().map(State::bytes).sum::<usize>()
    }

    fn write(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let keys = Table::new(self.rows.len(), self.keys.clone());
        let rows = Table::new(self.rows.len(), vec![stored::counts(self.rows.iter().copied())]);
        stored::write(&[keys, rows], &mut out)?;
        for (state, (family, has_filter)) in self.states.iter().zip(&self.kinds) {
            let number = Family::ALL.iter().position(|known| known == family)?;
            out.extend([u8::try_from(number).ok()?, u8::from(*has_filter)]);
            stored::write(&state.tables(self.rows.len()), &mut out)?;
        }
        Some(out)
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let [keys, rows] = stored::read(&mut bytes)?.try_into().ok()?;
        let rows = rows.counts(0)?;
        if keys.rows != rows.len() {
            return None;
        }
        let (mut states, mut kinds) = (Vec::new(), Vec::new());
        while let Some(([number, has_filter], rest)) = bytes.split_first_chunk::<2>() {
            bytes = rest;
            let (family, has_filter) = (*Family::ALL.get(usize::from(*number))?, *has_filter == 1);
            states.push(State::read(family, has_filter, &stored::read(&mut bytes)?, rows.len())?);
            kinds.push((family, has_filter));
        }
        let keys = keys.columns.iter().map(|column| Column::clone(column)).collect();
        Some(Self { keys, rows, states, kinds })
    }
}
