//! Who leads: the decision of a replica that looks at the Lease.
//!
//! Clocks of machines differ, so the times inside the Lease are never compared with ours. A replica notes when *it* saw
//! the Lease change last, by a clock of its own that does not jump, and takes it only after it stood still for its whole
//! duration.

use crate::core::facts::{Instant, Span};

/// What the Lease says, as far as it decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; nobody after a release.
    pub holder: Option<String>,
    /// Anything that differs after every renewal: the resource version.
    pub version: String,
    /// How long the holder may be silent.
    pub duration: Span,
}

/// The newest record and when this replica saw it first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    record: Option<Record>,
    since: Instant,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The Lease does not exist: create it.
    Create,
    /// Nobody holds it, or its holder was silent for too long: write ourselves into it.
    Acquire,
    /// We hold it: renew it.
    Renew,
    /// Somebody holds it. It can be taken at this time, unless it changes.
    Wait(Instant),
}

impl Observation {
    /// Notes what the Lease says `now`; `None` when there is no Lease.
    pub fn see(&mut self, record: Option<Record>, now: Instant) {
        let version = |record: &Option<Record>| record.as_ref().map(|r| (r.version.clone(), r.holder.clone()));
        if version(&self.record) != version(&record) {
            self.since = now;
        }
        self.record = record;
    }

    /// What `me` does `now`.
    #[must_use]
    pub fn decide(&self, me: &str, now: Instant) -> Decision {
        let Some(record) = &self.record else { return Decision::Create };
        match record.holder.as_deref() {
            None | Some("") => Decision::Acquire,
            Some(holder) if holder == me => Decision::Renew,
            Some(_) => {
                let free = self.since + record.duration;
                if now >= free { Decision::Acquire } else { Decision::Wait(free) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "pod-a";

    fn at(seconds: i64) -> Instant {
        Instant::default() + Span::seconds(seconds)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape that the tests compare")]
    fn held(holder: &str, version: &str) -> Option<Record> {
        Some(Record { holder: Some(holder.to_owned()), version: version.to_owned(), duration: Span::seconds(15) })
    }

    #[test]
    fn a_missing_lease_is_created_and_a_released_one_is_taken() {
        let mut seen = Observation::default();
        assert_eq!(seen.decide(ME, at(0)), Decision::Create);
        seen.see(held("", "1"), at(0));
        assert_eq!(seen.decide(ME, at(0)), Decision::Acquire);
        seen.see(Some(Record { version: "2".into(), ..Record::default() }), at(0));
        assert_eq!(seen.decide(ME, at(0)), Decision::Acquire);
    }

    #[test]
    fn our_own_lease_is_renewed_even_after_a_restart_of_this_pod() {
        let mut seen = Observation::default();
        seen.see(held(ME, "1"), at(100));
        assert_eq!(seen.decide(ME, at(100)), Decision::Renew);
        assert_eq!(seen.decide(ME, at(500)), Decision::Renew);
    }

    #[test]
    fn a_foreign_lease_is_taken_only_after_it_stood_still_for_its_duration_before_our_eyes() {
        let mut seen = Observation::default();
        seen.see(held("pod-b", "1"), at(100));
        assert_eq!(seen.decide(ME, at(100)), Decision::Wait(at(115)));
        seen.see(held("pod-b", "1"), at(110));
        assert_eq!(seen.decide(ME, at(114)), Decision::Wait(at(115)), "seeing it again unchanged is no renewal");
        assert_eq!(seen.decide(ME, at(115)), Decision::Acquire);
    }

    #[test]
    fn each_renewal_starts_the_wait_again() {
        let mut seen = Observation::default();
        seen.see(held("pod-b", "1"), at(100));
        seen.see(held("pod-b", "2"), at(105));
        assert_eq!(seen.decide(ME, at(116)), Decision::Wait(at(120)));
        seen.see(held("pod-c", "3"), at(117));
        assert_eq!(seen.decide(ME, at(121)), Decision::Wait(at(132)));
    }

    #[test]
    fn a_deleted_lease_is_created_anew() {
        let mut seen = Observation::default();
        seen.see(held("pod-b", "1"), at(100));
        seen.see(None, at(101));
        assert_eq!(seen.decide(ME, at(101)), Decision::Create);
    }
}
