//! Policies as the sweep knows them, and a row for each threshold of each target.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    alerts::Wording,
    checks::Notes,
    groups::Groups,
    proofs::{Expected, Proofs},
    question::{Ask, Draft, Round, nobody, workload},
};
use crate::{
    api::{PerformancePolicyStatus, conditions::Reason, names, policy::Severity},
    core::{
        evaluate::{Announced, Breach, Track, Verdict},
        facts::{Instant, ObjectKey, Span},
        policy::{
            Policy, PolicyKey, Profile, Threshold,
            profiles::{Side, Switch, When},
            thresholds::{Level, Metric, Shown},
        },
        promql::{self, Check, Group, Missing, Reading, SeriesKey, Shape},
        report,
        resolve::Rules,
        units::Quantity,
    },
};

/// A policy that is served, with what it governs at the moment.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The rules of its class.
    pub rules: &'a Rules,
    /// What it governs; none for a policy without target.
    pub targets: Vec<ObjectKey>,
    /// Its thresholds under the profiles that are active on each target, or on a policy without any; none: its own.
    pub thresholds: Vec<Arc<[Threshold]>>,
    /// What its pods shall tell, by target.
    pub proofs: &'a BTreeMap<ObjectKey, Expected>,
    /// Its status as it was last written: after a restart, a breach that was announced holds on.
    pub status: &'a PerformancePolicyStatus,
    /// Whether its alerts are pushed to the Alertmanagers of its source.
    pub pushes: bool,
}

impl Subject<'_> {
    pub(super) fn key(&self) -> &PolicyKey {
        &self.policy.identity.key
    }

    fn source(&self) -> &str {
        let own = self.policy.spec.metrics.as_ref().and_then(|metrics| metrics.source.as_deref());
        own.or(self.rules.spec.source.as_deref()).unwrap_or(names::DEFAULT_SOURCE)
    }

    const fn wants_alerts(&self) -> bool {
        self.pushes
    }
}

/// A policy as the sweep knows it.
#[derive(Debug)]
pub(super) struct Governed {
    /// Generation of the policy that this follows.
    pub generation: i64,
    pub source: Box<str>,
    pub thresholds: Arc<[Threshold]>,
    /// What is told as advice. Rows count on from the thresholds.
    patterns: Arc<[Threshold]>,
    /// Those of each target, where they are others.
    of_targets: Vec<Arc<[Threshold]>>,
    /// Profiles that readings enter and leave, by their position.
    switches: Vec<(usize, Switch)>,
    /// Where readings are, as seen by those.
    sides: BTreeMap<(usize, Option<ObjectKey>), Sighting>,
    pub targets: Vec<ObjectKey>,
    has_target: bool,
    free_queries: bool,
    /// What its alerts carry; `None`: nobody is told.
    pub wording: Option<Wording>,
    pub rows: Vec<Row>,
    /// Values that are read back. They count on from the rows.
    pub proofs: Proofs,
}

/// Where a reading was, as seen by a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sighting {
    side: Side,
    /// What was read, in base units, and when.
    value: f64,
    at: Instant,
    /// Until when that is news.
    until: Instant,
}

/// One threshold on one target.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Of a threshold that keeps labels apart, this knows only whether there are readings at all.
    pub track: Track,
    /// Each value of the labels that are kept apart.
    pub groups: Groups,
    /// Whether its readings can be trusted, and how exact they are; `None`: nobody has told yet.
    pub notes: Option<Box<Notes>>,
    /// Version of what is asked, since which the row exists.
    version: u32,
    threshold: u16,
    target: Option<u16>,
}

impl Governed {
    pub fn new(subject: &Subject<'_>, version: u32) -> Self {
        let mut governed = Self {
            generation: subject.policy.identity.generation,
            source: subject.source().into(),
            thresholds: subject.policy.thresholds.clone(),
            patterns: subject.policy.patterns.clone(),
            of_targets: subject.thresholds.clone(),
            switches: switches(subject.policy),
            sides: BTreeMap::new(),
            targets: subject.targets.clone(),
            has_target: subject.policy.target.is_some(),
            free_queries: subject.rules.spec.free_queries,
            wording: subject.wants_alerts().then(|| Wording::of(subject.policy, subject.rules)),
            rows: Vec::new(),
            proofs: Proofs::default(),
        };
        governed.rows = governed.all_rows(version);
        governed.recall(subject);
        governed
    }

