//! Settings: a flag, else the environment, else the TOML file, else the default. One table says what there is;
//! `windrow config` prints it with what is in force and whence. `cli` loads it once and hands the parts down; the
//! environment is passed in, so that tests need none.

mod table;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result, nearest};
use crate::limiter::policy::Policies;
use crate::limits;
use crate::private::Private;
use crate::proxies::Trusted;

pub use table::{SETTINGS, Setting};
pub use values::span;

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The database file.
    pub database: PathBuf,
    /// Where `serve` listens.
    pub listen: SocketAddr,
    /// The files of the certificate and of its key, where TLS is spoken at that address.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// A socket in the file system that `serve` listens at as well.
    pub socket: Option<PathBuf>,
    /// The proxies that are believed in where a request is from.
    pub trusted_proxies: Trusted,
    /// Connections of clients, at most.
    pub connections: usize,
    /// Connections from one address, at most.
    pub connections_per_address: usize,
    /// Names that the server is known by, besides addresses and localhost.
    pub hosts: Vec<String>,
    /// Read connections.
    pub readers: u32,
    /// Threads that answer requests.
    pub workers: usize,
    /// MiB of decoded columns that are kept in memory.
    pub memory_mb: usize,
    /// Events of a tail that becomes a segment.
    pub seal_rows: usize,
    /// How long a question may take.
    pub query_deadline: Duration,
    /// MiB of memory that a question may hold.
    pub query_memory_mb: usize,
    /// Rows that a question may look at; `None`: any number.
    pub query_rows: Option<u64>,
    /// MiB of answers and parts of answers that are kept in memory.
    pub cache_memory_mb: usize,
    /// MiB of them that are kept in a file beside the database.
    pub cache_disk_mb: usize,
    /// How old answers of some classes may be, as `cache::class` reads it.
    pub cache_ages: String,
    /// A file of questions that are asked ahead; `None`: none is.
    pub cache_warm: Option<PathBuf>,
    /// Where backups come that jobs make; `None`: jobs make none.
    pub backup_folder: Option<PathBuf>,
    /// When they are made: five fields of cron and a time zone; `None`: when somebody submits a job.
    pub backup_schedule: Option<String>,
    /// How many of them stay.
    pub backup_keep: usize,
    /// What clients and queues may do how often.
    pub rate_limits: Policies,
    /// The private addresses that jobs may call.
    pub jobs_http_private: Private,
    /// A file of the commands that jobs may run; `None`: none.
    pub jobs_commands: Option<PathBuf>,
    /// What a commit waits for: `full` or `normal`.
    pub durability: &'static str,
    /// The form of the log: `text` or `json`.
    pub log: &'static str,
    /// What is logged: `off`, `error`, `warn`, `info`, `debug`, `trace`.
    pub log_level: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database: "windrow.db".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7878)),
            tls: None,
            socket: None,
            trusted_proxies: Trusted::default(),
            connections: limits::CONNECTIONS,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            hosts: Vec::new(),
            readers: limits::READERS,
            workers: limits::HTTP_WORKERS,
            memory_mb: limits::BUFFER_POOL_BYTES >> 20,
            seal_rows: limits::SEAL_ROWS,
            query_deadline: limits::QUERY_TIME,
            query_memory_mb: limits::QUERY_BYTES >> 20,
            query_rows: None,
            cache_memory_mb: limits::CACHE_MEMORY_BYTES >> 20,
            cache_disk_mb: limits::CACHE_DISK_BYTES as usize >> 20,
            cache_ages: String::new(),
            cache_warm: None,
            backup_folder: None,
            backup_schedule: None,
            backup_keep: limits::BACKUPS_KEPT,
            rate_limits: Policies::default(),
            jobs_http_private: Private::default(),
            jobs_commands: None,
            durability: "full",
            log: "text",
            log_level: "info",
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line, by this flag.
    Flag(String),
    /// The environment, by this variable.
    Environment(String),
    /// The TOML file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Its key.
    pub key: &'static str,
    /// Its value as text.
    pub value: String,
    /// Where the value comes from.
    pub source: Source,
    /// What it does.
    pub doc: &'static str,
}

/// What the settings are loaded from.
pub struct Inputs<'a> {
    /// Values of flags that were given, by key.
    pub flags: &'a [(&'static str, String)],
    /// The environment; an empty value counts as none.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The names that are set in it.
    pub variables: &'a [String],
    /// `--config`.
    pub file: Option<&'a Path>,
    /// The file that is read when no other is named and this one exists.
    pub default_file: &'a Path,
}

