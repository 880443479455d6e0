//! `matches`: the search language over texts at hand, for datasets without an index of words. Words are cut and compared
//! as in the index of records (`query::words`), so both find the same.

use crate::error::Result;
use crate::query::functions::Context;
use crate::query::words::language::read;
use crate::query::words::matching::Matcher;
use crate::value::Value;

/// A search made ready.
#[derive(Debug)]
pub struct Search {
    /// The names of the texts, in their order; empty where they have none.
    names: Vec<String>,
    /// `None`: there is nothing to look for, so nothing is found.
    matcher: Option<Matcher>,
}

impl Search {
    /// What is looked for, and perhaps the list of the names of the texts, for `name:word`.
    pub fn new(asked: &[Value]) -> Self {
        let text = asked.first().map_or(String::new(), |text| text.to_text().into_owned());
        let names: Vec<String> = match asked.get(1) {
            Some(Value::List(names)) => names.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let matcher = read(&text, &known).node.map(|node| Matcher::new(&node));
        Self { names, matcher }
    }

    /// Whether the texts together have what is looked for; a list is the text of its entries, null is an empty text.
    pub fn is_match(&self, texts: &[Value]) -> bool {
        let Some(matcher) = &self.matcher else { return false };
        let texts: Vec<String> = texts.iter().map(text_of).collect();
        let named: Vec<(&str, &str)> = texts
            .iter()
            .enumerate()
            .map(|(at, text)| (self.names.get(at).map_or("", String::as_str), text.as_str()))
            .collect();
        matcher.is_match(&named)
    }
}

/// What is searched of a value.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::List(items) => items.join("\n"),
        other => other.to_text().into_owned(),
    }
}

/// `matches(search, text, …)`; a list after the search has the names of the texts.
pub(super) fn matches(arguments: &[Value], context: &Context) -> Result<Value> {
    let Some((search, _)) = arguments.split_first() else { return Ok(Value::Null) };
    if search.is_null() {
        return Ok(Value::Null);
    }
    // with one text after it a list is that text
    let asked = match arguments.get(1) {
        Some(Value::List(_)) if arguments.len() > 2 => 2,
        _ => 1,
    };
    let (asked, texts) = arguments.split_at(asked);
    if texts.iter().all(Value::is_null) {
        return Ok(Value::Null);
    }
    Ok(Value::Bool(context.search(asked).is_match(texts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Calendar;

    #[test]
    fn words_are_found_over_all_texts_whatever_their_case_and_marks() {
        let context = Context::new(Calendar::default());
        let ask = |arguments: &[Value]| matches(arguments, &context).unwrap();
        let text = |text: &str| Value::text(text);
        assert_eq!(ask(&[text("cafe sql"), text("Das Café"), text("SQL Injection")]), Value::Bool(true));
        assert_eq!(ask(&[text("\"sql cafe\""), text("sql"), text("cafe")]), Value::Bool(false));
        assert_eq!(ask(&[text("inj*"), Value::Null, text("injection")]), Value::Bool(true));
        assert_eq!(ask(&[text("a -b"), Value::List(["a".into(), "b".into()].into())]), Value::Bool(false));
        let names = Value::List(["title".into(), "body".into()].into());
        assert_eq!(ask(&[text("body:a"), names.clone(), text("a"), text("b")]), Value::Bool(false));
        assert_eq!(ask(&[text("title:a"), names, text("a"), text("b")]), Value::Bool(true));
        assert_eq!(ask(&[text("a"), Value::Null]), Value::Null);
        assert_eq!(ask(&[text("++"), text("a")]), Value::Bool(false));
    }
}
