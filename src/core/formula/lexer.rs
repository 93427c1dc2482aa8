//! Words of a formula.

use super::{
    ast::{Binary, Comparison, Literal},
    error::{ParseError, ParseProblem},
    path::{continues_name, starts_name},
};
use crate::core::units::{Decimal, DecimalError, Excerpt};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Literal(Literal),
    Text(&'a str),
    Name(&'a str),
    Operator(Binary),
    Not,
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    Comma,
    Point,
    Question,
    Colon,
    End,
}

/// Reads one token after the other; every character is looked at a constant number of times.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    /// Position of `rest`, in characters from 1.
    at: usize,
}

impl<'a> Lexer<'a> {
    /// `at` is where `text` begins in what the author wrote.
    pub(super) const fn new(text: &'a str, at: usize) -> Self {
        Self { rest: text, at }
    }

    /// The next token and its position.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'a>), ParseError> {
        let spaces = self.rest.len() - self.rest.trim_start().len();
        self.take(spaces);
        let at = self.at;
        let token = match self.rest.chars().next() {
            None => Token::End,
            Some(first) if first.is_ascii_digit() => self.literal()?,
            Some(first) if starts_name(first) => Token::Name(self.take(length(self.rest, continues_name))),
            Some(quote @ ('"' | '\'')) => {
                let inside = &self.rest[1..];
                let end = inside.find(quote).ok_or_else(|| ParseError::new(at, ParseProblem::OpenQuote))?;
                self.take(end + 2);
                Token::Text(&inside[..end])
            }
            Some(_) => self.symbol()?,
        };
        Ok((at, token))
    }

    fn symbol(&mut self) -> Result<Token<'a>, ParseError> {
        const SYMBOLS: [(&str, Token<'static>); 15] = [
            ("&&", Token::Operator(Binary::And)),
            ("||", Token::Operator(Binary::Or)),
            ("+", Token::Operator(Binary::Add)),
            ("-", Token::Operator(Binary::Subtract)),
            ("*", Token::Operator(Binary::Multiply)),
            ("/", Token::Operator(Binary::Divide)),
            ("!", Token::Not),
            ("(", Token::Open),
            (")", Token::Close),
            ("[", Token::OpenIndex),
            ("]", Token::CloseIndex),
            (",", Token::Comma),
            (".", Token::Point),
            ("?", Token::Question),
            (":", Token::Colon),
        ];
        // Comparisons first: `!=` is not `!`.
        let comparisons =
            Comparison::ALL.into_iter().map(|found| (found.symbol(), Token::Operator(Binary::Compare(found))));
        match comparisons.chain(SYMBOLS).find(|(symbol, _)| self.rest.starts_with(symbol)) {
            Some((symbol, token)) => {
                self.take(symbol.len());
                Ok(token)
            }
            None => Err(ParseError::new(self.at, foreign(self.rest))),
        }
    }

    fn literal(&mut self) -> Result<Token<'a>, ParseError> {
        let at = self.at;
        let wrong = |problem| ParseError::new(at, problem);
        let (number, rest) = Decimal::parse_prefix(self.rest).map_err(|error| {
            wrong(match error {
                DecimalError::NotANumber => ParseProblem::PointWithoutDigits,
                DecimalError::TooLarge => ParseProblem::NumberTooLarge,
                DecimalError::TooFine => ParseProblem::NumberTooFine,
            })
        })?;
        let mut end = length(rest, |c| c.is_alphanumeric() || c == '_' || c == '%');
        // `350/s` is a rate; `350/settings.x`, `350 / s` and `5m/s` divide.
        if let Some(after) = rest[end..].strip_prefix("/s")
            && !after.starts_with(|c| continues_name(c) || c == '.' || c == '[')
            && Literal::new(number, &rest[..end + 2]).is_some()
        {
            end += 2;
        }
        let suffix = &rest[..end];
        let literal =
            Literal::new(number, suffix).ok_or_else(|| wrong(ParseProblem::UnknownUnit(Excerpt::new(suffix))))?;
        // Read now, so that a formula that parses has no number that cannot be.
        literal.unit.to_base(number).map_err(|error| {
            wrong(match error {
                DecimalError::TooLarge => ParseProblem::NumberTooLarge,
                DecimalError::NotANumber | DecimalError::TooFine => ParseProblem::NumberTooFine,
            })
        })?;
        let length = self.rest.len() - rest.len() + end;
        self.take(length);
        Ok(Token::Literal(literal))
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.at += taken.chars().count();
        self.rest = rest;
        taken
    }
}

/// Bytes of the leading characters that `belongs` holds for.
fn length(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// What is meant by a character that the language does not have.
fn foreign(rest: &str) -> ParseProblem {
    let instead = match rest.chars().next() {
        Some('=') => Some("=="),
        Some('&') => Some("&&"),
        Some('|') => Some("||"),
        Some('−' | '–' | '—') => Some("-"),
        Some('×' | '·' | '⋅') => Some("*"),
        Some('÷') => Some("/"),
        Some('≤') => Some("<="),
        Some('≥') => Some(">="),
        Some('≠') => Some("!="),
        Some('“' | '”' | '„' | '‘' | '’') => Some("\""),
        _ => None,
    };
    let character = rest.chars().next().map_or_else(String::new, String::from);
    match (instead, character.as_str()) {
        (None, "%") => ParseProblem::PercentAlone,
        (None, _) => ParseProblem::UnknownCharacter(Excerpt::new(&character)),
        (Some(instead), _) => ParseProblem::WriteInstead { character: Excerpt::new(&character), instead },
    }
}
