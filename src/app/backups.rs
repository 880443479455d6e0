//! Backups as jobs: verified copies of the file in a folder, of which the newest stay. The settings say where, how many and when;
//! `windrow jobs submit backup` makes one at once.
//!
//! What must hold: an older copy goes only after a newer one was verified, and nothing goes that does not bear the name of a copy
//! of this database. Where a copy goes is for who owns the machine to say: clients name no files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::app::Engine;
use crate::app::upkeep::{DEADLINE, MAINTENANCE, no_payload};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::jobs::{Context, Kind, NewJob, Outcome, Schedule};
use crate::store::backup::backup;
use crate::store::progress::Progress;
use crate::time;

/// The schedule that the setting makes.
const SCHEDULE: &str = "_backup";
/// Time between two looks at how far a copy is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where the copies of a database are, and how many.
#[derive(Debug, Clone)]
pub(super) struct Backups {
    folder: PathBuf,
    /// What their names begin with.
    stem: String,
    keep: usize,
}

impl Backups {
    /// As the settings say; `None` where they name no folder.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let folder = settings.backup_folder.clone()?;
        let stem = settings.database.file_stem().map_or("windrow".into(), |stem| stem.to_string_lossy());
        Some(Self { folder, stem: stem.into_owned(), keep: settings.backup_keep })
    }

    /// The name of a copy of this moment, in UTC: `windrow-20261130T023000Z.db`.
    fn name(&self, now_us: i64) -> String {
        let digits: String = time::format(now_us).chars().filter(|c| !matches!(c, '-' | ':')).collect();
        format!("{}-{}Z.db", self.stem, digits.get(..15).unwrap_or(&digits))
    }

    /// Whether a file is a copy, or what a copy that was cut off left.
    fn is_copy(&self, name: &str) -> bool {
        let moment = name.strip_prefix(&self.stem).and_then(|rest| rest.strip_prefix('-'));
        let moment = moment.and_then(|rest| rest.strip_suffix("Z.db"));
        moment.and_then(|moment| moment.split_once('T')).is_some_and(|(day, second)| {
            let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            day.len() == 8 && second.len() == 6 && is_number(day) && is_number(second)
        })
    }

    /// Files of the folder whose names, without an end, are those of copies; the oldest first.
    fn files(&self, end: &str) -> Result<Vec<PathBuf>> {
        let context = || format!("cannot read the folder {}", self.folder.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(|e| Error::io(context(), e))? {
            let entry = entry.map_err(|e| Error::io(context(), e))?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(end));
            if name.is_some_and(|name| self.is_copy(name)) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Where a copy of this moment comes; two of one second would have one name.
    fn free_name(&self, context: &Context) -> Result<PathBuf> {
        loop {
            let file = self.folder.join(self.name(time::now()));
            if !file.exists() {
                return Ok(file);
            }
            context.check()?;
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Makes a copy, and lets go of the oldest.
    fn make(&self, context: &Context) -> Result<Outcome> {
        if !self.folder.is_dir() {
            return Err(Error::NotFound(format!(
                "the folder of the setting backup_folder is not there: {}",
                self.folder.display()
            )));
        }
        // only one is made at a time: what is unfinished was left by a process that was killed
        self.files(".partial")?.iter().for_each(|path| _ = removed(path));
        let file = self.free_name(context)?;
        let progress = Progress::until(Arc::clone(context.ends()));
        let copied = told(context, &progress, || backup(context.store().path(), &file, false, &progress));
        // what a job was told says more than that the copy ended
        context.check()?;
        let copied = copied?;
        let copies = self.files("")?;
        let old = copies.len().saturating_sub(self.keep);
        let gone: Vec<_> = copies.iter().take(old).filter(|path| **path != file && removed(path)).collect();
        Ok(Outcome::result(json!({
            "file": file.display().to_string(),
            "bytes": copied.bytes,
            "events": copied.report.events,
            "records": copied.report.records,
            "removed": gone.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        })))
    }
}

/// Removes a file; one that cannot be removed stays, which is no failure of the copy.
fn removed(path: &Path) -> bool {
    let removed = std::fs::remove_file(path);
    if let Err(e) = &removed {
        tracing::warn!("an old backup stays, {} cannot be removed: {e}", path.display());
    }
    removed.is_ok()
}

/// Does something while its progress is told to who looks at the job.
fn told<T>(context: &Context, progress: &Progress, work: impl FnOnce() -> T) -> T {
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                let (stage, done, total) = progress.now();
                context.progress(done, (total > 0).then_some(total), stage);
                std::thread::park_timeout(LOOK_EVERY);
            }
        });
        let done = work();
        has_ended.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        done
    })
}

