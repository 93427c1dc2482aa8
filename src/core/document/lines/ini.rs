//! INI, as `configparser`, `pgbouncer` and the INI libraries of Go read it, where they agree.

use super::{BLANKS, Entry, Found, lines, offset_of, split_quoted};
use crate::core::document::{
    DocumentError, Kind,
    tree::{Leaf, Style},
};

/// A section: its name, where it begins, and what it holds.
type Section = (String, usize, Vec<Entry>);

pub(super) fn sections(text: &str) -> Result<Vec<Section>, DocumentError> {
    let mut sections: Vec<Section> = vec![(String::new(), 0, Vec::new())];
    // How far the last key is indented: what stands deeper may belong to its value.
    let mut key_indent = None;
    for (start, line) in lines(text)? {
        let content = line.trim_start_matches(BLANKS);
        let indent = line.len() - content.len();
        let Some((_, _, entries)) = sections.last_mut() else { continue };
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if content.trim_end_matches(BLANKS).ends_with('\\') {
            let why = "it ends with a backslash, by which some readers join it with the next line";
            return Err(DocumentError::unparseable(text, start, why));
        }
        if key_indent.is_some_and(|key_indent| indent > key_indent) {
            if let Some(Entry { leaf, .. }) = entries.last_mut() {
                leaf.kind = Kind::Lines;
            }
            continue;
        }
        if let Some(header) = content.strip_prefix('[') {
            let Some((name, after)) = header.split_once(']') else {
                return Err(DocumentError::unparseable(text, start, "the name of a section has no closing bracket"));
            };
            let after = after.trim_start_matches(BLANKS);
            if !(after.is_empty() || after.starts_with(['#', ';'])) {
                return Err(DocumentError::unparseable(text, start, "there is more after the name of a section"));
            }
            sections.push((name.trim_matches(BLANKS).to_owned(), start, Vec::new()));
            key_indent = None;
            continue;
        }
        key_indent = Some(indent);
        entries.push(match content.split_once(['=', ':']) {
            None => {
                let key = content.split([';', '#']).next().unwrap_or(content);
                Entry::new(key.trim_end_matches(BLANKS).to_owned(), start + line.len(), "", Found::none())
            }
            Some((key, rest)) => {
                let rest = rest.trim_start_matches(BLANKS);
                let (source, found) = value(rest);
                Entry::new(key.trim_end_matches(BLANKS).to_owned(), offset_of(start, line, rest), source, found)
            }
        });
    }
    Ok(sections)
}

/// The value at the beginning of `rest`. For some readers ` ;` or ` #` begins a comment, for others only at the
/// beginning of a line; as what follows stays, both see the new value where they saw the old one.
fn value(rest: &str) -> (&str, Found) {
    if let Some((quoted, after)) = split_quoted(rest) {
        let blank = after.trim_start_matches(BLANKS);
        if blank.is_empty() || (blank.len() < after.len() && blank.starts_with(['#', ';'])) {
            return (quoted, Found::quoted(quoted));
        }
    }
    let comment = [" ;", " #", "\t;", "\t#"].into_iter().filter_map(|mark| rest.find(mark)).min();
    let source = rest.get(..comment.unwrap_or(rest.len())).unwrap_or(rest).trim_end_matches(BLANKS);
    (source, Found::plain(source, !is_agreed(source)))
}

/// Whether every reader takes the word without quotes for what it is.
fn is_agreed(word: &str) -> bool {
    !word.contains([';', '#', '"', '\'', '\\', '`'])
}

/// The bytes of a value that says `landed` in the manner of `leaf`, if all readers agree on them.
pub(in super::super) fn spell(leaf: &Leaf, landed: &str) -> Option<String> {
    // Nothing without quotes has no place of its own among blanks, so it could not be put back.
    let placed = !landed.is_empty() || leaf.style != Style::Plain;
    let agreed = is_agreed(landed) && landed.trim_matches(BLANKS) == landed && placed;
    agreed.then(|| match leaf.style {
        Style::SingleQuoted => format!("'{landed}'"),
        Style::DoubleQuoted => format!("\"{landed}\""),
        Style::Plain | Style::Block => landed.to_owned(),
    })
}
