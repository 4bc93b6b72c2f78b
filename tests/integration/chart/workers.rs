//! Where the workers' pods go and what they have, by values beside the pod template.

use serde_json::{Value, json};

use super::rendered;

const NAME: &str = "adapter-postgres-adapter";

/// The pod template of the workers.
fn workers(values: &[&str]) -> Value {
    let name = format!("{NAME}-workers");
    let config = super::only(&rendered(values), "ConfigMap", &name);
    serde_yaml_ng::from_str(config["data"]["pod-template.yaml"].as_str().unwrap()).unwrap()
}

/// Values of workers, where in their template, and what stands there.
fn of_workers() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("workers.podLabels.a=b", "/metadata/labels/a", json!("b")),
        (
            "workers.podAnnotations.a=b",
            "/metadata/annotations/a",
            json!("b"),
        ),
        (
            "workers.priorityClassName=low",
            "/spec/priorityClassName",
            json!("low"),
        ),
        (
            "workers.nodeSelector.disk=ssd",
            "/spec/nodeSelector/disk",
            json!("ssd"),
        ),
        (
            "workers.tolerations:=[{\"operator\":\"Exists\"}]",
            "/spec/tolerations/0/operator",
            json!("Exists"),
        ),
        (
            "workers.affinity.nodeAffinity.a=b",
            "/spec/affinity/nodeAffinity/a",
            json!("b"),
        ),
        (
            "workers.topologySpreadConstraints:=[{\"topologyKey\":\"zone\"}]",
            "/spec/topologySpreadConstraints/0/labelSelector/matchLabels",
            json!({"app.kubernetes.io/managed-by": "postgres-adapter"}),
        ),
        (
            "workers.hostAliases:=[{\"ip\":\"10.0.0.1\"}]",
            "/spec/hostAliases/0/ip",
            json!("10.0.0.1"),
        ),
        (
            "workers.extraEnv:=[{\"name\":\"A\",\"value\":\"b\"}]",
            "/spec/containers/0/env/0/name",
            json!("A"),
        ),
        (
            "workers.extraVolumes:=[{\"name\":\"v\",\"emptyDir\":{}}]",
            "/spec/volumes/0/name",
            json!("v"),
        ),
        (
            "workers.extraVolumeMounts:=[{\"name\":\"v\",\"mountPath\":\"/v\"}]",
            "/spec/containers/0/volumeMounts/0/mountPath",
            json!("/v"),
        ),
        (
            "global.imagePullSecrets:=[{\"name\":\"registry\"}]",
            "/spec/imagePullSecrets/0/name",
            json!("registry"),
        ),
    ]
}

#[test]
fn workers_have_places_of_their_own_and_a_pod_template_goes_before() {
    for (value, path, expected) in of_workers() {
        let template = workers(&[value]);
        assert_eq!(
            template.pointer(path),
            Some(&expected),
            "{value}: {template}"
        );
    }
    let template = workers(&[
        "workers.nodeSelector.disk=hdd",
        "workers.nodeSelector.zone=a",
        "workers.priorityClassName=low",
        "workers.podLabels.a=b",
        "workers.tolerations:=[{\"key\":\"backups\"}]",
        "workers.podTemplate:={\"metadata\":{\"labels\":{\"a\":\"c\"}},\"spec\":{\"nodeSelector\":{\"disk\":\"ssd\"},\"priorityClassName\":\"high\",\"tolerations\":[{\"key\":\"spot\"}]}}",
    ]);
    assert_eq!(
        template["spec"]["nodeSelector"],
        json!({"disk": "ssd", "zone": "a"})
    );
    assert_eq!(template["spec"]["priorityClassName"], "high");
    assert_eq!(template["metadata"]["labels"]["a"], "c");
    assert_eq!(
        template["spec"]["tolerations"],
        json!([{"key": "backups"}, {"key": "spot"}])
    );
}

const GLOBALS: &str = "workers.globals:={\"enabled\":true,\"passwords\":\"none\"}";

/// Values for all workers, and the variables that the scheduler has for them.
fn of_the_fleet() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        ("workers.retention.days=30", "RETENTION_DAYS", "30"),
        ("workers.retention.hourly=24", "KEEP_HOURLY", "24"),
        ("workers.retention.daily=7", "KEEP_DAILY", "7"),
        ("workers.retention.weekly=4", "KEEP_WEEKLY", "4"),
        ("workers.retention.monthly=12", "KEEP_MONTHLY", "12"),
        ("workers.retention.yearly=5", "KEEP_YEARLY", "5"),
        ("workers.retention.atLeast=2", "KEEP_AT_LEAST", "2"),
        (
            "workers.retention.timeZone=Europe/Berlin",
            "RETENTION_TIME_ZONE",
            "Europe/Berlin",
        ),
        (
            "workers.s3.storageClass=GLACIER_IR",
            "S3_STORAGE_CLASS",
            "GLACIER_IR",
        ),
        ("workers.s3.encryption=AES256", "S3_SSE", "AES256"),
        ("workers.s3.tags.team=a", "S3_TAGS", "team=a"),
        ("workers.s3.checksum=md5", "S3_CHECKSUM", "md5"),
        ("workers.format=sql.gz", "FORMAT", "sql.gz"),
        (GLOBALS, "GLOBALS", "true"),
        (GLOBALS, "GLOBALS_PASSWORDS", "none"),
        ("workers.restoreRoles=missing", "RESTORE_ROLES", "missing"),
    ]
}

#[test]
fn what_is_said_for_the_fleet_is_said_to_the_scheduler_and_nothing_else_is() {
    let variables = |values: &[&str]| {
        let scheduler = super::only(&rendered(values), "Deployment", NAME);
        let container = &scheduler["spec"]["template"]["spec"]["containers"][0];
        container["env"].as_sequence().cloned().unwrap_or_default()
    };
    let usual = variables(&[]);
    for (value, name, expected) in of_the_fleet() {
        assert!(
            usual.iter().all(|it| it["name"].as_str() != Some(name)),
            "{name}"
        );
        let found = variables(&[value]);
        let found = found.iter().find(|it| it["name"].as_str() == Some(name));
        assert_eq!(
            found.and_then(|it| it["value"].as_str()),
            Some(expected),
            "{value}"
        );
    }
}
