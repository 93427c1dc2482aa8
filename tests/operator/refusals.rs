//! What the operator refuses: it says why in one word, and writes nothing.

use serde_json::{Value, json};

use crate::{
    audit::told,
    cluster::eventually,
    here,
    operator::{NAMESPACE, RELEASE, processes},
    world::{
        PATIENCE, World, condition, env_of, idle, merge, policy, pool_policy, traces, with_world, with_world_alone,
        workload,
    },
};

fn setting(name: &str, knob: &Value) -> Value {
    let mut setting = json!({"name": name, "value": 20});
    merge(&mut setting, knob);
    policy(name, &json!({"settings": [setting]}))
}

fn document(name: &str, config_map: &str, key: &str, format: &str, at: &str) -> Value {
    policy(
        name,
        &json!({
            "files": [{"name": "f", "configMap": config_map, "key": key, "format": format}],
            "settings": [{"name": "s", "value": 20, "path": {"file": "f", "at": at}}],
        }),
    )
}

fn created(name: &str, config_map: &str, key: &str, format: &str, at: &str) -> Value {
    let mut policy = document(name, config_map, key, format, at);
    policy["spec"]["settings"][0]["path"]["create"] = true.into();
    policy
}

fn on(mut policy: Value, target: &Value) -> Value {
    policy["spec"]["target"] = target.clone();
    policy
}

fn config_maps(world: &World) {
    let fixed = json!({"data": {"c.yaml": "limit: 1\n"}});
    let mut immutable = fixed.clone();
    merge(&mut immutable, &json!({"immutable": true}));
    let broken = json!({"data": {
        "twice.yaml": "limit: 1\nlimit: 2\n", "anchors.yaml": "a: &x 1\nlimit: *x\n", "no.yaml": "a: [1\n",
        "bom.yaml": "\u{feff}limit: 1\n", "no.json": "{\"limit\": }", "twice.toml": "limit = 1\nlimit = 2\n",
        "types.toml": "limit = 'many'\n", "twice.ini": "[s]\nlimit = 1\nlimit = 2\n", "no.ini": "[s\nlimit = 1\n",
        "twice.properties": "limit=1\nlimit: 2\n", "no.properties": "limit=\\u00g0\n", "no.conf": "limit {\n 1\n}\n",
        "clear.conf": "limit 'it''s'\n", "s.ini": "[s]\n",
        "types.yaml": "map: {a: 1}\nlist: [1]\nword: many\nlimit: 1\n",
    }});
    for (name, data) in [("fixed", &immutable), ("hashed-4m8fc9kd2t", &fixed), ("broken", &broken)] {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        merge(&mut map, data);
        world.apply(&map);
    }
    // As large as can be, and so too large for the annotation that `apply` writes.
    let large = "#".repeat((1 << 20) - "\nlimit: 1\n".len()) + "\nlimit: 1\n";
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"c.yaml": large}});
    world.try_kubectl(&["create", "-f", "-"], &map.to_string()).unwrap();
}

