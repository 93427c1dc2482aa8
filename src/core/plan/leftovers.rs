//! Options that the policy wrote into a variable for knobs that it no longer has.
//!
//! As any other value, such an option stays when its knob goes: to take it out would restart pods for nothing. One that stands
//! in the way of what the policy asks for now is no word of somebody else's: it goes back to what was there before the policy,
//! in the same write.

use serde_json::Value as Json;

use super::{Situation, workload::Container};
use crate::{
    api::names,
    core::{
        options::{self, Known, Variable},
        ownership::{self, FieldPath, FieldSet},
        policy::Landing,
        record::Record,
        resolve::Desired,
        units::Value,
    },
};

/// Number of workers of servers of Python, which an option beats.
const WEB_CONCURRENCY: &str = "WEB_CONCURRENCY";

/// What the policy has written into a target, as the target tells.
pub(super) struct Written {
    owned: FieldSet,
    record: Option<Record>,
}

/// A variable without what stands in the way.
pub(super) struct Cleared {
    /// Its text.
    pub text: String,
    /// The words that are taken out of it, or replaced by those of before the policy.
    pub taken: Vec<String>,
}

impl Written {
    pub fn on(situation: &Situation<'_>) -> Self {
        // Nothing else can have anything of ours in its way, and who owns what takes its time to read.
        let is_concerned = |desired: &Desired<'_>| match &desired.knob.landing {
            Landing::Option(_) => true,
            Landing::Env(name) => **name == *WEB_CONCURRENCY,
            _ => false,
        };
        if !situation.desired.iter().any(is_concerned) {
            return Self { owned: FieldSet::default(), record: None };
        }
        let (identity, meta) = (&situation.policy.identity, &situation.target.meta);
        let record = Record::of(meta, identity.name()).and_then(Result::ok).filter(|record| record.uid == identity.uid);
        // Without a record nobody knows what was there before.
        let owned = record.as_ref().map(|_| ownership::owned(meta, &names::manager(identity.name())));
        Self { owned: owned.unwrap_or_default(), record }
    }

    /// The text of a variable before the policy, where all that has changed in it since is the policy's: whoever else writes it
    /// takes the field away.
    fn before(&self, field: &FieldPath) -> Option<&str> {
        let was = self.record.as_ref()?.paths.get(field).filter(|_| self.owned.contains(field))?;
        Some(was.as_ref().and_then(Json::as_str).unwrap_or_default())
    }

    /// The text of a variable of options without what the policy has left there and what stands in the way of `asked`: all that
    /// the policy sets in that container.
    pub fn clear(&self, container: Container<'_>, variable: Variable, asked: &[&Desired<'_>]) -> Cleared {
        let live = container.variable(variable.name()).unwrap_or_default();
        let mut cleared = Cleared { text: live.to_owned(), taken: Vec::new() };
        let Some(before) = self.before(&container.value_of(variable.name())) else { return cleared };
        for known in options::of(variable) {
            let is_asked = asked.iter().any(|desired| lands_in(desired, known.token));
            let Ok(Some(word)) = options::find_text(known, &cleared.text) else { continue };
            let is_theirs = options::find_text(known, before).is_ok_and(|was| was.as_deref() == Some(&word));
            if is_asked || is_theirs || !stands_in_the_way(known, value(known, &word).as_ref(), asked) {
                continue;
            }
            if let Ok(text) = options::restore(variable, &cleared.text, before, &[(known, &word)]) {
                cleared.text = text;
                cleared.taken.push(word);
            }
        }
        cleared
    }
}

pub(super) fn lands_in(desired: &Desired<'_>, token: &str) -> bool {
    matches!(desired.knob.landing, Landing::Option(known) if known.token == token)
}

/// What the words of an option mean.
pub(super) fn value(known: &Known, word: &str) -> Option<Value> {
    let words: Vec<String> = known.variable.split(word).ok()?.into_iter().map(|word| word.text).collect();
    known.find(&words).pop().and_then(|found| known.read(&found.value))
}

/// Whether an option makes what is asked for idle, or keeps the runtime from its start.
fn stands_in_the_way(known: &Known, value: Option<&Value>, asked: &[&Desired<'_>]) -> bool {
    let asks = |token: &str| asked.iter().find(|desired| lands_in(desired, token)).map(|desired| &desired.value);
    // What cannot be read cannot be said to fit.
    let fits = |token: &str, fits: fn(&Value, &Value) -> bool| {
        asks(token).is_none_or(|theirs| value.is_some_and(|value| fits(value, theirs)))
    };
    match known.token {
        options::HEAP_MAX => {
            let is_above = |smaller| fits(smaller, |most, other| other <= most);
            asks(options::MAX_RAM).is_some() || !is_above(options::HEAP_MIN) || !is_above(options::SOFT_MAX)
        }
        options::MAX_RAM => asks(options::HEAP_MAX).is_some(),
        options::HEAP_MIN | options::SOFT_MAX => !fits(options::HEAP_MAX, |other, most| other <= most),
        options::WORKERS => {
            let is_concurrency = |desired: &&Desired<'_>| matches!(&desired.knob.landing, Landing::Env(name) if **name == *WEB_CONCURRENCY);
            asked.iter().any(is_concurrency)
        }
        _ => false,
    }
}
