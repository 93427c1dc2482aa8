//! What one policy claims on one object.

use std::collections::{
    BTreeMap,
    btree_map::{Keys, Values},
};

use serde_json::{Map, Value, json};

use super::{
    FieldSet, json,
    path::{FieldPath, Segment, identifies},
};
use crate::core::facts::Object;

/// The complete claim of one policy on one object. Server-side apply removes what its sole owner stops sending, so a body
/// is always made of all of it.
///
/// A leaf is a scalar, or a list that Kubernetes knows as a whole only (`args`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Value of each claimed field.
    pub leaves: BTreeMap<FieldPath, Value>,
}

impl Claim {
    /// Claims `path`. Returns the value that was claimed there before.
    pub fn insert(&mut self, path: FieldPath, value: impl Into<Value>) -> Option<Value> {
        self.leaves.insert(path, value.into())
    }

    /// The claimed value at `path`.
    #[must_use]
    pub fn get(&self, path: &FieldPath) -> Option<&Value> {
        self.leaves.get(path)
    }

    /// Whether nothing is claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The claimed paths, in order.
    pub fn paths(&self) -> Keys<'_, FieldPath, Value> {
        self.leaves.keys()
    }

    /// The claimed values, in the order of their paths.
    pub fn values(&self) -> Values<'_, FieldPath, Value> {
        self.leaves.values()
    }

    /// Whether every path of `other` is claimed here too, whatever the value.
    #[must_use]
    pub fn is_superset_of(&self, other: &Self) -> bool {
        other.leaves.keys().all(|path| self.leaves.contains_key(path))
    }

    /// Sixteen hexadecimal digits that stand for paths and values.
    #[must_use]
    pub fn hash(&self) -> String {
        let pairs: Vec<_> = self.leaves.iter().map(|(path, value)| json!([path.to_string(), value])).collect();
        json::digest(&json::canonical(&Value::Array(pairs)))
    }

    /// The fields that the API server records for us after [`body`](Self::body): the leaves, and each list item on the way
    /// to them with the members that identify it.
    #[must_use]
    pub fn fields(&self, annotations: &BTreeMap<String, String>) -> FieldSet {
        let mut set: FieldSet =
            annotations.keys().map(|name| FieldPath::of(&["metadata", "annotations", name])).collect();
        for path in self.leaves.keys() {
            let mut item = FieldPath::default();
            for segment in path.segments() {
                item = item.then(segment.clone());
                if let Segment::Key(keys) = segment {
                    for name in keys.keys() {
                        set.insert(item.clone().field(name));
                    }
                    set.insert(item.clone());
                }
            }
            set.insert(path.clone());
        }
        set
    }

    /// The body of a server-side apply of this claim on `object`: with its uid and resource version as preconditions (an
    /// object that was replaced or has changed since is not written), with `annotations` on the object, and with the keys
    /// of every list item.
    ///
    /// Without the uid the API server would make an object that is gone; with it, it answers 409.
    #[must_use]
    pub fn body(&self, object: &Object, annotations: &BTreeMap<String, String>) -> Value {
        let key = &object.key;
        let mut metadata = json!({"name": &*key.name, "namespace": &*key.namespace});
        for (name, value) in [("uid", &object.meta.uid), ("resourceVersion", &object.meta.resource_version)] {
            // An object that was never on a server (a manifest in `plan -f`) has neither.
            if !value.is_empty() {
                metadata[name] = json!(value);
            }
        }
        if !annotations.is_empty() {
            metadata["annotations"] = json!(annotations);
        }
        let mut body = json!({"apiVersion": key.kind.api_version(), "kind": key.kind.as_str(), "metadata": metadata});
        for (path, value) in self.in_live_order(&object.content) {
            place(&mut body, path.segments(), value);
        }
        body
    }

    /// The leaves, with list items in the order in which `content` has them, and new ones behind. The API server's merge
    /// takes over the order of the body: another order of the same variables is another pod template, thus a rollout.
    fn in_live_order(&self, content: &Value) -> Vec<(&FieldPath, &Value)> {
        let mut leaves: Vec<_> = self.leaves.iter().collect();
        leaves.sort_by_cached_key(|(path, _)| {
            let mut live = Some(content);
            let mut order = Vec::with_capacity(path.segments().len());
            for segment in path.segments() {
                let mut position = 0;
                live = match segment {
                    Segment::Field(name) => live.and_then(|live| live.get(&**name)),
                    Segment::Key(keys) => {
                        let items = live.and_then(Value::as_array);
                        let found =
                            items.and_then(|items| items.iter().enumerate().find(|(_, item)| identifies(keys, item)));
                        position = found.map_or(usize::MAX, |(position, _)| position);
                        found.map(|(_, item)| item)
                    }
                    Segment::Item(_) | Segment::Index(_) => None,
                };
                order.push((position, segment.clone()));
            }
            order
        });
        leaves
    }
}

