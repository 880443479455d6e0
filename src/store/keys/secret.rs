//! Secrets of keys: how they look, and what is kept of them. `wr_`, the id of the key, and 256 random bits:
//! `wr_7hq2m4k9xe_` and 43 letters, all of which may stand in a URL. The prefix lets scanners of leaked secrets find them.
//!
//! What is kept is a SHA-256 of the text. Slow hashes are for passwords, which people choose from few; nobody tries 2^256
//! secrets, however fast the hash is, so every request can afford it.

use ctutils::CtEq as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// What a secret begins with.
pub const PREFIX: &str = "wr_";

/// Letters of an id: none looks like another.
const ID_LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const ID_LENGTH: usize = 10;
/// Letters that 256 bits take in base64.
const RANDOM_LENGTH: usize = 43;

/// A secret, which is told once and not kept.
pub struct Secret {
    id: String,
    text: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret of {}", self.id)
    }
}

impl Secret {
    /// The secret of a new key, with a new id.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn draw() -> Result<Self> {
        let letters = random()?;
        let letter = |byte: &u8| char::from(ID_LETTERS[usize::from(*byte) % ID_LETTERS.len()]);
        Self::draw_for(&letters[..ID_LENGTH].iter().map(letter).collect::<String>())
    }

    /// Another secret of a key.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn draw_for(id: &str) -> Result<Self> {
        Ok(Self { id: id.to_owned(), text: format!("{PREFIX}{id}_{}", token()?) })
    }

    /// The id of its key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The text that a client sends.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub fn hash(&self) -> Hash {
        hash_of(&self.text)
    }
}

/// What is kept of a secret. It is no `PartialEq`: it is compared by [`Hash::is`].
#[derive(Clone)]
pub struct Hash([u8; 32]);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl Hash {
    /// A stored one.
    pub fn stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to store.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are of one secret, told in a time that does not depend on where they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).to_bool()
    }
}

/// The hash of a text.
pub fn hash_of(text: &str) -> Hash {
    Hash(Sha256::digest(text.as_bytes()).into())
}

/// The id in a text that looks like a secret.
pub fn id_of(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(PREFIX)?;
    let (id, random) = (rest.get(..ID_LENGTH)?, rest.get(ID_LENGTH..)?.strip_prefix('_')?);
    (random.len() == RANDOM_LENGTH).then_some(id)
}

/// 256 random bits as a text that may stand in a URL.
///
/// # Errors
/// The system gives no random bytes.
pub fn token() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random()?))
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::Internal(format!("the system gives no random bytes: {e}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_its_key_and_may_stand_in_a_url() {
        let secret = Secret::draw().unwrap();
        assert_eq!(id_of(secret.text()), Some(secret.id()));
        assert_eq!((secret.text().len(), secret.id().len()), (57, 10));
        assert!(secret.text().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let other = Secret::draw_for(secret.id()).unwrap();
        assert_eq!(id_of(other.text()), Some(secret.id()));
        assert!(!other.hash().is(&secret.hash()) && secret.hash().is(&hash_of(secret.text())));
        assert_ne!(Secret::draw().unwrap().id(), secret.id());
    }

    #[test]
    fn what_is_printed_of_a_secret_does_not_tell_it() {
        let secret = Secret::draw().unwrap();
        let told = format!("{secret:?} {:?}", secret.hash());
        assert!(!told.contains(&secret.text()[14..]), "{told}");
    }

    #[test]
    fn what_looks_like_no_secret_names_no_key() {
        let text = Secret::draw().unwrap().text().to_owned();
        for other in ["", "wr_", "wr_abc", "wr_ääääääääää_", &text[1..], &text[..56], &format!("{text}x")]
        {
            assert_eq!(id_of(other), None, "{other}");
        }
    }
}
