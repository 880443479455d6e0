//! What questions have of sealed segments, kept for the next one: a segment never changes, so what its rows come to for
//! some keys and aggregates holds as long as it is there. A question that is asked again looks at the tail alone, and its
//! answer is exact. `execute` asks it before it scans.
//!
//! Large blocks of the tail are pieces, too, as long as they are in memory: they are merged once more at most.
//!
//! A piece is a run of blocks of one segment of which every row lies within the question's bounds of time, wherever these
//! are; what is left of the segment, a block or two at an end of the range, is looked at each time. Pieces that follow
//! each other are kept together, too, so that a question asked every second puts nothing together but that and the tail.
//!
//! What must hold: a key tells the segment by its tag, the blocks, the keys, aggregates and calendar, and every condition
//! that does not hold for all rows of the segment; who is bound to a row filter neither finds nor makes
//! one. Pieces are put together in the order of the parts, as tasks are.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, atomic};
use std::time::Instant;

use xxhash_rust::xxh3::xxh3_128;

use crate::cache::class::Class;
use crate::cache::figures::Tier;
use crate::cache::key::Key;
use crate::cache::{Cache, Computed, Got, Kept, Wish};
use crate::columnar::TIME;
use crate::error::{Error, Result};
use crate::limits;
use crate::query::budget::Held;
use crate::query::execute::Scan;
use crate::query::expression::Expr;
use crate::query::measures::{Found, Measures};
use crate::query::partial::Partial;
use crate::query::prune::{Verdict, verdict};
use crate::store::part::{Part, Source, Stored};
use crate::store::segment::Segment;
use crate::store::snapshot::TailBlock;

/// Bytes of a piece that is kept, at least; of large segments two a row, about the twentieth part of what the rows take in
/// memory.
const PIECE_BYTES: usize = if cfg!(test) { 2_048 } else { 1 << 20 };
const PIECE_BYTES_A_ROW: usize = 2;
/// Rows of a block of the tail that is a piece.
const TAIL_ROWS: usize = if cfg!(test) { 8 } else { limits::TAIL_BLOCK_ROWS / 8 };
/// Shorter lists of pieces that are looked for where the whole one is not kept: a segment or two came since.
const SHORTER_LISTS: usize = 3;

/// All pieces are of one version: what they are of never changes.
const WISH: Wish = Wish { version: 0, class: Class::PARTS, max_age: None, deadline: None };

/// Some blocks of one segment.
struct Piece {
    hash: u128,
    /// Whether it is a block of the tail, which another process knows otherwise.
    is_of_tail: bool,
    /// Its parts among those of the scan.
    parts: Range<usize>,
    rows: u64,
    /// Bytes that keeping it may take.
    bytes_max: usize,
}

enum Step {
    /// Parts that are looked at.
    Loose(Range<usize>),
    /// Pieces that follow each other.
    Pieces(Vec<Piece>),
}

/// That a shape was asked for, and whether what it comes to can be kept.
struct Asked {
    is_too_large: bool,
}

impl Kept for Asked {
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }

    fn write(&self) -> Option<Vec<u8>> {
        None
    }

    fn read(_: &[u8]) -> Option<Self> {
        None
    }
}

