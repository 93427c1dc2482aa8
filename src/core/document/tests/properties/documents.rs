//! Documents at random, with everything around their values that people write.

use std::ops::Range;

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use crate::core::document::DocumentFormat;

/// A part of a document, with everything that is not content.
#[derive(Debug, Clone)]
enum Part {
    /// Source, and whether a policy may set it.
    Leaf(String, bool),
    /// Lines of `|` without indentation.
    Block(Vec<String>),
    Map(Vec<(Decor, String, Part)>),
    List(Vec<(Decor, Part)>),
    FlowMap(Vec<(Decor, String, Part)>),
    FlowList(Vec<(Decor, Part)>),
}

/// What stands around a value.
#[derive(Debug, Clone)]
struct Decor {
    above: Vec<String>,
    /// Between `:` or `-` and the value.
    gap: String,
    behind: String,
    quote_key: u8,
    /// Columns by which what is inside is indented.
    indent: usize,
}

fn decor() -> impl Strategy<Value = Decor> {
    let comment = "#[ -~éж]{0,8}";
    let above = vec(prop_oneof![Just(String::new()), Just("   ".to_owned()), comment], 0..2);
    let behind =
        prop_oneof![3 => Just(String::new()), 1 => Just("  ".to_owned()), 2 => comment.prop_map(|c| format!(" {c}."))];
    (above, "[ ]{1,3}", behind, 0..3_u8, 0..4_usize).prop_map(|(above, gap, behind, quote_key, indent)| Decor {
        above,
        gap,
        behind,
        quote_key,
        indent,
    })
}

/// Keys without what would need quotes.
fn key() -> impl Strategy<Value = String> {
    prop_oneof!["k[a-z0-9_./-]{0,6}", "[0-9]{1,3}", "ключ[0-9]?", Just("a~b/c".to_owned()), Just("yes".to_owned())]
}

fn leaf() -> impl Strategy<Value = Part> {
    let words = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned);
    let settable = prop_oneof![
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,4})?",
        words(&["010", "0x1F", "1_000", "1e3", "+5", "1.50", ".5", ".inf", "12:30", "0o17"]),
        words(&["true", "False", "yes", "NO", "on", "Off"]),
        "x[a-z0-9/._-]{0,8}( x[a-z]{0,3})?",
        words(&["30s", "2Gi", "80%", "redis://h:6379/0", "-Xmx1g", "два"]),
        "'([ -&(-~éж]|''){0,8}'",
        "\"([ !#-\\[\\]-~éж]|\\\\[\\\\\"nt]|\\\\x41){0,8}\"",
        "['][0-9]{1,3}[']",
        "\"[0-9]{1,3}\"",
        words(&["\"true\"", "'off'", "\"\"", "''"]),
    ]
    .prop_map(|source| Part::Leaf(source, true));
    let others = words(&["~", "null", "2026-11-21"]).prop_map(|source| Part::Leaf(source, false));
    let block = vec(prop_oneof![Just(String::new()), "[!-~][ -~]{0,8}"], 1..4).prop_map(Part::Block);
    prop_oneof![8 => settable, 1 => others, 1 => block]
}

fn part() -> impl Strategy<Value = Part> {
    let unique = |mut entries: Vec<(Decor, String, Part)>| {
        let mut seen = std::collections::BTreeSet::new();
        entries.retain(|(_, key, _)| seen.insert(key.clone()));
        entries
    };
    let flow = leaf().prop_recursive(2, 6, 3, move |inner| {
        prop_oneof![
            vec((decor(), key(), inner.clone()), 0..4).prop_map(move |e| Part::FlowMap(unique(e))),
            vec((decor(), inner), 0..4).prop_map(Part::FlowList),
        ]
    });
    prop_oneof![3 => leaf(), 1 => flow].prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            vec((decor(), key(), inner.clone()), 1..5).prop_map(move |e| Part::Map(unique(e))),
            vec((decor(), inner), 1..5).prop_map(Part::List),
        ]
    })
}

/// A value in the text: where it is, as policies say it, and its bytes.
#[derive(Debug, Clone)]
pub struct Place {
    pub at: String,
    pub bytes: Range<usize>,
}

/// A document and the values in it that can be set.
#[derive(Debug, Clone)]
pub struct Document {
    pub format: DocumentFormat,
    pub text: String,
    pub places: Vec<Place>,
}

struct Writer {
    text: String,
    places: Vec<Place>,
    line_end: &'static str,
}

impl Writer {
    fn line_end(&mut self) {
        self.text.push_str(self.line_end);
    }

