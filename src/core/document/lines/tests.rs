use proptest::prelude::*;

use crate::{
    api::conditions::Reason,
    core::{
        document::{
            Address, DocumentFormat,
            DocumentFormat::{Conf, Ini, Properties},
            Scalar, create, edit, read, restore,
        },
        units::Decimal,
    },
};

fn text(text: &str) -> Scalar {
    Scalar::Text(text.into())
}

fn number(text: &str) -> Scalar {
    Scalar::Number(Decimal::parse(text).unwrap())
}

#[track_caller]
fn check(format: DocumentFormat, before: &str, at: &str, wanted: &Scalar, after: &str) {
    let address = Address::parse(format, at).unwrap();
    let edited = edit(before, &address, wanted).unwrap();
    assert_eq!(edited.text, after);
    assert_eq!(edited.changed, before != after);
    let again = edit(after, &address, wanted).unwrap();
    assert_eq!((again.text.as_str(), again.changed), (after, false));
    assert_eq!(restore(after, &address, edited.previous.as_deref()).unwrap().text, before);
}

#[track_caller]
fn refused(format: DocumentFormat, before: &str, at: &str, wanted: &Scalar, reason: Reason, message: &str) {
    let error = edit(before, &Address::parse(format, at).unwrap(), wanted).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.reason()), (message, reason));
}

const AMBIGUOUS: &str = "readers of the format disagree about what it holds, so it cannot be replaced; write the value in \
                         the document so that it is clear, for example in quotes";
const UNCLEAR: &str = "readers of the format would disagree about the policy's value: it is empty or has a quote, a \
                       backslash, a comment sign or blanks at its ends";

const POSTGRES: &str = "\
# memory
#work_mem = 1MB
shared_buffers = 128MB      # min 128kB
  Work_Mem=4MB#x
log_line_prefix = '%m [%p] '
max_connections 100
wal_level = replica
ssl = on\t# c
include_if_exists 'extra.conf'
work_mem\t=\t8MB\r
";

#[test]
fn conf_keeps_every_byte_around_the_value() {
    let set = |at: &str, wanted: &Scalar, from: &str, to: &str| {
        assert_eq!(POSTGRES.matches(from).count(), 1, "{from}");
        check(Conf, POSTGRES, at, wanted, &POSTGRES.replace(from, to));
    };
    set("shared_buffers", &text("2GB"), "128MB ", "2GB ");
    set("shared_buffers", &number("16384"), "128MB ", "16384 ");
    set("max_connections", &number("250"), "100", "250");
    set("ssl", &Scalar::Boolean(false), "on\t", "off\t");
    set("log_line_prefix", &text("%t "), "%m [%p] ", "%t ");
    set("wal_level", &text("a b"), "replica", "'a b'");
    // The last line of a key counts, and case does not.
    set("WORK_MEM", &text("16MB"), "\t8MB", "\t16MB");
    let redis = "save 900 1\nsave 300 10\nmaxmemory 1gb\nappendonly no\nlogfile \"\"\n";
    check(Conf, redis, "save", &text("60 10000"), &redis.replace("300 10", "60 10000"));
    check(Conf, redis, "maxmemory", &text("2gb"), &redis.replace("1gb", "2gb"));
    check(Conf, redis, "appendonly", &Scalar::Boolean(true), &redis.replace("appendonly no", "appendonly yes"));
    check(Conf, redis, "logfile", &text("a b"), &redis.replace("\"\"", "\"a b\""));
    check(Conf, "a = 20.0", "a", &number("20"), "a = 20.0");
}

