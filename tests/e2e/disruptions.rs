//! What a cluster does to its pods: deleted, evicted, restarted, cut off.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, EvictParams, ListParams};
use scheduler::api::proto::BackupRequest;

use super::site::Site;
use super::world::{
    RELEASE, SYSTEM, World, block_on, eventually, kubectl, repository, run, try_run,
};

/// A backup that stands in its middle, since its table is locked.
struct Held {
    site: Site,
    job: String,
    pod: String,
    holder: tokio_postgres::Client,
}

impl Held {
    fn new(prefix: &str) -> Self {
        let site = Site::new(prefix);
        site.fill(1_000);
        let name = site.schedule(&site.request()).cronjob_name;
        let holder = block_on(async {
            let holder = site.session(&site.name).await;
            holder
                .batch_execute("BEGIN; LOCK TABLE items")
                .await
                .unwrap();
            holder
        });
        let job = site.run_now(&name);
        eventually("the backup waits for the lock", async || {
            let session = site.session("postgres").await;
            let waiting =
                "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'";
            session
                .query_opt(waiting, &[&site.name])
                .await
                .ok()
                .flatten()
        });
        let pod = site.pods_of(&job).remove(0).metadata.name.unwrap();
        Self {
            site,
            job,
            pod,
            holder,
        }
    }

    /// Lets the backup go on; it must come to a good end, with one complete backup.
    fn release(self) {
        let Self {
            site,
            job,
            pod,
            holder,
        } = self;
        eventually("another pod", async || {
            let pods: Api<Pod> = site.world.api();
            let of_job =
                ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
            let pods = pods.list(&of_job).await.ok()?.items;
            pods.iter()
                .any(|it| it.metadata.name.as_deref() != Some(&pod))
                .then_some(())
        });
        block_on(holder.batch_execute("ROLLBACK")).unwrap();
        site.succeeds(&job);
        let backups = site.backups();
        assert_eq!(backups.len(), 1, "{:?}", site.keys());
        assert!(
            site.keys().iter().all(|it| it.starts_with(&backups[0])),
            "{:?}",
            site.keys()
        );
    }
}

#[test]
fn a_backup_whose_pod_is_deleted_in_the_middle_is_made_by_the_next_pod() {
    let held = Held::new("deleted");
    let pods: Api<Pod> = held.site.world.api();
    block_on(pods.delete(&held.pod, &DeleteParams::default())).unwrap();
    held.release();
}

#[test]
fn a_backup_whose_node_is_drained_is_made_when_there_is_room_again() {
    let held = Held::new("drained");
    let pods: Api<Pod> = held.site.world.api();
    let pod = block_on(pods.get(&held.pod)).unwrap();
    let node = pod.spec.unwrap().node_name.unwrap();
    kubectl(&["cordon", &node]);
    block_on(pods.evict(&held.pod, &EvictParams::default())).unwrap();
    eventually("it is gone", async || {
        let pod = pods.get_opt(&held.pod).await.ok()?;
        pod.is_none_or(|it| {
            it.status
                .is_some_and(|it| it.phase.as_deref() == Some("Failed"))
        })
        .then_some(())
    });
    kubectl(&["uncordon", &node]);
    held.release();
}

#[test]
fn a_drain_leaves_one_scheduler_until_another_is_there() {
    let world = World::get();
    let pods: Api<Pod> = world.api();
    let schedulers = super::access::schedulers(world);
    let names: Vec<_> = schedulers
        .iter()
        .map(|it| it.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    kubectl(&[
        "cordon",
        &schedulers[0].spec.clone().unwrap().node_name.unwrap(),
    ]);
    block_on(pods.evict(&names[0], &EvictParams::default())).unwrap();
    // kubectl, since kube's client keeps asking for as long as the budget refuses.
    let eviction = std::env::temp_dir().join(format!("e2e-eviction-{}", std::process::id()));
    let text = serde_json::json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": names[1], "namespace": SYSTEM},
    });
    std::fs::write(&eviction, text.to_string()).unwrap();
    let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{}/eviction", names[1]);
    let file = eviction.to_str().unwrap();
    let refused = eventually("the other one is kept", async || {
        let (done, _, why) = try_run("kubectl", &["create", "--raw", &path, "-f", file]);
        (!done).then_some(why)
    });
    std::fs::remove_file(&eviction).unwrap();
    let node = schedulers[0].spec.clone().unwrap().node_name.unwrap();
    kubectl(&["uncordon", &node]);
    assert!(refused.contains("disruption budget"), "{refused}");
    kubectl(&[
        "-n",
        SYSTEM,
        "rollout",
        "status",
        "deployment/postgres-adapter",
        "--timeout=180s",
    ]);
}

