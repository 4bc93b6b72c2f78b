//! Schedules that are put on Kubernetes: what their CronJobs read, and what stays.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{EnvVar, Secret};
use kube::ResourceExt as _;
use scheduler::api::proto::v1;

use super::process::Process;
use crate::cluster::{Cluster, Namespace, eventually};
use crate::encryption::Pair;
use crate::operations;
use crate::testbed::{Env, env, folder};

/// A scheduler that tries nothing before it answers.
pub(super) async fn begun(namespace: &Namespace, beside: &Env) -> (Process, operations::Client) {
    let kubeconfig = namespace.cluster.kubeconfig();
    let mut all = env([("CHECK_REQUESTS", "false")]);
    all.extend(beside.iter().cloned());
    let process = Process::start_with(kubeconfig.to_str().unwrap(), &namespace.name, "1", &all);
    process.ready().await;
    let client = operations::client(process.port).await;
    (process, client)
}

pub(super) fn wanted(name: &str, cron: &str) -> v1::PutScheduleRequest {
    v1::PutScheduleRequest {
        name: name.to_owned(),
        database: Some(v1::Database {
            host: "db.example".to_owned(),
            dbname: "shop".to_owned(),
            user: "me".to_owned(),
            ..v1::Database::default()
        }),
        store: Some(v1::Store {
            endpoint: "https://s3.example".to_owned(),
            bucket: "backups".to_owned(),
            ..v1::Store::default()
        }),
        cron: cron.to_owned(),
        max_backup_count: 7,
        ..v1::PutScheduleRequest::default()
    }
}

pub(super) fn with_secrets(mut request: v1::PutScheduleRequest) -> v1::PutScheduleRequest {
    if let (Some(database), Some(store)) = (&mut request.database, &mut request.store) {
        database.password = "hunter2".to_owned();
        store.access_key = "access".to_owned();
        store.secret_key = "secret".to_owned();
    }
    request
}

/// Which Secret, and which key in it, each variable of a worker is read from.
fn read_from(environment: Option<Vec<EnvVar>>) -> BTreeMap<String, (String, String)> {
    let variables = environment.unwrap_or_default().into_iter();
    let read = variables.filter_map(|it| {
        let read = it.value_from?.secret_key_ref?;
        Some((it.name, (read.name, read.key)))
    });
    read.collect()
}

async fn read_by(namespace: &Namespace, cron_job: &str) -> BTreeMap<String, (String, String)> {
    let found: CronJob = namespace.api().get(cron_job).await.unwrap();
    let template = found.spec.unwrap().job_template.spec.unwrap().template;
    read_from(template.spec.unwrap().containers.remove(0).env)
}

async fn value(namespace: &Namespace, (secret, key): &(String, String)) -> String {
    let found: Secret = namespace.api().get(secret).await.unwrap();
    String::from_utf8(found.data.unwrap()[key].0.clone()).unwrap()
}

