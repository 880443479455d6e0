//! The tables and indexes of a dataset of records: made by its first declaration, changed by later ones. What would lose
//! values is refused with the reason; fields and indexes come and go while records stay. Only the writer calls it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::Transaction;

use crate::error::{Error, Result};
use crate::fields::records::{Index, VERSION, stored_default};
use crate::fields::{Declaration, FieldDeclaration, FieldType, Kinds};
use crate::limits;
use crate::store::catalog;
use crate::store::keyed::{lazy_table, quoted, table, text_table, words_table};
use crate::store::snapshot::Dataset;
use crate::store::values::literal;
use crate::time::{TimeName, time_name};
use crate::value::Value;

/// A declaration, and what of it is said in SQLite's own words.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// What was declared.
    pub declaration: Declaration,
    /// The conditions of the indexes, in their order.
    pub index_conditions: Vec<Option<String>>,
}

impl From<Declaration> for Declared {
    fn from(declaration: Declaration) -> Self {
        Self { declaration, index_conditions: Vec::new() }
    }
}

impl Declared {
    /// The field of records whose time `_time` is: the declared one, else the first that is declared as a time and whose
    /// name says so.
    pub(in crate::store) fn time_field(&self) -> Option<Arc<str>> {
        let of_name = |wanted: TimeName| {
            let mut times =
                self.declaration.fields.iter().filter(|(_, field)| field.kind == Some(FieldType::Time));
            times.find(|(name, field)| !field.lazy && time_name(name) == Some(wanted)).map(|(name, _)| name)
        };
        let declared = self.declaration.time.as_ref();
        let found = declared.or_else(|| of_name(TimeName::Exact)).or_else(|| of_name(TimeName::Word));
        found.map(|name| name.as_str().into())
    }

    fn indexes(&self) -> impl Iterator<Item = (&Index, Option<&str>)> {
        let conditions = self.index_conditions.iter().map(Option::as_deref).chain(std::iter::repeat(None));
        self.declaration.indexes.iter().zip(conditions)
    }
}

/// Makes the tables of records for a dataset that has none yet, with its new declaration.
pub(in crate::store) fn create(
    transaction: &Transaction<'_>,
    dataset: &mut Dataset,
    new: &Declared,
) -> Result<()> {
    let name = table(dataset.id);
    let sql = format!(
        "CREATE TABLE {name} (_seq INTEGER PRIMARY KEY, _time BLOB NOT NULL, _version INTEGER NOT NULL) STRICT"
    );
    run(transaction, &sql, "cannot make the table of records")?;
    dataset.fields = Arc::default();
    catalog::delete_fields(transaction, dataset.id)?;
    add_known(transaction, dataset, VERSION, Kinds::of(FieldType::Int))?;
    dataset.declaration = Declaration { key: new.declaration.key.clone(), ..Declaration::default() };
    change(transaction, dataset, new)?;
    let key: Vec<String> = new.declaration.key.iter().map(|field| quoted(field)).collect();
    let sql = format!("CREATE UNIQUE INDEX {name}_key ON {name} ({})", key.join(", "));
    run(transaction, &sql, "cannot make the index of the key")
}