    /// Follows an edit of the policy or its class, and its targets. Returns whether anything changed.
    pub fn follow(&mut self, subject: &Subject<'_>, version: u32) -> bool {
        let (policy, rules) = (subject.policy, subject.rules);
        self.generation = policy.identity.generation;
        let same_wording = match &self.wording {
            Some(wording) => subject.wants_alerts() && wording.is_of(policy, rules),
            None => !subject.wants_alerts(),
        };
        if !same_wording {
            self.wording = subject.wants_alerts().then(|| Wording::of(policy, rules));
        }
        let same = |a: &Arc<[Threshold]>, b: &Arc<[Threshold]>| Arc::ptr_eq(a, b) || a == b;
        let same_thresholds = same(&self.thresholds, &policy.thresholds) && same(&self.patterns, &policy.patterns);
        let switches = switches(policy);
        if same_thresholds
            && self.of_targets.len() == subject.thresholds.len()
            && self.of_targets.iter().zip(&subject.thresholds).all(|(a, b)| same(a, b))
            && self.switches == switches
            && *self.source == *subject.source()
            && self.targets == subject.targets
            && self.has_target == policy.target.is_some()
            && self.free_queries == rules.spec.free_queries
        {
            return !same_wording;
        }
        let mut next = Self {
            generation: policy.identity.generation,
            source: subject.source().into(),
            thresholds: policy.thresholds.clone(),
            patterns: policy.patterns.clone(),
            of_targets: subject.thresholds.clone(),
            switches,
            sides: BTreeMap::new(),
            targets: subject.targets.clone(),
            has_target: policy.target.is_some(),
            free_queries: rules.spec.free_queries,
            wording: self.wording.take(),
            rows: Vec::new(),
            proofs: std::mem::take(&mut self.proofs),
        };
        next.rows = next.all_rows(version);
        if next.source == self.source {
            next.inherit(self);
            // What was read of a metric says the same of it, whatever profiles are active since.
            if same_thresholds && next.switches == self.switches {
                next.sides = std::mem::take(&mut self.sides);
            }
        }
        *self = next;
        true
    }

    fn all_rows(&self, version: u32) -> Vec<Row> {
        let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let mut rows = Vec::new();
        for (index, threshold) in self.thresholds.iter().chain(self.patterns.iter()).enumerate() {
            let row = |target| Row {
                track: Track::default(),
                groups: Groups::default(),
                notes: None,
                version,
                threshold: number(index),
                target,
            };
            match &threshold.metric {
                // The class said no, and so does the policy's condition.
                Metric::Free(_) if !self.free_queries => {}
                // Its reading is one for all targets; if there is only one, it is that one's.
                Metric::Free(_) => rows.push(row((self.targets.len() == 1).then_some(0))),
                Metric::Series { .. } if self.has_target => {
                    rows.extend((0..self.targets.len()).map(|target| row(Some(number(target)))));
                }
                Metric::Series { .. } => rows.push(row(None)),
            }
        }
        rows
    }

