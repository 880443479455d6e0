//! Files in: `windrow import` calls [`import`] once a file, and gets a [`Report`] of what became of it.
//!
//! How the data travels, forward only:
//!
//! ```text
//! file → source (unpack, mark and magic) → format → chunks (whole records, their line)          the reader's thread
//!      → json | csv_rows | … (cells) → rows (rules of the dataset) → block                          decoders, side by side
//!      → turns (order of the file) → accept → gather                                            one after the other
//!      → store/compose (segments) → store/writer (durable, visible)                             a thread beside them
//! ```
//!
//! The first chunk goes alone: it tells the types of CSV columns and the time field, which all others are decoded
//! under. Then decoders run side by side, and each hands its rows on when all chunks before its own have gone, so events
//! have the order of the file and what is committed when an import breaks off is a beginning of the file.
//! The transaction of a segment also notes where the next one begins, so an import that was cut off, at whatever point,
//! goes on there with nothing lost or doubled. Memory is bounded by the chunks under way and two segments. A JSON
//! document is no stream: it is loaded whole, its items are chunked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

pub use crate::ingest::options::ImportOptions;

use crate::error::{Error, ItemError, Result};
use crate::fields::check_dataset_name;
use crate::ingest::accept::accept_in_turn;
use crate::ingest::arrival;
use crate::ingest::chunks::{Border, Chunks};
use crate::ingest::declare_key::declare_key;
use crate::ingest::declare_time::declare_time;
use crate::ingest::destination::{Destination, Patient, Table};
use crate::ingest::dialect::Dialect;
use crate::ingest::format::{self, FileFormat};
use crate::ingest::gather::Gather;
use crate::ingest::parquet::ParquetFile;
use crate::ingest::records::{Chunk, Decoder, Form, Records};
use crate::ingest::resume::{arrange, mark_name, place_told, resume_place};
use crate::ingest::rules::Rules;
use crate::ingest::source::{self, Source};
use crate::ingest::turns::Turns;
use crate::ingest::{document, parquet};
use crate::limits;
use crate::records::put::PutOptions;
use crate::store::Store;
use crate::store::catalog::ImportMark;

/// How far an import is; anyone may look at it meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the file that were read, as it is packed.
    pub bytes_read: Arc<AtomicU64>,
    /// Bytes of the file; 0 where that is not known.
    pub bytes_total: AtomicU64,
    /// Rows committed.
    pub rows: AtomicU64,
    /// Rows rejected.
    pub rejected: AtomicU64,
}

/// What became of a file.
#[derive(Debug)]
pub struct Report {
    /// The file as it was named.
    pub source: String,
    /// How it was read.
    pub format: FileFormat,
    /// Rows committed.
    pub accepted: u64,
    /// Rows whose id was there already; of records those that were there as they are.
    pub duplicates: u64,
    /// Whether they were records.
    pub of_records: bool,
    /// Rows rejected.
    pub rejected_total: u64,
    /// The first of them, by their line from 1; items of a JSON document count from 0.
    pub rejected: Vec<ItemError>,
    /// What the user should know: what was unwrapped or renamed, where the time is taken from.
    pub notes: Vec<String>,
    /// Bytes that were read, as the file is packed.
    pub bytes: u64,
    /// From opening to the last commit.
    pub elapsed: Duration,
    /// Whether there was nothing to do: the file was imported to its end before.
    pub up_to_date: bool,
    /// Why the import ended before the file did; what is in `accepted` stays.
    pub broken: Option<Error>,
}

/// Imports one file, or standard input where the path is `-`.
///
/// # Errors
/// Nothing of it could be imported: a wrong name, a file that cannot be opened or is not what it should be. What
/// goes wrong after the first commit is in the report.
pub fn import(
    store: &Store,
    dataset: &str,
    path: &Path,
    options: &ImportOptions,
    progress: &Progress,
) -> Result<Report> {
    check_dataset_name(dataset)?;
    declare_key(store, dataset, &options.key)?;
    let started = Instant::now();
    let (input, format, notes) = open(path, options, progress)?;
    options.check(input.name(), format)?;
    let mut report = Report {
        source: input.name().to_owned(),
        format,
        accepted: 0,
        duplicates: 0,
        of_records: store.snapshot().datasets.get(dataset).is_some_and(|dataset| dataset.keyed.is_some()),
        rejected_total: 0,
        rejected: Vec::new(),
        notes,
        bytes: 0,
        elapsed: Duration::ZERO,
        up_to_date: false,
        broken: None,
    };
    let resume = resume_place(store, dataset, path, options, &mut report)?;
    let run = Run {
        store,
        dataset,
        options,
        progress,
        mark: mark_name(path),
        resume,
        reached: AtomicU64::new(resume),
    };
    let mut report = match input {
        Input::Text(source) if format == FileFormat::Json => run.document(source, report),
        Input::Text(source) => run.stream(source, report),
        Input::Parquet(file) => run.rows(file, report),
    }?;
    report.bytes = progress.bytes_read.load(Ordering::Relaxed);
    report.elapsed = started.elapsed();
    run.end(&mut report)?;
    Ok(report)
}

