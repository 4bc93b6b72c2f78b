//! Manifests as users have them: those of the page, and those that were written for dbtether.
//!
//! A kind joins with a file of its own below `upstream/`; each that is served must have one.

use std::collections::BTreeSet;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use scheduler::operator::crd;
use serde::Deserialize as _;
use serde_json::Value;

use super::served;
use crate::cluster::Namespace;
use crate::testbed::programs::repository;

const UPSTREAM: &str = "tests/integration/operator/upstream";

fn parsed(yaml: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(yaml);
    documents
        .map(|it| Value::deserialize(it).unwrap())
        .collect()
}

/// The kinds that are served, by their plurals.
fn kinds() -> Vec<(String, String)> {
    let all = crd::definitions().into_iter();
    all.map(|it| (it.spec.names.plural, it.spec.names.kind))
        .collect()
}

/// What is written in one is in the other.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|it| contains(it, value))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len()
                && whole
                    .iter()
                    .zip(part)
                    .all(|(whole, part)| contains(whole, part))
        }
        _ => whole == part,
    }
}

/// Whether the API server takes a manifest whole: an unknown field is an error.
async fn is_taken(namespace: &Namespace, manifest: &Value) {
    let mut object: DynamicObject = serde_json::from_value(manifest.clone()).unwrap();
    let kind = GroupVersionKind::try_from(object.types.clone().unwrap()).unwrap();
    let resource = ApiResource::from_gvk(&kind);
    let client = namespace.cluster.client();
    let is_outside = ["DBCluster", "BackupStorage"].contains(&kind.kind.as_str());
    let api: Api<DynamicObject> = if is_outside {
        Api::all_with(client, &resource)
    } else {
        object.metadata.namespace = Some(namespace.name.clone());
        Api::namespaced_with(client, &namespace.name, &resource)
    };
    let name = object.metadata.name.clone().unwrap();
    let params = PatchParams::apply("it").dry_run().validation_strict();
    let taken = api.patch(&name, &params, &Patch::Apply(&object)).await;
    let taken = taken.unwrap_or_else(|error| panic!("{} {name}: {error}", kind.kind));
    let spec = &manifest["spec"];
    assert!(
        spec.is_null() || contains(&taken.data["spec"], spec),
        "{} {name}: {}",
        kind.kind,
        taken.data["spec"]
    );
}

/// operator.md, X1.
#[test]
fn x1_what_was_written_for_dbtether_is_taken_whole() {
    served().within(async |namespace| {
        for (plural, kind) in kinds() {
            let path = repository().join(format!("{UPSTREAM}/{plural}.yaml"));
            let yaml = std::fs::read_to_string(path).expect(&plural);
            for manifest in parsed(&yaml) {
                assert_eq!(manifest["kind"], kind);
                is_taken(&namespace, &manifest).await;
            }
        }
    });
}

/// The manifests of docs/operator.md, block by block.
fn of_the_page() -> Vec<Value> {
    let page = std::fs::read_to_string(repository().join("docs/operator.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    let blocks = blocks.map(|it| it.split("```").next().unwrap());
    let all = blocks.filter(|it| it.starts_with("apiVersion:"));
    all.flat_map(parsed).collect()
}

#[test]
fn every_manifest_of_the_page_is_taken_and_every_kind_has_one() {
    let manifests = of_the_page();
    let told: BTreeSet<&str> = manifests
        .iter()
        .filter_map(|it| it["kind"].as_str())
        .collect();
    for (_, kind) in kinds() {
        assert!(told.contains(kind.as_str()), "{kind}");
    }
    served().within(async |namespace| {
        for manifest in &manifests {
            is_taken(&namespace, manifest).await;
        }
    });
}
