//! What the status of a budget says: what everybody has, who may grow, and what is reserved for growth that is about to be written.

use super::{BudgetKey, COALESCE, GRACE, PATIENCE, Presence, Report, is_for, judge::Judged};
use crate::{
    api::{
        ConnectionBudget, ConnectionBudgetStatus,
        budget::{Allocation, MAX_ALLOCATIONS, MAX_RESERVATIONS, Reservation},
        conditions::{ConditionType, Reason},
        names,
    },
    core::{
        allocate::{Figures, Pods},
        engine::{Action, Doing, Effect, Event, Outcome, World},
        facts::{Instant, ObjectKey, Span},
        ownership::{self, FieldPath},
        report::{self, Finding, Truth},
    },
};

impl World {
    /// Writes the statuses of budgets that say something else than what is found: at a tick, or at once where somebody waits for
    /// a reservation. Each is written over the version that it was made up from, so that nobody who leads no longer reserves
    /// anything.
    pub(in crate::core::engine) fn publish_budgets(&mut self, ticked: bool, now: Instant, out: &mut Vec<Effect>) {
        if ticked {
            self.ended(now);
        }
        let keys = if ticked { &self.ledger.restless } else { &self.ledger.urgent };
        for key in keys.clone() {
            self.note_foreign(&key, now);
            let Some(budget) = self.budgets.get(&key) else {
                self.ledger.restless.remove(&key);
                self.ledger.urgent.remove(&key);
                self.ledger.reported.remove(&key);
                self.ledger.told.remove(&key);
                self.note_overcommitted(&key, None);
                continue;
            };
            let (status, foreign) = self.budget_status(&key, budget, now);
            let over = report::find(&status.conditions, ConditionType::Overcommitted);
            let over = over.map(|over| (report::instant(&over.last_transition_time), over.message.clone()));
            let news = self.overcommitted_news(&key, budget, &status);
            self.note_overcommitted(&key, over);
            let Some(budget) = self.budgets.get(&key) else { continue };
            if budget.status.as_ref().is_some_and(|known| says_the_same(known, &status)) {
                self.ledger.urgent.remove(&key);
                if !foreign {
                    self.ledger.restless.remove(&key);
                }
                continue;
            }
            let version = budget.metadata.resource_version.clone();
            let urgent = self.ledger.urgent.contains(&key);
            let waits = self.ledger.reported.get(&key).is_some_and(|report| {
                let elapsed = now.since(report.at);
                let patience = match report.version == version {
                    // A second one of the same version could only be refused.
                    true if urgent || says_the_same(&report.status, &status) => PATIENCE,
                    false if urgent => Span::ZERO,
                    _ => COALESCE,
                };
                elapsed >= Span::ZERO && elapsed < patience
            });
            if waits {
                continue;
            }
            let uid = budget.metadata.uid.clone().unwrap_or_default();
            let resource_version = version.clone().unwrap_or_default();
            let makes = self.makes(&key, &status);
            // What it lets go of, anybody may make from now on.
            if let Some(made) = self.ledger.made.get_mut(&key) {
                made.retain(|made| makes.iter().any(|one| is_the_same(one, made)));
                self.ledger.judged.remove(&key);
            }
            self.ledger.reported.insert(key.clone(), Report { version, at: now, status: status.clone() });
            let doing = Doing::Budget { budget: key.clone(), version: resource_version.clone(), makes };
            let action = Action::BudgetStatus { budget: key, uid, resource_version, status: Box::new(status) };
            self.emit(action, doing, out);
            if let Some(event) = news {
                self.ledger.told.insert(event.object.clone(), event.warning);
                self.emit(Action::Event(event), Doing::Told, out);
            }
        }
    }

    /// What people are told of a budget that has become overcommitted, or is no longer.
    fn overcommitted_news(
        &self,
        key: &BudgetKey,
        budget: &ConnectionBudget,
        status: &ConnectionBudgetStatus,
    ) -> Option<Event> {
        let is_over =
            |status: &ConnectionBudgetStatus| report::find(&status.conditions, ConditionType::Overcommitted).is_some();
        let over = is_over(status);
        // A status that is tried again says nothing twice.
        let before = self.ledger.told.get(key).copied().or_else(|| budget.status.as_ref().map(is_over));
        if before.unwrap_or_default() == over {
            return None;
        }
        let why = report::find(&status.conditions, ConditionType::Ready)?;
        let reason = if over { Reason::Overcommitted } else { Reason::Served };
        Some(Event {
            kind: "ConnectionBudget",
            object: key.clone(),
            uid: budget.metadata.uid.clone().unwrap_or_default(),
            warning: over,
            reason: reason.as_str(),
            action: "Allocate",
            note: report::cut(&why.message, 1000),
        })
    }

