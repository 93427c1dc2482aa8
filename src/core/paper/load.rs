//! Load tests as Jobs: a script in a `ConfigMap`, and a Job that runs it once. Nothing here runs anything, and a token is only
//! ever a reference to a Secret.

use serde_json::{Value, json};

use crate::{
    api::{
        names,
        policy::{HttpMethod, LoadTool},
    },
    core::policy::{LoadTest, PolicyKey},
};

/// Where the files are in the Job's container.
const FOLDER: &str = "/load";
/// The environment variable with the bearer token.
const TOKEN: &str = "TOKEN";
/// Time beyond that of the test itself, for the image and for slow answers.
const PATIENCE_SECONDS: i64 = 600;
/// Time that a test takes which counts requests, at most.
const COUNTED_SECONDS: i64 = 3600;

/// A file of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

/// The files of a test; the first one is what runs.
#[must_use]
pub fn files(policy: &PolicyKey, test: &LoadTest) -> Vec<File> {
    let title = format!("Load test {} of policy {}/{}.", test.name, policy.0, policy.1);
    // It stands in comments, which end with their line.
    let title = title.replace(char::is_control, " ");
    let mut files = vec![File { name: "run.sh", text: script(&title, test) }];
    match test.tool {
        LoadTool::Locust => files.push(File { name: "locustfile.py", text: locust(&title, test) }),
        LoadTool::Wrk if test.method == HttpMethod::Post || test.token_from.is_some() => {
            files.push(File { name: "wrk.lua", text: wrk(&title, test) });
        }
        LoadTool::Ab | LoadTool::Wrk | LoadTool::Wscat => {}
    }
    if let Some(body) = &test.body {
        files.push(File { name: "body.json", text: body.to_string() });
    }
    files
}

/// The `ConfigMap` and the Job, whose image has the tool.
#[must_use]
pub fn manifests(policy: &PolicyKey, test: &LoadTest, image: &str) -> Vec<Value> {
    let name = format!("load-test-{}", test.name);
    let labels = json!({
        "app.kubernetes.io/name": "load-test",
        "app.kubernetes.io/managed-by": "trimtab-export",
        (format!("{}/policy", names::GROUP)): &*policy.1,
    });
    let metadata = json!({"name": name, "namespace": &*policy.0, "labels": labels});
    let data: serde_json::Map<String, Value> =
        files(policy, test).into_iter().map(|file| (file.name.to_owned(), file.text.into())).collect();
    let secret = test.token_from.as_ref();
    let env: Vec<Value> = secret
        .map(|secret| json!({"name": TOKEN, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}}}))
        .into_iter()
        .collect();
    let seconds = if test.tool == LoadTool::Ab { COUNTED_SECONDS } else { test.seconds + PATIENCE_SECONDS };
    let container = json!({
        "name": "load",
        "image": image,
        "command": ["/bin/sh", format!("{FOLDER}/run.sh")],
        "env": env,
        "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "load", "mountPath": FOLDER, "readOnly": true}],
    });
    let pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "load", "configMap": {"name": name}}],
    });
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            // A second try would be a second load.
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": 86_400,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    });
    vec![config, job]
}

fn script(title: &str, test: &LoadTest) -> String {
    let LoadTest { users, requests, threads, seconds, .. } = test;
    let scheme = if test.tool == LoadTool::Wscat { "ws" } else { "http" };
    let url = quoted(&format!("{scheme}://{}:{}{}", test.service, test.port, test.path));
    let header = |flag: &str| match test.token_from {
        // The shell puts the token in; it is in no file.
        Some(_) => format!(" {flag} \"Authorization: Bearer ${{{TOKEN}:?}}\""),
        None => String::new(),
    };
    let command = match test.tool {
        LoadTool::Locust => format!(
            "exec locust -f \"$HERE/locustfile.py\" --headless --users {users} --spawn-rate {users} --run-time {seconds}s \
             --stop-timeout 10"
        ),
        LoadTool::Ab => {
            let body = match (test.method, &test.body) {
                (HttpMethod::Post, Some(_)) => " -T application/json -p \"$HERE/body.json\"",
                (HttpMethod::Post, None) => " -T application/json -p /dev/null",
                (HttpMethod::Get, _) => "",
            };
            format!("exec ab -n {requests} -c {users}{body}{} {url}", header("-H"))
        }
        LoadTool::Wrk => {
            let lua =
                if test.method == HttpMethod::Post || test.token_from.is_some() { " -s \"$HERE/wrk.lua\"" } else { "" };
            format!("exec wrk -t{threads} -c{users} -d{seconds}s --latency{lua} {url}")
        }
        LoadTool::Wscat => {
            let send = if test.body.is_some() { " --execute \"$(cat \"$HERE/body.json\")\"" } else { "" };
            // It listens until it is told to stop, and being stopped (124) is how a subscription ends well.
            format!(
                "timeout {seconds} wscat --connect {url}{}{send} --wait {seconds} || [ $? -eq 124 ]",
                header("--header")
            )
        }
    };
    format!("#!/bin/sh\n# {title}\nset -eu\nHERE=$(dirname \"$0\")\nexport HERE\n{command}\n")
}

