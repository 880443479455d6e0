//! The scalar functions, in one table: names, arguments, meaning. The parser finds them by name, the planner asks
//! what they return and whether they are time buckets, and every engine (vector, scalar, SQLite) calls the same code.

mod context;
mod number;
pub mod search;
mod text;
mod times;

use std::fmt;

use crate::error::{Error, Result, nearest};
use crate::fields::FieldType;
use crate::time::Bucket;
use crate::value::Value;

pub use context::{Context, PatternKind};
pub use times::instant;
pub(crate) use times::{bucket_of, part_name};

/// Bytes of a text that an expression makes at most: `replace` within `replace` grows without bound otherwise.
pub const TEXT_RESULT_BYTES: usize = 16 << 20;

/// The function that is none of one row: it makes several of it.
const EXPLODE: &str = "explode";
/// Where it belongs.
pub(crate) const EXPLODE_STANDS_ALONE: &str = "explode(list) makes rows and is a group key, alone: SELECT explode(tags), count(*) .. GROUP BY 1, or \"by\": [\"explode(tags)\"]";

/// One function of the table.
pub struct ScalarFunction {
    /// The name that is printed.
    pub name: &'static str,
    /// Other names it is read by.
    pub aliases: &'static [&'static str],
    /// Fewest and most arguments.
    pub arguments: (usize, usize),
    /// What it does, in one line.
    pub doc: &'static str,
    /// What it returns where it is not null.
    pub returns: Returns,
    /// What a null argument means.
    pub nulls: Nulls,
    /// The time bucket it is, if it is one.
    pub bucket: Option<Bucket>,
    evaluate: fn(&[Value], &Context) -> Result<Value>,
}

/// The type of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// Always this one.
    Always(FieldType),
    /// That of the first argument: a number as it came in.
    First,
    /// The common type of all arguments.
    Common,
    /// That of the entries of the first argument, which is a list, or of itself.
    Entry,
}

/// What null arguments mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// Any null in, null out; the function is not called.
    Null,
    /// The function sees them.
    Seen,
}

const fn function(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    doc: &'static str,
    evaluate: fn(&[Value], &Context) -> Result<Value>,
) -> ScalarFunction {
    ScalarFunction { name, aliases: &[], arguments, doc, returns, nulls: Nulls::Null, bucket: None, evaluate }
}

impl ScalarFunction {
    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn seeing_nulls(mut self) -> Self {
        self.nulls = Nulls::Seen;
        self
    }
}

const fn bucket(name: &'static str, kind: Bucket, doc: &'static str) -> ScalarFunction {
    let mut entry = function(name, (1, 1), TIME, doc, times::no_bucket);
    entry.bucket = Some(kind);
    entry
}

const ANY: usize = usize::MAX;
const INT: Returns = Returns::Always(FieldType::Int);
const TEXT: Returns = Returns::Always(FieldType::String);
const BOOL: Returns = Returns::Always(FieldType::Bool);
const TIME: Returns = Returns::Always(FieldType::Time);
const FLOAT: Returns = Returns::Always(FieldType::Float);

