//! Seeded expressions as text, by what they give. Those called tame have sums that floats hold exactly, so the order in
//! which rows are added does not show.

use super::data::{Field, Kind, Random, moment};
use crate::time;

/// What a question is made of: a seed, and the fields there are.
pub struct Maker<'a> {
    pub random: &'a mut Random,
    pub fields: &'a [Field],
}

const PARTS: [&str; 14] = [
    "year", "quarter", "month", "week", "isoyear", "day", "doy", "dow", "isodow", "hour", "minute", "second",
    "epoch", "epoch_ms",
];
pub const BUCKETS: [&str; 7] = ["minute", "hour", "day", "week", "month", "quarter", "year"];
const PATTERNS: [&str; 10] = ["%", "_e", "d%", "%r%", "", "a\\%", "_", "%\u{e4}%", "7%", "D_"];
const EXPRESSIONS: [&str; 7] = ["^d", "(?i)ss$", "[0-9]+", "", "r|t", "\\d{4}-\\d\\d", "."];

impl Maker<'_> {
    /// A name as SQL knows it: without quotes where it may be.
    #[inline(never)]
    pub fn quoted(&mut self, name: &str) -> String {
        let is_plain = ["a", "b", "n", "value", "key", "path", "Country"].contains(&name);
        if is_plain && self.random.chance(60) { name.to_owned() } else { format!("\"{name}\"") }
    }

    /// A field of one of some kinds.
    #[inline(never)]
    pub fn field(&mut self, kinds: &[Kind]) -> Option<String> {
        let names: Vec<&str> =
            self.fields.iter().filter(|field| kinds.contains(&field.kind)).map(|f| f.name).collect();
        (!names.is_empty()).then(|| {
            let name = *self.random.pick(&names);
            self.quoted(name)
        })
    }

    /// A number whose sums are exact.
    #[inline(never)]
    pub fn tame(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.chance(35) {
            let field = self.field(&[Kind::Small, Kind::Wide, Kind::Quarters, Kind::Either, Kind::Flag]);
            return field.filter(|_| self.random.chance(85)).unwrap_or_else(|| self.small());
        }
        match self.random.below(11) {
            0 => format!("({} + {})", self.tame(depth - 1), self.tame(depth - 1)),
            1 => format!("({} - {})", self.tame(depth - 1), self.tame(depth - 1)),
            2 => format!("({} * {})", self.tame(0), self.small()),
            3 => format!(
                "({} / {})",
                self.tame(depth - 1),
                self.random.pick(&["2", "4", "-8", "0"]).to_owned()
            ),
            4 => format!("abs({})", self.tame(depth - 1)),
            5 => format!("-({})", self.tame(depth - 1)),
            6 => format!("coalesce({}, {})", self.tame(depth - 1), self.small()),
            7 => format!("round({})", self.tame(depth - 1)),
            8 => format!("length({})", self.text(depth - 1)),
            9 => {
                format!(
                    "CASE WHEN {} THEN {} ELSE {} END",
                    self.condition(depth - 1),
                    self.tame(depth - 1),
                    self.tame(0)
                )
            }
            _ => format!("CASE WHEN {} THEN {} END", self.condition(depth - 1), self.tame(depth - 1)),
        }
    }

    #[inline(never)]
    pub fn small(&mut self) -> String {
        match self.random.below(4) {
            0 => format!("{:.2}", self.random.between(-8, 16) as f64 / 4.0),
            _ => self.random.between(-2, 7).to_string(),
        }
    }

    /// Any number.
    #[inline(never)]
    pub fn number(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.chance(25) {
            let kinds = [
                Kind::Small,
                Kind::Wide,
                Kind::Huge,
                Kind::Quarters,
                Kind::Either,
                Kind::Broken,
                Kind::Mixed,
            ];
            return match self.field(&kinds).filter(|_| self.random.chance(75)) {
                Some(field) => field,
                None => (*self.random.pick(&[
                    "0",
                    "1",
                    "-1",
                    "2.5",
                    "1e300",
                    "9223372036854775807",
                    "-9223372036854775808",
                    "_seq",
                    "NULL",
                    "0.1",
                ]))
                .to_owned(),
            };
        }
        match self.random.below(11) {
            0 => self.tame(depth),
            1 => self.tame(depth),
            2 => {
                let op = *self.random.pick(&["+", "-", "*", "/", "//", "%"]);
                format!("({} {op} {})", self.number(depth - 1), self.number(depth - 1))
            }
            3 => {
                format!(
                    "({} {} {})",
                    self.moment(depth - 1),
                    self.random.pick(&["-", "%", "*"]).to_owned(),
                    self.moment(depth - 1)
                )
            }
            4 => {
                let name = *self.random.pick(&["floor", "ceil", "trunc", "sign", "abs", "round"]);
                format!("{name}({})", self.number(depth - 1))
            }
            5 => format!("round({}, {})", self.number(depth - 1), self.random.between(-3, 3)),
            6 => {
                format!("extract({} FROM {})", self.random.pick(&PARTS).to_owned(), self.moment(depth - 1))
            }
            7 => format!("epoch({})", self.moment(depth - 1)),
            8 => {
                format!(
                    "CAST({} AS {})",
                    self.any(depth - 1),
                    self.random.pick(&["int", "float", "bigint"]).to_owned()
                )
            }
            9 => {
                format!(
                    "{}({}, {})",
                    self.random.pick(&["least", "greatest", "nullif", "coalesce"]).to_owned(),
                    self.number(depth - 1),
                    self.number(depth - 1)
                )
            }
            _ => format!("length({})", self.any(depth - 1)),
        }
    }

    /// A text.
    #[inline(never)]
    pub fn text(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.chance(35) {
            return match self.field(&[Kind::Word, Kind::Odd]).filter(|_| self.random.chance(80)) {
                Some(field) => field,
                None => (*self.random.pick(&["'de'", "''", "'it''s'", "'\u{e4}'", "'7'", "_id", "'a\\b'"]))
                    .to_owned(),
            };
        }
        match self.random.below(14) {
            0 => format!("lower({})", self.text(depth - 1)),
            1 => format!("upper({})", self.text(depth - 1)),
            2 => format!("trim({})", self.text(depth - 1)),
            3 => {
                format!(
                    "{}({}, 'de ')",
                    self.random.pick(&["ltrim", "rtrim", "trim"]).to_owned(),
                    self.text(depth - 1)
                )
            }
            4 => format!("substr({}, {})", self.text(depth - 1), self.random.between(-3, 3)),
            5 => {
                format!(
                    "substr({}, {}, {})",
                    self.text(depth - 1),
                    self.random.between(-3, 3),
                    self.random.between(-2, 3)
                )
            }
            6 => format!("replace({}, 'e', {})", self.text(depth - 1), self.text(0)),
            7 => format!("({} || {})", self.text(depth - 1), self.any(depth - 1)),
            8 => format!("concat({}, {}, '-')", self.any(depth - 1), self.text(depth - 1)),
            9 => format!("regexp_replace({}, '([a-z])', '<\\1>', 'g')", self.text(depth - 1)),
            10 => format!("CAST({} AS string)", self.any(depth - 1)),
            11 => format!("strftime('%Y-%m-%d %H:%M:%S %j %a', {})", self.moment(depth - 1)),
            12 => format!("coalesce({}, {})", self.text(depth - 1), self.text(0)),
            _ => {
                format!(
                    "CASE WHEN {} THEN {} ELSE {} END",
                    self.condition(depth - 1),
                    self.text(depth - 1),
                    self.text(0)
                )
            }
        }
    }

    /// A time.
    #[inline(never)]
    pub fn moment(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.chance(40) {
            return match self.field(&[Kind::Moment]).filter(|_| self.random.chance(70)) {
                Some(field) => field,
                None if self.random.chance(70) => "_time".into(),
                None => format!("TIMESTAMP '{}'", time::format(moment(self.random))),
            };
        }
        match self.random.below(7) {
            0 => format!("{}({})", self.random.pick(&BUCKETS).to_owned(), self.moment(depth - 1)),
            1 => {
                format!("date_trunc('{}', {})", self.random.pick(&BUCKETS).to_owned(), self.moment(depth - 1))
            }
            2 => {
                format!(
                    "({} {} {})",
                    self.moment(depth - 1),
                    self.random.pick(&["+", "-"]).to_owned(),
                    self.small()
                )
            }
            3 => format!("CAST({} AS time)", self.any(depth - 1)),
            4 => format!("{}::date", self.moment(depth - 1)),
            5 => format!("{}({})", self.random.pick(&BUCKETS).to_owned(), self.text(depth - 1)),
            _ => format!("coalesce({}, {})", self.moment(depth - 1), self.moment(0)),
        }
    }

    /// A list.
    #[inline(never)]
    pub fn list(&mut self, depth: usize) -> String {
        match self.field(&[Kind::Tags]).filter(|_| self.random.chance(75)) {
            Some(field) => field,
            None if self.random.chance(50) => "CAST('[\"de\",\"\u{e4}\"]' AS strings)".into(),
            None => format!("CAST({} AS strings)", self.text(depth.saturating_sub(1))),
        }
    }

    /// Anything.
    #[inline(never)]
    pub fn any(&mut self, depth: usize) -> String {
        let field = self.field(&[Kind::Mixed, Kind::Json, Kind::Tags, Kind::Flag, Kind::Nothing]);
        if let Some(field) = field.filter(|_| self.random.chance(30)) {
            return field;
        }
        match self.random.below(5) {
            0 => self.number(depth),
            1 => self.text(depth),
            2 => self.moment(depth),
            3 => self.list(depth),
            _ => self.condition(depth),
        }
    }

    /// A condition.
    #[inline(never)]
    pub fn condition(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.chance(20) {
            return self.small_condition();
        }
        match self.random.below(21) {
            0 => format!("({} AND {})", self.condition(depth - 1), self.condition(depth - 1)),
            1 => format!("({} OR {})", self.condition(depth - 1), self.condition(depth - 1)),
            2 => format!("NOT ({})", self.condition(depth - 1)),
            3 => format!("{} {} {}", self.number(depth - 1), self.comparison(), self.number(depth - 1)),
            4 => format!("{} {} {}", self.tame(depth - 1), self.comparison(), self.tame(depth - 1)),
            5 => format!("{} {} {}", self.text(depth - 1), self.comparison(), self.text(depth - 1)),
            6 => format!("{} {} {}", self.moment(depth - 1), self.comparison(), self.moment(depth - 1)),
            7 => format!("{} {} '2026-06-15'", self.moment(depth - 1), self.comparison()),
            8 => format!("{} {} {}", self.any(depth - 1), self.comparison(), self.any(depth - 1)),
            9 => format!(
                "{} IN ({}, {}, {})",
                self.number(depth - 1),
                self.small(),
                self.small(),
                self.number(0)
            ),
            10 => format!("{} NOT IN ('de', {}, NULL)", self.text(depth - 1), self.text(0)),
            11 => format!("{} IN ({}, {})", self.any(depth - 1), self.any(0), self.any(0)),
            12 => format!("{} BETWEEN {} AND {}", self.number(depth - 1), self.small(), self.small()),
            13 => format!("{} IS {}NULL", self.any(depth - 1), self.random.pick(&["", "NOT "]).to_owned()),
            14 => {
                format!(
                    "({}) IS {}",
                    self.condition(depth - 1),
                    self.random.pick(&["TRUE", "NOT TRUE", "FALSE", "NOT FALSE"]).to_owned()
                )
            }
            15 => {
                format!(
                    "{} IS {}DISTINCT FROM {}",
                    self.any(depth - 1),
                    self.random.pick(&["", "NOT "]).to_owned(),
                    self.any(depth - 1)
                )
            }
            16 => {
                format!(
                    "{} {} '{}'",
                    self.text(depth - 1),
                    self.random.pick(&["LIKE", "ILIKE", "NOT LIKE"]).to_owned(),
                    self.random.pick(&PATTERNS).to_owned()
                )
            }
            17 => format!("({} LIKE '%!%' ESCAPE '!')", self.any(depth - 1)).replace("'%!%'", "'%!%%'"),
            18 => {
                format!("{} REGEXP '{}'", self.any(depth - 1), self.random.pick(&EXPRESSIONS).to_owned())
            }
            19 => format!("contains({}, 'de')", self.list(depth - 1)),
            _ => {
                format!(
                    "{}({}, {})",
                    self.random.pick(&["starts_with", "ends_with", "contains"]).to_owned(),
                    self.text(depth - 1),
                    self.text(0)
                )
            }
        }
    }

    fn small_condition(&mut self) -> String {
        match self.field(&[Kind::Flag]).filter(|_| self.random.chance(40)) {
            Some(field) => field,
            None => match self.random.below(4) {
                0 => format!("{} {} {}", self.tame(0), self.comparison(), self.small()),
                1 => format!("{} = 'de'", self.text(0)),
                2 => format!("{} IS NULL", self.any(0)),
                _ => (*self.random.pick(&["TRUE", "FALSE", "NULL"])).to_owned(),
            },
        }
    }

    #[inline(never)]
    fn comparison(&mut self) -> &'static str {
        const SIGNS: [&str; 8] = ["=", "<>", "<", "<=", ">", ">=", "==", "!="];
        SIGNS[self.random.below(SIGNS.len())]
    }
}
