//! Metrics as values: what a worker sends to its master, how the master adds them up, and the text
//! that Prometheus reads.

use std::{collections::BTreeMap, fmt::Write};

use prometheus::{Registry, proto::MetricType};
use serde::{Deserialize, Serialize};

/// All metrics of one process, or of several together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    families: BTreeMap<String, Family>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Family {
    help: String,
    kind: Kind,
    series: Vec<(Labels, Value)>,
}

type Labels = Vec<(String, String)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Number(f64),
    Histogram {
        /// Upper bound and cumulative count; the infinite bucket is `count`.
        buckets: Vec<(f64, u64)>,
        sum: f64,
        count: u64,
    },
}

/// Gauges that say something about each process, so that adding them up would be wrong: the
/// settings in force, and limits of a process.
const PER_PROCESS: [&str; 13] = [
    "database_up",
    "db_max_overflow",
    "db_pool_size",
    "db_pool_timeout_seconds",
    "gzip_minimum_size_bytes",
    "health_check_interval_seconds",
    "meta_loop_interval_seconds",
    "metrics_summary_ttl_seconds",
    "process_max_fds",
    "query_limit",
    "reflection_interval_seconds",
    "task_max_parallel",
    "trust_score_ttl_seconds",
];

impl Snapshot {
    pub(crate) fn of(registry: &Registry) -> Self {
        let families = registry.gather().iter().filter_map(family).collect();
        Self { families }
    }

    /// Adds another process: counters, histograms and most gauges are summed; of the gauges that
    /// each process has for itself, the largest stands.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.families {
            match self.families.get_mut(name) {
                None => {
                    self.families.insert(name.clone(), theirs.clone());
                }
                Some(ours) => {
                    let sum = !PER_PROCESS.contains(&name.as_str());
                    for (labels, value) in &theirs.series {
                        ours.add(labels, value, sum);
                    }
                }
            }
        }
    }

    /// What remains of a process that has ended. Its counts must stay in the sum: to Prometheus, a
    /// sum that falls is a restart, and the increase would count everything a second time.
    pub(crate) fn into_remains(mut self) -> Self {
        self.families.retain(|_, family| family.kind != Kind::Gauge);
        self
    }

    /// The text exposition format, version 0.0.4.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.families {
            // Writing to a string cannot fail.
            let _: std::fmt::Result = family.write(name, &mut text);
        }
        text
    }
}

impl Family {
    fn add(&mut self, labels: &Labels, theirs: &Value, sum: bool) {
        let Some((_, ours)) = self.series.iter_mut().find(|(known, _)| known == labels) else {
            self.series.push((labels.clone(), theirs.clone()));
            return;
        };
        match (ours, theirs) {
            (Value::Number(ours), Value::Number(theirs)) => {
                *ours = if sum { *ours + theirs } else { ours.max(*theirs) };
            }
            (
                Value::Histogram { buckets, sum, count },
                Value::Histogram { buckets: more, sum: plus, count: others },
            ) => {
                for ((_, ours), (_, theirs)) in buckets.iter_mut().zip(more) {
                    *ours += theirs;
                }
                *sum += plus;
                *count += others;
            }
            // All processes run the same binary, so a name has the same kind in each.
            (Value::Number(_), Value::Histogram { .. }) | (Value::Histogram { .. }, Value::Number(_)) => {}
        }
    }

    fn write(&self, name: &str, text: &mut String) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = self.help.replace('\\', r"\\").replace('\n', r"\n");
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for (labels, value) in &self.series {
            match value {
                Value::Number(number) => {
                    writeln!(text, "{name}{} {number}", braces(labels, None))?;
                }
                Value::Histogram { buckets, sum, count } => {
                    for (bound, below) in buckets {
                        let labels = braces(labels, Some(&bound.to_string()));
                        writeln!(text, "{name}_bucket{labels} {below}")?;
                    }
                    writeln!(text, "{name}_bucket{} {count}", braces(labels, Some("+Inf")))?;
                    let labels = braces(labels, None);
                    writeln!(text, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}")?;
                }
            }
        }
        Ok(())
    }
}

