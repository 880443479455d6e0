//! The columns of a Parquet file as fields: structs flatten to dotted names as nested JSON does, every leaf gets the
//! kind of value that it is read as, lists and maps get the tree that they are put together by.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor, Type};

use crate::limits;

/// The fields and leaves of a file.
#[derive(Debug)]
pub struct Shape {
    /// Fields in the order of their columns.
    pub fields: Vec<Field>,
    /// Leaves in the order of the schema: leaf n is column n of each row group.
    pub leaves: Vec<Leaf>,
}

/// A field that rows get.
#[derive(Debug)]
pub struct Field {
    /// Its dotted name.
    pub name: Arc<str>,
    /// Where its values are.
    pub content: Content,
}

/// Where the values of a field are.
#[derive(Debug)]
pub enum Content {
    /// In one column, one value a row.
    Flat(usize),
    /// In one text column, as JSON.
    Json(usize),
    /// In repeated columns: put together as JSON.
    Nested(Node),
}

/// A column of the file.
#[derive(Debug)]
pub struct Leaf {
    /// Its path, for messages.
    pub name: String,
    /// How its values are read.
    pub kind: Kind,
    /// The definition level of a value that is there.
    pub max_level: i16,
    /// Whether a row may have several values, or levels that matter beyond there or not.
    pub is_nested: bool,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// true, false.
    Bool,
    /// Signed whole numbers.
    Int,
    /// Whole numbers without a sign.
    Unsigned,
    /// Numbers of 16, 32 or 64 bits.
    Float,
    /// Whole numbers over a power of ten.
    Decimal {
        /// The power.
        scale: u32,
    },
    /// Instants since 1970; INT96 has days and nanoseconds.
    Time(Unit),
    /// Time since midnight.
    TimeOfDay(Unit),
    /// 16 bytes.
    Uuid,
    /// Text; a value that is not UTF-8 spoils its row.
    Text,
    /// Bytes that nothing says to be text; they are taken where they are UTF-8.
    Binary,
}

/// What whole numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 86,400 s.
    Days,
    /// ms.
    Millis,
    /// µs.
    Micros,
    /// ns.
    Nanos,
}

/// How repeated columns are put together. Levels are those that a value has at least where the node is there.
#[derive(Debug)]
pub enum Node {
    /// A value of a leaf.
    Leaf(usize),
    /// Null below the level.
    Optional(i16, Box<Node>),
    /// An object.
    Struct(Vec<(String, Node)>),
    /// An array: empty below the level, going on at the repetition level.
    List {
        /// Level of an item.
        level: i16,
        /// Repetition level of an item after the first.
        repetition: i16,
        /// Each item.
        item: Box<Node>,
    },
    /// An object by key, or an array of keys where there are no values.
    Map {
        /// Level of an entry.
        level: i16,
        /// Repetition level of an entry after the first.
        repetition: i16,
        /// Each key.
        key: Box<Node>,
        /// Each value.
        value: Box<Node>,
    },
}

impl Node {
    /// The first leaf below it.
    pub fn first_leaf(&self) -> usize {
        match self {
            Self::Leaf(index) => *index,
            Self::Optional(_, inner) => inner.first_leaf(),
            Self::Struct(children) => children.first().map_or(0, |(_, node)| node.first_leaf()),
            Self::List { item, .. } => item.first_leaf(),
            Self::Map { key, .. } => key.first_leaf(),
        }
    }

    /// Whether it is a list of what JSON writes as texts.
    pub fn is_list_of_texts(&self, leaves: &[Leaf]) -> bool {
        let present = |node: &Self| match node {
            Self::Optional(_, inner) => matches!(**inner, Self::Leaf(_)).then(|| inner.first_leaf()),
            Self::Leaf(leaf) => Some(*leaf),
            _ => None,
        };
        match self {
            Self::Optional(_, inner) => inner.is_list_of_texts(leaves),
            Self::List { item, .. } => present(item).and_then(|leaf| leaves.get(leaf)).is_some_and(|leaf| {
                matches!(
                    leaf.kind,
                    Kind::Text | Kind::Binary | Kind::Uuid | Kind::Time(_) | Kind::TimeOfDay(_)
                )
            }),
            _ => false,
        }
    }

    /// Calls a function with every leaf below it.
    pub fn each_leaf(&self, visit: &mut impl FnMut(usize)) {
        match self {
            Self::Leaf(index) => visit(*index),
            Self::Optional(_, inner) => inner.each_leaf(visit),
            Self::Struct(children) => children.iter().for_each(|(_, node)| node.each_leaf(visit)),
            Self::List { item, .. } => item.each_leaf(visit),
            Self::Map { key, value, .. } => {
                key.each_leaf(visit);
                value.each_leaf(visit);
            }
        }
    }
}

