//! What a search looks for, as a tree, and what is done with such a tree: written as an expression for SQLite's FTS5,
//! corrected, made wider, asked for its words. Made by `language`, which reads it from what people type; `matching`
//! takes it for texts in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::query::words::snippet::Wanted;

/// What a search looks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A word, or a phrase.
    Words {
        /// The one field to look into; all of them if none is named.
        field: Option<String>,
        /// Folded, as the tokenizer gives them; several are a phrase, next to each other in this order.
        words: Vec<String>,
        /// The last word is the beginning of one.
        is_prefix: bool,
    },
    /// All of them.
    And(Vec<Node>),
    /// One of them at least.
    Or(Vec<Node>),
    /// The first without the second.
    Not(Box<Node>, Box<Node>),
}

/// All of the nodes, as one.
pub(super) fn all(nodes: Vec<Node>) -> Option<Node> {
    let mut flat = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node {
            Node::And(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    if flat.len() > 1 { Some(Node::And(flat)) } else { flat.pop() }
}

/// One of the nodes at least, as one.
pub(super) fn one_of(nodes: Vec<Node>) -> Option<Node> {
    let mut flat = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node {
            Node::Or(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    if flat.len() > 1 { Some(Node::Or(flat)) } else { flat.pop() }
}

impl Node {
    /// The expression for FTS5's `MATCH`: every word in quotes, every inner expression in parentheses.
    pub fn to_fts5(&self) -> String {
        let mut out = String::new();
        self.write_fts5(&mut out);
        out
    }

    fn write_fts5(&self, out: &mut String) {
        match self {
            Self::Words { field, words, is_prefix } => {
                if let Some(field) = field {
                    out.push('{');
                    push_quoted(out, field);
                    out.push_str("} : ");
                }
                push_quoted(out, &words.join(" "));
                if *is_prefix {
                    out.push_str(" *");
                }
            }
            Self::And(nodes) => write_joined(out, nodes, " AND "),
            Self::Or(nodes) => write_joined(out, nodes, " OR "),
            Self::Not(wanted, unwanted) => {
                wanted.write_operand(out);
                out.push_str(" NOT ");
                unwanted.write_operand(out);
            }
        }
    }

    /// The search as it would be typed, which is read as this again.
    pub fn to_text(&self) -> String {
        let inner = |node: &Self| match node {
            Self::Words { .. } => node.to_text(),
            _ => format!("({})", node.to_text()),
        };
        let joined = |nodes: &[Self], word: &str| nodes.iter().map(inner).collect::<Vec<_>>().join(word);
        match self {
            Self::Words { field, words, is_prefix } => {
                let field = field.as_ref().map_or(String::new(), |field| format!("{field}:"));
                match (words.as_slice(), is_prefix) {
                    (words, true) => format!("{field}{}*", words.join(".")),
                    ([word], false) => format!("{field}{word}"),
                    (words, false) => format!("{field}\"{}\"", words.join(" ")),
                }
            }
            Self::And(nodes) => joined(nodes, " AND "),
            Self::Or(nodes) => joined(nodes, " OR "),
            Self::Not(wanted, unwanted) => format!("{} NOT {}", inner(wanted), inner(unwanted)),
        }
    }

    fn write_operand(&self, out: &mut String) {
        if matches!(self, Self::Words { .. }) {
            return self.write_fts5(out);
        }
        out.push('(');
        self.write_fts5(out);
        out.push(')');
    }

    /// Entries of FTS5's parser stack that the expression takes: an operand that stands first takes one for its
    /// parenthesis, a later one also those of what is before it and of the operator.
    fn stack_entries(&self) -> usize {
        match self {
            Self::Words { .. } => 6,
            Self::And(nodes) | Self::Or(nodes) => {
                let mut entries: Vec<usize> = nodes.iter().map(Self::stack_entries).collect();
                entries.sort_unstable_by_key(|count| Reverse(*count));
                let first = entries.first().map_or(0, |count| count + 1);
                first.max(entries.get(1).map_or(0, |count| count + 3))
            }
            Self::Not(wanted, unwanted) => (wanted.stack_entries() + 1).max(unwanted.stack_entries() + 3),
        }
    }

    /// The words that may be in what is found, each once: not those behind NOT. A prefix is among them.
    pub fn terms(&self) -> Vec<&str> {
        let mut terms: Vec<&str> = Vec::new();
        self.visit_positive(&mut |words, _| {
            for word in words {
                if !terms.contains(&word.as_str()) {
                    terms.push(word);
                }
            }
        });
        terms
    }

    /// The same words as `snippet` takes them, each with whether it is a prefix.
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = Vec::new();
        self.visit_positive(&mut |words, is_last_prefix| {
            for (index, word) in words.iter().enumerate() {
                let is_prefix = is_last_prefix && index + 1 == words.len();
                let new = Wanted { word: word.clone(), is_prefix };
                if !wanted.contains(&new) {
                    wanted.push(new);
                }
            }
        });
        wanted
    }

    fn visit_positive<'a>(&'a self, visit: &mut impl FnMut(&'a [String], bool)) {
        match self {
            Self::Words { words, is_prefix, .. } => visit(words, *is_prefix),
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().for_each(|node| node.visit_positive(visit)),
            Self::Not(wanted, _) => wanted.visit_positive(visit),
        }
    }

    /// The search with words corrected: a word becomes any of its corrections, a word of a phrase the first of them.
    /// Prefixes, and what is behind NOT, stay as they are.
    pub fn replace(&self, corrections: &BTreeMap<String, Vec<String>>) -> Node {
        let replace = |nodes: &[Node]| nodes.iter().map(|node| node.replace(corrections)).collect();
        match self {
            Self::Words { field, words, is_prefix: false } if words.len() == 1 => {
                let meant =
                    words.first().and_then(|word| corrections.get(word)).map_or(&[][..], Vec::as_slice);
                let nodes = meant.iter().map(|word| Self::Words {
                    field: field.clone(),
                    words: vec![word.clone()],
                    is_prefix: false,
                });
                one_of(nodes.collect()).unwrap_or_else(|| self.clone())
            }
            Self::Words { field, words, is_prefix } => {
                let whole_words = words.len() - usize::from(*is_prefix && !words.is_empty());
                let words = words.iter().enumerate().map(|(index, word)| {
                    let meant = corrections.get(word).and_then(|meant| meant.first());
                    meant.filter(|_| index < whole_words).unwrap_or(word).clone()
                });
                Self::Words { field: field.clone(), words: words.collect(), is_prefix: *is_prefix }
            }
            Self::And(nodes) => Self::And(replace(nodes)),
            Self::Or(nodes) => one_of(replace(nodes)).unwrap_or_else(|| self.clone()),
            Self::Not(wanted, unwanted) => Self::Not(Box::new(wanted.replace(corrections)), unwanted.clone()),
        }
    }

    /// The search for any of what this one wants all of, for when nothing has it all.
    pub fn any(&self) -> Node {
        match self {
            Self::And(nodes) => one_of(nodes.clone()).unwrap_or_else(|| self.clone()),
            Self::Not(wanted, unwanted) => Self::Not(Box::new(wanted.any()), unwanted.clone()),
            other => other.clone(),
        }
    }
}

/// AND and OR do not mind the order, and FTS5's stack grows least where the deepest operand stands first.
fn write_joined(out: &mut String, nodes: &[Node], operator: &str) {
    let mut nodes: Vec<&Node> = nodes.iter().collect();
    nodes.sort_by_key(|node| Reverse(node.stack_entries()));
    for (index, node) in nodes.into_iter().enumerate() {
        if index > 0 {
            out.push_str(operator);
        }
        node.write_operand(out);
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::words::language::read;

    fn node(text: &str) -> Node {
        read(text, &["title"]).node.expect("the text has words")
    }

    fn corrections(of: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        of.iter()
            .map(|(word, meant)| (word.to_string(), meant.iter().map(ToString::to_string).collect()))
            .collect()
    }

    #[test]
    fn terms_are_the_words_that_are_looked_for() {
        assert_eq!(node("disk \"is full\" pre* -slow is").terms(), ["disk", "is", "full", "pre"]);
        assert_eq!(node("a OR (b -c) -(d OR e)").terms(), ["a", "b"]);
    }

    #[test]
    fn wanted_are_the_terms_with_prefixes_told_apart() {
        let wanted = node("is-fu* fu is -x").wanted();
        let shown: Vec<(&str, bool)> = wanted.iter().map(|w| (w.word.as_str(), w.is_prefix)).collect();
        assert_eq!(shown, [("is", false), ("fu", true), ("fu", false)]);
    }

    #[test]
    fn a_word_is_replaced_by_any_of_its_corrections() {
        let corrections = corrections(&[("dsik", &["disk", "desk"]), ("ful", &["full"])]);
        let replaced = |text: &str| node(text).replace(&corrections).to_fts5();
        assert_eq!(replaced("title:dsik ful"), r#"({"title"} : "disk" OR {"title"} : "desk") AND "full""#);
        assert_eq!(replaced("\"dsik ful\""), r#""disk full""#, "a phrase takes the best");
        assert_eq!(replaced("dsik OR x"), r#""disk" OR "desk" OR "x""#);
        assert_eq!(replaced("dsik* x-dsik* -dsik"), r#"("dsik" * AND "x dsik" *) NOT "dsik""#);
    }

    #[test]
    fn any_takes_what_has_some_of_the_words() {
        assert_eq!(node("a b c").any().to_fts5(), r#""a" OR "b" OR "c""#);
        assert_eq!(node("a b -c").any().to_fts5(), r#"("a" OR "b") NOT "c""#);
        assert_eq!(node("a (b OR c)").any().to_fts5(), r#""a" OR "b" OR "c""#);
        assert_eq!(node("a").any(), node("a"));
    }

    #[test]
    fn names_of_fields_are_quoted() {
        let node = read("a\u{2019}b:c", &["a\u{2019}b"]).node.expect("a word");
        assert_eq!(node.to_fts5(), "{\"a\u{2019}b\"} : \"c\"");
        let odd = Node::Words { field: Some("a\"b".into()), words: vec!["c".into()], is_prefix: false };
        assert_eq!(odd.to_fts5(), "{\"a\"\"b\"} : \"c\"");
    }
}
