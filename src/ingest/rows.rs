//! Rows in the making: decoders name fields and hand over cells, this file applies the rules of the dataset and
//! keeps the row or takes it back with the reason. Raw cells come in, a finished batch goes out.

use std::sync::Arc;

use crate::columnar::builder::{BlockBuilder, Cell, FieldId};
use crate::columnar::{Block, TIME};
use crate::error::ItemError;
use crate::fields::FieldType;
use crate::fields::records::VERSION;
use crate::ingest::rules::Rules;
use crate::limits;
use crate::time;
use crate::value::whole;

/// Decoded rows and what was wrong with the others.
#[derive(Debug)]
pub struct Decoded {
    /// The rows that are right.
    pub block: Block,
    /// Fields in the order they appeared.
    pub names: Vec<Arc<str>>,
    /// The first rows that are not, by their place.
    pub rejected: Vec<ItemError>,
    /// All of them.
    pub rejected_total: u64,
    /// The places of the rows that are right, where they are records or are asked for; else empty.
    pub places: Vec<u64>,
}

/// Collects rows under the rules of a dataset.
#[derive(Debug)]
pub struct Rows<'r> {
    rules: &'r Rules,
    json_fields: &'r [String],
    builder: BlockBuilder,
    /// What the rules say of each field of the builder, by its number.
    fields: Vec<FieldRule>,
    new_fields: usize,
    row: RowState,
    rejected: Vec<ItemError>,
    rejected_total: u64,
    tells_places: bool,
    places: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct FieldRule {
    role: Role,
    declared: Option<FieldType>,
    known: bool,
    /// Its text is JSON, which the decoder flattens.
    holds_json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Plain,
    /// `_time`, which overrides the time field.
    SystemTime,
    /// The dataset's time field.
    Time,
    /// `_seq`: the engine's own, what a client sends is ignored.
    Sequence,
    /// `_id`: text, or the value of the declared id field where that is missing.
    Id,
}

#[derive(Debug, Default)]
struct RowState {
    system_time: Option<i64>,
    field_time: Option<i64>,
    id: Option<String>,
}

impl<'r> Rows<'r> {
    /// An empty batch.
    pub fn new(rules: &'r Rules) -> Self {
        Self::with_json_fields(rules, &[])
    }

    /// An empty batch whose decoder shall read the text of some fields as JSON.
    pub fn with_json_fields(rules: &'r Rules, json_fields: &'r [String]) -> Self {
        Self {
            rules,
            json_fields,
            builder: BlockBuilder::knowing(Arc::clone(&rules.known)),
            fields: Vec::new(),
            new_fields: 0,
            row: RowState::default(),
            rejected: Vec::new(),
            rejected_total: 0,
            tells_places: rules.tells_places || rules.declaration.is_records(),
            places: Vec::new(),
        }
    }

    /// Rows kept so far.
    pub fn kept(&self) -> usize {
        self.builder.rows()
    }

    /// Names a field of the current row, once: a second time is an error. A field that is null or holds an object
    /// is only named.
    ///
    /// # Errors
    /// The reason for which the row has to be rejected.
    pub fn name(&mut self, name: &str) -> Result<FieldId, String> {
        if name.is_empty() {
            return Err("a field has an empty name; give it one".into());
        }
        if name.len() > limits::FIELD_NAME_BYTES {
            let start: String = name.chars().take(40).collect();
            return Err(format!(
                "the field name \"{start}…\" is longer than {} bytes",
                limits::FIELD_NAME_BYTES
            ));
        }
        let id = self.builder.field(name);
        if id.index() == self.fields.len() {
            self.fields.push(self.rule(name));
        }
        if !self.builder.mark(id) {
            return Err(format!("duplicate field \"{name}\": a record names each field once"));
        }
        Ok(id)
    }

    /// Whether the text of a field is to be read as JSON.
    pub fn holds_json(&self, id: FieldId) -> bool {
        self.fields[id.index()].holds_json
    }

