//! Readings as a file holds them. `trimtab report --record FILE` writes one; a test harness may add `operations`.

use serde::{Deserialize, Serialize};

use super::{API_VERSION, Subject};
use crate::core::{
    facts::{Instant, Object},
    policy::{
        Policy, PolicyKey, ProfileSet, Threshold,
        profiles::{Side, When},
        thresholds::Limit,
    },
    report::checklist::{self, Known, Made},
    resolve,
    units::Excerpt,
};

/// What was read at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Readings {
    /// `trimtab.dev/v1alpha1`.
    pub api_version: String,
    /// `Readings`.
    pub kind: String,
    /// When, as RFC 3339.
    pub at: String,
    /// How it was measured. Two files can be compared only where they say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Readings of thresholds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Reading>,
    /// Operations that were run and timed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

/// A reading of a threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reading {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// Name of the threshold.
    pub threshold: String,
    /// The target, such as `Deployment/api`; nothing where a reading is one for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The values of labels that are judged apart, such as `tier="gold"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// The reading in the base unit: seconds, bytes, a share of 1, per second, a count. Nothing: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Its unit in words, for people; where it is there, it must be that of the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Why there is no reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Readings of before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Point>,
}

/// A reading of before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// When, as RFC 3339.
    pub at: String,
    /// The reading in the base unit.
    pub value: f64,
}

/// An operation that was run and timed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// Its runs.
    pub runs: Vec<Run>,
}

/// One run of an operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// Its duration.
    pub seconds: f64,
    /// By how much the memory in use has grown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_delta_bytes: Option<f64>,
    /// Whether it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// How a reading stands to the bounds of its threshold, whatever was before: `for` and hysteresis need a past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged<'a> {
    /// `Within`, `Breached` or `NoData`.
    pub state: &'static str,
    /// Severity, side and bound of the worst level that is crossed.
    pub crossed: Option<(&'static str, &'static str, &'a Limit)>,
}

impl Readings {
    /// Nothing was read, at that time.
    #[must_use]
    pub fn new(at: Instant) -> Self {
        Self { api_version: API_VERSION.to_owned(), kind: "Readings".to_owned(), at: at.to_string(), ..Self::default() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let readings: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Self { api_version, kind, at, .. } = &readings;
        if api_version != API_VERSION || kind != "Readings" {
            return Err(format!(
                "it must be Readings of {API_VERSION}, not {} of {}",
                Excerpt::new(kind),
                Excerpt::new(api_version)
            ));
        }
        let points = readings.thresholds.iter().flat_map(|reading| reading.points.iter().map(|point| &point.at));
        for at in [at].into_iter().chain(points) {
            Instant::parse(at).ok_or_else(|| format!("{} is no time as RFC 3339 writes it", Excerpt::new(at)))?;
        }
        for operation in &readings.operations {
            if operation.runs.is_empty() {
                return Err(format!("operation {} has no runs", Excerpt::new(&operation.name)));
            }
            if let Some(run) = operation.runs.iter().find(|run| run.seconds < 0.0) {
                return Err(format!("operation {} has a run of {} s", Excerpt::new(&operation.name), run.seconds));
            }
        }
        let mut names: Vec<&str> = readings.operations.iter().map(|operation| &*operation.name).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[a, b]| a == b) {
            return Err(format!("operation {} is there twice", Excerpt::new(twice)));
        }
        Ok(readings)
    }

