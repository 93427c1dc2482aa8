//! The text of a record: JSON, compact where it repeats itself.
//!
//! Fields are a tree of paths in which a name that several paths share is written once:
//! `{"/spec/template/spec/containers:api":{"/env":{":A=":"1",":B=":["2","3"]},"/resources/limits/cpu":null}}`.
//!
//! - `/name` is a member (`~` and `/`, `:`, `=`, `[` in it are `~0` to `~4`), `=` is the member `value`;
//! - `:x` is the list item whose `name` is `x` (escaped alike), `[{…}]` one with other keys, `[=v]` and `[3]` items by value
//!   and by position;
//! - a leaf is the value before our first claim, `null` for none, `[v]` if it was also the value before our last change,
//!   `[v, w]` if that one was `w`, `[0, 0, w]` if only the latter is known. A value that is no scalar is `{"#": value}`.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Before, DecodeError, DocumentBaseline, KeyStamp, Record, Taking};
use crate::{
    api::policy::DeletionPolicy,
    core::{
        facts::{Instant, Operation},
        ownership::{FieldPath, FieldSet, FormerOwner, Segment, canonical},
    },
};

const VERSION: u64 = 1;

/// The annotation's JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    v: u64,
    uid: String,
    #[serde(rename = "gen")]
    generation: i64,
    deletion_policy: DeletionPolicy,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    paths: Map<String, Value>,
    /// Hash of the claim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    applied: String,
    /// Was (null for a line that we made), now, and what was there before a change that is not proven.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    documents: BTreeMap<String, Vec<Option<String>>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taken: Vec<(String, i64)>,
    /// Now, and before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    keys: BTreeMap<String, Vec<String>>,
    /// Manager, operation, `FieldsV1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    owners: Vec<(String, Operation, Value)>,
}

/// What is known of one field.
#[derive(Default)]
struct Leaf {
    /// Before our first claim.
    first: Known,
    /// Before our last change.
    last: Known,
}

#[derive(Clone, Default, PartialEq)]
enum Known {
    #[default]
    Nothing,
    Absent,
    Value(Value),
}

impl From<Option<Value>> for Known {
    fn from(value: Option<Value>) -> Self {
        value.map_or(Self::Absent, Self::Value)
    }
}

impl Known {
    /// Enters it into `map`, unless nothing is known.
    fn enter(self, path: FieldPath, map: &mut BTreeMap<FieldPath, Option<Value>>) {
        match self {
            Self::Nothing => {}
            Self::Absent => drop(map.insert(path, None)),
            Self::Value(value) => drop(map.insert(path, Some(value))),
        }
    }
}

pub(super) fn encode(record: &Record) -> String {
    let Record { uid, generation, deletion_policy, applied, paths, previous, documents, taken, keys, owners } = record;
    let mut leaves: BTreeMap<&FieldPath, Leaf> = BTreeMap::new();
    for (path, value) in paths {
        leaves.entry(path).or_default().first = value.clone().into();
    }
    for (path, value) in previous {
        leaves.entry(path).or_default().last = value.clone().into();
    }
    let leaves: Vec<_> = leaves.iter().map(|(path, leaf)| (path.segments(), leaf)).collect();
    let wire = Wire {
        v: VERSION,
        uid: uid.clone(),
        generation: *generation,
        deletion_policy: *deletion_policy,
        paths: tree(&leaves),
        applied: applied.clone(),
        documents: documents.iter().map(|(at, document)| (at.clone(), write_document(document))).collect(),
        taken: taken.iter().map(|t| (t.manager.clone(), t.at.millis())).collect(),
        keys: keys.iter().map(|(key, stamp)| (key.clone(), write_stamp(stamp))).collect(),
        owners: owners.iter().map(|o| (o.manager.clone(), o.operation, o.fields.write())).collect(),
    };
    json!(wire).to_string()
}

pub(super) fn decode(text: &str) -> Result<Record, DecodeError> {
    // The version comes first: whatever else a newer record holds is not ours to judge.
    let value: Value = serde_json::from_str(text).map_err(unreadable)?;
    match value.get("v").and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(newer) => return Err(DecodeError::Version(newer)),
        None => return Err(garbage("it has no version")),
    }
    let wire: Wire = serde_json::from_value(value).map_err(unreadable)?;
    let mut record = Record {
        uid: wire.uid,
        generation: wire.generation,
        deletion_policy: wire.deletion_policy,
        applied: wire.applied,
        documents: wire
            .documents
            .into_iter()
            .map(|(at, bytes)| Ok((at, read_document(bytes)?)))
            .collect::<Result<_, DecodeError>>()?,
        keys: wire
            .keys
            .into_iter()
            .map(|(key, stamps)| Ok((key, read_stamp(stamps)?)))
            .collect::<Result<_, DecodeError>>()?,
        taken: wire.taken.into_iter().map(|(manager, at)| Taking { manager, at: Instant::from_millis(at) }).collect(),
        owners: wire
            .owners
            .into_iter()
            .map(|(manager, operation, fields)| {
                let fields = FieldSet::from_value(&fields);
                FormerOwner { manager, operation, fields }
            })
            .collect(),
        ..Record::default()
    };
    untree(&wire.paths, &[], &mut record)?;
    Ok(record)
}

