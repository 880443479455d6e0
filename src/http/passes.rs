//! What the guard knows of a request and no header may tell: where it comes from, its id, whether its client still waits. It
//! stays in memory under a number, and the request takes that number through the private socket: `guard` issues passes, `server`
//! redeems them, and what comes with none is not from the guard.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::live::line::Line;

/// The header that has the number; whatever a client sends under this name is not passed on.
pub const HEADER: &str = "Windrow-Pass";

/// What is known of one request.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// The client's address; `None` for a client of a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether it came by TLS, here or at a proxy that is trusted.
    pub is_secure: bool,
    /// The id of the request, in its reply and in the log.
    pub id: u64,
    /// Becomes true when the client goes away.
    pub abandoned: Arc<AtomicBool>,
    /// The way to its client, for a request that asks to be told what is new.
    pub line: Option<Arc<Line>>,
}

/// The passes of requests that are on their way to a worker.
#[derive(Debug, Default)]
pub struct Passes(Mutex<HashMap<u64, Pass>>);

impl Passes {
    /// Keeps a pass under its id.
    pub fn issue(&self, pass: Pass) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pass.id, pass);
    }

    /// Takes the pass of a number out; `None` where there is none.
    pub fn redeem(&self, number: &str) -> Option<Pass> {
        let id = u64::from_str_radix(number, 16).ok()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_good_once() {
        let passes = Passes::default();
        passes.issue(Pass { id: 0xfe, ..Pass::default() });
        assert!(
            passes.redeem("ff").is_none() && passes.redeem("").is_none() && passes.redeem("-1").is_none()
        );
        assert_eq!(passes.redeem("fe").map(|pass| pass.id), Some(0xfe));
        assert!(passes.redeem("fe").is_none());
    }
}
