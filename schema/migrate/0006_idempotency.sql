-- Replies to requests that named an Idempotency-Key, written in the transaction of what they tell: who asks again is
-- answered from here (store/replies.rs).

CREATE TABLE reply (
  id           INTEGER PRIMARY KEY,  -- in the order they were given; the oldest go first
  request      BLOB NOT NULL UNIQUE, -- SHA-256 of who asked, method, path and key
  fingerprint  BLOB NOT NULL,        -- XXH3-128 of the rest of the request
  made_us      INTEGER NOT NULL,
  bytes_so_far INTEGER NOT NULL,     -- of all bodies up to this one, so that two rows tell what lies between them
  status       INTEGER NOT NULL,
  content_type TEXT NOT NULL,
  body         BLOB NOT NULL
) STRICT;
