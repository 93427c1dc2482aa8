//! Where in a document a value is.

use std::fmt;

use super::{DocumentFormat, MAX_DEPTH};
use crate::core::units::Excerpt;

/// The place of a value in a document of one format (`at`).
///
/// For YAML, TOML and JSON it is a JSON Pointer (RFC 6901): `/database/pool_size`, `/servers/0/port`, with `~1` for a slash
/// and `~0` for a tilde in a key. For INI it is `section/key`, or the key alone before the first section; for properties
/// and conf it is the literal key, in conf without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    format: DocumentFormat,
    keys: Vec<String>,
}

impl Address {
    /// Reads `at` as documents of `format` are addressed.
    pub fn parse(format: DocumentFormat, at: &str) -> Result<Self, AddressError> {
        let keys = match format {
            DocumentFormat::Yaml | DocumentFormat::Toml | DocumentFormat::Json => pointer(at)?,
            _ if at.is_empty() || (format == DocumentFormat::Ini && at.ends_with('/')) => {
                return Err(AddressError::Empty);
            }
            DocumentFormat::Properties => vec![at.to_owned()],
            DocumentFormat::Conf => vec![at.to_lowercase()],
            DocumentFormat::Ini => {
                let (section, key) = at.rsplit_once('/').unwrap_or(("", at));
                vec![section.to_owned(), key.to_owned()]
            }
        };
        Ok(Self { format, keys })
    }

    /// The format of the document.
    #[must_use]
    pub const fn format(&self) -> DocumentFormat {
        self.format
    }

    /// The keys and indexes from the root to the value.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The address of what contains the value `depth` steps below the root.
    pub(super) fn ancestor(&self, depth: usize) -> Self {
        Self { format: self.format, keys: self.keys.iter().take(depth).cloned().collect() }
    }
}

impl fmt::Display for Address {
    /// As [`Address::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.format {
            DocumentFormat::Yaml | DocumentFormat::Toml | DocumentFormat::Json => {
                self.keys.iter().try_for_each(|key| write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")))
            }
            DocumentFormat::Ini | DocumentFormat::Properties | DocumentFormat::Conf => {
                let shown = self.keys.iter().filter(|key| !key.is_empty());
                shown.enumerate().try_for_each(|(i, key)| write!(f, "{}{key}", if i > 0 { "/" } else { "" }))
            }
        }
    }
}

fn pointer(at: &str) -> Result<Vec<String>, AddressError> {
    let Some(tokens) = at.strip_prefix('/') else {
        return if at.is_empty() { Ok(Vec::new()) } else { Err(AddressError::NoLeadingSlash { at: Excerpt::new(at) }) };
    };
    if tokens.split('/').nth(MAX_DEPTH).is_some() {
        return Err(AddressError::TooDeep);
    }
    tokens.split('/').map(|token| unescape(token).ok_or_else(|| AddressError::Tilde { at: Excerpt::new(at) })).collect()
}

fn unescape(token: &str) -> Option<String> {
    let mut pieces = token.split('~');
    let mut key = pieces.next()?.to_owned();
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(1)?;
        key.push(match escape {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        key.push_str(rest);
    }
    Some(key)
}

/// Why a text is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither empty nor begun with a slash.
    #[error("path {at} in a document must begin with a slash, as in \"/database/pool_size\"")]
    NoLeadingSlash {
        /// The text.
        at: Excerpt,
    },
    /// A tilde that is no escape.
    #[error("path {at} in a document has a \"~\" that is not \"~0\" (for a tilde) or \"~1\" (for a slash)")]
    Tilde {
        /// The text.
        at: Excerpt,
    },
    /// No key.
    #[error("path in a document is empty; give the key of the value")]
    Empty,
    /// More keys than documents may be deep.
    #[error("path in a document has more than {MAX_DEPTH} keys")]
    TooDeep,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(at: &str, expected: Result<&[&str], &str>) {
        let address = Address::parse(DocumentFormat::Yaml, at);
        match expected {
            Ok(keys) => {
                let address = address.unwrap();
                assert_eq!(address.keys(), keys);
                assert_eq!(address.to_string(), at);
            }
            Err(message) => assert_eq!(address.unwrap_err().to_string(), message),
        }
    }

    #[test]
    fn pointers_are_read_as_rfc_6901_says() {
        check("", Ok(&[]));
        check("/", Ok(&[""]));
        check("/foo/0", Ok(&["foo", "0"]));
        check("/a~1b/m~0n", Ok(&["a/b", "m~n"]));
        check("/~01", Ok(&["~1"]));
        check("/ключ//-", Ok(&["ключ", "", "-"]));
        check(&"/a".repeat(32), Ok(&["a"; 32]));
    }

    #[test]
    fn other_texts_are_refused() {
        check("a", Err(r#"path "a" in a document must begin with a slash, as in "/database/pool_size""#));
        let tilde = |at: &str| {
            format!(r#"path {at:?} in a document has a "~" that is not "~0" (for a tilde) or "~1" (for a slash)"#)
        };
        for at in ["/a~", "/~2", "/a~é", "/~/"] {
            check(at, Err(&tilde(at)));
        }
        check(&"/a".repeat(33), Err("path in a document has more than 32 keys"));
        check(&"/".repeat(1 << 20), Err("path in a document has more than 32 keys"));
    }
}
