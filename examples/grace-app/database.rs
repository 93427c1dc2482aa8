//! What the application asks of its database, and the two databases that can answer: a real
//! PostgreSQL, and the loopback stand-in that comes with the example.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use crate::pool::Connect;

pub(crate) mod postgres;
pub(crate) mod processor;
pub(crate) mod standin;

/// One question; each takes one round trip on one connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "query")]
pub(crate) enum Query {
    Ping,
    TrustScore {
        url: String,
    },
    /// The messages of a user, the newest first.
    History {
        user: String,
        limit: Option<NonZeroU32>,
    },
    Append {
        user: String,
        text: String,
    },
    /// The share `part` of `parts` of the messages after `id`, at most `limit`.
    Since {
        id: i64,
        part: u32,
        parts: NonZeroU32,
        limit: NonZeroU32,
    },
    Summary,
    /// Forgets all but the newest messages.
    Trim {
        keep: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub(crate) enum Answer {
    Done,
    TrustScore {
        score: f64,
    },
    Messages {
        messages: Vec<Message>,
    },
    Summary {
        messages: u64,
        users: u64,
    },
    /// The database could not run the query; the connection is still good.
    Refused {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) user: String,
    pub(crate) text: String,
}

/// Why the database did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("failed to reach the database at \"{address}\"")]
    Unreachable { address: String, source: std::io::Error },
    #[error("the database at \"{address}\" refused the connection: {reason}")]
    Rejected { address: String, reason: String },
    #[error("the database refused the query: {0}")]
    Refused(String),
    #[error("the database closed the connection")]
    Closed,
    #[error("the database sent something that is not an answer: {0}")]
    Garbled(String),
}

/// Which database, as `DATABASE_URL` says it.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Postgres(Box<tokio_postgres::Config>),
    StandIn { address: String },
}

impl Database {
    /// Reads a URL such as `postgresql+asyncpg://user@host/name` or `standin://host:port`. The
    /// driver after the `+` means something to Python only.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| expected(url))?;
        match scheme.split_once('+').map_or(scheme, |(dialect, _driver)| dialect) {
            "postgres" | "postgresql" => {
                let mut config: tokio_postgres::Config = format!("postgresql://{rest}")
                    .parse()
                    .map_err(|error| format!("DATABASE_URL is not a PostgreSQL URL: {error}"))?;
                config.application_name("grace");
                if config.get_connect_timeout().is_none() {
                    config.connect_timeout(CONNECT_TIMEOUT);
                }
                Ok(Self::Postgres(Box::new(config)))
            }
            "standin" if !rest.is_empty() => Ok(Self::StandIn { address: rest.to_owned() }),
            _ => Err(expected(scheme)),
        }
    }
}

/// How long one attempt to connect may take, where the URL does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

fn expected(found: &str) -> String {
    format!(
        "DATABASE_URL must begin with postgresql:// or standin://HOST:PORT, got \"{found}\"; \
         leave it out to use the built-in stand-in"
    )
}

pub(crate) enum Connection {
    Postgres(postgres::Connection),
    StandIn(Box<standin::Connection>),
}

impl Connect for Database {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, DatabaseError> {
        match self {
            Self::Postgres(config) => postgres::Connection::open(config).await.map(Connection::Postgres),
            Self::StandIn { address } => {
                standin::Connection::open(address).await.map(|connection| Connection::StandIn(Box::new(connection)))
            }
        }
    }

    async fn execute(connection: &mut Connection, query: &Query) -> Result<Answer, DatabaseError> {
        match connection {
            Connection::Postgres(connection) => connection.execute(query).await,
            Connection::StandIn(connection) => connection.execute(query).await,
        }
    }

    fn is_closed(connection: &Connection) -> bool {
        match connection {
            Connection::Postgres(connection) => connection.is_closed(),
            Connection::StandIn(connection) => connection.is_closed(),
        }
    }
}

/// The trust score that a database computes for an address it sees for the first time.
pub(crate) fn first_score(url: &str) -> f64 {
    // FNV-1a: small, and the same in every process and release.
    let hash = url
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    f64::from(u32::try_from(hash % 1000).unwrap_or_default()) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_own_url_names_a_postgresql() {
        let parsed = Database::parse("postgresql+asyncpg://grace:password@localhost/grace");
        let Ok(Database::Postgres(config)) = parsed else { panic!("not PostgreSQL: {parsed:?}") };
        assert_eq!(config.get_user(), Some("grace"));
        assert_eq!(config.get_dbname(), Some("grace"));
    }

    #[test]
    fn other_databases_are_refused_with_what_would_work() {
        for url in ["sqlite+aiosqlite:///./grace.db", "grace", "standin://"] {
            let error = Database::parse(url).map(|_| ()).unwrap_err();
            assert!(error.contains("postgresql://") && error.contains("leave it out"), "{error}");
        }
    }

    #[test]
    fn scores_are_stable_and_between_zero_and_one() {
        assert_eq!(first_score("https://example.com/1").to_bits(), first_score("https://example.com/1").to_bits());
        assert!((0..1000).map(|n| first_score(&n.to_string())).all(|s| (0.0..1.0).contains(&s)));
    }
}
