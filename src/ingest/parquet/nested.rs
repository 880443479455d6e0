//! Lists, maps and what is in them: put together from their leaves by definition and repetition levels, row by row,
//! as the JSON that the same value would have been written as. From there it is ingested as JSON.

use crate::ingest::parquet::columns::why_bad;
use crate::ingest::parquet::leaf::{LeafRows, Values};
use crate::ingest::parquet::shape::{Leaf, Node};
use crate::time;
use crate::value::{float_text, write_json_string};

/// Puts the rows of one field together.
pub struct Assembler<'a> {
    node: &'a Node,
    leaves: &'a [Leaf],
    rows: &'a [LeafRows],
    /// How far each leaf was read: its levels, and its values.
    cursors: Vec<(usize, usize)>,
}

impl<'a> Assembler<'a> {
    /// Of leaves with their rows, those below a node.
    pub fn new(node: &'a Node, leaves: &'a [Leaf], rows: &'a [LeafRows]) -> Self {
        Self { node, leaves, rows, cursors: vec![(0, 0); leaves.len()] }
    }

    /// The JSON of the next row, `null` where there is none; an error where it cannot be taken.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let mut reason = None;
        self.write(self.node, out, &mut reason);
        reason.map_or(Ok(()), Err)
    }

    /// The levels of the next value of a leaf; below every level where the column has ended.
    fn peek(&self, leaf: usize) -> (i16, i16) {
        let (definition, repetition) = &self.rows[leaf].levels;
        let at = self.cursors[leaf].0;
        // a column without optional parts has no definition levels, one outside lists no repetition levels
        let definition =
            if definition.is_empty() { i16::MAX } else { definition.get(at).copied().unwrap_or(-1) };
        (definition, repetition.get(at).copied().unwrap_or(0))
    }

    /// Passes the one null that stands for all of a node.
    fn pass(&mut self, node: &Node) {
        let cursors = &mut self.cursors;
        node.each_leaf(&mut |leaf| cursors[leaf].0 += 1);
    }

    fn write(&mut self, node: &Node, out: &mut Vec<u8>, reason: &mut Option<String>) {
        match node {
            Node::Leaf(leaf) => {
                let there = self.peek(*leaf).0 >= self.leaves[*leaf].max_level;
                let (level, value) = &mut self.cursors[*leaf];
                let at = *value;
                *level += 1;
                *value += usize::from(there);
                match there {
                    true => self.write_value(*leaf, at, out, reason),
                    false => out.extend_from_slice(b"null"),
                }
            }
            Node::Optional(level, inner) => {
                if self.peek(node.first_leaf()).0 >= *level {
                    self.write(inner, out, reason);
                } else {
                    self.pass(node);
                    out.extend_from_slice(b"null");
                }
            }
            Node::Struct(children) => {
                out.push(b'{');
                for (index, (name, child)) in children.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_json_string(name, out);
                    out.push(b':');
                    self.write(child, out, reason);
                }
                out.push(b'}');
            }
            Node::List { level, repetition, item } => {
                out.push(b'[');
                self.each(node, *level, *repetition, out, |this, out| this.write(item, out, reason));
                out.push(b']');
            }
            Node::Map { level, repetition, key, value } => {
                out.push(b'{');
                self.each(node, *level, *repetition, out, |this, out| {
                    this.write_key(key, out, reason);
                    out.push(b':');
                    this.write(value, out, reason);
                });
                out.push(b'}');
            }
        }
    }

    /// Writes the items of a list or the entries of a map, commas between them.
    fn each(
        &mut self,
        node: &Node,
        level: i16,
        repetition: i16,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&mut Self, &mut Vec<u8>),
    ) {
        let first = node.first_leaf();
        if self.peek(first).0 < level {
            return self.pass(node);
        }
        loop {
            write(self, out);
            let (_, next) = self.peek(first);
            let ended = self.cursors[first].0 >= self.rows[first].levels.1.len();
            if ended || next < repetition {
                return;
            }
            out.push(b',');
        }
    }

    /// The key of a map entry: JSON has texts there only.
    fn write_key(&mut self, key: &Node, out: &mut Vec<u8>, reason: &mut Option<String>) {
        let mut written = Vec::new();
        self.write(key, &mut written, reason);
        if written.first() == Some(&b'"') {
            out.extend_from_slice(&written);
        } else {
            write_json_string(&String::from_utf8_lossy(&written), out);
        }
    }

    fn write_value(&self, leaf: usize, at: usize, out: &mut Vec<u8>, reason: &mut Option<String>) {
        let values = &self.rows[leaf].values;
        if let Some(why) = why_bad(&self.leaves[leaf].name, values, at) {
            reason.get_or_insert(why);
            return;
        }
        match values {
            Values::Bool(v) => {
                out.extend_from_slice(if v.get(at) == Some(&true) { b"true" } else { b"false" })
            }
            Values::Int(v) => out.extend_from_slice(text_at(v, at, i64::to_string).as_bytes()),
            Values::Wide(v) => out.extend_from_slice(text_at(v, at, i128::to_string).as_bytes()),
            Values::Float(v) => out.extend_from_slice(text_at(v, at, |v| float_text(*v)).as_bytes()),
            Values::Time(v) => write_json_string(&text_at(v, at, |us| time::format(*us)), out),
            Values::Text(coded) => match coded.codes.get(at) {
                Some(code) => write_json_string(coded.text(*code), out),
                None => out.extend_from_slice(b"null"),
            },
        }
    }
}

fn text_at<T>(values: &[T], at: usize, text: impl Fn(&T) -> String) -> String {
    values.get(at).map_or_else(|| "null".into(), text)
}
