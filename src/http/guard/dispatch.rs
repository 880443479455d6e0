//! What the loop does with the private connections: requests that wait go to those that are idle, replies to their clients, and one
//! that breaks is replaced. `front` asks for this, `backend` is one connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mio::Token;

use crate::http::guard::backend::{Asked, Backend};
use crate::http::guard::client::{Client, Phase};
use crate::http::guard::deliver;
use crate::http::guard::front::{BACKENDS, Front};
use crate::http::guard::head::Refusal;
use crate::http::passes::Pass;
use crate::limits;

impl Front {
    /// Gives those who ask whether the server lives the connection that is kept for them.
    pub(super) fn ask_for_health(&mut self, slot: usize) -> bool {
        let is_free = matches!(&self.backends[0], Some(backend) if backend.asked.is_none());
        let asks = |client: &Client| match &client.phase {
            Phase::Waiting(whole) => matches!(&*whole.head.target, "/healthz" | "/readyz"),
            _ => false,
        };
        let is_asked = is_free && self.clients[slot].as_ref().is_some_and(asks);
        if is_asked {
            self.ask(slot, 0);
        }
        is_asked
    }

    /// Gives requests that wait to connections that do not.
    pub(super) fn dispatch(&mut self) {
        while self.replies_bytes <= limits::REPLIES_BYTES && !self.idle.is_empty() {
            let Some((slot, serial)) = self.waiting.pop_front() else { return };
            if self.clients[slot].as_ref().is_some_and(|client| client.serial == serial)
                && let Some(index) = self.idle.pop()
            {
                self.ask(slot, index);
            }
        }
    }

    fn ask(&mut self, slot: usize, index: usize) {
        let (Some(client), Some(backend)) = (self.clients[slot].as_mut(), self.backends[index].as_mut())
        else {
            return;
        };
        let abandoned = Arc::<AtomicBool>::default();
        let may_watch =
            matches!(&client.phase, Phase::Waiting(whole) if deliver::may_watch(&whole.head.target));
        let line = may_watch.then(|| self.switchboard.line(slot, client.serial));
        let Some(whole) = client.hand_over(&abandoned, line.as_ref()) else {
            self.idle.push(index);
            return;
        };
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id;
        let is_behind = self.trusted.trusts(client.address);
        let address = self.trusted.client(client.address, whole.head.forwarded_for.as_deref());
        // a proxy knows how its client came
        let told = whole.head.forwarded_tls.filter(|_| is_behind);
        let is_secure = told.unwrap_or_else(|| client.wire.is_secure());
        self.passes.issue(Pass { address, is_secure, id, abandoned, line });
        backend.counted = std::mem::take(&mut client.counted);
        let (is_head, is_old) = (whole.head.method == "HEAD", whole.head.is_old);
        let asked = Asked { slot, serial: client.serial, id, is_head, is_old };
        if let Err(e) = backend.ask(whole, asked, self.poll.registry()) {
            self.lose_backend(index, &e);
        }
    }

    pub(super) fn backend_ready(&mut self, index: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let Some(backend) = self.backends.get_mut(index).and_then(Option::as_mut) else {
            self.scratch = scratch;
            return;
        };
        let read = backend.write(self.poll.registry()).and_then(|()| backend.read(&mut scratch));
        self.scratch = scratch;
        if backend.is_sent() {
            self.bodies_bytes -= std::mem::take(&mut backend.counted);
        }
        match (read, backend.asked) {
            (Ok(true), Some(asked)) => self.answered(index, asked),
            (Ok(_), _) => {}
            (Err(e), _) => self.lose_backend(index, &e),
        }
    }

    /// Gives a reply to its client, where that is still there, and the connection to the next request.
    fn answered(&mut self, index: usize, asked: Asked) {
        let Some(backend) = self.backends[index].as_mut() else { return };
        let is_sent = backend.is_sent();
        let client = self.clients[asked.slot].as_mut().filter(|client| client.serial == asked.serial);
        let is_last = self.is_draining || client.as_ref().is_none_or(|client| client.is_last);
        let reply = backend.finish(asked, is_last);
        // who is let in to be told what is new gets another reply than this
        let is_there = client.is_some();
        if is_there
            && !self.admit(asked)
            && let Some(client) = self.clients[asked.slot].as_mut()
        {
            client.is_last = is_last;
            client.reply(reply, Instant::now());
            self.replies_bytes += client.reply_bytes();
            self.write(asked.slot);
        }
        if is_sent {
            if index > 0 {
                self.idle.push(index);
            }
            self.dispatch();
        } else {
            self.lose_backend(index, &io::Error::other("it answered before it had the whole request"));
        }
    }

    /// A private connection is of no use any more: its client is told, and another one is made.
    fn lose_backend(&mut self, index: usize, error: &io::Error) {
        let Some(backend) = self.backends[index].take() else { return };
        self.idle.retain(|idle| *idle != index);
        self.bodies_bytes -= backend.counted;
        let _ = self.wanted.send(());
        if !self.is_draining {
            tracing::error!("a private connection broke: {error}");
        }
        if let Some(asked) = backend.asked
            && self.clients[asked.slot].as_ref().is_some_and(|client| client.serial == asked.serial)
        {
            self.refuse(asked.slot, &Refusal::new(503, "the server lost the request; send it again"));
        }
    }

    pub(super) fn take_opened(&mut self) {
        while let Ok(stream) = self.opened.try_recv() {
            let Some(index) = self.backends.iter().position(Option::is_none) else { continue };
            match Backend::new(stream, self.poll.registry(), Token(BACKENDS + index)) {
                Ok(backend) => {
                    self.backends[index] = Some(backend);
                    if index > 0 {
                        self.idle.push(index);
                    }
                }
                Err(e) => tracing::error!("a private connection cannot be watched: {e}"),
            }
        }
        self.dispatch();
    }
}
