use super::*;

#[track_caller]
fn place(kind: Kind, path: &str) -> Place {
    find(kind, path).unwrap_or_else(|why| panic!("{path} {why}"))
}

#[test]
fn fields_are_found_by_their_paths_and_parameters_by_their_names() {
    assert_eq!(place(Kind::Stream, "spec.placement.tags").to_string(), "spec.placement.tags");
    let dotted = place(Kind::Cluster, "spec.postgresql.parameters.pg_stat_statements.max");
    assert_eq!(dotted.members.last().map(|key| &**key), Some("pg_stat_statements.max"));
    assert_eq!(dotted.restarts(), Some("PostgreSQL restarts for it"));
    assert_eq!(place(Kind::Cluster, "spec.postgresql.parameters.work_mem").restarts(), None);
    place(Kind::Pooler, "spec.pgbouncer.parameters.default_pool_size");
}

#[test]
fn targets_take_turns_with_what_may_restart_them() {
    let parameter = |name: &str| place(Kind::Cluster, &format!("spec.postgresql.parameters.{name}")).needs_turn();
    for name in ["shared_buffers", "max_connections", "auto_explain.log_min_duration", "a_parameter_of_tomorrow"] {
        assert!(parameter(name), "{name}");
    }
    for name in ["work_mem", "max_wal_size", "enable_seqscan", "jit", "checkpoint_completion_target"] {
        assert!(!parameter(name), "{name}");
    }
    assert_eq!(RELOADED.iter().find(|name| RESTARTING.contains(name)), None);
    let others = [
        (Kind::Cluster, "spec.instances", false),
        (Kind::Pooler, "spec.instances", false),
        (Kind::Pooler, "spec.pgbouncer.poolMode", true),
        (Kind::Pooler, "spec.pgbouncer.parameters.default_pool_size", true),
        (Kind::Stream, "spec.maxMsgs", false),
        (Kind::Stream, "spec.placement.tags", false),
    ];
    for (kind, path, turn) in others {
        assert_eq!(place(kind, path).needs_turn(), turn, "{path}");
    }
}

#[test]
fn what_is_not_in_the_table_is_refused_with_what_is() {
    #[track_caller]
    fn check(kind: Kind, path: &str, says: &str) {
        let why = find(kind, path).unwrap_err();
        assert!(why.contains(says), "{path}: {why}");
    }
    check(
        Kind::Stream,
        "spec.denyPurge",
        "must be a field of a Stream that Trimtab knows: spec.name, spec.maxMsgs, spec.maxBytes,",
    );
    check(Kind::Stream, "spec.maxMsgs.x", "must be a field of a Stream");
    check(Kind::Deployment, "spec.paused", "must be a field of a Deployment");
    let parameter = |name: &str| format!("spec.postgresql.parameters.{name}");
    for name in
        ["archive_command", "shared_preload_libraries", "port", "ssl_ciphers", "recovery_target", "fsync", "hba_file"]
    {
        check(Kind::Cluster, &parameter(name), &format!("must not be {name}: "));
    }
    for name in ["", "a.b.c", "Work_Mem", "a b", "9x"] {
        check(Kind::Cluster, &parameter(name), "must end with the name of a PostgreSQL parameter in lower case");
    }
    check(Kind::Pooler, "spec.pgbouncer.parameters.auth_type", "must end with one of autodb_idle_timeout,");
}

