use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use prometheus::HistogramOpts;
use tokio::{task::JoinHandle, time::advance};

use super::*;
use crate::settings::Seconds;

/// A database that counts its connections and can be told to go away.
#[derive(Clone, Default)]
struct Fake {
    open: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

struct FakeConnection {
    number: usize,
    open: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.open.fetch_sub(1, SeqCst);
    }
}

impl Connect for Fake {
    type Connection = FakeConnection;

    async fn connect(&self) -> Result<FakeConnection, DatabaseError> {
        if self.away.load(SeqCst) {
            return Err(DatabaseError::Closed);
        }
        self.open.fetch_add(1, SeqCst);
        let number = self.opened.fetch_add(1, SeqCst);
        Ok(FakeConnection { number, open: Arc::clone(&self.open), away: Arc::clone(&self.away) })
    }

    /// A ping is answered at once, everything else takes for ever.
    async fn execute(_: &mut FakeConnection, query: &Query) -> Result<Answer, DatabaseError> {
        match query {
            Query::Ping => Ok(Answer::Done),
            _ => std::future::pending().await,
        }
    }

    fn is_closed(connection: &FakeConnection) -> bool {
        connection.away.load(SeqCst)
    }
}

fn limits(size: usize, max_overflow: usize, timeout: u64) -> PoolLimits {
    PoolLimits { size, max_overflow, timeout: Seconds::new(timeout) }
}

fn pool(limits: PoolLimits) -> (Pool<Fake>, Fake) {
    let fake = Fake::default();
    let histogram = || Histogram::with_opts(HistogramOpts::new("wait", "a wait")).unwrap();
    let counter = || IntCounter::new("timeouts", "timeouts").unwrap();
    let metrics = PoolMetrics { wait: [histogram(), histogram()], timeouts: [counter(), counter()] };
    (Pool::new(fake.clone(), limits, metrics), fake)
}

/// Lets every task run that can, without moving the clock.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn waiter(pool: &Pool<Fake>) -> JoinHandle<Result<Pooled<Fake>, PoolError>> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.acquire().await })
}

async fn take(pool: &Pool<Fake>, count: usize) -> Vec<Pooled<Fake>> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(pool.acquire().await.unwrap());
    }
    taken
}

#[track_caller]
fn check(pool: &Pool<Fake>, idle: usize, used: usize, pending: usize) {
    let status = pool.status();
    assert_eq!((status.idle, status.used, status.pending), (idle, used, pending), "idle, used, pending");
}

