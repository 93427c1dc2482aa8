//! Stories of silences: they belong to a rollout of ours, end with it, and lapse without us; and what a person does with one
//! stands.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trimtab::core::{
    engine::Silence,
    facts::{Instant, Kind, ObjectKey, Span},
};

use super::{
    alertmanager::{LEASE, named},
    controllers::{CRASHES, HANGS},
    people::{deployment, variables, workload},
    run::{Faults, Run},
    server::Server,
};

const URLS: [&str; 2] = ["http://alertmanager-0:9093", "http://alertmanager-1:9093"];

/// What must hold after every event: no silence of ours is in force for a workload on which no rollout of ours explained
/// anything within a lease.
#[derive(Debug, Default)]
pub struct Silences {
    explained: BTreeMap<ObjectKey, Instant>,
}

impl Silences {
    pub fn explained<'a>(&mut self, targets: impl Iterator<Item = &'a ObjectKey>, now: Instant) {
        self.explained.extend(targets.map(|target| (target.clone(), now)));
    }

    pub fn check(&self, server: &Server, skew: Span) -> Result<(), String> {
        let slack = Span::millis(LEASE.as_millis() + skew.as_millis() + 1000);
        for alertmanager in server.alertmanagers.values() {
            // One that a person has edited is in force by that person's will.
            let is_ours = |silence: &&Silence| {
                silence.created_by == "trimtab"
                    && silence.comment.ends_with(&format!("it ends at {}.", silence.ends_at))
            };
            for silence in alertmanager.active(server.now).filter(is_ours) {
                let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == named(silence, "target_kind"));
                let target = ObjectKey::new(kind.unwrap(), named(silence, "namespace"), named(silence, "target"));
                let explained = self.explained.get(&target);
                if explained.is_none_or(|at| server.now.since(*at) > slack) {
                    return Err(format!("{target} is silenced, last explained {explained:?}: {silence:?}"));
                }
            }
        }
        Ok(())
    }
}

fn shop(names: &[&str]) -> Run {
    shop_of(1, names)
}

fn shop_of(seed: u64, names: &[&str]) -> Run {
    let mut run = Run::new(seed);
    run.people("install", |server, _| {
        for name in names {
            let mut manifest = workload(name, &json!({"env": variables(&[("LOG", "x")])}));
            // What hangs, hangs for long.
            manifest["spec"]["progressDeadlineSeconds"] = json!(3000);
            server.kubectl_apply(&deployment(name), &manifest);
            server.readings.insert((*name).into(), 0.05);
        }
        server.put_source();
        for url in URLS {
            server.add_alertmanager(url);
        }
    });
    run.pass(Span::seconds(10));
    run
}

fn spec(size: &str) -> Value {
    let histogram = |name: &str, above: &str| {
        json!({"name": name, "metric": {"histogram": "http_server_request_duration_seconds", "statistic": "p95",
            "minSamples": 0}, "levels": [{"severity": "warning", "above": above}, {"severity": "critical", "above": "900s"}]})
    };
    json!({
        "mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
        "settings": [{"name": "size", "value": size.parse::<i64>().unwrap(), "type": "Integer", "env": "SIZE"}],
        // One of them is breached all the time, and one is nothing that a start makes worse.
        "thresholds": [histogram("p95", "500ms"), histogram("strict", "10ms"),
            {"name": "load", "metric": {"gauge": "load"}, "levels": [{"severity": "warning", "above": 100}]}],
        "alerting": {"sink": "Alertmanager"},
    })
}

