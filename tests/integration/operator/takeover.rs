//! Backups, BackupSchedules and Restores that dbtether 0.9.1 has served, taken over in place with its Jobs beside
//! ours: operator.md, 1.2, 7.2 and 7.3, 8.3 and 9.3.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::own::Own;
use super::users::takeover::{Left, ago};
use super::{Stage, served};
use crate::cluster::eventually;
use crate::kubernetes::objects::service;

const BACKUP: (&str, &str) = ("Backup", "dbtether.io/backup-job");
const SCHEDULE: (&str, &str) = ("BackupSchedule", "dbtether.io/schedule-finalizer");
const RESTORE: (&str, &str) = ("Restore", "dbtether.io/restore-job");

/// What dbtether has left of one Database.
struct Runs<'a> {
    left: Left<'a>,
    database: String,
}

impl Runs<'_> {
    async fn object(&self, (kind, finalizer): (&str, &str), name: &str, of: (Value, Value)) {
        self.left.object((kind, name, Some(finalizer)), of).await;
    }

    fn backup(&self) -> Value {
        json!({"databaseRef": {"name": self.database}, "storageRef": {"name": "prod-storage"}})
    }

    fn restore(&self) -> Value {
        json!({
            "source": {"backupRef": {"name": "done"}},
            "target": {"databaseRef": {"name": self.database}},
        })
    }

    /// What dbtether has told of a run of a Backup.
    fn told(&self, phase: &str, job: &str) -> Value {
        // As Go writes it: the template's default is in it.
        let spec = format!(
            r#"{{"databaseRef":{{"name":"{}"}},"storageRef":{{"name":"prod-storage"}},"filenameTemplate":"{{{{ .Timestamp }}}}.sql.gz"}}"#,
            self.database
        );
        told(phase, job, &spec)
    }

    /// The same of a Restore.
    fn told_back(&self, phase: &str, job: &str) -> Value {
        let spec = format!(
            r#"{{"source":{{"backupRef":{{"name":"done"}}}},"target":{{"databaseRef":{{"name":"{}"}}}},"onConflict":"fail"}}"#,
            self.database
        );
        told(phase, job, &spec)
    }

    /// A Job as dbtether makes it, of an object of this kind and name.
    async fn job(&self, kind: &str, name: &str) -> String {
        let namespace = &self.left.stage.namespace;
        let job = format!("{kind}-{name}-ab12cd34");
        let object: Job = serde_json::from_value(json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": job, "labels": {
                format!("dbtether.io/{kind}"): name,
                format!("dbtether.io/{kind}-namespace"): namespace.name,
                "dbtether.io/cluster": self.left.cluster,
            }},
            "spec": {"backoffLimit": 0, "template": {"spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": kind, "image": "certainty3452/dbtether:0.9.1",
                    "args": ["--mode=job"],
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                    },
                }],
            }}},
        }))
        .unwrap();
        let api: Api<Job> = namespace.api();
        api.create(&PostParams::default(), &object).await.unwrap();
        job
    }

    /// Its worker ends, and the Job with it.
    async fn end(&self, job: &str, code: i32, notes: Value) {
        let namespace = &self.left.stage.namespace;
        let api: Api<Job> = namespace.api();
        let notes = Patch::Merge(json!({"metadata": {"annotations": notes}}));
        api.patch(job, &PatchParams::default(), &notes)
            .await
            .unwrap();
        let pod = namespace.pod_of(job).await.name_any();
        namespace.end_pod(&pod, code, "no such bucket").await;
        eventually("the Job is over", async || {
            let conditions = api.get(job).await.unwrap().status?.conditions?;
            let ends = ["Complete", "Failed"];
            let is = |it: &str| ends.contains(&it);
            conditions.iter().any(|it| is(&it.type_)).then_some(())
        })
        .await;
    }

    /// The status of an object once it says this; whoever waits for a Job looks again.
    async fn status(&self, kind: &str, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let (api, _) = self.left.api(kind);
        let again = Patch::Merge(json!({"metadata": {"annotations": {"again": "1"}}}));
        api.patch(name, &PatchParams::default(), &again)
            .await
            .unwrap();
        let mut last = Value::Null;
        let told = async {
            loop {
                last = api.get(name).await.unwrap().data["status"].clone();
                if is(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(60), told).await;
        assert!(told.is_ok(), "{kind} {name}: {last}");
        last
    }

    /// The status of an object once it has a condition.
    async fn seen(&self, kind: &str, name: &str) -> Value {
        self.status(kind, name, |it| it["conditions"].is_array())
            .await
    }

    async fn phase(&self, kind: &str, name: &str, phase: &str) -> Value {
        self.status(kind, name, |it| it["phase"] == phase).await
    }
}

fn told(phase: &str, job: &str, spec: &str) -> Value {
    json!({
        "phase": phase, "message": "as it was", "jobName": job, "runId": "ab12cd34",
        "specHash": hex::encode(&Sha256::digest(spec)[..8]),
        "startedAt": "2026-01-20T14:30:20Z", "completedAt": "2026-01-20T14:30:22Z",
    })
}

fn ready(status: &Value) -> (&str, &str) {
    let all = status["conditions"].as_array().unwrap();
    let it = all.iter().find(|it| it["type"] == "Ready").unwrap();
    (
        it["status"].as_str().unwrap(),
        it["reason"].as_str().unwrap(),
    )
}

/// The Jobs of Backups that dbtether has left.
struct Jobs {
    well: String,
    badly: String,
    under_way: String,
    goes: String,
    untold: String,
}

fn notes() -> Value {
    json!({
        "dbtether.io/backup-path": "c/d/1.sql.gz", "dbtether.io/backup-size": "1536",
        "dbtether.io/backup-size-human": "1.5 KiB", "dbtether.io/backup-duration": "2.1s",
    })
}

impl Runs<'_> {
    async fn leave_backups(&self) -> Jobs {
        let mut done = self.told("Completed", "backup-done-ab12cd34");
        done["path"] = json!("c/d/20260120-143022.sql.gz");
        self.object(BACKUP, "done", (self.backup(), done)).await;
        let mut failed = self.told("Failed", "backup-failed-ab12cd34");
        failed["failureReason"] = json!("BackoffLimitExceeded");
        self.object(BACKUP, "failed", (self.backup(), failed)).await;
        // Its Job: gone, ended well, ended badly, under way; and under way though its status does not say so.
        for name in ["lost", "well", "badly", "under-way", "goes"] {
            let told = self.told("Running", &format!("backup-{name}-ab12cd34"));
            self.object(BACKUP, name, (self.backup(), told)).await;
        }
        let pending = json!({"phase": "Pending"});
        self.object(BACKUP, "untold", (self.backup(), pending))
            .await;
        let jobs = Jobs {
            well: self.job("backup", "well").await,
            badly: self.job("backup", "badly").await,
            under_way: self.job("backup", "under-way").await,
            goes: self.job("backup", "goes").await,
            untold: self.job("backup", "untold").await,
        };
        self.end(&jobs.well, 0, notes()).await;
        self.end(&jobs.badly, 1, json!({})).await;
        jobs
    }

    /// The Job that has ended of a Restore that does not say so.
    async fn leave_restores(&self) -> String {
        let mut back = self.told_back("Completed", "restore-back-ab12cd34");
        back["sourcePath"] = json!("c/d/x.sql.gz");
        self.object(RESTORE, "back", (self.restore(), back)).await;
        for (name, phase) in [("granting", "Granting"), ("gone", "Running")] {
            let told = self.told_back(phase, &format!("restore-{name}-ab12cd34"));
            self.object(RESTORE, name, (self.restore(), told)).await;
        }
        self.object(RESTORE, "silent", (self.restore(), Value::Null))
            .await;
        let silent = self.job("restore", "silent").await;
        self.end(&silent, 0, json!({})).await;
        silent
    }

    async fn backups_are_told(&self, jobs: &Jobs) {
        let seen = self.seen("Backup", "done").await;
        assert_eq!(ready(&seen), ("True", "Completed"));
        assert_eq!(seen["path"], "c/d/20260120-143022.sql.gz");
        let seen = self.seen("Backup", "failed").await;
        assert_eq!(ready(&seen), ("False", "BackoffLimitExceeded"));
        let lost = self.phase("Backup", "lost", "Failed").await;
        assert_eq!(lost["message"], "backup job not found");
        assert_eq!(lost["failureReason"], "JobNotFound");
        let told = self.phase("Backup", "well", "Completed").await;
        assert_eq!(
            (&told["path"], &told["size"], &told["duration"]),
            (&json!("c/d/1.sql.gz"), &json!("1.5 KiB"), &json!("2.1s"))
        );
        let told = self.phase("Backup", "badly", "Failed").await;
        assert_eq!(told["message"], "backup job failed: no such bucket");
        assert_eq!(told["failureReason"], "BackoffLimitExceeded");
        for (job, name) in [(&jobs.under_way, "under-way"), (&jobs.untold, "untold")] {
            let running = self.phase("Backup", name, "Running").await;
            assert_eq!(
                (&running["jobName"], &running["runId"]),
                (&json!(job), &json!("ab12cd34"))
            );
            self.end(job, 0, notes()).await;
            let told = self.phase("Backup", name, "Completed").await;
            assert_eq!(
                (&told["path"], &told["jobName"]),
                (&json!("c/d/1.sql.gz"), &json!(job))
            );
        }
    }

    async fn restores_are_told(&self, silent: &str) {
        let seen = self.seen("Restore", "back").await;
        assert_eq!(ready(&seen), ("True", "Completed"));
        assert_eq!(seen["completedAt"], "2026-01-20T14:30:22Z");
        self.phase("Restore", "granting", "Completed").await;
        let told = self.phase("Restore", "gone", "Failed").await;
        assert_eq!(told["message"], "restore job was deleted");
        let told = self.phase("Restore", "silent", "Completed").await;
        assert_eq!(told["jobName"], json!(silent));
    }

    /// B12: what is under way ends with its object.
    async fn a_backup_goes_with_its_job(&self, job: &str) {
        let (api, _) = self.left.api("Backup");
        api.delete("goes", &DeleteParams::default()).await.unwrap();
        let jobs: Api<Job> = self.left.stage.namespace.api();
        eventually("the Job goes with its Backup", async || {
            let is_gone = jobs.get_opt(job).await.unwrap().is_none();
            (is_gone && api.get_opt("goes").await.unwrap().is_none()).then_some(())
        })
        .await;
    }
}

