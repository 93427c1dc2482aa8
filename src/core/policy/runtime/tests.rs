use serde_json::{Value as Json, json};

use super::*;
use crate::api::PerformancePolicy;

fn parse(spec: &Json) -> Result<Policy, Vec<String>> {
    let mut all = json!({"target": {"kind": "Deployment", "name": "api"}});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": all,
    }))
    .unwrap();
    Policy::parse(&policy).map_err(|wrong| wrong.iter().map(|w| format!("{}: {w}", w.reason)).collect())
}

#[track_caller]
fn refused(spec: &Json, message: &str) {
    let wrong = parse(spec).unwrap_err();
    assert_eq!(wrong, [message], "{spec}");
}

fn limits(memory: &str) -> Json {
    json!([{"container": "app", "limits": {"cpu": "1500m", "memory": memory}}])
}

/// What each knob is written as.
fn written(spec: &Json) -> Vec<String> {
    let policy = parse(spec).unwrap();
    let worked = policy.work_out(|_| None, |_| None);
    let text = |(knob, worked): (&Knob, &Result<_, _>)| {
        let worked: &super::super::Worked = worked.as_ref().unwrap();
        let place = match &knob.landing {
            Landing::Env(name) => format!("{name}="),
            Landing::Option(known) => format!("{} ", known.variable),
            Landing::Variable => "- ".to_owned(),
            _ => return None,
        };
        let text = if knob.landing == Landing::Variable {
            worked.value.to_string()
        } else {
            knob.render(&worked.value).unwrap()
        };
        Some(format!("{} {place}{text}", knob.path))
    };
    policy.knobs.iter().zip(&worked).filter_map(text).collect()
}

#[test]
fn each_section_lands_where_its_runtime_reads_it() {
    let spec = json!({
        "resources": limits("4Gi"),
        "workers": [{"name": "web", "count": {"value": 2, "option": "--workers"}}],
        "settings": [{"name": "class", "type": "Bytes", "value": "= runtime.jvm.nonHeap / 4", "option": "-XX:MaxMetaspaceSize"}],
        "runtime": {
            "jvm": {"heapMax": {"value": "= limits.memory - runtime.jvm.nonHeap", "max": "3Gi"}, "heapMin": {"value": "1Gi"},
                    "nonHeap": "600Mi", "collector": "G1", "maxPause": {"value": "100ms"}, "alwaysPreTouch": true,
                    "parallelRefProc": false},
            "node": {"maxOldSpace": {"value": "1536Mi"}, "perWorker": "web"},
            "go": {"memoryLimit": {"value": "= 0.9 * limits.memory"}, "maxProcs": {"value": 2}, "gcPercent": {"value": 200}},
            "python": {"cpuCount": {"value": "= ceil(limits.cpu)"}},
        },
    });
    assert_eq!(
        written(&spec),
        [
            "workers.web.count GUNICORN_CMD_ARGS --workers=2",
            "settings.class JAVA_TOOL_OPTIONS -XX:MaxMetaspaceSize=150m",
            "runtime.jvm.heapMax JAVA_TOOL_OPTIONS -Xmx3g",
            "runtime.jvm.heapMin JAVA_TOOL_OPTIONS -Xms1g",
            "runtime.jvm.maxPause JAVA_TOOL_OPTIONS -XX:MaxGCPauseMillis=100",
            "runtime.jvm.nonHeap - 600Mi",
            "runtime.jvm.collector JAVA_TOOL_OPTIONS -XX:+UseG1GC",
            "runtime.jvm.alwaysPreTouch JAVA_TOOL_OPTIONS -XX:+AlwaysPreTouch",
            "runtime.jvm.parallelRefProc JAVA_TOOL_OPTIONS -XX:-ParallelRefProcEnabled",
            "runtime.node.maxOldSpace NODE_OPTIONS --max-old-space-size=1536",
            "runtime.go.memoryLimit GOMEMLIMIT=3686MiB",
            "runtime.go.maxProcs GOMAXPROCS=2",
            "runtime.go.gcPercent GOGC=200",
            "runtime.python.cpuCount PYTHON_CPU_COUNT=2",
        ]
    );
}

