//! What a word without quotes is.
//!
//! YAML 1.1 and 1.2 disagree (`yes`, `010`, `1_000`, `1e3`, `12:30`), and nothing in a document says which of them its
//! application follows. So a word that is no text for *any* of the usual readers (both specifications, `PyYAML`,
//! go-yaml, `SnakeYAML`) is no text here: it is never written without quotes where text is meant.

use super::super::{
    Kind,
    scalar::{CanonicalNumber, Words},
};

/// The type of a word without quotes, and whether readers disagree about its type or its value.
pub(super) fn classify(word: &str) -> (Kind, bool) {
    if matches!(word, "" | "~" | "null" | "Null" | "NULL") {
        (Kind::Null, false)
    } else if let Some((words, _)) = Words::of(word) {
        (Kind::Boolean, !words.is_core_schema())
    } else if is_date(word) {
        (Kind::Date, true)
    } else if is_agreed_number(word) {
        (Kind::Number, false)
    } else {
        let number = CanonicalNumber::parse(word).is_some() || is_special_number(word);
        if number { (Kind::Number, true) } else { (Kind::Text, false) }
    }
}

/// Whether `text` can stand without quotes and is that text for every reader. It may say no where yes were right:
/// quotes are always correct.
pub(super) fn is_safe_plain(text: &str, flow: bool) -> bool {
    let first_is_safe = match text.trim_start_matches('-') {
        // `-Xmx1g` and `--verbose`, but not `-`, `- x`, `---` or `-1`, which is a number or begins like one.
        rest if rest.len() < text.len() => {
            text.len() - rest.len() <= 2 && rest.starts_with(|c: char| c.is_ascii_alphabetic())
        }
        rest => rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '_')),
    };
    let is_safe_char = |c: char| {
        c.is_alphanumeric()
            || matches!(c, '_' | '.' | '/' | '+' | '-' | '%' | '=' | '@' | '(' | ')' | ' ')
            || (!flow && matches!(c, ':' | ','))
    };
    first_is_safe
        && text.chars().all(is_safe_char)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && classify(text).0 == Kind::Text
        // Truth values by the letter of YAML 1.1, though few readers follow.
        && !matches!(text, "y" | "Y" | "n" | "N")
}

/// Decimal numbers that all readers take for the same number.
fn is_agreed_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let leading_zero = mantissa.len() > 1 && mantissa.starts_with('0') && !mantissa.starts_with("0.");
    // YAML 1.1 knows exponents only after a point and with a sign, and a point only after a digit or unsigned.
    let agreed_exponent = exponent.is_none_or(|e| mantissa.contains('.') && e.starts_with(['-', '+']));
    let agreed_point = !mantissa.starts_with('.') || unsigned.len() == word.len();
    CanonicalNumber::parse(word).is_some() && !leading_zero && agreed_exponent && agreed_point
}

/// Numbers in other bases, with underscores, with colons (base 60), infinite or none.
fn is_special_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let joined = unsigned.replace('_', "");
    let of_base = |radix: u32, prefixes: [&str; 2]| {
        let digits = prefixes.into_iter().find_map(|prefix| joined.strip_prefix(prefix));
        digits.is_some_and(|digits| digits.chars().all(|c| c.is_digit(radix)))
    };
    of_base(2, ["0b", "0B"])
        || of_base(8, ["0o", "0O"])
        || of_base(16, ["0x", "0X"])
        || CanonicalNumber::parse(&joined).is_some()
        || is_base_60(&joined)
}

/// `12:30`, `1:02:03.5`
fn is_base_60(word: &str) -> bool {
    let (groups, fraction) = word.split_once('.').unwrap_or((word, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    groups.contains(':') && groups.split(':').all(|group| !group.is_empty() && is_digits(group)) && is_digits(fraction)
}

/// `2026-11-21`, with or without a time.
fn is_date(word: &str) -> bool {
    let mut rest = word;
    for (most, least, separator) in [(4, 4, Some('-')), (2, 1, Some('-')), (2, 1, None)] {
        let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits < least {
            return false;
        }
        rest = rest.get(digits..).unwrap_or_default();
        if let Some(separator) = separator {
            let Some(after) = rest.strip_prefix(separator) else { return false };
            rest = after;
        }
    }
    rest.is_empty() || rest.starts_with(['T', 't', ' ', '\t'])
}
