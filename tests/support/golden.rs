//! Golden files: what is generated, rendered or printed, as the repository has it.

#![allow(dead_code, reason = "not every test binary runs programs")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{env, fs, path::Path, process::Output};

/// What a program said, as one text.
pub fn transcript(program: &str, arguments: &[&str], output: &Output) -> String {
    let mut text = format!("$ {program} {}\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stdout));
    if !output.stderr.is_empty() {
        text.push_str(&format!("--- stderr\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    text.push_str(&format!("--- exit code {}\n", output.status.code().expect("an exit code")));
    text
}

/// Fails unless the file, named from the root of the repository, holds the text; writes it first if `UPDATE_GOLDEN` is set.
#[track_caller]
pub fn assert_golden(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a directory")).expect("create the directory");
        fs::write(&path, text).expect("write the golden file");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    let difference = similar::TextDiff::from_lines(stored.as_str(), text);
    assert!(
        stored == text,
        "{file} is out of date; if it should be, run `make golden` and read the difference:\n{}",
        difference.unified_diff().header("stored", "now")
    );
}
