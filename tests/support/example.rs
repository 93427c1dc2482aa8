//! The example application's program, for tests that run it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The program, built from the sources as they are: cargo builds examples for `cargo test`, but not for
/// `cargo test --test NAME`.
pub fn grace_app() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile_dir = test.ancestors().nth(2).unwrap();
        let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            other => other,
        };
        let target_dir = profile_dir.parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        // Build scripts that watch these (ring's does) would run again, and all that needs them be built again, only because
        // a test asks.
        for (key, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|it| key.to_string_lossy().starts_with(it)) {
                cargo.env_remove(key);
            }
        }
        let status = cargo
            .args(["build", "--quiet", "--example", "grace-app", "--profile", profile])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .env("CARGO_TARGET_DIR", target_dir)
            .status()
            .unwrap();
        assert!(status.success(), "failed to build the example grace-app");
        profile_dir.join("examples/grace-app")
    })
}
