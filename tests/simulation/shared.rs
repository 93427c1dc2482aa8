//! Stories of knobs that share a field: options of a variable, flags among arguments, kernel parameters of a pod. What fails is
//! the value of a knob, and not the field that it stands in.

use serde_json::{Value, json};
use trimtab::core::facts::Span;

use super::{
    controllers::{CRASHES, CRASHES_LATER},
    people::{config_map, deployment, policy, variables, workload},
    run::Run,
};

/// A field that two knobs and its owner share.
#[derive(Clone, Copy, Debug)]
enum Field {
    Options,
    Arguments,
    Sysctls,
}

const FIELDS: [Field; 3] = [Field::Options, Field::Arguments, Field::Sysctls];
const PARAMETERS: [&str; 2] = ["net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_time"];

impl Field {
    /// Paths of the knobs in the policy.
    const fn paths(self) -> [&'static str; 2] {
        match self {
            Self::Options | Self::Arguments => ["settings.a", "settings.b"],
            Self::Sysctls => ["kernel.sysctls.net.ipv4.tcp_fin_timeout", "kernel.sysctls.net.ipv4.tcp_keepalive_time"],
        }
    }

    /// How an entry begins: of the first knob, of the second, and of the owner.
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::Options => ["-XX:ParallelGCThreads=", "-XX:ConcGCThreads=", "-Dregion="],
            Self::Arguments => ["--a=", "--b=", "--region="],
            Self::Sysctls => ["net.ipv4.tcp_fin_timeout=", "net.ipv4.tcp_keepalive_time=", "net.ipv4.tcp_syncookies="],
        }
    }

    /// A policy for every web application with these values; a knob without one is not there.
    fn spec(self, a: Option<&str>, b: Option<&str>) -> Value {
        let values = [("a", a), ("b", b)];
        let mut spec = json!({"mode": "Enforce",
            "target": {"kind": "Deployment", "selector": {"matchLabels": {"tier": "web"}}}});
        let knobs =
            values.iter().zip(self.names()).zip(PARAMETERS).filter_map(|(((name, value), entry), parameter)| {
                let value = (*value)?;
                let mut knob = match self {
                    Self::Options => json!({"option": entry.trim_end_matches('=')}),
                    Self::Arguments => json!({"arg": entry.trim_end_matches('=')}),
                    Self::Sysctls => return Some(json!({"name": parameter, "value": value})),
                };
                knob["name"] = json!(name);
                knob["type"] = json!("Integer");
                knob["value"] = json!(value.parse::<i64>().unwrap());
                knob["onConflict"] = json!("TakeOver");
                Some(knob)
            });
        let knobs: Vec<Value> = knobs.collect();
        match self {
            Self::Options | Self::Arguments => spec["settings"] = json!(knobs),
            Self::Sysctls => spec["kernel"] = json!({"sysctls": knobs, "onConflict": "TakeOver"}),
        }
        spec
    }

    /// What the owner of a workload has in the field.
    fn manifest(self, name: &str, region: &str) -> Value {
        let entry = format!("{}{region}", self.names()[2]);
        let container = match self {
            Self::Options => json!({"env": variables(&[("JAVA_TOOL_OPTIONS", &entry)])}),
            Self::Arguments => json!({"args": ["serve", entry]}),
            Self::Sysctls => json!({}),
        };
        let mut manifest = workload(name, &container);
        if matches!(self, Self::Sysctls) {
            let list = variables(&[("net.ipv4.tcp_syncookies", region)]);
            manifest["spec"]["template"]["spec"]["securityContext"]["sysctls"] = list;
        }
        manifest
    }

    /// What is in the field: of the first knob, of the second, and of the owner.
    fn live(self, run: &Run, name: &str) -> [Option<String>; 3] {
        let api = run.object(&deployment(name));
        let template = |pointer: &str| api.at(&format!("/spec/template/spec/{pointer}")).clone();
        let entries: Vec<String> = match self {
            Self::Options => {
                let text = run.server.env(&deployment(name), "JAVA_TOOL_OPTIONS").unwrap_or_default();
                text.split_whitespace().map(str::to_owned).collect()
            }
            Self::Arguments => {
                let list = template("containers/0/args");
                list.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
            }
            Self::Sysctls => {
                let list = template("securityContext/sysctls");
                let text = |entry: &Value, member: &str| entry[member].as_str().unwrap().to_owned();
                let items = list.as_array().into_iter().flatten();
                items.map(|entry| format!("{}={}", text(entry, "name"), text(entry, "value"))).collect()
            }
        };
        self.names().map(|name| {
            let mut values = entries.iter().filter_map(|entry| entry.strip_prefix(name));
            let value = values.next().map(str::to_owned);
            assert_eq!(values.next(), None, "{entries:?}");
            value
        })
    }
}

