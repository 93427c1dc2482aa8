//! Putting back what was there before the first claim of a policy.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    Change, Purpose, Step, Write,
    config_map::{self, escape},
};
use crate::{
    api::names,
    core::{
        document,
        facts::{Kind, Object},
        ownership::{self, Claim},
        policy::File,
        record::Record,
    },
};

/// The write that puts back what the record of `policy` on `object` holds, as far as the live values are still those that
/// the policy wrote. `None` when nothing is to be put back; the object can then be released. `files`: those of the policy,
/// which say how documents are read.
#[must_use]
pub fn restore(object: &Object, policy: &str, uid: &str, files: &[File]) -> Option<Step> {
    let record = Record::of(&object.meta, policy).and_then(Result::ok).filter(|record| record.uid == uid)?;
    if object.key.kind == Kind::ConfigMap
        && !record.documents.is_empty()
        && let Some(step) = documents(object, policy, &record, files)
    {
        return Some(step);
    }
    fields(object, policy, &record)
}

fn fields(object: &Object, policy: &str, record: &Record) -> Option<Step> {
    // A field that we no longer own was changed by somebody since: it is theirs.
    let owned = ownership::owned(&object.meta, &names::manager(policy));
    let mut claim = Claim::default();
    let mut changes = Vec::new();
    let mut disruptive = false;
    for (field, was) in record.paths.iter().filter(|(field, _)| owned.contains(field)) {
        let live = field.lookup(&object.content);
        if let Some(was) = was {
            claim.insert(field.clone(), was.clone());
        }
        if live == was.as_ref() {
            continue;
        }
        disruptive |= super::is_disruptive(object.key.kind, field);
        changes.push(Change {
            object: object.key.clone(),
            path: field.to_string().into(),
            from: live.map(text),
            to: was.as_ref().map(text),
            because: "the policy is deleted and asks to restore".into(),
        });
    }
    if changes.is_empty() {
        return None;
    }
    // The annotation stays in the claim until the release removes it: a crash in between repeats this very step.
    let annotation = names::baseline(policy);
    let recorded = object.meta.annotations.get(&annotation).cloned().unwrap_or_default();
    let hash = claim.hash();
    Some(Step::Apply(Box::new(Write {
        object: object.key.clone(),
        body: claim.body(object, &BTreeMap::from([(annotation, recorded)])),
        force: true,
        disruptive,
        changes,
        claim,
        claim_hash: hash,
    })))
}

fn documents(object: &Object, policy: &str, record: &Record, files: &[File]) -> Option<Step> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (place, document) in &record.documents {
        let Some((key, at)) = config_map::read_place(place, files, &object.key.name) else { continue };
        let live = object.content.get("data").and_then(|data| data.get(key)).and_then(Json::as_str);
        let Some(current) = texts.get(key).cloned().or_else(|| live.map(str::to_owned)) else { continue };
        let ours = document::read(&current, &at).is_ok_and(|found| found.source == document.now);
        if !ours || document.was.as_ref() == Some(&document.now) {
            continue;
        }
        if let Ok(restored) = document::restore(&current, &at, document.was.as_deref()) {
            texts.insert(key.to_owned(), restored.text);
        }
    }
    if texts.is_empty() {
        return None;
    }
    let mut operations = vec![ownership::precondition(object)];
    operations.extend(
        texts
            .iter()
            .map(|(key, text)| json!({"op": "replace", "path": format!("/data/{}", escape(key)), "value": text})),
    );
    // The release comes next and has to know who held the keys. Their old texts it need not know, which makes room.
    let owners = ownership::owners_of(object, &names::manager(policy), &config_map::fields(texts.keys()));
    let recorded = Record { owners, documents: BTreeMap::new(), ..record.clone() };
    if let Ok(text) = recorded.encode() {
        let path = format!("/metadata/annotations/{}", escape(&names::baseline(policy)));
        operations.push(json!({"op": "replace", "path": path, "value": text}));
    }
    Some(Step::Json {
        object: object.key.clone(),
        subresource: None,
        patch: Json::Array(operations),
        purpose: Purpose::Edit,
        disruptive: false,
        changes: Vec::new(),
    })
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
