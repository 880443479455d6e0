-- Keys: what lets a request in. Of a secret only its hash is here, so nobody can use what a copy of the file tells.

CREATE TABLE key (
  id           TEXT PRIMARY KEY,     -- public; the secret names it
  name         TEXT NOT NULL,        -- what its owner calls it
  hash         BLOB NOT NULL,        -- SHA-256 of the secret
  old_hash     BLOB,                 -- of the secret before the last rotation, while that is let in too
  old_until_us INTEGER,
  "grant"      TEXT NOT NULL,        -- JSON: scopes, datasets, filter, limits (store/keys.rs)
  created_us   INTEGER NOT NULL,
  expires_us   INTEGER,              -- NULL: never
  used_us      INTEGER,              -- to the minute; NULL: never
  revoked_us   INTEGER               -- NULL: not revoked
) STRICT, WITHOUT ROWID;