impl FromIterator<(FieldPath, Value)> for Claim {
    fn from_iter<I: IntoIterator<Item = (FieldPath, Value)>>(leaves: I) -> Self {
        Self { leaves: leaves.into_iter().collect() }
    }
}

/// Puts `value` at the end of `path` below `node`, making objects and lists on the way.
fn place(node: &mut Value, path: &[Segment], value: &Value) {
    let Some((first, rest)) = path.split_first() else {
        *node = value.clone();
        return;
    };
    match first {
        Segment::Field(name) => {
            if !node.is_object() {
                *node = Value::Object(Map::new());
            }
            place(&mut node[&**name], rest, value);
        }
        Segment::Key(keys) => {
            let Some(items) = items(node) else { return };
            let at = items.iter().position(|item| identifies(keys, item)).unwrap_or_else(|| {
                items.push(Value::Object(keys.iter().map(|(name, key)| (name.clone(), key.clone())).collect()));
                items.len() - 1
            });
            // A claim of the item as such has nothing to add to its keys.
            if !rest.is_empty() {
                place(&mut items[at], rest, value);
            }
        }
        Segment::Item(item) => {
            if let Some(items) = items(node).filter(|items| !items.contains(item)) {
                items.push(item.clone());
            }
        }
        Segment::Index(index) => {
            let Some(items) = items(node) else { return };
            if items.len() <= *index {
                items.resize(index + 1, Value::Null);
            }
            place(&mut items[*index], rest, value);
        }
    }
}

