//! What time and want of room do to connections: deadlines that are over, replies that nobody takes, places that others need.
//! `front` asks for it every tenth of a second.

use std::time::{Duration, Instant};

use crate::http::guard::client::Phase;
use crate::http::guard::front::Front;
use crate::http::guard::head::Refusal;
use crate::limits;

/// Connections that go at once where room is needed.
const EVICT_TOGETHER: usize = 32;
/// How long a client has to take its reply before it is cut off where too much waits to be taken.
const SLOW_AFTER: Duration = Duration::from_secs(2);

impl Front {
    /// Looks at every deadline.
    pub(super) fn sweep(&mut self) {
        self.swept = Instant::now();
        let now = self.swept;
        for slot in 0..self.clients.len() {
            let Some(client) = &self.clients[slot] else { continue };
            if client.left.is_some_and(|left| now - left > Duration::from_secs(limits::GONE_S)) {
                client.abandon();
            }
            if now >= client.deadline {
                self.time_is_over(slot);
            }
        }
        if self.replies_bytes > limits::REPLIES_BYTES {
            self.cut_slow_ones(now);
        }
        let clients = &self.clients;
        self.waiting
            .retain(|(slot, serial)| clients[*slot].as_ref().is_some_and(|client| client.serial == *serial));
        self.dispatch();
    }

    fn time_is_over(&mut self, slot: usize) {
        let Some(client) = self.clients[slot].as_ref() else { return };
        let refusal = match &client.phase {
            Phase::Asked { .. } => return,
            Phase::Live(_) => return self.live_due(slot, Instant::now()),
            Phase::Head if client.has_more() => Refusal::new(408, "the head of the request came too slowly"),
            Phase::Body(_) => Refusal::new(408, "the body of the request came too slowly"),
            Phase::Waiting(_) => Refusal::new(503, "no worker had time for the request; send it again"),
            Phase::Head | Phase::Replying { .. } | Phase::Closing { .. } => return self.drop_client(slot),
        };
        self.refuse(slot, &refusal);
    }

    /// Cuts clients off that take their replies slowly, those that have had the longest first, until there is room.
    fn cut_slow_ones(&mut self, now: Instant) {
        let mut slow: Vec<(Instant, usize)> = Vec::new();
        for (slot, client) in self.clients.iter().enumerate() {
            if let Some(since) = client.as_ref().and_then(|client| client.takes_since())
                && now - since > SLOW_AFTER
            {
                slow.push((since, slot));
            }
        }
        slow.sort_unstable();
        for (_, slot) in slow {
            if self.replies_bytes <= limits::REPLIES_BYTES {
                break;
            }
            self.drop_client(slot);
        }
    }

    /// Closes connections that have no request, those that have waited the longest first.
    pub(super) fn evict(&mut self) {
        let mut waiting: Vec<(Instant, usize)> = Vec::new();
        for (slot, client) in self.clients.iter().enumerate() {
            if let Some(client) = client.as_ref().filter(|client| matches!(client.phase, Phase::Head)) {
                waiting.push((client.deadline, slot));
            }
        }
        let count = EVICT_TOGETHER.min(waiting.len());
        if count > 0 {
            waiting.select_nth_unstable(count - 1);
        }
        for (_, slot) in &waiting[..count] {
            self.drop_client(*slot);
        }
    }
}