    /// Rows whose threshold and target are the same as before keep what they know.
    fn inherit(&mut self, old: &Self) {
        let known: BTreeMap<_, _> =
            old.rows.iter().filter_map(|row| Some(((&*old.threshold(row)?.name, old.target(row)), row))).collect();
        let mut kept = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let threshold = self.threshold(row);
            let same = threshold
                .and_then(|threshold| known.get(&(&*threshold.name, self.target(row))))
                .filter(|before| old.threshold(before) == threshold);
            kept.push(same.map_or_else(
                || row.clone(),
                |before| Row {
                    track: before.track,
                    groups: before.groups.clone(),
                    notes: before.notes.clone(),
                    version: before.version,
                    ..row.clone()
                },
            ));
        }
        self.rows = kept;
    }

    /// Takes over what the status says of before a restart, if it speaks of this spec.
    fn recall(&mut self, subject: &Subject<'_>) {
        if subject.status.observed_generation != Some(subject.policy.identity.generation) {
            return;
        }
        for said in &subject.status.thresholds {
            let Some((row, threshold)) = self.named(&said.name, said.target.as_deref()) else { continue };
            let Some(row) = self.rows.get_mut(row) else { continue };
            let since = report::instant(&said.since);
            match (said.state.as_str(), said.severity, Quantity::parse(&said.value)) {
                ("Breached", Some(severity), Some(value)) => {
                    let tries = said.of.and_then(|of| u32::try_from(of).ok()).map(f64::from);
                    row.recall(&threshold, &said.labels, severity, since, (value.amount.as_f64(), tries));
                }
                ("NoData", ..) if said.labels.is_empty() => row.track.recall_gap(since),
                _ => {}
            }
        }
        for said in &subject.status.advice {
            let Some((row, pattern)) = self.named(&said.name, said.target.as_deref()) else { continue };
            let Some(row) = self.rows.get_mut(row) else { continue };
            let value = said.value.split(' ').next().and_then(Quantity::parse);
            if let Some(value) = value.filter(|_| pattern.pattern.is_some()) {
                let value = (value.amount.as_f64(), None);
                row.recall(&pattern, &said.labels, said.severity, report::instant(&said.since), value);
            }
        }
    }

    /// The position of the row of that threshold or pattern on the target that a status lists so, and what it judges.
    fn named(&self, name: &str, target: Option<&str>) -> Option<(usize, Threshold)> {
        self.rows.iter().enumerate().find_map(|(index, row)| {
            let watched = self.threshold(row).filter(|watched| *watched.name == *name)?;
            (self.listed_target(row).as_deref() == target).then(|| (index, watched.clone()))
        })
    }

    /// What a row judges: a threshold or a pattern.
    pub fn threshold(&self, row: &Row) -> Option<&Threshold> {
        watched(self.thresholds_of(row), &self.patterns, row)
    }

    /// Whether it judges anything.
    pub fn watches_nothing(&self) -> bool {
        self.thresholds.is_empty() && self.patterns.is_empty()
    }

    /// The thresholds of a row's target. A reading that is one for all targets is judged as the profiles say that are active on
    /// all of them.
    fn thresholds_of(&self, row: &Row) -> &Arc<[Threshold]> {
        let own = match row.target {
            Some(target) => self.of_targets.get(usize::from(target)),
            None => self.of_targets.first().filter(|first| self.of_targets.iter().all(|other| other == *first)),
        };
        own.unwrap_or(&self.thresholds)
    }

    /// Where the reading of a profile's threshold is, if that is known now.
    pub fn side(&self, profile: usize, target: Option<&ObjectKey>, now: Instant) -> Option<Side> {
        let own = self.sides.get(&(profile, target.cloned()));
        let sighting = own.or_else(|| self.sides.get(&(profile, None)))?;
        (now <= sighting.until).then_some(sighting.side)
    }

    /// What was read that decides about a profile, in words, if that is known now: `load was 412 over 5m at …, above 350`.
    pub fn evidence(&self, profile: usize, target: Option<&ObjectKey>, now: Instant) -> Option<String> {
        let own = self.sides.get(&(profile, target.cloned()));
        let sighting = own.or_else(|| self.sides.get(&(profile, None))).filter(|sighting| now <= sighting.until)?;
        let (_, switch) = self.switches.iter().find(|(index, _)| *index == profile)?;
        let threshold = self.thresholds.get(switch.threshold)?;
        let window = match &threshold.metric {
            Metric::Series { window, .. } => format!(" over {window}"),
            Metric::Free(_) => String::new(),
        };
        let enter = switch.enter;
        let way = if switch.side(f64::INFINITY) == Side::Enter { "above" } else { "below" };
        let (name, value) = (&threshold.name, enter.unit().format(sighting.value));
        Some(format!("{name} was {value}{window} at {}, {way} {enter}", sighting.at))
    }

    /// Notes where the reading of a row is, as seen by profiles. Returns whether that is news.
    ///
    /// An answer counts for as long after it has come (`now`) as two readings may be apart: a source that takes longer to answer
    /// than that would never say anything else. Whoever looked in between, and found that nothing is known, is told of the next
    /// answer although it is the same.
    fn sight(&mut self, row: &Row, key: &SeriesKey, round: &Round, continuity: Span, now: Instant) -> bool {
        let mut news = false;
        let watching: Vec<_> = self
            .switches
            .iter()
            .copied()
            .filter(|(_, switch)| switch.threshold == usize::from(row.threshold))
            .collect();
        for (profile, switch) in watching {
            let Some(threshold) = self.threshold(row) else { return false };
            // A profile writes: it waits until it is known that a counter is one.
            if row.notes.is_none() && threshold.metric.may_reset() {
                return false;
            }
            let readings: Vec<Result<f64, Missing>> = if threshold.metric.by().is_empty() {
                vec![row.trusted(threshold.read(round.reading(key)))]
            } else {
                let read = |(_, reading)| row.trusted(threshold.read(reading));
                round.groups(key).map_or_else(|why| vec![Err(why)], |all| all.into_iter().map(read).collect())
            };
            let sides = readings
                .iter()
                .map(|reading| reading.ok().filter(|value| value.is_finite()).map(|value| (switch.side(value), value)));
            let place = (profile, self.target(row).cloned());
            // What nobody can read enters nothing and leaves nothing; of several values, one is enough to enter.
            let enters = sides.clone().flatten().find(|(side, _)| *side == Side::Enter);
            let beyond = |a: (Side, f64), b: (Side, f64)| if b.0 > a.0 { b } else { a };
            let side = enters.or_else(|| sides.reduce(|a, b| Some(beyond(a?, b?))).flatten());
            match side {
                Some((side, value)) => {
                    let sighting = Sighting { side, value, at: round.at, until: now + continuity };
                    let before = self.sides.insert(place, sighting);
                    news |= before.is_none_or(|before| before.side != side || before.until < now);
                }
                None => drop(self.sides.remove(&place)),
            }
        }
        news
    }

    pub fn target(&self, row: &Row) -> Option<&ObjectKey> {
        row.target.and_then(|target| self.targets.get(usize::from(target)))
    }

    /// The target as the status lists it: not at all where there is only one.
    pub fn listed_target(&self, row: &Row) -> Option<String> {
        self.target(row).filter(|_| self.targets.len() > 1).map(ObjectKey::short)
    }

    pub fn verdict(&self, row: &Row) -> Verdict {
        self.threshold(row).map_or(Verdict::Unjudged, |threshold| row.verdict(&threshold.levels))
    }

    /// Whether readings enter and leave its profiles.
    pub fn switches(&self) -> bool {
        !self.switches.is_empty()
    }

    pub fn is_unjudged(&self) -> bool {
        self.rows.iter().any(|row| !row.track.is_judged())
    }

    fn series_key(&self, policy: &PolicyKey, row: &Row) -> SeriesKey {
        match (self.threshold(row).map(|threshold| &threshold.metric), self.target(row)) {
            (Some(Metric::Free(_)), _) => nobody(),
            // Other objects have no pods of a known name: labels say what is theirs.
            (_, Some(target)) if target.kind.is_workload() => SeriesKey::workload(&target.namespace, &target.name),
            (_, Some(_) | None) => SeriesKey::namespace(&policy.0),
        }
    }

    /// The question that answers a row.
    pub fn ask(&self, row: &Row, identity: &promql::Identity) -> Option<Ask> {
        match &self.threshold(row)?.metric {
            Metric::Free(query) => Some(Ask::Free(query.clone())),
            metric @ Metric::Series { .. } => {
                let kind = self.target(row).and_then(|target| workload(target.kind));
                let own = metric.course().map(|course| course.points);
                let points = self.threshold(row)?.pattern.map(|pattern| pattern.points).or(own).unwrap_or(1);
                let ask = |shape| if points > 1 { Ask::Trend(shape, points) } else { Ask::Shape(shape) };
                metric.shape(identity, kind).map(ask)
            }
        }
    }

    /// Enters all rows with the questions that answer them.
    pub fn draft(
        &self,
        policy: &PolicyKey,
        number: u32,
        identity: &promql::Identity,
        drafts: &mut BTreeMap<Ask, Draft>,
    ) {
        for (index, row) in self.rows.iter().enumerate() {
            let (Some(threshold), Some(ask)) = (self.threshold(row), self.ask(row, identity)) else { continue };
            let Ok(index) = u16::try_from(index) else { return };
            let own = threshold.metric.course().map(|course| course.every);
            let every = threshold.pattern.map(|pattern| pattern.every).or(own).unwrap_or_default();
            if let Some(check) = check_of(threshold, &ask) {
                let draft = drafts.entry(Ask::Shape(check)).or_default();
                draft.enter(self.series_key(policy, row), number, index);
            }
            let draft = drafts.entry(ask).or_default();
            draft.every = Some(draft.every.map_or(every, |others| others.min(every)));
            draft.unjudged |= !row.track.is_judged();
            draft.enter(self.series_key(policy, row), number, index);
            let hold = threshold.levels.iter().map(|level| level.hold).max().unwrap_or_default();
            draft.lookback = draft.lookback.max(hold);
        }
        self.proofs.draft((policy, number), self.rows.len(), identity, drafts);
    }

    /// Whether something is still to be known of its readings.
    pub fn is_unchecked(&self, identity: &promql::Identity) -> bool {
        let mut unknown = self.rows.iter().filter(|row| row.notes.is_none());
        unknown.any(|row| {
            let asked = self.threshold(row).zip(self.ask(row, identity));
            let check = asked.and_then(|(threshold, ask)| check_of(threshold, &ask));
            check.is_some_and(|check| check.check() != Some(Check::Resets))
        })
    }

    /// Notes what a round tells of a row's readings. Returns whether people must be told something else.
    pub fn note(&mut self, policy: &PolicyKey, index: usize, check: Check, round: &Round) -> bool {
        let Some(row) = self.rows.get(index) else { return false };
        let Some(threshold) = self.threshold(row) else { return false };
        let notes = Notes::of(check, threshold, &self.series_key(policy, row), round);
        let Some(row) = self.rows.get_mut(index) else { return false };
        let Some(notes) = notes else {
            // Nobody waits for what a backend does not answer.
            row.notes.get_or_insert_default();
            return false;
        };
        let news = row.notes.as_deref() != Some(&notes) && (row.notes.is_some() || notes != Notes::default());
        row.notes = Some(Box::new(notes));
        news
    }

    /// Judges a row by a round. Returns whether people must be told something else.
    pub fn judge(&mut self, policy: &PolicyKey, index: usize, round: &Round, continuity: Span, now: Instant) -> bool {
        if let Some(index) = index.checked_sub(self.rows.len()) {
            return self.proofs.judge(policy, index, round);
        }
        let Some(row) = self.rows.get(index) else { return false };
        let key = self.series_key(policy, row);
        // Nobody asked about it when the round began.
        if row.version > round.version {
            return false;
        }
        let news = !self.switches.is_empty() && self.sight(&row.clone(), &key, round, continuity, now);
        let Some(thresholds) = self.rows.get(index).map(|row| self.thresholds_of(row).clone()) else { return news };
        let Some(row) = self.rows.get_mut(index) else { return news };
        let Some(threshold) = watched(&thresholds, &self.patterns, row) else { return news };
        let before = row.announced(&threshold.levels);
        if threshold.metric.by().is_empty() {
            row.judge(threshold, &key, round, continuity);
        } else {
            row.judge_groups(threshold, &key, round, continuity);
        }
        news || row.announced(&threshold.levels) != before
    }
}

