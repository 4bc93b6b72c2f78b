//! Operations on Kubernetes: CronJobs and Jobs as schedules and runs.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt as _;
use scheduler::api::proto::{BackupRequest, v1};

use super::is_suspended;
use super::process::Process;
use crate::calls::requests;
use crate::cluster::{Cluster, Namespace, eventually};
use crate::encryption::Pair;
use crate::operations;
use crate::testbed::env;

fn yearly() -> BackupRequest {
    BackupRequest {
        schedule: "0 0 1 1 *".to_owned(),
        skip_checks: true,
        ..requests::backup()
    }
}

/// A scheduler that tries no request before it answers, and a schedule that it shows.
async fn scheduled(namespace: &Namespace) -> (Process, operations::Client, String) {
    let kubeconfig = namespace.cluster.kubeconfig();
    let off = env([("CHECK_REQUESTS", "false")]);
    let process = Process::start_with(kubeconfig.to_str().unwrap(), &namespace.name, "1", &off);
    let mut oiler = process.ready().await;
    let answer = oiler.backup(yearly()).await.unwrap().into_inner();
    let name = answer.cronjob_name;
    let client = operations::client(process.port).await;
    eventually("it is seen", async || {
        operations::get(&mut client.clone(), &name).await.ok()
    })
    .await;
    (process, client, name)
}

#[test]
fn a_cron_job_is_seen_and_changed() {
    Cluster::shared().within(async |namespace| {
        let (process, mut client, name) = scheduled(&namespace).await;
        operations::what_is_wrong_is_named(&mut client).await;
        let database = "db.example:5432/shop";
        operations::a_schedule_is_seen_and_changed(&mut client, &name, database).await;
        assert!(namespace.cron_jobs().await.is_empty());
        eventually("the Jobs go with it", async || {
            namespace.jobs().await.is_empty().then_some(())
        })
        .await;
        process.stop();
    });
}

/// As `kubectl` shows and does it.
#[test]
fn what_is_done_here_is_what_kubectl_shows() {
    Cluster::shared().within(async |namespace| {
        let (process, mut client, name) = scheduled(&namespace).await;
        let request = v1::SuspendScheduleRequest { name: name.clone() };
        client.suspend_schedule(request).await.unwrap();
        let found: CronJob = namespace.api().get(&name).await.unwrap();
        assert!(is_suspended(&found));
        let request = v1::RunScheduleRequest {
            name: name.clone(),
            request_id: String::new(),
        };
        let started = client.run_schedule(request).await.unwrap().into_inner();
        let job: Job = namespace.api().get(&started.name).await.unwrap();
        assert_eq!(job.owner_references()[0].name, name);
        assert_eq!(
            job.annotations()["cronjob.kubernetes.io/instantiate"],
            "manual"
        );
        let pod = namespace.pod_of(&started.name).await;
        namespace
            .end_pod(&pod.name_any(), 0, "backup complete and verified")
            .await;
        let seen = operations::watched(&mut client, &started.name).await;
        let last = seen.last().unwrap();
        assert_eq!(last.state(), v1::run::State::Succeeded);
        assert_eq!(last.message, "backup complete and verified");
        let found = eventually("its success is seen", async || {
            let found = operations::get(&mut client.clone(), &name).await.ok()?;
            let outcome = found.protection.as_ref()?.last_outcome();
            (outcome == v1::protection::Outcome::Succeeded).then_some(found)
        })
        .await;
        assert!(found.suspended);
        let request = v1::RunScheduleRequest {
            name,
            request_id: String::new(),
        };
        let second = client.run_schedule(request).await.unwrap().into_inner();
        assert_ne!(second.name, started.name);
        let request = v1::CancelRunRequest { name: second.name };
        eventually("it is cancelled", async || {
            let cancelled = client.clone().cancel_run(request.clone()).await.ok()?;
            let state = cancelled.into_inner().state();
            (state == v1::run::State::Cancelled).then_some(())
        })
        .await;
        process.stop();
    });
}

/// The scheduler cannot read what a schedule has: the pod does.
#[test]
fn a_restore_reads_the_secret_of_the_schedule_that_lends_it() {
    Cluster::shared().within(async |namespace| {
        let (process, mut client, name) = scheduled(&namespace).await;
        let found: CronJob = namespace.api().get(&name).await.unwrap();
        let lender = super::secret_of(&found);
        let own = v1::RestoreBackupRequest {
            schedule: name.clone(),
            backup: "0".to_owned(),
            ..v1::RestoreBackupRequest::default()
        };
        let answer = client.restore_backup(own).await.unwrap().into_inner();
        assert_eq!(answer.database, "db.example:5432/shop");
        let run = answer.run.unwrap().name;
        let read = read_from(&namespace, &run).await;
        for variable in ["DB_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"] {
            assert_eq!(read[variable], lender, "{read:?}");
        }
        let elsewhere = v1::RestoreBackupRequest {
            schedule: name.clone(),
            backup: "0".to_owned(),
            target: Some(v1::Target {
                host: "other.example".to_owned(),
                dbname: "shop".to_owned(),
                password: "theirs".to_owned(),
                ..v1::Target::default()
            }),
            identity: Pair::new().file,
            ..v1::RestoreBackupRequest::default()
        };
        let answer = client.restore_backup(elsewhere).await.unwrap().into_inner();
        assert_eq!(answer.database, "other.example:5432/shop");
        let run = answer.run.unwrap().name;
        let read = read_from(&namespace, &run).await;
        assert_eq!(read["DB_PASSWORD"], run);
        assert_eq!(read["AGE_IDENTITY"], run);
        assert_eq!(read["S3_SECRET_KEY"], lender);
        let job: Job = namespace.api().get(&run).await.unwrap();
        let job = serde_json::to_string(&job).unwrap();
        assert!(!job.contains("AGE-SECRET-KEY"), "{job}");
        // Without a password of its own, one for another server is not shown ours.
        let bare = v1::RestoreBackupRequest {
            schedule: name,
            backup: "0".to_owned(),
            target: Some(v1::Target {
                host: "third.example".to_owned(),
                dbname: "shop".to_owned(),
                ..v1::Target::default()
            }),
            ..v1::RestoreBackupRequest::default()
        };
        let answer = client.restore_backup(bare).await.unwrap().into_inner();
        let run = answer.run.unwrap().name;
        let read = read_from(&namespace, &run).await;
        assert!(!read.contains_key("DB_PASSWORD"), "{read:?}");
        process.stop();
    });
}

