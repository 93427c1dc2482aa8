//! The map against the territory: imports point one way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Rooms of the crate, lowest first. A room may import from lower rows, never from its own or a higher one.
const CRATE: &[&[&str]] = &[&["api"], &["core"], &["shell"], &["cli"], &["bin"]];

/// Rooms of `core`, lowest first. Rooms of the lowest row are leaves and may use each other as far as no circle arises.
const CORE: &[&[&str]] = &[
    &[
        "units",
        "formula",
        "document",
        "promql",
        "catalogue",
        "options",
        "facts",
        "schedule",
        "lease",
        "statistics",
        "table",
    ],
    &["policy", "ownership"],
    &["record", "allocate"],
    &["resolve", "evaluate"],
    &["plan", "rules"],
    &["report", "lint"],
    &["paper"],
    &["engine"],
    &["replay"],
];

fn rank(table: &[&[&str]], room: &str) -> Option<usize> {
    table.iter().position(|row| row.contains(&room))
}

fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// Paths that a file imports from inside the crate, such as `core::plan`. Braces are flattened; tests are not code of the room.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        found.extend(flatten(&code[at + "crate::".len()..]));
    }
    found
}

fn flatten(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let head = text[..end].trim_end_matches(':').to_owned();
    if !text[end..].starts_with('{') {
        return vec![head];
    }
    let mut depth = 0_usize;
    let mut items = vec![String::new()];
    for c in text[end..].chars() {
        match c {
            '{' => {
                depth += 1;
                if depth == 1 {
                    continue;
                }
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' if depth == 1 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(item) = items.last_mut() {
            item.push(c);
        }
    }
    items
        .iter()
        .map(|item| item.trim())
        .filter(|item| !item.is_empty())
        .flat_map(flatten)
        .map(|tail| if head.is_empty() { tail } else { format!("{head}::{tail}") })
        .collect()
}

#[test]
fn imports_point_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for file in sources(&src) {
        let relative = file.strip_prefix(&src).unwrap();
        let parts: Vec<String> = relative
            .components()
            .map(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned())
            .collect();
        let Some(own) = rank(CRATE, &parts[0]) else { continue };
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            *seen.entry(parts[0].clone()).or_default() += 1;
            let target: Vec<&str> = import.split("::").collect();
            let Some(other) = rank(CRATE, target[0]) else { continue };
            if other > own {
                wrong.push(format!("{} imports crate::{import}", relative.display()));
            }
            if parts[0] == "core" && target[0] == "core" && parts.len() > 1 && target.len() > 1 && parts[1] != target[1]
            {
                match (rank(CORE, &parts[1]), rank(CORE, target[1])) {
                    (Some(own), Some(other)) if other < own || (own == 0 && other == 0) => {}
                    (Some(_), Some(_)) => wrong.push(format!("{} imports crate::{import}", relative.display())),
                    (None, _) => wrong.push(format!("core::{} is not in the table", parts[1])),
                    (_, None) => wrong.push(format!("core::{} is not in the table", target[1])),
                }
            }
        }
    }
    assert!(seen.get("core").is_some_and(|n| *n > 50), "the reader of imports found almost nothing: {seen:?}");
    assert!(wrong.is_empty(), "imports against the order of ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

/// The words in backticks of the second column of the table of ARCHITECTURE.md whose header has `title`, row by row.
fn quoted(title: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    text.lines()
        .skip_while(|line| line.split('|').nth(2).is_none_or(|column| column.trim() != title))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').nth(2).unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect())
        .collect()
}

#[test]
fn the_map_shows_these_tables() {
    assert_eq!(quoted("rooms of the crate"), CRATE);
    assert_eq!(quoted("rooms of `core`"), CORE);
}

/// Everything that a file names below one of `roots`, in full: `use std::{env, fs}` as `std::env` and `std::fs`.
fn named(text: &str, roots: &[&str]) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(&format!("{root}::")) {
            // `my_std::` is another word.
            let starts = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            found.extend(starts.then(|| flatten(&code[at..])).into_iter().flatten());
        }
    }
    found
}

/// Whether `path` is `module` or lies in it.
fn is_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn the_core_is_pure() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core");
    // What touches the world. Of `std::time` only the length of a time is a value, of `std::net` only how an address is written.
    let modules = [
        "std::env",
        "std::fs",
        "std::io",
        "std::net",
        "std::os",
        "std::process",
        "std::sync",
        "std::thread",
        "std::time",
        "std::future",
        "std::task",
        "tokio",
        "futures",
        "tracing",
        "reqwest",
        "rand",
        "fastrand",
        "axum",
        "prometheus",
        "kube::Api",
        "kube::api::Api",
        "kube::Client",
        "kube::client",
        "kube::runtime",
        "jiff::Zoned::now",
        "jiff::Timestamp::now",
    ];
    // `Arc` shares a value, and a lazily made table is one.
    let values =
        ["std::time::Duration", "std::sync::Arc", "std::sync::LazyLock", "std::sync::OnceLock", "std::net::SocketAddr"];
    let roots =
        ["std", "tokio", "futures", "tracing", "reqwest", "rand", "fastrand", "axum", "prometheus", "kube", "jiff"];
    let words = [
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "async fn",
        "async move",
        ".await",
        "println!",
        "eprintln!",
        "thread_local!",
        "RandomState",
        "HashMap",
        "HashSet",
        "env!(",
    ];
    let mut wrong = Vec::new();
    let mut read = 0;
    for file in sources(&core).into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(&file).unwrap();
        let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
        for path in named(own, &roots) {
            read += 1;
            let banned = modules.iter().any(|module| is_in(&path, module));
            if (banned && !values.iter().any(|value| is_in(&path, value))) || path == "std" {
                wrong.push(format!("{}: {path}", file.display()));
            }
        }
        for (number, line) in own.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word) && !line.trim_start().starts_with("//"))
            {
                wrong.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    assert!(read > 50, "the reader of names found almost nothing: {read}");
    assert!(wrong.is_empty(), "core must not touch the world:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_names_sees_into_braces() {
    let text = "use std::{collections::{BTreeMap, BTreeSet}, env, fs as files};\n// std::net\nfn f() { std::process::exit(1); my_std::g(); }";
    assert_eq!(
        named(text, &["std"]),
        ["std::collections::BTreeMap", "std::collections::BTreeSet", "std::env", "std::fs", "std::process::exit"]
    );
    assert!(is_in("std::fs::read", "std::fs") && !is_in("std::fsx", "std::fs"));
}

#[test]
fn the_reader_of_imports_flattens_braces() {
    let text = "use crate::{api::{names, policy::Mode}, core::facts};\nfn f() { crate::shell::x(); }";
    assert_eq!(imports(text), ["api::names", "api::policy::Mode", "core::facts", "shell::x"]);
}
