//! The outside world of tests: a patient eye, and a TCP server that answers HTTP requests with whatever bytes a test wants.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Waits until `done`, or fails the test.
pub async fn eventually(what: &str, done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// How a connection goes on after one request was read from it.
#[derive(Clone, Debug)]
pub enum Reply {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// Nothing, ever.
    Silence,
    /// The end of the connection.
    Close,
}

impl Reply {
    /// A whole HTTP response.
    pub fn http(status: u16, content_type: &str, body: &str) -> Self {
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        Self::Bytes((head + body).into_bytes())
    }

    /// A whole HTTP response with JSON.
    pub fn json(status: u16, body: &str) -> Self {
        Self::http(status, "application/json", body)
    }
}

/// A server that gives the n-th request the n-th reply, and the last one to all that follow.
#[derive(Debug)]
pub struct RawServer {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl RawServer {
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Vec<Reply> = replies.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let reply = replies.get(number).or(replies.last()).cloned().unwrap_or(Reply::Close);
                tokio::spawn(converse(stream, reply, seen.clone()));
            }
        });
        Self { url, requests, task }
    }

    /// The requests so far, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut stream: TcpStream, reply: Reply, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !is_complete(&request) {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&chunk[..n]),
        }
    }
    seen.lock().unwrap().push(String::from_utf8(request).unwrap());
    match reply {
        // The client may hang up in the middle of an answer that is too long for it.
        Reply::Bytes(bytes) => drop(stream.write_all(&bytes).await),
        Reply::Silence => std::future::pending().await,
        Reply::Close => {}
    }
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
    length.is_none_or(|length| body.len() >= length.trim().parse().unwrap())
}
