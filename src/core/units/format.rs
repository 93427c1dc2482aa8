//! How a value is spelled where the application reads it (`as:`).
//!
//! | format | durations | sizes | others |
//! |---|---|---|---|
//! | `seconds`, `milliseconds` | whole number | | |
//! | `go` | `time.Duration`: `1m30s` | `GOMEMLIMIT`: `2GiB` | |
//! | `bytes`, `mebibytes` | | whole number | |
//! | `postgres` | `30s`, `5min`, `500ms` | `2GB` (powers of 1024) | `on`, `off` |
//! | `redis` | | `2gb` (powers of 1024) | `yes`, `no` |
//! | `jvm` | | `2g` (powers of 1024) | |
//! | `list` | | | comma-separated words |
//! | `plain` | `90s` | `2Gi` | as in the policy |

use super::{Decimal, Value, ValueType, quantity::largest_unit};
use crate::api::policy::ValueFormat;

impl ValueType {
    /// Whether `as` must be given where a value of this type lands in an environment variable, an argument or a
    /// document: nobody can guess whether an application reads `30` as seconds or milliseconds.
    #[must_use]
    pub const fn needs_format(self) -> bool {
        matches!(self, Self::Duration | Self::Bytes)
    }

    /// The formats that can spell values of this type.
    #[must_use]
    pub const fn formats(self) -> &'static [ValueFormat] {
        match self {
            Self::Duration => &[
                ValueFormat::Seconds,
                ValueFormat::Milliseconds,
                ValueFormat::Go,
                ValueFormat::Postgres,
                ValueFormat::Plain,
            ],
            Self::Bytes => &[
                ValueFormat::Bytes,
                ValueFormat::Mebibytes,
                ValueFormat::Go,
                ValueFormat::Postgres,
                ValueFormat::Redis,
                ValueFormat::Jvm,
                ValueFormat::Plain,
            ],
            Self::Boolean => &[ValueFormat::Postgres, ValueFormat::Redis, ValueFormat::Plain],
            Self::Enum => &[ValueFormat::List, ValueFormat::Plain],
            Self::Integer | Self::Number | Self::Cpu | Self::Ratio => &[ValueFormat::Plain],
        }
    }
}

impl Value {
    /// The text that the application reads.
    ///
    /// Without a format: plain numbers (a CPU in cores, a ratio as `0.8`), `true` and `false`, words. A conversion that
    /// is not exact is refused, never rounded.
    pub fn render(&self, format: Option<ValueFormat>) -> Result<String, RenderError> {
        let Some(format) = format else {
            return match self {
                Self::Duration(_) | Self::Bytes(_) => Err(RenderError::Required { value_type: self.value_type() }),
                Self::Cpu(number) | Self::Ratio(number) => Ok(number.to_string()),
                Self::Integer(_) | Self::Number(_) | Self::Boolean(_) | Self::Enum(_) => Ok(self.to_string()),
            };
        };
        let unsuitable = || RenderError::Unsuitable { format, value_type: self.value_type() };
        let exact = |text: Option<String>| text.ok_or_else(|| RenderError::Inexact { value: self.clone(), format });
        match (format, self) {
            (ValueFormat::Plain, _) => Ok(self.to_string()),
            (ValueFormat::Seconds, Self::Duration(seconds)) => exact(whole(*seconds, Decimal::ONE)),
            (ValueFormat::Milliseconds, Self::Duration(seconds)) => exact(whole(*seconds, MILLISECOND)),
            (ValueFormat::Go, Self::Duration(seconds)) => Ok(go_duration(*seconds)),
            (ValueFormat::Postgres, Self::Duration(seconds)) => exact(postgres_duration(*seconds)),
            (ValueFormat::Bytes, Self::Bytes(bytes)) => Ok(bytes.to_string()),
            (ValueFormat::Mebibytes, Self::Bytes(bytes)) => exact(whole(*bytes, Decimal::from_int(1 << 20))),
            (ValueFormat::Go, Self::Bytes(bytes)) => {
                Ok(size(*bytes, ["TiB", "GiB", "MiB", "KiB"]).unwrap_or_else(|| format!("{bytes}B")))
            }
            (ValueFormat::Postgres, Self::Bytes(bytes)) => exact(size(*bytes, ["TB", "GB", "MB", "kB"])),
            // Redis knows no terabytes, but it takes any number of bytes.
            (ValueFormat::Redis, Self::Bytes(bytes)) => {
                Ok(size(*bytes, ["", "gb", "mb", "kb"]).unwrap_or_else(|| bytes.to_string()))
            }
            // The JVM wants heap sizes in multiples of 1024 bytes.
            (ValueFormat::Jvm, Self::Bytes(bytes)) => exact(size(*bytes, ["t", "g", "m", "k"])),
            (ValueFormat::Postgres, Self::Boolean(switch)) => Ok(if *switch { "on" } else { "off" }.to_owned()),
            (ValueFormat::Redis, Self::Boolean(switch)) => Ok(if *switch { "yes" } else { "no" }.to_owned()),
            (ValueFormat::List, Self::Enum(_)) => {
                let words: Vec<_> = self.words().collect();
                if words.contains(&"") {
                    Err(RenderError::EmptyWord { value: self.clone() })
                } else {
                    Ok(words.join(","))
                }
            }
            (
                ValueFormat::Seconds
                | ValueFormat::Milliseconds
                | ValueFormat::Go
                | ValueFormat::Bytes
                | ValueFormat::Mebibytes
                | ValueFormat::Postgres
                | ValueFormat::Redis
                | ValueFormat::Jvm
                | ValueFormat::List,
                _,
            ) => Err(unsuitable()),
        }
    }
}

