//! The version of Kubernetes.

use std::fmt;

/// Kubernetes 1.N, as the API server names itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// N; 0: nothing is known of it.
    pub minor: u32,
    /// Whether nobody was asked.
    pub assumed: bool,
}

impl Release {
    /// The newest that this version of Trimtab knows, where there is no cluster to ask.
    pub const NEWEST: Self = Self { minor: 37, assumed: true };
    /// A cluster that did not say.
    pub const UNKNOWN: Self = Self { minor: 0, assumed: false };

    /// What an API server says of itself: `1` and `37`, or `37+` where a vendor has added something. Anything else is unknown.
    #[must_use]
    pub fn read(major: &str, minor: &str) -> Self {
        let digits = minor.trim_end_matches(|char: char| !char.is_ascii_digit());
        match (major, digits.parse()) {
            ("1", Ok(minor)) => Self { minor, assumed: false },
            _ => Self::UNKNOWN,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            0 => f.write_str("not known"),
            minor => write!(f, "1.{minor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_add_to_the_number_and_what_is_no_number_is_not_known() {
        for (major, minor, want) in [("1", "29", 29), ("1", "31+", 31), ("1", "", 0), ("2", "1", 0), ("1", "x", 0)] {
            assert_eq!(Release::read(major, minor).minor, want, "{major}.{minor}");
        }
        assert_eq!(Release::UNKNOWN.to_string(), "not known");
    }
}
