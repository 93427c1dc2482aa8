//! Values that are in place, and whether pods run with them.
//!
//! Pods are asked by the sweep's questions, and only about what is in place on targets whose rollout is finished. What was said
//! holds while nobody is asked: a rollout of somebody else is no news. Another value is another row, of which nothing is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Sweep,
    question::{Ask, Draft, Round, nobody, workload},
    standing::{self, failure, list},
};
use crate::{
    api::{
        PerformancePolicyStatus,
        conditions::{ConditionType, Reason},
        status::SettingStatus,
    },
    core::{
        evaluate::{Other, Proof, ProofTrack},
        facts::{Instant, ObjectKey, Span},
        policy::{
            Identity, PolicyKey, Readback,
            readback::{agrees, spell},
        },
        promql::{self, Missing, SeriesKey, Told},
        report::{Finding, Truth},
        units::{Excerpt, ValueType},
    },
};

/// Time that a file which pods watch takes to reach them: a kubelet looks about once a minute, behind a cache of as long.
const SLOW: Span = Span::minutes(3);

/// What the pods of a target shall tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Whether they are asked now: nothing is being rolled out.
    pub asked: bool,
    /// How many pods there are, if that is known.
    pub pods: Option<u32>,
    /// Values that are in place.
    pub values: Vec<Arc<Expectation>>,
    /// Whether there are others that are not in place yet.
    pub pending: bool,
}

/// A value that pods shall tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Path in the policy.
    pub path: Box<str>,
    /// Where they tell it.
    pub readback: Arc<Readback>,
    /// Type of the value.
    pub kind: ValueType,
    /// The value in its base unit.
    pub desired: f64,
    /// Where they read it, for people: `the variable DB_POOL_SIZE`.
    pub place: Box<str>,
    /// Whether pods take it up while they run, which takes a while.
    pub is_slow: bool,
}

/// A value that pods do not run with.
#[derive(Clone, Debug, PartialEq)]
pub struct Unproven {
    /// Path in the policy.
    pub path: Box<str>,
    /// What they tell.
    pub effective: String,
    /// How many of them, in words.
    pub message: String,
    /// `NotApplied` or `Partially`.
    pub state: Reason,
}

/// What is known of a policy's values.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    rows: Vec<Row>,
    /// Targets that have been looked at since the beginning: what is new on another one may be what the status speaks of.
    met: BTreeSet<ObjectKey>,
}

/// One value on one target.
#[derive(Debug)]
struct Row {
    target: ObjectKey,
    value: Arc<Expectation>,
    asked: bool,
    pods: Option<u32>,
    track: ProofTrack,
    /// Version of what is asked, since which this is.
    version: u32,
    since: Instant,
    /// Whether the status may speak of it, written by who led before.
    recalled: bool,
}

impl Proofs {
    /// Follows what is in place. Returns whether something else is asked now.
    pub fn follow(&mut self, expected: &BTreeMap<ObjectKey, Expected>, version: u32, now: Instant) -> bool {
        let values = || expected.iter().flat_map(|(target, of)| of.values.iter().map(move |value| (target, of, value)));
        let is_same = |(row, (target, _, value)): (&Row, (&ObjectKey, &Expected, &Arc<Expectation>))| {
            row.target == *target && (Arc::ptr_eq(&row.value, value) || row.value == *value)
        };
        let mut changed = self.rows.len() != values().count() || !self.rows.iter().zip(values()).all(is_same);
        if changed {
            let mut known = std::mem::take(&mut self.rows);
            for (target, _, value) in values() {
                let same = known.iter().position(|row| row.target == *target && row.value == *value);
                let met = self.met.contains(target);
                let row = same.map(|at| known.swap_remove(at));
                self.rows.push(row.unwrap_or_else(|| Row::new(target, value, version, now, !met)));
            }
        }
        for (row, (_, Expected { asked, pods, .. }, _)) in self.rows.iter_mut().zip(values()) {
            changed |= row.asked != *asked;
            if *asked && !row.asked {
                row.track.begin_anew();
                row.version = version;
            }
            (row.asked, row.pods) = (*asked, *pods);
            if *pods == Some(0) {
                row.track.empty();
            }
        }
        self.met.extend(expected.keys().filter(|target| !self.met.contains(*target)).cloned().collect::<Vec<_>>());
        changed
    }

