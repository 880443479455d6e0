//! DuckDB's words for what differs. Times are TIMESTAMPs in UTC, lists are VARCHAR[]. What it prints of times and of
//! numbers as text is DuckDB's. Called by `foreign`; the forms were tried on DuckDB 2.0.

use crate::error::Result;
use crate::fields::{FieldType, Kinds};
use crate::query::expression::{AggregateCall, AggregateFunction, BinaryOp, Expr};
use crate::query::functions::Function;
use crate::time::{self, Bucket};
use crate::value::{Value, float_text};

use super::canonical::binding;
use super::foreign::{Foreign, Like, Sql, Words};

/// DuckDB.
pub(super) struct Duckdb;

impl Words for Duckdb {
    fn engine(&self) -> &'static str {
        "DuckDB"
    }

    fn literal(&self, value: &Value) -> Result<Sql> {
        Ok(match value {
            Value::Int(number) if *number < 0 => Sql::loose(number.to_string(), binding::SIGN),
            Value::Float(number) if *number < 0.0 => Sql::loose(float_text(*number), binding::SIGN),
            Value::Null => Sql::atom("NULL"),
            Value::Bool(truth) => Sql::atom(if *truth { "TRUE" } else { "FALSE" }),
            Value::Int(_) | Value::Float(_) => Sql::atom(value.to_text()),
            Value::Text(words) => Sql::atom(text(words)),
            Value::Time(us) => Sql::atom(format!("TIMESTAMP {}", text(&moment(*us)))),
            Value::List(items) => {
                Sql::atom(format!("[{}]", items.iter().map(|item| text(item)).collect::<Vec<_>>().join(", ")))
            }
            Value::Json(json) => Sql::atom(format!("CAST({} AS JSON)", text(json))),
        })
    }

    /// `//` is one of integers alone there.
    fn integer_divide(&self, writer: &Foreign<'_>, a: &Expr, b: &Expr) -> Result<Sql> {
        let (Some(left), Some(right)) = (writer.number(a)?, writer.number(b)?) else {
            return self.literal(&Value::Null);
        };
        let divisor = writer.divisor(b, &right).within(binding::SIGN);
        let is_float = writer.kinds(a).with(writer.kinds(b)).has(FieldType::Float);
        let left = left.within(binding::PRODUCT);
        Ok(match is_float {
            true => Sql::atom(format!("trunc({left} / {divisor})")),
            false => Sql::loose(format!("{left} // {divisor}"), binding::PRODUCT),
        })
    }

    fn move_time(&self, writer: &Foreign<'_>, time: &Expr, op: BinaryOp, seconds: &Expr) -> Result<Sql> {
        let time = writer.print(time)?.within(binding::SUM);
        let interval = match seconds {
            Expr::Literal(Value::Int(seconds)) if *seconds >= 0 => format!("INTERVAL {seconds} SECOND"),
            other => format!("to_seconds({})", writer.print(other)?.text),
        };
        Ok(Sql::loose(format!("{time} {} {interval}", op.symbol()), binding::SUM))
    }

    fn epoch(&self, time: &Sql) -> Sql {
        Sql::call("epoch", &[time])
    }

    fn number_of_bool(&self, operand: &Sql) -> Sql {
        Sql::atom(format!("CAST({} AS BIGINT)", operand.text))
    }

    fn like(&self, writer: &Foreign<'_>, like: Like<'_>) -> Result<Sql> {
        let name = if like.insensitive { "ILIKE" } else { "LIKE" };
        let not = if like.negated { "NOT " } else { "" };
        let operand = writer.text(like.operand)?.within(binding::SUM);
        let pattern = writer.text(like.pattern)?.within(binding::SUM);
        let escape = like.escape.map_or_else(String::new, |c| format!(" ESCAPE {}", text(&c.to_string())));
        Ok(Sql::loose(format!("{operand} {not}{name} {pattern}{escape}"), binding::COMPARISON))
    }

    fn regexp(&self, text: &Sql, pattern: &Sql) -> Sql {
        Sql::call("regexp_matches", &[text, pattern])
    }

    fn distinct(&self, a: &Sql, b: &Sql) -> Sql {
        let (a, b) = (a.within(binding::SUM), b.within(binding::SUM));
        Sql::loose(format!("{a} IS DISTINCT FROM {b}"), binding::COMPARISON)
    }

    fn cast(&self, writer: &Foreign<'_>, operand: &Sql, kinds: Kinds, to: FieldType) -> Result<Sql> {
        let kind = kinds.single();
        if kind == Some(to) {
            return Ok(operand.clone());
        }
        let as_type = |name: &str| Sql::atom(format!("TRY_CAST({} AS {name})", operand.text));
        Ok(match (to, kind) {
            (FieldType::Int, Some(FieldType::Time)) => Sql::call("epoch_us", &[operand]),
            // a cast alone rounds 2.5 to 2
            (FieldType::Int, Some(FieldType::Float)) => {
                Sql::atom(format!("TRY_CAST(round({}) AS BIGINT)", operand.text))
            }
            (FieldType::Int, None | Some(FieldType::String | FieldType::Bool)) => as_type("BIGINT"),
            (FieldType::Float, Some(FieldType::Time)) => Sql::call("epoch_us", &[operand]),
            (FieldType::Float, None | Some(FieldType::String | FieldType::Bool | FieldType::Int)) => {
                as_type("DOUBLE")
            }
            (FieldType::Bool, None | Some(FieldType::String | FieldType::Int | FieldType::Float)) => {
                as_type("BOOLEAN")
            }
            (
                FieldType::String,
                None
                | Some(FieldType::Int | FieldType::Float | FieldType::Bool | FieldType::Time | FieldType::Json),
            ) => Sql::atom(format!("CAST({} AS VARCHAR)", operand.text)),
            (FieldType::Time, None | Some(FieldType::String)) => as_type("TIMESTAMP"),
            (FieldType::Json, None | Some(FieldType::String)) => as_type("JSON"),
            (_, Some(kind)) => return Err(writer.refused(&format!("a cast of {kind} to {to}"))),
            (_, None) => return Err(writer.refused(&format!("a cast to {to}"))),
        })
    }

    fn call(&self, writer: &Foreign<'_>, function: Function, arguments: &[Expr]) -> Result<Sql> {
        if let (Some(bucket), [of]) = (function.bucket(), arguments) {
            return self.bucket(writer, bucket, of);
        }
        let name = function.name();
        match (name, arguments) {
            ("coalesce" | "nullif" | "least" | "greatest", _) => {
                writer.check_alike(&arguments.iter().collect::<Vec<_>>())?;
                self.plain(name, arguments, &|e| writer.print(e))
            }
            ("extract", [part, of]) => self.part(writer, part, of),
            ("epoch", [of]) => Ok(self.epoch(&self.time(writer, of)?)),
            ("strftime", [first, second]) => {
                let is_format =
                    |e: &Expr| matches!(e, Expr::Literal(Value::Text(text)) if text.contains('%'));
                let (format, of) = if is_format(first) { (first, second) } else { (second, first) };
                let Expr::Literal(Value::Text(format)) = format else {
                    return Err(writer.refused("strftime() with a format that is no constant"));
                };
                Ok(Sql::call("strftime", &[&self.local(writer, of)?, &Sql::atom(text(format))]))
            }
            ("length", [of]) if writer.kinds(of) == Kinds::of(FieldType::Strings) => {
                Ok(Sql::call("len", &[&writer.print(of)?]))
            }
            ("contains", [list, entry]) if writer.kinds(list) == Kinds::of(FieldType::Strings) => {
                Ok(Sql::call("list_contains", &[&writer.print(list)?, &writer.text(entry)?]))
            }
            ("round" | "floor" | "ceil" | "trunc" | "abs" | "sign", [number, rest @ ..]) => {
                let Some(number) = writer.number(number)? else { return self.literal(&Value::Null) };
                let rest = rest.iter().map(|e| writer.print(e)).collect::<Result<Vec<_>>>()?;
                Ok(Sql::call(name, &std::iter::once(&number).chain(&rest).collect::<Vec<_>>()))
            }
            ("substr", [of, rest @ ..]) => {
                let of = writer.text(of)?;
                let rest = rest.iter().map(|e| writer.print(e)).collect::<Result<Vec<_>>>()?;
                Ok(Sql::call(name, &std::iter::once(&of).chain(&rest).collect::<Vec<_>>()))
            }
            ("date_trunc", _) => Err(writer.refused("date_trunc() with a unit that is no constant")),
            (
                "lower" | "upper" | "length" | "replace" | "trim" | "ltrim" | "rtrim" | "concat"
                | "starts_with" | "ends_with" | "contains" | "regexp_replace",
                _,
            ) => self.plain(name, arguments, &|e| writer.text(e)),
            _ => Err(writer.refused(&format!("{name}()"))),
        }
    }

    fn aggregate(&self, writer: &Foreign<'_>, call: &AggregateCall) -> Result<Sql> {
        let argument = call.argument.as_ref().map(|argument| writer.print(argument)).transpose()?;
        let x = argument.map_or_else(|| "*".to_owned(), |argument| argument.text);
        let number = || match &call.argument {
            Some(argument) => {
                Ok(writer.number(argument)?.map_or_else(|| "NULL".to_owned(), |number| number.text))
            }
            None => Ok("NULL".into()),
        };
        let (text, condition) = match call.function {
            AggregateFunction::Count => (format!("count({x})"), None),
            AggregateFunction::Uniq => (format!("count(DISTINCT {x})"), None),
            AggregateFunction::Sum => (format!("sum({})", number()?), None),
            AggregateFunction::Avg => (format!("avg({})", number()?), None),
            AggregateFunction::Min => (format!("min({x})"), None),
            AggregateFunction::Max => (format!("max({x})"), None),
            AggregateFunction::Quantile(q) => {
                (format!("quantile_disc({}, {})", number()?, float_text(q)), None)
            }
            AggregateFunction::ApproxUniq => (format!("approx_count_distinct({x})"), None),
            AggregateFunction::ApproxQuantile(q) => {
                (format!("approx_quantile({}, {})", number()?, float_text(q)), None)
            }
            AggregateFunction::First => {
                (format!("first({x} ORDER BY _time, _seq)"), Some(format!("{x} IS NOT NULL")))
            }
            AggregateFunction::Last => {
                (format!("last({x} ORDER BY _time, _seq)"), Some(format!("{x} IS NOT NULL")))
            }
            AggregateFunction::Any => (format!("any_value({x})"), None),
        };
        let filter = call.filter.as_ref().map(|filter| writer.truth(filter)).transpose()?;
        let conditions: Vec<String> =
            condition.into_iter().chain(filter.map(|filter| filter.within(binding::AND))).collect();
        Ok(Sql::atom(match conditions.is_empty() {
            true => text,
            false => format!("{text} FILTER (WHERE {})", conditions.join(" AND ")),
        }))
    }

    fn entry(&self, _: &Sql) -> Sql {
        Sql::atom("entries.entry")
    }

    fn entries(&self, list: &Sql) -> String {
        format!(", unnest({}) AS entries(entry)", list.text)
    }
}

