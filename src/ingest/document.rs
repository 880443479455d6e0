//! A JSON file as records: the items of an array, an object with one array of objects in it, or an object that is a
//! record itself. The whole file is in memory, because its end may change what its beginning means; NDJSON has no
//! such need. Only brackets are followed here, so that a bad item spoils itself and not the file.

use std::io::Read;

use crate::error::{Error, Result, nearest};
use crate::ingest::source::{self, Source};
use crate::ingest::split::{self, Scan, Shape};
use crate::limits;

/// Reads the text of a JSON file.
///
/// # Errors
/// The file is too large, cut off or damaged: nothing of it can be kept.
pub fn load(source: &mut Source) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut limited = source.take(limits::JSON_FILE_BYTES + 1);
    if let Err(e) = limited.read_to_end(&mut body) {
        let place = format!("after {} bytes of text; nothing of it was kept", body.len());
        return Err(source::broken(source.name(), source.compression(), e, &place));
    }
    if body.len() as u64 > limits::JSON_FILE_BYTES {
        return Err(Error::TooLarge(format!(
            "{} is larger than {} MiB, the most that is read as one JSON document; write one object a line (NDJSON), as with `jq -c '.[]'`",
            source.name(),
            limits::JSON_FILE_BYTES >> 20
        )));
    }
    Ok(body)
}

/// The records of a document, and what the user should know of the choice. `at` names the field that holds them.
///
/// # Errors
/// The document is not whole, `at` names no array, or there are several to choose from.
pub fn records<'a>(body: &'a [u8], at: Option<&str>) -> Result<(Vec<&'a [u8]>, Option<String>)> {
    let found = split::shape(body);
    match (found, at) {
        (Shape::Empty, _) => Ok((Vec::new(), None)),
        (Shape::Array, None) => Ok((split::array_items(body)?, None)),
        (Shape::Array, Some(_)) => {
            Err(Error::invalid("the document is an array already, its items are the rows; leave --at out"))
        }
        _ if body.trim_ascii_start().first() != Some(&b'{') => Err(Error::invalid(
            "it begins neither as a JSON object nor as an array; say what it is with --format",
        )),
        (_, Some(path)) => at_path(body, path),
        (_, None) => unwrapped(body),
    }
}

/// The array at a dotted path; a field whose own name has the dots comes first.
fn at_path<'a>(body: &'a [u8], path: &str) -> Result<(Vec<&'a [u8]>, Option<String>)> {
    let fields = top_fields(body)?;
    let exact = fields.iter().find(|field| field.name == path);
    let Some(field) = exact else {
        if let Some((first, rest)) = path.split_once('.')
            && let Some(outer) =
                fields.iter().find(|field| field.name == first && field.value.starts_with(b"{"))
        {
            return at_path(outer.value, rest);
        }
        let hint = nearest(path, fields.iter().map(|field| field.name.as_str()));
        return Err(Error::invalid(format!("the document has no field \"{path}\" for --at{hint}")));
    };
    if !field.value.starts_with(b"[") {
        return Err(Error::invalid(format!("the field \"{path}\" that --at names is no array")));
    }
    Ok((split::array_items(field.value)?, None))
}

fn unwrapped(body: &[u8]) -> Result<(Vec<&[u8]>, Option<String>)> {
    let fields = top_fields(body)?;
    let mut candidates = Vec::new();
    for field in fields.iter().filter(|field| field.value.starts_with(b"[")) {
        let items = split::array_items(field.value)?;
        if !items.is_empty() && items.iter().all(|item| item.trim_ascii_start().starts_with(b"{")) {
            candidates.push((field, items));
        }
    }
    if candidates.len() > 1 {
        let names: Vec<String> =
            candidates.iter().map(|(f, items)| format!("{} ({})", f.name, items.len())).collect();
        let note = format!(
            "the document is one record, because several of its fields hold an array of objects: {}; import one of \
             them with --at FIELD",
            names.join(", ")
        );
        return Ok((vec![body], Some(note)));
    }
    let Some((chosen, items)) = candidates.pop() else {
        return Ok((vec![body], mixed_array(&fields)?));
    };
    let beside: Vec<&str> =
        fields.iter().map(|f| f.name.as_str()).filter(|name| *name != chosen.name).collect();
    let left_out = if beside.is_empty() {
        String::new()
    } else {
        format!("; left out beside it: {}", beside.join(", "))
    };
    let note = format!("the rows are the {} objects of the field \"{}\"{left_out}", items.len(), chosen.name);
    Ok((items, Some(note)))
}

/// A note where the rows were probably meant to be in an array that has something else among its objects.
fn mixed_array(fields: &[Field<'_>]) -> Result<Option<String>> {
    for field in fields.iter().filter(|field| field.value.starts_with(b"[")) {
        let items = split::array_items(field.value)?;
        let objects = items.iter().filter(|item| item.trim_ascii_start().starts_with(b"{")).count();
        if objects * 2 > items.len() {
            return Ok(Some(format!(
                "the document is one record, because its field \"{name}\" holds {objects} objects and something else (\
                 in all {} items); --at {name} makes rows of the objects",
                items.len(),
                name = field.name
            )));
        }
    }
    Ok(None)
}

struct Field<'a> {
    name: String,
    value: &'a [u8],
}

