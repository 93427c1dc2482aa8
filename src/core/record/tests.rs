use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::{facts::Operation, ownership::any_path};

fn container() -> FieldPath {
    FieldPath::of(&["spec", "template", "spec", "containers"]).key("name", "api")
}

fn env(name: &str) -> FieldPath {
    container().field("env").key("name", name).field("value")
}

fn sample() -> Record {
    Record {
        uid: "u-1".into(),
        generation: 3,
        applied: "c1a1".into(),
        deletion_policy: DeletionPolicy::Restore,
        paths: BTreeMap::from([
            (env("A"), Some(json!("1"))),
            (env("B"), None),
            (container().field("resources").field("limits").field("cpu"), Some(json!(2))),
            (container().field("args"), Some(json!(["--x"]))),
            (
                container()
                    .field("ports")
                    .keys([("containerPort", json!(80)), ("protocol", json!("TCP"))])
                    .field("hostPort"),
                None,
            ),
        ]),
        previous: BTreeMap::from([
            (env("A"), Some(json!("1"))),
            (env("B"), Some(json!("5"))),
            (env("C"), Some(json!("6"))),
        ]),
        documents: BTreeMap::from([(
            "config.yaml#/a/b".into(),
            DocumentBaseline { was: Some("\"1\"".into()), now: "2".into(), before: None },
        )]),
        taken: vec![Taking { manager: "helm".into(), at: Instant::from_millis(1) }],
        keys: BTreeMap::from([(
            "pool.conf".into(),
            KeyStamp { now: "0f".into(), before: Some(Before { generation: 3, ours: Some("0e".into()) }) },
        )]),
        owners: vec![FormerOwner {
            manager: "kubectl".into(),
            operation: Operation::Apply,
            fields: [FieldPath::of(&["data", "config.yaml"])].into_iter().collect(),
        }],
    }
}

#[test]
fn the_text_is_compact_and_readable() {
    let text = sample().encode().unwrap();
    assert_eq!(
        text,
        r##"{"v":1,"uid":"u-1","gen":3,"deletionPolicy":"Restore","paths":{"/spec/template/spec/containers:api":{"/args":{"#":["--x"]},"/env":{":A=":["1"],":B=":[null,"5"],":C=":[0,0,"6"]},"/ports[{\"containerPort\":80,\"protocol\":\"TCP\"}]/hostPort":null,"/resources/limits/cpu":2}},"applied":"c1a1","documents":{"config.yaml#/a/b":["\"1\"","2"]},"taken":[["helm",1]],"keys":{"pool.conf":["0f","3","0e"]},"owners":[["kubectl","Apply",{"f:data":{"f:config.yaml":{}}}]]}"##
    );
    assert_eq!(Record::decode(&text), Ok(sample()));
}

#[test]
fn a_newer_version_is_told_from_damage() {
    assert_eq!(Record::decode(r#"{"v":2,"whatever":true}"#), Err(DecodeError::Version(2)));
    for text in ["", "{}", "null", r#"{"v":1}"#, r#"{"v":"1"}"#, &sample().encode().unwrap().replace("/spec", "spec")] {
        assert!(matches!(Record::decode(text), Err(DecodeError::Garbage(_))), "{text}");
    }
    for paths in [
        r#"{"/a":[]}"#,
        r#"{"/a":[1,2,3,4]}"#,
        r#"{"/a":[[1]]}"#,
        r#"{"/a~9":1}"#,
        r#"{"/a[":1}"#,
        r#"{"/a[-1]":1}"#,
        r#"{"/a[true]":1}"#,
        r#"{"/a[{}":1}"#,
        r#"{"/a":[{}]}"#,
    ] {
        let text = format!(r#"{{"v":1,"uid":"","gen":0,"deletionPolicy":"Retain","paths":{paths}}}"#);
        assert!(matches!(Record::decode(&text), Err(DecodeError::Garbage(_))), "{text}");
    }
}

/// Knobs as real applications name them: 18 characters on average, values of 1 to 6.
fn knobs(n: usize) -> Record {
    let words =
        ["DB_POOL_SIZE", "CACHE_TTL_SECONDS", "HTTP_MAX_CONNECTIONS", "WORKER_CONCURRENCY", "QUEUE_BATCH_TIMEOUT_MS"];
    let name = |i: usize| format!("{}_{}", words[i % words.len()], i / words.len());
    Record {
        uid: "3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f".into(),
        generation: 17,
        paths: (0..n).map(|i| (env(&name(i)), Some(json!((i * 997).to_string())))).collect(),
        previous: (0..n).map(|i| (env(&name(i)), Some(json!((i * 991).to_string())))).collect(),
        ..Record::default()
    }
}

#[test]
fn sixty_environment_knobs_fit_with_baseline_and_previous_value() {
    let bytes = knobs(60).encode().unwrap().len();
    let most = (1..LIMIT).find(|n| knobs(*n).encode().is_err()).unwrap() - 1;
    println!("60 knobs take {bytes} bytes; {most} fit");
    assert!(bytes < 3 * LIMIT / 4 + LIMIT / 8, "{bytes}");
    let too_large = knobs(most + 1).encode().unwrap_err();
    assert!(too_large.bytes > LIMIT);
}

#[test]
fn records_are_found_by_the_policy_that_keeps_them() {
    let text = sample().encode().unwrap();
    let annotations = [
        ("a", "x"),
        ("trimtab.dev/baseline.p", text.as_str()),
        ("trimtab.dev/baseline.q", "?"),
        ("trimtab.dev/z", "y"),
    ];
    let meta = Meta { annotations: annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into(), ..Meta::default() };
    assert_eq!(Record::of(&meta, "p"), Some(Ok(sample())));
    assert!(matches!(Record::of(&meta, "q"), Some(Err(DecodeError::Garbage(_)))));
    assert_eq!(Record::of(&meta, "r"), None);
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from)
    ];
    scalar.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..3).prop_map(|m| json!(m)),
        ]
    })
}

