//! Documents made at random, whose maker knows which bytes each value has: an edit may touch those and no other.

mod documents;

use proptest::{prelude::*, sample::Index};
use serde_json::Value;

use self::documents::{Document, Place, below, document};
use super::super::*;
use crate::core::units::Decimal;

/// Something that can land on a value.
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

/// What a document says, for a reader that is not the editor's; `None`: that one does not read it. Lines have no other
/// reader, but where each value is, their maker knows.
fn leaves_of(Document { format, places, .. }: &Document, text: &str) -> Option<Vec<(String, Value)>> {
    let value = match format {
        DocumentFormat::Yaml => {
            let options = serde_saphyr::options! {
                non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
            };
            serde_saphyr::from_str_with_options(text, options).ok()?
        }
        DocumentFormat::Json => serde_json::from_str(text).ok()?,
        DocumentFormat::Toml => basic_toml::from_str(text).ok()?,
        DocumentFormat::Properties | DocumentFormat::Ini | DocumentFormat::Conf => {
            let said = |place: &Place| read(text, &Address::parse(*format, &place.at).unwrap()).ok();
            return places.iter().map(|place| Some((place.at.clone(), Value::from(said(place)?.text)))).collect();
        }
    };
    let mut leaves_found = Vec::new();
    leaves(&value, "", &mut leaves_found);
    Some(leaves_found)
}

/// Every property of one edit; returns how many of the scalars landed.
fn check(document: &Document, place: &Place, scalars: &[Scalar]) -> Result<usize, TestCaseError> {
    let Document { format, text, .. } = document;
    let address = Address::parse(*format, &place.at).unwrap();
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
        let (before, after) = (leaves_of(document, text).unwrap(), leaves_of(document, &edited.text).unwrap());
        prop_assert_eq!(before.len(), after.len());
        for ((path, was), (path_after, is)) in before.iter().zip(&after) {
            prop_assert_eq!(path, path_after);
            if *path != place.at {
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

/// A key that the document does not have: it gets a line, and goes without a trace.
fn check_created(document: &Document, at: &str, word: &str) -> Result<bool, TestCaseError> {
    let Document { format, text, .. } = document;
    let (address, wanted) = (Address::parse(*format, at).unwrap(), Scalar::Text(word.to_owned()));
    let created = match create(text, &address, &wanted, word) {
        Ok(created) => created,
        Err(error) => {
            prop_assert!(matches!(error, DocumentError::KeyTypeMismatch { .. }), "{word:?}: {error}\n{text}");
            return Ok(false);
        }
    };
    prop_assert_eq!(created.previous.as_ref(), None);
    prop_assert_eq!(&read(&created.text, &address).unwrap().text, word);
    prop_assert_eq!(leaves_of(document, text).unwrap(), leaves_of(document, &created.text).unwrap());
    prop_assert_eq!(&restore(&created.text, &address, None).unwrap().text, text);
    Ok(true)
}

fn any_document() -> impl Strategy<Value = Document> {
    prop::sample::select(&DocumentFormat::ALL[..]).prop_flat_map(document)
}

fn any_lines() -> impl Strategy<Value = Document> {
    let lines = DocumentFormat::ALL.into_iter().filter(|format| format.is_lines()).collect::<Vec<_>>();
    prop::sample::select(lines).prop_flat_map(document)
}

proptest! {
    // As many for each format as proptest makes by default.
    #![proptest_config(ProptestConfig::with_cases(6 * 256))]

    #[test]
    fn an_edit_changes_one_value_and_can_be_undone(document in any_document(), pick: Index, scalars in scalar()) {
        check(&document, pick.get(&document.places), &scalars)?;
    }

    #[test]
    fn a_line_that_is_made_goes_without_a_trace(document in any_lines(), word in "[ -~éж]{0,10}|[a-z0-9.]{1,6}") {
        check_created(&document, "new", &word)?;
    }
}

proptest! {
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
            let _ = restore(&text, &address, None);
            if let Ok(created) = create(&text, &address, &Scalar::Text(previous.clone()), &previous) {
                let back = restore(&created.text, &address, created.previous.as_deref()).unwrap();
                prop_assert_eq!(&back.text, &text);
            }
        }
    }

    #[test]
    fn a_damaged_document_is_edited_properly_or_refused(
        document in any_document(), pick: Index, at: Index, with in "(?s)[-?:=;,.\\[\\]{}#&*!|>'\" \\\\\t\r\na1]{0,3}", scalars in scalar(),
    ) {
        let cuts: Vec<usize> = (0..=document.text.len()).filter(|&i| document.text.is_char_boundary(i)).collect();
        let mut text = document.text.clone();
        text.insert_str(*at.get(&cuts), &with);
        let address = Address::parse(document.format, &pick.get(&document.places).at).unwrap();
        for wanted in &scalars {
            if let Ok(edited) = edit(&text, &address, wanted) {
                let restored = restore(&edited.text, &address, edited.previous.as_deref()).unwrap();
                prop_assert_eq!(&restored.text, &text);
                let Some(before) = leaves_of(&document, &text) else { continue };
                let after = leaves_of(&document, &edited.text).unwrap();
                prop_assert_eq!(before.len(), after.len());
                prop_assert!(before.iter().zip(&after).filter(|(a, b)| a != b).count() <= 1);
            }
        }
    }
}

/// A property that is never tried proves nothing.
#[test]
fn most_values_take_a_scalar() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    for format in DocumentFormat::ALL {
        let mut runner = TestRunner::deterministic();
        let (mut places, mut landed, mut created) = (0, 0, 0);
        for _ in 0..100 {
            let document = document(format).new_tree(&mut runner).unwrap().current();
            let scalars = scalar().new_tree(&mut runner).unwrap().current();
            for place in &document.places {
                places += 1;
                landed += usize::from(check(&document, place, &scalars).unwrap() > 0);
            }
            created += usize::from(format.is_lines() && check_created(&document, "new", "5").unwrap());
        }
        assert!(places > 200 && landed * 10 > places * 8, "{format}: {landed} of {places}");
        assert_eq!(created, if format.is_lines() { 100 } else { 0 }, "{format}");
    }
}
