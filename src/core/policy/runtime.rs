//! Language runtimes: how their sections become knobs, and whether what they take fits into the memory of their container.
//!
//! The room for the heap is arithmetic over numbers of the policy and of the pod template, so it is pure and public: `lint`
//! says the same sentences as the plan.

use super::{Amount, Field, Given, Invalid, Knob, Landing, Parser, Policy, Range};
use crate::{
    api::{
        Literal, PerformancePolicySpec,
        conditions::Reason,
        policy::{self as wire, OnConflict, RuntimeValue, ValueFormat, WorkerUnit},
    },
    core::{
        formula::Type,
        options,
        units::{Decimal, Value, ValueType},
    },
};

/// A field of a section that has a value of its own.
type Member<'a> = (&'static str, Option<&'a RuntimeValue>, Field, Landing, Option<ValueFormat>);

const SIZE: Field = Field { kind: ValueType::Bytes, range: Range::From(1, "must be > 0") };
const COUNT: Field = Field { kind: ValueType::Integer, range: Range::From(1, "must be ≥ 1") };
/// What sizes of formulas are rounded down to.
const GRAIN: Decimal = Decimal::from_int(1 << 20);

fn option(token: &str) -> Landing {
    options::known(token).map_or(Landing::Variable, Landing::Option)
}

fn env(name: &str) -> Landing {
    Landing::Env(name.into())
}

fn jvm(jvm: &wire::Jvm) -> [Member<'_>; 3] {
    let pause = Field { kind: ValueType::Duration, range: Range::Seconds(0) };
    [
        ("heapMax", jvm.heap_max.as_ref(), SIZE, option(options::HEAP_MAX), None),
        ("heapMin", jvm.heap_min.as_ref(), SIZE, option(options::HEAP_MIN), None),
        ("maxPause", jvm.max_pause.as_ref(), pause, option("-XX:MaxGCPauseMillis"), None),
    ]
}

fn node(node: &wire::Node) -> [Member<'_>; 1] {
    [("maxOldSpace", node.max_old_space.as_ref(), SIZE, option(options::MAX_OLD_SPACE), None)]
}

fn go(go: &wire::Go) -> [Member<'_>; 3] {
    [
        ("memoryLimit", go.memory_limit.as_ref(), SIZE, env(GO_MEMORY_LIMIT), Some(ValueFormat::Go)),
        ("maxProcs", go.max_procs.as_ref(), COUNT, env("GOMAXPROCS"), None),
        ("gcPercent", go.gc_percent.as_ref(), COUNT, env("GOGC"), None),
    ]
}

fn python(python: &wire::Python) -> [Member<'_>; 1] {
    [("cpuCount", python.cpu_count.as_ref(), COUNT, env("PYTHON_CPU_COUNT"), None)]
}

fn switches(jvm: &wire::Jvm) -> [(&'static str, Option<bool>, &'static str); 2] {
    let [touch, references] = options::SWITCHES;
    [("alwaysPreTouch", jvm.always_pre_touch, touch), ("parallelRefProc", jvm.parallel_ref_proc, references)]
}

/// Soft limit of memory of a Go program.
pub const GO_MEMORY_LIMIT: &str = "GOMEMLIMIT";

/// Everything of the sections that formulas may read, and its type.
pub(super) fn members(spec: &PerformancePolicySpec) -> Vec<(String, Type)> {
    let Some(runtime) = &spec.runtime else { return Vec::new() };
    let mut all = Vec::new();
    let mut add = |section: &str, members: &[Member<'_>]| {
        let set = members.iter().filter(|(_, value, ..)| value.is_some());
        all.extend(set.map(|(member, _, field, ..)| (format!("runtime.{section}.{member}"), Type::from(field.kind))));
    };
    if let Some(section) = &runtime.jvm {
        add("jvm", &jvm(section));
    }
    if let Some(section) = &runtime.node {
        add("node", &node(section));
    }
    if let Some(section) = &runtime.go {
        add("go", &go(section));
    }
    if let Some(section) = &runtime.python {
        add("python", &python(section));
    }
    if let Some(section) = &runtime.jvm {
        if section.non_heap.is_some() {
            all.push(("runtime.jvm.nonHeap".to_owned(), ValueType::Bytes.into()));
        }
        if section.collector.is_some() {
            let words = options::COLLECTORS.map(str::to_owned).to_vec();
            all.push(("runtime.jvm.collector".to_owned(), Type::Word(words)));
        }
        let switches = switches(section).into_iter().filter(|(_, on, _)| on.is_some());
        all.extend(switches.map(|(member, ..)| (format!("runtime.jvm.{member}"), ValueType::Boolean.into())));
    }
    all
}

