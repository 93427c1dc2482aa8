//! Starts the application as a process on loopback ports of its own, drives it, and reads its
//! metrics. Everything waits for conditions; the deadlines are there to fail.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// The application with nothing in its environment but what a test puts there.
pub(crate) fn grace(arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::example::grace_app());
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(filter) = std::env::var_os("RUST_LOG") {
        command.env("RUST_LOG", filter);
    }
    command
}

/// A process of ours; killed when dropped, so that a failed test leaves nothing behind.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already is what we want.
        let _: std::io::Result<()> = self.0.kill();
        let _: std::io::Result<ExitStatus> = self.0.wait();
    }
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits for the process to end by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        eventually("the process ends", || self.0.try_wait().unwrap())
    }

    /// The next line of standard output, of which there must be one.
    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the process said nothing, its log is above");
        line
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success(), "failed to send SIG{name} to process {pid}");
}

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) application: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Server {
    /// Starts a server with these settings in its environment, and does not wait for more than its
    /// ports.
    pub(crate) fn start(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let child = grace(&["serve"])
            .args(arguments)
            .envs([("HOST", "127.0.0.1"), ("PORT", "0"), ("METRICS_PORT", "0")])
            .envs(environment.iter().copied())
            .spawn()
            .unwrap();
        let mut process = Process(child);
        let line = process.line();
        let mut addresses = line.split_whitespace().filter_map(|word| word.parse().ok());
        let (application, metrics) = (addresses.next().unwrap(), addresses.next().unwrap());
        Self { process, application, metrics }
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn ready(environment: &[(&str, &str)]) -> Self {
        Self::start(environment, &[]).wait_ready()
    }

    pub(crate) fn wait_ready(self) -> Self {
        eventually("the server is ready", || (self.readiness().status == 200).then_some(()));
        self
    }

    pub(crate) fn readiness(&self) -> Response {
        get(self.metrics, "/readyz")
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        get(self.application, path)
    }

    pub(crate) fn chat(&self, url: &str) -> Response {
        chat(self.application, url)
    }

    pub(crate) fn scrape(&self) -> Metrics {
        let response = get(self.metrics, "/metrics");
        assert_eq!(response.status, 200);
        Metrics::parse(&response.text())
    }

    /// The value of the only series of this name.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        self.scrape().sum(series)
    }

    /// Waits until the sum of these series is what it should be.
    #[track_caller]
    pub(crate) fn wait_metric(&self, series: &str, expected: f64) {
        let mut last = f64::NAN;
        let found = wait(|| {
            last = self.metric(series);
            (last.to_bits() == expected.to_bits()).then_some(())
        });
        assert!(found.is_some(), "{series} is {last}, not {expected}");
    }

    /// The process ids of the workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let pid = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    /// Asks the server to stop and expects it to do so in order.
    pub(crate) fn stop(mut self) {
        signal(self.process.id(), "TERM");
        assert!(self.process.end().success());
    }
}

/// The stand-in database as a process of its own.
pub(crate) fn database(environment: &[(&str, &str)]) -> (Process, SocketAddr) {
    let child = grace(&["database", "--listen", "127.0.0.1:0"]).envs(environment.iter().copied()).spawn().unwrap();
    let mut process = Process(child);
    let address = process.line().split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    (process, address)
}

/// Runs the load generator to its end and returns its exit code and its summary.
pub(crate) fn load(server: &Server, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let url = format!("http://{}", server.application);
    let output = grace(&["load", "--output", "json", "--url", &url]).args(arguments).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// One sample of everything the server exports.
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        Self(samples.collect())
    }

    /// The sum over the series of this name that have these labels: `name` or `name{a="b"}`, the
    /// labels being a part of those of the series. There must be one at least.
    #[track_caller]
    pub(crate) fn sum(&self, series: &str) -> f64 {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let wanted: Vec<&str> = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).collect();
        let found: Vec<f64> = self
            .0
            .iter()
            .filter(|(series, _)| {
                let (other, labels) = series.split_once('{').unwrap_or((series, ""));
                other == name && wanted.iter().all(|label| labels.contains(label))
            })
            .map(|(_, value)| *value)
            .collect();
        assert!(!found.is_empty(), "there is no series {series} in {:#?}", self.0.keys());
        found.iter().sum()
    }
}

/// An answer, read to its end.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    request(address, &format!("GET {path} HTTP/1.0\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")).unwrap()
}

pub(crate) fn chat(address: SocketAddr, url: &str) -> Response {
    let body = format!(r#"{{"message": "hello", "user": "user-7", "url": "{url}"}}"#);
    post(address, &body)
}

pub(crate) fn post(address: SocketAddr, body: &str) -> Response {
    let length = body.len();
    let head = format!("POST /api/chat/ HTTP/1.0\r\nHost: test\r\nContent-Length: {length}\r\n");
    request(address, &format!("{head}Accept-Encoding: gzip\r\n\r\n{body}")).unwrap()
}

fn request(address: SocketAddr, text: &str) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(Response { status, head, body: answer[end + 4..].to_vec() })
}

/// Asks again and again until there is an answer, and fails after a long while without one.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait(ask).unwrap_or_else(|| panic!("waited in vain until {what}"))
}

#[expect(clippy::disallowed_methods, reason = "a pause between two looks, on the test's own thread")]
fn wait<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
