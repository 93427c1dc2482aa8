//! The calls in a `PromQL` expression: enough to see what is applied to what. No parser: what cannot be followed is passed over.

/// A call of a function or an aggregation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    /// Its name, such as `rate`.
    pub name: &'a str,
    /// `by` or `without`, with the labels; nothing if it groups by none.
    pub grouping: Option<(bool, Vec<&'a str>)>,
    /// What stands in the parentheses, cut at commas.
    pub arguments: Vec<&'a str>,
    /// Where it begins and ends.
    pub span: (usize, usize),
}

/// All calls, in the order in which they begin.
pub(super) fn calls(text: &str) -> Vec<Call<'_>> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes.get(at).copied().unwrap_or_default();
        if let Some(end) = skip(text, at) {
            at = end;
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let end = word_end(text, at);
            if let Some(call) = call(text, at, end) {
                found.push(call);
            }
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

fn call(text: &str, start: usize, end: usize) -> Option<Call<'_>> {
    let name = text.get(start..end)?;
    if matches!(name, "by" | "without" | "on" | "ignoring" | "group_left" | "group_right") {
        return None;
    }
    let (before, open) = match grouping(text, end) {
        Some((grouping, after)) => (Some(grouping), blank(text, after)),
        None => (None, blank(text, end)),
    };
    let close = closing(text, open)?;
    let after = grouping(text, close + 1);
    let span = (start, after.as_ref().map_or(close + 1, |(_, end)| *end));
    Some(Call {
        name,
        grouping: before.or(after.map(|(grouping, _)| grouping)),
        arguments: split(text.get(open + 1..close)?),
        span,
    })
}

/// `by (a, b)` or `without (…)` from `at`, and where it ends.
fn grouping(text: &str, at: usize) -> Option<((bool, Vec<&str>), usize)> {
    let start = blank(text, at);
    let end = word_end(text, start);
    let is_by = match text.get(start..end)? {
        "by" => true,
        "without" => false,
        _ => return None,
    };
    let open = blank(text, end);
    let close = closing(text, open)?;
    let labels = text.get(open + 1..close)?.split(',').map(str::trim).filter(|label| !label.is_empty());
    Some(((is_by, labels.collect()), close + 1))
}

fn blank(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + (rest.len() - rest.trim_start().len())
}

fn word_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len())
}

/// The parenthesis that closes the one at `open`.
fn closing(text: &str, open: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.get(open) != Some(&b'(') {
        return None;
    }
    let (mut depth, mut at) = (0_usize, open);
    while let Some(byte) = bytes.get(at) {
        if let Some(end) = skip(text, at) {
            at = end;
            continue;
        }
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at),
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The end of a string, a comment or a list of matchers that begins at `at`.
fn skip(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = match bytes.get(at)? {
        b'#' => {
            let rest = text.get(at..).unwrap_or_default();
            return Some(at + rest.find('\n').unwrap_or(rest.len()));
        }
        b'{' => {
            let mut inside = at + 1;
            while let Some(byte) = bytes.get(inside) {
                match byte {
                    b'}' => return Some(inside + 1),
                    b'"' | b'\'' | b'`' => inside = skip(text, inside)?,
                    _ => inside += 1,
                }
            }
            return Some(bytes.len());
        }
        quote @ (b'"' | b'\'' | b'`') => *quote,
        _ => return None,
    };
    let mut inside = at + 1;
    while let Some(byte) = bytes.get(inside) {
        match byte {
            b'\\' if quote != b'`' => inside += 2,
            byte if *byte == quote => return Some(inside + 1),
            _ => inside += 1,
        }
    }
    Some(bytes.len())
}

fn split(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut at, mut depth) = (Vec::new(), 0, 0, 0_i32);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        if let Some(end) = skip(text, at) {
            at = end;
            continue;
        }
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b',' if depth == 0 => {
                found.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found.extend(text.get(start..));
    found.into_iter().map(str::trim).collect()
}

/// The name of the metric that a selector begins with.
pub(super) fn metric(selector: &str) -> Option<&str> {
    let end = word_end(selector, 0);
    let rest = selector.get(end..)?.trim_start();
    (end > 0 && (rest.is_empty() || rest.starts_with(['{', '[']))).then(|| selector.get(..end)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn calls_are_found_with_their_grouping_and_arguments() {
        let text = "histogram_quantile(0.95, sum by (le, pod) (rate(a_bucket{x=\"(\"}[5m]))) / avg(b) without (c)";
        let found = calls(text);
        let names: Vec<_> = found.iter().map(|call| call.name).collect();
        assert_eq!(names, ["histogram_quantile", "sum", "rate", "avg"]);
        assert_eq!(found[0].arguments, ["0.95", "sum by (le, pod) (rate(a_bucket{x=\"(\"}[5m]))"]);
        assert_eq!(found[1].grouping, Some((true, vec!["le", "pod"])));
        assert_eq!(found[3].grouping, Some((false, vec!["c"])));
        assert_eq!(metric(found[2].arguments[0]), Some("a_bucket"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z_(){}\\[\\],\"'`#\\\\ \n0-9.é]{0,80}") {
            for call in calls(&text) {
                let read = call.arguments.iter().filter(|argument| metric(argument).is_some()).count();
                prop_assert!(read <= call.arguments.len());
            }
        }
    }
}
