//! A typed literal of a policy.

use std::{cmp::Ordering, fmt};

use serde::{Serialize, Serializer};

use super::{
    Decimal, DecimalError, Dimension, Quantity, ResourceQuantity, ResourceQuantityError, Unit,
    quantity::{bytes_text, duration_text, percent_text},
};

/// The longest time to live a policy may set: 30 days.
pub const MAX_TTL: Value = Value::Duration(Decimal::from_int(30 * 86_400));

/// Longest duration: what 64 bits of nanoseconds hold, as Go and most databases keep it (about 292 years).
const MAX_SECONDS: Decimal = Decimal::from_int(i64::MAX / 1_000_000_000);
const MAX_BYTES: Decimal = Decimal::from_int(i64::MAX);
/// The API server rounds every finer amount of CPU up when it stores one.
const MILLICORE: Decimal = Decimal::from_nanos(1_000_000);

/// The type of a field, which decides how its literals are read (`500m` is a CPU or five hundred minutes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// A whole number.
    Integer,
    /// A decimal number.
    Number,
    /// A time span.
    Duration,
    /// A size.
    Bytes,
    /// Cores.
    Cpu,
    /// A share between 0% and 100%.
    Ratio,
    /// `true` or `false`.
    Boolean,
    /// One of a list of words.
    Enum,
}

