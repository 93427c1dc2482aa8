//! What every format is parsed into: a tree whose nodes know their bytes.

use std::{collections::BTreeSet, ops::Range};

use serde_json::Value;

use super::{
    Address, DocumentError, Kind, Mismatch,
    error::{Ancestor, AncestorContent, KeysExcerpt},
};
use crate::core::units::Excerpt;

/// A part of a document.
#[derive(Debug)]
pub(super) struct Node {
    /// Its bytes; of a map or list at least where it begins.
    pub span: Range<usize>,
    pub content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// In the order of the document, every key once.
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
    Leaf(Leaf),
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub kind: Kind,
    pub style: Style,
    /// Whether readers of YAML 1.1 and 1.2 disagree about its type or its value (`010`, `1_000`, `yes`).
    pub ambiguous: bool,
    /// Whether the value has a type; in formats of lines it has none, and numbers are text.
    pub typed: bool,
    /// Whether `,` and brackets around it end it (`{a: 1}`).
    pub flow: bool,
    /// What it says: without quotes, escapes resolved.
    pub text: String,
}

/// How a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// YAML's `|` and `>`.
    Block,
}

impl Node {
    /// The exact bytes.
    pub fn source<'a>(&self, text: &'a str) -> Result<&'a str, DocumentError> {
        text.get(self.span.clone())
            .ok_or_else(|| DocumentError::surprise(text, self, "the place of the value cannot be told"))
    }

    /// What the node is.
    pub const fn kind(&self) -> Kind {
        match &self.content {
            Content::Map(_) => Kind::Map,
            Content::List(_) => Kind::List,
            Content::Leaf(leaf) => leaf.kind,
        }
    }

    fn child(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            Content::List(items) => items.get(index(key)?),
            Content::Leaf(_) => None,
        }
    }

    /// Whether `other` has the same shape and says the same everywhere but at the value that `keys` lead to.
    pub fn equals_except(&self, other: &Self, keys: &[String]) -> bool {
        self.equals(other, Some(keys))
    }

    /// Whether `other` says the same but for the key that `keys` lead to, which may be in both, in one or in none.
    pub fn equals_without(&self, other: &Self, keys: &[String]) -> bool {
        let (Content::Map(a), Content::Map(b), [key, below @ ..]) = (&self.content, &other.content, keys) else {
            return false;
        };
        let is_kept = |(name, _): &&(String, Self)| !below.is_empty() || name != key;
        let (mut a, mut b) = (a.iter().filter(is_kept), b.iter().filter(is_kept));
        let is_same = |(name, a): &(String, Self), (other, b): &(String, Self)| {
            name == other && if name == key { a.equals_without(b, below) } else { a.equals(b, None) }
        };
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if is_same(a, b) => {}
                _ => return false,
            }
        }
    }

    /// `except`: the way to the value that may differ, if it is in here.
    fn equals(&self, other: &Self, except: Option<&[String]>) -> bool {
        let below = |name: &str| match except {
            Some([key, rest @ ..]) if key == name => Some(rest),
            _ => None,
        };
        match (&self.content, &other.content) {
            (Content::Leaf(_), Content::Leaf(_)) if except.is_some_and(<[String]>::is_empty) => true,
            (Content::Leaf(a), Content::Leaf(b)) => a == b,
            (Content::Map(a), Content::Map(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|((key, a), (other, b))| key == other && a.equals(b, below(key)))
            }
            (Content::List(a), Content::List(b)) => {
                let item = except.and_then(|keys| keys.first()).and_then(|key| index(key));
                let rest = except.and_then(|keys| keys.get(1..));
                a.len() == b.len()
                    && a.iter().zip(b).enumerate().all(|(i, (a, b))| a.equals(b, rest.filter(|_| item == Some(i))))
            }
            (Content::Map(_) | Content::List(_) | Content::Leaf(_), _) => false,
        }
    }
}

/// The same comparison for what the second reader saw.
pub(super) fn values_equal_except(a: &Value, b: &Value, keys: &[String]) -> bool {
    match (a, b) {
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) if keys.is_empty() => false,
        _ if keys.is_empty() => true,
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((key, a), (other, b))| {
                    key == other && if *key == keys[0] { values_equal_except(a, b, &keys[1..]) } else { a == b }
                })
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).enumerate().all(|(i, (a, b))| {
                    if index(&keys[0]) == Some(i) { values_equal_except(a, b, &keys[1..]) } else { a == b }
                })
        }
        _ => false,
    }
}

/// The value at `address`.
pub(super) fn find<'a>(root: &'a Node, address: &Address) -> Result<(&'a Node, &'a Leaf), DocumentError> {
    let mut node = root;
    for (depth, key) in address.keys().iter().enumerate() {
        node = node.child(key).ok_or_else(|| DocumentError::KeyPathNotFound {
            at: address.clone(),
            ancestor: Ancestor { at: address.ancestor(depth), content: node.describe() },
        })?;
    }
    match &node.content {
        Content::Leaf(leaf) if leaf.kind.is_value() => Ok((node, leaf)),
        Content::Leaf(_) | Content::Map(_) | Content::List(_) => Err(DocumentError::KeyTypeMismatch {
            at: address.clone(),
            mismatch: Mismatch::NotAValue { found: node.kind() },
        }),
    }
}

impl Node {
    fn describe(&self) -> AncestorContent {
        match &self.content {
            Content::Map(entries) => {
                AncestorContent::Map(KeysExcerpt::new(entries.iter().map(|(key, _)| key.as_str())))
            }
            Content::List(items) => AncestorContent::List(items.len()),
            Content::Leaf(leaf) => AncestorContent::Scalar(leaf.kind),
        }
    }
}

/// An index as RFC 6901 has it: no sign, no leading zero.
fn index(key: &str) -> Option<usize> {
    let canonical = key == "0" || !key.starts_with('0');
    (canonical && key.bytes().all(|byte| byte.is_ascii_digit())).then(|| key.parse().ok()).flatten()
}

/// Refuses a map in which a key comes twice: readers disagree which one counts.
pub(super) fn refuse_duplicates(text: &str, entries: &[(String, Node)]) -> Result<(), DocumentError> {
    let mut seen = BTreeSet::new();
    match entries.iter().find(|(key, _)| !seen.insert(key.as_str())) {
        None => Ok(()),
        Some((key, node)) => {
            let why = format!("the key {} comes twice in one map", Excerpt::new(key));
            Err(DocumentError::unparseable(text, node.span.start, why))
        }
    }
}
