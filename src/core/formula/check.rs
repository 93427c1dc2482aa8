//! The static check: what every part measures, and what `500m` means.

use super::{
    ast::{Binary, Comparison, Function, Node, Op},
    error::{Advice, CheckError, CheckProblem},
    evaluate::{Code, Step, fold},
    exact::Exact,
    measure::{Kind, Measure, Type},
    path::Path,
    print::canonical,
};
use crate::core::units::{Decimal, Dimension, Excerpt};

/// Tells the type of a reference, or why the formula may not read it, continuing the path: `is nothing in this policy`.
pub(super) type Types<'a> = &'a dyn Fn(&Path) -> Result<Type, String>;

/// Checks `root` and makes it ready to be evaluated.
pub(super) fn check(
    root: &Node,
    source: &str,
    expected: Option<&Type>,
    types: Types<'_>,
) -> Result<(Code, Kind), CheckError> {
    let mut draft = Checker { types, source }.draft(root)?;
    settle(&mut draft, expected == Some(&Type::Quantity(Dimension::Cpu)))?;
    if let Some(expected) = expected {
        let fits = match (draft.kind, Kind::of(expected)) {
            (Kind::Amount(have), Kind::Amount(want)) => have.agrees(want),
            (have, want) => have == want,
        };
        if !fits {
            let advice = match draft.kind {
                Kind::Amount(Measure::SECONDS) if draft.was_open => Advice::Minutes,
                _ => Advice::None,
            };
            let problem = CheckProblem::Result { is: draft.kind.to_string(), expected: expected.to_string(), advice };
            return Err(CheckError { at: root.at, problem });
        }
    }
    let kind = draft.kind;
    let code = lower(draft);
    fold(&code).map_err(|(at, failure)| CheckError { at, problem: CheckProblem::Constant(failure) })?;
    Ok((code, kind))
}

/// A node with what is known of it.
struct Draft<'n> {
    node: &'n Node,
    kind: Kind,
    /// The amount of a literal, as soon as its unit is known.
    amount: Option<Exact>,
    /// Whether it has a literal with the suffix `m`, which something else has given its meaning.
    was_open: bool,
    operands: Vec<Draft<'n>>,
}

struct Checker<'a> {
    types: Types<'a>,
    source: &'a str,
}

