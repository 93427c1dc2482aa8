//! The command line as its users see it: text, data, errors and exit codes, against golden files.
//!
//! `make golden` (`UPDATE_GOLDEN=1 cargo test --test cli golden`) writes the files again.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Output},
};

use golden::{assert_golden, transcript};

const TRIMTAB: &str = env!("CARGO_BIN_EXE_trimtab");
const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-trimtab");

/// Runs a program where nothing of the machine shows: no cluster, no terminal, no configuration.
fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("HOME", "/nonexistent")
        .output()
        .expect("run the program")
}

/// Holds what a command says to `tests/golden/cli/NAME.txt`.
#[track_caller]
fn golden(name: &str, program: &str, arguments: &[&str]) {
    let bare = Path::new(program).file_name().and_then(OsStr::to_str).expect("a file name");
    let said = transcript(bare, arguments, &run(program, arguments));
    assert_golden(&format!("tests/golden/cli/{name}.txt"), &said);
}

#[test]
fn golden_help_of_every_command() {
    golden("help", TRIMTAB, &["--help"]);
    golden("help-plugin", PLUGIN, &["--help"]);
    for command in [
        "crds",
        "operator",
        "uninstall",
        "plan",
        "lint",
        "status",
        "explain",
        "history",
        "rollback",
        "report",
        "replay",
        "export",
        "suspend",
        "resume",
        "version",
    ] {
        golden(&format!("help-{command}"), TRIMTAB, &[command, "--help"]);
    }
    let help = run(TRIMTAB, &["--help"]);
    let listed = String::from_utf8_lossy(&help.stdout).lines().filter(|line| line.starts_with("  ")).count();
    assert_eq!(
        listed,
        15 + 2,
        "a command is missing above, or one is gone: fifteen commands and two options were listed"
    );
    for what in ["dashboard", "load-test", "metrics", "prometheus-rule", "node-tuning"] {
        golden(&format!("help-export-{what}"), TRIMTAB, &["export", what, "--help"]);
    }
}

#[test]
fn golden_plans_in_every_format() {
    golden("plan-grace", TRIMTAB, &["plan", "-f", "examples/grace", "-f", "examples/grace/repaired"]);
    golden(
        "plan-grace-json",
        TRIMTAB,
        &["plan", "-f", "examples/grace", "-f", "examples/grace/repaired", "-o", "json"],
    );
    golden(
        "plan-grace-yaml",
        TRIMTAB,
        &["plan", "-f", "examples/grace", "-f", "examples/grace/repaired", "-o", "yaml"],
    );
    golden("plan-settled", TRIMTAB, &["plan", "-f", "tests/data/cli/settled.yaml"]);
    golden("plan-settled-all", TRIMTAB, &["plan", "--all", "-f", "tests/data/cli/settled.yaml"]);
    golden("plan-refused", TRIMTAB, &["plan", "-f", "tests/data/cli/refused.yaml"]);
    golden("plan-conflict", TRIMTAB, &["plan", "-f", "tests/data/cli/conflict.yaml"]);
    golden("plan-some-conflicts", TRIMTAB, &["plan", "-f", "tests/data/cli/some-conflicts.yaml"]);
    golden("plan-objects", TRIMTAB, &["plan", "-f", "tests/data/cli/objects.yaml"]);
    golden("plan-list", TRIMTAB, &["plan", "-f", "tests/data/cli/list.yaml"]);
    golden("plan-kernel", TRIMTAB, &["plan", "-f", "tests/data/cli/kernel.yaml"]);
    golden("plan-kernel-json", TRIMTAB, &["plan", "-f", "tests/data/cli/kernel.yaml", "-o", "json"]);
    golden("plan-kernel-refused", TRIMTAB, &["plan", "-f", "tests/data/cli/kernel-refused.yaml"]);
    golden("plan-invalid", TRIMTAB, &["plan", "-f", "tests/data/cli/invalid.yaml"]);
    golden("plan-budget", TRIMTAB, &["plan", "-f", "tests/data/cli/budget.yaml"]);
    golden("plan-protected", TRIMTAB, &["plan", "-n", "trimtab-system", "-f", "tests/data/cli/anywhere.yaml"]);
    golden(
        "plan-protected-elsewhere",
        TRIMTAB,
        &["plan", "-n", "ops", "--operator-namespace", "ops", "-f", "tests/data/cli/anywhere.yaml"],
    );
}

#[test]
fn golden_how_numbers_follow_from_each_other() {
    golden("explain-chain", TRIMTAB, &["explain", "deploy/api", "-f", "tests/data/cli/chain.yaml"]);
    golden("explain-chain-json", TRIMTAB, &["explain", "deploy/api", "-f", "tests/data/cli/chain.yaml", "-o", "json"]);
}

#[test]
fn golden_what_pods_are_asked_for() {
    golden("explain-readback", TRIMTAB, &["explain", "deploy/api", "-f", "tests/data/cli/readback.yaml"]);
    golden(
        "explain-readback-json",
        TRIMTAB,
        &["explain", "deploy/api", "-f", "tests/data/cli/readback.yaml", "-o", "json"],
    );
}

