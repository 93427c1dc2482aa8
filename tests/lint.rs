//! What `lint` finds in the words of the guides, and that it finds nothing once they are repaired.
//!
//! `tests/data/lint` has a pair of files for each contradiction of the guides, in their own numbers. A new rule gets a pair, too.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use trimtab::core::lint::{self, Finding, code};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("read a file");
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| unreachable!("{}: {error}", path.display()))
}

fn findings(paths: &[PathBuf]) -> Vec<Finding> {
    let documents: Vec<Value> = paths.iter().flat_map(|path| documents(path)).collect();
    lint::check(&documents.iter().collect::<Vec<_>>())
}

/// Every contradiction of the guides, with the codes that it must give and no other.
const CONTRADICTIONS: &[(&str, &[&str])] = &[
    ("01-budget", &["TT0020"]),
    ("02-rollout", &["TT0021"]),
    ("02-single-pod", &["TT0020"]),
    ("03-stream", &["TT0070"]),
    ("04-postgres", &["TT0060"]),
    ("05-node", &["TT0041", "TT0052"]),
    ("06-jvm", &["TT0050"]),
    ("07-cpus", &["TT0041", "TT0042"]),
    ("08-waits", &["TT0023", "TT0053"]),
    ("09-statuses", &["TT0100"]),
    ("10-load", &["TT0080"]),
    ("11-caches", &["TT0030"]),
    ("12-spelling", &["TT0071", "TT0072", "TT0095"]),
    ("13-heaps", &["TT0051"]),
];

#[test]
fn every_contradiction_of_the_guides_is_found_and_nothing_in_their_repairs() {
    let folder = root().join("tests/data/lint");
    for (name, expected) in CONTRADICTIONS {
        let found = findings(&[folder.join(format!("{name}.as-written.yaml"))]);
        let codes: BTreeSet<&str> = found.iter().map(|finding| finding.code.number()).collect();
        assert_eq!(codes, expected.iter().copied().collect::<BTreeSet<_>>(), "{name}: {found:#?}");
        let left = findings(&[folder.join(format!("{name}.repaired.yaml"))]);
        assert!(left.is_empty(), "{name}, repaired: {left:#?}");
    }
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pairs: BTreeSet<String> = files.filter_map(|file| Some(file.split_once('.')?.0.to_owned())).collect();
    assert_eq!(pairs, CONTRADICTIONS.iter().map(|(name, _)| (*name).to_owned()).collect(), "a file is in no test");
}

/// What each guide as written must give: the contradictions of its own, and no other.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("ai-beast", &[]),
    ("alchemist", &["TT0020", "TT0023", "TT0050", "TT0070", "TT0071", "TT0072", "TT0095"]),
    ("grace", &["TT0020", "TT0023", "TT0041", "TT0042", "TT0053", "TT0080", "TT0092"]),
    ("grid", &["TT0021", "TT0023", "TT0030"]),
    ("vrooli", &["TT0041", "TT0052", "TT0060", "TT0100"]),
];

#[test]
fn every_example_contradicts_itself_as_written_and_is_clean_as_repaired() {
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trimtab"));
        let output = command.arg("lint").args(arguments).current_dir(root()).output().expect("run trimtab");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.lines().all(|line| line.starts_with("note: ")), "{arguments:?}: {said}");
        output
    };
    for (example, expected) in EXAMPLES {
        let folder = format!("examples/{example}");
        let (app, written, repaired) =
            (format!("{folder}/app.yaml"), format!("{folder}/as-written"), format!("{folder}/repaired"));
        let output = run(&["-f", &app, "-f", &written, "-o", "json"]);
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let found = found["findings"].as_array().expect("findings");
        let codes: BTreeSet<&str> = found.iter().map(|finding| finding["code"].as_str().expect("a code")).collect();
        assert_eq!(codes, expected.iter().copied().collect::<BTreeSet<_>>(), "{example}: {found:#?}");
        let clean = run(&["--fail-on", "info", "-f", &folder, "-f", &repaired]);
        assert!(clean.status.success(), "{example}: {}", String::from_utf8_lossy(&clean.stdout));
    }
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.join("as-written").exists());
    let names: Vec<String> = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(
        names.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        EXAMPLES.iter().map(|(name, _)| *name).collect()
    );
}

#[test]
fn golden_messages_carry_the_arithmetic() {
    let mut said = String::new();
    for (name, _) in CONTRADICTIONS {
        for finding in findings(&[root().join(format!("tests/data/lint/{name}.as-written.yaml"))]) {
            said.push_str(&format!("{name}  {} {} {}\n", finding.code, finding.path, finding.message));
        }
    }
    golden::assert_golden("tests/golden/lint/contradictions.txt", &said);
}

#[test]
fn golden_documentation_of_every_code() {
    golden::assert_golden("docs/lint.md", &code::markdown());
}

/// The README shows what the command prints.
#[test]
fn the_readme_shows_what_is_printed() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let file = "tests/data/lint/01-budget.as-written.yaml";
    let (_, shown) = readme.split_once(&format!("$ trimtab lint -f {file}\n")).expect("the README lints that file");
    let (shown, _) = shown.split_once("...\n").expect("it shows the beginning");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trimtab"));
    let output = command.current_dir(root()).args(["lint", "-f", file]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(shown), "{said}");
}