impl Shape {
    /// The shape of a schema; the text of some fields is JSON.
    ///
    /// # Errors
    /// A column of a type that no field can hold, by its name; two columns that give one field.
    pub fn of(schema: &SchemaDescriptor, json_fields: &[String]) -> Result<Self, String> {
        let mut walk = Walk { schema, json_fields, fields: Vec::new(), leaves: Vec::new() };
        for field in schema.root_schema().get_fields() {
            walk.field(field, "", 0, 1)?;
        }
        if walk.fields.len() > limits::FIELDS {
            return Err(format!(
                "it has {} columns, more than the {} fields that a dataset may have",
                walk.fields.len(),
                limits::FIELDS
            ));
        }
        let mut names: Vec<&str> = walk.fields.iter().map(|field| &*field.name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two of its columns give the field \"{}\"; rename one of them", twice[0]));
        }
        Ok(Self { fields: walk.fields, leaves: walk.leaves })
    }
}

struct Walk<'a> {
    schema: &'a SchemaDescriptor,
    json_fields: &'a [String],
    fields: Vec<Field>,
    leaves: Vec<Leaf>,
}

fn repetition(of: &Type) -> Repetition {
    let info = of.get_basic_info();
    if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED }
}

fn is_list(of: &Type) -> bool {
    let info = of.get_basic_info();
    matches!(info.logical_type_ref(), Some(LogicalType::List)) || info.converted_type() == ConvertedType::LIST
}

fn is_map(of: &Type) -> bool {
    let info = of.get_basic_info();
    matches!(info.logical_type_ref(), Some(LogicalType::Map))
        || matches!(info.converted_type(), ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE)
}

/// The one repeated child of a list or map.
fn repeated_child(of: &Type) -> Option<&Type> {
    match of.get_fields() {
        [child] if repetition(child) == Repetition::REPEATED => Some(child),
        _ => None,
    }
}

/// Whether the repeated child of a list is the item itself, as old writers had it: the format's rules of
/// compatibility.
fn is_item(repeated: &Type) -> bool {
    repeated.is_primitive()
        || repeated.get_fields().len() != 1
        || repeated.name() == "array"
        || repeated.name().ends_with("_tuple")
}

impl Walk<'_> {
    /// Adds the fields of a column, or of the columns of a struct.
    fn field(&mut self, of: &Type, prefix: &str, level: i16, depth: usize) -> Result<(), String> {
        let name = format!("{prefix}{}", of.name());
        if depth > limits::NESTING {
            return Err(format!("\"{name}\" is nested more than {} levels deep", limits::NESTING));
        }
        let repetition = repetition(of);
        let is_nested = repetition == Repetition::REPEATED
            || of.is_group() && (is_list(of) || is_map(of)) && repeated_child(of).is_some();
        if is_nested {
            let node = self.node(of, level, 0, depth)?;
            self.fields.push(Field { name: name.into(), content: Content::Nested(node) });
            return Ok(());
        }
        let level = level + i16::from(repetition == Repetition::OPTIONAL);
        if of.is_group() {
            let prefix = format!("{name}.");
            return of.get_fields().iter().try_for_each(|child| self.field(child, &prefix, level, depth + 1));
        }
        let (leaf, is_json) = self.leaf(false)?;
        let holds_text = matches!(self.leaves[leaf].kind, Kind::Text | Kind::Binary);
        let is_json = is_json || holds_text && self.json_fields.contains(&name);
        let content = if is_json { Content::Json(leaf) } else { Content::Flat(leaf) };
        self.fields.push(Field { name: name.into(), content });
        Ok(())
    }

    /// A node with its repetition.
    fn node(&mut self, of: &Type, level: i16, repeated: i16, depth: usize) -> Result<Node, String> {
        if depth > limits::NESTING {
            return Err(format!("\"{}\" is nested more than {} levels deep", of.name(), limits::NESTING));
        }
        Ok(match repetition(of) {
            Repetition::REQUIRED => self.inner(of, level, repeated, depth)?,
            Repetition::OPTIONAL => {
                Node::Optional(level + 1, Box::new(self.inner(of, level + 1, repeated, depth)?))
            }
            Repetition::REPEATED => {
                let item = Box::new(self.inner(of, level + 1, repeated + 1, depth)?);
                Node::List { level: level + 1, repetition: repeated + 1, item }
            }
        })
    }

    /// A node that is there.
    fn inner(&mut self, of: &Type, level: i16, repeated: i16, depth: usize) -> Result<Node, String> {
        if of.is_primitive() {
            return Ok(Node::Leaf(self.leaf(true)?.0));
        }
        let child = repeated_child(of);
        match child {
            Some(child) if is_map(of) && child.is_group() && child.get_fields().len() == 2 => {
                let key = self.node(&child.get_fields()[0], level + 1, repeated + 1, depth + 1)?;
                let value = self.node(&child.get_fields()[1], level + 1, repeated + 1, depth + 1)?;
                let (key, value) = (Box::new(key), Box::new(value));
                Ok(Node::Map { level: level + 1, repetition: repeated + 1, key, value })
            }
            Some(child) if is_list(of) || is_map(of) => {
                let item = if is_item(child) {
                    self.inner(child, level + 1, repeated + 1, depth + 1)?
                } else {
                    self.node(&child.get_fields()[0], level + 1, repeated + 1, depth + 1)?
                };
                Ok(Node::List { level: level + 1, repetition: repeated + 1, item: Box::new(item) })
            }
            _ => {
                let mut children = Vec::new();
                for child in of.get_fields() {
                    children.push((child.name().to_owned(), self.node(child, level, repeated, depth + 1)?));
                }
                Ok(Node::Struct(children))
            }
        }
    }

    /// The next leaf of the schema, and whether it says that it holds JSON.
    fn leaf(&mut self, is_nested: bool) -> Result<(usize, bool), String> {
        let index = self.leaves.len();
        let column = self.schema.column(index);
        let name = column.path().string();
        let kind = kind_of(&column).map_err(|kind| {
            format!(
                "the column \"{name}\" is of the type {kind}, which no field can hold; leave it out of the file, or \
                 convert it to text or a number"
            )
        })?;
        let is_json = matches!(column.logical_type_ref(), Some(LogicalType::Json))
            || column.converted_type() == ConvertedType::JSON;
        self.leaves.push(Leaf { name, kind, max_level: column.max_def_level(), is_nested });
        Ok((index, is_json))
    }
}