impl Duckdb {
    fn plain(&self, name: &str, arguments: &[Expr], print: &dyn Fn(&Expr) -> Result<Sql>) -> Result<Sql> {
        let arguments = arguments.iter().map(print).collect::<Result<Vec<_>>>()?;
        Ok(Sql::call(name, &arguments.iter().collect::<Vec<_>>()))
    }

    /// A time, or a text that is one.
    fn time(&self, writer: &Foreign<'_>, of: &Expr) -> Result<Sql> {
        let kinds = writer.one_type(of)?;
        self.cast(writer, &writer.print(of)?, kinds, FieldType::Time)
    }

    /// What the clock of the query shows.
    fn local(&self, writer: &Foreign<'_>, of: &Expr) -> Result<Sql> {
        let time = self.time(writer, of)?;
        Ok(match writer.zone()? {
            None => time,
            Some(zone) => {
                let utc = time.within(binding::ATOM);
                Sql::loose(format!("{utc} AT TIME ZONE 'UTC' AT TIME ZONE {}", text(&zone)), binding::SIGN)
            }
        })
    }

    fn bucket(&self, writer: &Foreign<'_>, bucket: Bucket, of: &Expr) -> Result<Sql> {
        let local = self.local(writer, of)?;
        let late = i64::from(writer.week_start().to_monday_zero_offset());
        let start = match bucket {
            // weeks begin on Mondays there
            Bucket::Week if late != 0 => Sql::loose(
                format!(
                    "date_trunc('week', {} - INTERVAL {late} DAY) + INTERVAL {late} DAY",
                    local.within(binding::SUM)
                ),
                binding::SUM,
            ),
            _ => Sql::call("date_trunc", &[&Sql::atom(text(bucket.name())), &local]),
        };
        Ok(match writer.zone()? {
            None => start,
            Some(zone) => Sql::loose(
                format!("{} AT TIME ZONE {} AT TIME ZONE 'UTC'", start.within(binding::ATOM), text(&zone)),
                binding::SIGN,
            ),
        })
    }

    fn part(&self, writer: &Foreign<'_>, part: &Expr, of: &Expr) -> Result<Sql> {
        let Expr::Literal(Value::Text(part)) = part else {
            return Err(writer.refused("extract() of a part that is no constant"));
        };
        Ok(match &**part {
            // a float there, with the fraction of the second
            "epoch" => Sql::atom(format!("CAST(floor(epoch({})) AS BIGINT)", self.time(writer, of)?.text)),
            "epoch_ms" => Sql::call("epoch_ms", &[&self.time(writer, of)?]),
            part => Sql::atom(format!("extract({part} FROM {})", self.local(writer, of)?.text)),
        })
    }
}

fn text(words: &str) -> String {
    let quoted = |words: &str| format!("'{}'", words.replace('\'', "''"));
    match words.contains('\0') {
        // a text cannot hold it as it is
        true => format!("concat({})", words.split('\0').map(quoted).collect::<Vec<_>>().join(", chr(0), ")),
        false => quoted(words),
    }
}

/// A time as DuckDB writes it.
fn moment(us: i64) -> String {
    time::format(us).trim_end_matches('Z').replacen('T', " ", 1)
}