#[test]
fn conf_refuses_what_readers_read_differently() {
    let ambiguous = format!("cannot set \"a\" in the document: {AMBIGUOUS}");
    for line in ["a = 4MB#x", "a foo#bar", "a 'it''s'", "a 'x\\'y'", "a = 1 2", "a = 'x' y", "a 'x"] {
        refused(Conf, line, "a", &text("z"), Reason::KeyTypeMismatch, &ambiguous);
    }
    let unclear = format!("cannot set \"a\" in the document: {UNCLEAR}");
    for value in ["it's", "\"", "C:\\x"] {
        refused(Conf, "a = x", "a", &text(value), Reason::KeyTypeMismatch, &unclear);
    }
    let why = |why: &str| format!("cannot edit the document because of line {why}");
    let unparseable = |document: &str, message: &str| {
        refused(Conf, document, "a", &text("z"), Reason::ConfigUnparseable, &why(message));
    };
    unparseable("a 1\nevents {\n a 2\n}\n", "2: it has blocks in braces, which this format has not");
    unparseable("a 1\nevents { # c\n a 2\n}\n", "4: it has blocks in braces, which this format has not");
    check(Conf, "a = 1 # {\n", "a", &number("2"), "a = 2 # {\n");
    unparseable("a 1\n\"b\" 2\n", "2: a line does not begin with a key");
    unparseable("a:1\n", "1: a line does not begin with a key");
    unparseable("a 1\nb \0\n", "2: it holds a control character");
    unparseable("a 1\rb 2\n", "1: it holds a control character");
    unparseable("a 1\nb 2\r", "2: it holds a control character");
    unparseable("\u{feff}a 1\n", "1: it begins with a byte order mark: save the document without one");
    let null =
        "cannot set \"a\" in the document: it is null, and only text, a number or a truth value on one line can be set";
    for line in ["a", "a =", "a = # c"] {
        refused(Conf, line, "a", &text("z"), Reason::KeyTypeMismatch, null);
    }
}

const BOUNCER: &str = "\
; pool
top = 1
[databases]
app = host=db port=5432

[pgbouncer]
default_pool_size = 20 ; per database
reserve_pool_timeout=5.0
auth_file: \"/etc/x y\"
server_tls = on
ignore =
  a,
  b
";

#[test]
fn ini_keeps_every_byte_around_the_value() {
    let set = |at: &str, wanted: &Scalar, from: &str, to: &str| {
        for (line_end, name) in [("\n", "LF"), ("\r\n", "CRLF")] {
            let document = BOUNCER.replace('\n', line_end);
            assert_eq!(document.matches(from).count(), 1, "{from} {name}");
            check(Ini, &document, at, wanted, &document.replace(from, to));
        }
    };
    set("pgbouncer/default_pool_size", &number("40"), "20 ", "40 ");
    set("pgbouncer/reserve_pool_timeout", &number("3"), "5.0", "3");
    set("pgbouncer/auth_file", &text("/etc/z"), "/etc/x y", "/etc/z");
    set("pgbouncer/server_tls", &Scalar::Boolean(false), "on\r".trim_end(), "off");
    set("databases/app", &text("host=x"), "host=db port=5432", "host=x");
    set("top", &number("2"), "top = 1", "top = 2");
    check(Ini, "a =\nb = ", "b", &number("2"), "a =\nb = 2");
    check(Ini, "a =\nb = ", "a", &number("2"), "a =2\nb = ");
    check(Ini, "[core]\n\tbare = false\n\tgc = 1\n", "core/gc", &number("2"), "[core]\n\tbare = false\n\tgc = 2\n");
}

#[test]
fn ini_refuses_what_readers_read_differently() {
    let lines = "cannot set \"pgbouncer/ignore\" in the document: it is text of several lines, and only text, a number or a \
                 truth value on one line can be set";
    refused(Ini, BOUNCER, "pgbouncer/ignore", &text("x"), Reason::KeyTypeMismatch, lines);
    let ambiguous = format!("cannot set \"s/a\" in the document: {AMBIGUOUS}");
    for value in ["x;y", "#x", "x\"y", "\"x\\n\"", "'x'y'", "`x`"] {
        refused(Ini, &format!("[s]\na = {value}\n"), "s/a", &text("z"), Reason::KeyTypeMismatch, &ambiguous);
    }
    let unclear = format!("cannot set \"s/a\" in the document: {UNCLEAR}");
    for value in ["", "x;y", "x #", " x", "x ", "'x'", "x\\"] {
        refused(Ini, "[s]\na = x\n", "s/a", &text(value), Reason::KeyTypeMismatch, &unclear);
    }
    let unparseable = |document: &str, message: &str| {
        let message = format!("cannot edit the document because of line {message}");
        refused(Ini, document, "s/a", &text("z"), Reason::ConfigUnparseable, &message);
    };
    unparseable("[s]\na = 1\na = 2\n", "3: the key \"a\" comes twice in one map");
    unparseable("[s]\na = 1\n[t]\n[s]\n", "4: the key \"s\" comes twice in one map");
    unparseable(
        "[s]\na = 1\nb = x\\\n",
        "3: it ends with a backslash, by which some readers join it with the next line",
    );
    unparseable("[s\na = 1\n", "1: the name of a section has no closing bracket");
    unparseable("[s] a = 1\n", "1: there is more after the name of a section");
    let missing = "document has no value at \"s/b\": \"s\" has only the key \"a\"; correct the path or add the key to the document";
    refused(Ini, "[s]\na = 1\n", "s/b", &text("z"), Reason::KeyPathNotFound, missing);
}

