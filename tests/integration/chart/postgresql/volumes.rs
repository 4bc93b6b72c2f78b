//! Volumes that grow: a StatefulSet has their size for ever, so that Jobs ask each claim for it.

use serde_yaml_ng::Value;

use super::{chart, is_refused, named, names, only, render, rendered, stateful_set};
use crate::testbed::programs::Prepared;

const GROWN: [&str; 3] = [
    "primary.persistence.initialSize=10Gi",
    "primary.persistence.size=20Gi",
    "replication.replicas=1",
];

fn job(documents: &[Value], name: &str) -> Value {
    only(documents, "Job", name)
}

/// 2.12: what Kubernetes forbids to change stays, and the claims are asked before the upgrade and after it.
#[test]
fn a_size_that_grows_changes_claims_and_not_the_stateful_set() {
    let documents = rendered(&GROWN);
    let claim = &stateful_set(&documents)["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "10Gi");
    for (name, when) in [
        ("postgresql-volumes-ask", "pre-upgrade"),
        ("postgresql-volumes-wait", "post-upgrade,post-install"),
    ] {
        let job = job(&documents, name);
        assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], when);
        let container = job["spec"]["template"]["spec"]["containers"][0].clone();
        assert_eq!(named(&container["env"], "SIZE")["value"], "20Gi");
        let claims = "postgresql-storage-postgresql-0 postgresql-storage-postgresql-1";
        assert_eq!(named(&container["env"], "CLAIMS")["value"], claims);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    }
    // Nothing that asks nobody for anything.
    for same in [
        &[][..],
        &["primary.persistence.size=1Ti"],
        &[
            "primary.persistence.size=1024Gi",
            "primary.persistence.initialSize=1Ti",
        ],
        &["primary.persistence.enabled=false", GROWN[0], GROWN[1]],
    ] {
        let jobs = names(&rendered(same), "Job");
        assert!(jobs.is_empty(), "{same:?}: {jobs:?}");
    }
    let units = [
        "primary.persistence.size=1.5Ti",
        "primary.persistence.initialSize=1500Gi",
    ];
    assert_eq!(names(&rendered(&units), "Job").len(), 2);
}

/// Nobody else may change claims, and these no others.
#[test]
fn the_jobs_may_change_the_claims_of_the_members_alone() {
    let documents = rendered(&GROWN);
    let role = only(&documents, "Role", "postgresql-volumes");
    assert_eq!(role["rules"].as_sequence().unwrap().len(), 1);
    let rule = &role["rules"][0];
    assert_eq!(rule["resourceNames"].as_sequence().unwrap().len(), 2);
    assert_eq!(rule["resourceNames"][0], "postgresql-storage-postgresql-0");
    assert_eq!(rule["verbs"].as_sequence().unwrap().len(), 2);
    for kind in [
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "NetworkPolicy",
        "ConfigMap",
    ] {
        let of = only(&documents, kind, "postgresql-volumes");
        let policy = &of["metadata"]["annotations"]["helm.sh/hook-delete-policy"];
        assert_eq!(policy, "before-hook-creation,hook-succeeded", "{kind}");
    }
    let spec = job(&documents, "postgresql-volumes-ask")["spec"]["template"]["spec"].clone();
    assert_eq!(spec["serviceAccountName"], "postgresql-volumes");
    let given = rendered(&[&GROWN[..], &["rbac.create=false"]].concat());
    let spec = job(&given, "postgresql-volumes-ask")["spec"]["template"]["spec"].clone();
    assert_eq!(spec["serviceAccountName"], "postgresql");
    assert!(names(&given, "Role").is_empty());
}

#[test]
fn a_size_that_shrinks_is_refused() {
    let shrinks = [
        "primary.persistence.initialSize=20Gi",
        "primary.persistence.size=10Gi",
    ];
    is_refused(&shrinks, "a volume does not shrink");
    is_refused(&["primary.persistence.size=10m"], "take a number with Ki");
    assert_eq!(
        render(&[shrinks[0], "primary.persistence.size=20Gi"]).code(),
        Some(0)
    );
}

/// volumes.py against claims of which the server says this; `then` is what a patch makes of one.
fn run(verb: &str, claims: &str, then: &str, code: i32) -> String {
    let script = "import json, os, sys\nsys.path.insert(0, sys.argv[1])\nimport apiserver, volumes\n\
        claims, then = json.loads(sys.argv[3]), sys.argv[4]\nvolumes.INTERVAL = 0\n\
        def call(method, kind, name, body=None):\n\
        \x20   claim = claims.get(name)\n\
        \x20   if claim is None: raise apiserver.Refused(404, 'not found')\n\
        \x20   if method == 'PATCH':\n\
        \x20       if then == 'refused': raise apiserver.Refused(403, 'only dynamically provisioned pvc can be resized')\n\
        \x20       claim['spec'] = body['spec']\n\
        \x20       if then == 'grows': claim['status']['capacity'] = body['spec']['resources']['requests']\n\
        \x20       if then == 'pends': claim['status']['conditions'] = [{'type': 'FileSystemResizePending', 'message': 'Waiting'}]\n\
        \x20   return claim\n\
        apiserver.call = call\nos.environ.update(SIZE='20Gi', CLAIMS='a b', TIMEOUT='0')\nvolumes.main(sys.argv[2])";
    let ended = Prepared::new("python3")
        .args(["-B", "-c", script])
        .arg(chart().join("files"))
        .args([verb, claims, then])
        .run();
    ended.expect_code(code).stderr.clone()
}

fn claim(asks: &str, has: &str) -> String {
    format!(
        r#"{{"spec": {{"resources": {{"requests": {{"storage": "{asks}"}}}}}}, "status": {{"phase": "Bound", "capacity": {{"storage": "{has}"}}}}}}"#
    )
}

#[test]
fn a_job_ends_with_0_where_each_volume_has_its_size_and_only_there() {
    let small = claim("10Gi", "10Gi");
    let both = format!(r#"{{"a": {small}, "b": {}}}"#, claim("20480Mi", "20Gi"));
    let done = run("wait", &both, "grows", 0);
    assert!(
        done.contains("asked for 20Gi for the claim a, which had 10Gi"),
        "{done}"
    );
    // Asked for is not there: the upgrade is told.
    run("ask", &both, "", 0);
    let waits = run("wait", &both, "pends", 1);
    let words = "the claim a was to have 20Gi within primary.persistence.resizeTimeout, and it has 10Gi (FileSystemResizePending: Waiting";
    assert!(waits.contains(words), "{waits}");
    // A replica's, which comes with the upgrade.
    let one = format!(r#"{{"a": {}}}"#, claim("20Gi", "20Gi"));
    run("ask", &one, "", 0);
    let waits = run("wait", &one, "", 1);
    assert!(waits.contains("the claim b was to have 20Gi"), "{waits}");
}

#[test]
fn what_no_other_try_mends_is_a_persons() {
    let both = format!(r#"{{"a": {0}, "b": {0}}}"#, claim("10Gi", "10Gi"));
    let refused = run("ask", &both, "refused", 2);
    let words = "the claim a cannot grow from 10Gi to 20Gi (only dynamically provisioned pvc can be resized): set primary.persistence.size to 10Gi, or let";
    assert!(refused.contains(words), "{refused}");
    let more = format!(r#"{{"a": {0}, "b": {0}}}"#, claim("1Ti", "1Ti"));
    let shrinks = run("ask", &more, "", 2);
    assert!(
        shrinks.contains("a volume does not shrink, so set that to 1Ti"),
        "{shrinks}"
    );
}