/// Every scalar function. A row here is all that a new one takes, beside its code.
pub static FUNCTIONS: [ScalarFunction; 36] = [
    bucket("minute", Bucket::Minute, "start of the minute"),
    bucket("hour", Bucket::Hour, "start of the hour"),
    bucket("day", Bucket::Day, "start of the day in the query's time zone"),
    bucket("week", Bucket::Week, "start of the week: a Monday, unless `week_start` says otherwise"),
    bucket("month", Bucket::Month, "start of the month"),
    bucket("quarter", Bucket::Quarter, "start of the quarter"),
    bucket("year", Bucket::Year, "start of the year"),
    function("date_trunc", (2, 2), TIME, "`date_trunc('day', x)` is `day(x)`", times::date_trunc),
    function("extract", (2, 2), INT, "a part of a time as a number: `extract(hour FROM x)`", times::extract)
        .alias(&["date_part"]),
    function("epoch", (1, 1), FLOAT, "seconds since 1970 UTC", times::epoch),
    function("strftime", (2, 2), TEXT, "a time written by a format: `strftime('%Y-%m', x)`", times::strftime),
    function("lower", (1, 1), TEXT, "lower case", text::lower),
    function("upper", (1, 1), TEXT, "upper case", text::upper),
    function("length", (1, 1), INT, "characters of a text, entries of a list", text::length)
        .alias(&["char_length", "len"]),
    function("substr", (2, 3), TEXT, "from a character on, 1 being the first and -1 the last", text::substr)
        .alias(&["substring"]),
    function("replace", (3, 3), TEXT, "every occurrence of one text replaced by another", text::replace),
    function("trim", (1, 2), TEXT, "without spaces (or the given characters) at both ends", text::trim),
    function("ltrim", (1, 2), TEXT, "the same at the beginning only", text::ltrim),
    function("rtrim", (1, 2), TEXT, "the same at the end only", text::rtrim),
    function("concat", (1, ANY), TEXT, "all arguments as one text; nulls are left out", text::concat)
        .seeing_nulls(),
    function("starts_with", (2, 2), BOOL, "whether a text begins with another", text::starts_with),
    function("ends_with", (2, 2), BOOL, "whether a text ends with another", text::ends_with),
    function(
        "contains",
        (2, 2),
        BOOL,
        "whether a list has an entry, or a text holds another",
        text::contains,
    )
    .alias(&["list_contains", "array_contains"]),
    function(
        "matches",
        (2, ANY),
        BOOL,
        "whether texts have the words of a search: `matches('sql inject*', title, body)`",
        search::matches,
    )
    .seeing_nulls(),
    function(
        EXPLODE,
        (1, 1),
        Returns::Entry,
        "a group key: a row counts once for every entry of a list",
        text::explode,
    )
    .alias(&["unnest"]),
    function(
        "regexp_replace",
        (3, 4),
        TEXT,
        "the first match replaced (`\\1` is a group); flags g all, i any case",
        text::regexp_replace,
    ),
    function("coalesce", (1, ANY), Returns::Common, "the first argument that is not null", number::coalesce)
        .alias(&["ifnull"])
        .seeing_nulls(),
    function("nullif", (2, 2), Returns::First, "null where both are equal, else the first", number::nullif)
        .seeing_nulls(),
    function("least", (1, ANY), Returns::Common, "the smallest; nulls are left out", number::least)
        .seeing_nulls(),
    function("greatest", (1, ANY), Returns::Common, "the largest; nulls are left out", number::greatest)
        .seeing_nulls(),
    function(
        "round",
        (1, 2),
        Returns::First,
        "rounded half away from zero, to so many digits",
        number::round,
    ),
    function("floor", (1, 1), Returns::First, "the whole number at or below", number::floor),
    function("ceil", (1, 1), Returns::First, "the whole number at or above", number::ceil)
        .alias(&["ceiling"]),
    function("trunc", (1, 1), Returns::First, "without its fraction", number::trunc),
    function("abs", (1, 1), Returns::First, "without its sign", number::abs),
    function("sign", (1, 1), INT, "-1, 0 or 1", number::sign),
];

