//! The load generator: an open loop with a given rate of arrivals, or a closed loop of users who
//! think between their requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use hyper::{StatusCode, Uri};
use serde::Serialize;
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, interval_at, sleep, sleep_until},
};

mod client;
mod recorder;

use client::{Client, Failure};
use recorder::Recorder;

#[derive(Args, Clone, Debug)]
pub(crate) struct LoadOptions {
    /// The server, with scheme and port
    #[arg(long)]
    url: Uri,
    /// What to ask for; /api/chat/ is sent messages, everything else is fetched
    #[arg(long, default_value = CHAT)]
    path: String,
    /// Requests per second, arriving at random whether or not the server keeps up; 0: a closed
    /// loop of users
    #[arg(long, default_value_t = 0.0)]
    rps: f64,
    /// Users who send the messages; in a closed loop also how many requests are on their way
    #[arg(long, default_value_t = 10)]
    users: u32,
    /// Mean time that a user of the closed loop thinks before the next request
    #[arg(long, value_parser = duration, default_value = "100ms")]
    think_time: Duration,
    /// How long, such as 30s or 5m; 0: until SIGTERM
    #[arg(long, value_parser = duration, default_value = "30s")]
    duration: Duration,
    /// Different addresses whose trust is asked for: many of them make a short TTL useless
    #[arg(long, default_value_t = 200)]
    urls: u32,
    /// How long to wait for an answer
    #[arg(long, value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// Requests after which a connection is given up, so that new servers get their share
    #[arg(long, default_value_t = 100)]
    requests_per_connection: u32,
    /// Requests on their way at the same time; arrivals beyond it are errors
    #[arg(long, default_value_t = 2000)]
    max_in_flight: usize,
    /// Share of errors above which the exit code is 1, in percent
    #[arg(long, default_value_t = 1.0)]
    max_error_percent: f64,
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

const CHAT: &str = "/api/chat/";

/// Reads `30s`, `100ms`, `5m` or a plain number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("unknown unit \"{unit}\", expected ms, s, m or h")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("expected a time such as 30s, got \"{text}\""))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("expected a time from 0 upwards, got \"{text}\""))
}

