//! A real cluster for a test binary.
//!
//! ```ignore
//! #[path = "support/cluster.rs"]
//! mod cluster;
//!
//! const OPTIONS: cluster::Options = cluster::Options::DEFAULT;
//!
//! #[test]
//! fn pods_run() {
//!     cluster::test(&OPTIONS, here!(), async |cluster| {
//!         let namespace = cluster.namespace().await;
//!         …
//!     });
//! }
//! ```
//!
//! The cluster of `tests/cluster/cluster.sh` lives in namespaces of its own, and nothing outside reaches its pods. The first
//! test of a binary starts one cluster for all of them, and each test then runs once more *inside*: the binary executes
//! itself as `cluster.sh exec -- BINARY --exact TEST`. Inside, the API server, Prometheus, Alertmanager, pods, Services and the
//! cluster's DNS are simply there, `KUBECONFIG` is set, and `kubectl` and `helm` are in `PATH`. `cargo test NAME`, parallel
//! tests and captured output work as everywhere.
//!
//! The cluster ends with the test process, however it ends (`CLUSTER_OWNER`), and so do its files, unless a test failed: then
//! its logs stay and their place is printed. A cluster that cannot start fails the test; it is never skipped.
//!
//! | environment | effect |
//! |---|---|
//! | `TRIMTAB_TEST_CLUSTER=NAME` | use the running cluster of that name (`make cluster` starts `play`) and leave it running |
//! | `TRIMTAB_TEST_KUBECONFIG=FILE` | use any cluster that is reached with that file, from where the test runs |
//! | `TRIMTAB_TEST_KEEP=1` | print how to look at the cluster, and leave it running |

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unused_self, reason = "only a test that runs inside a cluster has a `Cluster`")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env,
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::wait::{await_condition, conditions::is_crd_established},
};

/// Set in the process that runs inside the cluster.
const INSIDE: &str = "TRIMTAB_TEST_INSIDE";
const JOIN: &str = "TRIMTAB_TEST_CLUSTER";
const KUBECONFIG: &str = "TRIMTAB_TEST_KUBECONFIG";
const KEEP: &str = "TRIMTAB_TEST_KEEP";

/// What the cluster of a test binary has beside a control plane and a node. All tests of one binary give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Real nodes (kubelet, containerd); needs root. Without: a control plane with simulated nodes will do.
    pub real_nodes: bool,
    /// Number of nodes, up to 4.
    pub nodes: u8,
    /// Whether Prometheus and Alertmanager run.
    pub prometheus: bool,
    /// Whether every request is logged ([`Cluster::audit_log`]).
    pub audit: bool,
    /// Further variables of `cluster.sh`, such as `("KUBELET_SYNC", "1s")`.
    pub variables: &'static [(&'static str, &'static str)],
}

impl Options {
    /// A control plane and one node, real where the machine allows it.
    pub const DEFAULT: Self = Self { real_nodes: false, nodes: 1, prometheus: false, audit: false, variables: &[] };
}

/// The path of the test function, as libtest knows it.
#[macro_export]
macro_rules! here {
    () => {{
        fn here() {}
        $crate::cluster::test_name(std::any::type_name_of_val(&here))
    }};
}

/// `binary::module::test::here` without its first and last part.
pub fn test_name(function: &'static str) -> &'static str {
    let path = function.strip_suffix("::here").unwrap_or(function);
    path.split_once("::").map_or(path, |(_, rest)| rest)
}

/// A cluster, seen from inside.
#[derive(Clone)]
pub struct Cluster {
    /// Administrator's client.
    pub client: Client,
    test: &'static str,
}

/// Runs `body` inside the cluster of this binary. `test` is `here!()`.
pub fn test(options: &Options, test: &'static str, body: impl AsyncFnOnce(Cluster)) {
    if let Some(file) = env::var_os(KUBECONFIG) {
        run(test, Some(file.into()), body);
    } else if env::var_os(INSIDE).is_some() {
        run(test, None, body);
    } else {
        static OUTSIDE: OnceLock<Outside> = OnceLock::new();
        OUTSIDE.get_or_init(|| Outside::start(options)).run(options, test);
    }
}

fn run(test: &'static str, kubeconfig: Option<PathBuf>, body: impl AsyncFnOnce(Cluster)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config = match kubeconfig {
            Some(file) => {
                let kubeconfig = kube::config::Kubeconfig::read_from(&file)
                    .unwrap_or_else(|error| panic!("reading {KUBECONFIG}=\"{}\": {error}", file.display()));
                kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                    .await
                    .expect("a usable kubeconfig")
            }
            None => kube::Config::infer().await.expect("the cluster's KUBECONFIG"),
        };
        let client = Client::try_from(config).expect("a client");
        body(Cluster { client, test }).await;
    });
}

