//! The set of fields that one manager owns.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::path::{FieldPath, Segment};
use crate::core::facts::RawJson;

/// The fields that one entry of `managedFields` names: leaves, and items of lists as such (`.` in `FieldsV1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(BTreeSet<FieldPath>);

impl FieldSet {
    /// Reads `FieldsV1`. Forms of a path that nobody knows are left out, as the API server does.
    #[must_use]
    pub fn read(fields: &RawJson) -> Self {
        Self::from_value(&fields.value())
    }

    /// Reads `FieldsV1` that is decoded already.
    #[must_use]
    pub fn from_value(fields: &Value) -> Self {
        let mut paths = BTreeSet::new();
        collect(fields, &FieldPath::default(), &mut paths);
        Self(paths)
    }

    /// The set as `FieldsV1`.
    #[must_use]
    pub fn write(&self) -> Value {
        let paths: Vec<_> = self.0.iter().map(FieldPath::segments).collect();
        emit(&paths)
    }

    /// The paths, in order.
    pub fn iter(&self) -> impl Iterator<Item = &FieldPath> {
        self.0.iter()
    }

    /// Number of paths.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is owned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether exactly this path is a member. Two managers conflict on members, never on ancestors.
    #[must_use]
    pub fn contains(&self, path: &FieldPath) -> bool {
        self.0.contains(path)
    }

    /// Whether the owner of the set has a say over `path`: the path itself, something below it, or an atomic ancestor (a
    /// whole list or reference that nobody can own in parts).
    #[must_use]
    pub fn covers(&self, path: &FieldPath) -> bool {
        self.has_at_or_below(path)
            || path.segments().iter().enumerate().skip(1).any(|(i, next)| {
                let ancestor = FieldPath::new(path.segments()[..i].to_vec());
                is_atomic(&ancestor, next) && self.contains(&ancestor)
            })
    }

    /// Whether no value is owned, only list items with the members that identify them: what is left of a claim when somebody
    /// put the whole object back, because a container outlives its variables.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.0.iter().all(|path| match path.segments() {
            [.., Segment::Key(keys), Segment::Field(member)] => keys.contains_key(&**member),
            [.., Segment::Key(_)] => true,
            _ => false,
        })
    }

    /// Adds a path.
    pub fn insert(&mut self, path: FieldPath) {
        self.0.insert(path);
    }

    /// Takes out `path` and everything below it, then every list item of which nothing is left but its own identity: an
    /// owner of a bare item would delete the item, and whatever others wrote into it, with its next apply. Says whether
    /// anything went.
    pub fn remove(&mut self, path: &FieldPath) -> bool {
        let before = self.0.len();
        self.0.retain(|member| !member.is_at_or_below(path));
        if self.0.len() == before {
            return false;
        }
        let mut ancestor = path.parent();
        while let Some(item) = ancestor {
            if let Some(Segment::Key(keys)) = item.segments().last() {
                let identity: Vec<_> = keys.keys().map(|name| item.clone().field(name)).collect();
                let bare = self.below(&item).all(|member| *member == item || identity.contains(member));
                if bare {
                    self.0.retain(|member| !member.is_at_or_below(&item));
                }
            }
            ancestor = item.parent();
        }
        true
    }

    fn has_at_or_below(&self, path: &FieldPath) -> bool {
        self.below(path).next().is_some()
    }

    /// Members at or below `path`: neighbours in the order of paths.
    fn below<'a>(&'a self, path: &'a FieldPath) -> impl Iterator<Item = &'a FieldPath> {
        self.0.range(path..).take_while(|member| member.is_at_or_below(path))
    }
}

impl FromIterator<FieldPath> for FieldSet {
    fn from_iter<I: IntoIterator<Item = FieldPath>>(paths: I) -> Self {
        Self(paths.into_iter().collect())
    }
}

/// Whether a member `ancestor`, followed by `next`, is owned as a whole only. A list that is addressed by position or value
/// has no schema for parts; maps and structures are owned in parts unless they are one of those below.
fn is_atomic(ancestor: &FieldPath, next: &Segment) -> bool {
    match (ancestor.segments().last(), next) {
        (Some(Segment::Field(_)), Segment::Index(_)) => true,
        (Some(Segment::Field(name)), Segment::Field(_)) => ATOMIC_STRUCTURES.contains(&&**name),
        _ => false,
    }
}

/// Structures that Kubernetes' schema declares atomic and that a workload carries.
const ATOMIC_STRUCTURES: [&str; 8] = [
    "selector",
    "labelSelector",
    "nodeSelector",
    "configMapKeyRef",
    "secretKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "scaleTargetRef",
];

