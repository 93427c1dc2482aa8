//! The files that are read, what is found in them, and where.

use std::{fs, io::Read as _, path::PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{
    super::files,
    places::{self, Node, Scope, Suppression},
};
use crate::core::lint::{self, Code, Finding};

/// Files with their documents.
pub struct Sources {
    files: Vec<File>,
    documents: Vec<Document>,
}

struct File {
    /// As it was named.
    name: String,
    lines: Vec<String>,
    places: Vec<Node>,
    suppressions: Vec<Suppression>,
}

struct Document {
    file: usize,
    /// Which of the file's documents, and the way to it inside of a list.
    number: usize,
    inside: String,
    value: Value,
}

/// What was found.
pub struct Report {
    /// Policies that were read.
    pub policies: usize,
    /// Findings, in the order of files and lines.
    pub findings: Vec<Placed>,
}

/// A finding and where it is.
pub struct Placed {
    pub finding: Finding,
    pub file: String,
    pub line: usize,
    /// The text of the line.
    pub text: String,
    /// Kind, namespace and name of the object; nothing for what is about the file.
    pub object: Option<(String, String, String)>,
    /// Why it is allowed, if it is.
    pub allowed: Option<String>,
}

impl Report {
    /// Findings that nothing allows.
    pub fn open(&self) -> impl Iterator<Item = &Placed> {
        self.findings.iter().filter(|placed| placed.allowed.is_none())
    }
}

impl Sources {
    /// Reads files, directories (their `*.yaml`, `*.yml` and `*.json`) and `-` for standard input.
    ///
    /// # Errors
    /// What cannot be read, and files with nothing to look at.
    pub fn read(paths: &[PathBuf], namespace: &str) -> anyhow::Result<Self> {
        let mut sources = Self { files: Vec::new(), documents: Vec::new() };
        for path in paths {
            if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
                sources.add("standard input".to_owned(), &text, namespace)?;
                continue;
            }
            for file in files::files(path)? {
                let text = fs::read_to_string(&file).with_context(|| format!("reading \"{}\"", file.display()))?;
                sources.add(file.display().to_string(), &text, namespace)?;
            }
        }
        if !sources.documents.iter().any(|document| lint::is_ours(&document.value)) {
            let named: Vec<_> = paths.iter().map(|path| format!("\"{}\"", path.display())).collect();
            bail!("no PerformancePolicy in {}", named.join(", "));
        }
        Ok(sources)
    }

    fn add(&mut self, name: String, text: &str, namespace: &str) -> anyhow::Result<()> {
        let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
            let error = error.to_string();
            anyhow::anyhow!("reading {name}: {}", error.strip_prefix("error: ").unwrap_or(&error).trim_end())
        })?;
        let places = places::documents(text);
        // The reader of values leaves empty documents out, the one of places does not.
        let mut numbers = places.iter().enumerate().filter(|(_, place)| !place.is_nothing()).map(|(number, _)| number);
        for value in values.into_iter().filter(|value| !value.is_null()) {
            let number = numbers.next().unwrap_or(usize::MAX);
            self.unfold(value, (number, String::new()), namespace);
        }
        let suppressions = places::suppressions(text, &places);
        self.files.push(File { name, lines: text.lines().map(ToOwned::to_owned).collect(), places, suppressions });
        Ok(())
    }

    /// Takes lists apart, as kubectl does.
    fn unfold(&mut self, mut value: Value, (number, inside): (usize, String), namespace: &str) {
        let list = value["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).map(ToOwned::to_owned);
        if let (Some(kind), Some(items)) = (list, value.get_mut("items").and_then(Value::as_array_mut)) {
            for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
                if let (false, Some(fields)) = (kind.is_empty(), item.as_object_mut()) {
                    fields.entry("kind").or_insert_with(|| json!(kind));
                    fields.entry("apiVersion").or_insert_with(|| value["apiVersion"].clone());
                }
                self.unfold(item, (number, format!("{inside}items[{index}].")), namespace);
            }
            return;
        }
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.entry("namespace").or_insert_with(|| namespace.into());
        }
        self.documents.push(Document { file: self.files.len(), number, inside, value });
    }

    /// Finds what is wrong, places it, and holds it against the suppressions.
    pub fn lint(self) -> Report {
        let values: Vec<&Value> = self.documents.iter().map(|document| &document.value).collect();
        let policies = values.iter().filter(|value| lint::is_policy(value)).count();
        let mut used: Vec<Vec<bool>> = self.files.iter().map(|file| vec![false; file.suppressions.len()]).collect();
        let mut findings = Vec::new();
        for finding in lint::check(&values) {
            let Some(document) = self.documents.get(finding.document) else { continue };
            let Some(file) = self.files.get(document.file) else { continue };
            let way = document.way(file, &finding);
            let allowed = file.suppressions.iter().enumerate().find_map(|(index, suppression)| {
                let (codes, reason) = suppression.allows.as_ref().ok()?;
                let covers = match suppression.scope {
                    Scope::File => true,
                    Scope::Line(line) => way.contains(&line),
                };
                (covers && codes.contains(&finding.code)).then(|| (index, reason.clone()))
            });
            if let Some((index, _)) = allowed
                && let Some(used) = used.get_mut(document.file).and_then(|used| used.get_mut(index))
            {
                *used = true;
            }
            let text = |member: &str| document.value["metadata"][member].as_str().unwrap_or_default().to_owned();
            let kind = document.value["kind"].as_str().unwrap_or_default().to_owned();
            let line = way.last().copied().unwrap_or(1);
            findings.push((
                document.file,
                Placed {
                    file: file.name.clone(),
                    text: file.line(line),
                    line,
                    object: Some((kind, text("namespace"), text("name"))),
                    allowed: allowed.map(|(_, reason)| reason),
                    finding,
                },
            ));
        }
        for (index, (file, used)) in self.files.iter().zip(used).enumerate() {
            for (suppression, used) in file.suppressions.iter().zip(used) {
                findings.extend(file.about(suppression, used).map(|placed| (index, placed)));
            }
        }
        findings.sort_by(|(a_file, a), (b_file, b)| {
            (a_file, a.line, a.finding.code, &a.finding.path).cmp(&(b_file, b.line, b.finding.code, &b.finding.path))
        });
        Report { policies, findings: findings.into_iter().map(|(_, placed)| placed).collect() }
    }
}

