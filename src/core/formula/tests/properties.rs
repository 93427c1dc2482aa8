//! What holds for every formula.

use super::*;

/// Texts that look like formulas more often than noise does.
fn lookalike() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("limits.memory"),
        Just("limits.cpu"),
        Just("s"),
        Just("settings['x y']"),
        Just("a.b"),
        Just("["),
        Just("]"),
        Just("("),
        Just(")"),
        Just("+"),
        Just("-"),
        Just("*"),
        Just("/"),
        Just("&&"),
        Just("||"),
        Just("!"),
        Just("<="),
        Just("=="),
        Just("!="),
        Just("?"),
        Just(":"),
        Just(","),
        Just("."),
        Just(" "),
        Just("5"),
        Just("0.5"),
        Just("500m"),
        Just("2Gi"),
        Just("80%"),
        Just("1/s"),
        Just("min("),
        Just("clamp("),
        Just("floor("),
        Just("true"),
        Just("\"w\""),
        Just("99999999999999999999"),
        Just("0.000000001"),
        Just("é"),
        Just("="),
        Just("%"),
    ];
    prop::collection::vec(word, 0..80).prop_map(|words| words.concat())
}

/// An expression that is known to be one, with needless spaces and parentheses, and how it would be computed by hand.
#[derive(Debug, Clone)]
struct Sample {
    text: String,
    /// Numerator and denominator; nothing if somewhere is a division by zero.
    fraction: Option<(i128, i128)>,
}

/// From two fractions to a third, not reduced.
type Compute = fn(i128, i128, i128, i128) -> (i128, i128);

fn arithmetic() -> impl Strategy<Value = Sample> {
    let leaf = (0_i128..1000, 0_u32..3).prop_map(|(digits, decimals)| {
        let scale = 10_i128.pow(decimals);
        let places = usize::try_from(decimals).unwrap();
        let text = match places {
            0 => digits.to_string(),
            _ => format!("{}.{:0places$}", digits / scale, digits % scale),
        };
        Sample { text, fraction: Some((digits, scale)) }
    });
    leaf.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, 0..5_u8, "[ ]{0,2}").prop_map(|(left, right, operator, space)| {
            let (symbol, compute): (_, Compute) = match operator {
                0 => ("+", |a, b, c, d| (a * d + c * b, b * d)),
                1 => ("-", |a, b, c, d| (a * d - c * b, b * d)),
                2 => ("*", |a, b, c, d| (a * c, b * d)),
                3 => ("/", |a, b, c, d| (a * d, b * c)),
                _ => ("- -", |a, b, c, d| (a * d + c * b, b * d)),
            };
            let fraction = match (left.fraction, right.fraction) {
                (Some((a, b)), Some((c, d))) => Some(compute(a, b, c, d)).filter(|(_, below)| *below != 0),
                _ => None,
            };
            Sample { text: format!("({}){space}{symbol}{space}({})", left.text, right.text), fraction }
        })
    })
}

/// What the parser could build of the trees A, B and C.
const TREES: &[&str] = &[
    "(A)+(B)",
    "(A)-(B)",
    "(A)*(B)",
    "(A)/(B)",
    "(A)<(B)",
    "(A)<=(A)",
    "(A)>(B)",
    "(A)==(B)",
    "(A)!=(A)",
    "(A)&&(B)",
    "(A)||(B)",
    "-(A)",
    "!(A)",
    "(A)?(B):(C)",
    "(A)<(A)?(B):(B)",
    "min(A,B)",
    "max(A,A*2,B)",
    "clamp(A,B,C)",
    "floor(A)",
    "ceil(A,B)",
    "round(A,A/3)",
    "floor(A/(B))",
];