impl Checker<'_> {
    fn draft<'n>(&self, node: &'n Node) -> Result<Draft<'n>, CheckError> {
        let mut operands = Vec::with_capacity(node.operands.len());
        for operand in &node.operands {
            operands.push(self.draft(operand).map_err(|error| self.with_hint(error, node))?);
        }
        let mut draft = Draft { node, kind: Kind::Boolean, amount: None, was_open: false, operands };
        draft.kind = match &node.op {
            Op::Literal(literal) if literal.is_ambiguous() => Kind::Open,
            Op::Literal(literal) => {
                // The lexer has read it already, so it has a base amount.
                draft.amount = literal.unit.to_base(literal.number).ok().and_then(Exact::from_decimal);
                Kind::Amount(Measure::of(literal.unit.dimension))
            }
            Op::Text(_) => Kind::Word,
            Op::Boolean(_) => Kind::Boolean,
            Op::Reference(path) => self.reference(node, path)?,
            Op::Negate => {
                need(&draft, 0, "-", "a number", Kind::is_number)?;
                draft.operands.first().map_or(Kind::Open, |operand| operand.kind)
            }
            Op::Not => {
                need(&draft, 0, "!", CONDITION, is_boolean)?;
                Kind::Boolean
            }
            Op::Binary(operator) => self.binary(&mut draft, *operator)?,
            Op::Choose => {
                need(&draft, 0, "?", CONDITION, is_boolean)?;
                alike(&mut draft, 1)?
            }
            Op::Call(function) => call(&mut draft, *function)?,
        };
        draft.was_open = draft.kind == Kind::Open || draft.operands.iter().any(|operand| operand.was_open);
        Ok(draft)
    }

    fn reference(&self, node: &Node, path: &Path) -> Result<Kind, CheckError> {
        let kind = (self.types)(path).map_err(|why| CheckError {
            at: node.at,
            problem: CheckProblem::Reference { path: path.clone(), why, hint: None },
        })?;
        Ok(Kind::of(&kind))
    }

    fn binary(&self, draft: &mut Draft<'_>, operator: Binary) -> Result<Kind, CheckError> {
        match operator {
            Binary::Or | Binary::And => {
                need(draft, 0, operator.symbol(), CONDITION, is_boolean)?;
                need(draft, 1, operator.symbol(), CONDITION, is_boolean)?;
                Ok(Kind::Boolean)
            }
            Binary::Compare(comparison) => self.comparison(draft, comparison),
            Binary::Add | Binary::Subtract => agree(draft, 0),
            Binary::Multiply | Binary::Divide => {
                need(draft, 0, operator.symbol(), "numbers", Kind::is_number)?;
                need(draft, 1, operator.symbol(), "numbers", Kind::is_number)?;
                let [left, right] = draft.operands.as_mut_slice() else { return Ok(Kind::Open) };
                scale(left, right, operator == Binary::Multiply)
            }
        }
    }

    fn comparison(&self, draft: &mut Draft<'_>, comparison: Comparison) -> Result<Kind, CheckError> {
        let is_number = draft.operands.iter().all(|operand| operand.kind.is_number());
        if !is_number && !comparison.is_equality() {
            need(draft, 0, comparison.symbol(), "numbers", Kind::is_number)?;
            need(draft, 1, comparison.symbol(), "numbers", Kind::is_number)?;
        }
        // Both sides with `m` and nothing else are the same comparison in minutes as in cores.
        if alike(draft, 0)? == Kind::Open {
            settle_operands(draft, 0, false)?;
            join(draft, 0)?;
        }
        if let [left, right] = draft.operands.as_slice() {
            self.is_ever(left, right)?;
            self.is_ever(right, left)?;
        }
        Ok(Kind::Boolean)
    }

    /// Refuses the comparison of a reference with a word that it never is.
    fn is_ever(&self, reference: &Draft<'_>, text: &Draft<'_>) -> Result<(), CheckError> {
        if let (Op::Reference(path), Op::Text(word)) = (&reference.node.op, &text.node.op)
            && let Ok(Type::Word(words)) = (self.types)(path)
            && !words.is_empty()
            && !words.iter().any(|known| **known == **word)
        {
            let problem = CheckProblem::NeverEqual { path: path.clone(), word: Excerpt::new(word), words };
            return Err(CheckError { at: text.node.at, problem });
        }
        Ok(())
    }

    /// `caches.trust-score.ttl` is `caches.trust - score.ttl`, which fails; this tells what was meant.
    fn with_hint(&self, mut error: CheckError, parent: &Node) -> CheckError {
        let (Op::Binary(Binary::Subtract), [_, right]) = (&parent.op, parent.operands.as_slice()) else { return error };
        let beside = |at: usize| self.source.chars().nth(at.wrapping_sub(1)).is_some_and(super::path::continues_name);
        if let (CheckProblem::Reference { path, hint, .. }, Op::Reference(rest)) = (&mut error.problem, &right.op)
            && right.at == parent.at + 1
            && beside(parent.at - 1)
        {
            let known = hint.as_ref().unwrap_or(path);
            *hint = Some(known.with_dash(rest));
        }
        error
    }
}

const CONDITION: &str = "a condition";

fn is_boolean(kind: Kind) -> bool {
    kind == Kind::Boolean
}

