//! Real promtool, of the pinned version.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Where the program is; it is built on first use.
fn program() -> &'static Path {
    static PROMTOOL: OnceLock<PathBuf> = OnceLock::new();
    PROMTOOL.get_or_init(|| {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
        let output = Command::new(&build).arg("prometheus").output().expect("run tests/cluster/build.sh");
        assert!(output.status.success(), "building promtool failed:\n{}", String::from_utf8_lossy(&output.stderr));
        let folder = String::from_utf8(output.stdout).expect("a path in UTF-8");
        Path::new(folder.trim()).join("bin/promtool")
    })
}

/// promtool, in the root of the repository.
pub fn promtool() -> Command {
    let mut command = Command::new(program());
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}