/// Whom the knobs of a section are for.
#[derive(Clone, Copy)]
struct Section<'a> {
    name: &'static str,
    container: Option<&'a str>,
    on_conflict: OnConflict,
}

impl<'a> Parser<'a> {
    pub(super) fn runtime(&mut self, spec: &'a PerformancePolicySpec) {
        let Some(runtime) = &spec.runtime else { return };
        let of = |name, container: &'a Option<String>, on_conflict: Option<OnConflict>| Section {
            name,
            container: container.as_deref(),
            on_conflict: on_conflict.unwrap_or_default(),
        };
        if let Some(section) = &runtime.jvm {
            let whose = of("jvm", &section.container, section.on_conflict);
            self.per_worker(spec, "jvm", section.per_worker.as_deref());
            self.members(whose, jvm(section));
            if let Some(literal) = &section.non_heap {
                self.member(whose, "nonHeap", (literal, None, None), SIZE, (Landing::Variable, None));
            }
            if let Some(collector) = section.collector {
                let value = Value::Enum(collector.as_str().to_owned());
                self.fixed(whose, "collector", value, option(options::COLLECTOR));
            }
            for (member, on, token) in switches(section) {
                if let Some(on) = on {
                    self.fixed(whose, member, Value::Boolean(on), option(token));
                }
            }
        }
        if let Some(section) = &runtime.node {
            self.members(of("node", &section.container, section.on_conflict), node(section));
            self.per_worker(spec, "node", section.per_worker.as_deref());
        }
        if let Some(section) = &runtime.go {
            self.members(of("go", &section.container, section.on_conflict), go(section));
        }
        if let Some(section) = &runtime.python {
            self.members(of("python", &section.container, section.on_conflict), python(section));
        }
    }

    fn per_worker(&mut self, spec: &PerformancePolicySpec, section: &str, worker: Option<&str>) {
        let Some(worker) = worker else { return };
        let group = spec.workers.iter().find(|group| group.name == worker);
        if group.is_none_or(|group| group.unit == Some(WorkerUnit::Thread)) {
            let message = format!("names \"{worker}\", which is not in workers with unit Process");
            self.refuse(Reason::InvalidSpec, format!("runtime.{section}.perWorker"), message);
        }
    }

    fn members<const N: usize>(&mut self, section: Section<'a>, members: [Member<'a>; N]) {
        for (member, value, field, landing, format) in members {
            if let Some(RuntimeValue { value, min, max, effective }) = value {
                let before = self.knobs.len();
                self.member(section, member, (value, min.as_ref(), max.as_ref()), field, (landing, format));
                if self.knobs.len() > before {
                    self.note_readback(effective.as_ref(), true);
                }
            }
        }
    }

    fn member(
        &mut self,
        section: Section<'a>,
        member: &str,
        (value, min, max): (&Literal, Option<&Literal>, Option<&Literal>),
        field: Field,
        (landing, format): (Landing, Option<ValueFormat>),
    ) {
        let path = format!("runtime.{}.{member}", section.name);
        let value = self.given(&path, &field, value, section.container);
        let min = min.and_then(|min| self.given(&format!("{path}.min"), &field, min, section.container));
        let max = max.and_then(|max| self.given(&format!("{path}.max"), &field, max, section.container));
        let Some(value) = value else { return };
        let grain = (field.kind == ValueType::Bytes).then_some(GRAIN);
        self.knobs.push(Knob {
            min,
            max,
            range: field.range,
            grain,
            format,
            ..section.knob(path, field.kind, value, landing)
        });
    }

    fn fixed(&mut self, section: Section<'a>, member: &str, value: Value, landing: Landing) {
        let path = format!("runtime.{}.{member}", section.name);
        self.knobs.push(section.knob(path, value.value_type(), Given::Literal(value), landing));
    }
}

impl Section<'_> {
    fn knob(&self, path: String, kind: ValueType, value: Given, landing: Landing) -> Knob {
        Knob {
            path: path.into(),
            kind,
            value,
            min: None,
            max: None,
            range: Range::All,
            grain: None,
            format: None,
            landing,
            container: self.container.map(Into::into),
            on_conflict: self.on_conflict,
            allow_destructive: false,
            readback: None,
        }
    }
}