fn workloads(world: &World) {
    let main = json!({
        "args": ["--size=$(REFERRED)"],
        "resources": {"limits": {"memory": "64Mi"}},
        "env": [
            {"name": "FROM_FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "REFERRED", "value": "1"},
        ],
    });
    world.run_workload(&workload("api", &main, &json!({})));
    let duplicate = json!({"env": [{"name": "TWICE", "value": "1"}, {"name": "TWICE", "value": "2"}]});
    let twice = workload("twice", &duplicate, &json!({}));
    world.try_kubectl(&["create", "-f", "-"], &twice.to_string()).unwrap();
    let mut pair = workload("pair", &json!({}), &json!({}));
    let containers = pair["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    let mut second = containers[0].clone();
    second["name"] = "second".into();
    containers.push(second);
    world.apply(&pair);
    for name in ["twin-a", "twin-b"] {
        let mut twin = idle(name, &json!({}));
        merge(&mut twin, &json!({"metadata": {"labels": {"twin": "yes"}}}));
        world.apply(&twin);
    }
}

#[test]
fn every_refusal_has_its_word_and_writes_nothing() {
    with_world(here!(), async |world| {
        config_maps(world);
        workloads(world);
        let uid = world.get("configmaps", "broken").await["metadata"]["uid"].clone();
        let mut owned = workload("owned", &json!({}), &json!({}));
        merge(
            &mut owned,
            &json!({"metadata": {"ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "broken", "uid": uid, "controller": true},
            ]}}),
        );
        world.apply(&owned);
        let class = format!("narrow-{}", world.namespace);
        let class = class.chars().take(60).collect::<String>();
        world.apply(&json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass", "metadata": {"name": class},
            "spec": {"limits": {"targets": 1}},
        }));
        let mark = world.mark();

        let deployment = |name: &str| json!({"kind": "Deployment", "name": name});
        let mut too_many = on(
            setting("too-many", &json!({"env": "SIZE"})),
            &json!({"kind": "Deployment", "selector": {"matchLabels": {"twin": "yes"}}}),
        );
        too_many["spec"]["className"] = class.into();
        let mut no_class = setting("no-class", &json!({"env": "SIZE"}));
        no_class["spec"]["className"] = "nobody-made-it".into();
        let cases = [
            (on(setting("no-target", &json!({"env": "SIZE"})), &deployment("nowhere")), "NoTargets"),
            (too_many, "TooManyTargets"),
            (no_class, "ClassNotFound"),
            (on(setting("controlled", &json!({"env": "SIZE"})), &deployment("owned")), "TargetControlled"),
            (setting("forbidden", &json!({"env": "LD_PRELOAD"})), "EnvironmentNameForbidden"),
            (setting("proxy", &json!({"env": "HTTPS_PROXY"})), "EnvironmentNameForbidden"),
            (setting("from-field", &json!({"env": "FROM_FIELD"})), "EnvFromSource"),
            (setting("referred", &json!({"env": "REFERRED", "onConflict": "TakeOver"})), "EnvReferenced"),
            (
                on(setting("twice", &json!({"env": "TWICE", "onConflict": "TakeOver"})), &deployment("twice")),
                "EnvDuplicate",
            ),
            (setting("no-container", &json!({"env": "SIZE", "container": "nobody"})), "ContainerNotFound"),
            (on(setting("which", &json!({"env": "SIZE"})), &deployment("pair")), "ContainerAmbiguous"),
            (
                policy("bounds", &json!({"resources": [{"container": "app", "requests": {"memory": "1Gi"}}]})),
                "BoundsConflictWithTarget",
            ),
            (document("no-map", "nowhere", "c.yaml", "YAML", "/limit"), "ConfigMapNotFound"),
            (document("immutable", "fixed", "c.yaml", "YAML", "/limit"), "ConfigMapImmutable"),
            (document("hashed", "hashed-4m8fc9kd2t", "c.yaml", "YAML", "/limit"), "ConfigMapContentHashed"),
            (document("no-key", "broken", "absent.yaml", "YAML", "/limit"), "KeyPathNotFound"),
            (document("no-path", "broken", "types.yaml", "YAML", "/nothing"), "KeyPathNotFound"),
            (document("a-map", "broken", "types.yaml", "YAML", "/map"), "KeyTypeMismatch"),
            (document("a-list", "broken", "types.yaml", "YAML", "/list"), "KeyTypeMismatch"),
            (document("a-word", "broken", "types.yaml", "YAML", "/word"), "KeyTypeMismatch"),
            (document("dup-keys", "broken", "twice.yaml", "YAML", "/limit"), "ConfigUnparseable"),
            (document("anchors", "broken", "anchors.yaml", "YAML", "/limit"), "ConfigUnparseable"),
            (document("byte-order", "broken", "bom.yaml", "YAML", "/limit"), "ConfigUnparseable"),
            (document("broken-yaml", "broken", "no.yaml", "YAML", "/limit"), "ConfigUnparseable"),
            (document("broken-json", "broken", "no.json", "JSON", "/limit"), "ConfigUnparseable"),
            (document("broken-toml", "broken", "no.json", "TOML", "/limit"), "ConfigUnparseable"),
            (document("dup-toml", "broken", "twice.toml", "TOML", "/limit"), "ConfigUnparseable"),
            (document("word-toml", "broken", "types.toml", "TOML", "/limit"), "KeyTypeMismatch"),
            (document("broken-ini", "broken", "no.ini", "INI", "s/limit"), "ConfigUnparseable"),
            (document("dup-ini", "broken", "twice.ini", "INI", "s/limit"), "ConfigUnparseable"),
            (document("broken-properties", "broken", "no.properties", "Properties", "limit"), "ConfigUnparseable"),
            (document("dup-properties", "broken", "twice.properties", "Properties", "limit"), "ConfigUnparseable"),
            (document("no-key-properties", "broken", "types.toml", "Properties", "other"), "KeyPathNotFound"),
            (document("broken-conf", "broken", "no.conf", "Conf", "limit"), "ConfigUnparseable"),
            (document("unclear-conf", "broken", "clear.conf", "Conf", "limit"), "KeyTypeMismatch"),
            (created("no-section", "broken", "s.ini", "INI", "t/limit"), "KeyPathNotFound"),
            (document("too-large", "large", "c.yaml", "YAML", "/limit"), "ConfigTooLarge"),
        ];
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": cases.iter().map(|(p, _)| p).collect::<Vec<_>>()});
        world.apply(&list);
        for (policy, reason) in &cases {
            world.says(policy["metadata"]["name"].as_str().unwrap(), "Ready", "False", reason).await;
        }
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
    });
}

