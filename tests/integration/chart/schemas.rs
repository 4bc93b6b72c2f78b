//! What is rendered, by kubeconform and Kubernetes' own descriptions of its API, for the oldest and the
//! newest version that is supported.

use std::path::Path;

use serde_json::{Value, json};

use super::{COMBINATIONS, chart, helm, render};
use crate::cluster::kept_by_with;
use crate::testbed::folder;
use crate::testbed::programs::Prepared;

/// Kinds of other projects, whose descriptions Kubernetes has not.
const OTHERS: &str = "ServiceMonitor,PodMonitor,PrometheusRule,Certificate";

/// One JSON schema for each kind, as kubeconform looks for them; a field that is in none is an error.
pub(super) fn write_schemas(swagger: &Path, into: &Path) {
    let swagger = std::fs::read_to_string(swagger).unwrap();
    let mut swagger: Value = serde_json::from_str(&swagger).unwrap();
    let definitions = swagger["definitions"].as_object_mut().unwrap();
    for (name, definition) in definitions.iter_mut() {
        if name.ends_with(".IntOrString") || name.ends_with(".resource.Quantity") {
            *definition = json!({"type": ["integer", "number", "string"]});
        } else if definition.get("properties").is_some() {
            definition["additionalProperties"] = json!(false);
        }
    }
    let definitions = swagger["definitions"].as_object().unwrap();
    let all = json!({ "definitions": definitions });
    std::fs::write(into.join("all.json"), all.to_string()).unwrap();
    for (name, definition) in definitions {
        for kind in definition["x-kubernetes-group-version-kind"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let of = |field: &str| kind[field].as_str().unwrap().to_lowercase();
            let (group, version, kind) = (of("group"), of("version"), of("kind"));
            let group = group.split('.').next().filter(|it| !it.is_empty());
            let file = match group {
                Some(group) => format!("{kind}-{group}-{version}.json"),
                None => format!("{kind}-{version}.json"),
            };
            let place = into.join("all.json");
            let schema = json!({"$ref": format!("file://{}#/definitions/{name}", place.display())});
            std::fs::write(into.join(file), schema.to_string()).unwrap();
        }
    }
}

pub(super) fn kubeconform(schemas: &Path, rendered: &str) -> crate::testbed::programs::Ended {
    let file = folder("rendered").join("rendered.yaml");
    std::fs::write(&file, rendered).unwrap();
    let place = format!(
        "{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        schemas.display()
    );
    let bin = kept_by_with("go-program.sh", &["kubeconform"]);
    Prepared::new(bin.join("kubeconform"))
        .args([
            "-strict",
            "-summary",
            "-skip",
            OTHERS,
            "-schema-location",
            &place,
        ])
        .arg(&file)
        .run()
}

#[test]
fn what_is_rendered_is_right_for_the_oldest_and_the_newest_kubernetes() {
    let kept = kept_by_with("kubernetes-schemas.sh", &[]);
    for version in ["1.29.15", "1.34.10", "1.36.3"] {
        let schemas = folder("schemas");
        write_schemas(&kept.join(format!("v{version}.json")), &schemas);
        for values in COMBINATIONS {
            let rendered = render("system", version, values);
            let checked = kubeconform(&schemas, &rendered.expect_code(0).stdout);
            checked.expect_code(0);
            assert!(
                checked.stdout.contains("Errors: 0, Skipped: 0"),
                "{checked}"
            );
        }
        let others = [
            "serviceMonitor.enabled=true",
            "prometheusRule.enabled=true",
            "dashboard.enabled=true",
        ];
        kubeconform(&schemas, &render("system", version, &others).stdout).expect_code(0);
        let near = ["service.trafficDistribution=PreferClose"];
        if version != "1.29.15" {
            kubeconform(
                &schemas,
                &render("system", version, &near).expect_code(0).stdout,
            )
            .expect_code(0);
            let chart = chart();
            let preset = helm(&["template", "adapter", chart.to_str().unwrap(), "--values"])
                .arg(chart.join("values-production.yaml"))
                .args(["--kube-version", version]);
            kubeconform(&schemas, &preset.succeed().stdout).expect_code(0);
        }
        if version != "1.29.15" {
            let policy = ["admissionPolicy.enabled=true", "workers.namespace=workers"];
            let rendered = render("system", version, &policy);
            kubeconform(&schemas, &rendered.expect_code(0).stdout).expect_code(0);
        }
        let wrong = render("system", version, &[])
            .stdout
            .replacen("replicas:", "replica:", 1);
        let refused = kubeconform(&schemas, &wrong);
        assert!(refused.stdout.contains("replica"), "{refused}");
    }
}