#[test]
fn golden_the_history_and_the_ways_back() {
    const HISTORY: &str = "tests/data/cli/history.yaml";
    golden("history", TRIMTAB, &["history", "api", "-f", HISTORY]);
    golden("history-yaml", TRIMTAB, &["history", "api", "-f", HISTORY, "-o", "yaml"]);
    golden("history-unknown", TRIMTAB, &["history", "other", "-f", HISTORY]);
    golden("history-none", TRIMTAB, &["history", "api", "-f", "tests/data/cli/chain.yaml", "-o", "table"]);
    for (to, name) in [
        ("10", "rollback"),
        ("9", "rollback-bounds"),
        ("8", "rollback-incomplete"),
        ("3", "rollback-lost"),
        ("12", "rollback-newest"),
    ] {
        golden(name, TRIMTAB, &["rollback", "api", "--to", to, "-f", HISTORY]);
    }
    golden("rollback-no-number", TRIMTAB, &["rollback", "api", "--to", "latest", "-f", HISTORY]);
}

#[test]
fn golden_findings_in_every_format() {
    for format in ["text", "json", "sarif", "github"] {
        golden(&format!("lint-{format}"), TRIMTAB, &["lint", "-f", "tests/data/cli/lint.yaml", "-o", format]);
    }
    golden("lint-shape", TRIMTAB, &["lint", "-f", "tests/data/cli/lint-shape.yaml"]);
    golden(
        "lint-clean",
        TRIMTAB,
        &["lint", "--fail-on", "info", "-f", "examples/grace", "-f", "examples/grace/repaired"],
    );
    golden("lint-explain", TRIMTAB, &["lint", "--explain", "tt0012"]);
    golden("lint-explain-unknown", TRIMTAB, &["lint", "--explain", "TT9999"]);
    golden("lint-without-policy", TRIMTAB, &["lint", "-f", "examples/grace/app.yaml"]);
    golden("lint-bad-yaml", TRIMTAB, &["lint", "-f", "tests/data/cli/unclosed.yaml"]);
}

#[test]
fn findings_count_from_the_severity_that_is_asked_for() {
    let code = |fail_on: &str| {
        run(TRIMTAB, &["lint", "--fail-on", fail_on, "-f", "tests/data/lint/07-cpus.as-written.yaml"]).status.code()
    };
    assert_eq!((code("error"), code("warning"), code("info")), (Some(0), Some(1), Some(1)));
}

#[test]
fn golden_plans_of_profiles() {
    const PROFILES: [&str; 4] = ["plan", "--all", "-f", "tests/data/cli/profiles.yaml"];
    let with = |profile: &'static str| [&PROFILES[..], &["--profile", profile]].concat();
    golden("plan-profiles", TRIMTAB, &PROFILES);
    golden("plan-profile", TRIMTAB, &with("high-traffic"));
    golden("plan-profile-json", TRIMTAB, &[&with("high-traffic")[..], &["-o", "json"]].concat());
    golden("plan-profile-blocked", TRIMTAB, &with("heavy"));
    golden("plan-profile-unknown", TRIMTAB, &with("heavier"));
}

#[test]
fn golden_configuration_of_nodes() {
    let export = |name: &str, arguments: &[&str]| {
        golden(name, TRIMTAB, &[&["export", "node-tuning", "-f"], arguments].concat());
    };
    export("node-tuning", &["tests/data/cli/kernel.yaml"]);
    for part in ["tuned", "sysctl", "gke", "kubelet", "systemd"] {
        export(&format!("node-tuning-{part}"), &["tests/data/cli/kernel.yaml", "--part", part]);
    }
    export("node-tuning-nothing", &["tests/data/cli/conflict.yaml"]);
    export("node-tuning-contradiction", &["tests/data/cli/kernel-contradiction.yaml"]);
    export("node-tuning-invalid", &["tests/data/cli/kernel-refused.yaml"]);

    // The whole output is one manifest: everything that is none is a comment.
    let output = run(TRIMTAB, &["export", "node-tuning", "-f", "tests/data/cli/kernel.yaml"]);
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(&String::from_utf8_lossy(&output.stdout)).expect("YAML");
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["kind"], "Tuned");
    let profile = documents[0]["spec"]["profile"][0]["data"].as_str().expect("a profile");
    assert!(profile.ends_with("[sysctl]\nnet.core.netdev_max_backlog=65535\nvm.swappiness=10\n"), "{profile}");
}

