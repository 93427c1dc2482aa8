//! One page that loads nothing: pictures, and the numbers beside them. Every text is of somebody else and is escaped.

use std::collections::BTreeMap;

use super::{
    super::{
        facts::{Instant, Span},
        table::{Table, html},
    },
    course::Watched,
    plot::{self, Mark},
    report::{AlertPart, ChangePart, PolicyPart, ReplayReport, ThresholdPart, count, is_breach, lasted},
    watch::RowKey,
};

/// Verdicts, alerts or changes that a table of the page lists; JSON has all of them.
const LISTED: usize = 40;

const STYLE: &str = include_str!("page.css");

/// The page.
pub fn page(report: &ReplayReport) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Trimtab replay, {} to {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        html(&report.from),
        html(&report.to)
    );
    let watch = &report.watch;
    out.push_str(&format!(
        "<header>\n<p class=\"eyebrow\">Trimtab replay</p>\n<h1>What would have happened</h1>\n<p class=\"when\"><time>{}</time> to \
         <time>{}</time>, {} in {}, one every {}</p>\n{}</header>\n",
        report.from,
        report.to,
        lasted(watch.period.to.since(watch.period.from)),
        count(usize::try_from(report.sweeps).unwrap_or(usize::MAX), "sweep"),
        lasted(watch.interval),
        tiles(report)
    ));
    for (number, policy) in report.policies.iter().enumerate() {
        out.push_str(&policy_section(report, policy, number));
    }
    out.push_str(&alerts_section(report));
    out.push_str(&format!(
        "<footer>\n<p>Worked out by the operator's own engine on a clock that steps through history. The policies, their targets and \
         their metrics source are as they are now for the whole time, and nothing rolls out: a value that a profile asks for \
         counts as changed at once. A breach that ends and comes back within {} flaps. Times are UTC.</p>\n</footer>\n\
         </main>\n</body>\n</html>\n",
        lasted(watch.flap)
    ));
    out
}

fn tiles(report: &ReplayReport) -> String {
    let summary = &report.summary;
    let breached = report.watch.breached;
    let number = |n: u64, word: &str, bad: bool| (n.to_string(), word.to_owned(), bad && n > 0);
    let size = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let changes = match summary.changes_at_first {
        0 => "changes".to_owned(),
        first => format!("changes, and {first} at first"),
    };
    let tiles = [
        (lasted(breached), "in breach".to_owned(), breached > Span::ZERO),
        number(size(summary.alerts), if summary.alerts == 1 { "alert fired" } else { "alerts fired" }, true),
        number(summary.flaps, if summary.flaps == 1 { "flap" } else { "flaps" }, true),
        number(
            size(summary.switches),
            if summary.switches == 1 { "profile switch" } else { "profile switches" },
            false,
        ),
        number(size(summary.changes), &changes, false),
        number(summary.readings, "readings", false),
    ];
    let tile = |(number, word, bad): &(String, String, bool)| {
        let class = if *bad { " class=\"bad\"" } else { "" };
        format!("<div{class}><dt>{}</dt><dd>{}</dd></div>\n", html(word), html(number))
    };
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.iter().map(tile).collect::<String>())
}

fn policy_section(report: &ReplayReport, policy: &PolicyPart, number: usize) -> String {
    let mut out = format!(
        "<section>\n<h2><span class=\"namespace\">{}/</span>{}</h2>\n",
        html(&policy.namespace),
        html(&policy.name)
    );
    for trouble in &policy.troubles {
        out.push_str(&format!("<p class=\"trouble\">{}</p>\n", html(trouble)));
    }
    if !policy.told && policy.troubles.is_empty() {
        out.push_str(
            "<p class=\"note\">Nobody is told of its alerts now: neither it nor its class names a sink.</p>\n",
        );
    }
    for (index, threshold) in policy.thresholds.iter().enumerate() {
        out.push_str(&threshold_figure(report, policy, threshold, &format!("p{number}t{index}")));
    }
    out.push_str(&profiles(report, policy, number));
    out.push_str(&changes("Values that differ at first", &policy.changes_at_first));
    out.push_str(&changes("Values that change", &policy.changes));
    out.push_str("</section>\n");
    out
}

