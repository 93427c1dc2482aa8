//! Real Helm, of the pinned version.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The chart.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/trimtab")
}

/// Where the program is; it is built on first use.
fn program() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
        let output = Command::new(&build).arg("helm").output().expect("run tests/cluster/build.sh");
        assert!(output.status.success(), "building helm failed:\n{}", String::from_utf8_lossy(&output.stderr));
        let folder = String::from_utf8(output.stdout).expect("a path in UTF-8");
        Path::new(folder.trim()).join("bin/helm")
    })
}

/// Helm without the configuration of whoever runs the tests.
pub fn helm() -> Command {
    let home = env::temp_dir().join("trimtab-helm");
    let mut command = Command::new(program());
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_DATA_HOME", home.join("data"));
    command
}
