//! What an upgrade makes of the objects that are there: pods are changed one by one, and nothing is asked for that Kubernetes
//! lets nobody change.

use serde_yaml_ng::Value;

use super::{rendered, stateful_set};

/// What is left of a StatefulSet without that which may be changed where it is there.
pub(super) fn fixed(documents: &[Value]) -> Value {
    let mut set = stateful_set(documents);
    for name in [
        "replicas",
        "template",
        "updateStrategy",
        "persistentVolumeClaimRetentionPolicy",
    ] {
        set.as_mapping_mut().unwrap().remove(name);
    }
    set
}

/// 2.16: pods that are there are not made anew.
#[test]
fn more_replicas_leave_the_pods_as_they_are() {
    let of = |replicas: &str| {
        stateful_set(&rendered(&[
            replicas,
            "pgbackrest.enabled=true",
            "pgbackrest.s3.bucket=wal",
            "pgbackrest.s3.existingSecret=keys",
        ]))
    };
    let (mut few, mut many) = (of("replication.replicas=1"), of("replication.replicas=3"));
    for set in [&mut few, &mut many] {
        set.as_mapping_mut().unwrap().remove("replicas");
    }
    assert_eq!(few, many);
}

/// 2.17, 2.18: one pod after the other, and none of its volumes.
#[test]
fn other_resources_and_images_change_pods_and_nothing_that_is_fixed() {
    let before = rendered(&[]);
    assert_eq!(
        stateful_set(&before)["updateStrategy"]["type"],
        "RollingUpdate"
    );
    for values in [
        &["primary.resources.requests.memory=8Gi"][..],
        &["image.tag=17.10"],
        &["primary.nodeSelector.disk=ssd", "metrics.enabled=true"],
    ] {
        let after = rendered(values);
        assert_ne!(
            stateful_set(&after)["template"],
            stateful_set(&before)["template"]
        );
        assert_eq!(fixed(&after), fixed(&before), "{values:?}");
    }
}
