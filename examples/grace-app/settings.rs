//! Settings of the server and where they come from: arguments beat the environment, the
//! environment beats the file, the file beats the defaults.
//!
//! The defaults are the state that the Grace guide calls "current": one process, a small pool, no
//! cache, no limit on queries, no compression.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::Args;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a worker needs to know to serve; the unit of a live reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) workers: NonZeroUsize,
    pub(crate) pool: PoolLimits,
    pub(crate) trust_score_ttl: Seconds,
    pub(crate) metrics_summary_ttl: Seconds,
    pub(crate) reflection_interval: Seconds,
    pub(crate) meta_loop_interval: Seconds,
    pub(crate) health_check_interval: Seconds,
    pub(crate) task_max_parallel: NonZeroUsize,
    /// Rows that one list query may return; 0 means all of them.
    pub(crate) query_limit: u32,
    /// Bytes from which a response is compressed; 0 means never.
    pub(crate) gzip_minimum_size: usize,
}

/// The limits of one process's connection pool, with the meaning that `SQLAlchemy` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolLimits {
    /// Connections that stay open.
    pub(crate) size: usize,
    /// Connections that may be opened on top and are closed when they come back.
    pub(crate) max_overflow: usize,
    /// How long a request waits for a connection before it is refused.
    pub(crate) timeout: Seconds,
}

impl PoolLimits {
    /// The most connections that the pool ever holds.
    pub(crate) const fn ceiling(self) -> usize {
        self.size.saturating_add(self.max_overflow)
    }
}

/// A length of time written as a plain number of seconds: `30` or `0.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Seconds {
    pub(crate) const fn new(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    fn from_number(number: f64) -> Result<Self, String> {
        Duration::try_from_secs_f64(number)
            .map(Self)
            .map_err(|_| format!("expected a number of seconds from 0 upwards, got \"{number}\""))
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text
            .trim()
            .parse()
            .map_err(|_| format!("expected seconds as a plain number such as 30 or 0.5, got \"{text}\""))?;
        Self::from_number(number)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).and_then(|number| Self::from_number(number).map_err(de::Error::custom))
    }
}

/// The settings as arguments and environment variables; what is absent is left to the file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// Worker processes, each with its own pool and caches [default: 1]
    #[arg(long, env = "WEB_CONCURRENCY", value_name = "PROCESSES")]
    workers: Option<NonZeroUsize>,
    /// Connections that each process keeps open [default: 2]
    #[arg(long, env = "DB_POOL_SIZE", value_name = "CONNECTIONS")]
    db_pool_size: Option<NonZeroUsize>,
    /// Connections that each process may open on top while it is busy [default: 0]
    #[arg(long, env = "DB_MAX_OVERFLOW", value_name = "CONNECTIONS")]
    db_max_overflow: Option<usize>,
    /// How long a request waits for a connection before it is answered with 503 [default: 30]
    #[arg(long, env = "DB_POOL_TIMEOUT", value_name = "SECONDS")]
    db_pool_timeout: Option<Seconds>,
    /// How long a trust score is remembered; 0 switches the cache off [default: 0]
    #[arg(long, env = "TRUST_SCORE_TTL", value_name = "SECONDS")]
    trust_score_ttl: Option<Seconds>,
    /// How long the answer of /api/metrics/summary is remembered [default: 0]
    #[arg(long, env = "METRICS_SUMMARY_TTL", value_name = "SECONDS")]
    metrics_summary_ttl: Option<Seconds>,
    /// Time between two reflections over new messages [default: 10]
    #[arg(long, env = "REFLECTION_INTERVAL", value_name = "SECONDS")]
    reflection_interval: Option<Seconds>,
    /// Time between two runs of the meta loop, which trims old messages [default: 300]
    #[arg(long, env = "META_LOOP_INTERVAL", value_name = "SECONDS")]
    meta_loop_interval: Option<Seconds>,
    /// Time between two checks of the database [default: 30]
    #[arg(long, env = "HEALTH_CHECK_INTERVAL", value_name = "SECONDS")]
    health_check_interval: Option<Seconds>,
    /// Tasks that a process works on at the same time [default: 3]
    #[arg(long, env = "TASK_MAX_PARALLEL", value_name = "TASKS")]
    task_max_parallel: Option<NonZeroUsize>,
    /// Rows that one list query may return; 0 means all of them [default: 0]
    #[arg(long, env = "QUERY_LIMIT", value_name = "ROWS")]
    query_limit: Option<u32>,
    /// Size from which a response is compressed; 0 means never [default: 0]
    #[arg(long, env = "GZIP_MINIMUM_SIZE", value_name = "BYTES")]
    gzip_minimum_size: Option<usize>,
}