fn need(
    draft: &Draft<'_>,
    operand: usize,
    operation: &'static str,
    needs: &'static str,
    fits: impl Fn(Kind) -> bool,
) -> Result<(), CheckError> {
    match draft.operands.get(operand) {
        Some(wrong) if !fits(wrong.kind) => Err(CheckError {
            at: draft.node.at,
            problem: CheckProblem::Operand { operation, needs, operand: excerpt(wrong), is: wrong.kind.to_string() },
        }),
        _ => Ok(()),
    }
}

fn call(draft: &mut Draft<'_>, function: Function) -> Result<Kind, CheckError> {
    match function {
        Function::Min | Function::Max | Function::Clamp => agree(draft, 0),
        Function::Ceil | Function::Floor | Function::Round => {
            let kind = agree(draft, 0)?;
            match kind {
                Kind::Amount(measure) if draft.operands.len() == 1 && !measure.is_plain() => {
                    Err(step_needed(draft, function, measure))
                }
                _ => Ok(kind),
            }
        }
    }
}

fn step_needed(draft: &Draft<'_>, function: Function, measure: Measure) -> CheckError {
    let problem = CheckProblem::StepNeeded { function: function.name(), is: measure.to_string(), step: measure.step() };
    CheckError { at: draft.node.at, problem }
}

/// The common kind of the operands from `first` on: words, conditions, or amounts that agree.
fn alike(draft: &mut Draft<'_>, first: usize) -> Result<Kind, CheckError> {
    match draft.operands.get(first..) {
        Some([left, rest @ ..]) if !left.kind.is_number() && rest.iter().all(|other| other.kind == left.kind) => {
            Ok(left.kind)
        }
        _ => agree(draft, first),
    }
}

/// The common measure of the operands from `first` on.
fn agree(draft: &mut Draft<'_>, first: usize) -> Result<Kind, CheckError> {
    let operands = draft.operands.get(first..).unwrap_or_default();
    let kinds = || operands.iter().map(|operand| operand.kind);
    if kinds().all(Kind::is_number) && kinds().any(|kind| kind == Kind::Open) {
        let is_cores = kinds().any(|kind| matches!(kind, Kind::Amount(measure) if measure.is_cores()));
        if !is_cores && kinds().all(|kind| kind == Kind::Open || kind.is_plain()) {
            return Ok(Kind::Open);
        }
        settle_operands(draft, first, is_cores)?;
    }
    join(draft, first)
}

/// The measure of operands that are all settled.
fn join(draft: &Draft<'_>, first: usize) -> Result<Kind, CheckError> {
    let mut operands = draft.operands.iter().skip(first);
    let Some(left) = operands.next() else { return Ok(Kind::Open) };
    let mut joined = left.kind;
    for right in operands {
        joined = match (joined, right.kind) {
            (Kind::Amount(have), Kind::Amount(other)) if have.agrees(other) => Kind::Amount(have.join(other)),
            _ => return Err(mismatch(draft, left, right)),
        };
    }
    if joined.is_number() {
        Ok(joined)
    } else {
        // One operand only, and that is no number.
        need(draft, first, symbol(&draft.node.op), "a number", Kind::is_number)?;
        Ok(joined)
    }
}

fn mismatch(draft: &Draft<'_>, left: &Draft<'_>, right: &Draft<'_>) -> CheckError {
    let (is, other) = (left.kind.word(), right.kind.word());
    let operation = match &draft.node.op {
        Op::Binary(operator) => format!("{is} {} {other}", operator.symbol()),
        Op::Choose => format!("{is} or {other}"),
        op => format!("{}({is}, {other})", symbol(op)),
    };
    let is_bare = |draft: &Draft<'_>| matches!(&draft.node.op, Op::Literal(literal) if literal.suffix.is_empty());
    let advice = if left.was_open || right.was_open {
        Advice::Minutes
    } else if is_bare(left) || is_bare(right) {
        Advice::GiveUnit
    } else {
        Advice::None
    };
    let problem = CheckProblem::Mismatch {
        operation,
        left: excerpt(left),
        left_is: left.kind.to_string(),
        right: excerpt(right),
        right_is: right.kind.to_string(),
        advice,
    };
    CheckError { at: draft.node.at, problem }
}

