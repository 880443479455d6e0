//! The web pack: what an analytics service keeps of three websites, an event a page view or goal. `windrow sample web`
//! writes it, `windrow demo` loads it.
//!
//! | field | what it is |
//! |---|---|
//! | `ts` | when, RFC 3339 |
//! | `site`, `event`, `path` | where and what: `pageview`, or a goal: `add_to_cart`, `purchase`, `signup`, `download` |
//! | `referrer`, `utm_source` | the site and the campaign that the session came by; absent where it came by itself |
//! | `country`, `language` | of the visitor |
//! | `device`, `os`, `browser`, `bot` | what the pages are looked at with |
//! | `visitor_id`, `session_id` | who, and on which visit |
//! | `duration_ms` | how long the page was looked at; page views only |
//! | `revenue` | what was paid; purchases only |
//!
//! Everything is drawn from the seed by whole numbers, so that all machines write the same bytes. Countries keep one
//! clock all year. Spans of two weeks and more have a launch, which the whole blog is read for, and a short outage.

mod calendar;
mod sessions;
mod world;

use std::io::Write;

use crate::packs::SampleRequest;
use crate::time;

pub use calendar::rows_between;
pub use sessions::{Event, Events};
use world::{COUNTRIES, SITES, SOURCES};

/// The dataset of the events.
pub const DATASET: &str = "pageviews";
/// The field of their time.
pub const TIME_FIELD: &str = "ts";

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes the events of a request as NDJSON.
///
/// ```
/// use windrow::packs::{SampleRequest, UNTIL_US, web};
/// let request = SampleRequest { seed: 1, rows: 3, from_us: UNTIL_US - windrow::time::DAY, until_us: UNTIL_US };
/// let mut out = Vec::new();
/// web::write(&request, &mut out)?;
/// assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 3);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of `out`.
pub fn write(request: &SampleRequest, out: &mut dyn Write) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES + 1_024);
    for event in Events::new(*request) {
        event.write(&mut buffer);
        if buffer.len() >= BUFFER_BYTES {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)
}

impl Event {
    /// Appends the event as a line of NDJSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (session, visitor) = (&self.session, &self.session.visitor);
        let source = &SOURCES[usize::from(session.source)];
        let (device, os, browser, _) = visitor.machine;
        out.extend_from_slice(b"{\"ts\":\"");
        time::write(self.time_us, out);
        out.push(b'"');
        text(out, "site", SITES[usize::from(session.site)].name);
        text(out, "event", self.happening.name());
        text(out, "path", self.page);
        for (name, value) in [("referrer", source.referrer), ("utm_source", source.utm_source)] {
            if let Some(value) = value {
                text(out, name, value);
            }
        }
        text(out, "country", COUNTRIES[usize::from(visitor.country)].code);
        text(out, "language", COUNTRIES[usize::from(visitor.reads)].language);
        text(out, "device", device);
        text(out, "os", os);
        text(out, "browser", browser);
        bare(out, "bot", if visitor.is_robot { b"true" } else { b"false" });
        identity(out, "visitor_id", visitor.id);
        identity(out, "session_id", session.id);
        if let Some(duration_ms) = self.duration_ms {
            bare(out, "duration_ms", duration_ms.to_string().as_bytes());
        }
        if let Some(cents) = self.revenue_cents {
            bare(out, "revenue", format!("{}.{:02}", cents / 100, cents % 100).as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A text of the tables, none of which needs an escape.
fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn bare(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name);
    out.extend_from_slice(value);
}

/// 48 bits as hexadecimal digits: of a million hardly two are alike by chance.
fn identity(out: &mut Vec<u8>, name: &str, id: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    key(out, name);
    out.push(b'"');
    out.extend((0..12).rev().map(|place| DIGITS[(id >> (4 * place) & 15) as usize]));
    out.push(b'"');
}

#[cfg(test)]
mod tests;
