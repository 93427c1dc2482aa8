//! Readbacks, parsed: where a pod tells the value that it runs with, and when that is the desired one.
//!
//! A value is compared in the base unit of its knob, whatever its spelling where it lands and whatever the gauge counts in:
//! `30000` that is written in milliseconds is what a gauge in seconds tells as 30.

use std::sync::Arc;

use super::{Knob, Parser, thresholds::Labels};
use crate::{
    api::{conditions::Reason, policy as wire},
    core::{
        promql::{FreeQuery, Identity, Selector, SelectorError, Shape, WorkloadKind},
        units::{BaseUnit, MetricUnit, Value, ValueType},
    },
};

/// Where the pods tell the value that they run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readback {
    told: Told,
    unit: Option<Unit>,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// The gauges of all pods.
    Gauge(Selector),
    /// A query of the policy's own.
    Free(FreeQuery),
}

/// The unit of the readings, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit(&'static str);

/// What two floats may differ by, as a share, and still say the same: some exporters keep numbers in 32 bits.
const TOLERANCE: f64 = 1e-7;

impl Readback {
    /// The query of all policies that read the same of such workloads; nothing for a query of the policy's own.
    #[must_use]
    pub fn shape(&self, identity: &Identity, workload: Option<WorkloadKind>) -> Option<Shape> {
        match &self.told {
            Told::Gauge(selector) => Some(Shape::told(selector.clone(), identity, workload)),
            Told::Free(_) => None,
        }
    }

    /// The policy's own query.
    #[must_use]
    pub const fn query(&self) -> Option<&FreeQuery> {
        match &self.told {
            Told::Free(query) => Some(query),
            Told::Gauge(_) => None,
        }
    }

    /// What is read, in a word or two.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.told {
            Told::Gauge(selector) => selector.name(),
            Told::Free(_) => "the query",
        }
    }

    /// A reading in the base unit of the knob.
    #[must_use]
    pub fn to_base(&self, reading: f64) -> f64 {
        let unit = self.unit.and_then(|unit| MetricUnit::from_name(unit.0));
        unit.map_or(reading, |unit| unit.to_base(reading))
    }
}

/// A value as pods tell it, in the base unit of its type: a switch is 1 or 0. Nothing for words, which no metric carries.
#[must_use]
pub fn expected(value: &Value) -> Option<f64> {
    match value {
        Value::Boolean(on) => Some(f64::from(u8::from(*on))),
        value => value.amount().map(crate::core::units::Decimal::as_f64),
    }
}

/// Whether a reading says that the value is in force.
#[must_use]
pub fn agrees(desired: f64, reading: f64) -> bool {
    (desired - reading).abs() <= TOLERANCE * desired.abs().max(reading.abs())
}

/// A value of that type for people: `30s`, `2Gi`, `20`, `true`.
#[must_use]
pub fn spell(kind: ValueType, value: f64) -> String {
    match base(kind) {
        _ if kind == ValueType::Boolean && agrees(1.0, value) => "true".to_owned(),
        _ if kind == ValueType::Boolean && agrees(0.0, value) => "false".to_owned(),
        Some(base) => base.format(value),
        None => value.to_string(),
    }
}

/// The unit that amounts of a type are in.
const fn base(kind: ValueType) -> Option<BaseUnit> {
    match kind {
        ValueType::Duration => Some(BaseUnit::Seconds),
        ValueType::Bytes => Some(BaseUnit::Bytes),
        ValueType::Ratio => Some(BaseUnit::Ratio),
        ValueType::Integer | ValueType::Number | ValueType::Cpu | ValueType::Boolean => Some(BaseUnit::Count),
        ValueType::Enum => None,
    }
}

/// The unit that a gauge has by its name, where that says anything.
#[must_use]
pub fn unit_of_name(gauge: &str) -> Option<MetricUnit> {
    Some(MetricUnit::of_values(gauge)).filter(|unit| unit.base() != BaseUnit::Count)
}

/// Names of the units of a base.
const UNITS: [&str; 8] =
    ["seconds", "milliseconds", "microseconds", "nanoseconds", "bytes", "ratio", "percent", "count"];

impl<'a> Parser<'a> {
    /// Notes where the knob is read back that was added last; that needs to know where it lands.
    pub(super) fn note_readback(&mut self, readback: Option<&'a wire::Readback>, lands: bool) {
        let (Some(index), Some(readback)) = (self.knobs.len().checked_sub(1), readback) else { return };
        if lands {
            self.read_back.push((index, readback));
        } else if let Some(knob) = self.knobs.get(index) {
            let message = "proves nothing: the value lands nowhere, so no pod can have it from here";
            self.refuse(Reason::InvalidSpec, format!("{}.effective", knob.path), message);
        }
    }

