use super::*;

const SERVICE: &str = "\
# Grace
title = \"grace\"   # the name
max-age = 1_000
ratio = 0.75
'quoted key' = 'C:\\x'
\"a/b\".\"m~n\" = 0x1F

[database]   # the pool
pool.size    =    20      # per process
pool.timeout = \"30s\"
enabled = true
since = 2026-11-21
levels = [ 1, 2.5 , 'x',   # one more
  \"y\" ]
motd = \"\"\"
pool.size = 99
\"\"\"

[[servers]]
name = 'a'
limits = { cpu = 2 , memory = \"2Gi\" }

[[servers]]
name = 'b'
limits = {cpu=4}

[servers.disk]
size = +10
\"ключ\" = \"два\"
";

#[track_caller]
fn check_toml(before: &str, place: &str, wanted: &Scalar, after: &str) {
    check_in(DocumentFormat::Toml, before, place, wanted, after);
}

#[test]
fn every_byte_around_the_value_stays() {
    let set = |place: &str, wanted: &Scalar, from: &str, to: &str| {
        for line_end in ["\n", "\r\n"] {
            let document = SERVICE.replace('\n', line_end);
            assert_eq!(document.matches(from).count(), 1, "{from}");
            check_toml(&document, place, wanted, &document.replace(from, to));
            let cut = document.strip_suffix(line_end).unwrap();
            check_toml(cut, place, wanted, &cut.replace(from, to));
        }
    };
    set("/title", &text("a \"b\" \\"), "\"grace\"   #", "\"a \\\"b\\\" \\\\\"   #");
    set("/max-age", &number("2000"), "1_000", "2000");
    set("/ratio", &number("1"), "0.75", "1.0");
    set("/quoted key", &text("D:\\y"), "'C:\\x'", "'D:\\y'");
    set("/quoted key", &text("it's"), "'C:\\x'", "\"it's\"");
    set("/a~1b/m~0n", &number("32"), "0x1F", "32");
    set("/database/pool/size", &number("40"), "    20      #", "    40      #");
    set("/database/pool/timeout", &text("1m30s"), "30s", "1m30s");
    set("/database/enabled", &Scalar::Boolean(false), "true", "false");
    set("/database/levels/0", &number("3"), "[ 1,", "[ 3,");
    set("/database/levels/1", &number("3"), "2.5 ,", "3.0 ,");
    set("/database/levels/3", &text("z"), "\"y\" ]", "\"z\" ]");
    set("/servers/0/limits/cpu", &number("3"), "cpu = 2 ,", "cpu = 3 ,");
    set("/servers/1/limits/cpu", &number("3"), "{cpu=4}", "{cpu=3}");
    set("/servers/1/disk/size", &number("-1"), "+10", "-1");
    set("/servers/1/disk/ключ", &text("три"), "два", "три");
}

#[test]
fn equal_values_keep_their_bytes() {
    for (held, wanted) in [
        ("20", number("20")),
        ("+20", number("20")),
        ("1_000", number("1000")),
        ("0x1F", number("31")),
        ("0o17", number("15")),
        ("0b101", number("5")),
        ("20.0", number("20")),
        ("2e1", number("20")),
        ("1_0.5_0", number("10.5")),
        ("-0.0", number("0")),
        ("\"20\"", number("20")),
        ("'20.0'", number("20")),
        ("'yes'", Scalar::Boolean(true)),
        ("true", Scalar::Boolean(true)),
        ("\"\\u0041\"", text("A")),
        ("'A'", text("A")),
    ] {
        let document = format!("a =  {held} # c\n");
        check_toml(&document, "/a", &wanted, &document);
    }
}

#[test]
fn the_type_stays() {
    for (held, wanted, becomes) in [
        ("0.5", number("2"), "2.0"),
        ("1e3", number("-2"), "-2.0"),
        ("inf", number("5"), "5.0"),
        ("-nan", number("5"), "5.0"),
        ("\"20\"", number("30"), "\"30\""),
        ("'20'", number("30.5"), "'30.5'"),
        ("'on'", Scalar::Boolean(false), "'off'"),
        ("'010'", text("yes"), "'yes'"),
    ] {
        check_toml(&format!("a = {held} # c\n"), "/a", &wanted, &format!("a = {becomes} # c\n"));
    }
    let refused = |held: &str, wanted: &Scalar, why: &str| {
        let message = format!("cannot set \"/a\" in the document: {why}");
        refused_in(DocumentFormat::Toml, &format!("a = {held}\n"), "/a", wanted, Reason::KeyTypeMismatch, &message);
    };
    let whole = "it holds a whole number, which takes neither a fraction nor more than 64 bits; give a smaller whole \
                 number or write the number in the document with a fraction";
    refused("20", &number("0.5"), whole);
    refused("20", &number("9999999999999999999"), whole);
    let no_value = |held: &str, kind: &str| {
        let why = format!("it is {kind}, and only text, a number or a truth value on one line can be set");
        refused(held, &number("5"), &why);
    };
    no_value("{b = 1}", "a map");
    no_value("[1]", "a list");
    no_value("2026-11-21T10:00:00Z", "a date without quotes");
    no_value("07:32:00", "a date without quotes");
    no_value("\"\"\"x\"\"\"", "text of several lines");
    no_value("'''x\ny'''", "text of several lines");
    let other = "it holds a truth value and the policy gives text; give the policy's value the same type or change the \
                 document";
    refused("true", &text("true"), other);
}

#[test]
fn what_cannot_be_edited_is_refused_with_its_line() {
    let unparseable = |document: &str, why: &str| {
        let message = format!("cannot edit the document because of line {why}");
        refused_in(DocumentFormat::Toml, document, "/a", &number("5"), Reason::ConfigUnparseable, &message);
    };
    unparseable("\u{feff}a = 1\n", "1: it begins with a byte order mark: save the document without one");
    unparseable("a = 1\na = 2\n", "2: it is not TOML: duplicate key");
    unparseable("a = 1\n[b]\n[b]\n", "3: it is not TOML: duplicate key");
    unparseable("a = 1\nb = {c = 1, c = 2}\n", "2: it is not TOML: duplicate key");
    unparseable(
        "a = 1\nb.c = 2\nb.c.d = 3\n",
        "3: it is not TOML: cannot extend value of type integer with a dotted key",
    );
    for document in [
        "a = 1\nb\n",
        "a = yes\n",
        "a = 010\n",
        "a = \"x\n\"\n",
        "a = 1\rb = 2\n",
        "a = \"\0\"\n",
        "a = [1\n",
        "= 1\n",
        "a = 99999999999999999999\n",
        "{\"a\": 1}",
        "a: 1\n",
    ] {
        let error = edit(document, &at(DocumentFormat::Toml, "/a"), &number("5")).unwrap_err();
        assert_eq!(error.reason(), Reason::ConfigUnparseable, "{document:?}: {error}");
    }
    let missing = "document has no value at \"/database/pool/max\": \"/database/pool\" has the keys \"size\", \"timeout\"; \
                   correct the path or add the key to the document";
    let place = "/database/pool/max";
    refused_in(DocumentFormat::Toml, SERVICE, place, &number("5"), Reason::KeyPathNotFound, missing);
    refused_in(
        DocumentFormat::Toml,
        SERVICE,
        "/servers/2/name",
        &text("c"),
        Reason::KeyPathNotFound,
        "document has no value at \"/servers/2/name\": \"/servers\" is a list of 2 items, counted from 0; correct the path \
         or add the key to the document",
    );
}

#[test]
fn depth_is_bounded_however_it_is_written() {
    let message = "document is too large: line 1 is nested more than 32 levels deep";
    let refused = |document: &str| {
        refused_in(DocumentFormat::Toml, document, "/a", &number("5"), Reason::ConfigTooLarge, message);
    };
    for depth in [MAX_DEPTH + 1, 79, 81, 100_000] {
        let dotted = vec!["a"; depth].join(".");
        refused(&format!("{dotted} = 1"));
        refused(&format!("[{dotted}]"));
        refused(&format!("[[{dotted}]]"));
        refused(&format!("a = {}1{}", "[".repeat(depth), "]".repeat(depth)));
        refused(&format!("a = {}1{}", "{a=".repeat(depth), "}".repeat(depth)));
    }
    let (dotted, place) = (vec!["a"; MAX_DEPTH].join("."), "/a".repeat(MAX_DEPTH));
    check_toml(&format!("{dotted} = 1"), &place, &number("2"), &format!("{dotted} = 2"));
    check_toml("a = [[[1]]]", "/a/0/0/0", &number("2"), "a = [[[2]]]");
}

#[test]
fn only_one_whole_value_is_put_back() {
    let address = at(DocumentFormat::Toml, "/a");
    for previous in ["", " ", "1 # c", "1\nb = 3", "{b = 1}", "[1]", "'", "\"\"\"x\"\"\"", "2026-11-21"] {
        let error = restore("a = 5\nb = 2\n", &address, Some(previous)).unwrap_err();
        assert_eq!(error.reason(), Reason::ConfigUnparseable, "{previous:?}: {error}");
    }
    assert_eq!(restore("a = 5\n", &address, Some("0x10")).unwrap().text, "a = 0x10\n");
}
