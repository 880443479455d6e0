//! What a table does when SQLite asks it again and again, as it does for the inner table of a join and in a correlated
//! subquery: equalities whose argument changes become the key of a hash index over the rows that the other conditions
//! leave. It is made by one scan, once the questions so far have looked at as many rows as it is worth; all later ones look
//! up. `table` asks it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::FixedState;

use crate::columnar::column::{Column, Data};
use crate::columnar::text::Texts;
use crate::error::{Bound, Error, Result};
use crate::query::budget::{Held, bytes_of};
use crate::value::Value;

use super::pushed::{Argument, Term, Test, Values};
use super::scan::{Piece, Source};

/// No place: the end of a chain.
const NONE: u32 = u32::MAX;

/// An index takes so many times as long to make as a scan of the same rows.
const INDEX_SCANS: u64 = 16;
/// What it takes to begin a scan or an index, in rows.
const BEGIN_ROWS: u64 = 4_096;

/// What a term is to the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Its argument was always the same: the index has only rows for which it holds.
    Steady,
    /// An equality whose argument changes.
    Key,
    /// Another condition whose argument changes: left to SQLite.
    Loose,
}

/// The questions that were asked with the same terms.
#[derive(Debug)]
pub struct Repeated {
    terms: Vec<Term>,
    /// What each term was to the last question; a steady one to all of them.
    roles: Vec<(Role, Value)>,
    index: Option<Arc<Index>>,
    /// Rows that scans have looked at, where an index would have found them.
    scanned: u64,
    /// An index of the rows of all questions alike does not fit, and none of another kind is known to be of use.
    too_large: bool,
}

/// How the rows of a question are found.
#[derive(Debug)]
pub enum Way {
    /// By a scan.
    Scan,
    /// In an index, from this place on.
    Places(Arc<Index>, u32),
}

impl Repeated {
    /// For questions with these terms, of which none was asked yet.
    pub fn new(terms: Vec<Term>) -> Self {
        Self { terms, roles: Vec::new(), index: None, scanned: 0, too_large: false }
    }

    /// The terms.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// A question was answered by a scan of so many rows.
    pub fn scanned(&mut self, rows: u64) {
        self.scanned = self.scanned.saturating_add(rows + BEGIN_ROWS);
    }

