//! How checklists stand, and what their conditions and the formulas of reports see.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::MAX_ENTRIES;
use crate::{
    api::{policy::Attestation, status::ChecklistStatus},
    core::{
        facts::{Object, Progress, progress},
        formula::Datum,
        plan::{Plan, State},
        policy::{Amount, Fact, Landing, Line, Means, Policy, Probe, Sight},
        resolve,
        units::{Decimal, Dimension, Quantity, Value},
    },
};

/// What is known of a threshold, over all targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Whether it holds; nothing where there is no reading, and nothing was breached before.
    pub within: Option<bool>,
    /// The reading in base units: on several targets or of several series, the worst.
    pub current: Option<f64>,
    /// The word for its state.
    pub state: &'static str,
}

/// What is known of thresholds, by their names.
pub type Readings = BTreeMap<Box<str>, Known>;

/// What is known of a policy's thresholds and of those who are told.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Thresholds.
    pub readings: &'a Readings,
    /// Whether breaches are told to anybody.
    pub alerting: bool,
}

/// A target of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The object.
    pub object: &'a Object,
    /// What is planned for it.
    pub plan: &'a Plan,
    /// What is made of the policy there.
    pub made: Made<'a>,
}

/// What active profiles make of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The policy under them.
    pub policy: &'a Policy,
    /// Their names.
    pub profiles: &'a [Box<str>],
    /// Which of its profiles are active, by their positions, as far as it is known.
    pub active: &'a [Option<bool>],
}

impl<'a> Made<'a> {
    /// The policy as it is written.
    #[must_use]
    pub const fn plain(policy: &'a Policy) -> Self {
        Self { policy, profiles: &[], active: &[] }
    }
}

/// What probes see of one target of a policy, or of a policy without targets.
#[derive(Debug)]
pub struct View<'a> {
    values: BTreeMap<Box<str>, Option<Value>>,
    /// Why nothing shows a value, by its path.
    unseen: BTreeMap<Box<str>, String>,
    target: Option<Target<'a>>,
    made: Made<'a>,
    around: Around<'a>,
}

impl<'a> View<'a> {
    /// Values of the policy as active profiles make it, as they are on the target: where one is left to somebody else, that
    /// one's. What no field of an object carries cannot be seen, whatever the policy says of it.
    #[must_use]
    pub fn new(made: Made<'a>, target: Option<Target<'a>>, around: Around<'a>) -> Self {
        let policy = made.policy;
        let worked = policy.work_out(|_| None, |amount| resolve::template(target?.object, amount));
        let mut values: BTreeMap<Box<str>, Option<Value>> = BTreeMap::new();
        let mut unseen = BTreeMap::new();
        for (knob, worked) in policy.knobs.iter().zip(worked) {
            if let Landing::NotEnforceable(why) = &knob.landing {
                unseen.insert(knob.path.clone(), format!("{} is not enforceable: {why}", knob.path));
                continue;
            }
            let setting =
                target.and_then(|target| target.plan.settings.iter().find(|setting| setting.path == knob.path));
            let value = match setting.map(|setting| (setting.state, &setting.live)) {
                Some((State::Yielded | State::Quarantined | State::Refused, live)) => {
                    live.as_deref().and_then(|text| resolve::read(knob, text))
                }
                Some((State::AtRest | State::Planned | State::Variable | State::NotEnforceable, _)) | None => {
                    worked.ok().map(|w| w.value)
                }
            };
            values.insert(knob.path.clone(), value);
        }
        Self { values, unseen, target, made, around }
    }

    /// Without values that nothing shows: a variable is a wish until something that lands follows from it.
    fn without_wishes(mut self) -> Self {
        let policy = self.made.policy;
        for knob in policy.knobs.iter().filter(|knob| knob.landing == Landing::Variable) {
            if self.values.contains_key(&knob.path) && !policy.is_carried(&knob.path) {
                self.values.remove(&knob.path);
                let why = format!(
                    "{} lands nowhere, so nothing shows it: give it a landing place, or attest the line",
                    knob.path
                );
                self.unseen.insert(knob.path.clone(), why);
            }
        }
        self
    }

    /// The target and the active profiles, as a remark behind what is said of it; nothing where there are neither.
    fn place(&self) -> String {
        let on = self.target.map(|target| format!(" on {}", target.object.key.short())).unwrap_or_default();
        match self.made.profiles {
            [] => on,
            [only] => format!("{on} under profile {only}"),
            several => format!("{on} under profiles {}", several.join(", ")),
        }
    }

    /// The target, such as `Deployment/api`.
    #[must_use]
    pub fn object(&self) -> Option<String> {
        self.target.map(|target| target.object.key.short())
    }

    fn threshold(&self, name: &str) -> Option<&Known> {
        self.around.readings.get(name)
    }
}

