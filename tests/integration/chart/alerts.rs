//! The alerts: when each fires, by Prometheus' own promtool, and the page that each one has.

use std::path::{Path, PathBuf};

use regex::Regex;
use scheduler::metrics::Metrics;
use serde_yaml_ng::Value;

use super::{documents, kept_by_with, read, render};
use crate::testbed::programs::{Prepared, repository};

const RULES: &str = "charts/postgres-adapter/files/alerts.yaml";
const PLAYED: [&str; 2] = ["tests/alerts/alerts.yaml", "tests/alerts/days.yaml"];

fn parsed(path: &str) -> Value {
    serde_yaml_ng::from_str(&read(path)).unwrap()
}

fn rules() -> Vec<Value> {
    let groups = parsed(RULES)["groups"].as_sequence().unwrap().clone();
    let rules = groups.iter().map(|it| it["rules"].as_sequence().unwrap());
    rules.flatten().cloned().collect()
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let bin = kept_by_with("prometheus.sh", &[]);
    let played = PLAYED.map(|it| ("test", it));
    for (command, path) in [("check", RULES)].into_iter().chain(played) {
        let path = repository().join(path);
        Prepared::new(bin.join("promtool"))
            .args([command, "rules", path.to_str().unwrap()])
            .succeed();
    }
}

#[test]
fn every_alert_is_played_both_when_it_fires_and_when_it_does_not() {
    let played = PLAYED.map(parsed);
    let cases = played
        .iter()
        .flat_map(|it| it["tests"].as_sequence().unwrap());
    let moments: Vec<_> = cases
        .flat_map(|it| it["alert_rule_test"].as_sequence().unwrap())
        .collect();
    for rule in rules() {
        for fires in [true, false] {
            let is_played = moments.iter().any(|it| {
                let expected = it["exp_alerts"].as_sequence().unwrap();
                it["alertname"] == rule["alert"] && expected.is_empty() != fires
            });
            assert!(is_played, "{:?} fires: {fires}", rule["alert"]);
        }
    }
}

#[test]
fn the_alerts_that_are_installed_are_the_ones_that_are_tested() {
    let rendered = render("system", "1.34.0", &["prometheusRule.enabled=true"]);
    let documents = documents(&rendered.stdout);
    let rule = documents.iter().find(|it| it["kind"] == "PrometheusRule");
    assert_eq!(rule.unwrap()["spec"], parsed(RULES));
}

/// By the first a scheduler is known to have been scraped, by the second to be new.
#[test]
fn a_scheduler_that_has_seen_nothing_yet_serves_what_the_alerts_join_with() {
    let served = Metrics::new()
        .unwrap()
        .text(|| unreachable!("it does not lead"))
        .unwrap();
    let asked = read(RULES);
    for name in ["postgres_adapter_schedulers", "process_start_time_seconds"] {
        assert!(asked.contains(name), "{name}");
        let line = format!("{name} ");
        assert!(served.lines().any(|it| it.starts_with(&line)), "{name}");
    }
}

#[test]
fn every_alert_has_its_page_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let rules = rules();
    assert!(rules.len() >= 5);
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(runbook.contains(&format!("\n## {name}\n")), "{name}");
        let page = rule["annotations"]["runbook"].as_str().unwrap();
        assert!(
            page.ends_with(&format!("#{}", name.to_lowercase())),
            "{page}"
        );
    }
}

fn sources_below(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap();
    let text = |path: PathBuf| match path.is_dir() {
        true => sources_below(&path),
        false => std::fs::read_to_string(path).unwrap(),
    };
    entries.map(|it| text(it.unwrap().path())).collect()
}

#[test]
fn alerts_and_the_dashboard_speak_of_metrics_that_are_there() {
    let mut sources = [
        "crates/backuper/src/summary.rs",
        "crates/restorer/src/summary.rs",
    ]
    .map(read)
    .concat();
    sources.push_str(&sources_below(&repository().join("crates/scheduler/src")));
    let name = Regex::new(r"\bpostgres_[a-z]+_[a-z_]+[a-z]\b").unwrap();
    for file in ["alerts.yaml", "dashboard.json"] {
        let text = read(&format!("charts/postgres-adapter/files/{file}"));
        let mut count = 0;
        for found in name.find_iter(&text) {
            let metric = found.as_str().trim_end_matches("_bucket");
            assert!(
                sources.contains(&format!("\"{metric}\"")),
                "{file}: {metric}"
            );
            count += 1;
        }
        assert!(count >= 4, "{file}");
    }
}

/// All queries of the dashboard, by the name of their panel.
fn queries() -> Vec<(String, String)> {
    let dashboard = parsed("charts/postgres-adapter/files/dashboard.json");
    let panels = dashboard["panels"].as_sequence().unwrap().iter();
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    panels
        .flat_map(|panel| {
            // A row of panels asks nothing.
            let targets = panel["targets"].as_sequence().into_iter().flatten();
            targets.map(move |it| (text(&panel["title"]), text(&it["expr"])))
        })
        .collect()
}

/// S25: and without a Pushgateway.
#[test]
fn the_dashboard_answers_for_every_database_from_the_scheduler_alone() {
    let queries = queries();
    for (panel, query) in &queries {
        let pushed = query.contains("postgres_backup_") || query.contains("postgres_restore_");
        assert!(!pushed, "{panel}: {query}");
    }
    let table: String = queries
        .into_iter()
        .filter(|(panel, _)| panel == "By schedule")
        .map(|(_, query)| query)
        .collect();
    for answer in [
        "created_timestamp",
        "last_success_timestamp",
        "last_failure_timestamp",
        "last_run_succeeded",
        "last_duration",
        "last_stored_bytes",
        "next_run_timestamp",
        "interval",
        "suspended",
    ] {
        assert!(
            table.contains(&format!("postgres_adapter_schedule_{answer}")),
            "{answer}"
        );
    }
}
