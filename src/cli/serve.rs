//! `windrow serve`: the server in the foreground.

use clap::Args;

use crate::app;
use crate::cli::Session;
use crate::error::Result;

/// What `serve` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow serve --listen 127.0.0.1:7878\n  windrow --db visits.db serve --no-auth\n  \
    windrow serve --listen 0.0.0.0:443 --tls-certificate fullchain.pem \\\n    --tls-key privkey.pem\n\n\
    Programs send a key (`windrow keys add`), browsers sign in by the link that is\nprinted.\n\n\
    Ends cleanly on SIGINT and SIGTERM; a second signal ends it at once. `windrow config` shows every setting."
)]
pub struct ServeArguments {
    /// Let every program of this machine in, without keys; for loopback addresses only
    #[arg(long)]
    no_auth: bool,
    #[command(flatten)]
    flags: ServerFlags,
}

/// The flags of a server, whatever it serves.
#[derive(Debug, Args)]
pub struct ServerFlags {
    /// The address to listen at; port 0 takes a free one [env: WINDROW_LISTEN] [default: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// A PEM file with the chain of certificates: TLS at the address [env: WINDROW_TLS_CERTIFICATE]
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<String>,
    /// A PEM file with the private key of the certificate [env: WINDROW_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// A Unix socket to listen at as well, for its owner alone [env: WINDROW_SOCKET]
    #[arg(long, value_name = "FILE")]
    socket: Option<String>,
    /// Proxies whose X-Forwarded-For counts: addresses, networks, unix for the socket [env: WINDROW_TRUSTED_PROXIES]
    #[arg(long, value_name = "LIST")]
    trusted_proxies: Option<String>,
    /// Connections of clients [env: WINDROW_CONNECTIONS] [default: 16384]
    #[arg(long, value_name = "COUNT")]
    connections: Option<String>,
    /// Connections from one address [env: WINDROW_CONNECTIONS_PER_ADDRESS] [default: 512]
    #[arg(long, value_name = "COUNT")]
    connections_per_address: Option<String>,
    /// Names that browsers know the server by, besides addresses and localhost [env: WINDROW_HOSTS]
    #[arg(long, value_name = "NAMES")]
    hosts: Option<String>,
    /// What an acknowledgement waits for: full (the disk), normal (the operating system) [env: WINDROW_DURABILITY]
    #[arg(long, value_name = "NAME")]
    durability: Option<String>,
    /// Threads that answer requests [env: WINDROW_WORKERS]
    #[arg(long, value_name = "COUNT")]
    workers: Option<String>,
    /// Read connections to the file [env: WINDROW_READERS]
    #[arg(long, value_name = "COUNT")]
    readers: Option<String>,
    /// MiB of decoded columns that are kept in memory for the next query [env: WINDROW_MEMORY_MB]
    #[arg(long, value_name = "MIB")]
    memory_mb: Option<String>,
    /// Events that are kept in memory until they become a segment [env: WINDROW_SEAL_ROWS]
    #[arg(long, value_name = "COUNT")]
    seal_rows: Option<String>,
    /// How long a question may take: 500ms, 30s, 5m [env: WINDROW_QUERY_DEADLINE] [default: 30s]
    #[arg(long, value_name = "TIME")]
    query_deadline: Option<String>,
    /// MiB of memory that a question may hold [env: WINDROW_QUERY_MEMORY_MB] [default: 256]
    #[arg(long, value_name = "MIB")]
    query_memory_mb: Option<String>,
    /// Rows that a question may look at, or unlimited [env: WINDROW_QUERY_ROWS] [default: unlimited]
    #[arg(long, value_name = "COUNT")]
    query_rows: Option<String>,
    /// MiB of answers that are kept in memory [env: WINDROW_CACHE_MEMORY_MB] [default: 100]
    #[arg(long, value_name = "MIB")]
    cache_memory_mb: Option<String>,
    /// MiB of answers that are kept in a file beside the database [env: WINDROW_CACHE_DISK_MB] [default: 1024]
    #[arg(long, value_name = "MIB")]
    cache_disk_mb: Option<String>,
    /// How old answers of a class may be: realtime=10s, search=1h [env: WINDROW_CACHE_AGES]
    #[arg(long, value_name = "AGES")]
    cache_ages: Option<String>,
    /// A file of questions that are asked at start, a JSON object a line [env: WINDROW_CACHE_WARM]
    #[arg(long, value_name = "FILE")]
    cache_warm: Option<String>,
    /// The folder for verified copies that jobs of the kind backup make [env: WINDROW_BACKUP_FOLDER]
    #[arg(long, value_name = "FOLDER")]
    backup_folder: Option<String>,
    /// When they are made: '30 2 * * * Europe/Berlin', @daily [env: WINDROW_BACKUP_SCHEDULE]
    #[arg(long, value_name = "TIMES")]
    backup_schedule: Option<String>,
    /// Copies that stay in that folder [env: WINDROW_BACKUP_KEEP] [default: 7]
    #[arg(long, value_name = "COUNT")]
    backup_keep: Option<String>,
    /// What clients may ask how often: general=100/min, heavy=10/min [env: WINDROW_RATE_LIMITS]
    #[arg(long, value_name = "LIMITS")]
    rate_limits: Option<String>,
    /// The private networks that jobs of the kind http may call: 10.0.0.0/8, or all [env: WINDROW_JOBS_HTTP_PRIVATE]
    #[arg(long, value_name = "NETWORKS")]
    jobs_http_private: Option<String>,
    /// A TOML file of the commands that jobs may run [env: WINDROW_JOBS_COMMANDS]
    #[arg(long, value_name = "FILE")]
    jobs_commands: Option<String>,
}

impl ServeArguments {
    /// The flags that stand for settings, by key.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        self.flags.settings()
    }
}

impl ServerFlags {
    /// Those that were given, by the key of their setting.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let flags = [
            ("listen", &self.listen),
            ("tls_certificate", &self.tls_certificate),
            ("tls_key", &self.tls_key),
            ("socket", &self.socket),
            ("trusted_proxies", &self.trusted_proxies),
            ("connections", &self.connections),
            ("connections_per_address", &self.connections_per_address),
            ("hosts", &self.hosts),
            ("durability", &self.durability),
            ("workers", &self.workers),
            ("readers", &self.readers),
            ("memory_mb", &self.memory_mb),
            ("seal_rows", &self.seal_rows),
            ("query_deadline", &self.query_deadline),
            ("query_memory_mb", &self.query_memory_mb),
            ("query_rows", &self.query_rows),
            ("cache_memory_mb", &self.cache_memory_mb),
            ("cache_disk_mb", &self.cache_disk_mb),
            ("cache_ages", &self.cache_ages),
            ("cache_warm", &self.cache_warm),
            ("backup_folder", &self.backup_folder),
            ("backup_schedule", &self.backup_schedule),
            ("backup_keep", &self.backup_keep),
            ("rate_limits", &self.rate_limits),
            ("jobs_http_private", &self.jobs_http_private),
            ("jobs_commands", &self.jobs_commands),
        ];
        flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }
}

/// Serves until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub fn run(session: &Session, arguments: &ServeArguments) -> Result<()> {
    app::serve::serve(&session.settings, arguments.no_auth)
}
