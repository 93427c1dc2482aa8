//! Letting go: what a policy gives back when it no longer governs an object or is deleted, and the finalizer that keeps it
//! until it has put everything back.

use std::collections::BTreeSet;

use super::{
    Action, Doing, Effect, Entry, Patch, PatchBody, Stream, World,
    objects::Slot,
    targets::{Unserved, unserved},
};
use crate::{
    api::{
        conditions::Reason,
        names,
        policy::{DeletionPolicy, Mode},
    },
    core::{
        facts::{Instant, Kind, ObjectKey, Span},
        ownership,
        plan::{self, Step},
        policy::{Policy, PolicyKey},
        record::Record,
        resolve::Rules,
    },
};

/// Time for which a kind is not served before its objects are taken for gone with their definition. Nobody tells a definition that
/// is replaced, or a version of it that is not served for a while, from one that was deleted with all its objects.
const GONE_AFTER: Span = Span::hours(1);
/// Time after which finalizers are set again although no newer view of the policy has come.
const FINALIZERS_AGAIN: Span = Span::seconds(5);

impl World {
    /// Gives back everything that a policy left on objects other than `kept`.
    pub(super) fn release_traces(
        &mut self,
        policy: &PolicyKey,
        kept: &BTreeSet<ObjectKey>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        for key in self.objects.traces_of(policy) {
            // Until its rollout has ended, the record is what tells the next leader whose rollout it is.
            if self.rollouts.get(&key).is_some_and(|rollout| rollout.policy == *policy && rollout.is_under_way()) {
                continue;
            }
            let too_early = self.refused_releases.get(&key).is_some_and(|refused| refused.until > now);
            if kept.contains(&key) || self.busy.contains(&key) || too_early {
                continue;
            }
            match self.objects.slot(&key) {
                Some(Slot::Stale(_)) => self.read(&key, out),
                Some(Slot::Bound(object)) => {
                    let manager = names::manager(&policy.1);
                    let owners = Record::of(&object.meta, &policy.1).and_then(Result::ok).unwrap_or_default().owners;
                    let annotations = [&*names::baseline(&policy.1)];
                    let Some(patch) = ownership::release(object, &manager, &annotations, &owners) else { continue };
                    self.busy.insert(key.clone());
                    let patch = Patch { object: key.clone(), subresource: None, manager, body: PatchBody::Json(patch) };
                    self.emit(Action::Patch(patch), Doing::Release { policy: policy.clone(), object: key }, out);
                }
                Some(Slot::Unbound { .. } | Slot::Waiting(_)) | None => {}
            }
        }
    }

    /// A policy that is being deleted: restore if it asked for that, release, let it go. What keeps it is told.
    pub(super) fn retire(&mut self, key: &PolicyKey, entry: &mut Entry, now: Instant, out: &mut Vec<Effect>) {
        if !has_finalizer(entry) {
            return;
        }
        let rules =
            entry.parsed.as_ref().ok().and_then(|policy| self.rules(policy).ok()).unwrap_or_else(Rules::built_in);
        let trouble = if rules.spec.freeze {
            Some((Reason::Frozen, format!("{} is frozen", rules.name())))
        } else {
            self.put_back(key, entry, &rules, now, out)
        };
        if let Some((reason, why)) = trouble {
            let message = format!(
                "the policy is being deleted, and what was there before it cannot be put back: {why}. To leave everything as \
                 it is, remove the finalizer {}",
                names::RESTORE_FINALIZER
            );
            let standing = self.unserved(key, entry, Unserved { reason, message, stalled: false }, true);
            Self::want_status(entry, &standing, now);
        }
    }

