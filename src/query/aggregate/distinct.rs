//! Exact counts of distinct values. Values are coded as small numbers first; a set is then a bitmap a slot, or, where
//! bitmaps would be many and mostly empty, a list of pairs that is sorted out at the end.

use rayon::prelude::*;

use crate::error::Result;
use crate::query::aggregate::packed::Packed;
use crate::query::aggregate::stored::{self, Table};
use crate::query::aggregate::{NO_SLOT, Share};
use crate::query::codes::{Coder, Codes, Domain};
use crate::query::expression::Expr;
use crate::query::functions::Context;
use crate::query::slots::Slots;
use crate::query::view::View;

/// Bytes of the bitmaps of all tasks of a question: one task has its share of them.
const BITMAP_BYTES: usize = if cfg!(test) { 256 } else { 64 << 20 };
/// Bytes of bitmaps that a row is worth: making and merging those costs what sorting out its pair does.
const BITMAP_BYTES_A_ROW: usize = 64;
/// Pairs in a list from which on it is cleared of what it has twice.
const PAIRS: usize = if cfg!(test) { 32 } else { 1 << 22 };

/// The distinct values of each slot.
#[derive(Debug, Clone)]
pub struct Distinct {
    coder: Coder,
    sets: Sets,
    /// Words of all bitmaps.
    words: usize,
    bitmap_bytes_max: usize,
    slots: usize,
    /// The counts of all pairs by slot, from when they are asked for until more come in.
    counted: Vec<u32>,
}

#[derive(Debug, Clone)]
enum Sets {
    /// A bitmap a slot, of the codes it has; empty until there is one.
    Bits(Vec<Vec<u64>>),
    /// Slot and code, some of them more than once; lists of several tasks.
    Pairs(Vec<Vec<u64>>),
    /// The codes of every slot, as they are kept for later questions.
    Packed(Vec<Packed>),
}

impl Sets {
    /// As lists of pairs.
    fn into_lists(self) -> Vec<Vec<u64>> {
        match self {
            Self::Pairs(lists) => lists,
            Self::Bits(sets) => vec![pairs_of(&sets)],
            Self::Packed(packed) => {
                let mut pairs = Vec::new();
                for (slot, packed) in packed.iter().enumerate() {
                    packed.for_each(|code| pairs.push(pair(slot as u32, code)));
                }
                vec![pairs]
            }
        }
    }
}

fn pair(slot: u32, code: u32) -> u64 {
    u64::from(slot) << 32 | u64::from(code)
}

impl Distinct {
    /// No values yet; `share` is what of the question it has.
    pub fn new(domain: &Domain, share: Share) -> Self {
        let worth = share.rows.saturating_mul(BITMAP_BYTES_A_ROW);
        let bitmap_bytes_max = (BITMAP_BYTES / share.states.max(1)).min(worth);
        Self {
            coder: Coder::new(domain),
            sets: Sets::Bits(Vec::new()),
            words: 0,
            bitmap_bytes_max,
            slots: 0,
            counted: Vec::new(),
        }
    }

    /// Bytes in memory, with what counting pairs takes at the end.
    pub fn bytes(&self) -> usize {
        let sets = match &self.sets {
            Sets::Bits(sets) => sets.capacity() * size_of::<Vec<u64>>() + self.words * size_of::<u64>(),
            Sets::Pairs(lists) => {
                lists.iter().map(Vec::capacity).sum::<usize>() * size_of::<u64>() * 3 / 2
                    + self.slots * size_of::<u32>()
            }
            Sets::Packed(packed) => packed.iter().map(Packed::bytes).sum(),
        };
        sets + self.coder.bytes()
    }

    /// Makes room for slots.
    pub fn grow(&mut self, slots: usize) {
        self.slots = self.slots.max(slots);
        if let Sets::Bits(sets) = &mut self.sets {
            sets.resize_with(self.slots, Vec::new);
        }
    }

