//! JSON values compared, ordered and written in one canonical way.

use std::{cmp::Ordering, fmt::Write as _};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Whether the API server's merge sees no difference: numbers by value (`1` and `1.0`), members in any order. It does not
/// know quantities: `2048Mi` and `2Gi` differ.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || ((x.is_f64() || y.is_f64()) && x.as_f64().is_some() && x.as_f64() == y.as_f64())
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

/// A total order of JSON values that agrees with `==`.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(x), Value::String(y)) => x.cmp(y),
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64(), x.as_u64(), y.as_u64()) {
            (Some(x), Some(y), ..) => x.cmp(&y),
            (_, _, Some(x), Some(y)) => x.cmp(&y),
            _ => {
                let by_value = x.as_f64().partial_cmp(&y.as_f64()).unwrap_or(Ordering::Equal);
                by_value.then_with(|| x.is_f64().cmp(&y.is_f64()))
            }
        },
        (Value::Array(x), Value::Array(y)) => {
            let unequal = x.iter().zip(y).map(|(x, y)| compare(x, y)).find(|o| o.is_ne());
            unequal.unwrap_or_else(|| x.len().cmp(&y.len()))
        }
        (Value::Object(_), Value::Object(_)) if a == b => Ordering::Equal,
        (Value::Object(_), Value::Object(_)) => canonical(a).cmp(&canonical(b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

/// The text of `value` without spaces and with sorted members: equal values have equal texts.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (i, (key, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// The first 16 hexadecimal digits of the SHA-256 of `text`: stable over releases of the compiler and of this program.
#[must_use]
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_compared_by_value_and_quantities_by_text() {
        assert!(same(&json!({"a": 1, "b": [2.0]}), &json!({"b": [2], "a": 1.0})));
        assert!(!same(&json!("2Gi"), &json!("2048Mi")));
        assert!(!same(&json!(2), &json!("2")));
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": 1})));
    }

    #[test]
    fn the_order_agrees_with_equality() {
        let values = [
            json!(null),
            json!(false),
            json!(true),
            json!(-1),
            json!(1),
            json!(1.0),
            json!(1.5),
            json!(80),
            json!(8080),
            json!(u64::MAX),
            json!("1"),
            json!("a"),
            json!([]),
            json!([1]),
            json!([1, 2]),
            json!({}),
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
        assert_eq!(compare(&json!({"a": 1, "b": 2}), &json!({"b": 2, "a": 1})), Ordering::Equal);
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        assert_eq!(digest("abc"), "ba7816bf8f01cfea");
        assert_eq!(canonical(&json!({"b": [1, "x"], "a": null})), r#"{"a":null,"b":[1,"x"]}"#);
    }
}