impl Document {
    /// The lines on the way to a finding, outermost first; at least the first of the object.
    fn way(&self, file: &File, finding: &Finding) -> Vec<usize> {
        let Some(root) = file.places.get(self.number) else { return Vec::new() };
        let from = |start: &str| root.way(&format!("{}{start}{}", self.inside, finding.path));
        let plain = from("");
        let ours = if lint::is_ours(&self.value) { from("spec.") } else { Vec::new() };
        let way = if ours.len() > plain.len() + 1 || plain.is_empty() { ours } else { plain };
        if !way.is_empty() {
            return way;
        }
        let object = root.way(&format!("{}metadata", self.inside));
        if object.is_empty() { vec![root.line] } else { object }
    }
}

impl File {
    fn line(&self, number: usize) -> String {
        number.checked_sub(1).and_then(|index| self.lines.get(index)).cloned().unwrap_or_default()
    }

    /// What is wrong with a suppression itself.
    fn about(&self, suppression: &Suppression, used: bool) -> Option<Placed> {
        let (code, message) = match &suppression.allows {
            Err(message) => (Code::SuppressionUnreadable, message.clone()),
            Ok(_) if used => return None,
            Ok((codes, _)) => {
                let codes: Vec<_> = codes.iter().map(|code| code.number()).collect();
                (Code::SuppressionUnused, format!("allows {}, which is not found here", codes.join(",")))
            }
        };
        Some(Placed {
            file: self.name.clone(),
            line: suppression.line,
            text: self.line(suppression.line),
            object: None,
            allowed: None,
            finding: Finding { code, document: usize::MAX, path: "the comment".to_owned(), message },
        })
    }
}