const SPRING: &str = "\
# pool
! also a comment \\
spring.datasource.hikari.maximum-pool-size=20
  key.with\\ blank : a value # no comment
server.port 8080
path=C:\\\\x
long = a,\\
       b
empty=
bare
last = x";

#[test]
fn properties_keep_every_byte_around_the_value() {
    let set = |at: &str, wanted: &Scalar, from: &str, to: &str| {
        for line_end in ["\n", "\r\n"] {
            let document = SPRING.replace('\n', line_end);
            assert_eq!(document.matches(from).count(), 1, "{from}");
            check(Properties, &document, at, wanted, &document.replace(from, to));
        }
    };
    set("spring.datasource.hikari.maximum-pool-size", &number("40"), "20", "40");
    set("key.with blank", &text(" ö\\😀"), "a value # no comment", "\\ \\u00F6\\\\\\uD83D\\uDE00");
    set("server.port", &number("9"), "8080", "9");
    set("path", &text("/x"), "C:\\\\x", "/x");
    set("empty", &text("a=b"), "empty=", "empty=a=b");
    set("last", &text("#y"), "last = x", "last = #y");
    check(Properties, "a 1", "a", &text(":x"), "a \\:x");
    check(Properties, "a 1\n", "a", &text(""), "a \n");
    check(Properties, "a=\\u0041", "a", &text("A"), "a=\\u0041");
    check(Properties, "a=true ", "a", &text("true"), "a=true");
}

#[test]
fn properties_refuse_what_cannot_be_edited() {
    let at = |at: &str, kind: &str| {
        let message = format!(
            "cannot set {at:?} in the document: it is {kind}, and only text, a number or a truth value on one line can be set"
        );
        refused(Properties, SPRING, at, &text("x"), Reason::KeyTypeMismatch, &message);
    };
    at("long", "text of several lines");
    at("bare", "null");
    let unparseable = |document: &str, message: &str| {
        let message = format!("cannot edit the document because of line {message}");
        refused(Properties, document, "a", &text("z"), Reason::ConfigUnparseable, &message);
    };
    unparseable("a=1\n\\u0061 = 2\n", "2: the key \"a\" comes twice in one map");
    unparseable("a=1\nb=\\u00g0\n", "2: it has a \\u that is not followed by four hex digits");
    unparseable("a=1\n\\\na=2\n", "2: a key goes over several lines");
    unparseable("a=1\nb=\\uD83D\n", "2: it has a \\u that is not followed by four hex digits");
    let message = "cannot set \"a\" in the document: the policy's value has a line break or a control character; only text \
                   of one line can be written";
    refused(Properties, "a=1", "a", &text("x\ny"), Reason::KeyTypeMismatch, message);
}

/// Gives an absent key a line, and takes it away again.
#[track_caller]
fn check_created(format: DocumentFormat, before: &str, at: &str, word: &str, after: &str) {
    let address = Address::parse(format, at).unwrap();
    let wanted = Scalar::from_rendered(word);
    let created = create(before, &address, &wanted, word).unwrap();
    assert_eq!((created.text.as_str(), created.previous.as_deref(), created.changed), (after, None, true));
    let found = read(after, &address).unwrap();
    assert_eq!((found.source, found.text.as_str()), (created.now, word));
    // Once it is there it is edited like any other, in place.
    let again = create(after, &address, &wanted, word).unwrap();
    assert_eq!((again.text.as_str(), again.changed), (after, false));
    let edited = create(after, &address, &Scalar::Text("other".into()), "unused").unwrap();
    let edited = restore(&edited.text, &address, edited.previous.as_deref()).unwrap();
    assert_eq!(restore(&edited.text, &address, None).unwrap().text, before);
}

