//! From text to tree.
//!
//! From the weakest to the strongest: `?:`, `||`, `&&`, comparisons (which do not chain), `+ -`, `* /`, `! -`.

use super::{
    MAX_CHARS, MAX_DEPTH,
    ast::{Binary, Function, Node, Op},
    error::{ParseError, ParseProblem},
    lexer::{Lexer, Token},
    path::Path,
};
use crate::core::units::Excerpt;

/// Parses `text`, which begins at character `at` (from 1) of what the author wrote.
pub(super) fn parse(text: &str, at: usize) -> Result<Node, ParseError> {
    // A formula of legal length cannot be deep enough to exhaust the stack, whatever it holds.
    if text.chars().count() + at - 1 > MAX_CHARS {
        return Err(ParseError::new(MAX_CHARS + 1, ParseProblem::TooLong));
    }
    let mut lexer = Lexer::new(text, at);
    let (at, token) = lexer.next()?;
    let mut parser = Parser { lexer, at, token, depth: 0 };
    if parser.token == Token::End {
        return Err(parser.wrong(ParseProblem::Empty));
    }
    let node = parser.condition()?;
    match parser.token {
        Token::End => Ok(node),
        _ => Err(parser.unexpected("an operator")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// Position of `token`.
    at: usize,
    token: Token<'a>,
    depth: usize,
}

type Parsed = Result<Node, ParseError>;

impl<'a> Parser<'a> {
    fn condition(&mut self) -> Parsed {
        let condition = self.binary(0)?;
        let at = self.at;
        if self.token != Token::Question {
            return Ok(condition);
        }
        self.advance()?;
        let (yes, no) = self.nested(at, |parser| {
            let yes = parser.condition()?;
            parser.expect(Token::Colon, "\":\" and what holds otherwise")?;
            Ok((yes, parser.condition()?))
        })?;
        Ok(Node { at, op: Op::Choose, operands: vec![condition, yes, no] })
    }

    /// Operators that bind at least as strongly as `weakest`.
    fn binary(&mut self, weakest: u8) -> Parsed {
        let mut left = self.unary()?;
        while let Token::Operator(operator) = self.token
            && precedence(operator) >= weakest
        {
            let at = self.at;
            self.advance()?;
            let right = self.binary(precedence(operator) + 1)?;
            left = Node { at, op: Op::Binary(operator), operands: vec![left, right] };
            if matches!(operator, Binary::Compare(_)) && matches!(self.token, Token::Operator(Binary::Compare(_))) {
                return Err(self.wrong(ParseProblem::ChainedComparison));
            }
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at;
        let op = match self.token {
            Token::Operator(Binary::Subtract) => Op::Negate,
            Token::Not => Op::Not,
            _ => return self.value(),
        };
        self.advance()?;
        let operand = self.nested(at, Self::unary)?;
        Ok(Node { at, op, operands: vec![operand] })
    }

    fn value(&mut self) -> Parsed {
        let at = self.at;
        let op = match self.token {
            Token::Literal(literal) => Op::Literal(literal),
            Token::Text(text) => Op::Text(text.into()),
            Token::Name("true") => Op::Boolean(true),
            Token::Name("false") => Op::Boolean(false),
            Token::Name(name) => {
                self.advance()?;
                return match (self.token, Function::of(name)) {
                    (Token::Open, Some(function)) => self.call(at, function),
                    (Token::Open, None) => Err(ParseError::new(at, ParseProblem::UnknownFunction(Excerpt::new(name)))),
                    (Token::Point | Token::OpenIndex, _) | (_, None) => self.reference(at, name),
                    (_, Some(function)) => {
                        Err(ParseError::new(at, ParseProblem::FunctionAlone { usage: function.usage() }))
                    }
                };
            }
            Token::Open => {
                self.advance()?;
                return self.nested(at, |parser| {
                    let inside = parser.condition()?;
                    parser.expect(Token::Close, "\")\" or an operator")?;
                    Ok(inside)
                });
            }
            Token::Operator(_)
            | Token::Not
            | Token::Close
            | Token::OpenIndex
            | Token::CloseIndex
            | Token::Comma
            | Token::Point
            | Token::Question
            | Token::Colon
            | Token::End => return Err(self.unexpected("a number, a name or \"(\"")),
        };
        self.advance()?;
        Ok(Node { at, op, operands: Vec::new() })
    }

    fn call(&mut self, at: usize, function: Function) -> Parsed {
        self.advance()?;
        let operands = self.nested(at, |parser| {
            let mut operands = vec![parser.condition()?];
            while parser.token == Token::Comma {
                parser.advance()?;
                operands.push(parser.condition()?);
            }
            parser.expect(Token::Close, "\",\", \")\" or an operator")?;
            Ok(operands)
        })?;
        if function.takes(operands.len()) {
            Ok(Node { at, op: Op::Call(function), operands })
        } else {
            let problem = ParseProblem::OperandCount { usage: function.usage(), got: operands.len() };
            Err(ParseError::new(at, problem))
        }
    }

    fn reference(&mut self, at: usize, root: &str) -> Parsed {
        let mut segments = vec![root.into()];
        loop {
            match self.token {
                Token::Point => {
                    self.advance()?;
                    let Token::Name(member) = self.token else {
                        return Err(self.unexpected("a name (write [\"…\"] around one with other characters)"));
                    };
                    self.advance()?;
                    segments.push(member.into());
                }
                Token::OpenIndex => {
                    self.advance()?;
                    let Token::Text(name) = self.token else { return Err(self.unexpected("a name in quotes")) };
                    if name.is_empty() {
                        return Err(self.unexpected("a name in quotes"));
                    }
                    self.advance()?;
                    self.expect(Token::CloseIndex, "\"]\"")?;
                    segments.push(name.into());
                }
                _ => return Ok(Node { at, op: Op::Reference(Path::new(segments)), operands: Vec::new() }),
            }
        }
    }

    /// Runs `inner` one level deeper. Operators in a row do not nest; parentheses, calls, signs and choices do.
    fn nested<T>(
        &mut self,
        at: usize,
        inner: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth == MAX_DEPTH {
            return Err(ParseError::new(at, ParseProblem::TooDeep));
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn advance(&mut self) -> Result<(), ParseError> {
        (self.at, self.token) = self.lexer.next()?;
        Ok(())
    }

    fn expect(&mut self, token: Token<'a>, expected: &'static str) -> Result<(), ParseError> {
        if self.token == token { self.advance() } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &'static str) -> ParseError {
        self.wrong(ParseProblem::Unexpected { expected, got: describe(self.token) })
    }

    fn wrong(&self, problem: ParseProblem) -> ParseError {
        ParseError::new(self.at, problem)
    }
}

/// How strongly an operator binds.
pub(super) const fn precedence(operator: Binary) -> u8 {
    match operator {
        Binary::Or => 0,
        Binary::And => 1,
        Binary::Compare(_) => 2,
        Binary::Add | Binary::Subtract => 3,
        Binary::Multiply | Binary::Divide => 4,
    }
}

fn describe(token: Token<'_>) -> String {
    let quoted = |text: &str| Excerpt::new(text).to_string();
    match token {
        Token::Literal(literal) => quoted(&format!("{}{}", literal.number, literal.suffix)),
        Token::Text(text) => format!("the text {}", quoted(text)),
        Token::Name(name) => quoted(name),
        Token::Operator(operator) => quoted(operator.symbol()),
        Token::Not => quoted("!"),
        Token::Open => quoted("("),
        Token::Close => quoted(")"),
        Token::OpenIndex => quoted("["),
        Token::CloseIndex => quoted("]"),
        Token::Comma => quoted(","),
        Token::Point => quoted("."),
        Token::Question => quoted("?"),
        Token::Colon => quoted(":"),
        Token::End => "the end".to_owned(),
    }
}
