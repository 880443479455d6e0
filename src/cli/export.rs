//! `windrow export DATASET`: rows as NDJSON, CSV or Parquet, to standard output or a file, also beside a running server.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde_json::json;

use crate::cli::Session;
use crate::cli::progress::{counted, shown, size_text};
use crate::cli::sql::snapshot_with;
use crate::error::{Error, Result, nearest_or_first};
use crate::query::export::{Export, ExportRequest, csv, ndjson, parquet};
use crate::store::backup::check_target;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// What `export` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow export visits --output visits.ndjson.gz\n  \
    windrow export visits --format csv --where \"country = 'DE'\" --fields _time,ms\n  \
    windrow export visits --output visits.parquet --overwrite\n\n\
    Rows come in the order of _seq. What was exported can be imported again. Works beside a running server.")]
pub struct ExportArguments {
    /// The dataset
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// ndjson, csv or parquet [default: what the name of the file says; ndjson on standard output]
    #[arg(long, value_name = "FORMAT")]
    format: Option<ExportFormat>,
    /// The rows to write: those that this SQL expression is true for [default: all]
    #[arg(long = "where", value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Exactly these fields, in this order, with commas between [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    fields: Option<Vec<String>>,
    /// The file, packed where its name ends in .gz or .zst; - is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace the file where it is there already
    #[arg(long)]
    overwrite: bool,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// An object a line.
    Ndjson,
    /// A header, then a line a row.
    Csv,
    /// Columns with types.
    Parquet,
}

/// Every format with its name and the ends of file names that say it.
const FORMATS: [(ExportFormat, &str, &[&str]); 3] = [
    (ExportFormat::Ndjson, "ndjson", &["ndjson", "jsonl", "jsonlines"]),
    (ExportFormat::Csv, "csv", &["csv"]),
    (ExportFormat::Parquet, "parquet", &["parquet"]),
];

impl FromStr for ExportFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = FORMATS.iter().find(|(_, name, _)| *name == text).map(|(format, ..)| *format);
        found.ok_or_else(|| {
            let hint = nearest_or_first(text, FORMATS.iter().map(|(_, name, _)| *name));
            Error::invalid(format!("\"{text}\" is no format of an export{hint}"))
        })
    }
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Format and packing that the name of a file says.
fn told_by_name(path: &Path) -> (Option<ExportFormat>, Packing) {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let (name, packing) = match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
        (Some(name), _) => (name, Packing::Gzip),
        (_, Some(name)) => (name, Packing::Zstd),
        _ => (name.as_str(), Packing::Plain),
    };
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default();
    let found = FORMATS.iter().find(|(_, _, endings)| endings.contains(&ending));
    (found.map(|(format, ..)| *format), packing)
}

/// Format and packing of what is written.
fn form(arguments: &ExportArguments, is_file: bool) -> Result<(ExportFormat, Packing)> {
    if !is_file {
        return Ok((arguments.format.unwrap_or(ExportFormat::Ndjson), Packing::Plain));
    }
    let (told, packing) = told_by_name(&arguments.output);
    let format = arguments.format.or(told).ok_or_else(|| {
        Error::invalid(format!(
            "the name {} says no format; end it in .ndjson, .csv or .parquet, or say --format",
            arguments.output.display()
        ))
    });
    match format? {
        ExportFormat::Parquet if packing != Packing::Plain => {
            Err(Error::invalid("a Parquet file is packed within; name it without .gz or .zst"))
        }
        format => Ok((format, packing)),
    }
}

