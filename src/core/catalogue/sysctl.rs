//! Kernel parameters: which of them a pod can carry, since when, and what values they take.
//!
//! Safe ones and their versions are those of the kubelet and of the baseline Pod Security standard (Kubernetes 1.37). What is
//! called a parameter of the node has no namespace in Linux: no pod can carry it, however a kubelet is configured.

use std::ops::RangeInclusive;

use crate::core::facts::Release;

/// Who carries a kernel parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The pod: it reaches no other pod of the node. From this version of Kubernetes and of Linux on.
    Safe {
        /// First Kubernetes 1.N that calls it safe; 0: all that are supported.
        since: u32,
        /// First version of Linux that has it in the namespace of the pod; on an older one the kubelet refuses the pod.
        linux: &'static str,
    },
    /// The pod, where an administrator allows it: it is namespaced, but not isolated in every respect.
    Unsafe,
    /// The pod, for all that the name tells: it belongs to a group that the kubelet takes for namespaced.
    Unknown,
    /// The node.
    Node,
}

/// The namespace that a parameter of a pod lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// That of the network.
    Net,
    /// That of shared memory, semaphores and message queues.
    Ipc,
}

/// What values a parameter takes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// So many whole numbers within these bounds, which may have to rise.
    Numbers { count: usize, bounds: RangeInclusive<i64>, rise: bool },
    /// Ports and ranges of ports, separated by commas.
    Ports,
    /// Anything.
    Any,
}

/// Largest value of a C `int`.
const INT: i64 = i32::MAX as i64;
/// Longest value.
pub const MAX_VALUE: usize = 128;

const fn one(low: i64, high: i64) -> Shape {
    Shape::Numbers { count: 1, bounds: low..=high, rise: false }
}

const fn rising(count: usize, low: i64, high: i64) -> Shape {
    Shape::Numbers { count, bounds: low..=high, rise: true }
}

const fn safe(since: u32, linux: &'static str) -> Carrier {
    Carrier::Safe { since, linux }
}

