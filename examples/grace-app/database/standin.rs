//! The stand-in database: a TCP server that really holds its connections, refuses more than its
//! limit, and takes its time over each query as a loaded database does.
//!
//! The protocol is one JSON document per line in each direction, after a greeting by the server.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

use super::{
    Answer, DatabaseError, Message, Query, first_score,
    processor::{Model, Processor},
};

/// How fast the stand-in is. The names are those of its arguments beside the server's.
#[expect(clippy::struct_field_names, reason = "clap names the arguments after the fields")]
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct StandInOptions {
    /// Mean time of a read query on an idle stand-in database; times are exponentially distributed
    #[arg(long, env = "STANDIN_SERVICE_TIME_MS", value_name = "MILLISECONDS", default_value_t = 15.0)]
    pub(crate) standin_service_time_ms: f64,
    /// Cores of the stand-in database, shared evenly by the queries that run
    #[arg(long, env = "STANDIN_CORES", value_name = "CORES", default_value_t = 8.0)]
    pub(crate) standin_cores: f64,
    /// What each pair of concurrent queries costs: 0.0005 halves the speed at 45 queries
    #[arg(long, env = "STANDIN_CROSSTALK", value_name = "SHARE", default_value_t = 0.0005)]
    pub(crate) standin_crosstalk: f64,
    /// Connections that the stand-in database accepts
    #[arg(long, env = "STANDIN_MAX_CONNECTIONS", value_name = "CONNECTIONS", default_value_t = 100)]
    pub(crate) standin_max_connections: usize,
}

/// How the stand-in runs as a process of its own.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct DatabaseOptions {
    /// Address to listen on; servers reach it with `standin://` before it as their `DATABASE_URL`
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:5433")]
    listen: SocketAddr,
    #[command(flatten)]
    standin: StandInOptions,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(options: DatabaseOptions) -> anyhow::Result<()> {
    options.standin.check().map_err(anyhow::Error::msg)?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen to SIGINT")?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("failed to listen on {} (LISTEN)", options.listen))?;
    let address = listener.local_addr().context("failed to read the listening address")?;
    println!("listening on {address} (database)");
    tokio::select! {
        () = StandIn::new(options.standin).serve(listener) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

impl StandInOptions {
    /// Says which option makes no sense; the model divides by some of them.
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.standin_service_time_ms) || self.standin_service_time_ms > 60_000.0 {
            return Err("STANDIN_SERVICE_TIME_MS must be above 0 and at most 60000".to_owned());
        }
        if !positive(self.standin_cores) {
            return Err("STANDIN_CORES must be above 0".to_owned());
        }
        if !(0.0..=1.0).contains(&self.standin_crosstalk) {
            return Err("STANDIN_CROSSTALK must be between 0 and 1".to_owned());
        }
        Ok(())
    }
}

/// A running stand-in.
#[derive(Clone)]
pub(crate) struct StandIn {
    inner: Arc<Inner>,
}

struct Inner {
    options: StandInOptions,
    processor: Processor,
    store: Mutex<Store>,
    connections: AtomicUsize,
}

impl StandIn {
    pub(crate) fn new(options: StandInOptions) -> Self {
        let processor = Processor::start(Model { cores: options.standin_cores, crosstalk: options.standin_crosstalk });
        let inner = Inner { options, processor, store: Mutex::new(Store::seeded()), connections: AtomicUsize::new(0) };
        Self { inner: Arc::new(inner) }
    }

