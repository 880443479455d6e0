//! One record into its table, its lazy fields and the search, or out of them. The statements are prepared once a batch;
//! only what differs is written, so indexes of other fields are not touched.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
use rusqlite::{CachedStatement, ErrorCode, Transaction, params_from_iter};

use crate::columnar::column::Column;
use crate::error::{Error, Result};
use crate::fields::records::VERSION;
use crate::store::keyed::write::{Mode, Record};
use crate::store::keyed::{is_lazy, lazy_table, quoted, table, text_table};
use crate::store::snapshot::Dataset;
use crate::store::values::{NULL, cell_to_sql, form, from_sql, is_same_form, to_sql};
use crate::store::within::Within;
use crate::value::Value;

/// What became of a record.
pub(super) enum Outcome {
    Inserted,
    Updated,
    Unchanged,
    /// Why it was not taken: for what it is itself.
    Refused(String),
    /// For its version, which is not that of the record that is there.
    Outdated(String),
    /// For what other records are.
    Taken(String),
}

/// Writes records of one dataset within a transaction.
pub(super) struct Rows<'t> {
    transaction: &'t Transaction<'t>,
    id: i64,
    has_time_field: bool,
    /// Names for messages, and the place of each in `fields`.
    key: Vec<(String, usize)>,
    fields: Vec<Field>,
    /// Places in `fields` of those that are searched.
    searched: Vec<usize>,
    has_lazy: bool,
    columns: &'t [(Arc<str>, Arc<Column>)],
    insert: CachedStatement<'t>,
    find: CachedStatement<'t>,
    /// Which of the records that are there may be changed.
    within: Option<&'t Within>,
}

/// A field of the dataset.
struct Field {
    name: Arc<str>,
    column: String,
    is_lazy: bool,
    /// Where the batch has its value; without one it has none.
    given: Option<usize>,
}

/// A record as it is stored.
struct Known {
    seq: i64,
    version: i64,
    /// `_time`, and a value a field that is not lazy.
    time: Owned,
    values: Vec<Owned>,
}

impl<'t> Rows<'t> {
    /// Prepares to write records that have values of these fields.
    pub(super) fn new(
        transaction: &'t Transaction<'t>,
        dataset: &Dataset,
        columns: &'t [(Arc<str>, Arc<Column>)],
    ) -> Result<Self> {
        let names: Vec<&Arc<str>> =
            dataset.fields.iter().map(|(name, _)| name).filter(|name| &***name != VERSION).collect();
        let field = |name: &&Arc<str>| Field {
            name: Arc::clone(name),
            column: quoted(name),
            is_lazy: is_lazy(dataset, name),
            given: columns.iter().position(|(other, _)| other == *name),
        };
        let fields: Vec<Field> = names.iter().map(field).collect();
        let place = |wanted: &str| names.iter().position(|name| ***name == *wanted);
        let key = dataset.declaration.key.iter().filter_map(|name| Some((name.clone(), place(name)?)));
        let key: Vec<(String, usize)> = key.collect();
        let searched = dataset.declaration.search.iter().filter_map(|search| place(&search.field)).collect();
        let own: Vec<&str> =
            fields.iter().filter(|field| !field.is_lazy).map(|f| f.column.as_str()).collect();
        let key_columns: Vec<&str> = key.iter().map(|(_, at)| fields[*at].column.as_str()).collect();
        let name = table(dataset.id);
        let places: Vec<String> = (1..=own.len() + 2).map(|at| format!("?{at}")).collect();
        let insert = format!(
            "INSERT INTO {name} (_version, _seq, _time, {}) VALUES (1, {}) ON CONFLICT ({}) DO NOTHING",
            own.join(", "),
            places.join(", "),
            key_columns.join(", ")
        );
        let is_it: Vec<String> =
            key_columns.iter().enumerate().map(|(at, column)| format!("{column} = ?{}", at + 1)).collect();
        let find = format!(
            "SELECT _seq, _version, _time, {} FROM {name} WHERE {}",
            own.join(", "),
            is_it.join(" AND ")
        );
        let has_lazy = fields.iter().any(|field| field.is_lazy);
        Ok(Self {
            transaction,
            id: dataset.id,
            has_time_field: dataset.time_field.is_some(),
            insert: prepare(transaction, &insert)?,
            find: prepare(transaction, &find)?,
            key,
            fields,
            searched,
            has_lazy,
            columns,
            within: None,
        })
    }

    /// The same, changing only records that are within it.
    pub(super) fn within(self, within: Option<&'t Within>) -> Self {
        Self { within, ..self }
    }