    /// Takes in rows.
    ///
    /// # Errors
    /// As evaluating the argument.
    pub fn update(&mut self, slots: &Slots, argument: &Expr, view: &View, context: &Context) -> Result<()> {
        self.counted.clear();
        let codes = self.coder.codes(argument, view, context)?.plain();
        let slots = &slots.plain();
        let words = self.coder.bound().div_ceil(64);
        if let Sets::Bits(sets) = &self.sets
            && words * 8 * sets.len() > self.bitmap_bytes_max
        {
            self.sets = Sets::Pairs(vec![pairs_of(sets)]);
        }
        self.unpack();
        match &mut self.sets {
            Sets::Packed(_) => {}
            Sets::Bits(sets) => self.words += insert_bits(sets, words, slots, &codes),
            Sets::Pairs(lists) => {
                if lists.is_empty() {
                    lists.push(Vec::new());
                }
                if lists.last().is_none_or(|list| list.len() >= PAIRS) {
                    lists.iter_mut().for_each(sort_out);
                    if lists.last().is_none_or(|list| list.len() >= PAIRS / 2) {
                        lists.push(Vec::new());
                    }
                }
                if let Some(list) = lists.last_mut() {
                    push_pairs(list, slots, &codes);
                }
            }
        }
        Ok(())
    }

    /// Takes over those of another task.
    pub fn absorb(&mut self, other: Self, map: Option<&[u32]>) {
        self.counted.clear();
        self.unpack();
        let codes = self.coder.absorb(other.coder);
        let words = self.coder.bound().div_ceil(64);
        let has_room = words * self.slots * size_of::<u64>() <= self.bitmap_bytes_max;
        match (&mut self.sets, other.sets) {
            (Sets::Bits(sets), Sets::Packed(more)) if codes.is_none() && has_room => {
                for (from, more) in more.iter().enumerate() {
                    let slot = map.map_or(from as u32, |map| map[from]);
                    let Some(set) = sets.get_mut(slot as usize).filter(|_| slot != NO_SLOT) else { continue };
                    if set.len() < words {
                        self.words += words - set.len();
                        set.resize(words, 0);
                    }
                    more.add_to(set);
                }
            }
            (Sets::Bits(sets), Sets::Bits(more)) if codes.is_none() => {
                for (from, more) in more.into_iter().enumerate().filter(|(_, more)| !more.is_empty()) {
                    let slot = map.map_or(from as u32, |map| map[from]);
                    let Some(set) = sets.get_mut(slot as usize).filter(|_| slot != NO_SLOT) else { continue };
                    if set.len() < more.len() {
                        self.words += more.len() - set.len();
                        set.resize(more.len(), 0);
                    }
                    set.iter_mut().zip(more).for_each(|(here, more)| *here |= more);
                }
            }
            (_, more) => {
                let moved = |pair: u64| {
                    let (slot, code) = ((pair >> 32) as u32, pair as u32);
                    let slot = map.map_or(slot, |map| map[slot as usize]);
                    let code = codes.as_ref().map_or(code, |codes| codes[code as usize]);
                    (slot != NO_SLOT).then_some(u64::from(slot) << 32 | u64::from(code))
                };
                let lists = more.into_lists();
                let moved = lists.into_iter().map(|list| list.into_iter().filter_map(moved).collect());
                if let Sets::Bits(sets) = &self.sets {
                    self.sets = Sets::Pairs(vec![pairs_of(sets)]);
                }
                if let Sets::Pairs(lists) = &mut self.sets {
                    lists.extend(moved);
                }
            }
        }
    }

    /// The same values under the codes of another domain, that of a question which is asked later.
    ///
    /// # Errors
    /// Values that are too many to number.
    pub fn recode(&mut self, domain: &Domain) -> Result<()> {
        if self.coder.domain().is_coded_as(domain) {
            return Ok(());
        }
        let mut coder = Coder::new(domain);
        let codes = coder.codes_of_column(&self.coder.values())?;
        let lists = std::mem::replace(&mut self.sets, Sets::Pairs(Vec::new())).into_lists();
        let moved = |old: u64| pair((old >> 32) as u32, codes[old as u32 as usize]);
        self.sets =
            Sets::Pairs(lists.into_iter().map(|list| list.into_iter().map(moved).collect()).collect());
        (self.coder, self.words) = (coder, 0);
        Ok(())
    }

