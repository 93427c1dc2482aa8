//! Single values: their types, when two are equal, and what lands in place of another.

use std::fmt;

use super::{
    Mismatch,
    tree::{Leaf, Style},
};
use crate::core::units::Decimal;

/// A value to write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// Text of one line, without quotes.
    Text(String),
    /// An exact number.
    Number(Decimal),
    /// True or false.
    Boolean(bool),
}

impl Scalar {
    /// What a rendered value means in a document: a decimal number is a number, `true` and `false` are truth values,
    /// and everything else (`30s`, `2GB`, `on`) is text.
    ///
    /// Words of an enumeration are text even if they look otherwise: use [`Scalar::Text`] for those.
    #[must_use]
    pub fn from_rendered(text: &str) -> Self {
        match (Decimal::parse(text), text) {
            (Ok(number), _) => Self::Number(number),
            (Err(_), "true") => Self::Boolean(true),
            (Err(_), "false") => Self::Boolean(false),
            (Err(_), _) => Self::Text(text.to_owned()),
        }
    }

    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Number(_) => Kind::Number,
            Self::Boolean(_) => Kind::Boolean,
        }
    }
}

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        Self::Number(Decimal::from_int(number))
    }
}

/// What a part of a document is. Whole and other numbers are one type, as in JSON: whether a knob may have a fraction
/// is the policy's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Text on one line.
    Text,
    /// A number.
    Number,
    /// True or false; in YAML also `yes`, `no`, `on` and `off`.
    Boolean,
    /// Null, or nothing at all.
    Null,
    /// A date without quotes in YAML.
    Date,
    /// Text that goes over several lines.
    Lines,
    /// A map.
    Map,
    /// A list.
    List,
}

impl Kind {
    /// Whether it can be read, set and put back.
    pub(super) const fn is_value(self) -> bool {
        match self {
            Self::Text | Self::Number | Self::Boolean => true,
            Self::Null | Self::Date | Self::Lines | Self::Map | Self::List => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "a truth value",
            Self::Null => "null",
            Self::Date => "a date without quotes",
            Self::Lines => "text of several lines",
            Self::Map => "a map",
            Self::List => "a list",
        })
    }
}

/// What becomes of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// It is already equal; its bytes stay.
    Equal,
    /// It becomes this, in the quotes that it has.
    Text(String),
}

/// What becomes of `leaf` when `wanted` lands on it.
pub(super) fn land(leaf: &Leaf, wanted: &Scalar) -> Result<Landing, Mismatch> {
    let quoted = matches!(leaf.style, Style::SingleQuoted | Style::DoubleQuoted);
    if !leaf.typed {
        return land_untyped(leaf, wanted);
    }
    match (leaf.kind, wanted) {
        (Kind::Text | Kind::Number | Kind::Boolean, Scalar::Text(_)) if leaf.ambiguous => Err(Mismatch::Ambiguous),
        (Kind::Text, Scalar::Text(text)) if *text == leaf.text => Ok(Landing::Equal),
        (Kind::Text, Scalar::Text(text)) if text.chars().all(is_printable) => Ok(Landing::Text(text.clone())),
        (Kind::Text, Scalar::Text(_)) => Err(Mismatch::Unprintable),
        (Kind::Number, Scalar::Number(number)) => {
            let current = CanonicalNumber::parse(&leaf.text);
            let is_float = current.is_some() && leaf.text.contains(['.', 'e', 'E']);
            let equal = !leaf.ambiguous && current == CanonicalNumber::parse(&number.to_string());
            Ok(match equal {
                true => Landing::Equal,
                // Strict readers fill a float only from `2.0`.
                false if is_float && number.is_integer() => Landing::Text(format!("{number}.0")),
                false => Landing::Text(number.to_string()),
            })
        }
        (Kind::Text, Scalar::Number(number)) if quoted && CanonicalNumber::parse(&leaf.text).is_some() => {
            let text = number.to_string();
            Ok(if CanonicalNumber::parse(&leaf.text) == CanonicalNumber::parse(&text) {
                Landing::Equal
            } else {
                Landing::Text(text)
            })
        }
        (kind, Scalar::Boolean(switch)) if kind == Kind::Boolean || (kind == Kind::Text && quoted) => {
            let (words, current) = Words::of(&leaf.text).ok_or_else(|| mismatch(leaf, wanted))?;
            Ok(if current == *switch { Landing::Equal } else { Landing::Text(words.spell(*switch)) })
        }
        _ => Err(mismatch(leaf, wanted)),
    }
}

