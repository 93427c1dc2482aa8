//! From checked formula and values to a result.

use std::{cmp::Ordering, fmt};

use super::{
    ast::{Binary, Comparison, Function, Op},
    error::{EvaluateError, Failure, OutcomeError},
    exact::Exact,
    measure::{Kind, Measure, Type},
    path::Path,
};
use crate::core::units::{Quantity, Value, ValueType};

/// A formula whose units are known to go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    pub at: usize,
    pub step: Step,
    pub operands: Vec<Code>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Amount(Exact),
    Word(Box<str>),
    Boolean(bool),
    /// A value from outside, and what it must be.
    Reference(Path, Kind),
    /// An operation, and what its result is.
    Operation(Op, Kind),
}

/// The value of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datum {
    /// An amount.
    Quantity(Quantity),
    /// A switch or a condition.
    Boolean(bool),
    /// A word.
    Word(Box<str>),
}

impl Datum {
    fn kind(&self) -> Type {
        match self {
            Self::Quantity(quantity) => Type::Quantity(quantity.dimension),
            Self::Boolean(_) => Type::Boolean,
            Self::Word(_) => Type::Word(Vec::new()),
        }
    }
}

impl From<Quantity> for Datum {
    fn from(quantity: Quantity) -> Self {
        Self::Quantity(quantity)
    }
}

impl From<&Value> for Datum {
    fn from(value: &Value) -> Self {
        match (value, value.quantity()) {
            (_, Some(quantity)) => Self::Quantity(quantity),
            (Value::Boolean(switch), None) => Self::Boolean(*switch),
            (word, None) => Self::Word(word.to_string().into()),
        }
    }
}

impl fmt::Display for Datum {
    /// As a formula spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity(quantity) => quantity.fmt(f),
            Self::Boolean(switch) => switch.fmt(f),
            Self::Word(word) => super::path::Quoted(word).fmt(f),
        }
    }
}

/// What a formula gives: exact, and not yet the value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    scalar: Scalar,
    kind: Kind,
}

impl Outcome {
    /// Whether a condition holds; nothing if the formula is no condition.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self.scalar {
            Scalar::Boolean(holds) => Some(holds),
            Scalar::Amount(_) | Scalar::Word(_) => None,
        }
    }

    /// The word, if the formula gives one.
    #[must_use]
    pub fn as_word(&self) -> Option<&str> {
        match &self.scalar {
            Scalar::Word(word) => Some(word),
            Scalar::Amount(_) | Scalar::Boolean(_) => None,
        }
    }

    /// The amount, rounded half away from zero to nine decimals of its base unit; nothing if the formula gives no
    /// amount, one in a unit that the API does not have (bytes × seconds), or one out of range.
    #[must_use]
    pub fn quantity(&self) -> Option<Quantity> {
        match (&self.scalar, self.kind) {
            (Scalar::Amount(amount), Kind::Amount(measure)) => {
                Some(Quantity::new(amount.to_decimal()?, measure.dimension()?))
            }
            _ => None,
        }
    }

    /// The value of a field of type `kind`.
    ///
    /// Whole numbers are never rounded, because only the author knows in which direction. Bytes are rounded down to
    /// whole ones, so that `0.9 * limits.memory` has a value and stays within the limit; a CPU up to whole millicores,
    /// as the API server would; the rest to nine decimals.
    pub fn to_value(&self, kind: ValueType) -> Result<Value, OutcomeError> {
        let other_kind =
            || OutcomeError::OfAnotherKind { expected: Type::from(kind).to_string(), got: self.to_string() };
        let amount = match (&self.scalar, kind) {
            (Scalar::Boolean(switch), ValueType::Boolean) => return Ok(Value::Boolean(*switch)),
            (Scalar::Word(word), ValueType::Enum) => return Ok(Value::parse(kind, word)?),
            (Scalar::Amount(amount), _) => *amount,
            (Scalar::Boolean(_) | Scalar::Word(_), _) => return Err(other_kind()),
        };
        let dimension = kind.dimension().ok_or_else(other_kind)?;
        if !matches!(self.kind, Kind::Amount(measure) if measure.agrees(Measure::of(dimension))) {
            return Err(other_kind());
        }
        let rounded = match kind {
            ValueType::Integer if !amount.is_integer() => {
                return Err(OutcomeError::NotWhole { got: self.to_string() });
            }
            ValueType::Bytes => Some(amount.floor()),
            ValueType::Cpu => to_millicores(amount),
            ValueType::Integer
            | ValueType::Number
            | ValueType::Duration
            | ValueType::Ratio
            | ValueType::Boolean
            | ValueType::Enum => Some(amount),
        };
        let decimal = rounded.and_then(Exact::to_decimal).ok_or(OutcomeError::TooLarge { expected: kind.as_str() })?;
        if kind == ValueType::Integer && decimal.to_i64().is_none() {
            return Err(OutcomeError::TooLarge { expected: kind.as_str() });
        }
        Ok(Value::from_amount(kind, decimal)?)
    }
}

