//! Words of tables that contradict their numbers.

use serde_json::Value as Json;

use super::super::{Code, Finding, subject::Subject};
use crate::core::units::{Decimal, Quantity};

/// Words that say that all is well, and that it is not. A table's own `statuses` come first.
const GOOD: [&str; 11] =
    ["good", "acceptable", "optimal", "excellent", "fine", "pass", "met", "healthy", "within", "okay", "✅"];
const BAD: [&str; 15] = [
    "needs improvement",
    "slow",
    "heavy",
    "high",
    "limit",
    "poor",
    "bad",
    "fail",
    "critical",
    "warning",
    "degraded",
    "over",
    "missed",
    "⚠",
    "❌",
];

/// A row whose status is a word and no formula.
struct Row {
    index: usize,
    name: String,
    /// How far from its target: 1 is on it, more is worse.
    share: f64,
    sum: String,
    word: String,
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for report in subject.spec["reports"].as_array().into_iter().flatten() {
        let name = report["name"].as_str().unwrap_or_default();
        let rows = rows(report);
        let scale = scale(report);
        for row in &rows {
            let better = rows.iter().find_map(|other| contradicts(row, other, &scale));
            if let Some(message) = better.or_else(|| overrides(row, &scale)) {
                findings.push(subject.find(
                    Code::StatusesNotMonotone,
                    format!("reports.{name}.rows[{}]", row.index),
                    message,
                ));
            }
        }
    }
}

/// The table's own words, with the largest share that each is for.
fn scale(report: &Json) -> Vec<(String, Option<f64>)> {
    let words = report["statuses"].as_array().into_iter().flatten();
    words
        .filter_map(|word| {
            let share = word["upTo"].as_str().and_then(Quantity::parse).map(|share| share.amount.as_f64());
            Some((word["text"].as_str()?.to_owned(), share))
        })
        .collect()
}

fn rows(report: &Json) -> Vec<Row> {
    let headings = report["columns"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let status = headings.clone().position(|heading| heading.to_lowercase().contains("status"));
    let Some(status) = status else { return Vec::new() };
    let read = |(index, row): (usize, &Json)| {
        let cells: Vec<String> = row.as_array()?.iter().map(text).collect();
        let word = cells.get(status).filter(|word| !word.is_empty() && !word.starts_with('='))?.clone();
        let mut amounts = cells.iter().enumerate().filter(|(at, _)| *at != status).filter_map(|(_, cell)| amount(cell));
        let (current, target) = (amounts.next()?, amounts.next()?);
        if current.0.dimension != target.0.dimension {
            return None;
        }
        // Where more is better, the target says so.
        let (above, below) = if target.1 { (target.0, current.0) } else { (current.0, target.0) };
        let share = above.amount.checked_div(below.amount).filter(|share| *share > Decimal::ZERO)?;
        let sum = format!("{above} / {below} = {:.0} %", 100.0 * share.as_f64());
        Some(Row { index, name: cells.first().cloned().unwrap_or_default(), share: share.as_f64(), sum, word })
    };
    report["rows"].as_array().into_iter().flatten().enumerate().filter_map(read).collect()
}

fn text(cell: &Json) -> String {
    cell.as_str().map_or_else(|| cell.to_string(), |text| text.trim().to_owned())
}

/// An amount as tables write it (`~30s`, `<50ms`, `>= 10`), and whether more is better.
fn amount(cell: &str) -> Option<(Quantity, bool)> {
    let number = cell.trim_start_matches(['~', '<', '>', '=', '≤', '≥', '≈', ' ']);
    let more = cell.starts_with(['>', '≥']);
    Quantity::parse(&number.replace(' ', ""))
        .filter(|quantity| quantity.amount > Decimal::ZERO)
        .map(|found| (found, more))
}

/// How bad a word is: its place in the table's own words, else by what it means in English.
fn rank(word: &str, scale: &[(String, Option<f64>)]) -> Option<usize> {
    if !scale.is_empty() {
        return scale.iter().position(|(known, _)| known == word);
    }
    let word = word.to_lowercase();
    let spaced: String = word.chars().map(|char| if char.is_alphanumeric() { char } else { ' ' }).collect();
    let spaced = format!(" {spaced} ");
    // Whole words only, and nothing that a "not" turns round.
    if ["not", "no", "never"].iter().any(|not| spaced.contains(&format!(" {not} "))) {
        return None;
    }
    let is_said = |known: &&str| {
        let is_sign = !known.is_ascii();
        if is_sign { word.contains(*known) } else { spaced.contains(&format!(" {known} ")) }
    };
    let says = |words: &[&str]| words.iter().any(is_said);
    match (says(&GOOD), says(&BAD)) {
        (true, false) => Some(0),
        (false, true) => Some(1),
        _ => None,
    }
}

/// A row that is further from its target than another and has a better word.
fn contradicts(row: &Row, other: &Row, scale: &[(String, Option<f64>)]) -> Option<String> {
    let (own, others) = (rank(&row.word, scale)?, rank(&other.word, scale)?);
    (row.share > other.share && row.share > 1.0 && own < others).then(|| {
        format!(
            "({}) is {} of its target and \"{}\", but {} is {} and \"{}\": the words are no function of the numbers",
            row.name, row.sum, row.word, other.name, other.sum, other.word
        )
    })
}

/// A word of the table's own that its rule gives to other shares.
fn overrides(row: &Row, scale: &[(String, Option<f64>)]) -> Option<String> {
    let own = scale.iter().position(|(known, _)| *known == row.word)?;
    let ruled = scale.iter().position(|(_, share)| share.is_none_or(|share| row.share <= share))?;
    let (word, _) = scale.get(ruled).filter(|_| ruled != own)?;
    Some(format!(
        "({}) is {} of its target, for which statuses say \"{word}\", not \"{}\"",
        row.name, row.sum, row.word
    ))
}
