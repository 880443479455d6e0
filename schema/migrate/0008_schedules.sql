-- Schedules: jobs that are submitted again and again (store/queue/schedules.rs, jobs/timetable.rs).

CREATE TABLE schedule (
  name     TEXT PRIMARY KEY,
  cron     TEXT NOT NULL,
  zone     TEXT NOT NULL,          -- a name of the IANA database
  job      TEXT NOT NULL,          -- JSON: what is submitted
  next_us  INTEGER NOT NULL,       -- when it is due
  last_us  INTEGER,                -- when it was due last; NULL: never yet
  last_job INTEGER                 -- what was submitted then
) STRICT, WITHOUT ROWID;