/// Any tree that the parser could build, with all parentheses.
fn tree() -> impl Strategy<Value = String> {
    let units = ["", "%", "ms", "s", "m", "h", "d", "B", "k", "MB", "GiB", "Ti", "/s", "Mi/s", "kB/s"];
    let literal = (0_u32..100_000, prop::sample::select(units.to_vec())).prop_map(|(n, unit)| hundredths(n, unit));
    let reference = prop::sample::select(&SCOPE).prop_map(|(path, ..)| reference(path));
    let other = prop::sample::select(vec!["true", "'postgresql'", "'say \"x\"'"]).prop_map(str::to_owned);
    let leaf = prop_oneof![5 => literal, 4 => reference, 1 => other];
    leaf.prop_recursive(5, 14, 3, |inner| {
        (prop::sample::select(TREES), inner.clone(), inner.clone(), inner)
            .prop_map(|(template, a, b, c)| fill(template, &[('A', &a), ('B', &b), ('C', &c)]))
    })
}

fn hundredths(number: u32, unit: &str) -> String {
    format!("{}.{:02}{unit}", number / 100, number % 100)
}

/// A reference with brackets wherever they can be.
fn reference(path: &str) -> String {
    let mut segments = path.split('.');
    let root = segments.next().unwrap().to_owned();
    segments.fold(root, |text, name| format!("{text}[\"{name}\"]"))
}

fn fill(template: &str, parts: &[(char, &str)]) -> String {
    template.chars().fold(String::new(), |text, letter| match parts.iter().find(|(name, _)| *name == letter) {
        Some((_, part)) => text + part,
        None => text + letter.encode_utf8(&mut [0; 4]),
    })
}

/// By how much numbers grow when the unit of the same amounts shrinks.
#[derive(Debug, Clone, Copy)]
struct Scale {
    unit: Dimension,
    factor: u32,
}

/// A formula twice: as it is, and as it would be with the smaller unit.
type Twin = (String, String);

/// A formula of each kind: amounts of the unit of the scale, numbers, conditions.
type Kinds = [Twin; 3];

/// Amounts of the amounts A and X, the numbers N and Y, and the conditions C and Z.
const AMOUNTS: &[&str] = &[
    "(A)+(X)",
    "(A)-(X)",
    "(A)*(N)",
    "(Y)*(X)",
    "(A)/(N)",
    "-(A)",
    "(C)?(A):(X)",
    "min(A,X)",
    "max(X,A,A)",
    "clamp(A,min(A,X),max(A,X))",
    "floor(A,X)",
    "ceil(A,(X)*2)",
    "(A)*(X)/(A)",
    "(N)/((Y)/(X))",
];

/// Numbers of the same.
const NUMBERS: &[&str] = &[
    "(N)+(Y)",
    "(N)-(Y)",
    "(N)*(Y)",
    "(N)/(Y)",
    "(A)/(X)",
    "-(N)",
    "(C)?(N):(Y)",
    "min(N,Y)",
    "round(N)",
    "ceil((A)/(X))",
    "floor(N,0.5)",
    "(N)/(A)*(X)",
    "(A)*(A)/(X)/(X)",
];

/// Conditions of the same.
const CONDITIONS: &[&str] = &[
    "(A)<(X)",
    "(A)==(X)",
    "(A)>=(X)",
    "(N)<=(Y)",
    "(N)!=(Y)",
    "(C)&&(Z)",
    "(C)||(Z)",
    "!(C)",
    "(C)==(Z)",
    "(A)*(X)<(X)*(A)+(X)*(X)",
    "(N)/(A)>(Y)/(X)",
    "(C)?(Z):(A)<(X)",
];

