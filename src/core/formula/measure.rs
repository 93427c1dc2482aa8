//! What numbers measure, and what sums, products and quotients of them measure.

use std::fmt;

use crate::core::units::{Dimension, ValueType};

/// What a reference or a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// An amount in the base unit of a dimension.
    Quantity(Dimension),
    /// A switch or a condition.
    Boolean,
    /// One of these words; of none if they are not known.
    Word(Vec<String>),
}

impl From<Dimension> for Type {
    fn from(dimension: Dimension) -> Self {
        Self::Quantity(dimension)
    }
}

impl From<ValueType> for Type {
    /// Words are not known.
    fn from(kind: ValueType) -> Self {
        match (kind, kind.dimension()) {
            (_, Some(dimension)) => Self::Quantity(dimension),
            (ValueType::Boolean, None) => Self::Boolean,
            (_, None) => Self::Word(Vec::new()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Kind::of(self).fmt(f)
    }
}

/// What a part of a formula is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Amount(Measure),
    /// An amount with the suffix `m`, of which nothing says yet whether it is minutes or thousandths of a core.
    Open,
    Boolean,
    Word,
}

impl Kind {
    pub(super) const fn of(kind: &Type) -> Self {
        match kind {
            Type::Quantity(dimension) => Self::Amount(Measure::of(*dimension)),
            Type::Boolean => Self::Boolean,
            Type::Word(_) => Self::Word,
        }
    }

    pub(super) const fn is_plain(self) -> bool {
        matches!(self, Self::Amount(measure) if measure.is_plain())
    }

    pub(super) const fn is_number(self) -> bool {
        matches!(self, Self::Amount(_) | Self::Open)
    }

    /// The word without an article: `bytes + number`.
    pub(super) fn word(self) -> String {
        let text = self.to_string();
        text.strip_prefix("a ").map_or(text.clone(), str::to_owned)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(measure) => measure.fmt(f),
            Self::Open => Measure::SECONDS.fmt(f),
            Self::Boolean => f.write_str("true or false"),
            Self::Word => f.write_str("a word"),
        }
    }
}

/// Powers of the base units in a product.
///
/// Numbers, ratios and cores are all plain numbers: `2 * ceil(limits.cpu) + 1` and `1 - 20%` make sense. Which of them
/// is kept for messages, and because cores decide what `500m` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measure {
    seconds: i32,
    bytes: i32,
    /// Of a plain number only.
    plain: Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain {
    Number,
    Ratio,
    Cores,
}

impl Measure {
    pub(super) const NUMBER: Self = Self { seconds: 0, bytes: 0, plain: Plain::Number };
    pub(super) const SECONDS: Self = Self { seconds: 1, ..Self::NUMBER };
    pub(super) const CORES: Self = Self { plain: Plain::Cores, ..Self::NUMBER };
    const BYTES: Self = Self { bytes: 1, ..Self::NUMBER };
    const RATIO: Self = Self { plain: Plain::Ratio, ..Self::NUMBER };
    const PER_SECOND: Self = Self { seconds: -1, ..Self::NUMBER };

    pub(super) const fn of(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Count => Self::NUMBER,
            Dimension::Duration => Self::SECONDS,
            Dimension::Bytes => Self::BYTES,
            Dimension::Cpu => Self::CORES,
            Dimension::Ratio => Self::RATIO,
            Dimension::PerSecond => Self::PER_SECOND,
        }
    }

    /// The dimension that has this measure; none for products such as bytes × seconds.
    pub(super) const fn dimension(self) -> Option<Dimension> {
        match (self.seconds, self.bytes, self.plain) {
            (0, 0, Plain::Number) => Some(Dimension::Count),
            (0, 0, Plain::Ratio) => Some(Dimension::Ratio),
            (0, 0, Plain::Cores) => Some(Dimension::Cpu),
            (1, 0, _) => Some(Dimension::Duration),
            (0, 1, _) => Some(Dimension::Bytes),
            (-1, 0 | 1, _) => Some(Dimension::PerSecond),
            _ => None,
        }
    }

    pub(super) const fn is_plain(self) -> bool {
        self.seconds == 0 && self.bytes == 0
    }

    pub(super) fn is_cores(self) -> bool {
        self.is_plain() && self.plain == Plain::Cores
    }

    /// Whether amounts of both can be added and compared. A rate counts events or bytes, as everywhere in the API:
    /// `350/s` and `10Mi/s` are of one dimension.
    pub(super) const fn agrees(self, other: Self) -> bool {
        let is_rate = self.seconds == -1 && other.seconds == -1;
        self.seconds == other.seconds
            && (self.bytes == other.bytes || is_rate && matches!((self.bytes, other.bytes), (0, 1) | (1, 0)))
    }

    /// What a sum, a choice or the like of two agreeing operands is.
    pub(super) fn join(self, other: Self) -> Self {
        let plain = match (self.plain, other.plain) {
            (Plain::Cores, _) | (_, Plain::Cores) => Plain::Cores,
            (Plain::Ratio, Plain::Ratio) => Plain::Ratio,
            _ => Plain::Number,
        };
        Self { bytes: self.bytes.min(other.bytes), plain, ..self }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let plain = match (self.is_plain() && other.is_plain(), self.join(other).plain) {
            (true, plain) => plain,
            (false, _) => Plain::Number,
        };
        // A formula is too short for powers that overflow.
        Self { seconds: self.seconds + other.seconds, bytes: self.bytes + other.bytes, plain }
    }

    pub(super) fn per(self, other: Self) -> Self {
        let plain = match (self.is_plain() && other.is_plain(), self.plain, other.plain) {
            (false, ..) | (_, _, Plain::Cores) => Plain::Number,
            (true, plain, _) => plain,
        };
        Self { seconds: self.seconds - other.seconds, bytes: self.bytes - other.bytes, plain }
    }

    /// An amount to which one would round this.
    pub(super) const fn step(self) -> &'static str {
        match self.dimension() {
            Some(Dimension::Duration) => "1s",
            Some(Dimension::Bytes) => "1Mi",
            Some(Dimension::PerSecond) => "1/s",
            Some(Dimension::Count | Dimension::Cpu | Dimension::Ratio) | None => "1",
        }
    }
}

impl fmt::Display for Measure {
    /// `seconds`, `bytes per second`, `bytes × seconds²`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plain() {
            return f.write_str(match self.plain {
                Plain::Number => "a number",
                Plain::Ratio => "a ratio",
                Plain::Cores => "cores",
            });
        }
        let power = |name: &str, exponent: i32| match exponent.unsigned_abs() {
            1 => name.to_owned(),
            exponent => format!("{name}^{exponent}"),
        };
        let units = [("byte", "bytes", self.bytes), ("second", "seconds", self.seconds)];
        let over: Vec<_> = units.iter().filter(|unit| unit.2 > 0).map(|unit| power(unit.1, unit.2)).collect();
        let under: Vec<_> = units.iter().filter(|unit| unit.2 < 0).map(|unit| power(unit.0, unit.2)).collect();
        let over = over.join(" × ");
        match (over.is_empty(), under.is_empty()) {
            (false, true) => f.write_str(&over),
            (false, false) => write!(f, "{over} per {}", under.join(" × ")),
            (true, _) => write!(f, "per {}", under.join(" × ")),
        }
    }
}
