//! How the master and a worker talk: one JSON document per line over a socket pair. The worker
//! finds its end in place of standard output, and the shared listener in place of standard input,
//! so that both pass through an ordinary `exec`, without paths, ports or unsafe code.

use std::{io, os::fd::AsFd};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{metrics::snapshot::Snapshot, settings::Settings};

/// What the master tells a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "order")]
pub(crate) enum Order {
    /// Comes first, once.
    Start {
        settings: Settings,
        database_url: String,
    },
    Reload {
        settings: Settings,
    },
    Report,
    /// Asks clients to leave with their next answer; everything is still served.
    Closing,
    /// Accepts no more connections, finishes what is in flight, and exits.
    Drain,
}

/// What a worker tells its master.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "notice")]
pub(crate) enum Notice {
    Ready,
    Report { metrics: Snapshot },
}

/// One end of the line between master and worker.
pub(crate) struct Line {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
}

pub(crate) struct Incoming {
    reader: BufReader<OwnedReadHalf>,
    line: Vec<u8>,
}

pub(crate) struct Outgoing(OwnedWriteHalf);

impl Line {
    pub(crate) fn new(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        let incoming = Incoming { reader: BufReader::new(read), line: Vec::new() };
        Self { incoming, outgoing: Outgoing(write) }
    }

    /// The worker's end.
    pub(crate) fn inherited() -> io::Result<Self> {
        let owned = io::stdout().as_fd().try_clone_to_owned()?;
        let stream = std::os::unix::net::UnixStream::from(owned);
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream).map(Self::new)
    }
}

impl Incoming {
    /// The next message, or `None` when the other side has gone. May be cancelled: what was read
    /// of a message is kept for the next call.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        self.reader.read_until(b'\n', &mut self.line).await?;
        let complete = self.line.ends_with(b"\n");
        let message = if complete { Some(serde_json::from_slice(&self.line)?) } else { None };
        self.line.clear();
        Ok(message)
    }
}

impl Outgoing {
    pub(crate) async fn send<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.0.write_all(&line).await
    }
}

/// The listener that a worker shares with its master.
pub(crate) fn inherited_listener() -> io::Result<tokio::net::TcpListener> {
    let owned = io::stdin().as_fd().try_clone_to_owned()?;
    let listener = std::net::TcpListener::from(owned);
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