    /// The readings of one threshold of a policy.
    pub fn of<'a>(&'a self, key: &'a PolicyKey, threshold: &'a str) -> impl Iterator<Item = &'a Reading> {
        self.thresholds.iter().filter(move |reading| {
            reading.namespace == *key.0 && reading.policy == *key.1 && reading.threshold == threshold
        })
    }

    /// What they say of the thresholds of a policy, for checks and formulas.
    pub(super) fn known(&self, subject: &Subject<'_>) -> checklist::Readings {
        let mut known = checklist::Readings::new();
        for threshold in subject.policy.into_iter().flat_map(|policy| policy.thresholds.iter()) {
            let mut whole = Known { within: Some(true), current: None, state: "Within" };
            let mut any = false;
            for reading in self.of(subject.key, &threshold.name) {
                any = true;
                let threshold = subject.judged_by(reading).unwrap_or(threshold);
                match (judge(threshold, reading).state, whole.within) {
                    ("Breached", _) => (whole.within, whole.state) = (Some(false), "Breached"),
                    ("NoData", Some(true)) => (whole.within, whole.state) = (None, "NoData"),
                    _ => {}
                }
                if let Some(value) = reading.value {
                    whole.current = Some(threshold.worse(whole.current, value));
                }
            }
            if any {
                known.insert(threshold.name.clone(), whole);
            }
        }
        known
    }

    /// What does not go together with the policies that it is read for.
    ///
    /// # Errors
    /// A reading in another unit than its threshold's.
    pub fn check(&self, policies: &[&Policy]) -> Result<(), String> {
        for policy in policies {
            for threshold in policy.thresholds.iter().chain(policy.patterns.iter()) {
                let unit = threshold.unit.base().as_str();
                let other = self
                    .of(&policy.identity.key, &threshold.name)
                    .find(|reading| reading.unit.as_deref().is_some_and(|have| have != unit));
                if let Some(other) = other {
                    return Err(format!(
                        "the reading of {} is in {}, and the threshold of {} in {unit}",
                        threshold.name,
                        Excerpt::new(other.unit.as_deref().unwrap_or_default()),
                        policy.identity.name(),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The profiles of a policy on one of its targets: bounds of thresholds move with them.
#[derive(Debug)]
pub struct Switched {
    names: Vec<Box<str>>,
    active: Vec<Option<bool>>,
    /// Nothing where no profile is active and nothing is pinned.
    under: Option<Policy>,
}

impl Switched {
    /// `names`: those that are known to be active on the object, or on a policy without one; `all`: no others are, because the
    /// operator says so. Otherwise what a reading enters is active, too: readings of a file have no operator beside them that
    /// would remember.
    #[must_use]
    pub fn new(
        policy: &Policy,
        object: Option<&Object>,
        (names, all): (&[Box<str>], bool),
        readings: Option<&Readings>,
    ) -> Self {
        let target = object.map(|object| object.key.short());
        let pins = policy.pins_on(object.map(|object| &object.key));
        let mut set = ProfileSet::default();
        let mut active = Vec::new();
        for (position, profile) in policy.profiles.iter().enumerate() {
            let entered = || {
                let Some(When::Threshold(switch)) = &profile.when else { return Some(false) };
                let threshold = policy.thresholds.get(switch.threshold)?;
                let of = |reading: &&Reading| reading.target.is_none() || reading.target == target;
                let reading = readings?.of(&policy.identity.key, &threshold.name).find(of)?;
                match switch.side(reading.value?) {
                    Side::Enter => Some(resolve::unmet(&policy.in_guise((set, pins)), profile, object).is_none()),
                    Side::Leave => Some(false),
                    Side::Between => None,
                }
            };
            let is = match (names.contains(&profile.name), policy.forced) {
                (true, _) => Some(true),
                (false, None) if all => Some(false),
                (false, Some(forced)) => Some(forced == position && object.is_none()),
                (false, None) => entered(),
            };
            if is == Some(true) {
                set = set.with(position);
            }
            active.push(is);
        }
        let is_active = |(position, _): &(usize, _)| active.get(*position).copied().flatten() == Some(true);
        let names =
            policy.profiles.iter().enumerate().filter(is_active).map(|(_, profile)| profile.name.clone()).collect();
        let is_plain = set.is_empty() && pins.is_none();
        Self { names, active, under: (!is_plain).then(|| policy.in_guise((set, pins))) }
    }

    /// What they make of the policy.
    #[must_use]
    pub fn made<'a>(&'a self, policy: &'a Policy) -> Made<'a> {
        Made { policy: self.under.as_ref().unwrap_or(policy), profiles: &self.names, active: &self.active }
    }
}

/// How a reading stands.
#[must_use]
pub fn judge<'a>(threshold: &'a Threshold, reading: &Reading) -> Judged<'a> {
    let Some(value) = reading.value else { return Judged { state: "NoData", crossed: None } };
    for level in &threshold.levels {
        let severity = crate::core::policy::thresholds::word(level.severity);
        let above = level.above.as_ref().filter(|limit| value > limit.bound.as_f64()).map(|limit| ("above", limit));
        let below = level.below.as_ref().filter(|limit| value < limit.bound.as_f64()).map(|limit| ("below", limit));
        // Both make a band: outside of it is a breach, and a reading is on one side only.
        if let Some((side, limit)) = above.or(below) {
            return Judged { state: "Breached", crossed: Some((severity, side, limit)) };
        }
    }
    Judged { state: "Within", crossed: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_or_refused_with_a_reason() {
        let file = |rest: &str| {
            format!(
                r#"{{"apiVersion": "trimtab.dev/v1alpha1", "kind": "Readings", "at": "2026-11-21T10:00:00Z"{rest}}}"#
            )
        };
        assert!(Readings::parse(&file("")).is_ok());
        for (rest, said) in [
            (r#", "operations": [{"name": "a", "runs": []}]"#, "operation \"a\" has no runs"),
            (r#", "operations": [{"name": "a", "runs": [{"seconds": -1}]}]"#, "operation \"a\" has a run of -1 s"),
            (
                r#", "operations": [{"name": "a", "runs": [{"seconds": 1}]}, {"name": "a", "runs": [{"seconds": 1}]}]"#,
                "operation \"a\" is there twice",
            ),
            (
                r#", "thresholds": [{"namespace": "n", "policy": "p", "threshold": "t", "points": [{"at": "noon", "value": 1}]}]"#,
                "\"noon\" is no time as RFC 3339 writes it",
            ),
        ] {
            assert_eq!(Readings::parse(&file(rest)).unwrap_err(), said);
        }
        let other = file("").replace("Readings", "Report");
        assert!(Readings::parse(&other).unwrap_err().starts_with("it must be Readings of trimtab.dev/v1alpha1"));
        assert!(Readings::parse(&file(", \"colour\": 1")).unwrap_err().contains("unknown field"));
        assert!(Readings::parse("").is_err());
    }
}
