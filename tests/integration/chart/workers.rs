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

/// A second store, its keys by a Secret alone.
#[test]
fn a_second_store_is_said_to_the_scheduler_with_its_secret() {
    let variables = |values: &[&str]| {
        let scheduler = super::only(&rendered(values), "Deployment", NAME);
        let container = &scheduler["spec"]["template"]["spec"]["containers"][0];
        let env = container["env"].as_sequence().cloned().unwrap_or_default();
        let of_copies = |it: &serde_yaml_ng::Value| {
            it["name"]
                .as_str()
                .is_some_and(|it| it.starts_with("COPY_"))
        };
        let found: Vec<Value> = env
            .iter()
            .filter(|it| of_copies(it))
            .map(|it| serde_json::to_value(it).unwrap())
            .collect();
        found
    };
    let plain = |name: &str, value: &str| json!({"name": name, "value": value});
    let secret = |name: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "keys", "key": key}}});
    let named = "workers.copy.credentials.secret=keys";
    assert_eq!(variables(&[named]), [] as [Value; 0]);
    let all = variables(&[
        "workers.copy.url=s3://two/prefix",
        "workers.copy.endpoint=https://s3.example",
        "workers.copy.region=eu",
        "workers.copy.storageClass=STANDARD_IA",
        named,
        "workers.copy.credentials.secretKey=secret",
        "workers.copy.retention.last=30",
        "workers.copy.retention.monthly=12",
        "workers.copy.retention.atLeast=2",
        "workers.copy.retention.timeZone=Europe/Berlin",
    ]);
    let expected = [
        plain("COPY_TO", "s3://two/prefix"),
        plain("COPY_S3_ENDPOINT", "https://s3.example"),
        plain("COPY_S3_REGION", "eu"),
        plain("COPY_S3_STORAGE_CLASS", "STANDARD_IA"),
        secret("COPY_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        secret("COPY_S3_SECRET_KEY", "secret"),
        plain("COPY_MAX_BACKUP_COUNT", "30"),
        plain("COPY_KEEP_MONTHLY", "12"),
        plain("COPY_KEEP_AT_LEAST", "2"),
        plain("COPY_RETENTION_TIME_ZONE", "Europe/Berlin"),
    ];
    assert_eq!(all, expected);
    for (url, name, key) in [
        (
            "gs://two",
            "COPY_GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
        ),
        (
            "az://account/two",
            "COPY_AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
    ] {
        let found = variables(&[&format!("workers.copy.url={url}"), named]);
        assert_eq!(found, [plain("COPY_TO", url), secret(name, key)]);
    }
}
