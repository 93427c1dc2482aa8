//! Text between markers of a document: `<!-- EMBED:NAME:START -->` and `<!-- EMBED:NAME:END -->`.
//!
//! Exactly what is between the markers is replaced, and no other byte: documents may be in any encoding that keeps ASCII, and
//! lines end as they do in the document.

use std::{collections::BTreeMap, ops::Range};

/// Why markers are refused, with the line of the first one that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// A start without an end.
    #[error("line {line}: EMBED:{name}:START has no EMBED:{name}:END after it")]
    Unclosed {
        /// Name of the marker.
        name: String,
        /// Line, from 1.
        line: usize,
    },
    /// An end without a start.
    #[error("line {line}: EMBED:{name}:END has no EMBED:{name}:START before it")]
    Unopened {
        /// Name of the marker.
        name: String,
        /// Line, from 1.
        line: usize,
    },
    /// A pair that comes twice.
    #[error("line {line}: EMBED:{name} is there twice: give one of them another name")]
    Twice {
        /// Name of the marker.
        name: String,
        /// Line of the second, from 1.
        line: usize,
    },
    /// A marker inside of another pair.
    #[error("line {line}: EMBED:{name} begins inside of EMBED:{outer}: markers do not nest")]
    Nested {
        /// Name of the inner marker.
        name: String,
        /// Name of the outer one.
        outer: String,
        /// Line, from 1.
        line: usize,
    },
}

const OPEN: &[u8] = b"<!-- EMBED:";
const CLOSE: &[u8] = b" -->";

/// Where each name's text is: between its markers.
///
/// # Errors
/// When markers are not pairs that stand beside each other.
pub fn regions(document: &[u8]) -> Result<BTreeMap<String, Range<usize>>, EmbedError> {
    let mut found: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let mut open: Option<(String, usize, usize)> = None;
    let mut at = 0;
    while let Some(start) = find(document, OPEN, at) {
        at = start + OPEN.len();
        let Some((name, is_start, end)) = marker(document, at) else { continue };
        let line = 1 + document.iter().take(start).filter(|&&byte| byte == b'\n').count();
        match (is_start, open.take()) {
            (true, Some((outer, ..))) => return Err(EmbedError::Nested { name, outer, line }),
            (true, None) if found.contains_key(&name) => return Err(EmbedError::Twice { name, line }),
            (true, None) => open = Some((name, end, line)),
            (false, Some((outer, from, _))) if outer == name => {
                found.insert(name, from..start);
            }
            (false, _) => return Err(EmbedError::Unopened { name, line }),
        }
        at = end;
    }
    match open {
        Some((name, _, line)) => Err(EmbedError::Unclosed { name, line }),
        None => Ok(found),
    }
}

/// Replaces the text between the markers of each of `texts`, by name. A text is lines that end with a line feed; in the
/// document they end as the line of the start marker does.
///
/// # Errors
/// As [`regions`]; names without markers are passed over.
pub fn replace(document: &[u8], texts: &BTreeMap<&str, String>) -> Result<Vec<u8>, EmbedError> {
    let mut places: Vec<(Range<usize>, &String)> =
        regions(document)?.into_iter().filter_map(|(name, range)| Some((range, texts.get(name.as_str())?))).collect();
    places.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(document.len());
    let mut at = 0;
    for (range, text) in places {
        out.extend_from_slice(document.get(at..range.start).unwrap_or_default());
        let end: &[u8] = if ends_with_crlf(document, range.start) { b"\r\n" } else { b"\n" };
        out.extend_from_slice(end);
        for line in text.lines() {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(end);
        }
        at = range.end;
    }
    out.extend_from_slice(document.get(at..).unwrap_or_default());
    Ok(out)
}

/// Whether the line at `at` ends with CR LF; where it is the last one, whether the document's lines do.
fn ends_with_crlf(document: &[u8], at: usize) -> bool {
    let feed = find(document, b"\n", at).or_else(|| find(document, b"\n", 0));
    feed.and_then(|feed| document.get(feed.checked_sub(1)?)) == Some(&b'\r')
}

