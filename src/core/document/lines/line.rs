//! Whole lines: where a new one goes and what it looks like, and taking it away without a trace.

use std::ops::Range;

use super::{BLANKS, conf, ini, properties};
use crate::core::document::{
    Address, DocumentFormat, Kind, Mismatch,
    tree::{Content, Leaf, Node, Style},
};

/// A line to come, and where.
pub(in super::super) struct NewLine {
    /// The place between two bytes.
    pub at: usize,
    /// The line with one line end, before it or behind it.
    pub text: String,
    /// The value in it.
    pub value: String,
}

/// The line that gives the key at `address`, which the document does not have, the value `word`.
///
/// It comes behind the last line that says something, in the manner of the last value beside it. `None`: there is no
/// section for it, or the format is none of lines.
pub(in super::super) fn new_line(
    text: &str,
    root: &Node,
    address: &Address,
    word: &str,
) -> Result<Option<NewLine>, Mismatch> {
    let Some(Section { region, entries }) = section(text, root, address) else { return Ok(None) };
    let value = spell(address.format(), word)?;
    refuse_hidden(text.get(region.clone()).unwrap_or_default(), address)?;
    let is_value = |node: &&Node| matches!(&node.content, Content::Leaf(leaf) if leaf.kind.is_value());
    let neighbour = entries.iter().map(|(_, node)| node).filter(is_value).max_by_key(|node| node.span.start);
    let (indent, sign) = neighbour
        .and_then(|node| manner(text, &node.span))
        .unwrap_or_else(|| ("", default_sign(address.format()).to_owned()));
    let line = [indent, &spell_key(address), &sign, &value].concat();
    let at = end_of_content(text, &region);
    let before = text.get(..at).unwrap_or_default();
    let is_open = !before.is_empty() && !before.ends_with('\n');
    // As the line before ends or, without one, the first line of the document.
    let model = if before.ends_with('\n') { before } else { text.split_inclusive('\n').next().unwrap_or_default() };
    let line_end = if model.ends_with("\r\n") { "\r\n" } else { "\n" };
    let text = if is_open { [line_end, &line].concat() } else { [&line, line_end].concat() };
    Ok(Some(NewLine { at, text, value }))
}

/// Refuses a new line where `region` has the key for some readers: under another spelling, as part of a value that goes over
/// several lines, or in another part of a document that has several.
fn refuse_hidden(region: &str, address: &Address) -> Result<(), Mismatch> {
    let key = address.keys().last().map(|key| key.to_lowercase()).unwrap_or_default();
    let mut lines = region.lines().map(|line| line.trim_matches(BLANKS));
    match address.format() {
        DocumentFormat::Ini => {
            let is_key = |line: &str| {
                let name = line.split(['=', ':', ';', '#']).next().unwrap_or_default();
                name.trim_matches(BLANKS).to_lowercase() == key
            };
            if lines.any(is_key) {
                Err(Mismatch::Hidden("in another case or in a line that continues a value"))
            } else {
                Ok(())
            }
        }
        DocumentFormat::Properties => {
            if lines.any(|line| matches!(line, "#---" | "!---")) {
                Err(Mismatch::Hidden("or count only the part that it is in, as the document has parts (#---)"))
            } else {
                Ok(())
            }
        }
        DocumentFormat::Conf | DocumentFormat::Yaml | DocumentFormat::Toml | DocumentFormat::Json => Ok(()),
    }
}

/// The bytes of the line that the value at `value` is in: with its line end or, where the document ends without one, with
/// the one before. `None`: something stands behind the value, and is not ours to take away.
pub(in super::super) fn extent(text: &str, value: &Range<usize>) -> Option<Range<usize>> {
    let start = start_of_line(text, value.start);
    let behind = text.get(value.end..)?;
    let (rest, line_end) = behind.split_once('\n').map_or((behind, 0), |(rest, _)| (rest, 1));
    if !rest.trim_matches(BLANKS).trim_end_matches('\r').is_empty() {
        return None;
    }
    let end = value.end + rest.len() + line_end;
    if line_end > 0 {
        return Some(start..end);
    }
    let before = text.get(..start)?;
    let before = before.strip_suffix('\n').map_or(before, |before| before.strip_suffix('\r').unwrap_or(before));
    Some(before.len()..end)
}