/// The fields of an object, values as they are written.
fn top_fields(body: &[u8]) -> Result<Vec<Field<'_>>> {
    let start = memchr::memchr(b'{', body).map_or(body.len(), |at| at + 1);
    let mut scan = Scan::default();
    scan.depth = 1;
    let mut fields = Vec::new();
    let (mut begin, mut colon) = (start, None);
    for (at, byte) in body.iter().enumerate().skip(start) {
        let structural = scan.step(*byte);
        if !structural {
            continue;
        }
        match (byte, scan.depth) {
            (b':', 1) if colon.is_none() => colon = Some(at),
            (b',', 1) | (b'}', 0) => {
                fields.extend(field(body, begin, colon.take(), at)?);
                begin = at + 1;
            }
            _ => {}
        }
        if scan.depth == 0 {
            return match body[at + 1..].iter().position(|b| !b.is_ascii_whitespace()) {
                None => Ok(fields),
                Some(more) => Err(Error::invalid(format!(
                    "something follows the end of the object at byte {}; write an array of objects, or one object a line (NDJSON), as with `jq -c .`",
                    at + 2 + more
                ))),
            };
        }
    }
    Err(Error::invalid(format!(
        "the object has no end: the text stops at byte {}; get the whole file",
        body.len()
    )))
}

fn field(body: &[u8], begin: usize, colon: Option<usize>, end: usize) -> Result<Option<Field<'_>>> {
    let Some(colon) = colon else {
        // an empty object, or a comma too many: decoding tells, where the object is a record
        return Ok(None);
    };
    let name = serde_json::from_slice(body[begin..colon].trim_ascii()).map_err(|e| {
        Error::invalid(format!("the field name at byte {} is no JSON string: {e}", begin + 1))
    })?;
    Ok(Some(Field { name, value: body[colon + 1..end].trim_ascii() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str, at: Option<&str>) -> Result<Vec<String>> {
        let (items, _) = records(body.as_bytes(), at)?;
        Ok(items.iter().map(|item| String::from_utf8_lossy(item.trim_ascii()).into_owned()).collect())
    }

    #[test]
    fn one_array_of_objects_is_unwrapped_and_told() {
        let body =
            br#"{"title": "a, [b]: {c}", "tags": ["x"], "none": [], "rows": [{"a": [1]}, {"a": 2}], "n": 2}"#;
        let (items, note) = records(body, None).expect("read");
        assert_eq!(items.len(), 2);
        assert_eq!(
            note.expect("told"),
            "the rows are the 2 objects of the field \"rows\"; left out beside it: title, tags, none, n"
        );
    }

    #[test]
    fn without_such_an_array_the_object_is_the_record() {
        for body in ["{\"a\": 1}", "{}", "{\"a\": [1, {\"b\": 2}]}", "{\n \"a\": []\n}\n"] {
            assert_eq!(texts(body, None).expect(body), [body.trim_end()]);
        }
    }

    #[test]
    fn an_array_that_holds_something_beside_its_objects_is_told() {
        let note = |body: &str| records(body.as_bytes(), None).expect(body).1;
        assert_eq!(
            note(r#"{"n": 2, "rows": [{"a": 1}, null, {"a": 2}]}"#).expect("told"),
            "the document is one record, because its field \"rows\" holds 2 objects and something else (in all \
             3 items); --at rows makes rows of the objects"
        );
        assert_eq!(note(r#"{"a": [1, {"b": 2}], "c": [], "d": [null]}"#), None);
    }

    #[test]
    fn several_arrays_are_listed_and_at_chooses() {
        let body =
            r#"{"a": [{"x": 1}], "b": [{"x": 2}, {"x": 3}], "c": {"d": [{"x": 4}]}, "e.f": [5], "g": 6}"#;
        let (items, note) = records(body.as_bytes(), None).expect("one record");
        let told = note.expect("a note");
        assert_eq!(items, [body.as_bytes()]);
        assert!(told.contains("a (1), b (2)") && told.contains("--at"), "{told}");
        assert_eq!(texts(body, Some("a")).expect("chosen"), ["{\"x\": 1}"]);
        assert_eq!(texts(body, Some("c.d")).expect("chosen"), ["{\"x\": 4}"]);
        assert_eq!(texts(body, Some("e.f")).expect("chosen"), ["5"]);
        assert!(texts(body, Some("g")).expect_err("no array").to_string().contains("no array"));
        assert!(texts(body, Some("bb")).expect_err("unknown").to_string().contains("did you mean \"b\""));
    }

    #[test]
    fn a_document_cut_off_or_followed_by_more_is_told_with_its_place() {
        for (body, part) in [
            ("{\"a\": [{\"x\": 1}", "byte 15"),
            ("{\"a\": 1}\n{\"a\": 2}", "byte 10"),
            ("[{}", "byte 3"),
            ("nonsense", "--format"),
        ] {
            let told = texts(body, None).expect_err(body).to_string();
            assert!(told.contains(part), "{told}");
        }
    }
}