    /// Whether there is anything to prove.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Enters all rows with the questions that answer them, as members from `first` on.
    pub fn draft(
        &self,
        (policy, number): (&PolicyKey, u32),
        first: usize,
        identity: &promql::Identity,
        drafts: &mut BTreeMap<Ask, Draft>,
    ) {
        for (index, row) in self.rows.iter().enumerate().filter(|(_, row)| row.asked) {
            let Ok(member) = u16::try_from(first.saturating_add(index)) else { return };
            let kind = workload(row.target.kind);
            let readback = &row.value.readback;
            let ask = match (readback.shape(identity, kind), readback.query()) {
                (Some(shape), _) => Ask::Shape(shape),
                (None, Some(query)) => Ask::Told(query.clone(), identity.pod.as_str().into()),
                (None, None) => continue,
            };
            let draft = drafts.entry(ask).or_default();
            draft.every = Some(Span::ZERO);
            draft.unjudged |= row.track.said().is_none();
            draft.enter(row.key(policy), number, member);
        }
    }

    /// Judges a row by a round. Returns whether people must be told something else.
    pub fn judge(&mut self, policy: &PolicyKey, index: usize, round: &Round) -> bool {
        // Of a query of the policy's own, its answer may be about anybody.
        let mut targets: Vec<ObjectKey> = Vec::new();
        if self.rows.get(index).is_some_and(|row| row.value.readback.query().is_some()) {
            targets.extend(self.rows.iter().map(|row| row.target.clone()));
            targets.dedup();
        }
        let Some(row) = self.rows.get_mut(index).filter(|row| row.asked && row.version <= round.version) else {
            return false;
        };
        let told = round.told(&row.key(policy)).map(|told| {
            let own = told.into_iter().filter(|told| {
                row.value.readback.query().is_none()
                    || told.pod.as_deref().is_none_or(|pod| is_of(pod, &row.target, &targets))
            });
            let base = |Told { pod, value }| Told { pod, value: row.value.readback.to_base(value) };
            own.map(base).collect::<Vec<_>>()
        });
        let named = row.track.named();
        let proof = Proof::of(told.as_deref().map_err(|why| *why), row.value.desired, row.pods, named);
        let patient = row.value.is_slow && round.at.since(row.since) < SLOW;
        row.track.judge(round.at, proof, patient)
    }
}

/// Whether a pod is one of `target` by its name. Where that is too long for the names of its pods to tell it, whatever begins with it
/// is one: of several targets, of the one with the longest name.
fn is_of(pod: &str, target: &ObjectKey, targets: &[ObjectKey]) -> bool {
    let kind = workload(target.kind).filter(|kind| target.name.len() <= kind.max_name_length());
    if let Some(kind) = kind {
        return kind.is_pod_of(pod, &target.name);
    }
    let fits = |name: &str| pod.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
    let longer = |other: &ObjectKey| other.name.len() > target.name.len() && fits(&other.name);
    !target.kind.is_workload() || (fits(&target.name) && !targets.iter().any(longer))
}

impl Row {
    fn new(target: &ObjectKey, value: &Arc<Expectation>, version: u32, since: Instant, recalled: bool) -> Self {
        let (target, value) = (target.clone(), value.clone());
        Self { target, value, asked: false, pods: None, track: ProofTrack::default(), version, since, recalled }
    }

    fn key(&self, policy: &PolicyKey) -> SeriesKey {
        if self.value.readback.query().is_some() {
            nobody()
        } else if self.target.kind.is_workload() {
            SeriesKey::workload(&self.target.namespace, &self.target.name)
        } else {
            SeriesKey::namespace(&policy.0)
        }
    }
}