fn write_document(document: &DocumentBaseline) -> Vec<Option<String>> {
    let mut texts = vec![document.now.clone()];
    write_before(document.before.as_ref(), &mut texts);
    std::iter::once(document.was.clone()).chain(texts.into_iter().map(Some)).collect()
}

fn read_document(texts: Vec<Option<String>>) -> Result<DocumentBaseline, DecodeError> {
    let mut texts = texts.into_iter();
    let was = texts.next().flatten();
    let known =
        texts.collect::<Option<Vec<_>>>().ok_or_else(|| garbage("a document has a null that is not its first"))?;
    let mut known = known.into_iter();
    let now = known.next().ok_or_else(|| garbage("a document has less than two values"))?;
    Ok(DocumentBaseline { was, now, before: read_before(known)? })
}

fn write_stamp(stamp: &KeyStamp) -> Vec<String> {
    let mut texts = vec![stamp.now.clone()];
    write_before(stamp.before.as_ref(), &mut texts);
    texts
}

fn read_stamp(texts: Vec<String>) -> Result<KeyStamp, DecodeError> {
    let mut texts = texts.into_iter();
    let now = texts.next().ok_or_else(|| garbage("a key has no stamp"))?;
    Ok(KeyStamp { now, before: read_before(texts)? })
}

/// Generation, and what we had written before.
fn write_before(before: Option<&Before>, texts: &mut Vec<String>) {
    if let Some(before) = before {
        texts.push(before.generation.to_string());
        texts.extend(before.ours.clone());
    }
}

fn read_before(mut texts: std::vec::IntoIter<String>) -> Result<Option<Before>, DecodeError> {
    let Some(generation) = texts.next() else { return Ok(None) };
    let generation = generation.parse().map_err(|_| garbage(format!("{generation:?} is no generation")))?;
    match (texts.next(), texts.next()) {
        (ours, None) => Ok(Some(Before { generation, ours })),
        _ => Err(garbage("a place in a ConfigMap has too many values")),
    }
}

