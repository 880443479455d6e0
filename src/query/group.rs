//! From keys to groups: every row gets the slot of its group, equal keys the same one. Keys are codes; where all
//! combinations of them are few enough, the slot is computed from them, else it is looked up.
//!
//! What must hold: a slot is never given to another key, except that `slots` and `absorb` may move all of them at once;
//! they then tell where each went.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::columnar::column::Column;
use crate::error::Result;
use crate::query::aggregate::NO_SLOT;
use crate::query::codes::{Coder, Codes, Domain};
use crate::query::expression::Expr;
use crate::query::functions::Context;
use crate::query::key_table::KeyTable;
use crate::query::slots::{FEW_SLOTS, Slots};
use crate::query::view::View;

/// Slots that are computed: beyond, most of them would stay empty.
const COMPUTED_SLOTS: usize = if cfg!(test) { 256 } else { 1 << 21 };
/// Codes that a key has room for at first, where it is not known how many there are.
const FIRST_ROOM: usize = if cfg!(test) { 2 } else { 16 };

/// The groups found so far.
#[derive(Debug)]
pub struct Groups {
    coders: Vec<Coder>,
    table: Table,
    /// By slot, how many rows its group has; a slot without rows is none of a group.
    rows: Vec<u64>,
}

#[derive(Debug)]
enum Table {
    /// The slot is the number whose digits are the codes; by key, how many codes there is room for.
    Computed(Vec<usize>),
    /// The codes beside each other in a number, each in so many bits, and the slots by it.
    Packed(Vec<u32>, KeyTable),
    /// The codes of each slot, one after the other, and the slots by them: for keys that no number holds.
    Found { members: Vec<u32>, places: HashTable<u32>, hasher: FixedState },
}

/// Where slots went: by old slot the new one, or [`NO_SLOT`].
pub type Moved = Vec<u32>;

impl Groups {
    /// Groups by keys of these domains; without any there is one group, also of no rows.
    pub fn new(domains: &[Domain]) -> Self {
        let coders: Vec<Coder> = domains.iter().map(Coder::new).collect();
        let room: Vec<usize> = coders.iter().map(|coder| coder.bound().max(FIRST_ROOM)).collect();
        let mut groups = Self { coders, table: Table::Computed(Vec::new()), rows: Vec::new() };
        match slots_of(&room) {
            Some(slots) => {
                groups.table = Table::Computed(room);
                groups.rows = vec![0; slots];
            }
            None => groups.table = Table::looked_up(domains),
        }
        groups
    }

    /// Groups by keys that come packed already, with room for so many.
    pub fn packed(domains: &[Domain], bits: Vec<u32>, room: usize) -> Self {
        let coders = domains.iter().map(Coder::new).collect();
        Self { coders, table: Table::Packed(bits, KeyTable::with_room(room)), rows: Vec::new() }
    }

    /// The slots of rows by their packed keys.
    pub fn slots_of_packed(&mut self, keys: &[u64]) -> Slots {
        let Table::Packed(_, table) = &mut self.table else { return Slots::One(0, 0) };
        let slots = Slots::Each(Arc::new(keys.iter().map(|key| table.find_or_add(*key)).collect()));
        self.rows.resize(table.count(), 0);
        slots
    }

    /// Counts rows that were given their slots.
    pub fn count(&mut self, slots: &Slots) {
        slots.count_into(&mut self.rows);
    }

    /// Adds rows by slot that were counted elsewhere.
    pub fn add_rows(&mut self, counts: impl Iterator<Item = u64>) {
        self.rows.iter_mut().zip(counts).for_each(|(rows, more)| *rows += more);
    }

    /// Lets go of all groups but these.
    pub fn retain(&mut self, slots: &[u32]) {
        let rows: Vec<u64> = slots.iter().map(|slot| self.rows[*slot as usize]).collect();
        self.rows.fill(0);
        slots.iter().zip(rows).for_each(|(slot, rows)| self.rows[*slot as usize] = rows);
    }

    /// Whether the slots of these keys are looked up, for want of room to compute them.
    pub fn are_looked_up(domains: &[Domain]) -> bool {
        slots_of(&domains.iter().map(Domain::bound).collect::<Vec<_>>()).is_none()
    }

    /// Number of slots, those without rows included.
    pub fn slots_count(&self) -> usize {
        self.rows.len()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let table = match &self.table {
            Table::Computed(_) => 0,
            Table::Packed(_, table) => table.bytes(),
            Table::Found { members, places, .. } => {
                (members.capacity() + places.capacity() * 2) * size_of::<u32>()
            }
        };
        table + self.rows.capacity() * size_of::<u64>() + self.coders.iter().map(Coder::bytes).sum::<usize>()
    }