#[test]
fn a_heap_that_does_not_fit_is_refused_with_the_sum() {
    for (runtime, memory, message) in [
        (
            json!({"jvm": {"heapMax": {"value": "3500Mi"}, "nonHeap": "600Mi"}}),
            "4Gi",
            "MemoryAboveLimit: runtime.jvm.heapMax does not fit: heapMax 3500Mi + nonHeap 600Mi = 4100Mi, above limits.memory 4Gi \
             (4096Mi): lower it to 3496Mi, or raise the limit",
        ),
        (
            json!({"jvm": {"heapMax": {"value": "= limits.memory"}}}),
            "2Gi",
            "MemoryAboveLimit: runtime.jvm.heapMax does not fit: heapMax 2048Mi leaves nothing of limits.memory 2Gi (2048Mi) for \
             what a JVM takes beside the heap: lower it, or raise the limit, and say in nonHeap what that is",
        ),
        (
            json!({"jvm": {"heapMax": {"value": "1Gi"}, "heapMin": {"value": "1536Mi"}}}),
            "4Gi",
            "BoundsInverted: runtime.jvm.heapMin must be ≤ runtime.jvm.heapMax (1Gi), not 1536Mi: the JVM would not start",
        ),
        (
            json!({"node": {"maxOldSpace": {"value": "4Gi"}}}),
            "4Gi",
            "MemoryAboveLimit: runtime.node.maxOldSpace does not fit: maxOldSpace 4096Mi is above 80% of limits.memory 4Gi \
             (4096Mi), which is 3276Mi: lower it, run fewer processes, or raise the limit",
        ),
        (
            json!({"go": {"memoryLimit": {"value": "1Gi"}}}),
            "1Gi",
            "MemoryAboveLimit: runtime.go.memoryLimit does not fit: memoryLimit 1024Mi is not below limits.memory 1Gi (1024Mi), so \
             the container is killed before Go collects: use = 0.9 * limits.memory",
        ),
    ] {
        refused(&json!({"resources": limits(memory), "runtime": runtime}), message);
    }
    // Exactly what fits, fits.
    let fits =
        |runtime: Json, memory: &str| drop(parse(&json!({"resources": limits(memory), "runtime": runtime})).unwrap());
    fits(json!({"jvm": {"heapMax": {"value": "3496Mi"}, "nonHeap": "600Mi"}}), "4Gi");
    fits(json!({"node": {"maxOldSpace": {"value": "4Gi"}}}), "5Gi");
    // Without a limit nobody knows; the target will tell.
    drop(parse(&json!({"runtime": {"jvm": {"heapMax": {"value": "64Gi"}}}})).unwrap());
}

#[test]
fn every_node_process_has_a_heap_of_its_own() {
    refused(
        &json!({
            "resources": limits("5Gi"),
            "workers": [{"name": "web", "count": {"value": "= ceil(limits.cpu)"}}],
            "runtime": {"node": {"maxOldSpace": {"value": "4Gi"}, "perWorker": "web"}},
        }),
        "MemoryAboveLimit: runtime.node.maxOldSpace does not fit: maxOldSpace 4096Mi × 2 web processes = 8192Mi is above 80% of \
         limits.memory 5Gi (5120Mi), which is 4096Mi: lower it, run fewer processes, or raise the limit",
    );
    let threads = json!({"workers": [{"name": "web", "unit": "Thread", "count": {"value": 2}}],
        "runtime": {"node": {"maxOldSpace": {"value": "4Gi"}, "perWorker": "web"}}});
    refused(&threads, "InvalidSpec: runtime.node.perWorker names \"web\", which is not in workers with unit Process");
}

#[test]
fn every_process_may_be_a_jvm_of_its_own() {
    let policy = |count: u32, jvm: Json| json!({"resources": limits("4Gi"), "workers": [{"name": "dialog", "count": {"value": count}}], "runtime": {"jvm": jvm}});
    let heap = json!({"heapMax": {"value": "2Gi"}, "nonHeap": "600Mi", "perWorker": "dialog"});
    refused(
        &policy(2, heap.clone()),
        "MemoryAboveLimit: runtime.jvm.heapMax does not fit: (heapMax 2048Mi + nonHeap 600Mi) × 2 dialog processes = 5296Mi, above \
         limits.memory 4Gi (4096Mi): lower it to 1448Mi, run fewer processes, or raise the limit",
    );
    drop(parse(&policy(1, heap)).unwrap());
    // What the message says, fits.
    drop(
        parse(&policy(2, json!({"heapMax": {"value": "1448Mi"}, "nonHeap": "600Mi", "perWorker": "dialog"}))).unwrap(),
    );
    refused(
        &policy(2, json!({"heapMax": {"value": "2Gi"}, "perWorker": "dialog"})),
        "MemoryAboveLimit: runtime.jvm.heapMax does not fit: heapMax 2048Mi × 2 dialog processes = 4096Mi leaves nothing of \
         limits.memory 4Gi (4096Mi) for what a JVM takes beside the heap: lower it, or raise the limit, and say in nonHeap what \
         that is",
    );
    let threads = json!({"workers": [{"name": "dialog", "unit": "Thread", "count": {"value": 2}}],
        "runtime": {"jvm": {"heapMax": {"value": "1Gi"}, "perWorker": "dialog"}}});
    refused(&threads, "InvalidSpec: runtime.jvm.perWorker names \"dialog\", which is not in workers with unit Process");
}