impl Value {
    /// Reads what an application reads, so that a value which somebody else wrote can be computed with. The counterpart of
    /// [`Value::render`], with the units of each reader: PostgreSQL's `2GB` is `2Gi`, Redis' `2g` is `2G`. What depends on
    /// more than the text is nothing.
    #[must_use]
    pub fn read(kind: ValueType, format: Option<ValueFormat>, text: &str) -> Option<Self> {
        let text = text.trim();
        let bare =
            |unit: &str| Decimal::parse(text).ok().and_then(|_| Self::parse(kind, &format!("{text}{unit}")).ok());
        match (format, kind) {
            (Some(ValueFormat::Seconds), ValueType::Duration) => bare("s"),
            (Some(ValueFormat::Milliseconds), ValueType::Duration) => bare("ms"),
            (Some(ValueFormat::Go), ValueType::Duration) => read_parts(text, &GO_UNITS),
            (Some(ValueFormat::Postgres), ValueType::Duration) => read_parts(text, &POSTGRES_UNITS),
            (Some(ValueFormat::Bytes), ValueType::Bytes) => bare("B"),
            (Some(ValueFormat::Mebibytes), ValueType::Bytes) => bare("Mi"),
            (Some(ValueFormat::Go), ValueType::Bytes) => read_size(text, &GO_SIZES),
            (Some(ValueFormat::Postgres), ValueType::Bytes) => read_size(text, &POSTGRES_SIZES),
            (Some(ValueFormat::Redis), ValueType::Bytes) => read_size(&text.to_ascii_lowercase(), &REDIS_SIZES),
            (Some(ValueFormat::Jvm), ValueType::Bytes) => read_size(&text.to_ascii_lowercase(), &JVM_SIZES),
            (Some(ValueFormat::Postgres | ValueFormat::Redis), ValueType::Boolean) => match text {
                "on" | "yes" | "true" => Some(Self::Boolean(true)),
                "off" | "no" | "false" => Some(Self::Boolean(false)),
                _ => None,
            },
            _ => Self::parse(kind, text).ok(),
        }
    }
}