/// The settings file. Unknown keys are refused: a misspelt key would silently do nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    server: ServerSection,
    database: DatabaseSection,
    cache: CacheSection,
    intervals: IntervalsSection,
    tasks: TasksSection,
    api: ApiSection,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ServerSection {
    workers: Option<NonZeroUsize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct DatabaseSection {
    pool: PoolSection,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct PoolSection {
    size: Option<NonZeroUsize>,
    max_overflow: Option<usize>,
    timeout: Option<Seconds>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct CacheSection {
    trust_score_ttl: Option<Seconds>,
    metrics_summary_ttl: Option<Seconds>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct IntervalsSection {
    reflection: Option<Seconds>,
    meta_loop: Option<Seconds>,
    health_check: Option<Seconds>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct TasksSection {
    max_parallel: Option<NonZeroUsize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ApiSection {
    query_limit: Option<u32>,
    gzip_minimum_size: Option<usize>,
}

/// Why the settings could not be had. The text names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("failed to read settings file \"{}\"", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("failed to parse settings file \"{}\": {reason}", path.display())]
    Parse { path: PathBuf, reason: String },
    #[error("{name} must be greater than 0: a loop without a pause would never let go of the database")]
    NoPause { name: &'static str },
}

/// Reads the file, if one is named, and puts everything together.
pub(crate) fn load(overrides: &Overrides, file: Option<&Path>) -> Result<Settings, SettingsError> {
    let text = match file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })?
        }
        None => String::new(),
    };
    resolve(overrides, &text, file.unwrap_or(Path::new("")))
}

fn resolve(overrides: &Overrides, text: &str, path: &Path) -> Result<Settings, SettingsError> {
    let file = parse(text).map_err(|reason| SettingsError::Parse { path: path.to_owned(), reason })?;
    let given = overrides;
    let one = NonZeroUsize::MIN;
    let settings = Settings {
        workers: given.workers.or(file.server.workers).unwrap_or(one),
        pool: PoolLimits {
            size: given.db_pool_size.or(file.database.pool.size).map_or(2, NonZeroUsize::get),
            max_overflow: given.db_max_overflow.or(file.database.pool.max_overflow).unwrap_or(0),
            timeout: given.db_pool_timeout.or(file.database.pool.timeout).unwrap_or(Seconds::new(30)),
        },
        trust_score_ttl: given.trust_score_ttl.or(file.cache.trust_score_ttl).unwrap_or_default(),
        metrics_summary_ttl: given.metrics_summary_ttl.or(file.cache.metrics_summary_ttl).unwrap_or_default(),
        reflection_interval: given.reflection_interval.or(file.intervals.reflection).unwrap_or(Seconds::new(10)),
        meta_loop_interval: given.meta_loop_interval.or(file.intervals.meta_loop).unwrap_or(Seconds::new(300)),
        health_check_interval: given.health_check_interval.or(file.intervals.health_check).unwrap_or(Seconds::new(30)),
        task_max_parallel: given.task_max_parallel.or(file.tasks.max_parallel).unwrap_or(one.saturating_add(2)),
        query_limit: given.query_limit.or(file.api.query_limit).unwrap_or(0),
        gzip_minimum_size: given.gzip_minimum_size.or(file.api.gzip_minimum_size).unwrap_or(0),
    };
    for (name, interval) in [
        ("REFLECTION_INTERVAL", settings.reflection_interval),
        ("META_LOOP_INTERVAL", settings.meta_loop_interval),
        ("HEALTH_CHECK_INTERVAL", settings.health_check_interval),
    ] {
        if interval.0.is_zero() {
            return Err(SettingsError::NoPause { name });
        }
    }
    Ok(settings)
}

/// An empty file, or one with comments only, says nothing and is no mistake.
fn parse(text: &str) -> Result<Document, String> {
    let parsed: Result<Option<Document>, _> = serde_saphyr::from_str(text);
    parsed.map(Option::unwrap_or_default).map_err(|error| error.to_string())
}

/// The row limit in the form that queries want it.
pub(crate) fn row_limit(settings: &Settings) -> Option<NonZeroU32> {
    NonZeroU32::new(settings.query_limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Settings {
        resolve(&Overrides::default(), text, Path::new("config.yaml")).unwrap()
    }

    #[test]
    fn without_a_word_the_settings_are_those_that_the_guide_starts_from() {
        let settings = given("");
        assert_eq!(settings.workers.get(), 1);
        assert_eq!(settings.pool, PoolLimits { size: 2, max_overflow: 0, timeout: Seconds::new(30) });
        assert_eq!(settings.reflection_interval, Seconds::new(10));
        assert_eq!(settings.task_max_parallel.get(), 3);
        assert_eq!(row_limit(&settings), None);
        assert_eq!(given("# nothing but a comment\n"), settings);
    }

    #[test]
    fn the_file_beats_the_defaults_and_is_beaten_key_by_key() {
        let text = "database: {pool: {size: 7, maxOverflow: 3}}\ncache: {trustScoreTtl: 0.5}\n";
        let overrides = Overrides { db_pool_size: NonZeroUsize::new(20), ..Overrides::default() };
        let settings = resolve(&overrides, text, Path::new("config.yaml")).unwrap();
        assert_eq!(settings.pool.size, 20);
        assert_eq!(settings.pool.max_overflow, 3);
        assert_eq!(settings.pool.ceiling(), 23);
        assert_eq!(settings.trust_score_ttl.0, Duration::from_millis(500));
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_names_the_file_and_the_key() {
        let error = resolve(&Overrides::default(), "cache: {trustScoreTTL: 60}", Path::new("config.yaml"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("config.yaml") && error.contains("trustScoreTTL"), "{error}");
    }

    #[test]
    fn a_loop_without_a_pause_is_refused() {
        let error =
            resolve(&Overrides::default(), "intervals: {reflection: 0}", Path::new("f")).unwrap_err().to_string();
        assert!(error.starts_with("REFLECTION_INTERVAL"), "{error}");
    }

    #[test]
    fn the_file_of_the_deployment_names_every_setting_with_its_default() {
        let manifest = include_str!("../grace/app.yaml");
        let (_, after) = manifest.split_once("config.yaml: |\n").unwrap();
        let (block, _) = after.split_once("\n---").unwrap();
        let lines: Vec<_> = block.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
        let text = lines.join("\n");
        assert_eq!(given(&text), given(""));
        let document = parse(&text).unwrap();
        let missing = format!("{document:?}").matches("None").count();
        assert_eq!(missing, 0, "a policy can only change a key that is there: {document:#?}");
    }

    #[test]
    fn seconds_are_plain_numbers() {
        assert_eq!("0.25".parse(), Ok(Seconds(Duration::from_millis(250))));
        for wrong in ["30s", "", "-1", "NaN", "1e40"] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
        }
    }
}