/// Loads and checks all settings, and says where each comes from.
///
/// # Errors
/// A value that is none, or excludes another, naming its source; a named file that cannot be read; an unknown key, with the
/// nearest one; a variable that is no setting and nearly one.
pub fn load(inputs: &Inputs<'_>) -> Result<(Settings, Vec<InForce>)> {
    check_variables(inputs.variables)?;
    let variable = |name: &str| (inputs.environment)(name).filter(|value| !value.is_empty());
    let named = inputs.file.map(Path::to_owned).or_else(|| variable("WINDROW_CONFIG").map(PathBuf::from));
    let path = named.or_else(|| inputs.default_file.exists().then(|| inputs.default_file.to_owned()));
    let file = match &path {
        Some(path) => read_file(path)?,
        None => Vec::new(),
    };
    let (mut settings, mut in_force) = (Settings::default(), Vec::new());
    for setting in &SETTINGS {
        let flag = inputs.flags.iter().find(|(key, _)| *key == setting.key).map(|(_, value)| value.clone());
        let in_file = file.iter().find(|(key, _)| *key == setting.key).map(|(_, value)| value.clone());
        let (value, source) = if let Some(value) = flag {
            (value, Source::Flag(setting.flag()))
        } else if let Some(value) = variable(&setting.variable()) {
            (value, Source::Environment(setting.variable()))
        } else if let (Some(value), Some(path)) = (in_file, &path) {
            (value, Source::File(path.clone()))
        } else {
            (setting.default.to_owned(), Source::Default)
        };
        (setting.set)(&mut settings, &value)
            .map_err(|reason| Error::invalid(format!("the setting {} ({source}): {reason}", setting.key)))?;
        in_force.push(InForce { key: setting.key, value, source, doc: setting.doc });
    }
    Ok((settings, in_force))
}