#[test]
fn system_namespaces_and_the_operator_itself_are_protected() {
    with_world(here!(), async |world| {
        world.within("kube-system").apply(&idle("protected", &json!({})));
        for (namespace, target) in [("kube-system", "protected"), (NAMESPACE, RELEASE)] {
            let there = world.within(namespace);
            let before = there.get("deployments", target).await;
            let mark = world.mark();
            there.apply(&on(pool_policy("protected", 20), &json!({"kind": "Deployment", "name": target})));
            let refused = there.says("protected", "Ready", "False", "TargetProtected").await;
            let message = condition(&refused, "Ready")["message"].as_str().unwrap_or_default();
            assert!(message.contains(&format!("\"{namespace}\" is protected")), "{message}");
            world.caught_up().await;
            let writes = mark.target_writes(namespace);
            assert_eq!(writes, [], "{}", told(&writes));
            let after = there.get("deployments", target).await;
            assert_eq!(after["spec"], before["spec"]);
            assert_eq!(traces(&after), Vec::<String>::new());
            there.kubectl(&["delete", "performancepolicy", "protected"]);
        }
        world.within("kube-system").kubectl(&["delete", "deployment", "protected"]);
    });
}

#[test]
fn a_field_that_does_not_exist_is_refused_and_where_it_is_dropped_nothing_is_written() {
    with_world(here!(), async |world| {
        world.apply(&idle("api", &json!({})));
        let misspelt = policy("p", &json!({"poools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"}}]}));
        let said = world.try_apply(&misspelt, &[]).unwrap_err();
        assert!(said.contains("unknown field \"spec.poools\""), "{said}");
        // Steps of a knob come with tuning.
        let step =
            policy("p", &json!({"pools": [{"name": "db", "size": {"value": 20, "step": 0, "env": "DB_POOL_SIZE"}}]}));
        let said = world.try_apply(&step, &[]).unwrap_err();
        assert!(said.contains("unknown field \"spec.pools[0].size.step\""), "{said}");
        assert!(world.try_get("performancepolicies", "p").await.is_none());

        let mark = world.mark();
        world.try_apply(&misspelt, &["--validate=ignore"]).unwrap();
        let served = world.says("p", "Ready", "True", "Served").await;
        assert!(served["spec"]["poools"].is_null(), "{served:#}");
        assert!(condition(&served, "Applied").is_null(), "nothing is said to be applied:\n{served:#}");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
    });
}

/// Others may store objects as large as etcd takes them; what we add to them is small.
#[test]
fn workloads_of_a_mebibyte_are_governed_like_any_other() {
    with_world(here!(), async |world| {
        let replicas = processes();
        let variables: Vec<Value> =
            (0..16).map(|n| json!({"name": format!("LARGE_{n}"), "value": "x".repeat(1 << 16)})).collect();
        // Whether such a pod can start is another matter.
        let large = idle("api", &json!({"env": variables}));
        world.try_kubectl(&["create", "-f", "-"], &large.to_string()).unwrap();
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let governed = world.deployment().await;
        assert_eq!(env_of(&governed, "DB_POOL_SIZE").as_deref(), Some("20"));
        assert_eq!(env_of(&governed, "LARGE_15").map(|text| text.len()), Some(1 << 16));
        world.delete_policy("p");
        world.until("deployments", "api", "it is released", |object| traces(object).is_empty()).await;
        assert_eq!(processes(), replicas, "the operator lives");
    });
}

#[test]
fn a_paused_deployment_waits_for_the_person_who_paused_it() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.kubectl(&["rollout", "pause", "deployment/api"]);
        let mark = world.mark();
        world.apply(&pool_policy("p", 20));
        world.says("p", "Applied", "False", "TargetPaused").await;
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        world.kubectl(&["rollout", "resume", "deployment/api"]);
        world.settled("p").await;
    });
}

/// Stored under another version's definitions, with a word that this one does not know.
#[test]
fn a_stored_policy_that_cannot_be_read_says_so_and_keeps_what_it_holds() {
    with_world_alone(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        world.caught_up().await;
        let held = world.deployment().await;
        let mark = world.mark();

        let mut definitions = trimtab::api::crds::all();
        definitions.retain(|definition| definition.spec.names.kind == "PerformancePolicy");
        let mut loose = definitions.clone();
        for version in loose.iter_mut().flat_map(|definition| &mut definition.spec.versions) {
            let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
            version.schema = Some(serde_json::from_value(schema).unwrap());
            version.selectable_fields = None;
        }
        world.cluster.install(&loose).await;
        let mut newer = pool_policy("p", 20);
        merge(&mut newer, &json!({"spec": {"mode": "Someday"}}));
        eventually(PATIENCE, "the loose definition is in force", async || world.try_apply(&newer, &[])).await;
        world.cluster.install(&definitions).await;

        let told = world.says("p", "Ready", "False", "UnsupportedVersion").await;
        assert_eq!(condition(&told, "Stalled")["status"], "True", "{told:#}");
        assert!(condition(&told, "Ready")["message"].as_str().unwrap_or_default().contains("Someday"), "{told:#}");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", crate::audit::told(&writes));
        assert_eq!(world.deployment().await["metadata"], held["metadata"]);

        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
    });
}