/// Formulas that are right by construction.
fn well_typed(scale: Scale) -> impl Strategy<Value = Kinds> {
    let units = match scale.unit {
        Dimension::Duration => vec!["ms", "s", "h"],
        _ => vec!["B", "k", "Mi"],
    };
    let literal = (0_u32..10_000, prop::sample::select(units))
        .prop_map(move |(n, unit)| (hundredths(n, unit), hundredths(n * scale.factor, unit)));
    let known = |wanted: fn(Dimension, Dimension) -> bool| {
        let of_kind = SCOPE.iter().filter(|(_, kind, _)| kind.dimension().is_some_and(|is| wanted(is, scale.unit)));
        let paths: Vec<_> = of_kind.map(|(path, ..)| reference(path)).collect();
        prop::sample::select(paths).prop_map(|text| (text.clone(), text))
    };
    let amount = prop_oneof![literal, known(|is, unit| is == unit)];
    let number = (0_u32..1000, prop::sample::select(vec!["", "%"]))
        .prop_map(|(n, unit)| (hundredths(n, unit), hundredths(n, unit)));
    let plain = |is, _| matches!(is, Dimension::Count | Dimension::Ratio | Dimension::Cpu);
    let number = prop_oneof![number, known(plain)];
    let condition = prop::sample::select(vec!["true", "settings.redis", "profile != 'x'"])
        .prop_map(|text| (text.to_owned(), text.to_owned()));
    let leaf = (amount, number, condition).prop_map(|(amount, number, condition)| [amount, number, condition]);
    leaf.prop_recursive(3, 8, 2, |inner| {
        let amounts = prop::sample::select(AMOUNTS);
        let numbers = prop::sample::select(NUMBERS);
        let conditions = prop::sample::select(CONDITIONS);
        ((amounts, numbers, conditions), inner.clone(), inner).prop_map(|((amount, number, condition), one, two)| {
            let names = ['A', 'N', 'C', 'X', 'Y', 'Z'];
            let pair = || one.iter().chain(&two).zip(names);
            let left: Vec<_> = pair().map(|(twin, name)| (name, twin.0.as_str())).collect();
            let right: Vec<_> = pair().map(|(twin, name)| (name, twin.1.as_str())).collect();
            [amount, number, condition].map(|template| (fill(template, &left), fill(template, &right)))
        })
    })
}

/// Works formulas out in both units; the results must be the same amounts, however large the unit is.
fn compare_twins(kinds: Kinds, scale: Scale) -> Result<(), TestCaseError> {
    for ((text, scaled), kind) in
        kinds.into_iter().zip([Type::from(scale.unit), Dimension::Count.into(), Type::Boolean])
    {
        if scaled.len() > MAX_CHARS {
            continue;
        }
        exercise(&text);
        let (checked, twin) = match (parse(&text).check(Some(&kind), types), parse(&scaled).check(Some(&kind), types)) {
            (Ok(checked), Ok(twin)) => (checked, twin),
            (Err(CheckError { problem: CheckProblem::Constant(_), .. }), _)
            | (_, Err(CheckError { problem: CheckProblem::Constant(_), .. })) => continue,
            (found, other) => return Err(TestCaseError::fail(format!("{text}: {found:?}, {other:?}"))),
        };
        let values_of_twin = |path: &Path| match values(path)? {
            Datum::Quantity(Quantity { amount, dimension }) if dimension == scale.unit => {
                let larger = amount.checked_mul(Decimal::from_int(scale.factor.into())).unwrap();
                Some(Quantity::new(larger, dimension).into())
            }
            datum => Some(datum),
        };
        let (Ok(found), Ok(other)) = (checked.evaluate(values), twin.evaluate(values_of_twin)) else { continue };
        if let (Some(found), Some(other)) = (found.quantity(), other.quantity()) {
            let factor = if found.dimension == scale.unit { scale.factor } else { 1 };
            let off = found.amount.nanos() * i128::from(factor) - other.amount.nanos();
            // Both are rounded to nine decimals.
            prop_assert!(off.abs() <= 3, "{}: {} and {}", text, found, other);
        } else {
            prop_assert_eq!((found.as_bool(), found.as_word()), (other.as_bool(), other.as_word()), "{}", text);
        }
    }
    Ok(())
}

const HALF_SECONDS: Scale = Scale { unit: Dimension::Duration, factor: 2 };
const THIRD_BYTES: Scale = Scale { unit: Dimension::Bytes, factor: 3 };