fn garbage(what: impl Into<String>) -> DecodeError {
    DecodeError::Garbage(what.into())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` calls")]
fn unreadable(error: serde_json::Error) -> DecodeError {
    garbage(error.to_string())
}

/// The tree of sorted leaves.
fn tree(leaves: &[(&[Segment], &Leaf)]) -> Map<String, Value> {
    let mut node = Map::new();
    for group in leaves.chunk_by(|a, b| a.0.first() == b.0.first()) {
        let Some((first, _)) = group.first() else { continue };
        let shared = group.iter().fold(first.len(), |shared, (path, _)| {
            first.iter().zip(*path).take(shared).take_while(|(a, b)| a == b).count()
        });
        let child = if let [(_, leaf)] = group {
            write_leaf(leaf)
        } else {
            let tails: Vec<_> = group.iter().map(|(path, leaf)| (&path[shared..], *leaf)).collect();
            Value::Object(tree(&tails))
        };
        node.insert(join(&first[..shared]), child);
    }
    node
}

fn untree(node: &Map<String, Value>, prefix: &[Segment], record: &mut Record) -> Result<(), DecodeError> {
    for (name, child) in node {
        let path = [prefix, &split(name)?].concat();
        match child {
            Value::Object(child) if !child.contains_key(COMPOSITE) => untree(child, &path, record)?,
            leaf => {
                let Leaf { first, last } = read_leaf(leaf)?;
                let path = FieldPath::new(path);
                first.enter(path.clone(), &mut record.paths);
                last.enter(path, &mut record.previous);
            }
        }
    }
    Ok(())
}

/// Marks a value that is no scalar. Steps of a path begin with other characters.
const COMPOSITE: &str = "#";

fn write_leaf(leaf: &Leaf) -> Value {
    match (&leaf.first, &leaf.last) {
        (first, Known::Nothing) => write_value(first),
        (first, last) if first == last => json!([write_value(first)]),
        (Known::Nothing, last) => json!([0, 0, write_value(last)]),
        (first, last) => json!([write_value(first), write_value(last)]),
    }
}

fn read_leaf(value: &Value) -> Result<Leaf, DecodeError> {
    let Some(items) = value.as_array() else { return Ok(Leaf { first: read_value(value)?, last: Known::Nothing }) };
    match items.as_slice() {
        [both] => {
            let both = read_value(both)?;
            Ok(Leaf { first: both.clone(), last: both })
        }
        [first, last] => Ok(Leaf { first: read_value(first)?, last: read_value(last)? }),
        [_, _, last] => Ok(Leaf { first: Known::Nothing, last: read_value(last)? }),
        _ => Err(garbage("a field has neither one nor two values")),
    }
}

fn write_value(known: &Known) -> Value {
    match known {
        Known::Nothing | Known::Absent => Value::Null,
        Known::Value(value @ (Value::Null | Value::Array(_) | Value::Object(_))) => json!({COMPOSITE: value}),
        Known::Value(scalar) => scalar.clone(),
    }
}

fn read_value(value: &Value) -> Result<Known, DecodeError> {
    match value {
        Value::Null => Ok(Known::Absent),
        Value::Object(map) => {
            map.get(COMPOSITE).cloned().map(Known::Value).ok_or_else(|| garbage("a value is not marked as such"))
        }
        Value::Array(_) => Err(garbage("a value is not marked as such")),
        scalar => Ok(Known::Value(scalar.clone())),
    }
}

/// The steps of a path as one text.
fn join(segments: &[Segment]) -> String {
    segments.iter().fold(String::new(), |out, segment| match segment {
        Segment::Field(name) if &**name == "value" => out + "=",
        Segment::Field(name) => out + "/" + &escape(name),
        Segment::Key(keys) => match keys.get("name") {
            Some(Value::String(name)) if keys.len() == 1 => out + ":" + &escape(name),
            _ => out + "[" + &canonical(&json!(**keys)) + "]",
        },
        Segment::Item(value) => out + "[=" + &canonical(value) + "]",
        Segment::Index(index) => out + "[" + &index.to_string() + "]",
    })
}

/// Characters that begin a step, and the one that escapes them: `~` and the position.
const SPECIAL: [char; 5] = ['~', '/', ':', '=', '['];

fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match SPECIAL.iter().zip('0'..).find(|(special, _)| **special == c) {
            Some((_, digit)) => out.extend(['~', digit]),
            None => out.push(c),
        }
    }
    out
}

/// The name at the beginning of `text`, and what follows it.
fn unescape(text: &str) -> Result<(String, &str), DecodeError> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '~' => {
                let digit = chars.next().and_then(|(_, c)| c.to_digit(10));
                let special = digit.and_then(|digit| SPECIAL.get(usize::try_from(digit).ok()?));
                name.push(*special.ok_or_else(|| garbage(format!("unknown escape in {text:?}")))?);
            }
            c if SPECIAL.contains(&c) => return Ok((name, &text[at..])),
            c => name.push(c),
        }
    }
    Ok((name, ""))
}

fn split(text: &str) -> Result<Vec<Segment>, DecodeError> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some(mark) = rest.chars().next() {
        let behind = &rest[mark.len_utf8()..];
        rest = match mark {
            '=' => {
                segments.push(Segment::Field("value".into()));
                behind
            }
            '/' => {
                let (name, rest) = unescape(behind)?;
                segments.push(Segment::Field(name.into()));
                rest
            }
            ':' => {
                let (name, rest) = unescape(behind)?;
                segments.push(Segment::Key(BTreeMap::from([("name".to_owned(), Value::String(name))]).into()));
                rest
            }
            '[' => {
                let (is_item, inner) = behind.strip_prefix('=').map_or((false, behind), |inner| (true, inner));
                let mut values = serde_json::Deserializer::from_str(inner).into_iter::<Value>();
                let value = values
                    .next()
                    .ok_or_else(|| garbage(format!("a bracket in {text:?} does not end")))?
                    .map_err(unreadable)?;
                let after = inner.get(values.byte_offset()..).unwrap_or_default();
                segments.push(match value {
                    value if is_item => Segment::Item(value),
                    Value::Object(keys) => Segment::Key(Arc::new(keys.into_iter().collect())),
                    Value::Number(n) => {
                        let index = n.as_u64().and_then(|n| usize::try_from(n).ok());
                        Segment::Index(
                            index.ok_or_else(|| garbage(format!("a position in {text:?} is no number of an item")))?,
                        )
                    }
                    _ => return Err(garbage(format!("unknown bracket in {text:?}"))),
                });
                after.strip_prefix(']').ok_or_else(|| garbage(format!("a bracket in {text:?} does not end")))?
            }
            _ => return Err(garbage(format!("a step in {text:?} has no mark"))),
        };
    }
    Ok(segments)
}
