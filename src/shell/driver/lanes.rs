//! Which effects may run now: those on one object one after the other, in order; those on different objects side by side,
//! up to a limit for each class.

use std::collections::{HashMap, VecDeque};

use super::super::prometheus;
use crate::core::{
    engine::{Action, Effect, EffectId},
    facts::ObjectKey,
    rules::RuleKey,
};

/// What effects have to queue for. Everything in one lane is of one class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lane {
    /// Reads and writes of one governed object, and of its pods.
    Object(ObjectKey),
    /// Status and finalizers of one policy.
    Policy(Box<str>, Box<str>),
    /// Status of one source.
    Source(Box<str>),
    /// Status of one budget.
    Budget(Box<str>, Box<str>),
    /// Events about one policy.
    Events(Box<str>, Box<str>),
    /// A query waits for nothing but a free place, and one at its source.
    Query(Box<str>, EffectId),
    /// A `PrometheusRule`.
    Rule(RuleKey),
    /// Alerts of one source.
    Alerts(Box<str>),
    /// Silences at one Alertmanager.
    Silences(Box<str>),
}

/// Effects that share a limit, so that a dead metrics backend cannot keep writes waiting, nor Events statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Object,
    Status,
    Event,
    Query,
    Alert,
    Silence,
}

impl Class {
    const ALL: [Self; 6] = [Self::Object, Self::Status, Self::Event, Self::Query, Self::Alert, Self::Silence];

    /// How many may run at the same time.
    const fn limit(self) -> usize {
        match self {
            Self::Object | Self::Query => 16,
            Self::Status | Self::Silence => 8,
            Self::Event => 2,
            // Handing over to a queue takes no time.
            Self::Alert => 64,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Object => 0,
            Self::Status => 1,
            Self::Event => 2,
            Self::Query => 3,
            Self::Alert => 4,
            Self::Silence => 5,
        }
    }
}

impl Lane {
    fn of(effect: &Effect) -> Self {
        match &effect.action {
            Action::Get(object) | Action::ListPods { workload: object, .. } => Self::Object(object.clone()),
            Action::Patch(patch) => Self::Object(patch.object.clone()),
            Action::Status { policy: (namespace, name), .. } | Action::Finalizers { policy: (namespace, name), .. } => {
                Self::Policy(namespace.clone(), name.clone())
            }
            Action::SourceStatus { source, .. } => Self::Source(source.clone()),
            Action::BudgetStatus { budget: (namespace, name), .. } => Self::Budget(namespace.clone(), name.clone()),
            Action::Event(event) => Self::Events(event.object.0.clone(), event.object.1.clone()),
            Action::Rules { rule, .. } => Self::Rule(rule.clone()),
            Action::Query { source, .. } | Action::LoadedRules { source } => Self::Query(source.clone(), effect.id),
            Action::Alerts { source, .. } => Self::Alerts(source.clone()),
            Action::Silence(request) => Self::Silences(request.alertmanager.clone()),
        }
    }

    const fn class(&self) -> Class {
        match self {
            Self::Object(_) | Self::Rule(_) => Class::Object,
            Self::Policy(..) | Self::Source(_) | Self::Budget(..) => Class::Status,
            Self::Events(..) => Class::Event,
            Self::Query(..) => Class::Query,
            Self::Alerts(_) => Class::Alert,
            Self::Silences(_) => Class::Silence,
        }
    }
}

/// Effects that wait and effects that run.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Effects that wait in each lane. A lane is here exactly as long as something waits or runs in it.
    waiting: HashMap<Lane, VecDeque<Effect>>,
    /// Lanes in which something waits and nothing runs, in the order in which they became so, by class.
    ready: [VecDeque<Lane>; Class::ALL.len()],
    running: HashMap<EffectId, Lane>,
    in_class: [usize; Class::ALL.len()],
}

impl Lanes {
    /// Queues an effect.
    pub fn push(&mut self, effect: Effect) {
        let lane = Lane::of(&effect);
        if let Some(queue) = self.waiting.get_mut(&lane) {
            queue.push_back(effect);
        } else {
            self.ready[lane.class().index()].push_back(lane.clone());
            self.waiting.insert(lane, VecDeque::from([effect]));
        }
    }