/// Nobody who changes the times has the password at hand, and the scheduler cannot read it.
#[test]
fn what_is_not_given_anew_stays_where_the_login_stays() {
    Cluster::shared().within(async |namespace| {
        let (process, mut client) = begun(&namespace, &Env::default()).await;
        let first = with_secrets(wanted("shop", "0 3 * * *"));
        let answer = client.put_schedule(first).await.unwrap().into_inner();
        assert_eq!(answer.put(), v1::put_schedule_response::Put::Created);
        assert_eq!(answer.schedule.unwrap().time_zone, "Etc/UTC");
        let before = read_by(&namespace, "shop").await;

        let mut second = wanted("shop", "0 4 * * *");
        second.time_zone = "Europe/Berlin".to_owned();
        second.labels = [("team".to_owned(), "web".to_owned())].into();
        second.max_backup_count = 30;
        let answer = client
            .put_schedule(second.clone())
            .await
            .unwrap()
            .into_inner();
        let changed = ["schedule", "time_zone", "max_backup_count", "labels"];
        assert_eq!(answer.changed, changed);
        let found: CronJob = namespace.api().get("shop").await.unwrap();
        assert_eq!(found.labels()["team"], "web");
        let spec = found.spec.unwrap();
        assert_eq!(spec.schedule, "0 4 * * *");
        assert_eq!(spec.time_zone.as_deref(), Some("Europe/Berlin"));
        let read = read_by(&namespace, "shop").await;
        for variable in ["DB_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"] {
            assert_eq!(read[variable], before[variable]);
        }
        assert_eq!(value(&namespace, &read["DB_PASSWORD"]).await, "hunter2");
        assert_eq!(value(&namespace, &read["S3_SECRET_KEY"]).await, "secret");
        let answer = client
            .put_schedule(second.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.put(), v1::put_schedule_response::Put::Unchanged);

        // A new password, and the keys stay.
        let mut third = second.clone();
        third.database.as_mut().unwrap().password = "new".to_owned();
        client.put_schedule(third).await.unwrap();
        let read = read_by(&namespace, "shop").await;
        assert_eq!(value(&namespace, &read["DB_PASSWORD"]).await, "new");
        assert_eq!(value(&namespace, &read["S3_SECRET_KEY"]).await, "secret");
        assert_eq!(read["S3_SECRET_KEY"], before["S3_SECRET_KEY"]);

        // What is kept for one server is not sent to another.
        second.database.as_mut().unwrap().host = "other.example".to_owned();
        let status = client.put_schedule(second.clone()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
        assert!(status.message().contains("another login"), "{status}");
        second.database.as_mut().unwrap().password = "theirs".to_owned();
        client.put_schedule(second).await.unwrap();
        let read = read_by(&namespace, "shop").await;
        assert_eq!(value(&namespace, &read["DB_PASSWORD"]).await, "theirs");
        assert_eq!(value(&namespace, &read["S3_SECRET_KEY"]).await, "secret");
        process.stop();
    });
}

fn identities(secret: &str) -> v1::IdentitySecret {
    v1::IdentitySecret {
        name: secret.to_owned(),
        key: String::new(),
    }
}

/// Somebody else writes the Secret, and changes it.
#[test]
fn credentials_are_read_where_the_call_says_if_the_administrator_lets_it() {
    Cluster::shared().within(async |namespace| {
        let listed = env([("SECRET_REFERENCES", "shop-*")]);
        let (process, mut client) = begun(&namespace, &listed).await;
        let mut request = wanted("shop", "@daily");
        request.database.as_mut().unwrap().password_secret = Some(v1::PasswordSecret {
            name: "shop-login".to_owned(),
            key: "pass".to_owned(),
        });
        request.store.as_mut().unwrap().keys_secret = Some(v1::KeysSecret {
            name: "shop-keys".to_owned(),
            ..v1::KeysSecret::default()
        });
        let mut refused = request.clone();
        refused.database.as_mut().unwrap().password_secret = Some(v1::PasswordSecret {
            name: "postgres-adapter-tls".to_owned(),
            key: "tls.key".to_owned(),
        });
        let status = client.put_schedule(refused).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status}");
        assert!(status.message().contains("SECRET_REFERENCES"), "{status}");
        let answer = client
            .put_schedule(request.clone())
            .await
            .unwrap()
            .into_inner();
        let shown = answer.schedule.unwrap();
        assert_eq!(shown.password_secret.unwrap().key, "pass");
        assert_eq!(shown.keys_secret.unwrap().access_key, "AWS_ACCESS_KEY_ID");
        let read = read_by(&namespace, "shop").await;
        let pair = |secret: &str, key: &str| (secret.to_owned(), key.to_owned());
        assert_eq!(read["DB_PASSWORD"], pair("shop-login", "pass"));
        assert_eq!(
            read["S3_ACCESS_KEY"],
            pair("shop-keys", "AWS_ACCESS_KEY_ID")
        );
        assert_eq!(
            read["S3_SECRET_KEY"],
            pair("shop-keys", "AWS_SECRET_ACCESS_KEY")
        );
        let own: Vec<Secret> = namespace.secrets().await;
        let written = own.iter().flat_map(|it| it.data.iter().flatten());
        assert_eq!(written.count(), 0, "nothing of it is written anywhere");
        let restore = v1::RestoreBackupRequest {
            schedule: "shop".to_owned(),
            backup: "latest".to_owned(),
            identity_secret: Some(identities("shop-age")),
            ..v1::RestoreBackupRequest::default()
        };
        let mut refused = restore.clone();
        refused.identity_secret = Some(identities("other-age"));
        let status = client.restore_backup(refused).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status}");
        let answer = client.restore_backup(restore).await.unwrap().into_inner();
        let job: Job = namespace
            .api()
            .get(&answer.run.unwrap().name)
            .await
            .unwrap();
        let mut pod = job.spec.unwrap().template.spec.unwrap();
        let read = read_from(pod.containers.remove(0).env);
        assert_eq!(read["DB_PASSWORD"], pair("shop-login", "pass"));
        assert_eq!(read["AGE_IDENTITY"], pair("shop-age", "identity"));
        assert_eq!(
            read["S3_SECRET_KEY"],
            pair("shop-keys", "AWS_SECRET_ACCESS_KEY")
        );
        process.stop();
    });
}