/// Brings the tables of a dataset that has them to a new declaration, which becomes its own.
pub(in crate::store) fn change(
    transaction: &Transaction<'_>,
    dataset: &mut Dataset,
    new: &Declared,
) -> Result<()> {
    let old = std::mem::take(&mut dataset.declaration);
    if dataset.rows() > 0 && old.key != new.declaration.key {
        return Err(Error::Conflict(format!(
            "the records of \"{}\" have the key {}; another key would be another dataset: delete them first, or declare one \
             of another name",
            dataset.name,
            old.key.join(", ")
        )));
    }
    let keys = new.declaration.key.iter();
    let undeclared = keys.filter(|key| !new.declaration.fields.contains_key(*key));
    let nothing = FieldDeclaration::default();
    let fields = new.declaration.fields.iter().chain(undeclared.map(|name| (name, &nothing)));
    for (name, field) in fields {
        change_field(transaction, dataset, name, &old, field)?;
    }
    // what is not declared any more keeps its values, and takes any from now on
    let mut left_out = old.fields.iter().filter(|(name, _)| !new.declaration.fields.contains_key(*name));
    if let Some((name, _)) = left_out.find(|(_, field)| field.lazy) {
        return Err(Error::Conflict(format!(
            "\"{name}\" is lazy, and its values would have to move; keep it in the declaration"
        )));
    }
    dataset.declaration = new.declaration.clone();
    if let Some(field) = new.declaration.time.as_ref().filter(|time| old.time.as_ref() != Some(time)) {
        take_times(transaction, dataset, field)?;
    }
    change_time(transaction, dataset)?;
    change_indexes(transaction, dataset, &old, new)?;
    change_search(transaction, dataset, &old)
}

fn change_field(
    transaction: &Transaction<'_>,
    dataset: &mut Dataset,
    name: &str,
    all: &Declaration,
    new: &FieldDeclaration,
) -> Result<()> {
    let known = dataset.fields.kinds(name);
    let old = all.fields.get(name);
    if known.is_none() {
        add_column(transaction, dataset, name, new)?;
        let kinds = new.kind.map_or(Kinds::default(), Kinds::of);
        add_known(transaction, dataset, name, kinds)?;
    } else {
        let was = old.cloned().unwrap_or_default();
        if was.lazy != new.lazy {
            let is = |lazy| if lazy { "lazy" } else { "not lazy" };
            return Err(Error::Conflict(format!(
                "\"{name}\" is {}, and its values would have to move to become {}; declare a field of another name",
                is(was.lazy),
                is(new.lazy)
            )));
        }
        if was.kind != new.kind {
            change_type(transaction, dataset, name, (was.kind, new), &all.indexes)?;
        }
    }
    let is_newly_required = new.required && !old.is_some_and(|old| old.required);
    if is_newly_required && dataset.rows() > 0 {
        let default = new.default.as_ref().and_then(|default| stored_default(default, new.kind));
        match default.filter(|_| !new.lazy) {
            Some(default) => fill(transaction, dataset, name, &default)?,
            None => require(transaction, dataset, name, new.lazy)?,
        }
    }
    Ok(())
}

/// Gives records that have no value in a field the default of it.
fn fill(transaction: &Transaction<'_>, dataset: &Dataset, name: &str, default: &Value) -> Result<()> {
    let column = quoted(name);
    let sql = format!(
        "UPDATE {} SET {column} = {}, _version = _version + 1 WHERE {column} IS NULL",
        table(dataset.id),
        literal(default)
    );
    run(transaction, &sql, "cannot fill a field that is required now")
}

/// Refuses to require a field that records have no value in.
fn require(transaction: &Transaction<'_>, dataset: &Dataset, name: &str, lazy: bool) -> Result<()> {
    let own = table(dataset.id);
    let column = quoted(name);
    let sql = match lazy {
        false => format!("SELECT count(*) FROM {own} WHERE {column} IS NULL"),
        true => format!(
            "SELECT count(*) FROM {own} LEFT JOIN {own}_lazy USING (_seq) WHERE {own}_lazy.{column} IS NULL"
        ),
    };
    match count(transaction, &sql)? {
        0 => Ok(()),
        missing => Err(Error::Conflict(format!(
            "{missing} records of \"{}\" have no value in \"{name}\", so it cannot be required; give them one first \
             (PATCH …/records?where=\"{name}\" is null)",
            dataset.name
        ))),
    }
}

