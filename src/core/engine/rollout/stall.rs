//! What keeps the pods of a rollout from starting although nothing crashes: no node takes them, or they cannot be created.
//!
//! Both may pass by themselves, and who waits too briefly takes back what would have run: a node autoscaler adds a node, an old pod
//! that ends leaves its room and its part of a quota. So both are awaited, from the last time at which anything got better. A new
//! leader has seen nothing yet, and begins to count anew.

use super::Rollout;
use crate::{
    api::conditions::Reason,
    core::{
        engine::{Effect, World},
        facts::{Instant, Kind, Object, ObjectKey, Pod, Span, refusal},
    },
};

/// Time for which a pod is not scheduled until its rollout has failed. Autoscalers look for such pods every ten seconds or so, and
/// the nodes that they order are mostly ready within two minutes. The pods of before serve meanwhile.
const NO_NODE: Span = Span::minutes(3);
/// The same where the pod of before is gone already and comes back with the previous value by itself. Each second costs capacity,
/// and to most of these pods no new node is of use: that of a `DaemonSet` belongs to its node.
const NO_NODE_AND_NO_OLD_POD: Span = Span::minutes(1);
/// Time for which pods cannot be created until their rollout has failed. What refuses them decides at once and says the same again
/// next time, unless an old pod has gone; those that are ending are waited for besides.
const NOT_CREATED: Span = Span::minutes(1);
/// Time after which the policy says what its rollout waits for. Most of it is over before: a pod whose room is that of an old one.
const TELL: Span = Span::seconds(30);

/// What keeps the pods of a rollout from starting.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stall {
    /// `Unschedulable` or `FailedCreate`.
    pub reason: Reason,
    /// What was said when it was first seen: who says it counts and names other pods every time.
    pub message: String,
    /// When it was first seen.
    first: Instant,
    /// Since when nothing has got better.
    since: Instant,
    /// It has lasted for long enough to say so.
    told: bool,
}

impl Stall {
    fn new(reason: Reason, message: String, now: Instant) -> Self {
        Self { reason, message, first: now, since: now, told: false }
    }

    /// How long it may last.
    fn patience(&self, object: &Object) -> Span {
        if self.reason == Reason::FailedCreate {
            // The controller of ReplicaSets doubles the time until it tries again, from 5 ms on, as long as one pod is missing: what
            // has gone wrong for some time may be tried again only after as long.
            return NOT_CREATED.max(self.since.since(self.first));
        }
        let old_is_gone = match object.key.kind {
            Kind::Deployment => object.text("/spec/strategy/type") == Some("Recreate"),
            Kind::StatefulSet => !starts_in_order(object),
            _ => object.key.kind == Kind::DaemonSet,
        };
        if old_is_gone { NO_NODE_AND_NO_OLD_POD } else { NO_NODE }
    }

    /// What is said while it lasts.
    pub(super) fn told(&self) -> Option<String> {
        self.told.then(|| format!("{}: the previous values come back if that lasts", self.message))
    }
}

/// Whether a `StatefulSet` waits for each pod to be ready before it does anything about the next one.
fn starts_in_order(object: &Object) -> bool {
    object.key.kind == Kind::StatefulSet && object.text("/spec/podManagementPolicy") != Some("Parallel")
}

/// What is to be done by a person about a rollout that failed: such a `StatefulSet` replaces no pod that is not ready, not even on
/// the way back (kubernetes/kubernetes#67250).
pub(super) fn by_hand(object: &Object) -> &'static str {
    if starts_in_order(object) {
        "; its StatefulSet starts pods in order and replaces none that is not ready: delete it by hand"
    } else {
        ""
    }
}