#[tokio::test(start_paused = true)]
async fn filling_opens_the_persistent_connections_and_no_more() {
    let (pool, database) = pool(limits(3, 2, 30));
    pool.fill().await.unwrap();
    check(&pool, 3, 0, 0);
    pool.fill().await.unwrap();
    assert_eq!(database.opened.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn overflow_is_opened_when_all_are_busy_and_closed_when_it_comes_back() {
    let (pool, database) = pool(limits(2, 1, 30));
    pool.fill().await.unwrap();
    let taken = take(&pool, 3).await;
    check(&pool, 0, 3, 0);
    assert_eq!(database.open.load(SeqCst), 3);
    drop(taken);
    check(&pool, 2, 0, 0);
    assert_eq!(database.open.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn the_pool_never_holds_more_than_size_and_overflow() {
    let (pool, database) = pool(limits(2, 3, 30));
    let workers: Vec<_> = (0..50)
        .map(|_| {
            let (pool, database) = (pool.clone(), database.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    let mut connection = pool.acquire().await.unwrap();
                    assert!(database.open.load(SeqCst) <= 5);
                    connection.execute(&Query::Ping).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    check(&pool, 2, 0, 0);
    assert_eq!(database.open.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_of_their_arrival() {
    let (pool, _) = pool(limits(1, 0, 30));
    let held = pool.acquire().await.unwrap();
    let first = waiter(&pool);
    settle().await;
    let second = waiter(&pool);
    settle().await;
    check(&pool, 0, 1, 2);
    drop(held);
    settle().await;
    assert!(first.is_finished() && !second.is_finished());
    drop(first.await.unwrap());
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_refused_and_counted() {
    let (pool, _) = pool(limits(1, 0, 30));
    let held = pool.acquire().await.unwrap();
    let late = waiter(&pool);
    settle().await;
    advance(Duration::from_millis(29_999)).await;
    settle().await;
    assert!(!late.is_finished());
    advance(Duration::from_millis(2)).await;
    let error = late.await.unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(error, PoolError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("pool size 1"), "{error}");
    check(&pool, 0, 1, 0);
    assert_eq!(pool.shared.metrics.timeouts[0].get(), 1);
    assert_eq!(pool.shared.metrics.wait[0].get_sample_count(), 2);
    drop(held);
    assert!(pool.acquire().await.is_ok(), "the refused waiter has left the queue");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_was_given_up_costs_its_connection() {
    let (pool, database) = pool(limits(1, 0, 30));
    let stuck = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap().execute(&Query::Summary).await }
    });
    settle().await;
    check(&pool, 0, 1, 0);
    stuck.abort();
    assert!(stuck.await.unwrap_err().is_cancelled());
    check(&pool, 0, 0, 0);
    assert_eq!(database.open.load(SeqCst), 0);
    let next = pool.acquire().await.unwrap();
    assert_eq!(next.connection.as_ref().map(|it| it.number), Some(1), "a new connection");
}

#[tokio::test(start_paused = true)]
async fn dead_connections_are_replaced_and_a_failure_to_open_gives_the_place_back() {
    let (pool, database) = pool(limits(2, 0, 30));
    pool.fill().await.unwrap();
    database.away.store(true, SeqCst);
    for _ in 0..5 {
        let error = pool.acquire().await.map(|_| ()).unwrap_err();
        assert!(matches!(error, PoolError::Connect(_)), "{error}");
    }
    check(&pool, 0, 0, 0);
    assert_eq!(database.open.load(SeqCst), 0);
    database.away.store(false, SeqCst);
    let taken = take(&pool, 2).await;
    check(&pool, 0, 2, 0);
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn a_larger_pool_serves_those_who_wait() {
    let (pool, _) = pool(limits(1, 0, 30));
    let _held = pool.acquire().await.unwrap();
    let waiting = [waiter(&pool), waiter(&pool)];
    settle().await;
    check(&pool, 0, 1, 2);
    pool.set_limits(limits(3, 0, 30));
    settle().await;
    check(&pool, 0, 3, 0);
    for waiter in waiting {
        assert!(waiter.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_smaller_pool_shrinks_as_connections_come_back() {
    let (pool, database) = pool(limits(4, 0, 30));
    pool.fill().await.unwrap();
    let mut taken = take(&pool, 3).await;
    pool.set_limits(limits(2, 0, 30));
    assert_eq!(database.open.load(SeqCst), 3, "the idle one went at once");
    taken.pop();
    assert_eq!(database.open.load(SeqCst), 2);
    let waiting = waiter(&pool);
    settle().await;
    assert!(!waiting.is_finished(), "two are out, and two is the limit now");
    taken.pop();
    assert!(waiting.await.unwrap().is_ok());
    drop(taken);
    check(&pool, 2, 0, 0);
    // Back to the old size: the debt was paid, so all four places exist again.
    pool.set_limits(limits(4, 0, 30));
    let taken = take(&pool, 4).await;
    assert_eq!(pool.shared.permits.available_permits(), 0);
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn growing_again_before_the_debt_is_paid_forgives_it() {
    let (pool, _) = pool(limits(4, 0, 30));
    let taken = take(&pool, 4).await;
    pool.set_limits(limits(1, 0, 30));
    pool.set_limits(limits(3, 0, 30));
    drop(taken);
    assert_eq!(pool.shared.permits.available_permits(), 3);
    check(&pool, 3, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_refuses_and_lets_go() {
    let (pool, database) = pool(limits(2, 0, 30));
    pool.fill().await.unwrap();
    let taken = take(&pool, 1).await;
    pool.close();
    assert!(matches!(pool.acquire().await.map(|_| ()), Err(PoolError::Closed)));
    drop(taken);
    assert_eq!(database.open.load(SeqCst), 0);
}
