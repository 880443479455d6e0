-- How far a job is that goes on after a break where it stood (store/queue/checkpoint.rs).

ALTER TABLE job ADD COLUMN checkpoint TEXT; -- JSON; NULL: it begins at the beginning
