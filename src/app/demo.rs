//! The demo: a database with sample data that end now, served, with a few events more every now and then. `windrow demo`
//! calls [`demo`].
//!
//! What must hold is that a kill at any moment leaves a file that the next start goes on with, and that no other file is
//! ever touched. The file names its maker from its first commit on. The data come in batches, and the transaction of
//! each also notes until when there are data, as an import notes its place; only the last batch of the first load says
//! that the load has ended. A load that has not is done again, one that has is brought up to the present.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::app::jobs::OwnJobs;
use crate::app::serve::Entrance;
use crate::app::{Engine, cache_options, store_options};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::fields::Declaration;
use crate::ingest::accept::{accept_in_turn, decode_json};
use crate::ingest::destination::Patient;
use crate::limits;
use crate::packs::SampleRequest;
use crate::packs::web::{self, Event, Events};
use crate::store::catalog::ImportMark;
use crate::store::maker::{Maker, maker_of};
use crate::store::{Store, StoreOptions, lock};
use crate::time::{self, DAY, SECOND};

/// The database of the demo, where no other is named.
pub const DATABASE: &str = "windrow-demo.db";

/// What the file calls its maker.
const MAKER: &str = "windrow demo";
/// What the place of the data is noted under, as if they came from a file of this name.
const SOURCE: &str = "windrow demo";
/// All demos tell of the same visitors.
const SEED: u64 = 1;
/// Whole days of data, twice what the first page compares and a little; and events in them.
const DAYS: i64 = 61;
const ROWS: u64 = 200_000;
/// Events of a week as the days go on without the demo: as many as there were.
const ROWS_A_WEEK: u64 = ROWS * 7 / DAYS as u64;
/// Events of a week that come while the demo runs: one in five seconds, so that something moves.
const LIVE_ROWS_A_WEEK: u64 = 7 * 24 * 60 * 60 / 5;
/// How often they are looked for.
const LIVE_EVERY: Duration = Duration::from_secs(1);

/// What the database of the demo has when it is served.
#[derive(Debug, Clone, Copy)]
pub struct Filled {
    /// Events that were added now.
    pub added: u64,
    /// All events of the demo.
    pub rows: u64,
    /// Days that they reach back.
    pub days: u64,
    /// What adding took.
    pub elapsed: Duration,
    /// Whether the data were made from nothing.
    pub is_new: bool,
}

/// Makes or completes the database of the demo and serves it until SIGINT or SIGTERM. `announce` is called with what there
/// is and where, as soon as it can be looked at.
///
/// # Errors
/// An address that is in use, a database that the demo did not make, one that another process has; the store's. Then
/// nothing was changed.
pub fn demo(settings: &Settings, announce: impl FnOnce(&Filled, &str) -> Result<()>) -> Result<()> {
    // the data are no secret, and the link that is printed shall work as often as it is opened
    let entrance = Entrance::open(settings, true)?;
    lock::check_free(&settings.database)?;
    check_maker(settings)?;
    let options = StoreOptions { made_by: Some(MAKER), ..store_options(settings) };
    let (cache, jobs) = (cache_options(settings)?, OwnJobs::read(settings)?);
    let engine = Engine::open_with(&settings.database, options)?;
    let engine = engine.with_limits(settings.into()).with_cache(cache);
    let engine = engine.with_own_jobs(settings, &jobs)?;
    let filled = fill(&engine.store, ROWS, time::now())?;
    let live = Live::start(Arc::clone(&engine.store))?;
    let ended = entrance.serve(&engine, settings, jobs.warm(), |address, _| announce(&filled, address));
    live.stop();
    engine.close();
    ended
}

fn check_maker(settings: &Settings) -> Result<()> {
    let path = &settings.database;
    let advice = "the demo uses only a file that it made itself: move this one away, or name another with \
                  `windrow --db FILE demo`";
    match maker_of(path) {
        Ok(Maker::Nobody) => Ok(()),
        Ok(Maker::Named(name)) if name == MAKER => Ok(()),
        Ok(_) => Err(Error::Conflict(format!(
            "{} was not made by `windrow demo`, and stays as it is; {advice}",
            path.display()
        ))),
        Err(Error::Conflict(what) | Error::Corrupt(what)) => {
            Err(Error::Conflict(format!("{what}. It stays as it is; {advice}")))
        }
        Err(other) => Err(other),
    }
}

