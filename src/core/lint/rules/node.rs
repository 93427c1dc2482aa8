//! The old space of Node.js processes against the memory limit.

use super::super::{
    Code, Finding,
    manifests::Container,
    subject::{Subject, about},
};
use crate::{
    api::policy::WorkerUnit,
    core::units::{Decimal, Dimension, Quantity},
};

/// Share of the limit that old space may take: Node's documentation has 75 %, and up to 80 % works.
const SHARES: (f64, f64) = (0.75, 0.8);
const MEBIBYTE: i64 = 1 << 20;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let Some(target) = &subject.policy.target else { return };
    let by_policy =
        subject.values().find(|(knob, _)| knob.path.starts_with("runtime.") && knob.path.ends_with(".maxOldSpace"));
    let (path, container, heap, group) = if let Some((knob, value)) = by_policy {
        let section = runtime(subject);
        (&*knob.path, subject.container_of(knob), value.amount(), section["perWorker"].as_str())
    } else {
        let container = target.container.as_deref();
        ("target", container, subject.container(container).and_then(told), None)
    };
    let (Some(heap), Some(limit)) = (heap, subject.resource(container, "limits", "memory")) else { return };
    // Processes of the one group that there is, unless the policy names one.
    let groups = &subject.policy.spec.workers;
    let mut own = groups.iter().filter(|group| group.unit.unwrap_or_default() == WorkerUnit::Process);
    let group = group.or_else(|| own.next().filter(|_| own.next().is_none()).map(|group| &*group.name));
    let processes = group.and_then(|group| subject.processes(group)).unwrap_or(1);
    let Some(all) = heap.checked_mul(processes.into()) else { return };
    let (few, many) = (all.as_f64() / SHARES.1, all.as_f64() / SHARES.0);
    if few <= limit.value.as_f64() {
        return;
    }
    let heap = Quantity::new(heap, Dimension::Bytes);
    let sum = match (processes, group) {
        (1, _) | (_, None) => format!("makes {heap} of old space"),
        (n, Some(group)) => {
            format!("makes {heap} × {n} {group} processes = {} of old space", Quantity::new(all, Dimension::Bytes))
        }
    };
    let message = format!(
        "{sum}, which needs a limit of {} to {} (75–80 % of it may be old space); there is {}",
        about(few),
        about(many),
        limit.bytes()
    );
    findings.push(subject.find(Code::NodeHeapTooLarge, path, message));
}

fn runtime<'a>(subject: &Subject<'a>) -> &'a serde_json::Value {
    let runtime = &subject.spec["runtime"];
    let of_list = runtime.as_array().and_then(|all| all.iter().find(|section| section["node"].is_object()));
    &of_list.unwrap_or(runtime)["node"]
}

/// What the manifest gives: mebibytes behind `--max-old-space-size`.
fn told(container: Container<'_>) -> Option<Decimal> {
    let options = container.env("NODE_OPTIONS").into_iter().flat_map(str::split_ascii_whitespace);
    let word = container.words().chain(options).find_map(|word| {
        word.strip_prefix("--max-old-space-size=").or_else(|| word.strip_prefix("--max_old_space_size="))
    })?;
    Decimal::parse(word).ok()?.checked_mul(MEBIBYTE.into())
}
