//! The examples, by `amtool`: no cluster is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::repository;

/// `amtool` of the test cluster's tools, which is built when it is not there yet.
fn amtool() -> &'static Path {
    static AMTOOL: OnceLock<PathBuf> = OnceLock::new();
    AMTOOL.get_or_init(|| {
        let build = repository().join("tests/cluster/build.sh");
        let output = Command::new(&build).arg("amtool").output().expect("run tests/cluster/build.sh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("bin/amtool")
    })
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(amtool()).args(arguments).output().expect("run amtool");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "amtool {arguments:?} ({}): {text}", output.status);
    text.trim().to_owned()
}

pub fn example(name: &str) -> PathBuf {
    repository().join("examples/alerting").join(name)
}

/// Which receivers an alert with these labels goes to.
fn receivers(config: &Path, labels: &str) -> String {
    let file = format!("--config.file={}", config.display());
    let mut arguments = vec!["config", "routes", "test", &file];
    arguments.extend(labels.split_whitespace());
    run(&arguments)
}

/// What the labels of alerts are, and whom each has to reach.
const ROUTES: [(&str, &str); 14] = [
    ("alertname=TrimtabThresholdBreached namespace=shop policy=web team=shop severity=critical", "shop-pager"),
    ("alertname=TrimtabThresholdBreached namespace=shop policy=web team=shop severity=warning", "shop-chat"),
    ("alertname=TrimtabThresholdBreached namespace=shop policy=web team=shop severity=info", "archive"),
    ("alertname=TrimtabNoData namespace=shop policy=web source=default team=shop severity=warning", "shop-chat"),
    ("alertname=TrimtabErrorBudgetBurn namespace=shop policy=web team=shop severity=critical", "shop-pager"),
    ("alertname=TrimtabThresholdBreached namespace=payments policy=web severity=critical", "payments-pager"),
    ("alertname=TrimtabThresholdBreached namespace=payments-eu policy=web severity=warning", "payments-chat"),
    ("alertname=TrimtabThresholdBreached namespace=paymentsx policy=web severity=warning", "platform-chat"),
    // A team's name says more than a namespace.
    ("alertname=TrimtabThresholdBreached namespace=payments policy=web team=shop severity=critical", "shop-pager"),
    ("alertname=TrimtabThresholdBreached namespace=lab policy=web severity=warning", "platform-chat"),
    ("alertname=TrimtabThresholdBreached namespace=lab policy=web severity=critical", "platform-pager"),
    ("alertname=TrimtabBudgetExceeded namespace=databases budget=pg severity=warning", "databases-chat"),
    ("alertname=TrimtabBudgetExceeded namespace=lab budget=pg severity=warning", "platform-chat"),
    // Although the default class may name a team.
    (
        "alertname=TrimtabSourceDown namespace=trimtab-system source=default team=shop severity=critical",
        "platform-pager",
    ),
];

#[test]
fn the_route_tree_sends_each_alert_to_its_receiver() {
    let config = example("alertmanager.yaml");
    run(&["check-config", config.to_str().unwrap()]);
    for (labels, receiver) in ROUTES {
        assert_eq!(receivers(&config, labels), receiver, "{labels}");
    }
}

/// Nobody is named who gets nothing.
#[test]
fn every_receiver_of_the_route_tree_is_reached() {
    let config: Value = serde_saphyr::from_str(&fs::read_to_string(example("alertmanager.yaml")).unwrap()).unwrap();
    for receiver in config["receivers"].as_array().unwrap() {
        let name = receiver["name"].as_str().unwrap();
        assert!(ROUTES.iter().any(|(_, reached)| *reached == name), "no alert reaches {name}");
    }
}