/// Rounded up to whole thousandths.
fn to_millicores(cores: Exact) -> Option<Exact> {
    let thousand = Exact::new(1000, 1)?;
    cores.multiply(thousand)?.ceil().divide(thousand)
}

impl fmt::Display for Outcome {
    /// For people: rounded to nine decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.scalar, self.quantity()) {
            (_, Some(quantity)) => quantity.fmt(f),
            (Scalar::Boolean(holds), None) => holds.fmt(f),
            (Scalar::Word(word), None) => f.pad(word),
            (Scalar::Amount(amount), None) => match amount.to_decimal() {
                Some(number) => write!(f, "{number} {}", self.kind.word()),
                None => f.write_str("a number that is too large"),
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    Amount(Exact),
    Boolean(bool),
    Word(Box<str>),
}

/// Works out `code`. A condition decides without looking at what does not matter, so `x == 0 ? 0 : 1 / x` always has a
/// value.
pub(super) fn evaluate(
    code: &Code,
    kind: Kind,
    values: &dyn Fn(&Path) -> Option<Datum>,
) -> Result<Outcome, EvaluateError> {
    Ok(Outcome { scalar: scalar(code, values)?, kind })
}

fn scalar(code: &Code, values: &dyn Fn(&Path) -> Option<Datum>) -> Result<Scalar, EvaluateError> {
    let (op, kind) = match &code.step {
        Step::Amount(amount) => return Ok(Scalar::Amount(*amount)),
        Step::Word(word) => return Ok(Scalar::Word(word.clone())),
        Step::Boolean(switch) => return Ok(Scalar::Boolean(*switch)),
        Step::Reference(path, kind) => return read(code.at, path, *kind, values),
        Step::Operation(op, kind) => (op, *kind),
    };
    if let (Op::Choose | Op::Binary(Binary::And | Binary::Or), Some(first)) = (op, code.operands.first()) {
        let holds = scalar(first, values)? == Scalar::Boolean(true);
        let next = match op {
            Op::Choose if holds => 1,
            Op::Choose => 2,
            Op::Binary(Binary::And) if !holds => 0,
            Op::Binary(Binary::Or) if holds => 0,
            _ => 1,
        };
        return match code.operands.get(next) {
            Some(_) if next == 0 => Ok(Scalar::Boolean(holds)),
            Some(operand) => scalar(operand, values),
            None => Err(EvaluateError::Failed { at: code.at, failure: Failure::Mistyped }),
        };
    }
    let mut operands = Vec::with_capacity(code.operands.len());
    for operand in &code.operands {
        operands.push(Some(scalar(operand, values)?));
    }
    match apply(op, kind, &operands) {
        Ok(Some(result)) => Ok(result),
        // All operands are known, so that is one of the wrong kind.
        Ok(None) => Err(EvaluateError::Failed { at: code.at, failure: Failure::Mistyped }),
        Err(failure) => Err(EvaluateError::Failed { at: code.at, failure }),
    }
}

fn read(at: usize, path: &Path, kind: Kind, values: &dyn Fn(&Path) -> Option<Datum>) -> Result<Scalar, EvaluateError> {
    let datum = values(path).ok_or_else(|| EvaluateError::Unknown { path: path.clone() })?;
    let fits = match (kind, &datum) {
        (Kind::Amount(measure), Datum::Quantity(quantity)) => measure.agrees(Measure::of(quantity.dimension)),
        (Kind::Boolean, Datum::Boolean(_)) | (Kind::Word, Datum::Word(_)) => true,
        (Kind::Amount(_) | Kind::Open | Kind::Boolean | Kind::Word, _) => false,
    };
    if !fits {
        let expected = kind.to_string();
        return Err(EvaluateError::TypeChanged { path: path.clone(), expected, got: datum.kind() });
    }
    match datum {
        Datum::Quantity(quantity) => Exact::from_decimal(quantity.amount)
            .map(Scalar::Amount)
            .ok_or(EvaluateError::Failed { at, failure: Failure::TooManyDigits }),
        Datum::Boolean(switch) => Ok(Scalar::Boolean(switch)),
        Datum::Word(word) => Ok(Scalar::Word(word)),
    }
}

/// What is known of a formula before any reference is: finds the failures that every evaluation would meet.
pub(super) fn fold(code: &Code) -> Result<Option<Scalar>, (usize, Failure)> {
    let mut operands = Vec::with_capacity(code.operands.len());
    for operand in &code.operands {
        operands.push(fold(operand)?);
    }
    match &code.step {
        Step::Amount(amount) => Ok(Some(Scalar::Amount(*amount))),
        Step::Word(word) => Ok(Some(Scalar::Word(word.clone()))),
        Step::Boolean(switch) => Ok(Some(Scalar::Boolean(*switch))),
        Step::Reference(..) => Ok(None),
        Step::Operation(op, kind) => apply(op, *kind, &operands).map_err(|failure| (code.at, failure)),
    }
}

/// One operation on operands of which some may be unknown; nothing if the result is unknown, too.
fn apply(op: &Op, kind: Kind, operands: &[Option<Scalar>]) -> Result<Option<Scalar>, Failure> {
    use Scalar::{Amount, Boolean, Word};
    let digits = |result: Option<Exact>| result.map(|result| Some(Amount(result))).ok_or(Failure::TooManyDigits);
    match (op, operands) {
        (Op::Negate, [Some(Amount(x))]) => digits(x.negate()),
        (Op::Not, [Some(Boolean(x))]) => Ok(Some(Boolean(!x))),
        (Op::Binary(Binary::Add), [Some(Amount(x)), Some(Amount(y))]) => digits(x.add(*y)),
        (Op::Binary(Binary::Subtract), [Some(Amount(x)), Some(Amount(y))]) => digits(x.subtract(*y)),
        (Op::Binary(Binary::Multiply), [Some(Amount(x)), Some(Amount(y))]) => digits(x.multiply(*y)),
        (Op::Binary(Binary::Divide), [_, Some(Amount(y))]) if y.is_zero() => Err(Failure::DivisionByZero),
        (Op::Binary(Binary::Divide), [Some(Amount(x)), Some(Amount(y))]) => digits(x.divide(*y)),
        (Op::Binary(Binary::Compare(comparison)), [Some(x), Some(y)]) => {
            let order = match (x, y) {
                (Amount(x), Amount(y)) => x.cmp(y),
                (Boolean(x), Boolean(y)) => x.cmp(y),
                (Word(x), Word(y)) => x.cmp(y),
                _ => return Err(Failure::Mistyped),
            };
            Ok(Some(Boolean(holds(*comparison, order))))
        }
        (Op::Binary(Binary::And), [Some(Boolean(x)), Some(Boolean(y))]) => Ok(Some(Boolean(*x && *y))),
        (Op::Binary(Binary::Or), [Some(Boolean(x)), Some(Boolean(y))]) => Ok(Some(Boolean(*x || *y))),
        (Op::Choose, [Some(Boolean(x)), yes, no]) => Ok(if *x { yes } else { no }.clone()),
        (Op::Call(Function::Clamp), [_, Some(Amount(low)), Some(Amount(high))]) if low > high => {
            Err(Failure::BoundsInverted { low: text(*low, kind), high: text(*high, kind) })
        }
        (Op::Call(Function::Clamp), [Some(Amount(x)), Some(Amount(low)), Some(Amount(high))]) => {
            Ok(Some(Amount(*x.max(low).min(high))))
        }
        (Op::Call(Function::Min | Function::Max), operands) => {
            let least = *op == Op::Call(Function::Min);
            Ok(extreme(operands, least)?.map(Amount))
        }
        (Op::Call(function), [number, step @ ..]) => {
            let step = match step {
                [Some(Amount(step))] if !step.is_positive() => {
                    return Err(Failure::StepNotPositive { step: text(*step, kind) });
                }
                [Some(Amount(step))] => Some(*step),
                [] => None,
                _ => return Ok(None),
            };
            let Some(Amount(number)) = number else { return Ok(None) };
            digits(to_step(*function, *number, step))
        }
        _ => Ok(None),
    }
}

fn extreme(operands: &[Option<Scalar>], least: bool) -> Result<Option<Exact>, Failure> {
    let mut extreme: Option<Exact> = None;
    for operand in operands {
        let amount = match operand {
            Some(Scalar::Amount(amount)) => *amount,
            Some(Scalar::Boolean(_) | Scalar::Word(_)) => return Err(Failure::Mistyped),
            None => return Ok(None),
        };
        extreme = Some(match extreme {
            Some(found) if (found < amount) == least => found,
            _ => amount,
        });
    }
    Ok(extreme)
}

/// Rounded to a whole multiple of `step`.
fn to_step(function: Function, number: Exact, step: Option<Exact>) -> Option<Exact> {
    let rounded = |number: Exact| match function {
        Function::Ceil => number.ceil(),
        Function::Floor => number.floor(),
        Function::Round | Function::Min | Function::Max | Function::Clamp => number.round(),
    };
    match step {
        Some(step) => rounded(number.divide(step)?).multiply(step),
        None => Some(rounded(number)),
    }
}

fn holds(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn text(amount: Exact, kind: Kind) -> String {
    Outcome { scalar: Scalar::Amount(amount), kind }.to_string()
}
