//! The search language over texts in memory, for events, which have no index. Finds exactly the texts that FTS5 would
//! find by [`Node::to_fts5`], in one pass over them: no word of a text is kept, a phrase is followed by a bit for each
//! of its words. Called for each candidate event of a search.

use std::ops::ControlFlow;

use crate::query::words::lookup::Lookup;
use crate::query::words::node::Node;
use crate::query::words::tokens;

/// How soon more of the same word stops to count, in BM25.
const K1: f64 = 1.2;
/// How much the length of a text counts, in BM25.
const B: f64 = 0.75;
/// Words of a phrase that are looked at; a search has no more of them in all.
const PHRASE_WORDS: usize = 64;
/// Numbers of words between the end of a text and the beginning of the next.
const TEXT_GAP: usize = 2;

/// A search made ready for many texts.
#[derive(Debug)]
pub struct Matcher {
    tree: Tree,
    phrases: Vec<Phrase>,
    /// Finds the numbers of `places`.
    lookup: Lookup,
    places: Vec<Place>,
}

/// The tree, with numbers of phrases for leaves.
#[derive(Debug)]
enum Tree {
    Phrase(usize),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>, Box<Tree>),
}

/// A word or phrase of the search.
#[derive(Debug, PartialEq)]
struct Phrase {
    field: Option<String>,
    words: Vec<String>,
    is_prefix: bool,
    /// Not only behind NOT, so that it counts for the score.
    is_wanted: bool,
}

/// A wanted word's place in a phrase.
#[derive(Debug)]
struct Place {
    phrase: usize,
    bit: u64,
}

/// How far a phrase was followed: bit n is set where its words up to n have just been read.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Number of the word of the texts the bits are about.
    at: usize,
    bits: u64,
    /// The bits of the word before.
    before: u64,
}

impl Matcher {
    /// Makes a search ready.
    pub fn new(node: &Node) -> Self {
        let mut phrases = Vec::new();
        let tree = tree(node, true, &mut phrases);
        let mut places = Vec::new();
        let mut words = Vec::new();
        for (number, phrase) in phrases.iter().enumerate() {
            for (index, word) in phrase.words.iter().enumerate() {
                places.push(Place { phrase: number, bit: 1 << index });
                words.push((word.as_str(), phrase.is_prefix && index + 1 == phrase.words.len()));
            }
        }
        let lookup = Lookup::new(words.into_iter());
        Self { tree, phrases, lookup, places }
    }