impl Sight for View<'_> {
    fn value(&self, path: &str) -> Option<Value> {
        self.values.get(path)?.clone()
    }

    fn template(&self, amount: &Amount) -> Option<Value> {
        resolve::template(self.target?.object, amount)
    }

    fn fact(&self, fact: &Fact) -> Option<Datum> {
        match fact {
            Fact::Within(name) => self.threshold(name)?.within.map(Datum::Boolean),
            Fact::Measured(name) => {
                Some(Datum::Boolean(self.threshold(name).is_some_and(|known| known.within.is_some())))
            }
            Fact::Current(name, dimension) => {
                let amount = decimal(self.threshold(name)?.current?)?;
                Some(Datum::Quantity(Quantity::new(amount, *dimension)))
            }
            Fact::State(name) => Some(Datum::Word(self.threshold(name).map_or("NoData", |known| known.state).into())),
            Fact::Replicas => {
                let object = self.target?.object;
                let pods = object.integer("/spec/replicas").or_else(|| object.integer("/spec/instances")).unwrap_or(1);
                Some(Datum::Quantity(Quantity::new(pods.into(), Dimension::Count)))
            }
            Fact::Ready => Some(Datum::Boolean(progress(self.target?.object) == Progress::Complete)),
            Fact::Applied => {
                let plan = self.target?.plan;
                Some(Datum::Boolean(
                    plan.steps.is_empty()
                        && plan.refusals.is_empty()
                        && plan.conflicts.is_empty()
                        && plan.unread.is_empty(),
                ))
            }
            Fact::Environment { container, name } => {
                environment(self.target?.object, container.as_deref(), name).map(|text| Datum::Word(text.into()))
            }
            Fact::Alerting => Some(Datum::Boolean(self.around.alerting)),
            Fact::Active(position, _) => self.made.active.get(*position).copied().flatten().map(Datum::Boolean),
        }
    }

    fn why_unseen(&self, path: &str) -> Option<String> {
        self.unseen.get(path).cloned()
    }
}

/// A float of a backend as an exact number.
#[must_use]
pub fn decimal(value: f64) -> Option<Decimal> {
    const LARGEST: f64 = 1e18;
    #[expect(clippy::cast_possible_truncation, reason = "rounded, and far below the range")]
    (value.is_finite() && value.abs() < LARGEST).then(|| Decimal::from_nanos((value * 1e9).round() as i128))
}

fn environment<'o>(object: &'o Object, container: Option<&str>, name: &str) -> Option<&'o str> {
    let mut containers =
        object.items("/spec/template/spec/containers").filter(|c| container.is_none_or(|wanted| c["name"] == wanted));
    let only = containers.next().filter(|_| containers.next().is_none())?;
    let variables = only.get("env").and_then(Json::as_array)?;
    let mut named = variables.iter().filter(|variable| variable["name"] == name);
    let variable = named.next().filter(|_| named.next().is_none())?;
    if variable.get("valueFrom").is_some() {
        return None;
    }
    Some(variable.get("value").and_then(Json::as_str).unwrap_or_default())
}

/// How a line of a checklist stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The check holds, on every target.
    Passed,
    /// The check does not hold; where.
    Failed(String),
    /// Somebody has seen it.
    Attested(Attestation),
    /// Nobody has answered.
    Open,
    /// The check cannot be worked out; why.
    Unknown(String),
}

impl Answer {
    /// The word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Failed(_) => "Failed",
            Self::Attested(_) => "Attested",
            Self::Open => "Open",
            Self::Unknown(_) => "Unknown",
        }
    }
}

/// How every line of a policy's checklist stands.
#[must_use]
pub fn judge<'a>(alone: Made<'a>, targets: &[Target<'a>], around: Around<'a>) -> Vec<(&'a Line, Answer)> {
    let lines = &alone.policy.checklist;
    if lines.is_empty() {
        return Vec::new();
    }
    let views: Vec<View<'_>> = views(alone, targets, around).into_iter().map(View::without_wishes).collect();
    lines.iter().map(|line| (line, answer(line, &views))).collect()
}

/// What probes see: of each target, or of the policy `alone`.
#[must_use]
pub fn views<'a>(alone: Made<'a>, targets: &[Target<'a>], around: Around<'a>) -> Vec<View<'a>> {
    match targets {
        [] => vec![View::new(alone, None, around)],
        targets => targets.iter().map(|target| View::new(target.made, Some(*target), around)).collect(),
    }
}

fn answer(line: &Line, views: &[View<'_>]) -> Answer {
    let probe = match &line.means {
        Means::Open => return Answer::Open,
        Means::Attested(attested) => return Answer::Attested(attested.clone()),
        Means::Check(probe) => probe,
    };
    let mut unknown = None;
    for view in views {
        match holds(probe, view) {
            Ok(true) => {}
            // One target that fails is an answer, whatever is not known of others.
            Ok(false) => {
                return Answer::Failed(format!("{} does not hold{}", probe.source(), view.place()));
            }
            Err(why) => unknown = unknown.or(Some(why)),
        }
    }
    unknown.map_or(Answer::Passed, Answer::Unknown)
}

fn holds(probe: &Probe, view: &View<'_>) -> Result<bool, String> {
    // A check has been refused unless it is a condition.
    probe.evaluate(view)?.as_bool().ok_or_else(|| "it is no condition".to_owned())
}

/// The part of it that a status tells.
#[must_use]
pub fn summary(lines: &[(&Line, Answer)]) -> Option<ChecklistStatus> {
    let mut status = ChecklistStatus::default();
    for (line, answer) in lines {
        match answer {
            Answer::Passed => status.passed += 1,
            Answer::Failed(_) => {
                status.failed += 1;
                if status.failing.len() < MAX_ENTRIES {
                    status.failing.push(line.id.to_string());
                }
            }
            Answer::Attested(_) => status.attested += 1,
            Answer::Open => status.open += 1,
            Answer::Unknown(_) => status.unknown += 1,
        }
    }
    (!lines.is_empty()).then_some(status)
}
