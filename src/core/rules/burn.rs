//! Service level objectives: alerts when an error budget burns too fast.
//!
//! Each alert looks at two windows: the long one says that it matters, the short one that it still goes on (the SRE workbook
//! of Google, chapter 5, "multiwindow, multi-burn-rate alerts"). Of several that fire, the fastest alone is told.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{BAD_RATIO, EVENTS, Known, duration, words};
use crate::{
    api::{names, policy::Severity},
    core::{
        facts::Span,
        policy::thresholds::Slo,
        promql::{Shape, Window},
        units::Decimal,
    },
};

/// How fast, over which windows (of a period of 30 days), and how bad it is.
struct Pace {
    /// Tenths of the rate at which the budget lasts for just the period.
    tenths: i64,
    long: Span,
    short: Span,
    severity: Severity,
}

const PACES: [Pace; 4] = [
    Pace { tenths: 144, long: Span::hours(1), short: Span::minutes(5), severity: Severity::Critical },
    Pace { tenths: 60, long: Span::hours(6), short: Span::minutes(30), severity: Severity::Critical },
    Pace { tenths: 30, long: Span::hours(24), short: Span::hours(2), severity: Severity::Warning },
    Pace { tenths: 10, long: Span::hours(72), short: Span::hours(6), severity: Severity::Warning },
];

/// So many bad events of the long window must be there: one request that fails at night pages nobody.
const MIN_BAD: u32 = 10;

/// The window of another period that is the same part of it, in whole seconds.
fn scaled(window: Span, period: Span) -> Window {
    let seconds = window.as_millis() / 1000 * (period.as_millis() / 1000) / (Slo::PERIOD.as_millis() / 1000);
    Window::of_millis(u64::try_from(seconds.max(1)).unwrap_or(1) * 1000)
}

/// The rules, if the threshold has an objective.
pub(super) fn rules(known: &Known<'_>) -> Option<Vec<Value>> {
    let slo = known.threshold.slo?;
    let shape = known.shape()?;
    let windows: BTreeSet<Window> =
        PACES.iter().flat_map(|pace| [scaled(pace.long, slo.period), scaled(pace.short, slo.period)]).collect();
    let mut rules = Vec::new();
    for window in windows {
        rules.push(bad_ratio(known, &shape, slo, window));
    }
    for window in PACES.iter().map(|pace| scaled(pace.long, slo.period)) {
        rules.push(events(known, &shape, window)?);
    }
    let mut faster: Vec<String> = Vec::new();
    for pace in &PACES {
        let (long, short) = (scaled(pace.long, slo.period), scaled(pace.short, slo.period));
        rules.push(burns(known, slo, pace, (long, short), &faster)?);
        faster.push(long.to_string());
    }
    Some(rules)
}

fn bad_ratio(known: &Known<'_>, shape: &Shape, slo: Slo, window: Window) -> Value {
    let shape = shape.clone().over(window);
    let ratio = known.attached(&format!("({})", shape.readings(&known.wanted())));
    let bad = if slo.of_good { format!("1 - {ratio}") } else { ratio };
    known.recorded(BAD_RATIO, &[("window", &window.to_string())], &bad)
}

fn events(known: &Known<'_>, shape: &Shape, window: Window) -> Option<Value> {
    let shape = shape.clone().counted(true).over(window);
    let counts = known.attached(&format!("({})", shape.counts(&known.wanted())?));
    Some(known.recorded(EVENTS, &[("window", &window.to_string())], &counts))
}

fn burns(known: &Known<'_>, slo: Slo, pace: &Pace, windows: (Window, Window), faster: &[String]) -> Option<Value> {
    let factor = Decimal::from_int(pace.tenths).checked_div(Decimal::from_int(10))?;
    let most = factor.checked_mul(slo.budget)?;
    let (long, short) = (windows.0.to_string(), windows.1.to_string());
    let apart = known.apart();
    let bad = |window: &str| known.series(BAD_RATIO, &[("window", window)]);
    let events = known.series(EVENTS, &[("window", &long)]);
    let mut guards =
        vec![format!("{} > {most}", bad(&short)), format!("({} * on ({apart}) {events} >= {MIN_BAD})", bad(&long))];
    if known.threshold.min_samples > 0 {
        guards.push(format!("{events} >= {}", known.threshold.min_samples));
    }
    let mut expr = format!("{} > {most}", bad(&long));
    for guard in guards {
        expr.push_str(&format!("\nand on ({apart}) {guard}"));
    }
    if !faster.is_empty() {
        let windows = format!(",window=~\"{}\"", faster.join("|"));
        expr = format!("({expr})\nunless on ({apart}) {}", known.firing(names::ALERT_BURN, &windows));
    }
    let objective = Decimal::ONE.checked_sub(slo.budget)?.checked_mul(Decimal::from_int(100))?;
    let period = duration(slo.period);
    Some(json!({
        "alert": names::ALERT_BURN,
        "expr": expr,
        "labels": known.alert_labels(pace.severity, &[("window", &long)]),
        "annotations": words::burns(known, &factor.to_string(), (&long, &short), &format!("{objective}%"), &period),
    }))
}
