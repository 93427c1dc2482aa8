//! Documents made at random, whose maker knows which bytes each value has: an edit may touch those and no other.

use std::ops::Range;

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::Value;

use super::super::*;
use crate::core::units::Decimal;

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
        prop_oneof![3 => Just(String::new()), 1 => Just("  ".to_owned()), 2 => comment.prop_map(|c| format!(" {c}"))];
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

/// A value in the text: where it is in the tree, and its bytes.
#[derive(Debug, Clone)]
struct Place {
    pointer: String,
    bytes: Range<usize>,
}

/// A document and the values in it that can be set.
#[derive(Debug, Clone)]
struct Document {
    text: String,
    places: Vec<Place>,
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
            self.places.push(Place { pointer: pointer.to_owned(), bytes: start..self.text.len() });
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

fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn document(format: DocumentFormat) -> impl Strategy<Value = Document> {
    let frame = (any::<bool>(), 0..3_u8, any::<bool>());
    (part(), frame)
        .prop_map(move |(part, (crlf, start, cut))| {
            let line_end = if crlf { "\r\n" } else { "\n" };
            let mut writer = Writer { text: String::new(), places: Vec::new(), line_end };
            if format == DocumentFormat::Yaml {
                writer.text.push_str(["", "---", "--- # c"][usize::from(start)]);
                if start > 0 {
                    writer.line_end();
                }
                writer.block(&part, 0, "");
            } else {
                writer.json(&part, "");
                writer.line_end();
            }
            let Writer { mut text, places, .. } = writer;
            if cut {
                text.truncate(text.len() - line_end.len());
            }
            Document { text, places }
        })
        .prop_filter("nothing to set", |document| !document.places.is_empty())
}

/// Something that can land on a value of `kind`.
fn scalar() -> impl Strategy<Value = [Scalar; 3]> {
    let text = prop_oneof![
        "[ -~éж]{0,12}",
        "\\PC{0,12}",
        prop::sample::select(
            &["yes", "010", "1e3", "null", "~", "a: b", "a #b", "", "-", "1:30", "2026-11-21", "<<"][..]
        )
        .prop_map(str::to_owned),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(Decimal::from_int),
        (-10_000_000_000_000_i128..10_000_000_000_000).prop_map(Decimal::from_nanos),
        (0..100_i64).prop_map(Decimal::from_int)
    ];
    (text, number, any::<bool>())
        .prop_map(|(text, number, switch)| [Scalar::Text(text), Scalar::Number(number), Scalar::Boolean(switch)])
}

/// The leaves of what a reader of its own sees, with their paths.
fn leaves(value: &Value, path: &str, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, &below(path, key), into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| leaves(value, &below(path, &i.to_string()), into));
        }
        leaf => into.push((path.to_owned(), leaf.clone())),
    }
}

fn leaves_of(format: DocumentFormat, text: &str) -> Vec<(String, Value)> {
    let value = match format {
        DocumentFormat::Yaml => {
            let options = serde_saphyr::options! {
                non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
            };
            serde_saphyr::from_str_with_options(text, options).unwrap()
        }
        _ => serde_json::from_str(text).unwrap(),
    };
    let mut leaves_found = Vec::new();
    leaves(&value, "", &mut leaves_found);
    leaves_found
}

/// Every property of one edit; returns how many of the three scalars landed.
fn check(
    format: DocumentFormat,
    document: &Document,
    place: &Place,
    scalars: &[Scalar],
) -> Result<usize, TestCaseError> {
    let Document { text, .. } = document;
    let address = Address::parse(format, &place.pointer).unwrap();
    let found = read(text, &address).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
    prop_assert_eq!(&found.source, &text[place.bytes.clone()]);
    let mut landed = 0;
    for wanted in scalars {
        let edited = match edit(text, &address, wanted) {
            Ok(edited) => edited,
            Err(error) => {
                prop_assert!(matches!(error, DocumentError::KeyTypeMismatch { .. }), "{wanted:?}: {error}\n{text}");
                continue;
            }
        };
        landed += 1;
        prop_assert_eq!(edited.previous.as_deref(), Some(&text[place.bytes.clone()]));
        prop_assert_eq!(edited.changed, edited.text != *text);
        // No byte outside the value.
        prop_assert!(edited.text.starts_with(&text[..place.bytes.start]));
        prop_assert!(edited.text.ends_with(&text[place.bytes.end..]));
        // Exactly one leaf, for another reader.
        let (before, after) = (leaves_of(format, text), leaves_of(format, &edited.text));
        prop_assert_eq!(before.len(), after.len());
        for ((path, was), (path_after, is)) in before.iter().zip(&after) {
            prop_assert_eq!(path, path_after);
            if *path != place.pointer {
                prop_assert_eq!(was, is);
            } else if edited.changed {
                match (wanted, is) {
                    (Scalar::Text(wanted), is) => prop_assert_eq!(is.as_str(), Some(wanted.as_str())),
                    (Scalar::Number(wanted), Value::Number(is)) => {
                        // serde_json rounds the last digit of a float as it likes.
                        let (is, wanted) = (is.as_f64().unwrap(), wanted.to_string().parse::<f64>().unwrap());
                        prop_assert!((is - wanted).abs() <= wanted.abs() * 1e-12, "{is} {wanted}");
                    }
                    (Scalar::Number(wanted), is) => prop_assert_eq!(is, &Value::from(wanted.to_string())),
                    (Scalar::Boolean(wanted), Value::Bool(is)) => prop_assert_eq!(is, wanted),
                    (Scalar::Boolean(_), is) => prop_assert!(is.is_string()),
                }
            }
        }
        // Once is enough.
        let again = edit(&edited.text, &address, wanted).unwrap();
        prop_assert!(!again.changed);
        prop_assert_eq!(&again.text, &edited.text);
        // And back.
        prop_assert_eq!(&restore(&edited.text, &address, edited.previous.as_deref()).unwrap().text, text);
    }
    Ok(landed)
}