    fn above(&mut self, decor: &Decor, indent: usize) {
        for line in &decor.above {
            self.text.push_str(&" ".repeat(indent));
            self.text.push_str(line);
            self.line_end();
        }
    }

    fn key(&mut self, key: &str, decor: &Decor) {
        let quote = ["", "'", "\""][usize::from(decor.quote_key)];
        self.text.extend([quote, key, quote]);
    }

    fn leaf(&mut self, source: &str, settable: bool, pointer: &str) {
        let start = self.text.len();
        self.text.push_str(source);
        if settable {
            self.places.push(Place { at: pointer.to_owned(), bytes: start..self.text.len() });
        }
    }

    /// Writes what follows `key:` or `-` up to the end of its last line.
    fn value(&mut self, part: &Part, decor: &Decor, indent: usize, pointer: &str) {
        match part {
            Part::Map(_) | Part::List(_) => {
                self.text.push_str(&decor.behind);
                self.line_end();
                // Lists may stand at the column of their key.
                let deeper = indent + decor.indent.max(usize::from(matches!(part, Part::Map(_))));
                self.block(part, deeper, pointer);
            }
            Part::Block(lines) => {
                self.text.push_str(&decor.gap);
                self.text.push_str("|2");
                self.line_end();
                for line in lines {
                    self.text.push_str(&" ".repeat(indent + 2));
                    self.text.push_str(line);
                    self.line_end();
                }
            }
            Part::Leaf(..) | Part::FlowMap(_) | Part::FlowList(_) => {
                self.text.push_str(&decor.gap);
                self.flow(part, pointer);
                self.text.push_str(&decor.behind);
                self.line_end();
            }
        }
    }

    fn block(&mut self, part: &Part, indent: usize, pointer: &str) {
        match part {
            Part::Map(entries) => {
                for (decor, key, part) in entries {
                    self.above(decor, indent);
                    self.text.push_str(&" ".repeat(indent));
                    self.key(key, decor);
                    self.text.push(':');
                    self.value(part, decor, indent, &below(pointer, key));
                }
            }
            Part::List(items) => {
                for (i, (decor, part)) in items.iter().enumerate() {
                    self.above(decor, indent);
                    self.text.push_str(&" ".repeat(indent));
                    self.text.push('-');
                    // A list in a list must be deeper than its dash.
                    let decor = Decor { indent: decor.indent.max(1), ..decor.clone() };
                    self.value(part, &decor, indent, &below(pointer, &i.to_string()));
                }
            }
            Part::Leaf(..) | Part::Block(_) | Part::FlowMap(_) | Part::FlowList(_) => self.value(
                part,
                &Decor { above: vec![], gap: String::new(), behind: String::new(), quote_key: 0, indent: 0 },
                indent,
                pointer,
            ),
        }
    }

    fn flow(&mut self, part: &Part, pointer: &str) {
        match part {
            // A colon without a space is no text everywhere in a flow map.
            Part::Leaf(source, settable) => self.leaf(source, *settable, pointer),
            Part::FlowMap(entries) => {
                self.text.push('{');
                for (i, (decor, key, part)) in entries.iter().enumerate() {
                    self.text.push_str(if i > 0 { "," } else { "" });
                    self.text.push_str(&decor.gap);
                    self.key(key, decor);
                    self.text.push(':');
                    self.text.push_str(&decor.gap);
                    self.flow(part, &below(pointer, key));
                }
                self.text.push_str(" }");
            }
            Part::FlowList(items) => {
                self.text.push('[');
                for (i, (decor, part)) in items.iter().enumerate() {
                    self.text.push_str(if i > 0 { "," } else { "" });
                    self.text.push_str(&decor.gap);
                    self.flow(part, &below(pointer, &i.to_string()));
                }
                self.text.push_str(" ]");
            }
            Part::Block(_) | Part::Map(_) | Part::List(_) => self.text.push_str("null"),
        }
    }

    fn yaml(&mut self, part: &Part, start: u8) {
        self.text.push_str(["", "---", "--- # c"][usize::from(start)]);
        if start > 0 {
            self.line_end();
        }
        self.block(part, 0, "");
    }

