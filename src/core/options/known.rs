//! The catalogue of options that a policy may set.

use std::{net::SocketAddr, ops::Range};

use super::Variable;
use crate::{
    api::policy::ValueFormat,
    core::units::{Decimal, Value, ValueType},
};

/// How the value of an option is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A size of the JVM: `512m`.
    JvmSize,
    /// Whole mebibytes.
    Mebibytes,
    /// Whole bytes.
    Bytes,
    /// Whole milliseconds.
    Milliseconds,
    /// Whole seconds.
    Seconds,
    /// A whole number.
    Count,
    /// A share of a hundred: `75.0`. The point is for JVMs that read no whole number there.
    Percent,
    /// A switch of the JVM: `-XX:+Name` or `-XX:-Name`.
    Switch,
    /// One of [`COLLECTORS`].
    Collector,
    /// One of [`WORKER_CLASSES`].
    WorkerClass,
    /// An IP address and a port: `0.0.0.0:8000`.
    Socket,
}

/// An option that a policy may set.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// How a policy names it, and how it is written.
    pub token: &'static str,
    /// Where it is read from.
    pub variable: Variable,
    /// How its value is spelled.
    pub unit: Unit,
    /// What stands between the token and its value.
    glue: &'static str,
    /// Other spellings of the same option, with what stands between them and the value.
    others: &'static [(&'static str, &'static str)],
}

/// Garbage collectors, as policies name them; the JVM's switch is `-XX:+Use…GC`.
pub const COLLECTORS: [&str; 5] = ["Serial", "Parallel", "G1", "Z", "Shenandoah"];
/// What else selects a collector, in some version of the JVM.
const OTHER_COLLECTORS: [&str; 4] = ["ParallelOld", "ConcMarkSweep", "ParNew", "Epsilon"];

/// Whether the JVM's switch `-XX:+Use…GC` with that name selects a collector.
#[must_use]
pub fn is_collector(name: &str) -> bool {
    COLLECTORS.contains(&name) || OTHER_COLLECTORS.contains(&name)
}

/// Kinds of workers of gunicorn. Any other word would be a module that Python loads.
pub const WORKER_CLASSES: [&str; 8] = [
    "sync",
    "gthread",
    "gevent",
    "eventlet",
    "tornado",
    "uvicorn.workers.UvicornWorker",
    "uvicorn.workers.UvicornH11Worker",
    "uvicorn_worker.UvicornWorker",
];

const fn java(token: &'static str, unit: Unit) -> Known {
    Known { token, variable: Variable::JavaToolOptions, unit, glue: "=", others: &[] }
}

const fn node(token: &'static str, unit: Unit) -> Known {
    Known { token, variable: Variable::NodeOptions, unit, glue: "=", others: &[] }
}

const fn gunicorn(token: &'static str, unit: Unit, others: &'static [(&'static str, &'static str)]) -> Known {
    Known { token, variable: Variable::GunicornCmdArgs, unit, glue: "=", others }
}

const fn short(token: &'static str, others: &'static [(&'static str, &'static str)]) -> Known {
    Known { token, variable: Variable::JavaToolOptions, unit: Unit::JvmSize, glue: "", others }
}

/// Largest heap of a JVM.
pub const HEAP_MAX: &str = "-Xmx";
/// Heap that a JVM begins with.
pub const HEAP_MIN: &str = "-Xms";
/// Largest old generation of a Node.js process.
pub const MAX_OLD_SPACE: &str = "--max-old-space-size";
/// Largest heap of a JVM as a share of its memory; idle beside [`HEAP_MAX`].
pub const MAX_RAM: &str = "-XX:MaxRAMPercentage";
/// The heap that a JVM tries to stay below.
pub const SOFT_MAX: &str = "-XX:SoftMaxHeapSize";
/// Number of workers of gunicorn.
pub const WORKERS: &str = "--workers";
/// The choice of a collector. No policy can name it as an `option`: `runtime.jvm.collector` is its place.
pub const COLLECTOR: &str = "-XX:+Use*GC";
/// Switches of the JVM that `runtime.jvm` has fields for.
pub const SWITCHES: [&str; 2] = ["-XX:+AlwaysPreTouch", "-XX:+ParallelRefProcEnabled"];