    /// An effect that may run now. It counts as running until it is finished.
    pub fn next(&mut self) -> Option<Effect> {
        for class in Class::ALL {
            let index = class.index();
            if self.in_class[index] >= class.limit() {
                continue;
            }
            let first = self.ready[index].iter().position(|lane| self.has_room(lane));
            let Some(lane) = first.and_then(|first| self.ready[index].remove(first)) else { continue };
            let Some(effect) = self.waiting.get_mut(&lane).and_then(VecDeque::pop_front) else { continue };
            self.in_class[index] += 1;
            self.running.insert(effect.id, lane);
            return Some(effect);
        }
        None
    }

    /// Whether its source may be asked one more question at the same time.
    fn has_room(&self, lane: &Lane) -> bool {
        let Lane::Query(source, _) = lane else { return true };
        let under_way = self.running.values().filter(|lane| matches!(lane, Lane::Query(of, _) if of == source));
        under_way.count() < prometheus::MOST_AT_ONCE
    }

    /// A running effect has ended: the next one of its lane may run.
    pub fn finish(&mut self, id: EffectId) {
        let Some(lane) = self.running.remove(&id) else { return };
        let index = lane.class().index();
        self.in_class[index] -= 1;
        if self.waiting.get(&lane).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(&lane);
        } else {
            self.ready[index].push_back(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::{
        engine::{QueryKind, effect::Event},
        facts::{Instant, Kind},
    };

    fn get(id: u64, name: &str) -> Effect {
        Effect { id: EffectId(id), action: Action::Get(ObjectKey::new(Kind::Deployment, "shop", name)) }
    }

    fn query(id: u64) -> Effect {
        query_of("default", id)
    }

    fn query_of(source: &str, id: u64) -> Effect {
        let action = Action::Query {
            source: source.into(),
            expr: "up".into(),
            at: Instant::default(),
            range: None,
            kind: QueryKind::Single,
            labels: Arc::default(),
        };
        Effect { id: EffectId(id), action }
    }

    fn event(id: u64) -> Effect {
        let event = Event {
            kind: "PerformancePolicy",
            object: ("shop".into(), "api".into()),
            uid: "u".into(),
            warning: false,
            reason: "Applied",
            action: "Apply",
            note: String::new(),
        };
        Effect { id: EffectId(id), action: Action::Event(event) }
    }

    fn startable(lanes: &mut Lanes) -> Vec<u64> {
        std::iter::from_fn(|| lanes.next()).map(|effect| effect.id.0).collect()
    }

    #[test]
    fn effects_on_one_object_run_in_order_and_one_at_a_time() {
        let mut lanes = Lanes::default();
        for (id, name) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            lanes.push(get(id, name));
        }
        assert_eq!(startable(&mut lanes), [1, 3]);
        lanes.finish(EffectId(1));
        assert_eq!(startable(&mut lanes), [2]);
        lanes.push(get(5, "b"));
        assert_eq!(startable(&mut lanes), [0; 0], "3 still runs on b");
        lanes.finish(EffectId(3));
        lanes.finish(EffectId(2));
        assert_eq!(startable(&mut lanes), [5, 4]);
        lanes.finish(EffectId(4));
        lanes.finish(EffectId(5));
        assert!(lanes.waiting.is_empty() && lanes.running.is_empty(), "nothing is kept of lanes that are done");
    }

    #[test]
    fn a_class_at_its_limit_keeps_no_other_class_waiting() {
        let mut lanes = Lanes::default();
        (0..10).for_each(|id| lanes.push(query(id)));
        lanes.push(event(10));
        lanes.push(get(11, "a"));
        lanes.push(query_of("other", 12));
        assert_eq!(startable(&mut lanes), [11, 10, 0, 1, 2, 3, 12], "a source has four, and keeps no other waiting");
        lanes.finish(EffectId(3));
        assert_eq!(startable(&mut lanes), [4]);
    }

    #[test]
    fn a_busy_object_does_not_starve_the_others_of_its_class() {
        let mut lanes = Lanes::default();
        (0..40).for_each(|id| lanes.push(get(id, if id % 2 == 0 { "busy" } else { "other" })));
        (100..116).for_each(|id| lanes.push(get(id, &id.to_string())));
        let first = startable(&mut lanes);
        assert_eq!(first.len(), 16);
        lanes.finish(EffectId(first[0]));
        assert_eq!(startable(&mut lanes), [114], "the busy object queues behind those that wait longer");
    }

    #[test]
    fn an_unknown_end_changes_nothing() {
        let mut lanes = Lanes::default();
        lanes.finish(EffectId(7));
        lanes.push(get(7, "a"));
        assert_eq!(startable(&mut lanes), [7]);
    }
}