fn braces(labels: &Labels, bound: Option<&str>) -> String {
    let bound = bound.map(|bound| ("le", bound));
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain(bound)
        .map(|(key, value)| {
            let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
            format!("{key}=\"{value}\"")
        })
        .collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

/// Families of a kind that this server never registers are left out.
fn family(family: &prometheus::proto::MetricFamily) -> Option<(String, Family)> {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::GAUGE => Kind::Gauge,
        MetricType::HISTOGRAM => Kind::Histogram,
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    let series = family
        .get_metric()
        .iter()
        .map(|metric| {
            let labels =
                metric.get_label().iter().map(|label| (label.name().to_owned(), label.value().to_owned())).collect();
            let value = match kind {
                Kind::Counter => Value::Number(metric.get_counter().get_value()),
                Kind::Gauge => Value::Number(metric.get_gauge().get_value()),
                Kind::Histogram => {
                    let histogram = metric.get_histogram();
                    let buckets = histogram
                        .get_bucket()
                        .iter()
                        .filter(|bucket| bucket.upper_bound().is_finite())
                        .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                        .collect();
                    Value::Histogram { buckets, sum: histogram.get_sample_sum(), count: histogram.get_sample_count() }
                }
            };
            (labels, value)
        })
        .collect();
    let name = family.name().to_owned();
    Some((name, Family { help: family.help().to_owned(), kind, series }))
}

#[cfg(test)]
mod tests {
    use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};

    use super::*;

    /// A process that has served `requests`, each of half a second, with a pool of `size`.
    fn process(requests: u32, size: i64) -> Snapshot {
        let registry = Registry::new();
        let served = IntCounterVec::new(Opts::new("served_total", "Served"), &["route"]).unwrap();
        let time = HistogramOpts::new("time_seconds", "Time").buckets(vec![0.25, 1.0]);
        let time = Histogram::with_opts(time).unwrap();
        let used = IntGauge::new("used", "Used").unwrap();
        let pool = IntGauge::new("db_pool_size", "Size").unwrap();
        registry.register(Box::new(served.clone())).unwrap();
        registry.register(Box::new(time.clone())).unwrap();
        registry.register(Box::new(used.clone())).unwrap();
        registry.register(Box::new(pool.clone())).unwrap();
        for _ in 0..requests {
            served.with_label_values(&["/\"a\""]).inc();
            time.observe(0.5);
        }
        used.set(1);
        pool.set(size);
        Snapshot::of(&registry)
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let text = process(2, 5).to_text();
        let expected = "\
# HELP db_pool_size Size
# TYPE db_pool_size gauge
db_pool_size 5
# HELP served_total Served
# TYPE served_total counter
served_total{route=\"/\\\"a\\\"\"} 2
# HELP time_seconds Time
# TYPE time_seconds histogram
time_seconds_bucket{le=\"0.25\"} 0
time_seconds_bucket{le=\"1\"} 2
time_seconds_bucket{le=\"+Inf\"} 2
time_seconds_sum 1
time_seconds_count 2
# HELP used Used
# TYPE used gauge
used 1
";
        assert_eq!(text, expected);
    }

    #[test]
    fn processes_add_up_but_a_setting_stays_what_it_is() {
        let mut pod = Snapshot::default();
        pod.merge(&process(2, 5));
        pod.merge(&process(3, 5));
        let text = pod.to_text();
        for line in ["db_pool_size 5", "} 5\n", "time_seconds_count 5", "time_seconds_sum 2.5", "used 2"] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_counts_of_an_ended_process_stay_and_its_gauges_go() {
        let text = process(2, 5).into_remains().to_text();
        assert!(text.contains("time_seconds_count 2") && text.contains("} 2\n"), "{text}");
        assert!(!text.contains("used") && !text.contains("db_pool_size"), "{text}");
    }

    #[test]
    fn a_snapshot_survives_the_way_to_the_master() {
        let snapshot = process(2, 5);
        let line = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&line).unwrap(), snapshot);
    }
}
