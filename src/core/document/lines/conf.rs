//! Lines of a key and a value with `=` or blanks between them, as PostgreSQL and Redis have them.

use super::{BLANKS, Entry, Found, lines, offset_of, split_quoted};
use crate::core::document::{
    DocumentError,
    tree::{Leaf, Style},
};

pub(super) fn entries(text: &str) -> Result<Vec<Entry>, DocumentError> {
    let mut entries = Vec::new();
    for (start, line) in lines(text)? {
        let content = line.trim_matches(BLANKS);
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        // A brace at the end of a comment is none of a block, and a block has another one of its own line at its end.
        if (content.ends_with('{') && !content.contains('#')) || content.starts_with('}') {
            return Err(DocumentError::unparseable(text, start, "it has blocks in braces, which this format has not"));
        }
        let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        let (key, rest) = content
            .split_once(|c| !is_key(c))
            .map_or((content, ""), |(key, _)| (key, content.get(key.len()..).unwrap_or_default()));
        let after_blanks = rest.trim_start_matches(BLANKS);
        let after_sign = after_blanks.strip_prefix('=');
        if key.is_empty() || (after_sign.is_none() && !rest.is_empty() && after_blanks.len() == rest.len()) {
            return Err(DocumentError::unparseable(text, start, "a line does not begin with a key"));
        }
        let rest = after_sign.unwrap_or(after_blanks).trim_start_matches(BLANKS);
        let (source, found) = value(rest, after_sign.is_some());
        // `line` ends where `rest` does, but for the blanks that were trimmed.
        let start = offset_of(start, line.trim_end_matches(BLANKS), rest);
        entries.push(Entry::new(key.to_lowercase(), start, source, found));
    }
    Ok(entries)
}

/// The value at the beginning of `rest`. After blanks `#` begins a comment for PostgreSQL and is an error for Redis;
/// inside a word it begins a comment for PostgreSQL and is a part of the word for Redis.
fn value(rest: &str, has_sign: bool) -> (&str, Found) {
    if rest.is_empty() || rest.starts_with('#') {
        return ("", Found::none());
    }
    if let Some((quoted, after)) = split_quoted(rest) {
        let blank = after.trim_start_matches(BLANKS);
        if blank.is_empty() || (blank.len() < after.len() && blank.starts_with('#')) {
            return (quoted, Found::quoted(quoted));
        }
    }
    let comment = [" #", "\t#"].into_iter().filter_map(|mark| rest.find(mark)).min();
    let source = rest.get(..comment.unwrap_or(rest.len())).unwrap_or(rest).trim_end_matches(BLANKS);
    // Several words are several arguments of Redis; after `=` they are an error.
    let several = source.contains(BLANKS);
    let ambiguous = source.contains(['#', '"', '\'', '\\']) || (several && has_sign);
    (source, Found::plain(source, ambiguous))
}

/// The bytes of a value that says `landed` in the manner of `leaf`, if all readers agree on them.
pub(in super::super) fn spell(leaf: &Leaf, landed: &str) -> Option<String> {
    if landed.contains(['"', '\'', '\\']) {
        return None;
    }
    let is_word = |word: &str| {
        // What PostgreSQL takes without quotes.
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-'))
    };
    let is_argument = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && c != '#');
    let arguments = leaf.text.contains(BLANKS) && landed.split(' ').all(is_argument);
    Some(match leaf.style {
        Style::DoubleQuoted => format!("\"{landed}\""),
        Style::Plain | Style::Block if is_word(landed) || arguments => landed.to_owned(),
        Style::SingleQuoted | Style::Plain | Style::Block => format!("'{landed}'"),
    })
}
