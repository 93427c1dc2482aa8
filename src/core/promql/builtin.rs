//! What the exporters of a cluster say of every pod: cAdvisor (in the kubelet), the kubelet and kube-state-metrics.
//!
//! | builtin | series | exporter |
//! |---|---|---|
//! | `MemoryAvailable` | `container_memory_working_set_bytes`, `kube_pod_container_resource_limits` | cAdvisor, kube-state-metrics |
//! | `VolumeUsed` | `kubelet_volume_stats_used_bytes`, `kubelet_volume_stats_capacity_bytes`, `kube_pod_spec_volumes_persistentvolumeclaims_info` | kubelet, kube-state-metrics |
//! | `CPUThrottled` | `container_cpu_cfs_throttled_periods_total`, `container_cpu_cfs_periods_total` | cAdvisor |
//! | `Restarts` | `kube_pod_container_status_restarts_total` | kube-state-metrics |
//! | `StartupTime` | `kube_pod_status_ready_time`, `kube_pod_start_time` | kube-state-metrics |
//!
//! The limit is that of kube-state-metrics: `container_spec_memory_limit_bytes` is dropped by the most common
//! configuration of Prometheus, and is 0 where there is no limit. The kubelet names volumes by their claims, and only
//! kube-state-metrics knows which pods mount them.

use super::{Selector, frame::Frame};
use crate::core::units::{BaseUnit, MetricUnit};

/// cAdvisor counts a pod as a whole, too, without a container's name.
const OF_CONTAINERS: &str = "container!=\"\"";
/// The kubelet's name for what a volume is claimed by.
const CLAIM: &str = "persistentvolumeclaim";

/// What the exporters of a cluster say of every pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Builtin {
    /// Share of its memory limit that the working set of a container leaves, on average over the window; of the container
    /// where it is least.
    MemoryAvailable,
    /// Share of a claimed volume that is used, on average over the window; of the volume where it is most.
    VolumeUsed,
    /// Share of CPU periods in the window in which containers were throttled.
    CpuThrottled,
    /// Restarts of containers in the window.
    Restarts,
    /// Time from the acceptance of a pod by its node until it was ready; of the pod where it was longest, among those that
    /// started in the window: later, the time of readiness is that of the last time it came back.
    StartupTime,
}

impl Builtin {
    /// All builtins.
    pub const ALL: [Self; 5] =
        [Self::MemoryAvailable, Self::VolumeUsed, Self::CpuThrottled, Self::Restarts, Self::StartupTime];

    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "MemoryAvailable",
            Self::VolumeUsed => "VolumeUsed",
            Self::CpuThrottled => "CPUThrottled",
            Self::Restarts => "Restarts",
            Self::StartupTime => "StartupTime",
        }
    }

    /// The builtin of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.as_str() == name)
    }

    /// The label, beside that of the pod, whose values can be kept apart.
    #[must_use]
    pub const fn part(self) -> Option<&'static str> {
        match self {
            Self::MemoryAvailable | Self::CpuThrottled | Self::Restarts => Some("container"),
            Self::VolumeUsed => Some(CLAIM),
            Self::StartupTime => None,
        }
    }

    pub(super) fn unit(self) -> MetricUnit {
        MetricUnit::base_unit(match self {
            Self::MemoryAvailable | Self::VolumeUsed | Self::CpuThrottled => BaseUnit::Ratio,
            Self::Restarts => BaseUnit::Count,
            Self::StartupTime => BaseUnit::Seconds,
        })
    }

    /// The metric that labels select from.
    pub(super) const fn series(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "container_memory_working_set_bytes",
            Self::VolumeUsed => "kubelet_volume_stats_used_bytes",
            Self::CpuThrottled => "container_cpu_cfs_throttled_periods_total",
            Self::Restarts => "kube_pod_container_status_restarts_total",
            Self::StartupTime => "kube_pod_status_ready_time",
        }
    }

    /// The query. Several instances of an exporter may say the same thing, so that every side of an operation is reduced
    /// to the labels that it is matched by.
    pub(super) fn expr(self, frame: &Frame<'_>, selector: &Selector) -> String {
        let over =
            |function: &str, selector: &Selector, own: &str| format!("{function}({})", frame.range(selector, "", own));
        let labels = frame.attribution;
        match self {
            Self::MemoryAvailable => {
                let each = labels.pod_labels(["container"]);
                let used = over("avg_over_time", selector, OF_CONTAINERS);
                let limit = Selector::named("kube_pod_container_resource_limits");
                let limit = over("avg_over_time", &limit, "resource=\"memory\"");
                frame.each("min", &format!("1 - max by ({each}) ({used}) / max by ({each}) ({limit})"))
            }
            Self::VolumeUsed => {
                let claim = labels.namespace_labels(CLAIM);
                let side = |selector: &Selector| {
                    format!("max by ({claim}) (avg_over_time({}))", frame.namespace_range(selector))
                };
                let (used, capacity) = (side(selector), side(&selector.of("kubelet_volume_stats_capacity_bytes")));
                frame.each("max", &mounted(frame, &format!("{used} / {capacity}")))
            }
            Self::CpuThrottled => {
                let periods = selector.of("container_cpu_cfs_periods_total");
                let sum = |selector: &Selector| frame.each("sum", &over("rate", selector, OF_CONTAINERS));
                format!("{} / {}", sum(selector), sum(&periods))
            }
            Self::Restarts => {
                // Exactly as many as there were: `increase` extrapolates, and would make four of three.
                // Instances of the exporter that follow one another count on where the one before has ended.
                let each = labels.pod_labels(["container", "uid"]);
                let (last, first) = (over("max_over_time", selector, ""), over("min_over_time", selector, ""));
                frame.each("sum", &format!("max by ({each}) ({last}) - min by ({each}) ({first})"))
            }
            Self::StartupTime => {
                // A pod that was unready for a while became ready again: the first time counts, and only of a pod that
                // started in the window the first time is known.
                let each = labels.pod_labels(["uid"]);
                let ready = format!("min by ({each}) ({})", over("min_over_time", selector, ""));
                let started = over("max_over_time", &selector.of("kube_pod_start_time"), "");
                let started = format!("max by ({each}) ({started})");
                let window = frame.window.seconds();
                frame.each("max", &format!("{ready} - {started} and {started} > time() - {window}"))
            }
        }
    }

    pub(super) fn freshness(self, frame: &Frame<'_>, selector: &Selector) -> String {
        match self {
            Self::VolumeUsed => {
                let claim = frame.attribution.namespace_labels(CLAIM);
                let newest = format!("max by ({claim}) (timestamp({}))", frame.namespace_instant(selector));
                frame.whole("max", &mounted(frame, &newest))
            }
            Self::MemoryAvailable | Self::CpuThrottled => {
                frame.whole("max", &format!("timestamp({})", frame.instant(selector, "", OF_CONTAINERS)))
            }
            Self::Restarts | Self::StartupTime => {
                frame.whole("max", &format!("timestamp({})", frame.instant(selector, "", "")))
            }
        }
    }
}

/// What is known of claims, for every pod that mounts one.
fn mounted(frame: &Frame<'_>, of_claims: &str) -> String {
    let (claim, each) = (frame.attribution.namespace_labels(CLAIM), frame.attribution.pod_labels([CLAIM]));
    let mounts = Selector::named("kube_pod_spec_volumes_persistentvolumeclaims_info");
    let mounts = frame.instant(&mounts, "", "");
    // The value of an information metric is 1.
    format!("max by ({each}) ({mounts}) * on ({claim}) group_left () ({of_claims})")
}
