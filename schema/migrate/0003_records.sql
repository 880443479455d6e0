-- Records: a dataset that declares them has a table "r<id>" of its own (store/keyed/mod.rs), made by its declaration.

-- How many there are; kept in the transaction that changes them.
ALTER TABLE dataset ADD COLUMN records INTEGER NOT NULL DEFAULT 0;
