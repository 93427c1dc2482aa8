//! The operator in a test cluster as its users run it: a pod of an image, installed by real Helm from `charts/trimtab`, under
//! the chart's own RBAC. Needs real nodes.
//!
//! ```ignore
//! let _alone = operator::alone();                    // one operator per cluster: its kinds are cluster-scoped
//! operator::load_image();
//! operator::helm_install(&["--set=prometheus.url=http://prometheus.monitoring:9090"]);
//! ```

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use crate::helm::{chart, helm};

/// Where the operator lives.
pub const NAMESPACE: &str = "trimtab-system";

/// Name of the release, and so of the Deployment.
pub const RELEASE: &str = "trimtab";

/// Name of the image in the cluster.
pub const IMAGE: &str = "localhost/trimtab";

/// Keeps other tests of the same cluster from installing an operator until it is dropped.
#[must_use = "other tests go on as soon as it is dropped"]
pub fn alone() -> File {
    lock("operator")
}

fn lock(name: &str) -> File {
    let path = cluster_dir().join(format!("{name}.lock"));
    let file = File::create(&path).unwrap_or_else(|error| panic!("creating \"{}\": {error}", path.display()));
    file.lock().unwrap_or_else(|error| panic!("locking \"{}\": {error}", path.display()));
    file
}

fn cluster_dir() -> PathBuf {
    env::var_os("CLUSTER_DIR").expect("CLUSTER_DIR, which a cluster of cluster.sh sets").into()
}

/// Makes an image of the program that these tests were built with, and loads it into every node, once per cluster.
///
/// `TRIMTAB_TEST_IMAGE=FILE` takes that OCI archive instead, for example the one of `make image`.
pub fn load_image() {
    let _others_wait = lock("image");
    let stamp = cluster_dir().join("image.loaded");
    let program = Path::new(env!("CARGO_BIN_EXE_trimtab"));
    let given = env::var_os("TRIMTAB_TEST_IMAGE").map(PathBuf::from);
    if modified(&stamp).is_some_and(|loaded| modified(given.as_deref().unwrap_or(program)) < Some(loaded)) {
        return;
    }
    let archive = given.unwrap_or_else(|| {
        let archive = cluster_dir().join("trimtab.tar");
        let mut build = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/image.sh"));
        build.env("PROFILE", "dev").env("BINARY", program).env("OUT", &archive);
        run(&mut build);
        archive
    });
    import(&archive);
    File::create(&stamp).expect("remember that the image is loaded");
}

/// Makes an image of an example with `env` and `cat` beside it, so that tests can look around inside, and loads it into
/// every node.
pub fn load_example(name: &str, program: &Path) {
    let _others_wait = lock("image");
    let archive = cluster_dir().join(format!("{name}.tar"));
    let busybox = libexec("ctr").with_file_name("../.families/debian/root/bin/busybox");
    let busybox = busybox.canonicalize().unwrap_or_else(|error| panic!("finding \"{}\": {error}", busybox.display()));
    let mut build = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/image.sh"));
    build.args(["--example", name]).env("PROFILE", "dev").env("BINARY", program).env("OUT", &archive);
    build.env("EXTRA", ["env", "cat"].map(|applet| format!("{}:/bin/{applet}", busybox.display())).join(" "));
    run(&mut build);
    import(&archive);
}

/// Loads the PostgreSQL of the cluster's tools into every node: `localhost/postgres:1`. Needs a cluster with `POSTGRES=1`.
pub fn load_postgres() {
    let _others_wait = lock("image");
    let archive = libexec("ctr").with_file_name("../share/postgres.tar");
    import(&archive.canonicalize().unwrap_or_else(|error| panic!("finding \"{}\": {error}", archive.display())));
}

fn import(archive: &Path) {
    let nodes = cluster_dir().read_dir().expect("list the cluster's directory");
    let sockets: Vec<_> = nodes
        .map(|entry| entry.expect("a directory entry").path().join("cd/c.sock"))
        .filter(|socket| socket.exists())
        .collect();
    assert!(!sockets.is_empty(), "the cluster has no real node; give Options {{ real_nodes: true, .. }}");
    for socket in sockets {
        let mut import = Command::new(libexec("ctr"));
        import.arg("-a").arg(socket).args(["-n", "k8s.io", "images", "import", "--local"]).arg(archive);
        run(&mut import);
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// A program of the cluster, beside the folder with those that people use.
fn libexec(program: &str) -> PathBuf {
    let path = env::var_os("PATH").expect("PATH");
    env::split_paths(&path)
        .map(|folder| folder.join("../libexec").join(program))
        .find(|program| program.exists())
        .unwrap_or_else(|| panic!("{program}, which a cluster with real nodes has"))
}

/// Processes of operator pods, which the cluster's process namespace shows.
pub fn processes() -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("list processes");
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_operator = |process: &u32| {
        let line = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let mut words = line.split('\0');
        words.next() == Some("/trimtab") && words.next() == Some("operator")
    };
    numbers.filter(is_operator).collect()
}

/// Runs a program, which must succeed, and gives what it printed on both outputs.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed ({}):\n{text}", output.status);
    text
}

/// Runs Helm in the cluster, for the release. It must succeed; both outputs are given.
pub fn helm_run(arguments: &[&str]) -> String {
    run(helm().args(arguments).args(["--namespace", NAMESPACE]))
}

/// Installs the chart, or upgrades the release to it, and waits until the operator is ready.
pub fn helm_install(arguments: &[&str]) -> String {
    helm_install_chart(&chart(), arguments)
}

/// As [`helm_install`], from another copy of the chart.
pub fn helm_install_chart(chart: &Path, arguments: &[&str]) -> String {
    let chart = chart.to_str().expect("a path in UTF-8");
    let image = format!("--set=image.repository={IMAGE},image.pullPolicy=Never");
    let mut all =
        vec!["upgrade", "--install", RELEASE, chart, "--create-namespace", "--wait", "--timeout=240s", &image];
    all.extend(arguments);
    helm_run(&all)
}

/// Uninstalls the release.
pub fn helm_uninstall() -> String {
    helm_run(&["uninstall", RELEASE, "--wait", "--timeout=60s"])
}
