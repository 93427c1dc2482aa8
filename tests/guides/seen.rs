//! One test for each row that writes, named after it.

use serde_json::Value;

use crate::{
    cluster::eventually,
    here,
    rows::{Item, ROWS, Row, Seen},
    stage::{policy, with_example},
    world::{PATIENCE, World},
};

/// What the container that a policy governs shows.
struct Inside<'a> {
    world: &'a World,
    policy: &'a str,
    target: Value,
    pod: String,
    container: String,
}

impl Inside<'_> {
    fn cat(&self, file: &str) -> Result<String, String> {
        let container = format!("--container={}", self.container);
        self.world.try_kubectl(&["exec", &self.pod, &container, "--", "cat", file], "")
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        let environ = self.cat("/proc/1/environ")?;
        let found = environ.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
        found.map(ToOwned::to_owned).ok_or_else(|| format!("{name} is not in {environ:?}"))
    }

    /// The first of these files that there is: control groups of version 1 and 2 have different ones.
    fn first(&self, files: [&str; 2]) -> Result<String, String> {
        let [one, other] = files;
        self.cat(one).or_else(|_| self.cat(other))
    }

    fn template(&self) -> &Value {
        let containers = self.target["spec"]["template"]["spec"]["containers"].as_array().expect("containers");
        containers.iter().find(|container| container["name"] == *self.container).expect("the container")
    }

    /// What there is in the place, if it is not what shall be.
    fn check(&self, seen: &Seen) -> Result<(), String> {
        let same = |is: &str, want: &str| if is == want { Ok(()) } else { Err(format!("{is:?} instead of {want:?}")) };
        match seen {
            Seen::Env(name, value) => same(&self.variable(name)?, value),
            Seen::Token(name, token) | Seen::Kept(name, token) => {
                let value = self.variable(name)?;
                if value.split(' ').filter(|word| word == token).count() == 1 {
                    Ok(())
                } else {
                    Err(format!("{token} is not once in {value:?}"))
                }
            }
            Seen::Line(file, line) => {
                let text = self.cat(file)?;
                if text.lines().any(|one| one.trim() == *line) {
                    Ok(())
                } else {
                    Err(format!("{line:?} is no line of {text}"))
                }
            }
            Seen::Memory(bytes) => {
                let is = self.first(["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"])?;
                same(is.trim(), &bytes.to_string())
            }
            Seen::Cpu(quota) => {
                let is = self.first(["/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"])?;
                same(is.split_whitespace().next().unwrap_or_default(), &quota.to_string())
            }
            Seen::Sysctl(file, value) => {
                let is = self.cat(&format!("/proc/sys/{file}"))?;
                same(&is.split_whitespace().collect::<Vec<_>>().join(" "), value)
            }
            Seen::Object(pointer, json) => self.json(self.target.pointer(pointer), json),
            Seen::Held(pointer, json) => {
                self.json(self.target.pointer(pointer), json)?;
                let owners = self.owners(pointer);
                let policy = format!("trimtab/{}", self.policy);
                if owners.contains(&policy) { Ok(()) } else { Err(format!("{pointer} is of {owners:?}")) }
            }
            Seen::Template(pointer, json) => self.json(self.template().pointer(pointer), json),
            Seen::NotEnforceable(_) | Seen::Declared(_) => Ok(()),
        }
    }

    /// Who owns a field of the target.
    fn owners(&self, pointer: &str) -> Vec<String> {
        let field = format!("/fieldsV1{}", pointer.replace('/', "/f:"));
        let entries = self.target["metadata"]["managedFields"].as_array().expect("managedFields");
        let owners = entries.iter().filter(|entry| entry.pointer(&field).is_some());
        owners.map(|entry| entry["manager"].as_str().expect("a manager").to_owned()).collect()
    }

    fn json(&self, is: Option<&Value>, want: &str) -> Result<(), String> {
        let want: Value = serde_json::from_str(want).expect("JSON");
        if is == Some(&want) { Ok(()) } else { Err(format!("{is:?} instead of {want}")) }
    }
}