/// The cluster, seen from the process that started it.
struct Outside {
    name: String,
    options: Options,
}

impl Outside {
    fn start(options: &Options) -> Self {
        if let Ok(name) = env::var(JOIN) {
            return Self { name, options: *options };
        }
        let outside = Self { name: cluster_name(&binary(), std::process::id()), options: *options };
        let mut up = outside.script();
        up.arg("up").env("NODES", options.nodes.to_string());
        for (variable, wanted) in [("PROM", options.prometheus), ("AUDIT", options.audit)] {
            up.env(variable, if wanted { "1" } else { "" });
        }
        if options.real_nodes {
            up.env("MODE", "real");
        }
        up.envs(options.variables.iter().copied());
        if env::var_os(KEEP).is_none() {
            up.env("CLUSTER_OWNER", std::process::id().to_string());
        }
        // What it says (a missing prerequisite and how to get it, a build that takes minutes) belongs on the terminal.
        let status = up.stdout(Stdio::null()).status().unwrap_or_else(|error| panic!("running {up:?}: {error}"));
        assert!(
            status.success(),
            "the test cluster \"{}\" did not start ({status}); the reason stands above, `make doctor` prints what this \
             machine lacks",
            outside.name
        );
        if env::var_os(KEEP).is_some() {
            eprintln!(
                "cluster \"{0}\" stays: CLUSTER_NAME={0} tests/cluster/cluster.sh exec -- kubectl get pods -A; end it with: \
                 CLUSTER_NAME={0} tests/cluster/cluster.sh down",
                outside.name
            );
        } else {
            outside.clean_up_after(std::process::id());
        }
        outside
    }

    /// Leaves a process behind that removes the cluster's files when `process` has ended, unless a test has asked for them.
    ///
    /// libtest calls nothing at the end of a test binary, and a killed binary could not do it.
    fn clean_up_after(&self, process: u32) {
        let script = format!(
            "tail --pid={process} -f /dev/null; if [ -e \"$1\" ]; then rm -f \"$1\"; else exec \"$0\" down; fi > /dev/null 2>&1"
        );
        let mut cleaner = Command::new("setsid");
        cleaner.args(["--fork", "sh", "-c", &script]).arg(self.script().get_program()).arg(self.logs_wanted());
        cleaner.env("CLUSTER_NAME", &self.name).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        cleaner.status().unwrap_or_else(|error| panic!("running {cleaner:?}: {error}"));
    }

    /// The file that stands for a failed test.
    fn logs_wanted(&self) -> PathBuf {
        env::temp_dir().join(format!("trimtab-{}.failed", self.name))
    }

    /// Keeps the cluster's files, and says where they are.
    fn keep_logs(&self) {
        if env::var_os(JOIN).is_none() && std::fs::write(self.logs_wanted(), "").is_ok() {
            println!(
                "logs: $CLUSTER_STATE/{0}/log (default: ${{TMPDIR:-/tmp}}/trimtab-cluster-$UID/{0}/log); \
                 tests/cluster/cluster.sh gc removes them",
                self.name
            );
        }
    }

    fn script(&self) -> Command {
        let mut command = Command::new(repository().join("tests/cluster/cluster.sh"));
        command.env("CLUSTER_NAME", &self.name).stdin(Stdio::null());
        command
    }