/// What has ended stays as it has ended, and dbtether's Jobs are waited for: nothing runs twice.
#[test]
fn what_dbtether_has_run_is_not_run_again_and_its_jobs_are_waited_for() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let left = Left::new(&stage);
        left.server().await;
        let (database, _) = left.database("served", "Retain").await;
        let runs = Runs { left, database };
        let jobs = runs.leave_backups().await;
        let silent = runs.leave_restores().await;

        let (service, _working) = service(&stage.namespace).await;
        let own = Own::start_serving(stage.namespace.cluster, &runs.left.label, service);
        runs.backups_are_told(&jobs).await;
        runs.restores_are_told(&silent).await;
        runs.a_backup_goes_with_its_job(&jobs.goes).await;
        // Nothing has run but what dbtether has begun.
        assert!(stage.namespace.cron_jobs().await.is_empty());
        let left = stage.namespace.jobs().await;
        let mut left: Vec<String> = left.iter().map(Job::name_any).collect();
        left.sort();
        let Jobs {
            well,
            badly,
            under_way,
            untold,
            goes: _,
        } = jobs;
        let mut theirs = [well, badly, under_way, untold, silent];
        theirs.sort();
        assert_eq!(left, theirs);
        own.kill().await;
    });
}

impl Runs<'_> {
    /// Each with a time of the year that has come; of one of them dbtether has made that Backup and not told it.
    async fn leave_schedules(&self, (now, long_ago): (&str, &str), made: &str) {
        for (name, suspend, phase, last) in [
            ("done", false, "Active", now),
            ("missed", false, "Active", long_ago),
            ("made", false, "Active", long_ago),
            ("resting", true, "Suspended", long_ago),
        ] {
            let mut spec = self.backup();
            spec["schedule"] = json!("0 0 1 1 *");
            spec["retention"] = json!({"keepLast": 3});
            spec["suspend"] = json!(suspend);
            let status = json!({
                "phase": phase, "lastBackupTime": last, "nextScheduledTime": last,
            });
            self.object(SCHEDULE, name, (spec, status)).await;
        }
        let told = self.told("Completed", "backup-made-ab12cd34");
        self.object(BACKUP, made, (self.backup(), told)).await;
        let labels = json!({"metadata": {"labels": {
            "dbtether.io/schedule": "made",
            "dbtether.io/schedule-namespace": self.left.stage.namespace.name,
        }}});
        let (backups, _) = self.left.api("Backup");
        let params = PatchParams::default();
        backups
            .patch(made, &params, &Patch::Merge(labels))
            .await
            .unwrap();
    }
}