/// A file that is open: text from its beginning on, or columns.
enum Input {
    Text(Source),
    Parquet(Box<ParquetFile>),
}

impl Input {
    fn name(&self) -> &str {
        match self {
            Self::Text(source) => source.name(),
            Self::Parquet(file) => file.name(),
        }
    }
}

/// Opens a file; gives its format, and what the user should know of it.
fn open(
    path: &Path,
    options: &ImportOptions,
    progress: &Progress,
) -> Result<(Input, FileFormat, Vec<String>)> {
    let bytes_read = Arc::clone(&progress.bytes_read);
    if parquet::is_parquet(path, options.format)? {
        let file = ParquetFile::open(path, &options.json_fields, bytes_read)?;
        progress.bytes_total.store(file.bytes_total(), Ordering::Relaxed);
        return Ok((Input::Parquet(Box::new(file)), FileFormat::Parquet, Vec::new()));
    }
    let mut source = Source::open(path, bytes_read)?;
    progress.bytes_total.store(source.bytes_total().unwrap_or(0), Ordering::Relaxed);
    let (format, note) = format::tell(&source, options.format)?;
    let mut notes = source.take_notes();
    notes.extend(note);
    Ok((Input::Text(source), format, notes))
}

/// One chunk, or why there is no further one.
type Next<'a> = Result<Chunk<'a>>;

/// The import of one file.
struct Run<'r> {
    store: &'r Store,
    dataset: &'r str,
    options: &'r ImportOptions,
    progress: &'r Progress,
    /// What the file is known by between imports.
    mark: Option<Arc<str>>,
    /// Where this import begins.
    resume: u64,
    /// Where the chunks so far have ended.
    reached: AtomicU64,
}

