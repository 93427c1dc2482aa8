//! Whom a question names: all that are wanted, in queries of some hundred names each, or nobody, because most of the cluster is
//! wanted anyway.
//!
//! A query that names nobody costs what all series of its metric cost. One that names workloads costs its share of them, and
//! about as much again for each query more; `make bench-sweep` measures both. A name's query follows from the name alone, so
//! that an edit of one policy changes the text of one query, and not of all.

use std::collections::BTreeSet;

use crate::core::promql::SeriesKey;

/// So many names are always listed: one query with a few names is cheap, and keeps a question from reading series of others.
const FEW: usize = 200;
/// Names of a query, at most on average.
const NAMES: usize = 800;
/// Names of a query, below which there are too many queries.
const TOO_FEW_NAMES: usize = 200;
/// Names are listed as long as no more than one in so many workloads of the cluster is wanted, and the other bound is where a
/// question that lists them stops.
const SHARE: usize = 2;

/// How a question is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One query that names nobody.
    Everybody,
    /// So many queries (a power of two), each of which names its part.
    Named(u16),
}

impl Layout {
    /// The way to ask about so many names in a cluster of so many workloads. It stays as it was `before` as long as that is not
    /// far off: another one begins all queries of the question anew.
    pub fn of(names: usize, workloads: usize, before: Option<Self>) -> Self {
        // One more in five, so that nobody goes to and fro.
        let lists = match before {
            Some(Self::Named(_)) => names * SHARE * 5 <= workloads * 6,
            Some(Self::Everybody) | None => names * SHARE <= workloads,
        };
        if names > FEW && !lists && before.is_none_or(|before| before == Self::Everybody || names > FEW * 6 / 5) {
            return Self::Everybody;
        }
        if let Some(Self::Named(queries)) = before {
            let each = names / usize::from(queries.max(1));
            if each <= NAMES && (each >= TOO_FEW_NAMES || queries == 1) {
                return Self::Named(queries);
            }
        }
        let queries = names.div_ceil(NAMES).next_power_of_two();
        u16::try_from(queries).map_or(Self::Everybody, Self::Named)
    }

    /// Which of its queries a name belongs to.
    pub fn query_of(self, name: u64) -> u16 {
        match self {
            Self::Everybody => 0,
            Self::Named(queries) => u16::try_from(name & u64::from(queries.saturating_sub(1))).unwrap_or_default(),
        }
    }
}

/// A number that follows from the name that a query would list: of the workload, or else the namespace.
pub(super) fn number_of(key: &SeriesKey) -> u64 {
    hash([key.workload.as_deref().unwrap_or(&key.namespace)])
}

/// A number that follows from these texts (FNV-1a, with the bits mixed as in `splitmix64`): the same in every process.
pub(super) fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for text in texts {
        // No text has 0xff, so that texts are told apart.
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The namespaces of all that are wanted: what a query lists that names no workload.
pub(super) fn namespaces(wanted: &BTreeSet<SeriesKey>) -> BTreeSet<SeriesKey> {
    let names: BTreeSet<&str> = wanted.iter().map(|key| &*key.namespace).collect();
    names.into_iter().map(SeriesKey::namespace).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    #[test]
    fn few_are_named_and_most_are_not() {
        for (names, workloads, layout) in [
            (1, 1, Layout::Named(1)),
            (200, 200, Layout::Named(1)),
            (201, 201, Layout::Everybody),
            (800, 10_000, Layout::Named(1)),
            (1_000, 10_000, Layout::Named(2)),
            (5_000, 10_000, Layout::Named(8)),
            (5_001, 10_000, Layout::Everybody),
            (10_000, 10_000, Layout::Everybody),
        ] {
            assert_eq!(Layout::of(names, workloads, None), layout, "{names} of {workloads}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// An edit that adds or removes a few names keeps the layout, so that at most their own queries change.
        #[test]
        fn a_layout_outlasts_small_edits(names in 1..20_000_usize, workloads in 1..20_000_usize, edits in 0..20_usize) {
            let before = Layout::of(names, workloads, None);
            for names in [names.saturating_sub(edits).max(1), names + edits] {
                let next = Layout::of(names, workloads, Some(before));
                prop_assert_eq!(Layout::of(names, workloads, Some(next)), next, "it comes to rest");
                if let (Layout::Named(a), Layout::Named(b)) = (before, next) {
                    // Doubled where an average reaches its bound, never to and fro.
                    prop_assert!(a == b || (a * 2 == b && names / usize::from(a) > NAMES), "{a} {b}");
                }
            }
        }

        /// Names are spread evenly enough that no query lists more than a query may.
        #[test]
        fn no_query_lists_too_many(names in btree_set(any::<u16>(), 801..3000), prefix in "[a-z]{0,9}") {
            let names: Vec<String> = names.into_iter().map(|number| format!("{prefix}-{number}")).collect();
            let layout = Layout::of(names.len(), usize::MAX / 4, None);
            let Layout::Named(queries) = layout else { panic!("named") };
            for query in 0..queries {
                let listed = names.iter().filter(|name| layout.query_of(number_of(&SeriesKey::workload("n", name))) == query);
                let listed = listed.count();
                prop_assert!((200..=1000).contains(&listed), "{listed} of {} in {queries}", names.len());
            }
        }
    }
}
