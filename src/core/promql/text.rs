//! Text inside `PromQL`: string literals, and literal text inside a regular expression.

use std::fmt::Write;

/// A string literal that reads back as `text`, quotes included.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            // Prometheus takes a literal U+FFFD for invalid UTF-8.
            char if char.is_control() || char == '\u{fffd}' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\U{:08x}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// A regular expression (RE2) that matches `text` and nothing else.
#[must_use]
pub fn quote_regex(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for char in text.chars() {
        if r"\.+*?()|[]{}^$".contains(char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

/// A regular expression that matches exactly the given texts; not in a group of its own.
pub(super) fn any_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(quote_regex).collect::<Vec<_>>().join("|")
}

/// Whether `name` may stand in `PromQL` as a label name without quotes, and be a label of an alert.
#[must_use]
pub fn is_plain_label(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a literal as Prometheus' lexer does; `None` where that refuses.
    fn unquote(literal: &str) -> Option<String> {
        let mut chars = literal.strip_prefix('"')?.strip_suffix('"')?.chars();
        let mut text = String::new();
        while let Some(char) = chars.next() {
            match char {
                '"' | '\n' | '\u{fffd}' => return None,
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    'U' => {
                        let digits: String = chars.by_ref().take(8).collect();
                        text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    escaped @ ('"' | '\\') => text.push(escaped),
                    _ => return None,
                },
                char => text.push(char),
            }
        }
        Some(text)
    }

    #[test]
    fn literals() {
        assert_eq!(quote("/api/chat/"), r#""/api/chat/""#);
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quote("a\nb\0\u{fffd}"), r#""a\nb\U00000000\U0000fffd""#);
        assert_eq!(quote_regex("a.b-c$"), r"a\.b-c\$");
    }

    proptest! {
        #[test]
        fn literals_read_back(text in any::<String>()) {
            prop_assert_eq!(unquote(&quote(&text)), Some(text));
        }

        #[test]
        fn literal_text_in_a_regex_reads_back(text in any::<String>()) {
            let mut plain = String::new();
            let pattern = quote_regex(&text);
            let mut chars = pattern.chars();
            while let Some(char) = chars.next() {
                prop_assert!(!".+*?()|[]{}^$".contains(char), "an operator is left: {pattern}");
                plain.push(if char == '\\' { chars.next().unwrap() } else { char });
            }
            prop_assert_eq!(plain, text);
        }
    }
}
