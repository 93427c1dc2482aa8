//! A fleet of workloads: what Prometheus knows of them, what the API server shows, and policies with a threshold for each.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

use serde_json::{Value, json};
use trimtab::{
    api::{MetricsSource, PerformanceClass, PerformancePolicy},
    core::{
        engine::{Change, Input, Listing, Stream},
        facts::{Instant, Kind, Seen},
    },
};

/// When the operator is started: a whole interval.
pub const START: i64 = 1_763_700_000;
/// Seconds between two scrapes.
const SCRAPE: i64 = 15;
/// Seconds of samples before and after the start: the window, and some rounds.
const BEFORE: i64 = 330;
const AFTER: i64 = 150;
/// Workloads of a namespace, which one policy governs.
pub const OF_NAMESPACE: usize = 100;
/// Upper bounds of the histogram's buckets.
const EDGES: [&str; 12] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"];

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Gauge,
    Counter,
    Histogram,
}

impl Metric {
    pub const ALL: [Self; 3] = [Self::Gauge, Self::Counter, Self::Histogram];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }

    fn threshold(self) -> Value {
        let (metric, bound) = match self {
            Self::Gauge => (json!({"gauge": "fleet_load"}), json!(BOUND_OF_LOAD)),
            Self::Counter => (json!({"counter": "fleet_requests_total", "statistic": "rate"}), json!(BOUND_OF_RATE)),
            Self::Histogram => (json!({"histogram": "fleet_request_seconds", "statistic": "p99"}), json!("700ms")),
        };
        json!({"name": self.as_str(), "metric": metric, "levels": [{"severity": "warning", "above": bound}]})
    }

    /// The query for one workload, as somebody writes it who asks one by one, and its bound.
    pub fn single(self, number: usize) -> (String, f64) {
        let of = format!("namespace=\"{}\",app=\"{}\"", namespace(number), name(number));
        match self {
            Self::Gauge => (format!("avg(avg_over_time(fleet_load{{{of}}}[5m]))"), f64::from(BOUND_OF_LOAD)),
            Self::Counter => (format!("sum(rate(fleet_requests_total{{{of}}}[5m]))"), f64::from(BOUND_OF_RATE)),
            Self::Histogram => {
                (format!("histogram_quantile(0.99,sum by (le) (rate(fleet_request_seconds_bucket{{{of}}}[5m])))"), 0.7)
            }
        }
    }
}

const BOUND_OF_LOAD: u8 = 89;
const BOUND_OF_RATE: u8 = 15;

fn namespace(number: usize) -> String {
    format!("team-{:03}", number / OF_NAMESPACE)
}

fn name(number: usize) -> String {
    format!("app-{number:05}")
}

/// Writes the samples of so many workloads as `promtool` reads them.
pub fn write_samples(file: &Path, workloads: usize) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let times: Vec<i64> = (START - BEFORE..=START + AFTER).step_by(15).collect();
    let mut line = String::new();
    let mut series = |out: &mut BufWriter<File>, metric: &str, number: usize, le: &str, value: &dyn Fn(i64) -> i64| {
        let labels = format!(
            "{metric}{{namespace=\"{}\",pod=\"{name}-7d9c5b4f68-x2k9z\",app=\"{name}\"{le}}} ",
            namespace(number),
            name = name(number)
        );
        line.clear();
        for time in &times {
            let _ = writeln!(line, "{labels}{} {time}", value(*time));
        }
        out.write_all(line.as_bytes())
    };
    writeln!(out, "# TYPE fleet_load gauge")?;
    for number in 0..workloads {
        let level = i64::try_from(number % 100).unwrap_or_default();
        series(&mut out, "fleet_load", number, "", &|_| level)?;
    }
    writeln!(out, "# TYPE fleet_requests counter")?;
    for number in 0..workloads {
        let rate = 10 + i64::try_from(number % 7).unwrap_or_default();
        series(&mut out, "fleet_requests_total", number, "", &|time| rate * (time - START + BEFORE + SCRAPE))?;
    }
    writeln!(out, "# TYPE fleet_request_seconds histogram")?;
    for number in 0..workloads {
        // One in ten answers half of its requests between half a second and a second.
        let slow = number % 10 == 3;
        let total = |time: i64| 10 * (time - START + BEFORE + SCRAPE);
        for (edge, le) in EDGES.iter().enumerate() {
            let share = if edge >= 7 || !slow && edge >= 4 { 2 } else { i64::from(edge >= 3) };
            let le = format!(",le=\"{le}\"");
            series(&mut out, "fleet_request_seconds_bucket", number, &le, &|time| total(time) * share / 2)?;
        }
        series(&mut out, "fleet_request_seconds_count", number, "", &total)?;
        series(&mut out, "fleet_request_seconds_sum", number, "", &|time| total(time) / 10)?;
    }
    writeln!(out, "# EOF")?;
    out.flush()
}