    /// Rows by slot.
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// The slots that are groups.
    pub fn numbers(&self) -> Vec<u32> {
        match self.coders.as_slice() {
            [] => vec![0],
            _ => (0..self.rows.len() as u32).filter(|slot| self.rows[*slot as usize] > 0).collect(),
        }
    }

    /// The slots of all rows of a view, and where those of earlier ones went, if they did.
    ///
    /// # Errors
    /// As evaluating the keys.
    pub fn slots(&mut self, keys: &[Expr], view: &View, context: &Context) -> Result<(Slots, Option<Moved>)> {
        let coded = self.coders.iter_mut().zip(keys).map(|(coder, key)| coder.codes(key, view, context));
        let codes: Vec<Codes> = coded.collect::<Result<_>>()?;
        Ok(self.place(&codes, view.rows))
    }

    /// The slots of groups that were found before, by the columns of their keys, and where those of earlier ones went; each
    /// has so many rows more.
    ///
    /// # Errors
    /// Keys that are too many to number.
    pub fn take_in(&mut self, keys: &[Column], rows: &[u64]) -> Result<(Vec<u32>, Option<Moved>)> {
        let coded = self.coders.iter_mut().zip(keys);
        let coded = coded.map(|(coder, key)| Ok(Codes::Each(Arc::new(coder.codes_of_column(key)?))));
        let codes: Vec<Codes> = coded.collect::<Result<_>>()?;
        let (slots, moved) = self.place(&codes, rows.len());
        let slots: Vec<u32> = (0..rows.len()).map(|row| slots.of(row) as u32).collect();
        slots.iter().zip(rows).for_each(|(slot, rows)| self.rows[*slot as usize] += rows);
        Ok((slots, moved))
    }

    /// The slots of rows by the codes of their keys.
    fn place(&mut self, codes: &[Codes], rows: usize) -> (Slots, Option<Moved>) {
        let bounds: Vec<usize> = self.coders.iter().map(Coder::bound).collect();
        let moved = self.make_room(&bounds);
        let slots = match &mut self.table {
            Table::Computed(room) => computed(codes, room, rows),
            Table::Packed(bits, table) => {
                let keys = packed(codes, bits, rows);
                let slots =
                    Slots::Each(Arc::new(keys.into_iter().map(|key| table.find_or_add(key)).collect()));
                self.rows.resize(table.count(), 0);
                slots
            }
            Table::Found { members, places, hasher } => {
                let mut key = vec![0; codes.len()];
                let each = (0..rows).map(|row| {
                    key.iter_mut().zip(codes).for_each(|(slot, codes)| *slot = codes.of(row));
                    find_or_add(&key, members, places, hasher)
                });
                Slots::Each(Arc::new(each.collect()))
            }
        };
        if let Table::Found { members, .. } = &self.table {
            self.rows.resize(members.len() / codes.len().max(1), 0);
        }
        (slots, moved)
    }

    /// Makes room for codes below the bounds.
    fn make_room(&mut self, bounds: &[usize]) -> Option<Moved> {
        let Table::Computed(room) = &self.table else { return None };
        if bounds.iter().zip(room).all(|(bound, room)| bound <= room) {
            return None;
        }
        // room doubles, so that slots move a few times only
        let grown =
            |(bound, room): (&usize, &usize)| if bound <= room { *room } else { bound.next_power_of_two() };
        let wider: Vec<usize> = bounds.iter().zip(room).map(grown).collect();
        let slots = slots_of(&wider);
        if let (Some(slots), [_]) = (slots, wider.as_slice()) {
            self.rows.resize(slots, 0);
            self.table = Table::Computed(wider);
            return None;
        }
        let old = std::mem::replace(&mut self.rows, vec![0; slots.unwrap_or(0)]);
        let wider = match slots {
            Some(_) => Table::Computed(wider),
            None => Table::looked_up(self.coders.iter().map(Coder::domain)),
        };
        let before = std::mem::replace(&mut self.table, wider);
        let mut moved = vec![NO_SLOT; old.len()];
        // rows may be counted elsewhere: all slots move, whether or not they are groups yet
        for (slot, rows) in old.into_iter().enumerate() {
            let there = self.slot_of(&before.codes_of(slot, self.coders.len()));
            self.rows[there as usize] += rows;
            moved[slot] = there;
        }
        Some(moved)
    }

