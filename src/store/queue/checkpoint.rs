//! A running job notes how far it is, in the transaction that writes what was done until there. Its next attempt begins at that place,
//! however this one ends: nothing is done twice, and nothing is left out.

use rusqlite::params;

use crate::error::Result;
use crate::store::queue::State;
use crate::store::queue::table::{Ended, Row, Table};

impl Table<'_> {
    /// Notes how far a running job is, which runs on. Who comes further has not failed in vain: failures are counted from there.
    pub(super) fn go_on(&mut self, id: i64, row: &Row, checkpoint: &str) -> Result<Ended> {
        if row.is_cancelled {
            // it is told by this, and is cancelled when its function has returned
            return Ok(Ended::Cancelled);
        }
        self.run(
            "UPDATE job SET checkpoint = ?2,
                            failures = CASE WHEN checkpoint IS ?2 THEN failures ELSE 0 END,
                            was_cut_off = CASE WHEN checkpoint IS ?2 THEN was_cut_off ELSE 0 END
              WHERE id = ?1",
            params![id, checkpoint],
        )?;
        Ok(Ended::As(State::Running))
    }
}