    /// Reads where knobs are read back. `common` are the labels of all series of the policy.
    pub(super) fn resolve_readbacks(&mut self, common: &Labels) {
        for (index, readback) in std::mem::take(&mut self.read_back) {
            // What is wrong with its place has been refused.
            let Some(knob) = self.knobs.get(index).filter(|knob| knob.landing.is_written()).cloned() else { continue };
            let parsed = self.readback(&knob, readback, common).map(Arc::new);
            if let Some(knob) = self.knobs.get_mut(index) {
                knob.readback = parsed;
            }
        }
    }

    /// Reads where the value of a knob is read back.
    fn readback(&mut self, knob: &Knob, readback: &'a wire::Readback, common: &Labels) -> Option<Readback> {
        let path = format!("{}.effective", knob.path);
        let mut refuse = |member: &str, message: String| {
            self.refuse(Reason::InvalidSpec, format!("{path}{member}"), message);
        };
        let Some(base) = base(knob.kind) else {
            refuse("", "must not be set: metrics tell numbers, and the value is a word".to_owned());
            return None;
        };
        let told = match (&readback.gauge, &readback.query) {
            (Some(gauge), None) => {
                let labels = common.iter().chain(&readback.labels);
                let selector =
                    Selector::new(gauge, labels.map(|(name, value)| (name.clone(), value.clone())).collect());
                match selector {
                    Ok(selector) => Told::Gauge(selector),
                    Err(error @ SelectorError::Metric(_)) => {
                        refuse(".gauge", error.to_string());
                        return None;
                    }
                    Err(error) => {
                        refuse(".labels", error.to_string());
                        return None;
                    }
                }
            }
            (None, Some(_)) if !readback.labels.is_empty() => {
                refuse("", "has a query, which says everything itself: leave out labels".to_owned());
                return None;
            }
            (None, Some(query)) => match FreeQuery::new(query) {
                Ok(query) => Told::Free(query),
                Err(error) => {
                    refuse(".query", error.to_string());
                    return None;
                }
            },
            (Some(_), Some(_)) | (None, None) => {
                refuse("", "must have exactly one of gauge and query".to_owned());
                return None;
            }
        };
        // A plain number is what the gauge says, whatever either counts: 30 is 30 seconds in `timeout_seconds`.
        let is_plain = base == BaseUnit::Count;
        let named = readback.unit.map(wire::MetricUnit::as_str);
        let of_name = readback.gauge.as_deref().and_then(unit_of_name);
        let unit = match (named.and_then(MetricUnit::from_name), of_name) {
            (Some(unit), _) => Some((".unit", unit)),
            (None, Some(unit)) => Some((".gauge", unit)),
            (None, None) => None,
        };
        let unit = match unit.filter(|_| !is_plain) {
            None => None,
            Some((_, unit)) if unit.base() == base => {
                UNITS.into_iter().find(|name| MetricUnit::from_name(name) == Some(unit)).map(Unit)
            }
            Some((member, unit)) => {
                let message = if member == ".unit" {
                    format!(
                        "must measure what the value is: a {} is compared in {base}, not in {}",
                        knob.kind,
                        unit.base()
                    )
                } else {
                    format!(
                        "is by its name in {}, and a {} is compared in {base}: name another gauge, or say its unit",
                        unit.base(),
                        knob.kind
                    )
                };
                refuse(member, message);
                return None;
            }
        };
        Some(Readback { told, unit })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{
        api::{PerformancePolicy, PerformancePolicySpec},
        core::policy::Policy,
    };

    fn parse(setting: &Json) -> Result<Policy, String> {
        let spec: PerformancePolicySpec = serde_json::from_value(json!({
            "target": {"kind": "Deployment", "name": "web"}, "metrics": {"labels": {"app": "web"}},
            "settings": [setting],
        }))
        .unwrap();
        let said =
            |wrong: Vec<super::super::Invalid>| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Policy::parse(&PerformancePolicy::new("web", spec)).map_err(said)
    }

    fn setting(kind: &str, value: &str, format: Option<&str>, effective: &Json) -> Json {
        let mut setting = json!({"name": "s", "type": kind, "value": value, "env": "S", "effective": effective});
        if let Some(format) = format {
            setting["as"] = json!(format);
        }
        setting
    }

    /// Whether a reading of the readback says that the value of the knob is in force.
    fn is_effective(kind: &str, value: &str, format: Option<&str>, effective: &Json, reading: f64) -> bool {
        let policy = parse(&setting(kind, value, format, effective)).unwrap();
        let knob = &policy.knobs[0];
        let readback = knob.readback.as_ref().unwrap();
        let value = knob.value.literal().unwrap();
        agrees(expected(value).unwrap(), readback.to_base(reading))
    }

    #[test]
    fn values_are_compared_in_base_units_whatever_their_spelling() {
        let gauge = |name: &str| json!({"gauge": name});
        for (kind, value, format, effective, reading) in [
            ("Integer", "20", None, gauge("db_pool_size"), 20.0),
            ("Integer", "30", None, gauge("timeout_seconds"), 30.0),
            ("Number", "0.1", None, gauge("share"), f64::from(0.1_f32)),
            ("Duration", "30s", Some("milliseconds"), gauge("timeout_seconds"), 30.0),
            ("Duration", "30s", Some("seconds"), gauge("timeout_milliseconds"), 30_000.0),
            ("Duration", "30s", Some("milliseconds"), gauge("timeout"), 30.0),
            ("Duration", "30s", Some("milliseconds"), json!({"gauge": "timeout", "unit": "milliseconds"}), 30_000.0),
            ("Duration", "1m", Some("go"), json!({"query": "max by (pod) (timeout)"}), 60.0),
            ("Bytes", "2Gi", Some("jvm"), gauge("heap_max_bytes"), 2_147_483_648.0),
            ("Bytes", "256Mi", Some("mebibytes"), gauge("limit"), 268_435_456.0),
            ("Ratio", "80%", None, gauge("share_percent"), 80.0),
            ("Ratio", "80%", None, gauge("share_ratio"), 0.8),
            ("Boolean", "true", None, gauge("gzip_enabled"), 1.0),
        ] {
            assert!(is_effective(kind, value, format, &effective, reading), "{kind} {value} {effective} {reading}");
            assert!(!is_effective(kind, value, format, &effective, reading * 1.01 + 1.0), "{kind} {value} {effective}");
        }
        assert!(!is_effective("Bytes", "2Gi", Some("bytes"), &gauge("m_bytes"), 2_147_483_648.0 - 1024.0));
        assert!(!is_effective("Integer", "1", None, &gauge("m"), f64::NAN));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let refused = |kind: &str, value: &str, format, effective: Json| {
            parse(&setting(kind, value, format, &effective)).unwrap_err()
        };
        assert_eq!(
            refused("Duration", "30s", Some("seconds"), json!({"gauge": "cache_bytes"})),
            "settings.s.effective.gauge is by its name in bytes, and a Duration is compared in seconds: name another gauge, \
             or say its unit"
        );
        assert_eq!(
            refused("Bytes", "1Gi", Some("bytes"), json!({"gauge": "m", "unit": "seconds"})),
            "settings.s.effective.unit must measure what the value is: a Bytes is compared in bytes, not in seconds"
        );
        assert!(refused("Integer", "3", None, json!({"gauge": "m", "query": "n"})).contains("exactly one of"));
        assert!(refused("Integer", "3", None, json!({})).contains("exactly one of"));
        assert!(
            refused("Integer", "3", None, json!({"query": "n", "labels": {"a": "b"}})).contains("leave out labels")
        );
        assert!(refused("Integer", "3", None, json!({"gauge": "a b"})).contains("effective.gauge"));
        let word = json!({"name": "s", "type": "Enum", "allowed": ["a"], "value": "a", "env": "S", "effective": {"gauge": "m"}});
        assert!(parse(&word).unwrap_err().contains("the value is a word"));
        let nowhere = json!({"name": "s", "type": "Integer", "value": 3, "effective": {"gauge": "m"}});
        assert!(parse(&nowhere).unwrap_err().contains("lands nowhere"));
    }

    #[test]
    fn a_gauge_is_read_pod_by_pod_with_the_labels_of_the_policy() {
        let effective = json!({"gauge": "pool_max", "labels": {"pool": "db"}});
        let policy = parse(&setting("Integer", "20", None, &effective)).unwrap();
        let shape =
            policy.knobs[0].readback.as_ref().unwrap().shape(&Identity::default(), Some(WorkloadKind::StatefulSet));
        let wanted = [crate::core::promql::SeriesKey::workload("shop", "web")].into();
        assert_eq!(
            shape.unwrap().expr(&wanted),
            "topk by (namespace,trimtab_workload) (2049,count_values by (namespace,trimtab_workload,pod) \
             (\"trimtab_value\",label_replace(pool_max{namespace=\"shop\",pod=~\"(?:web)-[0-9]+\",app=\"web\",pool=\"db\"},\
             \"trimtab_workload\",\"$1\",\"pod\",\"^(.+)-[0-9]+$\")))"
        );
    }
}