    /// Puts one record; `next_seq` is its number if it is new.
    pub(super) fn put(&mut self, record: &Record, next_seq: i64, mode: Mode) -> Result<Outcome> {
        let is_missing = |at: usize| form(&self.value(&self.fields[at], record)) == ValueRef::Null;
        if let Some((name, _)) = self.key.iter().find(|(_, at)| is_missing(*at)) {
            return Ok(Outcome::Refused(format!("the field \"{name}\" is in the key and has no value")));
        }
        let may_be_new = match mode {
            Mode::Replace => false,
            Mode::Set => record.version == Some(0),
            _ => record.version.is_none_or(|version| version == 0),
        };
        if may_be_new && let Some(outcome) = self.insert(record, next_seq)? {
            return Ok(outcome);
        }
        let Some(known) = self.find(record)? else {
            return Ok(match record.version {
                Some(version) => Outcome::Outdated(format!(
                    "{} is not there, so not in version {version}",
                    self.told(record)
                )),
                None => Outcome::Taken(format!("{} is not there", self.told(record))),
            });
        };
        if !self.may_change(&known)? {
            return Ok(Outcome::Taken(format!("{} is out of reach and stays as it is", self.told(record))));
        }
        match record.version {
            Some(version) if version != known.version => Ok(Outcome::Outdated(format!(
                "{} has version {}, not {version}: someone else has changed it; read it again",
                self.told(record),
                known.version
            ))),
            _ if mode == Mode::Insert => {
                Ok(Outcome::Taken(format!("{} is there already", self.told(record))))
            }
            _ => self.update(record, &known, mode),
        }
    }

    fn may_change(&self, known: &Known) -> Result<bool> {
        let Some(within) = self.within else { return Ok(true) };
        let own = self.fields.iter().filter(|field| !field.is_lazy);
        let named: Vec<(&str, &Owned)> = own.map(|field| &*field.name).zip(&known.values).collect();
        let value = |wanted: &str| {
            let found = named.iter().find(|(name, _)| *name == wanted);
            found.map_or(Value::Null, |(_, value)| from_sql(ValueRef::from(*value)))
        };
        within.holds(&value)
    }