/// What is known of parameters by name.
const KNOWN: &[(&str, Carrier, Shape)] = &[
    ("kernel.shm_rmid_forced", safe(0, ""), one(0, 1)),
    ("net.ipv4.ip_local_port_range", safe(0, ""), rising(2, 1, 65535)),
    ("net.ipv4.tcp_syncookies", safe(0, "4.6"), one(0, 2)),
    // `1 0` is how nobody is said.
    ("net.ipv4.ping_group_range", safe(0, ""), Shape::Numbers { count: 2, bounds: 0..=INT, rise: false }),
    ("net.ipv4.ip_unprivileged_port_start", safe(0, ""), one(0, 65535)),
    ("net.ipv4.ip_local_reserved_ports", safe(27, "3.16"), Shape::Ports),
    ("net.ipv4.tcp_keepalive_time", safe(29, "4.5"), one(1, INT / 1000)),
    ("net.ipv4.tcp_keepalive_intvl", safe(29, "4.5"), one(1, INT / 1000)),
    ("net.ipv4.tcp_keepalive_probes", safe(29, "4.5"), one(1, 255)),
    ("net.ipv4.tcp_fin_timeout", safe(29, "4.6"), one(1, INT / 1000)),
    ("net.ipv4.tcp_rmem", safe(32, "4.15"), rising(3, 1, INT)),
    ("net.ipv4.tcp_wmem", safe(32, "4.15"), rising(3, 1, INT)),
    ("net.ipv4.tcp_slow_start_after_idle", safe(37, "4.15"), one(0, 1)),
    ("net.ipv4.tcp_notsent_lowat", safe(37, "4.6"), one(0, u32::MAX as i64)),
    ("net.core.somaxconn", Carrier::Unsafe, one(1, INT)),
    ("net.ipv4.tcp_max_syn_backlog", Carrier::Unsafe, one(1, INT)),
    ("net.ipv4.tcp_tw_reuse", Carrier::Unsafe, one(0, 2)),
    ("net.ipv4.tcp_max_tw_buckets", Carrier::Unsafe, one(0, INT)),
    ("net.ipv4.tcp_mtu_probing", Carrier::Unsafe, one(0, 2)),
    ("net.ipv4.tcp_syn_retries", Carrier::Unsafe, one(1, 127)),
    ("net.ipv4.tcp_synack_retries", Carrier::Unsafe, one(0, 255)),
    ("net.ipv4.tcp_retries2", Carrier::Unsafe, one(0, 255)),
    ("net.ipv4.tcp_fastopen", Carrier::Unsafe, one(0, INT)),
    ("net.ipv4.tcp_congestion_control", Carrier::Unsafe, Shape::Any),
    ("net.unix.max_dgram_qlen", Carrier::Unsafe, one(1, INT)),
    ("kernel.msgmax", Carrier::Unsafe, one(0, INT)),
    ("kernel.msgmnb", Carrier::Unsafe, one(0, INT)),
    ("kernel.msgmni", Carrier::Unsafe, one(0, INT)),
    ("kernel.sem", Carrier::Unsafe, Shape::Numbers { count: 4, bounds: 1..=INT, rise: false }),
    ("kernel.shmall", Carrier::Unsafe, one(1, i64::MAX)),
    ("kernel.shmmax", Carrier::Unsafe, one(1, i64::MAX)),
    ("kernel.shmmni", Carrier::Unsafe, one(1, 32768)),
    ("fs.mqueue.msg_max", Carrier::Unsafe, one(1, 65536)),
    ("fs.mqueue.msgsize_max", Carrier::Unsafe, one(128, 16_777_216)),
    ("fs.mqueue.queues_max", Carrier::Unsafe, one(0, INT)),
    // Of the network, and all the same the node's.
    ("net.core.busy_poll", Carrier::Node, one(0, INT)),
    ("net.core.busy_read", Carrier::Node, one(0, INT)),
    ("net.core.dev_weight", Carrier::Node, one(1, INT)),
    ("net.core.netdev_budget", Carrier::Node, one(1, INT)),
    ("net.core.netdev_budget_usecs", Carrier::Node, one(0, INT)),
    ("net.core.netdev_max_backlog", Carrier::Node, one(1, INT)),
    ("net.core.optmem_max", Carrier::Node, one(1, INT)),
    ("net.core.rmem_default", Carrier::Node, one(1, INT)),
    ("net.core.rmem_max", Carrier::Node, one(1, INT)),
    ("net.core.wmem_default", Carrier::Node, one(1, INT)),
    ("net.core.wmem_max", Carrier::Node, one(1, INT)),
    ("net.ipv4.tcp_max_orphans", Carrier::Node, one(0, INT)),
    ("net.ipv4.tcp_mem", Carrier::Node, rising(3, 1, i64::MAX)),
    ("net.ipv4.udp_mem", Carrier::Node, rising(3, 1, i64::MAX)),
    ("net.netfilter.nf_conntrack_expect_max", Carrier::Node, one(1, INT)),
    ("net.netfilter.nf_conntrack_max", Carrier::Node, one(1, INT)),
    ("vm.dirty_background_ratio", Carrier::Node, one(0, 100)),
    ("vm.dirty_ratio", Carrier::Node, one(0, 100)),
    ("vm.max_map_count", Carrier::Node, one(1, INT)),
    ("vm.overcommit_memory", Carrier::Node, one(0, 2)),
    ("vm.swappiness", Carrier::Node, one(0, 200)),
    ("fs.file-max", Carrier::Node, one(1, i64::MAX)),
    ("fs.inotify.max_user_instances", Carrier::Node, one(1, INT)),
    ("fs.inotify.max_user_watches", Carrier::Node, one(1, INT)),
    ("fs.nr_open", Carrier::Node, one(8, INT)),
];

/// Who carries the parameter `name`.
#[must_use]
pub fn carrier(name: &str) -> Carrier {
    match known(name) {
        Some((_, carrier, _)) => *carrier,
        None if namespace(name).is_some() => Carrier::Unknown,
        None => Carrier::Node,
    }
}

