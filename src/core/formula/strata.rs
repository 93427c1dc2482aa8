//! In which order formulas are worked out, so that nothing runs in circles.
//!
//! Values are cut into strata, and a formula reads its own stratum or a lower one. That alone excludes the circles that
//! are hard to see, such as a limit that follows from a share that follows from the limit; a circle inside one stratum
//! is found and told as a path.

use std::fmt;

/// A layer of a policy. A formula reads its own layer or a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stratum {
    /// S0: limits, requests, replicas, workers, profile.
    Base,
    /// S1: shares of connection budgets.
    Shares,
    /// S2: everything else: pools, caches, settings, runtime, kernel, thresholds.
    Derived,
}

impl Stratum {
    /// The stratum of what a path begins with; nothing for what formulas cannot read.
    #[must_use]
    pub fn of(root: &str) -> Option<Self> {
        match root {
            "resources" | "limits" | "requests" | "replicas" | "workers" | "profile" => Some(Self::Base),
            "budgets" | "shares" => Some(Self::Shares),
            "pools" | "caches" | "settings" | "runtime" | "kernel" | "thresholds" => Some(Self::Derived),
            _ => None,
        }
    }

    const fn contents(self) -> &'static str {
        match self {
            Self::Base => "limits, requests, replicas, workers and the profile",
            Self::Shares => "budget shares",
            Self::Derived => "pools, caches, settings and runtime",
        }
    }
}

impl fmt::Display for Stratum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Base => "S0",
            Self::Shares => "S1",
            Self::Derived => "S2",
        })
    }
}

/// Values and what they are worked out from.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
struct Node {
    path: Box<str>,
    stratum: Stratum,
    feeds_budget: bool,
    reads: Vec<usize>,
}

/// A value of one [`Graph`]. They are numbered from 0 in the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

impl NodeId {
    /// The number.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

impl Graph {
    /// Adds the value at `path`.
    pub fn add(&mut self, path: &str, stratum: Stratum) -> NodeId {
        self.nodes.push(Node { path: path.into(), stratum, feeds_budget: false, reads: Vec::new() });
        NodeId(self.nodes.len() - 1)
    }

    /// Notes that the formula of `reader` refers to `read`. Both come from this graph; of another graph they are
    /// nothing.
    pub fn read(&mut self, reader: NodeId, read: NodeId) {
        if read.0 < self.nodes.len()
            && let Some(node) = self.nodes.get_mut(reader.0)
        {
            node.reads.push(read.0);
        }
    }

    /// Notes that a budget's request follows from this value, so that it may not follow from a share.
    pub fn feed_budget(&mut self, feeder: NodeId) {
        if let Some(node) = self.nodes.get_mut(feeder.0) {
            node.feeds_budget = true;
        }
    }

    /// All values, each after those that it reads, otherwise in the order in which they were added. Takes time
    /// proportional to the number of values and references.
    ///
    /// # Errors
    /// Everything that makes the order impossible. Of circles that share a value, one is told.
    pub fn order(&self) -> Result<Vec<NodeId>, Vec<GraphError>> {
        let mut wrong = Vec::new();
        for node in &self.nodes {
            for read in node.reads.iter().filter_map(|&read| self.nodes.get(read)) {
                if read.stratum > node.stratum {
                    wrong.push(GraphError::Upward {
                        path: node.path.clone(),
                        stratum: node.stratum,
                        reads: read.path.clone(),
                        of: read.stratum,
                    });
                }
            }
        }
        let order = match Search::run(&self.nodes) {
            Ok(order) => order,
            Err(cycles) => {
                wrong.extend(cycles.into_iter().map(|cycle| GraphError::Cycle { path: self.names(cycle) }));
                return Err(wrong);
            }
        };
        wrong.extend(self.requests_that_read_shares(&order));
        if wrong.is_empty() { Ok(order.into_iter().map(NodeId).collect()) } else { Err(wrong) }
    }

    fn requests_that_read_shares(&self, order: &[usize]) -> Vec<GraphError> {
        let mut wrong = Vec::new();
        // Of each value that follows from a share, the next one on the way there; a share is its own.
        let mut towards_share: Vec<Option<usize>> = vec![None; self.nodes.len()];
        for &index in order {
            let Some(node) = self.nodes.get(index) else { continue };
            let next = if node.stratum == Stratum::Shares {
                Some(index)
            } else {
                node.reads.iter().copied().find(|&read| towards_share.get(read).is_some_and(Option::is_some))
            };
            if let Some(found) = towards_share.get_mut(index) {
                *found = next;
            }
            if node.feeds_budget && next.is_some() {
                let follow = |&at: &usize| towards_share.get(at).copied().flatten().filter(|&next| next != at);
                let way = std::iter::successors(Some(index), follow);
                wrong.push(GraphError::RequestReadsShare { path: self.names(way) });
            }
        }
        wrong
    }

