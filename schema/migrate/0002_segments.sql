-- Sealed events: a row a segment, a BLOB a column (columnar/segment/mod.rs).

CREATE TABLE segment (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice: caches go by it
  dataset_id INTEGER REFERENCES dataset(id) ON DELETE SET NULL,  -- NULL: dead, kept while a query may read it
  first_seq  INTEGER NOT NULL,
  last_seq   INTEGER NOT NULL,
  rows       INTEGER NOT NULL,
  min_time   INTEGER NOT NULL,                    -- µs
  max_time   INTEGER NOT NULL,
  bytes      INTEGER NOT NULL,                    -- of all its columns
  head       BLOB NOT NULL                        -- its columns with types and spans
) STRICT;

CREATE INDEX segment_by_dataset ON segment (dataset_id, first_seq);

-- id = segment * 65536 + place of the column in the segment's head, so that a BLOB is opened without a lookup.
CREATE TABLE segment_column (
  id   INTEGER PRIMARY KEY,
  data BLOB NOT NULL
) STRICT;

-- What a log row holds can be told without reading it; NULL in rows that the first format wrote.
ALTER TABLE log ADD COLUMN min_time INTEGER;
ALTER TABLE log ADD COLUMN max_time INTEGER;

-- Ids that were taken in, for datasets that declare dedupe.
CREATE TABLE seen (
  dataset_id INTEGER NOT NULL REFERENCES dataset(id) ON DELETE CASCADE,
  hash       BLOB NOT NULL,                       -- XXH3-128 of the id
  day        INTEGER NOT NULL,                    -- of its arrival, since 1970
  PRIMARY KEY (dataset_id, hash)
) STRICT, WITHOUT ROWID;
