//! Cursors: where a page ended, with the question it belongs to, signed with the file's own secret. Opaque and safe
//! in URLs; one that was altered, made by another file, or belongs to another question is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::error::{Error, Result};
use crate::value::Value;

/// Bytes of the signature: half of an HMAC-SHA-256, as RFC 2104 allows.
const SIGNATURE_BYTES: usize = 16;

/// A place between two rows of an ordered, filtered dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// The dataset.
    pub dataset: String,
    /// `where` as the client wrote it.
    pub filter: Option<String>,
    /// `order` as the client wrote it.
    pub order: Option<String>,
    /// Towards the start instead of the end.
    pub backward: bool,
    /// The order keys of the row at the place.
    pub keys: Vec<Value>,
    /// Its `_seq`.
    pub seq: i64,
    /// The row filter that the one who got it is bound to.
    pub reach: Option<String>,
}

impl Cursor {
    /// The text for clients.
    pub fn sign(&self, secret: &[u8; 32]) -> String {
        let keys: Vec<serde_json::Value> = self.keys.iter().map(key_to_json).collect();
        let mut parts =
            vec![json!(1), json!(self.dataset), json!(self.filter), json!(self.order), json!(self.backward)];
        parts.extend([json!(keys), json!(self.seq)]);
        parts.extend(self.reach.iter().map(|reach| json!(reach)));
        let mut bytes = serde_json::Value::Array(parts).to_string().into_bytes();
        let signature = mac(secret, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature[..SIGNATURE_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a client's text.
    ///
    /// # Errors
    /// `Invalid` for every text that [`Cursor::sign`] has not made with this secret.
    pub fn verify(text: &str, secret: &[u8; 32]) -> Result<Self> {
        let refused = || {
            Error::invalid(
                "the cursor is not one that this server gave out, or was altered; begin again without a cursor",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        let split = bytes.len().checked_sub(SIGNATURE_BYTES).ok_or_else(refused)?;
        let (content, signature) = bytes.split_at(split);
        mac(secret, content).verify_truncated_left(signature).map_err(|_| refused())?;
        from_json(content).ok_or_else(refused)
    }
}

fn mac(secret: &[u8; 32], content: &[u8]) -> Hmac<Sha256> {
    // a key shorter than SHA-256's block is filled up with zeros, as RFC 2104 has it
    let mut key = [0; 64];
    key[..32].copy_from_slice(secret);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&key.into());
    mac.update(content);
    mac
}

fn from_json(content: &[u8]) -> Option<Cursor> {
    let parts: Vec<serde_json::Value> = serde_json::from_slice(content).ok()?;
    let [version, dataset, filter, order, backward, keys, seq, reach @ ..] = parts.as_slice() else {
        return None;
    };
    if reach.len() > 1 {
        return None;
    }
    if version.as_i64() != Some(1) {
        return None;
    }
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    Some(Cursor {
        dataset: text(dataset)?,
        filter: text(filter),
        order: text(order),
        backward: backward.as_bool()?,
        keys: keys.as_array()?.iter().map(key_from_json).collect::<Option<_>>()?,
        seq: seq.as_i64()?,
        reach: reach.first().map(text).unwrap_or_default(),
    })
}

/// A key with its type, because 7, 7.0 and "7" are different places.
fn key_to_json(key: &Value) -> serde_json::Value {
    match key {
        Value::Null => json!(null),
        Value::Bool(b) => json!(["b", b]),
        Value::Int(n) => json!(["i", n]),
        // bits, because a decimal may not come back as the same float
        Value::Float(f) => json!(["f", f.to_bits()]),
        Value::Time(us) => json!(["t", us]),
        Value::Text(text) => json!(["s", &**text]),
        Value::Json(text) => json!(["j", &**text]),
        Value::List(items) => json!(["l", items.iter().map(|item| &**item).collect::<Vec<_>>()]),
    }
}

fn key_from_json(json: &serde_json::Value) -> Option<Value> {
    if json.is_null() {
        return Some(Value::Null);
    }
    let (kind, value) = (json.get(0)?.as_str()?, json.get(1)?);
    Some(match kind {
        "b" => Value::Bool(value.as_bool()?),
        "i" => Value::Int(value.as_i64()?),
        "f" => Value::Float(f64::from_bits(value.as_u64()?)),
        "t" => Value::Time(value.as_i64()?),
        "s" => Value::text(value.as_str()?),
        "j" => Value::Json(value.as_str()?.into()),
        "l" => {
            Value::List(value.as_array()?.iter().map(|v| v.as_str().map(Into::into)).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            dataset: "events".into(),
            filter: Some("a > 1".into()),
            order: None,
            backward: true,
            keys: vec![
                Value::Null,
                Value::Int(i64::MIN),
                Value::Float(0.1 + 0.2),
                Value::text("ü\"\n"),
                Value::List(["a".into(), "b".into()].into()),
                Value::Time(-1),
            ],
            seq: i64::MAX,
            reach: None,
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let text = cursor().sign(&[7; 32]);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
        assert_eq!(Cursor::verify(&text, &[7; 32]).expect("verifies"), cursor());
        let bound = Cursor { reach: Some("tenant = 'a'".into()), ..cursor() };
        assert_eq!(Cursor::verify(&bound.sign(&[7; 32]), &[7; 32]).expect("verifies"), bound);
    }

    #[test]
    fn a_cursor_altered_in_any_place_or_of_another_file_is_refused() {
        let text = cursor().sign(&[7; 32]);
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(Cursor::verify(&altered, &[7; 32]).is_err(), "{at}");
        }
        assert!(Cursor::verify(&text, &[8; 32]).is_err());
        assert!(Cursor::verify("", &[7; 32]).is_err());
        assert!(Cursor::verify("%%%", &[7; 32]).is_err());
    }
}
