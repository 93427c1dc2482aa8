//! From tree to text.

use super::{
    MAX_CHARS,
    ast::{Binary, Node, Op},
    parser::precedence,
    path::{Path, Quoted},
};

/// How strongly a part binds, beside the operators of [`precedence`].
const CHOICE: u8 = 0;
const OPERATORS: u8 = 1;
const SIGN: u8 = 6;
const VALUE: u8 = 7;

/// The canonical text: one space around operators, no parentheses that do not matter. Without spaces where it would
/// otherwise be longer than a formula may be; then it is not longer than what it was parsed from.
pub(super) fn canonical(node: &Node) -> String {
    let spaced = Printer { space: " ", reference: &Path::to_string }.whole(node);
    if spaced.chars().count() <= MAX_CHARS {
        return spaced;
    }
    Printer { space: "", reference: &Path::to_string }.whole(node)
}

/// The canonical text with something else in the place of references, such as their values.
pub(super) fn substituted(node: &Node, reference: &dyn Fn(&Path) -> String) -> String {
    Printer { space: " ", reference }.whole(node)
}

struct Printer<'a> {
    space: &'static str,
    reference: &'a dyn Fn(&Path) -> String,
}

impl Printer<'_> {
    fn whole(&self, node: &Node) -> String {
        let mut text = String::new();
        self.print(node, CHOICE, &mut text);
        text
    }

    /// Appends `node`, in parentheses if it binds weaker than `weakest`.
    fn print(&self, node: &Node, weakest: u8, text: &mut String) {
        let parentheses = strength(&node.op) < weakest;
        if parentheses {
            text.push('(');
        }
        let space = self.space;
        match (&node.op, node.operands.as_slice()) {
            (Op::Literal(literal), _) => {
                text.push_str(&literal.number.to_string());
                text.push_str(literal.suffix);
            }
            (Op::Text(word), _) => text.push_str(&Quoted(word).to_string()),
            (Op::Boolean(switch), _) => text.push_str(if *switch { "true" } else { "false" }),
            (Op::Reference(path), _) => text.push_str(&(self.reference)(path)),
            (Op::Negate, operands) => self.prefix("-", operands, text),
            (Op::Not, operands) => self.prefix("!", operands, text),
            (Op::Binary(operator), [left, right]) => {
                let own = OPERATORS + precedence(*operator);
                // Comparisons do not chain, so one inside another needs parentheses on either side.
                let chains = !matches!(operator, Binary::Compare(_));
                self.print(left, if chains { own } else { own + 1 }, text);
                // Without a space, `350 / s` would be a rate.
                let is_rate = *operator == Binary::Divide && is_s(right) && ends_in_number(text);
                text.push_str(if is_rate { " " } else { space });
                text.push_str(operator.symbol());
                text.push_str(space);
                self.print(right, own + 1, text);
            }
            (Op::Choose, [condition, yes, no]) => {
                self.print(condition, OPERATORS, text);
                for (symbol, branch) in [("?", yes), (":", no)] {
                    text.push_str(space);
                    text.push_str(symbol);
                    text.push_str(space);
                    self.print(branch, CHOICE, text);
                }
            }
            (Op::Call(function), operands) => {
                text.push_str(function.name());
                text.push('(');
                for (index, operand) in operands.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                        text.push_str(space);
                    }
                    self.print(operand, CHOICE, text);
                }
                text.push(')');
            }
            // The parser gives every operation its operands.
            (Op::Binary(_) | Op::Choose, _) => {}
        }
        if parentheses {
            text.push(')');
        }
    }

    fn prefix(&self, symbol: &str, operands: &[Node], text: &mut String) {
        text.push_str(symbol);
        for operand in operands {
            self.print(operand, SIGN, text);
        }
    }
}

fn strength(op: &Op) -> u8 {
    match op {
        Op::Choose => CHOICE,
        Op::Binary(operator) => OPERATORS + precedence(*operator),
        Op::Negate | Op::Not => SIGN,
        Op::Literal(_) | Op::Text(_) | Op::Boolean(_) | Op::Reference(_) | Op::Call(_) => VALUE,
    }
}

fn is_s(node: &Node) -> bool {
    matches!(&node.op, Op::Reference(path) if path.segments().eq(["s"]))
}

fn ends_in_number(text: &str) -> bool {
    let before = text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '%'));
    text[before.len()..].starts_with(|c: char| c.is_ascii_digit())
}
