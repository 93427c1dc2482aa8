//! Checklists, tables and load tests, parsed.

use std::collections::BTreeSet;

use super::{
    Invalid,
    probe::{Asker, Probe, Vision},
};
use crate::{
    api::{
        Literal,
        conditions::Reason,
        policy::{self as wire, Attestation, HttpMethod, LoadTool, SecretKey},
    },
    core::{
        formula::{Formula, Type},
        units::{Decimal, Dimension, Quantity, Value, ValueType},
    },
};

/// A line of a checklist.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name.
    pub id: Box<str>,
    /// What shall be the case.
    pub text: Box<str>,
    /// Who tells.
    pub means: Means,
}

/// Who tells whether a line of a checklist is the case.
#[derive(Clone, Debug, PartialEq)]
pub enum Means {
    /// A formula.
    Check(Box<Probe>),
    /// A person.
    Attested(Attestation),
    /// Nobody so far.
    Open,
}

/// A table of a policy's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// Its name.
    pub name: Box<str>,
    /// Headings.
    pub columns: Vec<Box<str>>,
    /// Rows, each with one cell per column.
    pub rows: Vec<Vec<Cell>>,
    /// Words for shares of the target, in rising order; the last may be for all the rest.
    pub statuses: Vec<(Option<Decimal>, Box<str>)>,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// As written.
    Text(Box<str>),
    /// What a formula gives.
    Formula(Box<Probe>),
    /// The word for the row.
    Status,
    /// How many times better the row's second amount is.
    Improvement,
}

/// A load test, defaults applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadTest {
    /// Its name.
    pub name: Box<str>,
    /// What makes the load.
    pub tool: LoadTool,
    /// The Service that is called.
    pub service: Box<str>,
    /// Its port.
    pub port: u32,
    /// The method.
    pub method: HttpMethod,
    /// The path.
    pub path: Box<str>,
    /// What is sent.
    pub body: Option<Box<str>>,
    /// Users or connections at a time.
    pub users: u32,
    /// Requests in all.
    pub requests: u32,
    /// Threads.
    pub threads: u32,
    /// Whole seconds.
    pub seconds: i64,
    /// Where the bearer token is.
    pub token_from: Option<SecretKey>,
}

/// Names of tables that every report has: a policy's own must be others.
pub const RESERVED: [&str; 7] =
    ["CHECKLIST", "THRESHOLDS", "VALUES", "NOT_ENFORCEABLE", "ADVICE", "OPERATIONS", "COMPARISON"];

const MAX_LINES: usize = 64;
const MAX_SHEETS: usize = 8;
const MAX_ROWS: usize = 32;
const MAX_COLUMNS: usize = 8;
/// A Job's name is a label's value.
const MAX_TEST_NAME: usize = 50;

/// Reads them and collects what is wrong.
pub(super) struct Reader<'a> {
    pub vision: Vision<'a>,
    pub wrong: &'a mut Vec<Invalid>,
}