    /// Whether the search finds these texts, each with the name of its field. A phrase does not go from one text to
    /// the next.
    pub fn is_match(&self, texts: &[(&str, &str)]) -> bool {
        let mut found = vec![false; self.phrases.len()];
        let mut missing = found.len();
        self.scan(texts, |phrase, _| {
            if let Some(found) = found.get_mut(phrase)
                && !*found
            {
                *found = true;
                missing -= 1;
            }
            if missing == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.tree.holds(&found)
    }

    /// How well the search fits the texts, by BM25 as FTS5 computes it; more is better. `weights` are those of the
    /// texts, 1 where there is none; `idf` tells how rare a word is, and a phrase is as rare as its rarest word;
    /// `average_words` are the words that all texts of an event have on average. What does not match has a score too,
    /// of those words that it has.
    pub fn score(
        &self,
        texts: &[(&str, &str)],
        weights: &[f64],
        idf: &dyn Fn(&str) -> f64,
        average_words: f64,
    ) -> f64 {
        let mut frequencies = vec![0.0; self.phrases.len()];
        let words = self.scan(texts, |phrase, text| {
            if let Some(frequency) = frequencies.get_mut(phrase) {
                *frequency += weights.get(text).copied().unwrap_or(1.0);
            }
            ControlFlow::Continue(())
        });
        let length = if average_words > 0.0 { words as f64 / average_words } else { 1.0 };
        let wanted =
            self.phrases.iter().zip(frequencies).filter(|(phrase, times)| phrase.is_wanted && *times > 0.0);
        wanted
            .map(|(phrase, times)| {
                let rarity = phrase.words.iter().map(|word| idf(word)).fold(f64::NEG_INFINITY, f64::max);
                rarity * times * (K1 + 1.0) / (times + K1 * (1.0 - B + B * length))
            })
            .sum()
    }

    /// Gives each phrase that ends at a word of the texts, with the number of the text, until told to break. Returns
    /// the words that were read.
    fn scan(&self, texts: &[(&str, &str)], mut visit: impl FnMut(usize, usize) -> ControlFlow<()>) -> usize {
        let mut progress = vec![Progress::default(); self.phrases.len()];
        let mut words = 0;
        let mut at = 0;
        for (text_number, (field, text)) in texts.iter().enumerate() {
            let mut flow = ControlFlow::Continue(());
            tokens::for_each(text, |word, _, _| {
                at += 1;
                words += 1;
                self.lookup.for_each(word, |number| {
                    if flow.is_continue()
                        && let Some(phrase) = self.advance(number, field, at, &mut progress)
                    {
                        flow = visit(phrase, text_number);
                    }
                });
                flow
            });
            if flow.is_break() {
                break;
            }
            // a text's last word and the next one's first are no neighbours
            at += TEXT_GAP;
        }
        words
    }

    /// Takes note of a wanted word; gives the phrase if that was its last one.
    fn advance(&self, number: usize, field: &str, at: usize, progress: &mut [Progress]) -> Option<usize> {
        let place = self.places.get(number)?;
        let phrase = self.phrases.get(place.phrase)?;
        if phrase.field.as_deref().is_some_and(|only| only != field) {
            return None;
        }
        let progress = progress.get_mut(place.phrase)?;
        if progress.at != at {
            progress.before = if progress.at + 1 == at { progress.bits } else { 0 };
            progress.at = at;
            progress.bits = 0;
        }
        progress.bits |= ((progress.before << 1) | 1) & place.bit;
        // a phrase has as many bits as words, so that only its last word can complete it
        let is_last = place.bit.trailing_zeros() as usize + 1 == phrase.words.len();
        (is_last && progress.bits & place.bit != 0).then_some(place.phrase)
    }
}

fn tree(node: &Node, is_wanted: bool, phrases: &mut Vec<Phrase>) -> Tree {
    match node {
        Node::Words { field, words, is_prefix } => {
            let is_prefix = *is_prefix && words.len() <= PHRASE_WORDS;
            let words: Vec<String> = words.iter().take(PHRASE_WORDS).cloned().collect();
            let phrase = Phrase { field: field.clone(), words, is_prefix, is_wanted };
            let same = phrases.iter().position(|other| {
                (&other.field, &other.words, other.is_prefix)
                    == (&phrase.field, &phrase.words, phrase.is_prefix)
            });
            let Some(number) = same else {
                phrases.push(phrase);
                return Tree::Phrase(phrases.len() - 1);
            };
            if let Some(other) = phrases.get_mut(number) {
                other.is_wanted |= is_wanted;
            }
            Tree::Phrase(number)
        }
        Node::And(nodes) => Tree::And(nodes.iter().map(|node| tree(node, is_wanted, phrases)).collect()),
        Node::Or(nodes) => Tree::Or(nodes.iter().map(|node| tree(node, is_wanted, phrases)).collect()),
        Node::Not(wanted, unwanted) => {
            let wanted = tree(wanted, is_wanted, phrases);
            Tree::Not(Box::new(wanted), Box::new(tree(unwanted, false, phrases)))
        }
    }
}

impl Tree {
    fn holds(&self, found: &[bool]) -> bool {
        match self {
            Self::Phrase(number) => found.get(*number).copied().unwrap_or_default(),
            Self::And(trees) => trees.iter().all(|tree| tree.holds(found)),
            Self::Or(trees) => trees.iter().any(|tree| tree.holds(found)),
            Self::Not(wanted, unwanted) => wanted.holds(found) && !unwanted.holds(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::words::language::read;

    fn matcher(search: &str) -> Matcher {
        Matcher::new(&read(search, &["title", "body"]).node.expect("the search has words"))
    }

    fn is_match(search: &str, text: &str) -> bool {
        matcher(search).is_match(&[("body", text)])
    }

    #[test]
    fn all_words_have_to_be_there_in_any_order_and_any_field() {
        assert!(is_match("full disk", "The DISK is full."));
        assert!(!is_match("full disk", "the disk"));
        assert!(matcher("full disk").is_match(&[("title", "Disk"), ("body", "full")]));
        assert!(!matcher("full").is_match(&[]));
    }

    #[test]
    fn phrases_are_neighbours_in_order_within_one_text() {
        assert!(is_match("\"a b a c\"", "a b a b a c"));
        assert!(!is_match("\"a b\"", "b a, a x b"));
        assert!(!matcher("\"a b\"").is_match(&[("title", "a"), ("body", "b")]));
        assert!(is_match("b-pre*", "a b prefix"));
    }

    #[test]
    fn operators_hold() {
        assert!(is_match("a OR b", "b"));
        assert!(!is_match("a -b", "a b"));
        assert!(is_match("a -\"b c\"", "a c b"));
        assert!(is_match("a (b OR c)", "c a"));
    }

    #[test]
    fn a_field_is_looked_into_alone() {
        let texts = [("title", "a"), ("body", "b")];
        assert!(matcher("title:a body:b").is_match(&texts));
        assert!(!matcher("title:b").is_match(&texts));
        assert!(matcher("b -title:b").is_match(&texts));
    }

    #[test]
    fn a_score_grows_with_frequency_rarity_and_weight_and_falls_with_length() {
        let score = |search: &str, text: &str, weight: f64| {
            let idf = |word: &str| if word == "rare" { 3.0 } else { 1.0 };
            matcher(search).score(&[("body", text)], &[weight], &idf, 4.0)
        };
        let base = score("a", "a b c d", 1.0);
        assert!(
            (base - 1.0).abs() < 1e-12,
            "one word in a text of average length counts its idf, not {base}"
        );
        assert!(score("a", "a a c d", 1.0) > base);
        assert!(score("a", "a b c d", 2.0) > base);
        assert!(score("a", "a b c d e f", 1.0) < base);
        assert!(score("\"a rare\"", "a rare c d", 1.0) > 2.9);
        assert_eq!(score("x -a", "a b c d", 1.0), 0.0, "what is behind NOT does not count");
    }
}
