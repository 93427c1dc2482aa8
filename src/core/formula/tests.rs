use proptest::prelude::*;

use super::*;
use crate::core::units::{Decimal, Dimension, Quantity, Value, ValueType};

mod guides;
mod properties;

/// What the formulas of these tests may refer to.
const SCOPE: [(&str, ValueType, &str); 22] = [
    ("limits.cpu", ValueType::Cpu, "2"),
    ("limits.memory", ValueType::Bytes, "2Gi"),
    ("requests.cpu", ValueType::Cpu, "500m"),
    ("replicas.min", ValueType::Integer, "2"),
    ("replicas.max", ValueType::Integer, "3"),
    ("workers.web.count", ValueType::Integer, "4"),
    ("workers.web.memoryPerWorker", ValueType::Bytes, "300Mi"),
    ("pools.db.size", ValueType::Integer, "20"),
    ("pools.db.overflow", ValueType::Integer, "10"),
    ("pools.db.acquireTimeout", ValueType::Duration, "30s"),
    ("pools.db.idleTimeout", ValueType::Duration, "10m"),
    ("pools.db.maxLifetime", ValueType::Duration, "30m"),
    ("caches.trust-score.ttl", ValueType::Duration, "1h"),
    ("caches.trust-score.maxEntries", ValueType::Integer, "10000"),
    ("settings.share", ValueType::Ratio, "80%"),
    ("settings.zero", ValueType::Number, "0"),
    ("settings.third", ValueType::Number, "3"),
    ("settings.interval", ValueType::Duration, "10s"),
    ("settings.redis", ValueType::Boolean, "true"),
    ("settings.database", ValueType::Enum, "postgresql"),
    ("profile", ValueType::Enum, "high-traffic"),
    ("s", ValueType::Integer, "7"),
];

fn types(path: &Path) -> Result<Type, String> {
    match path.dotted().as_str() {
        "settings.database" => Ok(Type::Word(vec!["sqlite".into(), "postgresql".into()])),
        "thresholds.rate.current" => Ok(Dimension::PerSecond.into()),
        path => SCOPE
            .iter()
            .find(|(known, ..)| *known == path)
            .map(|(_, kind, _)| Type::from(*kind))
            .ok_or_else(|| "is nothing in this policy".into()),
    }
}

fn values(path: &Path) -> Option<Datum> {
    let (_, kind, text) = SCOPE.iter().find(|(known, ..)| *known == path.dotted())?;
    Some(Datum::from(&Value::parse(*kind, text).unwrap()))
}

#[track_caller]
fn parse(text: &str) -> Formula {
    Formula::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
}

/// The outcome of a formula for a field of type `kind`.
#[track_caller]
fn outcome(text: &str, kind: ValueType) -> Outcome {
    let checked = parse(text).check(Some(&kind.into()), types).unwrap_or_else(|error| panic!("{text} {error}"));
    checked.evaluate(values).unwrap_or_else(|error| panic!("{text} {error}"))
}

/// The value of a field of type `kind`, as a person would write it.
#[track_caller]
fn value(text: &str, kind: ValueType) -> String {
    outcome(text, kind).to_value(kind).map_or_else(|error| error.to_string(), |value| value.to_string())
}

#[track_caller]
fn holds(text: &str) -> bool {
    outcome(text, ValueType::Boolean).as_bool().unwrap()
}

/// What is wrong with a formula for any field.
#[track_caller]
fn refusal(text: &str) -> String {
    parse(text).check(None, types).map_or_else(|error| error.to_string(), |checked| panic!("{text} gives {checked:?}"))
}

