//! `.properties`, as `java.util.Properties` reads it.

use super::{BLANKS, Entry, Found, lines, offset_of};
use crate::core::document::{
    DocumentError, Kind,
    tree::{Leaf, Style},
};

pub(super) fn entries(text: &str) -> Result<Vec<Entry>, DocumentError> {
    let mut entries = Vec::new();
    let mut continued = false;
    for (start, line) in lines(text)? {
        let goes_on = is_continued(line);
        if std::mem::replace(&mut continued, goes_on) {
            continue;
        }
        let content = line.trim_start_matches(BLANKS);
        if content.is_empty() || content.starts_with(['#', '!']) {
            // A comment is one line, whatever it ends with.
            continued = false;
            continue;
        }
        let (key, rest) = split_key(content);
        if goes_on && rest.is_empty() {
            return Err(DocumentError::unparseable(text, start, "a key goes over several lines"));
        }
        let wrong = || DocumentError::unparseable(text, start, "it has a \\u that is not followed by four hex digits");
        let key = unescape(key).ok_or_else(wrong)?;
        let after_blanks = rest.trim_start_matches(BLANKS);
        let after_sign = after_blanks.strip_prefix(['=', ':']);
        let value = after_sign.unwrap_or(after_blanks).trim_start_matches(BLANKS);
        let found = if goes_on {
            Found { kind: Kind::Lines, style: Style::Plain, ambiguous: false, text: String::new() }
        } else if rest.is_empty() {
            Found::none()
        } else {
            Found { kind: Kind::Text, style: Style::Plain, ambiguous: false, text: unescape(value).ok_or_else(wrong)? }
        };
        entries.push(Entry::new(key, offset_of(start, line, value), value, found));
    }
    Ok(entries)
}

/// A key with everything escaped that would end it, and what would make its line a comment.
pub(super) fn spell_key(key: &str) -> String {
    key.chars().fold(String::with_capacity(key.len()), |mut source, c| {
        match c {
            ' ' | '=' | ':' | '#' | '!' | '\\' => source.extend(['\\', c]),
            '!'..='~' => source.push(c),
            _ => escape(c, &mut source),
        }
        source
    })
}

fn escape(c: char, source: &mut String) {
    source.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")));
}

/// Everything but ASCII is escaped: a reader of a stream takes the bytes for Latin-1, a reader of characters does not.
pub(in super::super) fn spell(_: &Leaf, landed: &str) -> String {
    let mut source = String::with_capacity(landed.len());
    for (at, c) in landed.char_indices() {
        match c {
            '\\' => source.push_str("\\\\"),
            // Blanks and one sign before a value are not its own.
            ' ' | '=' | ':' if at == 0 => source.extend(['\\', c]),
            ' '..='~' => source.push(c),
            _ => escape(c, &mut source),
        }
    }
    source
}

/// An odd number of backslashes at the end takes the line end away.
fn is_continued(line: &str) -> bool {
    (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
}

/// The key ends at the first blank, `=` or `:` without a backslash before it.
fn split_key(content: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = content.find(|c| {
        let ends = !escaped && matches!(c, ' ' | '\t' | '=' | ':');
        escaped = c == '\\' && !escaped;
        ends
    });
    content.split_at_checked(end.unwrap_or(content.len())).unwrap_or((content, ""))
}

fn unescape(source: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(source.len());
    let mut rest = source.chars();
    while let Some(c) = rest.next() {
        let plain = match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('u')) => {
                let digits = rest.as_str().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
                units.push(u16::from_str_radix(digits, 16).ok()?);
                rest = rest.as_str().get(4..)?.chars();
                continue;
            }
            ('\\', Some('t')) => '\t',
            ('\\', Some('n')) => '\n',
            ('\\', Some('r')) => '\r',
            ('\\', Some('f')) => '\x0c',
            // The backslash that takes the line end away.
            ('\\', None) => break,
            (_, Some(other)) | (other, None) => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    // Half a character stands for no text that anybody could want.
    String::from_utf16(&units).ok()
}
