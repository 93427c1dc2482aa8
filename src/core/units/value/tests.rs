use proptest::prelude::*;

use super::*;

const TYPES: [ValueType; 8] = [
    ValueType::Integer,
    ValueType::Number,
    ValueType::Duration,
    ValueType::Bytes,
    ValueType::Cpu,
    ValueType::Ratio,
    ValueType::Boolean,
    ValueType::Enum,
];

fn value(kind: ValueType, text: &str) -> Value {
    Value::parse(kind, text).unwrap_or_else(|error| panic!("{kind} {text}: {error}"))
}

#[test]
fn literals_read_and_print() {
    for (kind, text, printed) in [
        (ValueType::Integer, "20", "20"),
        (ValueType::Integer, "-1", "-1"),
        (ValueType::Integer, "4.0", "4"),
        (ValueType::Number, "0.75", "0.75"),
        (ValueType::Duration, "1500ms", "1.5s"),
        (ValueType::Duration, "2.5s", "2.5s"),
        (ValueType::Duration, "300ms", "300ms"),
        (ValueType::Duration, "7d", "7d"),
        (ValueType::Duration, "500m", "500m"),
        (ValueType::Duration, "0s", "0s"),
        (ValueType::Bytes, "2048Mi", "2Gi"),
        (ValueType::Bytes, "1GB", "1G"),
        (ValueType::Bytes, "1GiB", "1Gi"),
        (ValueType::Bytes, "1048576", "1Mi"),
        (ValueType::Cpu, "500m", "500m"),
        (ValueType::Cpu, "0.5", "500m"),
        (ValueType::Cpu, "1e3", "1k"),
        (ValueType::Ratio, "80%", "80%"),
        (ValueType::Ratio, "0.8", "80%"),
        (ValueType::Ratio, "99.95%", "99.95%"),
        (ValueType::Boolean, "true", "true"),
        (ValueType::Enum, "allkeys-lru", "allkeys-lru"),
    ] {
        assert_eq!(value(kind, text).to_string(), printed, "{kind} {text}");
    }
}

