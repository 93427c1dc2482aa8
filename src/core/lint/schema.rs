//! The definitions of our kinds, as far as the shape of a document goes: fields that exist, with values of their types.

use std::sync::OnceLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value as Json;

use super::{Code, Finding};
use crate::api::crds;

/// Definitions by kind.
pub(super) struct Schemas(Vec<(String, Json)>);

impl Schemas {
    /// Those of this program, which are always the same.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Schemas> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    fn new() -> Self {
        let of = |definition: CustomResourceDefinition| {
            let version = definition.spec.versions.into_iter().next()?;
            let schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
            Some((definition.spec.names.kind, schema))
        };
        Self(crds::all().into_iter().filter_map(of).collect())
    }

    /// Adds what does not fit to `findings`; says whether everything does.
    pub fn check(&self, document: usize, value: &Json, findings: &mut Vec<Finding>) -> bool {
        let kind = value["kind"].as_str().unwrap_or_default();
        let before = findings.len();
        let Some((_, schema)) = self.0.iter().find(|(known, _)| known == kind) else {
            let known: Vec<&str> = self.0.iter().map(|(known, _)| known.as_str()).collect();
            findings.push(Finding {
                code: Code::Unreadable,
                document,
                path: "kind".into(),
                message: format!("must be one of {}, not \"{}\"", known.join(", "), kind.escape_debug()),
            });
            return false;
        };
        let mut check = Check { document, findings };
        check.value(&value["spec"], &schema["properties"]["spec"], &mut String::new());
        findings.len() == before
    }
}

struct Check<'a> {
    document: usize,
    findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    fn find(&mut self, code: Code, path: &str, message: String) {
        self.findings.push(Finding { code, document: self.document, path: path.to_owned(), message });
    }

    fn value(&mut self, value: &Json, schema: &Json, path: &mut String) {
        if schema["x-kubernetes-int-or-string"] == true {
            match value {
                Json::Bool(_) => self.find(Code::UnquotedLiteral, path, format!("must stand in quotes: \"{value}\"")),
                Json::Number(number) if !number.is_i64() => {
                    self.find(Code::UnquotedLiteral, path, format!("must stand in quotes: \"{value}\""));
                }
                Json::Number(_) | Json::String(_) => {}
                _ => self.find(Code::Unreadable, path, "must be a whole number or text".into()),
            }
            return;
        }
        let fits = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            _ => true,
        };
        if !fits {
            let unquoted = schema["type"] == "string" && (value.is_number() || value.is_boolean());
            if unquoted {
                self.find(Code::UnquotedLiteral, path, format!("must stand in quotes: \"{value}\""));
            } else {
                let expected = schema["type"].as_str().unwrap_or_default();
                let found = if value.is_null() { "missing" } else { kind_of(value) };
                self.find(Code::Unreadable, path, format!("must be {}, not {found}", article(expected)));
            }
            return;
        }
        if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            self.find(Code::Unreadable, path, format!("must be one of {}, not {value}", words.join(", ")));
        }
        match value {
            Json::Object(fields) => self.fields(fields, schema, path),
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.below(path, &format!("[{index}]"), |check, path| check.value(item, &schema["items"], path));
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, fields: &serde_json::Map<String, Json>, schema: &Json, path: &mut String) {
        for (name, field) in fields.iter().filter(|(_, field)| !field.is_null()) {
            let known = schema["properties"].get(name);
            let any = &schema["additionalProperties"];
            self.below(path, &format!(".{name}"), |check, path| match (known, any) {
                (Some(known), _) => check.value(field, known, path),
                (None, Json::Object(_)) => check.value(field, any, path),
                (None, Json::Bool(true)) => {}
                (None, _) if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
                (None, _) => {
                    let near = schema["properties"].as_object().and_then(|known| nearest(name, known.keys()));
                    let near = near.map(|near| format!(": is \"{near}\" meant?")).unwrap_or_default();
                    check.find(Code::Unreadable, path, format!("is no field that exists{near}"));
                }
            });
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if fields.get(name).is_none_or(Json::is_null) {
                self.find(Code::Unreadable, path, format!("must have {name}"));
            }
        }
    }

    fn below(&mut self, path: &mut String, step: &str, then: impl FnOnce(&mut Self, &mut String)) {
        let length = path.len();
        path.push_str(if length == 0 { step.trim_start_matches('.') } else { step });
        then(self, path);
        path.truncate(length);
    }
}

const fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a map",
    }
}

fn article(expected: &str) -> &str {
    match expected {
        "object" => "a map",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    }
}

/// The known name that is at most two edits away.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let scored = known.map(|known| (distance(name, known), known.as_str())).filter(|(distance, _)| *distance <= 2);
    scored.min().map(|(_, known)| known)
}

/// Edits between two names; names of more than 64 characters are far from everything.
fn distance(a: &str, b: &str) -> usize {
    if a.len().max(b.len()) > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        let mut next = vec![previous];
        for (right, above) in b.iter().zip(row.iter().skip(1)) {
            previous = (diagonal + usize::from(left != *right)).min(above + 1).min(previous + 1);
            diagonal = *above;
            next.push(previous);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}