/// What keeps pods from starting, as `pods` of the new revision and their object show it. `old`: revisions of other pods.
fn seen(object: &Object, pods: &[&Pod], old: &[&str]) -> Option<(Reason, String)> {
    let homeless = |pod: &&&Pod| pod.unschedulable.is_some() && !pod.deleting;
    if let Some(pod) = pods.iter().find(homeless) {
        let why = pod.unschedulable.as_deref().unwrap_or_default();
        return Some((Reason::Unschedulable, format!("pod {} is not scheduled: {why}", pod.name)));
    }
    // A ReplicaSet of before may miss a pod, too; the message mostly names it.
    let is_of_before = |said: &String| old.iter().any(|revision| said.contains(&format!("-{revision}-")));
    let said = refusal(object).filter(|said| !is_of_before(said))?;
    Some((Reason::FailedCreate, format!("pods cannot be created: {said}")))
}

impl Rollout {
    /// Takes note of what keeps pods from starting. `ending`: a pod is about to leave its room. Gives whether something else is to be
    /// told than before.
    fn stalls(&mut self, seen: Option<(Reason, String)>, ending: bool, now: Instant) -> bool {
        let was_told = self.stall.as_ref().is_some_and(|stall| stall.told);
        let before = self.stall.take();
        self.stall = seen.map(|(reason, message)| {
            let mut stall =
                before.filter(|before| before.reason == reason).unwrap_or_else(|| Stall::new(reason, message, now));
            stall.since = if ending { now } else { stall.since.max(self.advance.1) };
            stall.told |= now.since(stall.since) >= TELL;
            stall
        });
        was_told != self.stall.as_ref().is_some_and(|stall| stall.told)
    }
}