/// Refuses a type that values at hand are not of.
fn change_type(
    transaction: &Transaction<'_>,
    dataset: &mut Dataset,
    name: &str,
    (old, new): (Option<FieldType>, &FieldDeclaration),
    indexes: &[Index],
) -> Result<()> {
    let of_table = if new.lazy { lazy_table(dataset.id) } else { table(dataset.id) };
    let new = new.kind;
    let held = dataset.fields.kinds(name).unwrap_or_default();
    let fits = new.is_none_or(|new| {
        let wider = if new == FieldType::Float { Kinds::of(FieldType::Int) } else { Kinds::default() };
        held.with(wider).with(Kinds::of(new)) == wider.with(Kinds::of(new))
    });
    if fits {
        return match new {
            Some(new) => add_known(transaction, dataset, name, Kinds::of(new)),
            None => Ok(()),
        };
    }
    let values = count(transaction, &format!("SELECT count({}) FROM {of_table}", quoted(name)))?;
    if values > 0 {
        return Err(Error::Conflict(format!(
            "\"{name}\" holds {} in {values} records, so it cannot become {}; declare a field of another name and fill it",
            old.map_or("values of other types", FieldType::name),
            new.map_or("a field of any type", FieldType::name)
        )));
    }
    // nothing is lost by a new column; its indexes are made again with all that are declared
    for index in indexes.iter().filter(|index| index.columns().iter().any(|(field, _)| *field == name)) {
        let name = index_name(index)(dataset.id);
        run(transaction, &format!("DROP INDEX IF EXISTS {}", quoted(&name)), "cannot drop an index")?;
    }
    let drop = format!("ALTER TABLE {of_table} DROP COLUMN {}", quoted(name));
    run(transaction, &drop, "cannot change the type of the field")?;
    let sql = format!("ALTER TABLE {of_table} ADD COLUMN {} ANY", quoted(name));
    run(transaction, &sql, "cannot change the type of the field")?;
    Arc::make_mut(&mut dataset.fields).replace(name, new.map_or(Kinds::default(), Kinds::of));
    catalog::put_field(transaction, dataset, name)
}

/// The name of a declared index, by the id of its dataset.
pub fn index_name(index: &Index) -> impl Fn(i64) -> String {
    let columns: Vec<String> = index
        .columns()
        .iter()
        .map(|(name, descending)| format!("{name}{}", if *descending { " DESC" } else { "" }))
        .collect();
    let unique = if index.unique { " unique" } else { "" };
    let condition = index.condition.as_ref().map_or(String::new(), |condition| format!(" where {condition}"));
    move |id| format!("{}({}){unique}{condition}", table(id), columns.join(", "))
}

/// The statement that makes an index. Rows that are equal in all fields stand in it by `_seq` in the direction of the last
/// field, as in pages.
pub fn create_index(index: &Index, id: i64, condition: Option<&str>) -> String {
    let columns = index.columns();
    let column = |(name, descending): &(&str, bool)| {
        format!("{}{}", quoted(name), if *descending { " DESC" } else { "" })
    };
    let mut list: Vec<String> = columns.iter().map(column).collect();
    if columns.last().is_some_and(|(_, descending)| *descending) && !index.unique {
        list.push("_seq DESC".to_owned());
    }
    format!(
        "CREATE {}INDEX IF NOT EXISTS {} ON {} ({}){}",
        if index.unique { "UNIQUE " } else { "" },
        quoted(&index_name(index)(id)),
        table(id),
        list.join(", "),
        condition.map_or(String::new(), |condition| format!(" WHERE {condition}"))
    )
}