    /// The value of a field, in its form.
    fn value(&self, field: &Field, record: &Record) -> ToSqlOutput<'t> {
        let column = field.given.and_then(|at| self.columns.get(at));
        column.map_or(NULL, |(_, column)| cell_to_sql(column, record.row))
    }

    /// The outcome where the key is new, or cannot be inserted for another reason.
    fn insert(&mut self, record: &Record, next_seq: i64) -> Result<Option<Outcome>> {
        let time = Value::Time(record.time_us);
        let failed = |e| Error::sqlite("cannot put a record", e);
        self.insert.raw_bind_parameter(1, next_seq).map_err(failed)?;
        self.insert.raw_bind_parameter(2, to_sql(&time)).map_err(failed)?;
        let own = self.fields.iter().filter(|field| !field.is_lazy);
        for (place, field) in (3..).zip(own) {
            let column = field.given.and_then(|at| self.columns.get(at));
            let value = column.map_or(NULL, |(_, column)| cell_to_sql(column, record.row));
            self.insert.raw_bind_parameter(place, value).map_err(failed)?;
        }
        match self.insert.raw_execute() {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(e) => return refusal(e).map(Some),
        }
        if self.has_lazy {
            let lazy = self.fields.iter().filter(|field| field.is_lazy);
            self.write_lazy(next_seq, lazy.map(|field| self.value(field, record)).collect())?;
        }
        if !self.searched.is_empty() {
            let texts = self.searched.iter().map(|at| self.value(&self.fields[*at], record));
            self.write_words(next_seq, texts.collect())?;
        }
        Ok(Some(Outcome::Inserted))
    }

    fn find(&mut self, record: &Record) -> Result<Option<Known>> {
        let failed = |e| Error::sqlite("cannot find a record", e);
        let key: Vec<ToSqlOutput<'t>> =
            self.key.iter().map(|(_, at)| self.value(&self.fields[*at], record)).collect();
        let mut rows = self.find.query(params_from_iter(key)).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
        let owned = |at: usize| row.get::<_, Owned>(at).map_err(failed);
        let width = self.fields.iter().filter(|field| !field.is_lazy).count();
        Ok(Some(Known {
            seq: row.get(0).map_err(failed)?,
            version: row.get(1).map_err(failed)?,
            time: owned(2)?,
            values: (3..3 + width).map(owned).collect::<Result<_>>()?,
        }))
    }

    /// Writes what differs from the record that is there.
    fn update(&mut self, record: &Record, known: &Known, mode: Mode) -> Result<Outcome> {
        let lazy = if self.has_lazy { self.find_lazy(known.seq)? } else { Vec::new() };
        let before = before_by_field(&self.fields, known.values.iter(), lazy.iter());
        let time = Value::Time(record.time_us);
        // what each field is to have, and whether that is another value than before
        let now: Vec<(ToSqlOutput<'_>, bool)> = self
            .fields
            .iter()
            .zip(&before)
            .map(|(field, before)| {
                let given = self.value(field, record);
                match mode == Mode::Set && field.given.is_none() {
                    true => (ToSqlOutput::Borrowed(ValueRef::from(*before)), false),
                    false => {
                        let is_new = !is_same_form(form(&given), ValueRef::from(*before));
                        (given, is_new)
                    }
                }
            })
            .collect();
        let is_changed = |at: usize| now.get(at).is_some_and(|(_, is_new)| *is_new);
        let any_changed = now.iter().any(|(_, is_new)| *is_new);
        let is_moved = self.has_time_field
            && !record.is_arrival
            && !is_same_form(form(&to_sql(&time)), ValueRef::from(&known.time));
        if !any_changed && !is_moved {
            return Ok(Outcome::Unchanged);
        }
        if let Some(refused) = self.write(known.seq, &now, is_moved.then_some(&time))? {
            return Ok(refused);
        }
        let form_of = |at: usize| now.get(at).map_or(ValueRef::Null, |(value, _)| form(value));
        let lazy = (0..self.fields.len()).filter(|at| self.fields[*at].is_lazy);
        if lazy.clone().any(is_changed) {
            self.write_lazy(known.seq, lazy.map(|at| ToSqlOutput::Borrowed(form_of(at))).collect())?;
        }
        if self.searched.iter().any(|at| is_changed(*at)) {
            self.delete_words(known.seq)?;
            let texts = self.searched.iter().map(|at| ToSqlOutput::Borrowed(form_of(*at)));
            self.write_words(known.seq, texts.collect())?;
        }
        Ok(Outcome::Updated)
    }

    /// Sets the fields of the table that differ; tells why not where SQLite refuses it.
    fn write(
        &self,
        seq: i64,
        now: &[(ToSqlOutput<'_>, bool)],
        time: Option<&Value>,
    ) -> Result<Option<Outcome>> {
        let mut sets = vec!["_version = _version + 1".to_owned()];
        let mut values: Vec<ToSqlOutput<'_>> = Vec::new();
        for (field, (value, is_new)) in self.fields.iter().zip(now) {
            if *is_new && !field.is_lazy {
                values.push(ToSqlOutput::Borrowed(form(value)));
                sets.push(format!("{} = ?{}", field.column, values.len()));
            }
        }
        if let Some(time) = time {
            values.push(to_sql(time));
            sets.push(format!("_time = ?{}", values.len()));
        }
        values.push(ToSqlOutput::Owned(Owned::Integer(seq)));
        let sql = format!("UPDATE {} SET {} WHERE _seq = ?{}", table(self.id), sets.join(", "), values.len());
        match prepare(self.transaction, &sql)?.execute(params_from_iter(values)) {
            Ok(_) => Ok(None),
            Err(e) => refusal(e).map(Some),
        }
    }

    /// Deletes a record of this number that is still of this version; `None` where it is gone already.
    pub(super) fn delete(&mut self, seq: i64, version: i64) -> Result<Option<bool>> {
        let failed = |e| Error::sqlite("cannot delete a record", e);
        let name = table(self.id);
        let now = prepare(self.transaction, &format!("SELECT _version FROM {name} WHERE _seq = ?1"))?
            .query_map([seq], |row| row.get::<_, i64>(0))
            .and_then(|mut found| found.next().transpose())
            .map_err(failed)?;
        match now {
            None => return Ok(None),
            Some(now) if now != version => return Ok(Some(false)),
            Some(_) => {}
        }
        prepare(self.transaction, &format!("DELETE FROM {name} WHERE _seq = ?1"))?
            .execute([seq])
            .map_err(failed)?;
        if self.has_lazy {
            let sql = format!("DELETE FROM {} WHERE _seq = ?1", lazy_table(self.id));
            prepare(self.transaction, &sql)?.execute([seq]).map_err(failed)?;
        }
        if !self.searched.is_empty() {
            self.delete_words(seq)?;
        }
        Ok(Some(true))
    }

    fn find_lazy(&self, seq: i64) -> Result<Vec<Owned>> {
        let columns: Vec<&str> =
            self.fields.iter().filter(|field| field.is_lazy).map(|field| field.column.as_str()).collect();
        let sql = format!("SELECT {} FROM {} WHERE _seq = ?1", columns.join(", "), lazy_table(self.id));
        let read = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|at| row.get(at)).collect();
        let found = prepare(self.transaction, &sql)?
            .query_map([seq], read)
            .and_then(|mut rows| rows.next().transpose())
            .map_err(|e| Error::sqlite("cannot find the lazy fields of a record", e))?;
        Ok(found.unwrap_or_else(|| vec![Owned::Null; columns.len()]))
    }

    fn write_lazy(&self, seq: i64, values: Vec<ToSqlOutput<'_>>) -> Result<()> {
        let columns: Vec<&str> =
            self.fields.iter().filter(|field| field.is_lazy).map(|field| field.column.as_str()).collect();
        let places: Vec<String> = (2..=columns.len() + 1).map(|at| format!("?{at}")).collect();
        let sql = format!(
            "INSERT OR REPLACE INTO {} (_seq, {}) VALUES (?1, {})",
            lazy_table(self.id),
            columns.join(", "),
            places.join(", ")
        );
        let all = std::iter::once(ToSqlOutput::Owned(Owned::Integer(seq))).chain(values);
        prepare(self.transaction, &sql)?
            .execute(params_from_iter(all))
            .map(|_| ())
            .map_err(|e| Error::sqlite("cannot put the lazy fields of a record", e))
    }

    fn write_words(&self, seq: i64, texts: Vec<ToSqlOutput<'_>>) -> Result<()> {
        let columns: Vec<String> = (0..texts.len()).map(|at| format!("c{at}")).collect();
        let places: Vec<String> = (2..=texts.len() + 1).map(|at| format!("?{at}")).collect();
        let sql = format!(
            "INSERT INTO {} (rowid, {}) VALUES (?1, {})",
            text_table(self.id),
            columns.join(", "),
            places.join(", ")
        );
        let all = std::iter::once(ToSqlOutput::Owned(Owned::Integer(seq))).chain(texts.iter().map(searched));
        prepare(self.transaction, &sql)?
            .execute(params_from_iter(all))
            .map(|_| ())
            .map_err(|e| Error::sqlite("cannot put the words of a record", e))
    }

    fn delete_words(&self, seq: i64) -> Result<()> {
        let sql = format!("DELETE FROM {} WHERE rowid = ?1", text_table(self.id));
        prepare(self.transaction, &sql)?
            .execute([seq])
            .map(|_| ())
            .map_err(|e| Error::sqlite("cannot take the words of a record out", e))
    }

    /// The key of a record, for a message.
    fn told(&self, record: &Record) -> String {
        let part = |(name, at): &(String, usize)| {
            format!("{name} {}", from_sql(form(&self.value(&self.fields[*at], record))).to_text())
        };
        format!("the record with {}", self.key.iter().map(part).collect::<Vec<_>>().join(", "))
    }
}

/// What is searched of a value: the entries of a list a line each.
fn searched<'f>(value: &'f ToSqlOutput<'f>) -> ToSqlOutput<'f> {
    match form(value) {
        text @ (ValueRef::Text(_) | ValueRef::Null) => ToSqlOutput::Borrowed(text),
        other => ToSqlOutput::Owned(Owned::Text(match from_sql(other) {
            Value::List(items) => items.join("\n"),
            value => value.to_text().into_owned(),
        })),
    }
}

fn before_by_field<'v>(
    fields: &[Field],
    mut own: impl Iterator<Item = &'v Owned>,
    mut lazy: impl Iterator<Item = &'v Owned>,
) -> Vec<&'v Owned> {
    fields.iter().filter_map(|field| if field.is_lazy { lazy.next() } else { own.next() }).collect()
}

fn prepare<'t>(transaction: &'t Transaction<'_>, sql: &str) -> Result<CachedStatement<'t>> {
    transaction.prepare_cached(sql).map_err(|e| Error::sqlite("cannot prepare a statement for records", e))
}

/// Why SQLite refuses one record; all other errors end the transaction.
fn refusal(error: rusqlite::Error) -> Result<Outcome> {
    match &error {
        rusqlite::Error::SqliteFailure(failure, told) if failure.code == ErrorCode::ConstraintViolation => {
            let told = told.as_deref().unwrap_or_default();
            let fields = told.split_once("failed: ").map_or(told, |(_, fields)| fields);
            let named: Vec<&str> = fields
                .split(", ")
                .map(|field| field.split_once('.').map_or(field, |(_, name)| name))
                .collect();
            Ok(match told.starts_with("UNIQUE") {
                true => Outcome::Taken(format!(
                    "another record has the same {}, which a unique index forbids",
                    named.join(", ")
                )),
                false => Outcome::Refused(format!("it breaks a rule of its table: {told}")),
            })
        }
        _ => Err(Error::sqlite("cannot put a record", error)),
    }
}
