//! Formulas that only look: conditions of a checklist and cells of a report. Beside what the formulas of knobs read, they see
//! what is known of the target and of thresholds, and no value that lands anywhere ever follows from them.

use std::{collections::BTreeMap, fmt};

use super::{
    Amount, Threshold,
    given::{Place, Scope},
};
use crate::{
    api::PerformancePolicySpec,
    core::{
        formula::{Checked, Datum, EvaluateError, Formula, Outcome, Path, Type},
        units::{Dimension, Quantity, Value},
    },
};

/// A formula that only looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    formula: Formula,
    code: Checked,
    reads: BTreeMap<Path, Read>,
}

/// What a reference stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Read {
    Place(Place),
    Fact(Fact),
    Known(Datum),
}

/// Something that is found out about a target or a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Whether the threshold holds, on every target.
    Within(Box<str>),
    /// Whether the threshold has a reading.
    Measured(Box<str>),
    /// The reading of the threshold, and what it measures.
    Current(Box<str>, Dimension),
    /// The word for the threshold's state.
    State(Box<str>),
    /// The number of pods that the target asks for.
    Replicas,
    /// Whether the target's rollout is complete.
    Ready,
    /// Whether every value of the policy is in place.
    Applied,
    /// A plain value of an environment variable in the pod template.
    Environment {
        /// The container; `None`: the only one.
        container: Option<Box<str>>,
        /// The variable.
        name: Box<str>,
    },
    /// Whether breaches are told to anybody.
    Alerting,
    /// Whether the profile is active, by its position and name.
    Active(usize, Box<str>),
}

impl fmt::Display for Fact {
    /// What is missing while it is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(name) | Self::Current(name, _) | Self::Measured(name) | Self::State(name) => {
                write!(f, "threshold {name} has no reading")
            }
            Self::Replicas | Self::Ready | Self::Applied => f.write_str("no target has been read"),
            Self::Environment { name, .. } => {
                write!(f, "the pod template has no variable {name} with a value of its own")
            }
            Self::Alerting => f.write_str("the class of the policy has not been read"),
            Self::Active(_, name) => {
                write!(f, "no reading tells whether profile {name} is active: it is between the two bounds, or missing")
            }
        }
    }
}

/// What probes see.
pub trait Sight {
    /// The value of a knob, by its path in the policy.
    fn value(&self, path: &str) -> Option<Value>;
    /// What the pod template has.
    fn template(&self, amount: &Amount) -> Option<Value>;
    /// What has been found out.
    fn fact(&self, fact: &Fact) -> Option<Datum>;
    /// Why nothing shows the value of a knob, where there is more to say than that it is not known.
    fn why_unseen(&self, path: &str) -> Option<String>;
}

/// Who asks: a checklist sees verdicts, and only a report sees readings, because a state must not change with every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Checklist,
    Report,
}

/// Everything that probes of a policy may read.
pub(super) struct Vision<'a> {
    pub scope: &'a Scope,
    pub spec: &'a PerformancePolicySpec,
    pub thresholds: &'a [Threshold],
}

