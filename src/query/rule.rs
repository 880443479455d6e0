//! Simple conditions on one text column, decided on its dictionary as a whole: comparisons with a constant are a range of
//! codes, because dictionaries are sorted; LIKE is one search over all texts. `entries` asks before it looks at texts one
//! by one.

use crate::columnar::bitmap::Bitmap;
use crate::columnar::kernels::rows_where;
use crate::columnar::narrow::{Narrow, with_narrow};
use crate::columnar::text::Dictionary;
use crate::error::Result;
use crate::query::expression::{BinaryOp, Expr};
use crate::query::functions::{Context, PatternKind};
use crate::query::matcher::Matcher;
use crate::value::Value;

/// Codes of one and of two bytes.
const BYTE_CODES: usize = 1 << 8;
const SHORT_CODES: usize = 1 << 16;

/// The codes that a condition is true for. It is null for null, so rows without a value need no care.
#[derive(Debug, PartialEq)]
pub enum Rule {
    /// Codes from one up to before another; or all but these.
    Range(u32, u32, bool),
    /// By code, 1 where it is true; as long as narrow codes reach, so that they need no check.
    Table(Vec<u8>),
}

impl Rule {
    /// The rule of a condition over one text column; `None` where it is not that simple.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn of(condition: &Expr, dictionary: &Dictionary, context: &Context) -> Result<Option<Self>> {
        Ok(match condition {
            Expr::Not(inner) => Self::of(inner, dictionary, context)?.map(Self::opposite),
            Expr::Binary(op, left, right) => match (&**left, &**right) {
                (Expr::Column(_), Expr::Literal(Value::Text(text))) => {
                    Self::of_comparison(*op, text, dictionary)
                }
                (Expr::Literal(Value::Text(text)), Expr::Column(_)) => {
                    Self::of_comparison(mirrored(*op), text, dictionary)
                }
                _ => None,
            },
            Expr::In(operand, list) if matches!(**operand, Expr::Column(_)) => {
                Self::of_list(list, dictionary)
            }
            Expr::Like { operand, pattern, escape, insensitive } => match (&**operand, &**pattern) {
                (Expr::Column(_), Expr::Literal(Value::Text(pattern))) => {
                    let kind = PatternKind::Like { escape: *escape, insensitive: *insensitive };
                    Some(Self::of_pattern(&*context.matcher(kind, pattern)?, dictionary))
                }
                _ => None,
            },
            _ => None,
        })
    }

    fn opposite(self) -> Self {
        match self {
            Self::Range(from, to, is_inverted) => Self::Range(from, to, !is_inverted),
            Self::Table(table) => Self::Table(table.into_iter().map(|is_true| 1 - is_true).collect()),
        }
    }

    fn of_comparison(op: BinaryOp, text: &str, dictionary: &Dictionary) -> Option<Self> {
        let at = dictionary.lower_bound(text);
        let is_there = dictionary.find(text).is_some();
        let (from, after) = (at as u32, (at + usize::from(is_there)) as u32);
        let all = dictionary.len() as u32;
        Some(match op {
            BinaryOp::Eq => Self::Range(from, after, false),
            BinaryOp::NotEq => Self::Range(from, after, true),
            BinaryOp::Lt => Self::Range(0, from, false),
            BinaryOp::LtEq => Self::Range(0, after, false),
            BinaryOp::Gt => Self::Range(after, all, false),
            BinaryOp::GtEq => Self::Range(from, all, false),
            _ => return None,
        })
    }

    fn of_list(list: &[Expr], dictionary: &Dictionary) -> Option<Self> {
        let mut table = vec![0; dictionary.len()];
        for item in list {
            // beside other constants, null among them, the list has other outcomes
            let Expr::Literal(Value::Text(text)) = item else { return None };
            if let Some(code) = dictionary.find(text) {
                table[code] = 1;
            }
        }
        Some(Self::table(table))
    }

    fn table(mut table: Vec<u8>) -> Self {
        let reached = [BYTE_CODES, SHORT_CODES].into_iter().find(|codes| table.len() <= *codes);
        table.resize(reached.unwrap_or(table.len()), 0);
        Self::Table(table)
    }

    fn of_pattern(matcher: &Matcher, dictionary: &Dictionary) -> Self {
        match matcher {
            Matcher::Exact(text) => Self::of_comparison(BinaryOp::Eq, text, dictionary)
                .unwrap_or_else(|| Self::of_each(matcher, dictionary)),
            Matcher::Contains(finder) if !finder.needle().is_empty() => {
                let mut table = vec![0; dictionary.len()];
                dictionary.holding(finder, |code| table[code] = 1);
                Self::table(table)
            }
            _ => Self::of_each(matcher, dictionary),
        }
    }

    fn of_each(matcher: &Matcher, dictionary: &Dictionary) -> Self {
        Self::table(dictionary.iter().map(|text| u8::from(matcher.matches(text))).collect())
    }

    /// The rows that it is true for; those without a value come out as anything.
    pub fn rows(&self, codes: &Narrow) -> Bitmap {
        match self {
            Self::Range(from, to, is_inverted) => {
                let mut rows = match codes {
                    Narrow::U8(codes) => in_range(codes, *from, *to),
                    Narrow::U16(codes) => in_range(codes, *from, *to),
                    Narrow::U32(codes) => in_range(codes, *from, *to),
                    Narrow::U64(codes) => in_range(codes, *from, *to),
                };
                if *is_inverted {
                    rows.invert();
                }
                rows
            }
            Self::Table(table) => {
                match (codes, table.first_chunk::<BYTE_CODES>(), table.first_chunk::<SHORT_CODES>()) {
                    (Narrow::U8(codes), Some(table), _) => {
                        rows_where(codes, |code| table[code as usize] != 0)
                    }
                    (Narrow::U16(codes), _, Some(table)) => {
                        rows_where(codes, |code| table[code as usize] != 0)
                    }
                    (codes, _, _) => with_narrow!(codes, codes => {
                        rows_where(codes, |code| table.get(code as usize).copied().unwrap_or(0) != 0)
                    }),
                }
            }
        }
    }
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::LtEq => BinaryOp::GtEq,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::GtEq => BinaryOp::LtEq,
        other => other,
    }
}