/// What all parts come to; `None` where nothing is kept of such a question, and all of it is to be scanned as usual: the
/// first time, as putting pieces together takes longer than scanning them at once.
///
/// # Errors
/// As scanning.
pub(super) fn found(
    scan: &Scan<'_>,
    measures: &Measures<'_>,
    cache: &Cache,
) -> Result<Option<(Found, Held)>> {
    let may_be_kept = |part: &Part| match part.stored() {
        Stored::Sealed(..) => true,
        Stored::Tail(block) => block.block.rows() >= TAIL_ROWS,
    };
    if !scan.parts.iter().any(may_be_kept) {
        return Ok(None);
    }
    let shape = xxh3_128(
        format!("{} {:?} {:?}", measures.shape(), scan.plan.calendar, scan.dataset.declaration.id).as_bytes(),
    );
    let steps = steps(scan, shape)?;
    let keeper = Keeper { scan, measures, cache, is_too_large: atomic::AtomicBool::new(false) };
    let asked = keeper.key("asked", shape);
    let before = cache.get::<Asked>(&asked, &WISH);
    if before.as_ref().is_some_and(|got| got.value.is_too_large) {
        return Ok(None);
    }
    let is_kept = |step: &Step| match step {
        Step::Loose(_) => false,
        Step::Pieces(pieces) => cache.has(&keeper.list_key(pieces)),
    };
    if before.is_none() {
        cache.put(&asked, &WISH, Arc::new(Asked { is_too_large: false }));
        if !steps.iter().any(is_kept) {
            return Ok(None);
        }
    }
    let found = keeper.found(steps);
    if keeper.is_too_large.load(Ordering::Relaxed) {
        cache.put(&asked, &WISH, Arc::new(Asked { is_too_large: true }));
        return match found {
            // what was found is good all the same
            Ok(found) => Ok(Some(found)),
            Err(Error::Internal(_)) => {
                scan.rows_kept.store(0, Ordering::Relaxed);
                Ok(None)
            }
            Err(e) => Err(e),
        };
    }
    found.map(Some)
}

/// The parts of a scan as pieces and what is left, in order.
fn steps(scan: &Scan<'_>, shape: u128) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let loose = |steps: &mut Vec<Step>, more: Range<usize>| match steps.last_mut() {
        _ if more.is_empty() => {}
        Some(Step::Loose(parts)) => parts.end = more.end,
        _ => steps.push(Step::Loose(more)),
    };
    let mut begin = 0;
    let is_together = |a: &Part, b: &Part| segment_of(a).is_some() && segment_of(a) == segment_of(b);
    for run in scan.parts.chunk_by(is_together) {
        let all = begin..begin + run.len();
        begin = all.end;
        let piece = match run.first().map(|part| (part, part.stored())) {
            Some((_, Stored::Sealed(segment, _))) => piece(scan, segment, all.clone(), shape)?,
            Some((part, Stored::Tail(block))) => tail_piece(scan, part, block, all.start, shape)?,
            None => None,
        };
        let Some(piece) = piece else {
            loose(&mut steps, all);
            continue;
        };
        let parts = piece.parts.clone();
        loose(&mut steps, all.start..parts.start);
        match steps.last_mut() {
            // those of segments stay as they are while the tail grows
            Some(Step::Pieces(pieces))
                if pieces.last().is_some_and(|last| last.is_of_tail == piece.is_of_tail) =>
            {
                pieces.push(piece);
            }
            _ => steps.push(Step::Pieces(vec![piece])),
        }
        loose(&mut steps, parts.end..all.end);
    }
    Ok(steps)
}

fn segment_of(part: &Part) -> Option<i64> {
    part.stored().segment().map(|segment| segment.id)
}

