//! Formats of lines with a key and a value: `.properties`, INI, and the configuration of PostgreSQL and Redis.
//!
//! None of them has one specification, so a value is set only where the usual readers agree on what it is and where it
//! ends. Values have no type of their own: `128MB` may become `4096`.

mod conf;
mod ini;
mod line;
mod properties;

use std::ops::Range;

use super::{
    DocumentError, Kind, MAX_VALUES,
    tree::{self, Content, Leaf, Node, Style},
};

/// Parses `.properties` of Java.
pub(super) fn parse_properties(text: &str) -> Result<Node, DocumentError> {
    let entries = properties::entries(text)?;
    map_of(text, entries)
}

/// Parses INI: a map of sections, with the keys before the first section in section `""`.
pub(super) fn parse_ini(text: &str) -> Result<Node, DocumentError> {
    let mut sections = Vec::new();
    let mut values = 0;
    for (name, start, entries) in ini::sections(text)? {
        values += entries.len() + 1;
        let Node { content, .. } = map_of(text, entries)?;
        sections.push((name, Node { span: start..start, content }));
    }
    if values > MAX_VALUES {
        return Err(DocumentError::too_many());
    }
    tree::refuse_duplicates(text, &sections)?;
    Ok(Node { span: 0..text.len(), content: Content::Map(sections) })
}

/// Parses lines such as `work_mem = 4MB` and `maxmemory 2gb`. Of lines with the same key the last counts; the case of
/// keys does not.
pub(super) fn parse_conf(text: &str) -> Result<Node, DocumentError> {
    let mut entries = conf::entries(text)?;
    // The sort is stable, so the last line of a key is the last of its run.
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries.reverse();
    entries.dedup_by(|later, kept| later.key == kept.key);
    entries.sort_by_key(|entry| entry.span.start);
    map_of(text, entries)
}

pub(super) use self::{
    conf::spell as spell_conf,
    ini::spell as spell_ini,
    line::{extent, new_line},
    properties::spell as spell_properties,
};

/// A key and its value.
struct Entry {
    key: String,
    span: Range<usize>,
    leaf: Leaf,
}

impl Entry {
    /// `source` is the value's part of the whole text and begins at `start`.
    fn new(key: String, start: usize, source: &str, found: Found) -> Self {
        let Found { kind, style, ambiguous, text } = found;
        let leaf = Leaf { kind, style, ambiguous, flow: false, typed: false, text };
        Self { key, span: start..start + source.len(), leaf }
    }
}

/// What a value turned out to be.
struct Found {
    kind: Kind,
    style: Style,
    ambiguous: bool,
    text: String,
}

impl Found {
    fn plain(text: &str, ambiguous: bool) -> Self {
        Self { kind: Kind::Text, style: Style::Plain, ambiguous, text: text.to_owned() }
    }

    /// `source` has a quote at either end; readers disagree about what a backslash and another quote in between mean.
    fn quoted(source: &str) -> Self {
        let inside = source.get(1..source.len() - 1).unwrap_or_default();
        let style = if source.starts_with('"') { Style::DoubleQuoted } else { Style::SingleQuoted };
        let ambiguous = inside.contains(['\\', '\'', '"']);
        Self { kind: Kind::Text, style, ambiguous, text: inside.to_owned() }
    }

    const fn none() -> Self {
        Self { kind: Kind::Null, style: Style::Plain, ambiguous: false, text: String::new() }
    }
}

/// Splits off text in quotes at the beginning, quotes included.
fn split_quoted(rest: &str) -> Option<(&str, &str)> {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let end = 2 + rest.get(1..)?.find(quote)?;
    rest.split_at_checked(end)
}

fn map_of(text: &str, entries: Vec<Entry>) -> Result<Node, DocumentError> {
    if entries.len() >= MAX_VALUES {
        return Err(DocumentError::too_many());
    }
    let entries: Vec<_> = entries
        .into_iter()
        .map(|Entry { key, span, leaf }| (key, Node { span, content: Content::Leaf(leaf) }))
        .collect();
    tree::refuse_duplicates(text, &entries)?;
    Ok(Node { span: 0..text.len(), content: Content::Map(entries) })
}

/// The lines without their ends, and where each begins.
fn lines(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, DocumentError> {
    let mut previous = '\n';
    for (offset, c) in text.char_indices() {
        // A carriage return alone ends a line for some readers only.
        if (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || (previous == '\r' && c != '\n') {
            let at = if previous == '\r' { offset - 1 } else { offset };
            return Err(DocumentError::unparseable(text, at, "it holds a control character"));
        }
        previous = c;
    }
    if previous == '\r' {
        return Err(DocumentError::unparseable(text, text.len() - 1, "it holds a control character"));
    }
    let mut start = 0;
    Ok(text.split_inclusive('\n').map(move |line| {
        let begin = start;
        start += line.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        (begin, line.strip_suffix('\r').unwrap_or(line))
    }))
}

/// Where `part`, a slice of `line`, begins in the whole text.
fn offset_of(line_start: usize, line: &str, rest: &str) -> usize {
    line_start + line.len() - rest.len()
}

const BLANKS: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests;
