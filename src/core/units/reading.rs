//! Readings for people: a float with its unit, rounded to what an eye can use.

use super::BaseUnit;

/// From which reading a unit is used, its size in base units, and its name.
type Step = (f64, f64, &'static str);

const TIMES: [Step; 5] =
    [(0.0, 1e-3, "ms"), (1.0, 1.0, "s"), (120.0, 60.0, "m"), (7_200.0, 3_600.0, "h"), (172_800.0, 86_400.0, "d")];
const SIZES: [Step; 5] = [
    (0.0, 1.0, "B"),
    (1_024.0, 1_024.0, "Ki"),
    (1_048_576.0, 1_048_576.0, "Mi"),
    (1_073_741_824.0, 1_073_741_824.0, "Gi"),
    (1_099_511_627_776.0, 1_099_511_627_776.0, "Ti"),
];

impl BaseUnit {
    /// A reading with its unit: `213ms`, `1.5Gi`, `99.95%`, `352/s`. For people only: it is rounded.
    #[must_use]
    pub fn format(self, reading: f64) -> String {
        match self {
            _ if !reading.is_finite() => "not a number".to_owned(),
            Self::Seconds if reading == 0.0 => "0s".to_owned(),
            Self::Seconds => scaled(reading, &TIMES),
            Self::Bytes => scaled(reading, &SIZES),
            // Two decimals at least, because 99.95% and 99.99% are different promises.
            Self::Ratio => format!("{}%", rounded(reading * 100.0, 2)),
            Self::PerSecond => format!("{}/s", rounded(reading, 0)),
            Self::BytesPerSecond => format!("{}/s", scaled(reading, &SIZES)),
            Self::Count => rounded(reading, 0),
        }
    }
}

fn scaled(reading: f64, steps: &[Step]) -> String {
    // A hair below a step it would round up to the step anyway: `1s` instead of `1000ms`.
    let step = steps.iter().rev().find(|(from, ..)| reading.abs() >= from * 0.9995);
    let (_, size, name) = step.copied().unwrap_or((0.0, 1.0, ""));
    format!("{}{name}", rounded(reading / size, 0))
}

/// Three significant digits, all digits before the point, and at least `decimals` after it; no trailing zeros.
pub(super) fn rounded(number: f64, decimals: usize) -> String {
    if number.abs() >= 1e15 {
        return format!("{number:e}");
    }
    // As many decimals as lift the number to three digits.
    let lifted = (0..=12_u8).find(|&n| number.abs() * 10_f64.powi(i32::from(n)) >= 99.95).unwrap_or_default();
    let text = format!("{number:.*}", decimals.max(lifted.into()));
    let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if trimmed == "-0" { "0".to_owned() } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn readings_are_written_for_people() {
        for (unit, reading, text) in [
            (BaseUnit::Seconds, 0.213, "213ms"),
            (BaseUnit::Seconds, 0.000_25, "0.25ms"),
            (BaseUnit::Seconds, 0.0, "0s"),
            (BaseUnit::Seconds, 0.999_9, "1s"),
            (BaseUnit::Seconds, 1.5, "1.5s"),
            (BaseUnit::Seconds, 90.0, "90s"),
            (BaseUnit::Seconds, 300.0, "5m"),
            (BaseUnit::Seconds, 9_000.0, "2.5h"),
            (BaseUnit::Seconds, 604_800.0, "7d"),
            (BaseUnit::Seconds, -0.2, "-200ms"),
            (BaseUnit::Bytes, 512.0, "512B"),
            (BaseUnit::Bytes, 1_610_612_736.0, "1.5Gi"),
            (BaseUnit::Bytes, 1e15, "909Ti"),
            (BaseUnit::Ratio, 0.9995, "99.95%"),
            (BaseUnit::Ratio, 0.05, "5%"),
            (BaseUnit::Ratio, 0.000_123_4, "0.0123%"),
            (BaseUnit::PerSecond, 351.72, "352/s"),
            (BaseUnit::PerSecond, 0.034_567, "0.0346/s"),
            (BaseUnit::BytesPerSecond, -1_572_864.0, "-1.5Mi/s"),
            (BaseUnit::BytesPerSecond, 0.0, "0B/s"),
            (BaseUnit::Count, 12_345.6, "12346"),
            (BaseUnit::Count, 3.0, "3"),
            (BaseUnit::Count, -1e-30, "0"),
            (BaseUnit::Count, 1e20, "1e20"),
            (BaseUnit::Count, f64::NAN, "not a number"),
            (BaseUnit::Bytes, f64::INFINITY, "not a number"),
        ] {
            assert_eq!(unit.format(reading), text, "{reading} {unit}");
        }
    }

    proptest! {
        #[test]
        fn every_reading_has_a_short_text(reading: f64) {
            for unit in [BaseUnit::Seconds, BaseUnit::Bytes, BaseUnit::Ratio, BaseUnit::PerSecond, BaseUnit::Count] {
                prop_assert!(unit.format(reading).len() <= 32);
            }
        }
    }
}
