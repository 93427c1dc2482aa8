//! The commands that look at a cluster: what they print, and their exit codes.

use std::{env, fs};

use serde_json::{Value, json};

use crate::{
    golden::{assert_golden, transcript},
    here,
    world::{World, condition, env_of, env_var, merge, policy, pool_policy, with_world, workload},
};

/// What a command said, with everything left out that differs from run to run.
struct Said {
    text: String,
    code: i32,
}

impl World {
    /// Runs the command line in the namespace, whatever its exit code.
    fn says_about(&self, arguments: &[&str], input: &str) -> Said {
        let mut all = arguments.to_vec();
        all.extend(["--namespace", &self.namespace]);
        let output = self.cluster.run(env!("CARGO_BIN_EXE_trimtab"), &all, input);
        let code = output.status.code().expect("an exit code");
        let text = transcript("trimtab", arguments, &output) + "\n";
        Said { text: masked(&text.replace(&self.namespace, "shop")), code }
    }

    /// `plan -o json` of manifests, on the cluster or not.
    fn report(&self, manifests: &Value, flags: &[&str]) -> Value {
        let mut all = vec!["plan", "--all", "-o", "json", "-f", "-", "--namespace", &self.namespace];
        all.extend(flags);
        let output = self.cluster.run(env!("CARGO_BIN_EXE_trimtab"), &all, &manifests.to_string());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Ages become `AGE`; columns are two blanks apart, because the width of an age differs.
fn masked(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(['(', ')', ',']);
        let number = ['s', 'm', 'h', 'd'].iter().find_map(|unit| bare.strip_suffix(*unit));
        let is_age = number.is_some_and(|number| number.parse::<u64>().is_ok());
        if is_age { word.replace(bare, "AGE") } else { word.to_owned() }
    };
    let line = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        let columns = line.trim_start().split("  ").map(str::trim).filter(|column| !column.is_empty());
        let columns: Vec<_> = columns.map(|column| column.split(' ').map(word).collect::<Vec<_>>().join(" ")).collect();
        format!("{}{}\n", " ".repeat(indent), columns.join("  "))
    };
    text.lines().map(line).collect()
}

#[track_caller]
fn golden(name: &str, said: &[Said]) {
    let text: String = said.iter().map(|said| said.text.as_str()).collect();
    assert_golden(&format!("tests/golden/cli/{name}.txt"), &text);
}

#[test]
fn golden_status_explain_and_plan_of_a_governed_workload() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &env_var("OTHER", "1"), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        // The history is entered with the status that says how the rollout ended.
        world
            .until("performancepolicies", "p", "the history knows the change", |policy| {
                policy["status"]["history"].as_array().is_some_and(|history| !history.is_empty())
            })
            .await;
        let at_rest = [
            world.says_about(&["status"], ""),
            world.says_about(&["status", "p"], ""),
            world.says_about(&["explain", "deploy/api"], ""),
            world.says_about(&["explain", "deploy/other"], ""),
            world.says_about(&["plan", "--live", "-f", "-"], &pool_policy("p", 20).to_string()),
            world.says_about(&["plan", "--live", "-f", "-"], &pool_policy("p", 30).to_string()),
            world.says_about(&["status", "q"], ""),
        ];
        assert_eq!(at_rest.each_ref().map(|said| said.code), [0, 0, 0, 1, 0, 1, 2]);
        golden("live-at-rest", &at_rest);

        let mut astray = pool_policy("q", 5);
        merge(&mut astray, &json!({"spec": {"target": {"name": "nowhere"}}}));
        world.apply(&astray);
        world.says("q", "Ready", "False", "NoTargets").await;
        let not_ready = [world.says_about(&["status"], ""), world.says_about(&["status", "q"], "")];
        assert_eq!(not_ready.each_ref().map(|said| said.code), [1, 1]);
        golden("live-not-ready", &not_ready);
    });
}

#[test]
fn golden_a_suspended_policy_is_planned_as_suspended() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let suspended = [
            world.says_about(&["suspend", "p", "--reason", "night shift"], ""),
            world.says_about(&["plan", "--live", "-f", "-"], &pool_policy("p", 30).to_string()),
            world.says_about(&["resume", "p"], ""),
            world.says_about(&["plan", "--live", "-f", "-"], &pool_policy("p", 30).to_string()),
        ];
        assert_eq!(suspended.each_ref().map(|said| said.code), [0, 1, 0, 1]);
        golden("live-suspended", &suspended);
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("20"), "plan only looks");
    });
}

