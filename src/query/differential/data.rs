//! Seeded data: fields of every kind, with nulls, extremes, texts that are traps, and times at the edges of days and
//! calendars; cut into blocks of random sizes.

use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::fields::FieldSet;
use crate::store::snapshot::{Dataset, TailBlock};
use crate::time;
use crate::value::Value;

/// Numbers that a seed gives (splitmix64): the same on every machine.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1) as usize) as i64
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers of one digit.
    Small,
    /// Whole numbers of up to a million.
    Wide,
    /// Whole numbers up to the edges of 64 bits and of what a float holds.
    Huge,
    /// Quarters: floats whose sums are exact.
    Quarters,
    /// Quarters and whole numbers.
    Either,
    /// Floats of every size.
    Broken,
    Flag,
    Moment,
    /// A few texts.
    Word,
    /// Texts that look like numbers, times and patterns, and of many scripts.
    Odd,
    Tags,
    Json,
    /// Anything.
    Mixed,
    /// Nothing but nulls.
    Nothing,
}

const KINDS: [Kind; 14] = [
    Kind::Small,
    Kind::Wide,
    Kind::Huge,
    Kind::Quarters,
    Kind::Either,
    Kind::Broken,
    Kind::Flag,
    Kind::Moment,
    Kind::Word,
    Kind::Odd,
    Kind::Tags,
    Kind::Json,
    Kind::Mixed,
    Kind::Nothing,
];

/// Names that are plain, and names that are words of some grammar or need their quotes.
const NAMES: [&str; 18] = [
    "a",
    "b",
    "n",
    "value",
    "key",
    "path",
    "Country",
    "json",
    "day",
    "count",
    "props.plan",
    "größe",
    "select",
    "it's",
    "x y",
    "t",
    "entry",
    "sum(a)",
];

#[derive(Debug, Clone)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub time: i64,
    pub cells: Vec<Value>,
}

/// A dataset as it is made, before it is columns.
#[derive(Debug, Clone)]
pub struct Data {
    pub fields: Vec<Field>,
    pub blocks: Vec<Vec<Row>>,
}

pub const DATASET: &str = "t";

const MOMENTS: [&str; 16] = [
    "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "2024-02-29T12:00:00Z",
    "2026-03-29T00:59:59.999999Z",
    "2026-03-29T01:00:00Z",
    "2026-03-28T23:00:00Z",
    "2026-10-25T00:30:00Z",
    "2026-10-25T01:30:00Z",
    "2026-12-31T23:00:00Z",
    "2026-12-31T23:59:59.999999Z",
    "2027-01-01T00:00:00Z",
    "2026-06-15T08:15:30.5Z",
    "2026-06-15T08:15:30.250001Z",
    "2026-11-01T05:30:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-30T23:59:59.999999Z",
];

const ODD: [&str; 26] = [
    "",
    " ",
    "  a ",
    "7",
    "07",
    "7.5",
    "-1",
    "1e3",
    "true",
    "NULL",
    "2026-03-29",
    "2026-03-29 12:00",
    "%",
    "_",
    "a%b",
    "a_b",
    "it's",
    "Straße",
    "STRASSE",
    "ÄÖ",
    "äö",
    "日本",
    "👍🏽",
    "a\\b",
    "a\0b",
    "\u{feff}x",
];

const WORDS: [&str; 5] = ["de", "fr", "it", "DE", "us"];

const HUGE: [i64; 12] = [
    i64::MIN,
    i64::MIN + 1,
    i64::MAX,
    i64::MAX - 1,
    1 << 53,
    (1 << 53) + 1,
    -(1 << 53) - 1,
    1 << 32,
    -(1 << 31),
    255,
    256,
    0,
];

const BROKEN: [f64; 14] = [
    0.0,
    -0.0,
    0.1,
    -2.5,
    2.5,
    1e-300,
    5e-324,
    1e300,
    f64::MAX,
    -f64::MAX,
    9_007_199_254_740_992.0,
    9_223_372_036_854_775_808.0,
    -9_223_372_036_854_775_808.0,
    123_456.789,
];

pub fn moment(random: &mut Random) -> i64 {
    match random.below(3) {
        0 => time::parse(MOMENTS[random.below(MOMENTS.len())]).expect("a time"),
        1 => random.between(1_700_000_000, 1_800_000_000) * time::SECOND + random.between(0, 999_999),
        _ => random.between(20_400, 20_420) * time::DAY + random.between(0, 23) * time::HOUR,
    }
}