fn known(name: &str) -> Option<&'static (&'static str, Carrier, Shape)> {
    KNOWN.iter().find(|(known, ..)| *known == name)
}

/// The namespace that the kubelet takes a parameter for one of, by its name.
#[must_use]
pub fn namespace(name: &str) -> Option<Namespace> {
    if name.starts_with("net.") {
        Some(Namespace::Net)
    } else if ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|group| name.starts_with(group))
        || name == "kernel.sem"
    {
        Some(Namespace::Ipc)
    } else {
        None
    }
}

/// The name with dots, as the kubelet reads it: manifests may separate its parts by slashes.
#[must_use]
pub fn normal(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name[first..].starts_with('/') => name
            .chars()
            .map(|char| match char {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// Whether both values are the same to the kernel.
#[must_use]
pub fn is_same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// What a value of `name` must be, continuing its path; `None`: it is that.
#[must_use]
pub fn trouble(name: &str, value: &str) -> Option<String> {
    let shape = known(name).map_or(&Shape::Any, |(.., shape)| shape);
    let shown = value.escape_default();
    match shape {
        Shape::Numbers { count, bounds, rise } => {
            let numbers: Option<Vec<i64>> = value
                .split_whitespace()
                .map(|number| number.parse().ok().filter(|number| bounds.contains(number)))
                .collect();
            let fits = numbers.as_ref().is_some_and(|numbers| numbers.len() == *count);
            let (low, high) = (bounds.start(), bounds.end());
            if !fits {
                return Some(match count {
                    1 => format!("must be a whole number from {low} to {high}, not \"{shown}\""),
                    _ => format!("must be {count} whole numbers from {low} to {high}, not \"{shown}\""),
                });
            }
            let falls = *rise && numbers.is_some_and(|numbers| !numbers.is_sorted());
            falls.then(|| format!("must not fall from one number to the next: \"{shown}\""))
        }
        Shape::Ports => {
            let port = |text: &str| text.parse::<u16>().ok();
            let is_range = |text: &str| match text.split_once('-') {
                Some((low, high)) => matches!((port(low), port(high)), (Some(low), Some(high)) if low <= high),
                None => port(text).is_some(),
            };
            let fits = value.split(',').all(is_range);
            (!fits).then(|| format!("must be ports and ranges of ports such as 8080,9148-9150, not \"{shown}\""))
        }
        Shape::Any => None,
    }
}

/// Why a pod of a cluster of this version may not carry `name` without leave; `None`: it may, or no pod can.
#[must_use]
pub fn needs_leave(name: &str, release: Release) -> Option<String> {
    match carrier(name) {
        Carrier::Safe { since, .. } if release.minor >= since => None,
        Carrier::Safe { since, .. } => {
            Some(format!("it is safe from Kubernetes 1.{since} on, and this cluster's version is {release}"))
        }
        Carrier::Unsafe => Some("Kubernetes does not call it safe: it is not isolated from other pods".into()),
        Carrier::Unknown => Some("nothing is known of it".into()),
        Carrier::Node => None,
    }
}

/// Whether patterns of an administrator give leave to `name`. What nothing is known of has to be named in full: `net.*` does
/// not mean a name that is misspelt.
#[must_use]
pub fn has_leave(name: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| match carrier(name) {
        Carrier::Unknown => **pattern == *name,
        Carrier::Safe { .. } | Carrier::Unsafe | Carrier::Node => super::matches(pattern, name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_one_place_each_and_of_the_group_that_the_kubelet_knows() {
        for (index, (name, carrier, _)) in KNOWN.iter().enumerate() {
            assert!(!KNOWN[..index].iter().any(|(other, ..)| other == name), "{name} twice");
            if *carrier != Carrier::Node {
                assert!(namespace(name).is_some(), "{name}: no kubelet would let a pod carry it");
            }
        }
    }

    #[test]
    fn a_pod_carries_what_is_safe_in_its_version_and_the_node_what_has_no_namespace() {
        let at = |minor| Release { minor, assumed: false };
        for (name, old, new) in [
            ("net.ipv4.ip_local_port_range", true, true),
            ("net.ipv4.tcp_fin_timeout", false, true),
            ("net.ipv4.tcp_rmem", false, true),
            ("net.core.somaxconn", false, false),
            ("net.ipv4.tcp_fin_timeuot", false, false),
            ("vm.swappiness", true, true),
        ] {
            assert_eq!(needs_leave(name, at(28)).is_none(), old, "{name} in 1.28");
            assert_eq!(needs_leave(name, at(37)).is_none(), new, "{name} in 1.37");
        }
        assert!(needs_leave("net.ipv4.tcp_syncookies", Release::UNKNOWN).is_none());
        assert!(needs_leave("net.ipv4.tcp_rmem", Release::UNKNOWN).is_some());
        for name in ["vm.swappiness", "net.core.rmem_max", "fs.file-max", "kernel.pid_max", "user.max_user_namespaces"]
        {
            assert_eq!(carrier(name), Carrier::Node, "{name}");
        }
        assert_eq!(carrier("fs.mqueue.msg_max"), Carrier::Unsafe);
    }

    #[test]
    fn a_pattern_gives_leave_to_what_is_known_and_a_full_name_to_anything() {
        let all = ["net.*".to_owned()];
        assert!(has_leave("net.core.somaxconn", &all));
        assert!(!has_leave("net.ipv4.tcp_fin_timeuot", &all));
        assert!(has_leave("net.ipv4.conf.all.rp_filter", &["net.ipv4.conf.all.rp_filter".to_owned()]));
        assert!(!has_leave("net.core.somaxconn", &[]));
    }

    #[test]
    fn values_have_the_shape_that_the_kernel_reads() {
        for (name, value, right) in [
            ("net.ipv4.tcp_fin_timeout", "15", true),
            ("net.ipv4.tcp_fin_timeout", "0", false),
            ("net.ipv4.tcp_fin_timeout", "15s", false),
            ("net.ipv4.tcp_fin_timeout", "15 16", false),
            ("net.ipv4.tcp_fin_timeout", "99999999999999999999", false),
            ("net.ipv4.tcp_fin_timeout", "", false),
            ("net.ipv4.ip_local_port_range", "1024 65535", true),
            ("net.ipv4.ip_local_port_range", "65535 1024", false),
            ("net.ipv4.ip_local_port_range", "1024 65536", false),
            ("net.ipv4.ip_local_port_range", "1024", false),
            ("net.ipv4.ping_group_range", "1 0", true),
            ("net.ipv4.tcp_rmem", "4096 131072 6291456", true),
            ("net.ipv4.tcp_rmem", "4096 131072", false),
            ("net.ipv4.ip_local_reserved_ports", "8080,9148-9150", true),
            ("net.ipv4.ip_local_reserved_ports", "9150-9148", false),
            ("net.ipv4.ip_local_reserved_ports", "http", false),
            ("net.ipv4.tcp_tw_reuse", "3", false),
            ("net.core.wmem_max", "134217728", true),
            ("net.ipv4.nobody_knows", "whatever", true),
        ] {
            assert_eq!(trouble(name, value).is_none(), right, "{name} = {value:?}: {:?}", trouble(name, value));
        }
    }

    #[test]
    fn slashes_and_dots_name_the_same_parameter() {
        assert_eq!(normal("net/ipv4/tcp_fin_timeout"), "net.ipv4.tcp_fin_timeout");
        assert_eq!(normal("net.ipv4.conf.eth0/100.rp_filter"), "net.ipv4.conf.eth0/100.rp_filter");
        assert_eq!(normal("net/ipv4/conf/eth0.100/rp_filter"), "net.ipv4.conf.eth0/100.rp_filter");
        assert!(is_same("1024\t65535", "1024 65535"));
        assert!(!is_same("1024 65535", "1024 6553"));
    }
}
