//! From keys to groups: every row gets the number of its group, equal keys the same one.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::columnar::column::Column;
use crate::query::intern::Interner;
use crate::value::Value;

/// The groups found so far.
#[derive(Debug, Default)]
pub struct Groups {
    /// One an expression of the key.
    keys: Vec<Interner>,
    combined: HashMap<Box<[u32]>, u32, FixedState>,
    pairs: HashMap<u64, u32, FixedState>,
    /// The numbers of each group's key, one after the other.
    members: Vec<u32>,
    count: usize,
}

impl Groups {
    /// Groups by so many key expressions; without any there is one group.
    pub fn new(keys: usize) -> Self {
        let keys: Vec<Interner> = (0..keys).map(|_| Interner::default()).collect();
        let count = usize::from(keys.is_empty());
        Self { keys, count, ..Self::default() }
    }

    /// Number of groups.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The group of every row.
    pub fn of_rows(&mut self, rows: usize, columns: &[Arc<Column>]) -> Vec<u32> {
        match columns {
            [] => vec![0; rows],
            [one] => {
                let ids = self.keys[0].ids(one);
                self.note_singles();
                ids
            }
            [a, b] => {
                let (a, b) = (self.keys[0].ids(a), self.keys[1].ids(b));
                let mut last = (u64::MAX, 0);
                a.iter()
                    .zip(&b)
                    .map(|(a, b)| {
                        let pair = u64::from(*a) << 32 | u64::from(*b);
                        if pair != last.0 {
                            last = (pair, self.pair(pair));
                        }
                        last.1
                    })
                    .collect()
            }
            many => {
                let ids: Vec<Vec<u32>> =
                    self.keys.iter_mut().zip(many).map(|(key, column)| key.ids(column)).collect();
                let mut key = vec![0; many.len()];
                (0..rows)
                    .map(|row| {
                        key.iter_mut().zip(&ids).for_each(|(slot, column)| *slot = column[row]);
                        self.combination(&key)
                    })
                    .collect()
            }
        }
    }

    /// With one key the number of the value is the number of the group.
    fn note_singles(&mut self) {
        let known = self.keys[0].count();
        self.members.extend(self.count as u32..known as u32);
        self.count = known;
    }

    fn pair(&mut self, pair: u64) -> u32 {
        let (members, count) = (&mut self.members, &mut self.count);
        *self.pairs.entry(pair).or_insert_with(|| {
            members.extend([(pair >> 32) as u32, pair as u32]);
            *count += 1;
            (*count - 1) as u32
        })
    }

    fn combination(&mut self, key: &[u32]) -> u32 {
        if let Some(group) = self.combined.get(key) {
            return *group;
        }
        let group = self.count as u32;
        self.combined.insert(key.into(), group);
        self.members.extend_from_slice(key);
        self.count += 1;
        group
    }

    /// Makes sure that there is a group of these keys; gives its number.
    pub fn insert(&mut self, keys: Vec<Value>) -> u32 {
        let ids: Vec<u32> = self.keys.iter_mut().zip(keys).map(|(key, value)| key.id(value)).collect();
        match ids.as_slice() {
            [] => 0,
            [one] => {
                self.note_singles();
                *one
            }
            [a, b] => self.pair(u64::from(*a) << 32 | u64::from(*b)),
            many => self.combination(many),
        }
    }

    /// Takes over the groups of another; the result maps its groups to groups here.
    pub fn absorb(&mut self, other: Groups) -> Vec<u32> {
        let width = self.keys.len();
        if width == 0 {
            return vec![0];
        }
        let maps: Vec<Vec<u32>> =
            self.keys.iter_mut().zip(other.keys).map(|(key, more)| key.absorb(more)).collect();
        if width == 1 {
            self.note_singles();
        }
        let mut key = vec![0; width];
        other
            .members
            .chunks_exact(width)
            .map(|ids| {
                key.iter_mut().zip(ids).zip(&maps).for_each(|((slot, id), map)| *slot = map[*id as usize]);
                match key.as_slice() {
                    [one] => *one,
                    [a, b] => self.pair(u64::from(*a) << 32 | u64::from(*b)),
                    many => self.combination(many),
                }
            })
            .collect()
    }

    /// Number of key expressions.
    pub fn width(&self) -> usize {
        self.keys.len()
    }

    /// One part of a group's key.
    pub fn key(&self, group: usize, at: usize) -> &Value {
        self.keys[at].value(self.members[group * self.keys.len() + at])
    }
}
