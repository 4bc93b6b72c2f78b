//! What Patroni is told about who may lead.

use serde_yaml_ng::Value;

use super::{file, notes, rendered};

fn both(values: &[&str]) -> (Value, Value) {
    let documents = rendered(values);
    let patroni = file(&documents, "postgresql-config", "patroni.yaml");
    let settings = file(&documents, "postgresql-config", "settings.yaml");
    (patroni, settings["store"].clone())
}

/// 4.14: ttl, and the looks at the lock before and after it, are thirty seconds.
#[test]
fn a_primary_that_is_away_has_lost_its_lock_within_thirty_seconds() {
    let (patroni, store) = both(&["replication.replicas=2"]);
    assert_eq!(store["ttl"], 20);
    assert_eq!(store["loop_wait"], 5);
    assert_eq!(store["retry_timeout"], 5);
    assert_eq!(store["maximum_lag_on_failover"], 1_048_576);
    assert_eq!(store["failsafe_mode"], true);
    assert!(store["synchronous_mode"].is_null());
    assert!(patroni["tags"].is_null());
}

/// 4.13: never by Patroni's pause, in which a primary that was restarted stays down.
#[test]
fn where_a_person_decides_no_replica_may_lead_by_itself() {
    let values = ["failover.mode=manual", "replication.replicas=2"];
    let (patroni, store) = both(&values);
    assert_eq!(patroni["tags"]["nosync"], true);
    assert_eq!(store["synchronous_mode"], true);
    assert!(store["pause"].is_null());
    assert!(patroni["postgresql"]["create_replica_methods"].is_null());
    let said = notes(&values);
    assert!(
        said.contains("patronictl failover --candidate postgresql-1 --force"),
        "{said}"
    );
}

/// 2.25.
#[test]
fn commits_wait_for_as_many_replicas_as_are_asked_for() {
    let (_, store) = both(&[
        "replication.replicas=3",
        "replication.numSynchronousReplicas=2",
    ]);
    assert_eq!(store["synchronous_mode"], "quorum");
    assert_eq!(store["synchronous_node_count"], 2);
    assert_eq!(store["synchronous_mode_strict"], true);
    let (patroni, _) = both(&["replication.synchronousCommit=remote_apply"]);
    assert_eq!(
        patroni["postgresql"]["parameters"]["synchronous_commit"],
        "remote_apply"
    );
}

#[test]
fn data_that_cannot_be_rewound_is_left_for_a_person() {
    let (patroni, _) = both(&[]);
    for key in [
        "remove_data_directory_on_rewind_failure",
        "remove_data_directory_on_diverged_timelines",
    ] {
        assert_eq!(patroni["postgresql"][key], false);
    }
}
