//! Every value of the five guides that is checked against a metric (the V rows of the acceptance list): its alert fires and clears
//! with real samples in a real Prometheus, for the comparator, statistic and unit of the row.
//!
//! Each row is a test named after its id. Its thresholds are those of the examples, by the lines of `docs/guides.md` that name the
//! test; only windows are short, and no level waits. What is exposed follows from their bounds: first just inside of them, then just
//! beyond one level after the other, then just beyond the bound at which they clear. What is active must each time be exactly
//! the alerts that follow. A number that changes in an example changes its test. Patterns are in `patterns`.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::OPTIONS;
use super::statistics::{
    Application,
    Course::{self, At, Grows},
};
use crate::{
    cluster::{self, eventually},
    here,
    stage::PATIENCE,
};

/// Series and their courses.
type Series = Vec<(String, Course)>;

/// Window of everything: a few scrapes.
const WINDOW: &str = "5s";

/// This test's file, as `docs/guides.md` names it.
const HERE: &str = "tests/real_metrics/rows.rs";

/// A text of the repository.
fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading \"{}\": {error}", path.display()))
}

/// An item of a section of one of the policies in a file, such as `thresholds.api-cached`.
fn item_of(file: &str, field: &str) -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&read(file)).expect("YAML");
    let (section, name) = field.split_once('.').expect("a section and a name");
    let items = documents.iter().flat_map(|document| document["spec"][section].as_array().into_iter().flatten());
    let mut named = items.filter(|item| item["name"] == name);
    let found = named.next().unwrap_or_else(|| panic!("{field} is not in {file}")).clone();
    assert_eq!(named.next(), None, "{field} of {file} is there twice");
    found
}

/// A pattern of an example, over a short window.
pub(super) fn pattern_of(example: &str, name: &str, window: &str) -> Value {
    let mut pattern = item_of(&format!("examples/{example}/repaired/policy.yaml"), &format!("patterns.{name}"));
    pattern["metric"]["window"] = window.into();
    pattern
}

/// File and field of what `docs/guides.md` says that a test of this file shows.
fn shown_by(test: &str) -> Vec<(String, String)> {
    let end = format!("| `{test}` in {HERE} |");
    let guides = read("docs/guides.md");
    let lines = guides.lines().filter(|line| line.ends_with(&end));
    let found: Vec<_> = lines
        .map(|line| {
            let (field, rest) =
                line.split_once("| `").and_then(|(_, rest)| rest.split_once("` in [")).expect("a field");
            let (_, rest) = rest.split_once("](../").expect("a link");
            let (file, _) = rest.split_once(')').expect("a file");
            (file.to_owned(), field.to_owned())
        })
        .collect();
    assert!(!found.is_empty(), "no row of docs/guides.md is shown by {test} of {HERE}");
    found
}

/// An amount as policies write it, in base units: seconds, bytes, a share of 1, per second, a count.
pub(super) fn amount(literal: &Value) -> f64 {
    let Some(text) = literal.as_str() else { return literal.as_f64().expect("a number") };
    let text = text.strip_suffix("/s").unwrap_or(text);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    let factor = match &text[digits.len()..] {
        "" | "s" | "B" => 1.0,
        "ms" => 1e-3,
        "m" => 60.0,
        "%" => 1e-2,
        "k" | "kB" => 1e3,
        "M" | "MB" => 1e6,
        "G" | "GB" => 1e9,
        "Ki" | "KiB" => 1024.0,
        "Mi" | "MiB" => 1024.0 * 1024.0,
        "Gi" | "GiB" => 1024.0 * 1024.0 * 1024.0,
        unit => panic!("\"{text}\" has the unit \"{unit}\""),
    };
    digits.parse::<f64>().unwrap_or_else(|error| panic!("\"{text}\": {error}")) * factor
}

/// One side of a level.
#[derive(Clone)]
struct Bound {
    severity: String,
    above: bool,
    at: f64,
    /// Where a breach ends: nearer to what is good, by the hysteresis.
    clear: f64,
    /// Whether what is away from it is counted from 1: 95 % is 5 % away from perfect.
    from_one: bool,
    /// How near is just beyond, as a share.
    margin: f64,
}

impl Bound {
    /// Away from a value by the margin: to what is bad, or to what is good.
    fn beside(&self, value: f64, bad: bool) -> f64 {
        let up = self.above == bad;
        if self.from_one {
            1.0 - (1.0 - value) * (1.0 + if up { -self.margin } else { self.margin })
        } else {
            value * (1.0 + if up { self.margin } else { -self.margin })
        }
    }

    fn breached(&self) -> f64 {
        self.beside(self.at, true)
    }