/// Brings the data up to the present, from nothing or from where they end.
fn fill(store: &Store, rows: u64, now_us: i64) -> Result<Filled> {
    let started = Instant::now();
    let mark = store.import_mark(web::DATASET, SOURCE)?;
    let there = store.snapshot().datasets.get(web::DATASET).map_or(0, |dataset| dataset.rows());
    let begin_us = (now_us - DAYS * DAY).div_euclid(DAY) * DAY;
    let is_new = !mark.as_ref().is_some_and(|mark| mark.ended);
    let request = match mark {
        Some(mark) if mark.ended => {
            let from_us = (mark.place as i64).saturating_mul(SECOND).max(begin_us);
            let rows = if from_us < now_us { web::rows_between(from_us, now_us, ROWS_A_WEEK) } else { 0 };
            SampleRequest { seed: SEED, rows, from_us, until_us: now_us }
        }
        None if there > 0 => {
            return Err(Error::Conflict(format!(
                "the dataset \"{}\" of {} holds {there} events that the demo did not bring; export and drop it, or name \
                 another file with `windrow --db FILE demo`",
                web::DATASET,
                store.path().display()
            )));
        }
        _ => {
            begin_anew(store)?;
            SampleRequest { seed: SEED, rows, from_us: begin_us, until_us: now_us }
        }
    };
    let added = load(store, &request, is_new)?;
    let rows = store.snapshot().datasets.get(web::DATASET).map_or(0, |dataset| dataset.rows());
    Ok(Filled { added, rows, days: DAYS as u64 + 1, elapsed: started.elapsed(), is_new })
}

/// An empty dataset in the place of what a load that was cut off has left.
fn begin_anew(store: &Store) -> Result<()> {
    if store.snapshot().datasets.contains_key(web::DATASET) {
        store.drop_dataset(web::DATASET)?;
    }
    store.declare(web::DATASET, Declaration { time: Some(web::TIME_FIELD.into()), ..Declaration::default() })
}

/// Some events as NDJSON, and until when there are data with them.
struct Chunk {
    lines: Vec<u8>,
    rows: usize,
    until_us: i64,
    is_last: bool,
}

/// Generates on one thread and commits on another. Until a first load has ended, its marks say so.
fn load(store: &Store, request: &SampleRequest, is_new: bool) -> Result<u64> {
    if request.rows == 0 {
        return Ok(0);
    }
    let (sender, chunks) = bounded(1);
    std::thread::scope(|scope| {
        scope.spawn(move || generate(request, &sender));
        let mut added = 0;
        for chunk in chunks {
            append(store, &chunk, chunk.is_last || !is_new)?;
            added += chunk.rows as u64;
        }
        Ok(added)
    })
}

fn generate(request: &SampleRequest, chunks: &Sender<Chunk>) {
    let mut events = Events::new(*request).peekable();
    while events.peek().is_some() {
        let mut chunk = Chunk { lines: Vec::new(), rows: 0, until_us: request.until_us, is_last: true };
        for event in events.by_ref().take(limits::TAIL_BLOCK_ROWS) {
            event.write(&mut chunk.lines);
            chunk.rows += 1;
        }
        if let Some(next) = events.peek() {
            (chunk.until_us, chunk.is_last) = (next.time_us, false);
        }
        // a reader that has gone had an error, which it tells
        if chunks.send(chunk).is_err() {
            return;
        }
    }
}

/// Commits a chunk together with the note until when there are data.
fn append(store: &Store, chunk: &Chunk, ended: bool) -> Result<()> {
    let place = u64::try_from(chunk.until_us / SECOND).unwrap_or(0);
    let mark = ImportMark { source: SOURCE.into(), place, ended };
    let destination = Patient { store, dataset: web::DATASET, reach: Arc::default() };
    let done =
        accept_in_turn(&destination, Some(mark), || Ok(false), |rules| decode_json(&chunk.lines, rules))?;
    match done.rejected.first() {
        // somebody declared the dataset otherwise
        Some(first) => Err(Error::Conflict(format!(
            "\"{}\" does not take the events of the demo: {}; drop it, and the next demo makes it anew",
            web::DATASET,
            first.message
        ))),
        None => Ok(()),
    }
}

/// A thread that adds events as they would happen now.
struct Live {
    stop: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Live {
    fn start(store: Arc<Store>) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let work = move || {
            let mut feed = Feed::from(time::now());
            let mut is_well = true;
            while stopped.recv_timeout(LIVE_EVERY) == Err(RecvTimeoutError::Timeout) {
                let done = feed.add(&store, time::now());
                if let Err(e) = &done
                    && is_well
                {
                    tracing::warn!("the demo adds no more events for now: {e}");
                }
                is_well = done.is_ok();
            }
        };
        let thread = std::thread::Builder::new()
            .name("demo".into())
            .spawn(work)
            .map_err(|e| Error::io("cannot start the thread that adds events to the demo", e))?;
        Ok(Self { stop, thread })
    }

    fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that adds events to the demo panicked");
        }
    }
}

/// What happens from now on, day by day.
struct Feed {
    events: std::iter::Peekable<Events>,
    until_us: i64,
}

impl Feed {
    fn from(from_us: i64) -> Self {
        let until_us = from_us + DAY;
        let rows = web::rows_between(from_us, until_us, LIVE_ROWS_A_WEEK);
        let events = Events::new(SampleRequest { seed: SEED, rows, from_us, until_us }).peekable();
        Self { events, until_us }
    }