/// Generates load until the time is over; whether the errors stayed below the limit.
pub(crate) async fn run(options: LoadOptions) -> anyhow::Result<bool> {
    let text = format!("{}{}", options.url.to_string().trim_end_matches('/'), options.path);
    let uri: Uri = text.parse().with_context(|| format!("\"{text}\" is not a URL"))?;
    if !options.rps.is_finite() || options.rps < 0.0 || options.users == 0 || options.urls == 0 {
        anyhow::bail!("--rps must not be negative, --users and --urls not 0");
    }
    let client =
        Client::new(uri, options.requests_per_connection.max(1), options.timeout).map_err(anyhow::Error::msg)?;
    let generator = Arc::new(Generator { client, tally: Mutex::new(Tally::new()), options });

    let started = Instant::now();
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen to SIGINT")?;
    let over = async {
        if generator.options.duration.is_zero() {
            std::future::pending::<()>().await;
        }
        sleep_until(started + generator.options.duration).await;
    };
    let mut in_flight = JoinSet::new();
    tokio::select! {
        () = Arc::clone(&generator).generate(&mut in_flight) => {}
        () = generator.progress() => {}
        () = over => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let elapsed = started.elapsed();
    // What was sent is waited for, no longer than the timeout of the last request.
    if generator.options.rps > 0.0 {
        while in_flight.join_next().await.is_some() {}
    }
    let summary = generator.tally().summary(generator.client.uri(), elapsed);
    match generator.options.output {
        Output::Text => print!("{}", summary.text()),
        Output::Json => println!("{}", serde_json::to_string(&summary)?),
    }
    Ok(summary.requests > 0 && summary.error_percent <= generator.options.max_error_percent)
}

struct Generator {
    client: Client,
    tally: Mutex<Tally>,
    options: LoadOptions,
}

impl Generator {
    /// Sends requests for ever.
    async fn generate(self: Arc<Self>, in_flight: &mut JoinSet<()>) {
        if self.options.rps > 0.0 {
            return self.open_loop(in_flight).await;
        }
        for user in 0..self.options.users {
            let generator = Arc::clone(&self);
            in_flight.spawn(async move {
                loop {
                    generator.request(user, Instant::now()).await;
                    sleep(generator.options.think_time.mul_f64(exponential())).await;
                }
            });
        }
        std::future::pending::<()>().await;
    }

    /// Requests arrive as a Poisson process. Their time counts from when they were due: a server
    /// that stalls must not be able to slow down the clock that it is measured with.
    async fn open_loop(self: Arc<Self>, in_flight: &mut JoinSet<()>) {
        let gap = Duration::from_secs_f64(1.0 / self.options.rps);
        let mut due = Instant::now();
        loop {
            due += gap.mul_f64(exponential());
            sleep_until(due).await;
            while in_flight.try_join_next().is_some() {}
            if in_flight.len() >= self.options.max_in_flight {
                self.tally().fail("too many in flight");
                continue;
            }
            let generator = Arc::clone(&self);
            let user = fastrand::u32(0..self.options.users);
            in_flight.spawn(async move { generator.request(user, due).await });
        }
    }

    async fn request(&self, user: u32, due: Instant) {
        let body = (self.options.path == CHAT).then(|| {
            let url = fastrand::u32(0..self.options.urls);
            let body = json!({
                "message": "hello",
                "user": format!("user-{user}"),
                "url": format!("https://example.com/{url}"),
            });
            Bytes::from(body.to_string())
        });
        let answer = self.client.send(body).await;
        self.tally().count(answer, due.elapsed());
    }

    /// Says every ten seconds how it goes.
    async fn progress(&self) {
        const PERIOD: Duration = Duration::from_secs(10);
        let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
        loop {
            ticks.tick().await;
            let (recent, errors) = self.tally().take_recent();
            let rate = recent.count() / PERIOD.as_secs();
            let p95 = recent.percentile(95);
            tracing::info!(rate, errors, ?p95, "the last ten seconds");
        }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exponentially distributed number with mean 1.
fn exponential() -> f64 {
    -(1.0 - fastrand::f64()).ln()
}

/// What came back so far.
struct Tally {
    times: Recorder,
    recent: Recorder,
    recent_errors: u64,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    fn new() -> Self {
        Self { times: Recorder::new(), recent: Recorder::new(), recent_errors: 0, errors: BTreeMap::new() }
    }

    /// A request without an answer counts with the time that it was waited for: leaving it out
    /// would make the worst server look the fastest.
    fn count(&mut self, answer: Result<StatusCode, Failure>, time: Duration) {
        self.times.record(time);
        self.recent.record(time);
        match answer {
            Ok(status) if status.is_success() => {}
            Ok(status) => self.fail(status.as_str()),
            Err(failure) => self.fail(failure.as_str()),
        }
    }

    fn fail(&mut self, why: &str) {
        self.recent_errors += 1;
        *self.errors.entry(why.to_owned()).or_default() += 1;
    }

    fn take_recent(&mut self) -> (Recorder, u64) {
        let recent = std::mem::replace(&mut self.recent, Recorder::new());
        (recent, std::mem::take(&mut self.recent_errors))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    fn summary(&self, uri: &Uri, elapsed: Duration) -> Summary {
        let dropped = self.errors.get("too many in flight").copied().unwrap_or(0);
        let requests = self.times.count() + dropped;
        let errors: u64 = self.errors.values().sum();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        Summary {
            target: uri.to_string(),
            seconds: elapsed.as_secs_f64(),
            requests,
            requests_per_second: requests as f64 / elapsed.as_secs_f64().max(f64::EPSILON),
            errors,
            error_percent: 100.0 * errors as f64 / (requests.max(1)) as f64,
            errors_by_kind: self.errors.clone(),
            mean_ms: ms(self.times.mean()),
            p50_ms: ms(self.times.percentile(50)),
            p95_ms: ms(self.times.percentile(95)),
            p99_ms: ms(self.times.percentile(99)),
            max_ms: ms(self.times.max()),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    target: String,
    seconds: f64,
    requests: u64,
    requests_per_second: f64,
    errors: u64,
    error_percent: f64,
    errors_by_kind: BTreeMap<String, u64>,
    mean_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Summary {
    fn text(&self) -> String {
        let kinds: Vec<String> = self.errors_by_kind.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!("  {}", kinds.join(", ")) };
        format!(
            "target    {}\n\
             time      {:.1} s\n\
             requests  {} ({:.1}/s)\n\
             errors    {} ({:.2} %){kinds}\n\
             mean      {:.1} ms\n\
             p50       {:.1} ms\n\
             p95       {:.1} ms\n\
             p99       {:.1} ms\n\
             max       {:.1} ms\n",
            self.target,
            self.seconds,
            self.requests,
            self.requests_per_second,
            self.errors,
            self.error_percent,
            self.mean_ms,
            self.p50_ms,
            self.p95_ms,
            self.p99_ms,
            self.max_ms,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, expected) in [("30s", 30_000), ("100ms", 100), ("5m", 300_000), ("0", 0), ("1.5", 1500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for wrong in ["", "s", "5 days", "-1s", "5d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unanswered_request_is_an_error_and_counts_with_its_wait() {
        let mut tally = Tally::new();
        tally.count(Ok(StatusCode::OK), Duration::from_millis(10));
        tally.count(Ok(StatusCode::SERVICE_UNAVAILABLE), Duration::from_millis(20));
        tally.count(Err(Failure::Timeout), Duration::from_secs(10));
        tally.fail("too many in flight");
        let summary = tally.summary(&Uri::from_static("http://localhost/"), Duration::from_secs(2));
        assert_eq!((summary.requests, summary.errors), (4, 3));
        assert!((summary.error_percent - 75.0).abs() < 1e-9);
        assert!(summary.p99_ms > 9_000.0, "{summary:?}");
        assert!(summary.text().contains("503: 1, timeout: 1, too many in flight: 1"));
    }
}
