//! ClickHouse's words for what differs. Times are DateTime64(6, 'UTC'), lists Array(String), all other columns may be
//! Nullable. It differs in what no form can mend: integers wrap around, a sum of nothing is 0, `quantileExact` takes the
//! next value where q·n is whole, and times and numbers as text are written its way. Called by `foreign`.

use crate::error::Result;
use crate::fields::{FieldType, Kinds};
use crate::query::expression::{AggregateCall, AggregateFunction, BinaryOp, Expr};
use crate::query::functions::Function;
use crate::time::{self, Bucket};
use crate::value::{Value, float_text};

use super::canonical::binding;
use super::foreign::{Foreign, Like, Sql, Words};

/// ClickHouse.
pub(super) struct Clickhouse;

/// The parts of a time: the function, and a mode that stands before the zone.
const PARTS: [(&str, &str, &str); 12] = [
    ("year", "toYear", ""),
    ("quarter", "toQuarter", ""),
    ("month", "toMonth", ""),
    ("week", "toISOWeek", ""),
    ("isoyear", "toISOYear", ""),
    ("day", "toDayOfMonth", ""),
    ("doy", "toDayOfYear", ""),
    ("dow", "toDayOfWeek", ", 2"),
    ("isodow", "toDayOfWeek", ", 0"),
    ("hour", "toHour", ""),
    ("minute", "toMinute", ""),
    ("second", "toSecond", ""),
];

/// Functions that mean the same over texts.
const TEXT_FUNCTIONS: [(&str, &str); 6] = [
    ("lower", "lowerUTF8"),
    ("upper", "upperUTF8"),
    ("length", "lengthUTF8"),
    ("replace", "replaceAll"),
    ("starts_with", "startsWith"),
    ("ends_with", "endsWith"),
];

