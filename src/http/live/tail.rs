//! The tail of a dataset: its rows as they are committed, within somebody's reach and a condition. `hub` asks for what is new.

use std::sync::Arc;

use crate::error::Result;
use crate::http::live::message::Message;
use crate::limits;
use crate::query::budget::Limits;
use crate::query::format;
use crate::query::page::{PageRequest, page};
use crate::store::Store;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::value::Value;

/// The field that numbers rows in the order of their commits.
const SEQ: &str = "_seq";

/// What is watched.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The dataset.
    pub dataset: String,
    /// Rows that count: a SQL expression.
    pub filter: Option<String>,
    /// Exactly these fields, in this order.
    pub fields: Option<Vec<String>>,
    /// What each look may take, and touch.
    pub limits: Limits,
}

impl Tail {
    /// What tells it from others; whoever has the same gets the same messages.
    pub fn key(&self) -> String {
        format!("{:?}", (&self.dataset, &self.filter, &self.fields, self.limits.reach.text()))
    }

    /// The dataset as it is now.
    ///
    /// # Errors
    /// It is not there, or out of reach.
    pub fn dataset(&self, snapshot: &Snapshot) -> Result<Arc<Dataset>> {
        self.limits.reach.dataset(snapshot, &self.dataset)
    }

    /// The `_seq` of the newest row, as who asks may know it; 0 where there is none.
    ///
    /// # Errors
    /// Those of a page of rows.
    pub fn newest(&self, store: &Store, snapshot: &Snapshot) -> Result<i64> {
        if self.limits.reach.filter().is_none() {
            return Ok(self.dataset(snapshot)?.next_seq - 1);
        }
        let request = self.request(None, Some(vec![SEQ.to_owned()]), 1);
        let found = page(snapshot, store.secret(), &request)?;
        Ok(found.rows.first().and_then(|row| seq_of(row)).unwrap_or(0))
    }

    /// The newest of the rows behind one `_seq`, up to another one, as a message; `None` where there are none. Its id is the
    /// `_seq` of its last row: who is bound to some rows is told the numbers of these alone.
    ///
    /// # Errors
    /// Those of a page of rows with this condition and these fields.
    pub fn news(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        behind: i64,
        last: i64,
    ) -> Result<Option<Message>> {
        let mut filter = format!("{SEQ} > {behind} AND {SEQ} <= {last}");
        if let Some(condition) = &self.filter {
            // it was read alone before, so its brackets are its own; it may end in a comment
            filter.push_str(&format!(" AND ({condition}\n)"));
        }
        let is_asked = |fields: &Vec<String>| fields.iter().any(|name| name.eq_ignore_ascii_case(SEQ));
        let has_seq = self.fields.as_ref().is_none_or(is_asked);
        let mut fields = self.fields.clone();
        if let Some(fields) = fields.as_mut().filter(|_| !has_seq) {
            fields.push(SEQ.to_owned());
        }
        let request = self.request(Some(filter), fields, limits::LIVE_ROWS);
        let found = page(snapshot, store.secret(), &request)?;
        let mut is_whole = found.next.is_none();
        let Some(newest) = found.rows.first().and_then(|row| seq_of(row)) else { return Ok(None) };
        let (mut rows, mut bytes, mut oldest) = (Vec::new(), 0, newest);
        for mut row in found.rows {
            let seq = seq_of(&row);
            if !has_seq {
                row.retain(|(name, _)| **name != *SEQ);
            }
            let text = format::row_json(&row);
            bytes += text.len();
            if bytes > limits::LIVE_MESSAGE_BYTES && !rows.is_empty() {
                is_whole = false;
                break;
            }
            oldest = seq.unwrap_or(oldest);
            rows.push(text);
        }
        // oldest first, as they came
        rows.reverse();
        let skipped = (!is_whole).then_some((behind, oldest));
        Ok(Some(self.message(newest, skipped, &rows)))
    }

    fn request(&self, filter: Option<String>, fields: Option<Vec<String>>, limit: usize) -> PageRequest {
        PageRequest {
            dataset: self.dataset.clone(),
            filter,
            order: Some(format!("-{SEQ}")),
            fields,
            limit: Some(limit),
            limits: self.limits.clone(),
            ..PageRequest::default()
        }
    }

    /// A message with rows; of those between two `_seq` some were left out.
    fn message(&self, id: i64, skipped: Option<(i64, i64)>, rows: &[Vec<u8>]) -> Message {
        let mut text = format!("{{\"type\":\"rows\",\"id\":\"{id}\",\"dataset\":\"{}\"", self.dataset);
        if let Some((after, before)) = skipped {
            text.push_str(&format!(",\"skipped\":{{\"after\":{after},\"before\":{before}}}"));
        }
        text.push_str(",\"rows\":[");
        for (place, row) in rows.iter().enumerate() {
            text.push_str(if place > 0 { "," } else { "" });
            text.push_str(String::from_utf8_lossy(row).trim_end());
        }
        text.push_str("]}");
        Message::new(Some(id), text)
    }
}

fn seq_of(row: &[(Arc<str>, Value)]) -> Option<i64> {
    row.iter().find(|(name, _)| **name == *SEQ).and_then(|(_, value)| value.as_int())
}

/// That all is well, and where it begins.
pub fn ready(dataset: &str, id: i64) -> Message {
    let text = format!("{{\"type\":\"ready\",\"id\":\"{id}\",\"dataset\":\"{dataset}\"}}");
    Message::new(Some(id), text)
}