#[test]
fn an_absent_key_gets_a_line_in_the_manner_of_its_neighbours() {
    let redis = "# limits\nsave 900 1\n\n# maxmemory <bytes>\n";
    check_created(Conf, redis, "maxmemory", "2gb", "# limits\nsave 900 1\nmaxmemory 2gb\n\n# maxmemory <bytes>\n");
    check_created(Conf, "a   =   1 # c\n", "b", "on", "a   =   1 # c\nb = on\n");
    check_created(Conf, "\ta=1\r\n", "b", "a b", "\ta=1\r\n\tb='a b'\r\n");
    check_created(Conf, "", "b", "2", "b 2\n");
    check_created(Conf, "a 1", "b", "2", "a 1\nb 2");
    check_created(Conf, "a 1\r\n# c", "b", "2", "a 1\r\nb 2\r\n# c");
    check_created(Conf, "# only comments", "B", "", "# only comments\nb ''");

    let bouncer = "; pool\n[databases]\napp = host=db\n\n; the pool\n[pgbouncer]\n  auth_type = md5\n  ignore =\n    a\n\n[users]\n";
    let line = "    a\n  default_pool_size = 20\n";
    check_created(Ini, bouncer, "pgbouncer/default_pool_size", "20", &bouncer.replace("    a\n", line));
    check_created(Ini, bouncer, "users/app", "max=5", &bouncer.replace("[users]\n", "[users]\napp = max=5\n"));
    check_created(Ini, bouncer, "databases/x", "y", &bouncer.replace("host=db\n", "host=db\nx = y\n"));
    check_created(Ini, bouncer, "top", "1", &format!("top = 1\n{bouncer}"));
    check_created(Ini, "[s]", "s/a", "1", "[s]\na = 1");
    check_created(Ini, "[s]\r\na: 1", "s/b", "1", "[s]\r\na: 1\r\nb: 1");
    check_created(Ini, "# c\n", "a", "1", "# c\na = 1\n");

    check_created(Properties, "a=1\n", "b.c", "30s", "a=1\nb.c=30s\n");
    check_created(Properties, "a : 1", "b c:d", "ö", "a : 1\nb\\ c\\:d : \\u00F6");
    check_created(Properties, "a 1\r\n! c\r\n", "#b", " x", "a 1\r\n\\#b \\ x\r\n! c\r\n");
    check_created(Properties, "", "é", "", "\\u00E9=\n");
}

#[test]
fn a_line_is_made_only_where_it_is_one_key_and_no_more() {
    let refused = |format: DocumentFormat, before: &str, at: &str, word: &str, reason: Reason, message: &str| {
        let address = Address::parse(format, at).unwrap();
        let error = create(before, &address, &Scalar::from_rendered(word), word).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.reason()), (message, reason));
    };
    let section = "document has no value at \"t/a\": its root has the keys \"\", \"s\"; correct the path or add the key to the \
                   document";
    refused(Ini, "[s]\na = 1\n", "t/a", "1", Reason::KeyPathNotFound, section);
    let pointer = "document has no value at \"/b\": its root has only the key \"a\"; correct the path or add the key to the \
                   document";
    refused(DocumentFormat::Yaml, "a: 1\n", "/b", "1", Reason::KeyPathNotFound, pointer);
    let unclear = format!("cannot set \"b\" in the document: {UNCLEAR}");
    refused(Conf, "a 1\n", "b", "it's", Reason::KeyTypeMismatch, &unclear);
    refused(Ini, "a = 1\n", "b", "", Reason::KeyTypeMismatch, &unclear);
    let breaks = "cannot set \"b\" in the document: the policy's value has a line break or a control character; only text of \
                  one line can be written";
    refused(Conf, "a 1\n", "b", "x\ny 2", Reason::KeyTypeMismatch, breaks);
    let otherwise = |line: usize| {
        format!("cannot edit the document because of line {line}: a line for the key there would be read otherwise")
    };
    for at in ["b\nc", "b c", "b=c", "# b", "{", "b\n#"] {
        refused(Conf, "a 1\n", at, "2", Reason::ConfigUnparseable, &otherwise(2));
    }
    for at in ["s/[b]", "s/;b", "s/b = c", "s/b\n[t]", "s/ b"] {
        refused(Ini, "[s]\na = 1\n", at, "2", Reason::ConfigUnparseable, &otherwise(3));
    }
    // What some readers find there already.
    let hidden = |why: &str| {
        format!(
            "some readers find the key there already, {why}: write it in the document so that it is clear, and leave out create"
        )
    };
    let (case, parts) = (
        hidden("in another case or in a line that continues a value"),
        hidden("or count only the part that it is in, as the document has parts (#---)"),
    );
    for before in ["[s]\nB = 1\n", "[s]\na = 1\n  b = 2\n", "[s]\na = 1\n\tB: 2\n", "[s]\na = 1\n  b\n"] {
        let message = format!("cannot set \"s/b\" in the document: {case}");
        refused(Ini, before, "s/b", "2", Reason::KeyTypeMismatch, &message);
    }
    let message = format!("cannot set \"b\" in the document: {parts}");
    refused(
        Properties,
        "a=1\n#---\nspring.config.activate.on-profile=prod\n",
        "b",
        "2",
        Reason::KeyTypeMismatch,
        &message,
    );
    // A key of another section is another key, and a comment is none.
    for before in ["[s]\na = 1\n[t]\nB = 1\n", "[s]\na = 1\n; b = 1\n"] {
        let address = Address::parse(Ini, "s/b").unwrap();
        let made = create(before, &address, &Scalar::from_rendered("2"), "2").unwrap();
        assert!(made.changed);
    }
    // The last line goes on in the next one.
    refused(Properties, "a=1\\\n", "b", "2", Reason::ConfigUnparseable, &otherwise(2));
}

