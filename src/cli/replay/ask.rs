//! The past from a server: long ranges, cut where a server would refuse them.

use anyhow::bail;

use super::super::readings::Backends;
use crate::{
    api::conditions::Reason,
    core::{
        engine::Answer,
        facts::{Instant, Span},
        replay::{Course, Fetch, MAX_POINTS},
    },
    shell::prometheus::Question,
};

/// Asks for all of it.
///
/// What a server says of one query, the engine is told as it would be told live. A server that does not answer ends the replay:
/// that it does not answer now says nothing of then.
pub async fn all(backends: &Backends, fetches: Vec<Fetch>) -> anyhow::Result<Vec<Course>> {
    let mut courses = Vec::new();
    for fetch in fetches {
        let mut waiting = vec![fetch];
        while let Some(fetch) = waiting.pop() {
            let points = fetch.end.since(fetch.start).as_millis() / fetch.step.as_millis().max(1) + 1;
            let answer = if points > MAX_POINTS { None } else { Some(ask(backends, &fetch).await?) };
            match answer {
                None => waiting.extend(halves(fetch)),
                Some(Err(refusal)) if refusal.reason == Reason::QueryTooExpensive && points > 1 => {
                    waiting.extend(halves(fetch));
                }
                Some(answer) => courses.push(course(fetch, answer)),
            }
        }
    }
    Ok(courses)
}

async fn ask(backends: &Backends, fetch: &Fetch) -> anyhow::Result<Answer> {
    let question = Question { expr: &fetch.expr, at: fetch.end, range: Some((fetch.start, fetch.step)), labels: None };
    let answer = backends.ask(&fetch.source, &question).await;
    if let Err(refusal) = &answer
        && matches!(
            refusal.reason,
            Reason::BackendUnavailable
                | Reason::BackendThrottled
                | Reason::BackendUnauthorized
                | Reason::BadResponse
                | Reason::SourceNotFound
        )
    {
        bail!(
            "asking MetricsSource \"{}\" for {} to {}: {}: {}",
            fetch.source,
            fetch.start,
            fetch.end,
            refusal.reason,
            refusal.message
        );
    }
    Ok(answer)
}

/// The later half first: what is asked next is taken from the end.
fn halves(fetch: Fetch) -> [Fetch; 2] {
    let step = fetch.step.as_millis().max(1);
    let steps = fetch.end.since(fetch.start).as_millis() / step;
    let middle = fetch.start + Span::millis(steps / 2 * step);
    let later = Fetch { start: middle + fetch.step, ..fetch.clone() };
    [later, Fetch { end: middle, ..fetch }]
}

fn course(fetch: Fetch, answer: Answer) -> Course {
    // The last evaluation, where the end is none.
    let step = fetch.step.as_millis().max(1);
    let steps = fetch.end.since(fetch.start).as_millis() / step;
    let end = Instant::from_millis(fetch.start.millis() + steps * step);
    Course {
        source: Some(fetch.source),
        expr: fetch.expr,
        start: fetch.start,
        end,
        step: fetch.step,
        reach: Span::ZERO,
        answer,
    }
}
