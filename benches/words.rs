//! Words as full-text search cuts, finds and corrects them, beside no index: what a second and a core get through.
//! `cargo bench --bench words [-- --quick]`.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use windrow::query::words::language::read;
use windrow::query::words::matching::Matcher;
use windrow::query::words::near::Known;
use windrow::query::words::tokens;

const ENGLISH: &str = "The quick brown fox jumps over 13 lazy dogs, and GET /index.html returned 404. ";
const GERMAN: &str = "Zwölf Boxkämpfer jagen größere Störche über den schönen Sylter Deich. ";
const RUSSIAN: &str = "Съешь же ещё этих мягких французских булок, да выпей чаю. ";

/// Of these, words are made that are as long, and have letters as frequent, as in English.
const SYLLABLES: [&str; 30] = [
    "an", "be", "con", "de", "er", "fi", "gra", "hi", "in", "ja", "ke", "lo", "men", "na", "or", "pre",
    "qui", "re", "si", "ti", "tion", "un", "ver", "wa", "ex", "ly", "za", "ser", "pro", "st",
];

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let (times, words) = if is_quick { (10, 20_000) } else { (100, 200_000) };
    for (name, sentence) in [("ASCII", ENGLISH), ("German", GERMAN), ("Russian", RUSSIAN)] {
        let text = sentence.repeat(1_000);
        let took = timed(|| (0..times).for_each(|_| cut(&text)));
        println!("{:<44} {}", format!("cut into words, {name}"), rate(text.len() * times, took));
    }
    let text = ENGLISH.repeat(1_000);
    for search in ["absent", "absent \"lazy dogs and cats\" ret* -also", "a* b* c* d* e* f* g* h* absent"] {
        let matcher = Matcher::new(&read(search, &["body"]).node.expect("the search has words"));
        let look = || assert!(!black_box(matcher.is_match(&[("body", &text)])), "no text has the word");
        let took = timed(|| (0..times).for_each(|_| look()));
        println!("{:<44} {}", format!("look for {search}"), rate(text.len() * times, took));
    }
    corrections(words, times);
}

fn cut(text: &str) {
    tokens::for_each(text, |word, _, _| {
        black_box(word);
        ControlFlow::Continue(())
    });
}

fn corrections(words: usize, times: usize) {
    let words = vocabulary(words);
    let mut known = None;
    let took = timed(|| known = Some(Known::new(words.clone().into_iter())));
    let known = known.expect("is made");
    println!("{:<44} {took:.1?}, {} KB", format!("know {} words", known.len()), known.bytes() / 1_000);
    for typo in ["contion", "prezation", "serverin", "qiuantionex", "loginversion", "graph"] {
        let took = timed(|| (0..times).for_each(|_| drop(black_box(known.near(typo, 5))))) / times as u32;
        println!("{:<44} {took:.1?}", format!("words near {typo}"));
    }
}

/// So many words with how many texts have each, the same in every run.
fn vocabulary(count: usize) -> BTreeMap<String, u64> {
    let mut drawn = 7_u64;
    let mut next = move |below: usize| {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (drawn >> 33) as usize % below
    };
    let mut words = BTreeMap::new();
    while words.len() < count {
        let syllables = 2 + next(4);
        let word = (0..syllables).map(|_| SYLLABLES[next(SYLLABLES.len())]).collect();
        words.insert(word, next(1_000) as u64);
    }
    words
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn rate(bytes: usize, took: Duration) -> String {
    format!("{:.0} MB/s", bytes as f64 / took.as_secs_f64() / 1e6)
}
