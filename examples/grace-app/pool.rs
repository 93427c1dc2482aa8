//! A pool of database connections with the semantics of `SQLAlchemy`'s `QueuePool`: `size`
//! connections stay open, `max_overflow` more are opened while all are busy and closed when they
//! come back, and whoever waits longer than `timeout` is refused. Waiters are served in order.
//!
//! One thing differs: the persistent connections are opened at the start ([`Pool::fill`]), as
//! `HikariCP` does, so that the database sees the configured size before the first rush.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::{Histogram, IntCounter};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, error::Elapsed, timeout_at},
};

use crate::{
    database::{Answer, DatabaseError, Query},
    settings::PoolLimits,
};

/// How the pool opens and uses its connections.
pub(crate) trait Connect: Send + Sync + 'static {
    type Connection: Send + 'static;

    fn connect(&self) -> impl Future<Output = Result<Self::Connection, DatabaseError>> + Send;

    fn execute(
        connection: &mut Self::Connection,
        query: &Query,
    ) -> impl Future<Output = Result<Answer, DatabaseError>> + Send;

    /// Whether the other side has gone; asked before a connection is handed out.
    fn is_closed(connection: &Self::Connection) -> bool;
}

/// Why no connection could be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    #[error(
        "no connection became free within {:.3} s (pool size {}, overflow {})",
        limits.timeout.0.as_secs_f64(), limits.size, limits.max_overflow
    )]
    Timeout { limits: PoolLimits },
    #[error("failed to open a database connection")]
    Connect(#[source] DatabaseError),
    #[error("the connection pool is closed")]
    Closed,
}

/// What the pool counts as it goes; the gauges are read from [`Pool::status`] at each scrape.
#[derive(Clone)]
pub(crate) struct PoolMetrics {
    pub(crate) wait: [Histogram; 2],
    pub(crate) timeouts: [IntCounter; 2],
}

/// A look at the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) idle: usize,
    /// Handed out, or being opened for somebody.
    pub(crate) used: usize,
    /// Requests that wait for a connection.
    pub(crate) pending: usize,
    pub(crate) limits: PoolLimits,
}

/// A cheap handle to one pool.
pub(crate) struct Pool<C: Connect> {
    shared: Arc<Shared<C>>,
}

impl<C: Connect> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<C: Connect> {
    connector: C,
    /// One permit per connection that may be in use: this is the queue of the waiters, and tokio's
    /// semaphore serves it first come, first served.
    permits: Arc<Semaphore>,
    state: Mutex<State<C::Connection>>,
    metrics: PoolMetrics,
}

struct State<T> {
    idle: VecDeque<T>,
    used: usize,
    pending: usize,
    limits: PoolLimits,
    /// Permits to destroy when they come back, because the pool was made smaller while busy.
    debt: usize,
}

