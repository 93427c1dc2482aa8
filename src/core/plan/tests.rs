//! Options in variables, from the policy to the pod template and back.

use serde_json::{Value as Json, json};

use super::*;
use crate::{api::PerformancePolicy, core::facts::Seen};

const JAVA: &str = "JAVA_TOOL_OPTIONS";

fn policy(spec: &Json) -> Policy {
    let mut all =
        json!({"mode": "Enforce", "deletionPolicy": "Restore", "target": {"kind": "Deployment", "name": "api"}});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "p", "namespace": "shop", "uid": "u-p", "generation": 1}, "spec": all,
    }))
    .unwrap();
    Policy::parse(&policy).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "a table reads best where it is made")]
fn jvm(section: Json) -> Policy {
    policy(&json!({"runtime": {"jvm": section}}))
}

/// A Deployment with one container, as somebody's `kubectl apply` left it.
#[expect(clippy::needless_pass_by_value, reason = "a table reads best where it is made")]
fn deployment(container: Json) -> Json {
    let mut app = json!({"name": "app", "resources": {"limits": {"memory": "2Gi"}}});
    for (key, value) in container.as_object().unwrap() {
        app[key] = value.clone();
    }
    let mut object = json!({
        "metadata": {"name": "api", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"template": {"spec": {"containers": [app]}}},
    });
    let mut theirs = object.clone();
    theirs.as_object_mut().unwrap().remove("metadata");
    object["metadata"]["managedFields"] = json!([entry("kubectl", "Update", &theirs)]);
    object
}

fn env(name: &str, value: &str) -> Json {
    json!({"env": [{"name": name, "value": value}]})
}

/// An entry of `managedFields` that holds everything in `body`.
fn entry(manager: &str, operation: &str, body: &Json) -> Json {
    json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields(body)})
}

fn fields(value: &Json) -> Json {
    let mut all = serde_json::Map::new();
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                all.insert(format!("f:{key}"), fields(value));
            }
        }
        Json::Array(items) if items.iter().all(|item| item["name"].is_string()) => {
            for item in items {
                let mut of = fields(item);
                of["."] = json!({});
                all.insert(format!("k:{{\"name\":{}}}", item["name"]), of);
            }
        }
        _ => {}
    }
    Json::Object(all)
}

fn object(content: &Json) -> Object {
    Seen::from_json(Kind::Deployment, &content.to_string()).unwrap().into_object()
}

fn planned(policy: &Policy, content: &Json) -> Plan {
    planned_with(policy, content, &Memory::default())
}

fn planned_with(policy: &Policy, content: &Json, memory: &Memory) -> Plan {
    let (target, config_maps) = (object(content), BTreeMap::new());
    let case = Case {
        policy,
        target: &target,
        autoscaler: None,
        config_maps: &config_maps,
        memory,
        now: Instant::from_millis(0),
    };
    plan(&case)
}

fn text<'a>(content: &'a Json, name: &str) -> Option<&'a str> {
    let variables = content["spec"]["template"]["spec"]["containers"][0]["env"].as_array()?;
    variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

fn set(content: &mut Json, name: &str, value: &str) {
    let container = &mut content["spec"]["template"]["spec"]["containers"][0];
    if container["env"].is_null() {
        container["env"] = json!([]);
    }
    let variables = container["env"].as_array_mut().unwrap();
    match variables.iter_mut().find(|variable| variable["name"] == name) {
        Some(variable) => variable["value"] = json!(value),
        None => variables.push(json!({"name": name, "value": value})),
    }
}

