//! `windrow datasets`: what is in the file, also beside a running server; and with `--drop` a dataset less.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::store_options;
use crate::cli::Session;
use crate::cli::progress::counted;
use crate::cli::terminal::table::{Cell, Head, Table};
use crate::cli::terminal::{Screen, human};
use crate::error::{Error, Result};
use crate::fields::{DatasetKind, Declaration, check_dataset_name};
use crate::http::api::datasets::List;
use crate::packs::declared;
use crate::records::declare::declare;
use crate::store::describe::{Description, datasets};
use crate::store::{Store, open};

/// What `datasets` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow datasets\n  windrow datasets --human\n  windrow datasets visits --json\n  \
    windrow datasets visits --drop\n  \
    windrow datasets pages --declare pages.toml\n  windrow datasets --pack wiki\n\n\
    `bytes` are those of its columns in the file. Works beside a running server, except for changes: there they \
    are PUT and DELETE /v1/datasets/visits."
)]
pub struct DatasetsArguments {
    /// Describe this one
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// List the engine's own too, such as its audit log
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Numbers and sizes as people read them: 12.3k, 1.5 MiB
    #[arg(long)]
    human: bool,
    /// Drop this one with all its events; there is no way back
    #[arg(long, requires = "name", conflicts_with = "human")]
    drop: bool,
    /// Declare this one by a file of TOML or JSON: what PUT /v1/datasets/NAME takes
    #[arg(long, value_name = "FILE", requires = "name", conflicts_with_all = ["human", "drop"])]
    declare: Option<PathBuf>,
    /// Declare all datasets of a pack: research, threats or wiki
    #[arg(long, value_name = "PACK", conflicts_with_all = ["name", "human", "drop", "declare"])]
    pack: Option<String>,
}

impl DatasetsArguments {
    /// Whether the flags go together.
    ///
    /// # Errors
    /// `Invalid` where they do not.
    pub(super) fn check(&self, as_json: bool) -> Result<()> {
        if self.human && as_json {
            return Err(Error::invalid(
                "--human is for tables, which people read; --json is for programs, which need whole numbers: leave one \
                 of them out",
            ));
        }
        Ok(())
    }
}

/// Lists or describes; with `--json` in the words of HTTP.
///
/// # Errors
/// There is no such file or dataset; to drop one, another process has the file.
pub fn run(session: &Session, arguments: &DatasetsArguments) -> Result<()> {
    if let (Some(name), true) = (&arguments.name, arguments.drop) {
        return drop_dataset(session, name);
    }
    if let (Some(name), Some(file)) = (&arguments.name, &arguments.declare) {
        return declare_all(session, &[(name, read_declaration(file)?)]);
    }
    if let Some(pack) = &arguments.pack {
        return declare_all(session, &declared::of(pack)?);
    }
    let mut described = datasets(&session.settings.database, arguments.name.as_deref())?;
    described.retain(|one| arguments.all || arguments.name.is_some() || !one.name.starts_with('_'));
    let text = match (&arguments.name, session.json) {
        (None, false) => list(&described, arguments.human, &session.screen),
        (None, true) => json(&List { datasets: described })?,
        (Some(_), as_json) => match described.pop() {
            Some(one) if as_json => json(&one)?,
            Some(one) => description(&one, arguments.human, &session.screen),
            None => String::new(),
        },
    };
    session.print(text.as_bytes())
}

/// A file whose first byte is that of a JSON object is one; all others are TOML.
fn read_declaration(file: &Path) -> Result<Declaration> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::io(format!("cannot read the declaration {}", file.display()), e))?;
    let told = |e: Error| match e {
        Error::Invalid { detail, items } => {
            Error::Invalid { detail: format!("{}: {detail}", file.display()), items }
        }
        other => other,
    };
    match text.trim_start().starts_with('{') {
        true => Declaration::from_json(text.as_bytes()).map_err(told),
        false => Declaration::from_toml(&text).map_err(told),
    }
}

fn declare_all(session: &Session, all: &[(impl AsRef<str>, Declaration)]) -> Result<()> {
    let store = Store::open(&session.settings.database, store_options(&session.settings))?;
    for (name, declaration) in all {
        check_dataset_name(name.as_ref())?;
        declare(&store, name.as_ref(), declaration.clone())?;
    }
    store.close();
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_ref()).collect();
    let told = match session.json {
        true => format!("{}\n", serde_json::json!({ "declared": names })),
        false => format!("{}: declared\n", names.join(", ")),
    };
    session.print(told.as_bytes())
}

fn drop_dataset(session: &Session, name: &str) -> Result<()> {
    let database = &session.settings.database;
    if !database.exists() {
        // opened to write, it would be made
        return Err(open::missing(database));
    }
    let store = Store::open(database, store_options(&session.settings))?;
    let snapshot = store.snapshot();
    let (rows, is_of_records) = snapshot.whole_dataset(name).map(|d| (d.rows(), d.keyed.is_some()))?;
    drop(snapshot);
    let what = if is_of_records { "record" } else { "event" };
    store.drop_dataset(name)?;
    store.upkeep().give_back()?;
    store.close();
    let told = match session.json {
        true => format!("{}\n", serde_json::json!({ "dropped": name, "rows": rows })),
        false => format!("{name}: dropped with {}\n", counted(rows, what)),
    };
    session.print(told.as_bytes())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|e| Error::Internal(format!("a description does not serialize: {e}")))
}