/// Name and kind of the marker whose name begins at `at`, and where it ends.
fn marker(document: &[u8], at: usize) -> Option<(String, bool, usize)> {
    let rest = document.get(at..)?;
    let length = rest.iter().take_while(|&&b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-').count();
    let name = std::str::from_utf8(rest.get(..length)?).ok().filter(|name| !name.is_empty())?;
    let rest = rest.get(length..)?;
    let (is_start, word): (bool, &[u8]) =
        if rest.starts_with(b":START") { (true, b":START") } else { (false, b":END") };
    rest.strip_prefix(word)?.strip_prefix(CLOSE)?;
    Some((name.to_owned(), is_start, at + length + word.len() + CLOSE.len()))
}

fn find(document: &[u8], what: &[u8], from: usize) -> Option<usize> {
    document.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(document: &[u8], name: &str, text: &str) -> Result<Vec<u8>, EmbedError> {
        replace(document, &BTreeMap::from([(name, text.to_owned())]))
    }

    fn said(document: &str) -> String {
        regions(document.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn only_the_text_between_the_markers_changes() {
        let before = "# T\n<!-- EMBED:A:START -->\nold\n\n<!-- EMBED:A:END -->\nrest";
        let after = put(before.as_bytes(), "A", "| new |\n").unwrap();
        assert_eq!(after, "# T\n<!-- EMBED:A:START -->\n| new |\n<!-- EMBED:A:END -->\nrest".as_bytes());
        let on_one_line = put(b"x <!-- EMBED:A:START --><!-- EMBED:A:END --> y", "A", "n\n").unwrap();
        assert_eq!(on_one_line, b"x <!-- EMBED:A:START -->\nn\n<!-- EMBED:A:END --> y");
    }

    #[test]
    fn lines_end_as_they_do_there() {
        let before = b"\xff\r\n<!-- EMBED:A:START -->\r\nold\r\n<!-- EMBED:A:END -->\r\n";
        let after = put(before, "A", "1\n2\n").unwrap();
        assert_eq!(after, b"\xff\r\n<!-- EMBED:A:START -->\r\n1\r\n2\r\n<!-- EMBED:A:END -->\r\n");
    }

    #[test]
    fn markers_that_are_no_pairs_are_refused_with_their_line() {
        let (start, end) = ("<!-- EMBED:A:START -->", "<!-- EMBED:A:END -->");
        assert_eq!(said(&format!("\n{start}\n")), "line 2: EMBED:A:START has no EMBED:A:END after it");
        assert_eq!(said(&format!("{end}\n")), "line 1: EMBED:A:END has no EMBED:A:START before it");
        assert_eq!(said(&format!("{end}\n{start}")), "line 1: EMBED:A:END has no EMBED:A:START before it");
        assert_eq!(
            said(&format!("{start}{end}\n{start}{end}")),
            "line 2: EMBED:A is there twice: give one of them another name"
        );
        assert_eq!(
            said(&format!("{start}\n<!-- EMBED:B:START -->\n<!-- EMBED:B:END -->{end}")),
            "line 2: EMBED:B begins inside of EMBED:A: markers do not nest"
        );
        assert_eq!(
            said(&format!("{start}\n{start}\n{end}")),
            "line 2: EMBED:A begins inside of EMBED:A: markers do not nest"
        );
        assert_eq!(
            said(&format!("{start}\n<!-- EMBED:B:END -->")),
            "line 2: EMBED:B:END has no EMBED:B:START before it"
        );
        // What only looks like one is text.
        assert!(regions(b"<!--EMBED:A:START--> <!-- EMBED:A --> <!-- EMBED:a b:START -->").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_other_byte_changes(
            before in proptest::collection::vec(any::<u8>(), 0..64),
            old in proptest::collection::vec(any::<u8>(), 0..64),
            after in proptest::collection::vec(any::<u8>(), 0..64),
            lines in proptest::collection::vec("[ -~]{0,12}", 0..4),
        ) {
            let (start, end) = (b"<!-- EMBED:A:START -->".as_slice(), b"<!-- EMBED:A:END -->".as_slice());
            let document = [&before, start, &old, end, &after].concat();
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            let made = put(&document, "A", &text).unwrap();
            prop_assert!(made.starts_with(&[&before, start].concat()));
            prop_assert!(made.ends_with(&[end, &after].concat()));
            let inner = &made[before.len() + start.len()..made.len() - end.len() - after.len()];
            let inner = String::from_utf8(inner.to_vec()).unwrap().replace("\r\n", "\n");
            prop_assert_eq!(inner, format!("\n{}", text));
            // A second time changes nothing more.
            prop_assert_eq!(put(&made, "A", &text).unwrap(), made);
        }

        #[test]
        fn no_bytes_panic(document in proptest::collection::vec(any::<u8>(), 0..200), names in "(<!-- EMBED:[AB]:(START|END) -->|x|\n){0,8}") {
            let _ = regions(&document);
            let _ = put(names.as_bytes(), "A", "new\n");
        }
    }
}