    /// Adds what has happened until now; what cannot be added is left out.
    fn add(&mut self, store: &Store, now_us: i64) -> Result<()> {
        if now_us >= self.until_us {
            *self = Self::from(now_us);
        }
        let mut chunk = Chunk { lines: Vec::new(), rows: 0, until_us: now_us, is_last: true };
        while let Some(event) = self.events.next_if(|event: &Event| event.time_us <= now_us) {
            event.write(&mut chunk.lines);
            chunk.rows += 1;
        }
        // a dataset that was dropped meanwhile stays away until the next start
        if chunk.rows == 0 || !store.snapshot().datasets.contains_key(web::DATASET) {
            return Ok(());
        }
        append(store, &chunk, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 20_700 * DAY + 15 * time::HOUR;
    const FEW: u64 = 3_000;

    struct House {
        store: Store,
        _folder: tempfile::TempDir,
    }

    fn house() -> House {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
        House { store, _folder: folder }
    }

    fn range(store: &Store) -> (i64, i64) {
        store.snapshot().whole_dataset(web::DATASET).unwrap().time_range().unwrap()
    }

    #[test]
    fn what_is_filled_ends_now_and_a_second_start_adds_nothing() {
        let house = house();
        let filled = fill(&house.store, FEW, NOW).unwrap();
        assert_eq!((filled.added, filled.rows, filled.is_new), (FEW, FEW, true));
        let (first, last) = range(&house.store);
        assert!(first < NOW - (DAYS - 1) * DAY && last < NOW && last > NOW - 2 * time::HOUR);
        let again = fill(&house.store, FEW, NOW).unwrap();
        assert_eq!((again.added, again.rows, again.is_new), (0, FEW, false));
    }

    #[test]
    fn days_that_went_by_are_made_up_for() {
        let house = house();
        fill(&house.store, FEW, NOW).unwrap();
        let later = fill(&house.store, FEW, NOW + 7 * DAY).unwrap();
        assert_eq!((later.added, later.is_new), (ROWS_A_WEEK, false));
        let (_, last) = range(&house.store);
        assert!(last > NOW + 7 * DAY - time::HOUR && last < NOW + 7 * DAY);
        let much_later = fill(&house.store, FEW, NOW + 1_000 * DAY).unwrap();
        assert!(much_later.added < ROWS * 11 / 10, "no more than the page can show");
        assert_eq!(fill(&house.store, FEW, NOW).unwrap().added, 0, "a clock that was set back");
    }

    #[test]
    fn a_load_that_was_cut_off_is_done_again() {
        let house = house();
        let request = SampleRequest { seed: SEED, rows: 500, from_us: NOW - DAY, until_us: NOW };
        let (sender, chunks) = bounded(1);
        generate(&request, &sender);
        let mut chunk = chunks.recv().unwrap();
        chunk.is_last = false;
        begin_anew(&house.store).unwrap();
        assert_eq!(fill(&house.store, FEW, NOW).unwrap().added, FEW, "cut off before the first batch");
        house.store.drop_dataset(web::DATASET).unwrap();
        begin_anew(&house.store).unwrap();
        append(&house.store, &chunk, false).unwrap();
        let filled = fill(&house.store, FEW, NOW).unwrap();
        assert_eq!((filled.added, filled.rows), (FEW, FEW), "cut off after a batch");
    }

    #[test]
    fn events_of_others_are_not_dropped() {
        let house = house();
        let destination = Patient { store: &house.store, dataset: web::DATASET, reach: Arc::default() };
        crate::ingest::accept::accept(&destination, |rules| decode_json(b"{\"n\": 1}", rules)).unwrap();
        let refused = fill(&house.store, FEW, NOW).unwrap_err().to_string();
        assert!(refused.contains("pageviews") && refused.contains("--db"), "{refused}");
        assert_eq!(house.store.snapshot().whole_dataset(web::DATASET).unwrap().rows(), 1);
    }

    #[test]
    fn live_events_go_on_from_where_the_data_end_and_day_follows_day() {
        let house = house();
        fill(&house.store, FEW, NOW).unwrap();
        let mut feed = Feed::from(NOW);
        feed.add(&house.store, NOW + 600 * SECOND).unwrap();
        let rows = house.store.snapshot().whole_dataset(web::DATASET).unwrap().rows() - FEW;
        assert!((60..240).contains(&rows), "{rows} events in ten minutes");
        assert_eq!(fill(&house.store, FEW, NOW + 600 * SECOND).unwrap().added, 0);
        feed.add(&house.store, NOW + DAY + SECOND).unwrap();
        assert_eq!(feed.until_us, NOW + 2 * DAY + SECOND);
        house.store.drop_dataset(web::DATASET).unwrap();
        feed.add(&house.store, NOW + DAY + 600 * SECOND).unwrap();
        assert!(!house.store.snapshot().datasets.contains_key(web::DATASET));
    }
}