fn list(datasets: &[Description], human: bool, screen: &Screen) -> String {
    let mut heads = vec![Head::text("name")];
    // segments are told of one dataset alone: with them the list is too wide for 80 columns
    heads.extend(["rows", "fields", "bytes"].map(Head::number));
    heads.extend(["from", "to"].map(Head::text));
    let mut table = Table::new(heads, "--json");
    for one in datasets {
        let range = one.time_range.as_ref();
        let (from, to) = range
            .map_or_else(Default::default, |range| (to_the_second(&range.from), to_the_second(&range.to)));
        let numbers = [one.rows, one.fields.len() as u64].map(|number| count(number, human));
        let cells = [Cell::text(&one.name)]
            .into_iter()
            .chain(numbers.into_iter().chain([bytes(one.bytes, human)]).map(Cell::exact))
            .chain([from, to].map(Cell::exact));
        table.rows.push(cells.collect::<Vec<_>>().into());
    }
    table.write(screen)
}

/// A time in UTC without the parts of its second, so that the list fits a terminal; `--json` has them.
fn to_the_second(time: &str) -> String {
    time.split_once('.').map_or(time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

fn count(number: u64, human: bool) -> String {
    if human { human::whole(i64::try_from(number).unwrap_or(i64::MAX)) } else { number.to_string() }
}

fn bytes(number: u64, human: bool) -> String {
    if human { human::bytes(number as f64) } else { number.to_string() }
}

/// What was declared of the dataset as a whole; its fields have a table of their own.
fn declared_of(declaration: &Declaration) -> String {
    let texts = [
        ("id", &declaration.id),
        ("time", &declaration.time),
        ("dedupe", &declaration.dedupe),
        ("retention", &declaration.retention),
    ];
    let lists = [("key", &declaration.key), ("checks", &declaration.checks)];
    let mut parts: Vec<String> =
        texts.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?))).collect();
    let named = lists.iter().filter(|(_, names)| !names.is_empty());
    parts.extend(named.map(|(what, names)| format!("{what} {}", names.join(", "))));
    let counts = [
        (declaration.indexes.len(), "index", "indexes"),
        (declaration.relations.len(), "relation", "relations"),
        (declaration.search.len(), "searched field", "searched fields"),
    ];
    let there = counts.iter().filter(|(count, ..)| *count > 0);
    parts.extend(there.map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many })));
    if declaration.strict {
        parts.push("strict".to_owned());
    }
    match (parts.is_empty(), declaration.fields.len()) {
        (true, 0) => "nothing".to_owned(),
        (_, 0) => parts.join(", "),
        (_, count) => {
            parts.push(counted(count as u64, "field"));
            parts.join(", ")
        }
    }
}

fn description(one: &Description, human: bool, screen: &Screen) -> String {
    let time = one.time_field.as_deref().unwrap_or("none, so _time is that of arrival");
    let range =
        one.time_range.as_ref().map_or("none".to_owned(), |range| format!("{} to {}", range.from, range.to));
    let mut fields = Table::new(["field", "type"].map(Head::text), "--json");
    for field in &one.fields {
        let held =
            if field.types.is_empty() { String::new() } else { format!(" ({})", field.types.join(", ")) };
        let cells = [field.name.clone(), format!("{}{held}", field.kind)];
        fields.rows.push(cells.map(Cell::text).to_vec().into());
    }
    if one.kind == DatasetKind::Records {
        return format!(
            "dataset     {}\nrecords     {}\nbytes       {}\ntime field  {time}\ndeclared    {}\ncreated     {}\n\n{}",
            one.name,
            count(one.rows, human),
            bytes(one.bytes, human),
            declared_of(&one.declaration),
            one.created,
            fields.write(screen)
        );
    }
    format!(
        "dataset     {}\nrows        {}\nsegments    {}\nbytes       {}\ntime field  {time}\ntime range  {range}\n\
         declared    {}\ncreated     {}\n\n{}",
        one.name,
        count(one.rows, human),
        count(one.segments, human),
        bytes(one.bytes, human),
        declared_of(&one.declaration),
        one.created,
        fields.write(screen)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Paint;
    use crate::store::describe::TimeRange;

    #[test]
    fn the_list_fits_a_terminal_of_80_columns() {
        let demo = Description {
            name: "pageviews".to_owned(),
            kind: DatasetKind::Events,
            declaration: Declaration::default(),
            time_field: None,
            fields: Vec::new(),
            rows: 1_200_000,
            segments: 12,
            bytes: 5_818_051,
            time_range: Some(TimeRange {
                from: "2026-09-21T00:00:47.713Z".to_owned(),
                to: "2026-11-21T20:46:10.969Z".to_owned(),
            }),
            created: "2026-11-21T20:45:51.000858Z".to_owned(),
        };
        let terminal = Screen { columns: Some(80), lines: Some(24), paint: Paint { has_colours: false } };
        let told = list(&[demo], false, &terminal);
        assert!(told.starts_with("name ") && told.contains("\npageviews  1200000 "), "{told}");
    }

    #[test]
    fn the_list_has_times_to_the_second() {
        assert_eq!(to_the_second("2026-10-31T16:23:35.123Z"), "2026-10-31T16:23:35Z");
        assert_eq!(to_the_second("2026-10-31T16:23:35Z"), "2026-10-31T16:23:35Z");
    }

    #[test]
    fn what_was_declared_is_told_in_a_line() {
        let told = |text: &str| declared_of(&serde_json::from_str(text).unwrap());
        assert_eq!(told("{}"), "nothing");
        assert_eq!(told(r#"{"id": "number", "dedupe": "7d"}"#), "id number, dedupe 7d");
        let all = r#"{"time": "at", "retention": "30d", "strict": true, "fields": {"at": {"type": "time"}}}"#;
        assert_eq!(told(all), "time at, retention 30d, strict, 1 field");
    }
}