/// A function of the table, by reference: small, and equal to another by name.
#[derive(Clone, Copy)]
pub struct Function(&'static ScalarFunction);

impl Function {
    /// The function of a name or alias, in any case.
    pub fn find(name: &str) -> Option<Self> {
        let same = |known: &&str| known.eq_ignore_ascii_case(name);
        FUNCTIONS.iter().find(|f| same(&f.name) || f.aliases.iter().any(same)).map(Self)
    }

    /// The function that is this bucket.
    pub fn of_bucket(bucket: Bucket) -> Option<Self> {
        FUNCTIONS.iter().find(|f| f.bucket == Some(bucket)).map(Self)
    }

    /// Every name that is read, for hints.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FUNCTIONS.iter().flat_map(|f| std::iter::once(f.name).chain(f.aliases.iter().copied()))
    }

    /// The name that is printed.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The time bucket it is, if it is one.
    pub fn bucket(self) -> Option<Bucket> {
        self.0.bucket
    }

    /// Whether it is `explode`, which stands for rows of its own.
    pub fn is_explode(self) -> bool {
        self.0.name == EXPLODE
    }

    /// What it returns.
    pub fn returns(self) -> Returns {
        self.0.returns
    }

    /// What null arguments mean to it.
    pub fn nulls(self) -> Nulls {
        self.0.nulls
    }

    /// Whether so many arguments fit, or what would.
    pub fn check_arguments(self, count: usize) -> Result<()> {
        let (least, most) = self.0.arguments;
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let wanted = match (least, most) {
            (1, 1) => "one argument".to_owned(),
            (a, b) if a == b => format!("{a} arguments"),
            (a, ANY) => format!("at least {a} argument{}", if a == 1 { "" } else { "s" }),
            (a, b) => format!("{a} to {b} arguments"),
        };
        Err(Error::invalid(format!("{}() takes {wanted}, {count} given: {}", self.0.name, self.0.doc)))
    }

    /// The result over arguments that are evaluated. `check_arguments` has been asked when the query was read;
    /// arguments that are missing all the same count as null.
    pub fn call(self, arguments: &[Value], context: &Context) -> Result<Value> {
        let too_few = arguments.len() < self.0.arguments.0;
        if self.0.nulls == Nulls::Null && (too_few || arguments.iter().any(Value::is_null)) {
            return Ok(Value::Null);
        }
        match (self.0.bucket, arguments) {
            (Some(bucket), [argument]) => Ok(times::bucket_start(bucket, argument, context)),
            _ => (self.0.evaluate)(arguments, context),
        }
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Function {}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({})", self.0.name)
    }
}

/// The error for a text that grew too large.
pub(crate) fn check_text_length(bytes: usize) -> Result<()> {
    if bytes <= TEXT_RESULT_BYTES {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the expression makes a text of more than {} MiB; that is the limit for one value",
        TEXT_RESULT_BYTES >> 20
    )))
}

/// The error for a name that a table does not have.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::invalid(format!("there is no {what} \"{name}\"{}", nearest(name, known)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_is_sound() {
        let mut seen = HashSet::new();
        for entry in &FUNCTIONS {
            for name in std::iter::once(&entry.name).chain(entry.aliases) {
                assert!(seen.insert(*name), "{name} is there twice");
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                assert_eq!(Function::find(&name.to_uppercase()).map(Function::name), Some(entry.name));
            }
            assert!(entry.arguments.0 >= 1 && entry.arguments.0 <= entry.arguments.1, "{}", entry.name);
            assert!(!entry.doc.is_empty() && !entry.doc.contains('\n'), "{}", entry.name);
        }
        for (bucket, name) in Bucket::ALL {
            assert_eq!(Function::of_bucket(bucket).map(Function::name), Some(name));
        }
    }

    #[test]
    fn no_function_panics_on_any_kind_of_value() {
        let context = Context::new(jiff::tz::TimeZone::UTC);
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Int(0),
            Value::Float(f64::MAX),
            Value::Float(-0.5),
            Value::Time(i64::MIN),
            Value::Time(i64::MAX),
            Value::text(""),
            Value::text("äÖ%Y(["),
            Value::List(["a".into()].into()),
            Value::Json("{}".into()),
        ];
        for entry in &FUNCTIONS {
            let function = Function::find(entry.name).unwrap();
            for a in &values {
                let _ = function.call(std::slice::from_ref(a), &context);
                for b in &values {
                    let _ = function.call(&[a.clone(), b.clone()], &context);
                    for c in &values {
                        let _ = function.call(&[a.clone(), b.clone(), c.clone()], &context);
                    }
                }
            }
        }
    }
}