    /// Packs all sets: a small form, which nothing can be added to.
    pub fn compact(&mut self) {
        self.counted.clear();
        let lists = std::mem::replace(&mut self.sets, Sets::Pairs(Vec::new())).into_lists();
        let mut all = lists.concat();
        sort_out(&mut all);
        let mut codes = Vec::new();
        let packed = (0..self.slots as u32).map(|slot| {
            let (from, to) = (pair(slot, 0), pair(slot, u32::MAX));
            let of_slot = all.partition_point(|pair| *pair < from)..all.partition_point(|pair| *pair <= to);
            codes.clear();
            codes.extend(all[of_slot].iter().map(|pair| *pair as u32));
            Packed::of(&codes)
        });
        self.sets = Sets::Packed(packed.collect());
        self.words = 0;
    }

    /// Makes pairs of packed sets, where something is to be added to them.
    fn unpack(&mut self) {
        if matches!(self.sets, Sets::Packed(_)) {
            let packed = std::mem::replace(&mut self.sets, Sets::Pairs(Vec::new()));
            self.sets = Sets::Pairs(packed.into_lists());
        }
    }

    /// The slots and the values that they have, as a table.
    pub fn tables(&self) -> Vec<Table> {
        let pairs = self.sets.clone().into_lists().concat();
        let codes: Vec<u32> = pairs.iter().map(|pair| *pair as u32).collect();
        let slots = stored::ints(pairs.iter().map(|pair| (*pair >> 32) as i64));
        vec![Table::new(pairs.len(), vec![slots, self.coder.column(&codes)])]
    }

    /// Reads [`Distinct::tables`].
    pub fn read(tables: &[Table], slots: usize) -> Option<Self> {
        let table = tables.first()?;
        let mut all = Self::new(&Domain::Open, Share::default());
        all.grow(slots);
        let codes = all.coder.codes_of_column(table.column(1)?).ok()?;
        let pairs = table.slots(0, slots)?.into_iter().zip(codes).map(|(slot, code)| pair(slot, code));
        all.sets = Sets::Pairs(vec![pairs.collect()]);
        Some(all)
    }

    /// How many distinct values, null aside, each of some slots has.
    pub fn counts(&mut self, slots: &[u32]) -> Vec<i64> {
        let null = self.coder.null();
        self.unpack();
        match &self.sets {
            Sets::Packed(_) => vec![0; slots.len()],
            Sets::Bits(sets) => {
                let has_null = |set: &Vec<u64>| {
                    null.is_some_and(|code| {
                        set.get(code as usize / 64).is_some_and(|word| word >> (code % 64) & 1 == 1)
                    })
                };
                let count = |slot: &u32| {
                    let set = &sets[*slot as usize];
                    let ones: u32 = set.iter().map(|word| word.count_ones()).sum();
                    i64::from(ones) - i64::from(has_null(set))
                };
                slots.iter().map(count).collect()
            }
            Sets::Pairs(lists) => {
                if self.counted.is_empty() {
                    self.counted = count_pairs(lists, self.slots, self.coder.bound(), null);
                }
                slots.iter().map(|slot| i64::from(self.counted[*slot as usize])).collect()
            }
        }
    }
}

/// Sets the bits of rows; the result is by how many words the bitmaps grew.
fn insert_bits(sets: &mut [Vec<u64>], words: usize, slots: &Slots, codes: &Codes) -> usize {
    let mut grown = 0;
    let mut room = |set: &mut Vec<u64>| {
        if set.len() < words {
            grown += words - set.len();
            set.resize(words, 0);
        }
    };
    match (slots, codes) {
        (Slots::One(_, 0), _) => {}
        (Slots::One(slot, _), Codes::One(code)) => {
            let set = &mut sets[*slot as usize];
            room(set);
            set[*code as usize / 64] |= 1 << (code % 64);
        }
        (Slots::One(slot, _), Codes::Each(codes)) => {
            let set = &mut sets[*slot as usize];
            room(set);
            codes.iter().for_each(|code| set[*code as usize / 64] |= 1 << (code % 64));
        }
        (Slots::Each(slots), codes) => {
            for (row, slot) in slots.iter().enumerate() {
                let (set, code) = (&mut sets[*slot as usize], codes.of(row));
                match set.get_mut(code as usize / 64) {
                    Some(word) => *word |= 1 << (code % 64),
                    None => {
                        room(set);
                        set[code as usize / 64] |= 1 << (code % 64);
                    }
                }
            }
        }
        // both are plain
        _ => {}
    }
    grown
}

