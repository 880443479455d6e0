//! Every limit in one place: what is refused beyond it says so, and by how much.

use std::time::Duration;

/// Bytes of a request body, as sent. Larger input goes through `windrow import`.
pub const BODY_BYTES: usize = 64 << 20;
/// Bytes of a compressed body when inflated: four bodies, so that a small bomb cannot fill the memory.
pub const INFLATED_BYTES: usize = 256 << 20;
/// Bytes of one record as JSON or CSV.
pub const RECORD_BYTES: usize = 16 << 20;
/// Levels of objects in one record that are flattened to dotted names.
pub const NESTING: usize = 64;
/// Bytes of a field name, with its dots.
pub const FIELD_NAME_BYTES: usize = 256;
/// Distinct fields of a dataset. A program that puts values into names reaches it quickly, and should be told.
pub const FIELDS: usize = 4_096;
/// Fields of a dataset of records: each is a column of a table of SQLite's, which takes 2,000.
pub const RECORD_FIELDS: usize = 1_000;
/// Fields of an index.
pub const INDEX_FIELDS: usize = 16;
/// Records that one transaction puts, changes or deletes; larger batches are several, unless they are atomic.
pub const RECORD_CHUNK: usize = 1_000;
/// Records of a file that one transaction puts: the more, the fewer times a page of an index is written.
pub const IMPORT_RECORD_CHUNK: usize = 10_000;
/// Records of a batch that is put, changed or deleted as one.
pub const ATOMIC_RECORDS: usize = 100_000;
/// Records that one level of `include` loads.
pub const INCLUDED_RECORDS: usize = 10_000;
/// Levels of relations that `include` follows.
pub const INCLUDE_LEVELS: usize = 8;
/// Bytes of columns that are made of the records of a dataset and kept until these change.
pub const KEPT_COLUMNS_BYTES: usize = 64 << 20;
/// Records from which on a question that would go through all of them is asked of columns; few in unit tests, so that they
/// see both ways.
pub const COLUMNS_FROM_RECORDS: u64 = if cfg!(test) { 20 } else { 5_000 };
/// Cells of a batch, rows times fields: each takes up to 8 bytes while it is decoded, also where it is empty. JSON with
/// a value in every cell reaches its limit of bytes first; what reaches this one has rows that share no fields.
pub const BATCH_CELLS: usize = 1 << 26;
/// Rejected rows that a reply lists one by one; the rest is counted.
pub const REJECTIONS_LISTED: usize = 1_000;
/// Events of a dataset whose ids are taken in when `dedupe` is declared: all of them in one transaction.
pub const DEDUPE_DECLARE_ROWS: u64 = 1_000_000;
/// Rows of a page.
pub const PAGE_ROWS: usize = 10_000;
/// Rows of a page when nothing is asked for.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Rows of a query's answer; beyond it a query needs a LIMIT, or pages.
pub const ANSWER_ROWS: usize = 1_000_000;
/// Groups that one query may build.
pub const GROUPS: usize = 20_000_000;
/// Time that one question may take.
pub const QUERY_TIME: Duration = Duration::from_secs(30);
/// Bytes that one question may hold.
pub const QUERY_BYTES: usize = 256 << 20;
/// All questions that run at once may hold so many times what one may.
pub const QUERIES_TOGETHER: usize = 4;
/// Bytes of the SQL that SQLite is asked in place of the vector engine, as printed.
pub const SQLITE_TEXT_BYTES: i32 = 16 << 20;
/// Bytes of a text or of a row inside SQLite: twice what a function may return.
pub const SQLITE_VALUE_BYTES: i32 = 32 << 20;
/// Columns of a table or of a result inside SQLite.
pub const SQLITE_COLUMNS: i32 = 2_000;
/// SELECTs that UNION and the like join inside SQLite.
pub const SQLITE_COMPOUND: i32 = 500;
/// Levels of an expression inside SQLite.
pub const SQLITE_DEPTH: i32 = 1_000;
/// KiB of memory in which SQLite sorts before it goes on in a temporary file.
pub const SQLITE_SORT_KIB: i32 = 16 << 10;
/// Steps of SQLite's machine between two looks at the clock.
pub const SQLITE_STEPS: i32 = 1_000;
/// Steps of a funnel: an event tells which of them it is by a bit each.
pub const FUNNEL_STEPS: usize = 64;
/// Periods of a retention: half their square is the number of rows of its answer.
pub const RETENTION_PERIODS: usize = 1_000;
/// Steps of a path.
pub const PATH_DEPTH: usize = 32;
/// Paths of an answer when nothing is asked for.
pub const PATHS_DEFAULT: usize = 100;
/// Different paths that one question may count.
pub const PATHS: usize = 2_000_000;
/// Sessions that one query may be asked of.
pub const SESSIONS: usize = 10_000_000;
/// Requests waiting for the writer; one more is answered 503.
pub const WRITER_QUEUE: usize = 1_024;
/// Bytes of rows waiting for the writer; beyond it a request is answered 503.
pub const WRITER_QUEUE_BYTES: usize = 256 << 20;
/// Rows in memory of one transaction, in bytes: keeps transactions far below what SQLite handles well.
pub const TRANSACTION_BYTES: usize = 32 << 20;
/// Rows of a tail block that is merged no further.
pub const TAIL_BLOCK_ROWS: usize = 65_536;
/// Rows of a tail that is sealed: a start reads the log, and has to stay below 300 ms.
pub const SEAL_ROWS: usize = 250_000;
/// Bytes in memory of a tail that is sealed.
pub const SEAL_BYTES: usize = 64 << 20;
/// A segment that is merged no further has so many times the rows of a tail that is sealed.
pub const SEGMENT_TAILS: usize = 4;
/// Bytes in the file of a segment that is merged no further: it is written in one transaction.
pub const SEGMENT_STORED_BYTES: u64 = 64 << 20;
/// Bytes in memory of the rows that an import makes one segment of, and of the texts of one column that segments are
/// merged to: a query holds them all for one block.
pub const SEGMENT_BYTES: usize = 128 << 20;
/// Bytes of decoded columns that are kept in memory.
pub const BUFFER_POOL_BYTES: usize = 256 << 20;
/// Bytes of answers and parts of answers that are kept in memory.
pub const CACHE_MEMORY_BYTES: usize = 100 << 20;
/// Bytes of them in the file beside the database.
pub const CACHE_DISK_BYTES: u64 = 1 << 30;
/// Questions that are asked ahead.
pub const WARM_QUESTIONS: usize = 1_000;
/// Bytes in memory of the numbers that the values of a dataset's columns have across segments.
pub const NUMBERING_BYTES: usize = 128 << 20;
/// Values of a column that is numbered, at most: a number takes 24 bits.
pub const NUMBERED_VALUES: usize = 1 << 24;
/// Values of a column from which on it is not numbered where nearly every row has one of its own; few in unit tests, so
/// that they see a numbering given up.
pub const NUMBERED_UNIQUE_VALUES: usize = if cfg!(test) { 100 } else { 1 << 20 };
/// Time for which the reply to a request with an `Idempotency-Key` is kept, µs.
pub const IDEMPOTENCY_US: i64 = 24 * 3_600 * 1_000_000;
/// Such replies that are kept; few in unit tests, so that they see the oldest go.
pub const IDEMPOTENCY_KEYS: usize = if cfg!(test) { 100 } else { 100_000 };
/// Bytes of their bodies.
pub const IDEMPOTENCY_BYTES: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };
/// Characters of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Subjects whose use of a policy is remembered; few in unit tests, so that they see one forgotten.
pub const LIMITED_SUBJECTS: usize = if cfg!(test) { 1_000 } else { 100_000 };
/// WAL bytes after which the writer checkpoints.
pub const WAL_CHECKPOINT_BYTES: u64 = 32 << 20;
/// WAL bytes after which it does so while records are put: the same pages of indexes are written again and again, and a
/// checkpoint writes each of them once.
pub const WAL_CHECKPOINT_BYTES_RECORDS: u64 = 256 << 20;
/// Bytes of the ballast beside a database; less on a small disk.
pub const BALLAST_BYTES: u64 = 16 << 20;
/// Keys, with those that were revoked.
pub const KEYS: usize = 10_000;
/// Browsers that are signed in at once; one more takes the place of the one that was used least recently.
pub const SIGNED_IN: usize = 1_000;
/// A session ends when it was not used for so long, in µs: a week.
pub const SESSION_US: i64 = 7 * 24 * 60 * 60 * 1_000_000;
/// How long the link for signing in works, in µs: 15 minutes.
pub const SIGN_IN_US: i64 = 15 * 60 * 1_000_000;
/// How long the old secret of a key is let in after a rotation, where nothing else is said, in µs: a day.
pub const GRACE_US: i64 = 24 * 60 * 60 * 1_000_000;
/// Letters of the name of a key.
pub const KEY_NAME_LETTERS: usize = 100;
/// Patterns of datasets that a key may have.
pub const KEY_DATASETS: usize = 1_000;
/// Bytes of the filter of a key.
pub const KEY_FILTER_BYTES: usize = 16 << 10;
/// Refusals that the audit log takes in a minute; those beyond are counted.
pub const AUDIT_REFUSALS: u64 = 30;
/// Bytes of each text of an entry of the audit log.
pub const AUDIT_TEXT_BYTES: usize = 1 << 10;
/// Read connections.
pub const READERS: u32 = 10;
/// Times a batch is decoded anew because the rules of its dataset changed meanwhile.
pub const STALE_RETRIES: usize = 8;
/// Bytes of a refused request that are read away, so that the client sees the refusal.
pub const DISCARDED_BYTES: usize = 1 << 20;
/// Threads that answer requests. A thread waits while its commit reaches the disk, and a commit serves all that wait.
pub const HTTP_WORKERS: usize = 64;
/// Bytes of the stack of each: twice what the deepest question takes that is read, in a build without optimisation. Only what
/// is used of it becomes memory.
pub const HTTP_STACK_BYTES: usize = 4 << 20;
/// Seconds that requests in flight have to end when the server stops.
pub const STOP_S: u64 = 10;
/// Seconds that questions have to end after that, when they are told to.
pub const CANCELLED_S: u64 = 2;
/// Connections that the system keeps waiting until they are accepted.
pub const LISTEN_BACKLOG: i32 = 1_024;
/// Bytes of the head of a request.
pub const HEAD_BYTES: usize = 32 << 10;
/// Bytes of the target in it: path and parameters.
pub const TARGET_BYTES: usize = 16 << 10;
/// Bytes of bodies that are on their way in, of all requests; one more is answered 503.
pub const BODIES_BYTES: usize = 256 << 20;
/// Bytes of a reply; what is larger is paged or exported.
pub const REPLY_BYTES: usize = 16 << 20;
/// Bytes of replies that clients have not taken yet. Beyond it requests wait, and who takes his reply slowly is cut off.
pub const REPLIES_BYTES: usize = 64 << 20;
/// Connections, where the system has as many descriptors.
pub const CONNECTIONS: usize = 16_384;
/// Connections from one address.
pub const CONNECTIONS_PER_ADDRESS: usize = 512;
/// Descriptors that are kept for files and for the private sockets; of few, half are.
pub const DESCRIPTORS_KEPT: usize = 512;
/// Requests that wait for a worker; one more is answered 503.
pub const REQUESTS_WAITING: usize = 1_024;
/// Seconds that a request waits for a worker.
pub const REQUEST_WAITS_S: u64 = 10;
/// Seconds in which the head of a request has to come.
pub const HEAD_S: u64 = 10;
/// Seconds that a connection stays open without a request.
pub const IDLE_S: u64 = 75;
/// Seconds that a body or a reply may take however slow the client is, and bytes a second that give it more.
pub const TRANSFER_S: u64 = 15;
/// Bytes a second of a body that comes and of a reply that is taken, on average after [`TRANSFER_S`].
pub const TRANSFER_RATE: u64 = 8 << 10;
/// Seconds that a body or a reply takes at most.
pub const TRANSFER_MAX_S: u64 = 600;
/// Seconds in which a client that is told the end may read it.
pub const LINGER_S: u64 = 2;
/// Seconds after which a client that has closed its side is taken to have gone away.
pub const GONE_S: u64 = 1;
/// Rows of a message to who is told what is new; of more the newest are taken.
pub const LIVE_ROWS: usize = 1_000;
/// Bytes of such a message, unless one row is larger.
pub const LIVE_MESSAGE_BYTES: usize = 64 << 10;
/// Time that one look at what is new may take.
pub const LIVE_TIME: Duration = Duration::from_secs(2);
/// Bytes of the result of a job that is told with its state.
pub const LIVE_RESULT_BYTES: usize = 32 << 10;
/// Bytes of an answer that is told as it changes.
pub const LIVE_ANSWER_BYTES: usize = 256 << 10;
/// Questions that are watched, each by however many.
pub const LIVE_QUERIES: usize = 256;
/// Questions that are watched and asked at once.
pub const LIVE_QUERIES_AT_ONCE: usize = 4;
/// A question that is watched rests so many times as long as it took.
pub const LIVE_QUERY_RESTS: u32 = 9;
/// Time after which one about a span that ends at the present is asked again though no event came.
pub const LIVE_RANGE_TIME: Duration = Duration::from_secs(10);
/// Bytes from which on a message is packed for who takes it so.
pub const LIVE_PACKED_BYTES: usize = 1 << 10;
/// Seconds between two signs of life to who is told what is new; a WebSocket that answers none of two is closed.
pub const LIVE_PING_S: u64 = 15;
/// Seconds in which such a client has to take a message.
pub const LIVE_TAKES_S: u64 = 15;
/// Bytes of a frame that such a client may send.
pub const LIVE_FRAME_BYTES: usize = 4 << 10;
/// Bytes of a reply that are encrypted ahead of what the client's socket takes.
pub const TLS_BUFFER_BYTES: usize = 64 << 10;
/// Sessions of TLS that clients may go on with when they come again.
pub const TLS_SESSIONS: usize = 1_024;
/// Bytes of a file with certificates or a key.
pub const CERTIFICATE_BYTES: u64 = 1 << 20;
/// Least time between two looks whether they have changed.
pub const CERTIFICATE_LOOK_S: u64 = 1;
/// Bytes of a JSON file that `windrow import` holds in memory to find its records; NDJSON has no such limit.
pub const JSON_FILE_BYTES: u64 = 1 << 30;
/// The largest window of a zstd stream, as a power of two: 128 MiB, what `zstd` itself writes without `--long`.
pub const ZSTD_WINDOW_LOG: u32 = 27;
/// Bytes of text that an import decodes at once.
pub const IMPORT_CHUNK_BYTES: usize = 16 << 20;
/// Chunks of an import that are decoded at the same time; bounds its memory on machines with many cores.
pub const IMPORT_DECODERS: usize = 4;
/// Rows from which an import tells time field and types of columns.
pub const IMPORT_SAMPLE_ROWS: usize = 10_000;
/// Backups that stay in their folder, unless the settings say otherwise.
pub const BACKUPS_KEPT: usize = 7;
/// Jobs of a queue that wait, where nothing else is set; one more is refused as busy.
pub const QUEUE_JOBS: u64 = 1_000;
/// Queues that jobs are in, or that are set up.
pub const QUEUES: usize = 1_000;
/// Jobs that one list looks at; where few of them are of its queue or kind, the next page goes on.
pub const JOBS_LOOKED_AT: usize = 100_000;
/// Bytes of the name of a queue or of a kind of job.
pub const QUEUE_NAME_BYTES: usize = 63;
/// Bytes of the payload of a job, and of its result.
pub const JOB_BYTES: usize = 1 << 20;
/// Bytes of the unique key of a job.
pub const JOB_KEY_BYTES: usize = 255;
/// Bytes of an error of a job, and of the message of its progress; the rest is cut off.
pub const JOB_ERROR_BYTES: usize = 4 << 10;
/// Jobs that are submitted at once.
pub const JOBS_AT_ONCE: usize = 10_000;
/// Jobs that a job may come after.
pub const JOB_AFTER: usize = 100;
/// Attempts of a job where nothing else is said, and at most.
pub const JOB_ATTEMPTS: u32 = 3;
/// See [`JOB_ATTEMPTS`].
pub const JOB_ATTEMPTS_MAX: u32 = 1_000;
/// How much later a job is queued for each priority below the first, µs: what waits longer than that overtakes.
pub const JOB_AGEING_US: i64 = 60 * 1_000_000;
/// Wait before the second attempt of a job, µs; it doubles with each.
pub const JOB_BACKOFF_US: i64 = 1_000_000;
/// The longest wait between two attempts, µs.
pub const JOB_BACKOFF_MAX_US: i64 = 3_600 * 1_000_000;
/// How long an attempt may take where nothing else is said.
pub const JOB_DEADLINE: Duration = Duration::from_secs(3_600);
/// How long a job is kept after it was done or cancelled, µs: a week.
pub const JOB_KEEP_US: i64 = 7 * 24 * 3_600 * 1_000_000;
/// How long a dead job is kept, µs: 30 days.
pub const JOB_KEEP_DEAD_US: i64 = 30 * 24 * 3_600 * 1_000_000;
/// Delayed jobs that are queued in one transaction when they are due.
pub const JOBS_DUE_AT_ONCE: usize = 1_000;
/// Jobs that are handed out ahead of free workers, where they prove short.
pub const JOBS_AHEAD: usize = 512;
/// Work in jobs that is handed out ahead of free workers, µs: what comes with a better priority waits so long.
pub const JOBS_AHEAD_US: u64 = 20_000;
/// Times an attempt is run again because what it read was changed by others before its effects were written.
pub const JOB_CONFLICTS: u32 = 1_000;
/// How long after it was told to end a job's function is left alone, and another thread takes the place of its.
pub const JOB_LEFT_AFTER: Duration = Duration::from_secs(10);
/// Functions that are left alone at a time; beyond them each keeps its place too.
pub const JOBS_LEFT: usize = 64;
/// Seconds that running jobs have to end by themselves when the workers stop, before they are told to.
pub const JOBS_STOP_S: u64 = 5;
/// Schedules of jobs.
pub const SCHEDULES: usize = 1_000;
/// Records of a batch of a job that goes through records, where nothing else is said, and at most.
pub const APPLY_BATCH: usize = 50;
/// See [`APPLY_BATCH`].
pub const APPLY_BATCH_MAX: usize = 1_000;
/// Jobs that may run at once for each core, where they do better the more there are.
pub const JOBS_PER_CORE: usize = 8;
/// Jobs that run at once and wait for something outside.
pub const JOBS_WAITING: usize = 256;
/// Bytes of a URL that a job calls.
pub const OUTGOING_URL_BYTES: usize = 8 << 10;
/// Bytes of the head of a reply to a job, and of the headers that it sends.
pub const OUTGOING_HEAD_BYTES: usize = 64 << 10;
/// Bytes of the body of a reply to a job.
pub const OUTGOING_REPLY_BYTES: usize = 1 << 20;
/// How long a call of a job may take where it says nothing.
pub const OUTGOING_TIME: Duration = Duration::from_secs(30);
/// How long a call may take to connect, at all addresses of a host together.
pub const OUTGOING_CONNECT: Duration = Duration::from_secs(10);
/// Redirects that a call follows where it says nothing.
pub const OUTGOING_REDIRECTS: usize = 5;
/// Names that are looked up at once for jobs.
pub const OUTGOING_LOOKUPS: usize = 512;
/// Bytes of the output of a command that are kept: its beginning.
pub const COMMAND_OUTPUT_BYTES: usize = 128 << 10;
/// Bytes that a command complains of which are kept: their end.
pub const COMMAND_COMPLAINT_BYTES: usize = 2 << 10;
/// Bytes of an argument that a job gives a command.
pub const COMMAND_ARGUMENT_BYTES: usize = 4 << 10;
/// The stack of a thread that runs one of them; what it does not use takes no memory.
pub const JOB_WAITING_STACK_BYTES: usize = 1 << 20;