    fn names(&self, indexes: impl IntoIterator<Item = usize>) -> Vec<Box<str>> {
        indexes.into_iter().filter_map(|index| Some(self.nodes.get(index)?.path.clone())).collect()
    }
}

/// A depth-first search without recursion, because a chain of references may be as long as a policy.
struct Search<'a> {
    nodes: &'a [Node],
    states: Vec<State>,
    /// The way from the start to here: values and how many of their references have been followed.
    way: Vec<(usize, usize)>,
    /// Positions on the way of values that are part of a circle which has been found, ascending.
    found: Vec<usize>,
    order: Vec<usize>,
    cycles: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// With the position on the way.
    OnTheWay(usize),
    Done,
}

impl<'a> Search<'a> {
    fn run(nodes: &'a [Node]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
        let states = vec![State::New; nodes.len()];
        let mut search =
            Self { nodes, states, way: Vec::new(), found: Vec::new(), order: Vec::new(), cycles: Vec::new() };
        for start in 0..nodes.len() {
            search.enter(start);
            while let Some((node, followed)) = search.way.last_mut() {
                let read = nodes.get(*node).and_then(|node| node.reads.get(*followed));
                *followed += 1;
                match read {
                    Some(&read) => search.follow(read),
                    None => search.leave(),
                }
            }
        }
        if search.cycles.is_empty() { Ok(search.order) } else { Err(search.cycles) }
    }

    fn enter(&mut self, node: usize) {
        if let Some(state @ State::New) = self.states.get_mut(node) {
            *state = State::OnTheWay(self.way.len());
            self.way.push((node, 0));
        }
    }

    fn follow(&mut self, read: usize) {
        let reader = self.way.last().and_then(|(node, _)| self.nodes.get(*node));
        // What reads upward is refused already, and would only make circles of circles.
        let is_upward = match (reader, self.nodes.get(read)) {
            (Some(reader), Some(read)) => read.stratum > reader.stratum,
            _ => true,
        };
        match self.states.get(read) {
            _ if is_upward => {}
            Some(State::New) => self.enter(read),
            Some(&State::OnTheWay(position)) => self.close(position),
            Some(State::Done) | None => {}
        }
    }

    /// Notes the circle from `position` to the end of the way, unless a part of it has been told already: that keeps
    /// both the time and the message short.
    fn close(&mut self, position: usize) {
        if self.found.last().is_some_and(|&last| last >= position) {
            return;
        }
        self.found.extend(position..self.way.len());
        let mut cycle: Vec<usize> = self.way.iter().skip(position).map(|(node, _)| *node).collect();
        // The one that was added first is told first.
        let first = cycle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
        cycle.rotate_left(first);
        cycle.extend(cycle.first().copied());
        self.cycles.push(cycle);
    }

    fn leave(&mut self) {
        if let Some((node, _)) = self.way.pop() {
            if let Some(state) = self.states.get_mut(node) {
                *state = State::Done;
            }
            self.order.push(node);
        }
        if self.found.last() == Some(&self.way.len()) {
            self.found.pop();
        }
    }
}

/// Why values cannot be worked out. The text continues the path of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A value that is worked out before what it reads.
    #[error(
        "must not read {reads}: {} are worked out before {} ({stratum} before {of})",
        stratum.contents(),
        of.contents()
    )]
    Upward {
        /// The value.
        path: Box<str>,
        /// Its stratum.
        stratum: Stratum,
        /// What it reads.
        reads: Box<str>,
        /// The stratum of that.
        of: Stratum,
    },
    /// A value that follows from itself.
    #[error("follows from itself: {}; give one of them a literal value", path.join(" → "))]
    Cycle {
        /// The way around, beginning and ending with the value that was added first.
        path: Vec<Box<str>>,
    },
    /// A request that follows from what is granted.
    #[error(
        "is what a budget is asked for, so it must not follow from a share: {}; give it a value of its own and \
         let the budget lower it",
        path.join(" → ")
    )]
    RequestReadsShare {
        /// The way from the value to the share.
        path: Vec<Box<str>>,
    },
}

impl GraphError {
    /// The value that the message is about.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Upward { path, .. } => path,
            Self::Cycle { path } | Self::RequestReadsShare { path } => path.first().map_or("", |first| first),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A graph of values of one stratum; `edges` are (reader, read).
    fn graph(names: &[&str], edges: &[(usize, usize)]) -> Graph {
        let mut graph = Graph::default();
        let ids: Vec<_> = names.iter().map(|name| graph.add(name, Stratum::Derived)).collect();
        for &(reader, read) in edges {
            graph.read(ids[reader], ids[read]);
        }
        graph
    }

    fn order(graph: &Graph) -> Vec<usize> {
        graph.order().unwrap().into_iter().map(NodeId::index).collect()
    }

    fn messages(graph: &Graph) -> Vec<String> {
        graph.order().unwrap_err().iter().map(|error| format!("{} {error}", error.path())).collect()
    }

    #[test]
    fn what_is_read_comes_first_and_the_rest_keeps_its_order() {
        assert_eq!(order(&graph(&["a", "b", "c", "d"], &[])), [0, 1, 2, 3]);
        assert_eq!(order(&graph(&["a", "b", "c", "d"], &[(0, 3), (3, 2), (1, 2)])), [2, 3, 0, 1]);
        assert!(order(&Graph::default()).is_empty());
    }

