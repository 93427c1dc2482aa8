mod properties;
mod samples;
mod toml;

use super::*;
use crate::{api::conditions::Reason, core::units::Decimal};

fn at(format: DocumentFormat, at: &str) -> Address {
    Address::parse(format, at).unwrap()
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.into())
}

fn number(text: &str) -> Scalar {
    Scalar::Number(Decimal::parse(text).unwrap())
}

/// Edits, compares, edits again, and puts the value back.
#[track_caller]
fn check_in(format: DocumentFormat, before: &str, place: &str, wanted: &Scalar, after: &str) {
    let address = at(format, place);
    let edited = edit(before, &address, wanted).unwrap();
    assert_eq!(edited.text, after);
    assert_eq!(edited.changed, before != after);
    assert_eq!(edited.now, read(after, &address).unwrap().source);
    assert!(read(&edited.text, &address).unwrap().holds(wanted));
    let again = edit(&edited.text, &address, wanted).unwrap();
    assert_eq!((again.text.as_str(), again.changed), (after, false));
    let restored = restore(after, &address, edited.previous.as_deref()).unwrap();
    assert_eq!(restored.text, before);
    assert_eq!(restored.changed, before != after);
}

#[track_caller]
fn check(before: &str, place: &str, wanted: &Scalar, after: &str) {
    check_in(DocumentFormat::Yaml, before, place, wanted, after);
}

#[track_caller]
fn check_json(before: &str, place: &str, wanted: &Scalar, after: &str) {
    check_in(DocumentFormat::Json, before, place, wanted, after);
}

#[track_caller]
fn refused_in(format: DocumentFormat, before: &str, place: &str, wanted: &Scalar, reason: Reason, message: &str) {
    let error = edit(before, &at(format, place), wanted).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.reason()), (message, reason));
}

#[track_caller]
fn refused(before: &str, place: &str, wanted: &Scalar, reason: Reason, message: &str) {
    refused_in(DocumentFormat::Yaml, before, place, wanted, reason, message);
}

/// A document that cannot be edited, and why, after `cannot edit the document because of line `.
#[track_caller]
fn unparseable(before: &str, why: &str) {
    let message = format!("cannot edit the document because of line {why}");
    refused(before, "/a", &number("5"), Reason::ConfigUnparseable, &message);
}

const CONFIG: &str = "\
# Grace
---
database:   # the pool
  pool_size:    20      # per process
  'host': \"db.example\"
  timeout: 30s
servers:
- name: a
  port: 8080
-   name: b   # second
    port: 8081
flags: {debug: no, levels: [1, 2.50 , x]}
motd: |
  pool_size: 99

  # not a comment
ключ: два
...
";

#[test]
fn every_byte_around_the_value_stays() {
    let set = |place: &str, wanted: &Scalar, from: &str, to: &str| {
        assert_eq!(CONFIG.matches(from).count(), 1, "{from}");
        check(CONFIG, place, wanted, &CONFIG.replace(from, to));
    };
    set("/database/pool_size", &number("40"), "  20   ", "  40   ");
    set("/database/host", &text("x.example"), "db.example", "x.example");
    set("/database/timeout", &text("1m30s"), "30s", "1m30s");
    set("/servers/1/port", &number("9"), "8081", "9");
    set("/servers/1/name", &text("# c"), "b   # second", "\"# c\"   # second");
    set("/flags/debug", &Scalar::Boolean(true), "no,", "yes,");
    set("/flags/levels/1", &number("3"), "2.50 ", "3.0 ");
    set("/flags/levels/2", &text("a,b"), "x]", "\"a,b\"]");
    set("/ключ", &text("три"), "два", "три");
}

#[test]
fn line_ends_stay_as_they_are() {
    check("a: 1\r\nb: 2 # c\r\n", "/b", &number("3"), "a: 1\r\nb: 3 # c\r\n");
    check("a: 1\r\nb: 2\nc: 3\r\n", "/b", &number("30"), "a: 1\r\nb: 30\nc: 3\r\n");
    check("a: 1\r\nb: 2", "/b", &number("3"), "a: 1\r\nb: 3");
    check("a: 1\n\n\n", "/a", &number("3"), "a: 3\n\n\n");
    check("a:\t1\t# c\n", "/a", &number("3"), "a:\t3\t# c\n");
}