impl Run<'_> {
    fn decoder(&self, form: Form) -> Decoder<'_> {
        Decoder { form, json_fields: &self.options.json_fields }
    }

    /// NDJSON, CSV and access logs: chunks of text.
    fn stream(&self, source: Source, mut report: Report) -> Result<Report> {
        let dialect = matches!(report.format, FileFormat::Csv | FileFormat::Tsv).then(|| {
            let (head, is_all) = (source.head(), source.head_is_all());
            let (dialect, note) = Dialect::of(head, is_all, self.resume, report.format, self.options);
            report.notes.extend(note);
            dialect
        });
        let border = dialect.map_or(Border::Line, |dialect| Border::Row { delimiter: dialect.delimiter });
        let (name, compression) = (source.name().to_owned(), source.compression());
        let mut chunks = Chunks::new(source, border);
        let mut next = move |rows_max| match chunks.next(rows_max) {
            Ok(chunk) => Ok(chunk.map(|c| Chunk {
                place: c.first_line,
                end: c.end_line(),
                records: Records::Text(c.bytes),
                rejected: c.rejected,
            })),
            Err(e) => Err(source::broken(
                &name,
                compression,
                e,
                &format!("after line {}", chunks.line().saturating_sub(1)),
            )),
        };
        let Some(mut first) = next(limits::IMPORT_SAMPLE_ROWS)? else { return Ok(report) };
        let form = match dialect {
            None if report.format == FileFormat::AccessLog => Form::AccessLog,
            None => Form::Json,
            Some(dialect) => {
                let told = |e: Error| Error::invalid(format!("{}: {e}", report.source));
                match first.take_header(dialect, self.resume).map_err(told)? {
                    Some((table, notes)) => {
                        report.notes.extend(notes);
                        Form::Table(table)
                    }
                    None => return Ok(report),
                }
            }
        };
        let decoder = self.decoder(form);
        report.notes.extend(decoder.check_json_fields(&first)?);
        self.pipeline(first, move || next(limits::TAIL_BLOCK_ROWS), &decoder, report)
    }

    /// A JSON document: chunks of items.
    fn document(&self, mut source: Source, mut report: Report) -> Result<Report> {
        let body = document::load(&mut source)?;
        let told = |e: Error| Error::invalid(format!("{}: {e}", source.name()));
        let (items, note) = document::records(&body, self.options.at.as_deref()).map_err(told)?;
        report.notes.extend(note);
        let (mut at, mut rows_max) = (0, limits::IMPORT_SAMPLE_ROWS);
        let mut next = || {
            let mut bytes = 0;
            let fits = |item: &&&[u8]| {
                bytes += item.len();
                bytes <= limits::IMPORT_CHUNK_BYTES
            };
            let fitting = items[at..].iter().take(rows_max).take_while(fits).count();
            let count = fitting.max(1).min(items.len() - at);
            let chunk = Chunk {
                records: Records::Items(items[at..at + count].to_vec()),
                place: at as u64,
                end: (at + count) as u64,
                rejected: Vec::new(),
            };
            (at, rows_max) = (at + count, limits::TAIL_BLOCK_ROWS);
            Ok((count > 0).then_some(chunk))
        };
        let Some(first) = next()? else { return Ok(report) };
        let decoder = self.decoder(Form::Json);
        report.notes.extend(decoder.check_json_fields(&first)?);
        self.pipeline(first, next, &decoder, report)
    }

    /// A Parquet file: chunks of rows.
    fn rows(&self, mut file: Box<ParquetFile>, mut report: Report) -> Result<Report> {
        file.skip_to(self.resume);
        let mut next = move || {
            let rows = file.next_rows()?;
            Ok(rows.map(|found| Chunk {
                place: found.place,
                end: found.place + found.rows.rows as u64,
                records: Records::Rows(Box::new(found.rows)),
                rejected: Vec::new(),
            }))
        };
        let Some(first) = next()? else { return Ok(report) };
        let decoder = self.decoder(Form::Parquet);
        report.notes.extend(decoder.check_json_fields(&first)?);
        self.pipeline(first, next, &decoder, report)
    }

    /// From chunks to commits: the reader on a thread of its own, decoders on others and on this one.
    fn pipeline<'a>(
        &self,
        mut first: Chunk<'a>,
        mut next: impl FnMut() -> Result<Option<Chunk<'a>>> + Send,
        decoder: &Decoder<'_>,
        report: Report,
    ) -> Result<Report> {
        let turns = Turns::new(report);
        // one more than cores: each waits while its chunk is committed
        let decoders =
            std::thread::available_parallelism().map_or(1, |n| n.get() + 1).min(limits::IMPORT_DECODERS);
        let (sender, receiver) = bounded(1);
        first.skip_to(self.resume);
        let resume = self.resume;
        let mut next = move || {
            let mut chunk = next()?;
            chunk.iter_mut().for_each(|chunk| chunk.skip_to(resume));
            Ok(chunk)
        };
        if let Some(field) = &self.options.time {
            declare_time(self.store, self.dataset, field, |rules| decoder.decode(&first, rules))?;
        }
        let declaration = Rules::of(&self.store.snapshot(), self.dataset).declaration;
        let (is_deduped, is_records) = (declaration.dedupe.is_some(), declaration.is_records());
        let sealed = std::thread::scope(|scope| {
            // ids are looked up by the writer, batch by batch; without that, rows become segments at once
            let gathered =
                (!is_deduped && !is_records).then(|| Gather::start(self.store, self.dataset, scope));
            let (gather, sealing) = gathered.unzip();
            let gather = gather.map(Arc::new);
            let destination: Arc<dyn Destination + Send> = match &gather {
                Some(gather) => Arc::<Gather>::clone(gather),
                None if is_records => {
                    let options = PutOptions { takes_repeats: true, ..PutOptions::default() };
                    Arc::new(Table::new(self.store, self.dataset, Arc::default(), options))
                }
                None => Arc::new(Patient { store: self.store, dataset: self.dataset, reach: Arc::default() }),
            };
            scope.spawn(move || read(&mut next, &sender));
            let first_done = self.first(&first, decoder, &turns, &*destination);
            drop(first);
            if first_done.is_ok() {
                let others: Vec<_> = (1..decoders)
                    .map(|_| {
                        let (chunks, turns, destination) =
                            (receiver.clone(), &turns, Arc::clone(&destination));
                        scope.spawn(move || self.decode_all(chunks, decoder, turns, &*destination))
                    })
                    .collect();
                self.decode_all(receiver, decoder, &turns, &*destination);
                // what a decoder panicked of, its turn has noted
                others.into_iter().for_each(|other| drop(other.join()));
            }
            // no receiver is left, which ends the reader
            gather.iter().for_each(|gather| gather.finish());
            let sealed = sealing.map(ScopedJoinHandle::join);
            first_done.map(|()| sealed)
        })?;
        let mut report = turns.finish();
        let sealed = sealed.map(|ended| {
            ended.unwrap_or_else(|_| (0, Err(Error::Internal("making a segment panicked".into()))))
        });
        if let Some((rows, Err(e))) = sealed {
            report.accepted = rows;
            report.broken = Some(e);
        }
        Ok(report)
    }

    /// The first chunk: alone, because it tells what the others are decoded under.
    fn first(
        &self,
        chunk: &Chunk<'_>,
        decoder: &Decoder<'_>,
        turns: &Turns,
        destination: &dyn Destination,
    ) -> Result<()> {
        // the note for rows that have no other time than that of their arrival
        let arrived = std::cell::RefCell::new(None);
        let accepted = accept_in_turn(
            destination,
            self.mark_at(chunk.end),
            || Ok(false),
            |rules| {
                let decoded = decoder.decode(chunk, rules);
                let is_arrival = decoded.block.time_range() == (rules.arrival_us, rules.arrival_us);
                arrived.replace(is_arrival.then(|| arrival::note(&decoded)));
                Ok(decoded)
            },
        )?;
        let note = match (destination.rules().time_field, arrived.into_inner()) {
            (Some(field), None) => Some(format!("the time of an event is its field \"{field}\"")),
            (_, Some(_)) if accepted.accepted == 0 => None,
            (Some(field), Some(_)) => Some(format!(
                "none of the first rows that were kept has a value in \"{field}\", the time of an event: they have the \
                 time of their arrival"
            )),
            (None, note) => note,
        };
        turns.note(note);
        self.reached.fetch_max(chunk.end, Ordering::Relaxed);
        self.count(turns.of(0).done(accepted, chunk.rejected.clone()));
        Ok(())
    }

    fn decode_all(
        &self,
        chunks: Receiver<(u64, Next<'_>)>,
        decoder: &Decoder<'_>,
        turns: &Turns,
        destination: &dyn Destination,
    ) {
        for (number, chunk) in chunks {
            let turn = turns.of(number);
            let done = chunk.and_then(|chunk| {
                let accepted = accept_in_turn(
                    destination,
                    self.mark_at(chunk.end),
                    || turn.wait().map(|()| true),
                    |rules| Ok(decoder.decode(&chunk, rules)),
                )?;
                self.reached.fetch_max(chunk.end, Ordering::Relaxed);
                Ok((accepted, chunk.rejected))
            });
            match done {
                Ok((accepted, rejected)) => self.count(turn.done(accepted, rejected)),
                Err(e) => return turn.fail(e),
            }
        }
    }

    fn mark_at(&self, place: u64) -> Option<ImportMark> {
        self.mark.as_ref().map(|source| ImportMark { source: Arc::clone(source), place, ended: false })
    }

    /// Notes that the file was read to its end, or tells how to go on where it was not.
    fn end(&self, report: &mut Report) -> Result<()> {
        if report.broken.is_none() {
            report.broken = self.mark_ended().err();
        }
        if let Some(Error::Invalid { detail, .. } | Error::StorageUnavailable(detail)) = &mut report.broken {
            let place = place_told(self.store, self.dataset, self.mark.as_deref(), report.format);
            detail.push_str(&format!(
                "; the {} rows before it are imported and stay, go on after them{place} with --resume",
                report.accepted
            ));
        }
        arrange(self.store, self.dataset, report)?;
        report.up_to_date &= report.accepted == 0
            && report.duplicates == 0
            && report.rejected_total == 0
            && report.broken.is_none();
        if report.up_to_date {
            report.notes.push("nothing was added to it since it was imported".into());
        }
        Ok(())
    }

    fn mark_ended(&self) -> Result<()> {
        let place = self.reached.load(Ordering::Relaxed);
        match self.mark_at(place) {
            Some(mark) if self.store.snapshot().datasets.contains_key(self.dataset) => {
                self.store.mark_import(self.dataset, ImportMark { ended: true, ..mark })
            }
            _ => Ok(()),
        }
    }

    fn count(&self, (accepted, rejected): (u64, u64)) {
        self.progress.rows.fetch_add(accepted, Ordering::Relaxed);
        self.progress.rejected.fetch_add(rejected, Ordering::Relaxed);
    }
}

/// Sends chunks until there are no more, one cannot be read, or nobody wants them.
fn read<'a>(next: &mut impl FnMut() -> Result<Option<Chunk<'a>>>, chunks: &Sender<(u64, Next<'a>)>) {
    for number in 1.. {
        let chunk = match next() {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => return,
            Err(e) => Err(e),
        };
        let is_last = chunk.is_err();
        if chunks.send((number, chunk)).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
