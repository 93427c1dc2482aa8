//! The text format, written in one pass: what the engine knows of ten thousand thresholds is no tree of objects in between.

use std::fmt::Write as _;

use super::family::{Family, Kind};

/// The series of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    family: Family,
    text: String,
}

impl Page {
    /// No series yet.
    #[must_use]
    pub const fn of(family: Family) -> Self {
        Self { family, text: String::new() }
    }

    /// Name of the metric.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.family.name
    }

    /// Adds a series. `values` are those of the family's labels; an empty one is left out, which says the same.
    pub fn put(&mut self, values: &[&str], value: f64) {
        debug_assert_eq!(values.len(), self.family.labels.len(), "{}", self.family.name);
        self.text.push_str(self.family.name);
        let is_open = labels(&mut self.text, self.family.labels.iter().copied().zip(values.iter().copied()));
        self.text.push_str(if is_open { "} " } else { " " });
        number(&mut self.text, value);
        self.text.push('\n');
    }

    /// Adds a histogram: how many observations are in each bucket, the last of which is without bound, and their sum.
    pub fn put_histogram(&mut self, values: &[&str], counts: &[u64], sum: f64) {
        let Kind::Histogram(bounds) = self.family.kind else { return };
        let Family { name, labels: names, .. } = self.family;
        let mut below = 0;
        let bounds = bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (count, bound) in counts.iter().zip(bounds) {
            below += count;
            let _infallible = write!(self.text, "{name}_bucket");
            let all = names.iter().copied().zip(values.iter().copied()).chain([("le", bound.as_str())]);
            labels(&mut self.text, all);
            let _infallible = writeln!(self.text, "}} {below}");
        }
        for (suffix, value) in [("_sum", sum.to_string()), ("_count", below.to_string())] {
            let _infallible = write!(self.text, "{name}{suffix}");
            let is_open = labels(&mut self.text, names.iter().copied().zip(values.iter().copied()));
            let _infallible = writeln!(self.text, "{} {value}", if is_open { "}" } else { "" });
        }
    }
}

/// The text of all pages; metrics without series are left out.
#[must_use]
pub fn text(pages: &[Page]) -> String {
    let mut text = String::with_capacity(pages.iter().map(|page| page.text.len() + 512).sum());
    for Page { family, text: series } in pages.iter().filter(|page| !page.text.is_empty()) {
        let Family { name, help, kind, .. } = family;
        let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
        text.push_str(series);
    }
    text
}

/// Writes labels, and whether there are any: then the brace is still open.
fn labels<'a>(text: &mut String, labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let mut before = '{';
    for (name, value) in labels.filter(|(_, value)| !value.is_empty()) {
        text.push(before);
        text.push_str(name);
        text.push_str("=\"");
        if value.contains(['\\', '"', '\n']) {
            for char in value.chars() {
                match char {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    char => text.push(char),
                }
            }
        } else {
            text.push_str(value);
        }
        text.push('"');
        before = ',';
    }
    before == ','
}

fn number(text: &mut String, value: f64) {
    // Writing into a `String` cannot fail.
    let _infallible = if value == f64::INFINITY {
        text.write_str("+Inf")
    } else if value == f64::NEG_INFINITY {
        text.write_str("-Inf")
    } else {
        write!(text, "{value}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAUGE: Family =
        Family { name: "a_value", kind: Kind::Gauge, labels: &["policy", "target"], help: "Read it." };

    #[test]
    fn series_of_one_name_are_together_and_label_values_are_escaped() {
        let mut page = Page::of(GAUGE);
        page.put(&["a\"b\\c\nd", "t"], 1.5);
        page.put(&["c", ""], f64::NAN);
        page.put(&["", ""], f64::INFINITY);
        page.put(&["", "t"], 1_763_700_000.25);
        assert_eq!(
            text(&[Page::of(GAUGE), page]),
            "# HELP a_value Read it.\n# TYPE a_value gauge\n\
             a_value{policy=\"a\\\"b\\\\c\\nd\",target=\"t\"} 1.5\n\
             a_value{policy=\"c\"} NaN\n\
             a_value +Inf\n\
             a_value{target=\"t\"} 1763700000.25\n"
        );
    }

    #[test]
    fn buckets_of_a_histogram_add_up() {
        let kind = Kind::Histogram(&[0.5, 1.0]);
        let mut page = Page::of(Family { name: "a_seconds", kind, labels: &["source"], help: "Read it." });
        page.put_histogram(&["x"], &[2, 0, 1], 7.5);
        page.put_histogram(&[""], &[1, 0, 0], 0.25);
        assert_eq!(
            text(&[page]),
            "# HELP a_seconds Read it.\n# TYPE a_seconds histogram\n\
             a_seconds_bucket{source=\"x\",le=\"0.5\"} 2\n\
             a_seconds_bucket{source=\"x\",le=\"1\"} 2\n\
             a_seconds_bucket{source=\"x\",le=\"+Inf\"} 3\n\
             a_seconds_sum{source=\"x\"} 7.5\na_seconds_count{source=\"x\"} 3\n\
             a_seconds_bucket{le=\"0.5\"} 1\na_seconds_bucket{le=\"1\"} 1\na_seconds_bucket{le=\"+Inf\"} 1\n\
             a_seconds_sum 0.25\na_seconds_count 1\n"
        );
    }
}