fn texts(a: Option<&str>, b: Option<&str>, region: &str) -> [Option<String>; 3] {
    [a, b, Some(region)].map(|text| text.map(str::to_owned))
}

fn shop(field: Field, names: &[&str]) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        for (name, region) in names.iter().zip(["1", "2"]) {
            server.kubectl_apply(&config_map(&format!("{name}-config")), &json!({"data": {}}));
            server.server_side("flux", &deployment(name), &field.manifest(name, region), false).unwrap();
        }
    });
    run.pass(Span::seconds(10));
    run
}

fn apply(run: &mut Run, spec: &Value) {
    run.people(&format!("apply policy p: {spec}"), |server, _| server.apply_policy("p", spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::minutes(30));
    run.stay_at_rest();
}

fn revisions(run: &Run, name: &str) -> u32 {
    run.invariants.revisions.get(&deployment(name)).copied().unwrap_or(0)
}

#[track_caller]
fn says(run: &Run, status: &str, reason: &str, what: &str) {
    let found = run.server.policies[&policy("p")].status.as_ref().map(|status| &status.conditions);
    assert_eq!(run.server.condition("p", "Ready"), Some((status.into(), reason.into())), "{what}: {found:#?}");
}

/// Objects and paths of what is not tried again.
fn quarantine(run: &Run) -> Vec<(String, String)> {
    let status = run.server.policies[&policy("p")].status.clone().unwrap();
    let mut items: Vec<_> = status.quarantine.into_iter().map(|item| (item.object, item.path)).collect();
    items.sort();
    items
}

/// As [`rest`], and the value that failed never comes back to a workload.
fn rest_without(run: &mut Run, field: Field, name: &str) {
    let until = run.server.now + Span::minutes(2);
    while run.server.now < until {
        run.turn();
        assert_ne!(field.live(run, name)[0].as_deref(), Some(CRASHES), "{field:?}: tried again");
    }
    rest(run);
}

#[test]
fn a_value_that_failed_stays_out_when_its_neighbour_changes() {
    for (field, crash) in FIELDS.into_iter().flat_map(|field| [(field, false), (field, true)]) {
        let what = format!("{field:?}, crash {crash}");
        let mut run = shop(field, &["api"]);
        let restart = |run: &mut Run| {
            if crash {
                run.crash();
            }
        };
        apply(&mut run, &field.spec(Some("1"), Some("1")));
        rest(&mut run);
        assert_eq!(field.live(&run, "api"), texts(Some("1"), Some("1"), "1"), "{what}");
        let before = run.object(&deployment("api")).template().clone();
        apply(&mut run, &field.spec(Some(CRASHES), Some("1")));
        run.pass(Span::seconds(3));
        restart(&mut run);
        rest(&mut run);
        says(&run, "False", "RolledBack", &what);
        assert_eq!((run.object(&deployment("api")).template(), revisions(&run, "api")), (&before, 3), "{what}");
        assert_eq!(quarantine(&run), [("Deployment/api".to_owned(), field.paths()[0].to_owned())], "{what}");

        restart(&mut run);
        apply(&mut run, &field.spec(Some(CRASHES), Some("2")));
        rest_without(&mut run, field, "api");
        assert_eq!(field.live(&run, "api"), texts(Some("1"), Some("2"), "1"), "{what}");
        assert_eq!(revisions(&run, "api"), 4, "{what}: one for the neighbour");
        says(&run, "False", "RolledBack", &what);
        let settings = run.server.policies[&policy("p")].status.clone().unwrap().settings;
        let told: Vec<_> = settings.iter().map(|s| (s.path.as_str(), s.state.as_str())).collect();
        assert_eq!(told, [(field.paths()[0], "Quarantined")], "{what}");
        assert!(settings[0].live.as_ref().unwrap().ends_with('1'), "{what}: {settings:?}");
        restart(&mut run);
        rest(&mut run);
        assert_eq!(revisions(&run, "api"), 4, "{what}");

        // The neighbour may fail as well, and goes back alone.
        apply(&mut run, &field.spec(Some(CRASHES), Some(CRASHES)));
        run.pass(Span::seconds(3));
        restart(&mut run);
        rest_without(&mut run, field, "api");
        assert_eq!(field.live(&run, "api"), texts(Some("1"), Some("2"), "1"), "{what}");
        assert_eq!((quarantine(&run).len(), revisions(&run, "api")), (2, 6), "{what}");

        apply(&mut run, &field.spec(Some("3"), Some("3")));
        rest(&mut run);
        assert_eq!(field.live(&run, "api"), texts(Some("3"), Some("3"), "1"), "{what}");
        assert_eq!(revisions(&run, "api"), 7, "{what}");
        says(&run, "True", "Served", &what);
    }
}

#[test]
fn a_value_that_failed_stays_out_when_the_owner_of_the_field_changes_the_rest() {
    for (field, crash) in FIELDS.into_iter().flat_map(|field| [(field, false), (field, true)]) {
        let what = format!("{field:?}, crash {crash}");
        let mut run = shop(field, &["api"]);
        apply(&mut run, &field.spec(Some("1"), Some("1")));
        rest(&mut run);
        apply(&mut run, &field.spec(Some(CRASHES), Some("1")));
        rest(&mut run);
        says(&run, "False", "RolledBack", &what);
        if crash {
            run.crash();
        }
        run.people("the owner changes what is theirs", |server, _| {
            server.server_side("flux", &deployment("api"), &field.manifest("api", "2"), true).unwrap();
        });
        rest_without(&mut run, field, "api");
        assert_eq!(field.live(&run, "api"), texts(None, Some("1"), "2"), "{what}: the owner took all of ours out");
        says(&run, "False", "RolledBack", &what);
        assert_eq!(quarantine(&run).len(), 1, "{what}");
    }
}

#[test]
fn a_value_that_failed_on_one_target_is_not_begun_on_another_with_other_words_around_it() {
    for field in FIELDS {
        let mut run = shop(field, &["api", "web"]);
        apply(&mut run, &field.spec(Some("1"), Some("1")));
        rest(&mut run);
        apply(&mut run, &field.spec(Some(CRASHES), Some("1")));
        rest(&mut run);
        says(&run, "False", "RolledBack", &format!("{field:?}"));
        assert_eq!((revisions(&run, "api"), revisions(&run, "web")), (3, 1), "{field:?}");
        // What did not fail is begun on both, one after the other.
        apply(&mut run, &field.spec(Some(CRASHES), Some("2")));
        rest_without(&mut run, field, "web");
        for (name, region) in [("api", "1"), ("web", "2")] {
            assert_eq!(field.live(&run, name), texts(Some("1"), Some("2"), region), "{field:?}");
        }
        assert_eq!((revisions(&run, "api"), revisions(&run, "web")), (4, 2), "{field:?}");
    }
}

/// As the story of two variables: what ran for a while and then crashed goes back together with what followed it.
#[test]
fn a_value_that_crashes_while_its_neighbour_rolls_out_goes_back_with_it() {
    for field in FIELDS {
        let mut run = shop(field, &["api"]);
        apply(&mut run, &field.spec(Some("1"), Some("1")));
        rest(&mut run);
        let before = run.object(&deployment("api")).template().clone();
        apply(&mut run, &field.spec(Some(CRASHES_LATER), Some("1")));
        run.pass(Span::seconds(11));
        assert_eq!(run.server.condition("p", "Applied"), Some(("True".into(), "Applied".into())), "{field:?}");
        apply(&mut run, &field.spec(Some(CRASHES_LATER), Some("2")));
        rest(&mut run);
        says(&run, "False", "RolledBack", &format!("{field:?}"));
        assert_eq!(run.object(&deployment("api")).template(), &before, "{field:?}");
    }
}

#[test]
fn a_knob_that_is_removed_while_its_value_rolls_out_leaves_nothing_that_fails_beside_its_neighbour() {
    for (field, crash) in FIELDS.into_iter().flat_map(|field| [(field, false), (field, true)]) {
        let mut run = shop(field, &["api"]);
        apply(&mut run, &field.spec(Some("1"), Some("1")));
        rest(&mut run);
        apply(&mut run, &field.spec(Some(CRASHES), Some("1")));
        run.pass(Span::seconds(3));
        apply(&mut run, &field.spec(None, Some("2")));
        rest(&mut run);
        if crash {
            run.crash();
            rest(&mut run);
        }
        assert_ne!(field.live(&run, "api")[0].as_deref(), Some(CRASHES), "{field:?}");
        assert_eq!(field.live(&run, "api")[2].as_deref(), Some("1"), "{field:?}");
    }
}

/// A crash at any moment: of two values that are changed together, of which one fails; and of a change of the neighbour that
/// comes while the one that fails rolls out.
#[test]
fn a_crash_at_any_moment_keeps_nothing_that_fails_in_a_shared_field() {
    for (field, overtakes) in FIELDS.into_iter().flat_map(|field| [(field, false), (field, true)]) {
        let story = |crash_at: Option<u64>| {
            let mut run = shop(field, &["api"]);
            run.journal = None;
            apply(&mut run, &field.spec(Some("1"), Some("1")));
            rest(&mut run);
            let before = run.object(&deployment("api")).template().clone();
            let first = if overtakes { "1" } else { "2" };
            apply(&mut run, &field.spec(Some(CRASHES), Some(first)));
            let mut events = 0;
            if overtakes {
                run.pass(Span::seconds(3));
                apply(&mut run, &field.spec(Some(CRASHES), Some("2")));
            }
            events += run.pass_with_crash(Span::seconds(60), crash_at);
            rest(&mut run);
            let what = format!("{field:?}, overtakes {overtakes}, crash at event {crash_at:?}");
            says(&run, "False", "RolledBack", &what);
            // Whether the neighbour came in time to fail with it, the crash decides.
            if overtakes && quarantine(&run).len() == 1 {
                assert_eq!(field.live(&run, "api"), texts(Some("1"), Some("2"), "1"), "{what}");
            } else {
                assert_eq!(run.object(&deployment("api")).template(), &before, "{what}");
                assert_eq!(quarantine(&run).len(), 2, "{what}");
            }
            // Nothing is tried again.
            let made = revisions(&run, "api");
            run.crash();
            rest(&mut run);
            assert_eq!(revisions(&run, "api"), made, "{what}");
            apply(&mut run, &field.spec(Some(CRASHES), Some("3")));
            rest_without(&mut run, field, "api");
            assert_eq!(field.live(&run, "api"), texts(Some("1"), Some("3"), "1"), "{what}");
            events
        };
        for at in (0..story(None)).step_by(if overtakes { 3 } else { 2 }) {
            story(Some(at));
        }
    }
}

/// A policy for `api` with these settings, all under `TakeOver`.
fn setting(settings: &Value) -> Value {
    let mut settings = settings.clone();
    for knob in settings.as_array_mut().unwrap() {
        knob["onConflict"] = json!("TakeOver");
    }
    json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"}, "settings": settings})
}

fn alone() -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| server.kubectl_apply(&deployment("api"), &workload("api", &json!({}))));
    run.pass(Span::seconds(10));
    let share = "-XX:MaxRAMPercentage=66.0";
    let texts = ["-Xmx1g", share, &format!("{share} -XX:MaxGCPauseMillis=200"), "--timeout=30", "--timeout=90"];
    run.invariants.told.extend(texts.map(str::to_owned));
    run.invariants.told.extend(["--workers=4 --timeout=30", "--workers=4 --timeout=90"].map(str::to_owned));
    run
}