/// The blocks of a segment that bounds of time do not cut; `parts` are those of them that may hold rows.
fn piece(scan: &Scan<'_>, segment: &Arc<Segment>, parts: Range<usize>, shape: u128) -> Result<Option<Piece>> {
    if segment.damage.is_some() {
        return Ok(None);
    }
    let whole = Source::Segment(Arc::clone(segment));
    let (mut bounds, mut others): (Vec<&Expr>, Vec<&Expr>) = (Vec::new(), Vec::new());
    for (condition, names) in scan.filter.conditions() {
        if verdict(condition, &whole)? == Verdict::Always {
            continue;
        }
        let is_of_time = matches!(names, [name] if **name == *TIME);
        if is_of_time { bounds.push(condition) } else { others.push(condition) }
    }
    let mut blocks = 0..segment.blocks();
    if !bounds.is_empty() {
        let mut within = Vec::new();
        for block in blocks {
            let part = Stored::Sealed(Arc::clone(segment), block);
            let mut all = true;
            for bound in &bounds {
                all &= verdict(bound, &part)? == Verdict::Always;
            }
            within.extend(all.then_some(block));
        }
        let (Some(first), Some(last)) = (within.first(), within.last()) else { return Ok(None) };
        if last - first + 1 != within.len() {
            return Ok(None);
        }
        blocks = *first..last + 1;
    }
    let is_before =
        |block: usize| move |part: &Part| matches!(part.stored(), Stored::Sealed(_, at) if *at < block);
    let of_segment = &scan.parts[parts.clone()];
    let first = parts.start + of_segment.partition_point(is_before(blocks.start));
    let end = parts.start + of_segment.partition_point(is_before(blocks.end));
    if first == end {
        return Ok(None);
    }
    let text = format!("{shape:x} {} {blocks:?} {others:?}", segment.tag);
    Ok(Some(Piece {
        hash: xxh3_128(text.as_bytes()),
        is_of_tail: false,
        rows: scan.parts[first..end].iter().map(|part| part.rows() as u64).sum(),
        parts: first..end,
        bytes_max: PIECE_BYTES.max(segment.rows() * PIECE_BYTES_A_ROW),
    }))
}

/// A block of the tail, where it is large and bounds of time do not cut it.
fn tail_piece(
    scan: &Scan<'_>,
    part: &Part,
    block: &TailBlock,
    at: usize,
    shape: u128,
) -> Result<Option<Piece>> {
    let rows = block.block.rows();
    if rows < TAIL_ROWS {
        return Ok(None);
    }
    let mut others: Vec<&Expr> = Vec::new();
    for (condition, names) in scan.filter.conditions() {
        match verdict(condition, part)? {
            Verdict::Always => {}
            _ if matches!(names, [name] if **name == *TIME) => return Ok(None),
            _ => others.push(condition),
        }
    }
    // numbers of events are never used twice, as long as the file is not put back to an earlier state
    let text = format!("{shape:x} {:x} {} {} {rows} {others:?}", *PROCESS, scan.dataset.id, block.first_seq);
    Ok(Some(Piece {
        hash: xxh3_128(text.as_bytes()),
        is_of_tail: true,
        rows: rows as u64,
        parts: at..at + 1,
        bytes_max: PIECE_BYTES,
    }))
}

/// Tells this process from all others.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());

struct Keeper<'a> {
    scan: &'a Scan<'a>,
    measures: &'a Measures<'a>,
    cache: &'a Cache,
    /// What the question comes to is more than is kept.
    is_too_large: atomic::AtomicBool,
}