#[test]
fn equal_values_keep_their_bytes() {
    for (held, wanted) in [
        ("20", number("20")),
        ("20.0", number("20")),
        ("+20", number("20")),
        ("0.750", number("0.75")),
        ("-0", number("0")),
        ("1.5e+3", number("1500")),
        ("\"20\"", number("20")),
        ("'20.0'", number("20")),
        ("yes", Scalar::Boolean(true)),
        ("FALSE", Scalar::Boolean(false)),
        ("\"On\"", Scalar::Boolean(true)),
        ("30s", text("30s")),
        ("\"\\x41\"", text("A")),
        ("'it''s'", text("it's")),
    ] {
        let document = format!("a:  {held} # c\n");
        check(&document, "/a", &wanted, &document);
    }
}

#[test]
fn the_type_and_the_quotes_stay() {
    for (held, wanted, becomes) in [
        ("20", number("0.5"), "0.5"),
        ("0.5", number("2"), "2.0"),
        ("1e3", number("-2"), "-2.0"),
        ("\"20\"", number("30"), "\"30\""),
        ("'20'", number("30.5"), "'30.5'"),
        ("\"20s\"", text("30"), "\"30\""),
        ("'a'", text("it's: \"x\""), "'it''s: \"x\"'"),
        ("\"a\"", text("C:\\x \"y\""), "\"C:\\\\x \\\"y\\\"\""),
        ("on", Scalar::Boolean(false), "off"),
        ("True", Scalar::Boolean(false), "False"),
        ("'YES'", Scalar::Boolean(false), "'NO'"),
        // What readers disagree about is never equal; it becomes what they agree about.
        ("010", number("10"), "10"),
        ("1_000", number("1000"), "1000"),
        ("0x1F", number("31"), "31"),
        ("12:30", number("750"), "750"),
        (".inf", number("5"), "5"),
    ] {
        check(&format!("a: {held} # c\n"), "/a", &wanted, &format!("a: {becomes} # c\n"));
    }
}