/// operator.md, K3 to K6: no time is made twice, and none that was missed is left out.
#[test]
fn schedules_of_dbtether_go_on_where_it_has_left_them() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let left = Left::new(&stage);
        left.server().await;
        let (database, _) = left.database("served", "Retain").await;
        let runs = Runs { left, database };
        let now = ago(0);
        let year: i32 = now[..4].parse().unwrap();
        let long_ago = format!("{}-06-01T00:00:00Z", year - 2);
        let slot = |name: &str| format!("{name}-{year}0101-0000");
        runs.leave_schedules((&now, &long_ago), &slot("made")).await;
        let (backups, _) = runs.left.api("Backup");

        let (service, _working) = service(&stage.namespace).await;
        let own = Own::start_serving(stage.namespace.cluster, &runs.left.label, service);
        let next = format!("{}-01-01T00:00:00Z", year + 1);
        for (name, at) in [("done", Some(&now)), ("missed", None), ("made", None)] {
            let seen = runs.seen("BackupSchedule", name).await;
            assert_eq!(ready(&seen), ("True", "Active"), "{name}");
            assert_eq!(seen["nextScheduledTime"], json!(next), "{name}");
            let last = seen["lastBackupTime"].as_str().unwrap();
            assert!(
                at.map_or(last >= now.as_str(), |at| last == at),
                "{name}: {last}"
            );
        }
        let seen = runs.seen("BackupSchedule", "resting").await;
        assert_eq!(
            (&seen["phase"], &seen["lastBackupTime"]),
            (&json!("Suspended"), &json!(long_ago))
        );
        let seen = runs
            .status("BackupSchedule", "made", |it| it["managedBackups"] == 1)
            .await;
        assert_eq!(seen["lastSuccessfulBackup"], json!(slot("made")));
        let seen = runs.seen("Backup", &slot("made")).await;
        assert_eq!(seen["jobName"], "backup-made-ab12cd34");
        let all = backups.list(&ListParams::default()).await.unwrap();
        let mut names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
        names.sort();
        assert_eq!(names, [slot("made"), slot("missed")]);
        assert!(stage.namespace.cron_jobs().await.is_empty());
        own.kill().await;
    });
}