fn locust(title: &str, test: &LoadTest) -> String {
    let host = format!("http://{}:{}", test.service, test.port);
    let token = match test.token_from {
        Some(_) => format!("HEADERS[\"Authorization\"] = \"Bearer \" + os.environ[\"{TOKEN}\"]\n"),
        None => String::new(),
    };
    let body = match test.body {
        Some(_) => "BODY = (pathlib.Path(__file__).parent / \"body.json\").read_bytes()\n",
        None => "",
    };
    let call = match (test.method, &test.body) {
        (HttpMethod::Get, _) => "get(PATH, headers=HEADERS)",
        (HttpMethod::Post, Some(_)) => "post(PATH, data=BODY, headers=HEADERS)",
        (HttpMethod::Post, None) => "post(PATH, headers=HEADERS)",
    };
    format!(
        "# {title}\nimport os\nimport pathlib\n\nfrom locust import HttpUser, constant, task\n\nPATH = {}\n\
         HEADERS = {{\"Content-Type\": \"application/json\"}}\n{token}{body}\n\nclass User(HttpUser):\n    \
         host = {}\n    wait_time = constant(0)\n\n    @task\n    def call(self):\n        self.client.{call}\n",
        literal(&test.path),
        literal(&host)
    )
}

fn wrk(title: &str, test: &LoadTest) -> String {
    let mut script = format!("-- {title}\n");
    if test.method == HttpMethod::Post {
        script.push_str("wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\n");
    }
    if test.body.is_some() {
        script.push_str("wrk.body = assert(io.open(os.getenv(\"HERE\") .. \"/body.json\")):read(\"*a\")\n");
    }
    if test.token_from.is_some() {
        script.push_str(&format!("wrk.headers[\"Authorization\"] = \"Bearer \" .. assert(os.getenv(\"{TOKEN}\"))\n"));
    }
    script
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A text as a literal of Python: of printable ASCII, JSON's is one.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::policy::SecretKey;

    fn test(tool: LoadTool) -> LoadTest {
        LoadTest {
            name: "chat".into(),
            tool,
            service: "api".into(),
            port: 8000,
            method: HttpMethod::Get,
            path: "/a?b=1&c=$(id)'".into(),
            body: None,
            users: 10,
            requests: 1000,
            threads: 2,
            seconds: 30,
            token_from: Some(SecretKey { name: "token".to_owned(), key: "bearer".to_owned() }),
        }
    }

    #[test]
    fn whatever_is_in_a_path_is_one_word_of_the_shell() {
        assert_eq!(quoted("a'b"), "'a'\\''b'");
        for tool in [LoadTool::Ab, LoadTool::Wrk, LoadTool::Wscat] {
            let script = script("t", &test(tool));
            assert!(script.contains("/a?b=1&c=$(id)'\\'''"), "{script}");
        }
    }

    #[test]
    fn a_token_is_a_reference_and_nothing_else() {
        let key = ("shop".into(), "api".into());
        for tool in [LoadTool::Locust, LoadTool::Ab, LoadTool::Wrk, LoadTool::Wscat] {
            let [config, job] = &manifests(&key, &test(tool), "image")[..] else { panic!("two objects") };
            let env = &job["spec"]["template"]["spec"]["containers"][0]["env"];
            assert_eq!(env[0]["valueFrom"]["secretKeyRef"]["name"], "token");
            assert_eq!(job["spec"]["backoffLimit"], 0);
            assert!(config["data"]["run.sh"].as_str().unwrap().starts_with("#!/bin/sh\n"));
        }
    }
}
