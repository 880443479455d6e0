//! What an import says where events have the time of their arrival: which fields hold times that no name told of, or
//! dates that cannot be read. `import` asks once, about the first rows.

use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::ingest::accept::TIME_SAMPLE;
use crate::ingest::rows::{Decoded, is_year_last};
use crate::time;
use crate::value::Value;

/// Fields that the note names.
const NAMED: usize = 3;

/// The note for rows that were decoded without a time field.
pub fn note(decoded: &Decoded) -> String {
    let found = "no time field was found: events have the time of their arrival; name one with --time FIELD";
    let times = fields(decoded, |text| time::parse(text).is_some());
    if !times.is_empty() {
        let named: Vec<String> = times.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        return format!("{found}; there are times in {}", named.join(", "));
    }
    match fields(decoded, is_year_last).first() {
        Some((name, date)) => format!(
            "{found}; \"{name}\" has dates such as {date}, which are text here: write the year first, as in 2026-01-31"
        ),
        None => found.to_owned(),
    }
}

/// The fields whose texts are mostly of a kind, in the order they appeared, each with one of these texts.
fn fields(decoded: &Decoded, is_kind: impl Fn(&str) -> bool) -> Vec<(&Arc<str>, String)> {
    let named = decoded.names.iter();
    named
        .filter_map(|name| Some((name, mostly(decoded.block.column(name)?, &is_kind)?)))
        .take(NAMED)
        .collect()
}

/// A text of a column, where more than half of its values are texts of a kind.
fn mostly(column: &Column, is_kind: impl Fn(&str) -> bool) -> Option<String> {
    if matches!(column.data, Data::Bool(_) | Data::Json(_) | Data::List { .. }) {
        return None;
    }
    let values =
        (0..column.rows).map(|row| column.get(row)).filter(|value| !value.is_null()).take(TIME_SAMPLE);
    let (mut of_kind, mut all, mut first) = (0, 0, None);
    for value in values {
        all += 1;
        if let Value::Text(text) = value
            && is_kind(&text)
        {
            of_kind += 1;
            first.get_or_insert_with(|| text.to_string());
        }
    }
    first.filter(|_| of_kind * 2 > all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::accept::decode_json;
    use crate::ingest::rules::Rules;
    use crate::store::snapshot::Snapshot;

    fn told(rows: &str) -> String {
        note(&decode_json(rows.as_bytes(), &Rules::of(&Snapshot::default(), "a")).expect("decoded"))
    }

    #[test]
    fn fields_with_times_that_no_name_told_of_are_named() {
        let told = told(
            "{\"n\": 1, \"booked\": \"2026-03-01\", \"paid\": \"2026-03-02T10:00:00Z\"}\n{\"booked\": \"soon\"}\n{\"booked\": \"2026-03-03\"}",
        );
        assert!(
            told.ends_with("name one with --time FIELD; there are times in \"booked\", \"paid\""),
            "{told}"
        );
    }

    #[test]
    fn dates_that_end_with_the_year_are_shown_with_what_to_do() {
        let told = told("{\"plz\": \"01067\", \"Buchungstag\": \"31.12.2026\"}");
        assert!(
            told.contains("\"Buchungstag\" has dates such as 31.12.2026") && told.contains("year first"),
            "{told}"
        );
    }

    #[test]
    fn versions_numbers_and_words_are_no_dates() {
        for rows in [
            "{\"v\": \"1.2.3\"}",
            "{\"n\": 1772323200}",
            "{\"t\": [\"2026-03-01\"]}",
            "{\"d\": \"31.12.2026\"}\n{\"d\": \"x\"}",
        ] {
            assert!(told(rows).ends_with("name one with --time FIELD"), "{}", told(rows));
        }
    }
}