/// The same where values have no type: anything may replace anything, but `on` becomes `off` and not `false`.
fn land_untyped(leaf: &Leaf, wanted: &Scalar) -> Result<Landing, Mismatch> {
    let (equal, text) = match wanted {
        Scalar::Text(text) => (*text == leaf.text, text.clone()),
        Scalar::Number(number) => {
            let text = number.to_string();
            (CanonicalNumber::parse(&leaf.text) == CanonicalNumber::parse(&text), text)
        }
        Scalar::Boolean(switch) => match Words::of(&leaf.text) {
            Some((words, current)) => (current == *switch, words.spell(*switch)),
            None => return Err(mismatch(leaf, wanted)),
        },
    };
    match equal {
        _ if leaf.ambiguous => Err(Mismatch::Ambiguous),
        true => Ok(Landing::Equal),
        false if text.chars().all(is_printable) => Ok(Landing::Text(text)),
        false => Err(Mismatch::Unprintable),
    }
}

fn mismatch(leaf: &Leaf, wanted: &Scalar) -> Mismatch {
    Mismatch::Type { found: leaf.kind, wanted: wanted.kind() }
}

/// Whether every format can hold the character as it is, on one line, and a terminal shows it as text.
pub(super) const fn is_printable(c: char) -> bool {
    // The line and paragraph separators are line breaks for readers of YAML 1.1.
    !matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Two words for a truth value, and how they are capitalised. Writing `off` over `on` keeps what the value is for every
/// reader; `false` would not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pair: [&'static str; 2],
    case: fn(&str) -> String,
}

impl Words {
    const PAIRS: [[&'static str; 2]; 3] = [["false", "true"], ["no", "yes"], ["off", "on"]];
    const CASES: [fn(&str) -> String; 3] = [str::to_owned, str::to_uppercase, capitalise];

    /// The words that `text` is one of, and which.
    pub fn of(text: &str) -> Option<(Self, bool)> {
        // The longest word has five letters; longer text needs no comparison.
        let pairs = Self::PAIRS.into_iter().filter(|_| text.len() <= 5);
        pairs
            .flat_map(|pair| Self::CASES.map(|case| Self { pair, case }))
            .find_map(|words| [false, true].into_iter().find(|&switch| words.spell(switch) == text).map(|s| (words, s)))
    }

    /// Whether YAML 1.2 has these words.
    pub fn is_core_schema(self) -> bool {
        self.pair == Self::PAIRS[0]
    }

    fn spell(self, switch: bool) -> String {
        (self.case)(self.pair[usize::from(switch)])
    }
}

fn capitalise(word: &str) -> String {
    word.split_at_checked(1).map_or_else(String::new, |(first, rest)| first.to_uppercase() + rest)
}

/// A decimal number of any length and size, so that `1.50`, `1.5` and `15e-1` compare equal without rounding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CanonicalNumber {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    /// Power of ten of the last digit; 0 for zero.
    exponent: i64,
}

impl CanonicalNumber {
    /// Reads `[+-]` digits with at most one point and an optional exponent.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Self::exponent(exponent)?),
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let all = [whole, fraction].concat();
        let kept = all.trim_end_matches('0');
        if kept.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let dropped = i64::try_from(all.len() - kept.len()).ok()?;
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(dropped)?;
        Some(Self { negative, digits: kept.trim_start_matches('0').to_owned(), exponent })
    }

    fn exponent(text: &str) -> Option<i64> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    }
}
