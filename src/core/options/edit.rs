//! Setting options in a text, and taking them back.

use std::ops::Range;

use super::{Known, SplitError, Unit, Variable, Word, known::Found};

/// An option and the word for it, as [`Known::render`] gives it or [`find_text`] found it.
pub type Wanted<'a> = (&'static Known, &'a str);

/// `text` with every option as `wanted`, and every other byte as it is. All options are of `variable`.
///
/// An option that has the value already, in whatever spelling, is left alone. One that is there with another value is replaced
/// where the runtime reads it, which is the last place; what else is of the same meaning goes. One that is not there is put at
/// the end.
///
/// # Errors
/// A text with which the runtime would not start.
pub fn set(variable: Variable, text: &str, wanted: &[Wanted<'_>]) -> Result<String, SplitError> {
    let mut text = text.to_owned();
    for (known, word) in wanted {
        text = set_one(variable, text, known, word)?;
    }
    Ok(text)
}

/// The words of an option as they stand in `text`, where the runtime reads them.
///
/// # Errors
/// A text with which the runtime would not start.
pub fn find_text(known: &Known, text: &str) -> Result<Option<String>, SplitError> {
    let words = known.variable.split(text)?;
    Ok(find(known, &words).last().and_then(|found| text.get(bytes(&words, found))).map(str::to_owned))
}

/// `current` without what [`set`] made of `original`: byte for byte the original, if nothing else has changed since. Otherwise
/// each option is as it was in the original, and everything else as it is now.
///
/// # Errors
/// A text with which the runtime would not start.
pub fn restore(variable: Variable, current: &str, original: &str, wanted: &[Wanted<'_>]) -> Result<String, SplitError> {
    if set(variable, original, wanted)? == current {
        return Ok(original.to_owned());
    }
    let mut text = current.to_owned();
    for (known, _) in wanted {
        let words = variable.split(&text)?;
        let found = find(known, &words);
        let Some(last) = found.last() else { continue };
        match find_text(known, original)? {
            Some(was) => text.replace_range(bytes(&words, last), &was),
            None => remove_first(variable, &mut text, known, found.len())?,
        }
    }
    Ok(text)
}

fn find(known: &Known, words: &[Word]) -> Vec<Found> {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    known.find(&texts)
}

fn bytes(words: &[Word], found: &Found) -> Range<usize> {
    let start = words.get(found.words.start).map_or(0, |word| word.range.start);
    let end = words.get(found.words.end.saturating_sub(1)).map_or(start, |word| word.range.end);
    start..end
}

fn set_one(variable: Variable, mut text: String, known: &Known, wanted: &str) -> Result<String, SplitError> {
    let words = variable.split(&text)?;
    let found = find(known, &words);
    let Some((last, earlier)) = found.split_last() else {
        let separated = text.chars().next_back().is_none_or(|last| variable.is_separator(last))
            && words.last().is_none_or(|word| word.range.end < text.len());
        if !separated {
            text.push(' ');
        }
        text.push_str(wanted);
        return Ok(text);
    };
    // Two collectors stop the JVM; of anything else the last one counts.
    let is_alone = earlier.is_empty() || known.unit != Unit::Collector;
    if is_alone && is_same(known, variable, &last.value, wanted)? {
        return Ok(text);
    }
    text.replace_range(bytes(&words, last), wanted);
    remove_first(variable, &mut text, known, earlier.len())?;
    Ok(text)
}

/// Takes the first `count` of an option out. The text is split anew each time: what is taken out moves what is behind it.
fn remove_first(variable: Variable, text: &mut String, known: &Known, count: usize) -> Result<(), SplitError> {
    for _ in 0..count {
        let words = variable.split(text)?;
        if let Some(first) = find(known, &words).first() {
            remove(text, &words, first);
        }
    }
    Ok(())
}

/// Whether the text of a value means what the words `wanted` say.
fn is_same(known: &Known, variable: Variable, value: &str, wanted: &str) -> Result<bool, SplitError> {
    let words = variable.split(wanted)?;
    let Some(want) = find(known, &words).pop() else { return Ok(false) };
    let read = known.read(value);
    Ok(value == want.value || (read.is_some() && read == known.read(&want.value)))
}

/// Takes an option out, with what parts it from the one before it, or else from the one behind it.
fn remove(text: &mut String, words: &[Word], found: &Found) {
    let mut range = bytes(words, found);
    let before = found.words.start.checked_sub(1).and_then(|at| words.get(at));
    if let Some(before) = before {
        range.start = before.range.end;
    } else if let Some(behind) = words.get(found.words.end) {
        range.end = behind.range.start;
    }
    text.replace_range(range, "");
}