/// The kind; without a folder its jobs are refused.
pub(super) fn kind(settings: &Settings) -> Kind {
    let backups = Backups::of(settings);
    let (is_set, one_at_a_time) = (backups.is_some(), Mutex::new(()));
    let missing = || {
        Error::Conflict(
            "no folder for backups is named: say one in the setting backup_folder, as in WINDROW_BACKUP_FOLDER=/backup; \
             `windrow backup FILE` needs none"
                .into(),
        )
    };
    let kind = Kind::new("backup", move |context| {
        let _turn = one_at_a_time.lock();
        backups.as_ref().ok_or_else(missing)?.make(context)
    });
    let kind = kind.with_check(move |payload| {
        no_payload("backup", payload)?;
        if is_set { Ok(()) } else { Err(missing()) }
    });
    Kind { queue: MAINTENANCE.into(), deadline: DEADLINE, ..kind }
}

impl Engine {
    /// Makes the schedule of backups what the settings say: one, or none.
    ///
    /// # Errors
    /// A time that is none; the file cannot be written.
    pub(super) fn schedule_backups(&self, settings: &Settings) -> Result<()> {
        let Some(when) = &settings.backup_schedule else {
            return match self.jobs.unschedule(SCHEDULE) {
                Err(Error::NotFound(_)) => Ok(()),
                done => done,
            };
        };
        if settings.backup_folder.is_none() {
            return Err(Error::invalid(
                "the setting backup_schedule says when there are backups, and backup_folder does not say where; set both",
            ));
        }
        let schedule = schedule(when).and_then(|schedule| self.jobs.schedule(&schedule));
        schedule.map_err(|e| match e {
            Error::Invalid { detail, .. } => Error::invalid(format!(
                "the setting backup_schedule: {detail}; it is the five fields of cron and a time zone, if it is not UTC: 30 2 * * * \
                 Europe/Berlin"
            )),
            other => other,
        })
    }
}