/// What the runtime of one container may take of its memory, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Path of the knob, such as `runtime.jvm.heapMax`.
    pub path: Box<str>,
    /// What it is of.
    pub of: Of,
    /// Its value.
    pub value: Value,
    /// `limits.memory` of the container.
    pub limit: Option<Value>,
    /// `requests.memory` of the container, which is its limit where it is left out.
    pub request: Option<Value>,
}

/// A group of processes by its name, and how many they are.
pub type Workers = (Box<str>, i64);

/// What takes the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The largest heap of a JVM.
    HeapMax {
        /// What it takes beside the heap.
        non_heap: Option<Value>,
        /// The workers each of which is a JVM, and how many there are.
        workers: Option<Workers>,
    },
    /// The heap that a JVM begins with.
    HeapMin {
        /// What it takes beside the heap.
        non_heap: Option<Value>,
        /// The largest heap, with its path.
        heap_max: Option<(Box<str>, Value)>,
        /// Whether all of it is touched at the start.
        touched: bool,
        /// The workers each of which is a JVM, and how many there are.
        workers: Option<Workers>,
    },
    /// The old generation of Node.js.
    OldSpace {
        /// The workers each of which has one, and how many there are.
        workers: Option<Workers>,
    },
    /// The soft limit of Go.
    GoLimit,
}

/// Share of the memory limit that old generations of Node.js may take: the rest is new generation, code and buffers. Node.js'
/// own example is 1536 MB of 2 GB.
const NODE_SHARE: (i64, i64) = (8, 10);
/// Share of the memory limit above which `GOMEMLIMIT` leaves no room for what Go does not count.
const GO_SHARE: (i64, i64) = (95, 100);

/// What runtimes of `knobs` may take. `value` gives the value of a knob, if it is known; `template` what the pod template has.
pub fn memory(
    knobs: &[Knob],
    spec: &PerformancePolicySpec,
    value: impl Fn(&str) -> Option<Value>,
    template: impl Fn(&Amount) -> Option<Value>,
) -> Vec<Memory> {
    let runtime = spec.runtime.as_ref();
    let amount = |of: Option<&str>, bucket: &'static str| {
        let path = of.map(|name| format!("resources.{name}.{bucket}.memory"));
        match path.filter(|path| knobs.iter().any(|knob| *knob.path == **path)) {
            Some(path) => value(&path),
            None => template(&Amount { container: of.map(Into::into), bucket, resource: "memory" }),
        }
    };
    let is = |knob: &Knob, token: &str| matches!(knob.landing, Landing::Option(known) if known.token == token);
    let of = |knob: &Knob| {
        let here = container(knob.container.as_deref(), spec);
        let beside = |token: &str| {
            knobs.iter().find(|other| is(other, token) && container(other.container.as_deref(), spec) == here)
        };
        let jvm = runtime.and_then(|runtime| runtime.jvm.as_ref());
        let jvm = jvm.filter(|jvm| container(jvm.container.as_deref(), spec) == here);
        let non_heap = || jvm.and_then(|_| value("runtime.jvm.nonHeap"));
        // Outer: whether what the policy names is known.
        let workers = |name: Option<&str>| {
            let Some(name) = name else { return Some(None) };
            let count = value(&format!("workers.{name}.count"))?.to_i64()?;
            Some(Some((Box::from(name), count)))
        };
        if is(knob, options::HEAP_MAX) {
            let workers = workers(jvm.and_then(|jvm| jvm.per_worker.as_deref()))?;
            return Some(Of::HeapMax { non_heap: non_heap(), workers });
        }
        if is(knob, options::HEAP_MIN) {
            let heap_max = beside(options::HEAP_MAX).and_then(|max| Some((max.path.clone(), value(&max.path)?)));
            let touched = beside(options::SWITCHES[0]).and_then(|touch| value(&touch.path));
            let touched = touched == Some(Value::Boolean(true));
            let workers = workers(jvm.and_then(|jvm| jvm.per_worker.as_deref()))?;
            return Some(Of::HeapMin { non_heap: non_heap(), heap_max, touched, workers });
        }
        if is(knob, options::MAX_OLD_SPACE) {
            let node = runtime.and_then(|runtime| runtime.node.as_ref());
            let node = node.filter(|node| container(node.container.as_deref(), spec) == here);
            return Some(Of::OldSpace { workers: workers(node.and_then(|node| node.per_worker.as_deref()))? });
        }
        matches!(&knob.landing, Landing::Env(name) if **name == *GO_MEMORY_LIMIT && knob.kind == ValueType::Bytes)
            .then_some(Of::GoLimit)
    };
    let found = knobs.iter().filter_map(|knob| {
        let of = of(knob)?;
        let here = container(knob.container.as_deref(), spec);
        let limit = amount(here, "limits");
        let request = amount(here, "requests").or_else(|| limit.clone());
        Some(Memory { path: knob.path.clone(), of, value: value(&knob.path)?, limit, request })
    });
    found.collect()
}

