//! A breach, seen by the operator in a real Prometheus, reaches the people whom its labels name, and so does its end.

use serde_json::{Value, json};

use crate::{
    OPTIONS, cluster,
    cluster::eventually,
    here,
    receiver::Alertmanagers,
    stage::{PATIENCE, Relay, Stage},
};

fn fields() -> Value {
    json!({
        "thresholds": [{"name": "queue", "metric": {"gauge": "queue", "window": "3s"}, "advice": "add workers",
            "levels": [{"severity": "warning", "above": 10}, {"severity": "critical", "above": 100}],
            "noData": {"after": "2s", "severity": "warning"}}],
        // The class says "platform", and the policy knows better.
        "alerting": {"labels": {"team": "shop"}, "runbookURL": "https://runbooks.example.com/queue"},
    })
}

#[test]
fn an_alert_reaches_the_receiver_that_its_labels_name_and_resolves_there() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let stage = Stage::exposing_to(cluster, fields(), "queue 3\n").await;
        let mut alertmanagers = Alertmanagers::start(&stage).await;
        stage.says(&[("Compliant", "True/Within")]).await;
        let namespace = stage.namespace.clone();
        let breached = |severity| {
            vec![
                ("alertname", "TrimtabThresholdBreached"),
                ("namespace", namespace.clone().leak() as &str),
                ("policy", "web"),
                ("threshold", "queue"),
                ("target_kind", "Deployment"),
                ("target", "web"),
                ("team", "shop"),
                ("severity", severity),
            ]
        };

        stage.expose("queue 50\n");
        let alert = alertmanagers.arrives("shop-chat", "firing", &breached("warning")).await;
        assert_eq!(alert["labels"].as_object().unwrap().len(), 8, "{alert}");
        let says = |annotation: &str| alert["annotations"][annotation].as_str().unwrap_or_default();
        assert_eq!(says("summary"), format!("queue of Deployment \"{namespace}/web\" is above 10"));
        assert_eq!((says("advice"), says("runbook_url")), ("add workers", "https://runbooks.example.com/queue"));
        assert!(says("description").contains("queue was "), "{alert}");
        // All replicas are told, not one that tells the others: Alertmanagers give each other no alerts.
        for url in &alertmanagers.urls {
            eventually(PATIENCE, "each replica has the alert", async || {
                let alerts = alertmanagers.get(url, "alerts").await?;
                if alerts.as_array().is_some_and(|all| all.len() == 1) { Ok(()) } else { Err(alerts.to_string()) }
            })
            .await;
        }

        stage.expose("queue 500\n");
        alertmanagers.arrives("shop-pager", "firing", &breached("critical")).await;
        alertmanagers.arrives("shop-chat", "resolved", &breached("warning")).await;
        // One replica less is nothing that anybody notices.
        alertmanagers.stop(0);
        stage.expose("queue 1\n");
        let over = alertmanagers.arrives("shop-pager", "resolved", &breached("critical")).await;
        assert_ne!(over["endsAt"], "0001-01-01T00:00:00Z");
        assert_eq!(alertmanagers.receivers(&breached("warning")), ["shop-chat"]);
        assert_eq!(alertmanagers.receivers(&breached("critical")), ["shop-pager"]);

        // Where nothing is exposed any more nobody can judge; and while Prometheus is silent, its alert is the only one.
        stage.expose("other 1\n");
        let no_data = [("alertname", "TrimtabNoData"), ("source", &*namespace), ("team", "shop"), ("target", "web")];
        alertmanagers.arrives("shop-chat", "firing", &no_data).await;
        stage.relay(Relay::Away);
        let down = [("alertname", "TrimtabSourceDown"), ("source", &*namespace), ("severity", "critical")];
        let alert = alertmanagers.arrives("platform-pager", "firing", &down).await;
        assert_ne!(alert["labels"]["namespace"], "", "the operator's own: {alert}");
        assert_ne!(alert["labels"]["namespace"], Value::Null, "the operator's own: {alert}");
        stage.relay(Relay::Honest);
        stage.expose("queue 1\n");
        alertmanagers.arrives("platform-pager", "resolved", &down).await;
        alertmanagers.arrives("shop-chat", "resolved", &no_data).await;
    });
}
