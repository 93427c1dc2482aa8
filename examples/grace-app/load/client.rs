//! An HTTP client that keeps its connections in its own hands: it reuses them, but gives each up
//! after a number of requests, so that new pods behind a Service get their share.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode, Uri,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

pub(crate) struct Client {
    uri: Uri,
    host: String,
    port: u16,
    idle: Mutex<Vec<Connection>>,
    requests_per_connection: u32,
    timeout: Duration,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    requests: u32,
}

/// Why a request got no answer. The words are the keys of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    Connect,
    Broken,
    Timeout,
}

impl Failure {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Broken => "connection broken",
            Self::Timeout => "timeout",
        }
    }
}

impl Client {
    pub(crate) fn new(uri: Uri, requests_per_connection: u32, timeout: Duration) -> Result<Self, String> {
        let host = match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(host)) => host.trim_matches(['[', ']']).to_owned(),
            _ => return Err(format!("expected a URL such as http://localhost:8000, got \"{uri}\"")),
        };
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self { uri, host, port, idle: Mutex::default(), requests_per_connection, timeout })
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Sends one request, with `body` as JSON if there is one, and reads the whole answer.
    pub(crate) async fn send(&self, body: Option<Bytes>) -> Result<StatusCode, Failure> {
        timeout(self.timeout, self.attempt(body)).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn attempt(&self, body: Option<Bytes>) -> Result<StatusCode, Failure> {
        loop {
            let (mut connection, fresh) = match self.idle() {
                Some(connection) => (connection, false),
                None => (self.connect().await?, true),
            };
            connection.requests += 1;
            let response = match connection.sender.send_request(self.request(body.clone())).await {
                Ok(response) => response,
                // The server closed an idle connection before it saw anything of this request.
                Err(error) if error.is_canceled() && !fresh => continue,
                Err(_) => return Err(Failure::Broken),
            };
            let status = response.status();
            let leave = response.headers().get(header::CONNECTION).is_some_and(|it| it == "close");
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                frame.map_err(|_| Failure::Broken)?;
            }
            if !leave && connection.requests < self.requests_per_connection {
                self.lock().push(connection);
            }
            return Ok(status);
        }
    }

    fn request(&self, body: Option<Bytes>) -> Request<Full<Bytes>> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = method;
        if let Some(path) = self.uri.path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        let headers = request.headers_mut();
        if let Some(host) = self.uri.authority().and_then(|host| host.as_str().parse().ok()) {
            headers.insert(header::HOST, host);
        }
        headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("gzip"));
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        request
    }

    /// A connection that is still open, the most recently used first: surplus ones fall asleep.
    fn idle(&self) -> Option<Connection> {
        let mut idle = self.lock();
        std::iter::from_fn(|| idle.pop()).find(|connection| connection.sender.is_ready())
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Connect)?;
        tokio::spawn(async move {
            // Whoever waits for an answer on it is told of its end; nobody else needs to know.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
        Ok(Connection { sender, requests: 0 })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