#[test]
fn text_that_would_change_its_type_gets_quotes() {
    for word in [
        "yes",
        "No",
        "ON",
        "true",
        "y",
        "n",
        "null",
        "~",
        "",
        "010",
        "1e3",
        "0x1F",
        "0o17",
        "0b1",
        "1_000",
        "5",
        "-1.5",
        ".5",
        "+.inf",
        ".nan",
        "1:30",
        "2026-11-21",
        "2026-1-2T00:00:00Z",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "- a",
        "-",
        "---",
        "...",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a`",
        "{a",
        "[a",
        "]",
        "}",
        "'a'",
        "\"a\"",
        "? a",
        ": a",
        "=",
        "<<",
        " a",
        "a ",
        "a\u{a0}b",
        "\u{202e}a",
    ] {
        let quoted = format!("\"{}\"", word.replace('"', "\\\""));
        check("a: x # c\n", "/a", &text(word), &format!("a: {quoted} # c\n"));
    }
    for word in
        ["30s", "2Gi", "80%", "-Xmx1g", "redis://h:6379/0", "/var/lib", "a b", "1.2.3", "1d", "два", "a,b", "x=y"]
    {
        check("a: x # c\n", "/a", &text(word), &format!("a: {word} # c\n"));
    }
    check("{a: x}", "/a", &text("redis://h"), "{a: \"redis://h\"}");
}

#[test]
fn a_path_that_is_not_there_names_what_is() {
    let missing = |document: &str, place: &str, message: &str| {
        let message =
            format!("document has no value at {place:?}: {message}; correct the path or add the key to the document");
        refused(document, place, &number("5"), Reason::KeyPathNotFound, &message);
    };
    missing(CONFIG, "/database/pool", r#""/database" has the keys "pool_size", "host", "timeout""#);
    missing(CONFIG, "/base/x", r#"its root has the keys "database", "servers", "flags", "motd", "ключ""#);
    missing(CONFIG, "/servers/2/port", r#""/servers" is a list of 2 items, counted from 0"#);
    for place in ["/servers/-", "/servers/01", "/servers/+1", "/servers/", "/servers/99999999999999999999"] {
        missing(CONFIG, place, r#""/servers" is a list of 2 items, counted from 0"#);
    }
    missing(CONFIG, "/database/timeout/x", r#""/database/timeout" is text"#);
    missing("a: {b: 1}", "/a/c", r#""/a" has only the key "b""#);
    missing("a: {}", "/a/c", r#""/a" has no keys"#);
    missing("", "/a", "its root is null");
    missing("# nothing\n", "/a", "its root is null");
    let many = (0..20).map(|i| format!("\"k\\e{i}\": 1\n")).collect::<Vec<_>>().concat();
    missing(
        &many,
        "/a",
        r#"its root has the keys "k\u{1b}0", "k\u{1b}1", "k\u{1b}2", "k\u{1b}3", "k\u{1b}4", "k\u{1b}5", "k\u{1b}6", "k\u{1b}7" and 12 more"#,
    );
}

#[test]
fn another_type_is_refused() {
    let refused = |document: &str, wanted: &Scalar, why: &str| {
        let message = format!("cannot set \"/a\" in the document: {why}");
        refused(document, "/a", wanted, Reason::KeyTypeMismatch, &message);
    };
    let no_value = |document: &str, kind: &str| {
        let why = format!("it is {kind}, and only text, a number or a truth value on one line can be set");
        refused(document, &number("5"), &why);
    };
    no_value("a: {b: 1}", "a map");
    no_value("a:\n- 1\n", "a list");
    no_value("a:\nb: 1\n", "null");
    no_value("a: ~\n", "null");
    no_value("a: 2026-11-21\n", "a date without quotes");
    no_value("a: |\n  5\n", "text of several lines");
    no_value("a: >-\n  5\n", "text of several lines");
    no_value("a: b\n  c\n", "text of several lines");
    no_value("a: \"b\n  c\"\n", "text of several lines");
    let other_type = |document: &str, wanted: &Scalar, found: &str, given: &str| {
        let why = format!(
            "it holds {found} and the policy gives {given}; give the policy's value the same type or change the document"
        );
        refused(document, wanted, &why);
    };
    other_type("a: 30s", &number("5"), "text", "a number");
    other_type("a: \"30s\"", &number("5"), "text", "a number");
    other_type("a: \"\"", &number("5"), "text", "a number");
    other_type("a: 30", &text("5"), "a number", "text");
    other_type("a: true", &text("true"), "a truth value", "text");
    other_type("a: true", &number("1"), "a truth value", "a number");
    other_type("a: \"x\"", &Scalar::Boolean(true), "text", "a truth value");
    other_type("a: 1", &Scalar::Boolean(true), "a number", "a truth value");
    let ambiguous = "readers of the format disagree about what it holds, so it cannot be replaced; write the value in \
                     the document so that it is clear, for example in quotes";
    refused("a: yes", &text("no"), ambiguous);
    refused("a: 12:30", &text("13:00"), ambiguous);
    refused("{a: ?x}", &text("y"), ambiguous);
    let unprintable =
        "the policy's value has a line break or a control character; only text of one line can be written";
    for value in ["a\nb", "a\r", "\t", "\0", "\x1b[0m", "\u{85}", "\u{2028}", "\u{feff}"] {
        refused("a: x", &text(value), unprintable);
    }
}

#[test]
fn what_cannot_be_edited_safely_is_refused_with_its_line() {
    unparseable("\u{feff}a: 1\n", "1: it begins with a byte order mark: save the document without one");
    unparseable("b: 1\na: &x 1\n", "2: it has an anchor (&), by which one value can be in two places");
    unparseable("a: 1\nb: &x {c: 1}\n", "2: it has an anchor (&), by which one value can be in two places");
    unparseable("a: !!int 1\n", "1: it has a tag (!), which changes what a value is");
    unparseable("a: 1\nb: !Ref x\n", "2: it has a tag (!), which changes what a value is");
    unparseable("a: 1\nb:\n  <<: {c: 1}\n", "3: it merges one map into another (<<)");
    unparseable("a: 1\n\"a\": 2\n", "2: the key \"a\" comes twice in one map");
    unparseable("a: 1\nb: [{c: 1, c: 2}]\n", "2: the key \"c\" comes twice in one map");
    unparseable("a: 1\n---\na: 2\n", "2: a second document begins; only one document can be edited");
    unparseable("a: 1\n? [x]\n: 2\n", "2: a key is not text of one line");
    unparseable("a: 1\n~: 2\n", "2: a key is not text of one line");
    unparseable("a: 1\nb: x\u{2028}y\n", "2: it holds the character U+2028, a line break for readers of YAML 1.1 only");
    for document in [
        "a: [1\n",
        "a: 1\n b: 2\n",
        "a: \"x\n",
        "a: *x\n",
        "a: 1\n\tb: 2\n",
        "%YAML 1.1\n---\na: 1\n",
        "a: \0\n",
        "a: \x1b[0m\n",
        "{{{{",
    ] {
        let error = edit(document, &at(DocumentFormat::Yaml, "/a"), &number("5")).unwrap_err();
        assert_eq!(error.reason(), Reason::ConfigUnparseable, "{document:?}: {error}");
    }
}

#[test]
fn documents_are_bounded() {
    let long = format!("a: 1\n#{}\n", "x".repeat(MAX_BYTES));
    let message = format!("document is too large: {} bytes, where a ConfigMap holds at most 1048576", long.len());
    refused(&long, "/a", &number("5"), Reason::ConfigTooLarge, &message);
    let full = format!("a: 1\n#{}", "x".repeat(MAX_BYTES - 6));
    check(&full, "/a", &number("5"), &full.replace(": 1", ": 5"));
    let message = "document is too large: 1048577 bytes, where a ConfigMap holds at most 1048576";
    refused(&full, "/a", &number("50"), Reason::ConfigTooLarge, message);

    for format in [DocumentFormat::Yaml, DocumentFormat::Json] {
        // The list itself is a value.
        let list = |items: usize| format!("[5{}]", ",1".repeat(items - 1));
        assert_eq!(read(&list(MAX_VALUES - 1), &at(format, "/0")).unwrap().source, "5");
        let message = "document is too large: it has more than 65536 values";
        refused_in(format, &list(MAX_VALUES), "/0", &number("7"), Reason::ConfigTooLarge, message);

        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let place = "/0".repeat(MAX_DEPTH);
        check_in(format, &nested(MAX_DEPTH), &place, &number("2"), &nested(MAX_DEPTH).replace('1', "2"));
        let message = "document is too large: line 1 is nested more than 32 levels deep";
        refused_in(format, &nested(MAX_DEPTH + 1), &place, &number("2"), Reason::ConfigTooLarge, message);
        refused_in(format, &"[".repeat(MAX_BYTES), &place, &number("2"), Reason::ConfigTooLarge, message);
    }
}

/// How one value and its comment are written in each format.
const ONE_VALUE: [(DocumentFormat, &str, &str); 5] = [
    (DocumentFormat::Yaml, "/a", "a: 1\n#"),
    (DocumentFormat::Toml, "/a", "a = 1\n#"),
    (DocumentFormat::Properties, "a", "a=1\n#"),
    (DocumentFormat::Ini, "s/a", "[s]\na=1\n#"),
    (DocumentFormat::Conf, "a", "a 1\n#"),
];

#[test]
fn documents_of_every_format_are_bounded() {
    let too_long = "document is too large: 1048577 bytes, where a ConfigMap holds at most 1048576";
    let too_many = "document is too large: it has more than 65536 values";
    for (format, place, begin) in ONE_VALUE {
        let full = format!("{begin}{}", "x".repeat(MAX_BYTES - begin.len()));
        check_in(format, &full, place, &number("5"), &full.replace('1', "5"));
        refused_in(format, &full, place, &number("50"), Reason::ConfigTooLarge, too_long);
        refused_in(format, &format!("{full}x"), place, &number("5"), Reason::ConfigTooLarge, too_long);
        if format.is_lines() {
            let address = at(format, &place.replace('a', "b"));
            let error = create(&full, &address, &number("5"), "5").unwrap_err();
            assert_eq!(error.reason(), Reason::ConfigTooLarge, "{format}: {error}");
        }
        let sign = if format == DocumentFormat::Yaml { ": " } else { " = " };
        let lines: Vec<_> = (0..MAX_VALUES).map(|i| format!("k{i}{sign}1\n")).collect();
        let many = begin.replace('#', &lines.concat());
        refused_in(format, &many, place, &number("5"), Reason::ConfigTooLarge, too_many);
    }
}

#[test]
fn only_one_whole_value_is_put_back() {
    let address = at(DocumentFormat::Yaml, "/a");
    for previous in
        ["", " ", "1 # c", "1\nb: 3", "1, c: 2", "{c: 1}", "[1]", "&x 1", "!!str 1", "~", "|", "'", "\"1", "1: 2"]
    {
        let error = restore("a: 5\nb: 2\n", &address, Some(previous)).unwrap_err();
        assert_eq!(error.reason(), Reason::ConfigUnparseable, "{previous:?}: {error}");
    }
    assert_eq!(restore("a: 5\n", &address, Some("010")).unwrap().text, "a: 010\n");
    let address = at(DocumentFormat::Json, "/a");
    for previous in ["", "1 ", "1,\"b\":2", "{}", "null", "x", "'x'"] {
        let error = restore("{\"a\":5}", &address, Some(previous)).unwrap_err();
        assert_eq!(error.reason(), Reason::ConfigUnparseable, "{previous:?}: {error}");
    }
}

#[test]
fn keys_are_found_however_they_are_written() {
    check("8080: {x: 1}", "/8080/x", &number("5"), "8080: {x: 5}");
    check("\"a/b\": {m~n: 1}", "/a~1b/m~0n", &number("5"), "\"a/b\": {m~n: 5}");
    check("? a\n: 1\n", "/a", &number("5"), "? a\n: 5\n");
    check("{\"a\":1}", "/a", &number("5"), "{\"a\":5}");
    check("yes: 1\n", "/yes", &number("5"), "yes: 5\n");
    check("0x10: 1\nb: 2\n", "/b", &number("5"), "0x10: 1\nb: 5\n");
    check("\"\": 1\n", "/", &number("5"), "\"\": 5\n");
    check("- - 1\n  - 2\n", "/0/1", &number("5"), "- - 1\n  - 5\n");
    check("5", "", &number("6"), "6");
    check("--- x # c\n", "", &text("z"), "--- z # c\n");
}

#[test]
fn json_is_edited_as_strictly() {
    check_json(
        "{\r\n\t\"a\" :  1 ,\"b\":[ 1.50,\"x\" ]\r\n}",
        "/a",
        &number("2"),
        "{\r\n\t\"a\" :  2 ,\"b\":[ 1.50,\"x\" ]\r\n}",
    );
    check_json("{\"b\":[1.50,\"x\"]}", "/b/0", &number("2"), "{\"b\":[2.0,\"x\"]}");
    check_json("{\"b\":[1e3]}", "/b/0", &number("1000"), "{\"b\":[1e3]}");
    check_json("{\"a\":\"x\"}", "/a", &text("\"\\é/"), "{\"a\":\"\\\"\\\\é/\"}");
    check_json("{\"\\u0061\":\"\\u0041\"}", "/a", &text("A"), "{\"\\u0061\":\"\\u0041\"}");
    check_json("{\"a\":\"20\"}", "/a", &number("30"), "{\"a\":\"30\"}");
    check_json("{\"a\":true}", "/a", &Scalar::Boolean(false), "{\"a\":false}");
    check_json(" 5\n", "", &number("6"), " 6\n");
    check_json("{\"a\":\"yes\"}", "/a", &text("no"), "{\"a\":\"no\"}");

    let unparseable = |document: &str, why: &str| {
        let message = format!("cannot edit the document because of line {why}");
        refused_in(DocumentFormat::Json, document, "/a", &number("5"), Reason::ConfigUnparseable, &message);
    };
    unparseable("", "1: the document ends where a value must be");
    unparseable("\u{feff}{}", "1: it begins with a byte order mark: save the document without one");
    unparseable("{\"a\":1}\n{}", "2: there is more after the end of the document");
    unparseable("{\"a\":1,\n\"\\u0061\":2}", "2: the key \"a\" comes twice in one map");
    unparseable("{\"a\":1,}", "1: text in double quotes is missing");
    unparseable("{\"a\":1 \"b\":2}", "1: a comma or a closing bracket is missing");
    unparseable("{\"a\" 1}", "1: a key must be followed by a colon");
    unparseable("{\"a\":\n01}", "2: a number is not written as JSON has it");
    for wrong in ["-", "1.", ".5", "1e", "+1", "0x1", "1.e3", "--1"] {
        let error = read(&format!("{{\"a\":{wrong}}}"), &at(DocumentFormat::Json, "/a")).unwrap_err();
        assert_eq!(error.reason(), Reason::ConfigUnparseable, "{wrong}");
    }
    unparseable("{\"a\":\"x\n\"}", "1: text holds a control character");
    unparseable("{\"a\":\"x", "1: the document ends inside text");
    unparseable("{\"a\":\"\\", "1: the document ends inside text");
    unparseable("{\"a\":\"\\é\"}", "1: text has a wrong escape");
    unparseable("{\"a\":\"\\ud800\"}", "1: text has a wrong escape");
    unparseable("{\"a\":NaN} // c", "1: a value is missing or has no quotes");
    unparseable("[1,\n// c\n2]", "2: a value is missing or has no quotes");
}
