//! The alerts: when each fires, by Prometheus' own promtool.

use serde_yaml_ng::Value;

use super::{only, read, rendered};
use crate::testbed::folder;
use crate::testbed::programs::Prepared;

const PLAYED: &str = "tests/alerts/postgresql.yaml";

fn rule(values: &[&str]) -> Value {
    let on = [
        "metrics.enabled=true",
        "metrics.prometheusRule.enabled=true",
        "replication.replicas=1",
    ];
    only(
        &rendered(&[&on, values].concat()),
        "PrometheusRule",
        "postgresql",
    )
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let folder = folder("postgresql-alerts");
    let rules = serde_yaml_ng::to_string(&rule(&[])["spec"]).unwrap();
    std::fs::write(folder.join("rules.yaml"), rules).unwrap();
    std::fs::write(folder.join("played.yaml"), read(PLAYED)).unwrap();
    let bin = super::super::kept_by_with("prometheus.sh", &[]);
    for (command, file) in [("check", "rules.yaml"), ("test", "played.yaml")] {
        Prepared::new(bin.join("promtool"))
            .args([command, "rules", folder.join(file).to_str().unwrap()])
            .succeed();
    }
}

#[test]
fn every_alert_is_played_both_when_it_fires_and_when_it_does_not() {
    let played: Value = serde_yaml_ng::from_str(&read(PLAYED)).unwrap();
    let cases = played["tests"].as_sequence().unwrap().iter();
    let moments: Vec<_> = cases
        .flat_map(|it| it["alert_rule_test"].as_sequence().unwrap())
        .collect();
    let rules = rule(&[])["spec"]["groups"][0]["rules"].clone();
    for alert in rules.as_sequence().unwrap().iter().map(|it| &it["alert"]) {
        for fires in [true, false] {
            let is_played = moments.iter().any(|it| {
                let expected = it["exp_alerts"].as_sequence().unwrap();
                &it["alertname"] == alert && expected.is_empty() != fires
            });
            assert!(is_played, "{alert:?} fires: {fires}");
        }
    }
}

/// The page is named in the alert, and the age of a backup is a value.
#[test]
fn every_alert_has_its_page_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let rules =
        rule(&["metrics.prometheusRule.backupHours=30"])["spec"]["groups"][0]["rules"].clone();
    for alert in rules.as_sequence().unwrap() {
        let name = alert["alert"].as_str().unwrap();
        assert!(runbook.contains(&format!("\n## {name}\n")), "{name}");
        let page = alert["annotations"]["runbook"].as_str().unwrap();
        let place = format!("/docs/runbook.md#{}", name.to_lowercase());
        assert!(page.ends_with(&place), "{page}");
    }
    let text = serde_yaml_ng::to_string(&rules).unwrap();
    assert_eq!(text.matches("3600 * 30").count(), 2, "{text}");
    assert!(
        !text.contains("$HOURS") && !text.contains("$PHYSICAL"),
        "{text}"
    );
}

#[test]
fn alerts_are_left_out_added_and_labelled_by_values() {
    let changed = rule(&[
        "metrics.prometheusRule.disabled={PostgresqlDown}",
        "metrics.prometheusRule.alertLabels.team=data",
        r#"metrics.prometheusRule.rules:=[{"alert":"Mine","expr":"vector(1)"}]"#,
    ]);
    let rules = changed["spec"]["groups"][0]["rules"].clone();
    let rules = rules.as_sequence().unwrap();
    assert!(!rules.iter().any(|it| it["alert"] == "PostgresqlDown"));
    assert_eq!(rules[0]["labels"]["team"], "data");
    assert_eq!(rules.last().unwrap()["alert"], "Mine");
    let text = serde_yaml_ng::to_string(rules).unwrap();
    assert!(text.contains(r#"namespace="production""#), "{text}");
}

#[test]
fn the_dashboard_is_installed_where_it_is_asked_for() {
    let on = ["metrics.enabled=true", "metrics.dashboard.enabled=true"];
    let place = [
        "metrics.dashboard.namespace=grafana",
        "metrics.dashboard.annotations.folder=Databases",
    ];
    let map = only(
        &rendered(&[on, place].concat()),
        "ConfigMap",
        "postgresql-dashboard",
    );
    assert_eq!(map["metadata"]["namespace"], "grafana");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(map["metadata"]["annotations"]["folder"], "Databases");
    let shown = map["data"]["postgresql.json"].as_str().unwrap();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(
        json(shown),
        json(&read("charts/postgresql/files/dashboard.json"))
    );
}
