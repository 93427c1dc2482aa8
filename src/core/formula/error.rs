//! Why a formula is refused. Every text continues the path of the field: `pools.db.size is wrong at character 12: …`.
//!
//! Characters are counted from 1 in the text as written, with the `=` of a formula.

use std::fmt;

use super::{MAX_CHARS, MAX_DEPTH, measure::Type, path::Path};
use crate::core::units::{Excerpt, ValueError};

/// Why a text is no formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is wrong at character {at}: {problem}")]
pub struct ParseError {
    /// Position of the character, from 1.
    pub at: usize,
    /// What is wrong there.
    pub problem: ParseProblem,
}

impl ParseError {
    pub(super) const fn new(at: usize, problem: ParseProblem) -> Self {
        Self { at, problem }
    }
}

/// What makes a text no formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseProblem {
    /// Nothing at all.
    #[error("there is nothing to work out; write for example 2 * limits.cpu")]
    Empty,
    /// Beyond the longest formula.
    #[error("a formula has at most {MAX_CHARS} characters; move a part into a setting of its own")]
    TooLong,
    /// Beyond the deepest nesting.
    #[error("a formula nests at most {MAX_DEPTH} deep; move a part into a setting of its own")]
    TooDeep,
    /// A condition that is written as a formula.
    #[error("a condition is written without \"=\" at its beginning")]
    EqualsSign,
    /// Something else must stand here.
    #[error("expected {expected}, not {got}")]
    Unexpected {
        /// What could stand here.
        expected: &'static str,
        /// What does, quoted.
        got: String,
    },
    /// A character that the language does not have.
    #[error("{0} means nothing in a formula")]
    UnknownCharacter(Excerpt),
    /// A character of another language or of typography.
    #[error("write {instead} instead of {character}")]
    WriteInstead {
        /// The character.
        character: Excerpt,
        /// What means the same here.
        instead: &'static str,
    },
    /// A percent sign that does not follow a number.
    #[error("a percent sign follows its number at once, as in 80%; for other parts multiply, as in x * 80%")]
    PercentAlone,
    /// A text without an end.
    #[error("the quote is not closed")]
    OpenQuote,
    /// `5.`
    #[error("digits must follow the point of a number")]
    PointWithoutDigits,
    /// Out of range.
    #[error("the number is too large")]
    NumberTooLarge,
    /// More digits than are kept.
    #[error("the number has more than nine decimals in its base unit")]
    NumberTooFine,
    /// Letters after a number that are no unit.
    #[error("{0} is no unit; units are ms s m h d, %, B k M G T Ki Mi Gi Ti (with or without B), and /s")]
    UnknownUnit(Excerpt),
    /// A call of something that is no function.
    #[error("{0} is no function; there are ceil, floor, round, min, max and clamp")]
    UnknownFunction(Excerpt),
    /// A function without its parentheses.
    #[error("a function needs parentheses: write {usage}")]
    FunctionAlone {
        /// How it is called.
        usage: &'static str,
    },
    /// Too many or too few operands.
    #[error("write {usage}, not {got} of them in the parentheses")]
    OperandCount {
        /// How it is called.
        usage: &'static str,
        /// How many there are.
        got: usize,
    },
    /// `a < b < c`
    #[error("comparisons do not chain: write a < b && b < c, or parentheses")]
    ChainedComparison,
}

/// Why a formula cannot mean anything, whatever the values are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is wrong at character {at}: {problem}")]
pub struct CheckError {
    /// Position of the character, from 1.
    pub at: usize,
    /// What is wrong there.
    pub problem: CheckProblem,
}

