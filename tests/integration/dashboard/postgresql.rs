//! The dashboard of charts/postgresql, and what its alerts ask for: by what postgres_exporter was seen to tell, played by promtool.
//! tests/e2e-postgresql holds that against real pods.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Value, json};

use super::board::{Board, Choice};
use super::labels_of;
use crate::cluster::kept_by_with;
use crate::testbed::folder;
use crate::testbed::programs::{Prepared, repository};

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// The series, by the file that was seen: with a namespace, each rising with time, so that it has a rate.
fn series() -> Vec<Value> {
    let text = read("tests/integration/dashboard/postgresql.prom");
    let lines = text.lines().filter(|it| !it.starts_with('#'));
    let told = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let series = series.replacen('{', r#"{namespace="production","#, 1);
        // Who leads, and whether it answers, stays as it is.
        let rises = if ["pg_up", "pg_replication_is_replica"]
            .iter()
            .any(|it| line.starts_with(it))
        {
            "0"
        } else {
            "1"
        };
        json!({"series": series, "values": format!("{value}+{rises}x30")})
    });
    told.collect()
}

fn names() -> BTreeSet<String> {
    let name = Regex::new(r"^[a-z_]+").unwrap();
    let all = series();
    let all = all.iter().map(|it| it["series"].as_str().unwrap());
    all.map(|it| name.find(it).unwrap().as_str().to_owned())
        .collect()
}

/// What each query is to answer: something, and with the labels that its legend is made of.
fn expected(query: &str, legend: &str) -> Vec<Value> {
    let mut labels = labels_of(legend);
    labels.push("");
    let has = |label: &str| match label {
        "" => (format!("count({query}) > bool 0"), "{}"),
        label => (
            format!(
                r#"count by (has) (label_replace({query}, "has", "it", "{label}", ".+")) > bool 0"#
            ),
            r#"{has="it"}"#,
        ),
    };
    labels
        .into_iter()
        .map(|label| {
            let (expr, labels) = has(label);
            json!({"expr": expr, "eval_time": "15m", "exp_samples": [{"labels": labels, "value": 1}]})
        })
        .collect()
}

fn played(moments: &[Value]) {
    let folder = folder("postgresql-dashboard");
    let tests = json!({"rule_files": [], "tests": [{"interval": "1m", "input_series": series(), "promql_expr_test": moments}]});
    let file = folder.join("played.yaml");
    std::fs::write(&file, tests.to_string()).unwrap();
    let bin = kept_by_with("prometheus.sh", &[]);
    Prepared::new(bin.join("promtool"))
        .args(["test", "rules", file.to_str().unwrap()])
        .succeed();
}

#[test]
fn every_query_answers_for_all_clusters_and_for_one() {
    let board = Board::of("postgresql");
    let all = Choice::all(&board);
    let one = all
        .with("namespace", "production")
        .with("cluster", "postgresql");
    let mut moments = Vec::new();
    for panel in &board.panels {
        for target in &panel.targets {
            for choice in [&all, &one] {
                // Grafana's interval is longer here than the samples are apart.
                let query = choice.apply(&target.query.replace("$__rate_interval", "5m"));
                moments.extend(expected(&query, &target.legend));
            }
        }
    }
    assert!(moments.len() > 80, "{}", moments.len());
    played(&moments);
}

#[test]
fn another_cluster_is_not_shown() {
    let board = Board::of("postgresql");
    let other = Choice::all(&board).with("cluster", "postgres");
    let targets = board.panels.iter().flat_map(|it| &it.targets);
    let moments = targets.map(|it| {
        let query = other.apply(&it.query.replace("$__rate_interval", "5m"));
        json!({"expr": query, "eval_time": "15m", "exp_samples": []})
    });
    played(&moments.collect::<Vec<_>>());
}

#[test]
fn what_can_be_chosen_and_what_alerts_ask_for_is_told_by_somebody() {
    let names = names();
    let metric = Regex::new(r"\b(pg|kube|kubelet)_[a-z_]+[a-z]\b").unwrap();
    let alerts: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&read("charts/postgresql/files/alerts.yaml")).unwrap();
    let alerts = alerts["groups"][0]["rules"].as_sequence().unwrap();
    let board = Board::of("postgresql");
    let chosen = board.variables.iter().map(|it| it.query.as_str());
    let asked = chosen.chain(alerts.iter().map(|it| it["expr"].as_str().unwrap()));
    let mut count = 0;
    for found in asked.flat_map(|it| metric.find_iter(it)) {
        assert!(names.contains(found.as_str()), "{}", found.as_str());
        count += 1;
    }
    assert!(count > 15, "{count}");
}

/// Headings that colours and units speak of are there, and each query of the table has a column.
#[test]
fn the_table_has_the_columns_that_it_speaks_of() {
    let board = Board::of("postgresql");
    let pods = board.panel("Pods");
    let shown: BTreeSet<_> = pods.shown().into_iter().collect();
    for name in pods.named() {
        assert!(shown.contains(&name), "{name}");
    }
    let columns = pods.columns();
    for target in &pods.targets {
        assert!(
            columns.contains(&format!("Value #{}", target.id)),
            "{}",
            target.id
        );
    }
    let titles = board
        .panels
        .iter()
        .map(|it| (it.title.clone(), it.kind.clone()));
    assert_eq!(titles.collect::<BTreeMap<_, _>>().len(), board.panels.len());
}
