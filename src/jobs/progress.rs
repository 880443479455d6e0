//! How far a running job is, and how fast it goes: pure figures of what it told and when.

use serde::Serialize;

/// What a job tells of its progress, and what follows from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Progress {
    /// What is done, in units of the job's own.
    pub done: u64,
    /// All that is to be done, where that is known.
    pub total: Option<u64>,
    /// What it is about.
    pub message: String,
    /// Units a second since the attempt began; `None` before anything was done.
    pub per_second: Option<f64>,
    /// Seconds until all is done at that rate.
    pub left_s: Option<f64>,
}

impl Progress {
    /// What follows from what was told so many µs after the beginning.
    pub(super) fn told(done: u64, total: Option<u64>, message: &str, elapsed_us: i64) -> Self {
        let per_second = (done > 0 && elapsed_us > 0).then(|| done as f64 * 1e6 / elapsed_us as f64);
        let left = total.map(|total| total.saturating_sub(done));
        let left_s = left.zip(per_second).map(|(left, rate)| left as f64 / rate);
        Self { done, total, message: message.to_owned(), per_second, left_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_follow_from_what_was_told() {
        let progress = Progress::told(50, Some(200), "pages", 10_000_000);
        assert_eq!((progress.per_second, progress.left_s), (Some(5.0), Some(30.0)));
        assert_eq!(Progress::told(0, Some(9), "", 1_000).left_s, None);
        assert_eq!(Progress::told(9, None, "", 1_000_000).per_second, Some(9.0));
        assert_eq!(Progress::told(9, Some(3), "", 1_000_000).left_s, Some(0.0), "more than was expected");
    }
}