#[test]
fn values_fit_their_field_or_are_told_what_would() {
    use ValueFormat as As;
    use ValueType as Type;
    #[track_caller]
    fn check(kind: Kind, path: &str, value: ValueType, format: Option<ValueFormat>, fits: bool) {
        let said = place(kind, path).accepts(value, format);
        assert_eq!(said.is_ok(), fits, "{path} of {value:?} as {format:?}: {said:?}");
        if let Err(why) = said {
            assert!(why.starts_with(&format!("lands in {path}, which is a")) || why.contains("which is true"), "{why}");
        }
    }
    let stream = |path: &str, value, format, fits| check(Kind::Stream, path, value, format, fits);
    stream("spec.maxMsgs", Type::Integer, None, true);
    stream("spec.maxMsgs", Type::Bytes, Some(As::Bytes), false);
    stream("spec.maxBytes", Type::Bytes, Some(As::Bytes), true);
    stream("spec.maxBytes", Type::Bytes, Some(As::Mebibytes), false);
    stream("spec.maxBytes", Type::Integer, None, true);
    stream("spec.maxAge", Type::Duration, Some(As::Go), true);
    stream("spec.maxAge", Type::Duration, Some(As::Plain), false);
    stream("spec.maxAge", Type::Integer, None, false);
    stream("spec.storage", Type::Enum, None, true);
    stream("spec.subjects", Type::Enum, None, false);
    stream("spec.subjects", Type::Enum, Some(As::List), true);
    stream("spec.allowDirect", Type::Boolean, None, true);
    stream("spec.allowDirect", Type::Boolean, Some(As::Postgres), false);
    let cluster = |value, format, fits| {
        check(Kind::Cluster, "spec.postgresql.parameters.x", value, format, fits);
    };
    cluster(Type::Bytes, Some(As::Postgres), true);
    cluster(Type::Bytes, Some(As::Go), false);
    cluster(Type::Integer, None, true);
    cluster(Type::Ratio, None, true);
    cluster(Type::Ratio, Some(As::Plain), false);
    cluster(Type::Boolean, None, false);
    check(Kind::Pooler, "spec.pgbouncer.parameters.server_lifetime", Type::Duration, Some(As::Seconds), true);
    check(Kind::Pooler, "spec.pgbouncer.parameters.server_lifetime", Type::Duration, Some(As::Postgres), false);
}

#[test]
fn values_are_written_with_the_type_that_the_object_reads() {
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a table reads best where it is made")]
    fn check(kind: Kind, path: &str, text: &str, want: Option<Json>) {
        assert_eq!(place(kind, path).json(text).ok(), want, "{path} of {text:?}");
    }
    check(Kind::Stream, "spec.maxBytes", "10737418240", Some(json!(10_737_418_240_i64)));
    check(Kind::Stream, "spec.maxMsgs", "-1", Some(json!(-1)));
    check(Kind::Stream, "spec.maxMsgs", "-2", None);
    check(Kind::Stream, "spec.maxMsgSize", "2147483648", None);
    check(Kind::Stream, "spec.replicas", "6", None);
    check(Kind::Stream, "spec.maxAge", "168h0m0s", Some(json!("168h0m0s")));
    check(Kind::Stream, "spec.maxAge", "-1s", None);
    check(Kind::Stream, "spec.storage", "disk", None);
    check(Kind::Stream, "spec.subjects", "cim.>,other.*", Some(json!(["cim.>", "other.*"])));
    check(Kind::Stream, "spec.placement.cluster", "a\nb", None);
    check(Kind::Stream, "spec.allowDirect", "true", Some(json!(true)));
    check(Kind::Cluster, "spec.postgresql.parameters.max_connections", "100", Some(json!("100")));
    check(Kind::Cluster, "spec.postgresql.parameters.x", "a' b", None);
    check(Kind::Pooler, "spec.instances", "3", Some(json!(3)));
    check(Kind::Pooler, "spec.pgbouncer.parameters.max_client_conn", "1\nauth_type=any", None);
}