    /// The slot of a key, for which there is room.
    fn slot_of(&mut self, key: &[u32]) -> u32 {
        match &mut self.table {
            Table::Computed(room) => {
                let place = key.iter().zip(room).rev();
                place.fold(0usize, |slot, (code, room)| slot * *room + *code as usize) as u32
            }
            Table::Packed(bits, table) => {
                let parts = key.iter().zip(bits.iter()).rev();
                let slot =
                    table.find_or_add(parts.fold(0, |key, (code, bits)| key << bits | u64::from(*code)));
                self.rows.resize(table.count(), 0);
                slot
            }
            Table::Found { members, places, hasher } => {
                let slot = find_or_add(key, members, places, hasher);
                self.rows.resize(members.len() / key.len().max(1), 0);
                slot
            }
        }
    }

    /// Takes over the groups of another task. The first result maps its slots to slots here, `None` where they are the
    /// same; the second tells where slots here went.
    pub fn absorb(&mut self, other: Groups) -> (Option<Moved>, Option<Moved>) {
        let theirs = other.numbers();
        let is_alike =
            matches!((&self.table, &other.table), (Table::Computed(a), Table::Computed(b)) if a == b);
        let all_fixed = other.coders.iter().all(|coder| coder.domain().is_fixed());
        let is_code = matches!(
            (&self.table, &other.table, self.coders.len()),
            (Table::Computed(_), Table::Computed(_), 1)
        );
        // codes that are the same in all tasks make slots that are
        if all_fixed && (is_alike || is_code) {
            if let (Table::Computed(here), Table::Computed(there)) = (&mut self.table, &other.table) {
                here.iter_mut().zip(there).for_each(|(here, there)| *here = (*here).max(*there));
            }
            self.rows.resize(self.rows.len().max(other.rows.len()), 0);
            self.rows.iter_mut().zip(&other.rows).for_each(|(here, more)| *here += more);
            return (None, None);
        }
        let Groups { coders, table, rows } = other;
        let maps: Vec<Option<Vec<u32>>> =
            self.coders.iter_mut().zip(coders).map(|(coder, more)| coder.absorb(more)).collect();
        let bounds: Vec<usize> = self.coders.iter().map(Coder::bound).collect();
        let moved = self.make_room(&bounds);
        let mut map = vec![NO_SLOT; rows.len()];
        for slot in theirs {
            let mut key = table.codes_of(slot as usize, maps.len());
            for (code, codes) in key.iter_mut().zip(&maps) {
                *code = codes.as_ref().map_or(*code, |codes| codes[*code as usize]);
            }
            let here = self.slot_of(&key);
            self.rows[here as usize] += rows[slot as usize];
            map[slot as usize] = here;
        }
        (Some(map), moved)
    }

    /// One part of the keys of some slots, as a column.
    pub fn key_column(&self, at: usize, slots: &[u32]) -> Column {
        let codes: Vec<u32> = match &self.table {
            Table::Computed(room) => {
                let below: usize = room[..at].iter().product();
                slots.iter().map(|slot| (*slot as usize / below % room[at]) as u32).collect()
            }
            Table::Packed(bits, table) => {
                slots.iter().map(|slot| unpacked(table.keys()[*slot as usize], bits, at)).collect()
            }
            Table::Found { members, .. } => {
                let width = self.coders.len();
                slots.iter().map(|slot| members[*slot as usize * width + at]).collect()
            }
        };
        self.coders[at].column(&codes)
    }
}

impl Table {
    /// The codes of a slot's key, of which there are `width`.
    fn codes_of(&self, slot: usize, width: usize) -> Vec<u32> {
        match self {
            Self::Computed(room) => {
                let mut rest = slot;
                let digits = room.iter().map(|room| {
                    let digit = rest % room;
                    rest /= room;
                    digit as u32
                });
                digits.collect()
            }
            Self::Packed(bits, table) => {
                (0..bits.len()).map(|at| unpacked(table.keys()[slot], bits, at)).collect()
            }
            Self::Found { members, .. } => members[slot * width..(slot + 1) * width].to_vec(),
        }
    }

    fn looked_up<'a>(domains: impl IntoIterator<Item = &'a Domain>) -> Self {
        match bits_of(domains) {
            Some(bits) => Self::Packed(bits, KeyTable::with_room(0)),
            None => {
                Self::Found { members: Vec::new(), places: HashTable::new(), hasher: FixedState::default() }
            }
        }
    }
}

/// The bits that codes take beside each other in a number; `None` where they do not fit.
pub fn bits_of<'a>(domains: impl IntoIterator<Item = &'a Domain>) -> Option<Vec<u32>> {
    let bits: Vec<u32> = domains.into_iter().map(|domain| domain.code_bits()).collect();
    (bits.iter().sum::<u32>() <= u64::BITS).then_some(bits)
}

