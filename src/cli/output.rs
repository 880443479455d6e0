//! How the answer of `sql` and `query` is printed: a table or a chart for people, JSON, CSV or NDJSON for programs.

use std::io::IsTerminal;
use std::str::FromStr;

use clap::Args;

use crate::cli::Session;
use crate::cli::terminal::answer::table;
use crate::cli::terminal::cells::Writing;
use crate::cli::terminal::chart::chart;
use crate::error::{Error, Result, nearest};
use crate::query::answer::{Answer, Series};
use crate::query::expression::Expr;
use crate::query::format::{Format, answer as written};
use crate::query::language::Query;
use crate::time::{self, Bucket, Bucketer};
use crate::value::Value;

/// Flags of the verbs that answer a question.
#[derive(Debug, Default, Args)]
pub struct OutputArguments {
    /// table, json, csv or ndjson [default: table on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Form>,
    /// Numbers, sizes and times as people read them, in a table or chart: 12.3k, 1.5 MiB, 2026-03-01
    #[arg(long)]
    human: bool,
    /// Draw the answer: a column or bar for each number, over time or by group
    #[arg(long)]
    chart: bool,
}

/// The value of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Aligned columns for people.
    Table,
    /// What HTTP replies with.
    Data(Format),
}

impl Form {
    fn all() -> impl Iterator<Item = (Self, &'static str)> + Clone {
        let data = Format::ALL.into_iter().map(|(format, name, _)| (Self::Data(format), name));
        std::iter::once((Self::Table, "table")).chain(data)
    }

    fn name(self) -> &'static str {
        Self::all().find(|(form, _)| *form == self).map_or("table", |(_, name)| name)
    }
}

impl FromStr for Form {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::all().find(|(_, name)| *name == text).map(|(form, _)| form).ok_or_else(|| {
            let names: Vec<&str> = Self::all().map(|(_, name)| name).collect();
            let hint = match text {
                "parquet" => "; `windrow export` writes Parquet".to_owned(),
                _ => nearest(text, names.iter().copied()),
            };
            Error::invalid(format!(
                "\"{text}\" is no format of an answer; formats are {}{hint}",
                names.join(", ")
            ))
        })
    }
}

impl OutputArguments {
    /// Whether the flags go together.
    ///
    /// # Errors
    /// `Invalid` where they do not.
    pub fn check(&self, as_json: bool) -> Result<()> {
        let for_programs = match self.format {
            Some(Form::Data(format)) => Some(format!("--format {}", format.name())),
            Some(Form::Table) => None,
            None => as_json.then(|| "--json".to_owned()),
        };
        match (self.chart, self.human, self.format, for_programs) {
            (true, _, Some(form), _) => Err(Error::invalid(format!(
                "--chart draws the answer and --format {} writes it: leave one of them out",
                form.name()
            ))),
            (true, _, None, Some(_)) => {
                Err(Error::invalid("--chart draws the answer and --json writes it: leave one of them out"))
            }
            (_, true, _, Some(other)) => Err(Error::invalid(format!(
                "--human is for tables and charts, which people read; {other} is for programs, which need whole numbers: \
                 leave one of them out"
            ))),
            _ => Ok(()),
        }
    }

    /// Prints an answer to a question.
    ///
    /// # Errors
    /// There is nothing to draw, or stdout cannot be written.
    pub fn print(&self, session: &Session, query: &Query, mut answer: Answer) -> Result<()> {
        if self.chart || self.form(session) == Form::Table {
            answer.series = answer.series.or_else(|| series(query, &answer.rows, time::now()));
        }
        self.print_table(session, &keys(query), answer)
    }

    /// The form that the answer is written in, where it is not drawn.
    fn form(&self, session: &Session) -> Form {
        let is_for_people = self.human || (std::io::stdout().is_terminal() && !session.json);
        self.format.unwrap_or(if is_for_people { Form::Table } else { Form::Data(Format::Json) })
    }

    /// Prints an answer whose groups are made by some of its columns.
    ///
    /// # Errors
    /// As [`OutputArguments::print`].
    pub fn print_table(&self, session: &Session, keys: &[usize], answer: Answer) -> Result<()> {
        let for_people = |exact| if self.human { Writing::Human } else { exact };
        if let (false, Form::Data(format)) = (self.chart, self.form(session)) {
            return session.print(&written(&answer, format)?);
        }
        let drawn = match self.chart {
            true => chart(&answer, keys, for_people(Writing::Rounded), &session.screen)?,
            false => table(&answer, for_people(Writing::Exact)).write(&session.screen),
        };
        session.print(drawn.as_bytes())
    }
}