impl Words for Clickhouse {
    fn engine(&self) -> &'static str {
        "ClickHouse"
    }

    fn literal(&self, value: &Value) -> Result<Sql> {
        Ok(match value {
            Value::Int(number) if *number < 0 => Sql::loose(number.to_string(), binding::SIGN),
            Value::Float(number) if *number < 0.0 => Sql::loose(float_text(*number), binding::SIGN),
            Value::Null => Sql::atom("NULL"),
            Value::Bool(truth) => Sql::atom(if *truth { "true" } else { "false" }),
            Value::Int(_) | Value::Float(_) => Sql::atom(value.to_text()),
            Value::Text(words) | Value::Json(words) => Sql::atom(text(words)),
            Value::Time(us) => {
                let moment = time::format(*us);
                Sql::atom(format!(
                    "toDateTime64({}, 6, 'UTC')",
                    text(&moment.trim_end_matches('Z').replacen('T', " ", 1))
                ))
            }
            Value::List(items) => {
                Sql::atom(format!("[{}]", items.iter().map(|item| text(item)).collect::<Vec<_>>().join(", ")))
            }
        })
    }

    fn integer_divide(&self, writer: &Foreign<'_>, a: &Expr, b: &Expr) -> Result<Sql> {
        let (Some(left), Some(right)) = (writer.number(a)?, writer.number(b)?) else {
            return self.literal(&Value::Null);
        };
        let divisor = writer.divisor(b, &right);
        let is_float = writer.kinds(a).with(writer.kinds(b)).has(FieldType::Float);
        Ok(match is_float {
            true => {
                let (left, divisor) = (left.within(binding::PRODUCT), divisor.within(binding::SIGN));
                Sql::atom(format!("trunc({left} / {divisor})"))
            }
            false => Sql::call("intDiv", &[&left, &divisor]),
        })
    }

    fn move_time(&self, writer: &Foreign<'_>, time: &Expr, op: BinaryOp, seconds: &Expr) -> Result<Sql> {
        let time = writer.print(time)?.within(binding::SUM);
        let is_whole = writer.kinds(seconds) == Kinds::of(FieldType::Int);
        let seconds = writer.print(seconds)?;
        let interval = match is_whole {
            true => format!("toIntervalSecond({})", seconds.text),
            false => format!(
                "toIntervalMicrosecond(toInt64(round({} * 1000000)))",
                seconds.within(binding::PRODUCT)
            ),
        };
        Ok(Sql::loose(format!("{time} {} {interval}", op.symbol()), binding::SUM))
    }

    fn epoch(&self, time: &Sql) -> Sql {
        Sql::loose(format!("toUnixTimestamp64Micro({}) / 1000000", time.text), binding::PRODUCT)
    }

    fn number_of_bool(&self, operand: &Sql) -> Sql {
        Sql::call("toInt64", &[operand])
    }

    /// A backslash escapes in its patterns, whatever one says.
    fn like(&self, writer: &Foreign<'_>, like: Like<'_>) -> Result<Sql> {
        let Expr::Literal(Value::Text(pattern)) = like.pattern else {
            return Err(writer.refused("LIKE with a pattern that is no constant"));
        };
        let name = if like.insensitive { "ILIKE" } else { "LIKE" };
        let not = if like.negated { "NOT " } else { "" };
        let operand = writer.text(like.operand)?.within(binding::SUM);
        let pattern = text(&backslashed(pattern, like.escape));
        Ok(Sql::loose(format!("{operand} {not}{name} {pattern}"), binding::COMPARISON))
    }

    fn regexp(&self, text: &Sql, pattern: &Sql) -> Sql {
        Sql::call("match", &[text, pattern])
    }

    fn distinct(&self, a: &Sql, b: &Sql) -> Sql {
        let (a, b) = (a.within(binding::SUM), b.within(binding::SUM));
        Sql::atom(format!("ifNull({a} <> {b}, ({a} IS NULL) <> ({b} IS NULL))"))
    }

    fn cast(&self, writer: &Foreign<'_>, operand: &Sql, kinds: Kinds, to: FieldType) -> Result<Sql> {
        let kind = kinds.single();
        if kind == Some(to) {
            return Ok(operand.clone());
        }
        Ok(match (to, kind) {
            (FieldType::Int, Some(FieldType::Float)) => Sql::call("toInt64", &[&rounded(operand, "1")]),
            (FieldType::Int, None | Some(FieldType::String)) => Sql::call("toInt64OrNull", &[operand]),
            (FieldType::Int, Some(FieldType::Bool)) => self.number_of_bool(operand),
            (FieldType::Int | FieldType::Float, Some(FieldType::Time)) => {
                Sql::call("toUnixTimestamp64Micro", &[operand])
            }
            (FieldType::Float, Some(FieldType::Int | FieldType::Bool)) => Sql::call("toFloat64", &[operand]),
            (FieldType::Float, None | Some(FieldType::String)) => Sql::call("toFloat64OrNull", &[operand]),
            (FieldType::Bool, Some(FieldType::Int | FieldType::Float)) => {
                Sql::loose(format!("{} <> 0", operand.within(binding::SUM)), binding::COMPARISON)
            }
            (
                FieldType::String,
                None | Some(FieldType::Int | FieldType::Float | FieldType::Bool | FieldType::Time),
            ) => Sql::call("toString", &[operand]),
            (FieldType::Time, None | Some(FieldType::String)) => {
                Sql::call("parseDateTime64BestEffortOrNull", &[operand, &Sql::atom("6"), &Sql::atom("'UTC'")])
            }
            (_, Some(kind)) => return Err(writer.refused(&format!("a cast of {kind} to {to}"))),
            (_, None) => return Err(writer.refused(&format!("a cast to {to}"))),
        })
    }

    fn call(&self, writer: &Foreign<'_>, function: Function, arguments: &[Expr]) -> Result<Sql> {
        if let (Some(bucket), [of]) = (function.bucket(), arguments) {
            return self.bucket(writer, bucket, of);
        }
        let name = function.name();
        if let Some((_, theirs)) = TEXT_FUNCTIONS.iter().find(|(ours, _)| *ours == name)
            && !matches!(arguments, [of] if name == "length" && writer.kinds(of) == Kinds::of(FieldType::Strings))
        {
            return plain(theirs, arguments, &|e| writer.text(e));
        }
        match (name, arguments) {
            ("coalesce" | "nullif" | "least" | "greatest", _) => {
                writer.check_alike(&arguments.iter().collect::<Vec<_>>())?;
                plain(if name == "nullif" { "nullIf" } else { name }, arguments, &|e| writer.print(e))
            }
            ("extract", [part, of]) => self.part(writer, part, of),
            ("epoch", [of]) => Ok(self.epoch(&self.time(writer, of)?)),
            ("strftime", [first, second]) => self.strftime(writer, first, second),
            ("length", [of]) => Ok(Sql::call("length", &[&writer.print(of)?])),
            ("contains", [list, entry]) if writer.kinds(list) == Kinds::of(FieldType::Strings) => {
                Ok(Sql::call("has", &[&writer.print(list)?, &writer.text(entry)?]))
            }
            ("contains", [of, part]) => {
                let position = Sql::call("position", &[&writer.text(of)?, &writer.text(part)?]).text;
                Ok(Sql::loose(format!("{position} > 0"), binding::COMPARISON))
            }
            ("concat", _) => plain("concat", arguments, &|e| {
                let part = writer.text(e)?;
                // null with anything is null there
                Ok(if matches!(e, Expr::Literal(_)) {
                    part
                } else {
                    Sql::call("ifNull", &[&part, &Sql::atom("''")])
                })
            }),
            ("trim" | "ltrim" | "rtrim", [of, rest @ ..]) => {
                let side = match name {
                    "ltrim" => "LEADING",
                    "rtrim" => "TRAILING",
                    _ => "BOTH",
                };
                let cut = rest.first().map_or_else(|| Ok(Sql::atom("' '")), |cut| writer.text(cut))?;
                Ok(Sql::atom(format!("trim({side} {} FROM {})", cut.text, writer.text(of)?.text)))
            }
            ("substr", [of, rest @ ..]) => {
                let rest = rest.iter().map(|e| writer.print(e)).collect::<Result<Vec<_>>>()?;
                let of = writer.text(of)?;
                Ok(Sql::call("substringUTF8", &std::iter::once(&of).chain(&rest).collect::<Vec<_>>()))
            }
            ("regexp_replace", [of, pattern, by, rest @ ..]) => self.replace(writer, [of, pattern, by], rest),
            ("round", [number, rest @ ..]) => self.round(writer, number, rest),
            ("floor" | "ceil" | "trunc" | "abs" | "sign", [number]) => match writer.number(number)? {
                Some(number) => Ok(Sql::call(name, &[&number])),
                None => self.literal(&Value::Null),
            },
            _ => Err(writer.refused(&format!("{name}()"))),
        }
    }

    /// Conditions are arguments of the combinator `-If`.
    fn aggregate(&self, writer: &Foreign<'_>, call: &AggregateCall) -> Result<Sql> {
        let x = call.argument.as_ref().map(|argument| writer.print(argument)).transpose()?;
        let number = || match &call.argument {
            Some(argument) => {
                writer.number(argument).map(|number| number.unwrap_or_else(|| Sql::atom("NULL")))
            }
            None => Ok(Sql::atom("NULL")),
        };
        let place = Sql::atom("(_time, _seq)");
        let (name, parameter, arguments) = match call.function {
            AggregateFunction::Count => ("count", None, x.clone().into_iter().collect()),
            AggregateFunction::Uniq => ("uniqExact", None, x.clone().into_iter().collect()),
            AggregateFunction::ApproxUniq => ("uniq", None, x.clone().into_iter().collect()),
            AggregateFunction::Sum => ("sum", None, vec![number()?]),
            AggregateFunction::Avg => ("avg", None, vec![number()?]),
            AggregateFunction::Min => ("min", None, x.clone().into_iter().collect()),
            AggregateFunction::Max => ("max", None, x.clone().into_iter().collect()),
            AggregateFunction::Any => ("any", None, x.clone().into_iter().collect()),
            AggregateFunction::Quantile(q) => ("quantileExact", Some(q), vec![number()?]),
            AggregateFunction::ApproxQuantile(q) => ("quantileTDigest", Some(q), vec![number()?]),
            AggregateFunction::First => ("argMin", None, x.clone().into_iter().chain([place]).collect()),
            AggregateFunction::Last => ("argMax", None, x.clone().into_iter().chain([place]).collect()),
        };
        let mut arguments: Vec<Sql> = arguments;
        let mut name = name.to_owned();
        if let Some(filter) = &call.filter {
            name += "If";
            arguments.push(writer.truth(filter)?);
        }
        let parameter = parameter.map_or_else(String::new, |q| format!("({})", float_text(q)));
        Ok(Sql::call(&format!("{name}{parameter}"), &arguments.iter().collect::<Vec<_>>()))
    }

    fn entry(&self, list: &Sql) -> Sql {
        Sql::call("arrayJoin", &[list])
    }

    fn entries(&self, _: &Sql) -> String {
        String::new()
    }
}

