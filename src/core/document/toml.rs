//! TOML 1.1, which includes 1.0: where every value is, and the spelling of values.
//!
//! The parser of `toml_edit` reports the bytes of every value. Its editor is not used: a value that is assigned loses the
//! comment and the blanks around it, and line ends become those of Unix.

use toml_edit::{Document, Item, TableLike, Value};

use super::{
    DocumentError, Kind, MAX_DEPTH, MAX_VALUES, Mismatch,
    tree::{Content, Leaf, Node, Style},
};

/// Parses a document. The grammar itself forbids a key to come twice.
pub(super) fn parse(text: &str) -> Result<Node, DocumentError> {
    let document = Document::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let why = error.message();
        // The parser's own limit is deeper than ours; what exceeds it never gets to `Builder`.
        if why.contains("recurs") {
            return DocumentError::too_deep(text, offset);
        }
        DocumentError::unparseable(
            text,
            offset,
            format!("it is not TOML: {}", why.lines().collect::<Vec<_>>().join("; ")),
        )
    })?;
    Builder { text, values: 0 }.item(document.as_item(), 0)
}

/// The bytes of a value that says `landed` in the manner of `leaf`, if its type can hold that.
pub(super) fn spell(leaf: &Leaf, landed: String) -> Result<String, Mismatch> {
    let is_whole = |number: &str| number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    match (leaf.kind, leaf.style) {
        (Kind::Text, Style::SingleQuoted) if !landed.contains('\'') => Ok(format!("'{landed}'")),
        (Kind::Text, _) => Ok(format!("\"{}\"", landed.replace('\\', "\\\\").replace('"', "\\\""))),
        (Kind::Number, _) if is_whole(&leaf.text) && landed.parse::<i64>().is_err() => Err(Mismatch::Whole),
        // Infinity is a number with a fraction, too.
        (Kind::Number, _) if !is_whole(&leaf.text) && is_whole(&landed) => Ok(landed + ".0"),
        _ => Ok(landed),
    }
}

/// Builds the tree from the parser's tables.
struct Builder<'a> {
    text: &'a str,
    values: usize,
}

impl Builder<'_> {
    fn item(&mut self, item: &Item, depth: usize) -> Result<Node, DocumentError> {
        let content = match item {
            Item::Value(value) => return self.value(value, depth),
            Item::Table(table) => self.table(table, depth)?,
            Item::ArrayOfTables(tables) => {
                self.count()?;
                let start = tables.span().map_or(0, |span| span.start);
                self.bound(start, depth)?;
                let tables = tables.iter().map(|table| {
                    let content = self.table(table, depth + 1)?;
                    Ok(Node { span: table.span().unwrap_or_default(), content })
                });
                Content::List(tables.collect::<Result<_, DocumentError>>()?)
            }
            Item::None => Content::Map(Vec::new()),
        };
        Ok(Node { span: item.span().unwrap_or_default(), content })
    }

    fn table(&mut self, table: &dyn TableLike, depth: usize) -> Result<Content, DocumentError> {
        self.count()?;
        let entries = table.iter().map(|(key, item)| {
            self.bound(item.span().map_or(0, |span| span.start), depth)?;
            Ok((key.to_owned(), self.item(item, depth + 1)?))
        });
        Ok(Content::Map(entries.collect::<Result<_, DocumentError>>()?))
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<Node, DocumentError> {
        let span = value.span().unwrap_or_default();
        let content = match value {
            Value::InlineTable(table) => self.table(table, depth)?,
            Value::Array(items) => {
                self.count()?;
                let items = items.iter().map(|item| {
                    self.bound(span.start, depth)?;
                    self.value(item, depth + 1)
                });
                Content::List(items.collect::<Result<_, DocumentError>>()?)
            }
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                self.count()?;
                Content::Leaf(leaf(value, self.text.get(span.clone()).unwrap_or_default()))
            }
        };
        Ok(Node { span, content })
    }

    fn count(&mut self) -> Result<(), DocumentError> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(DocumentError::too_many()) } else { Ok(()) }
    }

    /// Whether something may be inside of what is `depth` levels below the root.
    fn bound(&self, offset: usize, depth: usize) -> Result<(), DocumentError> {
        if depth < MAX_DEPTH { Ok(()) } else { Err(DocumentError::too_deep(self.text, offset)) }
    }
}

fn leaf(value: &Value, source: &str) -> Leaf {
    let style = match source.as_bytes() {
        [b'"', ..] => Style::DoubleQuoted,
        [b'\'', ..] => Style::SingleQuoted,
        _ => Style::Plain,
    };
    let several_lines = source.starts_with("\"\"\"") || source.starts_with("'''");
    let (kind, text) = match value {
        Value::String(_) if several_lines => (Kind::Lines, String::new()),
        Value::String(text) => (Kind::Text, text.value().clone()),
        // Sixteen and `0x10` are the same number, and so are `1_000` and a thousand.
        Value::Integer(number) => (Kind::Number, number.value().to_string()),
        Value::Float(_) => (Kind::Number, source.replace('_', "")),
        Value::Boolean(switch) => (Kind::Boolean, switch.value().to_string()),
        Value::Datetime(_) => (Kind::Date, source.to_owned()),
        Value::Array(_) => (Kind::List, String::new()),
        Value::InlineTable(_) => (Kind::Map, String::new()),
    };
    Leaf { kind, style, ambiguous: false, flow: false, typed: true, text }
}