/// The five fields of cron, or a word for them, and a zone.
fn schedule(when: &str) -> Result<Schedule> {
    let words: Vec<&str> = when.split_whitespace().collect();
    let fields = if when.trim_start().starts_with('@') { 1 } else { 5 };
    let (cron, zone) = words.split_at(fields.min(words.len()));
    let schedule = Schedule::new(SCHEDULE, cron.join(" "), NewJob::new("backup"));
    match zone {
        [] => Ok(schedule),
        [zone] => Ok(schedule.zone(*zone)),
        _ => Err(Error::invalid(format!("\"{when}\" has too many words"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::jobs::tests::until_done;
    use crate::jobs::JobOptions;

    fn settings(folder: &Path, keep: usize) -> Settings {
        Settings {
            database: folder.join("a.db"),
            backup_folder: Some(folder.join("copies")),
            backup_keep: keep,
            ..Settings::default()
        }
    }

    #[test]
    fn names_are_of_their_moment_and_tell_copies_from_other_files() {
        let backups = Backups { folder: "copies".into(), stem: "a".into(), keep: 1 };
        let name = backups.name(1_772_000_123_456_789);
        assert_eq!(name, "a-20260225T061523Z.db");
        assert!(backups.is_copy(&name));
        for other in ["a.db", "b-20260225T061523Z.db", "a-20260225.db", "a-2026022xT061523Z.db", "a-.db", "é"]
        {
            assert!(!backups.is_copy(other), "{other}");
        }
    }

    #[test]
    fn a_job_makes_a_verified_copy_and_lets_only_the_oldest_copies_go() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), 2);
        let copies = folder.path().join("copies");
        std::fs::create_dir(&copies).unwrap();
        let old = ["a-20200101T000000Z.db", "a-20210101T000000Z.db"].map(|name| copies.join(name));
        let others = ["a-notes.db", "b-20200101T000000Z.db"].map(|name| copies.join(name));
        let cut_off = copies.join("a-20220101T000000Z.db.partial");
        for path in old.iter().chain(&others).chain([&cut_off]) {
            std::fs::write(path, "kept").unwrap();
        }
        let engine = Engine::open(&settings.database).unwrap();
        let engine = engine.with_jobs([kind(&settings)], JobOptions::default()).unwrap();
        engine.ingest("visits", r#"[{"n": 1}, {"n": 2}]"#).unwrap();
        let job = until_done(&engine, NewJob::new("backup"));
        let result: serde_json::Value = serde_json::from_str(&job.result.unwrap()).unwrap();
        let removed = result["removed"].as_array().unwrap().len();
        assert_eq!((result["events"].as_u64(), removed), (Some(2), 1));
        assert!(!old[0].exists() && old[1].exists() && !cut_off.exists());
        assert!(others.iter().all(|path| path.exists()));
        let copy = result["file"].as_str().unwrap();
        engine.close();
        assert_eq!(
            crate::store::read(Path::new(copy), None).unwrap().whole_dataset("visits").unwrap().rows(),
            2
        );
    }

    #[test]
    fn without_a_folder_it_is_told_which_setting_names_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path(), 2);
        let engine = |settings: &Settings| {
            let engine = Engine::open(&settings.database).unwrap();
            engine.with_jobs([kind(settings)], JobOptions::default()).unwrap()
        };
        let opened = engine(&settings);
        let job = until_done(&opened, NewJob::new("backup").max_attempts(1));
        assert!(job.error.unwrap().contains("is not there"), "the folder is missing");
        drop(opened);
        settings.backup_folder = None;
        let opened = engine(&settings);
        let refused = opened.jobs().submit(NewJob::new("backup")).unwrap_err().to_string();
        assert!(refused.contains("backup_folder"), "{refused}");
        settings.backup_schedule = Some("@daily".into());
        let refused = opened.schedule_backups(&settings).unwrap_err().to_string();
        assert!(refused.contains("backup_folder"), "{refused}");
        opened.close();
    }

    #[test]
    fn the_schedule_is_what_the_settings_say_and_goes_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path(), 2);
        let engine = Engine::open(&settings.database).unwrap();
        let engine = engine.with_jobs([kind(&settings)], JobOptions::default()).unwrap();
        let now = |settings: &Settings| {
            engine.schedule_backups(settings).unwrap();
            let all = engine.jobs().schedules().unwrap();
            all.into_iter().map(|one| (one.schedule.cron, one.schedule.zone)).collect::<Vec<_>>()
        };
        assert!(now(&settings).is_empty());
        settings.backup_schedule = Some("30 2 * * * Europe/Berlin".into());
        assert_eq!(now(&settings), [("30 2 * * *".to_owned(), "Europe/Berlin".to_owned())]);
        settings.backup_schedule = Some("@daily".into());
        assert_eq!(now(&settings)[0].1, "UTC");
        for wrong in ["30 2", "@daily Nowhere", "30 2 * * * Europe/Berlin twice", "0 0 30 2 *"] {
            settings.backup_schedule = Some(wrong.into());
            let refused = engine.schedule_backups(&settings).unwrap_err().to_string();
            assert!(refused.contains("backup_schedule"), "{refused}");
        }
        settings.backup_schedule = None;
        assert!(now(&settings).is_empty());
        engine.close();
    }
}
