//! What `make demo-down CLUSTER=current` may remove from a cluster in which others live, too.

use std::{fs, process::Output};

use serde_json::{Value, json};

use crate::{
    OPTIONS,
    cluster::{self, Cluster, repository},
    get, here, left_behind,
    operator::{NAMESPACE, alone, helm_install, load_image},
};

/// Runs the script from a repository of its own, so that it removes no file of a demo that runs on this machine.
fn down(cluster: &Cluster) -> Output {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let folder = elsewhere.path().join("examples/grace");
    fs::create_dir_all(&folder).expect("create the directory");
    let script = folder.join("demo.sh");
    fs::copy(repository().join("examples/grace/demo.sh"), &script).expect("copy the script");
    cluster.run("env", &["CLUSTER=current", script.to_str().expect("a path in UTF-8"), "down"], "")
}

#[test]
fn the_end_of_the_demo_removes_only_namespaces_that_the_demo_made() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        load_image();
        for name in [NAMESPACE, "grace"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            cluster.kubectl(&["apply", "-f", "-"], &namespace.to_string());
        }
        helm_install(&[]);

        // Somebody's own Trimtab, and somebody's own namespace `grace`.
        let output = down(&cluster);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for name in [NAMESPACE, "grace"] {
            assert!(said.contains(&format!("namespace \"{name}\" stays as it is: it is not the demo's")), "{said}");
            assert_eq!(get(&cluster, &["namespace", name])["metadata"]["deletionTimestamp"], Value::Null);
        }
        let deployment = get(&cluster, &["deployment", "trimtab", "--namespace", NAMESPACE]);
        assert_eq!(deployment["status"]["readyReplicas"], 2, "{}", deployment["status"]);

        cluster.kubectl(&["label", "namespace", NAMESPACE, "grace", "demo=trimtab"], "");
        let output = down(&cluster);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(left_behind(&cluster), "");
        for name in [NAMESPACE, "grace"] {
            assert_eq!(cluster.kubectl(&["get", "namespace", name, "--ignore-not-found", "-o", "name"], ""), "");
        }

        // A second time there is nothing to do.
        assert!(down(&cluster).status.success());
    });
}
