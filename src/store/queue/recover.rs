//! What a process that died had in hand goes back to its queue when the file is opened again. The attempt counts as a failed
//! one, so a job that kills its process is dead in the end; a job that was told to end is cancelled.

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::store::queue::table::Table;
use crate::store::queue::{Queues, State, load};

/// What is noted of such an attempt.
const CUT_OFF: &str = "the process ended while the job was in hand";

/// Takes back what was running; gives how many jobs that were.
pub(in crate::store) fn take_back(connection: &Connection, now_us: i64) -> Result<usize> {
    let running = "SELECT id FROM job WHERE state = ?1 ORDER BY id";
    let mut queues = Queues::default();
    let ids = Table { connection, queues: &mut queues }.ids(running, State::Running.code())?;
    if ids.is_empty() {
        return Ok(0);
    }
    queues = load(connection)?;
    let transaction =
        connection.unchecked_transaction().map_err(|e| Error::sqlite("cannot begin a transaction", e))?;
    let mut table = Table { connection: &transaction, queues: &mut queues };
    for id in &ids {
        let Some(row) = table.row(*id)? else { continue };
        if row.is_cancelled {
            table.end(*id, &row, State::Cancelled, None, now_us)?;
        } else {
            table.fail(*id, &row, (CUT_OFF, row.max_attempts), None, now_us)?;
        }
    }
    transaction.commit().map_err(|e| Error::sqlite("cannot commit", e))?;
    Ok(ids.len())
}