#[test]
fn golden_replays_in_every_format() {
    const SHOP: &str = "tests/data/replay/shop.yaml";
    const RECORDED: &str = "tests/data/replay/recorded";
    let replay = ["replay", "-f", SHOP, "--recorded", RECORDED];
    golden("replay", TRIMTAB, &replay);
    golden("replay-json", TRIMTAB, &[&replay[..], &["-o", "json"]].concat());
    golden("replay-html", TRIMTAB, &[&replay[..], &["-o", "html"]].concat());
    let quiet = ["--from", "2026-11-20T18:00:00Z", "--to", "2026-11-20T18:30:00Z"];
    golden("replay-quiet", TRIMTAB, &[&replay[..], &quiet].concat());
    let before = ["--from", "2026-11-20T12:00:00Z", "--to", "2026-11-20T13:00:00Z"];
    golden("replay-no-data", TRIMTAB, &[&replay[..], &before].concat());
}

#[test]
fn golden_what_cannot_be_replayed() {
    const SHOP: &str = "tests/data/replay/shop.yaml";
    let over = |name: &str, arguments: &[&str]| {
        golden(name, TRIMTAB, &[&["replay", "-f", SHOP][..], arguments].concat());
    };
    let recorded = ["--recorded", "tests/data/replay/recorded"];
    over("replay-no-source", &["--from", "-6h"]);
    over("replay-no-from", &["--source", "http://127.0.0.1:1"]);
    over(
        "replay-backwards",
        &[&recorded[..], &["--from", "2026-11-20T19:00:00Z", "--to", "2026-11-20T18:00:00Z"]].concat(),
    );
    over("replay-too-long", &[&recorded[..], &["--from", "2025-11-20T18:00:00Z"]].concat());
    over("replay-no-time", &[&recorded[..], &["--from", "yesterday"]].concat());
    over("replay-not-recorded", &["--recorded", "tests/data/nab/art_noisy.csv"]);
    over("replay-no-recording", &["--recorded", "tests/data/replay/shop.yaml"]);
    over("replay-empty-directory", &["--recorded", "tests/data/admission"]);
    golden(
        "replay-no-object",
        TRIMTAB,
        &["replay", "-f", "tests/data/replay/alone.yaml", "--recorded", "tests/data/replay/recorded"],
    );
}

#[test]
fn golden_errors_say_what_to_do() {
    golden("plan-without-file", TRIMTAB, &["plan"]);
    golden("plan-missing-file", TRIMTAB, &["plan", "-f", "no-such-file.yaml"]);
    golden("plan-without-policy", TRIMTAB, &["plan", "-f", "examples/grace/app.yaml"]);
    golden("plan-bad-yaml", TRIMTAB, &["plan", "-f", "tests/data/cli/unclosed.yaml"]);
    golden("plan-unknown-field", TRIMTAB, &["plan", "-f", "tests/data/cli/misspelt.yaml"]);
    golden("plan-unknown-version", TRIMTAB, &["plan", "-f", "tests/data/cli/version.yaml"]);
    golden("crds-without-cluster", TRIMTAB, &["crds", "apply", "--context", "x"]);
    golden("explain-unknown-kind", TRIMTAB, &["explain", "pod/api"]);
    golden("status-without-cluster", TRIMTAB, &["status"]);
    golden("unknown-command", TRIMTAB, &["apply"]);
}

#[test]
fn the_plan_is_one_json_document_on_stdout() {
    let output = run(TRIMTAB, &["plan", "-f", "examples/grace", "-f", "examples/grace/repaired", "-o", "json"]);
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(plan["kind"], "PlanReport");
    let target = &plan["policies"][0]["targets"][0];
    assert_eq!((target["target"].as_str(), target["rollouts"].as_u64()), (Some("Deployment/grace-api"), Some(1)));
    assert!(output.stderr.is_empty(), "data belong to stdout, and there is nothing to talk about");
}

#[test]
fn definitions_are_printed_as_documents_or_as_one_list() {
    let json = run(TRIMTAB, &["crds", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let yaml = run(TRIMTAB, &["crds", "-o", "yaml"]);
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(&String::from_utf8_lossy(&yaml.stdout)).expect("YAML");
    assert_eq!((list["kind"].as_str(), documents.len()), (Some("List"), 4));
    assert_eq!(list["items"], serde_json::Value::Array(documents));
    assert_eq!(run(TRIMTAB, &["crds"]).stdout, yaml.stdout);

    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("new");
    let output = run(TRIMTAB, &["crds", "--output-dir", path.to_str().expect("a path in UTF-8")]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert_eq!(path.read_dir().expect("list the directory").count(), 4);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for arguments in
        [&["crds"][..], &["version"], &["--help"], &["plan", "-f", "examples/grace", "-f", "examples/grace/repaired"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(TRIMTAB);
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdout(writer);
        let output = command.stderr(std::process::Stdio::piped()).output().expect("run the program");
        let expected = i32::from(arguments[0] == "plan");
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    for arguments in [
        &["version"][..],
        &["crds"],
        &["--help"],
        &["plan", "-f", "examples/grace", "-f", "examples/grace/repaired", "-o", "json"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("open /dev/full");
        let mut command = Command::new(TRIMTAB);
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdout(full);
        let output = command.stderr(std::process::Stdio::piped()).output().expect("run the program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}