/// Profiles of a policy that readings enter and leave.
fn switches(policy: &Policy) -> Vec<(usize, Switch)> {
    let switch = |profile: &Profile| match profile.when {
        Some(When::Threshold(switch)) => Some(switch),
        Some(When::Schedule(_)) | None => None,
    };
    policy.profiles.iter().enumerate().filter_map(|(index, profile)| Some((index, switch(profile)?))).collect()
}

impl Row {
    /// The worst breach, held or not, and of which value of the labels that are kept apart.
    pub fn breach(&self, levels: &[Level]) -> Option<(Option<&Group>, Breach)> {
        match self.groups.worst(levels) {
            Some((group, breach)) => Some((Some(group), breach)),
            None => self.track.breach(levels).map(|breach| (None, breach)),
        }
    }

    /// All breaches, held or not.
    pub fn breaches(&self, levels: &[Level]) -> impl Iterator<Item = (Option<&Group>, Breach)> {
        self.tracks().filter_map(|(group, track)| Some((group, track.breach(levels)?)))
    }

    /// What there is to tell: of each value of the labels that are kept apart, or of the row.
    pub fn tracks(&self) -> impl Iterator<Item = (Option<&Group>, &Track)> {
        let whole = self.groups.is_empty().then_some((None, &self.track));
        whole.into_iter().chain(self.groups.iter().map(|(group, track)| (Some(group), track)))
    }

