//! Where one record ends and the next begins: lines, and the items of a JSON array. Splitting knows strings and
//! brackets only, so that one bad item spoils itself and not its neighbours.

use crate::error::{Error, Result};

/// The shape of a body or file, told by its first byte that is no space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One record a line.
    Lines,
    /// A JSON array of records.
    Array,
    /// One JSON object over several lines.
    Object,
    /// Nothing but white space.
    Empty,
}

/// Tells the shape of JSON text.
pub fn shape(bytes: &[u8]) -> Shape {
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        None => Shape::Empty,
        Some(b'[') => Shape::Array,
        Some(b'{') => {
            let bytes = bytes.trim_ascii();
            let first_line = memchr::memchr(b'\n', bytes).map_or(bytes, |end| &bytes[..end]);
            let mut scan = Scan::default();
            let closed = first_line.iter().any(|b| scan.step(*b) && scan.depth == 0);
            if closed || scan.in_string { Shape::Lines } else { Shape::Object }
        }
        Some(_) => Shape::Lines,
    }
}

/// Checks that bytes can be UTF-8 text and takes the byte-order mark away.
///
/// # Errors
/// UTF-16 and UTF-32, told by their marks or zero bytes.
pub fn utf8_start(bytes: &[u8]) -> Result<&[u8]> {
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return Ok(rest);
    }
    let wide_mark = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    let wide_ascii = bytes.len() >= 2 && (bytes[0] == 0) != (bytes[1] == 0);
    if wide_mark || wide_ascii {
        return Err(Error::invalid(
            "the text is UTF-16; convert it to UTF-8 first, as with `iconv -f UTF-16 -t UTF-8`",
        ));
    }
    Ok(bytes)
}

/// The lines that are not blank, without their ends, and the number of each from 1.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = bytes;
    let mut number = 0;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            number += 1;
            if !line.trim_ascii().is_empty() {
                return Some((number, line));
            }
        }
        None
    })
}

/// The items of a JSON array in order.
///
/// # Errors
/// The array does not end, or something follows it; the position in bytes is told.
pub fn array_items(bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let start = memchr::memchr(b'[', bytes).map_or(bytes.len(), |at| at + 1);
    let mut scan = Scan { depth: 1, ..Scan::default() };
    let mut items = Vec::new();
    let mut begin = start;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        let structural = scan.step(*byte);
        if structural && *byte == b',' && scan.depth == 1 {
            items.push(&bytes[begin..at]);
            begin = at + 1;
        } else if structural && scan.depth == 0 && *byte != b']' {
            return Err(Error::invalid(format!(
                "the array is closed by a brace at byte {}, not by ]",
                at + 1
            )));
        } else if structural && scan.depth == 0 {
            let last = &bytes[begin..at];
            if !items.is_empty() || !last.trim_ascii().is_empty() {
                items.push(last);
            }
            return match bytes[at + 1..].iter().position(|b| !b.is_ascii_whitespace()) {
                None => Ok(items),
                Some(more) => Err(Error::invalid(format!(
                    "something follows the end of the array at byte {}",
                    at + 2 + more
                ))),
            };
        }
    }
    Err(Error::invalid(format!(
        "the array has no end: the text stops at byte {} after {} whole items",
        bytes.len(),
        items.len()
    )))
}

/// Follows strings and brackets byte by byte.
#[derive(Debug, Default, Clone, Copy)]
pub struct Scan {
    /// Open brackets and braces.
    pub depth: usize,
    /// Inside a string.
    pub in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Takes one byte; true where it belongs to the structure, not to a string.
    #[inline]
    pub fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            match (self.escaped, byte) {
                (true, _) => self.escaped = false,
                (false, b'\\') => self.escaped = true,
                (false, b'"') => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_end_where_they_end_whatever_is_inside() {
        let items = array_items(br#" [ {"a":"],"} ,{"b":[1,{"c":"\""}]}, NaN ] "#).expect("items");
        let texts: Vec<_> =
            items.iter().map(|i| String::from_utf8_lossy(i.trim_ascii()).into_owned()).collect();
        assert_eq!(texts, [r#"{"a":"],"}"#, r#"{"b":[1,{"c":"\""}]}"#, "NaN"]);
        assert!(array_items(b"[]").expect("none").is_empty());
        assert!(array_items(b"[ ]").expect("none").is_empty());
    }

    #[test]
    fn an_array_ends_with_its_own_bracket() {
        let told = array_items(b"[{\"a\":1}}").expect_err("no array").to_string();
        assert!(told.contains("byte 9"), "{told}");
    }

    #[test]
    fn an_array_that_is_cut_off_is_told_with_its_place() {
        let error = array_items(br#"[{"a":1},{"b"#).expect_err("cut").to_string();
        assert!(error.contains("byte 12") && error.contains("1 whole items"), "{error}");
        assert!(array_items(b"[1] 2").expect_err("more").to_string().contains("byte 5"));
    }

    #[test]
    fn shapes_are_told_by_the_first_line() {
        assert_eq!(shape(b"{\"a\":1}\n{\"a\":2}"), Shape::Lines);
        assert_eq!(shape(b"{\n \"a\":1\n}"), Shape::Object);
        assert_eq!(shape(b" [1]"), Shape::Array);
        assert_eq!(shape(b" \n"), Shape::Empty);
    }
}