/// The container of a knob, if the policy names it.
fn container<'a>(own: Option<&'a str>, spec: &'a PerformancePolicySpec) -> Option<&'a str> {
    let target = || spec.target.as_ref().and_then(|target| target.container.as_deref());
    let only = || match &spec.resources[..] {
        [only] => Some(only.container.as_str()),
        _ => None,
    };
    own.or_else(target).or_else(only)
}

/// What is refused of it: with these values the container is killed or its runtime does not start.
#[must_use]
pub fn check(memory: &[Memory]) -> Vec<Invalid> {
    memory.iter().filter_map(Memory::refusal).collect()
}

impl Memory {
    fn refusal(&self) -> Option<Invalid> {
        if let Of::HeapMin { heap_max: Some((path, max)), .. } = &self.of
            && self.value > *max
        {
            let message = format!("must be ≤ {path} ({max}), not {}: the JVM would not start", self.value);
            return Some(Invalid { reason: Reason::BoundsInverted, path: self.path.to_string(), message });
        }
        let limit = self.limit.as_ref()?;
        let member = self.path.rsplit('.').next().unwrap_or_default();
        let above = format!("limits.memory {}", said(limit));
        let message = match &self.of {
            Of::HeapMax { non_heap: Some(beside), workers } => {
                let each = sum(&self.value, beside)?;
                let total = times(&each, (count(workers.as_ref()), 1))?;
                let most = times(limit, (1, count(workers.as_ref())))?.amount()?.checked_sub(beside.amount()?)?;
                (total > *limit).then(|| {
                    let sum = format!("{member} {} + nonHeap {}", mebibytes(&self.value), mebibytes(beside));
                    let (sum, fewer) = match several(workers.as_ref()) {
                        Some(each) => (format!("({sum}) × {each}"), ", run fewer processes"),
                        None => (sum, ""),
                    };
                    format!(
                        "does not fit: {sum} = {}, above {above}: lower it to {}{fewer}, or raise the limit",
                        mebibytes(&total),
                        size(most).map_or_else(|| "less".to_owned(), |most| whole_mebibytes(&most)),
                    )
                })
            }
            Of::HeapMax { non_heap: None, workers } => {
                let total = times(&self.value, (count(workers.as_ref()), 1))?;
                let sum = || format!(" × {} = {}", several(workers.as_ref()).unwrap_or_default(), mebibytes(&total));
                (total >= *limit).then(|| {
                    format!(
                        "does not fit: {member} {}{} leaves nothing of {above} for what a JVM takes beside the heap: lower it, \
                         or raise the limit, and say in nonHeap what that is",
                        mebibytes(&self.value),
                        several(workers.as_ref()).map(|_| sum()).unwrap_or_default(),
                    )
                })
            }
            Of::HeapMin { .. } => None,
            Of::OldSpace { workers } => {
                let total = times(&self.value, (count(workers.as_ref()), 1))?;
                let most = times(limit, NODE_SHARE)?;
                let each =
                    |(name, count): &Workers| format!(" × {count} {name} processes = {}", mebibytes(&total));
                (total > most).then(|| {
                    format!(
                        "does not fit: {member} {}{} is above 80% of {above}, which is {}: lower it, run fewer processes, or \
                         raise the limit",
                        mebibytes(&self.value),
                        workers.as_ref().map(each).unwrap_or_default(),
                        whole_mebibytes(&most),
                    )
                })
            }
            Of::GoLimit => (self.value >= *limit).then(|| {
                format!(
                    "does not fit: {member} {} is not below {above}, so the container is killed before Go collects: use \
                     = 0.9 * limits.memory",
                    mebibytes(&self.value),
                )
            }),
        };
        let invalid = |message| Invalid { reason: Reason::MemoryAboveLimit, path: self.path.to_string(), message };
        message.map(invalid)
    }

