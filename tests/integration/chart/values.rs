//! Values that the chart refuses, and by which words.

use super::{is_refused, render};

/// One value, and a word of what is said about it.
const ALONE: &[(&str, &str)] = &[
    ("replica=3", "replica"),
    ("images.scheduler.repo=x", "repo"),
    ("workers.s3.ca=x", "ca"),
    ("workers.compressionLevel=20", "compressionLevel"),
    ("workers.retention.atLeast=0", "atLeast"),
    ("workers.retention.days=-1", "days"),
    ("workers.copy.url=https://two", "url"),
    ("workers.copy.retention.last=-1", "last"),
    (
        "workers.encryption.recipients:=[\"AGE-SECRET-KEY-1X\"]",
        "recipients",
    ),
    ("workers.database.sslMode=always", "sslMode"),
    ("workers.backupDeadline=soon", "backupDeadline"),
    ("service.port=0", "port"),
    ("logFormat=xml", "logFormat"),
    ("images.scheduler.digest=md5:1", "digest"),
    ("sheduler.color=red", "color"),
    ("sheduler.namespace=elsewhere", "elsewhere"),
    ("tls.enabled=true", "tls.existingSecret"),
    ("tls.clientCaSecret=x", "tls.enabled"),
    ("networkPolicy.workerPorts:=[0]", "workerPorts"),
    (
        "workers.podTemplate.spec.nodeSelectors.a=b",
        "nodeSelectors",
    ),
    (
        "workers.podTemplate:={\"spec\":{\"containers\":[{\"name\":\"worker\",\"resource\":{}}]}}",
        "resource",
    ),
    (
        "fullnameOverride=a-name-of-fifty-three-characters-is-one-more-than-fit",
        "fullnameOverride",
    ),
    ("commonLabels.app\\.kubernetes\\.io/name=x", "propertyName"),
    ("service.adminPort=50051", "service.adminPort"),
    ("extraEnv:=[{\"name\":\"PORT\",\"value\":\"1\"}]", "PORT"),
    ("sidecars:=[{\"name\":\"scheduler\"}]", "sidecars"),
    ("initContainers:=[{\"image\":\"a\"}]", "name"),
    ("podAntiAffinityPreset=always", "podAntiAffinityPreset"),
    (
        "nodeAffinityPreset.type=hard",
        "needs the key and the values",
    ),
    ("livenessProbe.httpGet.path=/", "httpGet"),
    (
        "terminationGracePeriodSeconds=5",
        "terminationGracePeriodSeconds",
    ),
    ("podDisruptionBudget.minAvailable=2", "ever be drained"),
    ("podMonitor.intervall=5s", "intervall"),
    ("workers.extraEnv:=[{\"value\":\"b\"}]", "name"),
];

const HOST_PATH: &str = "workers.podTemplate:={\"spec\":{\"volumes\":[{\"name\":\"disk\",\"hostPath\":{\"path\":\"/d\"}}]}}";
const DIGEST: &str = "images.backuper.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Two values that cannot both be meant.
const TOGETHER: &[([&str; 2], &str)] = &[
    (
        [
            "workers.s3.caBundle.secret=a",
            "workers.s3.caBundle.configMap=b",
        ],
        "workers.s3.caBundle",
    ),
    (["images.backuper.tag=v1", DIGEST], "images.backuper"),
    (
        ["admissionPolicy.enabled=true", HOST_PATH],
        "hostPath volume disk",
    ),
    (
        ["images.scheduler.tag=v1", "sheduler.image=a:1"],
        "sheduler.image",
    ),
    (
        ["podAntiAffinityPreset=soft", "affinity.nodeAffinity.a=b"],
        "one of them is needed",
    ),
    (
        ["serviceMonitor.enabled=true", "podMonitor.enabled=true"],
        "twice",
    ),
    (
        [
            "workers.extraEnv:=[{\"name\":\"A\",\"value\":\"b\"}]",
            "workers.podTemplate:={\"spec\":{\"containers\":[{\"name\":\"worker\",\"env\":[{\"name\":\"A\",\"value\":\"c\"}]}]}}",
        ],
        "workers.extraEnv and what else",
    ),
    (
        [
            "workers.extraVolumes:=[{\"name\":\"s3-ca\",\"emptyDir\":{}}]",
            "workers.s3.caBundle.secret=ca",
        ],
        "workers.extraVolumes and what else",
    ),
    (
        [
            "workers.extraVolumes:=[{\"name\":\"disk\",\"hostPath\":{\"path\":\"/d\"}}]",
            "admissionPolicy.enabled=true",
        ],
        "hostPath volume disk",
    ),
    (
        ["sheduler.serviceAccountName=a", "serviceAccount.name=b"],
        "sheduler.serviceAccountName",
    ),
];

#[test]
fn values_that_are_unknown_or_contradict_each_other_are_an_error() {
    for (value, words) in ALONE {
        is_refused(&[value], words);
    }
    for (values, words) in TOGETHER {
        is_refused(values, words);
    }
}

#[test]
fn an_older_kubernetes_than_is_supported_is_refused() {
    let old = render("system", "1.28.0", &[]);
    assert!(old.stderr.contains("1.28"), "{old}");
    let old = render("system", "1.29.0", &["admissionPolicy.enabled=true"]);
    assert!(old.stderr.contains("needs Kubernetes 1.30"), "{old}");
    let old = render(
        "system",
        "1.30.0",
        &["service.trafficDistribution=PreferClose"],
    );
    assert!(old.stderr.contains("needs Kubernetes 1.31"), "{old}");
    // Of a cluster that nobody can ask.
    let said = ["kubeVersion=1.29.0", "admissionPolicy.enabled=true"];
    let old = render("system", "1.34.0", &said);
    assert!(old.stderr.contains("this is 1.29.0"), "{old}");
}