/// Units, with how many nanoseconds or bytes they are.
type Units = [(&'static str, i64)];
const GO_UNITS: [(&str, i64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const POSTGRES_UNITS: [(&str, i64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A sum of amounts with units: `1h30m0s`.
fn read_parts(text: &str, units: &Units) -> Option<Value> {
    let mut rest = text;
    let mut seconds = Decimal::ZERO;
    while !rest.is_empty() {
        let (number, suffix) = Decimal::parse_prefix(rest).ok()?;
        let end = suffix.find(|c: char| c.is_ascii_digit()).unwrap_or(suffix.len());
        let (unit, next) = suffix.split_at_checked(end)?;
        let nanos = match units.iter().find(|(name, _)| *name == unit.trim()) {
            Some((_, nanos)) => *nanos,
            None if number == Decimal::ZERO && unit.is_empty() => 1,
            None => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(Decimal::from_nanos(nanos.into()))?)?;
        rest = next;
    }
    Value::from_amount(ValueType::Duration, seconds).ok().filter(|_| !text.is_empty())
}

const GO_SIZES: [(&str, i64); 6] =
    [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
/// Without a unit a size is in pages of the setting's own, which nobody but the server knows.
const POSTGRES_SIZES: [(&str, i64); 5] = [("B", 1), ("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];
const REDIS_SIZES: [(&str, i64); 8] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1 << 30),
];
const JVM_SIZES: [(&str, i64); 5] = [("", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)];

/// A number with one unit.
fn read_size(text: &str, units: &Units) -> Option<Value> {
    let (number, suffix) = Decimal::parse_prefix(text).ok()?;
    let unit = suffix.trim();
    let is_nothing = number == Decimal::ZERO && unit.is_empty();
    let (_, bytes) = units.iter().find(|(name, _)| *name == unit).or(is_nothing.then_some(&("", 1)))?;
    Value::from_amount(ValueType::Bytes, number.checked_mul(Decimal::from_int(*bytes))?).ok()
}

const MILLISECOND: Decimal = Decimal::from_nanos(1_000_000);
const MICROSECOND: Decimal = Decimal::from_nanos(1_000);

/// `amount` as a whole number of `unit`.
fn whole(amount: Decimal, unit: Decimal) -> Option<String> {
    amount.exact_div(unit).filter(|count| count.is_integer()).map(|count| count.to_string())
}

/// Bytes in the largest of four units (2^40, 2^30, 2^20, 2^10) that divides them; an empty name is no unit.
fn size(bytes: Decimal, names: [&str; 4]) -> Option<String> {
    let [tebi, gibi, mebi, kibi] = names;
    if bytes == Decimal::ZERO {
        return Some("0".to_owned());
    }
    let units: Vec<_> = [(1_i64 << 40, tebi), (1 << 30, gibi), (1 << 20, mebi), (1 << 10, kibi)]
        .into_iter()
        .filter(|(_, name)| !name.is_empty())
        .collect();
    match largest_unit(bytes, &units) {
        (_, "") => None,
        (count, unit) => Some(format!("{count}{unit}")),
    }
}

/// As `time.Duration.String` prints it.
fn go_duration(seconds: Decimal) -> String {
    let nanos = seconds.nanos();
    let fraction = |unit: i128| Decimal::from_nanos(nanos.saturating_mul(1_000_000_000 / unit));
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(1_000_000)),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let rest = Decimal::from_nanos(nanos % 60_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{rest}s"),
                (0, minutes) => format!("{minutes}m{rest}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

/// In the largest unit of PostgreSQL that divides it.
fn postgres_duration(seconds: Decimal) -> Option<String> {
    if seconds == Decimal::ZERO {
        return Some("0".to_owned());
    }
    match largest_unit(seconds, &[(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]) {
        (_, "") => whole(seconds, MILLISECOND)
            .map(|count| count + "ms")
            .or_else(|| whole(seconds, MICROSECOND).map(|count| count + "us")),
        (count, unit) => Some(format!("{count}{unit}")),
    }
}

/// Why a value cannot be spelled so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The value would have to be rounded.
    #[error("cannot write {value} as {format} without rounding it: change the value or choose a finer format")]
    Inexact {
        /// The value.
        value: Value,
        /// The format that cannot hold it.
        format: ValueFormat,
    },
    /// The format is for other types.
    #[error("cannot write a {value_type} as {format}: use one of {}", names(value_type.formats()))]
    Unsuitable {
        /// The format.
        format: ValueFormat,
        /// The type of the value.
        value_type: ValueType,
    },
    /// The unit that the application reads is not known.
    #[error(
        "a {value_type} needs `as`, because the application's unit is not known: use one of {}",
        names(value_type.formats())
    )]
    Required {
        /// The type of the value.
        value_type: ValueType,
    },
    /// Two commas with nothing between them.
    #[error("cannot write {value} as list: there is an empty word in it")]
    EmptyWord {
        /// The value.
        value: Value,
    },
}

fn names(formats: &[ValueFormat]) -> String {
    formats.iter().map(|format| format.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: ValueType = ValueType::Duration;
    const BYTES: ValueType = ValueType::Bytes;

    #[track_caller]
    fn check(format: ValueFormat, vectors: &[(ValueType, &str, Option<&str>)]) {
        for (kind, text, expected) in vectors {
            let value = Value::parse(*kind, text).unwrap();
            let rendered = value.render(Some(format));
            assert_eq!(rendered.as_deref().ok(), *expected, "{text} as {format}: {rendered:?}");
            if let Some(rendered) = expected {
                // Spaces of a list are nobody's.
                let read = Value::read(*kind, Some(format), rendered).filter(|read| read.words().eq(value.words()));
                assert_eq!(
                    read.and_then(|read| read.render(Some(format)).ok()).as_deref(),
                    Some(*rendered),
                    "{format}"
                );
            }
        }
    }

    #[test]
    fn what_others_wrote_is_read_or_not_understood() {
        use ValueFormat::{Go, Jvm, Mebibytes, Postgres, Redis, Seconds};
        for (kind, format, text, value) in [
            (DURATION, Some(Go), "1h30m0.5s", Some("5400500ms")),
            (DURATION, Some(Go), "90", None),
            (DURATION, Some(Go), "", None),
            (DURATION, Some(Postgres), "5min", Some("5m")),
            (DURATION, Some(Seconds), " 30 ", Some("30s")),
            (DURATION, Some(Seconds), "30s", None),
            (BYTES, Some(Jvm), "2G", Some("2Gi")),
            (BYTES, Some(Redis), "100mb", Some("100Mi")),
            (BYTES, Some(Postgres), "8 kB", Some("8Ki")),
            (BYTES, Some(Mebibytes), "512", Some("512Mi")),
            (BYTES, Some(Jvm), "2x", None),
            (BYTES, Some(Redis), "2g", Some("2G")),
            (BYTES, Some(Postgres), "16384", None),
            (BYTES, Some(ValueFormat::Bytes), "2G", None),
            (DURATION, Some(Seconds), "30m", None),
            (BYTES, Some(Jvm), "-2g", None),
            (ValueType::Boolean, Some(Postgres), "off", Some("false")),
            (ValueType::Integer, None, "04", Some("4")),
            (ValueType::Integer, None, "four", None),
        ] {
            let expected = value.map(|value| Value::parse(kind, value).unwrap());
            assert_eq!(Value::read(kind, format, text), expected, "{text} as {format:?}");
        }
    }

    #[test]
    fn seconds() {
        check(
            ValueFormat::Seconds,
            &[
                (DURATION, "30s", Some("30")),
                (DURATION, "5m", Some("300")),
                (DURATION, "2000ms", Some("2")),
                (DURATION, "0s", Some("0")),
                (DURATION, "1500ms", None),
                (BYTES, "1Ki", None),
                (ValueType::Integer, "30", None),
            ],
        );
    }

    #[test]
    fn milliseconds() {
        check(
            ValueFormat::Milliseconds,
            &[(DURATION, "1500ms", Some("1500")), (DURATION, "1h", Some("3600000")), (DURATION, "0.5ms", None)],
        );
    }

    #[test]
    fn go() {
        check(
            ValueFormat::Go,
            &[
                (DURATION, "0s", Some("0s")),
                (DURATION, "90s", Some("1m30s")),
                (DURATION, "1h", Some("1h0m0s")),
                (DURATION, "2d", Some("48h0m0s")),
                (DURATION, "1.5s", Some("1.5s")),
                (DURATION, "60.5s", Some("1m0.5s")),
                (DURATION, "300ms", Some("300ms")),
                (DURATION, "1.5ms", Some("1.5ms")),
                (DURATION, "0.25ms", Some("250µs")),
                (DURATION, "0.000001ms", Some("1ns")),
                (BYTES, "2Gi", Some("2GiB")),
                (BYTES, "1536Mi", Some("1536MiB")),
                (BYTES, "1000", Some("1000B")),
                (BYTES, "0", Some("0")),
                (ValueType::Boolean, "true", None),
            ],
        );
    }

    #[test]
    fn bytes() {
        check(
            ValueFormat::Bytes,
            &[(BYTES, "2Gi", Some("2147483648")), (BYTES, "1GB", Some("1000000000")), (DURATION, "1s", None)],
        );
    }

    #[test]
    fn mebibytes() {
        check(
            ValueFormat::Mebibytes,
            &[(BYTES, "1536Mi", Some("1536")), (BYTES, "1.5Gi", Some("1536")), (BYTES, "1GB", None)],
        );
    }

    #[test]
    fn postgres() {
        check(
            ValueFormat::Postgres,
            &[
                (BYTES, "2Gi", Some("2GB")),
                (BYTES, "512Mi", Some("512MB")),
                (BYTES, "64Ki", Some("64kB")),
                (BYTES, "3Ti", Some("3TB")),
                (BYTES, "0", Some("0")),
                (BYTES, "100", None),
                (DURATION, "30s", Some("30s")),
                (DURATION, "500ms", Some("500ms")),
                (DURATION, "1.5s", Some("1500ms")),
                (DURATION, "5m", Some("5min")),
                (DURATION, "90s", Some("90s")),
                (DURATION, "2h", Some("2h")),
                (DURATION, "1d", Some("1d")),
                (DURATION, "0.25ms", Some("250us")),
                (DURATION, "0.00001ms", None),
                (DURATION, "0s", Some("0")),
                (ValueType::Boolean, "true", Some("on")),
                (ValueType::Boolean, "false", Some("off")),
                (ValueType::Integer, "1", None),
            ],
        );
    }

    #[test]
    fn redis() {
        check(
            ValueFormat::Redis,
            &[
                (BYTES, "2Gi", Some("2gb")),
                (BYTES, "1Ti", Some("1024gb")),
                (BYTES, "512Mi", Some("512mb")),
                (BYTES, "64Ki", Some("64kb")),
                (BYTES, "1000", Some("1000")),
                (BYTES, "0", Some("0")),
                (DURATION, "5m", None),
                (ValueType::Boolean, "true", Some("yes")),
            ],
        );
    }

    #[test]
    fn jvm() {
        check(
            ValueFormat::Jvm,
            &[
                (BYTES, "2Gi", Some("2g")),
                (BYTES, "512Mi", Some("512m")),
                (BYTES, "1500Ki", Some("1500k")),
                (BYTES, "1Ti", Some("1t")),
                (BYTES, "1000", None),
                (DURATION, "100ms", None),
            ],
        );
    }

    #[test]
    fn list() {
        check(
            ValueFormat::List,
            &[
                (ValueType::Enum, "read", Some("read")),
                (ValueType::Enum, "read, write", Some("read,write")),
                (ValueType::Enum, "read,,write", None),
                (ValueType::Integer, "1", None),
                (DURATION, "1s", None),
            ],
        );
    }

    #[test]
    fn plain() {
        check(
            ValueFormat::Plain,
            &[
                (DURATION, "90s", Some("90s")),
                (BYTES, "2048Mi", Some("2Gi")),
                (ValueType::Integer, "20", Some("20")),
                (ValueType::Ratio, "0.8", Some("80%")),
                (ValueType::Cpu, "1.5", Some("1500m")),
                (ValueType::Boolean, "true", Some("true")),
            ],
        );
    }

    #[test]
    fn without_a_format_only_durations_and_sizes_are_refused() {
        for (kind, text, expected) in [
            (ValueType::Integer, "20", Some("20")),
            (ValueType::Number, "0.750", Some("0.75")),
            (ValueType::Ratio, "80%", Some("0.8")),
            (ValueType::Cpu, "1500m", Some("1.5")),
            (ValueType::Boolean, "false", Some("false")),
            (ValueType::Enum, "lru", Some("lru")),
            (DURATION, "30s", None),
            (BYTES, "2Gi", None),
        ] {
            assert_eq!(Value::parse(kind, text).unwrap().render(None).ok().as_deref(), expected);
            assert_eq!(kind.needs_format(), expected.is_none());
        }
    }

    #[test]
    fn the_listed_formats_are_exactly_those_that_work() {
        let samples = [
            Value::Integer(1),
            Value::Number(Decimal::ONE),
            Value::Duration(Decimal::from_int(60)),
            Value::Bytes(Decimal::from_int(1 << 20)),
            Value::Cpu(Decimal::ONE),
            Value::Ratio(Decimal::ONE),
            Value::Boolean(true),
            Value::Enum("a".to_owned()),
        ];
        for value in samples {
            for format in ValueFormat::ALL {
                let works = value.render(Some(format)).is_ok();
                assert_eq!(value.value_type().formats().contains(&format), works, "{value} as {format}");
                assert_eq!(ValueFormat::from_name(format.as_str()), Some(format));
            }
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let duration = Value::parse(DURATION, "1500ms").unwrap();
        assert_eq!(
            duration.render(Some(ValueFormat::Seconds)).unwrap_err().to_string(),
            "cannot write 1.5s as seconds without rounding it: change the value or choose a finer format"
        );
        assert_eq!(
            duration.render(None).unwrap_err().to_string(),
            "a Duration needs `as`, because the application's unit is not known: use one of seconds, milliseconds, go, postgres, plain"
        );
        assert_eq!(
            duration.render(Some(ValueFormat::Jvm)).unwrap_err().to_string(),
            "cannot write a Duration as jvm: use one of seconds, milliseconds, go, postgres, plain"
        );
    }
}