#[test]
fn an_option_is_of_the_catalogue_and_of_its_type() {
    let with = |knob: Json| json!({"settings": [knob]});
    let wrong =
        parse(&with(json!({"name": "s", "value": 1, "option": "-javaagent:/tmp/x.jar"}))).unwrap_err().join(";");
    assert!(
        wrong.starts_with(
            "InvalidSpec: settings.s.option \"-javaagent:/tmp/x.jar\" is not in the catalogue: there are -Xmx, -Xms,"
        ),
        "{wrong}"
    );
    let wrong = parse(&with(json!({"name": "s", "value": 1, "option": "-XX:+Use*GC"}))).unwrap_err().join(";");
    assert!(wrong.contains("is not in the catalogue"), "{wrong}");
    refused(
        &with(json!({"name": "s", "value": 4, "option": "-Xmx"})),
        "InvalidSpec: settings.s.option -Xmx takes a value of type Bytes, not Integer",
    );
    refused(
        &with(json!({"name": "s", "type": "Bytes", "value": "1Gi", "option": "-Xmx", "as": "jvm"})),
        "InvalidSpec: settings.s.option is spelled as its reader wants it: leave out as",
    );
    refused(
        &with(json!({"name": "s", "type": "Duration", "value": "1500ms", "option": "--timeout"})),
        "InvalidSpec: settings.s cannot write 1.5s as seconds without rounding it: change the value or choose a finer format",
    );
    refused(
        &json!({"settings": [{"name": "s", "type": "Bytes", "value": "1Gi", "option": "-Xmx"}],
                "runtime": {"jvm": {"heapMax": {"value": "1Gi"}}}}),
        "InvalidSpec: runtime.jvm.heapMax lands where settings.s lands already: option -Xmx of ",
    );
}

#[test]
fn a_section_needs_a_target_and_its_formulas_their_units() {
    refused(&json!({"runtime": {}}), "InvalidSpec: runtime must set at least one of jvm, node, go and python");
    let wrong = parse(&json!({"runtime": {"jvm": {"heapMax": {"value": "= limits.cpu"}}}})).unwrap_err().join(";");
    assert!(wrong.starts_with("InvalidSpec: runtime.jvm.heapMax "), "{wrong}");
    let wrong =
        parse(&json!({"runtime": {"jvm": {"heapMax": {"value": "= runtime.jvm.heapMin"}}}})).unwrap_err().join(";");
    assert!(wrong.contains("runtime.jvm.heapMin"), "{wrong}");
    let circle = json!({"runtime": {"jvm": {"heapMax": {"value": "= 2 * runtime.jvm.heapMin"}, "heapMin": {"value": "= runtime.jvm.heapMax / 2"}}}});
    let wrong = parse(&circle).unwrap_err().join(";");
    assert!(wrong.contains("runtime.jvm.heapMax") && wrong.contains("runtime.jvm.heapMin"), "{wrong}");
}

#[test]
fn a_heap_that_is_touched_at_the_start_is_held_against_the_request() {
    let memory = |runtime: Json| {
        let mut resources = limits("4Gi");
        resources[0]["requests"] = json!({"memory": "1Gi"});
        let policy = parse(&json!({"resources": resources, "runtime": runtime})).unwrap();
        let worked = policy.work_out(|_| None, |_| None);
        let value = |path: &str| super::super::given::value_of(&policy.knobs, &worked, path);
        policy.memory(value, |_| None).iter().filter_map(Memory::warning).collect::<Vec<_>>()
    };
    let touched = |nonheap: bool, touch: bool| {
        let mut jvm = json!({"heapMin": {"value": "2Gi"}, "heapMax": {"value": "2Gi"}, "alwaysPreTouch": touch});
        if nonheap {
            jvm["nonHeap"] = json!("600Mi");
        }
        memory(json!({"jvm": jvm}))
    };
    assert_eq!(
        touched(true, true),
        [
            "is touched at the start: heapMin 2048Mi + nonHeap 600Mi = 2648Mi is above requests.memory 1Gi (1024Mi): the scheduler \
          sets aside less than the pod takes; raise the request"
        ]
    );
    assert_eq!(touched(false, true).len(), 1);
    let each = json!({"resources": [{"container": "app", "limits": {"cpu": "2", "memory": "8Gi"}, "requests": {"memory": "4Gi"}}],
        "workers": [{"name": "web", "count": {"value": 2}}],
        "runtime": {"jvm": {"heapMin": {"value": "2Gi"}, "heapMax": {"value": "2Gi"}, "nonHeap": "600Mi", "perWorker": "web",
            "alwaysPreTouch": true}}});
    let each = parse(&each).unwrap();
    let worked = each.work_out(|_| None, |_| None);
    let known = |path: &str| super::super::given::value_of(&each.knobs, &worked, path);
    assert_eq!(
        each.memory(known, |_| None).iter().filter_map(Memory::warning).collect::<Vec<_>>(),
        [
            "is touched at the start: (heapMin 2048Mi + nonHeap 600Mi) × 2 web processes = 5296Mi is above requests.memory 4Gi \
          (4096Mi): the scheduler sets aside less than the pod takes; raise the request"
        ]
    );
    assert_eq!(touched(true, false), Vec::<String>::new());
    assert_eq!(memory(json!({"go": {"memoryLimit": {"value": "= 0.98 * limits.memory"}}})).len(), 1);
    assert_eq!(memory(json!({"go": {"memoryLimit": {"value": "= 0.9 * limits.memory"}}})), Vec::<String>::new());
}