    /// Remembers whether a budget is overcommitted, of which alerts are sent.
    fn note_overcommitted(&mut self, key: &BudgetKey, over: Option<(Instant, String)>) {
        let since = self.ledger.overcommitted.get(key).map(|(since, _)| *since);
        let over = over.map(|(at, why)| (since.unwrap_or(at), why));
        if self.ledger.overcommitted.get(key) == over.as_ref() {
            return;
        }
        match over {
            Some(over) => drop(self.ledger.overcommitted.insert(key.clone(), over)),
            None => drop(self.ledger.overcommitted.remove(key)),
        }
        self.unmeasured.policies = true;
    }

    /// Reservations of a status that nobody else can have made if it is written over what is there now.
    fn makes(&self, key: &BudgetKey, status: &ConnectionBudgetStatus) -> Vec<Reservation> {
        let known = self.budgets.get(key).and_then(|budget| budget.status.as_ref());
        let there: &[Reservation] = known.map_or(&[], |known| &known.reservations);
        let made = self.ledger.made.get(key).map_or(&[][..], Vec::as_slice);
        let is_ours = |one: &&Reservation| {
            let theirs = there.iter().find(|there| is_the_same(there, one));
            theirs.is_none_or(|theirs| made.iter().any(|made| is_the_same(made, theirs) && theirs.to <= made.to))
        };
        status.reservations.iter().filter(is_ours).cloned().collect()
    }

    /// A status was written, or not.
    pub(in crate::core::engine) fn budget_told(
        &mut self,
        key: &BudgetKey,
        version: &str,
        makes: Vec<Reservation>,
        outcome: &Outcome,
    ) {
        if let Outcome::Failed(_) = outcome {
            // The next version tells why, or a tick tries again after a while.
            if let Some(report) = self.ledger.reported.get_mut(key) {
                report.version = None;
            }
            self.ledger.urgent.remove(key);
            self.ledger.restless.insert(key.clone());
        } else if self.ledger.reported.get(key).is_some_and(|report| report.version.as_deref() == Some(version)) {
            self.ledger.made.insert(key.clone(), makes);
            self.ledger.judged.remove(key);
        }
    }

    /// Remembers since when reservations are there for which nobody here has asked, or for more than is asked.
    fn note_foreign(&mut self, key: &BudgetKey, now: Instant) {
        let status = self.budgets.get(key).and_then(|budget| budget.status.as_ref());
        let there: Vec<Reservation> = status.map(|status| status.reservations.clone()).unwrap_or_default();
        let consumers = self.ledger.of_namespace(&key.0);
        let places = consumers.flat_map(|(policy, books)| books.consumers.iter().map(move |one| (policy, &one.place)));
        let foreign: Vec<_> = places
            .filter(|(_, place)| place.budget == key.1)
            .map(|(policy, place)| (policy.clone(), place.clone()))
            .filter(|of| {
                let known = there.iter().find(|known| is_for(known, &of.0, &of.1));
                known.is_some_and(|known| {
                    self.ledger.about_to(&of.0, &of.1).is_none_or(|wanted| wanted < known.to)
                        && !self.ledger.has_made(&of.0, &of.1, known.to)
                })
            })
            .collect();
        self.ledger.foreign.retain(|(policy, place), _| {
            policy.0 != key.0 || place.budget != key.1 || foreign.iter().any(|(a, b)| (a, b) == (policy, place))
        });
        for one in foreign {
            self.ledger.foreign.entry(one).or_insert(now);
        }
    }

