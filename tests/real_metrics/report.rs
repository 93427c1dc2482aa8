//! `trimtab report` with a real Prometheus: what the program reads itself, records, and compares.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use super::{
    OPTIONS,
    statistics::{
        Application,
        Course::{Grows, Swings},
    },
};
use crate::{
    cluster::{self, eventually},
    here,
};

/// More than the minute of which readings are recorded, twice.
const PATIENCE: Duration = Duration::from_mins(4);

/// Runs the program as a person does, beside the relay that this very process is.
async fn trimtab(arguments: &[&str]) -> String {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(arguments)
        .output()
        .await
        .expect("run the program");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Readings of before of the durations, as the file has them.
fn points(file: &Path) -> Vec<f64> {
    let recorded: Value = serde_json::from_str(&fs::read_to_string(file).expect("read the recording")).expect("JSON");
    let of = |reading: &&Value| reading["threshold"] == "config-load";
    let reading = recorded["thresholds"].as_array().unwrap().iter().find(of).expect("a reading of config-load").clone();
    assert_eq!(reading["unit"], "seconds");
    let points = reading["points"].as_array().cloned().unwrap_or_default();
    points.iter().map(|point| point["value"].as_f64().unwrap()).collect()
}

/// Mean and standard deviation of a sample, by the book.
#[expect(clippy::cast_precision_loss, reason = "a minute has 60 seconds")]
fn summary(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

#[test]
fn ab9_before_and_after_are_recorded_from_a_real_prometheus_and_compared_with_mean_and_deviation() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let thresholds = json!([
            {"name": "config-load", "metric": {"gauge": "config_load_seconds", "window": "2s"},
                "levels": [{"severity": "warning", "above": "50ms"}], "advice": "cache the parsed file"},
        ]);
        let failing = json!({"numerator": {"counter": "skill_runs_total", "labels": {"result": "ok"}},
            "denominator": {"counter": "skill_runs_total"}});
        let patterns = json!([
            {"name": "fails", "kind": "AlwaysFails", "metric": {"ratio": failing, "by": ["skill"], "window": "10s"}},
        ]);
        let failed = ("skill_runs_total{skill=\"broken\",result=\"failed\"}".to_owned(), Grows(20.0));
        let slow = ("config_load_seconds".to_owned(), Swings(0.1, 0.2));
        let fast = ("config_load_seconds".to_owned(), Swings(0.001, 0.002));
        let fields = json!({"thresholds": thresholds, "patterns": patterns});
        let application = Application::start_with(cluster, fields, &[slow, failed.clone()]).await;
        let namespace = application.stage.namespace.clone();
        let folder = tempfile::tempdir().expect("a directory");
        let [before, after] = ["before.json", "after.json"].map(|name| folder.path().join(name));
        let record = async |file: &Path| {
            let file = file.to_str().expect("a path in UTF-8");
            let live = ["report", "--live", "-n", &namespace, "--since", "1m"];
            trimtab(&[&live[..], &["--record", file, "--method", "a minute of load", "-o", "json"]].concat()).await
        };

        let report =
            eventually(PATIENCE, "half a minute of readings is recorded, and the pattern is found", async || {
                let report: Value = serde_json::from_str(&record(&before).await).expect("JSON");
                let advice = report["policies"][0]["advice"].clone();
                let found = advice.as_array().is_some_and(|all| all.len() == 2);
                if found && points(&before).len() >= 30 { Ok(report) } else { Err((points(&before), advice)) }
            })
            .await;
        let report = &report["policies"][0];
        let line = &report["thresholds"][0];
        assert_eq!(
            (&line["name"], &line["state"], &line["severity"]),
            (&"config-load".into(), &"Breached".into(), &"warning".into())
        );
        assert_eq!(line["object"], "Deployment/web");
        let kinds: Vec<&Value> = report["advice"].as_array().unwrap().iter().map(|advice| &advice["kind"]).collect();
        assert_eq!(kinds, ["Threshold", "AlwaysFails"], "what the status says of patterns, the report says, too");
        assert_eq!(report["advice"][1]["series"], "skill=\"broken\"");
        assert!(points(&before).iter().all(|value| (0.1..=0.2).contains(value)), "{:?}", points(&before));

        application.expose(&[fast, failed]);
        eventually(PATIENCE, "a whole minute is fast", async || {
            let report: Value = serde_json::from_str(&record(&after).await).expect("JSON");
            let all = points(&after);
            let is_fast = all.len() >= 30 && all.iter().all(|value| *value < 0.05);
            if is_fast && report["policies"][0]["thresholds"][0]["state"] == "Within" { Ok(()) } else { Err(all) }
        })
        .await;

        let files = ["--before", before.to_str().unwrap(), "--after", after.to_str().unwrap()];
        let comparison = trimtab(&[&["report"], &files[..], &["-o", "json"]].concat()).await;
        let comparison: Value = serde_json::from_str(&comparison).expect("JSON");
        let row = &comparison["rows"][0];
        assert_eq!((&row["operation"], &row["unit"]), (&"config-load on Deployment/web".into(), &"seconds".into()));
        for (side, file) in [("before", &before), ("after", &after)] {
            let all = points(file);
            let (mean, deviation) = summary(&all);
            let close = |what: &str, wanted: f64| (row[side][what].as_f64().unwrap() - wanted).abs() < 1e-12;
            assert!(close("mean", mean) && close("standardDeviation", deviation), "{side}: {row} of {all:?}");
            assert!(deviation > 0.0, "it swings: {all:?}");
            assert_eq!(row[side]["runs"], all.len());
        }
        assert!((-1.0..-0.9).contains(&row["change"].as_f64().unwrap()), "{row}");
        let table = trimtab(&[&["report"], &files[..]].concat()).await;
        assert!(
            table.contains("| config-load on Deployment/web | reading | ") && table.contains("% less |"),
            "{table}"
        );

        // From files and the server's address it is the same report, and nobody wrote anything for any of it.
        let manifests = folder.path().join("web.yaml");
        let policy = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"target": {"kind": "Deployment", "name": "web"}, "thresholds": thresholds}});
        let deployment = serde_json::to_value(application.stage.deployment().await).expect("JSON");
        fs::write(&manifests, format!("{policy}\n---\n{deployment}\n")).expect("write the manifests");
        let prometheus = application.stage.cluster.prometheus();
        let from_files =
            ["report", "-f", manifests.to_str().unwrap(), "--prometheus", &prometheus, "--table", "THRESHOLDS"];
        let table = trimtab(&from_files).await;
        assert!(table.contains("| config-load | Deployment/web | ") && table.contains("| Within |"), "{table}");
        assert_eq!(application.stage.target_writes(), ["patch deployments"], "the knob");
    });
}