/// What a product or a quotient measures.
fn scale(left: &mut Draft<'_>, right: &mut Draft<'_>, product: bool) -> Result<Kind, CheckError> {
    // In a product or quotient with a plain number the literal stays what it is, so the context goes on to decide; the
    // one exception is a number of cores that is divided: `limits.cpu / 500m` counts halves.
    match (left.kind, right.kind) {
        (Kind::Open, plain) if plain.is_plain() => return Ok(Kind::Open),
        (plain, Kind::Open) if plain.is_plain() && product => return Ok(Kind::Open),
        (Kind::Amount(measure), Kind::Open) => settle(right, measure.is_cores())?,
        (Kind::Open, Kind::Open) => {
            settle(left, false)?;
            settle(right, false)?;
        }
        _ => settle(left, false)?,
    }
    Ok(match (left.kind, right.kind) {
        (Kind::Amount(left), Kind::Amount(right)) if product => Kind::Amount(left.times(right)),
        (Kind::Amount(left), Kind::Amount(right)) => Kind::Amount(left.per(right)),
        _ => Kind::Open,
    })
}

fn settle_operands(draft: &mut Draft<'_>, first: usize, cores: bool) -> Result<(), CheckError> {
    draft.operands.iter_mut().skip(first).try_for_each(|operand| settle(operand, cores))
}

/// Decides what the literals with `m` in an open part are. Every part is settled once at most, and only parts of open
/// parts are looked at, so all of it takes no longer than reading the formula.
fn settle(draft: &mut Draft<'_>, cores: bool) -> Result<(), CheckError> {
    if draft.kind != Kind::Open {
        return Ok(());
    }
    let node = draft.node;
    draft.kind = Kind::Amount(if cores { Measure::CORES } else { Measure::SECONDS });
    match &node.op {
        Op::Literal(literal) => {
            draft.amount = amount(literal.number, cores);
            Ok(())
        }
        Op::Binary(Binary::Multiply | Binary::Divide) | Op::Negate => settle_operands(draft, 0, cores),
        op => {
            let first = usize::from(*op == Op::Choose);
            settle_operands(draft, first, cores)?;
            match op {
                Op::Call(function @ (Function::Ceil | Function::Floor | Function::Round))
                    if draft.operands.len() == 1 && !cores =>
                {
                    Err(step_needed(draft, *function, Measure::SECONDS))
                }
                _ => join(draft, first).map(|_| ()),
            }
        }
    }
}

/// Thousandths of a core, or minutes in seconds.
fn amount(number: Decimal, cores: bool) -> Option<Exact> {
    let number = Exact::from_decimal(number)?;
    if cores { number.divide(Exact::new(1000, 1)?) } else { number.multiply(Exact::new(60, 1)?) }
}

fn lower(draft: Draft<'_>) -> Code {
    let Draft { node, kind, amount, was_open: _, operands } = draft;
    let step = match (&node.op, amount) {
        (_, Some(amount)) => Step::Amount(amount),
        (Op::Text(word), _) => Step::Word(word.clone()),
        (Op::Boolean(switch), _) => Step::Boolean(*switch),
        (Op::Reference(path), _) => Step::Reference(path.clone(), kind),
        (op, None) => Step::Operation(op.clone(), kind),
    };
    Code { at: node.at, step, operands: operands.into_iter().map(lower).collect() }
}

fn symbol(op: &Op) -> &'static str {
    match op {
        Op::Binary(operator) => operator.symbol(),
        Op::Call(function) => function.name(),
        Op::Choose => "?:",
        Op::Not => "!",
        Op::Negate | Op::Literal(_) | Op::Text(_) | Op::Boolean(_) | Op::Reference(_) => "-",
    }
}

fn excerpt(draft: &Draft<'_>) -> Excerpt {
    Excerpt::new(&canonical(draft.node))
}
