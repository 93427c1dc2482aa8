//! Grace on a real PostgreSQL of a hundred connections, under load: as its guide writes it, one pod is refused connections as soon
//! as its users are there; governed by a budget, none is ever refused, whatever rolls out.
//!
//! Nothing here is computed: PostgreSQL says in its log whom it refused, and its `pg_stat_activity` is sampled all the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::{
    cluster::eventually,
    example,
    grace::{apply, file, overlaid},
    here, operator,
    world::{PATIENCE, Shown, World, env_of, merge, policy, with_world},
};

/// What PostgreSQL gives to anybody: the last three of its `max_connections` are for superusers.
const ORDINARY: i64 = 97;
/// What the budget gives away of that: all but 10 % headroom.
const USABLE: i64 = 87;

/// Time between two samples: a pool takes longer to open.
const SAMPLE: Duration = Duration::from_millis(20);

// ---- the database ----

/// The tables of the application. A message takes the database a second, so that as many connections are in use as there are
/// requests to answer.
const SLOW: &str = r#"
CREATE TABLE chat_messages (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "user" text NOT NULL,
  text text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON chat_messages FOR EACH ROW EXECUTE FUNCTION slow();
"#;

/// A PostgreSQL in a pod, as it comes, and somebody who watches it.
struct Database<'a> {
    world: &'a World,
    most: Arc<AtomicI64>,
    samples: Arc<AtomicU64>,
    watcher: JoinHandle<()>,
}