impl Clickhouse {
    /// A time, or a text that is one.
    fn time(&self, writer: &Foreign<'_>, of: &Expr) -> Result<Sql> {
        let kinds = writer.one_type(of)?;
        self.cast(writer, &writer.print(of)?, kinds, FieldType::Time)
    }

    /// The zone as an argument behind others.
    fn zone(&self, writer: &Foreign<'_>) -> Result<String> {
        Ok(writer.zone()?.map_or_else(String::new, |zone| format!(", {}", text(&zone))))
    }

    fn bucket(&self, writer: &Foreign<'_>, bucket: Bucket, of: &Expr) -> Result<Sql> {
        let (of, zone) = (self.time(writer, of)?.text, self.zone(writer)?);
        Ok(Sql::atom(match (bucket, writer.week_start()) {
            (Bucket::Week, jiff::civil::Weekday::Sunday) => format!("toStartOfWeek({of}, 0{zone})"),
            (Bucket::Week, day) if day != jiff::civil::Weekday::Monday => {
                return Err(writer.refused("weeks that begin on another day than Monday or Sunday"));
            }
            (bucket, _) => format!("date_trunc('{}', {of}{zone})", bucket.name()),
        }))
    }

    fn part(&self, writer: &Foreign<'_>, part: &Expr, of: &Expr) -> Result<Sql> {
        let Expr::Literal(Value::Text(part)) = part else {
            return Err(writer.refused("extract() of a part that is no constant"));
        };
        let of = self.time(writer, of)?;
        match (&**part, PARTS.iter().find(|(known, _, _)| *known == &**part)) {
            (_, Some((_, name, mode))) => {
                Ok(Sql::atom(format!("{name}({}{mode}{})", of.text, self.zone(writer)?)))
            }
            ("epoch", None) => Ok(Sql::call("toUnixTimestamp", &[&of])),
            ("epoch_ms", None) => Ok(Sql::call("toUnixTimestamp64Milli", &[&of])),
            (other, None) => Err(writer.refused(&format!("extract({other} ..)"))),
        }
    }

