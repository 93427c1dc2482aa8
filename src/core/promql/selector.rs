//! A metric's name and label matchers.

use std::{collections::BTreeMap, fmt::Write};

use super::text::{is_plain_label, quote};
use crate::core::units::Excerpt;

/// Series of one metric with the given label values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    name: String,
    labels: BTreeMap<String, String>,
    /// Regular expressions (RE2) that match whole values.
    patterns: BTreeMap<String, String>,
}

impl Selector {
    /// Checks name and labels; later text can then not leave its place in a query.
    pub fn new(name: &str, labels: BTreeMap<String, String>) -> Result<Self, SelectorError> {
        let mut chars = name.chars();
        let plain = chars.next().is_some_and(|first| first.is_ascii_alphabetic() || "_:".contains(first))
            && chars.all(|char| char.is_ascii_alphanumeric() || "_:".contains(char));
        if !plain {
            return Err(SelectorError::Metric(Excerpt::new(name)));
        }
        if let Some(label) = labels.keys().find(|label| label.is_empty()) {
            return Err(SelectorError::Label(Excerpt::new(label)));
        }
        // The name has its own field, and a bucket alone makes no histogram.
        if let Some(label) = labels.keys().find(|label| ["__name__", "le"].contains(&label.as_str())) {
            return Err(SelectorError::Reserved(Excerpt::new(label)));
        }
        Ok(Self { name: name.to_owned(), labels, patterns: BTreeMap::new() })
    }

    /// Of those, the series whose values match these regular expressions as a whole. Only the server can read them.
    pub fn matching(self, patterns: BTreeMap<String, String>) -> Result<Self, SelectorError> {
        let Self { labels, .. } = Self::new(&self.name, patterns)?;
        Ok(Self { patterns: labels, ..self })
    }

    /// Matchers for series that have each label which `other` selects by and this does not, whatever its value.
    pub(super) fn having_labels_of(&self, other: &Self) -> String {
        let more = other.labels.keys().chain(other.patterns.keys());
        let more = more.filter(|label| !self.labels.contains_key(*label) && !self.patterns.contains_key(*label));
        more.map(|label| format!("{}!=\"\"", matched(label))).collect::<Vec<_>>().join(",")
    }

    /// All series of a metric whose name is ours.
    pub(super) fn named(name: &'static str) -> Self {
        Self { name: name.to_owned(), labels: BTreeMap::new(), patterns: BTreeMap::new() }
    }

    /// The same labels of another metric, whose name is ours.
    pub(super) fn of(&self, name: &'static str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// The metric's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The label values that the series carry.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// The selector of the metric `name + suffix`, narrowed by `matcher` (complete `PromQL`, or empty).
    pub(super) fn expr(&self, suffix: &str, matcher: &str) -> String {
        let mut expr = format!("{}{suffix}{{{matcher}", self.name);
        let mut separator = if matcher.is_empty() { "" } else { "," };
        let exact = self.labels.iter().map(|(label, value)| (label, "=", value));
        for (label, is, value) in exact.chain(self.patterns.iter().map(|(label, value)| (label, "=~", value))) {
            // Writing to a string cannot fail.
            let _ = write!(expr, "{separator}{}{is}{}", matched(label), quote(value));
            separator = ",";
        }
        expr.push('}');
        expr
    }
}

/// A label's name in a matcher. Names with dots and the like are a feature of Prometheus 3; an older one answers
/// `QueryInvalid`.
fn matched(label: &str) -> String {
    if is_plain_label(label) { label.to_owned() } else { quote(label) }
}

/// Why a selector is refused. The text continues the path of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not a metric name.
    #[error("must be a metric name such as http_requests_total, not {0}")]
    Metric(Excerpt),
    /// Not a label name.
    #[error("must be a label name such as http_route, not {0}")]
    Label(Excerpt),
    /// A label that the query itself needs.
    #[error("must not select {0}: the query sets that label itself")]
    Reserved(Excerpt),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn selectors_are_ordered_and_escaped() {
        let selector = Selector::new("up", labels(&[("z", "1"), ("http.route", r#"/a"b"#)])).unwrap();
        assert_eq!(selector.expr("", ""), r#"up{"http.route"="/a\"b",z="1"}"#);
        assert_eq!(
            selector.expr("_sum", r#"namespace="shop""#),
            r#"up_sum{namespace="shop","http.route"="/a\"b",z="1"}"#
        );
        assert_eq!(Selector::new("up", BTreeMap::new()).unwrap().expr("", ""), "up{}");
    }

    #[test]
    fn patterns_are_literals_too() {
        let selector = Selector::new("up", labels(&[("a", "1")])).unwrap();
        let failed = selector.clone().matching(labels(&[("code", r#"5..|"\d"#)])).unwrap();
        assert_eq!(failed.expr("", "x=\"y\""), r#"up{x="y",a="1",code=~"5..|\"\\d"}"#);
        assert_eq!(selector.having_labels_of(&failed), "code!=\"\"");
        assert!(selector.matching(labels(&[("le", ".*")])).is_err());
    }

    #[test]
    fn names_cannot_leave_their_place() {
        for name in ["", "1up", "up{}", "up or vector", "http-requests", "später"] {
            assert!(matches!(Selector::new(name, BTreeMap::new()), Err(SelectorError::Metric(_))), "{name}");
        }
        assert!(matches!(Selector::new("up", labels(&[("", "1")])), Err(SelectorError::Label(_))));
        for label in ["__name__", "le"] {
            let error = Selector::new("up", labels(&[(label, "1")])).unwrap_err();
            assert_eq!(error.to_string(), format!("must not select \"{label}\": the query sets that label itself"));
        }
    }
}
