-- The engine's own tables. Forward only: a change is a new file, never an edit of this one.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dataset (
  id          INTEGER PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE,
  declaration TEXT NOT NULL,               -- JSON as of PUT /v1/datasets/{d}; '{}' where nothing was declared
  time_field  TEXT,                        -- the field that _time is taken from; NULL: none found yet
  next_seq    INTEGER NOT NULL DEFAULT 1,  -- never goes back, so a _seq is never used twice
  created_us  INTEGER NOT NULL
) STRICT;

-- The fields a dataset has seen, in the order of their first appearance.
CREATE TABLE field (
  dataset_id INTEGER NOT NULL REFERENCES dataset(id) ON DELETE CASCADE,
  position   INTEGER NOT NULL,
  name       TEXT NOT NULL,
  kinds      INTEGER NOT NULL,             -- bit set of the value kinds seen; see fields.rs
  PRIMARY KEY (dataset_id, name)
) STRICT, WITHOUT ROWID;

-- One row a committed batch and dataset: a columnar block (columnar/mod.rs) of `rows` events from `first_seq` on.
CREATE TABLE log (
  id         INTEGER PRIMARY KEY,
  dataset_id INTEGER NOT NULL REFERENCES dataset(id) ON DELETE CASCADE,
  first_seq  INTEGER NOT NULL,
  rows       INTEGER NOT NULL,
  block      BLOB NOT NULL
) STRICT;

-- How far each file was imported, written in the transaction of its rows: an import that was cut off goes on there.
CREATE TABLE import (
  dataset_id INTEGER NOT NULL REFERENCES dataset(id) ON DELETE CASCADE,
  source     TEXT NOT NULL,                -- the full path of the file
  place      INTEGER NOT NULL,             -- the first line (JSON documents: item) that is not committed
  ended      INTEGER NOT NULL,             -- 1: the file was imported to its end
  PRIMARY KEY (dataset_id, source)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX log_by_dataset ON log (dataset_id, first_seq);
