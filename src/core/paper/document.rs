//! A report of policies: checklist, thresholds, values, advice, and the policy's own tables.

use serde::Serialize;

use super::{
    API_VERSION,
    readings::{InForce, Operation, Reading, Readings, judge},
    statistics::Summary,
};
use crate::{
    api::status::ChecklistStatus,
    core::{
        plan::Setting,
        policy::{
            Cell, Policy, PolicyKey, Sheet, Threshold,
            thresholds::{Level, word},
        },
        report::checklist::{self, Around, Target, View},
        table::{Table, html, markdown},
        units::{BaseUnit, Better, Dimension, Figure},
    },
};

/// A policy and what it amounts to on its targets.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Namespace and name.
    pub key: &'a PolicyKey,
    /// The parsed policy, unless it cannot be parsed.
    pub policy: Option<&'a Policy>,
    /// What keeps it from being served.
    pub troubles: Vec<String>,
    /// Its targets.
    pub targets: Vec<Target<'a>>,
    /// The names of the profiles that are active on each of them, in the same order.
    pub profiles: Vec<&'a [Box<str>]>,
    /// Whether breaches are told to anybody.
    pub alerting: bool,
}

/// A report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    api_version: &'static str,
    kind: &'static str,
    /// When the readings were taken; nothing without readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    policies: Vec<Part>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    operations: Vec<OperationSummary>,
}

/// What is said of one policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checklist: Option<Checklist>,
    thresholds: Vec<ThresholdLine>,
    values: Vec<ValueLine>,
    not_enforceable: Vec<ValueLine>,
    advice: Vec<Advice>,
    tables: Vec<SheetLines>,
}

#[derive(Debug, Serialize)]
struct Checklist {
    counts: ChecklistStatus,
    lines: Vec<ChecklistLine>,
}

#[derive(Debug, Serialize)]
struct ChecklistLine {
    id: String,
    text: String,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

#[derive(Debug, Serialize)]
struct ThresholdLine {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<String>,
    /// In the base unit.
    value: Option<f64>,
    unit: &'static str,
    reading: String,
    bounds: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct ValueLine {
    path: String,
    object: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<String>,
    landing: String,
    source: String,
    state: &'static str,
    /// Why nothing carries it, and where it belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct Advice {
    about: String,
    because: String,
    #[serde(rename = "advice")]
    text: String,
}

#[derive(Debug, Serialize)]
struct SheetLines {
    name: String,
    columns: Vec<String>,
    rows: Vec<Vec<Shown>>,
}

/// A cell worked out.
#[derive(Clone, Debug, Serialize)]
struct Shown {
    text: String,
    /// In the base unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
}

/// What runs of an operation amount to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperationSummary {
    name: String,
    runs: usize,
    succeeded: usize,
    success_rate: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_deviation_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_memory_delta_bytes: Option<f64>,
}

impl OperationSummary {
    /// Durations are those of runs that succeeded: how long a failure takes says nothing of the work.
    #[expect(clippy::cast_precision_loss, reason = "far fewer runs than 2^52")]
    pub fn of(operation: &Operation) -> Self {
        let succeeded = || operation.runs.iter().filter(|run| !run.failed);
        let duration = Summary::of(succeeded().map(|run| run.seconds));
        Self {
            name: operation.name.clone(),
            runs: operation.runs.len(),
            succeeded: succeeded().count(),
            success_rate: succeeded().count() as f64 / operation.runs.len().max(1) as f64,
            mean_seconds: duration.map(|duration| duration.mean),
            standard_deviation_seconds: duration.and_then(|duration| duration.deviation),
            mean_memory_delta_bytes: Summary::of(succeeded().filter_map(|run| run.memory_delta_bytes))
                .map(|memory| memory.mean),
        }
    }

    fn row(&self) -> Vec<String> {
        let scale = if self.mean_seconds.is_some_and(|mean| mean < 1.0) { (1e-3, "ms") } else { (1.0, "s") };
        let span = |seconds: Option<f64>| {
            seconds.map_or_else(|| "n/a".to_owned(), |seconds| format!("{:.2} {}", seconds / scale.0, scale.1))
        };
        let memory = self.mean_memory_delta_bytes;
        vec![
            self.name.clone(),
            self.runs.to_string(),
            BaseUnit::Ratio.format(self.success_rate),
            span(self.mean_seconds),
            span(self.standard_deviation_seconds),
            memory.map_or_else(|| "n/a".to_owned(), |bytes| format!("{:.2} MiB", bytes / 1_048_576.0)),
        ]
    }
}

impl Subject<'_> {
    /// The policy with the profiles that are active.
    pub(super) fn in_force<'p>(&self, policy: &'p Policy, readings: Option<&Readings>) -> InForce<'p> {
        let targets = self.targets.iter().enumerate();
        let named =
            targets.map(|(index, (object, _))| (*object, self.profiles.get(index).copied().unwrap_or_default()));
        InForce::new(policy, named, readings)
    }
}