#[test]
fn schedulers_that_are_killed_between_calls_leave_nothing_half_made() {
    let site = Site::new("killed");
    site.fill(10);
    let requests: Vec<BackupRequest> = (0..12)
        .map(|number| BackupRequest {
            s3_bucket_name: format!("{}-{number}", site.name),
            // There are no such buckets.
            skip_checks: true,
            ..site.request()
        })
        .collect();
    let calls = {
        let (client, requests) = (site.world.scheduler(), requests.clone());
        super::world::runtime().spawn(async move {
            for request in requests {
                // Some are answered, some meet a scheduler that is killed.
                drop(client.clone().backup(request).await);
            }
        })
    };
    for _ in 0..2 {
        kubectl(&[
            "-n",
            SYSTEM,
            "delete",
            "pod",
            "-l",
            "app.kubernetes.io/component=scheduler,app.kubernetes.io/instance=postgres-adapter",
            "--grace-period=0",
            "--force",
        ]);
    }
    block_on(calls).unwrap();
    kubectl(&[
        "-n",
        SYSTEM,
        "rollout",
        "status",
        "deployment/postgres-adapter",
        "--timeout=180s",
    ]);
    let mut names = std::collections::BTreeSet::new();
    for request in requests {
        let name = eventually("the scheduler answers", async || {
            site.world.scheduler().backup(request.clone()).await.ok()
        });
        names.insert(name.into_inner().cronjob_name);
    }
    assert_eq!(names.len(), 12);
    for name in &names {
        let spec = site.cron_job(name).spec.unwrap();
        assert_eq!(spec.suspend, Some(false), "{name} is complete");
        let pod = spec.job_template.spec.unwrap().template.spec.unwrap();
        let variables = pod.containers.iter().flat_map(|it| it.env.iter().flatten());
        let secrets: std::collections::BTreeSet<String> = variables
            .filter_map(|it| it.value_from.as_ref()?.secret_key_ref.as_ref())
            .map(|it| it.name.clone())
            .collect();
        assert_eq!(secrets.len(), 1, "{secrets:?}");
        for secret in &secrets {
            kubectl(&["-n", SYSTEM, "get", "secret", secret]);
        }
    }
}

#[test]
fn schedules_and_calls_go_on_after_the_api_server_was_restarted() {
    let site = Site::new("restart");
    if !super::shell::is_ours() {
        eprintln!("NOT TRIED: the API server of a cluster that is not ours is not restarted");
        return;
    }
    let sum = site.fill(10);
    let name = site.schedule(&site.request()).cronjob_name;
    let restart = repository().join("tests/cluster/restart.sh");
    run(restart.to_str().unwrap(), &["kube-apiserver", "-KILL"]);
    eventually("the scheduler answers", async || {
        site.world.scheduler().backup(site.request()).await.ok()
    });
    site.succeeds(&site.run_now(&name));
    site.sql("DROP TABLE items");
    let job = eventually("a restore is taken", async || {
        let answer = site.world.scheduler().restore(site.restoration("0")).await;
        Some(answer.ok()?.into_inner().job_name)
    });
    site.succeeds(&job);
    assert_eq!(site.checksum(), sum);
    // And the scheduler still hears of ends.
    run(
        "kubectl",
        &[
            "-n",
            SYSTEM,
            "rollout",
            "status",
            &format!("deployment/{RELEASE}"),
            "--timeout=180s",
        ],
    );
}
