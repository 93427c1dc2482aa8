//! What stands beside policies: objects by kind, namespace and name, and what their pod templates say.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::core::policy::{Choice, Policy};

/// Objects of other kinds, by kind and namespace.
pub(super) struct Manifests<'a>(BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Json>>>);

impl<'a> Manifests<'a> {
    pub fn new(documents: &[&'a Json]) -> Self {
        let mut found: BTreeMap<_, BTreeMap<_, Vec<&'a Json>>> = BTreeMap::new();
        for document in documents {
            if let (Some(kind), Some(_)) = (document["kind"].as_str(), document["metadata"]["name"].as_str()) {
                found.entry(kind).or_default().entry(namespace(document)).or_default().push(document);
            }
        }
        Self(found)
    }

    /// Objects of `kind` in `namespace`.
    pub fn of(&self, kind: &str, namespace: &str) -> &[&'a Json] {
        self.0.get(kind).and_then(|all| all.get(namespace)).map_or(&[], Vec::as_slice)
    }

    /// The object that a policy governs, if it was given; of several the first.
    pub fn target(&self, kind: &str, policy: &Policy, namespace: &str) -> Option<&'a Json> {
        let choice = &policy.target.as_ref()?.choice;
        self.of(kind, namespace).iter().copied().find(|object| match choice {
            Choice::Name(name) => object["metadata"]["name"] == **name,
            Choice::Labels(want) => want.iter().all(|(key, value)| object["metadata"]["labels"][key] == **value),
        })
    }
}

/// The namespace of an object; policies and manifests without one are in the same.
pub(super) fn namespace(object: &Json) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// A container of a pod template.
#[derive(Clone, Copy)]
pub(super) struct Container<'a>(pub &'a Json);

/// The containers of a workload's pod template.
pub(super) fn containers(workload: &Json) -> impl Iterator<Item = Container<'_>> {
    let spec = &workload["spec"]["template"]["spec"];
    spec["containers"].as_array().into_iter().flatten().map(Container)
}

impl<'a> Container<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// The value of a variable that is given as such.
    pub fn env(self, name: &str) -> Option<&'a str> {
        let variables = self.0["env"].as_array()?;
        variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
    }

    /// Command and arguments; those of a shell's one text are taken apart.
    pub fn words(self) -> impl Iterator<Item = &'a str> {
        let lists = ["command", "args"].into_iter().filter_map(move |list| self.0[list].as_array());
        lists.flatten().filter_map(Json::as_str).flat_map(str::split_ascii_whitespace)
    }

    /// The value of the first of these flags on the command line: `--workers 4`, `--workers=4`, `-w4`.
    pub fn flag(self, names: &[&str]) -> Option<(&'a str, String)> {
        let words: Vec<&str> = self.words().collect();
        for (index, word) in words.iter().enumerate() {
            for name in names {
                let Some(rest) = word.strip_prefix(name) else { continue };
                let is_short = !name.starts_with("--");
                let value = match (rest, words.get(index + 1)) {
                    ("", next) => next.copied().unwrap_or_default(),
                    (rest, _) if rest.starts_with('=') => rest.trim_start_matches('='),
                    (rest, _) if is_short => rest,
                    _ => continue,
                };
                return Some((word, value.to_owned()));
            }
        }
        None
    }
}
