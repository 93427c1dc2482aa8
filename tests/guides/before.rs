//! No row shows what was there anyway: what the manifests of an example give alone is another value than the one that its test
//! waits for. Needs no cluster.

use serde_json::Value;
use trimtab::core::units::{Decimal, Value as Amount, ValueType};

use crate::{
    rows::{ROWS, Seen},
    table::{documents, file_of, is_policy},
};

/// The manifests of an example, as people apply them before there is a policy.
struct Before {
    objects: Vec<Value>,
    target: Value,
    container: Value,
}

impl Before {
    fn new(example: &str, policy: &str) -> Self {
        let file = file_of(example, policy);
        let documents_of_it = documents(&file);
        let policy = documents_of_it.iter().find(|document| is_policy(document, policy)).expect("the policy");
        let target = &policy["spec"]["target"];
        let mut objects = documents(&format!("examples/{example}/app.yaml")).to_vec();
        if target["kind"] == "Stream" {
            objects.extend(documents(&format!("examples/{example}/stream.yaml")).iter().cloned());
        }
        let is_target =
            |object: &&Value| object["kind"] == target["kind"] && object["metadata"]["name"] == target["name"];
        let object = objects.iter().find(is_target).unwrap_or_else(|| panic!("no {target} in {example}")).clone();
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        let container = containers.and_then(|all| all.iter().find(|one| one["name"] == target["container"])).cloned();
        Self { objects, target: object, container: container.unwrap_or_default() }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let variables = self.container["env"].as_array()?;
        variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
    }

    fn words(&self, name: &str) -> Vec<&str> {
        self.variable(name).unwrap_or_default().split(' ').collect()
    }

    /// The text of a file that the container mounts.
    fn file(&self, path: &str) -> &str {
        let (folder, key) = path.rsplit_once('/').expect("a path");
        let found = || {
            let mounts = self.container["volumeMounts"].as_array()?;
            let mount = mounts.iter().find(|mount| mount["mountPath"] == folder)?;
            let volumes = self.target["spec"]["template"]["spec"]["volumes"].as_array()?;
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"])?;
            let maps = self.objects.iter().filter(|object| object["kind"] == "ConfigMap");
            let mut named = maps.filter(|map| map["metadata"]["name"] == volume["configMap"]["name"]);
            named.next()?["data"][key].as_str()
        };
        found().unwrap_or_else(|| panic!("the container mounts no {path}"))
    }

    fn limit(&self, resource: &str) -> Option<Amount> {
        let text = self.container["resources"]["limits"][resource].as_str()?;
        let amount =
            if resource == "cpu" { Amount::parse(ValueType::Cpu, text).ok() } else { Amount::parse_memory(text).ok() };
        Some(amount.unwrap_or_else(|| panic!("{resource} {text} is no amount")))
    }

    /// Whether what a row waits for is so without a policy; nothing where no value is waited for.
    fn gives(&self, seen: &Seen) -> Option<bool> {
        let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        Some(match *seen {
            Seen::Env(name, value) => self.variable(name) == Some(value),
            Seen::Token(name, token) | Seen::Kept(name, token) => self.words(name).contains(&token),
            Seen::Line(path, line) => self.file(path).lines().any(|one| one.trim() == line),
            Seen::Memory(bytes) => {
                self.limit("memory").is_some_and(|limit| limit.to_i64() == i64::try_from(bytes).ok())
            }
            Seen::Cpu(quota) => {
                let of_100_ms = Decimal::from_int(100_000);
                let share = |limit: Amount| limit.amount()?.checked_mul(of_100_ms)?.to_i64();
                self.limit("cpu").is_some_and(|limit| share(limit) == i64::try_from(quota).ok())
            }
            Seen::Sysctl(file, value) => {
                let sysctls = self.target["spec"]["template"]["spec"]["securityContext"]["sysctls"].as_array();
                let name = file.replace('/', ".");
                sysctls.is_some_and(|all| all.iter().any(|one| one["name"] == *name && one["value"] == *value))
            }
            Seen::Object(pointer, text) | Seen::Held(pointer, text) => {
                self.target.pointer(pointer) == Some(&json(text))
            }
            Seen::Template(pointer, text) => self.container.pointer(pointer) == Some(&json(text)),
            Seen::NotEnforceable(_) | Seen::Declared(_) => return None,
        })
    }
}

#[test]
fn no_row_waits_for_what_the_manifests_give_alone() {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for row in ROWS {
        for item in row.items {
            let before = Before::new(row.example, item.policy);
            let Some(gives) = before.gives(&item.seen) else { continue };
            compared += 1;
            // What the policy must not touch, or could not change, is there before.
            let shall = matches!(item.seen, Seen::Kept(..) | Seen::Held(..));
            if gives != shall {
                let said = if shall { "do not have it" } else { "have it already" };
                wrong.push(format!("{} {}: the manifests of {} {said}", row.id, item.text, row.example));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 100, "only {compared} values were compared");
}
