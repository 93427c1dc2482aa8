//! What a sweep costs: ten thousand thresholds, asked of a real Prometheus by the operator's own sweep, and one by one as others
//! do, in the same run. `make bench-sweep` prints the figures beside their goals.
//!
//! The operator is a process of its own, with the real engine and the real client; its clock is set by hand, so that rounds follow
//! each other. Processor time of Prometheus and memory of the operator are read from `/proc`. A measurement and no test; it ends
//! when the two ways find different things.
//!
//! `WORKLOADS=1000` measures a smaller fleet.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a measurement prints, and ends when it cannot measure"
)]

mod fleet;
mod operator;
mod server;

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    time::Instant,
};

use serde_json::Value;

use self::{
    fleet::{Metric, OF_NAMESPACE, START},
    operator::ROUNDS,
    server::Server,
};

fn main() {
    trimtab::shell::tls::install_provider();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let args: Vec<String> = env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--operator") {
        let number = |n: usize| args.get(at + n).and_then(|text| text.parse().ok()).expect("a number");
        let names = args.get(at + 4).map(String::as_str).unwrap_or_default();
        let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(|metric| names.contains(metric.as_str())).collect();
        runtime.block_on(operator::run(&args[at + 1], number(2), number(3), &metrics));
        return;
    }
    let workloads = env::var("WORKLOADS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    runtime.block_on(measure(workloads));
    let (longest, seconds, policies) = operator::edit();
    println!(
        "\nan edit among {policies} policies of 10 thresholds: in force {seconds} s later (goal: at once or with the next round, thus \
         30 s); the engine's longest step took {longest:.1?} (goal 1 s)"
    );
}

/// What one way of asking costs.
struct Cost {
    queries: f64,
    processor: f64,
    wall: f64,
    bytes: f64,
    breached: u64,
}

async fn measure(workloads: usize) {
    let server = Server::start(workloads).await;
    println!(
        "a fleet of {workloads} workloads, each with a gauge, a counter and a histogram of 12 buckets; per round of {workloads} thresholds:\n"
    );
    println!(
        "| thresholds | way | queries | Prometheus CPU s | wall s | answers MB | CPU of one by one | goal | operator MiB (peak) |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let scoped = (workloads / 10 / OF_NAMESPACE).max(1) * OF_NAMESPACE;
    for metric in Metric::ALL {
        for governed in [workloads, scoped] {
            let single = one_by_one(&server, metric, governed).await;
            let (sweep, resident, peak) = sweep(&server, workloads, governed, &[metric]).await;
            assert_eq!(sweep.breached, single.breached, "the two ways find different things");
            let what = format!("{governed} {}s", metric.as_str());
            let Cost { queries, processor, wall, bytes, .. } = single;
            println!("| {what} | one by one | {queries} | {processor:.2} | {wall:.1} | {:.2} | 1 | | |", bytes / 1e6);
            let ratio = processor / sweep.processor;
            let goal = if metric == Metric::Histogram { 3 } else { 12 };
            let Cost { queries, processor, wall, bytes, breached } = sweep;
            println!(
                "| {what} ({breached} breached) | sweep | {queries} | {processor:.3} | {wall:.2} | {:.2} | 1/{ratio:.1} | 1/{goal} | {resident:.0} ({peak:.0}) |",
                bytes / 1e6
            );
        }
    }
    let (all, resident, peak) = sweep(&server, workloads, workloads, &Metric::ALL).await;
    println!(
        "| {} of all three | sweep | {} (goal 20) | {:.2} | {:.2} | {:.2} | | | {resident:.0} ({peak:.0}) (goal 64) |",
        3 * workloads,
        all.queries,
        all.processor,
        all.wall,
        all.bytes / 1e6
    );
}

/// A round of the operator, and its memory afterwards and at most.
async fn sweep(server: &Server, workloads: usize, governed: usize, metrics: &[Metric]) -> (Cost, f64, f64) {
    let names: Vec<&str> = metrics.iter().map(|metric| metric.as_str()).collect();
    let mut process = Command::new(env::current_exe().expect("this program"))
        .args(["--operator", &server.url, &workloads.to_string(), &governed.to_string(), &names.join(",")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the operator");
    let mut said = BufReader::new(process.stdout.take().expect("its output"));
    let _ready = next(&mut said, &mut process);
    let (processor, bytes) = (server.processor(), server.bytes().await);
    process.stdin.take().expect("its input").write_all(b"\n").expect("tell it to begin");
    let end = next(&mut said, &mut process);
    let (processor, bytes) = (server.processor() - processor, server.bytes().await - bytes);
    assert!(process.wait().is_ok_and(|status| status.success()), "the operator failed");
    let number = |name: &str| end[name].as_f64().expect("a number");
    assert_eq!(
        end["judged"].as_u64(),
        u64::try_from(governed * metrics.len()).ok(),
        "not everything was judged: {end}"
    );
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let rounds = ROUNDS as f64;
    let cost = Cost {
        queries: number("queries") / rounds,
        processor: processor / rounds,
        wall: number("wall") / rounds,
        bytes: bytes / rounds,
        breached: end["breached"].as_u64().unwrap_or_default(),
    };
    (cost, number("resident"), number("peak"))
}

fn next(said: &mut BufReader<ChildStdout>, process: &mut Child) -> Value {
    let mut line = String::new();
    said.read_line(&mut line).expect("read from the operator");
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("the operator said {line:?}: {:?}", process.wait()))
}

/// One query for each threshold, one after the other over one connection.
async fn one_by_one(server: &Server, metric: Metric, governed: usize) -> Cost {
    let client = reqwest::Client::new();
    let (processor, bytes, begin) = (server.processor(), server.bytes().await, Instant::now());
    let mut breached = 0;
    for number in 0..governed {
        let (query, bound) = metric.single(number);
        let form = [("query", query), ("time", (START + 30 * ROUNDS).to_string())];
        let answer = client.post(format!("{}/api/v1/query", server.url)).form(&form).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        let value = answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
        breached += u64::from(value.expect("a reading") > bound);
    }
    let wall = begin.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let queries = governed as f64;
    Cost { queries, processor: server.processor() - processor, wall, bytes: server.bytes().await - bytes, breached }
}