impl Sweep {
    /// Whether pods run with the values that are in place, and those that they do not run with. `written` is the status as it
    /// is: after a restart it holds until all of them were asked.
    #[must_use]
    pub fn effective(
        &self,
        policy: &Identity,
        expected: &BTreeMap<ObjectKey, Expected>,
        targets: &[ObjectKey],
        written: &PerformancePolicyStatus,
    ) -> (Finding, Vec<Unproven>) {
        let unknown = |message: &str| (Finding::new(Truth::Unknown, Reason::Unknown, message), Vec::new());
        let same_spec = written.observed_generation == Some(policy.generation);
        let before = || said_before(written).filter(|_| same_spec);
        let governed = self.policies.get(&policy.key);
        let source = governed.and_then(|governed| self.sources.get(&governed.source));
        let rows = governed.iter().flat_map(|governed| &governed.proofs.rows);
        let rows: BTreeMap<(&ObjectKey, &str), &Row> = rows.map(|row| ((&row.target, &*row.value.path), row)).collect();
        let mut all: Vec<(&ObjectKey, &Expectation, &Proof)> = Vec::new();
        let (mut unjudged, mut recalled, mut idle) = (false, false, false);
        let was_verified = before().is_some_and(|(finding, _)| finding.truth == Truth::True);
        for target in targets {
            let Some(expected) = expected.get(target) else {
                // It has not been looked at yet.
                (unjudged, recalled) = (true, true);
                continue;
            };
            unjudged |= expected.pending;
            for value in &expected.values {
                let row = rows.get(&(target, &*value.path)).filter(|row| row.value == *value);
                let is_empty = expected.pods == Some(0);
                match row.map(|row| (row, row.track.said())) {
                    // Whoever was blamed is gone, and nobody came instead.
                    Some((_, Some(Proof::Other(_) | Proof::Silent { .. }))) if is_empty => idle = true,
                    Some((_, None)) | None if is_empty && !was_verified => idle = true,
                    Some((_, Some(proof))) => all.push((target, value, proof)),
                    Some((row, None)) => (unjudged, recalled) = (true, recalled || row.recalled),
                    None => {
                        let is_new = governed.is_some_and(|governed| governed.proofs.met.contains(target));
                        (unjudged, recalled) = (true, recalled || !is_new);
                    }
                }
            }
        }
        // What is known by now is not hidden behind what was said before of others.
        let blames = all.iter().any(|(.., proof)| matches!(proof, Proof::Other(_)));
        if recalled
            && !blames
            && let Some(before) = before()
        {
            return before;
        }
        let name = governed.map_or("", |governed| &governed.source);
        let Some(source) = source else {
            if governed.is_none() {
                return unknown("pods have not been asked yet");
            }
            let message = format!("there is no MetricsSource \"{name}\" to ask");
            return (Finding::new(Truth::Unknown, Reason::SourceNotFound, message), Vec::new());
        };
        if let Some(down) = &source.health.down {
            let message = format!("MetricsSource \"{name}\": {}", failure(&down.refusal));
            return (Finding::new(Truth::Unknown, down.refusal.reason, message), Vec::new());
        }
        let unproven: Vec<Unproven> = all
            .iter()
            .filter_map(|(target, value, proof)| match proof {
                Proof::Other(other) => Some(value.unproven(listed(target, targets), other)),
                Proof::Verified | Proof::Silent { .. } => None,
            })
            .collect();
        if !unproven.is_empty() {
            let none = unproven.iter().any(|unproven| unproven.state == Reason::NotApplied);
            let mut worst: Vec<&Unproven> = unproven.iter().collect();
            worst.sort_by_key(|unproven| unproven.state != Reason::NotApplied);
            let said = list(worst.into_iter().map(|unproven| unproven.message.clone()));
            let reason = if none { Reason::NotApplied } else { Reason::Partially };
            return (Finding::new(Truth::False, reason, said), unproven);
        }
        if unjudged {
            return unknown("pods have not been asked yet: they are when every value is in place and rolled out");
        }
        let silent: Vec<(String, Missing)> = all
            .iter()
            .filter_map(|(target, value, proof)| match proof {
                Proof::Silent { why, pods } => Some((value.silent(listed(target, targets), *why, *pods), *why)),
                Proof::Verified | Proof::Other(_) => None,
            })
            .collect();
        if let Some((_, why)) = silent.first() {
            let said = list(silent.iter().map(|(said, _)| said.clone()));
            return (Finding::new(Truth::Unknown, why.why, said), Vec::new());
        }
        if all.is_empty() && idle {
            return unknown("there are no pods that could be asked");
        }
        if all.is_empty() {
            return unknown("no value that can be read back is in place");
        }
        let paths: BTreeSet<&str> = all.iter().map(|(_, value, _)| &*value.path).collect();
        let are = if paths.len() == 1 { "1 value is".to_owned() } else { format!("{} values are", paths.len()) };
        (Finding::new(Truth::True, Reason::Verified, format!("{are} what every pod runs with")), Vec::new())
    }