    /// Gives a named field of the current row its value.
    ///
    /// # Errors
    /// The reason for which the row has to be rejected.
    pub fn set(&mut self, id: FieldId, name: &str, cell: Cell<'_>) -> Result<(), String> {
        let rule = self.fields[id.index()];
        match rule.role {
            Role::Sequence => return Ok(()),
            Role::SystemTime => {
                self.row.system_time = Some(instant(name, cell)?);
                return Ok(());
            }
            Role::Id => {
                self.row.id = Some(text_of(cell));
                return Ok(());
            }
            Role::Time => {
                let us = instant(name, cell)?;
                self.row.field_time = Some(us);
                self.note_new(rule, id)?;
                self.builder.set(id, Cell::Time(us));
                return Ok(());
            }
            Role::Plain => {}
        }
        if self.rules.declaration.strict
            && rule.declared.is_none()
            && !self.rules.declaration.fields.contains_key(name)
            && self.rules.declaration.id.as_deref() != Some(name)
            && !(self.rules.declaration.is_records()
                && (name == VERSION || self.rules.declaration.key.iter().any(|k| k == name)))
        {
            return Err(format!("the field \"{name}\" is not declared, and the dataset is strict"));
        }
        self.note_new(rule, id)?;
        match rule.declared {
            None => self.builder.set(id, cell),
            Some(kind) => match convert(cell, kind) {
                Some(converted) => self.builder.set(id, converted),
                None if self.rules.declaration.strict || self.rules.declaration.is_records() => {
                    return Err(format!(
                        "the field \"{name}\" is declared as {kind}, {} is none",
                        shown(cell)
                    ));
                }
                None => self.builder.set(id, cell),
            },
        }
        Ok(())
    }

    /// Ends the current row and keeps it, or rejects it where the rules ask for more; true where it was kept.
    pub fn end_row(&mut self, place: u64) -> bool {
        if let Err(reason) = self.complete_row() {
            self.reject_row(place, reason);
            return false;
        }
        let RowState { system_time, field_time, id } = std::mem::take(&mut self.row);
        if let Some(id) = id {
            let field = self.builder.field("_id");
            self.builder.set(field, Cell::Text(&id));
        }
        let field = self.builder.field(TIME);
        self.note_rule(field, TIME);
        self.builder.set(field, Cell::Time(system_time.or(field_time).unwrap_or(self.rules.arrival_us)));
        self.builder.end_row();
        if self.tells_places {
            self.places.push(place);
        }
        true
    }

    /// Takes the current row back and notes why.
    pub fn reject_row(&mut self, place: u64, message: String) {
        self.builder.abandon_row();
        self.row = RowState::default();
        self.rejected_total += 1;
        if self.rejected.len() < limits::REJECTIONS_LISTED {
            self.rejected.push(ItemError { index: place, message });
        }
    }

    /// The batch.
    pub fn finish(self) -> Decoded {
        let names = self.builder.names().cloned().collect();
        let block = self.builder.finish();
        let Self { rejected, rejected_total, places, .. } = self;
        Decoded { block, names, rejected, rejected_total, places }
    }

    /// Defaults, the declared id, and what is required.
    fn complete_row(&mut self) -> Result<(), String> {
        let rules = self.rules;
        if self.builder.cells() > limits::BATCH_CELLS {
            return Err(format!(
                "the batch would have more than {} cells, rows times fields, most of them empty; send it in smaller pieces",
                limits::BATCH_CELLS
            ));
        }
        if let Some(id_field) = &rules.declaration.id
            && let Some(id) = self.row.id.take()
        {
            let field = self.builder.field(id_field);
            self.note_rule(field, id_field);
            if !self.builder.is_set(field) {
                self.set(field, id_field, Cell::Text(&id))?;
            }
        }
        for (name, declared) in &rules.declaration.fields {
            if !declared.required && declared.default.is_none() {
                continue;
            }
            let field = self.builder.field(name);
            self.note_rule(field, name);
            if self.builder.is_set(field) {
                continue;
            }
            match &declared.default {
                Some(serde_json::Value::String(text)) => self.set(field, name, Cell::Text(text))?,
                Some(serde_json::Value::Bool(b)) => self.set(field, name, Cell::Bool(*b))?,
                Some(serde_json::Value::Number(n)) => {
                    let cell = n.as_i64().map_or(Cell::Float(n.as_f64().unwrap_or(0.0)), Cell::Int);
                    self.set(field, name, cell)?;
                }
                _ => return Err(format!("the field \"{name}\" is required")),
            }
        }
        Ok(())
    }