fn threshold_figure(report: &ReplayReport, policy: &PolicyPart, threshold: &ThresholdPart, id: &str) -> String {
    let title = threshold.title();
    let key: RowKey = (
        (policy.namespace.as_str().into(), policy.name.as_str().into()),
        threshold.name.as_str().into(),
        threshold.target.clone(),
        threshold.series.clone(),
    );
    let about = report.alerts.iter().filter(|alert| threshold.is_told_by(policy, alert));
    let marks: Vec<Mark<'_>> = about
        .filter_map(|alert| {
            let at = Instant::parse(&alert.since)?;
            Some(Mark { at, severity: if is_breach(alert) { &alert.severity } else { "info" }, text: &alert.summary })
        })
        .collect();
    let state = worst(threshold);
    let pattern = if threshold.pattern { " <span class=\"kind\">pattern</span>" } else { "" };
    let Some(row) = report.watch.rows.get(&key) else {
        return format!(
            "<figure>\n<figcaption><h3>{}</h3>{pattern}<span class=\"chip nodata\">not asked</span></figcaption>\n</figure>\n",
            html(&title)
        );
    };
    let alerts = threshold.alerts(policy, &report.alerts);
    let facts: Vec<String> = [
        (row.readings > 0).then(|| format!("{} to {}", row.unit.format(row.least), row.unit.format(row.most))),
        Some(count(usize::try_from(threshold.breaches).unwrap_or(usize::MAX), "breach")),
        (threshold.flaps > 0).then(|| count(usize::try_from(threshold.flaps).unwrap_or(usize::MAX), "flap")),
        (alerts > 0).then(|| count(alerts, "alert")),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!(
        "<figure>\n<figcaption><h3>{}</h3>{pattern}<span class=\"chip {}\">{}</span><span class=\"facts\">{}</span></figcaption>\n\
         <div class=\"picture\">{}</div>\n{}</figure>\n",
        html(&title),
        state.0,
        html(&state.1),
        html(&facts.join(" · ")),
        plot::svg(
            row,
            &format!("{title} of policy {}/{}", policy.namespace, policy.name),
            id,
            report.watch.period,
            &marks
        ),
        verdicts(threshold, row, report)
    )
}

/// The worst that was the matter, as a class and in words.
fn worst(threshold: &ThresholdPart) -> (&'static str, String) {
    let breached = threshold.time("Breached");
    let nodata = threshold.time("NoData");
    if breached > Span::ZERO {
        ("critical", format!("in breach for {}", lasted(breached)))
    } else if nodata > Span::ZERO {
        ("nodata", format!("without data for {}", lasted(nodata)))
    } else {
        ("good", "held".to_owned())
    }
}

/// The numbers beside the picture.
fn verdicts(threshold: &ThresholdPart, row: &Watched, report: &ReplayReport) -> String {
    let mut table = Table::new("", &["State", "Severity or reason", "From", "To", "Lasted"]);
    for ((spell, until), part) in row.spans(report.watch.period.to).zip(&threshold.verdicts).take(LISTED) {
        let why = part.severity.or(part.reason).unwrap_or_default();
        table.rows.push(vec![
            part.state.to_owned(),
            why.to_owned(),
            part.since.clone(),
            part.until.clone(),
            lasted(until.since(spell.since)),
        ]);
    }
    let times: Vec<String> =
        row.times(report.watch.period.to).0.iter().map(|(word, time)| format!("{word} {}", lasted(*time))).collect();
    details(&format!("Numbers: {}", times.join(", ")), &table, threshold.verdicts.len())
}

fn details(summary: &str, table: &Table, all: usize) -> String {
    format!("<details>\n<summary>{}</summary>\n{}</details>\n", html(summary), listed(table, all))
}

fn listed(table: &Table, all: usize) -> String {
    let more = all.saturating_sub(table.rows.len());
    let more =
        if more > 0 { format!("<p class=\"note\">and {more} more: -o json lists all</p>\n") } else { String::new() };
    // The heading above says what the table is.
    let table = table.html().replacen("<caption></caption>\n", "", 1).replace("<tr><th>", "<tr><th scope=\"col\">");
    format!("<div class=\"table\">{}</div>\n{more}", table.replace("</th><th>", "</th><th scope=\"col\">"))
}

fn profiles(report: &ReplayReport, policy: &PolicyPart, number: usize) -> String {
    if policy.profiles.is_empty() {
        return String::new();
    }
    let end = report.watch.period.to;
    let mut lanes: BTreeMap<String, Vec<(Instant, Instant)>> = BTreeMap::new();
    let mut table = Table::new("", &["Profile", "By", "Entered", "Left", "Because"]);
    for profile in &policy.profiles {
        let on = if profile.targets.is_empty() { String::new() } else { format!(" on {}", profile.targets.join(", ")) };
        let name = format!("{}{on}", profile.profile);
        let until = profile.until.as_deref().and_then(Instant::parse).unwrap_or(end);
        if let Some(since) = Instant::parse(&profile.since) {
            lanes.entry(name.clone()).or_default().push((since, until));
        }
        if table.rows.len() < LISTED {
            table.rows.push(vec![
                name,
                profile.by.clone(),
                profile.since.clone(),
                profile.until.clone().unwrap_or_else(|| "active at the end".to_owned()),
                profile.because.clone().unwrap_or_default(),
            ]);
        }
    }
    let lanes: Vec<_> = lanes.into_iter().collect();
    let title = format!("Active profiles of policy {}/{}", policy.namespace, policy.name);
    format!(
        "<figure>\n<figcaption><h3>Profiles</h3><span class=\"facts\">entered {}</span></figcaption>\n\
         <div class=\"picture\">{}</div>\n{}</figure>\n",
        if policy.profiles.len() == 1 { "once".to_owned() } else { count(policy.profiles.len(), "time") },
        plot::lanes(&lanes, &title, &format!("p{number}profiles"), report.watch.period),
        details("Entered and left", &table, policy.profiles.len())
    )
}

fn changes(title: &str, changes: &[ChangePart]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut table = Table::new("", &["When", "Object", "Value", "From", "To", "Profiles"]);
    table.rows.extend(changes.iter().take(LISTED).map(|change| {
        vec![
            change.at.clone(),
            change.target.clone(),
            change.path.clone(),
            change.from.clone().unwrap_or_else(|| "(unset)".to_owned()),
            change.to.clone(),
            change.profiles.join(", "),
        ]
    }));
    format!("<h3>{}</h3>\n{}", html(title), listed(&table, changes.len()))
}

fn alerts_section(report: &ReplayReport) -> String {
    if report.alerts.is_empty() {
        return "<section>\n<h2>Alerts</h2>\n<p class=\"note\">No alert would have fired.</p>\n</section>\n".to_owned();
    }
    let mut table = Table::new("", &["Severity", "Alert", "Summary", "Fired", "Resolved", "Lasted"]);
    let row = |alert: &AlertPart| {
        vec![
            alert.severity.clone(),
            alert.name.clone(),
            alert.summary.clone(),
            alert.since.clone(),
            alert.until.clone().unwrap_or_else(|| "fires at the end".to_owned()),
            lasted(Span::millis(super::history::millis(alert.seconds))),
        ]
    };
    table.rows.extend(report.alerts.iter().take(LISTED).map(row));
    format!("<section>\n<h2>Alerts</h2>\n{}</section>\n", listed(&table, report.alerts.len()))
}