fn change_indexes(
    transaction: &Transaction<'_>,
    dataset: &Dataset,
    old: &Declaration,
    new: &Declared,
) -> Result<()> {
    let name_of = |index: &Index| index_name(index)(dataset.id);
    let wanted: BTreeSet<String> = new.declaration.indexes.iter().map(name_of).collect();
    for index in old.indexes.iter().map(name_of).filter(|name| !wanted.contains(name)) {
        run(transaction, &format!("DROP INDEX IF EXISTS {}", quoted(&index)), "cannot drop an index")?;
    }
    for (index, condition) in new.indexes() {
        let columns = index.columns();
        if let Some((name, _)) = columns.iter().find(|(name, _)| dataset.fields.kinds(name).is_none()) {
            return Err(Error::invalid(format!(
                "an index names \"{name}\", which is no field of \"{}\"; declare it in \"fields\", or correct the name",
                dataset.name
            )));
        }
        transaction.execute_batch(&create_index(index, dataset.id, condition)).map_err(|e| {
            match e.sqlite_error_code() {
                Some(rusqlite::ErrorCode::ConstraintViolation) => Error::Conflict(format!(
                    "records of \"{}\" are equal in {}, so no unique index can have these fields",
                    dataset.name,
                    index.fields.join(", ")
                )),
                _ => Error::sqlite("cannot make an index", e),
            }
        })?;
    }
    Ok(())
}

/// Gives records that are there the times of a field, as far as they have one.
fn take_times(transaction: &Transaction<'_>, dataset: &Dataset, field: &str) -> Result<()> {
    if dataset.declaration.fields.get(field).is_some_and(|field| field.lazy) {
        return Err(Error::invalid(format!("\"{field}\" is lazy, so it cannot be the time of records")));
    }
    let column = quoted(field);
    // a time is told by its first byte
    let sql = format!(
        "UPDATE {} SET _time = {column} WHERE typeof({column}) = 'blob' AND substr({column}, 1, 1) = x'02'",
        table(dataset.id)
    );
    run(transaction, &sql, "cannot take the times of a field")
}

/// An index of `_time`, where it is that of a field: pages come in the order of time.
pub(in crate::store) fn change_time(transaction: &Transaction<'_>, dataset: &Dataset) -> Result<()> {
    let name = table(dataset.id);
    let sql = match dataset.time_field.is_some() {
        true => format!("CREATE INDEX IF NOT EXISTS {name}_time ON {name} (_time)"),
        false => format!("DROP INDEX IF EXISTS {name}_time"),
    };
    run(transaction, &sql, "cannot make the index of times")
}

fn change_search(transaction: &Transaction<'_>, dataset: &Dataset, old: &Declaration) -> Result<()> {
    let names = |declaration: &Declaration| -> Vec<String> {
        declaration.search.iter().map(|search| search.field.clone()).collect()
    };
    let wanted = names(&dataset.declaration);
    if wanted == names(old) {
        return Ok(());
    }
    let id = dataset.id;
    let (text, words) = (text_table(id), words_table(id));
    let drop = format!("DROP TABLE IF EXISTS {words}; DROP TABLE IF EXISTS {text}");
    run(transaction, &drop, "cannot drop the search")?;
    if wanted.is_empty() {
        return Ok(());
    }
    for name in &wanted {
        let kind = dataset.declaration.fields.get(name).and_then(|field| field.kind);
        if dataset.fields.kinds(name).is_none()
            || kind.is_some_and(|kind| !matches!(kind, FieldType::String | FieldType::Strings))
        {
            return Err(Error::invalid(format!(
                "search names \"{name}\", which is no field of texts; declare it with the type string or strings"
            )));
        }
    }
    let columns: Vec<String> = (0..wanted.len()).map(|at| format!("c{at}")).collect();
    let sql = format!(
        "CREATE VIRTUAL TABLE {text} USING fts5({}, content='', contentless_delete=1, \
         tokenize='unicode61 remove_diacritics 2');
         CREATE VIRTUAL TABLE {words} USING fts5vocab({text}, row);",
        columns.join(", ")
    );
    run(transaction, &sql, "cannot make the search")?;
    let own = table(id);
    let source: Vec<String> = wanted
        .iter()
        .map(|name| match dataset.declaration.fields.get(name).is_some_and(|field| field.lazy) {
            true => format!("(SELECT {} FROM {own}_lazy WHERE {own}_lazy._seq = {own}._seq)", quoted(name)),
            false => quoted(name),
        })
        .collect();
    let fill = format!(
        "INSERT INTO {text} (rowid, {}) SELECT _seq, {} FROM {own}",
        columns.join(", "),
        source.join(", ")
    );
    run(transaction, &fill, "cannot fill the search")
}