impl ValueType {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "Integer",
            Self::Number => "Number",
            Self::Duration => "Duration",
            Self::Bytes => "Bytes",
            Self::Cpu => "Cpu",
            Self::Ratio => "Ratio",
            Self::Boolean => "Boolean",
            Self::Enum => "Enum",
        }
    }

    /// The words that follow "must be" when a literal of this type is wrong.
    const fn expected(self) -> &'static str {
        match self {
            Self::Integer => "a whole number such as 20",
            Self::Number => "a number such as 20 or 0.75",
            Self::Duration => "a duration such as 300ms, 30s, 5m",
            Self::Bytes => "a size such as 512Ki, 300Mi, 2Gi",
            Self::Cpu => "a CPU quantity such as 500m or 2",
            Self::Ratio => "a ratio such as 80% or 0.8",
            Self::Boolean => "true or false",
            Self::Enum => "a word",
        }
    }

    /// What amounts of this type measure; nothing for booleans and words.
    #[must_use]
    pub const fn dimension(self) -> Option<Dimension> {
        match self {
            Self::Integer | Self::Number => Some(Dimension::Count),
            Self::Duration => Some(Dimension::Duration),
            Self::Bytes => Some(Dimension::Bytes),
            Self::Cpu => Some(Dimension::Cpu),
            Self::Ratio => Some(Dimension::Ratio),
            Self::Boolean | Self::Enum => None,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A literal of a known type. Equality and order are those of the numbers: `2048Mi` equals `2Gi`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A decimal number.
    Number(Decimal),
    /// Seconds, not negative.
    Duration(Decimal),
    /// Whole bytes, not negative.
    Bytes(Decimal),
    /// Whole millicores, in cores, above zero.
    Cpu(Decimal),
    /// Between zero and one.
    Ratio(Decimal),
    /// A switch.
    Boolean(bool),
    /// A word, or a comma-separated list of words.
    Enum(String),
}

impl Value {
    /// Reads a literal of type `kind`.
    ///
    /// A duration is one number with one unit (`1500ms`, `2.5s`, `7d`; never `1h30m`). Sizes take `k M G T Ki Mi Gi Ti`
    /// with an optional `B`; a bare number is bytes. CPU takes Kubernetes' own syntax and no other. Integers and numbers
    /// may be negative, because `-1` is how many libraries spell "never"; everything else may not.
    pub fn parse(kind: ValueType, text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Syntax { expected: kind.expected(), got: Excerpt::new(text) };
        let refused = |error| ValueError::of_number(kind, text, error);
        let measured = |fits: fn(Dimension) -> bool| {
            let (number, suffix) = Decimal::parse_prefix(text).map_err(refused)?;
            let unit = Unit::from_suffix(suffix).filter(|unit| fits(unit.dimension)).ok_or_else(wrong)?;
            Self::from_amount(kind, unit.to_base(number).map_err(refused)?)
        };
        match kind {
            ValueType::Integer | ValueType::Number => Self::from_amount(kind, Decimal::parse(text).map_err(refused)?),
            ValueType::Duration => measured(|dimension| dimension == Dimension::Duration),
            ValueType::Bytes => measured(|dimension| matches!(dimension, Dimension::Bytes | Dimension::Count)),
            ValueType::Ratio => measured(|dimension| matches!(dimension, Dimension::Ratio | Dimension::Count)),
            ValueType::Cpu => Self::from_amount(kind, ResourceQuantity::parse(text)?.amount()),
            ValueType::Boolean => text.parse().map(Self::Boolean).map_err(|_| wrong()),
            ValueType::Enum if text.trim().is_empty() => Err(wrong()),
            ValueType::Enum => Ok(Self::Enum(text.to_owned())),
        }
    }

    /// Reads an amount of memory in Kubernetes' own syntax, as `resources` of a container spell it; above zero, because
    /// Kubernetes takes a limit of zero for no limit.
    pub fn parse_memory(text: &str) -> Result<Self, ValueError> {
        let quantity = ResourceQuantity::parse(text)?;
        if quantity.amount() <= Decimal::ZERO {
            return Err(ValueError::NotPositive { got: quantity.to_string() });
        }
        Self::from_amount(ValueType::Bytes, quantity.amount())
    }

    /// Reads a literal that stands in the policy as a number without quotes.
    ///
    /// A bare number has no unit, so it is no duration; of bytes it is bytes, of a CPU cores.
    pub fn from_int(kind: ValueType, number: i64) -> Result<Self, ValueError> {
        match kind {
            ValueType::Duration | ValueType::Boolean | ValueType::Enum => Self::parse(kind, &number.to_string()),
            ValueType::Integer | ValueType::Number | ValueType::Bytes | ValueType::Cpu | ValueType::Ratio => {
                Self::from_amount(kind, number.into())
            }
        }
    }

    /// A value of type `kind` from an amount in the base unit of the type; checks the range of the type.
    pub fn from_amount(kind: ValueType, amount: Decimal) -> Result<Self, ValueError> {
        let wrong = || ValueError::Syntax { expected: kind.expected(), got: Excerpt::new(&amount.to_string()) };
        let Some(dimension) = kind.dimension() else { return Err(wrong()) };
        let got = || Quantity::new(amount, dimension).to_string();
        let within = |max: Decimal| match amount {
            amount if amount < Decimal::ZERO => Err(ValueError::Negative { got: got() }),
            amount if amount > max => Err(ValueError::TooLarge { max: Quantity::new(max, dimension) }),
            amount => Ok(amount),
        };
        match kind {
            ValueType::Integer => amount.to_i64().map(Self::Integer).ok_or_else(wrong),
            ValueType::Number => Ok(Self::Number(amount)),
            ValueType::Duration => within(MAX_SECONDS).map(Self::Duration),
            ValueType::Bytes if !amount.is_integer() => Err(ValueError::FractionOfByte { got: got() }),
            ValueType::Bytes => within(MAX_BYTES).map(Self::Bytes),
            ValueType::Cpu if amount <= Decimal::ZERO => Err(ValueError::NotPositive { got: got() }),
            ValueType::Cpu if !amount.is_multiple_of(MILLICORE) => Err(ValueError::FractionOfMillicore { got: got() }),
            ValueType::Cpu => Ok(Self::Cpu(amount)),
            ValueType::Ratio if amount < Decimal::ZERO || amount > Decimal::ONE => {
                Err(ValueError::NotAShare { got: got() })
            }
            ValueType::Ratio => Ok(Self::Ratio(amount)),
            ValueType::Boolean | ValueType::Enum => Err(wrong()),
        }
    }

    /// The type that this value has.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::Integer(_) => ValueType::Integer,
            Self::Number(_) => ValueType::Number,
            Self::Duration(_) => ValueType::Duration,
            Self::Bytes(_) => ValueType::Bytes,
            Self::Cpu(_) => ValueType::Cpu,
            Self::Ratio(_) => ValueType::Ratio,
            Self::Boolean(_) => ValueType::Boolean,
            Self::Enum(_) => ValueType::Enum,
        }
    }

    /// The amount in the base unit of the type; nothing for booleans and words.
    #[must_use]
    pub fn amount(&self) -> Option<Decimal> {
        match self {
            Self::Integer(number) => Some(Decimal::from_int(*number)),
            Self::Number(amount)
            | Self::Duration(amount)
            | Self::Bytes(amount)
            | Self::Cpu(amount)
            | Self::Ratio(amount) => Some(*amount),
            Self::Boolean(_) | Self::Enum(_) => None,
        }
    }

    /// The amount with its dimension; nothing for booleans and words.
    #[must_use]
    pub fn quantity(&self) -> Option<Quantity> {
        Some(Quantity::new(self.amount()?, self.value_type().dimension()?))
    }

    /// The amount as a whole number, if it is one and fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        self.amount()?.to_i64()
    }

    /// What `resources` of a container hold for this value; nothing unless it is a CPU or a size.
    #[must_use]
    pub fn resource_quantity(&self) -> Option<ResourceQuantity> {
        match self {
            Self::Cpu(cores) => Some(ResourceQuantity::from_cores(*cores)),
            Self::Bytes(bytes) => Some(ResourceQuantity::from_bytes(*bytes)),
            Self::Integer(_)
            | Self::Number(_)
            | Self::Duration(_)
            | Self::Ratio(_)
            | Self::Boolean(_)
            | Self::Enum(_) => None,
        }
    }

    /// The words of an `Enum` value: one, or those of a comma-separated list. Nothing for other types.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let list = if let Self::Enum(words) = self { Some(words) } else { None };
        list.into_iter().flat_map(|words| words.split(',')).map(str::trim)
    }

    /// The value, moved to the bound it is beyond. A bound of another type does not count: the [`Value`]s of one field
    /// all come from one [`ValueType`].
    #[must_use]
    pub fn clamp_to(&self, min: Option<&Self>, max: Option<&Self>) -> Self {
        // The upper bound is asked last and so wins where they cross: more is the more dangerous direction.
        let raised = min.filter(|min| self < min).unwrap_or(self);
        max.filter(|max| raised > max).unwrap_or(raised).clone()
    }
}

