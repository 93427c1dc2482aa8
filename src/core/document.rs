//! Documents in a `ConfigMap`: one scalar is read, replaced or put back, and every other byte stays.
//!
//! Owns the formats, the address of a value inside a document and the proof that an edit changed that value and nothing
//! else. It never writes a document anew: the format's own parser says which bytes the scalar occupies, and only those
//! are replaced. So comments, order, quoting, line ends and a missing last line end survive by construction. After the
//! replacement the new text is parsed again: by the parser that found the place and, for YAML and JSON, by a second
//! reader into a model of its own. If anything but the addressed value differs, the edit is refused.
//!
//! What cannot be edited safely is refused as well, with its line: aliases and everything else by which one byte has
//! an effect in two places, duplicate keys, several documents in one text, a byte order mark. Nothing in here panics or
//! takes more than about linear time on any text.
//!
//! | function | does |
//! |---|---|
//! | [`read`] | finds the value at an [`Address`] |
//! | [`edit`] | lands a [`Scalar`] there; a value that is already equal keeps its bytes |
//! | [`create`] | the same, and gives a key that is absent a line of its own, in formats of lines |
//! | [`restore`] | puts back the exact bytes that an edit replaced, or takes away the line that it made |

mod address;
mod error;
mod json;
mod lines;
mod scalar;
mod toml;
mod tree;
mod yaml;

#[cfg(test)]
mod tests;

use std::{fmt, ops::Range};

use serde_json::Value;

pub use self::{
    address::{Address, AddressError},
    error::{Ancestor, AncestorContent, DocumentError, Excess, KeysExcerpt, Mismatch},
    scalar::{Kind, Scalar},
};
use self::{
    scalar::Landing,
    tree::{Leaf, Node},
};

/// Longest document, in bytes: what a whole `ConfigMap` may hold.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of a document, and most keys in an [`Address`].
pub const MAX_DEPTH: usize = 32;

/// Most values, maps and lists in a document: it bounds what an edit costs, far above what people write by hand.
pub const MAX_VALUES: usize = 1 << 16;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentFormat {
    /// YAML 1.2, with care for readers of YAML 1.1.
    Yaml,
    /// TOML 1.0 and 1.1.
    Toml,
    /// JSON (RFC 8259).
    Json,
    /// `.properties` of Java.
    Properties,
    /// INI: sections of keys and values.
    Ini,
    /// Lines of a key and a value, as in `postgresql.conf` and `redis.conf`.
    Conf,
}

