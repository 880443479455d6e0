//! `windrow sample PACK`: sample data as NDJSON, drawn from a seed, to standard output or a file. No database is needed.

use std::fs::OpenOptions;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::Session;
use crate::cli::progress::{counted, size_text};
use crate::error::{Error, Result};
use crate::packs::{self, DAYS, Pack, ROWS, SampleRequest, UNTIL_US};
use crate::time;

/// Days of sample data at most: ten years.
const DAYS_MAX: u64 = 3_653;
/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// What `sample` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow sample web --rows 1000 --output web.ndjson\n  \
    windrow sample web --rows 1000000 --days 365 | windrow import pageviews -\n\n\
    Packs: web (page views and goals of three websites: visitors, sessions, referrers, countries).\n\
    The same arguments write the same bytes, on every machine and on every day.")]
pub struct SampleArguments {
    /// The pack: web
    #[arg(value_name = "PACK")]
    pack: String,
    /// Exactly so many events
    #[arg(long, value_name = "COUNT", default_value_t = ROWS, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// What chance begins with: another seed, other data
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The days that the events are spread over
    #[arg(long, value_name = "COUNT", default_value_t = DAYS, value_parser = clap::value_parser!(u64).range(1..=DAYS_MAX))]
    days: u64,
    /// All events are before this day or time; not today unless asked for, so that the bytes stay the same
    #[arg(long, value_name = "TIME", default_value_t = Until(UNTIL_US))]
    until: Until,
    /// The file; - is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace the file where it is there already
    #[arg(long)]
    overwrite: bool,
}

/// A time on the command line, µs.
#[derive(Debug, Clone, Copy)]
struct Until(i64);

impl std::fmt::Display for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&time::format(self.0))
    }
}

impl std::str::FromStr for Until {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        time::parse(text).map(Self).ok_or_else(|| {
            Error::invalid(format!("\"{text}\" is no day or time; write 2026-11-01 or 2026-11-01T12:00:00Z"))
        })
    }
}

/// Writes the sample data.
///
/// # Errors
/// A pack that is none, a span before the year 0, a file that cannot be written or is there already.
pub fn run(session: &Session, arguments: &SampleArguments) -> Result<()> {
    let pack = packs::find(&arguments.pack)?;
    let until_us = arguments.until.0;
    let from_us = until_us - arguments.days as i64 * time::DAY;
    if from_us < time::MIN {
        return Err(Error::invalid(format!(
            "{} days before {} is before the year 0; name a later --until",
            arguments.days, arguments.until
        )));
    }
    let request = SampleRequest { seed: arguments.seed, rows: arguments.rows, from_us, until_us };
    if arguments.output == Path::new("-") {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout());
        return match (pack.write)(&request, &mut out).and_then(|()| out.flush()) {
            // whoever reads it may stop early, as `head` does
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("cannot write the sample", e)),
            _ => Ok(()),
        };
    }
    let file = &arguments.output;
    if file.is_dir() {
        return Err(Error::invalid(format!("{} is a folder; name a file in it", file.display())));
    }
    if file.exists() && !file.is_file() {
        return Err(Error::invalid(format!(
            "{} is no plain file, and is not replaced; name another file, or - for standard output",
            file.display()
        )));
    }
    if file.exists() && !arguments.overwrite {
        return Err(Error::Conflict(format!(
            "{} is there already; name another file, or replace it with --overwrite",
            file.display()
        )));
    }
    let bytes = to_file(pack, &request, file)?;
    let (name, rows) = (file.display().to_string(), arguments.rows);
    let text = match session.json {
        true => json!({"file": name, "rows": rows, "bytes": bytes}).to_string(),
        false => format!("sample: {}, {}: {name}", counted(rows, "row"), size_text(bytes)),
    };
    session.print((text + "\n").as_bytes())
}

/// Writes beside the file and renames at the end, so that the name never stands for a part of it. Gives the bytes.
fn to_file(pack: &Pack, request: &SampleRequest, path: &Path) -> Result<u64> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o644).open(&partial);
    let file = opened.map_err(|e| {
        Error::io(format!("cannot create {} (its folder has to exist and be writable)", partial.display()), e)
    })?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let done = (pack.write)(request, &mut out)
        .and_then(|()| out.flush())
        .and_then(|()| out.get_ref().sync_all())
        .and_then(|()| out.get_ref().metadata())
        .and_then(|written| std::fs::rename(&partial, path).map(|()| written.len()));
    done.map_err(|e| {
        // what cannot be removed is replaced by the next sample
        let _ = std::fs::remove_file(&partial);
        Error::io(format!("cannot write {}", path.display()), e)
    })
}
