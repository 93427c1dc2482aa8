//! Kernel parameters, as a running container sees them, and what nothing carries.

use serde_json::{Value, json};

use crate::{
    audit::told,
    here,
    world::{World, assert_no_trace, condition, idle, merge, policy, with_world, workload},
};

const DEFAULT_TIMEOUT: &str = "60";

/// A policy that sets kernel parameters, and what else is merged into its `kernel`.
fn kernel(name: &str, sysctls: &[(&str, &str)], more: &Value) -> Value {
    let sysctls: Vec<Value> = sysctls.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut kernel = json!({"sysctls": sysctls});
    merge(&mut kernel, more);
    policy(name, &json!({"kernel": kernel}))
}

/// A Deployment whose manifest sets kernel parameters.
fn with_sysctls(sysctls: &Value) -> Value {
    workload("api", &json!({}), &json!({"securityContext": {"sysctls": sysctls}}))
}

/// What the kernel of the pod has, its numbers separated by one blank.
fn reads(world: &World, pod: &str, name: &str) -> String {
    let text = world.inside(pod, &["cat", &format!("/proc/sys/{}", name.replace('.', "/"))]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sysctls(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["securityContext"]["sysctls"]
}

/// A class that gives leave to `sysctls`.
fn class(world: &World, sysctls: &[&str]) -> String {
    let name: String = format!("edge-{}", world.namespace).chars().take(60).collect();
    world.apply(&json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass", "metadata": {"name": name},
        "spec": {"unsafeSysctls": sysctls},
    }));
    name
}

fn of_class(mut policy: Value, class: &str) -> Value {
    policy["spec"]["className"] = class.into();
    policy
}

/// The node of the test cluster whose kubelet allows `net.core.somaxconn`, and one whose does not.
const LENIENT: &str = "node-2";
const STRICT: &str = "node-0";

fn on_node(node: &str) -> Value {
    workload("api", &json!({}), &json!({"nodeSelector": {"kubernetes.io/hostname": node}}))
}

#[test]
fn safe_sysctls_are_what_the_kernel_of_the_pod_has_and_restore_takes_them_away() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let (before, sets) = (world.deployment().await, world.replica_sets("api").await.len());
        assert_eq!(reads(world, &world.pod("api").await, "net.ipv4.tcp_fin_timeout"), DEFAULT_TIMEOUT);
        let with = |timeout| {
            let values = [("net.ipv4.tcp_fin_timeout", timeout), ("net.ipv4.ip_local_port_range", "1024 65535")];
            let mut policy = kernel("p", &values, &json!({"openFiles": 65536}));
            policy["spec"]["deletionPolicy"] = "Restore".into();
            policy
        };
        for (rollouts, timeout) in [(1, "15"), (2, "20")] {
            world.apply(&with(timeout));
            world.settled("p").await;
            let pod = world.pod("api").await;
            assert_eq!(reads(world, &pod, "net.ipv4.tcp_fin_timeout"), timeout);
            assert_eq!(reads(world, &pod, "net.ipv4.ip_local_port_range"), "1024 65535");
            assert_eq!(world.replica_sets("api").await.len(), sets + rollouts, "one rollout for the list");
        }
        let explained = world.trimtab(&["explain", "deploy/api"]);
        assert!(explained.contains("NotEnforceable: kernel.openFiles: no field of a pod sets"), "{explained}");

        world.delete_policy("p");
        world.until("deployments", "api", "the list is gone", |deployment| sysctls(deployment).is_null()).await;
        world.rolled_out("api");
        assert_eq!(reads(world, &world.pod("api").await, "net.ipv4.tcp_fin_timeout"), DEFAULT_TIMEOUT);
        let after =
            world.until("deployments", "api", "nothing of us is left", |d| crate::world::traces(d).is_empty()).await;
        assert_eq!(after["spec"]["template"]["spec"], before["spec"]["template"]["spec"]);
    });
}

#[test]
fn sysctls_of_a_manifest_are_its_owners_and_are_kept_when_they_are_taken_over() {
    with_world(here!(), async |world| {
        let theirs = json!([{"name": "net/ipv4/tcp_fin_timeout", "value": "30"}, {"name": "net.ipv4.tcp_syncookies", "value": "1"}]);
        world.run_workload(&with_sysctls(&theirs));
        let before = world.deployment().await;
        let mark = world.mark();
        world.apply(&kernel("p", &[("net.ipv4.tcp_fin_timeout", "15")], &json!({})));
        let said = world.says("p", "Conflicted", "True", "FieldManagerConflict").await;
        assert!(condition(&said, "Conflicted")["message"].as_str().unwrap().contains("sysctls of the pod is owned by"));
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));

        let values = [("net.ipv4.tcp_fin_timeout", "15"), ("net.ipv4.ip_local_port_range", "2048 65000")];
        world.apply(&kernel("p", &values, &json!({"onConflict": "TakeOver"})));
        world.settled("p").await;
        let ours = json!([
            {"name": "net/ipv4/tcp_fin_timeout", "value": "15"}, {"name": "net.ipv4.tcp_syncookies", "value": "1"},
            {"name": "net.ipv4.ip_local_port_range", "value": "2048 65000"},
        ]);
        assert_eq!(*sysctls(&world.deployment().await), ours);
        let pod = world.pod("api").await;
        assert_eq!(reads(world, &pod, "net.ipv4.tcp_fin_timeout"), "15");
        assert_eq!(reads(world, &pod, "net.ipv4.ip_local_port_range"), "2048 65000");

        // Retain leaves the list and nothing else; the owner's next apply succeeds.
        world.delete_policy("p");
        let left =
            world.until("deployments", "api", "nothing of us is left", |d| crate::world::traces(d).is_empty()).await;
        assert_eq!(*sysctls(&left), ours);
        assert_no_trace(&left);
        world.run_workload(&with_sysctls(&theirs));
        assert_eq!(sysctls(&world.deployment().await), sysctls(&before));

        let mut restore = kernel("q", &values, &json!({"onConflict": "TakeOver"}));
        restore["spec"]["deletionPolicy"] = "Restore".into();
        world.apply(&restore);
        world.settled("q").await;
        assert_eq!(*sysctls(&world.deployment().await), ours);
        world.delete_policy("q");
        let restored =
            world.until("deployments", "api", "nothing of us is left", |d| crate::world::traces(d).is_empty()).await;
        assert_eq!(*sysctls(&restored), theirs);
    });
}