    /// Restores and releases what can be; gives what keeps the rest.
    fn put_back(
        &mut self,
        key: &PolicyKey,
        entry: &mut Entry,
        rules: &Rules,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Option<(Reason, String)> {
        // What cannot be read now may hold values that have to come back.
        let kind = entry.parsed.as_ref().ok().and_then(|policy| policy.target.as_ref()).map(|target| target.kind);
        let unread = kind.and_then(|kind| Some((kind, *self.unserved.get(&Stream::Objects(kind))?)));
        match unread {
            Some((kind, Reason::KindNotServed)) => {
                let until = *entry.absent_since.get_or_insert(now) + GONE_AFTER;
                if now < until {
                    entry.wake = Some(entry.wake.map_or(until, |at| at.min(until)));
                    let why = unserved(kind, Reason::KindNotServed);
                    let message = format!("{why}, and gives up when that has been so for an hour");
                    return Some((Reason::KindNotServed, message));
                }
            }
            Some((kind, reason)) => {
                entry.absent_since = None;
                return Some((reason, unserved(kind, reason)));
            }
            None => entry.absent_since = None,
        }
        let files = entry.parsed.as_ref().map(|policy| policy.files.clone()).unwrap_or_default();
        // Documents first, because their values are read at start: the workload is restored, and restarts, after them.
        let (documents, others): (Vec<ObjectKey>, Vec<ObjectKey>) =
            self.objects.traces_of(key).into_iter().partition(|object| object.kind == Kind::ConfigMap);
        let next = if documents.is_empty() { others } else { documents };
        if next.is_empty() && !entry.finalizers_in_flight {
            self.set_finalizers(key, entry, false, now, out);
        }
        let mut trouble = None;
        for object in next {
            if self.busy.contains(&object) {
                continue;
            }
            let Some(bound) = self.objects.shared(&object) else {
                self.read(&object, out);
                continue;
            };
            if let Some(Err(error)) = Record::of(&bound.meta, &key.1) {
                // Letting go would lose what has to come back.
                trouble = Some((Reason::BaselineUnreadable, format!("{}: {error}", object.short())));
                continue;
            }
            if let Some(bar) = plan::bars_restore(&bound, &key.1, &entry.identity.uid, entry.parsed.as_ref().ok()) {
                trouble = Some(bar);
                continue;
            }
            let step = plan::restore(&bound, &key.1, &entry.identity.uid, &files);
            match step.filter(|step| !(matches!(step, Step::Apply(_)) && entry.restored.contains(&object))) {
                None => {
                    let others: BTreeSet<ObjectKey> =
                        self.objects.traces_of(key).into_iter().filter(|other| *other != object).collect();
                    self.release_traces(key, &others, now, out);
                    let refused =
                        self.refused_releases.get(&object).filter(|refused| refused.reason != Reason::Pending);
                    trouble = refused.map(|refused| (refused.reason, refused.message.clone())).or(trouble);
                }
                Some(step) => {
                    let verdict = self.gate(entry, rules, &bound, &step, now).map_err(|why| {
                        why.filter(|why| why.reason != Reason::Pending).map(|why| (why.reason, why.message))
                    });
                    let verdict = verdict
                        .and_then(|()| self.restores_within_budgets(key, entry, &bound, &step, now).map_err(Some));
                    match verdict {
                        Ok(()) => self.write(key, entry, &object, step, now, out),
                        Err(why) => {
                            entry.wake = Some(now + Span::seconds(1));
                            trouble = why.or(trouble);
                        }
                    }
                }
            }
        }
        trouble
    }

    pub(super) fn finalizers_ready(
        &mut self,
        key: &PolicyKey,
        entry: &mut Entry,
        policy: &Policy,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        let wanted = needs_finalizer(policy);
        if entry.finalizers_in_flight {
            return false;
        }
        if has_finalizer(entry) != wanted {
            self.set_finalizers(key, entry, wanted, now, out);
            return false;
        }
        true
    }

    fn set_finalizers(
        &mut self,
        key: &PolicyKey,
        entry: &mut Entry,
        wanted: bool,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        // Until the watch shows what became of it, the same view would only say the same again.
        let version = entry.identity.resource_version.clone();
        let tried = entry.finalizers_tried.as_ref().filter(|(tried, again)| *tried == version && *again > now);
        if let Some(again) = tried.map(|(_, again)| *again) {
            entry.wake = Some(entry.wake.map_or(again, |at| at.min(again)));
            return;
        }
        entry.finalizers_tried = Some((version, now + FINALIZERS_AGAIN));
        let mut finalizers: Vec<String> =
            entry.identity.finalizers.iter().filter(|name| *name != names::RESTORE_FINALIZER).cloned().collect();
        if wanted {
            finalizers.push(names::RESTORE_FINALIZER.to_owned());
        }
        entry.finalizers_in_flight = true;
        let action = Action::Finalizers {
            policy: key.clone(),
            resource_version: entry.identity.resource_version.clone(),
            finalizers,
        };
        self.emit(action, Doing::Finalizers(key.clone()), out);
    }
}

fn has_finalizer(entry: &Entry) -> bool {
    entry.identity.finalizers.iter().any(|name| name == names::RESTORE_FINALIZER)
}

fn needs_finalizer(policy: &Policy) -> bool {
    policy.deletion == DeletionPolicy::Restore && policy.mode == Mode::Enforce && policy.target.is_some()
}
