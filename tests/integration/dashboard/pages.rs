//! What can be said of the dashboard and of its page without a server, and that docs/monitoring.md tells
//! of every metric that is served and of every panel that there is.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use super::board::{Board, alerts};
use super::scene;
use crate::testbed::programs::repository;

fn page() -> String {
    std::fs::read_to_string(repository().join("docs/monitoring.md")).unwrap()
}

/// The cells of the tables' rows whose first cell is code.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|it| it.starts_with("| "));
    let cells = |it: &str| {
        let cells = it.trim_matches(['|', ' ']).split(" | ");
        cells.map(|it| it.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

fn code(text: &str) -> BTreeSet<String> {
    let parts = text.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

/// Each metric that is served: its type and its labels.
fn served(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found = BTreeMap::new();
    let label = Regex::new(r#"[{,]([a-z_]+)=""#).unwrap();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# TYPE ") {
            let (of, kind) = words.split_once(' ').unwrap();
            of.clone_into(&mut name);
            found.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = label.captures_iter(line).map(|it| it[1].to_owned());
            let labels = labels.filter(|it| it != "le");
            found.get_mut(&name).unwrap().1.extend(labels);
        }
    }
    found
}

#[test]
fn every_metric_that_is_served_is_in_the_docs_and_no_other() {
    let served = served(&scene::shared().metrics());
    let told: BTreeMap<_, _> = rows(&page())
        .into_iter()
        .filter(|it| it.len() == 5 && it[0].starts_with('`'))
        .map(|it| {
            let name = it[0].trim_matches('`').to_owned();
            (name, (it[1].clone(), code(&it[2])))
        })
        .collect();
    assert_eq!(told, served);
}

#[test]
fn every_panel_is_in_the_docs_with_the_metrics_that_it_shows() {
    let (board, page) = (Board::read(), page());
    let rows = rows(&page);
    let metric = Regex::new(r"\b(postgres_adapter|process)_[a-z_]+[a-z]\b").unwrap();
    for panel in &board.panels {
        let row = rows.iter().find(|it| it[0] == panel.title);
        let row = row.unwrap_or_else(|| panic!("{} is not in the docs", panel.title));
        let told = code(&row[2]);
        let asked = panel.targets.iter().flat_map(|it| {
            let found = metric.find_iter(&it.query);
            found.map(|it| {
                it.as_str()
                    .trim_start_matches("postgres_adapter_")
                    .trim_end_matches("_bucket")
                    .to_owned()
            })
        });
        // They say for which schedulers, and that nothing is 0 where nothing is known.
        let around = ["schedulers", "schedules"].map(str::to_owned);
        let asked: BTreeSet<_> = asked.filter(|it| !around.contains(it)).collect();
        assert_eq!(told, asked, "{}", panel.title);
    }
    for (alert, _) in alerts() {
        let link = format!("| [{alert}](runbook.md#{}) |", alert.to_lowercase());
        assert!(page.contains(&link), "{link}");
    }
}

fn number(value: &Value, name: &str) -> u64 {
    value["gridPos"][name].as_u64().expect("a place")
}

#[test]
fn the_panels_lie_side_by_side_and_each_says_what_it_shows() {
    for chart in ["postgres-adapter", "postgresql"] {
        lies_side_by_side(&Board::of(chart));
    }
}

fn lies_side_by_side(board: &Board) {
    let panels = board.json["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeMap::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|it| number(panel, it));
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}: {x} {w}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            let other = taken.insert(cell, title);
            assert_eq!(other, None, "{title}: {cell:?}");
        }
        let kind = panel["type"].as_str().unwrap();
        assert!(
            ["row", "stat", "table", "timeseries"].contains(&kind),
            "{title}: {kind}"
        );
        if kind == "row" {
            continue;
        }
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|it| it.len() > 20),
            "{title}"
        );
        let targets = panel["targets"].as_array().unwrap();
        let asked = targets.iter().map(|it| it["refId"].as_str().unwrap());
        assert_eq!(
            asked.collect::<BTreeSet<_>>().len(),
            targets.len(),
            "{title}"
        );
        for source in targets.iter().chain([panel]) {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{title}");
            assert_eq!(source["datasource"]["type"], "prometheus", "{title}");
        }
    }
    for annotation in board.json["annotations"]["list"].as_array().unwrap() {
        // Newer Grafanas read the one, older ones the other.
        assert_eq!(annotation["target"]["expr"], annotation["expr"]);
    }
    // A gap would be closed by Grafana, and what stands beside it would move.
    let rows = taken.keys().map(|(_, y)| *y).max().unwrap() + 1;
    assert_eq!(taken.len() as u64, rows * 24, "there are gaps");
    // The first schema of Grafana 10.3; newer Grafanas bring it up to theirs.
    assert_eq!(board.json["schemaVersion"], 39);
}