fn collect(fields: &Value, path: &FieldPath, out: &mut BTreeSet<FieldPath>) {
    let Value::Object(members) = fields else { return };
    let mut children = 0_usize;
    for (key, child) in members {
        if key == "." {
            out.insert(path.clone());
        } else if let Some(segment) = Segment::from_wire(key) {
            children += 1;
            collect(child, &path.clone().then(segment), out);
        }
    }
    if children == 0 && !path.segments().is_empty() {
        out.insert(path.clone());
    }
}

/// `FieldsV1` of sorted paths; an empty path among them is the node itself.
fn emit(paths: &[&[Segment]]) -> Value {
    let mut node = Map::new();
    for group in paths.chunk_by(|a, b| a.first() == b.first()) {
        match group.first().and_then(|path| path.first()) {
            Some(segment) => {
                let tails: Vec<_> = group.iter().map(|path| &path[1..]).collect();
                node.insert(segment.wire(), emit(&tails));
            }
            // A leaf is `{}`; only what has members below it needs to say that it is a member too.
            None if paths.len() > 1 => drop(node.insert(".".to_owned(), Value::Object(Map::new()))),
            None => {}
        }
    }
    Value::Object(node)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::path::tests::path, *};

    fn sample() -> Value {
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"api\"}": {
            ".": {}, "f:name": {}, "f:args": {}, "f:resources": {},
            "f:env": {"k:{\"name\":\"X\"}": {".": {}, "f:name": {}, "f:value": {}}}}}}}}})
    }

    fn container() -> FieldPath {
        FieldPath::of(&["spec", "template", "spec", "containers"]).key("name", "api")
    }

    fn env(name: &str) -> FieldPath {
        container().field("env").key("name", name)
    }

    #[test]
    fn members_are_leaves_and_items() {
        let set = FieldSet::from_value(&sample());
        assert_eq!(set.len(), 7);
        for path in [container(), container().field("name"), env("X"), env("X").field("value")] {
            assert!(set.contains(&path), "{path}");
        }
        assert!(!set.contains(&container().field("env")));
        assert_eq!(set.write(), sample());
    }

    #[test]
    fn an_atomic_ancestor_covers_and_an_empty_structure_does_not() {
        let set = FieldSet::from_value(&sample());
        assert!(set.covers(&container().field("args").then(Segment::Index(0))));
        assert!(set.covers(&FieldPath::of(&["spec", "template"])));
        assert!(!set.covers(&container().field("resources").field("limits").field("cpu")));
        assert!(!set.covers(&env("Y")));
        assert!(!set.covers(&env("X").field("valueFrom")));
    }

    #[test]
    fn an_item_goes_with_its_last_field_and_the_container_with_its_last_item() {
        let claim: FieldSet = [container(), container().field("name")]
            .into_iter()
            .chain(["X", "Y"].into_iter().flat_map(|n| [env(n), env(n).field("name"), env(n).field("value")]))
            .collect();
        let mut set = claim.clone();
        assert!(!set.is_bare());
        let bare: FieldSet = set
            .iter()
            .filter(|path| !path.is_at_or_below(&env("X")) && !path.is_at_or_below(&env("Y")))
            .cloned()
            .collect();
        assert!(bare.is_bare() && !bare.is_empty());
        assert!(set.remove(&env("X").field("value")));
        assert!(!set.covers(&env("X")));
        assert!(set.contains(&env("Y").field("value")) && set.contains(&container()));
        assert!(set.remove(&env("Y")));
        assert!(set.is_empty());
        assert!(!set.remove(&env("Y")));
    }

    #[test]
    fn unknown_forms_are_left_out() {
        let set = FieldSet::from_value(&json!({"f:a": {}, "z:b": {}, "k:nonsense": {}, "": {}}));
        assert_eq!(set.iter().map(ToString::to_string).collect::<Vec<_>>(), [".a"]);
    }

    proptest! {
        #[test]
        fn a_set_survives_the_wire(paths in proptest::collection::vec(path(), 0..12)) {
            let set: FieldSet = paths.into_iter().collect();
            prop_assert_eq!(FieldSet::from_value(&set.write()), set);
        }

        #[test]
        fn what_is_removed_is_not_covered_below(paths in proptest::collection::vec(path(), 1..12), i in any::<prop::sample::Index>()) {
            let mut set: FieldSet = paths.iter().cloned().collect();
            let gone = i.get(&paths);
            set.remove(gone);
            prop_assert!(!set.has_at_or_below(gone));
        }
    }
}
