//! Amounts as people write them in a table: `<20s`, `~30s`, `2.1 GB`, `10 items/s`, `1000+`.

use super::{Decimal, Dimension, Quantity, Unit, reading::rounded};

/// What is better of two amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The smaller one.
    Lower,
    /// The larger one.
    Higher,
}

impl Better {
    /// How it is of what nobody says more about: rates shall be high, times and sizes low.
    #[must_use]
    pub const fn usual(dimension: Dimension) -> Option<Self> {
        match dimension {
            Dimension::PerSecond => Some(Self::Higher),
            Dimension::Duration | Dimension::Bytes => Some(Self::Lower),
            Dimension::Count | Dimension::Cpu | Dimension::Ratio => None,
        }
    }
}

/// An amount in a table, with the unit that it is written in.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The amount.
    pub quantity: Quantity,
    /// What its sign says is better: `<` and `≤` the lower, `>`, `≥` and a `+` behind it the higher.
    pub better: Option<Better>,
    /// One of its unit, in the base unit.
    scale: f64,
    /// The unit as written, with the blank before it.
    unit: Box<str>,
}

const SIGNS: [(&str, Option<Better>); 8] = [
    ("<=", Some(Better::Lower)),
    (">=", Some(Better::Higher)),
    ("<", Some(Better::Lower)),
    (">", Some(Better::Higher)),
    ("≤", Some(Better::Lower)),
    ("≥", Some(Better::Higher)),
    ("~", None),
    ("≈", None),
];

impl Figure {
    /// Reads an amount; nothing if the text is something else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let sign = SIGNS.iter().find_map(|(sign, better)| Some((text.strip_prefix(sign)?, *better)));
        let (rest, mut better) = sign.unwrap_or((text, None));
        let (number, mut written) = Decimal::parse_prefix(rest.trim_start()).ok()?;
        if let Some(least) = written.strip_suffix('+') {
            written = least;
            better = better.or(Some(Better::Higher));
        }
        let unit = of_suffix(written.trim_start())?;
        let quantity = Quantity::new(unit.to_base(number).ok()?, unit.dimension);
        let scale = unit.to_base(Decimal::ONE).ok()?.as_f64();
        Some(Self { quantity, better, scale, unit: written.into() })
    }

    /// Another amount of the same dimension, in this one's unit. For people only: it is rounded.
    #[must_use]
    pub fn spell(&self, base: f64) -> String {
        if !base.is_finite() {
            return "not a number".to_owned();
        }
        let decimals = if self.quantity.dimension == Dimension::Ratio { 2 } else { 0 };
        format!("{}{}", rounded(base / self.scale, decimals), self.unit)
    }
}

/// A unit, or what is counted per second: `items/s`.
fn of_suffix(text: &str) -> Option<Unit> {
    let counted = || {
        let what = text.strip_suffix("/s").or_else(|| text.strip_suffix("/sec"))?;
        what.chars().all(char::is_alphabetic).then(|| Unit::from_suffix("/s"))?
    };
    Unit::from_suffix(text).or_else(counted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, printed, better) in [
            ("~30s", "30s", None),
            ("<20s", "20s", Some(Better::Lower)),
            ("≤ 50 ms", "50ms", Some(Better::Lower)),
            ("2.1 GB", "2.1G", None),
            ("10 items/s", "10/s", None),
            ("10 items/sec", "10/s", None),
            ("1000+", "1000", Some(Better::Higher)),
            (">=95%", "95%", Some(Better::Higher)),
            ("> 350/s", "350/s", Some(Better::Higher)),
        ] {
            let figure = Figure::read(text).unwrap();
            assert_eq!(figure.quantity, Quantity::parse(printed).unwrap(), "{text}");
            assert_eq!(figure.better, better, "{text}");
        }
        for text in ["", "N/A", "PostgreSQL", "10 users", "5x", "2026-11-01", "New Feature", "<b>", "+", "1 2"] {
            assert_eq!(Figure::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn readings_are_spelled_in_the_unit_of_their_target() {
        let spell = |unit: &str, base: f64| Figure::read(unit).unwrap().spell(base);
        assert_eq!(spell("<2GB", 2.1e9), "2.1GB");
        assert_eq!(spell("200ms", 0.25), "250ms");
        assert_eq!(spell("<1 s", 0.25), "0.25 s");
        assert_eq!(spell("95%", 0.9995), "99.95%");
        assert_eq!(spell("50 items/s", 10.0), "10 items/s");
        assert_eq!(spell("50ms", f64::NAN), "not a number");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}", base: f64) {
            if let Some(figure) = Figure::read(&text) {
                let _ = figure.spell(base);
            }
        }
    }
}