    /// What is said of every value, where that is known: policy, target, path, what pods run with, and whether it is what is in
    /// place.
    pub fn proofs(&self) -> impl Iterator<Item = (&PolicyKey, &ObjectKey, &str, f64, bool)> {
        self.policies.iter().flat_map(|(policy, governed)| {
            governed.proofs.rows.iter().filter_map(move |row| match row.track.said()? {
                Proof::Verified => Some((policy, &row.target, &*row.value.path, row.value.desired, true)),
                Proof::Other(other) => Some((policy, &row.target, &*row.value.path, other.seen, false)),
                Proof::Silent { .. } => None,
            })
        })
    }
}

/// The target as messages name it: not at all where there is only one.
fn listed<'a>(target: &'a ObjectKey, targets: &[ObjectKey]) -> Option<&'a ObjectKey> {
    Some(target).filter(|_| targets.len() > 1)
}

/// The name of a pod for people. A label may hold anything.
fn plain(pod: &str) -> String {
    let is_name = pod.len() <= 253 && pod.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if is_name { pod.to_owned() } else { Excerpt::new(pod).to_string() }
}

impl Expectation {
    fn unproven(&self, target: Option<&ObjectKey>, other: &Other) -> Unproven {
        let Other { right, wrong, pods, seen, pod } = other;
        let (mut desired, mut effective) = (spell(self.kind, self.desired), spell(self.kind, *seen));
        if desired == effective && !agrees(self.desired, *seen) {
            (desired, effective) = (self.desired.to_string(), seen.to_string());
        }
        let what = self.what(target);
        let who = pod.as_deref().map_or_else(|| "the application".to_owned(), plain);
        let mut told = format!("{who} tells {effective} ({})", self.readback.name());
        let silent = other.silent();
        // Of those that are not seen nobody knows what they run with.
        let is_plain = silent == 0 && (*right == 0 || *wrong == 1);
        if !is_plain && *wrong > 1 {
            told.push_str(&format!(", {} more tell another value", wrong - 1));
        }
        if silent > 0 {
            told.push_str(&format!(", {silent} {} not seen yet", if silent == 1 { "is" } else { "are" }));
        }
        let run = if silent == 0 { "run with" } else { "tell" };
        let (state, message) = if *right == 0 {
            let hint = format!("it seems to ignore {}, or something sets the value later", self.place);
            (Reason::NotApplied, format!("{what} shall be {desired}, and 0 of {pods} pods {run} that: {told}; {hint}"))
        } else {
            (Reason::Partially, format!("{what} shall be {desired}: {right} of {pods} pods {run} that, and {told}"))
        };
        Unproven { path: self.path.clone(), effective, message, state }
    }

    fn silent(&self, target: Option<&ObjectKey>, why: Missing, pods: Option<(u32, u32)>) -> String {
        let (what, name) = (self.what(target), self.readback.name());
        match pods {
            Some((silent, pods)) => format!("{what}: {silent} of {pods} pods do not tell {name} yet"),
            None if why.why == Reason::StaleData => format!("{what}: more pods tell {name} than there are"),
            None => format!("{what}: {} ({name})", standing::missing(why)),
        }
    }

    fn what(&self, target: Option<&ObjectKey>) -> String {
        let of = target.map(|target| format!(" of {}", target.short())).unwrap_or_default();
        format!("{}{of}", self.path)
    }
}

/// What the status says now.
fn said_before(written: &PerformancePolicyStatus) -> Option<(Finding, Vec<Unproven>)> {
    let finding = standing::written_finding(written, ConditionType::Effective)?;
    let unproven = |said: &SettingStatus| {
        Some(Unproven {
            path: said.path.as_str().into(),
            effective: said.effective.clone()?,
            message: said.message.clone().unwrap_or_default(),
            state: Reason::from_word(&said.state)?,
        })
    };
    Some((finding, written.settings.iter().filter_map(unproven).collect()))
}