/// Refuses variables whose names are almost those of settings. All others may be somebody else's: Kubernetes sets
/// `WINDROW_SERVICE_HOST` for a service of our name, and scripts have a `WINDROW_KEY`.
fn check_variables(variables: &[String]) -> Result<()> {
    const ALMOST: f64 = 0.88;
    let known: Vec<String> =
        SETTINGS.iter().map(Setting::variable).chain(["WINDROW_CONFIG".to_owned()]).collect();
    for name in variables {
        let Some(own) = name.strip_prefix("WINDROW_").filter(|_| !known.contains(name)) else { continue };
        let score = |known: &&String| strsim::jaro_winkler(own, known.trim_start_matches("WINDROW_"));
        let nearest = known.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
        if let Some(nearest) = nearest.filter(|known| score(known) > ALMOST) {
            return Err(Error::invalid(format!(
                "the variable {name} of the environment is no setting; did you mean {nearest}? If it is meant for something else, \
                 give it another name"
            )));
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Vec<(String, String)>> {
    let wrong = |what: String| Error::invalid(format!("the settings in {}: {what}", path.display()));
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::io(format!("cannot read the settings in {}", path.display()), e))?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let place = e.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..place].iter().filter(|byte| **byte == b'\n').count() + 1;
        wrong(format!("line {line}: {}", e.message()))
    })?;
    let mut values = Vec::new();
    for (key, value) in table {
        if !SETTINGS.iter().any(|setting| setting.key == key) {
            let keys = SETTINGS.iter().map(|setting| setting.key);
            let hint = nearest(&key, keys.clone());
            let all = keys.collect::<Vec<_>>().join(", ");
            return Err(wrong(format!("\"{key}\" is no setting; settings are {all}{hint}")));
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => {
                return Err(wrong(format!("{key} is a text or a whole number, not a {}", other.type_str())));
            }
        };
        values.push((key, text));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(
        flags: &[(&'static str, String)],
        environment: &[(&str, &str)],
        file: Option<&str>,
    ) -> Result<(Settings, Vec<InForce>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("windrow.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let environment = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        load(&Inputs { flags, environment: &environment, variables: &[], file: None, default_file: &path })
    }

    fn refusal(outcome: Result<(Settings, Vec<InForce>)>) -> String {
        outcome.expect_err("refused").to_string()
    }

    #[test]
    fn the_table_and_the_defaults_say_the_same() {
        let (settings, in_force) = with(&[], &[], None).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(in_force.len(), SETTINGS.len());
        for (place, setting) in SETTINGS.iter().enumerate() {
            assert!(!setting.doc.is_empty() && !setting.doc.ends_with('.'), "{}", setting.key);
            assert!(SETTINGS[..place].iter().all(|other| other.key != setting.key), "{}", setting.key);
            assert_eq!(in_force[place].source, Source::Default);
        }
    }

    #[test]
    fn a_flag_stands_before_the_environment_before_the_file_before_the_default() {
        let file = Some("listen = '127.0.0.1:1'\nreaders = 3\nworkers = 5\n");
        let environment = [("WINDROW_LISTEN", "127.0.0.1:2"), ("WINDROW_READERS", "4"), ("WINDROW_LOG", "")];
        let (settings, in_force) = with(&[("listen", "localhost:3".into())], &environment, file).unwrap();
        assert_eq!((settings.listen.port(), settings.readers, settings.workers), (3, 4, 5));
        let source = |key| in_force.iter().find(|one| one.key == key).unwrap().source.to_string();
        assert_eq!(source("listen"), "flag --listen");
        assert_eq!(source("readers"), "environment WINDROW_READERS");
        assert!(source("workers").starts_with("file ") && source("workers").ends_with("windrow.toml"));
        assert_eq!((source("db"), source("log")), ("default".into(), "default".into()));
    }

    #[test]
    fn what_a_question_may_take_is_a_time_a_size_and_a_number() {
        let flags = ["query_deadline", "query_memory_mb", "query_rows"];
        let of = |values: [&str; 3]| {
            let given: Vec<_> = flags.into_iter().zip(values.map(str::to_owned)).collect();
            let (settings, _) = with(&given, &[], None).unwrap();
            (settings.query_deadline.as_millis(), settings.query_memory_mb, settings.query_rows)
        };
        assert_eq!(of(["250ms", "16", "1000000"]), (250, 16, Some(1_000_000)));
        assert_eq!(of(["2m", "1", "unlimited"]), (120_000, 1, None));
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let refused = refusal(with(&[], &[], Some("listne = '127.0.0.1:1'")));
        assert!(refused.contains("listne") && refused.contains("did you mean \"listen\""), "{refused}");
        assert!(
            refusal(with(&[], &[], Some("log = { level = 'info' }"))).contains("a text or a whole number")
        );
    }

    #[test]
    fn a_wrong_value_names_where_it_was_said() {
        let flags = |key, value: &str| with(&[(key, value.to_owned())], &[], None);
        for value in ["nonsense", "127.0.0.1:70000", "127.0.0.1", ""] {
            assert!(refusal(flags("listen", value)).contains("flag --listen"), "{value}");
        }
        assert!(refusal(flags("readers", "0")).contains("1 to 256"));
        assert!(refusal(flags("db", "")).contains("--db"));
        for (key, value) in [("query_deadline", "0s"), ("query_deadline", "soon"), ("query_rows", "-1")] {
            assert!(refusal(flags(key, value)).contains("write one"), "{key} {value}");
        }
        assert!(refusal(with(&[], &[("WINDROW_LOG_LEVEL", "inof")], None)).contains("WINDROW_LOG_LEVEL"));
        for hosts in ["a:80", "a,,b", "http://a", "a b"] {
            assert!(
                refusal(with(&[("hosts", hosts.into())], &[], None)).contains("no name of a host"),
                "{hosts}"
            );
        }
        let (named, _) = with(&[("hosts", "Stats.example.org, b.lan".into())], &[], None).unwrap();
        assert_eq!(named.hosts, ["stats.example.org", "b.lan"]);
        assert!(refusal(with(&[], &[], Some("durability = 'fulll'"))).contains("\"full\""));
    }

    #[test]
    fn a_certificate_comes_with_its_key_and_a_key_with_its_certificate() {
        let (certificate, key) = (("tls_certificate", "a.pem".to_owned()), ("tls_key", "b.pem".to_owned()));
        let (settings, _) = with(&[key.clone(), certificate.clone()], &[], None).unwrap();
        assert_eq!(settings.tls, Some(("a.pem".into(), "b.pem".into())));
        for alone in [certificate, key] {
            let refused = refusal(with(&[alone], &[], None));
            assert!(refused.contains("tls_key") && refused.contains("tls_certificate"), "{refused}");
            assert!(refused.contains("TLS takes both"), "{refused}");
        }
        // wherever the two come from
        let (settings, _) =
            with(&[], &[("WINDROW_TLS_KEY", "b.pem")], Some("tls_certificate = 'a.pem'")).unwrap();
        assert_eq!(settings.tls, Some(("a.pem".into(), "b.pem".into())));
    }

    #[test]
    fn a_variable_that_is_almost_a_setting_is_refused_and_those_of_others_are_not() {
        for (wrong, right) in [
            ("WINDROW_LISTNE", "WINDROW_LISTEN"),
            ("WINDROW_TLS_CERT", "WINDROW_TLS_CERTIFICATE"),
            ("WINDROW_HOST", "WINDROW_HOSTS"),
            ("WINDROW_MEMORY", "WINDROW_MEMORY_MB"),
            ("WINDROW_CONFG", "WINDROW_CONFIG"),
        ] {
            let refused = check_variables(&["PATH".into(), wrong.into()]).unwrap_err().to_string();
            assert!(
                refused.contains(wrong) && refused.contains(&format!("did you mean {right}?")),
                "{refused}"
            );
        }
        let others =
            ["KEY", "URL", "PORT", "SERVICE_HOST", "SERVICE_PORT", "PORT_7878_TCP", "PORT_7878_TCP_ADDR"];
        let others = others.iter().map(|name| format!("WINDROW_{name}"));
        let own = SETTINGS.iter().map(Setting::variable);
        let harmless: Vec<String> =
            others.chain(own).chain(["LISTNE".into(), "WINDROWLISTEN".into()]).collect();
        check_variables(&harmless).unwrap();
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_with_its_line() {
        assert!(refusal(with(&[], &[], Some("readers = 3\nlisten =\n"))).contains("line 2"));
    }

    #[test]
    fn a_named_file_has_to_exist_and_the_default_one_not() {
        let environment = |_: &str| None;
        let absent = Path::new("/nowhere/windrow.toml");
        let inputs = Inputs {
            flags: &[],
            environment: &environment,
            variables: &[],
            file: Some(absent),
            default_file: absent,
        };
        assert!(refusal(load(&inputs)).contains("/nowhere/windrow.toml"));
        load(&Inputs { file: None, ..inputs }).unwrap();
    }
}
