//! Kills and losses: who writes afterwards, how long nobody did, and what is still there.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::release::Release;
use super::shell::{eventually, is_ours, kubectl, run};
use super::writer::Writer;

/// Ends all processes of a pod as a power cut does, where they are this machine's.
pub(crate) fn cut_power(release: &Release, pod: &str) {
    let uid = release.uid(pod);
    let (dashes, lines) = (uid.clone(), uid.replace('-', "_"));
    if is_ours() {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
                continue;
            };
            let group = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
            if group.contains(&dashes) || group.contains(&lines) {
                let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
    release.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"]);
}

/// The nodes take no new pods, until this is dropped.
pub(crate) struct Cordon(Vec<String>);

impl Cordon {
    pub(crate) fn new() -> Self {
        let nodes = kubectl(&["get", "nodes", "-o=name"]);
        let nodes: Vec<String> = nodes.lines().map(str::to_owned).collect();
        for node in &nodes {
            kubectl(&["cordon", node]);
        }
        Self(nodes)
    }
}

impl Drop for Cordon {
    fn drop(&mut self) {
        for node in &self.0 {
            kubectl(&["uncordon", node]);
        }
    }
}

/// Waits until no commit is on the primary alone; returns that.
pub(crate) fn is_synchronous(release: &Release) -> String {
    let primary = release.primary().unwrap();
    let replicas = (release.members() - 1).to_string();
    eventually("a synchronous replica", async || {
        let quorum = "select count(*) from pg_stat_replication where sync_state = 'quorum'";
        (release.try_sql(&primary, quorum)? == replicas).then_some(())
    });
    primary
}

#[test]
fn after_a_hard_kill_another_pod_writes_within_thirty_seconds_and_no_acknowledged_row_is_lost() {
    let release = Release::production();
    let members = release.members();
    release.upgrade(&["replication.numSynchronousReplicas=1"]);
    let primary = is_synchronous(release);
    let writer = Writer::start(release, "killed");
    let cordon = Cordon::new();
    cut_power(release, &primary);
    let next = eventually("another primary", async || {
        release.primary().filter(|it| *it != primary)
    });
    let written = writer.end();
    eprintln!("after a hard kill nobody wrote for {:?}", written.gap);
    assert!(written.gap < Duration::from_secs(30), "{:?}", written.gap);
    assert_eq!(release.behind("postgresql"), std::slice::from_ref(&next));
    assert!(!release.behind("postgresql-read").contains(&primary));
    drop(cordon);
    assert_eq!(release.is_whole(members), next, "the old one is a replica");
    written.is_all_in(release, "killed", members);
    release.upgrade(&["replication.numSynchronousReplicas=0"]);
}

#[test]
fn a_primary_that_is_stopped_hands_over() {
    let release = Release::production();
    let members = release.members();
    let primary = release.primary().unwrap();
    let writer = Writer::start(release, "stopped");
    release.kubectl(&["delete", "pod", &primary]);
    let next = release.is_whole(members);
    let written = writer.end();
    eprintln!(
        "while a primary was stopped nobody wrote for {:?}",
        written.gap
    );
    assert_ne!(next, primary);
    assert!(written.gap < Duration::from_secs(15), "{:?}", written.gap);
    written.is_all_in(release, "stopped", members);
}

#[test]
fn a_primary_that_has_lost_its_volume_is_cloned_and_never_an_empty_cluster() {
    let release = Release::production();
    let members = release.members();
    let primary = release.primary().unwrap();
    release.sql(
        &primary,
        "create table kept as select generate_series(1, 1000) as n",
    );
    eventually("the rows on all", async || {
        let all = (0..members)
            .map(|it| format!("postgresql-{it}"))
            .collect::<Vec<_>>();
        let have = |it: &String| release.try_sql(it, "select count(*) from kept");
        all.iter()
            .all(|it| have(it).as_deref() == Some("1000"))
            .then_some(())
    });
    release.lose_volume(&primary);
    release.is_whole(members);
    for pod in (0..members).map(|it| format!("postgresql-{it}")) {
        assert_eq!(release.sql(&pod, "select count(*) from kept"), "1000");
    }
    let log = release.kubectl(&["logs", &primary, "-c", "postgresql"]);
    assert!(
        log.contains("replica has been created using basebackup"),
        "{log}"
    );
}

/// What pg_basebackup leaves where it is killed.
#[test]
fn a_copy_that_was_cut_off_is_made_anew() {
    let release = Release::production();
    let replica = release.behind("postgresql-read").remove(0);
    let cut = "rm $PGDATA/global/pg_control; touch $PGDATA/backup_label";
    let exec = ["exec", &replica, "-c", "postgresql", "--", "sh", "-c", cut];
    release.kubectl(&exec);
    let cordon = Cordon::new();
    cut_power(release, &replica);
    drop(cordon);
    eventually("a copy that is made anew", async || {
        let log = release.try_kubectl(&["logs", &replica, "-c", "postgresql"])?;
        log.contains("a copy that was cut off").then_some(())
    });
    release.is_whole(release.members());
}

/// 4.13: with the command of the page.
#[test]
fn where_a_person_decides_nobody_is_promoted_until_then() {
    let release = Release::production();
    let members = release.members();
    let primary = release.primary().unwrap();
    release.upgrade(&["failover.mode=manual"]);
    let list = [
        "exec",
        &primary,
        "-c",
        "postgresql",
        "--",
        "patronictl",
        "list",
    ];
    eventually("members that may not be promoted", async || {
        let tags = release.try_kubectl(&list)?.matches("nosync").count();
        (tags == members).then_some(())
    });
    let store = [
        "exec",
        &primary,
        "-c",
        "postgresql",
        "--",
        "patronictl",
        "show-config",
    ];
    eventually("the mode in the store", async || {
        let store = release.try_kubectl(&store)?;
        store.contains("synchronous_mode: true").then_some(())
    });
    let cordon = Cordon::new();
    cut_power(release, &primary);
    let moment = Duration::from_secs(40);
    std::thread::sleep(moment);
    assert_eq!(release.primary(), None, "somebody was promoted");
    let readers = release.behind("postgresql-read");
    assert_eq!(
        readers.len(),
        members - 1,
        "they are read from all the same"
    );

    let promoted = readers[0].as_str();
    let command = super::page_command("kubectl -n production exec postgresql-0 -- patronictl list");
    let command = command
        .replace("exec postgresql-0", &format!("exec {promoted}"))
        .replace(
            "--candidate postgresql-1",
            &format!("--candidate {promoted}"),
        );
    run("bash", &["-euc", &command]);
    eventually("the one who was chosen", async || {
        release.primary().filter(|it| it == promoted)
    });
    drop(cordon);
    assert_eq!(release.is_whole(members), promoted);
    release.upgrade(&["failover.mode=automatic"]);
    let list = [
        "exec",
        promoted,
        "-c",
        "postgresql",
        "--",
        "patronictl",
        "list",
    ];
    eventually("members that may be promoted", async || {
        (!release.try_kubectl(&list)?.contains("nosync")).then_some(())
    });
}
