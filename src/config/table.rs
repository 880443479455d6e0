//! The table of settings: what there is, what each does, and where its value goes.

use std::path::PathBuf;

use crate::config::Settings;
use crate::config::values::{address, names, one_of, rows, span, whole};
use crate::error::Result;
use crate::limiter::policy::Policies;
use crate::private::Private;
use crate::proxies::Trusted;

/// One row of the table of settings.
pub struct Setting {
    /// Its name in the TOML file; the flag is `--key` with dashes, the variable `WINDROW_KEY`.
    pub key: &'static str,
    /// Its value where nothing else is said.
    pub default: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    pub(super) set: fn(&mut Settings, &str) -> Result<(), String>,
}

/// Every setting.
pub const SETTINGS: [Setting; 29] = [
    Setting {
        key: "db",
        default: "windrow.db",
        doc: "the database file",
        set: |settings, text| {
            if text.is_empty() {
                return Err("a file has a name".into());
            }
            settings.database = text.into();
            Ok(())
        },
    },
    Setting {
        key: "listen",
        default: "127.0.0.1:7878",
        doc: "the address that `serve` listens at; port 0 takes a free one",
        set: |settings, text| address(text).map(|address| settings.listen = address),
    },
    Setting {
        key: "tls_certificate",
        default: "",
        doc: "a PEM file with the chain of certificates, the server's own first: TLS at `listen`; read again when it changes",
        set: |settings, text| {
            settings.tls = (!text.is_empty()).then(|| (text.into(), PathBuf::new()));
            Ok(())
        },
    },
    Setting {
        key: "tls_key",
        default: "",
        doc: "a PEM file with the private key of the certificate, for its owner alone to read",
        set: |settings, text| match (&mut settings.tls, text.is_empty()) {
            (Some((_, key)), false) => {
                *key = text.into();
                Ok(())
            }
            (None, true) => Ok(()),
            (Some(_), true) => {
                Err("it is empty, and tls_certificate is not; TLS takes both, and without TLS leave both out"
                    .into())
            }
            (None, false) => {
                Err("it is set, and tls_certificate is not; TLS takes both, and without TLS leave both out"
                    .into())
            }
        },
    },
    Setting {
        key: "socket",
        default: "",
        doc: "a Unix socket that `serve` listens at as well, for its owner alone",
        set: |settings, text| {
            settings.socket = (!text.is_empty()).then(|| text.into());
            Ok(())
        },
    },
    Setting {
        key: "hosts",
        default: "",
        doc: "names that browsers know the server by, besides addresses and localhost: stats.example.org",
        set: |settings, text| names(text).map(|names| settings.hosts = names),
    },
    Setting {
        key: "trusted_proxies",
        default: "",
        doc: "the proxies whose X-Forwarded-For counts: addresses, networks, and unix for those who come by the socket",
        set: |settings, text| Trusted::read(text).map(|trusted| settings.trusted_proxies = trusted),
    },
    Setting {
        key: "connections",
        default: "16384",
        doc: "connections of clients; fewer where the system gives fewer descriptors",
        set: |settings, text| whole(text, 1, 1 << 20).map(|count| settings.connections = count as usize),
    },
    Setting {
        key: "connections_per_address",
        default: "512",
        doc: "connections from one address, those of trusted proxies aside",
        set: |settings, text| {
            whole(text, 1, 1 << 20).map(|count| settings.connections_per_address = count as usize)
        },
    },
    Setting {
        key: "readers",
        default: "10",
        doc: "read connections to the file",
        set: |settings, text| whole(text, 1, 256).map(|count| settings.readers = count),
    },
    Setting {
        key: "workers",
        default: "64",
        doc: "threads that answer requests; each waits while its commit reaches the disk",
        set: |settings, text| whole(text, 1, 4_096).map(|count| settings.workers = count as usize),
    },
    Setting {
        key: "memory_mb",
        default: "256",
        doc: "MiB of decoded columns that are kept in memory for the next query",
        set: |settings, text| whole(text, 1, 1 << 20).map(|count| settings.memory_mb = count as usize),
    },
    Setting {
        key: "seal_rows",
        default: "250000",
        doc: "events that are kept in memory until they become a segment; four times as many are a full one",
        set: |settings, text| whole(text, 1_000, 10_000_000).map(|count| settings.seal_rows = count as usize),
    },
    Setting {
        key: "query_deadline",
        default: "30s",
        doc: "how long a question may take: 500ms, 30s, 5m",
        set: |settings, text| span(text).map(|time| settings.query_deadline = time),
    },
    Setting {
        key: "query_memory_mb",
        default: "256",
        doc: "MiB of memory that a question may hold; all that run at once, four times as many",
        set: |settings, text| whole(text, 1, 1 << 20).map(|count| settings.query_memory_mb = count as usize),
    },
    Setting {
        key: "query_rows",
        default: "unlimited",
        doc: "rows that a question may look at, or unlimited",
        set: |settings, text| rows(text).map(|count| settings.query_rows = count),
    },
    Setting {
        key: "cache_memory_mb",
        default: "100",
        doc: "MiB of answers and parts of answers that are kept in memory; 0 keeps none there",
        set: |settings, text| whole(text, 0, 1 << 20).map(|count| settings.cache_memory_mb = count as usize),
    },
    Setting {
        key: "cache_disk_mb",
        default: "1024",
        doc: "MiB of them that are kept in a file beside the database; 0 makes none",
        set: |settings, text| whole(text, 0, 1 << 20).map(|count| settings.cache_disk_mb = count as usize),
    },
    Setting {
        key: "cache_ages",
        default: "",
        doc: "how old answers of a class may be, where it is not the usual age: realtime=10s, search=1h",
        set: |settings, text| {
            settings.cache_ages = text.to_owned();
            Ok(())
        },
    },
    Setting {
        key: "cache_warm",
        default: "",
        doc: "a file of questions that are asked at start and after the cache was cleared, a JSON object a line",
        set: |settings, text| {
            settings.cache_warm = (!text.is_empty()).then(|| text.into());
            Ok(())
        },
    },
    Setting {
        key: "backup_folder",
        default: "",
        doc: "the folder for verified copies that jobs of the kind backup make",
        set: |settings, text| {
            settings.backup_folder = (!text.is_empty()).then(|| text.into());
            Ok(())
        },
    },
    Setting {
        key: "backup_schedule",
        default: "",
        doc: "when they are made: the five fields of cron and a time zone, as in 30 2 * * * Europe/Berlin; @daily",
        set: |settings, text| {
            settings.backup_schedule = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
    },
    Setting {
        key: "backup_keep",
        default: "7",
        doc: "copies that stay in that folder; the oldest go after a newer one was verified",
        set: |settings, text| whole(text, 1, 10_000).map(|count| settings.backup_keep = count as usize),
    },
    Setting {
        key: "rate_limits",
        default: "",
        doc: "what clients may ask how often, where it is not the usual: general=100/min, heavy=10/min",
        set: |settings, text| {
            settings.rate_limits = Policies::read(text).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "jobs_http_private",
        default: "",
        doc: "the private addresses and networks that jobs of the kind http may call, or all: 127.0.0.1, 10.0.0.0/8",
        set: |settings, text| Private::read(text).map(|private| settings.jobs_http_private = private),
    },
    Setting {
        key: "jobs_commands",
        default: "",
        doc: "a TOML file of the commands that jobs may run, a name and a list of words each; without it they run none",
        set: |settings, text| {
            settings.jobs_commands = (!text.is_empty()).then(|| text.into());
            Ok(())
        },
    },
    Setting {
        key: "durability",
        default: "full",
        doc: "what an acknowledgement waits for: full (the disk), normal (the operating system)",
        set: |settings, text| one_of(text, &["full", "normal"]).map(|name| settings.durability = name),
    },
    Setting {
        key: "log",
        default: "text",
        doc: "the form of the log on stderr: text, json",
        set: |settings, text| one_of(text, &["text", "json"]).map(|name| settings.log = name),
    },
    Setting {
        key: "log_level",
        default: "info",
        doc: "what is logged: off, error, warn, info, debug, trace",
        set: |settings, text| {
            let levels = ["off", "error", "warn", "info", "debug", "trace"];
            one_of(text, &levels).map(|name| settings.log_level = name)
        },
    },
];

impl Setting {
    /// The variable of the environment.
    pub fn variable(&self) -> String {
        format!("WINDROW_{}", self.key.to_uppercase())
    }

    /// The flag of the command line.
    pub fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }
}