fn any_field() -> impl Strategy<Value = FieldPath> {
    let special = prop_oneof![
        "[~/:=\\[#.]{0,4}".prop_map(|s| FieldPath::of(&["a"]).field(&s)),
        any::<String>().prop_map(|s| container().key("name", s))
    ];
    prop_oneof![3 => any_path(), 1 => special]
}

fn before() -> impl Strategy<Value = Option<Before>> {
    proptest::option::of(
        (any::<i64>(), any::<Option<String>>()).prop_map(|(generation, ours)| Before { generation, ours }),
    )
}

prop_compose! {
    fn record()(
        uid in any::<String>(), generation in any::<i64>(), restore in any::<bool>(),
        paths in proptest::collection::btree_map(any_field(), proptest::option::of(value()), 0..8),
        previous in proptest::collection::btree_map(any_field(), proptest::option::of(value()), 0..8),
        documents in proptest::collection::btree_map(any::<String>(), (any::<Option<String>>(), any::<String>(), before()), 0..3),
        taken in proptest::collection::vec((any::<String>(), any::<i64>()), 0..3),
        keys in proptest::collection::btree_map(any::<String>(), (any::<String>(), before()), 0..3),
        owners in proptest::collection::vec((any::<String>(), any::<bool>(), proptest::collection::vec(any_path(), 1..3)), 0..3),
        repeat in any::<bool>(),
    ) -> Record {
        let mut previous = previous;
        if repeat {
            previous.extend(paths.clone());
        }
        Record {
            applied: if repeat { format!("{generation:x}") } else { String::new() },
            uid, generation, deletion_policy: if restore { DeletionPolicy::Restore } else { DeletionPolicy::Retain }, paths, previous,
            documents: documents.into_iter().map(|(at, (was, now, before))| (at, DocumentBaseline { was, now, before })).collect(),
            taken: taken.into_iter().map(|(manager, at)| Taking { manager, at: Instant::from_millis(at) }).collect(),
            keys: keys.into_iter().map(|(key, (now, before))| (key, KeyStamp { now, before })).collect(),
            owners: owners.into_iter().map(|(manager, apply, fields)| FormerOwner {
                manager, operation: if apply { Operation::Apply } else { Operation::Update }, fields: fields.into_iter().collect(),
            }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn every_record_survives_its_text(record in record()) {
        let text = codec::encode(&record);
        prop_assert_eq!(&codec::encode(&record.clone()), &text);
        prop_assert_eq!(Record::decode(&text), Ok(record));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), record in record(), at in any::<prop::sample::Index>(), c in any::<char>()) {
        let _ = Record::decode(&text);
        let mut chars: Vec<char> = codec::encode(&record).chars().collect();
        let i = at.index(chars.len());
        chars[i] = c;
        let _ = Record::decode(&chars.iter().collect::<String>());
    }
}
