//! What the program is built from and what image it ends in: `deny.toml` and the `Dockerfile`, held to the truth.
//!
//! `cargo deny check` would do the first half and know of vulnerabilities, too; but it takes longer to compile than this whole
//! project, and its database comes from the network. So licences, sources and bans are checked here, from what cargo knows,
//! and `cargo deny check advisories` is for whoever has it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("reading {file}: {error}"))
}

/// Runs a program, which must succeed.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.current_dir(root()).output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The quoted words of a list of `deny.toml`, comments left out.
fn listed(section: &str, list: &str) -> Vec<String> {
    let file = text("deny.toml");
    let section = file.split(&format!("\n[{section}]\n")).nth(1).unwrap_or_else(|| panic!("no section {section}"));
    let section = section.split("\n[").next().unwrap_or_default();
    let list = section.split(&format!("\n{list} = [")).nth(1).unwrap_or_else(|| panic!("no list {list}"));
    let lines = list.split("]\n").next().unwrap_or_default().lines();
    let code = lines.map(|line| line.split('#').next().unwrap_or_default());
    code.flat_map(|line| line.split('"').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>()).collect()
}

/// Packages that are built for one of the systems of `deny.toml`, this one left out.
fn packages() -> Vec<Value> {
    let mut found = BTreeMap::new();
    for system in listed("graph", "targets") {
        let mut cargo = Command::new(env!("CARGO"));
        let metadata = run(cargo.args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--all-features",
            "--filter-platform",
            &system,
        ]));
        let metadata: Value = serde_json::from_slice(&metadata).expect("JSON");
        let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
        let used: BTreeSet<_> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
        for package in metadata["packages"].as_array().expect("packages") {
            let id = package["id"].as_str().expect("an id");
            if used.contains(id) && package["name"] != env!("CARGO_PKG_NAME") {
                found.insert(id.to_owned(), package.clone());
            }
        }
    }
    assert!(found.len() > 100, "cargo knows {} packages only", found.len());
    found.into_values().collect()
}

/// Whether an SPDX expression can be met with the allowed licences.
fn met(expression: &str, allowed: &[String]) -> bool {
    // `/` is how crates said OR before there was SPDX.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let met = any(&mut rest, allowed);
    assert!(rest.is_empty(), "\"{expression}\" is no SPDX expression");
    met
}

fn any(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = all(words, allowed);
    while let ["OR", rest @ ..] = words {
        *words = rest;
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &[String]) -> bool {
    match words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any(words, allowed);
            assert_eq!(words.first(), Some(&")"), "a parenthesis stays open");
            *words = &words[1..];
            met
        }
        [license, "WITH", exception, rest @ ..] => {
            let whole = format!("{license} WITH {exception}");
            *words = rest;
            allowed.contains(&whole)
        }
        [license, rest @ ..] => {
            *words = rest;
            allowed.iter().any(|allowed| allowed == license)
        }
        [] => panic!("a licence is missing"),
    }
}