fn push_pairs(list: &mut Vec<u64>, slots: &Slots, codes: &Codes) {
    match (slots, codes) {
        (Slots::One(_, 0), _) => {}
        (Slots::One(slot, _), Codes::One(code)) => list.push(pair(*slot, *code)),
        (Slots::One(slot, _), Codes::Each(codes)) => list.extend(codes.iter().map(|code| pair(*slot, *code))),
        (Slots::Each(slots), Codes::One(code)) => list.extend(slots.iter().map(|slot| pair(*slot, *code))),
        (Slots::Each(slots), Codes::Each(codes)) => {
            list.extend(slots.iter().zip(&**codes).map(|(slot, code)| pair(*slot, *code)));
        }
        // both are plain
        _ => {}
    }
}

fn sort_out(list: &mut Vec<u64>) {
    list.sort_unstable();
    list.dedup();
}

fn pairs_of(sets: &[Vec<u64>]) -> Vec<u64> {
    let mut pairs = Vec::new();
    for (slot, set) in sets.iter().enumerate() {
        for (at, word) in set.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                pairs.push(pair(slot as u32, at as u32 * 64 + rest.trailing_zeros()));
                rest &= rest - 1;
            }
        }
    }
    pairs
}

/// The distinct codes of every slot, the one of null left out: codes are brought together by slot, then counted by a
/// bitmap that all slots use in turn. Each task does it for the slots of a range.
fn count_pairs(lists: &[Vec<u64>], slots: usize, bound: usize, null: Option<u32>) -> Vec<u32> {
    let all: usize = lists.iter().map(Vec::len).sum();
    let mut rows = vec![0u32; slots];
    lists.iter().flatten().for_each(|pair| rows[(pair >> 32) as usize] += 1);
    // ranges of about as many pairs
    let share = all.div_ceil(rayon::current_num_threads()).max(1);
    let (mut ranges, mut from, mut filled) = (Vec::new(), 0, 0);
    for (slot, count) in rows.iter().enumerate() {
        filled += *count as usize;
        if filled >= share || slot + 1 == slots {
            ranges.push(from..slot + 1);
            (from, filled) = (slot + 1, 0);
        }
    }
    let counts = ranges.into_par_iter().map(|range| {
        let mut ends = vec![0usize; range.len() + 1];
        for (at, count) in rows[range.clone()].iter().enumerate() {
            ends[at + 1] = ends[at] + *count as usize;
        }
        let (mut codes, mut next) = (vec![0u32; ends[range.len()]], ends.clone());
        for pair in lists.iter().flatten() {
            let slot = (pair >> 32) as usize;
            if range.contains(&slot) {
                let place = &mut next[slot - range.start];
                codes[*place] = *pair as u32;
                *place += 1;
            }
        }
        let mut seen = vec![0u64; bound.div_ceil(64)];
        ends.windows(2)
            .map(|ends| count_codes(&codes[ends[0]..ends[1]], &mut seen, null))
            .collect::<Vec<u32>>()
    });
    counts.flatten_iter().collect()
}

/// The distinct ones among some codes; the bitmap is empty before and after.
fn count_codes(codes: &[u32], seen: &mut [u64], null: Option<u32>) -> u32 {
    let mut count = 0;
    for code in codes.iter().filter(|code| Some(**code) != null) {
        let (word, bit) = (&mut seen[*code as usize / 64], 1 << (code % 64));
        count += u32::from(*word & bit == 0);
        *word |= bit;
    }
    codes.iter().for_each(|code| seen[*code as usize / 64] = 0);
    count
}