#[test]
fn golden_a_rollback_pins_until_it_is_ended_or_the_policy_changes() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let pool = async || env_of(&world.deployment().await, "DB_POOL_SIZE");
        let told = async |revision: i64| {
            let what = format!("revision {revision} has come to its end");
            let is_told = |policy: &Value| {
                let newest = &policy["status"]["history"][0];
                newest["revision"] == revision && newest["verdict"] == "Applied"
            };
            world.until("performancepolicies", "p", &what, is_told).await
        };
        world.apply(&pool_policy("p", 20));
        told(1).await;
        world.apply(&pool_policy("p", 30));
        let before = told(2).await;

        let mut said = vec![
            world.says_about(&["history", "p"], ""),
            world.says_about(&["rollback", "p", "--to", "7"], ""),
            world.says_about(&["rollback", "p", "--to", "1", "--dry-run"], ""),
        ];
        let dry = world.get("performancepolicies", "p").await;
        assert_eq!(
            dry["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
            "a dry run stores nothing"
        );
        said.push(world.says_about(&["rollback", "p", "--to", "1", "--reason", "p95 has doubled"], ""));
        let back = told(3).await;
        assert_eq!(pool().await.as_deref(), Some("20"));
        assert_eq!(condition(&back, "RollbackPinned")["status"], "True", "{back:#}");
        assert_eq!(back["metadata"]["generation"], before["metadata"]["generation"], "an annotation is no newer spec");
        said.push(world.says_about(&["history", "p"], ""));
        said.push(world.says_about(&["explain", "deploy/api"], ""));
        said.push(world.says_about(&["resume", "p", "--rollback"], ""));
        told(4).await;
        assert_eq!(pool().await.as_deref(), Some("30"));

        // A newer spec ends it, too, although its annotations stay.
        said.push(world.says_about(&["rollback", "p", "--to", "3"], ""));
        told(5).await;
        assert_eq!(pool().await.as_deref(), Some("20"));
        world.apply(&pool_policy("p", 31));
        let after = told(6).await;
        assert_eq!(pool().await.as_deref(), Some("31"));
        assert!(after["metadata"]["annotations"]["trimtab.dev/rollback-to"].is_string(), "{after:#}");
        assert_eq!(condition(&after, "RollbackPinned"), &Value::Null, "{after:#}");
        assert_eq!(said.iter().map(|said| said.code).collect::<Vec<_>>(), [0, 2, 0, 0, 0, 0, 0, 0]);
        golden("live-rollback", &said);

        // By hand: what cannot be read is told, and nothing is written.
        world.kubectl(&["annotate", "--overwrite", "performancepolicy", "p", "trimtab.dev/rollback-to=yesterday"]);
        let refused = world.says("p", "RollbackPinned", "False", "RollbackRefused").await;
        assert_eq!(condition(&refused, "Applied")["reason"], "RollbackRefused", "{refused:#}");
        world.trimtab(&["resume", "p", "--rollback"]);
        world.says("p", "Applied", "True", "Applied").await;
        assert_eq!(pool().await.as_deref(), Some("31"));
    });
}

/// A policy in mode Recommend for the Deployment of its name, so that nothing changes between two plans.
fn looking(name: &str, spec: &Value) -> Value {
    let mut all = policy(name, spec);
    merge(&mut all, &json!({"spec": {"mode": "Recommend", "target": {"name": name}}}));
    all
}