    /// The way to the rows of the next question. No argument of a comparison is null.
    ///
    /// # Errors
    /// As the scan that makes the index, and as the budget.
    pub fn way(&mut self, source: &Source, arguments: &[Argument]) -> Result<Way> {
        let known: Option<Vec<&Value>> = arguments.iter().map(known).collect();
        let Some(known) = known.filter(|_| self.terms.iter().any(|term| term.test == Test::Equal)) else {
            return Ok(Way::Scan);
        };
        if self.roles.len() != known.len() {
            self.roles = known.iter().map(|value| (Role::Steady, (*value).clone())).collect();
            return Ok(Way::Scan);
        }
        let mut changed = false;
        for ((role, last), (term, value)) in self.roles.iter_mut().zip(self.terms.iter().zip(&known)) {
            if *role == Role::Steady && !is_same(last, value) {
                *role = if term.test == Test::Equal { Role::Key } else { Role::Loose };
                changed = true;
            }
        }
        // a term that changed once is never steady again, so an index is made anew no oftener than there are terms
        if changed {
            (self.index, self.too_large) = (None, false);
        }
        let worth = INDEX_SCANS * (source.table.dataset.rows() + BEGIN_ROWS);
        if self.too_large || self.index.is_none() && self.scanned < worth {
            return Ok(Way::Scan);
        }
        let key: Vec<usize> = (0..self.terms.len()).filter(|at| self.roles[*at].0 == Role::Key).collect();
        if self.index.is_none() {
            match self.build(source, &key, arguments) {
                Ok(index) => self.index = Some(Arc::new(index)),
                // each question alike: a scan takes longer, but is a way
                Err(Error::OverBudget { bound: Bound::Memory, .. }) if key.is_empty() => {
                    self.too_large = true;
                    return Ok(Way::Scan);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(index) = &self.index else { return Ok(Way::Scan) };
        let wanted: Vec<Value> = key.iter().map(|at| known[*at].clone()).collect();
        Ok(Way::Places(Arc::clone(index), index.first(&wanted)))
    }

    fn build(&self, source: &Source, key: &[usize], arguments: &[Argument]) -> Result<Index> {
        let steady = self.terms.iter().zip(arguments).zip(&self.roles);
        let steady = steady.filter(|(_, (role, _))| *role == Role::Steady).map(|(asked, _)| asked);
        // whether a value is among others is left to SQLite: its values need not be read for a lookup
        let steady = steady.filter(|(term, _)| term.test != Test::Among);
        let wanted = source.wanted(steady, |_| Ok(Values::default()))?;
        let columns: Vec<usize> = key.iter().map(|at| self.terms[*at].column).collect();
        let mut index = Index::new(source, columns.len());
        for part in source.parts(&wanted)? {
            if let Some(piece) = source.piece(part, &wanted)? {
                index.add(source, piece, &columns)?;
            }
        }
        Ok(index)
    }
}

/// The value that a steady or a key argument has.
fn known(argument: &Argument) -> Option<&Value> {
    match argument {
        Argument::Known(value) => Some(value),
        // of IS NULL and IS NOT NULL, and of IN, which has others
        Argument::Null => Some(&Value::Null),
        Argument::Foreign => None,
    }
}

/// Whether two arguments are the same to every test, of SQLite's and of ours: 1 and true are not.
fn is_same(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && a == b
}

/// The numbers of keys, by one column or by several.
#[derive(Debug)]
enum Keys {
    One(HashMap<Value, u32, FixedState>),
    Some(HashMap<Vec<Value>, u32, FixedState>),
}

/// Rows by the values of some columns, those of equal values in the order of a scan.
#[derive(Debug)]
pub struct Index {
    keys: Keys,
    /// Bytes of the keys, beside their slots.
    behind: usize,
    /// First and last place of each key.
    chains: Vec<(u32, u32)>,
    /// The next place of the same key.
    next: Vec<u32>,
    /// Places: a piece, and a row of it.
    places: Vec<(u32, u32)>,
    pieces: Vec<Piece>,
    pieces_bytes: usize,
    held: Held,
    columns: Mutex<Columns>,
}

/// The memory of the columns that lookups have read.
#[derive(Debug)]
struct Columns {
    held: Held,
    /// Dictionaries that were counted, by their addresses: many columns share one.
    dictionaries: HashSet<usize>,
}

impl Columns {
    fn charge(&mut self, column: &Column) -> Result<()> {
        let mut bytes = column.bytes_without_dictionaries();
        for part in column.parts() {
            if let Data::Text(texts) | Data::Json(texts) | Data::List { items: texts, .. } = &part.data
                && self.dictionaries.insert(Arc::as_ptr(&texts.dictionary) as usize)
            {
                bytes += texts.dictionary.bytes();
            }
        }
        self.held.add(bytes)
    }
}

impl Index {
    fn new(source: &Source, width: usize) -> Self {
        let keys = match width {
            1 => Keys::One(HashMap::default()),
            _ => Keys::Some(HashMap::default()),
        };
        let hold = || source.budget().hold();
        let columns = Mutex::new(Columns { held: hold(), dictionaries: HashSet::new() });
        Self {
            keys,
            behind: 0,
            chains: Vec::new(),
            next: Vec::new(),
            places: Vec::new(),
            pieces: Vec::new(),
            pieces_bytes: 0,
            held: hold(),
            columns,
        }
    }

    /// Adds the rows of a piece; those without a value in a column of the key are equal to nothing.
    fn add(&mut self, source: &Source, piece: Piece, key: &[usize]) -> Result<()> {
        let read = key.iter().map(|column| piece.read(source, *column, |_| Ok(())));
        let columns: Vec<Arc<Column>> = read.collect::<Result<_>>()?;
        match columns.as_slice() {
            [column] => match &column.data {
                Data::Text(texts) => self.add_texts(&piece, column, texts),
                _ => self.add_rows(&piece, |keys, row, new| {
                    let (value, Keys::One(keys)) = (column.get(row), keys) else { return None };
                    let bytes = value.bytes();
                    (!value.is_null()).then(|| (*keys.entry(value).or_insert(new), bytes))
                }),
            },
            columns => self.add_rows(&piece, |keys, row, new| {
                let Keys::Some(keys) = keys else { return None };
                let values: Vec<Value> = columns.iter().map(|column| column.get(row)).collect();
                let bytes = bytes_of(&values);
                (!values.iter().any(Value::is_null)).then(|| (*keys.entry(values).or_insert(new), bytes))
            }),
        }
        let piece = piece.kept();
        self.pieces_bytes += piece.bytes();
        self.pieces.push(piece);
        self.held.set(self.bytes())
    }

    /// The same for one column of texts: each text of the dictionary is looked for once.
    fn add_texts(&mut self, piece: &Piece, column: &Column, texts: &Texts) {
        /// What is in front of a shared text.
        const COUNTS: usize = 16;
        let mut numbers = vec![NONE; texts.dictionary.len()];
        self.add_rows(piece, |keys, row, new| {
            let (true, Keys::One(keys)) = (column.is_valid(row), keys) else { return None };
            let number = &mut numbers[texts.codes.get(row) as usize];
            if *number == NONE {
                *number = *keys.entry(Value::text(texts.get(row))).or_insert(new);
            }
            Some((*number, COUNTS + texts.get(row).len()))
        });
    }

    /// `number` gives the number of the key of a row, which is the one given to it where the key is new, and the bytes that a
    /// new one takes.
    fn add_rows(
        &mut self,
        piece: &Piece,
        mut number: impl FnMut(&mut Keys, usize, u32) -> Option<(u32, usize)>,
    ) {
        let piece_number = self.pieces.len() as u32;
        for at in 0..piece.rows() {
            let new = self.chains.len() as u32;
            let Some((number, bytes)) = number(&mut self.keys, piece.place(at), new) else { continue };
            let place = self.places.len() as u32;
            self.places.push((piece_number, at as u32));
            self.next.push(NONE);
            match self.chains.get_mut(number as usize) {
                Some((_, last)) => {
                    self.next[*last as usize] = place;
                    *last = place;
                }
                None => {
                    self.chains.push((place, place));
                    self.behind += bytes;
                }
            }
        }
    }

    /// Bytes in memory, without the columns.
    fn bytes(&self) -> usize {
        // a table of std keeps a byte beside each entry, and has room for a seventh more than it tells
        let slots = |capacity: usize, entry: usize| (capacity + capacity / 7) * (entry + 1);
        let keys = match &self.keys {
            Keys::One(keys) => slots(keys.capacity(), size_of::<(Value, u32)>()),
            Keys::Some(keys) => slots(keys.capacity(), size_of::<(Vec<Value>, u32)>()),
        };
        let lists = self.chains.capacity() + self.places.capacity();
        keys + self.behind
            + lists * size_of::<(u32, u32)>()
            + self.next.capacity() * size_of::<u32>()
            + self.pieces_bytes
    }

    /// The first place of a key.
    fn first(&self, key: &[Value]) -> u32 {
        let number = match (&self.keys, key) {
            (Keys::One(keys), [value]) => keys.get(value),
            (Keys::One(_), _) => None,
            (Keys::Some(keys), key) => keys.get(key),
        };
        number.and_then(|number| self.chains.get(*number as usize)).map_or(NONE, |(first, _)| *first)
    }

    /// The place after one.
    #[inline]
    pub fn after(&self, place: u32) -> u32 {
        self.next.get(place as usize).copied().unwrap_or(NONE)
    }

    /// The row at a place: the piece, and the place there; `None` at the end of a chain.
    #[inline]
    pub fn row(&self, place: u32) -> Option<(&Piece, usize)> {
        let (piece, row) = *self.places.get(place as usize)?;
        Some((self.pieces.get(piece as usize)?, row as usize))
    }

    /// Reads a column of a piece, to be kept as long as the index.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read; as the budget.
    pub fn read(&self, source: &Source, piece: &Piece, column: usize) -> Result<Arc<Column>> {
        piece.read(source, column, |column| {
            self.columns.lock().unwrap_or_else(PoisonError::into_inner).charge(column)
        })
    }
}
