//! The one error type of the crate: what happened, where, and what to do about it.
//! Every room returns it; `http/problem.rs` alone maps it to a status, `main.rs` alone to an exit code.

use thiserror::Error as ThisError;

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with one item of a request or one row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// Place of the item: its index in the request (from 0) or its line in the file (from 1).
    pub index: u64,
    /// The reason, as a sentence a person can act on.
    pub message: String,
}

/// A limit of what one question may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// How long it may take.
    Deadline,
    /// Bytes that it may hold.
    Memory,
    /// Rows that it may look at.
    Rows,
    /// Whether someone still waits for it.
    Cancelled,
}

/// Everything that can go wrong, by what the caller can do about it.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The request or the command is wrong; it must be changed.
    #[error("{detail}")]
    Invalid {
        /// What is wrong and what to do.
        detail: String,
        /// The items that are wrong, where one request holds many.
        items: Vec<ItemError>,
    },
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The one who asks may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// The state of the store does not allow it now.
    #[error("{0}")]
    Conflict(String),
    /// A body, line or result is larger than its limit.
    #[error("{0}")]
    TooLarge(String),
    /// A question takes more than it may.
    #[error("{detail}")]
    OverBudget {
        /// The limit that ended it.
        bound: Bound,
        /// The limit in numbers, and how to stay within it.
        detail: String,
    },
    /// A content encoding that is not known.
    #[error("{0}")]
    UnsupportedEncoding(String),
    /// Too much is waiting; the same request may succeed later.
    #[error("{detail}")]
    Busy {
        /// What is full.
        detail: String,
        /// When to try again, in seconds.
        retry_after_s: u32,
    },
    /// The disk is full or the file cannot be written.
    #[error("{0}")]
    StorageUnavailable(String),
    /// Stored bytes are damaged.
    #[error("{0}")]
    Corrupt(String),
    /// SQLite failed.
    #[error("{context}: {source}")]
    Sqlite {
        /// What was being done.
        context: String,
        /// SQLite's own error.
        source: rusqlite::Error,
    },
    /// The operating system refused a file or socket.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path or address.
        context: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A bug in Windrow.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

/// What to do about a damaged database file, at the end of the message.
pub const DAMAGED_FILE_ADVICE: &str =
    "; `windrow check` tells what is damaged, `windrow restore FILE --overwrite` puts a backup in its place";

impl Error {
    /// A mistake of the caller, told in one sentence.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into(), items: Vec::new() }
    }

    /// A failed file or socket operation, with what was being done.
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }

    /// A failed SQLite call, with what was being done. A full or read-only disk becomes `StorageUnavailable`,
    /// a damaged file `Corrupt`.
    pub fn sqlite(context: impl Into<String>, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly};
        let context = context.into();
        match source.sqlite_error_code() {
            Some(DiskFull) => Self::StorageUnavailable(format!(
                "{context}: the disk is full ({source}); free space on it, then repeat the request"
            )),
            Some(ReadOnly) => Self::StorageUnavailable(format!(
                "{context}: the database cannot be written ({source}); check the permissions of the file and its folder"
            )),
            Some(DatabaseCorrupt) => Self::Corrupt(format!(
                "{context}: the database file is damaged, a page of it is not what it should be or is missing{DAMAGED_FILE_ADVICE}"
            )),
            Some(NotADatabase) => Self::Corrupt(format!(
                "{context}: the file is not a database, or its first page is damaged; name another file with --db, or \
                 put a backup in its place with `windrow restore FILE --overwrite`"
            )),
            _ => Self::Sqlite { context, source },
        }
    }

    /// Whether it is the disk that fails, rather than what is in the file or the program.
    pub fn is_of_the_disk(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, DiskFull, SystemIoFailure};
        match self {
            Self::StorageUnavailable(_) | Self::Io { .. } => true,
            Self::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(CannotOpen | DiskFull | SystemIoFailure))
            }
            _ => false,
        }
    }

    /// Whether a program should call it a fault of its own rather than of its caller.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::Sqlite { .. } | Self::Io { .. } | Self::Internal(_))
    }
}

/// The names nearest to a mistyped one, as the end of an error message: `; did you mean "a" or "b"?`, or nothing.
///
/// ```
/// let hint = windrow::error::nearest("contry", ["country", "path"].into_iter());
/// assert_eq!(hint, r#"; did you mean "country"?"#);
/// assert_eq!(windrow::error::nearest("pat", ["path", "path"].into_iter()), r#"; did you mean "path"?"#);
/// ```
pub fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    let folded = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = known
        .map(|name| (strsim::jaro_winkler(&folded, &name.to_lowercase()), name))
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, name)| *name);
    let names: Vec<String> = scored.iter().take(3).map(|(_, name)| format!("\"{name}\"")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        [first @ .., last] => format!("; did you mean {} or {last}?", first.join(", ")),
    }
}

/// As [`nearest`]; where nothing is near, the first names that there are.
///
/// ```
/// let hint = windrow::error::nearest_or_first("weight", ["country", "path"].into_iter());
/// assert_eq!(hint, r#"; there are "country", "path""#);
/// ```
pub fn nearest_or_first<'a>(wanted: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    const SHOWN: usize = 8;
    let near = nearest(wanted, known.clone());
    let first: Vec<String> = known.clone().take(SHOWN).map(|name| format!("\"{name}\"")).collect();
    if !near.is_empty() || first.is_empty() {
        return near;
    }
    let more = known.count() - first.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; there are {}{rest}", first.join(", "))
}
