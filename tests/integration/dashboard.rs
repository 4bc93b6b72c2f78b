//! The dashboard, the alerts and docs/monitoring.md, by a real Prometheus that scrapes a real scheduler.

mod board;
mod pages;
mod postgresql;
mod prometheus;
mod scene;

use std::collections::BTreeMap;

use board::{Board, Choice, Panel};
use prometheus::Series;
use scene::Scene;

/// A machine on its own, whose targets have no namespace, and a release of Kubernetes.
const JOBS: [&str; 2] = ["one-machine", "kubernetes"];

/// What may be chosen at the top of the dashboard: all; one job; and of each variable the first value that it offers.
fn choices(scene: &Scene, board: &Board) -> Vec<Choice> {
    let all = Choice::all(board);
    let mut choices = vec![all.clone()];
    for job in JOBS {
        choices.push(all.with("job", job));
    }
    let mut narrow = all.with("job", JOBS[1]);
    for variable in &board.variables {
        let offered = scene.prometheus.values(&narrow.apply(&variable.query));
        let first = offered.into_iter().find(|it| it != JOBS[0]);
        let first = first.unwrap_or_else(|| panic!("nothing to choose: {}", variable.name));
        narrow = narrow.with(&variable.name, &first);
    }
    choices.push(narrow);
    choices
}

/// The labels that a legend, or a title, is made of.
fn labels_of(legend: &str) -> Vec<&str> {
    let parts = legend.split("{{").skip(1);
    parts
        .map(|it| it.split("}}").next().unwrap().trim())
        .collect()
}

fn says(series: &[Series], label: &str) -> bool {
    series.iter().all(|it| it.labels.contains_key(label))
}

fn value(scene: &Scene, board: &Board, choice: &Choice, title: &str) -> f64 {
    let panel = board.panel(title);
    let found = scene
        .prometheus
        .query(&choice.apply(&panel.targets[0].query));
    assert_eq!(found.len(), 1, "{title}: {found:?}");
    found[0].value
}

#[test]
fn every_query_of_the_dashboard_and_every_alert_answers() {
    let (scene, board) = (scene::shared(), Board::read());
    let choices = choices(scene, &board);
    for panel in &board.panels {
        for target in &panel.targets {
            let shown = format!("{}: {}", panel.title, target.query);
            for choice in &choices[..3] {
                let found = scene
                    .prometheus
                    .answer(&shown, &choice.apply(&target.query));
                for label in labels_of(&target.legend) {
                    assert!(says(&found, label), "{shown}: no {label} in {found:?}");
                }
            }
            // With one database chosen there may be nothing to show, but no error.
            scene.prometheus.query(&choices[3].apply(&target.query));
        }
    }
    for annotation in &board.annotations {
        let shown = format!("annotation {}", annotation.name);
        let query = choices[0].apply(&annotation.query);
        let found = scene.prometheus.answer(&shown, &query);
        for label in labels_of(&annotation.text) {
            let any = found.iter().any(|it| it.labels.contains_key(label));
            assert!(any, "{shown}: no {label} in {found:?}");
        }
    }
    for (alert, query) in board::alerts() {
        scene.prometheus.query(&query);
        let (health, error) = scene.prometheus.rule(&alert);
        assert_eq!((health.as_str(), error.as_str()), ("ok", ""), "{alert}");
    }
}

/// What a person reads off the top row and the tables in this state.
#[test]
fn the_dashboard_says_which_databases_are_protected_and_which_are_not() {
    let (scene, board) = (scene::shared(), Board::read());
    let choice = Choice::all(&board).with("job", JOBS[0]);
    for (title, expected) in [
        ("Databases", 5),
        ("Protected", 1),
        ("Overdue", 1),
        ("Failing", 1),
        ("Never backed up", 4),
        ("Suspended", 1),
        ("Leader", 1),
        ("Running now", 1),
        ("Failed restores", 1),
        ("Refused restores", 1),
        ("Failed objects", 2),
        ("Servers not connected", 1),
    ] {
        let seen = value(scene, &board, &choice, title);
        assert!((seen - f64::from(expected)).abs() < 0.01, "{title}: {seen}");
    }
    let states = by_database(scene, &choice, board.panel("By schedule"));
    let expected = [
        (&scene.good, 0),
        (&scene.suspended, 1),
        (&scene.running, 2),
        (&scene.failing, 3),
        (&scene.overdue, 4),
    ];
    assert_eq!(
        states,
        expected.map(|(it, state)| (it.clone(), state)).into()
    );
    let attention = board.panel("Needs attention");
    let found = scene
        .prometheus
        .query(&choice.apply(&attention.targets[0].query));
    let found: BTreeMap<_, _> = found
        .iter()
        .map(|it| (it.label("database"), it.label("problem")))
        .collect();
    let expected = [
        (scene.failing.as_str(), "postgresbackupfailed"),
        (scene.overdue.as_str(), "postgresbackupoverdue"),
    ];
    assert_eq!(found, expected.into());
    let under_way = board.panel("Under way now");
    let found = scene
        .prometheus
        .query(&choice.apply(&under_way.targets[0].query));
    let found: Vec<_> = found
        .iter()
        .map(|it| (it.label("state"), it.label("database")))
        .collect();
    assert_eq!(found, [("running", scene.running.as_str())]);
    let oldest = board.panel("Oldest last complete backup");
    let found = scene
        .prometheus
        .query(&choice.apply(&oldest.targets[0].query));
    assert_eq!(found[0].label("database"), scene.good);
}

/// The first column of numbers of a table, by the database that its row is of.
fn by_database(scene: &Scene, choice: &Choice, panel: &Panel) -> BTreeMap<String, i32> {
    let query = choice.apply(&panel.targets[0].query);
    let found = scene.prometheus.query(&query);
    #[expect(clippy::cast_possible_truncation, reason = "one digit")]
    let row = |it: &Series| (it.label("database").to_owned(), it.value as i32);
    found.iter().map(row).collect()
}

/// The page of an alert begins with the name of the database.
#[test]
fn an_alert_that_fires_names_the_database() {
    let scene = scene::shared();
    for alert in ["PostgresBackupFailed", "PostgresRestoreFailed"] {
        let firing = scene.prometheus.firing(alert);
        let named = |it: &String| it.contains(&scene.failing);
        assert!(firing.iter().all(named), "{alert}: {firing:?}");
    }
}

/// Every column that a table shows, renames, colours or sorts by is one that its queries have.
#[test]
fn every_column_of_a_table_is_there() {
    let (scene, board) = (scene::shared(), Board::read());
    let choice = Choice::all(&board);
    for panel in board.panels.iter().filter(|it| it.kind == "table") {
        let one = panel.targets.len() == 1;
        let mut columns = vec!["Time".to_owned()];
        for target in &panel.targets {
            let column = format!("Value #{}", target.id);
            columns.push(if one { "Value".to_owned() } else { column });
            let found = scene.prometheus.query(&choice.apply(&target.query));
            columns.extend(found.into_iter().flat_map(|it| it.labels.into_keys()));
        }
        for column in panel.columns() {
            assert!(columns.contains(&column), "{}: {column}", panel.title);
        }
        let shown: Vec<_> = panel.shown();
        for name in panel.named() {
            assert!(shown.contains(&name), "{}: {name}", panel.title);
        }
    }
}