#[test]
fn lowering_a_limit_is_told_from_raising_it_whatever_unlimited_is_written_as() {
    #[track_caller]
    fn check(path: &str, from: &Json, to: &Json, loses: Option<&str>) {
        let place = place(Kind::Stream, path);
        let there = |value: &Json| (!value.is_null()).then(|| value.clone());
        let (from, to) = (there(from), there(to));
        match (place.effect(from.as_ref(), to.as_ref()), loses) {
            (Effect::Harmless, None) => {}
            (Effect::Destructive(why), Some(want)) => assert_eq!(why, want),
            (effect, want) => panic!("{path} from {from:?} to {to:?}: {effect:?}, not {want:?}"),
        }
    }
    let absent = Json::Null;
    check("spec.maxMsgs", &json!(10), &json!(11), None);
    check("spec.maxMsgs", &json!(10), &json!(-1), None);
    check("spec.maxMsgs", &json!(10), &absent, None);
    check("spec.maxMsgs", &json!(0), &json!(-1), None);
    let msgs = |from: &str| format!("changing spec.maxMsgs from {from} to 10 deletes the messages beyond it");
    check("spec.maxMsgs", &json!(11), &json!(10), Some(&msgs("11")));
    for unlimited in [json!(-1), json!(0), absent.clone()] {
        check("spec.maxMsgs", &unlimited, &json!(10), Some(&msgs("unlimited")));
    }
    check("spec.maxMsgs", &json!("ten"), &json!(10), Some(&msgs("ten")));
    let age = |from: &str| format!("changing spec.maxAge from {from} to 1h0m0s deletes the messages that are older");
    check("spec.maxAge", &json!("60m"), &json!("1h0m0s"), None);
    check("spec.maxAge", &json!("1h0m0s"), &json!("0s"), None);
    check("spec.maxAge", &json!("61m"), &json!("1h0m0s"), Some(&age("61m")));
    for unlimited in [json!(""), json!("0s"), absent] {
        check("spec.maxAge", &unlimited, &json!("1h0m0s"), Some(&age("unlimited")));
    }
    check(
        "spec.discard",
        &json!("new"),
        &json!("old"),
        Some("changing spec.discard from new to old deletes old messages where new ones were refused"),
    );
    check("spec.discard", &json!("old"), &json!("new"), None);
    check("spec.retention", &json!("interest"), &json!("limits"), None);
    check(
        "spec.retention",
        &Json::Null,
        &json!("interest"),
        Some("changing spec.retention from limits to interest deletes the messages that no consumer wants"),
    );
}

#[test]
fn what_can_never_change_says_so() {
    let effect = |path: &str, from: Json, to: Json| place(Kind::Stream, path).effect(Some(&from), Some(&to));
    assert_eq!(
        effect("spec.storage", json!("memory"), json!("file")),
        Effect::Impossible(
            "spec.storage is memory and cannot become file: the storage of a stream is fixed once it is there".into()
        )
    );
    assert_eq!(effect("spec.storage", json!("file"), json!("file")), Effect::Harmless);
    assert!(matches!(effect("spec.name", json!("A"), json!("B")), Effect::Impossible(why) if why.contains("fixed")));
    assert_eq!(effect("spec.name", json!("A"), json!("A")), Effect::Harmless);
    for (from, to) in [("workqueue", "limits"), ("interest", "workqueue")] {
        let effect = effect("spec.retention", json!(from), json!(to));
        assert!(matches!(&effect, Effect::Impossible(why) if why.contains("10052")), "{effect:?}");
    }
}

#[test]
fn fewer_instances_of_a_database_lose_volumes_and_fewer_of_a_pooler_nothing() {
    let effect = |kind: Kind, from: Option<Json>| place(kind, "spec.instances").effect(from.as_ref(), Some(&json!(1)));
    let told = "changing spec.instances from 3 to 1 removes instances and their volumes".to_owned();
    assert_eq!(effect(Kind::Cluster, Some(json!(3))), Effect::Destructive(told));
    assert_eq!(effect(Kind::Cluster, None), Effect::Harmless);
    assert_eq!(effect(Kind::Pooler, Some(json!(3))), Effect::Harmless);
}

#[test]
fn tables_have_no_field_twice() {
    for kind in Kind::ALL {
        let mut paths: Vec<&str> = fields(kind).iter().map(|field| field.path).collect();
        let all = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), all, "{kind:?}");
        assert_eq!(all > 0, kind.is_foreign(), "{kind:?}");
    }
}