impl PartialOrd for Value {
    /// Only amounts of one type have an order.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        (self.value_type() == other.value_type()).then(|| Some(self.amount()?.cmp(&other.amount()?))).flatten()
    }
}

impl fmt::Display for Value {
    /// As a person would write it: `20`, `1.5s`, `2Gi`, `500m`, `80%`. Reads back as the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Duration(seconds) => f.pad(&duration_text(*seconds)),
            Self::Bytes(bytes) => f.pad(&bytes_text(*bytes)),
            Self::Cpu(cores) => ResourceQuantity::from_cores(*cores).fmt(f),
            Self::Ratio(ratio) => f.pad(&percent_text(*ratio)),
            Self::Boolean(switch) => switch.fmt(f),
            Self::Enum(word) => f.pad(word),
        }
    }
}

impl Serialize for Value {
    /// The text of [`Display`](fmt::Display).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a literal is refused. The text continues the path of the field: `pools.db.maxLifetime must be …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not of the type.
    #[error("must be {expected}, not {got}")]
    Syntax {
        /// What would have been right.
        expected: &'static str,
        /// What was written.
        got: Excerpt,
    },
    /// More than nine decimals.
    #[error("must have at most nine decimals in its base unit, not {got}")]
    TooFine {
        /// What was written.
        got: Excerpt,
    },
    /// Below zero where nothing can be.
    #[error("must be ≥ 0, not {got}")]
    Negative {
        /// What was written.
        got: String,
    },
    /// Zero or below where Kubernetes would read no limit.
    #[error("must be > 0, not {got}")]
    NotPositive {
        /// What was written.
        got: String,
    },
    /// Beyond the range of the type.
    #[error("must be ≤ {max}")]
    TooLarge {
        /// The largest value of the type.
        max: Quantity,
    },
    /// A share outside of 0% to 100%.
    #[error("must be between 0% and 100%, not {got}")]
    NotAShare {
        /// What was written.
        got: String,
    },
    /// A part of a byte.
    #[error("must be whole bytes, not {got} (the suffix m means thousandths, Mi mebibytes)")]
    FractionOfByte {
        /// What was written.
        got: String,
    },
    /// Finer than the API server keeps.
    #[error("must be a whole number of millicores (1m), not {got}")]
    FractionOfMillicore {
        /// What was written.
        got: String,
    },
    /// Not a quantity of Kubernetes.
    #[error(transparent)]
    Quantity(#[from] ResourceQuantityError),
}

impl ValueError {
    fn of_number(kind: ValueType, text: &str, error: DecimalError) -> Self {
        let got = Excerpt::new(text);
        match error {
            DecimalError::TooFine => Self::TooFine { got },
            DecimalError::NotANumber | DecimalError::TooLarge => Self::Syntax { expected: kind.expected(), got },
        }
    }
}

/// The beginning of a text from outside, quoted and escaped, safe to print in messages and logs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    const MAX_CHARS: usize = 64;

    /// Keeps the first 64 characters of `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut chars = text.chars();
        let mut kept: String = chars.by_ref().take(Self::MAX_CHARS).collect();
        if chars.next().is_some() {
            kept.push('…');
        }
        Self(kept.into())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