    fn rule(&self, name: &str) -> FieldRule {
        let role = match name {
            TIME => Role::SystemTime,
            "_seq" => Role::Sequence,
            "_id" => Role::Id,
            _ if self.rules.time_field.as_deref() == Some(name) => Role::Time,
            _ => Role::Plain,
        };
        FieldRule {
            role,
            declared: self.rules.declaration.fields.get(name).and_then(|field| field.kind),
            known: self.rules.known.kinds(name).is_some() || role != Role::Plain && role != Role::Time,
            holds_json: self.json_fields.iter().any(|field| field == name),
        }
    }

    /// Fields that this file names itself need their rule too.
    fn note_rule(&mut self, id: FieldId, name: &str) {
        if id.index() == self.fields.len() {
            self.fields.push(self.rule(name));
        }
    }

    /// Counts a field that the dataset does not have yet, up to the limit.
    fn note_new(&mut self, rule: FieldRule, id: FieldId) -> Result<(), String> {
        if rule.known {
            return Ok(());
        }
        if self.rules.known.len() + self.new_fields >= limits::FIELDS {
            return Err(format!(
                "the dataset \"{}\" would have more than {} distinct fields; put values into fields, not into their names",
                self.rules.dataset,
                limits::FIELDS
            ));
        }
        self.new_fields += 1;
        self.fields[id.index()].known = true;
        Ok(())
    }
}

/// The instant that a cell says.
///
/// # Errors
/// It says none: the reason, with the field's name.
pub fn instant(name: &str, cell: Cell<'_>) -> Result<i64, String> {
    let found = match cell {
        Cell::Time(us) => Some(us),
        Cell::Text(text) => time::parse(text),
        Cell::Int(n) => time::from_integer(n),
        Cell::Float(n) => time::from_number(n),
        _ => None,
    };
    found.ok_or_else(|| {
        format!(
            "the time in \"{name}\" cannot be read: {}; write {}RFC 3339 (2026-01-31T12:00:00Z), YYYY-MM-DD, or a number of s, ms, µs or ns since 1970",
            shown(cell),
            if matches!(cell, Cell::Text(text) if is_year_last(text)) { "the year first: " } else { "" }
        )
    })
}

/// Whether a text looks like 31.12.2026 or 12/31/2026, of which nobody can tell the day from the month for sure.
pub fn is_year_last(text: &str) -> bool {
    let date = text.split([' ', 'T', ',']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split(['.', '/', '-']).collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.iter().all(is_number)
        && matches!(parts.as_slice(), [first, second, year] if first.len() <= 2 && second.len() <= 2 && year.len() == 4)
}

/// A cell as the declared type, where nothing is lost by it.
fn convert(cell: Cell<'_>, kind: FieldType) -> Option<Cell<'_>> {
    Some(match (kind, cell) {
        (FieldType::Float, Cell::Int(n)) if whole(n as f64) == Some(n) => Cell::Float(n as f64),
        (FieldType::Int, Cell::Float(n)) => Cell::Int(whole(n)?),
        (FieldType::Int, Cell::Text(text)) => {
            Cell::Int(text.parse().ok().filter(|n: &i64| n.to_string() == text)?)
        }
        (FieldType::Time, cell) => Cell::Time(instant("", cell).ok()?),
        (FieldType::Bool, Cell::Text("true")) => Cell::Bool(true),
        (FieldType::Bool, Cell::Text("false")) => Cell::Bool(false),
        (FieldType::Int, Cell::Int(_))
        | (FieldType::Float, Cell::Float(_))
        | (FieldType::Bool, Cell::Bool(_))
        | (FieldType::String, Cell::Text(_))
        | (FieldType::Strings, Cell::List(_))
        | (FieldType::Json, Cell::Json(_)) => cell,
        _ => return None,
    })
}

fn text_of(cell: Cell<'_>) -> String {
    match cell {
        Cell::Bool(b) => b.to_string(),
        Cell::Int(n) => n.to_string(),
        Cell::Float(n) => crate::value::float_text(n),
        Cell::Time(us) => time::format(us),
        Cell::Text(text) | Cell::Json(text) => text.to_owned(),
        Cell::List(items) => items.join(","),
    }
}

/// A value as an error message quotes it: short.
fn shown(cell: Cell<'_>) -> String {
    let text = text_of(cell);
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    if matches!(cell, Cell::Text(_)) { format!("\"{short}{dots}\"") } else { format!("{short}{dots}") }
}