#[test]
fn canonical_texts() {
    for (text, canonical) in [
        ("1", "1"),
        (" 007.50 ", "7.5"),
        ("600MiB", "600Mi"),
        ("1kB+1B", "1k + 1B"),
        ("350/s", "350/s"),
        ("10MiB/s", "10Mi/s"),
        ("350 /s", "350 / s"),
        ("350/s.t", "350 / s.t"),
        ("350/settings.x", "350 / settings.x"),
        ("5m/s", "5m / s"),
        ("1Mi/s/s", "1Mi/s / s"),
        ("limits.memory-600Mi", "limits.memory - 600Mi"),
        ("((1+2))*3", "(1 + 2) * 3"),
        ("(1*2)+3", "1 * 2 + 3"),
        ("1-(2-3)-4", "1 - (2 - 3) - 4"),
        ("1/(2*3)", "1 / (2 * 3)"),
        ("-(-1)", "--1"),
        ("-(1+2)", "-(1 + 2)"),
        ("!(a&&b)||c", "!(a && b) || c"),
        ("(a<b)==(c<d)", "(a < b) == (c < d)"),
        ("a?b:c?d:e", "a ? b : c ? d : e"),
        ("(a?b:c)?d:e", "(a ? b : c) ? d : e"),
        ("(a?b:c)+1", "(a ? b : c) + 1"),
        ("min(1,(2),a?b:c)", "min(1, 2, a ? b : c)"),
        ("a['b']", "a.b"),
        (r#"caches["trust-score"] . ttl"#, r#"caches["trust-score"].ttl"#),
        (r#"a['say "x"']"#, r#"a['say "x"']"#),
        ("settings.min + replicas.max + a.true", "settings.min + replicas.max + a.true"),
        ("x == 'it'", r#"x == "it""#),
        ("a\u{a0}+\n\tb", "a + b"),
    ] {
        let formula = parse(text);
        assert_eq!(formula.to_string(), canonical, "{text}");
        assert_eq!(parse(canonical), formula, "{text}");
    }
}

#[test]
fn mistakes_of_grammar_say_where_and_what_to_do() {
    for (text, message) in [
        ("", "1: there is nothing to work out; write for example 2 * limits.cpu"),
        ("   ", "4: there is nothing to work out; write for example 2 * limits.cpu"),
        ("1 +", r#"4: expected a number, a name or "(", not the end"#),
        ("* 2", r#"1: expected a number, a name or "(", not "*""#),
        ("(1", r#"3: expected ")" or an operator, not the end"#),
        ("1)", r#"2: expected an operator, not ")""#),
        ("1 2", r#"3: expected an operator, not "2""#),
        ("limits.", r#"8: expected a name (write ["…"] around one with other characters), not the end"#),
        ("limits[0]", r#"8: expected a name in quotes, not "0""#),
        ("limits['']", r#"8: expected a name in quotes, not the text """#),
        ("limits['x'", r#"11: expected "]", not the end"#),
        ("'x", "1: the quote is not closed"),
        ("a = b", "3: write == instead of \"=\""),
        ("a & b", "3: write && instead of \"&\""),
        ("2 × a", "3: write * instead of \"×\""),
        ("2 − a", "3: write - instead of \"−\""),
        ("a ^ 2", "3: \"^\" means nothing in a formula"),
        ("a \u{7f} 2", "3: \"\\u{7f}\" means nothing in a formula"),
        ("7 % 2", "3: a percent sign follows its number at once, as in 80%; for other parts multiply, as in x * 80%"),
        (
            "1h30m",
            r#"1: "h30m" is no unit; units are ms s m h d, %, B k M G T Ki Mi Gi Ti (with or without B), and /s"#,
        ),
        (
            "2 + 1e3",
            r#"5: "e3" is no unit; units are ms s m h d, %, B k M G T Ki Mi Gi Ti (with or without B), and /s"#,
        ),
        ("5.", "1: digits must follow the point of a number"),
        (".5", r#"1: expected a number, a name or "(", not ".""#),
        ("0.0000000001", "1: the number has more than nine decimals in its base unit"),
        ("0.00000001%", "1: the number has more than nine decimals in its base unit"),
        ("99999999999999999999999999999999d", "1: the number is too large"),
        ("sqrt(2)", r#"1: "sqrt" is no function; there are ceil, floor, round, min, max and clamp"#),
        ("1 + ceil", "5: a function needs parentheses: write ceil(x) or ceil(x, step)"),
        ("min(1)", "1: write min(x, y, …), not 1 of them in the parentheses"),
        ("clamp(1, 2)", "1: write clamp(x, low, high), not 2 of them in the parentheses"),
        ("floor(1, 2, 3)", "1: write floor(x) or floor(x, step), not 3 of them in the parentheses"),
        ("min()", r#"5: expected a number, a name or "(", not ")""#),
        ("min(1, 2", r#"9: expected ",", ")" or an operator, not the end"#),
        ("1 < 2 < 3", "7: comparisons do not chain: write a < b && b < c, or parentheses"),
        ("a == b != c", "8: comparisons do not chain: write a < b && b < c, or parentheses"),
        ("a ? b", r#"6: expected ":" and what holds otherwise, not the end"#),
        ("= 1", "1: a condition is written without \"=\" at its beginning"),
        ("true.x", r#"5: expected an operator, not ".""#),
        ("é + 1 + §", "1: \"é\" means nothing in a formula"),
        ("1 + §", "5: \"§\" means nothing in a formula"),
    ] {
        let error = Formula::parse(text).expect_err(text);
        assert_eq!(error.to_string(), format!("is wrong at character {message}"), "{text:?}");
    }
}

#[test]
fn a_value_is_a_formula_if_it_begins_with_the_sign() {
    assert!(Formula::of_value("20").is_none());
    assert!(Formula::of_value(" = 20").is_none());
    let formula = Formula::of_value("= 2 * ceil(limits.cpu) + 1").unwrap().unwrap();
    assert_eq!(formula.source(), "= 2 * ceil(limits.cpu) + 1");
    assert_eq!(formula.to_string(), "2 * ceil(limits.cpu) + 1");
    // Positions count the sign, as the author sees it.
    let error = Formula::of_value("= 2 ** 3").unwrap().unwrap_err();
    assert_eq!(error.to_string(), r#"is wrong at character 6: expected a number, a name or "(", not "*""#);
    let error = Formula::of_value("= limits.memory + 1s").unwrap().unwrap().check(None, types).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"is wrong at character 17: bytes + seconds: "limits.memory" is bytes, "1s" is seconds"#
    );
    assert!(matches!(Formula::of_value("=").unwrap(), Err(ParseError { problem: ParseProblem::Empty, at: 2 })));
}

#[test]
fn length_and_depth_have_ends() {
    let long = format!("1{}", "+1".repeat(127));
    assert_eq!(long.len(), 255);
    assert!(Formula::parse(&long).is_ok());
    // Counted in characters, and the sign is one of them.
    let wide = format!("a['{}']", "é".repeat(MAX_CHARS - 5));
    assert!(Formula::parse(&wide).is_ok());
    assert!(Formula::of_value(&format!("={long}")).unwrap().is_ok());
    let error = Formula::of_value(&format!("= {long}")).unwrap().unwrap_err();
    assert_eq!((error.at, error.problem), (MAX_CHARS + 1, ParseProblem::TooLong));
    for (open, close) in [("(", ")"), ("-", ""), ("!", ""), ("ceil(", ")"), ("1?", ":1")] {
        let nested = |depth: usize| Formula::parse(&format!("{}1{}", open.repeat(depth), close.repeat(depth)));
        assert!(nested(MAX_DEPTH).is_ok(), "{open}");
        assert_eq!(nested(MAX_DEPTH + 1).unwrap_err().problem, ParseProblem::TooDeep, "{open}");
    }
}

#[test]
fn references_are_listed_once_and_in_order() {
    let formula = parse(r#"b.c + a > 0 ? caches["x-y"].ttl : b["c"] * min(a, d)"#);
    let references: Vec<_> = formula.references().iter().map(ToString::to_string).collect();
    assert_eq!(references, ["b.c", "a", r#"caches["x-y"].ttl"#, "d"]);
    assert_eq!(formula.references()[2].dotted(), "caches.x-y.ttl");
    assert_eq!(formula.references()[2].root(), "caches");
    assert_eq!(formula.references()[2].segments().len(), 3);
    let shown = formula.with_references(|path| if path.root() == "b" { "3".into() } else { path.to_string() });
    assert_eq!(shown, r#"3 + a > 0 ? caches["x-y"].ttl : 3 * min(a, d)"#);
}

#[test]
fn arithmetic_has_no_surprises_of_floats() {
    for condition in [
        "0.1 + 0.2 == 0.3",
        "10 / 3 * 3 == 10",
        "1 / 3 + 1 / 3 + 1 / 3 == 1",
        "floor(10 / 3 * 3) == 10",
        "1.1 * 1.1 == 1.21",
        "100 * 1.1 == 110",
        "20% * 5 == 1",
        "1 - 20% == 80%",
        "0.000000001 * 0.000000001 > 0",
        "-7 / 2 == -3.5",
        "floor(-3.5) == -4 && ceil(-3.5) == -3 && round(-3.5) == -4 && round(3.5) == 4",
        "floor(1.99) == 1 && ceil(1.01) == 2 && round(1.49) == 1",
        "2048Mi == 2Gi && 1000ms == 1s && 60m == 1h && 1k == 1000B",
        "min(3, 1, 2) == 1 && max(3, 1, 2) == 3",
        "clamp(5, 1, 3) == 3 && clamp(0, 1, 3) == 1 && clamp(2, 1, 3) == 2 && clamp(2, 2, 2) == 2",
        "floor(2.5s, 1s) == 2s && ceil(1G, 1Mi) == 954Mi && round(7, 5) == 5 && floor(1, 0.3) == 0.9",
        "2 + 3 * 4 == 14 && (2 + 3) * 4 == 20 && 20 / 2 / 5 == 2 && 10 - 3 - 2 == 5",
        "true || false && false",
        "!false == true",
        "1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3 && 1 != 2",
        "9223372036854775807 * 4 == 36893488147419103228",
    ] {
        assert!(holds(condition), "{condition}");
    }
}

#[test]
fn words_and_switches() {
    for condition in [
        r#"settings["database"] == "postgresql""#,
        r#""sqlite" != settings.database"#,
        "settings.redis",
        "settings.redis == true && settings.redis != false",
        "profile == 'high-traffic'",
        "profile != settings.database",
    ] {
        assert!(holds(condition), "{condition}");
    }
    assert_eq!(value(r#"settings.redis ? "redis" : "memory""#, ValueType::Enum), "redis");
    assert_eq!(outcome("profile", ValueType::Enum).as_word(), Some("high-traffic"));
    assert_eq!(value("limits.memory > 4Gi", ValueType::Boolean), "false");
}

#[test]
fn the_suffix_m_is_cores_where_cores_are_meant() {
    for (text, expected) in [
        ("500m", "500m"),
        ("2 * 250m", "500m"),
        ("max(1, 500m)", "1"),
        ("max(limits.cpu, 500m) + 250m", "2250m"),
        ("limits.cpu - 500m", "1500m"),
        ("500m + limits.cpu", "2500m"),
        ("-(-500m)", "500m"),
        ("settings.redis ? 500m : limits.cpu", "500m"),
        ("ceil(1500m)", "2"),
        ("floor(limits.cpu * 40%, 50m)", "800m"),
        ("limits.cpu * 500m", "1"),
        ("1500m / 3", "500m"),
        ("workers.web.count * 250m", "1"),
        ("clamp(limits.cpu / 3, 100m, 500m)", "500m"),
    ] {
        assert_eq!(value(text, ValueType::Cpu), expected, "{text}");
    }
    for (text, expected) in [
        ("5m", "5m"),
        ("2 * 5m", "10m"),
        ("limits.cpu * 5m", "10m"),
        ("10m / limits.cpu", "5m"),
        ("max(pools.db.idleTimeout, 20m)", "20m"),
        ("settings.interval + 1m", "70s"),
        ("500m - 100m", "400m"),
    ] {
        assert_eq!(value(text, ValueType::Duration), expected, "{text}");
    }
    for condition in [
        "limits.cpu == 2000m",
        "limits.cpu > 500m && pools.db.idleTimeout > 5m",
        "limits.cpu / 500m == 4",
        "10m / 5m == 2",
        "5m < 6m",
        "5m == 300s",
        "workers.web.count * 250m <= limits.cpu",
        "limits.cpu == workers.web.count * (250m + 250m)",
        "60 / 1m == 1/s",
        "thresholds.rate.current * 5m == 300",
    ] {
        let checked = parse(condition).check(Some(&Type::Boolean), types).unwrap();
        let rate = Quantity::new(Decimal::ONE, Dimension::PerSecond);
        let found = checked.evaluate(|path| values(path).or(Some(Datum::Quantity(rate))));
        assert_eq!(found.unwrap().as_bool(), Some(true), "{condition}");
    }
    for (text, message) in [
        (
            "workers.web.count > 500m",
            r#"19: number > seconds: "workers.web.count" is a number, "500m" is seconds; m means minutes here, half a core is 0.5"#,
        ),
        (
            "max(1, 500m) > 30s",
            r#"1: max(number, seconds): "1" is a number, "500m" is seconds; m means minutes here, half a core is 0.5"#,
        ),
        ("ceil(500m) > 30s", "1: ceil of seconds needs a step: write ceil(x, 1s)"),
        (
            "limits.cpu + (500m + 1s)",
            r#"12: cores + seconds: "limits.cpu" is cores, "500m + 1s" is seconds; m means minutes here, half a core is 0.5"#,
        ),
    ] {
        assert_eq!(refusal(text), format!("is wrong at character {message}"), "{text}");
    }
    let error = parse("2 * 500m").check(Some(&ValueType::Integer.into()), types).unwrap_err();
    assert_eq!(
        error.to_string(),
        "is wrong at character 3: the result is seconds, but must be a number; m means minutes here, half a core is 0.5"
    );
}

#[test]
fn mistakes_of_units_are_found_without_values() {
    for (text, message) in [
        (
            "pools.db.idleTimeout + limits.memory",
            r#"22: seconds + bytes: "pools.db.idleTimeout" is seconds, "limits.memory" is bytes"#,
        ),
        (
            "limits.memory - 600",
            r#"15: bytes - number: "limits.memory" is bytes, "600" is a number; write a unit after the number, as in 30s or 600Mi"#,
        ),
        (
            "max(0, limits.memory - 600Mi)",
            r#"1: max(number, bytes): "0" is a number, "limits.memory - 600Mi" is bytes; write a unit after the number, as in 30s or 600Mi"#,
        ),
        (
            "limits.memory * limits.memory > 1Gi",
            r#"31: bytes^2 > bytes: "limits.memory * limits.memory" is bytes^2, "1Gi" is bytes"#,
        ),
        (
            "settings.redis ? 1s : 1",
            r#"16: seconds or number: "1s" is seconds, "1" is a number; write a unit after the number, as in 30s or 600Mi"#,
        ),
        ("settings.redis ? 'x' : 1s", r#"16: word or seconds: "\"x\"" is a word, "1s" is seconds"#),
        (
            "settings.redis == 1",
            r#"16: true or false == number: "settings.redis" is true or false, "1" is a number; write a unit after the number, as in 30s or 600Mi"#,
        ),
        (
            "limits.memory / 1s > 1s * 1Gi",
            r#"20: bytes per second > bytes × seconds: "limits.memory / 1s" is bytes per second, "1s * 1Gi" is bytes × seconds"#,
        ),
        (
            "1 / limits.memory / 1s < 1",
            r#"24: per byte × second < number: "1 / limits.memory / 1s" is per byte × second, "1" is a number; write a unit after the number, as in 30s or 600Mi"#,
        ),
        ("1 && true", r#"3: && needs a condition: "1" is a number"#),
        ("true || 'x'", r#"6: || needs a condition: "\"x\"" is a word"#),
        ("!1", r#"1: ! needs a condition: "1" is a number"#),
        ("-true", r#"1: - needs a number: "true" is true or false"#),
        ("1 ? 2 : 3", r#"3: ? needs a condition: "1" is a number"#),
        ("'a' < 'b'", r#"5: < needs numbers: "\"a\"" is a word"#),
        ("'a' + 'b'", r#"5: word + word: "\"a\"" is a word, "\"b\"" is a word"#),
        ("2 * 'b'", r#"3: * needs numbers: "\"b\"" is a word"#),
        ("ceil(true)", r#"1: ceil needs a number: "true" is true or false"#),
        (
            "min(true, false)",
            r#"1: min(true or false, true or false): "true" is true or false, "false" is true or false"#,
        ),
        ("floor(limits.memory)", "1: floor of bytes needs a step: write floor(x, 1Mi)"),
        ("round(settings.interval) > 1s", "1: round of seconds needs a step: write round(x, 1s)"),
        (
            "floor(limits.memory, 5)",
            r#"1: floor(bytes, number): "limits.memory" is bytes, "5" is a number; write a unit after the number, as in 30s or 600Mi"#,
        ),
        ("pools.bd.size", "1: pools.bd.size is nothing in this policy"),
        (
            "2 * caches.trust-score.ttl",
            r#"5: caches.trust is nothing in this policy; did you mean caches["trust-score"].ttl?"#,
        ),
        ("1s + caches.a-b-c.ttl", r#"6: caches.a is nothing in this policy; did you mean caches["a-b-c"].ttl?"#),
        ("caches.trust - score.ttl", "1: caches.trust is nothing in this policy"),
        (
            r#"settings.database == "postgres""#,
            r#"22: settings.database is never "postgres"; it is one of sqlite, postgresql"#,
        ),
        ("pools.db.size / 0", "15: division by zero"),
        ("pools.db.size / (1 - 100%)", "15: division by zero"),
        ("clamp(pools.db.size, 5, 2)", "1: the low bound of clamp is 5, above the high bound 2"),
        ("clamp(limits.memory, 1Gi, 512Mi)", "1: the low bound of clamp is 1Gi, above the high bound 512Mi"),
        ("floor(pools.db.size, -1)", "1: the step must be > 0, not -1"),
        (
            "0.000000001 * 0.000000001 * 0.000000001 * 0.000000001",
            "41: the result has too many digits to be exact; round a part of it",
        ),
    ] {
        assert_eq!(refusal(text), format!("is wrong at character {message}"), "{text}");
    }
}

#[test]
fn the_result_must_fit_the_field() {
    for (text, kind, message) in [
        ("limits.memory", ValueType::Duration, "1: the result is bytes, but must be seconds"),
        ("limits.memory * 2", ValueType::Integer, "15: the result is bytes, but must be a number"),
        ("5", ValueType::Bytes, "1: the result is a number, but must be bytes"),
        ("5 > 3", ValueType::Integer, "3: the result is true or false, but must be a number"),
        ("5", ValueType::Boolean, "1: the result is a number, but must be true or false"),
        ("'x'", ValueType::Number, "1: the result is a word, but must be a number"),
    ] {
        let error = parse(text).check(Some(&kind.into()), types).unwrap_err();
        assert_eq!(error.to_string(), format!("is wrong at character {message}"), "{text}");
    }
    // A bare rate fits a rate of bytes, as thresholds have one dimension for both.
    for (text, kind) in [("limits.memory / 10s", Dimension::PerSecond), ("10Mi/s + 5/s", Dimension::PerSecond)] {
        assert!(parse(text).check(Some(&kind.into()), types).is_ok(), "{text}");
    }
    assert_eq!(parse("1s * 1s").check(None, types).unwrap().result(), None);
    assert_eq!(parse("1s + 1s").check(None, types).unwrap().result(), Some(Dimension::Duration.into()));
    assert_eq!(parse("5m").check(None, types).unwrap().result(), Some(Dimension::Duration.into()));
}

#[test]
fn fields_round_as_little_as_possible() {
    for (text, kind, expected) in [
        (
            "10 / 4",
            ValueType::Integer,
            "must be a whole number, not 2.5: put the formula into floor(…), ceil(…) or round(…)",
        ),
        ("10 / 5", ValueType::Integer, "2"),
        ("limits.cpu * 2.5", ValueType::Integer, "5"),
        ("1 / 3", ValueType::Number, "0.333333333"),
        ("2 / 3", ValueType::Ratio, "66.6666667%"),
        ("0.9 * limits.memory", ValueType::Bytes, "1932735283"),
        ("floor(0.9 * limits.memory, 1Mi)", ValueType::Bytes, "1843Mi"),
        ("limits.memory / 3", ValueType::Bytes, "715827882"),
        ("limits.cpu / 3", ValueType::Cpu, "667m"),
        ("settings.interval / 3", ValueType::Duration, "3.333333333s"),
        ("150%", ValueType::Ratio, "must be between 0% and 100%, not 150%"),
        ("limits.memory - 3Gi", ValueType::Bytes, "must be ≥ 0, not -1Gi"),
        ("settings.interval - 1m", ValueType::Duration, "must be ≥ 0, not -50s"),
        ("limits.cpu - 2", ValueType::Cpu, "must be > 0, not 0"),
        ("9223372036854775807 + 1", ValueType::Integer, "must fit the type Integer, but the result is too large"),
        (
            "99999999999999999999 * 99999999999999999",
            ValueType::Number,
            "must fit the type Number, but the result is too large",
        ),
        ("limits.memory * 9999999999", ValueType::Bytes, "must be ≤ 9223372036854775807B"),
    ] {
        assert_eq!(value(text, kind), expected, "{text}");
    }
    let other = outcome("1s", ValueType::Duration).to_value(ValueType::Bytes).unwrap_err();
    assert_eq!(other.to_string(), "must be bytes, not 1s");
}

#[test]
fn failures_at_run_time_say_where_and_why() {
    for (text, message) in [
        ("1 / settings.zero", "has no value at character 3: division by zero"),
        ("floor(1, settings.zero)", "has no value at character 1: the step must be > 0, not 0"),
        (
            "clamp(5, settings.third, settings.zero)",
            "has no value at character 1: the low bound of clamp is 3, above the high bound 0",
        ),
        ("thresholds.rate.current * 1s", "needs thresholds.rate.current, which is not known yet"),
    ] {
        let checked = parse(text).check(None, types).unwrap();
        assert_eq!(checked.evaluate(values).unwrap_err().to_string(), message, "{text}");
    }
    let checked = parse("pools.db.size * 2").check(None, types).unwrap();
    let error = checked.evaluate(|_| Some(Datum::Boolean(true))).unwrap_err();
    assert_eq!(error.to_string(), "needs pools.db.size to be a number, but it is true or false");
    let huge = Quantity::new(Decimal::from_nanos(i128::MAX), Dimension::Count);
    let error = parse("s * s * s").check(None, types).unwrap().evaluate(|_| Some(huge.into())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "has no value at character 3: the result has too many digits to be exact; round a part of it"
    );
}

#[test]
fn what_a_choice_does_not_need_is_not_looked_at() {
    assert_eq!(value("settings.zero == 0 ? 0 : 1 / settings.zero", ValueType::Number), "0");
    assert!(holds("settings.zero == 0 || 1 / settings.zero > 1"));
    assert!(!holds("settings.zero != 0 && 1 / settings.zero > 1"));
    assert!(holds("true || thresholds.rate.current > 1/s"));
}