/// The object after the write of a plan, as the API server leaves it.
#[track_caller]
fn applied(plan: &Plan, content: &Json) -> Json {
    let [Step::Apply(write)] = &plan.steps[..] else { panic!("{plan:#?}") };
    let mut after = content.clone();
    let variables = &write.body["spec"]["template"]["spec"]["containers"][0]["env"];
    for variable in variables.as_array().into_iter().flatten() {
        set(&mut after, variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
    }
    after["metadata"]["annotations"] = write.body["metadata"]["annotations"].clone();
    let mut ours = write.body.clone();
    for key in ["apiVersion", "kind"] {
        ours.as_object_mut().unwrap().remove(key);
    }
    ours["metadata"] = json!({"annotations": write.body["metadata"]["annotations"]});
    let entries = after["metadata"]["managedFields"].as_array_mut().unwrap();
    entries.retain(|entry| entry["manager"] != "trimtab/p");
    if write.force {
        entries.retain(|entry| entry["manager"] != "kubectl");
    }
    entries.push(entry("trimtab/p", "Apply", &ours));
    after
}

fn refusals(plan: &Plan) -> Vec<String> {
    assert!(plan.refusals.is_empty() || plan.steps.is_empty());
    plan.refusals.iter().map(|refusal| format!("{}: {}", refusal.reason, refusal.message)).collect()
}

fn heap() -> Json {
    json!({"heapMax": {"value": "= limits.memory - 600Mi"}, "onConflict": "TakeOver"})
}

#[test]
fn knobs_of_one_variable_are_one_field_and_go_back_to_the_byte() {
    let original = "-Dfoo='a  b'\t-Xmx512m -javaagent:/agent.jar ";
    let mut section = heap();
    section["heapMin"] = json!({"value": "1Gi"});
    section["collector"] = json!("G1");
    let policy = jvm(section);
    let before = deployment(env(JAVA, original));
    let plan = planned(&policy, &before);
    let told: Vec<_> = plan.settings.iter().map(|s| (&*s.path, s.desired.as_str(), s.live.as_deref())).collect();
    let heap_max = ("runtime.jvm.heapMax", "-Xmx1448m", Some("-Xmx512m"));
    let others = [("runtime.jvm.heapMin", "-Xms1g", None), ("runtime.jvm.collector", "-XX:+UseG1GC", None)];
    assert_eq!(told, [heap_max, others[0], others[1]], "and nothing of what is somebody else's");
    assert_eq!(plan.settings[0].source, "= limits.memory - 600Mi = 2Gi - 600Mi");
    let changed: Vec<_> = plan.changes.iter().map(|change| &*change.path).collect();
    assert_eq!(changed, ["runtime.jvm.heapMax", "runtime.jvm.heapMin", "runtime.jvm.collector"]);

    let after = applied(&plan, &before);
    let wanted = "-Dfoo='a  b'\t-Xmx1448m -javaagent:/agent.jar -Xms1g -XX:+UseG1GC";
    assert_eq!(text(&after, JAVA), Some(wanted));
    let again = planned(&policy, &after);
    assert_eq!(again.steps, []);
    assert_eq!(again.settings[0].state, State::AtRest);

    let Some(Step::Apply(write)) = restore(&object(&after), "p", "u-p", &[]) else { panic!("nothing to restore") };
    let back = &write.body["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(*back, json!([{"name": JAVA, "value": original}]));
}

#[test]
fn what_somebody_adds_to_the_variable_meanwhile_stays_when_ours_goes_back() {
    let policy = jvm(heap());
    let before = deployment(env(JAVA, "-Dfoo=bar -Xmx512m"));
    let mut content = applied(&planned(&policy, &before), &before);
    set(&mut content, JAVA, "-Dfoo=bar -Xmx1448m -Dnew=1");
    let entries = content["metadata"]["managedFields"].as_array_mut().unwrap();
    let mut theirs = content_of(JAVA);
    for entry in entries.iter_mut() {
        // An update takes the field from us.
        let env =
            entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"app\"}"].as_object_mut();
        env.unwrap().remove("f:env");
    }
    theirs["name"] = json!("app");
    entries.push(entry("edit", "Update", &json!({"spec": {"template": {"spec": {"containers": [theirs]}}}})));
    let plan = planned(&policy, &content);
    assert_eq!((plan.conflicts.len(), plan.changes.len()), (0, 0), "{plan:#?}");
    let content = applied(&plan, &content);
    assert_eq!(text(&content, JAVA), Some("-Dfoo=bar -Xmx1448m -Dnew=1"));
    assert_eq!(planned(&policy, &content).steps, []);
    let Some(Step::Apply(write)) = restore(&object(&content), "p", "u-p", &[]) else { panic!("nothing to restore") };
    let back = &write.body["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(*back, json!([{"name": JAVA, "value": "-Dfoo=bar -Xmx512m -Dnew=1"}]));
}

fn content_of(name: &str) -> Json {
    json!({"env": [{"name": name, "value": ""}]})
}

#[test]
fn a_variable_that_is_not_there_is_made_and_taken_away() {
    let policy = jvm(json!({"heapMax": {"value": "1Gi"}}));
    let before = deployment(json!({}));
    let after = applied(&planned(&policy, &before), &before);
    assert_eq!(text(&after, JAVA), Some("-Xmx1g"));
    let Some(Step::Apply(write)) = restore(&object(&after), "p", "u-p", &[]) else { panic!("nothing to restore") };
    assert!(write.body.get("spec").is_none(), "what its owner stops sending is removed: {:#}", write.body);
}

#[test]
fn a_variable_of_a_manifest_is_left_to_it_unless_every_knob_takes_it_over() {
    let with = |take: bool| {
        let on_conflict = if take { "TakeOver" } else { "Yield" };
        policy(&json!({
            "settings": [{"name": "meta", "type": "Bytes", "value": "128Mi", "option": "-XX:MaxMetaspaceSize", "onConflict": on_conflict}],
            "runtime": {"jvm": heap()},
        }))
    };
    let before = deployment(env(JAVA, "-Dfoo=bar"));
    let plan = planned(&with(false), &before);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.conflicts[0].reason, Reason::FieldManagerConflict);
    let after = applied(&planned(&with(true), &before), &before);
    assert_eq!(text(&after, JAVA), Some("-Dfoo=bar -XX:MaxMetaspaceSize=128m -Xmx1448m"));
}

#[test]
fn a_value_that_is_there_in_another_spelling_is_at_rest() {
    let policy = jvm(json!({"heapMax": {"value": "1Gi"}}));
    let plan = planned(&policy, &deployment(env(JAVA, "-XX:MaxHeapSize=1048576k -Dfoo=bar")));
    assert_eq!((plan.settings[0].state, plan.changes.len()), (State::AtRest, 0));
    assert_eq!(plan.settings[0].live.as_deref(), Some("-Xmx1g"));
}

#[test]
fn a_heap_is_held_against_the_limit_that_is_there() {
    let policy = jvm(json!({"heapMax": {"value": "1500Mi"}, "nonHeap": "600Mi"}));
    assert_eq!(
        refusals(&planned(&policy, &deployment(json!({})))),
        [
            "MemoryAboveLimit: runtime.jvm.heapMax does not fit: heapMax 1500Mi + nonHeap 600Mi = 2100Mi, above limits.memory 2Gi \
          (2048Mi): lower it to 1448Mi, or raise the limit"
        ]
    );
    // A limit of the policy that is left to its manifest is not the limit.
    let policy = self::policy(&json!({
        "resources": [{"container": "app", "limits": {"memory": "4Gi"}}],
        "runtime": {"jvm": {"heapMax": {"value": "1500Mi"}, "nonHeap": "600Mi"}},
    }));
    let told = refusals(&planned(&policy, &deployment(json!({}))));
    assert!(told[0].starts_with("MemoryAboveLimit: runtime.jvm.heapMax does not fit"), "{told:?}");
}

#[test]
fn a_variable_that_cannot_be_merged_into_is_refused() {
    let policy = jvm(heap());
    for (container, said) in [
        (
            env(JAVA, "-Da=\"b"),
            "OptionsUnparseable: environment variable JAVA_TOOL_OPTIONS of container \"app\" has a quote",
        ),
        (
            env(JAVA, "$(EXTRA) -Da"),
            "OptionsUnparseable: environment variable JAVA_TOOL_OPTIONS of container \"app\" holds $(EXTRA)",
        ),
        (
            json!({"env": [{"name": JAVA, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            "EnvFromSource: environment variable JAVA_TOOL_OPTIONS",
        ),
        (
            json!({"env": [{"name": JAVA, "value": "-Da"}, {"name": "B", "value": "$(JAVA_TOOL_OPTIONS)"}]}),
            "EnvReferenced: environment variable JAVA_TOOL_OPTIONS",
        ),
    ] {
        let told = refusals(&planned(&policy, &deployment(container)));
        assert!(told.len() == 1 && told[0].starts_with(said), "{told:#?}");
    }
}

/// What is refused and what is warned of, for a policy and a container.
#[track_caller]
fn trap(policy: &Policy, container: Json, refused: &[&str], warned: &[&str]) {
    let plan = planned(policy, &deployment(container));
    let told = refusals(&plan);
    let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
    let holds =
        |all: &[String], parts: &[&str]| all.len() == parts.len() && all.iter().zip(parts).all(|(a, b)| a.contains(b));
    assert!(holds(&told, refused), "refused {told:#?}");
    assert!(holds(&warnings, warned), "warned {warnings:#?}");
}

#[test]
fn options_of_a_jvm_that_are_read_later_are_found() {
    let heap = || jvm(json!({"heapMax": {"value": "1Gi"}}));
    let java = |args: Json| json!({"command": ["/usr/bin/java"], "args": args});
    let late = "NoEffect: runtime.jvm.heapMax would have no effect on container \"app\" of Deployment/api: -Xmx2g in its command \
                is read after JAVA_TOOL_OPTIONS";
    trap(&heap(), java(json!(["-Xmx2g", "-jar", "app.jar"])), &[late], &[]);
    trap(&heap(), json!({"command": ["sh", "-c", "exec java -Xmx2g -jar app.jar"]}), &[late], &[]);
    trap(&heap(), json!({"args": ["-Xmx2g", "-jar", "app.jar"]}), &[late], &[]);
    trap(&heap(), java(json!(["-jar", "app.jar", "-Xmx2g"])), &[], &[]);
    trap(&heap(), java(json!(["-Xms1g", "-jar", "app.jar"])), &[], &[]);
    trap(
        &heap(),
        env("_JAVA_OPTIONS", "-Da -XX:MaxHeapSize=2g"),
        &["-XX:MaxHeapSize=2g in _JAVA_OPTIONS is read after"],
        &[],
    );
    trap(&heap(), env("JDK_JAVA_OPTIONS", "-Xmx2g"), &["-Xmx2g in JDK_JAVA_OPTIONS is read after"], &[]);
    trap(&heap(), env("JAVA_OPTS", "-Xmx2g"), &[], &["runtime.jvm.heapMax may have no effect: -Xmx2g in JAVA_OPTS"]);
    let mut shell = json!({"command": ["sh", "-c", "java $JAVA_OPTS -jar app.jar"]});
    shell["env"] = env("JAVA_OPTS", "-Da -Xmx2g")["env"].clone();
    trap(&heap(), shell, &["-Xmx2g in its command"], &["-Xmx2g in JAVA_OPTS"]);
    trap(&heap(), json!({"envFrom": [{"configMapRef": {"name": "c"}}]}), &[], &["which has an envFrom"]);
    // The heap's share is idle beside its size, whoever sets it.
    let take = |mut section: Json| {
        section["onConflict"] = json!("TakeOver");
        jvm(section)
    };
    let share = "makes -XX:MaxRAMPercentage=75 of container \"app\" idle";
    trap(&take(json!({"heapMax": {"value": "1Gi"}})), env(JAVA, "-XX:MaxRAMPercentage=75"), &[], &[share]);
    trap(&heap(), java(json!(["-XX:MaxRAMPercentage=75"])), &[], &[share]);
    let percent = json!({"name": "ram", "type": "Ratio", "value": "75%", "option": "-XX:MaxRAMPercentage", "onConflict": "TakeOver"});
    let percent = policy(&json!({"settings": [percent]}));
    trap(
        &percent,
        env(JAVA, "-Xmx1g"),
        &[
            "settings.ram would have no effect on container \"app\" of Deployment/api: -Xmx1g in JAVA_TOOL_OPTIONS sets the heap",
        ],
        &[],
    );
    // With these no JVM would start.
    trap(
        &take(json!({"heapMax": {"value": "1Gi"}})),
        env(JAVA, "-Xms1500m"),
        &[
            "BoundsConflictWithTarget: runtime.jvm.heapMax is 1Gi, and container \"app\" of Deployment/api has -Xms1500m",
        ],
        &[],
    );
    trap(
        &take(json!({"heapMin": {"value": "1Gi"}})),
        java(json!(["-Xmx512m"])),
        &["BoundsConflictWithTarget: runtime.jvm.heapMin"],
        &[],
    );
    trap(
        &take(json!({"collector": "G1"})),
        java(json!(["-XX:+UseSerialGC"])),
        &["BoundsConflictWithTarget: runtime.jvm.collector is G1, and container \"app\" of Deployment/api has \
            -XX:+UseSerialGC in its command: with -XX:+UseG1GC in JAVA_TOOL_OPTIONS that makes two garbage collectors, and \
            the JVM would not start; take it out there, or change runtime.jvm.collector"],
        &[],
    );
}

#[test]
fn what_keeps_a_jvm_from_its_start_is_refused_wherever_it_stands() {
    // OpenJDK 17 was asked about each.
    let take = |mut section: Json| {
        section["onConflict"] = json!("TakeOver");
        jvm(section)
    };
    let both =
        |a: (&str, &str), b: (&str, &str)| json!({"env": [{"name": a.0, "value": a.1}, {"name": b.0, "value": b.1}]});
    let g1 = || take(json!({"collector": "G1"}));
    for place in ["JAVA_OPTS", "JAVA_OPTIONS", "JVM_OPTS", "CATALINA_OPTS", "JAVA_ARGS"] {
        let said = format!(
            "-XX:+UseSerialGC in {place}: with -XX:+UseG1GC in JAVA_TOOL_OPTIONS that makes two garbage collectors, and the JVM \
             would not start if the image puts {place} into the command of java; take it out there"
        );
        trap(&g1(), env(place, "-Da -XX:+UseSerialGC"), &[&said], &[]);
        let said = format!(
            "runtime.jvm.heapMax is 1Gi, and container \"app\" of Deployment/api has -Xms1500m in {place}: an initial heap of \
             1500Mi is above the largest of 1Gi, and the JVM would not start if the image puts {place} into the command of java; \
             take it out there, or change runtime.jvm.heapMax"
        );
        trap(&take(json!({"heapMax": {"value": "1Gi"}})), env(place, "-Xms1500m"), &[&said], &[]);
    }
    for place in ["JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"] {
        trap(&g1(), env(place, "-XX:+UseZGC"), &[&format!("has -XX:+UseZGC in {place}: with")], &[]);
    }
    // One that is off, the same one, and an old part of it are no second one; in the own variable one is left.
    for text in ["-XX:-UseSerialGC", "-XX:+UseSerialGC -XX:-UseSerialGC", "-XX:+UseG1GC", "-XX:+UseGCOverheadLimit"] {
        trap(&g1(), env("JDK_JAVA_OPTIONS", text), &[], &[]);
    }
    trap(&take(json!({"collector": "Parallel"})), env("JDK_JAVA_OPTIONS", "-XX:+UseParallelOldGC"), &[], &[]);
    trap(&g1(), env(JAVA, "-XX:+UseSerialGC"), &[], &[]);
    trap(&g1(), env("_JAVA_OPTIONS", "-XX:-UseG1GC"), &["NoEffect: runtime.jvm.collector"], &[]);
    // Other pairs that the JVM holds against each other.
    let heap = || take(json!({"heapMax": {"value": "1Gi"}}));
    trap(&heap(), env(JAVA, "-XX:MinHeapSize=2g"), &["a smallest heap of 2Gi is above the largest of 1Gi"], &[]);
    trap(&heap(), env("JAVA_OPTS", "-XX:SoftMaxHeapSize=2g"), &["a soft limit of the heap of 2Gi is above"], &[]);
    let soft = json!({"name": "soft", "type": "Bytes", "value": "1Gi", "option": "-XX:SoftMaxHeapSize", "onConflict": "TakeOver"});
    let soft = policy(&json!({"settings": [soft]}));
    trap(&soft, env("JDK_JAVA_OPTIONS", "-Xmx512m"), &["settings.soft is 1Gi"], &[]);
    // The last one of several counts, and a script that sets both sets them together.
    trap(&heap(), both((JAVA, "-Xms2g"), ("JDK_JAVA_OPTIONS", "-Xms512m")), &[], &[]);
    trap(&heap(), env("JAVA_OPTS", "-Xms2g -Xmx4g"), &[], &["-Xmx4g in JAVA_OPTS is read after"]);
    let min_max = take(json!({"heapMin": {"value": "512Mi"}, "heapMax": {"value": "1Gi"}}));
    trap(
        &min_max,
        env("JAVA_OPTS", "-Xms2g"),
        &["runtime.jvm.heapMax is 1Gi, and container \"app\" of Deployment/api has -Xms2g in JAVA_OPTS"],
        &["runtime.jvm.heapMin may have no effect"],
    );
    let percent = json!({"name": "ram", "type": "Ratio", "value": "75%", "option": "-XX:MaxRAMPercentage"});
    trap(
        &policy(&json!({"settings": [percent]})),
        env("JAVA_OPTS", "-Xmx1g"),
        &[],
        &["settings.ram may have no effect: -Xmx1g in JAVA_OPTS sets the heap if the image puts JAVA_OPTS"],
    );
}

#[test]
fn what_is_in_the_way_goes_whatever_becomes_of_its_neighbours() {
    let heap = |section: Json| {
        let mut section = section;
        section["onConflict"] = json!("TakeOver");
        jvm(section)
    };
    // Beside a value that failed and stays out: a smaller heap than the one to begin with would keep the JVM from its start.
    let original = deployment(json!({}));
    let content = applied(&planned(&heap(json!({"heapMin": {"value": "2Gi"}})), &original), &original);
    let then = heap(json!({"heapMax": {"value": "1Gi"}, "maxPause": {"value": "9ms"}}));
    let pause = value_hash("runtime.jvm.maxPause", "-XX:MaxGCPauseMillis=9");
    let memory = Memory { failed: [pause].into(), ..Memory::default() };
    let plan = planned_with(&then, &content, &memory);
    assert_eq!((refusals(&plan), plan.steps.len()), (vec![], 1), "{plan:#?}");
    assert_eq!(text(&applied(&plan, &content), JAVA), Some("-Xmx1g"));
    // What failed has nothing in its way.
    let share = json!({"name": "ram", "type": "Ratio", "value": "75%", "option": "-XX:MaxRAMPercentage", "onConflict": "TakeOver"});
    let share = policy(&json!({"settings": [share]}));
    let heaped = applied(&planned(&heap(json!({"heapMax": {"value": "1Gi"}})), &original), &original);
    let failed =
        Memory { failed: [value_hash("settings.ram", "-XX:MaxRAMPercentage=75.0")].into(), ..Memory::default() };
    let plan = planned_with(&share, &heaped, &failed);
    assert_eq!(
        (refusals(&plan), plan.steps.len(), plan.settings[0].state),
        (vec![], 0, State::Quarantined),
        "{plan:#?}"
    );
    // Nothing else is left to do: what the manifest has is what is asked for, and what was added makes it idle.
    let original = deployment(env(JAVA, "-XX:MaxRAMPercentage=75.0"));
    let content = applied(&planned(&heap(json!({"heapMax": {"value": "1Gi"}})), &original), &original);
    assert_eq!(text(&content, JAVA), Some("-XX:MaxRAMPercentage=75.0 -Xmx1g"));
    let plan = planned(&share, &content);
    assert_eq!((refusals(&plan), plan.steps.len(), plan.changes.len()), (vec![], 1, 1), "{plan:#?}");
    assert_eq!(text(&applied(&plan, &content), JAVA), Some("-XX:MaxRAMPercentage=75.0"));
}

#[test]
fn what_the_policy_itself_has_left_in_the_way_goes_with_the_same_write() {
    let percent = || {
        let percent = json!({"name": "ram", "type": "Ratio", "value": "75%", "option": "-XX:MaxRAMPercentage", "onConflict": "TakeOver"});
        policy(&json!({"settings": [percent]}))
    };
    let heap = |section: Json| {
        let mut section = section;
        section["onConflict"] = json!("TakeOver");
        jvm(section)
    };
    // Nothing stands for the share.
    let made = |section: &Json| if section.is_null() { percent() } else { heap(section.clone()) };
    let most = |value: &str| json!({"heapMax": {"value": value}});
    for (before, first, then, after) in [
        // The variable was not there, had words of others, or an option of before that does not stand in the way.
        (None, most("1Gi"), Json::Null, "-XX:MaxRAMPercentage=75.0"),
        (
            Some("-Da -javaagent:/a.jar"),
            json!({"heapMax": {"value": "1Gi"}, "collector": "G1"}),
            Json::Null,
            // What stands in nobody's way stays, as values of removed knobs do.
            "-Da -javaagent:/a.jar -XX:+UseG1GC -XX:MaxRAMPercentage=75.0",
        ),
        (None, Json::Null, most("1Gi"), "-Xmx1g"),
        (Some("-Xms64m"), json!({"heapMin": {"value": "1Gi"}}), most("512Mi"), "-Xms64m -Xmx512m"),
        (None, most("512Mi"), json!({"heapMin": {"value": "1Gi"}}), "-Xms1g"),
    ] {
        let (first, then) = (made(&first), made(&then));
        let original = deployment(before.map_or(json!({}), |text| env(JAVA, text)));
        let content = applied(&planned(&first, &original), &original);
        let plan = planned(&then, &content);
        assert_eq!((refusals(&plan), plan.warnings.len(), plan.steps.len()), (vec![], 0, 1), "{plan:#?}");
        let [_, cleared] = &plan.changes[..] else { panic!("what goes is said: {:#?}", plan.changes) };
        assert!(cleared.from.is_some() && cleared.to.is_none(), "{cleared:#?}");
        let content = applied(&plan, &content);
        assert_eq!(text(&content, JAVA), Some(after));
        let again = planned(&then, &content);
        assert_eq!((&again.steps[..], again.settings[0].state), (&[][..], State::AtRest));
        // And the way back is the one to before the first of them.
        let Some(Step::Apply(write)) = restore(&object(&content), "p", "u-p", &[]) else {
            panic!("nothing to restore")
        };
        let back = &write.body["spec"]["template"]["spec"]["containers"][0]["env"];
        match before {
            Some(before) => assert_eq!(*back, json!([{"name": JAVA, "value": before}])),
            None => assert!(back.is_null(), "{back}"),
        }
    }
    // What was there before the policy is somebody else's, whatever the policy made of it meanwhile.
    let original = deployment(env(JAVA, "-Xmx512m"));
    let content = applied(&planned(&heap(json!({"heapMax": {"value": "1Gi"}})), &original), &original);
    let told = refusals(&planned(&percent(), &content));
    assert!(told[0].contains("-Xmx512m in JAVA_TOOL_OPTIONS sets the heap, and makes it idle"), "{told:?}");
    // A variable in which nothing else is set any more is left as it is, as every value of a removed knob: it is said whose it is.
    let workers = |landing: Json| {
        let mut count = json!({"value": 4});
        count.as_object_mut().unwrap().extend(landing.as_object().unwrap().clone());
        policy(&json!({"workers": [{"name": "web", "count": count}]}))
    };
    let original = deployment(json!({}));
    let content = applied(&planned(&workers(json!({"option": "--workers"})), &original), &original);
    let told = refusals(&planned(&workers(json!({"env": "WEB_CONCURRENCY"})), &content));
    assert!(
        told[0]
            .contains("--workers=4 in GUNICORN_CMD_ARGS, where this policy has left it, is read after WEB_CONCURRENCY"),
        "{told:?}"
    );
}

#[test]
fn options_of_node_that_are_read_later_are_found() {
    let node = policy(&json!({"runtime": {"node": {"maxOldSpace": {"value": "1Gi"}, "onConflict": "TakeOver"}}}));
    let command = |words: Json| json!({"command": words});
    trap(
        &node,
        command(json!(["node", "--max_old_space_size=512", "server.js"])),
        &["--max_old_space_size=512 in its command is read after NODE_OPTIONS"],
        &[],
    );
    trap(&node, command(json!(["node", "server.js", "--max-old-space-size=512"])), &[], &[]);
    trap(&node, command(json!(["npm", "start"])), &[], &[]);
    trap(
        &node,
        env("NODE_OPTIONS", "--max-old-space-size-percentage=70"),
        &["--max-old-space-size-percentage=70 in NODE_OPTIONS takes precedence"],
        &[],
    );
    trap(
        &node,
        command(json!(["node", "--max-old-space-size-percentage=70"])),
        &["in its command takes precedence"],
        &[],
    );
}

#[test]
fn workers_that_are_read_later_are_found() {
    let workers = |knob: Json| policy(&json!({"workers": [{"name": "web", "count": knob}]}));
    let concurrency = || workers(json!({"value": 4, "env": "WEB_CONCURRENCY"}));
    let option = || workers(json!({"value": 4, "option": "--workers"}));
    let gunicorn = |words: &[&str]| {
        let mut all = vec!["gunicorn", "app:app"];
        all.extend(words);
        json!({"command": all})
    };
    for (words, said) in
        [(&["--workers", "2"][..], "--workers 2"), (&["-w2"], "-w2"), (&["--workers=2"], "--workers=2")]
    {
        trap(&concurrency(), gunicorn(words), &[&format!("{said} in its command is read after WEB_CONCURRENCY")], &[]);
        trap(&option(), gunicorn(words), &[&format!("{said} in its command is read after GUNICORN_CMD_ARGS")], &[]);
    }
    trap(&concurrency(), json!({"args": ["--workers", "4"]}), &["--workers 4 in its command"], &[]);
    trap(&concurrency(), json!({"args": ["-w", "4"]}), &[], &[]);
    trap(
        &concurrency(),
        env("GUNICORN_CMD_ARGS", "-w 4"),
        &["-w 4 in GUNICORN_CMD_ARGS is read after WEB_CONCURRENCY"],
        &[],
    );
    trap(
        &concurrency(),
        gunicorn(&["-c", "gunicorn.conf.py"]),
        &[],
        &["workers.web.count may have no effect: gunicorn is started with a configuration file"],
    );
    trap(&option(), gunicorn(&["--worker-class", "gthread"]), &[], &[]);
}

#[test]
fn traps_of_go_and_python_are_found() {
    let go = policy(&json!({"runtime": {"go": {"memoryLimit": {"value": "1Gi"}}}}));
    trap(&go, env("GOMAXPROCS", "4"), &[], &["runtime.go.memoryLimit is set beside GOMAXPROCS=4"]);
    let procs = policy(&json!({"runtime": {"go": {"maxProcs": {"value": 2}}}}));
    trap(&procs, json!({}), &[], &["runtime.go.maxProcs sets GOMAXPROCS: Go 1.25"]);
    let python = policy(&json!({"runtime": {"python": {"cpuCount": {"value": 2}}}}));
    let command = |words: Json| json!({"command": words});
    trap(&python, command(json!(["python3.13", "-u", "-m", "app", "-E"])), &[], &[]);
    trap(&python, command(json!(["python3", "-X", "cpu_count=4", "app.py"])), &["-X cpu_count in its command"], &[]);
    trap(&python, command(json!(["python3", "-uE", "app.py"])), &["with -uE in its command, Python ignores"], &[]);
}