/// What makes a formula meaningless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckProblem {
    /// A reference to nothing, or to something that this formula may not read.
    #[error("{path} {why}{}", hint.as_ref().map(|path| format!("; did you mean {path}?")).unwrap_or_default())]
    Reference {
        /// The reference.
        path: Path,
        /// Why it cannot be read, continuing the path.
        why: String,
        /// What was meant, if the path goes on after a dash.
        hint: Option<Path>,
    },
    /// Two things that do not go together: `seconds + bytes`.
    #[error("{operation}: {left} is {left_is}, {right} is {right_is}{}", advice.as_str())]
    Mismatch {
        /// What is done to what, such as `seconds + bytes`.
        operation: String,
        /// One operand, as written.
        left: Excerpt,
        /// What it measures.
        left_is: String,
        /// The other one.
        right: Excerpt,
        /// What that measures.
        right_is: String,
        /// What is probably the reason.
        advice: Advice,
    },
    /// An operand of a kind that the operation does not take.
    #[error("{operation} needs {needs}: {operand} is {is}")]
    Operand {
        /// The operator or function.
        operation: &'static str,
        /// What it takes.
        needs: &'static str,
        /// The operand, as written.
        operand: Excerpt,
        /// What it is.
        is: String,
    },
    /// `floor(limits.memory)`: to whole what?
    #[error("{function} of {is} needs a step: write {function}(x, {step})")]
    StepNeeded {
        /// The function.
        function: &'static str,
        /// What the operand measures.
        is: String,
        /// A step that fits.
        step: &'static str,
    },
    /// A word that the other side never is.
    #[error("{path} is never {word}; it is one of {}", words.join(", "))]
    NeverEqual {
        /// What is compared.
        path: Path,
        /// With which word.
        word: Excerpt,
        /// What it can be.
        words: Vec<String>,
    },
    /// The whole formula is something else than its field.
    #[error("the result is {is}, but must be {expected}{}", advice.as_str())]
    Result {
        /// What the formula gives.
        is: String,
        /// What the field takes.
        expected: String,
        /// What is probably the reason.
        advice: Advice,
    },
    /// A part without references that has no value.
    #[error("{0}")]
    Constant(Failure),
}

/// What an author probably did not think of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing more to say.
    None,
    /// A number without a unit meets one with a unit.
    GiveUnit,
    /// `500m` was read as minutes.
    Minutes,
}

impl Advice {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::GiveUnit => "; write a unit after the number, as in 30s or 600Mi",
            Self::Minutes => "; m means minutes here, half a core is 0.5",
        }
    }
}

/// Why a formula has no value for these values of its references.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// A reference has no value yet.
    #[error("needs {path}, which is not known yet")]
    Unknown {
        /// The reference.
        path: Path,
    },
    /// A reference has another type than when the formula was checked.
    #[error("needs {path} to be {expected}, but it is {got}")]
    TypeChanged {
        /// The reference.
        path: Path,
        /// What it was checked to be.
        expected: String,
        /// What it is.
        got: Type,
    },
    /// An operation has no result.
    #[error("has no value at character {at}: {failure}")]
    Failed {
        /// Position of the operation, from 1.
        at: usize,
        /// Why.
        failure: Failure,
    },
}

/// Why an operation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A quotient without a value.
    #[error("division by zero")]
    DivisionByZero,
    /// More digits than can be computed exactly.
    #[error("the result has too many digits to be exact; round a part of it")]
    TooManyDigits,
    /// `clamp(x, 5, 2)`
    #[error("the low bound of clamp is {low}, above the high bound {high}")]
    BoundsInverted {
        /// The low bound.
        low: String,
        /// The high bound.
        high: String,
    },
    /// An operand of the wrong kind. The check excludes it.
    #[error("an operand is of the wrong kind")]
    Mistyped,
    /// `floor(x, 0)`
    #[error("the step must be > 0, not {step}")]
    StepNotPositive {
        /// The step.
        step: String,
    },
}

/// Why the result of a formula cannot be the value of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// A fraction where only whole numbers are.
    #[error("must be a whole number, not {got}: put the formula into floor(…), ceil(…) or round(…)")]
    NotWhole {
        /// The result.
        got: String,
    },
    /// More than the field holds.
    #[error("must fit the type {expected}, but the result is too large")]
    TooLarge {
        /// What the field takes.
        expected: &'static str,
    },
    /// Something else than the field takes; the check of units refuses such a formula.
    #[error("must be {expected}, not {got}")]
    OfAnotherKind {
        /// What the field takes.
        expected: String,
        /// The result.
        got: String,
    },
    /// Beyond the range of the field's type.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