fn unit(of: &TimeUnit) -> Unit {
    match of {
        TimeUnit::MILLIS => Unit::Millis,
        TimeUnit::MICROS => Unit::Micros,
        TimeUnit::NANOS => Unit::Nanos,
    }
}

/// How a column is read; the name of its type where it cannot be.
fn kind_of(column: &ColumnDescriptor) -> Result<Kind, String> {
    use ConvertedType as Old;
    let (physical, old) = (column.physical_type(), column.converted_type());
    let fixed_size = if physical == Physical::FIXED_LEN_BYTE_ARRAY { column.type_length() } else { 0 };
    let kind = match column.logical_type_ref() {
        Some(LogicalType::Decimal(decimal)) => return decimal_of(decimal.scale, decimal.precision),
        Some(LogicalType::Date) => Kind::Time(Unit::Days),
        Some(LogicalType::Time(time)) => Kind::TimeOfDay(unit(&time.unit)),
        Some(LogicalType::Timestamp(timestamp)) => Kind::Time(unit(&timestamp.unit)),
        Some(LogicalType::Integer(integer)) => {
            if integer.is_signed {
                Kind::Int
            } else {
                Kind::Unsigned
            }
        }
        Some(LogicalType::Float16) => Kind::Float,
        Some(LogicalType::Uuid) if fixed_size == 16 => Kind::Uuid,
        Some(LogicalType::String | LogicalType::Enum | LogicalType::Json) => Kind::Text,
        Some(other @ (LogicalType::Bson | LogicalType::Geometry(_) | LogicalType::Geography(_))) => {
            return Err(format!("{other:?}").to_uppercase());
        }
        _ => match (physical, old) {
            (_, Old::DECIMAL) => return decimal_of(column.type_scale(), column.type_precision()),
            (_, Old::DATE) => Kind::Time(Unit::Days),
            (_, Old::TIME_MILLIS) => Kind::TimeOfDay(Unit::Millis),
            (_, Old::TIME_MICROS) => Kind::TimeOfDay(Unit::Micros),
            (_, Old::TIMESTAMP_MILLIS) => Kind::Time(Unit::Millis),
            (_, Old::TIMESTAMP_MICROS) => Kind::Time(Unit::Micros),
            (_, Old::UINT_8 | Old::UINT_16 | Old::UINT_32 | Old::UINT_64) => Kind::Unsigned,
            (_, Old::UTF8 | Old::ENUM | Old::JSON) => Kind::Text,
            (_, Old::INTERVAL | Old::BSON) => return Err(old.to_string()),
            (Physical::BOOLEAN, _) => Kind::Bool,
            (Physical::INT32 | Physical::INT64, _) => Kind::Int,
            (Physical::INT96, _) => Kind::Time(Unit::Nanos),
            (Physical::FLOAT | Physical::DOUBLE, _) => Kind::Float,
            (Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY, _) => Kind::Binary,
        },
    };
    // an annotation that its physical type cannot carry says nothing
    let fits = match kind {
        Kind::Bool | Kind::Float | Kind::Binary | Kind::Uuid => true,
        Kind::Time(_) => {
            matches!(physical, Physical::INT32 | Physical::INT64 | Physical::INT96)
        }
        Kind::Int | Kind::Unsigned | Kind::TimeOfDay(_) => {
            matches!(physical, Physical::INT32 | Physical::INT64)
        }
        Kind::Text => matches!(physical, Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY),
        Kind::Decimal { .. } => true,
    };
    if fits { Ok(kind) } else { Err(format!("{physical} as {old}")) }
}

fn decimal_of(scale: i32, precision: i32) -> Result<Kind, String> {
    match u32::try_from(scale) {
        // more digits do not fit 128 bits
        Ok(scale) if scale <= 38 && precision <= 38 => Ok(Kind::Decimal { scale }),
        _ => Err(format!("DECIMAL({precision}, {scale})")),
    }
}
