//! One Rust file as the rules of `tests/tidy.rs` see it: its code without comments, texts and unit tests.
//!
//! A small scanner rather than a parser: the rules need words, lines and braces, and nothing of their meaning.

/// A file of the house.
pub struct Source {
    /// Path from the root of the house, with `/`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// The code alone: comments, the insides of texts, and items under `#[cfg(test)]` are blanks; lines stay.
    pub code: String,
    test_lines: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let path = path.replace('\\', "/");
        let masked = mask(text);
        let (code, test_lines) = if path.starts_with("src/") && path.ends_with("/tests.rs") {
            (String::new(), text.lines().count())
        } else {
            without_tests(&masked)
        };
        Self { path, text: text.to_owned(), code, test_lines }
    }

    pub fn is_src(&self) -> bool {
        self.path.starts_with("src/")
    }

    /// The room the file is in: the first part of its path below `src`; the two that join all rooms are in none.
    pub fn room(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        let room = inner.split('/').next()?.trim_end_matches(".rs");
        (inner != "main.rs" && inner != "lib.rs").then_some(room)
    }

    pub fn lines_outside_tests(&self) -> usize {
        self.text.lines().count() - self.test_lines
    }

    /// The line of a place in the code, from 1.
    pub fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// The lines in which a word of the code stands.
    pub fn lines_with(&self, word: &str) -> Vec<usize> {
        self.words(word).map(|at| self.line_of(at)).collect()
    }

    /// Where a word stands in the code; it may end in a mark such as `!` or `::`.
    fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let open = word.ends_with(is_name);
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let after = open && self.code[at + word.len()..].starts_with(is_name);
            !after && !self.code[..*at].ends_with(is_name)
        })
    }

    /// What follows `crate::`, with its line; of `crate::{a::b, c}` it is a and c.
    pub fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in self.words("crate::") {
            let rest = self.code[at + "crate::".len()..].trim_start();
            let Some(group) = rest.strip_prefix('{') else {
                found.push((self.line_of(at), leading_name(rest)));
                continue;
            };
            let (mut depth, mut begins) = (0, true);
            for (place, character) in group.char_indices() {
                match character {
                    '}' if depth == 0 => break,
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => begins = true,
                    _ if begins && is_name(character) => {
                        found.push((self.line_of(at), leading_name(&group[place..])));
                        begins = false;
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// Every function with a body: its line, name, and number of lines from `fn` to the closing brace.
    pub fn functions(&self) -> Vec<(usize, String, usize)> {
        let mut found = Vec::new();
        for at in self.words("fn") {
            let name = leading_name(self.code[at + 2..].trim_start());
            if name.is_empty() {
                continue;
            }
            if let Some(end) = item_end(&self.code, at) {
                let lines = self.code[at..end].matches('\n').count() + 1;
                found.push((self.line_of(at), name, lines));
            }
        }
        found
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn leading_name(text: &str) -> String {
    text.chars().take_while(|character| is_name(*character)).collect()
}

/// The end of the item that begins here: behind its body's closing brace, or its semicolon.
fn item_end(code: &str, from: usize) -> Option<usize> {
    let (mut brackets, mut braces) = (0, 0);
    for (at, character) in code[from..].char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            '{' => braces += 1,
            '}' => braces -= 1,
            _ => {}
        }
        if brackets == 0 && braces == 0 && matches!(character, '}' | ';') {
            return Some(from + at + 1);
        }
    }
    None
}

/// The code with every item under `#[cfg(test)]` made blank, and the number of lines they take.
fn without_tests(masked: &str) -> (String, usize) {
    const MARK: &str = "#[cfg(test)]";
    let (mut code, mut lines, mut rest) = (String::new(), 0, masked);
    while let Some(at) = rest.find(MARK) {
        let end = item_end(rest, at + MARK.len()).unwrap_or(rest.len());
        code.push_str(&rest[..at]);
        code.extend(rest[at..end].chars().filter(|character| *character == '\n'));
        lines += rest[at..end].lines().count();
        rest = &rest[end..];
    }
    code.push_str(rest);
    (code, lines)
}

/// The text with blanks for comments and for the insides of string and character literals.
fn mask(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = literal_or_comment_end(&characters, at);
        if end == at {
            out.push(characters[at]);
            at += 1;
        } else {
            out.extend(characters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins here ends; `at` itself if none begins.
fn literal_or_comment_end(text: &[char], at: usize) -> usize {
    let find = |from: usize, stop: &dyn Fn(usize) -> bool| (from..text.len()).find(|i| stop(*i));
    let is = |i: usize, wanted: char| text.get(i) == Some(&wanted);
    match text[at] {
        '/' if is(at + 1, '/') => find(at, &|i| text[i] == '\n').unwrap_or(text.len()),
        '/' if is(at + 1, '*') => block_comment_end(text, at),
        '"' => quoted_end(text, at, '"'),
        '\'' if is(at + 1, '\\') || is(at + 2, '\'') => quoted_end(text, at, '\''),
        'r' => {
            let before = at.checked_sub(1).map_or(' ', |i| text[i]);
            let prefixed = matches!(before, 'b' | 'c') && !(at >= 2 && is_name(text[at - 2]));
            let Some(quote) = find(at + 1, &|i| text[i] != '#').filter(|i| is(*i, '"')) else { return at };
            if is_name(before) && !prefixed {
                return at;
            }
            let marks = quote - at - 1;
            let closes = |i: usize| text[i] == '"' && (1..=marks).all(|j| is(i + j, '#'));
            find(quote + 1, &closes).map_or(text.len(), |i| i + 1 + marks)
        }
        _ => at,
    }
}

fn quoted_end(text: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < text.len() && text[i] != quote {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(text.len())
}

fn block_comment_end(text: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < text.len() {
        match (text[i], text.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    text.len()
}
