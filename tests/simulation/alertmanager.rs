//! A model of an Alertmanager, as far as silences go, after `silence/silence.go` of Alertmanager 0.31.

use trimtab::core::{
    engine::{Failure, Outcome, Silence, SilenceAsk},
    facts::{Instant, Span},
};

/// How long one of our silences lasts unless it is renewed.
pub const LEASE: Span = Span::minutes(2);

#[derive(Debug, Default)]
pub struct Alertmanager {
    pub silences: Vec<Silence>,
    /// It answers nothing.
    pub away: bool,
    /// Silences that were ever made, so that ids are not used twice.
    made: u32,
    /// Requests that were answered.
    pub requests: u32,
}

impl Alertmanager {
    pub fn ask(&mut self, ask: &SilenceAsk, now: Instant) -> Outcome {
        if self.away {
            return Outcome::Failed(Failure::Unknown("cannot connect".to_owned()));
        }
        self.requests += 1;
        match ask {
            SilenceAsk::Look(matchers) => {
                let shown = self.silences.iter().filter(|held| matchers.iter().all(|m| held.matchers.contains(m)));
                Outcome::Silences(shown.map(|held| Silence { expired: held.ends_at <= now, ..held.clone() }).collect())
            }
            SilenceAsk::Set { id, silence } => {
                if silence.starts_at >= silence.ends_at || silence.ends_at < now {
                    return Outcome::Failed(Failure::Rejected("end time can't be in the past".to_owned()));
                }
                let new = Silence {
                    id: String::new(),
                    matchers: silence.matchers.clone(),
                    starts_at: silence.starts_at,
                    ends_at: silence.ends_at,
                    expired: false,
                    created_by: silence.created_by.to_owned(),
                    comment: silence.comment.clone(),
                };
                self.set(id.as_deref(), new, now)
            }
            SilenceAsk::Expire(id) => match self.silences.iter_mut().find(|held| held.id == *id) {
                Some(held) => {
                    held.ends_at = held.ends_at.min(now);
                    Outcome::Accepted
                }
                None => Outcome::NotFound,
            },
        }
    }

    /// What a person or we send: in place where only the end and the words are others, else another silence.
    pub fn set(&mut self, id: Option<&str>, mut new: Silence, now: Instant) -> Outcome {
        if let Some(id) = id {
            let Some(held) = self.silences.iter_mut().find(|held| held.id == id) else { return Outcome::NotFound };
            let seconds = |at: Instant| at.millis().div_euclid(1000);
            let is_active = held.ends_at > now;
            if is_active && held.matchers == new.matchers && seconds(held.starts_at) == seconds(new.starts_at) {
                new.id = id.to_owned();
                *held = new;
                return Outcome::Accepted;
            }
            held.ends_at = held.ends_at.min(now);
        }
        self.made += 1;
        new.id = format!("silence-{}", self.made);
        new.starts_at = new.starts_at.max(now);
        self.silences.push(new);
        Outcome::Accepted
    }

    pub fn active(&self, now: Instant) -> impl Iterator<Item = &Silence> {
        self.silences.iter().filter(move |held| held.starts_at <= now && now < held.ends_at)
    }
}

/// The value of a label that a silence names.
pub fn named<'a>(silence: &'a Silence, label: &str) -> &'a str {
    silence.matchers.iter().find(|matcher| matcher.name == label).map_or("", |matcher| &matcher.value)
}
