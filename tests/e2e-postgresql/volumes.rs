//! Volumes grow by an upgrade, where their storage class lets them.

use super::release::Release;
use super::shell::{is_ours, kubectl, repository, try_run};

/// `helm upgrade` that may be refused: whether it was done, and what it said.
fn upgrade(release: &Release, value: &str) -> (bool, String) {
    let chart = repository().join("charts/postgresql");
    let set = format!("--set={value}");
    let helm = [
        "upgrade",
        "postgresql",
        chart.to_str().unwrap(),
        "--reuse-values",
        "--wait",
        "--timeout=120s",
        "--namespace",
        release.namespace,
        &set,
    ];
    let (done, out, why) = try_run("helm", &helm);
    (done, format!("{out}{why}"))
}

/// What each claim asks for.
fn sizes(release: &Release) -> Vec<String> {
    let names = (0..release.members()).map(|it| format!("postgresql-storage-postgresql-{it}"));
    let size = "-o=jsonpath={.spec.resources.requests.storage}";
    names
        .map(|it| release.kubectl(&["get", "pvc", &it, size]))
        .collect()
}

fn may_grow(grows: bool) {
    let patch = format!("{{\"allowVolumeExpansion\": {grows}}}");
    kubectl(&["patch", "storageclass", "e2e-volumes", "-p", &patch]);
}

#[test]
fn volumes_grow_by_an_upgrade_and_never_shrink() {
    if !is_ours() {
        return;
    }
    let release = Release::production();
    let members = release.members();
    let uids = |release: &Release| -> Vec<String> {
        let pods = (0..members).map(|it| format!("postgresql-{it}"));
        pods.map(|it| release.uid(&it)).collect()
    };
    let before = (uids(release), sizes(release));
    assert!(before.1.iter().all(|it| it == "10Gi"), "{:?}", before.1);

    // A class that cannot: the upgrade changes nothing, and says why.
    let (done, _) = upgrade(release, "primary.persistence.size=20Gi");
    assert!(!done);
    let log = release.kubectl(&["logs", "job/postgresql-volumes-ask"]);
    assert!(log.contains("cannot grow from 10Gi to 20Gi"), "{log}");
    assert_eq!((uids(release), sizes(release)), before);

    may_grow(true);
    let (done, why) = upgrade(release, "primary.persistence.size=20Gi");
    assert!(done, "{why}");
    assert!(sizes(release).iter().all(|it| it == "20Gi"));
    assert_eq!(uids(release), before.0, "pods are made anew");
    // One that comes later has as much, though the StatefulSet still says what it said.
    let more = format!("replication.replicas={members}");
    let (done, why) = upgrade(release, &more);
    assert!(done, "{why}");
    release.is_whole(members + 1);
    assert!(sizes(release).iter().all(|it| it == "20Gi"));

    let (done, why) = upgrade(release, "primary.persistence.size=15Gi");
    assert!(
        !done && why.contains("a volume does not shrink, so set it to 20Gi"),
        "{why}"
    );
    let less = format!("replication.replicas={}", members - 1);
    let (done, why) = upgrade(release, &less);
    assert!(done, "{why}");
    release.is_whole(members);
    may_grow(false);
}