/// What cells of reports see: of each target, or of the policy alone.
fn views<'a>(policy: &InForce<'_>, targets: &[Target<'a>], around: Around<'a>) -> Vec<View<'a>> {
    let of = |index: usize, target| View::new(policy.on(index), target, around).under(policy.active(index));
    match targets {
        [] => vec![of(0, None)],
        targets => targets.iter().enumerate().map(|(index, target)| of(index, Some(*target))).collect(),
    }
}

impl Document {
    /// The report of `subjects` at the time of `readings`.
    #[must_use]
    pub fn new(subjects: &[Subject<'_>], readings: Option<&Readings>) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Report",
            at: readings.map(|readings| readings.at.clone()),
            policies: subjects.iter().map(|subject| Part::new(subject, readings)).collect(),
            operations: readings.into_iter().flat_map(|r| &r.operations).map(OperationSummary::of).collect(),
        }
    }

    /// Every table, those of each policy in turn; none is empty.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = self.policies.iter().flat_map(Part::tables).collect();
        tables.extend(self.operations());
        tables
    }

    fn operations(&self) -> Option<Table> {
        let columns = ["Operation", "Runs", "Succeeded", "Mean", "Standard deviation", "Memory delta"];
        let mut table = Table::new("OPERATIONS", &columns);
        table.rows = self.operations.iter().map(OperationSummary::row).collect();
        (!table.rows.is_empty()).then_some(table)
    }

    /// As a Markdown document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::from("# Performance report\n\n");
        out.push_str(&self.when());
        out.push('\n');
        for part in &self.policies {
            out.push_str(&format!("\n## {}/{}\n", markdown(&part.namespace), markdown(&part.name)));
            for trouble in &part.troubles {
                out.push_str(&format!("\n> {}\n", markdown(trouble)));
            }
            for table in part.tables() {
                out.push_str(&format!("\n### {}\n\n{}", table.name, table.markdown()));
            }
        }
        if let Some(table) = self.operations() {
            out.push_str(&format!("\n## {}\n\n{}", table.name, table.markdown()));
        }
        out
    }

    /// As an HTML document that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        let mut out = String::from(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Performance report</title>\n\
             <style>body{font-family:sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}\
             caption{text-align:left;font-weight:bold}th,td{border:1px solid #999;padding:.3em .6em;text-align:left}\
             </style>\n</head>\n<body>\n<h1>Performance report</h1>\n",
        );
        out.push_str(&format!("<p>{}</p>\n", html(&self.when())));
        for part in &self.policies {
            out.push_str(&format!("<h2>{}/{}</h2>\n", html(&part.namespace), html(&part.name)));
            for trouble in &part.troubles {
                out.push_str(&format!("<p>{}</p>\n", html(trouble)));
            }
            out.extend(part.tables().iter().map(Table::html));
        }
        out.extend(self.operations().iter().map(Table::html));
        out.push_str("</body>\n</html>\n");
        out
    }

    fn when(&self) -> String {
        match &self.at {
            Some(at) => format!("Readings of {at}."),
            None => "Without readings: thresholds are not judged.".to_owned(),
        }
    }
}

