//! Numbers of connection budgets that are measured: asked like thresholds, of the source of the default class.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Sweep,
    question::{Ask, Draft, Round, max_age, nobody},
    standing::{self, failure},
};
use crate::{
    api::{ConnectionBudget, conditions::Reason},
    core::{
        allocate::{Course, Figures, Gauge, Number, Standing, Unread},
        facts::{Instant, Span},
        policy::PolicyKey,
        promql,
    },
};

/// A budget, with where it is measured.
#[derive(Debug)]
pub struct Budgeted<'a> {
    /// Namespace and name.
    pub key: &'a PolicyKey,
    /// The budget.
    pub budget: &'a ConnectionBudget,
    /// The source that is asked.
    pub source: &'a str,
    /// Whether a query of its own is allowed.
    pub free_queries: bool,
}

/// What is measured of all budgets.
#[derive(Debug, Default)]
pub(super) struct Capacities {
    budgets: BTreeMap<PolicyKey, Gauged>,
    /// Budgets by the number under which questions know them, which count on from those of the policies.
    order: Vec<PolicyKey>,
    /// Whether other questions are asked than before.
    pub moved: bool,
}

/// A budget of which something is measured.
#[derive(Debug)]
struct Gauged {
    uid: Option<String>,
    source: Box<str>,
    rows: Vec<Row>,
}

/// A number of a budget.
#[derive(Debug)]
struct Row {
    gauge: Gauge,
    /// Whether nobody may ask for it.
    forbidden: bool,
    course: Course,
    /// How far apart two readings may be.
    apart: Span,
}

impl Gauged {
    fn of(subject: &Budgeted<'_>, before: Option<Self>, now: Instant) -> Self {
        let Budgeted { budget, source, free_queries, .. } = subject;
        let uid = budget.metadata.uid.clone();
        let generation = budget.metadata.generation;
        let status = budget.status.as_ref().filter(|status| status.observed_generation == generation);
        // Only who begins has to be told; what was measured of another metric is of no use.
        let told = status.filter(|_| before.is_none()).map(|_| Figures::told(budget)).unwrap_or_default();
        let mut known: Vec<Row> =
            before.filter(|before| before.uid == uid && *before.source == **source).map(|b| b.rows).unwrap_or_default();
        let row = |gauge: Gauge| {
            let forbidden = gauge.is_free() && !free_queries;
            let is_same = |row: &Row| row.gauge.figure == gauge.figure && row.gauge.asks_as(&gauge);
            let same = known.iter().position(is_same).map(|at| known.swap_remove(at));
            let course = same.as_ref().map(|row| row.course.clone());
            let counted = || told.get(&gauge.figure).and_then(|number| number.counted);
            let course = course.unwrap_or_else(|| Course::new(counted(), now));
            Row { gauge, forbidden, course, apart: same.map_or(Span::ZERO, |row| row.apart) }
        };
        let rows = Gauge::all(budget).unwrap_or_default().into_iter().map(row).collect();
        Self { uid, source: (*source).into(), rows }
    }

    /// What is asked, of whom.
    fn asks(&self) -> (Option<String>, Box<str>, Vec<(Gauge, bool)>) {
        let rows = self.rows.iter().map(|row| (row.gauge.clone(), row.forbidden)).collect();
        (self.uid.clone(), self.source.clone(), rows)
    }
}

impl Capacities {
    /// Numbers budgets as [`Self::draft`] does.
    pub fn index(&mut self) {
        self.order = self.budgets.keys().cloned().collect();
    }

    /// Enters all numbers of budgets that are measured by a source with the questions that answer them. Budgets count on from
    /// `first`.
    pub fn draft(&self, first: usize, source: &str, identity: &promql::Identity, drafts: &mut BTreeMap<Ask, Draft>) {
        for (at, (key, gauged)) in self.budgets.iter().enumerate().filter(|(_, (_, gauged))| *gauged.source == *source)
        {
            let Ok(number) = u32::try_from(first.saturating_add(at)) else { return };
            for (index, row) in gauged.rows.iter().enumerate().filter(|(_, row)| !row.forbidden) {
                let Ok(index) = u16::try_from(index) else { return };
                let draft = drafts.entry(Ask::Free(row.gauge.query(&key.0, identity))).or_default();
                draft.every = Some(Span::ZERO);
                draft.enter(nobody(), number, index);
            }
        }
    }

    /// Takes what a round says of a number. `at`: the number of the budget among budgets.
    pub fn judge(&mut self, at: usize, row: u16, round: &Round, apart: Span) {
        let Some(gauged) = self.order.get(at).and_then(|key| self.budgets.get_mut(key)) else { return };
        let Some(row) = gauged.rows.get_mut(usize::from(row)) else { return };
        let unread = |missing: promql::Missing| Unread { reason: missing.why, message: standing::missing(missing) };
        let reading = round.reading(&nobody()).value.map_err(unread);
        row.apart = apart;
        row.course.take(&row.gauge.figure, round.at, reading, apart);
    }
}

impl Sweep {
    /// Follows budgets: to be called before [`Self::tick`] when one of them, a class or a source may have changed.
    pub fn follow_budgets(&mut self, budgets: &[Budgeted<'_>], now: Instant) {
        let known: BTreeSet<&PolicyKey> = budgets.iter().map(|budgeted| budgeted.key).collect();
        let before = self.capacities.budgets.len();
        self.capacities.budgets.retain(|key, _| known.contains(key));
        self.capacities.moved |= self.capacities.budgets.len() < before;
        for subject in budgets {
            let is_measured = Gauge::all(subject.budget).is_ok_and(|gauges| !gauges.is_empty());
            let old = self.capacities.budgets.remove(subject.key);
            if !is_measured {
                self.capacities.moved |= old.is_some();
                continue;
            }
            let was = old.as_ref().map(Gauged::asks);
            let gauged = Gauged::of(subject, old, now);
            self.capacities.moved |= was != Some(gauged.asks());
            self.capacities.budgets.insert(subject.key.clone(), gauged);
        }
    }

    /// What is known of the numbers of budgets that are measured.
    pub fn figures(&mut self, now: Instant) -> BTreeMap<PolicyKey, Figures> {
        let mut all = BTreeMap::new();
        for (key, gauged) in &mut self.capacities.budgets {
            let source = self.sources.get(&gauged.source);
            let interval = source.map_or(super::source::DEFAULT_INTERVAL, |source| source.spec.interval);
            let silent = || match source {
                None => Unread {
                    reason: Reason::SourceNotFound,
                    message: format!("MetricsSource \"{}\" does not exist", gauged.source),
                },
                Some(source) => match &source.health.down {
                    Some(down) => Unread { reason: down.refusal.reason, message: failure(&down.refusal) },
                    None => Unread { reason: Reason::NoData, message: "nothing answers".to_owned() },
                },
            };
            let number = |row: &mut Row| {
                let max_age = max_age(interval).max(row.apart);
                if row.gauge.literal.is_some() {
                    row.course.give_way(max_age, now);
                }
                let mut number = row.course.number(max_age, now, silent);
                if row.forbidden {
                    let message = "free queries are not allowed under the default class".to_owned();
                    number = Number {
                        standing: Standing::Unread(Unread { reason: Reason::ClassForbids, message }),
                        ..number
                    };
                }
                (row.gauge.figure.clone(), number)
            };
            all.insert(key.clone(), Figures::new(gauged.rows.iter_mut().map(number)));
        }
        all
    }
}
