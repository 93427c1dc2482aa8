//! An int-or-string scalar, as policies write their numbers.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A value as written: an integer, or a string such as `30s`, `2Gi`, `80%`, `"0.75"`, `"true"` or `= 2 * ceil(limits.cpu)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Literal {
    /// A bare integer.
    Integer(i64),
    /// Everything else, in quotes where YAML would read another type.
    Text(String),
}

impl Literal {
    /// Longest text of a literal, in bytes.
    pub const MAX_LENGTH: u32 = 256;
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => n.fmt(f),
            Self::Text(s) => s.fmt(f),
        }
    }
}

impl From<i64> for Literal {
    fn from(n: i64) -> Self {
        Self::Integer(n)
    }
}

impl From<&str> for Literal {
    fn from(s: &str) -> Self {
        Self::Text(s.to_owned())
    }
}

impl JsonSchema for Literal {
    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": Self::MAX_LENGTH,
        })
    }
}