#[test]
fn a_plan_from_files_is_the_plan_on_the_cluster_once_they_are_applied() {
    with_world(here!(), async |world| {
        let take_over = json!({"onConflict": "TakeOver"});
        let pool = |extra: &Value| {
            let mut size = json!({"value": 10, "env": "DB_POOL_SIZE"});
            merge(&mut size, extra);
            json!({"pools": [{"name": "db", "size": size, "overflow": {"value": 4, "env": "DB_MAX_OVERFLOW"}}]})
        };
        let resources = |extra: &Value| {
            let mut list = json!({"container": "app", "requests": {"cpu": "20m"}, "limits": {"memory": "64Mi"}});
            merge(&mut list, extra);
            json!({"resources": [list]})
        };
        let replicas = |extra: &Value| {
            let mut replicas = json!({"min": 2, "max": 3});
            merge(&mut replicas, extra);
            json!({"replicas": replicas})
        };
        let key = json!({
            "caches": [{"name": "c", "ttl": {"value": "60s", "as": "seconds", "configMapKey": {"name": "settings", "key": "ttl"}}}],
        });
        let requests = json!({"resources": {"requests": {"cpu": "10m"}}});
        let autoscaler = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "scaled"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"}, "maxReplicas": 5,
            },
        });
        // Who owns a variable, a part of the resources, a default that nobody wrote, a bound, a key: each as it is and taken over.
        let manifests = json!({"apiVersion": "v1", "kind": "List", "items": [
            workload("env", &env_var("DB_POOL_SIZE", "5"), &json!({})), looking("env", &pool(&json!({}))),
            workload("env-taken", &env_var("DB_POOL_SIZE", "5"), &json!({})), looking("env-taken", &pool(&take_over)),
            workload("requests", &requests, &json!({})), looking("requests", &resources(&json!({}))),
            workload("requests-taken", &requests, &json!({})), looking("requests-taken", &resources(&take_over)),
            workload("replicas", &json!({}), &json!({})), looking("replicas", &replicas(&json!({}))),
            workload("replicas-taken", &json!({}), &json!({})), looking("replicas-taken", &replicas(&take_over)),
            workload("scaled", &json!({}), &json!({})), autoscaler, looking("scaled", &replicas(&json!({}))),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"ttl": "30"}},
            workload("key", &json!({}), &json!({})), looking("key", &key),
        ]});
        let offline = world.report(&manifests, &["--operator-namespace=trimtab-system"]);
        world.apply(&manifests);
        let live = world.report(&manifests, &["--live"]);
        // The class of the cluster allows what the built-in limits allow, and is not part of the report.
        assert_eq!(offline, live, "offline:\n{offline:#}\non the cluster:\n{live:#}");
        let conflicts = |name: &str| {
            let policies = live["policies"].as_array().expect("policies").iter();
            let mut found = policies.filter(|policy| policy["name"] == name);
            found.next().map(|policy| policy["targets"][0]["conflicts"].as_array().map_or(0, Vec::len))
        };
        let counts = ["env", "env-taken", "requests", "requests-taken", "replicas", "replicas-taken", "scaled", "key"]
            .map(|name| conflicts(name).unwrap_or_else(|| panic!("no plan for {name}: {live:#}")));
        // What a manifest does not mention, nobody insists on, although whoever applied it owns the default.
        assert_eq!(counts, [1, 0, 1, 0, 0, 0, 1, 1], "{live:#}");

        // The controller says the same.
        let seen = world.says("env", "Conflicted", "True", "FieldManagerConflict").await;
        assert!(seen.to_string().contains("kubectl-client-side-apply"), "{seen:#}");
    });
}

#[test]
fn golden_members_of_a_namespace_may_look_without_rights_on_classes() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        world.kubectl(&["create", "serviceaccount", "member"]);
        let account = format!("--serviceaccount={}:member", world.namespace);
        world.kubectl(&["create", "rolebinding", "member", "--clusterrole=view", &account]);
        let token = world.kubectl(&["create", "token", "member"]);

        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("kubeconfig");
        fs::copy(env::var_os("KUBECONFIG").expect("KUBECONFIG, which a cluster of cluster.sh sets"), &file)
            .expect("copy the kubeconfig");
        let flag = format!("--kubeconfig={}", file.display());
        world.kubectl(&[&flag, "config", "set-credentials", "member", &format!("--token={}", token.trim())]);
        world.kubectl(&[&flag, "config", "set-context", "--current", "--user=member"]);

        let mut named = pool_policy("p", 30);
        merge(&mut named, &json!({"spec": {"className": "standard"}}));
        let mut said = [
            world.says_about(&["status", &flag], ""),
            world.says_about(&["explain", "deploy/api", &flag], ""),
            world.says_about(&["plan", "--live", "-f", "-", &flag], &named.to_string()),
            world.says_about(&["status", "--all-namespaces", &flag], ""),
        ];
        for said in &mut said {
            said.text = said.text.replace(&flag, "--kubeconfig=FILE");
        }
        assert_eq!(said.each_ref().map(|said| said.code), [0, 0, 1, 2]);
        golden("live-member", &said);
    });
}
