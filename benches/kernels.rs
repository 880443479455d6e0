//! Each inner loop of a query by itself, on two threads, beside what a bare loop over plain arrays reached on the machine
//! that the limits were measured on: how far the engine's way through blocks, slots and states is from the memory.
//! `cargo bench --bench kernels`; machines differ, so compare rows of one run.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;
use rayon::prelude::*;
use windrow::columnar::column::{Column, Data};
use windrow::columnar::kernels::rows_where;
use windrow::columnar::narrow::Ints;
use windrow::query::aggregate::{Family, Input, Share, State};
use windrow::query::codes::Domain;
use windrow::query::expression::Expr;
use windrow::query::functions::Context;
use windrow::query::slots::Slots;
use windrow::query::view::View;

const BLOCK_ROWS: usize = 16_384;
const USERS: u64 = 500_000;

/// A block of rows, as a query has them before it: small codes, ids, and a number.
struct Rows {
    codes: [Vec<u8>; 3],
    ids: Arc<Vec<u32>>,
    day: u32,
    view: View,
}

fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11
}

fn rows(block: u64) -> Rows {
    let each = |salt: u64, below: u64| {
        (0..BLOCK_ROWS as u64).map(move |row| mixed(block * BLOCK_ROWS as u64 + row + (salt << 50)) % below)
    };
    let codes = [60, 8, 3].map(|below| each(below, below).map(|code| code as u8).collect());
    let ids: Vec<u32> = each(4, USERS).map(|id| id as u32).collect();
    let numbers = |values: Vec<i64>| {
        Arc::new(Column { rows: BLOCK_ROWS, validity: None, data: Data::Int(Ints::from_values(&values)) })
    };
    let amounts = numbers(each(5, 1 << 22).map(|n| n as i64).collect());
    let users = numbers(ids.iter().map(|id| i64::from(*id)).collect());
    let view = View::of(BLOCK_ROWS, vec![("amount".into(), amounts), ("user".into(), users)]);
    Rows { codes, ids: Arc::new(ids), day: (block / 7) as u32, view }
}

/// Feeds all rows to one state a thread.
fn states(
    blocks: &[Rows],
    family: Family,
    column: &str,
    slots: usize,
    slots_of: impl Fn(&Rows) -> Slots + Sync,
) {
    let argument = Expr::Column(column.into());
    let domain = Domain::Span { min: 0, codes: USERS as usize + 2, is_time: false };
    let half = blocks.len().div_ceil(2);
    let states: Vec<State> = blocks
        .par_chunks(half)
        .map(|blocks| {
            let context = Context::new(TimeZone::UTC);
            let mut state = State::new(family, false, &domain, Share::default());
            state.grow(slots);
            for rows in blocks {
                let input = Input { view: &rows.view, argument: Some(&argument), context: &context };
                let slots = slots_of(rows);
                let counted = state.update_and_count(&slots, input).expect("adds");
                if !counted {
                    state.update(&slots, input).expect("adds");
                }
            }
            state
        })
        .collect();
    black_box(states);
}

fn filtered(blocks: &[Rows]) {
    let counts: Vec<usize> = blocks
        .par_iter()
        .map(|rows| {
            let [a, b, c] = &rows.codes;
            let mut kept = rows_where(a, |code| code == 1);
            kept.and(&rows_where(b, |code| code == 0));
            kept.and(&rows_where(c, |code| code == 0));
            let argument = Expr::Column("amount".into());
            let mut state = State::new(Family::Sum, false, &Domain::Open, Share::default());
            state.grow(1);
            let (view, context) = (rows.view.take(&kept.rows()), Context::new(TimeZone::UTC));
            let input = Input { view: &view, argument: Some(&argument), context: &context };
            state.update(&Slots::One(0, view.rows), input).expect("adds");
            black_box(&state);
            view.rows
        })
        .collect();
    black_box(counts);
}

fn timed(name: &str, rows: usize, limit_ms: f64, work: impl Fn()) {
    work();
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let begin = Instant::now();
        work();
        best = best.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    let ms = best * 1e7 / rows as f64;
    println!("{name:52} {ms:8.1} ms for 10M rows, limit {limit_ms:4.1}: {:5.1} times it", ms / limit_ms);
}

fn main() {
    let blocks: u64 = if std::env::args().any(|argument| argument == "--quick") { 61 } else { 610 };
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().expect("threads");
    let blocks: Vec<Rows> = (0..blocks).into_par_iter().map(rows).collect();
    let count = blocks.len() * BLOCK_ROWS;
    let few = |rows: &Rows| {
        let places = rows.codes[0].iter().map(|code| u16::from(*code)).collect();
        Slots::Listed(Arc::new(places), Arc::new((0..60).collect()))
    };
    let ids = |rows: &Rows| Slots::Each(Arc::clone(&rows.ids));
    timed("sum of a column", count, 1.2, || {
        states(&blocks, Family::Sum, "amount", 1, |_| Slots::One(0, BLOCK_ROWS));
    });
    timed("count and sum by 60 codes", count, 4.0, || states(&blocks, Family::Sum, "amount", 60, few));
    timed("count and sum by 500,000 ids", count, 5.4, || {
        states(&blocks, Family::Sum, "amount", USERS as usize, ids);
    });
    timed("three filters on codes, sum of what is left", count, 3.8, || filtered(&blocks));
    timed("distinct ids a day", count, 4.2, || {
        states(&blocks, Family::Distinct, "user", blocks.len() / 7 + 1, |rows| {
            Slots::One(rows.day, BLOCK_ROWS)
        });
    });
    timed("quantiles by 60 codes", count, 4.0, || states(&blocks, Family::Numbers, "amount", 60, few));
}
