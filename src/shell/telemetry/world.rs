//! What the engine knows, for `/metrics`. It is here and not in a status, so that a settled policy is never written.

use super::{
    exposition::Page,
    family::{
        BUDGET_COMMITTED, BUDGET_CONDITION, BUDGET_FREE, BUDGET_USABLE, PATTERN_FOUND, PATTERN_VALUE, POLICY_CONDITION,
        POLICY_HELD, POLICY_INFO, POLICY_QUARANTINED, RECONCILES, ROLLOUT_START, ROLLOUTS, SETTING_DESIRED,
        SETTING_EFFECTIVE, SETTING_LIVE, SETTING_STATE, SETTING_VERIFIED, SOURCE_INTERVAL, SOURCE_QUESTIONS, SOURCE_UP,
        SWEEP_DURATION, THRESHOLD_BOUND, THRESHOLD_CLEAR, THRESHOLD_INTERVAL, THRESHOLD_SINCE, THRESHOLD_STATE,
        THRESHOLD_VALUE,
    },
};
use crate::core::{
    engine::{World, sweep},
    evaluate::Verdict,
    facts::{Instant, ObjectKey},
    plan::State,
    policy::thresholds::{Level, word},
};

/// All of it; nothing of a replica that does not lead, because another one tells it.
#[must_use]
pub fn pages(world: &World) -> Vec<Page> {
    if !world.leads() {
        return Vec::new();
    }
    let mut pages = policies(world).to_vec();
    pages.extend(settings(world));
    pages.extend(thresholds(world.readings()));
    pages.extend(rollouts(world));
    pages.extend(budgets(world));
    pages.extend(sources(world));
    pages
}

#[expect(clippy::cast_precision_loss, reason = "numbers of things are small")]
const fn count(n: usize) -> f64 {
    n as f64
}