/// Adds a field that records bring along.
pub(in crate::store) fn add_field(
    transaction: &Transaction<'_>,
    dataset: &mut Dataset,
    name: &str,
) -> Result<()> {
    add_column(transaction, dataset, name, &FieldDeclaration::default())?;
    add_known(transaction, dataset, name, Kinds::default())
}

fn add_column(
    transaction: &Transaction<'_>,
    dataset: &Dataset,
    name: &str,
    field: &FieldDeclaration,
) -> Result<()> {
    if let Some((other, _)) = dataset.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Err(Error::invalid(format!(
            "the fields \"{name}\" and \"{other}\" differ in the case of letters alone, which records do not tell apart; \
             rename one of them"
        )));
    }
    if dataset.fields.len() >= limits::RECORD_FIELDS {
        return Err(Error::invalid(format!(
            "the dataset \"{}\" would have more than {} fields; put values into fields, not into their names",
            dataset.name,
            limits::RECORD_FIELDS
        )));
    }
    if name.contains('\0') {
        return Err(Error::invalid(format!(
            "the name {name:?} has a zero character, which no field of records can have"
        )));
    }
    let own = table(dataset.id);
    let of_table = if field.lazy { lazy_table(dataset.id) } else { own.clone() };
    if field.lazy {
        let sql = format!("CREATE TABLE IF NOT EXISTS {of_table} (_seq INTEGER PRIMARY KEY) STRICT");
        run(transaction, &sql, "cannot make the table of lazy fields")?;
    }
    let default = field.default.as_ref().and_then(|default| stored_default(default, field.kind));
    if field.lazy && default.is_some() {
        // records that are there get it too
        let fill = format!("INSERT OR IGNORE INTO {of_table} (_seq) SELECT _seq FROM {own}");
        run(transaction, &fill, "cannot fill the table of lazy fields")?;
    }
    let default = default.map(|default| format!(" DEFAULT {}", literal(&default)));
    let sql =
        format!("ALTER TABLE {of_table} ADD COLUMN {} ANY{}", quoted(name), default.unwrap_or_default());
    run(transaction, &sql, &format!("cannot add the field \"{name}\""))
}

fn add_known(transaction: &Transaction<'_>, dataset: &mut Dataset, name: &str, kinds: Kinds) -> Result<()> {
    if Arc::make_mut(&mut dataset.fields).add(&name.into(), kinds) {
        catalog::put_field(transaction, dataset, name)?;
    }
    Ok(())
}

/// Drops everything of a dataset's records.
pub(in crate::store) fn drop(transaction: &Transaction<'_>, id: i64) -> Result<()> {
    let sql = format!(
        "DROP TABLE IF EXISTS {}; DROP TABLE IF EXISTS {}; DROP TABLE IF EXISTS {}; DROP TABLE IF EXISTS {}",
        words_table(id),
        text_table(id),
        lazy_table(id),
        table(id)
    );
    run(transaction, &sql, "cannot drop the records")
}

/// Runs statements of a declaration. What SQLite refuses of them is the declaration's fault, not the file's.
fn run(transaction: &Transaction<'_>, sql: &str, what: &str) -> Result<()> {
    use rusqlite::ErrorCode::{ConstraintViolation, TooBig, Unknown};
    transaction.execute_batch(sql).map_err(|e| match e.sqlite_error_code() {
        Some(ConstraintViolation | TooBig | Unknown) => Error::Conflict(format!("{what}: {e}")),
        _ => Error::sqlite(what, e),
    })
}

fn count(transaction: &Transaction<'_>, sql: &str) -> Result<i64> {
    transaction.query_row(sql, [], |row| row.get(0)).map_err(|e| Error::sqlite("cannot count records", e))
}