/// The part of the text that a new key belongs to, and the keys that are there.
struct Section<'a> {
    region: Range<usize>,
    entries: &'a [(String, Node)],
}

fn section<'a>(text: &str, root: &'a Node, address: &Address) -> Option<Section<'a>> {
    let Content::Map(top) = &root.content else { return None };
    match (address.format(), address.keys()) {
        (DocumentFormat::Properties | DocumentFormat::Conf, _) => Some(Section { region: 0..text.len(), entries: top }),
        (DocumentFormat::Ini, [section, _]) => {
            let (_, node) = top.iter().find(|(name, _)| name == section)?;
            let Content::Map(entries) = &node.content else { return None };
            let next = top.iter().skip_while(|(name, _)| name != section).nth(1);
            let end = next.map_or(text.len(), |(_, next)| next.span.start);
            Some(Section { region: node.span.start..end, entries })
        }
        _ => None,
    }
}

/// Where the last line of `region` that is neither empty nor a comment ends. Without one: before whatever follows the
/// region, which is what its comments may be about.
fn end_of_content(text: &str, region: &Range<usize>) -> usize {
    let mut end = region.start;
    let mut begin = region.start;
    for line in text.get(region.clone()).unwrap_or_default().split_inclusive('\n') {
        begin += line.len();
        let content = line.trim_matches(BLANKS).trim_end_matches(['\r', '\n']);
        if !content.is_empty() && !content.starts_with(['#', ';', '!']) {
            end = begin;
        }
    }
    if end == region.start && region.end == text.len() { region.end } else { end }
}

/// How the line of a value is indented, and what stands between its key and its value: a sign with at most one blank on
/// either side, or one blank.
fn manner<'a>(text: &'a str, value: &Range<usize>) -> Option<(&'a str, String)> {
    let before = text.get(start_of_line(text, value.start)..value.start)?;
    let indent = before.get(..before.len() - before.trim_start_matches(BLANKS).len())?;
    let between = before.get(before.trim_end_matches([' ', '\t', '=', ':']).len()..)?;
    let Some(sign) = between.chars().find(|c| matches!(c, '=' | ':')) else {
        return (!between.is_empty()).then(|| (indent, " ".to_owned()));
    };
    let blank = |is_there: bool| if is_there { " " } else { "" };
    let (left, right) = (blank(between.starts_with(BLANKS)), blank(between.ends_with(BLANKS)));
    Some((indent, format!("{left}{sign}{right}")))
}

/// What stands between key and value where nobody has written one: what every reader of the format takes.
const fn default_sign(format: DocumentFormat) -> &'static str {
    match format {
        DocumentFormat::Properties => "=",
        DocumentFormat::Conf => " ",
        DocumentFormat::Ini | DocumentFormat::Yaml | DocumentFormat::Toml | DocumentFormat::Json => " = ",
    }
}

fn spell_key(address: &Address) -> String {
    let key = address.keys().last().map(String::as_str).unwrap_or_default();
    match address.format() {
        DocumentFormat::Properties => properties::spell_key(key),
        _ => key.to_owned(),
    }
}

fn spell(format: DocumentFormat, word: &str) -> Result<String, Mismatch> {
    let leaf = Leaf {
        kind: Kind::Text,
        style: Style::Plain,
        ambiguous: false,
        flow: false,
        typed: false,
        text: String::new(),
    };
    let spelled = match format {
        DocumentFormat::Properties => Some(properties::spell(&leaf, word)),
        DocumentFormat::Conf => conf::spell(&leaf, word),
        _ => ini::spell(&leaf, word),
    };
    spelled.ok_or(Mismatch::Unclear)
}

fn start_of_line(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |line_end| line_end + 1)
}
