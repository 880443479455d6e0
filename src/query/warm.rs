//! Questions that are asked ahead, so that the first one who asks them does not wait: at start, and after the cache was
//! cleared. They are listed in a file, a JSON object a line: a JSON query, or `{"sql": "SELECT …"}`.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::limits;
use crate::query::budget::Limits;
use crate::query::language::Statement;
use crate::query::{self, parse};
use crate::store::Store;
use crate::time;

/// The questions of a file.
#[derive(Debug, Default)]
pub struct WarmList {
    /// Each with its line, from 1.
    questions: Vec<(u64, String)>,
}

/// What came of asking them.
#[derive(Debug, Serialize)]
pub struct Warmed {
    /// Questions that were answered.
    pub asked: usize,
    /// Those that were not.
    pub failed: Vec<Failed>,
}

/// A question that was not answered.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// Its line in the file.
    pub line: u64,
    /// Why.
    pub message: String,
}

impl WarmList {
    /// Reads a file; none where none is named.
    ///
    /// # Errors
    /// It cannot be read, or a line of it is no question, told by its number.
    pub fn of(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(file)
            .map_err(|e| Error::io(format!("cannot read the questions in {}", file.display()), e))?;
        let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty());
        let questions: Vec<(u64, String)> = lines.map(|(number, line)| (number, line.to_owned())).collect();
        if questions.len() > limits::WARM_QUESTIONS {
            let (count, most) = (questions.len(), limits::WARM_QUESTIONS);
            return Err(Error::invalid(format!(
                "{} has {count} questions; {most} are the most",
                file.display()
            )));
        }
        for (number, line) in &questions {
            read(line).map_err(|e| {
                Error::invalid(format!(
                    "{}, line {number}: {e}; a line is a JSON query or {{\"sql\": \"SELECT …\"}}",
                    file.display()
                ))
            })?;
        }
        Ok(Self { questions })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Asks all of them, one after the other, as long as `goes_on` says so, which is told how many were asked. Twice each: what
    /// segments come to is kept from the second time on.
    pub fn ask(&self, store: &Store, limits: &Limits, goes_on: impl Fn(u64) -> bool) -> Warmed {
        let mut warmed = Warmed { asked: 0, failed: Vec::new() };
        for (asked, (line, text)) in (0..).zip(&self.questions) {
            let once = || {
                let statement = read(text)?.within(limits.clone());
                query::answer(&store.snapshot(), &statement).map(drop)
            };
            if !goes_on(asked) {
                break;
            }
            match once().and_then(|()| once()) {
                Ok(()) => warmed.asked += 1,
                Err(e) => warmed.failed.push(Failed { line: *line, message: e.to_string() }),
            }
        }
        warmed
    }
}

fn read(line: &str) -> Result<Statement> {
    let value: Value =
        serde_json::from_str(line).map_err(|e| Error::invalid(format!("it is not JSON: {e}")))?;
    match value.get("sql") {
        Some(Value::String(sql)) => parse::statement(sql, &[]),
        _ => parse::question(line.as_bytes(), time::now()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_question_is_told_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("warm.ndjson");
        let text = "{\"from\": \"visits\", \"select\": [\"count()\"]}\n\n{\"sql\": \"SELECT 1\"}\n";
        std::fs::write(&path, text).unwrap();
        let list = WarmList::of(Some(&path)).unwrap();
        assert_eq!(list.questions.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3]);
        for bad in ["{\"from\": 7}", "SELECT 1", "{\"sql\": \"SELEKT\"}"] {
            std::fs::write(&path, format!("{text}{bad}\n")).unwrap();
            let told = WarmList::of(Some(&path)).unwrap_err().to_string();
            assert!(told.contains("line 4") && told.contains("warm.ndjson"), "{told}");
        }
        assert!(WarmList::of(Some(&folder.path().join("none"))).is_err());
        assert!(WarmList::of(None).unwrap().is_empty());
    }
}
