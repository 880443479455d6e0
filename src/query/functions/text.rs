//! Functions of text. A value that is no text counts as the text a person reads (`Value::to_text`).
//! Called through the table in `functions`.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::query::matcher::Matcher;
use crate::value::Value;

use super::number::integer;
use super::{Context, EXPLODE_STANDS_ALONE, PatternKind, check_text_length};

pub(super) fn lower(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(of_text(arguments, |text| Value::text(text.to_lowercase())))
}

pub(super) fn upper(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(of_text(arguments, |text| Value::text(text.to_uppercase())))
}

fn of_text(arguments: &[Value], make: impl FnOnce(&str) -> Value) -> Value {
    arguments.first().map_or(Value::Null, |value| make(&value.to_text()))
}

pub(super) fn length(arguments: &[Value], _: &Context) -> Result<Value> {
    let count = match arguments.first() {
        Some(Value::List(items)) => items.len(),
        Some(value) => value.to_text().chars().count(),
        None => return Ok(Value::Null),
    };
    Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// SQLite's meaning to the letter: a negative start counts from the end, a negative length takes what stands before.
pub(super) fn substr(arguments: &[Value], _: &Context) -> Result<Value> {
    let (value, start, count) = match arguments {
        [value, start] => (value, integer(start), Some(i64::MAX)),
        [value, start, count] => (value, integer(start), integer(count)),
        _ => return Ok(Value::Null),
    };
    let (Some(start), Some(count)) = (start, count) else { return Ok(Value::Null) };
    let text = value.to_text();
    let length = i128::try_from(text.chars().count()).unwrap_or(i128::MAX);
    let (mut from, mut take) = (i128::from(start), i128::from(count).abs());
    if from < 0 {
        from += length;
        if from < 0 {
            take = (take + from).max(0);
            from = 0;
        }
    } else if from > 0 {
        from -= 1;
    } else if take > 0 {
        take -= 1;
    }
    if count < 0 {
        from -= take;
        if from < 0 {
            take += from;
            from = 0;
        }
    }
    let place = |n: i128| usize::try_from(n.clamp(0, length)).unwrap_or(0);
    let (from, to) = (place(from), place(from + take));
    Ok(Value::text(text.chars().skip(from).take(to.saturating_sub(from)).collect::<String>()))
}

pub(super) fn replace(arguments: &[Value], _: &Context) -> Result<Value> {
    let [value, wanted, by] = arguments else { return Ok(Value::Null) };
    let (text, wanted, by) = (value.to_text(), wanted.to_text(), by.to_text());
    if wanted.is_empty() {
        return Ok(Value::text(text));
    }
    let grown = text.matches(wanted.as_ref()).count().saturating_mul(by.len()).saturating_add(text.len());
    if by.len() > wanted.len() {
        check_text_length(grown)?;
    }
    Ok(Value::text(text.replace(wanted.as_ref(), &by)))
}

pub(super) fn trim(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(trimmed(arguments, true, true))
}

pub(super) fn ltrim(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(trimmed(arguments, true, false))
}

pub(super) fn rtrim(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(trimmed(arguments, false, true))
}

fn trimmed(arguments: &[Value], start: bool, end: bool) -> Value {
    let Some(value) = arguments.first() else { return Value::Null };
    let text = value.to_text();
    let cut = arguments.get(1).map_or(Cow::Borrowed(" "), Value::to_text);
    let is_cut = |c: char| cut.contains(c);
    let mut rest: &str = &text;
    if start {
        rest = rest.trim_start_matches(is_cut);
    }
    if end {
        rest = rest.trim_end_matches(is_cut);
    }
    Value::text(rest)
}

pub(super) fn concat(arguments: &[Value], _: &Context) -> Result<Value> {
    let mut out = String::new();
    for value in arguments {
        let text = value.to_text();
        check_text_length(out.len() + text.len())?;
        out.push_str(&text);
    }
    Ok(Value::text(out))
}

pub(super) fn starts_with(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(of_two(arguments, |text, other| text.starts_with(other)))
}

pub(super) fn ends_with(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(of_two(arguments, |text, other| text.ends_with(other)))
}

pub(super) fn contains(arguments: &[Value], _: &Context) -> Result<Value> {
    Ok(match arguments {
        [Value::List(items), wanted] => {
            let wanted = wanted.to_text();
            Value::Bool(items.iter().any(|item| item.as_ref() == wanted.as_ref()))
        }
        _ => of_two(arguments, |text, other| text.contains(other)),
    })
}

/// Rows are multiplied before groups are made (`query::explode`); over one row there is nothing to say.
pub(super) fn explode(_: &[Value], _: &Context) -> Result<Value> {
    Err(Error::invalid(EXPLODE_STANDS_ALONE))
}

fn of_two(arguments: &[Value], holds: impl FnOnce(&str, &str) -> bool) -> Value {
    match arguments {
        [a, b] => Value::Bool(holds(&a.to_text(), &b.to_text())),
        _ => Value::Null,
    }
}

pub(super) fn regexp_replace(arguments: &[Value], context: &Context) -> Result<Value> {
    let [value, pattern, by, rest @ ..] = arguments else { return Ok(Value::Null) };
    let (text, by) = (value.to_text(), by.to_text());
    let flags = rest.first().map_or(Cow::Borrowed(""), Value::to_text).into_owned();
    let all = flags.contains('g');
    let matcher = context.matcher(PatternKind::Regexp { flags }, &pattern.to_text())?;
    let Matcher::Regexp(regex) = matcher.as_ref() else { return Ok(Value::Null) };
    let mut out = String::new();
    let mut done = 0;
    for groups in regex.captures_iter(&text).take(if all { usize::MAX } else { 1 }) {
        let Some(found) = groups.get(0) else { continue };
        out.push_str(text.get(done..found.start()).unwrap_or_default());
        expand(&by, &groups, &mut out)?;
        done = found.end();
    }
    out.push_str(text.get(done..).unwrap_or_default());
    check_text_length(out.len())?;
    Ok(Value::text(out))
}

/// Appends a replacement, in which `\1` is a group, `\0` the match and `\\` a backslash.
fn expand(by: &str, groups: &regex::Captures<'_>, out: &mut String) -> Result<()> {
    let mut chars = by.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(digit @ '0'..='9') => {
                let group = digit.to_digit(10).and_then(|d| groups.get(d as usize));
                out.push_str(group.map_or("", |m| m.as_str()));
                check_text_length(out.len())?;
            }
            Some('\\') | None => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    check_text_length(out.len())
}
