//! The values that Bitnami's chart was given, as they stand: each is used, or NOTES say that it has no effect.

use std::collections::BTreeSet;
use std::path::Path;

use serde_yaml_ng::{Mapping, Value};

use super::{chart, container, documents, helm, names, only, rendered, stateful_set};
use crate::testbed::folder;
use crate::testbed::programs::Ended;

fn given() -> Value {
    let text = super::read("tests/integration/chart/postgresql/bitnami.yaml");
    let mut values: Value = serde_yaml_ng::from_str(&text).unwrap();
    values.apply_merge().unwrap();
    values
}

fn helm_with(command: &[&str], values: &Value, folder: &Path) -> Ended {
    let file = folder.join("values.yaml");
    std::fs::write(&file, serde_yaml_ng::to_string(values).unwrap()).unwrap();
    helm(command)
        .args(["postgresql", chart().to_str().unwrap()])
        .args(["--namespace", "production", "--values"])
        .arg(file)
        .run()
}

/// What is rendered, but for what is another one each time; or why it is an error.
fn made_of(values: &Value, folder: &Path) -> Result<Vec<Value>, String> {
    let ended = helm_with(&["template"], values, folder);
    if ended.code() != Some(0) {
        return Err(ended.stderr);
    }
    let mut documents = documents(&ended.stdout);
    documents.retain(|it| it["metadata"]["name"] != "postgresql-patroni");
    for document in &mut documents {
        if let Some(data) = document["stringData"].as_mapping_mut() {
            data.remove("metrics-password");
        }
    }
    Ok(documents)
}

fn warnings(values: &Value, folder: &Path) -> BTreeSet<String> {
    let said = helm_with(&["install", "--dry-run=client"], values, folder);
    let said = said.expect_code(0).stdout.clone();
    let lines = said
        .lines()
        .filter_map(|it| it.strip_prefix("WARNING: ")?.split_once(" has no effect"));
    lines.map(|(name, _)| name.to_owned()).collect()
}

/// The leaves' paths. An element of a list has its own name, where it has one, or its number.
fn leaves(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    let below = |name: String| [path, &[name]].concat();
    match value {
        Value::Mapping(map) if !map.is_empty() => {
            for (key, value) in map {
                leaves(value, &below(key.as_str().unwrap().to_owned()), found);
            }
        }
        Value::Sequence(list) => {
            for (number, value) in list.iter().enumerate() {
                let name = value["name"].as_str().map(str::to_owned);
                leaves(
                    value,
                    &below(name.unwrap_or_else(|| number.to_string())),
                    found,
                );
            }
        }
        // Helm drops what is null, so that nothing is given.
        Value::Null => {}
        _ => found.push(path.to_vec()),
    }
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(value, |value, name| match value {
        Value::Sequence(list) => {
            let number = list.iter().position(|it| it["name"] == name.as_str());
            &mut list[number.unwrap_or_else(|| name.parse().unwrap())]
        }
        map => &mut map[name.as_str()],
    })
}

fn remove(values: &mut Value, path: &[String]) {
    let (name, parent) = path.split_last().unwrap();
    match at(values, parent) {
        Value::Sequence(list) => list.retain(|it| it["name"] != name.as_str()),
        map => drop(map.as_mapping_mut().unwrap().remove(name.as_str())),
    }
}

/// Where any text goes through as it is: all of it is told apart by one rendering.
fn is_text(path: &[String]) -> bool {
    let parts = ["annotations", "affinity", "podLabels", "nodeSelector"];
    path.iter().any(|it| parts.contains(&it.as_str()))
}

