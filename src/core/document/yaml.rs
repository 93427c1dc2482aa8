//! YAML: where every value is, and the spelling of values.
//!
//! The parser inside serde-saphyr reports the bytes of every value. An editing library was tried and rejected: it
//! rebuilds the lines around a value, where replacing bytes cannot touch them.

mod plain;

use std::ops::Range;

use serde_json::Value;
use serde_saphyr::{
    granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, Span, StructureStyle},
    options::NonFiniteFloatPolicy,
};

use self::plain::{classify, is_safe_plain};
use super::{
    DocumentError, Excess, Kind, MAX_BYTES, MAX_DEPTH, MAX_VALUES,
    tree::{self, Content, Leaf, Node, Style},
};

/// Parses a document and refuses what cannot be edited safely.
pub(super) fn parse(text: &str) -> Result<Node, DocumentError> {
    if let Some((offset, c)) = text.char_indices().find(|&(_, c)| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')) {
        let why = format!("it holds the character U+{:04X}, a line break for readers of YAML 1.1 only", u32::from(c));
        return Err(DocumentError::unparseable(text, offset, why));
    }
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    };
    let mut builder = Builder { text, open: Vec::new(), root: None, values: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line().max(1);
            match error.kind() {
                // The scanner looks ahead, so its own limit may be met before ours.
                ErrorKind::RecursionLimitExceeded => DocumentError::ConfigTooLarge { what: Excess::Depth { line } },
                kind => DocumentError::ConfigUnparseable { line, why: format!("it is not YAML: {kind}") },
            }
        })?;
        builder.take(event, span)?;
    }
    // An empty document is null.
    let nothing =
        || Node { span: 0..0, content: Content::Leaf(leaf(text, &(0..0), String::new(), Style::Plain, false)) };
    Ok(builder.root.unwrap_or_else(nothing))
}

/// What the second reader sees.
pub(super) fn witness(text: &str) -> Result<Value, DocumentError> {
    let options = serde_saphyr::options! {
        emit_comments: false,
        with_snippet: false,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // The reader's own limits are for input of unknown size; ours is known and its depth is checked before.
        budget: serde_saphyr::budget! {
            max_events: MAX_BYTES * 4,
            max_nodes: MAX_BYTES * 2,
            max_total_scalar_bytes: MAX_BYTES * 2,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| DocumentError::ConfigUnparseable {
        line: error.location().and_then(|place| usize::try_from(place.line()).ok()).unwrap_or(1),
        why: error.without_snippet().to_string(),
    })
}

/// The bytes of a value that says `landed` in the manner of `leaf`, or why there are none; `after` follows the value.
pub(super) fn spell(leaf: &Leaf, landed: String, after: &str) -> Result<String, &'static str> {
    let needs_quotes = leaf.kind == Kind::Text && leaf.style == Style::Plain && !is_safe_plain(&landed, leaf.flow);
    let space = after.split_once(|c: char| !c.is_ascii_whitespace()).map_or(after, |(space, _)| space);
    if needs_quotes && !leaf.flow && space.contains(['\n', '\r']) && space.contains('\t') {
        // libyaml takes a tab in an empty line for a part of a word, but not after quotes.
        return Err("the value would need quotes, and a tab in the empty lines after it would then be an error");
    }
    Ok(match (leaf.style, leaf.kind) {
        (Style::SingleQuoted, _) => format!("'{}'", landed.replace('\'', "''")),
        (Style::Plain | Style::Block, _) if !needs_quotes => landed,
        (Style::Plain | Style::Block | Style::DoubleQuoted, _) => {
            format!("\"{}\"", landed.replace('\\', "\\\\").replace('"', "\\\""))
        }
    })
}

/// Builds the tree from the parser's events.
struct Builder<'a> {
    text: &'a str,
    open: Vec<Open>,
    root: Option<Node>,
    /// How many nodes there are so far, without keys.
    values: usize,
}

/// A map or list whose end has not come.
struct Open {
    start: usize,
    flow: bool,
    inside: Inside,
}