fn policies(world: &World) -> [Page; 5] {
    let [mut info, mut condition, mut quarantined, mut held, mut reconciles] =
        [POLICY_INFO, POLICY_CONDITION, POLICY_QUARANTINED, POLICY_HELD, RECONCILES].map(Page::of);
    for policy in world.policy_gauges() {
        let (namespace, name) = (&*policy.key.0, &*policy.key.1);
        info.put(&[namespace, name, policy.mode, policy.source], 1.0);
        for said in policy.conditions {
            condition.put(&[namespace, name, &said.type_, &said.status, &said.reason], 1.0);
        }
        for (page, number) in [(&mut quarantined, policy.quarantined), (&mut held, policy.held)] {
            if number > 0 {
                page.put(&[namespace, name], count(number));
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a process does not live to look at policies 2^53 times")]
    reconciles.put(&[], world.visits() as f64);
    [info, condition, quarantined, held, reconciles]
}

fn settings(world: &World) -> [Page; 5] {
    let [mut desired, mut live, mut state, mut effective, mut verified] =
        [SETTING_DESIRED, SETTING_LIVE, SETTING_STATE, SETTING_EFFECTIVE, SETTING_VERIFIED].map(Page::of);
    for ((namespace, policy), target, path, setting) in world.setting_gauges() {
        if setting.state == State::Variable {
            continue;
        }
        let [kind, name] = who(target);
        for (page, value) in [(&mut desired, setting.desired), (&mut live, setting.live)] {
            if let Some(value) = value {
                page.put(&[namespace, policy, path, kind, name], value);
            }
        }
        state.put(&[namespace, policy, path, kind, name, setting.state.as_str()], 1.0);
    }
    for ((namespace, policy), target, path, seen, is_effective) in world.proofs() {
        let [kind, name] = who(target);
        effective.put(&[namespace, policy, path, kind, name], seen);
        verified.put(&[namespace, policy, path, kind, name], f64::from(u8::from(is_effective)));
    }
    [desired, live, state, effective, verified]
}

fn thresholds<'a>(readings: impl Iterator<Item = sweep::Reading<'a>>) -> [Page; 8] {
    let [mut state, mut since, mut value, mut bound, mut clear, mut interval, mut found, mut shown] = [
        THRESHOLD_STATE,
        THRESHOLD_SINCE,
        THRESHOLD_VALUE,
        THRESHOLD_BOUND,
        THRESHOLD_CLEAR,
        THRESHOLD_INTERVAL,
        PATTERN_FOUND,
        PATTERN_VALUE,
    ]
    .map(Page::of);
    for reading in readings {
        let (namespace, policy) = (&*reading.policy.0, &*reading.policy.1);
        let [kind, target] = reading.target.map_or([""; 2], who);
        let series = reading.series.as_deref().unwrap_or_default();
        let name = reading.threshold;
        if let Some(pattern) = reading.pattern {
            let labels = [namespace, policy, name, pattern.as_str(), kind, target, series];
            let is_found = matches!(reading.verdict, Verdict::Breached(_));
            found.put(&labels, f64::from(u8::from(is_found)));
            if let Some(value) = reading.value {
                shown.put(&labels, value);
            }
            continue;
        }
        let labels = [namespace, policy, name, kind, target, series];
        let (word_of_state, began) = verdict(&reading.verdict);
        state.put(&[namespace, policy, name, kind, target, series, word_of_state], 1.0);
        if let Some(began) = began {
            since.put(&labels, began.seconds());
        }
        if let Some(read) = reading.value {
            value.put(&labels, read);
        }
        for (end, at) in reading.interval.iter().flat_map(|(least, most)| [("least", least), ("most", most)]) {
            interval.put(&[namespace, policy, name, kind, target, series, end], *at);
        }
        // Rules match bounds with the labels of what they judge, so that a profile that moves a bound rewrites no rule; values of
        // labels that are kept apart share one.
        let levels = if reading.is_first { reading.levels } else { &[] };
        for Level { severity, above, below, hold: _ } in levels {
            for (side, limit) in [("above", above), ("below", below)] {
                if let Some(limit) = limit {
                    let labels = [namespace, policy, name, word(*severity), kind, target, side];
                    bound.put(&labels, limit.bound.as_f64());
                    clear.put(&labels, limit.clear.as_f64());
                }
            }
        }
    }
    [state, since, value, bound, clear, interval, found, shown]
}

fn rollouts(world: &World) -> [Page; 2] {
    let [mut number, mut start] = [ROLLOUTS, ROLLOUT_START].map(Page::of);
    number.put(&[], count(world.rollouts().count()));
    for (target, (namespace, policy), phase, began) in world.rollout_gauges() {
        let [kind, name] = who(target);
        start.put(&[namespace, policy, kind, name, phase], began.seconds());
    }
    [number, start]
}

fn budgets(world: &World) -> [Page; 4] {
    let [mut usable, mut committed, mut free, mut condition] =
        [BUDGET_USABLE, BUDGET_COMMITTED, BUDGET_FREE, BUDGET_CONDITION].map(Page::of);
    for ((namespace, budget), status) in world.budget_gauges() {
        for (page, number) in
            [(&mut usable, status.usable), (&mut committed, status.committed), (&mut free, status.free)]
        {
            if let Some(number) = number {
                #[expect(clippy::cast_precision_loss, reason = "a database has fewer than 2^53 connections")]
                page.put(&[namespace, budget], number as f64);
            }
        }
        for said in &status.conditions {
            condition.put(&[namespace, budget, &said.type_, &said.status, &said.reason], 1.0);
        }
    }
    [usable, committed, free, condition]
}

fn sources(world: &World) -> [Page; 4] {
    let [mut up, mut interval, mut questions, mut duration] =
        [SOURCE_UP, SOURCE_INTERVAL, SOURCE_QUESTIONS, SWEEP_DURATION].map(Page::of);
    for source in world.source_gauges() {
        if let Some(answers) = source.up {
            up.put(&[source.name], f64::from(u8::from(answers)));
        }
        interval.put(&[source.name], Instant::from_millis(source.interval.as_millis()).seconds());
        questions.put(&[source.name], count(source.questions));
        duration.put_histogram(&[source.name], &source.pace.counts, source.pace.sum);
    }
    [up, interval, questions, duration]
}

fn who(target: &ObjectKey) -> [&str; 2] {
    [target.kind.as_str(), &target.name]
}

/// The word, and since when that is so.
const fn verdict(verdict: &Verdict) -> (&'static str, Option<Instant>) {
    match verdict {
        Verdict::Unjudged => ("Unjudged", None),
        Verdict::Within => ("Within", None),
        Verdict::Pending { since, .. } => ("Pending", Some(*since)),
        Verdict::Breached(breach) => ("Breached", Some(breach.since)),
        Verdict::NoData(gap) => ("NoData", Some(gap.since)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::exposition::text, *};
    use crate::{
        api::{PerformancePolicy, conditions::Reason, policy::Severity},
        core::{
            engine::{Change, Config, Input, Listing, Stream, step},
            evaluate::Gap,
            facts::{Kind, Seen, Span},
            policy::thresholds::Limit,
            promql::Missing,
            units::{Bound, MetricUnit},
        },
    };

    #[test]
    fn a_bound_is_told_once_for_a_threshold_and_target_whatever_labels_are_kept_apart() {
        let bound = Bound::parse("250ms", MetricUnit::from_name("seconds").unwrap()).unwrap();
        let level = Level {
            severity: Severity::Warning,
            above: Some(Limit { bound, clear: bound }),
            below: None,
            hold: Span::ZERO,
        };
        let policy = ("shop".into(), "api".into());
        let of = |series: &str, is_first, verdict, value| sweep::Reading {
            policy: &policy,
            threshold: "latency",
            pattern: None,
            target: None,
            series: Some(series.to_owned()),
            is_first,
            value,
            verdict,
            levels: std::slice::from_ref(&level),
            interval: None,
        };
        let gap = Gap { since: Instant::from_millis(1_500), missing: Missing::new(Reason::NoData) };
        let pages = thresholds(
            [
                of("tier=\"gold\"", true, Verdict::NoData(gap), None),
                of("tier=\"tin\"", false, Verdict::Within, Some(0.1)),
            ]
            .into_iter(),
        );
        let text = text(&pages);
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let of = "namespace=\"shop\",policy=\"api\",threshold=\"latency\"";
        assert_eq!(
            series,
            [
                format!(r#"trimtab_threshold_state{{{of},series="tier=\"gold\"",state="NoData"}} 1"#),
                format!(r#"trimtab_threshold_state{{{of},series="tier=\"tin\"",state="Within"}} 1"#),
                format!(r#"trimtab_threshold_since_timestamp_seconds{{{of},series="tier=\"gold\""}} 1.5"#),
                format!(r#"trimtab_threshold_value{{{of},series="tier=\"tin\""}} 0.1"#),
                format!(r#"trimtab_threshold_bound{{{of},severity="warning",side="above"}} 0.25"#),
                format!(r#"trimtab_threshold_clear{{{of},severity="warning",side="above"}} 0.25"#),
            ]
        );
    }

    /// A world of so many policies with five thresholds and three settings each, every one on a workload of its own, after its
    /// first look at them.
    fn fleet(policies: usize) -> World {
        let names: Vec<String> = (0..policies).map(|number| format!("checkout-service-{number:04}")).collect();
        let listing = || Listing { names: names.iter().map(|name| ("shop".into(), name.as_str().into())).collect() };
        let thresholds: Vec<_> = (0..5)
            .map(|number| {
                json!({"name": format!("queue-length-{number}"), "metric": {"gauge": format!("queue_{number}")},
                    "levels": [{"severity": "warning", "above": 10}, {"severity": "critical", "above": 20}]})
            })
            .collect();
        let pools = json!([{"name": "db", "size": {"value": 20, "env": "A"}, "overflow": {"value": 5, "env": "B"},
            "acquireTimeout": {"value": "30s", "env": "C", "as": "seconds"}}]);
        let policy = |name: &String| {
            let policy: PerformancePolicy = serde_json::from_value(json!({
                "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
                "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1", "generation": 1},
                "spec": {"target": {"kind": "Deployment", "name": name}, "pools": pools, "thresholds": thresholds}}))
            .unwrap();
            Input::Policy(Change::Applied(Box::new(policy)))
        };
        let object = |name: &String| {
            let text = json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1", "generation": 1},
                "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "api"}]}}}});
            Input::Object(Change::Applied(Box::new(Seen::from_json(Kind::Deployment, &text.to_string()).unwrap())))
        };
        let source = serde_json::from_value(json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "default"}, "spec": {"prometheus": {"url": "http://prometheus:9090"}}}));
        let mut inputs: Vec<Input> = names.iter().map(policy).collect();
        inputs.push(Input::Source(Change::Applied(Box::new(source.unwrap()))));
        inputs.push(Input::Listed(Stream::Policies, listing()));
        inputs.push(Input::Listed(Stream::Sources, Listing { names: [("".into(), "default".into())].into() }));
        for stream in [Stream::Classes, Stream::Budgets, Stream::Disruptions] {
            inputs.push(Input::Listed(stream, Listing::default()));
        }
        inputs.extend(names.iter().map(object));
        for kind in Kind::ALL {
            let listing = if kind == Kind::Deployment { listing() } else { Listing::default() };
            inputs.push(Input::Listed(Stream::Objects(kind), listing));
        }
        inputs.extend([Input::Leadership(true), Input::Tick]);
        let mut world = World::new(Config::default());
        for input in inputs {
            step(&mut world, input, Instant::from_millis(1_763_700_000_000));
        }
        world
    }

    #[test]
    fn a_replica_that_does_not_lead_tells_nothing_of_policies() {
        let mut world = fleet(1);
        assert!(
            text(&pages(&world)).contains("trimtab_policy_info{namespace=\"shop\",policy=\"checkout-service-0000\"")
        );
        step(&mut world, Input::Leadership(false), Instant::from_millis(1_763_700_001_000));
        assert_eq!(text(&pages(&world)), "");
    }

    /// Time that this thread has had a processor: others may have it as well.
    fn on_processor() -> std::time::Duration {
        let file = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a kernel that counts");
        let nanoseconds = file.split_ascii_whitespace().next().and_then(|text| text.parse().ok());
        std::time::Duration::from_nanos(nanoseconds.expect("nanoseconds"))
    }

    /// The engine does nothing else while it tells what it knows, and a scrape waits for it no longer than 2 s.
    #[test]
    fn a_scrape_of_ten_thousand_thresholds_keeps_nobody_waiting() {
        let world = fleet(2000);
        let began = on_processor();
        // As if every one had been read.
        let readings = world.readings().map(|reading| sweep::Reading { value: Some(12.345_678), ..reading });
        let mut all = thresholds(readings).to_vec();
        let told = pages(&world);
        all.extend(told.into_iter().filter(|page| !page.name().starts_with("trimtab_threshold")));
        let text = text(&all);
        let took = on_processor().saturating_sub(began);
        let series = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
        assert_eq!((series("trimtab_threshold_value"), series("trimtab_threshold_bound")), (10_000, 20_000));
        assert_eq!(series("trimtab_setting_desired"), 6_000);
        println!("{} series, {} KiB, {took:.1?}", text.lines().count(), text.len() / 1024);
        assert!(text.len() < 16 << 20, "{} bytes", text.len());
        assert!(took < std::time::Duration::from_secs(2), "{took:?}");
    }
}