    fn strftime(&self, writer: &Foreign<'_>, first: &Expr, second: &Expr) -> Result<Sql> {
        let is_format = |e: &Expr| matches!(e, Expr::Literal(Value::Text(text)) if text.contains('%'));
        let (format, of) = if is_format(first) { (first, second) } else { (second, first) };
        let Expr::Literal(Value::Text(format)) = format else {
            return Err(writer.refused("strftime() with a format that is no constant"));
        };
        let mut theirs = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            theirs.push(c);
            match (c, if c == '%' { rest.next() } else { None }) {
                ('%', Some('M')) => theirs.push('i'),
                (
                    '%',
                    Some(
                        same @ ('Y' | 'm' | 'd' | 'H' | 'S' | 'j' | 'a' | 'b' | 'y' | 'e' | 'p' | 'z' | 'F'
                        | 'T' | '%'),
                    ),
                ) => {
                    theirs.push(same);
                }
                ('%', other) => {
                    let other = other.map_or_else(String::new, String::from);
                    return Err(writer.refused(&format!("strftime() with %{other}")));
                }
                _ => {}
            }
        }
        let of = self.time(writer, of)?.text;
        Ok(Sql::atom(format!("formatDateTime({of}, {}{})", text(&theirs), self.zone(writer)?)))
    }

    fn replace(&self, writer: &Foreign<'_>, [of, pattern, by]: [&Expr; 3], rest: &[Expr]) -> Result<Sql> {
        let flags = match rest {
            [] => "",
            [Expr::Literal(Value::Text(flags))] => flags,
            _ => return Err(writer.refused("regexp_replace() with flags that are no constant")),
        };
        let name = if flags.contains('g') { "replaceRegexpAll" } else { "replaceRegexpOne" };
        let inner: String = flags.chars().filter(|flag| *flag != 'g').collect();
        let pattern = match (inner.is_empty(), pattern) {
            (true, pattern) => writer.text(pattern)?,
            (false, Expr::Literal(Value::Text(pattern))) => Sql::atom(text(&format!("(?{inner}){pattern}"))),
            (false, _) => {
                return Err(writer.refused("regexp_replace() with flags and a pattern that is no constant"));
            }
        };
        Ok(Sql::call(name, &[&writer.text(of)?, &pattern, &writer.text(by)?]))
    }

    /// It rounds halves to even digits, so rounding is written out.
    fn round(&self, writer: &Foreign<'_>, number: &Expr, digits: &[Expr]) -> Result<Sql> {
        let kinds = writer.one_type(number)?;
        let Some(printed) = writer.number(number)? else { return self.literal(&Value::Null) };
        let digits = match digits {
            [] => 0,
            [Expr::Literal(Value::Int(digits))] => *digits,
            _ => return Err(writer.refused("round() to digits that are no constant")),
        };
        match digits {
            0.. if !kinds.has(FieldType::Float) => Ok(printed),
            0..=18 => Ok(rounded(&printed, &10i64.pow(digits as u32).to_string())),
            _ => Err(writer.refused(&format!("round() to {digits} digits"))),
        }
    }
}

/// Half away from zero, to a unit of one divided by `scale`.
fn rounded(number: &Sql, scale: &str) -> Sql {
    let (whole, text) = (&number.text, number.within(binding::PRODUCT));
    match scale {
        "1" => Sql::loose(format!("sign({whole}) * floor(abs({whole}) + 0.5)"), binding::PRODUCT),
        _ => Sql::loose(
            format!("sign({whole}) * floor(abs({text} * {scale}) + 0.5) / {scale}"),
            binding::PRODUCT,
        ),
    }
}

fn plain(name: &str, arguments: &[Expr], print: &dyn Fn(&Expr) -> Result<Sql>) -> Result<Sql> {
    let arguments = arguments.iter().map(print).collect::<Result<Vec<_>>>()?;
    Ok(Sql::call(name, &arguments.iter().collect::<Vec<_>>()))
}

/// A LIKE pattern whose special characters are escaped by backslashes.
fn backslashed(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let (c, is_literal) = match Some(c) == escape {
            true => (chars.next().unwrap_or(c), true),
            false => (c, c == '\\'),
        };
        if is_literal && matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn text(words: &str) -> String {
    let mut out = String::from("'");
    for c in words.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out + "'"
}