impl Reader<'_> {
    fn refuse(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.wrong.push(Invalid { reason: Reason::InvalidSpec, path: path.into(), message: message.into() });
    }

    fn at_most(&mut self, path: &str, most: usize, have: usize) {
        if have > most {
            self.refuse(path, format!("must have at most {most} entries, not {have}"));
        }
    }

    pub fn lines(&mut self) -> Vec<Line> {
        let items = &self.vision.spec.checklist;
        self.at_most("checklist", MAX_LINES, items.len());
        items.iter().filter_map(|item| self.line(item)).collect()
    }

    fn line(&mut self, item: &wire::ChecklistItem) -> Option<Line> {
        let path = |member: &str| format!("checklist.{}{member}", item.id);
        let means = match (&item.check, &item.attested) {
            (Some(_), Some(_)) => {
                self.refuse(path(""), "must set at most one of check and attested");
                return None;
            }
            (None, None) => Means::Open,
            (Some(text), None) => {
                let formula = Formula::parse(text).map_err(|error| error.to_string());
                let probe = formula.and_then(|f| self.vision.check(f, Some(&Type::Boolean), Asker::Checklist));
                Means::Check(Box::new(probe.map_err(|message| self.refuse(path(".check"), message)).ok()?))
            }
            (None, Some(attested)) => {
                // The schema knows the digits; that there is such a day, only the calendar.
                let is_day = attested.date.len() == 10 && attested.date.parse::<jiff::civil::Date>().is_ok();
                if !is_day {
                    let message =
                        format!("must be a day such as \"2026-11-01\", not \"{}\"", attested.date.escape_debug());
                    self.refuse(path(".attested.date"), message);
                }
                if attested.by.trim().is_empty() {
                    self.refuse(path(".attested.by"), "must name a person or a team");
                }
                Means::Attested(attested.clone())
            }
        };
        Some(Line { id: item.id.as_str().into(), text: item.text.as_str().into(), means })
    }

    pub fn sheets(&mut self) -> Vec<Sheet> {
        let reports = &self.vision.spec.reports;
        self.at_most("reports", MAX_SHEETS, reports.len());
        let mut seen = BTreeSet::new();
        let mut sheets = Vec::new();
        for report in reports {
            let path = format!("reports.{}", report.name.escape_debug());
            if !is_table_name(&report.name) {
                self.refuse(&path, "must be named in capitals, digits and _, such as SYSTEM_METRICS");
            } else if RESERVED.contains(&report.name.as_str()) {
                self.refuse(&path, "must have another name: every report has a table of this one");
            } else if !seen.insert(&report.name) {
                self.refuse(&path, "is listed twice");
            }
            sheets.extend(self.sheet(&path, report));
        }
        sheets
    }

    fn sheet(&mut self, path: &str, report: &wire::Report) -> Option<Sheet> {
        self.at_most(&format!("{path}.columns"), MAX_COLUMNS, report.columns.len());
        self.at_most(&format!("{path}.rows"), MAX_ROWS, report.rows.len());
        if report.columns.is_empty() {
            self.refuse(format!("{path}.columns"), "must not be empty");
        }
        let before = self.wrong.len();
        let statuses = self.statuses(path, &report.statuses);
        let mut rows = Vec::new();
        for (index, row) in report.rows.iter().enumerate() {
            let at = format!("{path}.rows[{index}]");
            if row.len() != report.columns.len() {
                self.refuse(
                    &at,
                    format!("must have one cell for each of {} columns, not {}", report.columns.len(), row.len()),
                );
                continue;
            }
            let cells: Vec<Cell> =
                (0..).zip(row).filter_map(|(n, cell)| self.cell(&format!("{at}[{n}]"), cell)).collect();
            if cells.contains(&Cell::Status) && statuses.is_empty() {
                self.refuse(&at, "has = status, and there is no word for it: set statuses");
            }
            rows.push(cells);
        }
        let columns = report.columns.iter().map(|column| column.as_str().into()).collect();
        (self.wrong.len() == before).then(|| Sheet { name: report.name.as_str().into(), columns, rows, statuses })
    }

    fn cell(&mut self, path: &str, literal: &Literal) -> Option<Cell> {
        let Literal::Text(text) = literal else { return Some(Cell::Text(literal.to_string().into())) };
        match Formula::of_value(text) {
            None => Some(Cell::Text(text.as_str().into())),
            Some(Err(error)) => {
                self.refuse(path, error.to_string());
                None
            }
            Some(Ok(formula)) => match formula.to_string().as_str() {
                "status" => Some(Cell::Status),
                "improvement" => Some(Cell::Improvement),
                _ => {
                    let probe = self.vision.check(formula, None, Asker::Report);
                    probe.map(|probe| Cell::Formula(Box::new(probe))).map_err(|message| self.refuse(path, message)).ok()
                }
            },
        }
    }

    fn statuses(&mut self, path: &str, words: &[wire::StatusWord]) -> Vec<(Option<Decimal>, Box<str>)> {
        let mut read: Vec<(Option<Decimal>, Box<str>)> = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let at = format!("{path}.statuses[{index}]");
            let share = word.up_to.as_deref().map(Quantity::parse);
            let share = match share {
                None => None,
                Some(Some(share)) if share.dimension == Dimension::Ratio && share.amount > Decimal::ZERO => {
                    Some(share.amount)
                }
                Some(_) => {
                    self.refuse(format!("{at}.upTo"), "must be a percentage such as 125%");
                    continue;
                }
            };
            if read.iter().any(|(_, text)| **text == *word.text) {
                self.refuse(format!("{at}.text"), "is there twice");
            }
            match (share, read.last()) {
                (None, _) if index + 1 < words.len() => {
                    self.refuse(format!("{at}.upTo"), "must be set, except for the last word");
                }
                (Some(share), Some((Some(before), _))) if share <= *before => {
                    self.refuse(format!("{at}.upTo"), "must be above that of the word before");
                }
                _ => read.push((share, word.text.as_str().into())),
            }
        }
        read
    }

    pub fn load_tests(&mut self) -> Vec<LoadTest> {
        let tests = &self.vision.spec.load_tests;
        self.at_most("loadTests", MAX_SHEETS, tests.len());
        tests.iter().filter_map(|test| self.load_test(test)).collect()
    }

    fn load_test(&mut self, test: &wire::LoadTest) -> Option<LoadTest> {
        let before = self.wrong.len();
        let path = |member: &str| format!("loadTests.{}{member}", test.name);
        let is = |tool: LoadTool| test.tool == tool;
        let rules = [
            (is(LoadTool::Ab) || test.requests.is_none(), ".requests", "is for Ab: set duration"),
            (is(LoadTool::Wrk) || test.threads.is_none(), ".threads", "is for Wrk"),
            (!is(LoadTool::Ab) || test.duration.is_none(), ".duration", "must be left out: Ab counts requests"),
            (!is(LoadTool::Wscat) || test.method.is_none(), ".method", "must be left out: Wscat opens a WebSocket"),
            (!is(LoadTool::Wscat) || test.users.is_none(), ".users", "must be left out: Wscat opens one WebSocket"),
            (
                test.body.is_none() || is(LoadTool::Wscat) || test.method == Some(HttpMethod::Post),
                ".body",
                "needs method: POST",
            ),
            (
                test.name.len() <= MAX_TEST_NAME,
                "",
                "must have a name of at most 50 characters: its Job is load-test-NAME",
            ),
            (is_url_path(&test.path), ".path", "must be the path of a URL, beginning with /"),
            (
                test.body.as_deref().is_none_or(|body| serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok()),
                ".body",
                "must be JSON",
            ),
            (test.port.is_none_or(|port| (1..=65_535).contains(&port)), ".port", "must be from 1 to 65535"),
            (test.users != Some(0) && test.requests != Some(0) && test.threads != Some(0), "", "must not count to 0"),
        ];
        for (holds, member, message) in rules {
            if !holds {
                self.refuse(path(member), message);
            }
        }
        let named = self.vision.spec.target.as_ref().and_then(|target| target.name.as_deref());
        let service = test.service.as_deref().or(named);
        // A workload's name may have dots, a Service's may not.
        if service.is_none_or(|service| service.contains('.')) {
            self.refuse(path(".service"), "must be set: the target has no name that a Service could have");
        }
        let duration = test.duration.as_deref().unwrap_or("30s");
        let seconds = Value::parse(ValueType::Duration, duration).ok().and_then(|value| value.amount()?.to_i64());
        let seconds = seconds.filter(|seconds| (1..=2_592_000).contains(seconds));
        if seconds.is_none() {
            self.refuse(
                path(".duration"),
                format!("must be whole seconds from 1s to 30d, not \"{}\"", duration.escape_debug()),
            );
        }
        if self.wrong.len() > before {
            return None;
        }
        Some(LoadTest {
            name: test.name.as_str().into(),
            tool: test.tool,
            service: service?.into(),
            port: test.port.unwrap_or(80),
            method: test.method.unwrap_or_default(),
            path: test.path.as_str().into(),
            body: test.body.as_deref().map(Into::into),
            users: test.users.unwrap_or(10),
            requests: test.requests.unwrap_or(1000),
            threads: test.threads.unwrap_or(2),
            seconds: seconds?,
            token_from: test.token_from.clone(),
        })
    }
}

fn is_table_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_uppercase())
        && name.len() <= 63
        && chars.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_url_path(path: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~/%:@!$&()*+,;=?".contains(c);
    path.starts_with('/') && path.len() <= 256 && path.chars().all(allowed)
}

#[cfg(test)]
mod tests;