    /// The same tree as JSON; comments become nothing and words become text.
    fn json(&mut self, part: &Part, pointer: &str) {
        match part {
            Part::Leaf(source, _) => match serde_json::from_str::<Value>(source) {
                Ok(value) => self.leaf(source, !value.is_null(), pointer),
                Err(_) => self.leaf(&Value::from(source.as_str()).to_string(), true, pointer),
            },
            Part::Block(lines) => self.leaf(&Value::from(lines.join("\n")).to_string(), true, pointer),
            Part::Map(entries) | Part::FlowMap(entries) => {
                self.text.push('{');
                for (i, (decor, key, part)) in entries.iter().enumerate() {
                    self.text.push_str(if i > 0 { "," } else { "" });
                    self.line_end();
                    self.text.push_str(&decor.gap);
                    self.text.push_str(&Value::from(key.as_str()).to_string());
                    self.text.push_str(if decor.quote_key > 0 { " :" } else { ":" });
                    self.text.push_str(&decor.gap);
                    self.json(part, &below(pointer, key));
                }
                self.text.push_str(" }");
            }
            Part::List(items) | Part::FlowList(items) => {
                self.text.push('[');
                for (i, (decor, part)) in items.iter().enumerate() {
                    self.text.push_str(if i > 0 { "," } else { "" });
                    self.text.push_str(&decor.gap);
                    self.json(part, &below(pointer, &i.to_string()));
                }
                self.text.push(']');
            }
        }
    }
}

pub fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Sections of keys with sources of values, all on lines of their own.
type Lines = Vec<(String, Vec<(Decor, String, String, String)>)>;

/// Values that every reader of lines takes for the same, and keys that differ in more than case.
fn lines(format: DocumentFormat) -> impl Strategy<Value = Lines> {
    let source = prop_oneof![
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,4})?",
        "[a-z0-9/][a-z0-9/._:%-]{0,7}",
        "'[a-z0-9%@ ]{0,8}'",
        "\"[a-z0-9%@ ]{0,8}\"",
        prop::sample::select(&["on", "No", "true", "4MB", "5min"][..]).prop_map(str::to_owned),
    ];
    let signs = match format {
        DocumentFormat::Conf => &["=", " = ", " ", "\t"][..],
        DocumentFormat::Ini => &["=", " = ", ": ", " : "],
        _ => &["=", " = ", ":", " ", "\t= "],
    };
    let sign = prop::sample::select(signs).prop_map(str::to_owned);
    let entries = vec((decor(), "k[a-z0-9_.-]{0,6}", sign, source), 0..6).prop_map(|mut entries| {
        let mut seen = std::collections::BTreeSet::new();
        entries.retain(|(_, key, ..)| seen.insert(key.clone()));
        entries
    });
    // The first has no name; the others are for INI.
    let sections = if format == DocumentFormat::Ini { 1..4 } else { 1..2_usize };
    vec(entries, sections).prop_map(|sections| {
        let name = |i: usize| if i == 0 { String::new() } else { format!("s{i}") };
        sections.into_iter().enumerate().map(|(i, entries)| (name(i), entries)).collect()
    })
}

/// The text of anything at all in that format, and where its values are.
pub fn document(format: DocumentFormat) -> BoxedStrategy<Document> {
    let frame = (any::<bool>(), 0..3_u8, any::<bool>());
    let written = move |(crlf, _, cut): (bool, u8, bool), write: &dyn Fn(&mut Writer)| {
        let line_end = if crlf { "\r\n" } else { "\n" };
        let mut writer = Writer { text: String::new(), places: Vec::new(), line_end };
        write(&mut writer);
        let Writer { mut text, places, .. } = writer;
        // A value that is nothing is where its line ends.
        if cut && text.ends_with(line_end) {
            text.truncate(text.len() - line_end.len());
        }
        Document { format, text, places }
    };
    let documents = if format.is_lines() {
        (lines(format), frame)
            .prop_map(move |(lines, frame)| written(frame, &|writer| writer.lines(format, &lines)))
            .boxed()
    } else {
        let write = move |writer: &mut Writer, part: &Part, start: u8| match format {
            DocumentFormat::Yaml => writer.yaml(part, start),
            DocumentFormat::Toml => writer.toml(part),
            _ => {
                writer.json(part, "");
                writer.line_end();
            }
        };
        (part(), frame).prop_map(move |(part, frame)| written(frame, &|writer| write(writer, &part, frame.1))).boxed()
    };
    documents.prop_filter("nothing to set", |document| !document.places.is_empty()).boxed()
}

impl Writer {
    /// The same tree as TOML: maps become tables, some of them dotted keys; words become text.
    fn toml(&mut self, part: &Part) {
        match part {
            Part::Map(entries) => self.table(entries, &[], ""),
            part => {
                let decor = Decor { above: vec![], gap: " ".into(), behind: String::new(), quote_key: 0, indent: 0 };
                self.table(&[(decor, "root".into(), part.clone())], &[], "");
            }
        }
    }

