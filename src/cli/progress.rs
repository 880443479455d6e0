//! Shows how far long work is: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::terminal::human;
use crate::store::progress::Progress;
use crate::value::grouped;

/// Time between two looks at the progress.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Does the work while a thread of its own shows how far it is.
pub fn shown<T>(work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let (done, ended) = bounded::<()>(0);
        let watched = &progress;
        scope.spawn(move || match std::io::stderr().is_terminal() {
            true => show_bar(watched, &ended),
            false => show_lines(watched, &ended),
        });
        let result = work(&progress);
        drop(done);
        result
    })
}

fn show_bar(progress: &Progress, ended: &Receiver<()>) {
    let bar = ProgressBar::no_length();
    let style = |template| {
        // a template that does not parse leaves the plain bar
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let (stage, done, total) = progress.now();
        match total {
            0 => bar.set_style(style("{spinner} {msg}, {elapsed}")),
            _ => {
                bar.set_style(style("{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left"));
                bar.set_length(total);
                bar.set_position(done.min(total));
            }
        }
        bar.set_message(stage);
        bar.tick();
    }
    bar.finish_and_clear();
}

fn show_lines(progress: &Progress, ended: &Receiver<()>) {
    while ended.recv_timeout(LINE_EVERY) == Err(RecvTimeoutError::Timeout) {
        let (stage, done, total) = progress.now();
        let share = done.saturating_mul(100).checked_div(total);
        eprintln!("{stage}{}", share.map_or(String::new(), |percent| format!(": {percent} %")));
    }
}

/// Bytes as a person reads them.
pub fn size_text(bytes: u64) -> String {
    if bytes < 1_024 { format!("{bytes} bytes") } else { human::bytes(bytes as f64) }
}

/// A number of things, with the ending of their name.
pub fn counted(number: u64, name: &str) -> String {
    format!("{} {name}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_are_told_in_words() {
        assert_eq!(
            [0, 1_023, 1_536, 5 << 20].map(size_text),
            ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 MiB"]
        );
        assert_eq!(counted(1, "event") + &counted(2_000, "segment"), "1 event2,000 segments");
    }
}
