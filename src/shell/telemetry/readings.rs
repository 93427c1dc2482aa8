//! Live readings of the engine on their way to `/metrics`.

use std::collections::BTreeMap;

use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// One number that the engine knows, such as the value of a threshold. It exists as long as its policy does.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Name of the metric, with unit: `trimtab_threshold_value`.
    pub name: &'static str,
    /// How to read it.
    pub help: &'static str,
    /// Labels, in the order in which they are shown.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// The readings as gauges, one family per name.
#[must_use]
pub fn families(readings: Vec<Reading>) -> Vec<MetricFamily> {
    let mut families: BTreeMap<&'static str, MetricFamily> = BTreeMap::new();
    for reading in readings {
        let family = families.entry(reading.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(reading.name.to_owned());
            family.set_help(reading.help.to_owned());
            family.set_field_type(MetricType::GAUGE);
            family
        });
        let mut gauge = Gauge::default();
        gauge.set_value(reading.value);
        let mut metric = Metric::from_gauge(gauge);
        metric.set_label(reading.labels.into_iter().map(|(name, value)| label(name, value)).collect());
        family.mut_metric().push(metric);
    }
    families.into_values().collect()
}

fn label(name: &str, value: String) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn readings_of_one_name_are_one_family_and_label_values_are_escaped() {
        let reading = |policy: &str, value| Reading {
            name: "trimtab_threshold_value",
            help: "Last reading.",
            labels: vec![("policy", policy.to_owned())],
            value,
        };
        let text = TextEncoder::new()
            .encode_to_string(&families(vec![
                reading("a\"b", 1.5),
                reading("c", f64::NAN),
                reading("d", f64::INFINITY),
            ]))
            .unwrap();
        assert_eq!(
            text,
            "# HELP trimtab_threshold_value Last reading.\n# TYPE trimtab_threshold_value gauge\n\
             trimtab_threshold_value{policy=\"a\\\"b\"} 1.5\n\
             trimtab_threshold_value{policy=\"c\"} NaN\n\
             trimtab_threshold_value{policy=\"d\"} inf\n"
        );
    }
}
