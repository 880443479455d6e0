//! The calls behind the page: each is the text of a `POST /v1/query`, read and answered as one, so what the page shows as
//! its calls is what was asked. All of them see one snapshot.

use crate::error::Result;
use crate::http::problem::Problem;
use crate::query::answer::Answer;
use crate::query::budget::Limits;
use crate::query::expression::Expr;
use crate::query::language::Query;
use crate::query::{self, parse};
use crate::store::snapshot::{Dataset, Snapshot};
use crate::time;
use crate::value::{Value, write_json_string};

use super::fields;
use super::window::Window;

/// Rows of a list.
pub const LIST_ROWS: usize = 8;

/// One call and what came of it.
#[derive(Debug)]
pub struct Asked {
    /// What it is for, as a heading says.
    pub title: String,
    /// The body of the request.
    pub body: String,
    /// The answer, or what is wrong.
    pub outcome: Result<Answer, Problem>,
}

/// The calls of a page.
#[derive(Debug)]
pub struct Calls {
    /// Events day by day.
    pub series: Asked,
    /// All of them, and those of the period before.
    pub total: Asked,
    /// The most frequent values of a field, with its name.
    pub lists: Vec<(String, Asked)>,
}

impl Calls {
    /// All of them, in the order of the page.
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        [&self.series, &self.total].into_iter().chain(self.lists.iter().map(|(_, asked)| asked))
    }
}

/// Asks what the page shows of a dataset.
pub fn ask(
    (snapshot, limits): (&Snapshot, &Limits),
    dataset: &Dataset,
    window: &Window,
    tz: Option<&str>,
    now_us: i64,
) -> Calls {
    let ask = |title: String, parts: &str| {
        let body = body(&dataset.name, parts, window, tz);
        let outcome = parse::json(body.as_bytes(), now_us)
            .and_then(|query| query::run(snapshot, &Query { limits: limits.clone(), ..query }));
        Asked { title, body, outcome: outcome.map_err(|error| Problem::for_client(&error)) }
    };
    let list = |name: &str| {
        // printed as an expression, which quotes a name where it has to be
        let column = json_text(&Expr::Column(name.to_owned()).to_string());
        let parts = format!(
            r#""by": [{column}], "select": ["count()"], "order": ["-count()", {column}], "limit": {LIST_ROWS}"#
        );
        (name.to_owned(), ask(format!("Most frequent: {name}"), &parts))
    };
    Calls {
        series: ask(
            "Events by day".into(),
            r#""by": ["day(_time)"], "select": ["count()"], "order": ["day(_time)"], "fill": true"#,
        ),
        total: ask(
            "All of them, and the period before".into(),
            r#""select": ["count()"], "compare": "previous""#,
        ),
        lists: fields::telling(dataset).into_iter().map(list).collect(),
    }
}

/// A query about the days of the page.
fn body(dataset: &str, parts: &str, window: &Window, tz: Option<&str>) -> String {
    let instant = |us: i64| json_text(&time::format_in(us, &window.calendar.tz));
    let tz = tz.map_or(String::new(), |tz| format!(", \"tz\": {}", json_text(tz)));
    format!(
        r#"{{"from": {}, {parts}, "range": {{"from": {}, "to": {}}}{tz}}}"#,
        json_text(dataset),
        instant(window.from_us),
        instant(window.to_us)
    )
}

fn json_text(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_json_string(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The number in a cell of an answer; 0 where it has none.
pub fn number(answer: &Answer, row: usize, column: usize) -> u64 {
    match answer.rows.get(row).and_then(|cells| cells.get(column)) {
        Some(Value::Int(number)) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}