    /// Growth that is about to be written, and whether any of it is somebody else's, which has to be looked at again.
    fn reservations(&self, judged: &[Judged], now: Instant) -> (Vec<Reservation>, bool) {
        let mut foreign = false;
        let is_wanted = |one: &Judged| {
            let wanted = self.ledger.about_to(&one.policy, &one.consumer.place);
            wanted.is_some_and(|wanted| one.there < wanted)
        };
        // Reservations of one round are let go of together: each by itself would cost a status.
        let goes_on = judged.iter().any(is_wanted);
        // A pool that has moved has one reservation: that of where it is.
        let has_moved = |one: &Judged| {
            let is_it = |other: &Judged| {
                let (a, b) = (&one.consumer.place, &other.consumer.place);
                (&one.policy, &a.target, &a.pool) == (&other.policy, &b.target, &b.pool)
                    && other.consumer.presence == Presence::Here
            };
            one.consumer.presence != Presence::Here && judged.iter().any(is_it)
        };
        let mut reservations: Vec<(bool, Reservation)> = judged
            .iter()
            .filter(|one| !has_moved(one))
            .filter_map(|one| {
                let place = &one.consumer.place;
                let of = (one.policy.clone(), place.clone());
                let wanted = self.ledger.about_to(&one.policy, place);
                let known = self.reservation(&one.policy, place);
                if let Some(known) = known.filter(|known| goes_on && known.to <= one.there && !is_wanted(one)) {
                    return Some((false, known.clone()));
                }
                // Whoever has reserved more may be about to write, for as long as a write may take to arrive.
                let reserved = known.map(|known| known.to);
                let theirs = reserved.filter(|reserved| {
                    let is_ours = self.ledger.has_made(&one.policy, place, *reserved);
                    let since = self.ledger.foreign.get(&of).copied().unwrap_or(now);
                    one.consumer.writing || (!is_ours && now.since(since) < GRACE)
                });
                let theirs = theirs.filter(|theirs| wanted.is_none_or(|wanted| wanted < *theirs));
                foreign |= theirs.is_some();
                let to = theirs.or(wanted)?;
                let reservation = || Reservation {
                    policy: one.policy.1.to_string(),
                    pool: place.pool.to_string(),
                    target: place.target.short(),
                    from: one.there,
                    to,
                };
                (one.there < to).then(|| (reserved.is_none(), reservation()))
            })
            .collect();
        // What is there may be written by now. Where there is no room for more, more of them have to wait.
        reservations.sort_by_key(|(new, _)| *new);
        reservations.truncate(MAX_RESERVATIONS);
        (reservations.into_iter().map(|(_, reservation)| reservation).collect(), foreign)
    }

    /// Where the number of pods of a workload comes from, and who has set it, if that is not us.
    fn who_scales(&self, target: &ObjectKey) -> Option<String> {
        let (object, path) = match self.autoscaler(target) {
            Some(autoscaler) => (autoscaler, ["spec", "maxReplicas"]),
            None => (self.objects.get(target)?, ["spec", "replicas"]),
        };
        let path = FieldPath::of(&path);
        let count = path.lookup(&object.content)?.as_i64()?;
        let holders = ownership::holders(&object.meta, &path);
        let who = holders.iter().map(|holder| &holder.manager).find(|who| !who.starts_with(names::MANAGER_PREFIX))?;
        Some(format!(" ({path} of {} is {count}, by \"{who}\")", object.key.short()))
    }

