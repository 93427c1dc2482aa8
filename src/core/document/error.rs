//! Why a document is not read or not edited.

use std::fmt;

use super::{Address, Kind, MAX_BYTES, MAX_DEPTH, MAX_VALUES, tree::Node};
use crate::{api::conditions::Reason, core::units::Excerpt};

/// Why a document is not read or not edited. Messages quote keys, never values: a document may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The document has nothing at the address.
    #[error("document has no value at {:?}: {ancestor}; correct the path or add the key to the document", at.to_string())]
    KeyPathNotFound {
        /// What was looked for.
        at: Address,
        /// The deepest thing on the way that is there.
        ancestor: Ancestor,
    },
    /// What is at the address cannot take the value.
    #[error("cannot set {:?} in the document: {mismatch}", at.to_string())]
    KeyTypeMismatch {
        /// Where.
        at: Address,
        /// What does not fit.
        mismatch: Mismatch,
    },
    /// The text is not a document of its format, or not one that can be edited safely.
    #[error("cannot edit the document because of line {line}: {why}")]
    ConfigUnparseable {
        /// Line, from 1.
        line: usize,
        /// What is in the way.
        why: String,
    },
    /// The document is longer or deeper than this module takes, or has more values.
    #[error("document is too large: {what}")]
    ConfigTooLarge {
        /// In which respect.
        what: Excess,
    },
}

impl DocumentError {
    /// The word for it in conditions, Events and metrics.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::KeyPathNotFound { .. } => Reason::KeyPathNotFound,
            Self::KeyTypeMismatch { .. } => Reason::KeyTypeMismatch,
            Self::ConfigUnparseable { .. } => Reason::ConfigUnparseable,
            Self::ConfigTooLarge { .. } => Reason::ConfigTooLarge,
        }
    }

    /// An edit of `node` that would not do what was meant.
    pub(super) fn surprise(text: &str, node: &Node, why: &str) -> Self {
        Self::unparseable(text, node.span.start, why)
    }

    /// The text is nested too deeply at byte `offset`.
    pub(super) fn too_deep(text: &str, offset: usize) -> Self {
        Self::ConfigTooLarge { what: Excess::Depth { line: line(text, offset) } }
    }

    /// The text has too many values.
    pub(super) const fn too_many() -> Self {
        Self::ConfigTooLarge { what: Excess::Values }
    }

    /// Something at byte `offset` of `text` is in the way.
    pub(super) fn unparseable(text: &str, offset: usize, why: impl Into<String>) -> Self {
        Self::ConfigUnparseable { line: line(text, offset), why: why.into() }
    }
}

/// The line, from 1, of the byte at `offset`.
fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|&byte| byte == b'\n').count()
}

/// The deepest thing on the way to an address that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// Where it is.
    pub at: Address,
    /// What it is.
    pub content: AncestorContent,
}

/// What the deepest thing on the way is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AncestorContent {
    /// A map, with its keys.
    Map(KeysExcerpt),
    /// A list of so many items.
    List(usize),
    /// A single value.
    Scalar(Kind),
}

impl fmt::Display for Ancestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.keys().is_empty() {
            f.write_str("its root ")?;
        } else {
            write!(f, "{:?} ", self.at.to_string())?;
        }
        match &self.content {
            AncestorContent::Map(keys) => write!(f, "has {keys}"),
            AncestorContent::List(items) => write!(f, "is a list of {items} items, counted from 0"),
            AncestorContent::Scalar(kind) => write!(f, "is {kind}"),
        }
    }
}

/// The first few keys of a map, safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysExcerpt {
    shown: Vec<Excerpt>,
    more: usize,
}

impl KeysExcerpt {
    const SHOWN: usize = 8;

    pub(super) fn new<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let more = keys.len().saturating_sub(Self::SHOWN);
        Self { shown: keys.take(Self::SHOWN).map(Excerpt::new).collect(), more }
    }
}

impl fmt::Display for KeysExcerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.shown.split_first() else { return f.write_str("no keys") };
        write!(f, "{} {first}", if others.is_empty() { "only the key" } else { "the keys" })?;
        others.iter().try_for_each(|key| write!(f, ", {key}"))?;
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

/// Why a value cannot land where it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A map, a list, nothing, or something else that is no single value of one line.
    #[error("it is {found}, and only text, a number or a truth value on one line can be set")]
    NotAValue {
        /// What the document has.
        found: Kind,
    },
    /// The type of a value never changes.
    #[error(
        "it holds {found} and the policy gives {wanted}; give the policy's value the same type or change the document"
    )]
    Type {
        /// What the document has.
        found: Kind,
        /// What the policy has.
        wanted: Kind,
    },
    /// A word that some readers of the format take for something else than others do.
    #[error(
        "readers of the format disagree about what it holds, so it cannot be replaced; write the value in the document so that it is clear, for example in quotes"
    )]
    Ambiguous,
    /// A text that readers of the format would take for something else than others do.
    #[error(
        "readers of the format would disagree about the policy's value: it is empty or has a quote, a backslash, a comment sign or blanks at its ends"
    )]
    Unclear,
    /// A key that the document may have already, as some readers of the format see it.
    #[error(
        "some readers find the key there already, {0}: write it in the document so that it is clear, and leave out create"
    )]
    Hidden(&'static str),
    /// A whole number of TOML, which is another type than a number with a fraction.
    #[error(
        "it holds a whole number, which takes neither a fraction nor more than 64 bits; give a smaller whole number or write the number in the document with a fraction"
    )]
    Whole,
    /// A text with a line break or a control character.
    #[error("the policy's value has a line break or a control character; only text of one line can be written")]
    Unprintable,
}

/// In which respect a document is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// It has, or would have, so many bytes.
    Bytes(usize),
    /// It has more values than [`MAX_VALUES`].
    Values,
    /// It is nested too deeply in this line.
    Depth {
        /// Line, from 1.
        line: usize,
    },
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes} bytes, where a ConfigMap holds at most {MAX_BYTES}"),
            Self::Values => write!(f, "it has more than {MAX_VALUES} values"),
            Self::Depth { line } => write!(f, "line {line} is nested more than {MAX_DEPTH} levels deep"),
        }
    }
}
