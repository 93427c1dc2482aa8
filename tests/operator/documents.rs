//! Values inside documents of every format, from the policy to what a process reads, and back.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use crate::{
    here,
    world::{World, assert_no_trace, idle, policy, traces, with_world, workload},
};

/// A file of `tests/data/documents`, the places in it that the policy sets, and what that makes of it.
struct Document {
    key: &'static str,
    format: &'static str,
    /// A knob without name, file and landing; its `at`; the piece of the file that is replaced, and by what.
    edits: &'static [(&'static str, &'static str, &'static str, &'static str)],
}

const DOCUMENTS: [Document; 7] = [
    Document {
        key: "config.yaml",
        format: "YAML",
        edits: &[
            (r#"{"value": 50}"#, "/api/queryLimit", "10   ", "50   "),
            (r#"{"type": "Duration", "value": "1m", "as": "go"}"#, "/jobs/1/every", "5m\n", "1m0s\n"),
        ],
    },
    Document {
        key: "service.toml",
        format: "TOML",
        edits: &[
            (r#"{"value": 40}"#, "/pool/size", "10       #", "40       #"),
            (r#"{"type": "Number", "value": "0.75"}"#, "/pool/ratios/0", "0.5", "0.75"),
            (r#"{"value": 8}"#, "/queues/1/workers/max", "1_0", "8"),
        ],
    },
    Document {
        key: "limits.json",
        format: "JSON",
        edits: &[(r#"{"type": "Duration", "value": "5m", "as": "seconds"}"#, "/cache/ttl", "60", "300")],
    },
    Document {
        key: "application.properties",
        format: "Properties",
        edits: &[
            (r#"{"value": 40}"#, "spring.datasource.hikari.maximum-pool-size", "=10\r", "=40\r"),
            (
                r#"{"type": "Duration", "value": "5s", "as": "milliseconds", "path": {"create": true}}"#,
                "app.cache.ttl",
                "enabled true\r\n",
                "enabled true\r\napp.cache.ttl 5000\r\n",
            ),
            (r#"{"type": "Boolean", "value": "false"}"#, "app.cache.enabled", "enabled true", "enabled false"),
        ],
    },
    Document {
        key: "pgbouncer.ini",
        format: "INI",
        edits: &[
            (r#"{"value": 40}"#, "pgbouncer/default_pool_size", "size = 20", "size = 40"),
            (
                r#"{"value": 500, "path": {"create": true}}"#,
                "pgbouncer/max_client_conn",
                "timeout = 120\n",
                "timeout = 120\nmax_client_conn = 500\n",
            ),
        ],
    },
    Document {
        key: "postgresql.conf",
        format: "Conf",
        edits: &[
            (r#"{"type": "Bytes", "value": "2Gi", "as": "postgres"}"#, "shared_buffers", "128MB\t", "2GB\t"),
            (r#"{"type": "Duration", "value": "15m", "as": "postgres"}"#, "checkpoint_timeout", "5min", "15min"),
            (r#"{"type": "Boolean", "value": "false", "as": "postgres"}"#, "ssl", "ssl = on", "ssl = off"),
            (
                r#"{"type": "Boolean", "value": "true", "as": "postgres", "path": {"create": true}}"#,
                "jit",
                "work_mem = 16MB\n",
                "work_mem = 16MB\njit = on\n",
            ),
        ],
    },
    Document {
        key: "redis.conf",
        format: "Conf",
        edits: &[
            (r#"{"type": "Bytes", "value": "2Gi", "as": "redis"}"#, "maxmemory", "256mb", "2gb"),
            (r#"{"type": "Boolean", "value": "true", "as": "redis"}"#, "appendonly", "appendonly no", "appendonly yes"),
            (
                r#"{"type": "Enum", "allowed": ["allkeys-lru"], "value": "allkeys-lru", "path": {"create": true}}"#,
                "maxmemory-policy",
                "events \"\"\n",
                "events \"\"\nmaxmemory-policy allkeys-lru\n",
            ),
        ],
    },
];

impl Document {
    fn before(&self) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/documents").join(self.key);
        std::fs::read_to_string(path).unwrap()
    }

    fn after(&self) -> String {
        self.edits.iter().fold(self.before(), |text, (_, place, from, to)| {
            assert_eq!(text.matches(from).count(), 1, "{from:?} for {place} in {text}");
            text.replace(from, to)
        })
    }

    fn file(&self) -> Value {
        json!({"name": self.name(), "configMap": "config", "key": self.key, "format": self.format})
    }

    fn settings(&self) -> impl Iterator<Item = Value> {
        self.edits.iter().enumerate().map(|(i, (knob, at, ..))| {
            let mut setting: Value = serde_json::from_str(knob).unwrap();
            setting["name"] = format!("{}-{i}", self.name()).into();
            setting["path"]["file"] = self.name().into();
            setting["path"]["at"] = (*at).into();
            setting
        })
    }

    fn name(&self) -> String {
        self.key.replace('.', "-")
    }
}

async fn data(world: &World) -> BTreeMap<String, String> {
    serde_json::from_value(world.get("configmaps", "config").await["data"].clone()).unwrap()
}

#[test]
fn every_format_reaches_the_container_and_comes_back_byte_for_byte() {
    with_world(here!(), async |world| {
        let before: BTreeMap<_, _> =
            DOCUMENTS.iter().map(|document| (document.key.to_owned(), document.before())).collect();
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": before,
        }));
        let mounts = json!({"volumeMounts": [{"name": "config", "mountPath": "/etc/config"}]});
        let volumes = json!({"volumes": [{"name": "config", "configMap": {"name": "config"}}]});
        world.run_workload(&workload("api", &mounts, &volumes));
        let sets = world.replica_sets("api").await.len();
        world.apply(&policy(
            "p",
            &json!({
                "deletionPolicy": "Restore",
                "files": DOCUMENTS.iter().map(Document::file).collect::<Vec<_>>(),
                "settings": DOCUMENTS.iter().flat_map(Document::settings).collect::<Vec<_>>(),
            }),
        ));
        world.settled("p").await;
        assert_eq!(world.replica_sets("api").await.len(), sets + 1, "all documents are one rollout");
        let pod = world.pod("api").await;
        for document in &DOCUMENTS {
            let read = world.inside(&pod, &["cat", &format!("/etc/config/{}", document.key)]);
            assert_eq!(read, document.after(), "{}", document.key);
        }

        world.kubectl(&["delete", "performancepolicy", "p", "--timeout=30s"]);
        let left = world.until("configmaps", "config", "it is released", |object| traces(object).is_empty()).await;
        assert_no_trace(&left);
        assert_eq!(data(world).await, before);
    });
}

#[test]
fn a_document_keeps_its_line_ends_and_its_end() {
    with_world(here!(), async |world| {
        let data = json!({"c.yaml": "# rows\r\nlimit: 10 # many\r\nlast: 1", "c.json": "{\r\n\t\"limit\": 10\r\n}"});
        world.apply(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "windows"}, "data": data.clone()}),
        );
        world.apply(&idle("api", &json!({})));
        let file = |name: &str, key: &str, format: &str| json!({"name": name, "configMap": "windows", "key": key, "format": format, "reload": "Watch"});
        let limit = |name: &str| json!({"name": name, "value": 50, "path": {"file": name, "at": "/limit"}});
        let spec = json!({"files": [file("yaml", "c.yaml", "YAML"), file("json", "c.json", "JSON")],
                          "settings": [limit("yaml"), limit("json")]});
        world.apply(&policy("p", &spec));
        world.settled("p").await;
        let edited = world.get("configmaps", "windows").await["data"].clone();
        for key in ["c.yaml", "c.json"] {
            assert_eq!(edited[key], data[key].as_str().unwrap().replace("10", "50"), "{key}");
        }
    });
}
