//! When a stream is completely listed, and with which names.

use std::{collections::BTreeSet, mem};

use crate::core::engine::Listing;

/// Namespace (empty for cluster-scoped kinds) and name.
pub type Name = (Box<str>, Box<str>);

/// The lists of one kind: one part for the cluster, or one per namespace.
#[derive(Debug)]
pub struct Lists {
    parts: Vec<Part>,
}

#[derive(Debug, Default)]
struct Part {
    /// Names that the list under way has shown.
    open: Option<BTreeSet<Name>>,
    /// Whether a list was completed.
    complete: bool,
    /// What exists, kept only where there are several parts: a listing is of all of them.
    names: BTreeSet<Name>,
}

impl Lists {
    pub fn new(parts: usize) -> Self {
        Self { parts: (0..parts).map(|_| Part::default()).collect() }
    }

    /// A list begins.
    pub fn begin(&mut self, part: usize) {
        if let Some(part) = self.parts.get_mut(part) {
            part.open = Some(BTreeSet::new());
        }
    }

    /// A list or a watch shows an object.
    pub fn show(&mut self, part: usize, name: &Name) {
        let several = self.parts.len() > 1;
        if let Some(part) = self.parts.get_mut(part) {
            if let Some(open) = &mut part.open {
                open.insert(name.clone());
            } else if several {
                part.names.insert(name.clone());
            }
        }
    }

    /// A watch says that an object is gone.
    pub fn drop(&mut self, part: usize, name: &Name) {
        if let Some(part) = self.parts.get_mut(part) {
            part.names.remove(name);
        }
    }

    /// A list ends. The listing, if every part has been listed.
    pub fn end(&mut self, part: usize) -> Option<Listing> {
        let several = self.parts.len() > 1;
        let part = self.parts.get_mut(part)?;
        part.names = part.open.take()?;
        part.complete = true;
        if !several {
            return Some(Listing { names: mem::take(&mut part.names) });
        }
        let all = self.parts.iter().all(|part| part.complete);
        all.then(|| Listing { names: self.parts.iter().flat_map(|part| part.names.iter().cloned()).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(namespace: &str, name: &str) -> Name {
        (namespace.into(), name.into())
    }

    #[track_caller]
    fn check(listing: Option<&Listing>, want: &[(&str, &str)]) {
        let want = want.iter().map(|(a, b)| name(a, b)).collect();
        assert_eq!(listing, Some(&Listing { names: want }));
    }

    #[test]
    fn a_cluster_wide_list_tells_what_it_showed_and_keeps_nothing() {
        let mut lists = Lists::new(1);
        lists.begin(0);
        lists.show(0, &name("a", "x"));
        lists.show(0, &name("b", "y"));
        check(lists.end(0).as_ref(), &[("a", "x"), ("b", "y")]);
        lists.show(0, &name("a", "z"));
        assert!(lists.parts[0].names.is_empty());
        lists.begin(0);
        check(lists.end(0).as_ref(), &[]);
    }

    #[test]
    fn a_list_that_breaks_off_begins_anew() {
        let mut lists = Lists::new(1);
        lists.begin(0);
        lists.show(0, &name("a", "old"));
        lists.begin(0);
        lists.show(0, &name("a", "new"));
        check(lists.end(0).as_ref(), &[("a", "new")]);
    }

    #[test]
    fn several_namespaces_are_listed_when_all_are() {
        let mut lists = Lists::new(2);
        lists.begin(0);
        lists.begin(1);
        lists.show(0, &name("a", "x"));
        assert_eq!(lists.end(0), None);
        lists.show(1, &name("b", "y"));
        check(lists.end(1).as_ref(), &[("a", "x"), ("b", "y")]);
    }

    #[test]
    fn a_new_list_of_one_namespace_still_names_what_exists_in_the_others() {
        let mut lists = Lists::new(2);
        for (part, namespace) in ["a", "b"].into_iter().enumerate() {
            lists.begin(part);
            lists.show(part, &name(namespace, "x"));
            lists.end(part);
        }
        lists.show(0, &name("a", "came"));
        lists.drop(0, &name("a", "x"));
        lists.begin(1);
        check(lists.end(1).as_ref(), &[("a", "came")]);
    }
}