/// 2.1, 2.24.
#[test]
fn each_value_of_bitnamis_chart_is_used_or_said_to_have_no_effect() {
    let folder = folder("bitnami");
    let mut values = given();
    let warned = warnings(&values, &folder);
    let mut all = Vec::new();
    leaves(&values, &[], &mut all);
    assert!(all.len() > 80, "{}", all.len());
    let is_warned =
        |path: &[String]| (1..=path.len()).any(|parts| warned.contains(&path[..parts].join(".")));
    let (without_effect, used): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| is_warned(it));
    // What is said to have none has none.
    let before = made_of(&values, &folder).unwrap();
    for name in &warned {
        let path: Vec<_> = name.split('.').map(str::to_owned).collect();
        remove(&mut values, &path);
    }
    assert_eq!(
        made_of(&values, &folder).unwrap(),
        before,
        "{without_effect:?}"
    );

    let (texts, others): (Vec<_>, Vec<_>) = used.into_iter().partition(|it| is_text(it));
    let mut marked = values.clone();
    for (number, path) in texts.iter().enumerate() {
        *at(&mut marked, path) = format!("text-{number}-").into();
    }
    let text = serde_yaml_ng::to_string(&made_of(&marked, &folder).unwrap()).unwrap();
    for (number, path) in texts.iter().enumerate() {
        assert!(text.contains(&format!("text-{number}-")), "{path:?}");
    }
    for path in others {
        assert!(has_effect(&values, &before, &path, &folder), "{path:?}");
    }
}

/// Without it, or with another one in its place, something else is rendered, or nothing is.
fn has_effect(values: &Value, before: &[Value], path: &[String], folder: &Path) -> bool {
    let mut changed = values.clone();
    let place = at(&mut changed, path);
    if let Value::Bool(it) = place {
        *it = !*it;
    } else if path.last().unwrap() == "database" {
        *place = "another".into();
    } else {
        remove(&mut changed, path);
    }
    made_of(&changed, folder).as_deref() != Ok(before)
}

/// What the values were meant to make: two endpoints, three pods, a backup on a volume, metrics.
#[test]
fn they_make_what_they_were_meant_to_make() {
    let documents = made_of(&given(), &folder("bitnami-meant")).unwrap();
    assert_eq!(stateful_set(&documents)["replicas"], 3);
    for name in ["postgresql-master", "postgresql-read"] {
        let service = only(&documents, "Service", name);
        assert_eq!(service["spec"]["type"], "LoadBalancer");
    }
    let claim = only(&documents, "PersistentVolumeClaim", "postgresql-backup");
    assert_eq!(claim["spec"]["storageClassName"], "gp3-immediate");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
    assert_eq!(names(&documents, "CronJob"), ["postgresql-backup"]);
    // Their way around a fault of Bitnami's chart would lead the exporter elsewhere.
    let env = container(&documents, "metrics")["env"].clone();
    let names: Vec<_> = env
        .as_sequence()
        .unwrap()
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    assert!(!names.contains(&"DATA_SOURCE_NAME".into()), "{names:?}");
    assert!(names.contains(&"PG_EXPORTER_DISABLE_SETTINGS_METRICS".into()));
}

/// Two names of one value, and pods that are all alike, are no contradiction as long as both say the same.
#[test]
fn what_is_given_twice_has_to_be_the_same() {
    for (values, words) in [
        (
            &["readReplicas.resources.limits.memory=1Gi"][..],
            "readReplicas.resources is not what primary.resources is",
        ),
        (
            &["readReplicas.persistence.size=11Gi"],
            "readReplicas.persistence.size is not what primary.persistence.size is",
        ),
        (
            &["backup.schedule=@daily", "backup.cronjob.schedule=@hourly"],
            "backup.schedule and backup.cronjob.schedule",
        ),
        (
            &["backup.storage.size=1Gi", "backup.cronjob.storage.size=2Gi"],
            "backup.storage.size and backup.cronjob.storage.size",
        ),
    ] {
        super::is_refused(values, words);
    }
    let same = [
        "primary.resources.limits.memory=1Gi",
        "readReplicas.resources.limits.memory=1Gi",
        "backup.schedule=@daily",
        "backup.cronjob.schedule=@daily",
    ];
    assert!(!rendered(&same).is_empty());
    let mut both = Mapping::new();
    both.insert("backup".into(), given()["backup"].clone());
    let mut both = Value::Mapping(both);
    both["backup"]["s3"] = serde_yaml_ng::from_str("{bucket: dumps}").unwrap();
    let refused = made_of(&both, &folder("bitnami-both")).unwrap_err();
    assert!(refused.contains("two places for one backup"), "{refused}");
}