impl Vision<'_> {
    /// Reads a probe whose result must be `expected`, if it has to be something.
    ///
    /// # Errors
    /// What is wrong with it, continuing its path.
    pub fn check(&self, formula: Formula, expected: Option<&Type>, asker: Asker) -> Result<Probe, String> {
        let find = |path: &Path| self.find(path, asker);
        let code = formula.check(expected, |path| find(path).map(|(_, is)| is)).map_err(|error| error.to_string())?;
        let mut reads = BTreeMap::new();
        for path in formula.references() {
            reads.insert(path.clone(), find(path)?.0);
        }
        Ok(Probe { formula, code, reads })
    }

    fn find(&self, path: &Path, asker: Asker) -> Result<(Read, Type), String> {
        let segments: Vec<&str> = path.segments().collect();
        let known = |datum: Datum| {
            let is = match &datum {
                Datum::Quantity(quantity) => quantity.dimension.into(),
                Datum::Boolean(_) => Type::Boolean,
                Datum::Word(_) => Type::Word(Vec::new()),
            };
            Ok((Read::Known(datum), is))
        };
        match segments[..] {
            ["mode"] => known(Datum::Word(format!("{:?}", self.spec.mode.unwrap_or_default()).into())),
            ["alerting"] => Ok((Read::Fact(Fact::Alerting), Type::Boolean)),
            ["counts", what] => known(count(self.count(what)?)),
            ["live", ref rest @ ..] => self.live(rest),
            ["thresholds", name, member] => self.threshold(name, member, asker),
            ["profiles", name, "active"] => self.profile(name, asker),
            ["profiles", ..] => Err("is not known: of a profile there is profiles.NAME.active, in reports".into()),
            ["mode" | "alerting" | "counts" | "thresholds", ..] => {
                Err("is not known: there are mode, alerting, counts.thresholds and thresholds.NAME.within".into())
            }
            _ => self.scope.find(path, None).map(|(place, is)| (Read::Place(place), is)),
        }
    }

    fn count(&self, what: &str) -> Result<usize, String> {
        let spec = self.spec;
        Ok(match what {
            "thresholds" => spec.thresholds.len(),
            "levels" => spec.thresholds.iter().map(|threshold| threshold.levels.len()).sum(),
            "workers" => spec.workers.len(),
            "pools" => spec.pools.len(),
            "caches" => spec.caches.len(),
            "settings" => spec.settings.len(),
            "resources" => spec.resources.len(),
            "loadTests" => spec.load_tests.len(),
            _ => {
                return Err(
                    "is not known: counts are of thresholds, levels, workers, pools, caches, settings, resources and \
                            loadTests"
                        .into(),
                );
            }
        })
    }

    fn live(&self, rest: &[&str]) -> Result<(Read, Type), String> {
        let fact = |fact: Fact, is: Type| Ok((Read::Fact(fact), is));
        match *rest {
            ["replicas"] => fact(Fact::Replicas, Dimension::Count.into()),
            ["ready"] => fact(Fact::Ready, Type::Boolean),
            ["applied"] => fact(Fact::Applied, Type::Boolean),
            ["env", name] => {
                let container = self.scope.container_of(None)?.map(Into::into);
                fact(Fact::Environment { container, name: name.into() }, Type::Word(Vec::new()))
            }
            [bucket, resource] => {
                let amount = Scope::template(self.scope.container_of(None)?, bucket, resource)?;
                let is = amount.value_type().into();
                Ok((Read::Place(Place::Template(amount)), is))
            }
            _ => Err("is not known: there are live.replicas, live.ready, live.applied, live.limits.memory and its like, and \
                      live.env.NAME"
                .into()),
        }
    }

    fn profile(&self, name: &str, asker: Asker) -> Result<(Read, Type), String> {
        if asker == Asker::Checklist {
            return Err("follows from readings, which only reports may use".into());
        }
        let position = self.spec.profiles.iter().position(|profile| profile.name == name);
        let position = position.ok_or("is not in this policy: profiles lists them")?;
        Ok((Read::Fact(Fact::Active(position, name.into())), Type::Boolean))
    }

    fn threshold(&self, name: &str, member: &str, asker: Asker) -> Result<(Read, Type), String> {
        let Some(threshold) = self.thresholds.iter().find(|threshold| *threshold.name == *name) else {
            let all: Vec<&str> = self.thresholds.iter().map(|threshold| &*threshold.name).take(8).collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            return Err(format!("is not in this policy; of thresholds it has {all}"));
        };
        let unit = threshold.unit.base().dimension();
        let fact = |fact: Fact, is: Type| Ok((Read::Fact(fact), is));
        match (member, asker) {
            ("within", _) => fact(Fact::Within(name.into()), Type::Boolean),
            ("measured", _) => fact(Fact::Measured(name.into()), Type::Boolean),
            ("current", Asker::Report) => fact(Fact::Current(name.into(), unit), unit.into()),
            ("state", Asker::Report) => fact(Fact::State(name.into()), Type::Word(Vec::new())),
            ("current" | "state", Asker::Checklist) => {
                Err("is a reading, which only reports may use: ask for within".into())
            }
            ("target" | "info" | "warning" | "critical", _) => {
                let bound = threshold.target((member != "target").then_some(member));
                let bound = bound.ok_or("is not set: the threshold has no such level")?;
                Ok((Read::Known(Datum::Quantity(Quantity::new(bound.value(), unit))), unit.into()))
            }
            _ => Err(
                "is not known: a threshold has within, measured, target, info, warning and critical, and in reports \
                      current and state"
                    .into(),
            ),
        }
    }
}

fn count(number: usize) -> Datum {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    Datum::Quantity(Quantity::new(number.into(), Dimension::Count))
}

impl Probe {
    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        self.formula.source()
    }

    /// A threshold of which it shows the reading.
    #[must_use]
    pub fn threshold(&self) -> Option<&str> {
        self.reads.values().find_map(|read| match read {
            Read::Fact(Fact::Current(name, _)) => Some(&**name),
            Read::Fact(_) | Read::Place(_) | Read::Known(_) => None,
        })
    }

    /// Works it out.
    ///
    /// # Errors
    /// Why it has no value, for people.
    pub fn evaluate(&self, sight: &dyn Sight) -> Result<Outcome, String> {
        let value = |path: &Path| match self.reads.get(path)? {
            Read::Known(datum) => Some(datum.clone()),
            Read::Fact(fact) => sight.fact(fact),
            Read::Place(Place::Knob(path)) => sight.value(path).as_ref().map(Datum::from),
            Read::Place(Place::Fixed(_, value)) => Some(Datum::from(value)),
            Read::Place(Place::Template(amount)) => sight.template(amount).as_ref().map(Datum::from),
        };
        self.code.evaluate(value).map_err(|error| match error {
            EvaluateError::Unknown { path } => match self.reads.get(&path) {
                Some(Read::Fact(fact)) => fact.to_string(),
                Some(Read::Place(Place::Template(amount))) => format!("the pod template does not set {amount}"),
                Some(Read::Place(Place::Knob(knob))) => {
                    sight.why_unseen(knob).unwrap_or_else(|| format!("{path} has no value that is known"))
                }
                _ => format!("{path} has no value that is known"),
            },
            error => error.to_string(),
        })
    }
}
