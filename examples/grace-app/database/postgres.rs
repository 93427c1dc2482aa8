//! Real connections to PostgreSQL.

use tokio_postgres::{
    Client, Config, NoTls,
    types::{ToSql, Type},
};

use super::{Answer, DatabaseError, Message, Query, first_score};

/// Creates what is missing, with the indexes that the guide asks for. The advisory lock keeps two
/// pods that start together from creating the same table twice.
const SCHEMA: &str = r#"
SELECT pg_advisory_lock(4774951);
CREATE TABLE IF NOT EXISTS chat_messages (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "user" text NOT NULL,
  text text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX IF NOT EXISTS idx_chat_user_created ON chat_messages ("user", created_at DESC);
CREATE TABLE IF NOT EXISTS trust_scores (url text PRIMARY KEY, score float8 NOT NULL);
SELECT pg_advisory_unlock(4774951);
"#;

pub(crate) struct Connection {
    client: Client,
}

impl Connection {
    pub(crate) async fn open(config: &Config) -> Result<Self, DatabaseError> {
        let (client, connection) = config.connect(NoTls).await.map_err(|error| rejected(config, &error))?;
        // This task is the connection: it ends, and closes it, when the client is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a PostgreSQL connection broke");
            }
        });
        Ok(Self { client })
    }

    /// Creates the tables; called once by the master, before any worker needs them.
    pub(crate) async fn create_schema(&self) -> Result<(), DatabaseError> {
        self.client.batch_execute(SCHEMA).await.map_err(failed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(crate) async fn execute(&self, query: &Query) -> Result<Answer, DatabaseError> {
        match query {
            Query::Ping => self.rows("SELECT 1", &[]).await.map(|_| Answer::Done),
            Query::TrustScore { url } => self.trust_score(url).await,
            Query::History { user, limit } => {
                let limit = limit.map(|limit| i64::from(limit.get()));
                self.messages(
                    "SELECT id, \"user\", text FROM chat_messages WHERE \"user\" = $1 \
                     ORDER BY created_at DESC LIMIT $2",
                    &[(user, Type::TEXT), (&limit, Type::INT8)],
                )
                .await
            }
            Query::Append { user, text } => self
                .rows(
                    "INSERT INTO chat_messages (\"user\", text) VALUES ($1, $2)",
                    &[(user, Type::TEXT), (text, Type::TEXT)],
                )
                .await
                .map(|_| Answer::Done),
            Query::Since { id, part, parts, limit } => {
                let [part, parts, limit] = [*part, parts.get(), limit.get()].map(i64::from);
                self.messages(
                    "SELECT id, \"user\", text FROM chat_messages \
                     WHERE id > $1 AND id % $3 = $2 ORDER BY id LIMIT $4",
                    &[(id, Type::INT8), (&part, Type::INT8), (&parts, Type::INT8), (&limit, Type::INT8)],
                )
                .await
            }
            Query::Summary => self.summary().await,
            Query::Trim { keep } => self
                .rows(
                    "DELETE FROM chat_messages WHERE id <= (SELECT max(id) FROM chat_messages) - $1",
                    &[(&i64::from(*keep), Type::INT8)],
                )
                .await
                .map(|_| Answer::Done),
        }
    }

    async fn trust_score(&self, url: &String) -> Result<Answer, DatabaseError> {
        let rows = self.rows("SELECT score FROM trust_scores WHERE url = $1", &[(url, Type::TEXT)]).await?;
        if let Some(row) = rows.first() {
            return Ok(Answer::TrustScore { score: row.try_get(0).map_err(failed)? });
        }
        let score = first_score(url);
        self.rows(
            "INSERT INTO trust_scores (url, score) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[(url, Type::TEXT), (&score, Type::FLOAT8)],
        )
        .await?;
        Ok(Answer::TrustScore { score })
    }

    async fn summary(&self) -> Result<Answer, DatabaseError> {
        let rows = self.rows("SELECT count(*), count(DISTINCT \"user\") FROM chat_messages", &[]).await?;
        let row = rows.first().ok_or(DatabaseError::Closed)?;
        let count = |column: usize| -> Result<u64, DatabaseError> {
            let count: i64 = row.try_get(column).map_err(failed)?;
            u64::try_from(count).map_err(|error| DatabaseError::Garbled(error.to_string()))
        };
        Ok(Answer::Summary { messages: count(0)?, users: count(1)? })
    }

    async fn messages(&self, sql: &str, values: &[Value<'_>]) -> Result<Answer, DatabaseError> {
        let rows = self.rows(sql, values).await?;
        let message = |row: &tokio_postgres::Row| -> Result<Message, tokio_postgres::Error> {
            Ok(Message { id: row.try_get(0)?, user: row.try_get(1)?, text: row.try_get(2)? })
        };
        let messages = rows.iter().map(message).collect::<Result<_, _>>().map_err(failed)?;
        Ok(Answer::Messages { messages })
    }

    /// Types are given, so that the statement needs no round trip of its own to be prepared.
    async fn rows(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<tokio_postgres::Row>, DatabaseError> {
        self.client.query_typed(sql, values).await.map_err(failed)
    }
}

type Value<'a> = (&'a (dyn ToSql + Sync), Type);

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failed(error: tokio_postgres::Error) -> DatabaseError {
    match error.as_db_error() {
        Some(refusal) => DatabaseError::Refused(refusal.message().to_owned()),
        None if error.is_closed() => DatabaseError::Closed,
        None => DatabaseError::Garbled(chain(&error)),
    }
}

fn rejected(config: &Config, error: &tokio_postgres::Error) -> DatabaseError {
    let hosts: Vec<_> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    DatabaseError::Rejected { address: hosts.join(","), reason: chain(error) }
}

/// The error with its causes: the outermost one of this library says little.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