/// The one key of a query that is a bucket of time, as a series. The reply has one where a range was asked for; whoever
/// looks at a drawing is to see missing buckets, and that today is not over, without it.
fn series(query: &Query, rows: &[Vec<Value>], now: i64) -> Option<Series> {
    let bucket = |at: &usize| match query.select.get(*at).map(|item| &item.expression) {
        Some(Expr::Call(function, _)) => function.bucket().map(|bucket| (*at, bucket)),
        _ => None,
    };
    let buckets: Vec<(usize, Bucket)> = keys(query).iter().filter_map(bucket).collect();
    let [(column, bucket)] = buckets.as_slice() else { return None };
    let mut bucketer = Bucketer::new(*bucket, &query.calendar);
    let mut is_partial = |row: &Vec<Value>| match row.get(*column) {
        Some(Value::Time(start)) => *start <= now && now < bucketer.next(*start),
        _ => false,
    };
    let partial = rows.iter().enumerate().filter(|(_, row)| is_partial(row)).map(|(at, _)| at).collect();
    Some(Series { column: *column, bucket: *bucket, partial, gaps: Vec::new() })
}

/// The columns of an answer that its groups are made by.
fn keys(query: &Query) -> Vec<usize> {
    let items = query.select.iter().enumerate();
    items.filter(|(_, item)| query.by.contains(&item.expression)).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    #[test]
    fn what_is_for_people_and_what_is_for_programs_do_not_mix() {
        let data = Some(Form::Data(Format::Csv));
        let said = |format, human, chart, as_json| {
            OutputArguments { format, human, chart }.check(as_json).map_err(|e| e.to_string())
        };
        for right in [
            said(None, true, true, false),
            said(Some(Form::Table), true, false, false),
            said(Some(Form::Table), true, false, true).and(Ok(())),
            said(data, false, false, true),
        ] {
            assert_eq!(right, Ok(()));
        }
        for (wrong, names) in [
            (said(data, true, false, false), "--format csv"),
            (said(None, true, false, true), "--json"),
            (said(Some(Form::Table), false, true, false), "--format table"),
            (said(None, false, true, true), "--json"),
        ] {
            let wrong = wrong.unwrap_err();
            assert!(wrong.contains(names) && wrong.contains("leave one of them out"), "{wrong}");
        }
    }

    #[test]
    fn every_form_is_found_by_its_name() {
        for (form, name) in Form::all() {
            assert_eq!((name.parse::<Form>().unwrap(), form.name()), (form, name));
        }
        let refusal = "parquet".parse::<Form>().unwrap_err().to_string();
        assert!(refusal.contains("windrow export"), "{refusal}");
    }

    #[test]
    fn a_bucket_of_time_is_a_series_whose_present_bucket_is_partial() {
        let at = |text: &str| crate::time::parse(text).unwrap();
        let asked = |text: &str| parse::sql(text, &[]).unwrap();
        let now = at("2026-03-02T10:00:00Z");
        let rows =
            ["2026-03-01", "2026-03-02", "2026-03-03"].map(|day| vec![Value::Int(1), Value::Time(at(day))]);
        let found = series(&asked("SELECT count(*), day(_time) FROM e GROUP BY 2"), &rows, now);
        let expected = Series { column: 1, bucket: Bucket::Day, partial: vec![1], gaps: vec![] };
        assert_eq!(found, Some(expected));
        for text in
            ["SELECT ms, _time FROM e", "SELECT day(_time), hour(_time), count(*) FROM e GROUP BY 1, 2"]
        {
            assert_eq!(series(&asked(text), &rows, now), None, "{text}");
        }
    }

    #[test]
    fn group_keys_are_told_from_other_numbers() {
        let sql = |text: &str| keys(&parse::sql(text, &[]).unwrap());
        assert_eq!(sql("SELECT count(*), status, day(_time) AS d FROM e GROUP BY status, d"), [1, 2]);
        assert_eq!(sql("SELECT status, ms FROM e"), [0; 0]);
        let json = br#"{"from": "e", "by": ["status"], "select": ["count()"]}"#;
        assert_eq!(keys(&parse::json(json, 0).unwrap()), [0]);
    }
}