#[test]
fn expressions_of_licences_are_read_as_spdx_says() {
    let allowed = ["MIT", "Apache-2.0", "ISC"].map(ToOwned::to_owned);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("Unlicense/MIT", true),
        ("Apache-2.0 AND ISC", true),
        ("Apache-2.0 AND GPL-3.0", false),
        ("GPL-3.0 AND MIT OR ISC", true),
        ("(MIT OR GPL-3.0) AND GPL-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
    ] {
        assert_eq!(met(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence_and_every_allowed_licence_a_dependency() {
    let allowed = listed("licenses", "allow");
    let packages = packages();
    let licence = |package: &Value| package["license"].as_str().unwrap_or("no licence").to_owned();
    let refused = packages.iter().filter(|package| !met(&licence(package), &allowed));
    let refused: Vec<_> = refused.map(|package| format!("{} ({})", package["name"], licence(package))).collect();
    assert_eq!(refused, Vec::<String>::new(), "deny.toml allows {allowed:?}");

    for one in &allowed {
        let others: Vec<String> = allowed.iter().filter(|other| *other != one).cloned().collect();
        let needed = packages.iter().any(|package| !met(&licence(package), &others));
        assert!(needed, "deny.toml allows {one}, and nothing needs it");
    }
}

#[test]
fn every_dependency_comes_from_the_registry_and_none_is_banned() {
    let banned = listed("bans", "deny");
    assert!(banned.iter().any(|name| name == "openssl-sys"), "the bans are not read: {banned:?}");
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        assert!(!banned.iter().any(|banned| banned == name), "{name} is banned by deny.toml");
        assert_eq!(package["source"], "registry+https://github.com/rust-lang/crates.io-index", "{name}");
    }
}

/// The instructions of the last stage of the Dockerfile, lines with `\` joined.
fn last_stage() -> Vec<(String, String)> {
    let file = text("Dockerfile").replace("\\\n", " ");
    let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut stage = Vec::new();
    for line in lines {
        let (instruction, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no instruction: {line}"));
        assert!(
            ["FROM", "RUN", "WORKDIR", "COPY", "USER", "ENTRYPOINT", "LABEL", "ENV", "ARG"].contains(&instruction),
            "this test does not know {instruction}"
        );
        if instruction == "FROM" {
            stage.clear();
        }
        stage.push((instruction.to_owned(), rest.trim().to_owned()));
    }
    stage
}

#[test]
fn the_dockerfile_makes_the_image_that_is_tested() {
    let folder = tempfile::tempdir().expect("a directory");
    let archive = folder.path().join("trimtab.tar");
    // Any program will do: this is about what is around it.
    run(Command::new(root().join("tests/cluster/image.sh")).env("BINARY", "/bin/true").env("OUT", &archive));
    let read = |member: &str| run(Command::new("tar").arg("-xOf").arg(&archive).arg(member));
    let json = |member: &str| -> Value { serde_json::from_slice(&read(member)).expect("JSON") };
    let blob = |digest: &Value| format!("blobs/{}", digest.as_str().expect("a digest").replace(':', "/"));
    let manifest = json(&blob(&json("index.json")["manifests"][0]["digest"]));
    let config = &json(&blob(&manifest["config"]["digest"]))["config"];
    let mut files = BTreeSet::new();
    for layer in manifest["layers"].as_array().expect("layers") {
        let packed = folder.path().join("layer");
        fs::write(&packed, read(&blob(&layer["digest"]))).expect("write the layer");
        let list = run(Command::new("tar").arg("-tf").arg(&packed));
        let list = String::from_utf8(list).expect("names in UTF-8");
        files.extend(list.lines().map(|name| format!("/{}", name.trim_start_matches("./").trim_start_matches('/'))));
    }

    let stage = last_stage();
    assert_eq!(stage[0], ("FROM".to_owned(), "scratch".to_owned()));
    let of = |wanted: &str| {
        let found: Vec<_> =
            stage.iter().filter(|(instruction, _)| instruction == wanted).map(|(_, rest)| rest).collect();
        assert_eq!(found.len(), 1, "{wanted}: {found:?}");
        found[0].clone()
    };
    assert_eq!(config["User"], of("USER"));
    let entry: Value = serde_json::from_str(&of("ENTRYPOINT")).expect("the exec form of ENTRYPOINT");
    assert_eq!(config["Entrypoint"], entry);
    assert_eq!(entry, json!(["/trimtab"]));
    let mut copies = 0;
    for (_, rest) in stage.iter().filter(|(instruction, _)| instruction == "COPY") {
        let destination = rest.split_whitespace().last().expect("a destination");
        assert!(files.contains(destination), "the Dockerfile copies to {destination}; image.sh makes {files:?}");
        copies += 1;
    }
    assert_eq!(copies, 2, "the program and the certificates");

    // It builds with the compiler of the project.
    let toolchain = text("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).expect("a version");
    let image = text("Dockerfile").lines().find_map(|line| Some(line.strip_prefix("FROM rust:")?.to_owned()));
    let image = image.expect("a stage with Rust");
    let tag = image.split('-').next().unwrap_or_default().to_owned();
    assert!(version.starts_with(&tag), "the Dockerfile builds with Rust {tag}, rust-toolchain.toml says {version}");
    for copied in ["Cargo.toml", "Cargo.lock", "src"] {
        let ignored = text(".dockerignore");
        assert!(!ignored.lines().any(|line| line.trim_matches('/') == copied), "{copied} does not reach the build");
    }
}