/// The list at `node`, which becomes one if it was something else.
fn items(node: &mut Value) -> Option<&mut Vec<Value>> {
    if !node.is_array() {
        *node = Value::Array(Vec::new());
    }
    node.as_array_mut()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::facts::{Kind, Meta, ObjectKey};

    fn object() -> Object {
        let meta = Meta { uid: "u-1".into(), resource_version: "41".into(), ..Meta::default() };
        Object { key: ObjectKey::new(Kind::Deployment, "shop", "api"), meta, content: json!({"spec": {}}).into() }
    }

    fn container(name: &str) -> FieldPath {
        FieldPath::of(&["spec", "template", "spec", "containers"]).key("name", name)
    }

    /// What the API server would record for a body: our knowledge of the lists of a pod template, apart from `Claim::fields`.
    fn recorded(value: &Value, path: &FieldPath, out: &mut FieldSet) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, v)| recorded(v, &path.clone().field(name), out)),
            Value::Array(items) if items.iter().all(Value::is_object) => {
                for item in items {
                    let keys: &[&str] =
                        if item.get("containerPort").is_some() { &["containerPort", "protocol"] } else { &["name"] };
                    let keys = keys.iter().map(|key| ((*key).to_owned(), item[*key].clone())).collect();
                    let path = path.clone().then(Segment::Key(std::sync::Arc::new(keys)));
                    recorded(item, &path, out);
                    out.insert(path);
                }
            }
            _ => out.insert(path.clone()),
        }
    }

    #[test]
    fn a_body_holds_the_leaves_and_the_keys_of_their_items() {
        let mut claim = Claim::default();
        let port = container("api").field("ports").keys([("containerPort", json!(80)), ("protocol", json!("TCP"))]);
        claim.insert(port.field("hostPort"), 8080);
        claim.insert(container("api").field("env").key("name", "B").field("value"), "2");
        claim.insert(container("api").field("env").key("name", "A").field("value"), "1");
        claim.insert(container("api").field("args"), json!(["--x", "1"]));
        claim.insert(container("side").field("resources").field("limits").field("cpu"), "2");
        let body = claim.body(&object(), &BTreeMap::from([("trimtab.dev/baseline.p".into(), "{}".into())]));
        assert_eq!(
            body,
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "api", "namespace": "shop", "uid": "u-1", "resourceVersion": "41",
                    "annotations": {"trimtab.dev/baseline.p": "{}"}},
                "spec": {"template": {"spec": {"containers": [
                    {"name": "api", "args": ["--x", "1"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "ports": [{"containerPort": 80, "protocol": "TCP", "hostPort": 8080}]},
                    {"name": "side", "resources": {"limits": {"cpu": "2"}}}]}}}})
        );
    }

    #[test]
    fn items_keep_the_order_of_the_live_list_and_new_ones_follow() {
        let mut live = object();
        let env = json!([{"name": "Z", "value": "1"}, {"name": "M"}, {"name": "B"}]);
        live.content =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "side"}, {"name": "api", "env": env}]}}}})
                .into();
        let env = |name: &str| container("api").field("env").key("name", name).field("value");
        let claim: Claim = ["A", "B", "C", "Z"].map(|name| (env(name), json!(name))).into_iter().collect();
        let mut claim = claim;
        claim.insert(container("side").field("image"), "x");
        let body = claim.body(&live, &BTreeMap::new());
        let names = |items: &Value| {
            items.as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let containers = &body["spec"]["template"]["spec"]["containers"];
        assert_eq!(names(containers), ["side", "api"]);
        assert_eq!(names(&containers[1]["env"]), ["Z", "B", "A", "C"]);
    }

    #[test]
    fn a_manifest_without_uid_makes_a_body_without_preconditions() {
        let mut manifest = object();
        manifest.meta = Meta::default();
        let claim = Claim::from_iter([(FieldPath::of(&["spec", "replicas"]), json!(2))]);
        let body = claim.body(&manifest, &BTreeMap::new());
        assert_eq!(body["metadata"], json!({"name": "api", "namespace": "shop"}));
        assert_eq!(body["spec"], json!({"replicas": 2}));
    }

    #[test]
    fn the_hash_stands_for_paths_and_values_and_not_for_their_order() {
        let a = (container("a").field("image"), json!("x"));
        let b = (FieldPath::of(&["spec", "replicas"]), json!(2));
        let hash = Claim::from_iter([a.clone(), b.clone()]).hash();
        assert_eq!(hash, Claim::from_iter([b.clone(), a.clone()]).hash());
        assert_eq!(hash, "f1d1a3bea2a15b6c");
        assert_ne!(hash, Claim::from_iter([a, (b.0, json!("2"))]).hash());
    }

    fn leaf() -> impl Strategy<Value = (FieldPath, Value)> {
        let name = "[a-d]";
        prop_oneof![
            (name, "[A-E]").prop_map(|(c, e)| container(&c).field("env").key("name", e).field("value")),
            (name, "[a-c]").prop_map(|(c, r)| container(&c).field("resources").field("limits").field(&r)),
            (name, 1..4, "TCP|UDP").prop_map(|(c, port, protocol)| {
                container(&c)
                    .field("ports")
                    .keys([("containerPort", json!(port)), ("protocol", json!(protocol))])
                    .field("hostPort")
            }),
            Just(FieldPath::of(&["spec", "replicas"])),
            name.prop_map(|k| FieldPath::of(&["spec", "template", "metadata", "annotations", &k])),
        ]
        .prop_flat_map(|path| {
            (Just(path), prop_oneof![any::<i32>().prop_map(Value::from), ".{0,5}".prop_map(Value::from)])
        })
    }

    proptest! {
        #[test]
        fn the_server_records_exactly_the_claim(leaves in proptest::collection::vec(leaf(), 0..20)) {
            let claim = Claim::from_iter(leaves);
            let mut body = claim.body(&object(), &BTreeMap::new());
            for member in ["apiVersion", "kind", "metadata"] {
                body.as_object_mut().unwrap().remove(member);
            }
            let mut set = FieldSet::default();
            recorded(&body, &FieldPath::default(), &mut set);
            if !claim.is_empty() {
                prop_assert_eq!(set, claim.fields(&BTreeMap::new()));
            }
            for (path, value) in &claim.leaves {
                prop_assert_eq!(path.lookup(&body), Some(value));
            }
        }
    }
}
