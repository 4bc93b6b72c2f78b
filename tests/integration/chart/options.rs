//! What a platform asks of every chart: registries, labels, security contexts, rules, more objects.

use serde_yaml_ng::Value;

use super::{env_of, only, rendered};

fn env(documents: &[Value], name: &str) -> String {
    env_of(documents, name).expect(name)
}

fn pod_template(documents: &[Value]) -> Value {
    let config = only(documents, "ConfigMap", "adapter-postgres-adapter-workers");
    serde_yaml_ng::from_str(config["data"]["pod-template.yaml"].as_str().unwrap()).unwrap()
}

#[test]
fn a_mirror_takes_the_place_of_the_registry_in_every_image() {
    for (repository, image) in [
        ("ghcr.io/a/b", "mirror:5000/all/a/b:1.0"),
        ("registry:5000/a/b", "mirror:5000/all/a/b:1.0"),
        ("localhost/b", "mirror:5000/all/b:1.0"),
        ("library/b", "mirror:5000/all/library/b:1.0"),
    ] {
        let repository = format!("images.backuper.repository={repository}");
        let documents = rendered(&[
            "global.imageRegistry=mirror:5000/all/",
            "images.backuper.tag:=\"1.0\"",
            &repository,
        ]);
        assert_eq!(env(&documents, "BACKUPER_VERSION"), image);
    }
}

#[test]
fn what_a_pod_template_does_not_say_of_resources_stays() {
    let limits = "workers.podTemplate:={\"spec\":{\"containers\":[{\"name\":\"worker\",\"resources\":{\"limits\":{\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"1\"}}}]}}";
    let template = pod_template(&rendered(&[limits]));
    let resources = &template["spec"]["containers"][0]["resources"];
    assert_eq!(resources["limits"]["memory"], "1Gi");
    assert_eq!(resources["requests"]["cpu"], "1");
    assert_eq!(resources["requests"]["memory"], "128Mi");
}

#[test]
fn labels_of_all_objects_are_on_the_pods_too_and_a_pods_own_go_before() {
    let documents = rendered(&["commonLabels.team=a", "podLabels.team=b"]);
    for document in &documents {
        assert_eq!(document["metadata"]["labels"]["team"], "a", "{document:?}");
    }
    let deployment = only(&documents, "Deployment", "adapter-postgres-adapter");
    assert_eq!(
        deployment["spec"]["template"]["metadata"]["labels"]["team"],
        "b"
    );
    assert!(deployment["spec"]["selector"]["matchLabels"]["team"].is_null());
    assert_eq!(pod_template(&documents)["metadata"]["labels"]["team"], "a");
}

#[test]
fn on_openshift_no_id_is_fixed() {
    let documents = rendered(&["openshift=true"]);
    let text = serde_yaml_ng::to_string(&documents).unwrap();
    for fixed in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert!(!text.contains(fixed), "{fixed}");
    }
    assert!(text.contains("runAsNonRoot"));
    assert_eq!(env(&documents, "WORKER_RUN_AS_USER"), "image");
    assert_eq!(env(&rendered(&[]), "WORKER_RUN_AS_USER"), "65532");
    assert_eq!(
        env(&rendered(&["workers.runAsUser=0"]), "WORKER_RUN_AS_USER"),
        "image"
    );
}

#[test]
fn alerts_can_be_left_out_labelled_and_added() {
    let documents = rendered(&[
        "prometheusRule.enabled=true",
        "prometheusRule.disabled={PostgresAdapterTwoLeaders}",
        "prometheusRule.alertLabels.team=a",
        "prometheusRule.additionalRules:=[{\"alert\":\"Mine\",\"expr\":\"1\"}]",
    ]);
    let rule = only(&documents, "PrometheusRule", "adapter-postgres-adapter");
    let rules = rule["spec"]["groups"][0]["rules"].as_sequence().unwrap();
    let names: Vec<_> = rules
        .iter()
        .map(|it| it["alert"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"PostgresBackupOverdue") && names.contains(&"Mine"),
        "{names:?}"
    );
    assert!(!names.contains(&"PostgresAdapterTwoLeaders"), "{names:?}");
    assert_eq!(rules[0]["labels"]["team"], "a");
    assert_eq!(rules[0]["labels"]["severity"], "critical");
}

#[test]
fn metrics_have_a_service_of_their_own_that_no_load_balancer_shows() {
    let documents = rendered(&["service.type=LoadBalancer", "serviceMonitor.enabled=true"]);
    let calls = only(&documents, "Service", "adapter-postgres-adapter");
    let ports = calls["spec"]["ports"].as_sequence().unwrap();
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0]["name"], "grpc");
    let metrics = only(&documents, "Service", "adapter-postgres-adapter-metrics");
    assert_eq!(metrics["spec"]["type"], "ClusterIP");
    let monitor = only(&documents, "ServiceMonitor", "adapter-postgres-adapter");
    let wanted = monitor["spec"]["selector"]["matchLabels"]
        .as_mapping()
        .unwrap();
    for (label, value) in wanted {
        assert_eq!(&metrics["metadata"]["labels"][label], value);
    }
    assert_eq!(metrics["spec"]["selector"], calls["spec"]["selector"]);
}

#[test]
fn the_workers_account_outlasts_the_release_as_the_schedules_do() {
    let documents = rendered(&[]);
    let kept = documents
        .iter()
        .filter(|it| it["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep");
    let kept: Vec<_> = kept
        .map(|it| it["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(kept, ["adapter-postgres-adapter-workers"]);
}

#[test]
fn more_objects_come_as_they_are_or_as_templates() {
    let documents = rendered(&[
        "extraObjects:=[{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"plain\"}},\"{kind: ConfigMap, metadata: {name: of-{{ .Release.Name }}}}\"]",
    ]);
    only(&documents, "ConfigMap", "plain");
    only(&documents, "ConfigMap", "of-adapter");
}