    fn verdict(&self, levels: &[Level]) -> Verdict {
        match self.track.verdict(levels) {
            Verdict::Within if !self.groups.is_empty() => self.groups.verdict(levels),
            verdict => verdict,
        }
    }

    fn announced(&self, levels: &[Level]) -> (Announced, Vec<(Group, Announced)>) {
        (self.track.announced(), self.groups.announced(levels))
    }

    /// Takes over a breach that a status lists.
    fn recall(
        &mut self,
        threshold: &Threshold,
        labels: &BTreeMap<String, String>,
        severity: Severity,
        since: Instant,
        (value, tries): (f64, Option<f64>),
    ) {
        let by = threshold.metric.by();
        let group = by.iter().map(|label| labels.get(label).map_or("", String::as_str).into());
        let track = if by.is_empty() { &mut self.track } else { self.groups.track(group.collect()) };
        track.recall(&threshold.levels, severity, since, Shown::of(value, tries));
    }

    fn judge(&mut self, threshold: &Threshold, key: &SeriesKey, round: &Round, continuity: Span) {
        rebuild(&mut self.track, threshold, key, round, continuity);
        let shown = self.trusted(shown(threshold, round.reading(key)));
        self.track.judge_shown(&threshold.levels, round.at, shown, continuity);
    }