impl<'a> Database<'a> {
    /// A new one, without a line in its log.
    async fn start(world: &'a World) -> Self {
        world.try_kubectl(&["delete", "pod", "postgres", "--ignore-not-found"], "").expect("delete the one of before");
        world.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "postgres"},
            "spec": {"selector": {"app": "postgres"}, "ports": [{"port": 5432}]},
        }));
        world.apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "postgres", "labels": {"app": "postgres"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "postgres", "image": "localhost/postgres:1", "imagePullPolicy": "Never",
                    "args": ["-c", "max_connections=100", "-c", "fsync=off"],
                    "readinessProbe": {"exec": {"command": ["pg_isready", "--host=127.0.0.1"]}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        }));
        world.kubectl(&["wait", "pod/postgres", "--for=condition=Ready", "--timeout=90s"]);
        let pod = world.get("pods", "postgres").await;
        let address = pod["status"]["podIP"].as_str().expect("an address").to_owned();
        let connect = |role: &'static str, database: &'static str| {
            let address = address.clone();
            async move {
                let parameters = format!("host={address} user={role} dbname={database}");
                let (client, connection) = tokio_postgres::connect(&parameters, NoTls).await.expect("connect");
                // It ends with its client.
                tokio::spawn(connection);
                client
            }
        };
        let owner = connect("postgres", "postgres").await;
        // One by one: a database is made outside of a transaction.
        for sql in ["CREATE ROLE grace LOGIN", "CREATE DATABASE grace OWNER grace"] {
            owner.batch_execute(sql).await.expect(sql);
        }
        connect("grace", "grace").await.batch_execute(SLOW).await.expect("make the tables");
        let (most, samples) = (Arc::default(), Arc::default());
        let watcher = tokio::spawn(watch(owner, Arc::clone(&most), Arc::clone(&samples)));
        Self { world, most, samples, watcher }
    }

    /// The most connections since the last time that this was asked.
    fn most(&self) -> i64 {
        assert!(!self.watcher.is_finished(), "the database has stopped to answer");
        self.most.swap(0, Relaxed)
    }

    /// Whom the database refused.
    fn refusals(&self) -> Vec<String> {
        let log = self.world.kubectl(&["logs", "postgres"]);
        let refused = |line: &&str| {
            line.contains("FATAL:") && (line.contains("connection slots") || line.contains("too many clients"))
        };
        log.lines().filter(refused).map(ToOwned::to_owned).collect()
    }

    /// What happened since the step before: nobody was refused, and there were never more than the budget has.
    fn step(&self, began: Instant, what: &str) -> i64 {
        let most = self.most();
        println!("{:>6.1?} {what}: pg_stat_activity had at most {most} of {USABLE}", began.elapsed());
        let refusals = self.refusals();
        assert!(refusals.is_empty(), "{} refusals, such as {}", refusals.len(), refusals[0]);
        assert!(most <= USABLE, "{most}");
        most
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Counts the connections, again and again: its own is one of them.
async fn watch(client: Client, most: Arc<AtomicI64>, samples: Arc<AtomicU64>) {
    let mut ticks = tokio::time::interval(SAMPLE);
    let clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    let count = client.prepare(clients).await.expect("a query");
    while let Ok(row) = client.query_one(&count, &[]).await {
        most.fetch_max(row.get(0), Relaxed);
        samples.fetch_add(1, Relaxed);
        ticks.tick().await;
    }
}

// ---- the application ----

/// The Deployment of the example under a name, with one pod, the database and these further variables.
fn application(world: &World, name: &str, variables: &[(&str, &str)]) {
    let drain = "        - {name: DRAIN_DELAY, value: \"2\"}\n";
    let mut environment = drain.to_owned();
    for (variable, value) in [("DATABASE_URL", "postgresql+asyncpg://grace@postgres/grace")].iter().chain(variables) {
        environment.push_str(&format!("        - {{name: {variable}, value: \"{value}\"}}\n"));
    }
    let text = overlaid(&file(world, "app.yaml"), &[("replicas: 2", "replicas: 1"), (drain, &environment)]);
    apply(world, &text.replace("grace-api", name));
}

/// Users of the application, who come back to whichever pod is there.
fn users(world: &World, count: u32) {
    let closed = format!("--users={count}, --think-time=500ms, --timeout=60s, --requests-per-connection=5");
    apply(world, &overlaid(&file(world, "load.yaml"), &[("--rps=100, --users=50", &closed)]));
}

fn governed(name: &str, target: &str, processes: u32, pool: &Value) -> Value {
    let mut db = json!({
        "name": "db", "perWorker": "web", "budget": "grace-postgres",
        "size": {"env": "DB_POOL_SIZE"}, "overflow": {"value": 10, "env": "DB_MAX_OVERFLOW"},
    });
    merge(&mut db, pool);
    policy(
        name,
        &json!({
            "target": {"name": target}, "pools": [db],
            "workers": [{"name": "web", "count": {"value": processes, "env": "WEB_CONCURRENCY"}}],
        }),
    )
}

/// Waits until the one pod of a Deployment has that many connections per process, and no other pod of it is left.
async fn has(world: &World, name: &str, size: i64) {
    eventually(PATIENCE, &format!("{name} has {size} connections per process"), async || {
        let deployment = world.get("deployments", name).await;
        let mut pods = world.list("pods").await;
        pods.retain(|pod| pod["metadata"]["labels"]["app"] == name);
        let values = ["DB_POOL_SIZE", "DB_MAX_OVERFLOW"].map(|variable| env_of(&deployment, variable));
        let status = &deployment["status"];
        let is_there = values == [Some(size.to_string()), Some("0".to_owned())]
            && status["observedGeneration"] == deployment["metadata"]["generation"]
            && (&status["updatedReplicas"], &status["readyReplicas"]) == (&json!(1), &json!(1))
            && pods.len() == 1;
        if is_there { Ok(()) } else { Err(Shown(format!("{values:?} {status:#}"))) }
    })
    .await;
}

/// Waits until no pod of these applications is left.
async fn gone(world: &World, apps: &[&str]) {
    eventually(PATIENCE, "the pods are gone", async || {
        let mut pods = world.list("pods").await;
        pods.retain(|pod| apps.iter().any(|app| pod["metadata"]["labels"]["app"] == *app));
        if pods.is_empty() { Ok(()) } else { Err(pods.len()) }
    })
    .await;
}

#[test]
fn grace_as_written_exhausts_a_database_that_the_governed_one_never_does() {
    with_world(here!(), async |world| {
        operator::load_example("grace-app", example::grace_app());
        operator::load_postgres();
        let began = Instant::now();

        // By hand, as the guide says: (20 + 10) connections in each of four processes.
        let database = Database::start(world).await;
        let guide = [("WEB_CONCURRENCY", "4"), ("DB_POOL_SIZE", "20"), ("DB_MAX_OVERFLOW", "10")];
        application(world, "grace-api", &guide);
        users(world, 300);
        let refusals = eventually(PATIENCE, "PostgreSQL refuses connections", async || {
            let refusals = database.refusals();
            if refusals.is_empty() { Err(database.most.load(Relaxed)) } else { Ok(refusals) }
        })
        .await;
        eventually(PATIENCE, "nothing is left of the hundred connections", async || {
            let most = database.most.load(Relaxed);
            if most >= ORDINARY { Ok(()) } else { Err(most) }
        })
        .await;
        let pods = world.list("pods").await;
        let pods = pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == "grace-api").count();
        assert_eq!(pods, 1, "one pod is enough");
        println!(
            "{:>6.1?} as the guide says, one pod, (20 + 10) × 4 = 120: pg_stat_activity had {} of 100, and PostgreSQL said: {}",
            began.elapsed(),
            database.most(),
            refusals[0]
        );
        world.kubectl(&["delete", "deployment", "grace-api", "load", "--wait=false"]);
        // Nobody has to wait for the answers that they still owe.
        let both = "--selector=app in (grace-api,load)";
        world.kubectl(&["delete", "pods", both, "--grace-period=1", "--wait=false"]);
        gone(world, &["grace-api", "load"]).await;
        drop(database);

        // The same with a budget, and a size that may be less: 7 × 4 processes × (1 pod + 1 surge + 1 terminating) = 84.
        let database = Database::start(world).await;
        world.apply(&json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": "grace-postgres"},
            "spec": {"capacity": {"connections": 100}},
        }));
        let guide = json!({"size": {"value": 20, "min": 2}});
        world.apply(&governed("grace", "grace-api", 4, &guide));
        application(world, "grace-api", &[]);
        users(world, 80);
        has(world, "grace-api", 7).await;
        database.step(began, "alone");

        // A rollout at full size, with all its connections in use.
        let mut other = governed("grace", "grace-api", 4, &guide);
        other["spec"]["settings"] =
            json!([{"name": "tasks", "type": "Integer", "value": 4, "env": "TASK_MAX_PARALLEL"}]);
        let set = world.replica_sets("grace-api").await.len();
        world.apply(&other);
        world
            .until("deployments", "grace-api", "the other setting is written", |deployment| {
                env_of(deployment, "TASK_MAX_PARALLEL").is_some()
            })
            .await;
        has(world, "grace-api", 7).await;
        assert_eq!(world.replica_sets("grace-api").await.len(), set + 1);
        let most = database.step(began, "another setting");
        assert!(most > 28, "old and new pod have connections at the same time: {most}");

        // A newcomer: the one that is there lets go first.
        application(world, "grace-batch", &[]);
        world.apply(&governed("batch", "grace-batch", 2, &json!({"size": {"value": 20, "min": 3}})));
        has(world, "grace-api", 3).await;
        has(world, "grace-batch", 8).await;
        database.step(began, "a newcomer");

        // Half the processes have twice the connections.
        other["spec"]["workers"][0]["count"]["value"] = json!(2);
        world.apply(&other);
        has(world, "grace-api", 6).await;
        database.step(began, "fewer processes");

        // Who lets go makes room for the other one.
        world.apply(&governed(
            "batch",
            "grace-batch",
            2,
            &json!({"size": {"value": 4, "min": 3}, "overflow": {"value": 0}}),
        ));
        has(world, "grace-batch", 4).await;
        has(world, "grace-api", 10).await;
        database.step(began, "one shrinks");
        println!("{} samples of pg_stat_activity, and no refusal", database.samples.load(Relaxed));
    });
}
