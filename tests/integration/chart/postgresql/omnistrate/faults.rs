//! The faults that the plan for Bitnami's chart had, by their numbers in the design of ours.

use serde_yaml_ng::Value;

use super::super::upgrades::fixed;
use super::super::{file, named};
use super::{CLOUDS, chosen, documents, helm_with, made, only, parameters, spec, text, values};

/// 1.
#[test]
fn each_replica_acknowledges_commits_and_none_holds_them_up() {
    let store = |replicas: &str| {
        let documents = made("gcp", &[("readReplicaCount", replicas)]);
        file(&documents, "postgresql-config", "settings.yaml")["store"].clone()
    };
    let two = store("2");
    assert_eq!(two["synchronous_node_count"], 2);
    assert_eq!(two["synchronous_mode_strict"], false);
    assert!(store("0")["synchronous_mode"].is_null());
    let top = values("gcp", &chosen(&[]));
    assert!(top["numSynchronousReplicas"].is_null());
    assert!(top["synchronousCommit"].is_null());
}

/// 2, 3, 6.
#[test]
fn nothing_is_what_another_day_makes_another_thing_of() {
    let text = text();
    for words in ["latest", "DATA_SOURCE", "$func."] {
        assert!(!text.contains(words), "{words}");
    }
    let documents = made("aws", &[]);
    let images = serde_yaml_ng::to_string(&documents).unwrap();
    assert!(!images.contains(":latest"), "{images}");
}

/// 4.
#[test]
fn the_reader_leads_somewhere_without_replicas() {
    let reader = |replicas: &str| {
        let documents = made("aws", &[("readReplicaCount", replicas)]);
        only(&documents, "Service", "postgresql-read")["spec"]["selector"]["role"].clone()
    };
    assert_eq!(reader("0"), "primary");
    assert_eq!(reader("1"), "replica");
}

/// 5: another value of what customers may change asks for nothing that Kubernetes refuses.
#[test]
fn what_may_be_changed_can_be_changed() {
    // An upgrade sees what the volumes were made with; where Helm sees nothing it is a value.
    let upgraded = |other: &[(&str, &str)]| {
        let mut values = values("aws", &chosen(other));
        values["primary"]["persistence"]["initialSize"] = "20Gi".into();
        let ended = helm_with(&["template"], &values);
        fixed(&documents(&ended.expect_code(0).stdout))
    };
    let before = upgraded(&[]);
    let others = [
        ("password", "another"),
        ("instanceType", "t3.large"),
        ("storageSize", "30Gi"),
        ("backupStorageSize", "30Gi"),
        ("readReplicaCount", "3"),
        ("allowedSourceRanges", "10.0.0.0/8"),
        ("username", "another"),
    ];
    for parameter in parameters().iter().filter(|it| it["modifiable"] == true) {
        let other = others.iter().find(|(key, _)| parameter["key"] == *key);
        let other = *other.unwrap_or_else(|| panic!("another value for {parameter:?}"));
        assert_eq!(upgraded(&[other]), before, "{other:?}");
    }
}

/// 7.
#[test]
fn backups_are_removed_and_no_volume_has_whatever_class_there_is() {
    for cloud in CLOUDS {
        let documents = made(cloud, &[]);
        let job = only(&documents, "CronJob", "postgresql-backup");
        let pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone();
        let env = &pod["containers"][0]["env"];
        assert_eq!(named(env, "RETENTION_DAYS")["value"], "7");
        assert_eq!(pod["nodeSelector"]["omnistrate.com/resource"], "r-1");
        for claim in claims(&documents) {
            assert!(claim["storageClassName"].is_string(), "{cloud}: {claim:?}");
        }
        let persistence = values(cloud, &chosen(&[]))["primary"]["persistence"].clone();
        assert_eq!(
            persistence["requireEncryptedStorageClass"] == true,
            cloud == "aws"
        );
    }
}

fn claims(documents: &[Value]) -> Vec<Value> {
    let own = documents
        .iter()
        .filter(|it| it["kind"] == "PersistentVolumeClaim");
    let sets = documents.iter().filter(|it| it["kind"] == "StatefulSet");
    let templates = sets.flat_map(|it| it["spec"]["volumeClaimTemplates"].as_sequence().unwrap());
    own.chain(templates).map(|it| it["spec"].clone()).collect()
}

/// 8.
#[test]
fn who_may_connect_is_said_by_the_customer() {
    let documents = made("aws", &[]);
    for name in ["postgresql-master", "postgresql-read"] {
        let service = only(&documents, "Service", name);
        let ranges = &service["spec"]["loadBalancerSourceRanges"];
        assert_eq!(
            *ranges,
            serde_yaml_ng::from_str::<Value>("[203.0.113.0/24, 198.51.100.7/32]").unwrap()
        );
        let annotations = serde_yaml_ng::to_string(&service["metadata"]["annotations"]).unwrap();
        assert!(!annotations.contains("source-ranges"), "{annotations}");
    }
    assert!(!text().contains("0.0.0.0/0"));
}

/// 9.
#[test]
fn no_password_is_shown() {
    let passwords: Vec<_> = parameters()
        .iter()
        .filter(|it| it["type"] == "Password")
        .collect();
    assert!(!passwords.is_empty());
    for parameter in passwords {
        assert_eq!(parameter["export"], false, "{parameter:?}");
    }
    assert!(spec()["services"][0]["helmChartConfiguration"]["chartValues"].is_null());
}
