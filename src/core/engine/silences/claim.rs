//! What a silence of ours says, and what is to be done about those that an Alertmanager holds.

use std::collections::BTreeSet;

use crate::{
    api::names,
    core::{
        engine::effect::{Matcher, NewSilence, Silence},
        facts::{Instant, ObjectKey, Span},
        plan::Change,
        policy::PolicyKey,
    },
};

/// How long a silence lasts unless it is renewed.
pub const LEASE: Span = Span::minutes(2);
/// Changes that a comment names.
const NAMED: usize = 5;
/// Characters of a value that a comment shows.
const SHOWN: usize = 64;

/// What a rollout is of.
#[derive(Clone, Debug)]
pub struct About {
    pub policy: PolicyKey,
    uid: String,
    target: ObjectKey,
}

/// A silence of ours, but for its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What its comment says before the lease.
    head: String,
    matchers: Vec<Matcher>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: there is none, or a person has decided otherwise.
    Leave,
    /// Make one, or renew the one of that id.
    Set {
        claim: Claim,
        id: Option<String>,
        silence: NewSilence,
    },
    Expire(String),
}

impl About {
    pub fn new(policy: &PolicyKey, uid: &str, target: &ObjectKey) -> Self {
        Self { policy: policy.clone(), uid: uid.to_owned(), target: target.clone() }
    }

    /// By what the silences of this workload are found.
    pub fn filter(&self) -> Vec<Matcher> {
        let (namespace, policy) = &self.policy;
        vec![
            Matcher::equal("namespace", namespace),
            Matcher::equal("policy", policy),
            Matcher::equal("target_kind", self.target.kind.as_str()),
            Matcher::equal("target", &self.target.name),
        ]
    }

    /// All matchers but the one of thresholds. What is critical pages, whatever rolls out, and so does what has no data.
    fn fixed(&self) -> Vec<Matcher> {
        let mut matchers = vec![Matcher::equal("alertname", names::ALERT_BREACHED)];
        matchers.extend(self.filter());
        matchers.push(Matcher { is_equal: false, ..Matcher::equal("severity", "critical") });
        matchers
    }

    /// How the comment of each silence for this policy begins. With the uid, so that one of before, of a policy that was
    /// deleted and made anew, is not taken for this one's.
    fn prefix(&self) -> String {
        format!("Policy {}/{} ({}) rolls out revision ", self.policy.0, self.policy.1, self.uid)
    }

    /// The claim that a silence shows which was made by us and that nobody has changed.
    fn claim_of(&self, found: &Silence) -> Option<Claim> {
        let head = found.comment.strip_suffix(&tail(found.ends_at))?;
        let is_ours = found.created_by == names::SILENCE_CREATOR && head.starts_with(&self.prefix());
        let is_threshold = |matcher: &Matcher| matcher.name == "threshold" && matcher.is_regex && matcher.is_equal;
        let (thresholds, rest): (Vec<&Matcher>, Vec<&Matcher>) =
            found.matchers.iter().partition(|matcher| is_threshold(matcher));
        let same = thresholds.len() == 1 && same_matchers(rest, &self.fixed());
        (is_ours && same).then(|| Claim { head: head.to_owned(), matchers: found.matchers.clone() })
    }

    /// What is to be done about what an Alertmanager holds. `known`: what is or shall be there, and the id that it had.
    pub fn decide(
        &self,
        found: &[Silence],
        known: Option<(&Claim, Option<&str>)>,
        (may_begin, ends): (bool, bool),
        now: Instant,
    ) -> Decision {
        let is_related = |silence: &&Silence| match known {
            Some((claim, id)) => silence.comment.starts_with(&claim.head) || Some(&*silence.id) == id,
            None => !silence.expired,
        };
        // As it was made: what a person has edited or ended says something else, if only of its own end.
        let is_intact = |silence: &Silence| {
            let claim = self.claim_of(silence);
            claim.filter(|claim| known.is_none_or(|(known, _)| known.is_of(claim)))
        };
        let mut intact = Vec::new();
        let mut is_changed = false;
        for silence in found.iter().filter(is_related) {
            match is_intact(silence) {
                // One that has lapsed has lapsed.
                Some(claim) if !silence.expired => intact.push((silence, claim)),
                Some(_) => {}
                None => is_changed |= known.is_some(),
            }
        }
        // Several Alertmanagers of one cluster give each other theirs: all of them renew the same one.
        intact.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        match (intact.into_iter().next(), known) {
            // Renewed at the same moment at which a person ended it, it is there once more.
            (Some((silence, _)), _) if ends || is_changed => Decision::Expire(silence.id.clone()),
            (Some((silence, claim)), _) => {
                let id = Some(silence.id.clone());
                Decision::Set { silence: claim.silence(silence.starts_at, now), claim, id }
            }
            (None, Some((claim, _))) if may_begin && !ends && !is_changed => {
                // An Alertmanager takes its own time for one in the past; so a clock that is ahead delays nothing.
                let silence = claim.silence(now - LEASE, now);
                Decision::Set { claim: claim.clone(), id: None, silence }
            }
            (None, _) => Decision::Leave,
        }
    }
}

impl Claim {
    pub fn new(about: &About, revision: i64, thresholds: &[Box<str>], changes: &[Change]) -> Self {
        let value = |value: &Option<String>| match value {
            Some(value) => value.chars().take(SHOWN).collect(),
            None => "(unset)".to_owned(),
        };
        let mut shown: Vec<String> = changes
            .iter()
            .take(NAMED)
            .map(|change| format!("{} {} → {}", change.path, value(&change.from), value(&change.to)))
            .collect();
        if let Some(more) = changes.len().checked_sub(NAMED).filter(|more| *more > 0) {
            shown.push(format!("and {more} more"));
        }
        let target = about.target.short();
        let head = format!("{}{revision} to {target}: {}.", about.prefix(), shown.join(", "));
        let mut matchers = about.fixed();
        let names: BTreeSet<&str> = thresholds.iter().map(|name| &**name).collect();
        // Names are DNS labels: nothing in them means anything to a regular expression.
        let names: Vec<&str> = names.into_iter().collect();
        matchers.push(Matcher { is_regex: true, ..Matcher::equal("threshold", &names.join("|")) });
        Self { head, matchers }
    }

    /// Whether the other is of the same rollout and the same thresholds.
    fn is_of(&self, other: &Self) -> bool {
        self.head == other.head && same_matchers(self.matchers.iter().collect(), &other.matchers)
    }

    fn silence(&self, starts_at: Instant, now: Instant) -> NewSilence {
        let ends_at = (now + LEASE).whole_seconds();
        NewSilence {
            matchers: self.matchers.clone(),
            starts_at,
            ends_at,
            created_by: names::SILENCE_CREATOR,
            comment: format!("{}{}", self.head, tail(ends_at)),
        }
    }
}

/// The end of a comment. It repeats the end of the lease, so that a look tells whether that is still ours.
fn tail(ends_at: Instant) -> String {
    format!(" Trimtab renews this while pods are replaced; else it ends at {ends_at}.")
}

fn same_matchers<'a>(some: Vec<&'a Matcher>, others: &'a [Matcher]) -> bool {
    let some: BTreeSet<&Matcher> = some.into_iter().collect();
    some == others.iter().collect()
}
