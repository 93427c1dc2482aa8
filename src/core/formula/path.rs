//! References: where in a policy or in the cluster a value comes from.

use std::fmt;

/// What a formula refers to: `limits.memory`, `caches["trust-score"].ttl`.
///
/// A member and an index by the same name are one reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Box<[Box<str>]>);

impl Path {
    pub(super) fn new(segments: Vec<Box<str>>) -> Self {
        Self(segments.into())
    }

    /// The names on the way, outermost first; at least one.
    #[must_use]
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.0.iter().map(|segment| &**segment)
    }

    /// The outermost name, which says what kind of thing this is: `pools`, `limits`.
    #[must_use]
    pub fn root(&self) -> &str {
        self.0.first().map_or("", |root| root)
    }

    /// The path as the rest of a policy spells it, with dots only: `caches.trust-score.ttl`. Not unique for names that
    /// have dots themselves, such as those of sysctls.
    #[must_use]
    pub fn dotted(&self) -> String {
        self.0.join(".")
    }

    /// `caches.trust` and `score.ttl` as `caches["trust-score"].ttl`.
    pub(super) fn with_dash(&self, rest: &Self) -> Self {
        let mut segments = self.0.to_vec();
        let last = segments.pop().unwrap_or_default();
        segments.push(format!("{last}-{}", rest.root()).into());
        segments.extend(rest.0.iter().skip(1).cloned());
        Self::new(segments)
    }
}

impl fmt::Display for Path {
    /// As a formula spells it: names that are no identifiers stand in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match index {
                0 => f.write_str(segment)?,
                _ if is_identifier(segment) => write!(f, ".{segment}")?,
                _ => write!(f, "[{}]", Quoted(segment))?,
            }
        }
        Ok(())
    }
}

/// A text in quotes; the language has no escapes, so a text with double quotes stands in single ones.
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains('"') { '\'' } else { '"' };
        write!(f, "{quote}{}{quote}", self.0)
    }
}

/// Whether a name can follow a point.
pub(super) fn is_identifier(name: &str) -> bool {
    name.starts_with(starts_name) && name.chars().all(continues_name)
}

pub(super) fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

pub(super) fn continues_name(c: char) -> bool {
    starts_name(c) || c.is_ascii_digit()
}