    /// What is no mistake for certain and yet looks like one; continues [`Memory::path`].
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match &self.of {
            Of::HeapMin { non_heap, touched: true, workers, .. } => {
                let request = self.request.as_ref()?;
                let each =
                    non_heap.as_ref().map_or_else(|| Some(self.value.clone()), |beside| sum(&self.value, beside))?;
                let total = times(&each, (count(workers.as_ref()), 1))?;
                let heap = format!("heapMin {}", mebibytes(&self.value));
                let parts = match (non_heap, several(workers.as_ref())) {
                    (None, None) => heap,
                    (Some(beside), None) => format!("{heap} + nonHeap {} = {}", mebibytes(beside), mebibytes(&total)),
                    (None, Some(each)) => format!("{heap} × {each} = {}", mebibytes(&total)),
                    (Some(beside), Some(each)) => {
                        format!("({heap} + nonHeap {}) × {each} = {}", mebibytes(beside), mebibytes(&total))
                    }
                };
                (total > *request).then(|| {
                    format!(
                        "is touched at the start: {parts} is above requests.memory {}: the scheduler sets aside less than \
                         the pod takes; raise the request",
                        said(request),
                    )
                })
            }
            Of::GoLimit => {
                let limit = self.limit.as_ref()?;
                let most = times(limit, GO_SHARE)?;
                (self.value > most && self.value < *limit).then(|| {
                    format!(
                        "is {}, above 95% of limits.memory {}: what Go does not count has hardly any room; 90% is usual",
                        mebibytes(&self.value),
                        said(limit),
                    )
                })
            }
            Of::HeapMin { .. } | Of::HeapMax { .. } | Of::OldSpace { .. } => None,
        }
    }
}

/// How many processes there are.
fn count(workers: Option<&Workers>) -> i64 {
    workers.map_or(1, |(_, count)| (*count).max(1))
}

/// Processes for a sum, where there are several.
fn several(workers: Option<&Workers>) -> Option<String> {
    workers.filter(|(_, count)| *count > 1).map(|(name, count)| format!("{count} {name} processes"))
}

fn size(amount: Decimal) -> Option<Value> {
    Value::from_amount(ValueType::Bytes, amount.floor()?).ok()
}

fn sum(a: &Value, b: &Value) -> Option<Value> {
    size(a.amount()?.checked_add(b.amount()?)?)
}

fn times(value: &Value, (by, of): (i64, i64)) -> Option<Value> {
    size(value.amount()?.checked_mul(Decimal::from_int(by))?.checked_div(Decimal::from_int(of))?)
}

/// A size in mebibytes, if it is a whole number of them, so that sizes of a sum can be compared by eye.
fn mebibytes(value: &Value) -> String {
    value.render(Some(ValueFormat::Mebibytes)).map_or_else(|_| value.to_string(), |count| format!("{count}Mi"))
}

/// A size, rounded down to whole mebibytes.
fn whole_mebibytes(value: &Value) -> String {
    let whole = |amount: Decimal| size(amount.checked_div(GRAIN)?.floor()?.checked_mul(GRAIN)?);
    mebibytes(&value.amount().and_then(whole).unwrap_or_else(|| value.clone()))
}

/// A size as written, and in mebibytes where that differs.
fn said(value: &Value) -> String {
    let (plain, in_mebibytes) = (value.to_string(), mebibytes(value));
    if plain == in_mebibytes { plain } else { format!("{plain} ({in_mebibytes})") }
}

/// Paths of the values that [`memory`] reads.
pub fn inputs(policy: &Policy) -> impl Iterator<Item = &str> {
    let takes = |knob: &Knob| match &knob.landing {
        Landing::Option(known) => TAKES.contains(&known.token),
        Landing::Env(name) => **name == *GO_MEMORY_LIMIT,
        _ => false,
    };
    let is_of_interest = policy.knobs.iter().any(takes);
    let reads = move |knob: &&Knob| {
        takes(knob)
            || matches!(knob.landing, Landing::Resource { resource: "memory", .. })
            || knob.path.starts_with("workers.")
    };
    policy.knobs.iter().filter(move |_| is_of_interest).filter(reads).map(|knob| &*knob.path)
}

/// Options whose value is memory of the container.
const TAKES: [&str; 3] = [options::HEAP_MAX, options::HEAP_MIN, options::MAX_OLD_SPACE];

#[cfg(test)]
mod tests;