/// Issue 14, section 3.
#[test]
fn a_drill_of_a_schedule_is_a_job_with_the_schedules_secret_and_says_what_it_has_shown() {
    Cluster::shared().within(async |namespace| {
        let (process, mut client, name) = scheduled(&namespace).await;
        let found: CronJob = namespace.api().get(&name).await.unwrap();
        let lender = super::secret_of(&found);
        let request = v1::VerifyBackupRequest {
            schedule: name.clone(),
            sql: vec!["SELECT 1 -- one".to_owned(), "SELECT 2".to_owned()],
            ..v1::VerifyBackupRequest::default()
        };
        let answer = client.verify_backup(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!(answer.server, "db.example:5432");
        let run = answer.run.unwrap().name;
        let read = read_from(&namespace, &run).await;
        for variable in ["DB_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"] {
            assert_eq!(read[variable], lender, "{read:?}");
        }
        let job: Job = namespace.api().get(&run).await.unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        let variables = pod.containers[0].env.clone().unwrap();
        let value = |name: &str| {
            let found = variables.iter().find(|it| it.name == name)?;
            found.value.clone()
        };
        assert_eq!(value("DB_NAME"), None, "no worker may replace anything");
        assert_eq!(value("RESTORE_DRILL").as_deref(), Some("restore_drill_shop"));
        let sql = "SELECT 1 -- one\n;\nSELECT 2";
        assert_eq!(value("RESTORE_DRILL_SQL").as_deref(), Some(sql));
        // The same is under way.
        let again = client.verify_backup(request).await.unwrap().into_inner();
        let again = again.run.unwrap();
        assert_eq!((again.name.as_str(), again.by()), (run.as_str(), v1::started_run::By::Earlier));
        let said = "restore drill passed: shop/1 was restored into db.example:5432/restore_drill_x, all 2 tables are there with 7 rows; that database is dropped again (0.1 s)";
        let pod = namespace.pod_of(&run).await.name_any();
        namespace.end_pod(&pod, 0, said).await;
        let seen = operations::watched(&mut client, &run).await;
        let drill = seen.last().unwrap().drill.clone().unwrap();
        let expected = v1::Drill {
            schedule: name.clone(),
            source: "db.example:5432/shop".to_owned(),
            result: v1::drill::Result::Passed.into(),
            backup: "shop/1".to_owned(),
            tables: 2,
            rows: 7,
        };
        assert_eq!(drill, expected);
        let found = operations::get(&mut client, &name).await.unwrap();
        let verification = found.verification.unwrap();
        assert_eq!(verification.last_result(), v1::drill::Result::Passed);
        assert_eq!(verification.last_run, run);
        process.stop();
    });
}

/// The Secret that each variable of a Job's worker is read from.
async fn read_from(namespace: &Namespace, job: &str) -> BTreeMap<String, String> {
    let job: Job = namespace.api().get(job).await.unwrap();
    let pod = job.spec.unwrap().template.spec.unwrap();
    let variables = pod.containers[0].env.clone().unwrap().into_iter();
    let read = variables.filter_map(|it| {
        let secret = it.value_from?.secret_key_ref?.name;
        Some((it.name, secret))
    });
    read.collect()
}

/// Whoever looks at backups has made none.
#[test]
fn a_list_of_backups_is_no_run_and_leaves_nothing() {
    Cluster::shared().within(async |namespace| {
        let (process, client, name) = scheduled(&namespace).await;
        let listing = tokio::spawn({
            let mut client = client.clone();
            let request = v1::ListBackupsRequest {
                schedule: name.clone(),
                ..v1::ListBackupsRequest::default()
            };
            async move { client.list_backups(request).await }
        });
        let job = eventually("its Job", async || namespace.jobs().await.pop()).await;
        let pod = namespace.pod_of(&job.name_any()).await.name_any();
        let runs = v1::ListRunsRequest::default();
        let runs = client.clone().list_runs(runs).await.unwrap().into_inner();
        assert_eq!(runs.runs, []);
        namespace.end_pod(&pod, 2, "the bucket is not there").await;
        let status = listing.await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
        assert!(
            status.message().contains("the bucket is not there"),
            "{status}"
        );
        eventually("the Job is gone", async || {
            namespace.jobs().await.is_empty().then_some(())
        })
        .await;
        process.stop();
    });
}