    /// Accepts connections for ever.
    pub(crate) async fn serve(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let standin = self.clone();
                    tokio::spawn(async move { standin.attend(stream, peer).await });
                }
                Err(error) => {
                    // Out of descriptors, most likely: the pause lets some connections end.
                    tracing::warn!(%error, "stand-in database failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.inner.connections.load(Relaxed)
    }

    pub(crate) fn running(&self) -> usize {
        self.inner.processor.running()
    }

    pub(crate) fn max_connections(&self) -> usize {
        self.inner.options.standin_max_connections
    }

    async fn attend(&self, stream: TcpStream, peer: SocketAddr) {
        let _open = Open::new(&self.inner.connections);
        let crowded = self.connections() > self.inner.options.standin_max_connections;
        if let Err(error) = self.converse(stream, crowded).await {
            tracing::debug!(%peer, %error, "a client of the stand-in database went away");
        }
    }

    async fn converse(&self, stream: TcpStream, crowded: bool) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        if crowded {
            let reason = "sorry, too many clients already".to_owned();
            return send(stream.get_mut(), &Answer::Refused { reason }).await;
        }
        send(stream.get_mut(), &Answer::Done).await?;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let answer = match serde_json::from_str(&line) {
                Ok(query) => self.answer(query).await,
                Err(error) => Answer::Refused { reason: format!("not a query: {error}") },
            };
            send(stream.get_mut(), &answer).await?;
            line.clear();
        }
        Ok(())
    }

    /// Looks first and then spends the time that the query costs: how much that is depends on the
    /// rows it found.
    async fn answer(&self, query: Query) -> Answer {
        let mean = Duration::from_secs_f64(self.inner.options.standin_service_time_ms / 1000.0);
        let share = match &query {
            Query::Ping => 0.05,
            Query::Append { .. } => 0.2,
            Query::TrustScore { .. }
            | Query::History { .. }
            | Query::Since { .. }
            | Query::Summary
            | Query::Trim { .. } => 1.0,
        };
        let answer = {
            // No code that can panic runs under this lock, so a poisoned store is still whole.
            let mut store = self.inner.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.apply(query)
        };
        let rows = match &answer {
            Answer::Messages { messages } => u32::try_from(messages.len()).unwrap_or(u32::MAX),
            Answer::Done | Answer::TrustScore { .. } | Answer::Summary { .. } | Answer::Refused { .. } => 0,
        };
        let work = mean.mul_f64(share * exponential()) + PER_ROW * rows;
        self.inner.processor.run(work).await;
        answer
    }
}

/// What finding and sending one row costs.
const PER_ROW: Duration = Duration::from_micros(10);

/// An exponentially distributed number with mean 1.
fn exponential() -> f64 {
    -(1.0 - fastrand::f64()).ln()
}