/// Everything that can be done with a text.
fn exercise(text: &str) {
    let Ok(formula) = Formula::parse(text) else { return };
    let printed = formula.to_string();
    assert!(printed.chars().count() <= MAX_CHARS, "{text} prints longer: {printed}");
    assert_eq!(Formula::parse(&printed).as_ref(), Ok(&formula), "{text} prints as {printed}");
    assert_eq!(Formula::parse(&printed).unwrap().to_string(), printed);
    let kinds = [
        None,
        Some(ValueType::Integer),
        Some(ValueType::Cpu),
        Some(ValueType::Bytes),
        Some(ValueType::Duration),
        Some(ValueType::Ratio),
        Some(ValueType::Boolean),
        Some(ValueType::Enum),
    ];
    for kind in kinds {
        let Ok(checked) = formula.check(kind.map(Type::from).as_ref(), types) else { continue };
        match checked.evaluate(values) {
            Err(EvaluateError::Failed { failure: Failure::Mistyped, .. } | EvaluateError::TypeChanged { .. }) => {
                panic!("{text} was checked and is mistyped");
            }
            Err(EvaluateError::Failed { .. } | EvaluateError::Unknown { .. }) => {}
            Ok(outcome) => {
                let _ = (outcome.to_string(), outcome.quantity(), outcome.as_bool(), outcome.as_word());
                let value = kind.map(|kind| outcome.to_value(kind));
                assert!(!matches!(value, Some(Err(OutcomeError::OfAnotherKind { .. }))), "{text} for {kind:?}");
                if let (Some(kind), Some(Ok(value))) = (kind, value) {
                    assert_eq!(value.value_type(), kind);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_panics(noise in ".{0,256}", ascii in "[ -~]{0,256}", like in lookalike()) {
        for text in [noise, ascii, like] {
            exercise(&text);
            let _ = Formula::of_value(&format!("={text}"));
        }
    }

    #[test]
    fn every_tree_prints_and_parses(text in tree()) {
        exercise(&text);
    }

    /// What units are for: a result that depends on how long a second is has mixed seconds with something else.
    #[test]
    fn what_is_right_is_accepted_and_independent_of_the_length_of_a_second(kinds in well_typed(HALF_SECONDS)) {
        compare_twins(kinds, HALF_SECONDS)?;
    }

    #[test]
    fn what_is_right_is_accepted_and_independent_of_the_size_of_a_byte(kinds in well_typed(THIRD_BYTES)) {
        compare_twins(kinds, THIRD_BYTES)?;
    }

    #[test]
    fn what_mixes_kinds_is_refused(seconds in well_typed(HALF_SECONDS), bytes in well_typed(THIRD_BYTES)) {
        let [(amount, _), (number, _), (condition, _)] = seconds;
        let other = &bytes[0].0;
        for template in [
            "(A)+(N)", "(N)-(A)", "(A)+(B)", "(A)<(B)", "(N)>=(A)", "(A)==(C)", "min(A,N)", "max(A,B)", "clamp(A,N,A)",
            "clamp(B,B,A)", "(C)?(A):(N)", "(C)?(B):(A)", "(C)?(N):(C)", "(N)?(A):(A)", "floor(A)", "floor(A,N)",
            "ceil(N,A)", "-(C)", "!(N)", "(A)&&(C)", "(C)||(N)", "(C)<(C)", "(C)*(A)", "(A)*(A)+(A)", "(A)/(B)<(N)",
            "(A)+500m+(B)", "max(500m,N)<(B)",
        ] {
            let text = fill(template, &[('A', &amount), ('N', &number), ('C', &condition), ('B', other)]);
            if text.len() > MAX_CHARS {
                continue;
            }
            let problem = parse(&text).check(None, types).map_err(|error| error.problem);
            prop_assert!(
                matches!(
                    problem,
                    Err(CheckProblem::Mismatch { .. } | CheckProblem::Operand { .. } | CheckProblem::StepNeeded { .. })
                ),
                "{}: {:?}", text, problem
            );
        }
    }

    #[test]
    fn arithmetic_agrees_with_computation_by_hand(sample in arithmetic()) {
        prop_assume!(sample.text.chars().count() <= MAX_CHARS);
        match (parse(&sample.text).check(None, types), sample.fraction) {
            (Err(error), None) => prop_assert_eq!(error.problem, CheckProblem::Constant(Failure::DivisionByZero)),
            (Ok(checked), Some((above, below))) => {
                let found = checked.evaluate(values).unwrap().quantity().unwrap().amount;
                // Rounded half away from zero to nine decimals, in another way than the code does it.
                let (above, below) = (above * below.signum(), below.abs());
                let scaled = above.abs() * 2_000_000_000 / below;
                prop_assert_eq!(found.nanos(), (scaled + 1) / 2 * above.signum());
            }
            (found, expected) => prop_assert!(false, "{} gives {:?}, not {:?}", sample.text, found, expected),
        }
    }

    #[test]
    fn units_scale_as_they_say(a in 0_i64..100_000, b in 1_i64..1000) {
        for (text, kind, expected) in [
            (format!("{a}s * {b}"), ValueType::Duration, a * b),
            (format!("{a}m + {b}ms * 1000"), ValueType::Duration, a * 60 + b),
            (format!("{a}Ki - {b}B + {b}B"), ValueType::Bytes, a * 1024),
            (format!("{a}MB / {b} * {b}"), ValueType::Bytes, a * 1_000_000),
            (format!("{a}/s * {b}s"), ValueType::Integer, a * b),
        ] {
            let found = outcome(&text, kind).to_value(kind).unwrap();
            prop_assert_eq!(found.amount(), Some(expected.into()), "{}", text);
        }
    }

    #[test]
    fn rounding_lands_on_steps(number in -1_000_000_i64..1_000_000, step in 1_i64..10_000) {
        let found = |function: &str| {
            let text = format!("{function}({number} / 7, {step} / 1000)");
            let checked = parse(&text).check(None, types).unwrap();
            checked.evaluate(values).unwrap().quantity().unwrap().amount
        };
        let (floor, ceil, round) = (found("floor"), found("ceil"), found("round"));
        let step = Decimal::from_nanos(i128::from(step) * 1_000_000);
        for rounded in [floor, ceil, round] {
            prop_assert!(rounded.is_multiple_of(step));
        }
        prop_assert!(floor <= round && round <= ceil);
        prop_assert!(ceil.checked_sub(floor).unwrap() <= step);
    }
}

/// Formulas of the greatest length and depth, which nothing must find difficult.
#[test]
fn extremes_of_length_and_depth_are_read_and_checked() {
    for text in extremes() {
        assert!(text.chars().count() <= MAX_CHARS, "{text}");
        exercise(&text);
    }
}

fn extremes() -> Vec<String> {
    let chain = |first: &str, more: &str| {
        let count = (MAX_CHARS - first.len()) / more.len();
        format!("{first}{}", more.repeat(count))
    };
    vec![
        chain("1", "+1"),
        chain("s", "/s"),
        chain("s", "*s"),
        chain("1m", "+1m"),
        chain("1m", "-s*1m"),
        chain("limits.cpu", "-5m"),
        chain("1", "/(1-0.3)"),
        chain("0.1", "*0.123456789"),
        chain("true", "&&s>1m"),
        chain("s>1?1:", "s>1?1:").trim_end_matches("s>1?1:").to_owned() + "2",
        chain("max(1m", ",1m").chars().take(MAX_CHARS - 4).collect::<String>() + ",1m)",
        format!("{}1m{}", "(".repeat(32), ")".repeat(32)),
        format!("{}1m{}", "min(1m,".repeat(28), ")".repeat(28)),
        format!("{}s{}", "(s+".repeat(32), ")".repeat(32)),
        format!("{}s", "-".repeat(32)),
        "(".repeat(MAX_CHARS),
        "-".repeat(MAX_CHARS),
        "!".repeat(MAX_CHARS),
        "[".repeat(MAX_CHARS),
        "9".repeat(MAX_CHARS),
        "a".repeat(MAX_CHARS),
        chain("a", ".a"),
        chain("a", "-a"),
        chain("'", "é"),
    ]
}