impl DocumentFormat {
    /// All of them, in the order of the API.
    pub const ALL: [Self; 6] = [Self::Yaml, Self::Toml, Self::Json, Self::Properties, Self::Ini, Self::Conf];

    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
            Self::Json => "JSON",
            Self::Properties => "Properties",
            Self::Ini => "INI",
            Self::Conf => "Conf",
        }
    }

    /// Whether a document is lines, each with a key and a value, and not a tree.
    #[must_use]
    pub const fn is_lines(self) -> bool {
        match self {
            Self::Yaml | Self::Toml | Self::Json => false,
            Self::Properties | Self::Ini | Self::Conf => true,
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

impl fmt::Display for DocumentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value that a document holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its type.
    pub kind: Kind,
    /// Its exact bytes, quotes included: what [`restore`] takes.
    pub source: String,
    /// What it says: without quotes, escapes resolved.
    pub text: String,
    leaf: Leaf,
}

impl Found {
    /// Whether an [`edit`] to `wanted` would change nothing.
    #[must_use]
    pub fn holds(&self, wanted: &Scalar) -> bool {
        matches!(scalar::land(&self.leaf, wanted), Ok(Landing::Equal))
    }
}

/// A document after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an edit changes nothing but the text that it returns"]
pub struct Edited {
    /// The whole document.
    pub text: String,
    /// The exact bytes that the value had before, or nothing when its line was made: what [`restore`] takes.
    pub previous: Option<String>,
    /// The exact bytes that it has now.
    pub now: String,
    /// Whether `text` differs from the document before.
    pub changed: bool,
}

impl Edited {
    fn unchanged(text: &str, source: &str) -> Self {
        Self { text: text.to_owned(), previous: Some(source.to_owned()), now: source.to_owned(), changed: false }
    }
}

/// Finds the value at `address`.
pub fn read(text: &str, address: &Address) -> Result<Found, DocumentError> {
    let root = parse(text, address.format())?;
    let (node, leaf) = tree::find(&root, address)?;
    let source = node.source(text)?.to_owned();
    Ok(Found { kind: leaf.kind, source, text: leaf.text.clone(), leaf: leaf.clone() })
}

/// Lands `wanted` at `address`.
///
/// The type of the value stays. Text keeps its quotes; a number or truth value in quotes stays in quotes; a number with
/// a fraction stays one (`1.5` becomes `2.0`). A value that is already equal, numbers compared as numbers, keeps its
/// bytes.
pub fn edit(text: &str, address: &Address, wanted: &Scalar) -> Result<Edited, DocumentError> {
    let root = parse(text, address.format())?;
    let (node, leaf) = tree::find(&root, address)?;
    let previous = node.source(text)?;
    let landing = scalar::land(leaf, wanted)
        .map_err(|mismatch| DocumentError::KeyTypeMismatch { at: address.clone(), mismatch })?;
    let landed = match landing {
        Landing::Equal => {
            return Ok(Edited::unchanged(text, previous));
        }
        Landing::Text(landed) => landed,
    };
    let unclear = || DocumentError::KeyTypeMismatch { at: address.clone(), mismatch: Mismatch::Unclear };
    let source = match address.format() {
        DocumentFormat::Yaml => yaml::spell(leaf, landed, text.get(node.span.end..).unwrap_or_default())
            .map_err(|why| DocumentError::surprise(text, node, why))?,
        DocumentFormat::Json => json::spell(leaf, &landed),
        DocumentFormat::Toml => toml::spell(leaf, landed)
            .map_err(|mismatch| DocumentError::KeyTypeMismatch { at: address.clone(), mismatch })?,
        DocumentFormat::Properties => lines::spell_properties(leaf, &landed),
        DocumentFormat::Ini => lines::spell_ini(leaf, &landed).ok_or_else(unclear)?,
        DocumentFormat::Conf => lines::spell_conf(leaf, &landed).ok_or_else(unclear)?,
    };
    let (edited, root_after) = splice(text, &root, node, &source, address)?;
    // The value must also read back as what was meant, or the quoting rules of this module have a hole.
    match tree::find(&root_after, address) {
        Ok((_, after)) if after.kind == leaf.kind && scalar::land(after, wanted) == Ok(Landing::Equal) => {
            Ok(Edited { text: edited, previous: Some(previous.to_owned()), now: source, changed: true })
        }
        _ => Err(DocumentError::surprise(text, node, "the new value would read back as another one")),
    }
}

/// Lands `wanted` at `address` as [`edit`] does. In a format of lines, a key that the document does not have gets a line
/// of its own, in which the value is spelled `word`.
pub fn create(text: &str, address: &Address, wanted: &Scalar, word: &str) -> Result<Edited, DocumentError> {
    let absent = match edit(text, address, wanted) {
        Err(absent @ DocumentError::KeyPathNotFound { .. }) => absent,
        landed => return landed,
    };
    let refuse = |mismatch| DocumentError::KeyTypeMismatch { at: address.clone(), mismatch };
    if !word.chars().all(scalar::is_printable) {
        return Err(refuse(Mismatch::Unprintable));
    }
    let root = parse(text, address.format())?;
    let line = lines::new_line(text, &root, address, word).map_err(refuse)?.ok_or(absent)?;
    let unclear = || DocumentError::unparseable(text, line.at, "a line for the key there would be read otherwise");
    let edited = replace(text, line.at..line.at, &line.text)?;
    let root_after = parse(&edited, address.format()).map_err(|_| unclear())?;
    match tree::find(&root_after, address) {
        Ok((node, leaf))
            if root.equals_without(&root_after, address.keys())
                && node.source(&edited)? == line.value
                && scalar::land(leaf, wanted) == Ok(Landing::Equal) =>
        {
            Ok(Edited { text: edited, previous: None, now: line.value, changed: true })
        }
        _ => Err(unclear()),
    }
}

/// Puts `previous`, the exact bytes that an edit replaced, back at `address`; `None` takes away the line that [`create`]
/// made.
///
/// They come from an annotation that others can write, so they are refused unless they are one scalar and no more.
pub fn restore(text: &str, address: &Address, previous: Option<&str>) -> Result<Edited, DocumentError> {
    let root = parse(text, address.format())?;
    let (node, _) = tree::find(&root, address)?;
    let current = node.source(text)?;
    let restored = |text: String, now: &str| Edited {
        text,
        previous: Some(current.to_owned()),
        now: now.to_owned(),
        changed: true,
    };
    let Some(previous) = previous else {
        let is_lines = address.format().is_lines();
        let line = lines::extent(text, &node.span).filter(|_| is_lines).ok_or_else(|| {
            DocumentError::surprise(text, node, "more than the value is in its line, so the line cannot be taken away")
        })?;
        let edited = replace(text, line, "")?;
        let after = parse(&edited, address.format()).map_err(|_| spread(text, node))?;
        if tree::find(&after, address).is_ok() {
            let why = "the key has several lines, and nothing tells which of them is whose, so none is taken away";
            return Err(DocumentError::surprise(text, node, why));
        }
        let is_gone = root.equals_without(&after, address.keys());
        return if is_gone { Ok(restored(edited, "")) } else { Err(spread(text, node)) };
    };
    if current == previous {
        return Ok(Edited::unchanged(text, current));
    }
    let (edited, root_after) = splice(text, &root, node, previous, address)?;
    match tree::find(&root_after, address) {
        Ok((after, _)) if after.source(&edited)? == previous => Ok(restored(edited, previous)),
        _ => Err(DocumentError::surprise(text, node, "what was recorded to be put back there is not one value")),
    }
}

/// Replaces the bytes of `node` and proves by two readers that no other value changed.
fn splice(
    text: &str,
    root: &Node,
    node: &Node,
    source: &str,
    address: &Address,
) -> Result<(String, Node), DocumentError> {
    let edited = replace(text, node.span.clone(), source)?;
    let root_after = parse(&edited, address.format()).map_err(|_| spread(text, node))?;
    let witness: Option<Witness> = match address.format() {
        DocumentFormat::Yaml => Some(yaml::witness),
        DocumentFormat::Json => Some(json::witness),
        // TOML has one grammar and no two ways to read it. Lines are lines for every reader, and a value never has a
        // line end in it.
        DocumentFormat::Toml | DocumentFormat::Properties | DocumentFormat::Ini | DocumentFormat::Conf => None,
    };
    let mut only_there = root.equals_except(&root_after, address.keys());
    if let Some(witness) = witness {
        let (first, second) = (witness(text)?, witness(&edited).map_err(|_| spread(text, node))?);
        only_there &= tree::values_equal_except(&first, &second, address.keys());
    }
    if only_there { Ok((edited, root_after)) } else { Err(spread(text, node)) }
}

fn replace(text: &str, range: Range<usize>, source: &str) -> Result<String, DocumentError> {
    let (Some(before), Some(after)) = (text.get(..range.start), text.get(range.end..)) else {
        return Err(DocumentError::unparseable(text, range.start, "the place of the value cannot be told"));
    };
    let edited = [before, source, after].concat();
    match edited.len() {
        ..=MAX_BYTES => Ok(edited),
        bytes => Err(DocumentError::ConfigTooLarge { what: Excess::Bytes(bytes) }),
    }
}

fn spread(text: &str, node: &Node) -> DocumentError {
    DocumentError::surprise(text, node, "the new value would change more than its own place")
}

/// A second reader: it resolves types and keys by itself and knows nothing of places.
type Witness = fn(&str) -> Result<Value, DocumentError>;

fn parse(text: &str, format: DocumentFormat) -> Result<Node, DocumentError> {
    if text.len() > MAX_BYTES {
        return Err(DocumentError::ConfigTooLarge { what: Excess::Bytes(text.len()) });
    }
    if text.starts_with('\u{feff}') {
        return Err(DocumentError::ConfigUnparseable {
            line: 1,
            why: "it begins with a byte order mark: save the document without one".into(),
        });
    }
    match format {
        DocumentFormat::Yaml => yaml::parse(text),
        DocumentFormat::Toml => toml::parse(text),
        DocumentFormat::Json => json::parse(text),
        DocumentFormat::Properties => lines::parse_properties(text),
        DocumentFormat::Ini => lines::parse_ini(text),
        DocumentFormat::Conf => lines::parse_conf(text),
    }
}