fn in_range<T: Copy + Ord + TryFrom<u32>>(codes: &[T], from: u32, to: u32) -> Bitmap {
    // an end that the type cannot hold lies above all codes
    match (T::try_from(from), to.checked_sub(1).map(T::try_from)) {
        (Err(_), _) | (_, None) => Bitmap::filled(codes.len(), false),
        _ if to <= from => Bitmap::filled(codes.len(), false),
        (Ok(only), Some(Ok(last))) if only == last => rows_where(codes, |code| code == only),
        (Ok(from), Some(Ok(last))) => rows_where(codes, |code| code >= from && code <= last),
        (Ok(from), Some(Err(_))) => rows_where(codes, |code| code >= from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::builder::column_of;
    use crate::columnar::column::Data;
    use crate::query::{parse, scalar};
    use jiff::tz::TimeZone;

    #[test]
    fn rules_mean_what_the_conditions_mean() {
        let texts = ["", "a", "ab", "abc", "b", "ba", "über", "a%"];
        let column = column_of(texts.iter().map(|text| Value::text(*text)));
        let Data::Text(held) = &column.data else { panic!("no texts") };
        let context = Context::new(TimeZone::UTC);
        for written in [
            "c = 'ab'",
            "c <> 'ab'",
            "c = 'x'",
            "c <> 'x'",
            "c < 'ab'",
            "c <= 'ab'",
            "c > 'ab'",
            "c >= 'ab'",
            "c > 'aa'",
            "'ab' > c",
            "NOT c >= ''",
            "c IN ('a', 'nix', 'ba')",
            "c NOT IN ('a')",
            "c LIKE '%b%'",
            "c LIKE '%'",
            "c LIKE 'a_'",
            "c LIKE '%bc'",
            "c LIKE 'ab'",
            "c NOT LIKE '%a%'",
            "c ILIKE '%ÜB%'",
            "c LIKE '%aa%'",
            "c LIKE '%ab%'",
        ] {
            let condition = parse::filter(written).expect(written);
            let rule = Rule::of(&condition, &held.dictionary, &context).expect(written).expect(written);
            let rows = rule.rows(&held.codes);
            for (row, text) in texts.iter().enumerate() {
                let value = scalar::evaluate(&condition, &|_| Value::text(*text), &context).expect(written);
                assert_eq!(Value::Bool(rows.get(row)), value, "{written} of {text:?}");
            }
        }
        let with_null = parse::filter("c IN ('a', NULL)").expect("parses");
        assert_eq!(Rule::of(&with_null, &held.dictionary, &context).expect("no rule"), None);
    }
}