impl<C: Connect> Pool<C> {
    pub(crate) fn new(connector: C, limits: PoolLimits, metrics: PoolMetrics) -> Self {
        let state = State { idle: VecDeque::new(), used: 0, pending: 0, limits, debt: 0 };
        let shared = Shared {
            connector,
            permits: Arc::new(Semaphore::new(limits.ceiling())),
            state: Mutex::new(state),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits for a connection, opens one if the pool may still grow.
    pub(crate) async fn acquire(&self) -> Result<Pooled<C>, PoolError> {
        let started = Instant::now();
        let limits = self.shared.lock().limits;
        let deadline = started + limits.timeout.0;
        let result = match self.permit(deadline).await {
            Err(_) => Err(PoolError::Timeout { limits }),
            Ok(Err(_)) => Err(PoolError::Closed),
            Ok(Ok(permit)) => {
                let pooled = self.shared.checkout(permit);
                match timeout_at(deadline, pooled.ready()).await {
                    Ok(result) => result.map_err(PoolError::Connect),
                    Err(_) => Err(PoolError::Timeout { limits }),
                }
            }
        };
        let waited = started.elapsed().as_secs_f64();
        self.shared.metrics.wait.iter().for_each(|histogram| histogram.observe(waited));
        if matches!(result, Err(PoolError::Timeout { .. })) {
            self.shared.metrics.timeouts.iter().for_each(IntCounter::inc);
        }
        result
    }

    async fn permit(&self, deadline: Instant) -> Result<Result<OwnedSemaphorePermit, AcquireError>, Elapsed> {
        let permits = Arc::clone(&self.shared.permits);
        // Who finds a free place has not waited and is never counted as pending.
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            return Ok(Ok(permit));
        }
        let _pending = Pending::new(&self.shared);
        timeout_at(deadline, permits.acquire_owned()).await
    }

    /// Opens persistent connections until there are `size` of them. Does nothing while the pool
    /// is so busy that its users open them anyway.
    pub(crate) async fn fill(&self) -> Result<(), DatabaseError> {
        loop {
            let Ok(permit) = Arc::clone(&self.shared.permits).try_acquire_owned() else {
                return Ok(());
            };
            let Some(place) = self.shared.reserve_missing(permit) else { return Ok(()) };
            drop(place.ready().await?);
        }
    }

    /// Applies new limits to a running pool: grows at once, and shrinks as connections come back.
    pub(crate) fn set_limits(&self, limits: PoolLimits) {
        let surplus = {
            let mut state = self.shared.lock();
            let (old, new) = (state.limits.ceiling(), limits.ceiling());
            state.limits = limits;
            if new >= old {
                let forgiven = state.debt.min(new - old);
                state.debt -= forgiven;
                self.shared.permits.add_permits(new - old - forgiven);
            } else {
                let destroyed = self.shared.permits.forget_permits(old - new);
                state.debt += old - new - destroyed;
            }
            let keep = limits.size.min(new.saturating_sub(state.used));
            let surplus = state.idle.len().saturating_sub(keep);
            state.idle.drain(..surplus).collect::<Vec<_>>()
        };
        drop(surplus); // connections are closed outside the lock
    }

    pub(crate) fn status(&self) -> Status {
        let state = self.shared.lock();
        Status { idle: state.idle.len(), used: state.used, pending: state.pending, limits: state.limits }
    }

    /// Refuses everyone from now on and closes the idle connections.
    pub(crate) fn close(&self) {
        self.shared.permits.close();
        let idle = std::mem::take(&mut self.shared.lock().idle);
        drop(idle);
    }
}

impl<C: Connect> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C::Connection>> {
        // No code that can panic runs under this lock, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an idle connection that is still alive, or the place for a new one.
    fn checkout(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Pooled<C> {
        let mut dead = Vec::new();
        let connection = {
            let mut state = self.lock();
            state.used += 1;
            loop {
                match state.idle.pop_front() {
                    Some(connection) if C::is_closed(&connection) => dead.push(connection),
                    other => break other,
                }
            }
        };
        drop(dead);
        Pooled { connection, clean: true, permit: Some(permit), shared: Arc::clone(self) }
    }

    /// The place for one more persistent connection, if one is missing.
    fn reserve_missing(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Option<Pooled<C>> {
        let mut state = self.lock();
        if state.idle.len() + state.used >= state.limits.size {
            return None;
        }
        state.used += 1;
        Some(Pooled { connection: None, clean: true, permit: Some(permit), shared: Arc::clone(self) })
    }
}

/// A connection on loan; goes back when dropped. One that was dropped in the middle of a query is
/// closed instead, because an answer nobody reads would be taken for the next query's.
pub(crate) struct Pooled<C: Connect> {
    connection: Option<C::Connection>,
    clean: bool,
    permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared<C>>,
}

impl<C: Connect> Pooled<C> {
    async fn ready(mut self) -> Result<Self, DatabaseError> {
        if self.connection.is_none() {
            self.connection = Some(self.shared.connector.connect().await?);
        }
        Ok(self)
    }

    /// Runs one query on this connection.
    pub(crate) async fn execute(&mut self, query: &Query) -> Result<Answer, DatabaseError> {
        let connection = self.connection.as_mut().ok_or(DatabaseError::Closed)?;
        self.clean = false;
        let result = C::execute(connection, query).await;
        // A query that the database refused has been answered: the connection is in order.
        self.clean = matches!(result, Ok(_) | Err(DatabaseError::Refused(_)));
        result
    }
}

impl<C: Connect> Drop for Pooled<C> {
    fn drop(&mut self) {
        let connection = self.connection.take();
        let mut state = self.shared.lock();
        state.used -= 1;
        let room = state.limits.size.min(state.limits.ceiling().saturating_sub(state.used));
        let keep = self.clean && state.idle.len() < room && !self.shared.permits.is_closed();
        let surplus = match connection {
            Some(connection) if keep => {
                state.idle.push_back(connection);
                None
            }
            other => other,
        };
        // The permit goes last: the waiter that it wakes must find the connection in its place.
        if let Some(permit) = self.permit.take() {
            if state.debt > 0 {
                state.debt -= 1;
                permit.forget();
            } else {
                drop(permit);
            }
        }
        drop(state);
        drop(surplus);
    }
}

/// Counts one waiter for as long as it lives, however the wait ends.
struct Pending<'a, C: Connect>(&'a Shared<C>);

impl<'a, C: Connect> Pending<'a, C> {
    fn new(shared: &'a Shared<C>) -> Self {
        shared.lock().pending += 1;
        Self(shared)
    }
}

impl<C: Connect> Drop for Pending<'_, C> {
    fn drop(&mut self) {
        self.0.lock().pending -= 1;
    }
}

/// How long the pool's user should wait before it tries to fill the pool again.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