    fn judge_groups(&mut self, threshold: &Threshold, key: &SeriesKey, round: &Round, continuity: Span) {
        let levels = &threshold.levels;
        let readings = match round.groups(key) {
            Ok(readings) => readings,
            Err(missing) => {
                self.track.judge(&[], round.at, Err(missing), continuity);
                self.groups.miss(levels, round.at, missing, continuity);
                return;
            }
        };
        let readings: Vec<(Group, Result<Shown, Missing>)> =
            readings.into_iter().map(|(group, reading)| (group, self.trusted(shown(threshold, reading)))).collect();
        // The row has a reading if any value of the labels has one; else it is missing for the reason of one of them.
        let any = readings.iter().map(|(_, reading)| *reading).reduce(Result::or);
        self.track.judge_shown(&[], round.at, any.unwrap_or(Err(Missing::new(Reason::NoData))), continuity);
        for (group, _) in &readings {
            let key = SeriesKey { group: group.clone(), ..key.clone() };
            rebuild(self.groups.track(group.clone()), threshold, &key, round, continuity);
        }
        self.groups.judge(levels, round.at, &readings, continuity, threshold.no_data.after);
    }
}

/// What a row judges.
fn watched<'a>(thresholds: &'a [Threshold], patterns: &'a [Threshold], row: &Row) -> Option<&'a Threshold> {
    let index = usize::from(row.threshold);
    thresholds.get(index).or_else(|| patterns.get(index.checked_sub(thresholds.len())?))
}

/// What is asked beside the readings of a threshold. Patterns are advice, and look at so much that little can mislead them.
fn check_of(threshold: &Threshold, ask: &Ask) -> Option<Shape> {
    let Ask::Shape(shape) = ask else { return None };
    let check = shape.checks().filter(|_| threshold.pattern.is_none())?;
    (!threshold.levels.is_empty() || check.check() != Some(Check::Buckets)).then_some(check)
}

/// What a reading shows, or why there is none.
fn shown(threshold: &Threshold, reading: Reading) -> Result<Shown, Missing> {
    threshold.read(reading).map(|value| threshold.shown(value, reading.count))
}

/// Learns from what was read before the round.
fn rebuild(track: &mut Track, threshold: &Threshold, key: &SeriesKey, round: &Round, continuity: Span) {
    let (past, apart) = round.past(key);
    if !past.is_empty() {
        // What had too few observations was no reading then, either.
        let read = |(at, reading): (Instant, Reading)| Some((at, shown(threshold, reading).ok()?));
        let past: Vec<(Instant, Shown)> = past.into_iter().filter_map(read).collect();
        track.rebuild(&threshold.levels, round.at, &past, apart.max(continuity));
    }
}