fn check_some(
    format: DocumentFormat,
    document: &Document,
    pick: Index,
    scalars: &[Scalar],
) -> Result<(), TestCaseError> {
    check(format, document, pick.get(&document.places), scalars).map(drop)
}

proptest! {
    #[test]
    fn an_edit_of_yaml_changes_one_value_and_can_be_undone(
        document in document(DocumentFormat::Yaml), pick: Index, scalars in scalar(),
    ) {
        check_some(DocumentFormat::Yaml, &document, pick, &scalars)?;
    }

    #[test]
    fn an_edit_of_json_changes_one_value_and_can_be_undone(
        document in document(DocumentFormat::Json), pick: Index, scalars in scalar(),
    ) {
        check_some(DocumentFormat::Json, &document, pick, &scalars)?;
    }

    #[test]
    fn no_text_makes_it_panic(
        text in prop_oneof!["\\PC*", "(?s).{0,200}", "[-?:,\\[\\]{}#&*!|>'\"%@ \\\\\t\r\n\0\u{feff}\u{202e}a1~<]{0,80}"],
        previous in "(?s).{0,10}",
        place in "(/(0|1|a|[a-z~/]{0,3})){0,4}",
        scalars in scalar(),
    ) {
        for format in DocumentFormat::ALL {
            let Ok(address) = Address::parse(format, &place) else { continue };
            for wanted in &scalars {
                if let Ok(edited) = edit(&text, &address, wanted) {
                    prop_assert_eq!(restore(&edited.text, &address, edited.previous.as_deref()).unwrap().text, text.clone());
                }
            }
            let _ = restore(&text, &address, Some(&previous));
        }
    }

    #[test]
    fn a_damaged_document_is_edited_properly_or_refused(
        document in document(DocumentFormat::Yaml), pick: Index, at: Index, with in "(?s)[-?:,\\[\\]{}#&*!|>'\" \t\r\na1]{0,3}", scalars in scalar(),
    ) {
        let cuts: Vec<usize> = (0..=document.text.len()).filter(|&i| document.text.is_char_boundary(i)).collect();
        let mut text = document.text.clone();
        text.insert_str(*at.get(&cuts), &with);
        let address = Address::parse(DocumentFormat::Yaml, &pick.get(&document.places).pointer).unwrap();
        for wanted in &scalars {
            if let Ok(edited) = edit(&text, &address, wanted) {
                prop_assert_eq!(restore(&edited.text, &address, edited.previous.as_deref()).unwrap().text, text.clone());
                let differing = leaves_of(DocumentFormat::Yaml, &text)
                    .iter()
                    .zip(&leaves_of(DocumentFormat::Yaml, &edited.text))
                    .filter(|(a, b)| a != b)
                    .count();
                prop_assert!(differing <= 1);
            }
        }
    }
}

/// A property that is never tried proves nothing.
#[test]
fn most_values_take_a_scalar() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    for format in [DocumentFormat::Yaml, DocumentFormat::Json] {
        let mut runner = TestRunner::deterministic();
        let (mut places, mut landed) = (0, 0);
        for _ in 0..100 {
            let document = document(format).new_tree(&mut runner).unwrap().current();
            let scalars = scalar().new_tree(&mut runner).unwrap().current();
            for place in &document.places {
                places += 1;
                landed += usize::from(check(format, &document, place, &scalars).unwrap() > 0);
            }
        }
        assert!(places > 200 && landed * 10 > places * 8, "{format}: {landed} of {places}");
    }
}