enum Inside {
    Map { entries: Vec<(String, Node)>, key: Option<String> },
    List(Vec<Node>),
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), DocumentError> {
        let Some(bytes) = span.byte_range() else {
            return Err(self.refuse(0, "the place of its values cannot be told"));
        };
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.refuse(bytes.start, "a second document begins; only one document can be edited"))
            }
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _)
                if anchor > 0 =>
            {
                Err(self.refuse(bytes.start, "it has an anchor (&), by which one value can be in two places"))
            }
            Event::Scalar(.., Some(_)) | Event::SequenceStart(.., Some(_)) | Event::MappingStart(.., Some(_)) => {
                Err(self.refuse(bytes.start, "it has a tag (!), which changes what a value is"))
            }
            Event::Scalar(text, style, ..) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let flow = self.open.last().is_some_and(|open| open.flow);
                let leaf = leaf(self.text, &bytes, text.into_owned(), style, flow);
                self.add(Node { span: bytes, content: Content::Leaf(leaf) })
            }
            Event::SequenceStart(style, ..) => self.open(bytes.start, style, Inside::List(Vec::new())),
            Event::MappingStart(style, ..) => {
                self.open(bytes.start, style, Inside::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(bytes.end),
            Event::Alias(_) => {
                Err(self.refuse(bytes.start, "it has an alias (*), by which one value is in two places"))
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => Ok(()),
            // Comments are switched off, and so are the other events of tools.
            _ => Err(self.refuse(bytes.start, "it has something that cannot be edited")),
        }
    }

    fn open(&mut self, start: usize, style: StructureStyle, inside: Inside) -> Result<(), DocumentError> {
        if self.open.len() == MAX_DEPTH {
            return Err(DocumentError::too_deep(self.text, start));
        }
        self.open.push(Open { start, flow: style == StructureStyle::Flow, inside });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), DocumentError> {
        let Some(Open { start, inside, .. }) = self.open.pop() else {
            return Err(self.refuse(end, "a map or list ends that never began"));
        };
        let content = match inside {
            Inside::Map { entries, .. } => {
                tree::refuse_duplicates(self.text, &entries)?;
                Content::Map(entries)
            }
            Inside::List(items) => Content::List(items),
        };
        self.add(Node { span: start..end.max(start), content })
    }

    fn add(&mut self, node: Node) -> Result<(), DocumentError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(DocumentError::too_many());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { inside: Inside::List(items), .. }) => items.push(node),
            Some(Open { inside: Inside::Map { entries, key }, .. }) => {
                if let Some(name) = key.take() {
                    entries.push((name, node));
                } else {
                    *key = Some(key_of(self.text, node)?);
                    self.values -= 1;
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, offset: usize, why: &str) -> DocumentError {
        DocumentError::unparseable(self.text, offset, why)
    }
}

fn key_of(text: &str, node: Node) -> Result<String, DocumentError> {
    let why = match node.content {
        Content::Leaf(leaf) if leaf.text == "<<" => "it merges one map into another (<<)",
        Content::Leaf(leaf) if !matches!(leaf.kind, Kind::Null | Kind::Lines) => return Ok(leaf.text),
        Content::Leaf(_) | Content::Map(_) | Content::List(_) => "a key is not text of one line",
    };
    Err(DocumentError::unparseable(text, node.span.start, why))
}

fn leaf(document: &str, bytes: &Range<usize>, text: String, style: Style, flow: bool) -> Leaf {
    let source = document.get(bytes.clone()).unwrap_or_default();
    let (kind, ambiguous) = match style {
        Style::Block => (Kind::Lines, false),
        _ if source.contains(['\n', '\r']) => (Kind::Lines, false),
        Style::Plain if source.is_empty() => (Kind::Null, false),
        // libyaml takes `[?x]` for a map; in the 1.2 specification it is text.
        Style::Plain if flow && source.starts_with(['?', ':']) => (Kind::Text, true),
        Style::Plain => classify(&text),
        Style::SingleQuoted | Style::DoubleQuoted => (Kind::Text, false),
    };
    Leaf { kind, style, ambiguous, flow, typed: true, text }
}