impl Part {
    fn new(subject: &Subject<'_>, readings: Option<&Readings>) -> Self {
        let (namespace, name) = (subject.key.0.to_string(), subject.key.1.to_string());
        let troubles = subject.troubles.clone();
        let Some(policy) = subject.policy else {
            return Self {
                namespace,
                name,
                troubles,
                checklist: None,
                thresholds: Vec::new(),
                values: Vec::new(),
                not_enforceable: Vec::new(),
                advice: Vec::new(),
                tables: Vec::new(),
            };
        };
        let in_force = subject.in_force(policy, readings);
        let known = readings.map(|readings| readings.known(&in_force)).unwrap_or_default();
        let around = Around { readings: &known, alerting: subject.alerting };
        let views = views(&in_force, &subject.targets, around);
        let thresholds = thresholds(&in_force, readings);
        let settings = subject.targets.iter().flat_map(|(_, plan)| &plan.settings);
        let (not_enforceable, values) =
            settings.map(ValueLine::of).partition(|line: &ValueLine| line.state == "NotEnforceable");
        Self {
            namespace,
            name,
            troubles,
            checklist: lines(policy, &subject.targets, around),
            advice: advice(policy, &thresholds),
            thresholds,
            values,
            not_enforceable,
            tables: policy.sheets.iter().map(|sheet| SheetLines::of(sheet, policy, &views)).collect(),
        }
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = self.tables.iter().map(SheetLines::table).collect();
        let mut push = |name: &str, columns: &[&str], rows: Vec<Vec<String>>| {
            if !rows.is_empty() {
                tables.push(Table { rows, ..Table::new(name, columns) });
            }
        };
        let line =
            |line: &ChecklistLine| vec![line.id.clone(), line.state.to_owned(), line.text.clone(), line.detail.clone()];
        let lines = self.checklist.iter().flat_map(|checklist| &checklist.lines);
        push("CHECKLIST", &["Line", "State", "Text", "Detail"], lines.map(line).collect());
        let threshold = |t: &ThresholdLine| {
            let object = [t.object.as_deref(), t.series.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let state = t.severity.map_or(t.state.to_owned(), |severity| format!("{} ({severity})", t.state));
            vec![t.name.clone(), object, t.reading.clone(), t.bounds.clone(), state]
        };
        let columns = ["Threshold", "Object", "Reading", "Bounds", "State"];
        push("THRESHOLDS", &columns, self.thresholds.iter().map(threshold).collect());
        let value = |v: &ValueLine| {
            let there = v.live.as_deref().unwrap_or(if v.state == "Variable" { "n/a" } else { "(unset)" }).to_owned();
            vec![v.path.clone(), v.object.clone(), v.value.clone(), there, v.landing.clone(), v.state.to_owned()]
        };
        let columns = ["Value", "Object", "Wanted", "Live", "Where", "State"];
        push("VALUES", &columns, self.values.iter().map(value).collect());
        let belongs =
            |v: &ValueLine| vec![v.path.clone(), v.value.clone(), v.why.clone().unwrap_or_else(|| v.landing.clone())];
        let columns = ["Value", "Wanted", "Why, and where it belongs"];
        push("NOT_ENFORCEABLE", &columns, self.not_enforceable.iter().map(belongs).collect());
        let advice = |a: &Advice| vec![a.about.clone(), a.because.clone(), a.text.clone()];
        push("ADVICE", &["About", "Because", "Advice"], self.advice.iter().map(advice).collect());
        tables
    }
}

fn lines(policy: &Policy, targets: &[Target<'_>], around: Around<'_>) -> Option<Checklist> {
    let judged = checklist::judge(policy, targets, around);
    let counts = checklist::summary(&judged)?;
    let line = |(line, answer): &(&crate::core::policy::Line, checklist::Answer)| ChecklistLine {
        id: line.id.to_string(),
        text: line.text.to_string(),
        state: answer.as_str(),
        detail: match answer {
            checklist::Answer::Passed | checklist::Answer::Open => String::new(),
            checklist::Answer::Failed(why) | checklist::Answer::Unknown(why) => why.clone(),
            checklist::Answer::Attested(attested) => {
                let evidence = attested.evidence.as_ref().map(|where_| format!(": {where_}")).unwrap_or_default();
                format!("{}, {}{evidence}", attested.by, attested.date)
            }
        },
    };
    Some(Checklist { counts, lines: judged.iter().map(line).collect() })
}

/// The bounds of a threshold in words.
fn bounds(threshold: &Threshold) -> String {
    let level = |level: &Level| {
        let above = level.above.map(|limit| format!("above {}", limit.bound));
        let below = level.below.map(|limit| format!("below {}", limit.bound));
        let sides: Vec<String> = above.into_iter().chain(below).collect();
        format!("{} {}", word(level.severity), sides.join(" or "))
    };
    // The mildest first: that is the target.
    let levels: Vec<String> = threshold.levels.iter().rev().map(level).collect();
    if levels.is_empty() { "none".to_owned() } else { levels.join("; ") }
}

fn thresholds(policy: &InForce<'_>, readings: Option<&Readings>) -> Vec<ThresholdLine> {
    let mut lines = Vec::new();
    for (position, threshold) in policy.policy.thresholds.iter().enumerate() {
        let unit = threshold.unit.base();
        let line = |reading: &Reading| {
            let threshold = policy.threshold(position, reading).unwrap_or(threshold);
            let judged = judge(threshold, reading);
            ThresholdLine {
                name: threshold.name.to_string(),
                object: reading.target.clone(),
                series: reading.series.clone(),
                value: reading.value,
                unit: unit.as_str(),
                reading: match (reading.value, &reading.missing) {
                    (Some(value), _) => unit.format(value),
                    (None, Some(why)) => format!("no data ({why})"),
                    (None, None) => "no data".to_owned(),
                },
                bounds: bounds(threshold),
                state: judged.state,
                severity: judged.crossed.map(|(severity, ..)| severity),
            }
        };
        let before = lines.len();
        if let Some(readings) = readings {
            lines.extend(readings.of(&policy.policy.identity.key, &threshold.name).map(line));
        }
        if lines.len() == before {
            lines.push(line(&Reading::default()));
        }
    }
    lines
}

fn advice(policy: &Policy, lines: &[ThresholdLine]) -> Vec<Advice> {
    let breached = lines.iter().filter(|line| line.state == "Breached");
    let advised = breached.filter_map(|line| {
        let threshold = policy.thresholds.iter().find(|threshold| *threshold.name == *line.name)?;
        let at = line.object.as_ref().map(|object| format!(" on {object}")).unwrap_or_default();
        let series = line.series.as_ref().map(|series| format!(" ({series})")).unwrap_or_default();
        Some(Advice {
            about: line.name.clone(),
            because: format!("{}{at}{series}, bounds: {}", line.reading, line.bounds),
            text: threshold.advice.as_ref()?.to_string(),
        })
    });
    advised.collect()
}

impl ValueLine {
    fn of(setting: &Setting) -> Self {
        Self {
            path: setting.path.to_string(),
            object: setting.object.short(),
            value: setting.desired.clone(),
            // What others wrote into a ConfigMap is for those who can read it.
            live: setting.live.clone().filter(|_| setting.is_public()),
            landing: setting.landing.clone(),
            source: setting.source.clone(),
            state: setting.state.as_str(),
            why: setting.why.as_deref().map(ToOwned::to_owned),
        }
    }
}

/// An amount in a row.
#[derive(Clone, Debug)]
struct Amount {
    base: f64,
    dimension: Dimension,
    better: Option<Better>,
}

impl SheetLines {
    fn of(sheet: &Sheet, policy: &Policy, views: &[View<'_>]) -> Self {
        Self {
            name: sheet.name.to_string(),
            columns: sheet.columns.iter().map(ToString::to_string).collect(),
            rows: sheet.rows.iter().map(|row| show(row, sheet, policy, views)).collect(),
        }
    }

    fn table(&self) -> Table {
        let texts = |row: &Vec<Shown>| row.iter().map(|shown| shown.text.clone()).collect();
        Table { name: self.name.clone(), columns: self.columns.clone(), rows: self.rows.iter().map(texts).collect() }
    }
}

/// Works a row out: first what stands for itself, then what follows from the row.
fn show(row: &[Cell], sheet: &Sheet, policy: &Policy, views: &[View<'_>]) -> Vec<Shown> {
    let figures: Vec<Option<Figure>> = row
        .iter()
        .map(|cell| match cell {
            Cell::Text(text) => Figure::read(text),
            Cell::Formula(_) | Cell::Status | Cell::Improvement => None,
        })
        .collect();
    let mut blind = false;
    let mut shown = Vec::new();
    let mut amounts: Vec<Amount> = Vec::new();
    for (cell, figure) in row.iter().zip(&figures) {
        let (text, amount) = match cell {
            Cell::Text(text) => (text.to_string(), figure.as_ref().map(amount_of)),
            Cell::Formula(probe) => {
                let better = probe
                    .threshold()
                    .and_then(|name| policy.thresholds.iter().find(|threshold| *threshold.name == *name)?.better());
                let mut texts: Vec<String> = Vec::new();
                let mut first = None;
                for view in views {
                    let text = match probe.evaluate(view) {
                        Ok(outcome) => {
                            let amount = outcome.quantity().map(|quantity| Amount {
                                base: quantity.amount.as_f64(),
                                dimension: quantity.dimension,
                                better,
                            });
                            let text = match &amount {
                                Some(amount) if probe.threshold().is_some() => spell(amount, &figures),
                                _ => outcome.to_string(),
                            };
                            first = first.or(amount);
                            text
                        }
                        Err(_) if probe.threshold().is_some() => {
                            blind = true;
                            "no data".to_owned()
                        }
                        Err(why) => format!("unknown: {why}"),
                    };
                    if !texts.contains(&text) {
                        texts.push(text);
                    }
                }
                (texts.join(" / "), first)
            }
            // Filled in below.
            Cell::Status | Cell::Improvement => (String::new(), None),
        };
        amounts.extend(amount.clone());
        shown.push(Shown {
            text,
            value: amount.as_ref().map(|amount| amount.base),
            unit: amount.map(|amount| amount.dimension.as_str()),
        });
    }
    let pair = amounts.split_first().and_then(|(first, rest)| {
        let second = rest.iter().find(|other| other.dimension == first.dimension)?;
        Some((first, second))
    });
    for (cell, shown) in row.iter().zip(&mut shown) {
        match cell {
            Cell::Status | Cell::Improvement if blind => "no data".clone_into(&mut shown.text),
            Cell::Status => shown.text = pair.map_or_else(|| "unknown".to_owned(), |pair| status(pair, sheet)),
            Cell::Improvement => shown.text = pair.map_or_else(|| "n/a".to_owned(), improvement),
            Cell::Text(_) | Cell::Formula(_) => {}
        }
    }
    shown
}

fn amount_of(figure: &Figure) -> Amount {
    Amount { base: figure.quantity.amount.as_f64(), dimension: figure.quantity.dimension, better: figure.better }
}

/// A reading as the other amounts of its row are written, else in the usual unit.
fn spell(amount: &Amount, figures: &[Option<Figure>]) -> String {
    let alike = figures.iter().flatten().find(|figure| figure.quantity.dimension == amount.dimension);
    let unit = match amount.dimension {
        Dimension::Duration => BaseUnit::Seconds,
        Dimension::Bytes => BaseUnit::Bytes,
        Dimension::Ratio => BaseUnit::Ratio,
        Dimension::PerSecond => BaseUnit::PerSecond,
        Dimension::Count | Dimension::Cpu => BaseUnit::Count,
    };
    alike.map_or_else(|| unit.format(amount.base), |figure| figure.spell(amount.base))
}

/// How many times as good `good` is as `bad`, where lower or higher is better. Nothing is as good as nothing.
fn share(first: &Amount, second: &Amount, better: Better) -> f64 {
    let (over, under) = match better {
        Better::Lower => (first.base, second.base),
        Better::Higher => (second.base, first.base),
    };
    if over.abs() < f64::EPSILON && under.abs() < f64::EPSILON { 1.0 } else { over / under }
}

/// The word for a reading and its target.
fn status((current, target): (&Amount, &Amount), sheet: &Sheet) -> String {
    let usual = Better::usual(current.dimension).unwrap_or(Better::Lower);
    let better = target.better.or(current.better).unwrap_or(usual);
    let share = share(current, target, better);
    // A share that is a bound belongs to it, whatever floats make of it.
    let fits = |most: &crate::core::units::Decimal| share <= most.as_f64() * (1.0 + 1e-9);
    let named = sheet.statuses.iter().find(|(most, _)| most.as_ref().is_none_or(fits));
    match (named, sheet.statuses.last()) {
        (Some((_, text)), _) => text.to_string(),
        (None, Some((Some(most), _))) => format!("beyond {}", BaseUnit::Ratio.format(most.as_f64())),
        (None, _) => "unknown".to_owned(),
    }
}

/// How many times better the second amount is, rounded down: nobody is promised more than was measured.
fn improvement((before, after): (&Amount, &Amount)) -> String {
    let usual = Better::usual(before.dimension);
    let Some(better) = after.better.or(before.better).or(usual) else { return "n/a".to_owned() };
    let times = share(before, after, better);
    if !times.is_finite() || times < 0.0 {
        return "n/a".to_owned();
    }
    let tenths = (times * 10.0 + 1e-6).floor() / 10.0;
    if tenths >= 10.0 { format!("{:.0}x", tenths.floor()) } else { format!("{tenths}x") }
}
