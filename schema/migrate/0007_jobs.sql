-- Jobs: work in the background, its queues, and what went wrong with it (store/queue/). A job's effects and its state are
-- written in one transaction.

CREATE TABLE job (
  id           INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice, so a job can come after earlier ones only
  queue        TEXT NOT NULL,
  kind         TEXT NOT NULL,
  state        INTEGER NOT NULL,   -- 0 queued, 1 delayed, 2 blocked, 3 running, 4 done, 5 dead, 6 cancelled
  priority     INTEGER NOT NULL,   -- 1 is first, 15 last
  rank_us      INTEGER NOT NULL,   -- its place in the queue: since when it is queued, and a step later for each priority
  due_us       INTEGER,            -- delayed, blocked: when it is queued; finished: when it is forgotten
  waits        INTEGER NOT NULL,   -- blocked: the jobs it comes after that are not done
  payload      TEXT NOT NULL,      -- JSON
  user         TEXT,               -- for whom it is, where limits count by that
  unique_key   TEXT,               -- no other unfinished job of its kind has it
  attempt      INTEGER NOT NULL DEFAULT 0, -- goes up when it is handed out; the latest alone may finish it
  failures     INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL,
  was_cut_off  INTEGER NOT NULL DEFAULT 0, -- the process died with it in hand, so it is handed out to be run at once only
  is_cancelled INTEGER NOT NULL DEFAULT 0, -- running, and shall end
  deadline_ms  INTEGER,
  keep_us      INTEGER NOT NULL,   -- how long it is kept when it is done or cancelled
  keep_dead_us INTEGER NOT NULL,
  created_us   INTEGER NOT NULL,
  started_us   INTEGER,
  finished_us  INTEGER,
  result       TEXT,               -- JSON
  error        TEXT                -- the latest
) STRICT;

CREATE INDEX job_queued ON job (queue, rank_us, id) WHERE state = 0;
CREATE INDEX job_delayed ON job (due_us) WHERE state = 1;
CREATE INDEX job_kept ON job (due_us) WHERE state >= 4;
CREATE INDEX job_state ON job (state, id);
CREATE UNIQUE INDEX job_unique ON job (kind, unique_key) WHERE unique_key IS NOT NULL AND state < 4;

-- Which jobs wait for which; gone when the earlier one is done.
CREATE TABLE job_after (
  after_id INTEGER NOT NULL,
  job_id   INTEGER NOT NULL,
  PRIMARY KEY (after_id, job_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_after_job ON job_after (job_id);

-- Attempts that failed.
CREATE TABLE job_failure (
  job_id  INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  at_us   INTEGER NOT NULL,
  error   TEXT NOT NULL,
  PRIMARY KEY (job_id, attempt)
) STRICT, WITHOUT ROWID;

-- What was set of queues; others have the usual settings.
CREATE TABLE queue (
  name     TEXT PRIMARY KEY,
  settings TEXT NOT NULL            -- JSON (store/queue/mod.rs)
) STRICT, WITHOUT ROWID;
