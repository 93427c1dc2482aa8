//! Language runtimes: memory and processors of a JVM, of Node.js, of Go and of Python, in the terms of each.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{Literal, rules},
    OnConflict, Readback,
};

/// What the language runtimes of the target are told. Each section is for one container; a second container with the same
/// runtime takes knobs with `option` or `env` and a `container`, or a policy of its own.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = ("has(self.jvm) || has(self.node) || has(self.go) || has(self.python)", "at least one of jvm, node, go and python must be set"))]
pub struct Runtime {
    /// A JVM: options in `JAVA_TOOL_OPTIONS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jvm: Option<Jvm>,
    /// Node.js: options in `NODE_OPTIONS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
    /// Go: GOMEMLIMIT, GOMAXPROCS and GOGC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go: Option<Go>,
    /// Python 3.13 and later: `PYTHON_CPU_COUNT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<Python>,
}

/// A value of a runtime, whose landing place is known.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuntimeValue {
    /// The value, or a formula such as = limits.memory - 600Mi. What a formula of a size gives is rounded down to whole
    /// mebibytes.
    pub value: Literal,
    /// Smallest value that may ever be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Literal>,
    /// Largest value that may ever be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Literal>,
    /// Where every pod tells the value that it runs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Readback>,
}

/// A garbage collector of the JVM.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum Collector {
    /// For one core and small heaps.
    Serial,
    /// For throughput.
    Parallel,
    /// Region by region, with a goal for pauses.
    G1,
    /// Concurrent, with very short pauses (JDK 15 and later).
    Z,
    /// Concurrent, with very short pauses, of some builds.
    Shenandoah,
}

impl Collector {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serial => "Serial",
            Self::Parallel => "Parallel",
            Self::G1 => "G1",
            Self::Z => "Z",
            Self::Shenandoah => "Shenandoah",
        }
    }
}

/// A JVM.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Jvm {
    /// Container that it runs in. Default: the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub container: Option<String>,
    /// Largest heap (-Xmx).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_size)]
    pub heap_max: Option<RuntimeValue>,
    /// Heap at the start (-Xms); at most heapMax.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_size)]
    pub heap_min: Option<RuntimeValue>,
    /// Memory beside the heap (metaspace, code, threads, buffers), such as 600Mi. It is written nowhere: heapMax and it
    /// together must fit below the memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::size_or_formula)]
    pub non_heap: Option<Literal>,
    /// Name of an entry of workers with unit Process: so many JVMs have a heap each, and all of them must fit below the memory
    /// limit. Omitted: one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub per_worker: Option<String>,
    /// Garbage collector: Serial, Parallel, G1, Z or Shenandoah.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collector: Option<Collector>,
    /// Pause that the collector aims at (-XX:MaxGCPauseMillis).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_duration)]
    pub max_pause: Option<RuntimeValue>,
    /// Whether the heap is touched at the start (-XX:+AlwaysPreTouch).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_pre_touch: Option<bool>,
    /// Whether references are processed in parallel (-XX:+ParallelRefProcEnabled).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_ref_proc: Option<bool>,
    /// What to do when somebody else owns `JAVA_TOOL_OPTIONS`: Yield (default) or `TakeOver`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// Node.js.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Container that it runs in. Default: the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub container: Option<String>,
    /// Old generation of one process (--max-old-space-size). That of all processes must be at most 80% of the memory
    /// limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_size)]
    pub max_old_space: Option<RuntimeValue>,
    /// Name of an entry of workers with unit Process: so many processes have a heap each. Omitted: one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub per_worker: Option<String>,
    /// What to do when somebody else owns `NODE_OPTIONS`: Yield (default) or `TakeOver`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// Go.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Go {
    /// Container that it runs in. Default: the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub container: Option<String>,
    /// Soft limit of memory (GOMEMLIMIT); below the memory limit, usually 90% of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_size)]
    pub memory_limit: Option<RuntimeValue>,
    /// Threads that run Go code at once (GOMAXPROCS). Go 1.25 and later follow the CPU limit where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_count)]
    pub max_procs: Option<RuntimeValue>,
    /// Growth of the heap in percent that begins a collection (GOGC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_count)]
    pub gc_percent: Option<RuntimeValue>,
    /// What to do when somebody else owns one of the variables: Yield (default) or `TakeOver`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// Python.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Python {
    /// Container that it runs in. Default: the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub container: Option<String>,
    /// Processors that Python believes to have (`PYTHON_CPU_COUNT`, read by Python 3.13 and later), such as = ceil(limits.cpu).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_count)]
    pub cpu_count: Option<RuntimeValue>,
    /// What to do when somebody else owns `PYTHON_CPU_COUNT`: Yield (default) or `TakeOver`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}