/// What the API server shows: all workloads, and policies that govern the first `governed` of them by `metrics`.
pub fn inputs(url: &str, workloads: usize, governed: usize, metrics: &[Metric]) -> impl Iterator<Item = Input> {
    let source: MetricsSource = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource",
        "metadata": {"name": "default", "uid": "s", "resourceVersion": "1", "generation": 1},
        "spec": {"prometheus": {"url": url}, "interval": "30s", "timeout": "60s"},
    }))
    .expect("a source");
    let class: PerformanceClass = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass",
        "metadata": {"name": "default", "uid": "c", "resourceVersion": "1", "generation": 1,
                     "annotations": {"trimtab.dev/is-default-class": "true"}},
        "spec": {"limits": {"targets": 1000}},
    }))
    .expect("a class");
    let thresholds: Vec<Value> = metrics.iter().map(|metric| metric.threshold()).collect();
    let policies: Vec<PerformancePolicy> = (0..governed.div_ceil(OF_NAMESPACE))
        .map(|number| {
            serde_json::from_value(json!({
                "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
                "metadata": {"name": "objectives", "namespace": namespace(number * OF_NAMESPACE), "uid": format!("p-{number}"),
                             "resourceVersion": "1", "generation": 1},
                "spec": {"mode": "Observe", "target": {"kind": "Deployment", "selector": {"matchLabels": {"tier": "web"}}},
                         "thresholds": thresholds},
            }))
            .expect("a policy")
        })
        .collect();
    let of_policies = policies
        .iter()
        .map(|policy| (policy.metadata.namespace.as_deref().unwrap_or_default().into(), "objectives".into()));
    let of_policies = Listing { names: of_policies.collect() };
    let of_workloads =
        Listing { names: (0..workloads).map(|number| (namespace(number).into(), name(number).into())).collect() };
    let first = [
        Input::Source(Change::Applied(Box::new(source))),
        Input::Class(Change::Applied(Box::new(class))),
        Input::Listed(Stream::Sources, Listing { names: [("".into(), "default".into())].into() }),
        Input::Listed(Stream::Classes, Listing { names: [("".into(), "default".into())].into() }),
    ];
    let policies = policies.into_iter().map(|policy| Input::Policy(Change::Applied(Box::new(policy))));
    let objects = (0..workloads).map(|number| Input::Object(Change::Applied(Box::new(workload(number)))));
    let rest = [Stream::Budgets, Stream::Disruptions].map(|stream| Input::Listed(stream, Listing::default()));
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Deployment);
    let kinds = kinds.map(|kind| Input::Listed(Stream::Objects(kind), Listing::default()));
    first
        .into_iter()
        .chain(policies)
        .chain([Input::Listed(Stream::Policies, of_policies)])
        .chain(objects)
        .chain([Input::Listed(Stream::Objects(Kind::Deployment), of_workloads)])
        .chain(rest)
        .chain(kinds)
        .chain([Input::Leadership(true)])
}

/// A Deployment as an API server shows one: with the fields of whoever made it, and a container with what one usually has.
fn workload(number: usize) -> Seen {
    let name = name(number);
    let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:tier": {}}}, "f:spec": {"f:replicas": {}, "f:selector": {},
        "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
        "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {},
        "f:env": {".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}}, "f:image": {}, "f:name": {},
        "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}, "f:memory": {}}}}}}}}});
    let object = json!({
        "metadata": {"name": name, "namespace": namespace(number), "uid": format!("9b0c7c1e-5d2f-4f8a-9c55-{number:012}"),
            "resourceVersion": (10_000 + number).to_string(), "generation": 1, "labels": {"app": name, "tier": "web"},
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-11-21T10:00:00Z",
                               "fieldsType": "FieldsV1", "fieldsV1": fields}]},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app",
                "image": format!("registry.example/{name}:1.0"), "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [{"containerPort": 8080, "protocol": "TCP"}], "imagePullPolicy": "IfNotPresent",
                "resources": {"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10}}],
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}}},
        "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3,
            "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "Deployment has minimum availability."}]},
    });
    Seen::from_json(Kind::Deployment, &object.to_string()).expect("a workload")
}

/// The time so many seconds after the start.
pub const fn after(seconds: i64) -> Instant {
    Instant::from_millis((START + seconds) * 1000)
}