/// The codes of every row beside each other.
pub fn packed(codes: &[Codes], bits: &[u32], rows: usize) -> Vec<u64> {
    let mut keys = vec![0u64; rows];
    for (codes, bits) in codes.iter().zip(bits).rev() {
        match codes {
            Codes::One(code) => keys.iter_mut().for_each(|key| *key = *key << bits | u64::from(*code)),
            Codes::Each(codes) => {
                keys.iter_mut().zip(&**codes).for_each(|(key, code)| *key = *key << bits | u64::from(*code));
            }
            Codes::Listed(places, list) => {
                let code = |place: &u16| u64::from(list[*place as usize]);
                keys.iter_mut().zip(&**places).for_each(|(key, place)| *key = *key << bits | code(place));
            }
        }
    }
    keys
}

fn unpacked(key: u64, bits: &[u32], at: usize) -> u32 {
    let below: u32 = bits[..at].iter().sum();
    (key >> below) as u32 & (u32::MAX >> (u32::BITS - bits[at]))
}

/// The number of slots that are computed; `None` where they are too many.
fn slots_of(room: &[usize]) -> Option<usize> {
    let slots = room.iter().try_fold(1usize, |slots, room| slots.checked_mul(*room))?;
    (slots <= COMPUTED_SLOTS).then_some(slots)
}

fn computed(codes: &[Codes], room: &[usize], rows: usize) -> Slots {
    match codes {
        [] => return Slots::One(0, rows),
        [Codes::Each(each)] => return Slots::Each(Arc::clone(each)),
        [Codes::Listed(places, list)] if list.len() <= rows => {
            return Slots::Listed(Arc::clone(places), Arc::clone(list));
        }
        _ => {}
    }
    if let Some(slots) = listed(codes, room, rows) {
        return slots;
    }
    let (mut below, mut common) = (1usize, 0usize);
    let mut each: Option<Vec<u32>> = None;
    for (codes, room) in codes.iter().zip(room) {
        match (codes.clone().plain(), &mut each) {
            (Codes::One(code), _) => common += code as usize * below,
            (codes, None) => each = Some((0..rows).map(|row| codes.of(row) * below as u32).collect()),
            (Codes::Each(codes), Some(slots)) => {
                slots.iter_mut().zip(&*codes).for_each(|(slot, code)| *slot += code * below as u32);
            }
            (codes, Some(slots)) => {
                slots.iter_mut().enumerate().for_each(|(row, slot)| *slot += codes.of(row) * below as u32);
            }
        }
        below *= room;
    }
    match each {
        None => Slots::One(common as u32, rows),
        Some(mut slots) => {
            if common > 0 {
                slots.iter_mut().for_each(|slot| *slot += common as u32);
            }
            Slots::Each(Arc::new(slots))
        }
    }
}

/// The slots of keys that come by lists, by a list of all combinations, where these are few: then no row is looked up.
fn listed(codes: &[Codes], room: &[usize], rows: usize) -> Option<Slots> {
    let (mut list, mut places, mut below) = (vec![0u32], vec![0u16; rows], 1usize);
    let few = FEW_SLOTS.min(rows);
    for (codes, room) in codes.iter().zip(room) {
        match codes {
            Codes::One(code) => list.iter_mut().for_each(|slot| *slot += code * below as u32),
            Codes::Each(_) => return None,
            Codes::Listed(more, codes) => {
                let (known, all) = (list.len(), list.len() * codes.len());
                if all > few {
                    return None;
                }
                places.iter_mut().zip(&**more).for_each(|(place, more)| *place += more * known as u16);
                let combined =
                    codes.iter().flat_map(|code| list.iter().map(move |slot| slot + code * below as u32));
                list = combined.collect();
            }
        }
        below *= room;
    }
    (list.len() > 1).then(|| Slots::Listed(Arc::new(places), Arc::new(list)))
}

fn find_or_add(key: &[u32], members: &mut Vec<u32>, places: &mut HashTable<u32>, hasher: &FixedState) -> u32 {
    let width = key.len();
    let hash = hasher.hash_one(key);
    let key_at = |slot: u32| slot as usize * width..(slot as usize + 1) * width;
    if let Some(slot) = places.find(hash, |slot| members[key_at(*slot)] == *key) {
        return *slot;
    }
    let slot = (members.len() / width.max(1)) as u32;
    members.extend_from_slice(key);
    places.insert_unique(hash, slot, |slot| hasher.hash_one(&members[key_at(*slot)]));
    slot
}