impl World {
    /// Looks whether the pods of a running rollout can start at all. `new`: those of `pods` that are of its revision.
    pub(super) fn watch_stall(
        &mut self,
        target: &ObjectKey,
        object: &Object,
        (pods, new, old): (&[Pod], &[&Pod], &[&str]),
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        let ending = pods.iter().any(|pod| pod.deleting);
        let changed = rollout.stalls(seen(object, new, old), ending, now);
        let policy = rollout.policy.clone();
        let lasted = rollout.stall.as_ref().filter(|stall| now.since(stall.since) >= stall.patience(object));
        if let Some((reason, message)) = lasted.map(|stall| (stall.reason, stall.message.clone())) {
            self.fail_rollout(target, reason, message, now, out);
        } else if changed {
            self.mark(policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::facts::Meta;

    fn object(kind: Kind, content: Value) -> Object {
        Object { key: ObjectKey::new(kind, "ns", "w"), meta: Meta::default(), content: content.into() }
    }

    fn pod(name: &str, unschedulable: Option<&str>, deleting: bool) -> Pod {
        Pod {
            name: name.into(),
            revision: None,
            created: Instant::default(),
            deleting,
            restarts: 0,
            waiting: None,
            unschedulable: unschedulable.map(str::to_owned),
        }
    }

    fn at(seconds: i64) -> Instant {
        Instant::from_millis(1000 * seconds)
    }

    fn rollout() -> Rollout {
        Rollout::preparing(("ns".into(), "p".into()), at(0))
    }

    /// When the rollout of an object has failed that has stalled for `reason` since `first`, with a pod ending until `ended`.
    #[track_caller]
    fn fails(object: &Object, reason: Reason, first: i64, ended: i64, want: i64) {
        let mut rollout = rollout();
        let lasts = |rollout: &mut Rollout, now: i64| {
            rollout.stalls(Some((reason, format!("at {now}"))), now <= ended, at(now));
            let stall = rollout.stall.clone().unwrap();
            assert_eq!(stall.message, format!("at {first}"), "the text stays");
            at(now).since(stall.since) >= stall.patience(object)
        };
        let failed = (first..).step_by(5).find(|now| lasts(&mut rollout, *now)).unwrap();
        assert_eq!(failed, want);
    }

    #[test]
    fn patience_is_that_of_a_new_node_and_less_where_the_old_pod_is_gone() {
        let check = |kind: Kind, spec: Value, want: i64| {
            fails(&object(kind, json!({"spec": spec})), Reason::Unschedulable, 10, 0, want);
        };
        check(Kind::Deployment, json!({}), 190);
        check(Kind::Deployment, json!({"strategy": {"type": "RollingUpdate"}}), 190);
        check(Kind::Deployment, json!({"strategy": {"type": "Recreate"}}), 70);
        check(Kind::StatefulSet, json!({"podManagementPolicy": "Parallel"}), 70);
        check(Kind::StatefulSet, json!({}), 190);
        check(Kind::DaemonSet, json!({}), 70);
    }

    #[test]
    fn what_is_ending_is_waited_for_and_a_refused_pod_for_as_long_as_until_it_is_tried_again() {
        let api = object(Kind::Deployment, json!({}));
        fails(&api, Reason::FailedCreate, 10, 0, 70);
        fails(&api, Reason::FailedCreate, 10, 40, 100);
        fails(&api, Reason::FailedCreate, 10, 100, 190);
        fails(&api, Reason::Unschedulable, 10, 100, 280);
    }

    #[test]
    fn progress_and_another_reason_begin_anew_and_what_is_over_is_forgotten() {
        let mut rollout = rollout();
        let homeless = || Some((Reason::Unschedulable, "no node".to_owned()));
        assert!(!rollout.stalls(homeless(), false, at(0)));
        rollout.advance.1 = at(20);
        assert!(!rollout.stalls(homeless(), false, at(45)), "progress at 20");
        assert!(rollout.stalls(homeless(), false, at(50)), "it is told");
        assert!(rollout.stall.as_ref().unwrap().told().unwrap().starts_with("no node: "));
        rollout.advance.1 = at(55);
        assert!(!rollout.stalls(homeless(), false, at(55)), "it stays told: statuses do not flicker");
        assert!(rollout.stalls(Some((Reason::FailedCreate, "quota".to_owned())), false, at(60)));
        assert_eq!(rollout.stall.as_ref().unwrap().since, at(60));
        assert!(!rollout.stalls(None, false, at(65)));
        assert_eq!(rollout.stall, None);
    }

    #[test]
    fn only_pods_of_the_new_revision_count_and_what_is_said_of_others_does_not() {
        let failure = |said: &str| {
            let failure =
                json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said});
            object(Kind::Deployment, json!({"status": {"observedGeneration": 1, "conditions": [failure]}}))
        };
        let (homeless, leaving) = (pod("w-2", Some("0/1 nodes"), false), pod("w-1", Some("0/1 nodes"), true));
        let quota = failure("pods \"w-abc-x\" is forbidden: exceeded quota");
        let found = seen(&quota, &[&leaving, &homeless], &[]).unwrap();
        assert_eq!(found, (Reason::Unschedulable, "pod w-2 is not scheduled: 0/1 nodes".to_owned()));
        let found = seen(&quota, &[&leaving], &["def"]).unwrap();
        let want = "pods cannot be created: pods \"w-abc-x\" is forbidden: exceeded quota";
        assert_eq!(found, (Reason::FailedCreate, want.to_owned()));
        assert_eq!(seen(&quota, &[], &["abc"]), None);
        assert_eq!(seen(&object(Kind::Deployment, json!({})), &[], &[]), None);
    }

    #[test]
    fn a_person_is_needed_where_pods_start_in_order() {
        let needed = |kind: Kind, spec: Value| !by_hand(&object(kind, json!({"spec": spec}))).is_empty();
        assert!(needed(Kind::StatefulSet, json!({})));
        assert!(needed(Kind::StatefulSet, json!({"podManagementPolicy": "OrderedReady"})));
        assert!(!needed(Kind::StatefulSet, json!({"podManagementPolicy": "Parallel"})));
        assert!(!needed(Kind::Deployment, json!({})));
        assert!(!needed(Kind::DaemonSet, json!({})));
    }
}
