//! Browsers that signed in, and the link that lets the first one in. Both are in memory alone, as hashes, and end with the
//! process: a session is quickly made again, by a key or by the link that the next start prints, and so a copy of the file
//! is no way in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::limits;
use crate::store::keys::secret::{self, Hash};

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Of who came by the link.
    Browser,
    /// Of a key: it may what the key may now, and ends with it.
    Key(Arc<str>),
}

#[derive(Debug)]
struct Session {
    holder: Holder,
    used_us: i64,
}

/// All sessions, and the link.
#[derive(Debug, Default)]
pub struct Sessions {
    /// By the hash of the token: what a look-up takes tells at most something of a hash.
    open: Mutex<HashMap<[u8; 32], Session>>,
    link: Mutex<Option<(Hash, i64)>>,
}

impl Sessions {
    /// Begins one; gives its token, which nobody else has.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn begin(&self, holder: Holder, now_us: i64) -> Result<String> {
        let token = secret::token()?;
        let mut open = held(&self.open);
        open.retain(|_, session| is_fresh(session, now_us));
        if open.len() >= limits::SIGNED_IN
            && let Some(oldest) =
                open.iter().min_by_key(|(_, session)| session.used_us).map(|(hash, _)| *hash)
        {
            open.remove(&oldest);
        }
        open.insert(*secret::hash_of(&token).bytes(), Session { holder, used_us: now_us });
        Ok(token)
    }

    /// Whose a token is.
    pub fn holder(&self, token: &str, now_us: i64) -> Option<Holder> {
        let mut open = held(&self.open);
        let session =
            open.get_mut(secret::hash_of(token).bytes()).filter(|session| is_fresh(session, now_us))?;
        session.used_us = now_us;
        Some(session.holder.clone())
    }

    /// Ends one.
    pub fn end(&self, token: &str) {
        held(&self.open).remove(secret::hash_of(token).bytes());
    }

    /// A code that lets one browser in, once, until [`limits::SIGN_IN_US`] have passed.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn draw_code(&self, now_us: i64) -> Result<String> {
        let code = secret::token()?;
        *held(&self.link) = Some((secret::hash_of(&code), now_us + limits::SIGN_IN_US));
        Ok(code)
    }

    /// Takes the code: true the first time, and in time.
    pub fn take_code(&self, code: &str, now_us: i64) -> bool {
        let mut link = held(&self.link);
        let is_it = link
            .as_ref()
            .is_some_and(|(hash, until_us)| hash.is(&secret::hash_of(code)) && now_us < *until_us);
        if is_it {
            *link = None;
        }
        is_it
    }
}

fn is_fresh(session: &Session, now_us: i64) -> bool {
    now_us - session.used_us < limits::SESSION_US
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY, MINUTE, SECOND};

    #[test]
    fn a_session_lasts_while_it_is_used() {
        let sessions = Sessions::default();
        let token = sessions.begin(Holder::Browser, 0).unwrap();
        assert_eq!(sessions.holder(&token, 6 * DAY), Some(Holder::Browser));
        assert_eq!(sessions.holder(&token, 12 * DAY), Some(Holder::Browser));
        assert_eq!(sessions.holder(&token, 19 * DAY), None);
        assert_eq!(sessions.holder("", 0), None);
        let other = sessions.begin(Holder::Key("a".into()), 0).unwrap();
        assert_eq!(sessions.holder(&other, 1), Some(Holder::Key("a".into())));
        sessions.end(&other);
        assert_eq!(sessions.holder(&other, 1), None);
    }

    #[test]
    fn there_are_no_more_than_the_limit() {
        let sessions = Sessions::default();
        let first = sessions.begin(Holder::Browser, 0).unwrap();
        let second = sessions.begin(Holder::Browser, 1).unwrap();
        for _ in 0..limits::SIGNED_IN - 1 {
            sessions.begin(Holder::Browser, 2).unwrap();
        }
        assert_eq!(sessions.holder(&first, 3), None);
        assert!(sessions.holder(&second, 3).is_some());
    }

    #[test]
    fn a_code_opens_once_and_in_time() {
        let sessions = Sessions::default();
        let code = sessions.draw_code(0).unwrap();
        assert!(!sessions.take_code("", 0) && !sessions.take_code(&code[1..], 0));
        assert!(!sessions.take_code(&code, 15 * MINUTE));
        assert!(sessions.take_code(&code, 15 * MINUTE - SECOND));
        assert!(!sessions.take_code(&code, 0), "a second time");
    }
}
