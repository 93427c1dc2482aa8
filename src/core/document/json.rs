//! JSON (RFC 8259): a parser that knows where every value is, and the spelling of values.

use serde_json::Value;

use super::{
    DocumentError, Kind, MAX_DEPTH, MAX_VALUES,
    tree::{self, Content, Leaf, Node, Style},
};

/// Parses a document and refuses keys that come twice.
pub(super) fn parse(text: &str) -> Result<Node, DocumentError> {
    let mut parser = Parser { text, at: 0, depth: 0, values: 0 };
    parser.skip_space();
    let root = parser.value()?;
    parser.skip_space();
    if parser.at < text.len() { Err(parser.refuse("there is more after the end of the document")) } else { Ok(root) }
}

/// What the second reader sees.
pub(super) fn witness(text: &str) -> Result<Value, DocumentError> {
    serde_json::from_str(text)
        .map_err(|error| DocumentError::ConfigUnparseable { line: error.line().max(1), why: error.to_string() })
}

/// The bytes of a value that says `landed` in the manner of `leaf`.
pub(super) fn spell(leaf: &Leaf, landed: &str) -> String {
    match leaf.kind {
        Kind::Text => Value::from(landed).to_string(),
        _ => landed.to_owned(),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    values: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_while(&mut self, accept: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let skipped = rest.iter().take_while(|&&byte| accept(byte)).count();
        self.at += skipped;
        skipped
    }

    fn skip_space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn refuse(&self, why: &str) -> DocumentError {
        DocumentError::unparseable(self.text, self.at, why)
    }

    fn value(&mut self) -> Result<Node, DocumentError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(DocumentError::too_many());
        }
        let start = self.at;
        let content = match self.peek() {
            Some(b'{') => self.nested(Self::map)?,
            Some(b'[') => self.nested(Self::list)?,
            Some(b'"') => Content::Leaf(leaf(Kind::Text, Style::DoubleQuoted, self.string()?)),
            Some(b'-' | b'0'..=b'9') => Content::Leaf(leaf(Kind::Number, Style::Plain, self.number()?)),
            Some(_) => self.word()?,
            None => return Err(self.refuse("the document ends where a value must be")),
        };
        Ok(Node { span: start..self.at, content })
    }

    fn nested(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<Content, DocumentError>,
    ) -> Result<Content, DocumentError> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(DocumentError::too_deep(self.text, self.at));
        }
        let content = inside(self);
        self.depth -= 1;
        content
    }

    fn map(&mut self) -> Result<Content, DocumentError> {
        let mut entries = Vec::new();
        self.items(b'}', |parser| {
            let key = parser.string()?;
            parser.skip_space();
            if !parser.take(b':') {
                return Err(parser.refuse("a key must be followed by a colon"));
            }
            parser.skip_space();
            entries.push((key, parser.value()?));
            Ok(())
        })?;
        tree::refuse_duplicates(self.text, &entries)?;
        Ok(Content::Map(entries))
    }

    fn list(&mut self) -> Result<Content, DocumentError> {
        let mut items = Vec::new();
        self.items(b']', |parser| {
            items.push(parser.value()?);
            Ok(())
        })?;
        Ok(Content::List(items))
    }

    /// Items with commas between them, up to and with `end`.
    fn items(
        &mut self,
        end: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), DocumentError>,
    ) -> Result<(), DocumentError> {
        self.skip_space();
        if self.take(end) {
            return Ok(());
        }
        loop {
            item(self)?;
            self.skip_space();
            if self.take(end) {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.refuse("a comma or a closing bracket is missing"));
            }
            self.skip_space();
        }
    }

    fn string(&mut self) -> Result<String, DocumentError> {
        let start = self.at;
        if !self.take(b'"') {
            return Err(self.refuse("text in double quotes is missing"));
        }
        loop {
            self.skip_while(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
            match self.peek() {
                Some(b'"') => break,
                // The escaped byte is skipped, so that `\"` does not end the text. What it means, serde_json says.
                Some(b'\\') => self.at += 2,
                Some(_) => return Err(self.refuse("text holds a control character")),
                None => return Err(self.refuse("the document ends inside text")),
            }
        }
        self.at += 1;
        let source = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(source)
            .map_err(|_| DocumentError::unparseable(self.text, start, "text has a wrong escape"))
    }

    fn number(&mut self) -> Result<String, DocumentError> {
        let start = self.at;
        self.take(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.skip_while(|byte| byte.is_ascii_digit());
        let mut valid = digits > 0 && !(leading_zero && digits > 1);
        if self.take(b'.') {
            valid &= self.skip_while(|byte| byte.is_ascii_digit()) > 0;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'-') || self.take(b'+');
            valid &= self.skip_while(|byte| byte.is_ascii_digit()) > 0;
        }
        let source = self.text.get(start..self.at).unwrap_or_default();
        if valid {
            Ok(source.to_owned())
        } else {
            Err(DocumentError::unparseable(self.text, start, "a number is not written as JSON has it"))
        }
    }

    fn word(&mut self) -> Result<Content, DocumentError> {
        let start = self.at;
        self.skip_while(|byte| byte.is_ascii_alphanumeric());
        let kind = match self.text.get(start..self.at) {
            Some("true" | "false") => Kind::Boolean,
            Some("null") => Kind::Null,
            _ => return Err(DocumentError::unparseable(self.text, start, "a value is missing or has no quotes")),
        };
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(Content::Leaf(leaf(kind, Style::Plain, text.to_owned())))
    }
}

const fn leaf(kind: Kind, style: Style, text: String) -> Leaf {
    Leaf { kind, style, ambiguous: false, flow: true, typed: true, text }
}
