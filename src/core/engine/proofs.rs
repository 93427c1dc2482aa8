//! What is in place, and so can be read back of pods.

use std::sync::Arc;

use super::{
    Entry, World,
    sweep::{Expectation, Expected},
};
use crate::{
    api::{conditions::Reason, policy::Mode, status::SettingStatus},
    core::{
        facts::{Kind, Object, ObjectKey, Progress, progress},
        plan::{Plan, Setting, State},
        policy::{Knob, Landing, Policy, readback},
        report::{self, Finding, Truth},
        resolve,
    },
};

impl World {
    /// Notes what the pods of a target shall tell. `rolls`: a rollout of ours is under way.
    pub(super) fn note_proofs(
        &mut self,
        entry: &mut Entry,
        policy: &Policy,
        target: &Object,
        plan: &Plan,
        rolls: bool,
    ) {
        if policy.mode != Mode::Enforce || policy.knobs.iter().all(|knob| knob.readback.is_none()) {
            self.unmeasured.objects |= entry.proofs.remove(&target.key).is_some();
            return;
        }
        // A plan that was cut short says nothing of what is in place.
        let is_cut = !plan.unread.is_empty() || !plan.refusals.is_empty();
        let mut expected = Expected::default();
        if is_cut {
            let Some(before) = entry.proofs.get(&target.key) else { return };
            expected = before.clone();
        } else {
            for setting in &plan.settings {
                let Some(knob) = policy.knobs.iter().find(|knob| knob.path == setting.path) else { continue };
                match (expectation(policy, knob, setting), setting.state) {
                    (Some(value), State::AtRest) => expected.values.push(Arc::new(value)),
                    (Some(_), State::Planned) => expected.pending = true,
                    (Some(_) | None, _) => {}
                }
            }
        }
        expected.pods = pods(target);
        let is_complete = !rolls && progress(target) == Progress::Complete;
        expected.asked = !is_cut && plan.steps.is_empty() && is_complete && expected.pods != Some(0);
        if entry.proofs.get(&target.key) != Some(&expected) {
            self.unmeasured.objects = true;
            entry.proofs.insert(target.key.clone(), expected);
        }
    }

    /// Whether pods run with what is in place, and the values that they do not run with.
    pub(super) fn proven(
        &self,
        entry: &Entry,
        policy: &Policy,
        targets: &[ObjectKey],
        settings: &[Setting],
    ) -> (Finding, Vec<SettingStatus>) {
        if policy.knobs.iter().all(|knob| knob.readback.is_none()) {
            let message = "no knob says in effective where pods tell its value";
            return (Finding::new(Truth::Unknown, Reason::NoReadback, message), Vec::new());
        }
        let (finding, unproven) = self.sweep.effective(&policy.identity, &entry.proofs, targets, &entry.written);
        let status = |unproven: super::sweep::Unproven| {
            let setting = settings.iter().find(|setting| setting.path == unproven.path)?;
            Some(SettingStatus {
                path: unproven.path.to_string(),
                desired: setting.desired.clone(),
                live: None,
                effective: Some(unproven.effective),
                source: setting.source.clone(),
                state: unproven.state.as_str().to_owned(),
                message: Some(report::cut(&unproven.message, report::MAX_ADVICE_BYTES)),
            })
        };
        (finding, unproven.into_iter().filter_map(status).collect())
    }
}

/// What pods shall tell of a knob; nothing where they tell nothing, or its value cannot be compared.
fn expectation(policy: &Policy, knob: &Knob, setting: &Setting) -> Option<Expectation> {
    let readback = knob.readback.clone()?;
    // The value as it is written, which may be another one than the policy's: one that failed stays away.
    let desired = readback::expected(&resolve::read(knob, &setting.desired)?)?;
    let is_watched = !knob.landing.is_read_at_start(policy);
    let (place, is_slow) = match &knob.landing {
        Landing::Env(name) => (format!("the variable {name}"), false),
        Landing::Arg(flag) => (format!("the flag {flag}"), false),
        Landing::Option(known) => (format!("the option {}", known.token), false),
        Landing::Document { .. } | Landing::ConfigMapKey { .. } => (setting.landing.clone(), is_watched),
        Landing::Field(_) => (setting.landing.clone(), true),
        Landing::Resource { .. } | Landing::Sysctl(_) | Landing::Variable | Landing::NotEnforceable(_) => return None,
    };
    Some(Expectation { path: knob.path.clone(), readback, kind: knob.kind, desired, place: place.into(), is_slow })
}

/// How many pods a target has, if that is known.
fn pods(target: &Object) -> Option<u32> {
    let count = match target.key.kind {
        Kind::Deployment | Kind::StatefulSet => target.integer("/spec/replicas").unwrap_or(1),
        Kind::DaemonSet => target.integer("/status/desiredNumberScheduled").unwrap_or(0),
        Kind::HorizontalPodAutoscaler | Kind::ConfigMap | Kind::Cluster | Kind::Pooler | Kind::Stream => return None,
    };
    Some(u32::try_from(count).unwrap_or(0))
}
