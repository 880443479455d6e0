//! Whether the name of a field says that it holds times. Ingest asks when it meets a dataset's first rows; the values
//! have the last word.

/// The names that say it, in lower case.
const NAMES: [&str; 7] = ["time", "ts", "timestamp", "@timestamp", "date", "datetime", "created_at"];

/// How clearly the name of a field says that it holds times; the clearer is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeName {
    /// It is `time`, `ts`, `timestamp`, `@timestamp`, `date`, `datetime` or `created_at`, in letters of any case.
    Exact,
    /// One of these is a word of it.
    Word,
}

/// Whether the name of a field says that it holds times. Words are split at `_`, `-`, `.`, spaces and where a new
/// capital begins; digits split nothing. The case of the letters does not matter.
///
/// ```
/// use windrow::time::{TimeName, time_name};
/// assert_eq!(time_name("Timestamp"), Some(TimeName::Exact));
/// assert_eq!(time_name("Flight Date"), Some(TimeName::Word));
/// assert_eq!(time_name("event.createdAt"), Some(TimeName::Word));
/// assert_eq!(time_name("timeout"), None);
/// ```
pub fn time_name(field: &str) -> Option<TimeName> {
    if NAMES.iter().any(|name| field.eq_ignore_ascii_case(name)) {
        return Some(TimeName::Exact);
    }
    let mut after_created = false;
    for word in words(field) {
        let created_at = after_created && word.eq_ignore_ascii_case("at");
        if created_at || NAMES.iter().any(|name| word.eq_ignore_ascii_case(name)) {
            return Some(TimeName::Word);
        }
        after_created = word.eq_ignore_ascii_case("created");
    }
    None
}

/// The words of a name, without the marks between them.
fn words(field: &str) -> impl Iterator<Item = &str> {
    field.split(['_', '-', '.', ' ']).flat_map(split_at_case).filter(|word| !word.is_empty())
}

/// `eventTime` is event and Time, `UTCDate` is UTC and Date, `eventTS` is event and TS.
fn split_at_case(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let begins_word = |at: &usize| {
            let after_small = !bytes[at - 1].is_ascii_uppercase();
            let before_small = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            bytes[*at].is_ascii_uppercase() && (after_small || before_small)
        };
        let (word, left) = rest.split_at((1..bytes.len()).find(begins_word).unwrap_or(bytes.len()));
        rest = left;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_exact_or_has_a_word_or_neither() {
        let all = |names: &[&str], expected| {
            for name in names {
                assert_eq!(time_name(name), expected, "{name:?}");
            }
        };
        let exact =
            ["time", "TIME", "ts", "TS", "Timestamp", "TimeStamp", "@timestamp", "DateTime", "Created_At"];
        all(&exact, Some(TimeName::Exact));
        let words = [
            "Flight Date",
            "dateAdded",
            "event.ts",
            "eventTime",
            "eventTS",
            "UTCDate",
            "Created At",
            "createdAt",
            "CreatedAt",
            "issue.created-at",
            "CREATED_AT_UTC",
            "log.@timestamp",
            "FLIGHT_DATE",
            "_time",
            "time-ms",
            "Zeit time",
        ];
        all(&words, Some(TimeName::Word));
        let neither = [
            "",
            "_",
            "timeout",
            "update",
            "updated_at",
            "runtime",
            "created",
            "at",
            "created_by_at",
            "times",
            "tsunami",
            "time2",
            "Daten",
            "candidate",
            "events",
            "Éts",
        ];
        all(&neither, None);
        assert!(TimeName::Exact < TimeName::Word);
    }
}
