//! Grace's background loops: they reflect on new messages, trim old ones, and check the database,
//! each at its interval and all through the same pool as the requests.

use std::{collections::BTreeMap, future::Future, num::NonZeroU32, sync::Arc, time::Duration};

use axum::body::Bytes;
use serde_json::json;
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    app::{App, AskError},
    database::{Answer, Message, Query},
    settings::Settings,
    worker::chain,
};

/// Starts the loops; they end when the set is aborted.
pub(crate) fn start(app: &Arc<App>) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    let last_seen = Arc::new(Mutex::new(0));
    loops.spawn(every(
        Arc::clone(app),
        "reflection",
        |settings| settings.reflection_interval.0,
        move |app| reflect(app, Arc::clone(&last_seen)),
    ));
    loops.spawn(every(Arc::clone(app), "meta", |settings| settings.meta_loop_interval.0, trim));
    loops.spawn(every(Arc::clone(app), "health_check", |settings| settings.health_check_interval.0, check));
    loops
}

/// Runs `work` at once and then at its interval, measured from start to start. A changed interval
/// counts at once: one that was cut from an hour to a minute must not be waited for.
async fn every<F: Future<Output = Result<(), AskError>>>(
    app: Arc<App>,
    name: &str,
    interval: impl Fn(&Settings) -> Duration,
    work: impl Fn(Arc<App>) -> F,
) {
    let mut settings = app.settings.clone();
    loop {
        let started = Instant::now();
        let result = match work(Arc::clone(&app)).await {
            Ok(()) => "success",
            Err(error) => {
                tracing::warn!(r#loop = name, error = chain(&error), "a background loop failed");
                "failure"
            }
        };
        app.metrics.loop_runs.with_label_values(&[name, result]).inc();
        loop {
            let due = started + interval(&settings.borrow_and_update());
            tokio::select! {
                () = sleep_until(due) => break,
                changed = settings.changed() => if changed.is_err() {
                    return; // the worker is on its way out
                },
            }
        }
    }
}

/// Messages that one task of a reflection reads at most.
const TASK_ROWS: NonZeroU32 = NonZeroU32::new(500).unwrap();

/// Reads the messages since the last reflection in parallel tasks and counts who wrote how much.
async fn reflect(app: Arc<App>, last_seen: Arc<Mutex<i64>>) -> Result<(), AskError> {
    let mut last_seen = last_seen.lock().await;
    let parallel = app.settings.borrow().task_max_parallel;
    let parts = NonZeroU32::try_from(parallel).unwrap_or(NonZeroU32::MAX);
    let places = Arc::new(Semaphore::new(parallel.get()));
    let mut tasks = JoinSet::new();
    for part in 0..parts.get() {
        let (app, places) = (Arc::clone(&app), Arc::clone(&places));
        let query = Query::Since { id: *last_seen, part, parts, limit: TASK_ROWS };
        tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            let _running = Running::new(&app);
            app.ask(&query).await
        });
    }
    let mut messages = Vec::new();
    let mut read_up_to = i64::MAX;
    while let Some(finished) = tasks.join_next().await {
        let Ok(answer) = finished else { continue }; // aborted with the worker
        if let Answer::Messages { messages: part } = answer? {
            // A task that came to its limit has left newer messages to the next reflection.
            if part.len() >= TASK_ROWS.get() as usize {
                let newest = part.iter().map(|message| message.id).max();
                read_up_to = newest.map_or(read_up_to, |newest| newest.min(read_up_to));
            }
            messages.extend(part);
        }
    }
    messages.retain(|message| message.id <= read_up_to);
    *last_seen = messages.iter().map(|message| message.id).fold(*last_seen, i64::max);
    let mut written: BTreeMap<String, u32> = BTreeMap::new();
    for Message { user, .. } in messages {
        *written.entry(user).or_default() += 1;
    }
    let most_active = written.iter().max_by_key(|(_, count)| **count).map(|(user, _)| user);
    let body = json!({
        "messages": written.values().sum::<u32>(),
        "users": written.len(),
        "mostActive": most_active,
        "upTo": *last_seen,
    });
    app.set_reflection(Bytes::from(body.to_string()));
    Ok(())
}

/// Messages that the meta loop keeps.
const KEEP: u32 = 10_000;

async fn trim(app: Arc<App>) -> Result<(), AskError> {
    app.ask(&Query::Trim { keep: KEEP }).await.map(|_| ())
}

/// Asks the database for a sign of life, and opens the connections that the pool has lost.
async fn check(app: Arc<App>) -> Result<(), AskError> {
    let result = app.ask(&Query::Ping).await;
    app.metrics.database_up.set(i64::from(result.is_ok()));
    result?;
    app.pool.fill().await?;
    Ok(())
}

/// Counts a task for as long as it lives.
struct Running<'a>(&'a App);

impl<'a> Running<'a> {
    fn new(app: &'a App) -> Self {
        app.metrics.tasks_running.inc();
        Self(app)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.metrics.tasks_running.dec();
    }
}