    fn inside(&self) -> f64 {
        self.beside(self.at, false)
    }

    fn cleared(&self) -> f64 {
        self.beside(self.clear, false)
    }
}

/// The bounds of a threshold, the mildest severity first.
fn bounds(threshold: &Value) -> Vec<Bound> {
    let hysteresis = if threshold["hysteresis"].is_null() { 0.1 } else { amount(&threshold["hysteresis"]) };
    // Rates waver by the moment of a scrape; the rest is exact.
    let margin = if threshold["metric"]["counter"].is_string() { 0.2 } else { 0.03 };
    let is_share = |literal: &Value| literal.as_str().is_some_and(|text| text.ends_with('%'));
    let mut found = Vec::new();
    for severity in ["info", "warning", "critical"] {
        let levels = threshold["levels"].as_array().into_iter().flatten();
        for level in levels.filter(|level| level["severity"] == severity) {
            for (side, above) in [("above", true), ("below", false)] {
                let Some(literal) = level.get(side) else { continue };
                let (at, from_one) = (amount(literal), !above && is_share(literal));
                let clear = match (above, from_one) {
                    (true, _) => at * (1.0 - hysteresis),
                    (false, true) => 1.0 - (1.0 - at) * (1.0 - hysteresis),
                    (false, false) => at * (1.0 + hysteresis),
                };
                found.push(Bound { severity: severity.to_owned(), above, at, clear, from_one, margin });
            }
        }
    }
    found
}

/// A thousand observations per second of that many seconds each, in a histogram whose edges are powers of two.
pub(super) fn observed_at(name: &str, label: &str, seconds: f64, rate: f64) -> Series {
    let edges: Vec<f64> = (0..20).map(|power| 0.001 * 2_f64.powi(power)).collect();
    observed_in(name, label, seconds, rate, &edges)
}

/// The same with other edges.
pub(super) fn observed_in(name: &str, label: &str, seconds: f64, rate: f64, edges: &[f64]) -> Series {
    let with = |more: &str| [label, more].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
    let mut series: Series = edges
        .iter()
        .map(|edge| {
            let le = format!("le=\"{edge}\"");
            (format!("{name}_bucket{{{}}}", with(&le)), Grows(if seconds <= *edge { rate } else { 0.0 }))
        })
        .collect();
    series.push((format!("{name}_bucket{{{}}}", with("le=\"+Inf\"")), Grows(rate)));
    series.push((format!("{name}_sum{{{label}}}"), Grows(rate * seconds)));
    series.push((format!("{name}_count{{{label}}}"), Grows(rate)));
    series
}

/// Edges between which a percentile is one of these values, less two per cent at most.
fn edges(values: &[f64]) -> Vec<f64> {
    let mut edges: Vec<f64> = values.iter().flat_map(|value| [value * 0.98, *value]).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}

