//! The tree of a formula, as written.

use super::path::Path;
use crate::core::units::{Decimal, Unit};

/// One operation with its operands. Equality is that of the meaning: positions do not count.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Character of the operator, or of the beginning of a value; from 1, in the text as written.
    pub at: usize,
    pub op: Op,
    /// As many as the operation takes.
    pub operands: Vec<Node>,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.operands == other.operands
    }
}

impl Eq for Node {}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    Literal(Literal),
    Text(Box<str>),
    Boolean(bool),
    Reference(Path),
    Negate,
    Not,
    Binary(Binary),
    /// `a ? b : c`
    Choose,
    Call(Function),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Compare(Comparison),
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Binary {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Compare(comparison) => comparison.symbol(),
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) const ALL: [Self; 6] =
        [Self::Equal, Self::NotEqual, Self::LessOrEqual, Self::GreaterOrEqual, Self::Less, Self::Greater];

    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether it asks for sameness only, which words and switches have too.
    pub(super) const fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Ceil,
    Floor,
    Round,
    Min,
    Max,
    Clamp,
}

impl Function {
    pub(super) const ALL: [Self; 6] = [Self::Ceil, Self::Floor, Self::Round, Self::Min, Self::Max, Self::Clamp];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ceil => "ceil",
            Self::Floor => "floor",
            Self::Round => "round",
            Self::Min => "min",
            Self::Max => "max",
            Self::Clamp => "clamp",
        }
    }

    /// How it is called, for messages.
    pub(super) const fn usage(self) -> &'static str {
        match self {
            Self::Ceil => "ceil(x) or ceil(x, step)",
            Self::Floor => "floor(x) or floor(x, step)",
            Self::Round => "round(x) or round(x, step)",
            Self::Min => "min(x, y, …)",
            Self::Max => "max(x, y, …)",
            Self::Clamp => "clamp(x, low, high)",
        }
    }

    pub(super) const fn takes(self, operands: usize) -> bool {
        match self {
            Self::Ceil | Self::Floor | Self::Round => operands == 1 || operands == 2,
            Self::Min | Self::Max => operands >= 2,
            Self::Clamp => operands == 3,
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }
}

/// A number with the unit that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Literal {
    pub number: Decimal,
    /// Canonical: `Gi` for `GiB`.
    pub suffix: &'static str,
    pub unit: Unit,
}

impl Literal {
    /// All suffixes, canonically.
    const SUFFIXES: [&'static str; 25] = [
        "", "%", "ms", "s", "m", "h", "d", "B", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "/s", "k/s", "M/s", "G/s",
        "T/s", "Ki/s", "Mi/s", "Gi/s", "Ti/s",
    ];

    /// `None` if the suffix is no unit.
    pub(super) fn new(number: Decimal, suffix: &str) -> Option<Self> {
        let unit = Unit::from_suffix(suffix)?;
        let (size, rate) = suffix.strip_suffix("/s").map_or((suffix, ""), |size| (size, "/s"));
        let size = if size == "B" && rate.is_empty() { size } else { size.strip_suffix('B').unwrap_or(size) };
        let suffix = Self::SUFFIXES.into_iter().find(|known| known.strip_suffix(rate) == Some(size))?;
        Some(Self { number, suffix, unit })
    }

    /// Whether this is minutes in one place and thousandths of a core in another.
    pub(super) fn is_ambiguous(self) -> bool {
        self.suffix == "m"
    }
}