async fn send(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

/// Counts an open connection for as long as it lives.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The data. Reads scan it, as they would without an index.
struct Store {
    messages: VecDeque<Message>,
    next_id: i64,
}

impl Store {
    /// Users with a history, so that a query without a limit has something to load.
    fn seeded() -> Self {
        let mut store = Self { messages: VecDeque::new(), next_id: 1 };
        for n in 0..200 {
            for user in 0..50 {
                store.append(format!("user-{user}"), format!("an older message, number {n}"));
            }
        }
        store
    }

    fn append(&mut self, user: String, text: String) {
        if self.messages.len() >= CAPACITY {
            self.messages.pop_front();
        }
        self.messages.push_back(Message { id: self.next_id, user, text });
        self.next_id += 1;
    }

    fn apply(&mut self, query: Query) -> Answer {
        match query {
            Query::Ping => Answer::Done,
            Query::TrustScore { url } => Answer::TrustScore { score: first_score(&url) },
            Query::History { user, limit } => Answer::Messages {
                messages: self
                    .messages
                    .iter()
                    .rev()
                    .filter(|message| message.user == user)
                    .take(limit.map_or(usize::MAX, |limit| limit.get() as usize))
                    .cloned()
                    .collect(),
            },
            Query::Append { user, text } => {
                self.append(user, text);
                Answer::Done
            }
            Query::Since { id, part, parts, limit } => Answer::Messages {
                messages: self
                    .messages
                    .iter()
                    .filter(|message| {
                        message.id > id && message.id.rem_euclid(i64::from(parts.get())) == i64::from(part)
                    })
                    .take(limit.get() as usize)
                    .cloned()
                    .collect(),
            },
            Query::Summary => {
                let users: std::collections::HashSet<_> = self.messages.iter().map(|message| &message.user).collect();
                Answer::Summary { messages: self.messages.len() as u64, users: users.len() as u64 }
            }
            Query::Trim { keep } => {
                let surplus = self.messages.len().saturating_sub(keep as usize);
                self.messages.drain(..surplus);
                Answer::Done
            }
        }
    }
}

/// Messages that the stand-in remembers; it lives in memory.
const CAPACITY: usize = 12_000;

/// The client's end of a connection to a stand-in.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self, DatabaseError> {
        let unreachable = |source| DatabaseError::Unreachable { address: address.to_owned(), source };
        let stream = TcpStream::connect(address).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut connection = Self { stream: BufReader::new(stream), line: String::new() };
        match connection.receive().await? {
            Answer::Refused { reason } => Err(DatabaseError::Rejected { address: address.to_owned(), reason }),
            Answer::Done => Ok(connection),
            other => Err(DatabaseError::Garbled(format!("greeted with {other:?}"))),
        }
    }

    pub(crate) async fn execute(&mut self, query: &Query) -> Result<Answer, DatabaseError> {
        let mut line = serde_json::to_vec(query).map_err(|error| DatabaseError::Refused(error.to_string()))?;
        line.push(b'\n');
        self.stream.write_all(&line).await.map_err(|_| DatabaseError::Closed)?;
        match self.receive().await? {
            Answer::Refused { reason } => Err(DatabaseError::Refused(reason)),
            answer => Ok(answer),
        }
    }

    async fn receive(&mut self) -> Result<Answer, DatabaseError> {
        self.line.clear();
        match self.stream.read_line(&mut self.line).await {
            Ok(0) | Err(_) => Err(DatabaseError::Closed),
            Ok(_) => serde_json::from_str(&self.line).map_err(|error| DatabaseError::Garbled(error.to_string())),
        }
    }

    /// Nothing may arrive on an idle connection but its end.
    pub(crate) fn is_closed(&self) -> bool {
        let idle = self.stream.get_ref().try_read(&mut [0; 1]);
        !matches!(idle, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn options(max_connections: usize) -> StandInOptions {
        StandInOptions {
            standin_service_time_ms: 0.001,
            standin_cores: 8.0,
            standin_crosstalk: 0.0,
            standin_max_connections: max_connections,
        }
    }

    async fn started(max_connections: usize) -> (StandIn, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let standin = StandIn::new(options(max_connections));
        tokio::spawn(standin.clone().serve(listener));
        (standin, address)
    }

    #[tokio::test]
    async fn it_answers_from_its_data() {
        let (_, address) = started(10).await;
        let mut connection = Connection::open(&address).await.unwrap();
        let append = Query::Append { user: "odd".to_owned(), text: "hello".to_owned() };
        assert_eq!(connection.execute(&append).await.unwrap(), Answer::Done);
        let history = Query::History { user: "odd".to_owned(), limit: None };
        let Answer::Messages { messages } = connection.execute(&history).await.unwrap() else {
            panic!("no messages");
        };
        assert_eq!(messages.len(), 1);
        let limited = Query::History { user: "user-7".to_owned(), limit: NonZeroU32::new(50) };
        let Answer::Messages { messages } = connection.execute(&limited).await.unwrap() else {
            panic!("no messages");
        };
        assert_eq!(messages.len(), 50);
        assert!(messages.is_sorted_by(|a, b| a.id > b.id), "the newest come first");
    }

    #[tokio::test]
    async fn it_refuses_more_clients_than_it_may_hold() {
        let (standin, address) = started(2).await;
        let _first = Connection::open(&address).await.unwrap();
        let _second = Connection::open(&address).await.unwrap();
        assert_eq!(standin.connections(), 2);
        let error = Connection::open(&address).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("too many clients"), "{error}");
    }

    #[tokio::test]
    async fn a_connection_notices_that_the_server_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            send(&mut stream, &Answer::Done).await.unwrap();
            stream
        });
        let connection = Connection::open(&address).await.unwrap();
        assert!(!connection.is_closed());
        drop(server.await.unwrap());
        connection.stream.get_ref().readable().await.unwrap();
        assert!(connection.is_closed());
    }
}