impl Keeper<'_> {
    fn key(&self, sort: &str, hash: u128) -> Key {
        Key::of_text(sort, &[&self.scan.dataset.name], &format!("{hash:x}"), None)
    }

    /// The key of pieces together; of one alone it is its own.
    fn list_key(&self, pieces: &[Piece]) -> Key {
        if let [piece] = pieces {
            let key = self.key("piece", piece.hash);
            return if piece.is_of_tail { key.of_process() } else { key.lasting() };
        }
        let is_of_tail = pieces.iter().any(|piece| piece.is_of_tail);
        let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.hash.to_le_bytes()).collect();
        let key = self.key("pieces", xxh3_128(&all));
        if is_of_tail { key.of_process() } else { key }
    }

    fn found(&self, steps: Vec<Step>) -> Result<(Found, Held)> {
        let (scan, measures) = (self.scan, self.measures);
        let (mut all, mut held) = (measures.start(), scan.plan.budget.hold());
        for step in steps {
            scan.plan.budget.check()?;
            match step {
                Step::Loose(parts) => {
                    let (more, _held) = scan.found_in(&scan.parts[parts], measures)?;
                    measures.absorb(&mut all, more)?;
                }
                Step::Pieces(pieces) => measures.absorb_kept(&mut all, &*self.list(&pieces)?)?,
            }
            held.set(all.bytes())?;
        }
        Ok((all, held))
    }

    /// What pieces that follow each other come to.
    fn list(&self, pieces: &[Piece]) -> Result<Arc<Partial>> {
        let rows: u64 = pieces.iter().map(|piece| piece.rows).sum();
        let scanned = AtomicU64::new(0);
        let wish = Wish { deadline: self.scan.plan.budget.deadline(), ..WISH };
        let got = self.cache.get_or_compute(&self.list_key(pieces), &wish, || {
            let (partial, looked_at) = self.put_together(pieces)?;
            scanned.store(looked_at, Ordering::Relaxed);
            let bytes_max: usize = pieces.iter().map(|piece| piece.bytes_max).sum();
            let is_kept = partial.bytes() <= bytes_max;
            self.is_too_large.fetch_or(!is_kept, Ordering::Relaxed);
            Ok(Computed { value: partial, rows, is_kept })
        })?;
        self.scan.rows_kept.fetch_add(rows - scanned.into_inner().min(rows), Ordering::Relaxed);
        self.in_codes(&self.list_key(pieces), got)
    }

    /// What came from the file has values in the place of codes: it is coded once, and kept so.
    fn in_codes(&self, key: &Key, got: Got<Partial>) -> Result<Arc<Partial>> {
        if got.tier != Some(Tier::Disk) {
            return Ok(got.value);
        }
        let mut all = self.measures.start();
        self.measures.absorb_kept(&mut all, &got.value)?;
        let partial = Arc::new(self.keep(all)?);
        self.cache.replace(key, Arc::clone(&partial));
        Ok(partial)
    }

    /// The same of what is kept of them one by one, and of what has to be looked at; gives the rows of that, too.
    fn put_together(&self, pieces: &[Piece]) -> Result<(Partial, u64)> {
        let (scan, measures, cache) = (self.scan, self.measures, self.cache);
        let (mut all, mut rows) = (measures.start(), 0);
        let mut held = scan.plan.budget.hold();
        let shorter = (2..pieces.len()).rev().take(SHORTER_LISTS);
        let known =
            shorter.map(|count| (count, cache.get::<Partial>(&self.list_key(&pieces[..count]), &WISH)));
        let known = known.into_iter().find_map(|(count, got)| got.map(|got| (count, got)));
        let begin = known.as_ref().map_or(0, |(count, _)| *count);
        if let Some((count, got)) = known {
            measures.absorb_kept(&mut all, &*self.in_codes(&self.list_key(&pieces[..count]), got)?)?;
        }
        for piece in &pieces[begin..] {
            let key = self.list_key(std::slice::from_ref(piece));
            let kept = if pieces.len() > 1 { cache.get::<Partial>(&key, &WISH) } else { None };
            if let Some(got) = kept {
                measures.absorb_kept(&mut all, &*self.in_codes(&key, got)?)?;
            } else {
                let begin = Instant::now();
                let (fresh, _held) = scan.found_in(&scan.parts[piece.parts.clone()], measures)?;
                rows += piece.rows;
                let partial = self.keep(fresh)?;
                measures.absorb_kept(&mut all, &partial)?;
                if pieces.len() > 1 {
                    let is_kept = partial.bytes() <= piece.bytes_max;
                    let computed = Computed { value: partial, rows: piece.rows, is_kept };
                    cache.put_computed(&key, &WISH, computed, begin.elapsed());
                }
            }
            held.set(all.bytes())?;
        }
        Ok((self.keep(all)?, rows))
    }

    fn keep(&self, found: Found) -> Result<Partial> {
        self.measures.keep(found).ok_or_else(|| {
            self.is_too_large.store(true, Ordering::Relaxed);
            Error::Internal("what a question comes to cannot be kept".into())
        })
    }
}
