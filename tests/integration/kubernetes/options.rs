//! What a schedule has of its own, in the CronJobs and Jobs of its workers.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::EnvVar;
use kube::ResourceExt as _;
use scheduler::api::proto::{BackupRequest, UpdateBackupRequest, v1};

use super::put::{begun, wanted, with_secrets};
use crate::calls::requests;
use crate::cluster::{Cluster, Namespace, eventually};
use crate::encryption::Pair;
use crate::operations;
use crate::testbed::env;

/// A plain variable of the first container of a pod.
fn plain(job: Option<Job>, name: &str) -> Option<String> {
    let template = job?.spec?.template;
    plain_in(template.spec?.containers.remove(0).env, name)
}

fn plain_in(environment: Option<Vec<EnvVar>>, name: &str) -> Option<String> {
    let mut variables = environment.unwrap_or_default().into_iter();
    variables.find(|it| it.name == name)?.value
}

async fn told(namespace: &Namespace, name: &str) -> Option<String> {
    let found: CronJob = namespace.api().get("shop").await.unwrap();
    let template = found.spec?.job_template.spec?.template;
    plain_in(template.spec?.containers.remove(0).env, name)
}

fn with_options(mut request: v1::PutScheduleRequest, public: &str) -> v1::PutScheduleRequest {
    request.retention = Some(v1::RetentionRules {
        daily: 14,
        ..v1::RetentionRules::default()
    });
    request.format = Some(v1::BackupFormat {
        compression_level: 9,
        key_template: "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .RunID }}".to_owned(),
        ..v1::BackupFormat::default()
    });
    request.encryption = Some(v1::Encryption {
        recipients: vec![public.to_owned()],
        manifest: true,
    });
    request.filters = Some(v1::Filters {
        exclude_table_data: vec!["log.*".to_owned()],
        ..v1::Filters::default()
    });
    request.globals = Some(v1::Globals {
        enabled: Some(true),
        passwords: "none".to_owned(),
    });
    request.jobs = 3;
    request
}

/// The same schedule at another time, as the core says it.
fn updated(namespace: &Namespace) -> UpdateBackupRequest {
    UpdateBackupRequest {
        request: Some(BackupRequest {
            db_uri: "db.example".to_owned(),
            db_port: 5432,
            db_user: "me".to_owned(),
            db_pass: "hunter2".to_owned(),
            db_name: "shop".to_owned(),
            s3_endpoint: "https://s3.example".to_owned(),
            s3_access_key: "access".to_owned(),
            s3_secret_key: "secret".to_owned(),
            s3_bucket_name: "backups".to_owned(),
            schedule: "0 4 * * *".to_owned(),
            max_backup_count: 3,
            ..BackupRequest::default()
        }),
        cronjob_name: "shop".to_owned(),
        cronjob_namespace: namespace.name.clone(),
    }
}

/// What workers are told of it, whoever asks, and what the contract's calls leave alone.
#[test]
fn what_a_schedule_has_of_its_own_reaches_each_of_its_workers_and_stays() {
    Cluster::shared().within(async |namespace| {
        let (fleets, own) = (Pair::new(), Pair::new());
        let settings = env([
            ("ENCRYPT_TO", fleets.public.as_str()),
            ("KEEP_WEEKLY", "8"),
            ("CLUSTER_NAME", "prod"),
        ]);
        let (process, mut client) = begun(&namespace, &settings).await;
        let request = with_options(with_secrets(wanted("shop", "@daily")), &own.public);
        client.put_schedule(request.clone()).await.unwrap();
        let recipients = format!("{},{}", fleets.public, own.public);
        for (name, value) in [
            ("KEEP_DAILY", Some("14")),
            ("KEEP_WEEKLY", None),
            ("COMPRESSION_LEVEL", Some("9")),
            ("CLUSTER_NAME", Some("prod")),
            ("ENCRYPT_TO", Some(recipients.as_str())),
            ("ENCRYPT_MANIFEST", Some("true")),
            ("EXCLUDE_TABLE_DATA", Some("log.*")),
            ("GLOBALS", Some("true")),
            ("GLOBALS_PASSWORDS", Some("none")),
            ("BACKUP_JOBS", Some("3")),
            ("BACKUPER_TASK", Some("protected-backup")),
        ] {
            assert_eq!(told(&namespace, name).await.as_deref(), value, "{name}");
        }
        let shown = operations::get(&mut client, "shop").await.unwrap();
        assert_eq!(shown.retention.unwrap().daily, 14);
        assert_eq!(shown.encryption, request.encryption);
        assert_eq!(shown.filters, request.filters);
        assert_eq!((shown.globals, shown.jobs), (request.globals.clone(), 3));

        // The contract's Update knows nothing of it.
        let mut oiler = process.ready().await;
        oiler.update(updated(&namespace)).await.unwrap();
        assert_eq!(told(&namespace, "MAX_BACKUP_COUNT").await.unwrap(), "3");
        assert_eq!(told(&namespace, "KEEP_DAILY").await.unwrap(), "14");
        assert_eq!(
            told(&namespace, "EXCLUDE_TABLE_DATA").await.unwrap(),
            "log.*"
        );

        // Nor does its Restore, which looks where the schedule's dumps lie all the same.
        let mut restore = requests::restore("0");
        restore.db_uri = "db.example".to_owned();
        restore.db_name = "shop".to_owned();
        restore.s3_endpoint = "https://s3.example".to_owned();
        restore.s3_bucket_name = "backups".to_owned();
        oiler.restore(restore).await.unwrap();
        let ours = v1::RestoreBackupRequest {
            schedule: "shop".to_owned(),
            backup: "latest".to_owned(),
            target: Some(v1::Target {
                dbname: "copy".to_owned(),
                ..v1::Target::default()
            }),
            ..v1::RestoreBackupRequest::default()
        };
        client.restore_backup(ours).await.unwrap();
        let jobs = namespace.jobs().await;
        assert_eq!(jobs.len(), 2);
        let template = request.format.unwrap().key_template;
        for job in jobs {
            assert_eq!(plain(Some(job), "KEY_TEMPLATE").as_ref(), Some(&template));
        }
        process.stop();
    });
}

/// Whoever asks about a schedule's dumps looks where they lie.
#[test]
fn a_question_about_a_schedule_is_asked_of_its_own_keys() {
    Cluster::shared().within(async |namespace| {
        let settings = env([("CLUSTER_NAME", "prod"), ("KEEP_WEEKLY", "8")]);
        let (process, mut client) = begun(&namespace, &settings).await;
        let public = Pair::new().public;
        let request = with_options(with_secrets(wanted("shop", "@daily")), &public);
        client.put_schedule(request).await.unwrap();
        let asking = tokio::spawn(async move {
            let request = v1::PreviewRetentionRequest {
                schedule: "shop".to_owned(),
                ..v1::PreviewRetentionRequest::default()
            };
            client.preview_retention(request).await
        });
        let job = eventually("its Job", async || namespace.jobs().await.pop()).await;
        let name = job.name_any();
        let asked = |name| plain(Some(job.clone()), name);
        let template = asked("KEY_TEMPLATE").unwrap();
        assert!(template.starts_with("{{ .ClusterName }}"), "{template}");
        assert_eq!(asked("KEEP_DAILY").as_deref(), Some("14"));
        assert_eq!(asked("KEEP_WEEKLY"), None);
        let pod = namespace.pod_of(&name).await.name_any();
        namespace.end_pod(&pod, 2, "the bucket is not there").await;
        asking.await.unwrap().unwrap_err();
        process.stop();
    });
}
