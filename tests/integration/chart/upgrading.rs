//! From the chart as it was before (`before/`), by `helm upgrade` with and without `--reuse-values`.
//!
//! With it Helm puts the old chart's defaults in the place of the new one's, so that a value that is new is
//! nowhere. tests/e2e does it on a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_yaml_ng::Value;

use super::{chart, documents, helm, only, read};
use crate::testbed::folder;
use crate::testbed::programs::{Prepared, repository};

fn before(file: &str) -> PathBuf {
    repository()
        .join("tests/integration/chart/before")
        .join(file)
}

/// What a chart makes of an old release's values; none: of its defaults.
fn render(chart: &Path, values: Option<&Path>) -> String {
    let helm = helm(&[
        "template",
        "adapter",
        chart.to_str().unwrap(),
        "--namespace",
        "system",
        "--kube-version=1.34.0",
    ]);
    let helm = match values {
        Some(values) => helm.arg("--values").arg(values),
        None => helm,
    };
    helm.succeed().stdout
}

fn defaults_of(chart: &Path) -> String {
    helm(&["show", "values"]).arg(chart).succeed().stdout
}

/// The chart as `--reuse-values` has it: its templates, and the old chart's defaults.
fn with_old_defaults() -> PathBuf {
    let copied = folder("reused").join("postgres-adapter");
    Prepared::new("cp")
        .arg("-r")
        .arg(chart())
        .arg(&copied)
        .succeed();
    let defaults = defaults_of(&before("postgres-adapter.tgz"));
    std::fs::write(copied.join("values.yaml"), defaults).unwrap();
    copied
}

/// Without any, and with most that there were.
fn releases() -> [Option<PathBuf>; 2] {
    [None, Some(before("values.yaml"))]
}

#[test]
fn a_reused_release_gets_what_a_new_one_with_its_values_gets() {
    let reused = with_old_defaults();
    for values in releases() {
        let values = values.as_deref();
        assert_eq!(
            render(&reused, values),
            render(&chart(), values),
            "{values:?}"
        );
    }
}

/// What Kubernetes does not let anybody change, and what others know by its name.
fn what_stays(object: &Value) -> Value {
    let spec = &object["spec"];
    match object["kind"].as_str().unwrap() {
        "Deployment" => spec["selector"].clone(),
        "Service" => {
            serde_yaml_ng::to_value((&spec["selector"], &spec["ports"], &spec["type"])).unwrap()
        }
        "RoleBinding" | "ClusterRoleBinding" => object["roleRef"].clone(),
        "Certificate" => spec.clone(),
        _ => Value::Null,
    }
}

#[test]
fn every_object_is_still_there_and_nothing_that_cannot_change_does() {
    for values in releases() {
        let of = |chart: &Path| documents(&render(chart, values.as_deref()));
        let (old, new) = (of(&before("postgres-adapter.tgz")), of(&chart()));
        for object in &old {
            let kind = object["kind"].as_str().unwrap();
            let name = object["metadata"]["name"].as_str().unwrap();
            let now = only(&new, kind, name);
            let place = |it: &Value| it["metadata"]["namespace"].clone();
            assert_eq!(place(object), place(&now), "{kind} {name}");
            assert_eq!(what_stays(object), what_stays(&now), "{kind} {name}");
        }
        assert_eq!(old.len(), new.len(), "nothing comes that nobody asked for");
    }
}

/// The settings of the scheduler and of the workers' pods are those that they were.
#[test]
fn the_scheduler_and_the_workers_are_told_what_they_were_told() {
    for values in releases() {
        let told = |chart: &Path| {
            let documents = documents(&render(chart, values.as_deref()));
            let deployment = documents.iter().find(|it| it["kind"] == "Deployment");
            let pod = &deployment.unwrap()["spec"]["template"]["spec"];
            let workers = documents.iter().find(|it| {
                let name = it["metadata"]["name"].as_str().unwrap();
                it["kind"] == "ConfigMap" && name.ends_with("-workers")
            });
            (
                pod["containers"][0]["env"].clone(),
                pod["affinity"].clone(),
                pod["topologySpreadConstraints"].clone(),
                workers.unwrap()["data"].clone(),
            )
        };
        assert_eq!(told(&before("postgres-adapter.tgz")), told(&chart()));
    }
}

/// The values that have a default, by their whole names.
fn leaves(value: &Value, name: &str, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Mapping(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = key.as_str().unwrap();
                let dot = if name.is_empty() { "" } else { "." };
                leaves(value, &format!("{name}{dot}{key}"), all);
            }
        }
        _ => {
            all.insert(name.to_owned(), value.clone());
        }
    }
}

#[test]
fn every_value_that_is_new_or_has_another_default_is_told_of() {
    let of = |chart: &Path| {
        let mut all = BTreeMap::new();
        let values = serde_yaml_ng::from_str(&defaults_of(chart)).unwrap();
        leaves(&values, "", &mut all);
        all
    };
    let (old, new) = (of(&before("postgres-adapter.tgz")), of(&chart()));
    let gone: Vec<_> = old.keys().filter(|it| !new.contains_key(*it)).collect();
    assert!(gone.is_empty(), "{gone:?}");
    let readme = read("charts/postgres-adapter/README.md");
    let (_, told) = readme
        .split_once("### From the chart before declared schedules\n")
        .unwrap();
    let (told, _) = told.split_once("\n### ").unwrap();
    for (name, default) in &new {
        if old.get(name) == Some(default) {
            continue;
        }
        let mut parts: Vec<&str> = name.split('.').collect();
        while !told.contains(&format!("`{}`", parts.join("."))) {
            assert!(parts.pop().is_some() && !parts.is_empty(), "{name}");
        }
    }
}