/// The core's call has no place for a key.
#[test]
fn the_administrators_key_is_for_restores_alone_and_only_where_a_call_has_none() {
    Cluster::shared().within(async |namespace| {
        let pair = Pair::new();
        let settings = env([
            ("ENCRYPT_TO", pair.public.as_str()),
            ("RESTORE_IDENTITY_SECRET", "backups-age/key"),
        ]);
        let (process, mut client) = begun(&namespace, &settings).await;
        let request = with_secrets(wanted("shop", "@daily"));
        client.put_schedule(request).await.unwrap();
        assert!(
            !read_by(&namespace, "shop")
                .await
                .contains_key("AGE_IDENTITY")
        );
        let own = |identity: &str| v1::RestoreBackupRequest {
            schedule: "shop".to_owned(),
            backup: "latest".to_owned(),
            identity: identity.to_owned(),
            target: Some(v1::Target {
                dbname: format!("back{}", identity.len()),
                ..v1::Target::default()
            }),
            ..v1::RestoreBackupRequest::default()
        };
        for identity in ["", pair.private()] {
            let answer = client.restore_backup(own(identity)).await;
            let run = answer.unwrap().into_inner().run.unwrap().name;
            let job: Job = namespace.api().get(&run).await.unwrap();
            let mut pod = job.spec.unwrap().template.spec.unwrap();
            let read = read_from(pod.containers.remove(0).env);
            let expected = if identity.is_empty() {
                ("backups-age".to_owned(), "key".to_owned())
            } else {
                (run, "AGE_IDENTITY".to_owned())
            };
            assert_eq!(read["AGE_IDENTITY"], expected);
        }
        process.stop();
    });
}

/// Whoever has lost all but the bucket has no schedule either.
#[test]
fn a_question_about_a_store_leaves_neither_its_job_nor_its_secret() {
    Cluster::shared().within(async |namespace| {
        let (process, client) = begun(&namespace, &Env::default()).await;
        let asking = tokio::spawn({
            let mut client = client.clone();
            let request = v1::ListBackupsRequest {
                store: with_secrets(wanted("shop", "@daily")).store,
                ..v1::ListBackupsRequest::default()
            };
            async move { client.list_backups(request).await }
        });
        let job = eventually("its Job", async || namespace.jobs().await.pop()).await;
        let name = job.name_any();
        let mut pod = job.spec.unwrap().template.spec.unwrap();
        let read = read_from(pod.containers.remove(0).env);
        assert_eq!(
            read["S3_SECRET_KEY"],
            (name.clone(), "S3_SECRET_KEY".to_owned())
        );
        let secret = eventually("its Secret", async || {
            namespace.api::<Secret>().get_opt(&name).await.unwrap()
        })
        .await;
        assert_eq!(secret.owner_references()[0].name, name);
        let pod = namespace.pod_of(&name).await.name_any();
        namespace.end_pod(&pod, 2, "the bucket is not there").await;
        let status = asking.await.unwrap().unwrap_err();
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

/// Whoever calls does not change what the administrator has written.
#[test]
fn declared_schedules_are_cron_jobs_as_long_as_the_file_says_so() {
    Cluster::shared().within(async |namespace| {
        let path = folder("declared").join("schedules.yaml");
        let one = "{name: shop, database: {host: db.example, dbname: shop, user: me, \
             passwordSecret: {name: any-secret}}, store: {endpoint: \"https://s3.example\", \
             bucket: backups, keysSecret: {name: any-keys}}, cron: \"@daily\"}";
        std::fs::write(&path, format!("schedules: [{one}]")).unwrap();
        let file = env([("SCHEDULES_FILE", path.to_str().unwrap())]);
        let (process, mut client) = begun(&namespace, &file).await;
        let shown = eventually("it is made", async || {
            operations::get(&mut client.clone(), "shop").await.ok()
        })
        .await;
        assert!(shown.declared);
        let read = read_by(&namespace, "shop").await;
        assert_eq!(
            read["DB_PASSWORD"],
            ("any-secret".to_owned(), "password".to_owned())
        );
        let request = wanted("shop", "@daily");
        let status = client.put_schedule(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
        let status = client
            .delete_schedule(v1::DeleteScheduleRequest {
                name: "shop".to_owned(),
                allow_missing: false,
            })
            .await
            .unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
        process.stop();
    });
}