    /// The status, and whether it changes with time alone.
    fn budget_status(
        &self,
        key: &BudgetKey,
        budget: &ConnectionBudget,
        now: Instant,
    ) -> (ConnectionBudgetStatus, bool) {
        let generation = budget.metadata.generation.unwrap_or_default();
        let known = budget.status.clone().unwrap_or_default();
        let condition = |kind: ConditionType, finding: &Finding| {
            report::condition(kind, finding, generation, &known.conditions, &report::time(now))
        };
        let room = match self.room(key) {
            Some(Ok(room)) => room,
            None => return (known, false),
            Some(Err(why)) => {
                let finding = Finding::new(Truth::False, Reason::InvalidSpec, why);
                let status = ConnectionBudgetStatus {
                    observed_generation: Some(generation),
                    conditions: vec![condition(ConditionType::Ready, &finding)],
                    measured: known.measured,
                    allocations: known.allocations,
                    reservations: known.reservations,
                    ..ConnectionBudgetStatus::default()
                };
                return (status, false);
            }
        };
        let judged = self.judge(&self.ledger, key, &room);
        let committed = judged.iter().fold(0_i64, |sum, judged| sum.saturating_add(judged.verdict.committed));
        let usable = room.is_known().then(|| room.usable());
        let known_terms = |judged: &&Judged| judged.consumer.held.is_some() || judged.consumer.asked.is_some();
        let mut listed: Vec<(bool, Allocation)> =
            judged.iter().filter(known_terms).map(|one| (one.consumer.in_flight(), allocation(one))).collect();
        let by_size = |a: &Allocation, b: &Allocation| {
            (b.worst_case, &a.policy, &a.pool, &a.target).cmp(&(a.worst_case, &b.policy, &b.pool, &b.target))
        };
        // What is under way cannot be told from what is there, and whoever leads next has to know it.
        listed.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| by_size(one, other)));
        listed.truncate(MAX_ALLOCATIONS);
        let mut allocations: Vec<Allocation> = listed.into_iter().map(|(_, allocation)| allocation).collect();
        allocations.sort_by(by_size);
        let overcommitted = room.fault().or_else(|| {
            let mut worst: Vec<(i64, String)> = judged
                .iter()
                .filter_map(|judged| {
                    let terms = judged.consumer.counted(&judged.verdict)?;
                    // More than it was let in with is somebody else's doing.
                    let grew = judged.granted.is_some_and(|granted| judged.verdict.committed > granted.connections);
                    let who =
                        grew.then(|| self.who_scales(&judged.consumer.place.target)).flatten().unwrap_or_default();
                    let sum = format!("{}: pool {}: {terms}{who}", judged.policy.1, terms.load.pool);
                    Some((judged.verdict.committed, sum))
                })
                .collect();
            worst.sort_by(|a, b| b.cmp(a));
            let sums: Vec<String> = worst.into_iter().take(3).map(|(_, sum)| sum).collect();
            (committed > room.shared()).then(|| {
                format!("pools could open {committed} connections, above {}: {}", room.says(), sums.join("; "))
            })
        });
        let said = |message: String| room.doubts().iter().fold(message, |message, doubt| format!("{message}; {doubt}"));
        let held = format!("pools could open {committed} connections, of {}", room.says());
        let conditions = match (overcommitted, room.frozen()) {
            (Some(why), _) => {
                let why = said(why);
                vec![
                    condition(ConditionType::Ready, &Finding::new(Truth::False, Reason::Overcommitted, why.clone())),
                    condition(ConditionType::Overcommitted, &Finding::new(Truth::True, Reason::Overcommitted, why)),
                ]
            }
            (None, Some(unread)) => {
                // Until the first answer, what was said holds: a change of leader is no news.
                let before = report::find(&known.conditions, ConditionType::Ready).filter(|before| {
                    let is_same = before.observed_generation == Some(generation) && before.status != "False";
                    unread.reason == Reason::Unknown && is_same
                });
                let message = format!("{held}; nobody grows: {}", unread.message);
                let unread =
                    || condition(ConditionType::Ready, &Finding::new(Truth::Unknown, unread.reason, said(message)));
                vec![before.cloned().unwrap_or_else(unread)]
            }
            (None, None) => {
                vec![condition(ConditionType::Ready, &Finding::new(Truth::True, Reason::Served, said(held)))]
            }
        };
        let (reservations, foreign) = self.reservations(&judged, now);
        let status = ConnectionBudgetStatus {
            observed_generation: Some(generation),
            conditions,
            usable,
            committed: Some(committed),
            free: usable.map(|usable| usable.saturating_sub(committed)),
            measured: self.figures.get(key).map_or(known.measured, Figures::status),
            reservations,
            allocations,
        };
        (status, foreign)
    }
}

fn allocation(judged: &Judged) -> Allocation {
    let Judged { policy, consumer, bid, verdict, granted, .. } = judged;
    let terms = consumer.counted(verdict).or(consumer.asked.as_ref());
    let pods = terms.map_or(Pods::default(), |terms| terms.pods);
    Allocation {
        policy: policy.1.to_string(),
        pool: consumer.place.pool.to_string(),
        target: consumer.place.target.short(),
        landing: consumer.place.landing.clone(),
        per_process: terms.map_or(0, |terms| terms.load.connections()),
        processes: terms.map_or(1, |terms| terms.load.processes()),
        pods_max: pods.max,
        surge: pods.surge,
        terminating: pods.terminating,
        worst_case: verdict.committed,
        asked: consumer.asked.as_ref().map(|asked| asked.load.connections()),
        share: granted.and_then(|granted| granted.share),
        granted: granted.map(|granted| granted.connections),
        refused: verdict.refused.map(|_| bid.asked),
    }
}

/// Whether two reservations are for one consumer.
fn is_the_same(a: &Reservation, b: &Reservation) -> bool {
    (&a.policy, &a.pool, &a.target) == (&b.policy, &b.pool, &b.target)
}

/// Whether two statuses say the same, whatever the times of their conditions.
fn says_the_same(a: &ConnectionBudgetStatus, b: &ConnectionBudgetStatus) -> bool {
    let timeless = |status: &ConnectionBudgetStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = report::time(Instant::default());
        }
        status
    };
    timeless(a) == timeless(b)
}
