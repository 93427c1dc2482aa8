//! Formulas: the small language in which a policy derives one number from others.
//!
//! A value that begins with `=` is a formula (`= limits.memory - 600Mi`); a condition (`workers.web.count >= 4`) is the
//! same language without the sign. There are no loops, no variables and no functions of one's own, so a formula ends, in
//! time proportional to its length. [`Formula::parse`] and [`Formula::of_value`] read one, [`Formula::check`] finds
//! mistakes of units before there is any value, [`Checked::evaluate`] works it out, and [`strata`] orders many.
//!
//! # The language
//!
//! | | |
//! |---|---|
//! | numbers | `20`, `0.75`, with a unit that follows at once: `ms s m h d`, `%`, `B k M G T Ki Mi Gi Ti` (also `kB`, `MiB`, …), `/s` after a number or a size unit |
//! | words | `"postgresql"`, `'postgresql'`: compared with `==` and `!=`, chosen with `?:`, nothing else |
//! | switches | `true`, `false` |
//! | references | `limits.memory`, `caches["trust-score"].ttl`: a name that is no identifier stands in brackets |
//! | operators, weakest first | `?:` · `\|\|` · `&&` · `== != < <= > >=` (not chained) · `+ -` · `* /` · `! -` |
//! | functions | `min(x, y, …)`, `max(x, y, …)`, `clamp(x, low, high)`, and `ceil`, `floor`, `round` with `(x)` or `(x, step)` |
//!
//! # Units
//!
//! Sums, comparisons, choices, `min`, `max` and `clamp` take amounts of one unit; products and quotients make new units,
//! so `limits.memory / 300Mi` is a number and `350/s * 200ms` is one, too. Numbers, ratios and cores are all plain
//! numbers: `2 * ceil(limits.cpu) + 1` and `1 - 20%` make sense. A number without a unit is never bytes or seconds, not
//! even zero. `ceil`, `floor` and `round` of anything but a plain number need a step, because it is unclear what whole
//! they round to: `floor(limits.memory * 0.9, 1Mi)`.
//!
//! `500m` is a half core where cores are meant, and 500 minutes elsewhere. Cores are meant where the literal is added to,
//! subtracted from, compared with, chosen against or bounded by cores (`limits.cpu - 500m`, `max(limits.cpu, 250m)`),
//! where it divides cores (`limits.cpu / 500m`), and where the field itself is a CPU (`= 2 * 250m`). A product with plain
//! numbers passes the question on: in `workers.web.count * 250m <= limits.cpu` the right side decides. If nothing
//! decides, it is minutes.
//!
//! # Numbers
//!
//! Everything is computed with exact fractions: `0.1 + 0.2 == 0.3` and `10 / 3 * 3 == 10`. Nothing is rounded before the
//! end, where [`Outcome::to_value`] says what a field does with a fraction. What does not fit 128 bits is an error.

mod ast;
mod check;
mod error;
mod evaluate;
mod exact;
mod lexer;
mod measure;
mod parser;
mod path;
mod print;
pub mod strata;

use std::{collections::BTreeSet, fmt};

use self::{
    ast::{Node, Op},
    evaluate::Code,
    measure::Kind,
};
pub use self::{
    error::{Advice, CheckError, CheckProblem, EvaluateError, Failure, OutcomeError, ParseError, ParseProblem},
    evaluate::{Datum, Outcome},
    measure::Type,
    path::Path,
};

/// The longest formula, in characters, with its `=`.
pub const MAX_CHARS: usize = 256;
/// How deep parentheses, calls, signs and choices may nest.
pub const MAX_DEPTH: usize = 32;

/// A formula that has been parsed. Equality is that of the meaning: spaces and needless parentheses do not count.
#[derive(Debug, Clone)]
pub struct Formula {
    /// As written, with the `=` if there was one; positions in errors count in it.
    source: Box<str>,
    root: Node,
    references: Vec<Path>,
}

impl Formula {
    /// Reads the value of a field: nothing if it is a literal, else a formula, which begins with `=`.
    #[must_use]
    pub fn of_value(text: &str) -> Option<Result<Self, ParseError>> {
        let body = text.strip_prefix('=')?;
        Some(parser::parse(body, 2).map(|root| Self::new(text, root)))
    }

    /// Reads a condition, or another formula that stands where no literal could: without `=`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.trim_start().starts_with('=') && !text.trim_start().starts_with("==") {
            return Err(ParseError::new(1, ParseProblem::EqualsSign));
        }
        parser::parse(text, 1).map(|root| Self::new(text, root))
    }

    fn new(source: &str, root: Node) -> Self {
        let mut seen = BTreeSet::new();
        let mut references = Vec::new();
        collect(&root, &mut seen, &mut references);
        Self { source: source.into(), references, root }
    }

    /// What the formula refers to, each once, in the order of the text. All of it counts for dependencies, also what
    /// a choice may not look at.
    #[must_use]
    pub fn references(&self) -> &[Path] {
        &self.references
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Checks that the formula means something, whatever the values are, and that its result fits a field of type
    /// `expected` (any, if there is no field).
    ///
    /// `types` tells what a reference is, or why this formula may not read it; the text continues the path: `is a
    /// reading, which only reports may use`.
    pub fn check(
        &self,
        expected: Option<&Type>,
        types: impl Fn(&Path) -> Result<Type, String>,
    ) -> Result<Checked, CheckError> {
        let (code, kind) = check::check(&self.root, &self.source, expected, &types)?;
        Ok(Checked { code, kind })
    }

    /// The canonical text with something else in the place of references, such as their values: `2 * ceil(4) + 1`.
    #[must_use]
    pub fn with_references(&self, text: impl Fn(&Path) -> String) -> String {
        print::substituted(&self.root, &text)
    }
}

fn collect(node: &Node, seen: &mut BTreeSet<Path>, references: &mut Vec<Path>) {
    if let Op::Reference(path) = &node.op
        && seen.insert(path.clone())
    {
        references.push(path.clone());
    }
    for operand in &node.operands {
        collect(operand, seen, references);
    }
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

impl Eq for Formula {}

impl fmt::Display for Formula {
    /// The canonical text, without `=`; parses to an equal formula.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&print::canonical(&self.root))
    }
}

/// A formula whose units go together, ready to be worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    code: Code,
    kind: Kind,
}

impl Checked {
    /// What the result is, as a field's type would call it; nothing for a unit that the API does not have.
    #[must_use]
    pub fn result(&self) -> Option<Type> {
        match self.kind {
            Kind::Amount(measure) => measure.dimension().map(Type::Quantity),
            Kind::Boolean => Some(Type::Boolean),
            Kind::Word => Some(Type::Word(Vec::new())),
            Kind::Open => None,
        }
    }

    /// Works the formula out. `values` gives the value of a reference, or nothing while it is not known; what a choice
    /// does not need is not asked for.
    pub fn evaluate(&self, values: impl Fn(&Path) -> Option<Datum>) -> Result<Outcome, EvaluateError> {
        evaluate::evaluate(&self.code, self.kind, &values)
    }
}

#[cfg(test)]
mod tests;