#[test]
fn refusals_say_what_would_be_right() {
    for (kind, text, message) in [
        (ValueType::Duration, "5mm", r#"must be a duration such as 300ms, 30s, 5m, not "5mm""#),
        (ValueType::Duration, "9e9h", r#"must be a duration such as 300ms, 30s, 5m, not "9e9h""#),
        (ValueType::Duration, "1h30m", r#"must be a duration such as 300ms, 30s, 5m, not "1h30m""#),
        (ValueType::Duration, "30", r#"must be a duration such as 300ms, 30s, 5m, not "30""#),
        (ValueType::Duration, "-1s", "must be ≥ 0, not -1s"),
        (ValueType::Duration, "9999999h", "must be ≤ 9223372036s"),
        (
            ValueType::Duration,
            "0.0000000001s",
            r#"must have at most nine decimals in its base unit, not "0.0000000001s""#,
        ),
        (ValueType::Bytes, "ten", r#"must be a size such as 512Ki, 300Mi, 2Gi, not "ten""#),
        (ValueType::Bytes, "1KB", r#"must be a size such as 512Ki, 300Mi, 2Gi, not "1KB""#),
        (ValueType::Bytes, "5s", r#"must be a size such as 512Ki, 300Mi, 2Gi, not "5s""#),
        (ValueType::Bytes, "0.3Ki", "must be whole bytes, not 307.2B (the suffix m means thousandths, Mi mebibytes)"),
        (ValueType::Bytes, "99999999Ti", "must be ≤ 9223372036854775807B"),
        (
            ValueType::Cpu,
            "1GB",
            r#"invalid quantity "1GB": write a number with at most one of the suffixes m k M G T P E Ki Mi Gi Ti Pi Ei"#,
        ),
        (ValueType::Cpu, "1e99", r#"invalid quantity "1e99": must be ≤ 9223372036854775807"#),
        (ValueType::Cpu, "-1", "must be > 0, not -1"),
        (ValueType::Cpu, "0", "must be > 0, not 0"),
        (ValueType::Cpu, "1500u", "must be a whole number of millicores (1m), not 1500u"),
        (ValueType::Ratio, "150%", "must be between 0% and 100%, not 150%"),
        (ValueType::Ratio, "80", "must be between 0% and 100%, not 8000%"),
        (ValueType::Ratio, "NaN", r#"must be a ratio such as 80% or 0.8, not "NaN""#),
        (ValueType::Integer, "4.5", r#"must be a whole number such as 20, not "4.5""#),
        (ValueType::Integer, "ten", r#"must be a whole number such as 20, not "ten""#),
        (ValueType::Integer, "9223372036854775808", r#"must be a whole number such as 20, not "9223372036854775808""#),
        (ValueType::Boolean, "yes", r#"must be true or false, not "yes""#),
        (ValueType::Enum, " ", r#"must be a word, not " ""#),
    ] {
        let error = Value::parse(kind, text).unwrap_err();
        assert_eq!(error.to_string(), message, "{kind} {text}");
    }
}

#[test]
fn memory_takes_the_syntax_of_kubernetes_only() {
    assert_eq!(Value::parse_memory("2048Mi"), Ok(value(ValueType::Bytes, "2Gi")));
    assert_eq!(Value::parse_memory("1e3"), Ok(value(ValueType::Bytes, "1000")));
    let message = |text| Value::parse_memory(text).unwrap_err().to_string();
    assert!(message("1GB").starts_with("invalid quantity"));
    assert_eq!(message("-1"), "must be > 0, not -1");
    assert_eq!(message("0"), "must be > 0, not 0");
    assert_eq!(message("500m"), "must be whole bytes, not 0.5B (the suffix m means thousandths, Mi mebibytes)");
}

#[test]
fn bare_numbers_have_no_unit() {
    assert_eq!(Value::from_int(ValueType::Integer, 20), Ok(Value::Integer(20)));
    assert_eq!(Value::from_int(ValueType::Bytes, 1024), Ok(value(ValueType::Bytes, "1Ki")));
    assert_eq!(Value::from_int(ValueType::Cpu, 2), Ok(value(ValueType::Cpu, "2")));
    assert_eq!(Value::from_int(ValueType::Ratio, 1), Ok(value(ValueType::Ratio, "100%")));
    assert_eq!(Value::from_int(ValueType::Enum, 3), Ok(value(ValueType::Enum, "3")));
    for kind in [ValueType::Duration, ValueType::Boolean] {
        assert!(Value::from_int(kind, 1).is_err());
    }
    assert!(Value::from_int(ValueType::Bytes, -1).is_err());
    assert!(Value::from_int(ValueType::Ratio, 80).is_err());
}

#[test]
fn values_order_as_numbers_and_clamp() {
    let bytes = |text| value(ValueType::Bytes, text);
    assert!(bytes("999Mi") < bytes("1Gi"));
    assert_eq!(bytes("1Gi").clamp_to(Some(&bytes("2Gi")), Some(&bytes("4Gi"))), bytes("2Gi"));
    assert_eq!(bytes("8Gi").clamp_to(Some(&bytes("2Gi")), Some(&bytes("4Gi"))), bytes("4Gi"));
    assert_eq!(bytes("3Gi").clamp_to(None, None), bytes("3Gi"));
    assert_eq!(bytes("3Gi").clamp_to(Some(&bytes("4Gi")), Some(&bytes("2Gi"))), bytes("2Gi"));
    assert_eq!(Value::Integer(1).partial_cmp(&Value::Boolean(true)), None);
    assert!(value(ValueType::Duration, "31d") > MAX_TTL);
    assert_eq!(value(ValueType::Duration, "720h"), MAX_TTL);
}

#[test]
fn words_of_a_list() {
    let words: Vec<_> = Value::Enum("read, write".to_owned()).words().map(str::to_owned).collect();
    assert_eq!(words, ["read", "write"]);
    assert_eq!(Value::Integer(1).words().count(), 0);
}

#[test]
fn resources_get_the_text_that_kubernetes_stores() {
    for (value, text) in [
        (Value::parse_memory("2048Mi").unwrap(), Some("2Gi")),
        (value(ValueType::Bytes, "1.5Gi"), Some("1536Mi")),
        (value(ValueType::Cpu, "1.5"), Some("1500m")),
        (Value::Integer(3), None),
    ] {
        assert_eq!(value.resource_quantity().map(|quantity| quantity.to_string()).as_deref(), text);
    }
}

#[test]
fn excerpts_are_short_and_escaped() {
    assert_eq!(Excerpt::new("a\u{1b}[31m\n").to_string(), r#""a\u{1b}[31m\n""#);
    assert_eq!(Excerpt::new(&"x".repeat(100)).to_string().chars().count(), 67);
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_read_reads_back(
        text in "\\PC{0,12}|[-+]?[0-9]{0,25}(\\.[0-9]{0,10})?(ms|[smhdkMGT%]|[KMGT]i)?B?",
    ) {
        for kind in TYPES {
            if let Ok(value) = Value::parse(kind, &text) {
                prop_assert_eq!(value.value_type(), kind);
                prop_assert_eq!(Value::parse(kind, &value.to_string()), Ok(value));
            }
        }
        let _ = Value::parse_memory(&text);
    }

    #[test]
    fn clamped_values_are_inside(value: i64, a: i64, b: i64) {
        let (min, max) = (Value::Integer(a.min(b)), Value::Integer(a.max(b)));
        let clamped = Value::Integer(value).clamp_to(Some(&min), Some(&max));
        prop_assert!(min <= clamped && clamped <= max);
    }
}