pub fn value(kind: Kind, random: &mut Random) -> Value {
    match kind {
        Kind::Small => Value::Int(random.between(-2, 6)),
        Kind::Wide => Value::Int(random.between(-1_000_000, 1_000_000)),
        Kind::Huge => match random.below(3) {
            0 => Value::Int(random.next() as i64),
            _ => Value::Int(*random.pick(&HUGE)),
        },
        Kind::Quarters => Value::Float(random.between(-40, 80) as f64 / 4.0),
        Kind::Either if random.chance(50) => Value::Int(random.between(-3, 9)),
        Kind::Either => Value::Float(random.between(-12, 36) as f64 / 4.0),
        Kind::Broken => match random.below(3) {
            0 => Value::finite(f64::from_bits(random.next())),
            _ => Value::Float(*random.pick(&BROKEN)),
        },
        Kind::Flag => Value::Bool(random.chance(50)),
        Kind::Moment => Value::Time(moment(random)),
        Kind::Word => Value::text(*random.pick(&WORDS)),
        Kind::Odd => Value::text(*random.pick(&ODD)),
        Kind::Tags => {
            let items = (0..random.below(4))
                .map(|_| if random.chance(80) { *random.pick(&WORDS) } else { *random.pick(&ODD) });
            Value::List(items.map(Arc::from).collect())
        }
        Kind::Json => {
            Value::Json((*random.pick(&["{}", "[1,2]", "[{\"a\":1}]", "99999999999999999999"])).into())
        }
        Kind::Mixed => {
            let kinds = [
                Kind::Small,
                Kind::Either,
                Kind::Huge,
                Kind::Broken,
                Kind::Flag,
                Kind::Moment,
                Kind::Word,
                Kind::Odd,
                Kind::Tags,
                Kind::Json,
            ];
            let kind = *random.pick(&kinds);
            match (kind, random.chance(30)) {
                // a time that is a small number too
                (Kind::Moment, true) => Value::Time(random.between(-1, 3)),
                _ => value(kind, random),
            }
        }
        Kind::Nothing => Value::Null,
    }
}

impl Data {
    /// Fields and rows of a seed.
    pub fn new(random: &mut Random) -> Self {
        let mut names = NAMES.to_vec();
        let fields: Vec<Field> = (0..random.between(2, 7))
            .map(|_| Field { name: names.swap_remove(random.below(names.len())), kind: *random.pick(&KINDS) })
            .collect();
        let nulls: Vec<usize> = fields.iter().map(|_| *random.pick(&[0, 20, 20, 80])).collect();
        let mut blocks = Vec::new();
        for _ in 0..random.between(1, 5) {
            let rows = *random.pick(&[1, 3, 8, 20, 40]);
            let row = |_| Row {
                time: moment(random),
                cells: fields
                    .iter()
                    .zip(&nulls)
                    .map(
                        |(field, nulls)| {
                            if random.chance(*nulls) { Value::Null } else { value(field.kind, random) }
                        },
                    )
                    .collect(),
            };
            blocks.push((0..rows).map(row).collect());
        }
        Self { fields, blocks }
    }

    /// All in the tail, a block each.
    pub fn dataset(&self) -> Arc<Dataset> {
        let mut tail = Vec::new();
        let mut fields = FieldSet::default();
        let mut next_seq = 1;
        for rows in self.blocks.iter().filter(|rows| !rows.is_empty()) {
            let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
            let mut columns: Vec<(Arc<str>, Arc<Column>)> =
                vec![(TIME.into(), Arc::new(Column::times(&times)))];
            for (at, field) in self.fields.iter().enumerate() {
                let column = column_of(rows.iter().map(|row| row.cells[at].clone()));
                fields.add(&field.name.into(), column.kinds());
                columns.push((field.name.into(), Arc::new(column)));
            }
            tail.push(TailBlock { first_seq: next_seq, block: Arc::new(Block::new(rows.len(), columns)) });
            next_seq += rows.len() as i64;
        }
        let fields = Arc::new(fields);
        Arc::new(Dataset { id: 1, rules_version: 1, fields, next_seq, tail, ..Dataset::new(DATASET.into()) })
    }

    /// All rows, each with its `_seq`.
    pub fn numbered(&self) -> impl Iterator<Item = (i64, &Row)> {
        (1..).zip(self.blocks.iter().flatten())
    }

    /// The same without some rows, counted over all blocks.
    pub fn without(&self, from: usize, count: usize) -> Self {
        let mut at = 0;
        let keep = |_: &Row| {
            at += 1;
            !(from..from + count).contains(&(at - 1))
        };
        let mut blocks = self.blocks.clone();
        let mut keep = keep;
        blocks.iter_mut().for_each(|rows| rows.retain(&mut keep));
        Self { fields: self.fields.clone(), blocks }
    }
}