/// `AlertmanagerConfig` of `monitoring.coreos.com/v1alpha1` (prometheus-operator 0.92), as far as the example uses it. What is not
/// here is no field, or nobody has looked whether the example may use it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AlertmanagerConfig {
    api_version: String,
    kind: String,
    metadata: kube::api::ObjectMeta,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    route: Route,
    receivers: Vec<Receiver>,
    #[serde(default)]
    inhibit_rules: Vec<InhibitRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Route {
    receiver: String,
    #[serde(default)]
    group_by: Vec<String>,
    group_wait: Option<String>,
    group_interval: Option<String>,
    repeat_interval: Option<String>,
    #[serde(default)]
    matchers: Vec<Matcher>,
    #[serde(default)]
    r#continue: bool,
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Matcher {
    name: String,
    value: String,
    match_type: MatchType,
}

#[derive(Deserialize)]
enum MatchType {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "=~")]
    Matches,
    #[serde(rename = "!~")]
    NotMatches,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InhibitRule {
    source_match: Vec<Matcher>,
    target_match: Vec<Matcher>,
    equal: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Receiver {
    name: String,
    #[serde(default)]
    webhook_configs: Vec<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Webhook {
    url: String,
    send_resolved: bool,
}

impl Matcher {
    fn text(&self) -> String {
        let operator = match self.match_type {
            MatchType::Equal => "=",
            MatchType::NotEqual => "!=",
            MatchType::Matches => "=~",
            MatchType::NotMatches => "!~",
        };
        format!("{}{operator}{}", self.name, json!(self.value))
    }
}

fn route(of: &Route, prefixed: &dyn Fn(&str) -> String, own: Option<&str>) -> Value {
    let mut matchers: Vec<String> = own.into_iter().map(str::to_owned).collect();
    matchers.extend(of.matchers.iter().map(Matcher::text));
    let routes: Vec<Value> = of.routes.iter().map(|child| route(child, prefixed, None)).collect();
    let mut made = json!({"receiver": prefixed(&of.receiver), "matchers": matchers, "routes": routes,
        "continue": own.is_some() || of.r#continue});
    let times = [("group_wait", &of.group_wait), ("group_interval", &of.group_interval)];
    for (field, time) in times.into_iter().chain([("repeat_interval", &of.repeat_interval)]) {
        if let Some(time) = time {
            made[field] = json!(time);
        }
    }
    if !of.group_by.is_empty() {
        made["group_by"] = json!(of.group_by);
    }
    made
}

/// What prometheus-operator makes of it (`pkg/alertmanager/amcfg.go`, strategy `OnNamespace`): the namespace is matched first, and
/// the route lets others follow; receivers carry namespace and name; inhibit rules hold inside the namespace.
fn operator_config(config: &AlertmanagerConfig) -> Value {
    let (namespace, name) = (config.metadata.namespace.clone().unwrap(), config.metadata.name.clone().unwrap());
    let own = format!("namespace={}", json!(namespace));
    let prefixed = |receiver: &str| format!("{namespace}/{name}/{receiver}");
    let texts = |matchers: &[Matcher]| matchers.iter().map(Matcher::text).collect::<Vec<_>>();
    let inhibits = config.spec.inhibit_rules.iter().map(|rule| {
        let with_own = |matchers: &[Matcher]| [vec![own.clone()], texts(matchers)].concat();
        json!({"source_matchers": with_own(&rule.source_match), "target_matchers": with_own(&rule.target_match),
            "equal": rule.equal})
    });
    let receivers = config.spec.receivers.iter().map(|receiver| {
        let webhooks = receiver.webhook_configs.iter();
        let webhooks = webhooks.map(|hook| json!({"url": hook.url, "send_resolved": hook.send_resolved}));
        json!({"name": prefixed(&receiver.name), "webhook_configs": webhooks.collect::<Vec<_>>()})
    });
    let mut receivers: Vec<Value> = receivers.collect();
    receivers.push(json!({"name": "null"}));
    json!({"route": {"receiver": "null", "routes": [route(&config.spec.route, &prefixed, Some(&own))]},
        "inhibit_rules": inhibits.collect::<Vec<_>>(), "receivers": receivers})
}

#[test]
fn the_alertmanagerconfig_gets_the_alerts_of_its_namespace_and_no_others() {
    let text = fs::read_to_string(example("alertmanagerconfig.yaml")).unwrap();
    let config: AlertmanagerConfig = serde_saphyr::from_str(&text).expect("what the definition allows");
    assert_eq!((&*config.api_version, &*config.kind), ("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig"));
    let file = std::env::temp_dir().join(format!("trimtab-amcfg-{}.yaml", std::process::id()));
    fs::write(&file, operator_config(&config).to_string()).unwrap();
    run(&["check-config", file.to_str().unwrap()]);
    for (labels, receiver) in [
        ("alertname=TrimtabThresholdBreached namespace=shop policy=web severity=critical", "shop/trimtab/pager"),
        ("alertname=TrimtabThresholdBreached namespace=shop policy=web severity=warning", "shop/trimtab/chat"),
        ("alertname=TrimtabNoData namespace=shop policy=web source=default severity=warning", "shop/trimtab/chat"),
        ("alertname=TrimtabThresholdBreached namespace=payments policy=web severity=critical", "null"),
        ("alertname=TrimtabSourceDown namespace=trimtab-system source=default severity=critical", "null"),
        ("alertname=Watchdog namespace=shop severity=critical", "null"),
        // What carries no namespace arrives nowhere.
        ("alertname=TrimtabThresholdBreached policy=web severity=critical", "null"),
    ] {
        assert_eq!(receivers(&file, labels), receiver, "{labels}");
    }
    fs::remove_file(&file).unwrap();
}