/// Labels as in a series: `a="b",c="d"`.
fn labels(metric: &Value) -> String {
    let labels = metric["labels"].as_object().into_iter().flatten();
    labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// A threshold of an example, made quick.
struct Item {
    threshold: Value,
    bounds: Vec<Bound>,
}

impl Item {
    /// Several thresholds of a row may read one metric, and are never good and bad apart then: each has metrics of its own here.
    fn new(file: &str, field: &str) -> Self {
        let mut threshold = item_of(file, field);
        // Hints are about other thresholds.
        threshold.as_object_mut().expect("a threshold").remove("hints");
        let prefix = threshold["name"].as_str().expect("a name").replace('-', "_");
        let metric = &mut threshold["metric"];
        metric["window"] = WINDOW.into();
        let mut named = vec![&mut *metric];
        if named[0].get("ratio").is_some() {
            let ratio = metric["ratio"].as_object_mut().expect("a ratio");
            named = ratio.iter_mut().map(|(_, part)| part).collect();
        }
        for part in named {
            for kind in ["gauge", "counter", "histogram"] {
                if let Some(name) = part[kind].as_str() {
                    part[kind] = format!("{prefix}_{name}").into();
                }
            }
        }
        for level in threshold.get_mut("levels").and_then(Value::as_array_mut).into_iter().flatten() {
            level.as_object_mut().expect("a level").remove("for");
        }
        let bounds = bounds(&threshold);
        Self { threshold, bounds }
    }

    fn name(&self) -> &str {
        self.threshold["name"].as_str().expect("a name")
    }

    /// What is good, from the start: just inside of every bound, though not beyond where a breach would clear.
    fn inside(&self) -> f64 {
        self.bounds.first().map_or(1.0, Bound::inside)
    }

    /// What is good after a breach.
    fn cleared(&self) -> f64 {
        self.bounds.first().map_or(1.0, Bound::cleared)
    }

    /// What is bad, one value after the other, with its severity; none: it informs, whatever is read.
    fn bad(&self) -> Vec<(f64, Option<&str>)> {
        if self.bounds.is_empty() {
            return vec![(1e6, None)];
        }
        self.bounds.iter().map(|bound| (bound.breached(), Some(&*bound.severity))).collect()
    }

    /// What is exposed where the reading shall be `value`, in base units.
    fn exposed(&self, value: f64) -> Series {
        let metric = &self.threshold["metric"];
        let selected = |part: &Value, name: &str| {
            let labels = labels(part);
            if labels.is_empty() { name.to_owned() } else { format!("{name}{{{labels}}}") }
        };
        if let Some(name) = metric["histogram"].as_str() {
            let all = self.bad().into_iter().map(|(value, _)| value).chain([self.inside(), self.cleared()]);
            let edges = edges(&all.collect::<Vec<_>>());
            return observed_in(name, &labels(metric), value, 1000.0, &edges);
        }
        if let Some(name) = metric["counter"].as_str() {
            return vec![(selected(metric, name), Grows(value))];
        }
        if let Some(name) = metric["gauge"].as_str() {
            let shown = if metric["unit"] == "percent" { value * 100.0 } else { value };
            return vec![(selected(metric, name), At(shown))];
        }
        let (part, whole) = (&metric["ratio"]["numerator"], &metric["ratio"]["denominator"]);
        match (part["gauge"].as_str(), part["counter"].as_str()) {
            (Some(name), None) => {
                let all = whole["gauge"].as_str().expect("a gauge of all");
                vec![(selected(part, name), At(value * 100.0)), (selected(whole, all), At(100.0))]
            }
            // Of a thousand per second, some have the labels.
            (None, Some(name)) if whole["counter"] == name => {
                let (label, _) = part["labels"].as_object().and_then(|all| all.iter().next()).expect("a label");
                let rest = format!("{name}{{{label}=\"another\"}}");
                // So many that a share just beyond its bound is certain.
                vec![(selected(part, name), Grows(1e6 * value)), (rest, Grows(1e6 * (1.0 - value)))]
            }
            _ => panic!("no series for {metric}"),
        }
    }
}

/// Runs a row: just inside, each bad value, cleared.
fn row(test: &'static str) {
    cluster::test(&OPTIONS, test, async |cluster| {
        let name = test.rsplit("::").next().expect("the name of a test");
        let items: Vec<Item> = shown_by(name).iter().map(|(file, field)| Item::new(file, field)).collect();
        let thresholds: Vec<&Value> = items.iter().map(|item| &item.threshold).collect();
        let good: Series = items.iter().flat_map(|item| item.exposed(item.inside())).collect();
        let application = Application::start_with(cluster, json!({"thresholds": thresholds}), &good).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        application.alerts(&[]).await;
        let phases = items.iter().map(|item| item.bad().len()).max().unwrap_or_default();
        for phase in 0..phases {
            let mut exposed = Series::new();
            let mut expected = Vec::new();
            for item in &items {
                let bad = item.bad();
                let Some((bad, severity)) = bad.get(phase) else {
                    exposed.extend(item.exposed(item.cleared()));
                    continue;
                };
                exposed.extend(item.exposed(*bad));
                expected.extend(severity.map(|severity| format!("{} {severity}", item.name())));
            }
            assert!(!expected.is_empty(), "nothing of the row is ever breached");
            expected.sort();
            application.expose(&exposed);
            application.alerts(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
            application.stage.says(&[("Compliant", "False/Breached"), ("MetricsAvailable", "True/Answered")]).await;
        }
        application.expose(&items.iter().flat_map(|item| item.exposed(item.cleared())).collect::<Series>());
        application.alerts(&[]).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
    });
}

/// A test for each row, of its name.
macro_rules! rows {
    ($($(#[doc = $text:literal])* $id:ident)*) => {
        $($(#[doc = $text])* #[test]
        fn $id() {
            row(here!());
        })*

        #[test]
        fn every_row_that_is_checked_has_a_test() {
            let tested = [$(stringify!($id)),*, "gc2"];
            let guides = read("docs/guides.md");
            let end = format!("` in {HERE} |");
            let named = guides.lines().filter_map(|line| line.strip_suffix(&end)?.rsplit_once("| `"));
            for (_, test) in named {
                assert!(tested.contains(&test), "docs/guides.md names {test}, which is no test of {HERE}");
            }
        }
    };
}

rows! {
    /// AI Beast, targets. No percentile is stated: the mean says so, and a gauge needs no statistic.
    ab1
    /// AI Beast, throughput: a range is left on either side.
    ab2
    /// AI Beast, memory: two severities.
    ab3
    /// GRID, targets.
    gr1
    /// GRID, alert thresholds: the success rate has the opposite comparator.
    gr2
    /// Vrooli, the table of the system.
    vr1
    /// Vrooli, the table of resources: three numbers of each.
    vr3
    /// Vrooli, memory control: the resident model.
    vr11
    /// Vrooli, goals against bottlenecks: improvements are shares of what was before.
    vr12
    /// Grace, targets.
    gc1
    /// Alchemist, latency: frames per second have a lower bound.
    al1
    /// Alchemist, throughput: at least so much, over all pods.
    al2
    /// Alchemist, resources.
    al3
}

/// Grace, load levels: the bound of each holds under its load, and under no other.
#[test]
fn gc2() {
    const FILE: &str = "examples/grace/repaired/policy.yaml";
    const BOUND: &str = "thresholds.load-p95.levels.warning.above";
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let quick = |name: &str| {
            let mut threshold = item_of(FILE, &format!("thresholds.{name}"));
            threshold["metric"]["window"] = WINDOW.into();
            for level in threshold.get_mut("levels").and_then(Value::as_array_mut).into_iter().flatten() {
                level.as_object_mut().expect("a level").remove("for");
            }
            threshold
        };
        let levels: Vec<Value> = shown_by("gc2")
            .iter()
            .map(|(file, field)| {
                assert_eq!(file, FILE);
                let mut level = item_of(file, field);
                level["when"]["dwell"] = "1s".into();
                level
            })
            .collect();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&read(FILE)).expect("YAML");
        let spec = &documents[0]["spec"];
        // What the heavy level requires is there: the example's own workers and settings.
        let settings = ["settings.database", "settings.sessions-in-redis"].map(|field| item_of(FILE, field));
        let fields = json!({"mode": "Observe", "replicas": spec["replicas"], "workers": spec["workers"], "settings": settings,
            "thresholds": [quick("request-rate"), quick("load-p95")], "profiles": levels});

        // Just beyond the bound of each level, and just beyond where that clears.
        let bound = |level: &Value| {
            let mut threshold = quick("load-p95");
            threshold["levels"][0]["above"] = level["set"][BOUND].clone();
            bounds(&threshold).remove(0)
        };
        let bounds: Vec<Bound> = levels.iter().map(bound).collect();
        assert!(
            bounds.windows(2).all(|two| two[0].breached() < two[1].cleared()),
            "each level bears more than the one before"
        );
        let values = bounds.iter().flat_map(|bound| [bound.inside(), bound.breached(), bound.cleared()]);
        let edges = edges(&values.collect::<Vec<_>>());
        let histogram = spec["thresholds"].as_array().into_iter().flatten().find(|one| one["name"] == "load-p95");
        let histogram = histogram.and_then(|one| one["metric"]["histogram"].as_str()).expect("a histogram");
        let exposed = |rate: f64, p95: f64| observed_in(histogram, "", p95, rate, &edges);
        let names: Vec<&str> = levels.iter().map(|level| level["name"].as_str().expect("a name")).collect();

        let first = exposed(amount(&levels[0]["load"]["rate"]), bounds[0].inside());
        let application = Application::start_with(cluster, fields, &first).await;
        active(&application, &names[..1]).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        application.alerts(&[]).await;
        for (index, level) in levels.iter().enumerate() {
            let rate = amount(&level["load"]["rate"]);
            if index > 0 {
                // What is a breach under the load before is none under this one.
                application.expose(&exposed(rate, bounds[index - 1].breached()));
                active(&application, &names[..=index]).await;
                application.alerts(&[]).await;
            }
            application.expose(&exposed(rate, bounds[index].breached()));
            application.alerts(&["load-p95 warning"]).await;
        }
        // Under the first load again, what the second bears is a breach.
        let light = amount(&levels[1]["when"]["leave"]) * 0.8;
        application.expose(&exposed(light, bounds[1].cleared()));
        active(&application, &names[..1]).await;
        application.alerts(&["load-p95 warning"]).await;
        application.expose(&exposed(light, bounds[0].cleared()));
        application.alerts(&[]).await;
    });
}

/// Waits until exactly these profiles are active; the status has them by name.
async fn active(application: &Application, wanted: &[&str]) {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    eventually(PATIENCE, &format!("the profiles {wanted:?} are active"), async || {
        let status = application.stage.policy().await.status.unwrap_or_default();
        let names: Vec<String> = status.active_profiles.into_iter().map(|profile| profile.name).collect();
        if names == wanted { Ok(()) } else { Err(names) }
    })
    .await;
}