#[test]
fn an_unsafe_sysctl_needs_a_class_and_a_node_that_allow_it() {
    with_world(here!(), async |world| {
        world.run_workload(&on_node(LENIENT));
        let somaxconn = |name: &str| kernel(name, &[("net.core.somaxconn", "1024")], &json!({}));
        let mark = world.mark();
        world.apply(&somaxconn("p"));
        let refused = world.says("p", "Ready", "False", "ClassForbids").await;
        let message = condition(&refused, "Ready")["message"].as_str().unwrap();
        assert!(message.contains("kernel.sysctls.net.core.somaxconn must not be set under class"), "{message}");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));

        let class = class(world, &["net.core.somaxconn"]);
        world.apply(&of_class(somaxconn("p"), &class));
        world.settled("p").await;
        assert_eq!(reads(world, &world.pod("api").await, "net.core.somaxconn"), "1024");
        world.delete_policy("p");
        world.kubectl(&["delete", "performanceclass", &class]);
    });
}

#[test]
fn an_unsafe_sysctl_that_no_node_allows_goes_back_while_the_old_pod_serves() {
    with_world(here!(), async |world| {
        world.run_workload(&on_node(STRICT));
        let (before, pod) = (world.deployment().await, world.pod("api").await);
        let class = class(world, &["net.core.*"]);
        world.apply(&of_class(kernel("p", &[("net.core.somaxconn", "1024")], &json!({})), &class));
        let back = world.says("p", "Applied", "False", "RolledBack").await;
        assert_eq!(back["status"]["quarantine"][0]["path"], "kernel.sysctls.net.core.somaxconn", "{back:#}");
        world.rolled_out("api");
        assert!(world.inside(&pod, &["cat", "/proc/1/cmdline"]).contains("sleep"), "it has served all the time");
        assert_eq!(sysctls(&world.deployment().await), sysctls(&before));
        world.delete_policy("p");
        world.kubectl(&["delete", "performanceclass", &class]);
    });
}

#[test]
fn what_nothing_carries_is_told_with_its_reason_and_never_written() {
    with_world(here!(), async |world| {
        world.apply(&idle("api", &json!({})));
        let before = world.deployment().await;
        let mark = world.mark();
        let node = [
            ("net.core.netdev_max_backlog", "65535"),
            ("net.core.rmem_max", "134217728"),
            ("net.core.wmem_max", "134217728"),
            ("vm.swappiness", "10"),
            ("vm.dirty_ratio", "15"),
            ("fs.file-max", "2097152"),
        ];
        let mut all = kernel("p", &node, &json!({"openFiles": 65536}));
        all["spec"]["settings"] = json!([
            {"name": "database", "type": "Enum", "allowed": ["postgresql"], "value": "postgresql",
             "notEnforceable": "DATABASE_URL belongs in a Secret, by valueFrom"},
            {"name": "address-space", "type": "Bytes", "value": "2Gi", "notEnforceable": "RLIMIT_AS is the application's own"},
        ]);
        world.apply(&all);
        let said = world.says("p", "Ready", "True", "Served").await;
        assert_eq!(condition(&said, "Applied"), &Value::Null, "there is nothing to apply: {said:#}");
        assert_eq!(said["status"]["counts"]["settingsNotEnforceable"], 9, "{said:#}");
        let settings = said["status"]["settings"].as_array().unwrap();
        assert_eq!(settings.len(), 9);
        for setting in settings {
            assert_eq!(setting["state"], "NotEnforceable", "{said:#}");
            assert!(!setting["message"].as_str().unwrap().is_empty(), "{said:#}");
        }
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(world.deployment().await["metadata"]["generation"], before["metadata"]["generation"]);
    });
}

#[test]
fn pods_that_share_the_network_of_the_node_have_no_sysctls_of_it() {
    with_world(here!(), async |world| {
        let mut host = idle("api", &json!({}));
        merge(&mut host, &json!({"spec": {"template": {"spec": {"hostNetwork": true}}}}));
        world.apply(&host);
        let mark = world.mark();
        world.apply(&kernel("p", &[("net.ipv4.tcp_fin_timeout", "15")], &json!({})));
        let refused = world.says("p", "Ready", "False", "Unsupported").await;
        let message = condition(&refused, "Ready")["message"].as_str().unwrap();
        assert!(message.contains("with hostNetwork they share the network of the node"), "{message}");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
    });
}