    fn run(&self, options: &Options, test: &str) {
        assert_eq!(*options, self.options, "all tests of a binary share one cluster, so they give the same options");
        let mut command = self.script();
        command.arg("exec").arg("--").arg(binary()).args([
            test,
            "--exact",
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(INSIDE, "1");
        let live = env::args().any(|argument| argument == "--nocapture");
        let status: ExitStatus = if live {
            command.status().unwrap_or_else(|error| panic!("running {command:?}: {error}"))
        } else {
            let output = command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
            // Through the macro, so that libtest keeps it for the report of a failure.
            print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            let ran = String::from_utf8_lossy(&output.stdout).contains("test result: ok. 1 passed");
            assert!(ran || !output.status.success(), "no test is called \"{test}\"; pass here!() to cluster::test");
            output.status
        };
        if !status.success() {
            self.keep_logs();
        }
        assert!(status.success(), "\"{test}\" failed inside cluster \"{}\" ({status}); see above", self.name);
    }
}

fn binary() -> PathBuf {
    env::current_exe().expect("the path of this test binary")
}

/// A DNS label of at most 30 characters: the binary's name without cargo's hash, and the process.
fn cluster_name(binary: &Path, process: u32) -> String {
    let stem = binary.file_stem().and_then(OsStr::to_str).unwrap_or("test");
    let name = stem.rsplit_once('-').map_or(stem, |(name, _)| name).replace('_', "-").to_lowercase();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(18).collect();
    format!("t-{}-{process}", name.trim_matches('-'))
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Cluster {
    /// Makes a namespace for this test.
    pub async fn namespace(&self) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let stem: String = self.test.rsplit("::").next().unwrap_or("test").replace('_', "-").chars().take(40).collect();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", stem.trim_end_matches('-'), std::process::id());
        let namespace =
            Namespace { metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() }, ..Namespace::default() };
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace).await.expect("create a namespace").name_any()
    }

    /// Installs our definitions and waits until they are served.
    pub async fn install_crds(&self) {
        self.install(&trimtab::api::crds::all()).await;
    }

    /// Installs definitions and waits until they are served.
    pub async fn install(&self, definitions: &[CustomResourceDefinition]) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for definition in definitions {
            let name = definition.name_any();
            api.patch(&name, &PatchParams::apply("trimtab-tests").force(), &Patch::Apply(definition))
                .await
                .unwrap_or_else(|error| panic!("installing the definition \"{name}\": {error}"));
            within(Duration::from_secs(30), &format!("definition \"{name}\" is established"), async {
                await_condition(api.clone(), &name, is_crd_established()).await.expect("watch the definition");
            })
            .await;
        }
    }

    /// Runs a program inside the cluster with `input` as its standard input.
    pub fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S], input: &str) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
        // A program that fails before it reads its input closes the pipe: its exit status tells more.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().unwrap_or_else(|error| panic!("waiting for {command:?}: {error}"))
    }

    /// Runs kubectl, which must succeed, and gives what it printed.
    pub fn kubectl<S: AsRef<OsStr> + std::fmt::Debug>(&self, arguments: &[S], input: &str) -> String {
        let output = self.run("kubectl", arguments, input);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "kubectl {arguments:?} failed ({}):\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// URL of the cluster's Prometheus.
    pub fn prometheus(&self) -> String {
        variable("CLUSTER_PROMETHEUS")
    }

    /// URL of the cluster's Alertmanager.
    pub fn alertmanager(&self) -> String {
        variable("CLUSTER_ALERTMANAGER")
    }

    /// File with one JSON document per request that the API server answered.
    pub fn audit_log(&self) -> PathBuf {
        variable("CLUSTER_AUDIT").into()
    }
}

fn variable(name: &str) -> String {
    env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; it needs a cluster of cluster.sh and the option for it"))
}

/// Waits for `condition`, and fails with `what` when it does not come true in time.
pub async fn within<T>(limit: Duration, what: &str, condition: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, condition)
        .await
        .unwrap_or_else(|_| panic!("after {limit:?} it does not hold that {what}"))
}

/// Asks again and again until `check` gives a value, and fails with `what` and the last answer when it does not in time.
pub async fn eventually<T, E: std::fmt::Debug>(
    limit: Duration,
    what: &str,
    check: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    eventually_at(Duration::from_millis(100), limit, what, check).await
}

/// As [`eventually`], with so much time between two looks: for what must be caught in the act.
pub async fn eventually_at<T, E: std::fmt::Debug>(
    pause: Duration,
    limit: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let end = tokio::time::Instant::now() + limit;
    loop {
        match check().await {
            Ok(value) => return value,
            Err(last) if tokio::time::Instant::now() > end => {
                panic!("after {limit:?} it does not hold that {what}; last: {last:?}")
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
    }
}