#[test]
fn a_line_is_taken_away_only_when_it_holds_nothing_else() {
    let address = Address::parse(Conf, "b").unwrap();
    let removed =
        |text: &str| restore(text, &address, None).map(|edited| edited.text).map_err(|error| error.to_string());
    assert_eq!(removed("a 1\n  b 2 \nc 3\n").as_deref(), Ok("a 1\nc 3\n"));
    assert_eq!(removed("a 1\nb 2").as_deref(), Ok("a 1"));
    assert_eq!(removed("b 2").as_deref(), Ok(""));
    assert_eq!(removed("a 1\r\nb 2\r\n").as_deref(), Ok("a 1\r\n"));
    // One of them may be a person's.
    let several = "cannot edit the document because of line 2: the key has several lines, and nothing tells which of them is \
                   whose, so none is taken away";
    assert_eq!(removed("b 1\nb 2\n").unwrap_err(), several);
    assert_eq!(removed("B 2\nb 2\n").unwrap_err(), several);
    let comment = "cannot edit the document because of line 2: more than the value is in its line, so the line cannot be \
                   taken away";
    assert_eq!(removed("a 1\nb 2 # ours?\n").unwrap_err(), comment);
    removed("a 1\n").unwrap_err();
    for (format, text, at) in [
        (DocumentFormat::Yaml, "a: 1\nb: 2\n", "/b"),
        (DocumentFormat::Toml, "a = 1\nb = 2\n", "/b"),
        (DocumentFormat::Json, "{\n\"a\":\n1\n}\n", "/a"),
    ] {
        restore(text, &Address::parse(format, at).unwrap(), None).unwrap_err();
    }
}

proptest! {
    #[test]
    fn an_edit_of_lines_changes_one_value_and_can_be_undone(
        format in prop::sample::select(&[Properties, Ini, Conf][..]),
        before in "([a-c =:#;!'\"\\\\\t.\\[\\]1é]{0,12}(\r?\n)){0,4}",
        key in "(a|b|c|ab|s)",
        gap in "( = |=| : |:| |\t)",
        value in "[ -~é]{0,10}",
        after in "(|\r?\n([ a-c=#;'\"\\\\\t1]{0,12}\r?\n){0,3})",
        new in "[ -~é]{0,8}",
    ) {
        let text = format!("{before}{key}{gap}{value}{after}");
        for at in [key.clone(), format!("s/{key}")] {
            let address = Address::parse(format, &at).unwrap();
            let Ok(found) = read(&text, &address) else {
                if let Ok(created) = create(&text, &address, &Scalar::Text(new.clone()), &new) {
                    prop_assert_eq!(created.text.lines().count(), text.lines().count() + 1);
                    prop_assert_eq!(read(&created.text, &address).unwrap().text, new.clone());
                    prop_assert_eq!(&restore(&created.text, &address, None).unwrap().text, &text);
                }
                continue;
            };
            for wanted in [Scalar::Text(new.clone()), number("7"), Scalar::Boolean(true)] {
                let Ok(edited) = edit(&text, &address, &wanted) else { continue };
                prop_assert_eq!(edited.previous.as_ref(), Some(&found.source));
                prop_assert_eq!(edited.text.lines().count(), text.lines().count());
                let differing = edited.text.lines().zip(text.lines()).filter(|(a, b)| a != b).count();
                prop_assert_eq!(differing, usize::from(edited.changed));
                prop_assert!(read(&edited.text, &address).unwrap().holds(&wanted));
                prop_assert!(!edit(&edited.text, &address, &wanted).unwrap().changed);
                prop_assert_eq!(&restore(&edited.text, &address, edited.previous.as_deref()).unwrap().text, &text);
            }
        }
    }
}