/// Exports.
///
/// # Errors
/// Unknown names, a condition that cannot be read, damaged columns, a file that cannot be written or is there already.
pub fn run(session: &Session, arguments: &ExportArguments) -> Result<()> {
    let database = &session.settings.database;
    let is_file = arguments.output != Path::new("-");
    let (format, packing) = form(arguments, is_file)?;
    if is_file {
        check_target(database, &arguments.output, arguments.overwrite, "export")?;
    }
    let snapshot = snapshot_with(database, &arguments.dataset)?;
    let request = ExportRequest {
        dataset: arguments.dataset.clone(),
        filter: arguments.filter.clone(),
        fields: arguments.fields.clone(),
        ..ExportRequest::default()
    };
    let export = Export::new(&snapshot, &request)?;
    if !is_file {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout());
        let done = write(&export, format, &mut out).and_then(|_| flush(&mut out));
        return match done {
            // whoever reads it may stop early, as `head` does
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        };
    }
    let rows = shown(|progress| {
        progress.begin("exporting", 0);
        to_file(&export, format, packing, &arguments.output)
    })?;
    let file = arguments.output.display().to_string();
    let bytes = arguments.output.metadata().map_or(0, |file| file.len());
    let text = match session.json {
        true => json!({"file": file, "rows": rows, "bytes": bytes}).to_string(),
        false => format!("export: {}, {}: {file}", counted(rows, "row"), size_text(bytes)),
    };
    session.print((text + "\n").as_bytes())
}

/// Writes beside the file and renames at the end, so that the name never stands for half an export.
fn to_file(export: &Export, format: ExportFormat, packing: Packing, path: &Path) -> Result<u64> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let done = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(|e| {
            Error::io(
                format!("cannot create {} (its folder has to exist and be writable)", partial.display()),
                e,
            )
        })
        .and_then(|file| packed(export, format, packing, file))
        .and_then(|rows| {
            let context = || format!("cannot rename {} to {}", partial.display(), path.display());
            std::fs::rename(&partial, path).map(|()| rows).map_err(|e| Error::io(context(), e))
        });
    if done.is_err() {
        // what cannot be removed is replaced by the next export
        let _ = std::fs::remove_file(&partial);
    }
    done
}

fn packed(export: &Export, format: ExportFormat, packing: Packing, file: File) -> Result<u64> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let rows = match packing {
        Packing::Plain => write(export, format, &mut out)?,
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
            let rows = write(export, format, &mut encoder)?;
            encoder.finish().map_err(failed)?;
            rows
        }
        Packing::Zstd => {
            let mut encoder =
                zstd::Encoder::new(&mut out, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(failed)?;
            let rows = write(export, format, &mut encoder)?;
            encoder.finish().map_err(failed)?;
            rows
        }
    };
    flush(&mut out)?;
    out.get_ref().sync_all().map_err(failed)?;
    Ok(rows)
}

fn write(export: &Export, format: ExportFormat, out: &mut (impl Write + Send)) -> Result<u64> {
    match format {
        ExportFormat::Ndjson => {
            export.run(ndjson::encode, |bytes: Vec<u8>| out.write_all(&bytes).map_err(failed))
        }
        ExportFormat::Csv => {
            out.write_all(&csv::header(export.fields())?).map_err(failed)?;
            export.run(csv::encode, |bytes: Vec<u8>| out.write_all(&bytes).map_err(failed))
        }
        ExportFormat::Parquet => {
            let kinds = parquet::kinds(export);
            let mut file = parquet::File::begin(out, export, &kinds)?;
            let rows = export.run(|batch| parquet::encode(batch, &kinds), |rows| file.add(rows))?;
            file.finish()?;
            Ok(rows)
        }
    }
}

fn flush(out: &mut impl Write) -> Result<()> {
    out.flush().map_err(failed)
}

fn failed(error: std::io::Error) -> Error {
    Error::io("cannot write the export", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_format_and_packing() {
        let told = |name: &str| told_by_name(Path::new(name));
        assert_eq!(told("a/visits.ndjson.gz"), (Some(ExportFormat::Ndjson), Packing::Gzip));
        assert_eq!(told("visits.CSV"), (Some(ExportFormat::Csv), Packing::Plain));
        assert_eq!(told("visits.jsonl.zst"), (Some(ExportFormat::Ndjson), Packing::Zstd));
        assert_eq!(told("visits"), (None, Packing::Plain));
        assert!("cvs".parse::<ExportFormat>().unwrap_err().to_string().contains("csv"));
    }
}
