use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Variable::*, *};
use crate::core::units::{Value, ValueType};

fn option(token: &str) -> &'static Known {
    known(token).unwrap_or_else(|| panic!("{token}"))
}

fn word(token: &str, value: &str) -> String {
    let known = option(token);
    known.render(&Value::parse(known.value_type(), value).unwrap()).unwrap()
}

#[track_caller]
fn sets(variable: Variable, before: &str, options: &[(&str, &str)], after: &str) {
    let words: Vec<_> = options.iter().map(|(token, value)| (option(token), word(token, value))).collect();
    let wanted: Vec<Wanted<'_>> = words.iter().map(|(known, word)| (*known, word.as_str())).collect();
    assert_eq!(set(variable, before, &wanted).as_deref(), Ok(after));
    assert_eq!(set(variable, after, &wanted).as_deref(), Ok(after), "once more");
    assert_eq!(restore(variable, after, before, &wanted).as_deref(), Ok(before), "and back");
}

#[test]
fn texts_are_split_as_their_runtimes_split_them() {
    // OpenJDK 17 and Node.js 20 were asked; gunicorn's are those of shlex, by which its documentation says that it splits.
    for (variable, text, words) in [
        (JavaToolOptions, "-Da=\"b c\" '-Dd=e f'\t-Xmx1g\n", &["-Da=b c", "-Dd=e f", "-Xmx1g"][..]),
        (JavaToolOptions, r"-Da=\ -Db", &[r"-Da=\", "-Db"]),
        (JavaToolOptions, "\"\" -Xmx1g", &["-Xmx1g"]),
        (NodeOptions, "--require \"./a b.js\"  --x=1", &["--require", "./a b.js", "--x=1"]),
        (NodeOptions, "--a=1\t--b '--c d'", &["--a=1\t--b", "'--c", "d'"]),
        (NodeOptions, r#""a\"b\\c" d\e"#, &[r#"a"b\c"#, r"d\e"]),
        (GunicornCmdArgs, r#"-b "a b" 'c\d' e\ f '' "g\h\"""#, &["-b", "a b", r"c\d", "e f", "", r#"g\h""#]),
    ] {
        let split: Vec<String> = variable.split(text).unwrap().into_iter().map(|word| word.text).collect();
        assert_eq!(split, words, "{variable} {text:?}");
    }
    for (variable, text, wrong) in [
        (JavaToolOptions, "-Da='b", SplitError::Quote),
        (NodeOptions, "\"a", SplitError::Quote),
        (NodeOptions, r#""a\"#, SplitError::Escape),
        (GunicornCmdArgs, "a\\", SplitError::Escape),
        (GunicornCmdArgs, "\"a'", SplitError::Quote),
    ] {
        assert_eq!(variable.split(text), Err(wrong), "{variable} {text:?}");
    }
}

#[test]
fn an_option_is_replaced_where_it_is_read_and_appended_where_it_is_not() {
    sets(JavaToolOptions, "", &[("-Xmx", "1448Mi")], "-Xmx1448m");
    sets(JavaToolOptions, "-Dfoo='a  b'", &[("-Xmx", "2Gi"), ("-Xms", "1Gi")], "-Dfoo='a  b' -Xmx2g -Xms1g");
    sets(JavaToolOptions, "-Xmx512m\t-Dfoo=bar\n", &[("-Xmx", "1Gi")], "-Xmx1g\t-Dfoo=bar\n");
    sets(JavaToolOptions, "-Dfoo=bar \n", &[("-Xmx", "1Gi")], "-Dfoo=bar \n-Xmx1g");
    sets(
        NodeOptions,
        "--require \"./a b.js\"",
        &[("--max-old-space-size", "1536Mi")],
        "--require \"./a b.js\" --max-old-space-size=1536",
    );
    sets(
        GunicornCmdArgs,
        "--bind 0.0.0.0:8000 --workers 4 -k gthread",
        &[("--workers", "8")],
        "--bind 0.0.0.0:8000 --workers=8 -k gthread",
    );
    // What looks like the end of a word is a part of it.
    sets(GunicornCmdArgs, "--name a\\ ", &[("--workers", "8")], "--name a\\  --workers=8");
}

#[test]
fn two_spellings_of_one_option_are_one() {
    sets(JavaToolOptions, "-XX:MaxHeapSize=1g -Da", &[("-Xmx", "2Gi")], "-Xmx2g -Da");
    sets(JavaToolOptions, "-Xmx1g -Da -XX:MaxHeapSize=3g", &[("-Xmx", "2Gi")], "-Da -Xmx2g");
    sets(JavaToolOptions, "-XX:-AlwaysPreTouch", &[("-XX:+AlwaysPreTouch", "true")], "-XX:+AlwaysPreTouch");
    sets(NodeOptions, "--max_old_space_size=512", &[("--max-old-space-size", "1Gi")], "--max-old-space-size=1024");
    for before in ["-w 4", "-w4", "-w=4", "--workers 4", "--workers=4", "--worker 4", "'-w' \"4\""] {
        sets(GunicornCmdArgs, before, &[("--workers", "6")], "--workers=6");
    }
    // A name of its own is no prefix of another.
    sets(
        GunicornCmdArgs,
        "--max-requests 9",
        &[("--max-requests-jitter", "3")],
        "--max-requests 9 --max-requests-jitter=3",
    );
    sets(GunicornCmdArgs, "--worker-class gthread", &[("--workers", "6")], "--worker-class gthread --workers=6");
}

#[test]
fn an_option_that_has_the_value_is_left_as_it_is() {
    for (variable, text, token, value) in [
        (JavaToolOptions, "-Xmx1024m", "-Xmx", "1Gi"),
        (JavaToolOptions, "-XX:MaxHeapSize=1073741824 -Da", "-Xmx", "1Gi"),
        (JavaToolOptions, "-XX:MaxRAMPercentage=75", "-XX:MaxRAMPercentage", "75%"),
        (JavaToolOptions, "-Xmx9g -Xmx1g", "-Xmx", "1Gi"),
        (NodeOptions, "\"--max_old_space_size=1024\"", "--max-old-space-size", "1Gi"),
        (GunicornCmdArgs, "-w 4", "--workers", "4"),
        (GunicornCmdArgs, "-t 30", "--timeout", "30s"),
    ] {
        sets(variable, text, &[(token, value)], text);
    }
}

#[test]
fn one_collector_is_left() {
    let g1 = option(COLLECTOR).render(&Value::Enum("G1".into())).unwrap();
    for (before, after) in [
        ("-Da", "-Da -XX:+UseG1GC"),
        ("-XX:+UseParallelGC -Da", "-XX:+UseG1GC -Da"),
        ("-XX:+UseG1GC", "-XX:+UseG1GC"),
        ("-XX:+UseSerialGC -XX:+UseG1GC", "-XX:+UseG1GC"),
        ("-XX:+UseGCOverheadLimit", "-XX:+UseGCOverheadLimit -XX:+UseG1GC"),
    ] {
        assert_eq!(set(JavaToolOptions, before, &[(option(COLLECTOR), &g1)]).as_deref(), Ok(after));
    }
}

#[test]
fn what_others_have_added_since_is_kept_when_options_go_back() {
    let (xmx, xms) = (word("-Xmx", "2Gi"), word("-Xms", "1Gi"));
    let wanted: [Wanted<'_>; 2] = [(option("-Xmx"), &xmx), (option("-Xms"), &xms)];
    let back = |current: &str, original: &str| restore(JavaToolOptions, current, original, &wanted).unwrap();
    assert_eq!(back("-Da -Xmx2g -Xms1g -Dnew", "-Da"), "-Da -Dnew");
    assert_eq!(back("-Dnew -Xmx2g -Xms1g", "-Xmx512m -Da"), "-Dnew -Xmx512m");
    assert_eq!(back("-Da -Dnew", "-Da -Xmx1g"), "-Da -Dnew");
    assert_eq!(back("-Xmx2g -Xms1g -Dnew", ""), "-Dnew");
}

#[test]
fn values_are_spelled_as_their_option_reads_them_or_refused() {
    for (token, value, text) in [
        ("-Xmx", "1448Mi", Ok("-Xmx1448m")),
        ("-XX:MaxRAMPercentage", "75%", Ok("-XX:MaxRAMPercentage=75.0")),
        ("-XX:MaxRAMPercentage", "0.625", Ok("-XX:MaxRAMPercentage=62.5")),
        ("-XX:MaxGCPauseMillis", "100ms", Ok("-XX:MaxGCPauseMillis=100")),
        ("-XX:+AlwaysPreTouch", "false", Ok("-XX:-AlwaysPreTouch")),
        ("--max-old-space-size", "1536Mi", Ok("--max-old-space-size=1536")),
        ("--timeout", "2m", Ok("--timeout=120")),
        (
            "--timeout",
            "1500ms",
            Err("cannot write 1.5s as seconds without rounding it: change the value or choose a finer format"),
        ),
        ("-Xmx", "1000", Err("cannot write 1k as jvm without rounding it: change the value or choose a finer format")),
        ("--workers", "-1", Err("must be ≥ 0, not -1")),
        ("--worker-class", "uvicorn.workers.UvicornWorker", Ok("--worker-class=uvicorn.workers.UvicornWorker")),
        ("--bind", "0.0.0.0:8000", Ok("--bind=0.0.0.0:8000")),
    ] {
        let known = option(token);
        let rendered = known.render(&Value::parse(known.value_type(), value).unwrap());
        assert_eq!(rendered.as_deref().map_err(String::as_str), text, "{token} {value}");
        if let Ok(text) = rendered {
            let found = known.find(&[text]);
            assert_eq!(known.read(&found[0].value), Some(Value::parse(known.value_type(), value).unwrap()));
        }
    }
    let wrong = option("--workers").render(&Value::parse(ValueType::Duration, "4s").unwrap());
    assert_eq!(wrong, Err("--workers takes a Integer, not a Duration".into()));
    assert!(option(COLLECTOR).render(&Value::Enum("CMS -javaagent:x".into())).is_err());
    // A worker class is a module that Python loads, and a socket may be a file: of both only what is known to be harmless.
    for (token, value) in [
        ("--worker-class", "my.module.Worker"),
        ("--worker-class", ""),
        ("--bind", "unix:/tmp/socket"),
        ("--bind", "example.com:80"),
        ("--bind", "0.0.0.0:8000 --config=x.py"),
    ] {
        assert!(option(token).render(&Value::Enum(value.into())).is_err(), "{token} {value}");
    }
}

#[test]
fn every_token_is_there_once_and_none_loads_code() {
    let all: BTreeSet<&str> = tokens().collect();
    assert_eq!(all.len(), tokens().count());
    assert_eq!(known("-javaagent"), None);
    assert_eq!(known("--require"), None);
    assert_eq!(known("--config"), None);
    for token in all {
        let option = option(token);
        // What is written is one word, and needs no quotes anywhere.
        let value = match option.value_type() {
            ValueType::Bytes => "2Gi",
            ValueType::Duration => "30s",
            ValueType::Ratio => "80%",
            ValueType::Boolean => "true",
            ValueType::Enum if token == "--bind" => "0.0.0.0:8000",
            ValueType::Enum => "gthread",
            _ => "4",
        };
        let text = word(token, value);
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "-+:=.".contains(c)), "{text}");
        assert_eq!(option.variable.split(&text).unwrap().len(), 1);
        for other in tokens().filter(|other| *other != token) {
            assert_eq!(known(other).unwrap().find(&[&text]), [], "{other} in {text}");
        }
    }
}

/// Options of somebody else, in every quoting.
fn foreign(variable: Variable) -> impl Strategy<Value = String> {
    let words: &[&str] = match variable {
        JavaToolOptions => &["-Dfoo=bar", "'-Da=b c'", "-D\"x y\"=z", "-javaagent:/a.jar", "\"\"", "-Dü=ö"],
        NodeOptions => &["--require", "\"./a b.js\"", "--x=\"\\\"q\"", "--no-warnings", "'", "\"\"", "ü"],
        GunicornCmdArgs => &["--bind", "0.0.0.0:8000", "'a b'", "\"c\\\"d\"", "e\\ f", "''", "-k", "gthread", "ü"],
    };
    let gap =
        prop_oneof![4 => Just(" "), 1 => Just("  "), 1 => Just(if variable == NodeOptions { "   " } else { "\t\n" })];
    let word = prop::sample::select(words);
    (prop::collection::vec((gap.clone(), word), 0..6), prop_oneof![3 => Just(""), 1 => gap])
        .prop_map(|(words, end)| words.iter().flat_map(|(gap, word)| [*gap, *word]).collect::<String>() + end)
}

fn ours(variable: Variable) -> impl Strategy<Value = (&'static str, String, &'static str)> {
    let all: &[(&str, &[&str])] = match variable {
        JavaToolOptions => &[
            ("-Xmx", &["-Xmx7m", "-XX:MaxHeapSize=7m", "\"-Xmx\"7m"]),
            ("-Xms", &["-Xms7m", "-XX:InitialHeapSize=7m"]),
        ],
        NodeOptions => &[(
            "--max-old-space-size",
            &["--max-old-space-size=7", "--max_old_space_size=7", "\"--max-old_space-size=7\""],
        )],
        GunicornCmdArgs => &[
            ("--workers", &["-w 7", "-w7", "--workers=7", "--workers \t'7'", "--worker=7"]),
            ("--threads", &["--threads 7", "--thr=7"]),
        ],
    };
    (prop::sample::select(all), 8_u32..99, any::<prop::sample::Index>()).prop_map(|((token, spelled), n, index)| {
        let value =
            if known(token).unwrap().value_type() == ValueType::Bytes { format!("{n}Mi") } else { n.to_string() };
        (token, value, spelled[index.index(spelled.len())])
    })
}

/// A variable, what somebody else has in it, and what is set.
fn cases() -> impl Strategy<Value = (Variable, [String; 3], (&'static str, String, &'static str))> {
    prop::sample::select(&Variable::ALL[..]).prop_flat_map(|variable| {
        let part = || foreign(variable);
        (Just(variable), [part(), part(), part()], ours(variable))
    })
}

/// Words that are not of `known`.
fn others(known: &Known, text: &str) -> Vec<String> {
    let words: Vec<String> =
        known.variable.split(text).unwrap().into_iter().map(|word| text[word.range].to_owned()).collect();
    let texts: Vec<String> = known.variable.split(text).unwrap().into_iter().map(|word| word.text).collect();
    let found = known.find(&texts);
    words
        .into_iter()
        .enumerate()
        .filter(|(at, _)| !found.iter().any(|f| f.words.contains(at)))
        .map(|(_, word)| word)
        .collect()
}

proptest! {
    #[test]
    fn setting_touches_one_option_and_goes_back_to_the_byte((variable, parts, (token, value, spelled)) in cases(), count in 0_usize..3) {
        let [a, b, c] = parts;
        let text = match count {
            0 => a,
            1 => format!("{a} {spelled} {b}"),
            _ => format!("{a} {spelled} {b} {spelled} {c}"),
        };
        prop_assume!(variable.split(&text).is_ok());
        let known = option(token);
        prop_assume!(count > 0 || known.find(&variable.split(&text).unwrap().iter().map(|w| w.text.clone()).collect::<Vec<_>>()).is_empty());
        let word = word(token, &value);
        let wanted: [Wanted<'_>; 1] = [(known, &word)];
        let after = set(variable, &text, &wanted).unwrap();
        // It is there once, and says what was asked for.
        let words: Vec<String> = variable.split(&after).unwrap().into_iter().map(|word| word.text).collect();
        let found = known.find(&words);
        prop_assert_eq!(found.len(), 1, "{:?} -> {:?}", text, after);
        prop_assert_eq!(known.read(&found[0].value), Value::parse(known.value_type(), &value).ok());
        // Nothing else has changed, in no order and no quoting.
        prop_assert_eq!(others(known, &text), others(known, &after), "{:?} -> {:?}", text, after);
        prop_assert_eq!(set(variable, &after, &wanted).unwrap(), after.clone(), "once is as good as twice");
        prop_assert_eq!(restore(variable, &after, &text, &wanted).unwrap(), text.clone());
        // With what others have added since.
        let more = format!("{after} --new=1");
        let back = restore(variable, &more, &text, &wanted).unwrap();
        let was: Vec<String> = others(known, &text).into_iter().chain(["--new=1".to_owned()]).collect();
        prop_assert_eq!(others(known, &back), was);
        // And set back by hand.
        if let Some(was) = find_text(known, &text).unwrap() {
            let again = set(variable, &after, &[(known, &was)]).unwrap();
            if count == 1 {
                prop_assert_eq!(again, text);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_every_text_comes_back(text in "\\PC{0,200}|[-'\" \\\\wtXmx=4]{0,60}", value in 1_u32..9) {
        for variable in Variable::ALL {
            for token in tokens().filter(|token| option(token).variable == variable && option(token).value_type() == ValueType::Integer) {
                let word = word(token, &value.to_string());
                let wanted: [Wanted<'_>; 1] = [(option(token), &word)];
                if let Ok(after) = set(variable, &text, &wanted) {
                    prop_assert_eq!(set(variable, &after, &wanted), Ok(after.clone()));
                    prop_assert_eq!(restore(variable, &after, &text, &wanted), Ok(text.clone()));
                }
            }
        }
    }
}

#[test]
fn however_often_an_option_is_there_it_is_there_once_afterwards() {
    let most = known("-Xmx").unwrap();
    for before in
        ["-Xmx1g  -Xmx2g -Xmx3g", "-Xmx1g                    -Xmx2g -Xmx3g", "-Da -Xmx1g\n-Xmx2g\t-Xmx3g -Xmx4g -Db"]
    {
        let after = set(JavaToolOptions, before, &[(most, "-Xmx9g")]).unwrap();
        assert_eq!(
            after.split_ascii_whitespace().filter(|word| word.starts_with("-Xmx")).collect::<Vec<_>>(),
            ["-Xmx9g"]
        );
        assert_eq!(restore(JavaToolOptions, &after, before, &[(most, "-Xmx9g")]).unwrap(), before);
        // Somebody else has changed the text meanwhile, and there was none of it before.
        let rest = restore(JavaToolOptions, before, "", &[(most, "-Xmx9g")]).unwrap();
        assert!(!rest.contains("-Xmx"), "{rest:?}");
    }
}
