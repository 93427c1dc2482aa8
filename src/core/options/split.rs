//! How runtimes split their variables into options.

use std::{fmt, ops::Range};

/// A variable that a runtime reads options from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// Of every JVM.
    JavaToolOptions,
    /// Of Node.js.
    NodeOptions,
    /// Of gunicorn.
    GunicornCmdArgs,
}

/// An option, or a part of one, as the runtime sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its bytes in the variable, with their quotes.
    pub range: Range<usize>,
    /// What it is without quotes and escapes.
    pub text: String,
}

/// Why a variable cannot be split, continuing what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote without its end.
    #[error("has a quote without its end: its runtime would not start")]
    Quote,
    /// A backslash at the end.
    #[error("ends in the middle of an escape: its runtime would not start")]
    Escape,
}

impl Variable {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::JavaToolOptions, Self::NodeOptions, Self::GunicornCmdArgs];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::JavaToolOptions => "JAVA_TOOL_OPTIONS",
            Self::NodeOptions => "NODE_OPTIONS",
            Self::GunicornCmdArgs => "GUNICORN_CMD_ARGS",
        }
    }

    /// Whether a character parts two options outside of quotes.
    #[must_use]
    pub const fn is_separator(self, c: char) -> bool {
        match self {
            Self::JavaToolOptions => matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'),
            Self::NodeOptions => c == ' ',
            Self::GunicornCmdArgs => matches!(c, ' ' | '\t' | '\n' | '\r'),
        }
    }

    /// Splits a text as the runtime does, in linear time.
    ///
    /// # Errors
    /// A text with which the runtime would not start.
    pub fn split(self, text: &str) -> Result<Vec<Word>, SplitError> {
        let mut words: Vec<Word> = Vec::new();
        let mut word: Option<Word> = None;
        let mut quote: Option<char> = None;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            if quote.is_none() && self.is_separator(c) {
                words.extend(word.take());
                continue;
            }
            let current = word.get_or_insert_with(|| Word { range: at..at, text: String::new() });
            current.range.end = at + c.len_utf8();
            match quote {
                Some(open) if c == open => quote = None,
                None if self.quotes(c) => quote = Some(c),
                _ if c == '\\' && self.escapes(quote) => {
                    let (at, next) = chars.next().ok_or(SplitError::Escape)?;
                    current.range.end = at + next.len_utf8();
                    // In double quotes a shell takes a backslash before anything else for itself.
                    if self == Self::GunicornCmdArgs && quote.is_some() && !matches!(next, '"' | '\\') {
                        current.text.push(c);
                    }
                    current.text.push(next);
                }
                _ => current.text.push(c),
            }
        }
        if quote.is_some() {
            return Err(SplitError::Quote);
        }
        words.extend(word);
        // Quotes around nothing: an argument of gunicorn, and nothing for the others.
        if self != Self::GunicornCmdArgs {
            words.retain(|word| !word.text.is_empty());
        }
        Ok(words)
    }

    const fn quotes(self, c: char) -> bool {
        match self {
            Self::JavaToolOptions | Self::GunicornCmdArgs => matches!(c, '\'' | '"'),
            Self::NodeOptions => c == '"',
        }
    }

    const fn escapes(self, quote: Option<char>) -> bool {
        match self {
            Self::JavaToolOptions => false,
            Self::NodeOptions => quote.is_some(),
            Self::GunicornCmdArgs => matches!(quote, None | Some('"')),
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Words of a line that a shell runs, well enough to see the options in it; what cannot be split is cut at white space.
#[must_use]
pub fn shell_words(line: &str) -> Vec<String> {
    match Variable::GunicornCmdArgs.split(line) {
        Ok(words) => words.into_iter().map(|word| word.text).collect(),
        Err(_) => line.split_whitespace().map(str::to_owned).collect(),
    }
}
