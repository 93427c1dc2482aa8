//! Findings for people, for programs, for code scanners and for GitHub's workflows.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    super::render::Paint,
    source::{Placed, Report},
};
use crate::core::lint::{Code, Severity, code};

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code scanners
    Sarif,
    /// Workflow commands of GitHub, which annotate a change
    Github,
}

/// Where the codes are described.
const DOCUMENTATION: &str = "docs/lint.md";

/// The report in that format.
pub fn text(format: Format, report: &Report) -> anyhow::Result<String> {
    match format {
        Format::Text => Ok(people(report, Paint::detect())),
        Format::Json => pretty(&json(report)),
        Format::Sarif => pretty(&sarif(report)),
        Format::Github => Ok(report.open().map(github).collect()),
    }
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value).context("writing JSON")?))
}

/// Path and message; what is about the object itself begins with it.
fn said(placed: &Placed) -> String {
    let subject = match (&*placed.finding.path, &placed.object) {
        ("", Some((kind, _, name))) => format!("{kind} {name}"),
        (path, _) => path.to_owned(),
    };
    format!("{subject} {}", placed.finding.message)
}

fn people(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    for placed in report.open() {
        let code = placed.finding.code;
        let severity = match code.severity() {
            Severity::Error => paint.bad("error"),
            Severity::Warning => paint.warn("warning"),
            Severity::Info => paint.dim("info"),
        };
        out.push_str(&format!(
            "{}: {severity} {code} {}\n",
            paint.bold(&format!("{}:{}", placed.file, placed.line)),
            code.name()
        ));
        out.push_str(&paint.dim(&format!("  | {}", placed.text.trim())));
        out.push('\n');
        out.push_str(&indented(&wrapped(&said(placed), 110), "  "));
        out.push_str(&indented(&format!("→ {}", wrapped(code.cure(), 108).replace('\n', "\n  ")), "  "));
        out.push('\n');
    }
    let count = |severity| report.open().filter(|placed| placed.finding.code.severity() == severity).count();
    let many = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    let policies = if report.policies == 1 { "1 policy".to_owned() } else { format!("{} policies", report.policies) };
    let allowed = report.findings.len() - report.open().count();
    let allowed = if allowed == 0 { String::new() } else { format!(", {allowed} allowed") };
    let (errors, warnings, infos) = (count(Severity::Error), count(Severity::Warning), count(Severity::Info));
    if errors + warnings + infos == 0 {
        out.push_str(&format!("{} {policies}: nothing found{allowed}\n", paint.good("✓")));
    } else {
        out.push_str(&format!(
            "{policies}: {}, {}, {infos} info{allowed}\n",
            many(errors, "error"),
            many(warnings, "warning")
        ));
    }
    out
}

/// Text in lines of at most `width` characters, as far as words allow.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

fn indented(text: &str, by: &str) -> String {
    text.lines().flat_map(|line| [by, line, "\n"]).collect()
}

fn json(report: &Report) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|placed| {
            let code = placed.finding.code;
            let mut finding = json!({
                "code": code.number(), "name": code.name(), "severity": code.severity(),
                "file": placed.file, "line": placed.line,
                "path": placed.finding.path, "message": placed.finding.message, "cure": code.cure(),
            });
            if let Some((kind, namespace, name)) = &placed.object {
                finding["object"] = json!({"kind": kind, "namespace": namespace, "name": name});
            }
            if let Some(reason) = &placed.allowed {
                finding["allowed"] = json!(reason);
            }
            finding
        })
        .collect();
    json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "LintReport", "policies": report.policies, "findings": findings,
    })
}

fn sarif(report: &Report) -> Value {
    let level = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let rules: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            json!({
                "id": code.number(), "name": code.name(),
                "shortDescription": {"text": code.name().replace('-', " ")},
                "fullDescription": {"text": code.cause()},
                "help": {"text": format!("{} See {DOCUMENTATION}#{}", code.cure(), code::anchor(*code))},
                "defaultConfiguration": {"level": level(code.severity())},
            })
        })
        .collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|placed| {
            let code = placed.finding.code;
            let mut result = json!({
                "ruleId": code.number(), "ruleIndex": Code::ALL.iter().position(|known| *known == code),
                "level": level(code.severity()),
                "message": {"text": said(placed)},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": uri(&placed.file)}, "region": {"startLine": placed.line},
                }}],
            });
            if let Some(reason) = &placed.allowed {
                result["suppressions"] = json!([{"kind": "inSource", "justification": reason}]);
            }
            result
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "trimtab", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results,
        }],
    })
}

/// A file name as a relative reference.
fn uri(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn github(placed: &Placed) -> String {
    let code = placed.finding.code;
    let command = match code.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let message = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| message(text).replace(':', "%3A").replace(',', "%2C");
    format!(
        "::{command} file={},line={},title={}::{}\n",
        property(&placed.file),
        placed.line,
        property(&format!("{code} {}", code.name())),
        message(&format!("{}. {}", said(placed), code.cure()))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_words() {
        assert_eq!(wrapped("a bb  ccc dddd", 6), "a bb\nccc\ndddd");
        assert_eq!(wrapped("", 6), "");
    }

    #[test]
    fn file_names_are_references() {
        assert_eq!(uri("a b/ü.yaml"), "a%20b/%C3%BC.yaml");
    }
}