/// All of them. The numbers and names are of OpenJDK 8 to 25, Node.js 12 to 24 and gunicorn 20 to 23.
static KNOWN: [Known; 38] = [
    short(HEAP_MAX, &[("-XX:MaxHeapSize", "=")]),
    short(HEAP_MIN, &[("-XX:InitialHeapSize", "=")]),
    short("-Xmn", &[]),
    short("-Xss", &[]),
    java("-XX:MaxGCPauseMillis", Unit::Milliseconds),
    java(MAX_RAM, Unit::Percent),
    java("-XX:InitialRAMPercentage", Unit::Percent),
    java("-XX:MinRAMPercentage", Unit::Percent),
    java("-XX:MaxMetaspaceSize", Unit::JvmSize),
    java("-XX:MaxDirectMemorySize", Unit::JvmSize),
    java("-XX:ReservedCodeCacheSize", Unit::JvmSize),
    java("-XX:G1HeapRegionSize", Unit::JvmSize),
    java(SOFT_MAX, Unit::JvmSize),
    java("-XX:ActiveProcessorCount", Unit::Count),
    java("-XX:ParallelGCThreads", Unit::Count),
    java("-XX:ConcGCThreads", Unit::Count),
    java("-XX:InitiatingHeapOccupancyPercent", Unit::Count),
    java(SWITCHES[0], Unit::Switch),
    java(SWITCHES[1], Unit::Switch),
    java("-XX:+UseStringDeduplication", Unit::Switch),
    java("-XX:+ExitOnOutOfMemoryError", Unit::Switch),
    java("-XX:+UseContainerSupport", Unit::Switch),
    java(COLLECTOR, Unit::Collector),
    node(MAX_OLD_SPACE, Unit::Mebibytes),
    node("--max-semi-space-size", Unit::Mebibytes),
    node("--max-http-header-size", Unit::Bytes),
    gunicorn(WORKERS, Unit::Count, &[("-w", "")]),
    gunicorn("--threads", Unit::Count, &[]),
    gunicorn("--worker-connections", Unit::Count, &[]),
    gunicorn("--timeout", Unit::Seconds, &[("-t", "")]),
    gunicorn("--graceful-timeout", Unit::Seconds, &[]),
    gunicorn("--keep-alive", Unit::Seconds, &[]),
    gunicorn("--backlog", Unit::Count, &[]),
    gunicorn("--max-requests", Unit::Count, &[]),
    gunicorn("--max-requests-jitter", Unit::Count, &[]),
    gunicorn("--limit-request-fields", Unit::Count, &[]),
    gunicorn("--worker-class", Unit::WorkerClass, &[("-k", "")]),
    gunicorn("--bind", Unit::Socket, &[("-b", "")]),
];

/// The heap below which a JVM does not shrink. No policy can set it: a JVM whose largest heap is smaller does not start.
pub static MIN_HEAP: Known = java("-XX:MinHeapSize", Unit::JvmSize);

/// All options of a variable, in the order of the catalogue.
pub fn of(variable: Variable) -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(move |known| known.variable == variable)
}

/// The option that a policy names by `token`.
#[must_use]
pub fn known(token: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.token == token)
}

/// Every token that a policy may name as an `option`, in the order of the catalogue.
pub fn tokens() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.token).filter(|token| *token != COLLECTOR)
}

/// An option among words, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Positions of its words.
    pub words: Range<usize>,
    /// The text of its value.
    pub value: String,
}