#[test]
fn an_option_that_went_out_of_the_way_comes_back_with_the_value_that_failed() {
    let text = |run: &Run| run.server.env(&deployment("api"), "GUNICORN_CMD_ARGS").unwrap_or_default();
    let timeout = |seconds: i64| json!({"name": "timeout", "type": "Duration", "value": format!("{seconds}s"), "option": "--timeout"});
    let number = |value: i64| json!({"name": "count", "type": "Integer", "value": value, "env": "WEB_CONCURRENCY"});
    let mut run = alone();
    let workers = json!({"name": "count", "type": "Integer", "value": 4, "option": "--workers"});
    apply(&mut run, &setting(&json!([workers, timeout(30)])));
    rest(&mut run);
    let before = text(&run);
    assert!(before.contains("--workers=4") && before.contains("--timeout=30"), "{before}");
    // Nothing changes in the variable but what is in the way.
    apply(&mut run, &setting(&json!([number(CRASHES.parse().unwrap()), timeout(30)])));
    rest(&mut run);
    assert_eq!(text(&run), before, "{:#?}", run.server.policies[&policy("p")].status);
    assert_eq!(run.server.env(&deployment("api"), "WEB_CONCURRENCY"), None);
    // What failed and stays out has nothing in its way.
    apply(&mut run, &setting(&json!([number(CRASHES.parse().unwrap()), timeout(90)])));
    rest(&mut run);
    assert_eq!(text(&run), before.replace("--timeout=30", "--timeout=90"));
    apply(&mut run, &setting(&json!([number(8), timeout(90)])));
    rest(&mut run);
    assert_eq!(text(&run), "--timeout=90");
    assert_eq!(run.server.env(&deployment("api"), "WEB_CONCURRENCY").as_deref(), Some("8"));
}

#[test]
fn a_heap_that_went_out_of_the_way_comes_back_even_if_another_change_has_joined() {
    let java = |run: &Run| run.server.env(&deployment("api"), "JAVA_TOOL_OPTIONS").unwrap_or_default();
    let pause = json!({"name": "pause", "type": "Duration", "value": "200ms", "option": "-XX:MaxGCPauseMillis"});
    let share =
        json!({"name": "share", "type": "Ratio", "value": format!("{CRASHES}%"), "option": "-XX:MaxRAMPercentage"});
    for joins in [false, true] {
        let mut run = alone();
        let mut heap = setting(&json!([]));
        heap["runtime"] = json!({"jvm": {"heapMax": {"value": "1Gi"}}});
        apply(&mut run, &heap);
        rest(&mut run);
        let before = java(&run);
        assert!(before.contains("-Xmx"), "{before}");
        apply(&mut run, &setting(&json!([share])));
        if joins {
            while !java(&run).contains("MaxRAMPercentage") {
                run.turn();
            }
            apply(&mut run, &setting(&json!([share, pause])));
        }
        rest(&mut run);
        let after = java(&run);
        assert!(after.contains(&before) && !after.contains("MaxRAMPercentage"), "{joins}: {after}");
    }
}
