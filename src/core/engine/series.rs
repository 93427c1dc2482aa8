//! What a metrics backend answers: series, packed, because a sweep of ten thousand workloads holds as many of them.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use serde::{Serialize, Serializer};

use crate::api::conditions::Reason;

/// Answer of a metrics backend to one query.
pub type Answer = Result<Vec<Series>, Refusal>;

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels, as far as whoever asked reads them.
    pub labels: Labels,
    /// Time in seconds since the epoch and value: one of an instant query, several of a range query.
    pub points: Vec<(f64, f64)>,
}

/// Why a metrics backend gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The finite reason.
    pub reason: Reason,
    /// Status code and error class; never the body.
    pub message: String,
}

/// Labels of a series. The names are shared by all series of an answer, and the values are one text. A label without a value
/// is one that the series does not have.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    names: Arc<[Box<str>]>,
    text: Box<str>,
    /// Where each value ends.
    ends: Box<[u32]>,
}

impl Labels {
    /// Labels of these names, each with its value.
    #[must_use]
    pub fn packed(names: &Arc<[Box<str>]>, values: &[String]) -> Self {
        let mut end = 0;
        let end_of = |value: &String| {
            end += value.len();
            u32::try_from(end).unwrap_or(u32::MAX)
        };
        Self { names: Arc::clone(names), ends: values.iter().map(end_of).collect(), text: values.concat().into() }
    }

    /// The value of a label; nothing if the series does not have it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.names.iter().position(|known| **known == *name)?;
        Some(self.value(at)).filter(|value| !value.is_empty())
    }

    /// Names and values of all labels that the series has.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.names.iter().enumerate().map(|(at, name)| (&**name, self.value(at)));
        all.filter(|(_, value)| !value.is_empty())
    }

    /// Sets one label.
    pub fn insert(&mut self, name: &str, value: &str) {
        let all = self.iter().filter(|(known, _)| *known != name).chain([(name, value)]);
        *self = all.map(|(name, value)| (Box::from(name), Box::from(value))).collect();
    }

    fn value(&self, at: usize) -> &str {
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let from = at.checked_sub(1).map_or(0, end);
        self.text.get(from..end(at)).unwrap_or_default()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.iter().collect::<BTreeMap<_, _>>() == other.iter().collect::<BTreeMap<_, _>>()
    }
}

impl Eq for Labels {}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// In the order of what they say, whatever order their names are kept in.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().collect::<BTreeMap<_, _>>().cmp(&other.iter().collect())
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().collect::<BTreeMap<_, _>>())
    }
}

impl FromIterator<(Box<str>, Box<str>)> for Labels {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Box<str>)>>(labels: I) -> Self {
        let labels: BTreeMap<Box<str>, Box<str>> = labels.into_iter().collect();
        let values: Vec<String> = labels.values().map(ToString::to_string).collect();
        Self::packed(&labels.into_keys().collect(), &values)
    }
}

impl<const N: usize> From<[(Box<str>, Box<str>); N]> for Labels {
    fn from(labels: [(Box<str>, Box<str>); N]) -> Self {
        labels.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn packed_labels_are_those_that_were_packed(labels in btree_map(any::<String>(), any::<String>(), 0..6)) {
            let packed: Labels = labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
            for (name, value) in &labels {
                prop_assert_eq!(packed.get(name), Some(value.as_str()).filter(|value| !value.is_empty()));
            }
            let unknown = labels.keys().map(String::as_str).collect::<String>() + "x";
            prop_assert_eq!(packed.get(&unknown), None);
            let mut more = packed.clone();
            more.insert(&unknown, "y");
            prop_assert_eq!(more.get(&unknown), Some("y"));
            prop_assert_eq!(more.iter().count(), packed.iter().count() + 1);
        }
    }
}