impl Known {
    /// The type of values that it takes.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self.unit {
            Unit::JvmSize | Unit::Mebibytes | Unit::Bytes => ValueType::Bytes,
            Unit::Milliseconds | Unit::Seconds => ValueType::Duration,
            Unit::Count => ValueType::Integer,
            Unit::Percent => ValueType::Ratio,
            Unit::Switch => ValueType::Boolean,
            Unit::Collector | Unit::WorkerClass | Unit::Socket => ValueType::Enum,
        }
    }

    /// What the value of a formula is rounded down to, in the base unit of its type; nothing: it is not rounded.
    #[must_use]
    pub const fn grain(&self) -> Option<Decimal> {
        match self.unit {
            Unit::JvmSize | Unit::Mebibytes => Some(Decimal::from_int(1 << 20)),
            _ => None,
        }
    }

    /// The option with `value`, as one word that needs no quotes.
    ///
    /// # Errors
    /// What must be true of the value, continuing its path.
    pub fn render(&self, value: &Value) -> Result<String, String> {
        let format = match self.unit {
            Unit::JvmSize => Some(ValueFormat::Jvm),
            Unit::Mebibytes => Some(ValueFormat::Mebibytes),
            Unit::Bytes => Some(ValueFormat::Bytes),
            Unit::Milliseconds => Some(ValueFormat::Milliseconds),
            Unit::Seconds => Some(ValueFormat::Seconds),
            Unit::Count | Unit::Percent | Unit::Switch | Unit::Collector | Unit::WorkerClass | Unit::Socket => None,
        };
        let mismatch = || format!("{} takes a {}, not a {}", self.token, self.value_type(), value.value_type());
        if value.value_type() != self.value_type() {
            return Err(mismatch());
        }
        match (self.unit, value) {
            (Unit::Switch, Value::Boolean(on)) => Ok(self.token.replacen('+', if *on { "+" } else { "-" }, 1)),
            (Unit::Collector, Value::Enum(name)) if COLLECTORS.contains(&name.as_str()) => {
                Ok(format!("-XX:+Use{name}GC"))
            }
            (Unit::Collector, _) => Err(format!("must be one of {}", COLLECTORS.join(", "))),
            (Unit::WorkerClass, Value::Enum(name)) if !WORKER_CLASSES.contains(&name.as_str()) => {
                Err(format!("must be one of {}", WORKER_CLASSES.join(", ")))
            }
            (Unit::Socket, Value::Enum(socket)) if socket.parse::<SocketAddr>().is_err() => {
                Err("must be an IP address and a port, such as 0.0.0.0:8000".to_owned())
            }
            (Unit::Percent, Value::Ratio(share)) => {
                let percent = share.checked_mul(Decimal::from_int(100)).ok_or_else(mismatch)?.to_string();
                let point = if percent.contains('.') { "" } else { ".0" };
                Ok(format!("{}{}{percent}{point}", self.token, self.glue))
            }
            _ => {
                let text = value.render(format).map_err(|error| error.to_string())?;
                if text.starts_with('-') {
                    return Err(format!("must be ≥ 0, not {text}"));
                }
                Ok(format!("{}{}{text}", self.token, self.glue))
            }
        }
    }

    /// What the text of its value means, as the runtime reads it.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<Value> {
        let read = |format| Value::read(self.value_type(), format, text);
        match self.unit {
            Unit::JvmSize => read(Some(ValueFormat::Jvm)),
            Unit::Mebibytes => read(Some(ValueFormat::Mebibytes)),
            Unit::Bytes => read(Some(ValueFormat::Bytes)),
            Unit::Milliseconds => read(Some(ValueFormat::Milliseconds)),
            Unit::Seconds => read(Some(ValueFormat::Seconds)),
            Unit::Percent => {
                let percent = Decimal::parse(text).ok()?;
                Value::from_amount(ValueType::Ratio, percent.exact_div(Decimal::from_int(100))?).ok()
            }
            Unit::Count | Unit::Switch | Unit::Collector | Unit::WorkerClass | Unit::Socket => read(None),
        }
    }

    /// Everywhere that the option is among `words`, whatever it is called there. The last one counts.
    #[must_use]
    pub fn find<S: AsRef<str>>(&self, words: &[S]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let next = words.get(at + 1).map(AsRef::as_ref).filter(|next| !next.starts_with('-'));
            let value = self.value_in(word.as_ref(), next);
            let Some((value, takes_next)) = value else {
                at += 1;
                continue;
            };
            let end = at + 1 + usize::from(takes_next);
            found.push(Found { words: at..end, value });
            at = end;
        }
        found
    }

    /// The value in a word, and whether it is all of the `next` one.
    fn value_in(&self, word: &str, next: Option<&str>) -> Option<(String, bool)> {
        let whole = |value: &str| Some((value.to_owned(), false));
        match self.unit {
            Unit::Switch => {
                let name = self.token.strip_prefix("-XX:+")?;
                let (sign, is) = word.strip_prefix("-XX:")?.split_at_checked(1)?;
                return match sign {
                    "+" if is == name => whole("true"),
                    "-" if is == name => whole("false"),
                    _ => None,
                };
            }
            Unit::Collector => {
                let name = word.strip_prefix("-XX:+Use")?.strip_suffix("GC")?;
                return is_collector(name).then(|| (name.into(), false));
            }
            _ => {}
        }
        let names = std::iter::once((self.token, self.glue)).chain(self.others.iter().copied());
        for (name, glue) in names {
            if glue.is_empty() {
                let Some(rest) = word.strip_prefix(name) else { continue };
                if !rest.is_empty() {
                    return whole(rest.strip_prefix('=').unwrap_or(rest));
                }
            } else {
                let (is, value) = word.split_once('=').map_or((word, None), |(is, value)| (is, Some(value)));
                if !self.is_name(is, name) {
                    continue;
                }
                if let Some(value) = value {
                    return whole(value);
                }
            }
            // `--workers 4`; the JVM has no such form.
            return match (self.variable, next) {
                (Variable::JavaToolOptions, _) | (_, None) => whole(""),
                (_, Some(next)) => Some((next.to_owned(), true)),
            };
        }
        None
    }

    fn is_name(&self, is: &str, name: &str) -> bool {
        match self.variable {
            Variable::JavaToolOptions => is == name,
            // Node.js takes `_` for `-` in names.
            Variable::NodeOptions => is.replace('_', "-") == name,
            // argparse takes a prefix for the name, unless it is a name itself.
            Variable::GunicornCmdArgs => {
                is == name
                    || is.len() > 3
                        && name.starts_with(is)
                        && is.starts_with("--")
                        && !KNOWN.iter().any(|other| other.token == is)
            }
        }
    }
}