    fn table(&mut self, entries: &[(Decor, String, Part)], header: &[String], pointer: &str) {
        let is_table = |part: &Part| matches!(part, Part::Map(_));
        let are_tables =
            |part: &Part| matches!(part, Part::List(items) if items.iter().all(|(_, item)| is_table(item)));
        // What belongs to this table stands before the first header.
        let (tables, values): (Vec<_>, Vec<_>) =
            entries.iter().partition(|(decor, _, part)| (is_table(part) && decor.indent > 0) || are_tables(part));
        for (decor, key, part) in values {
            self.dotted(decor, &toml_key(key, decor), part, &below(pointer, key));
        }
        for (decor, key, part) in tables {
            let header = [header, &[toml_key(key, decor)]].concat();
            let pointer = below(pointer, key);
            let tables: Vec<(String, &Part)> = match part {
                Part::List(items) => {
                    items.iter().enumerate().map(|(i, (_, item))| (below(&pointer, &i.to_string()), item)).collect()
                }
                part => vec![(pointer, part)],
            };
            for (pointer, table) in tables {
                let brackets = if are_tables(part) { ["[[", "]]"] } else { ["[", "]"] };
                self.above(decor, decor.indent);
                self.text.extend([brackets[0], &header.join("."), brackets[1], &decor.behind]);
                self.line_end();
                if let Part::Map(entries) = table {
                    self.table(entries, &header, &pointer);
                }
            }
        }
    }

    /// One line, or as many as a map without a table of its own has values.
    fn dotted(&mut self, decor: &Decor, key: &str, part: &Part, pointer: &str) {
        if let Part::Map(entries) = part {
            for (decor, name, part) in entries {
                self.dotted(decor, &[key, &toml_key(name, decor)].join("."), part, &below(pointer, name));
            }
            return;
        }
        self.above(decor, decor.indent);
        self.text.extend([&" ".repeat(decor.indent), key, &decor.gap, "=", &decor.gap]);
        self.toml_value(part, pointer);
        self.text.push_str(&decor.behind);
        self.line_end();
    }

    fn toml_value(&mut self, part: &Part, pointer: &str) {
        match part {
            Part::Leaf(source, _) => {
                use toml_edit::Value::{Boolean, Float, Integer, String};
                // The second reader has neither dates nor what came with TOML 1.1; text of several lines cannot be set.
                let is_value = matches!(source.parse(), Ok(String(_) | Integer(_) | Float(_) | Boolean(_)));
                if is_value && !["\\x", "'''", "\"\"\""].iter().any(|other| source.contains(other)) {
                    self.leaf(source, true, pointer);
                } else {
                    self.leaf(&Value::from(source.as_str()).to_string(), true, pointer);
                }
            }
            Part::Block(lines) => {
                let lines = lines.join(self.line_end).replace('\'', "`");
                self.text.extend(["'''", self.line_end, &lines, "'''"]);
            }
            Part::Map(entries) | Part::FlowMap(entries) => {
                self.text.push('{');
                for (i, (decor, key, part)) in entries.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    self.text.extend([comma, &decor.gap, &toml_key(key, decor), &decor.gap, "="]);
                    self.toml_value(part, &below(pointer, key));
                }
                self.text.push_str(" }");
            }
            Part::List(items) | Part::FlowList(items) => {
                self.text.push('[');
                for (i, (decor, part)) in items.iter().enumerate() {
                    self.line_end();
                    self.above(decor, decor.indent);
                    self.text.push_str(&decor.gap);
                    self.toml_value(part, &below(pointer, &i.to_string()));
                    self.text.extend([",", &decor.behind]);
                }
                self.line_end();
                self.text.push(']');
            }
        }
    }

    fn lines(&mut self, format: DocumentFormat, sections: &Lines) {
        for (section, entries) in sections {
            if !section.is_empty() {
                self.text.extend(["[", section, "]"]);
                self.line_end();
            }
            for (decor, key, sign, source) in entries {
                self.above(decor, 0);
                self.text.extend([key.as_str(), sign]);
                let at = if section.is_empty() { key.clone() } else { format!("{section}/{key}") };
                self.leaf(source, true, &at);
                // In properties it would be the value's, and a backslash at the end of a line goes on in the next.
                if format != DocumentFormat::Properties && !decor.behind.ends_with('\\') {
                    self.text.push_str(&decor.behind);
                }
                self.line_end();
            }
        }
    }
}

fn toml_key(key: &str, decor: &Decor) -> String {
    let is_bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let quote = match decor.quote_key {
        0 if is_bare => "",
        1 => "'",
        _ => "\"",
    };
    [quote, key, quote].concat()
}
