//! values-production.yaml.

use super::{chart, documents, helm};

/// What the file says that it sets is set.
#[test]
fn the_production_values_are_whole() {
    let chart = chart();
    let values = chart.join("values-production.yaml");
    let chart = chart.to_str().unwrap();
    helm(&["lint", "--strict", chart, "--values"])
        .arg(&values)
        .succeed();
    let said = helm(&[
        "install",
        "adapter",
        chart,
        "--namespace",
        "system",
        "--dry-run=client",
        "--values",
    ]);
    let said = said.arg(&values).succeed().stdout;
    let (rendered, notes) = said.split_once("\nNOTES:\n").unwrap();
    assert!(!notes.contains("WARNING"), "{notes}");
    let (_, manifest) = rendered.split_once("\nMANIFEST:\n").unwrap();
    let documents = documents(manifest);
    for kind in [
        "PodDisruptionBudget",
        "Certificate",
        "NetworkPolicy",
        "ServiceMonitor",
        "PrometheusRule",
        "ValidatingAdmissionPolicy",
        "ClusterRole",
    ] {
        assert!(documents.iter().any(|it| it["kind"] == kind), "{kind}");
    }
}