/// What governs the namespace, as the command line explains it.
fn explained(world: &World, policy: &str) -> Vec<Value> {
    let said = world.trimtab(&["explain", &format!("policy/{policy}"), "-o", "json"]);
    let parts: Vec<Value> = serde_json::from_str(&said).expect("JSON");
    parts.iter().flat_map(|part| part["settings"].as_array().cloned().unwrap_or_default()).collect()
}

/// A value of the policy's own spec: lists by name.
fn declared(spec: &Value, path: &str) -> Option<Value> {
    let mut at = spec;
    for segment in path.split('.') {
        at = match at {
            Value::Array(items) => items.iter().find(|item| item["name"] == segment || item["container"] == segment)?,
            other => other.get(segment)?,
        };
    }
    Some(at.clone())
}

async fn inside<'a>(world: &'a World, policy: &'a str, spec: &Value) -> Inside<'a> {
    let target = &spec["target"];
    let (kind, name) = (target["kind"].as_str().expect("a kind"), target["name"].as_str().expect("a name"));
    let plural = format!("{}s", kind.to_lowercase());
    let object = world.kubectl(&["get", &plural, name, "-o", "json", "--show-managed-fields"]);
    let (pod, container) = if kind == "Deployment" {
        (some_pod(world, name).await, target["container"].as_str().expect("a container").to_owned())
    } else {
        (String::new(), String::new())
    };
    Inside { world, policy, target: serde_json::from_str(&object).expect("JSON"), pod, container }
}

/// A pod of the workload that is neither ending nor of an older template.
pub async fn some_pod(world: &World, app: &str) -> String {
    world.rolled_out(app);
    let mut pods = world.list("pods").await;
    pods.retain(|pod| pod["metadata"]["labels"]["app"] == app && pod["metadata"]["deletionTimestamp"].is_null());
    pods.first().and_then(|pod| pod["metadata"]["name"].as_str()).expect("a pod").to_owned()
}

async fn see(world: &World, item: &Item) {
    let spec = policy(world, item.policy).await["spec"].clone();
    match item.seen {
        Seen::Declared(value) => assert_eq!(declared(&spec, item.path), Some(value.into()), "{}", item.text),
        Seen::NotEnforceable(part) => {
            let settings = explained(world, item.policy);
            let setting = settings.iter().find(|setting| setting["path"] == item.path);
            let setting = setting.unwrap_or_else(|| panic!("{} is not explained: {settings:#?}", item.path));
            assert_eq!(setting["state"], "NotEnforceable", "{setting:#}");
            assert!(setting.to_string().contains(part), "{part:?} is not said: {setting:#}");
        }
        _ => {
            // Files reach a container some seconds after their ConfigMap.
            eventually(PATIENCE, item.text, async || inside(world, item.policy, &spec).await.check(&item.seen)).await;
        }
    }
}

fn row(test: &'static str, id: &str) {
    let row: &'static Row = ROWS.iter().find(|row| row.id.eq_ignore_ascii_case(id)).expect("a row of that name");
    with_example(test, row.example, async |world| {
        for item in row.items {
            see(world, item).await;
        }
    });
}

/// A test for each row, of its name.
macro_rules! rows {
    ($($id:ident)*) => {
        $(#[test]
        fn $id() {
            row(here!(), stringify!($id));
        })*

        #[test]
        fn every_row_that_writes_has_a_test() {
            let tested = [$(stringify!($id)),*];
            let rows: Vec<String> = ROWS.iter().map(|row| row.id.to_lowercase()).collect();
            assert_eq!(rows, tested);
        }
    };
}

rows! {
    ab4 ab5 ab6 ab7 ab8
    gr3 gr7 gr8 gr9 gr10
    vr5 vr6 vr7 vr8 vr9 vr10 vr11
    gc4 gc5 gc6 gc7 gc8 gc9
    al4 al5 al6 al7 al8 al9 al10 al11 al12
}