fn apply(run: &mut Run, spec: &Value) {
    run.people("apply policy p", |server, _| server.apply_policy("p", spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(200), Span::minutes(40));
    run.stay_at_rest();
}

fn active(run: &Run, url: &str) -> Vec<Silence> {
    run.server.alertmanagers[url].active(run.server.now).cloned().collect()
}

fn everywhere(run: &Run) -> Vec<usize> {
    URLS.iter().map(|url| active(run, url).len()).collect()
}

/// Lets time pass until every Alertmanager has as many active silences.
#[track_caller]
fn until(run: &mut Run, wanted: [usize; 2]) {
    for _ in 0..1200 {
        if everywhere(run) == wanted {
            return;
        }
        run.pass(Span::millis(500));
    }
    run.fail(&format!("active silences are {:?}, not {wanted:?}", everywhere(run)));
}

/// A policy at rest, and then the write that begins a rollout.
fn rolling(size: &str) -> Run {
    let mut run = shop(&["api", "other"]);
    apply(&mut run, &spec("10"));
    rest(&mut run);
    assert_eq!(everywhere(&run), [0, 0], "what has settled is not silenced");
    for alertmanager in run.server.alertmanagers.values_mut() {
        alertmanager.silences.clear();
    }
    apply(&mut run, &spec(size));
    until(&mut run, [1, 1]);
    run
}

#[test]
fn a_rollout_is_silenced_at_every_alertmanager_for_what_it_explains_and_no_longer() {
    let mut run = rolling("20");
    for url in URLS {
        let silence = active(&run, url).remove(0);
        let said: Vec<String> = silence
            .matchers
            .iter()
            .map(|m| {
                let operator = ["!=", "=", "!~", "=~"][usize::from(m.is_equal) + 2 * usize::from(m.is_regex)];
                format!("{}{operator}{}", m.name, m.value)
            })
            .collect();
        let wanted = [
            "alertname=TrimtabThresholdBreached",
            "namespace=shop",
            "policy=p",
            "target_kind=Deployment",
            "target=api",
            "severity!=critical",
            "threshold=~p95",
        ];
        assert_eq!(said, wanted);
        let comment = &silence.comment;
        assert!(comment.contains("rolls out revision 2 to Deployment/api: settings.size 10 → 20."), "{comment}");
        assert!(silence.ends_at.since(run.server.now) <= LEASE);
    }
    rest(&mut run);
    assert_eq!(everywhere(&run), [0, 0]);
    let all: usize = run.server.alertmanagers.values().map(|known| known.silences.len()).sum();
    assert_eq!(all, 2, "renewed in place");
    let requests: u32 = run.server.alertmanagers.values().map(|known| known.requests).sum();
    run.pass(Span::minutes(10));
    let later: u32 = run.server.alertmanagers.values().map(|known| known.requests).sum();
    assert_eq!(requests, later, "at rest nobody is asked");
}

#[test]
fn a_rollout_that_fails_pages_at_once() {
    let mut run = rolling(CRASHES);
    while run.leader.world.explaining().count() > 0 {
        run.pass(Span::millis(100));
    }
    assert_eq!(run.leader.world.rollouts().count(), 1, "the way back is under way");
    run.pass(Span::seconds(2));
    assert_eq!(everywhere(&run), [0, 0], "what is taken back is not silenced");
    rest(&mut run);
    assert_eq!(run.server.condition("p", "Ready").unwrap().1, "RolledBack");
    assert_eq!(everywhere(&run), [0, 0]);
}

#[test]
fn a_long_rollout_stays_silenced_and_an_operator_that_dies_lets_it_lapse() {
    let mut run = rolling(HANGS);
    run.pass(Span::minutes(5));
    assert_eq!(everywhere(&run), [1, 1]);
    // Nobody renews it: requests are lost from now on, as if there were no operator.
    let until = active(&run, URLS[0]).remove(0).ends_at;
    assert!(until.since(run.server.now) <= LEASE, "{until}");
    run.people("the operator cannot reach its Alertmanagers", |server, _| {
        server.alertmanagers.values_mut().for_each(|known| known.away = true);
    });
    run.pass(Span::seconds(121));
    assert_eq!(everywhere(&run), [0, 0], "it has lapsed");
    run.people("and back", |server, _| server.alertmanagers.values_mut().for_each(|known| known.away = false));
    self::until(&mut run, [1, 1]);
}

#[test]
fn one_alertmanager_that_is_away_does_not_keep_the_other_waiting() {
    let mut run = shop(&["api"]);
    apply(&mut run, &spec("10"));
    rest(&mut run);
    run.people("one is away", |server, _| server.alertmanagers.get_mut(URLS[0]).unwrap().away = true);
    apply(&mut run, &spec("20"));
    until(&mut run, [0, 1]);
    rest(&mut run);
    assert_eq!((everywhere(&run), run.server.condition("p", "Applied").unwrap().1), (vec![0, 0], "Applied".into()));
}

#[test]
fn a_new_leader_goes_on_with_the_silence_that_it_finds_and_ends_it() {
    let mut run = rolling(HANGS);
    let before = active(&run, URLS[0]).remove(0);
    run.crash();
    run.pass(Span::minutes(4));
    let after = active(&run, URLS[0]).remove(0);
    assert_eq!((&before.id, &before.matchers), (&after.id, &after.matchers), "the same one, renewed");
    assert!(after.ends_at > before.ends_at);
    apply(&mut run, &spec("30"));
    run.pass(Span::seconds(5));
    let ids: Vec<String> = active(&run, URLS[0]).into_iter().map(|silence| silence.id).collect();
    assert!(!ids.contains(&before.id), "the next rollout has one of its own: {ids:?}");
    rest(&mut run);
    assert_eq!(everywhere(&run), [0, 0]);
}

#[test]
fn a_new_leader_begins_none() {
    let mut run = rolling(HANGS);
    run.people("the Alertmanagers lose all they know", |server, _| {
        server.alertmanagers.values_mut().for_each(|known| known.silences.clear());
    });
    run.crash();
    run.pass(Span::minutes(4));
    assert_eq!(everywhere(&run), [0, 0], "what was breached before the rollout, it does not know");
}

/// Everything is lost on its way: requests, replies, and leaders. One silence is made all the same, and none stays.
#[test]
fn lost_replies_make_no_second_silence() {
    let mut run = rolling(HANGS);
    run.faults = Faults { lose_reply: 400, refuse: 200, ..Faults::NONE };
    run.pass(Span::minutes(5));
    let all: Vec<usize> = run.server.alertmanagers.values().map(|known| known.silences.len()).collect();
    assert_eq!((all, everywhere(&run)), (vec![1, 1], vec![1, 1]));
    apply(&mut run, &spec("30"));
    rest(&mut run);
    assert_eq!(everywhere(&run), [0, 0]);
}

/// Crashes, ex-leaders, clocks that are off: the invariant is looked at after every event.
#[test]
fn no_silence_outlives_its_rollout_by_more_than_its_lease() {
    for seed in 1..=30 {
        let mut run = shop_of(seed, &["api"]);
        apply(&mut run, &spec("10"));
        run.pass(Span::seconds(50));
        run.faults = Faults { crash: 8, handover: 8, clock: if seed % 3 == 0 { 4 } else { 0 }, ..Faults::ALL };
        for size in ["20", CRASHES, "30", HANGS, "20"] {
            apply(&mut run, &spec(size));
            run.pass(Span::minutes(3));
        }
        rest(&mut run);
        assert_eq!(everywhere(&run), [0, 0], "seed {seed}");
    }
}

#[test]
fn what_a_person_does_with_a_silence_stands() {
    type Person = fn(&mut Silence);
    let extends: Person = |silence| silence.ends_at = silence.ends_at + Span::hours(5);
    let rewords: Person = |silence| {
        silence.created_by = "alice".to_owned();
        silence.comment = "I am looking at it".to_owned();
    };
    let ends: Person = |silence| silence.ends_at = silence.starts_at;
    for (what, edit) in [("extends", extends), ("rewords", rewords), ("ends", ends)] {
        let mut run = rolling(HANGS);
        // The second look has seen it.
        run.pass(Span::seconds(40));
        let now = run.server.now;
        run.people(what, |server, _| {
            let known = server.alertmanagers.get_mut(URLS[0]).unwrap();
            let held = known.silences.iter_mut().find(|held| held.ends_at > now).unwrap();
            edit(held);
        });
        let edited = run.server.alertmanagers[URLS[0]].silences.clone();
        run.pass(Span::minutes(5));
        if what == "extends" {
            // It is in force, by a person's will and no more by ours.
            run.server.alertmanagers.get_mut(URLS[0]).unwrap().silences.clear();
        } else {
            assert_eq!(run.server.alertmanagers[URLS[0]].silences, edited, "{what}");
        }
        assert_eq!(active(&run, URLS[1]).len(), 1, "the other one is not concerned");
        apply(&mut run, &spec("30"));
        run.pass(Span::seconds(20));
        let mine = |silence: &&Silence| silence.created_by == "trimtab" && silence.comment.contains("revision 3");
        assert_eq!(active(&run, URLS[0]).iter().filter(mine).count(), 1, "{what}: the next rollout is another matter");
        rest(&mut run);
    }
}

#[test]
fn without_anybody_to_tell_or_anything_to_explain_there_is_no_silence() {
    let mut quiet = spec("20");
    quiet.as_object_mut().unwrap().remove("alerting");
    let mut other = spec("20");
    other["thresholds"] = json!([spec("20")["thresholds"][2]]);
    for spec in [quiet, other] {
        let mut run = shop(&["api"]);
        apply(&mut run, &spec);
        rest(&mut run);
        let asked: u32 = run.server.alertmanagers.values().map(|known| known.requests).sum();
        assert_eq!(asked, 0);
    }
}