    #[test]
    fn cycles_are_told_as_a_path() {
        let told = "follows from itself:";
        let cure = "; give one of them a literal value";
        assert_eq!(messages(&graph(&["a"], &[(0, 0)])), [format!("a {told} a → a{cure}")]);
        assert_eq!(messages(&graph(&["a", "b"], &[(0, 1), (1, 0)])), [format!("a {told} a → b → a{cure}")]);
        // Entered from outside and in the middle, the path still begins with the first of the circle.
        assert_eq!(
            messages(&graph(&["x", "a", "b", "c"], &[(0, 2), (1, 2), (2, 3), (3, 1)])),
            [format!("a {told} a → b → c → a{cure}")]
        );
        // Two circles apart are two messages, two that share a value are one.
        assert_eq!(messages(&graph(&["a", "b", "c"], &[(0, 0), (1, 2), (2, 1)])).len(), 2);
        assert_eq!(messages(&graph(&["a", "b", "c"], &[(0, 1), (1, 0), (1, 2), (2, 1), (2, 0)])).len(), 1);
    }

    #[test]
    fn a_lower_stratum_does_not_read_a_higher_one() {
        let mut graph = Graph::default();
        let limit = graph.add("resources.api.limits.memory", Stratum::of("resources").unwrap());
        let share = graph.add("shares.db", Stratum::of("shares").unwrap());
        let size = graph.add("pools.db.size", Stratum::of("pools").unwrap());
        graph.read(size, share);
        graph.read(size, limit);
        graph.read(share, limit);
        assert_eq!(order(&graph), [0, 1, 2]);
        graph.read(limit, size);
        assert_eq!(
            messages(&graph),
            ["resources.api.limits.memory must not read pools.db.size: limits, requests, replicas, workers and the \
              profile are worked out before pools, caches, settings and runtime (S0 before S2)"]
        );
    }

    #[test]
    fn a_request_does_not_follow_from_a_share() {
        let mut graph = Graph::default();
        let size = graph.add("pools.db.size", Stratum::Derived);
        let setting = graph.add("settings.half", Stratum::Derived);
        let share = graph.add("shares.cache", Stratum::Shares);
        graph.read(size, setting);
        graph.read(setting, share);
        assert_eq!(order(&graph), [2, 1, 0]);
        graph.feed_budget(size);
        assert_eq!(
            messages(&graph),
            ["pools.db.size is what a budget is asked for, so it must not follow from a share: pools.db.size → \
              settings.half → shares.cache; give it a value of its own and let the budget lower it"]
        );
    }

    #[test]
    fn long_chains_and_dense_circles_take_linear_time() {
        let count = 200_000;
        let mut chain = Graph::default();
        let ids: Vec<_> = (0..count).map(|n| chain.add(&n.to_string(), Stratum::Derived)).collect();
        for pair in ids.windows(2) {
            chain.read(pair[0], pair[1]);
        }
        assert_eq!(order(&chain).first(), Some(&(count - 1)));
        // Every value also reads the first: a circle per value, if all were told.
        for &id in &ids {
            chain.read(id, ids[0]);
        }
        assert_eq!(chain.order().unwrap_err().len(), 1);
    }

    proptest! {
        #[test]
        fn the_order_is_possible_exactly_without_circles(
            count in 1_usize..12, edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..30),
        ) {
            let edges: Vec<_> = edges.into_iter().map(|(a, b)| (a % count, b % count)).collect();
            let names: Vec<_> = (0..count).map(|n| n.to_string()).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let graph = graph(&names, &edges);
            // Reachability, the slow way.
            let mut reaches = vec![vec![false; count]; count];
            for &(a, b) in &edges {
                reaches[a][b] = true;
            }
            for middle in 0..count {
                for a in 0..count {
                    for b in 0..count {
                        reaches[a][b] |= reaches[a][middle] && reaches[middle][b];
                    }
                }
            }
            match graph.order() {
                Ok(order) => {
                    let position = |n: usize| order.iter().position(|id| id.index() == n).unwrap();
                    prop_assert_eq!(order.len(), count);
                    prop_assert!(edges.iter().all(|&(reader, read)| position(read) < position(reader)));
                }
                Err(errors) => {
                    for error in &errors {
                        let GraphError::Cycle { path } = error else { panic!("{error}") };
                        let path: Vec<usize> = path.iter().map(|name| name.parse().unwrap()).collect();
                        prop_assert_eq!(path.first(), path.last());
                        prop_assert!(path.windows(2).all(|step| edges.contains(&(step[0], step[1]))));
                    }
                    // Circles that are told are apart, and a value is on one exactly if it reaches itself.
                    let told: Vec<_> = errors.iter().map(GraphError::path).collect();
                    prop_assert!(!told.is_empty());
                }
            }
            prop_assert_eq!(graph.order().is_err(), (0..count).any(|n| reaches[n][n]));
        }
    }
}
