//! What the loop does with clients that are told what is new: from their admission to their end. `live` is one of them, the hub of
//! `http::live` finds what they are told, `front` asks for this.

use std::io;
use std::time::{Duration, Instant};

use mio::event::Event;

use crate::http::guard::backend::Asked;
use crate::http::guard::client::{Client, Phase};
use crate::http::guard::front::Front;
use crate::http::guard::head::Refusal;
use crate::http::guard::live::{Live, Read, Why};
use crate::http::guard::wire::Wire;
use crate::http::live::PATH;
use crate::http::live::line::{News, Push};
use crate::limits;

/// Whether a request may ask to be told what is new.
pub fn may_watch(target: &str) -> bool {
    target.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
}

impl Front {
    /// Begins to tell a client what is new, where it was let in for that; false where its reply is one like others.
    pub(super) fn admit(&mut self, asked: Asked) -> bool {
        let watching = self.watching();
        let most = self.connections_max / 2;
        let Some(client) = self.clients[asked.slot].as_mut() else { return false };
        let Phase::Asked { line: Some(line), .. } = &client.phase else { return false };
        let Some(form) = line.form().cloned() else { return false };
        if self.is_draining || watching >= most {
            let detail = "too many clients are told what is new; try again later";
            self.refuse(asked.slot, &Refusal::new(503, detail));
            return true;
        }
        client.wire.keep_little(Duration::from_secs(limits::LIVE_TAKES_S));
        let now = Instant::now();
        let live = Live::new(line.clone(), &form, asked.id, client.take_ahead(), now);
        client.phase = Phase::Live(Box::new(live));
        client.deadline = now + Duration::from_secs(limits::LIVE_PING_S);
        self.write_live(asked.slot);
        self.read_live(asked.slot);
        true
    }

    fn watching(&self) -> usize {
        self.clients.iter().flatten().filter(|client| matches!(client.phase, Phase::Live(_))).count()
    }

    /// Takes what the hub tells.
    pub(super) fn take_news(&mut self) {
        while let Some(Push { slot, serial, news }) = self.switchboard.next() {
            let is_it = |client: &Client| client.serial == serial;
            if !self.clients.get(slot).and_then(Option::as_ref).is_some_and(is_it) {
                continue;
            }
            let (message, is_last) = match news {
                News::Say(message) => (message, false),
                News::End(message) => (message, true),
            };
            self.with_live(slot, |live, _| {
                live.say(&message, Instant::now());
                Ok(())
            });
            if is_last {
                self.end_live(slot, Why::Done);
            } else {
                self.write_live(slot);
            }
        }
    }

    /// Does what an event of such a client asks for; false where it is none.
    pub(super) fn live_ready(&mut self, slot: usize, event: &Event) -> bool {
        let Some(client) = self.clients[slot].as_ref() else { return false };
        if !matches!(client.phase, Phase::Live(_)) {
            return false;
        }
        if event.is_error() {
            self.drop_client(slot);
            return true;
        }
        // both: what came before the head of the reply was written has not been read
        self.write_live(slot);
        self.read_live(slot);
        true
    }

    fn write_live(&mut self, slot: usize) {
        let mut is_over = false;
        self.with_live(slot, |live, wire| {
            live.write(wire)?;
            is_over = live.is_over();
            Ok(())
        });
        if is_over && let Some(client) = self.clients[slot].as_mut() {
            client.close(Instant::now());
            self.again.push(slot);
        }
    }

    /// Reads what such a client sends.
    pub(super) fn read_live(&mut self, slot: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut read = Read::All;
        self.with_live(slot, |live, wire| {
            read = live.read(wire, &mut scratch, Instant::now())?;
            Ok(())
        });
        self.scratch = scratch;
        // a sign of life may have been asked for
        self.write_live(slot);
        if read == Read::Some {
            self.again.push(slot);
        }
    }

    /// Tells such a client the end.
    pub(super) fn end_live(&mut self, slot: usize, why: Why) {
        if let Some(client) = self.clients[slot].as_mut() {
            client.deadline = Instant::now() + Duration::from_secs(limits::LINGER_S);
        }
        self.with_live(slot, |live, _| {
            live.end(why);
            Ok(())
        });
        self.write_live(slot);
    }

    /// Looks after such a client whose time has come.
    pub(super) fn live_due(&mut self, slot: usize, now: Instant) {
        if let Some(client) = self.clients[slot].as_mut() {
            client.deadline = now + Duration::from_secs(limits::LIVE_PING_S);
        }
        self.with_live(slot, |live, wire| {
            let patience = Duration::from_secs(limits::LIVE_TAKES_S);
            let has_stalled = live.waits_since().is_some_and(|since| now - since >= patience);
            if live.is_ending() || has_stalled || live.is_silent(now) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            live.ping(wire, now)
        });
        self.write_live(slot);
    }

    /// Does something with such a client, which goes where that fails; nothing where it has gone.
    fn with_live(&mut self, slot: usize, work: impl FnOnce(&mut Live, &mut Wire) -> io::Result<()>) {
        let Some(client) = self.clients[slot].as_mut() else { return };
        let Phase::Live(live) = &mut client.phase else { return };
        let held = live.held();
        let done = work(live, &mut client.wire);
        self.replies_bytes = self.replies_bytes + live.held() - held;
        if done.is_err() {
            self.drop_client(slot);
        }
    }
}
