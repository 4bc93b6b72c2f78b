//! One database and one bucket of a test, and what is asked of the scheduler about them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backuper::job::store::StoreSettings;
use backuper::runtime::settings::read_from;
use backuper::storage::{Storage, connect};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use scheduler::api::proto::{BackupRequest, BackupResponse, BackupRestore, UpdateBackupRequest};
use tokio_postgres::{Client, NoTls};
use tonic::Status;

use super::shell::make_bucket;
use super::world::{SERVERS, SYSTEM, World, block_on, eventually, kubectl};

#[derive(clap::Parser)]
struct Settings {
    #[command(flatten)]
    store: StoreSettings,
}

/// A test's own.
pub(crate) struct Site {
    pub(crate) world: &'static World,
    /// The database's name, and the bucket's.
    pub(crate) name: String,
}

impl Site {
    pub(crate) fn new(prefix: &str) -> Self {
        let world = World::get();
        let unique = &uuid::Uuid::new_v4().simple().to_string()[..8];
        let site = Self {
            world,
            name: format!("{prefix}-{unique}"),
        };
        site.sql_in("postgres", &format!("CREATE DATABASE \"{}\"", site.name));
        make_bucket(&world.s3, &site.name);
        site
    }

    /// A session in a database, as the superuser.
    pub(crate) async fn session(&self, database: &str) -> Client {
        self.session_as(("postgres", "e2e-password"), database)
            .await
    }

    async fn session_as(&self, (user, password): (&str, &str), database: &str) -> Client {
        let text = format!(
            "host={} user='{user}' password='{password}' dbname='{database}' connect_timeout=10",
            self.world.postgres
        );
        let start = Instant::now();
        loop {
            match tokio_postgres::connect(&text, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                // A Service follows its pods with some delay.
                Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn sql_as(&self, login: (&str, &str), database: &str, sql: &str) {
        block_on(async {
            let client = self.session_as(login, database).await;
            client.batch_execute(sql).await.unwrap();
        });
    }

    pub(crate) fn sql_in(&self, database: &str, sql: &str) -> Vec<String> {
        block_on(async {
            let client = self.session(database).await;
            let messages = client.simple_query(sql).await.unwrap();
            let rows = messages.iter().filter_map(|it| match it {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
            rows.collect()
        })
    }

    pub(crate) fn sql(&self, sql: &str) -> Vec<String> {
        self.sql_in(&self.name, sql)
    }

    pub(crate) fn one(&self, sql: &str) -> String {
        self.sql(sql).remove(0)
    }

    /// A table with so many rows, and a checksum over them.
    pub(crate) fn fill(&self, rows: u32) -> String {
        self.sql(&format!(
            "CREATE TABLE items AS SELECT i AS id, md5(i::text) AS text FROM generate_series(1, {rows}) i; ALTER TABLE items ADD PRIMARY KEY (id)"
        ));
        self.checksum()
    }

    pub(crate) fn checksum(&self) -> String {
        self.one("SELECT count(*) || ' ' || md5(string_agg(text, '' ORDER BY id)) FROM items")
    }

    pub(crate) fn request(&self) -> BackupRequest {
        BackupRequest {
            db_uri: format!("postgres.{SERVERS}.svc"),
            db_port: 5432,
            db_user: "postgres".to_owned(),
            db_pass: "e2e-password".to_owned(),
            db_name: self.name.clone(),
            database_type: "postgres".to_owned(),
            // Not by itself, while a test lasts.
            schedule: "0 0 1 1 *".to_owned(),
            s3_endpoint: format!("http://s3.{SERVERS}.svc:9000"),
            s3_access_key: "e2e".to_owned(),
            s3_secret_key: "e2e-secret".to_owned(),
            s3_bucket_name: self.name.clone(),
            ..BackupRequest::default()
        }
    }

    pub(crate) fn schedule(&self, request: &BackupRequest) -> BackupResponse {
        // The Service of a release that has just been installed follows its pods with some delay, and a Backup
        // may be asked for again.
        eventually("it is scheduled", async || {
            let answer = self.world.scheduler().backup(request.clone()).await;
            match answer {
                Err(status) if status.code() == tonic::Code::Unavailable => None,
                answer => Some(answer.expect("scheduled").into_inner()),
            }
        })
    }

    pub(crate) fn update_of(&self, cron_job: &str, namespace: &str) -> UpdateBackupRequest {
        UpdateBackupRequest {
            request: Some(self.request()),
            cronjob_name: cron_job.to_owned(),
            cronjob_namespace: namespace.to_owned(),
        }
    }

    pub(crate) fn update(&self, cron_job: &str, request: BackupRequest) {
        let update = UpdateBackupRequest {
            request: Some(request),
            ..self.update_of(cron_job, SYSTEM)
        };
        block_on(self.world.scheduler().update(update)).expect("updated");
    }

    pub(crate) fn restoration(&self, revision: &str) -> BackupRestore {
        let request = self.request();
        BackupRestore {
            db_uri: request.db_uri,
            db_port: request.db_port,
            db_user: request.db_user,
            db_pass: request.db_pass,
            db_name: request.db_name,
            database_type: request.database_type,
            s3_endpoint: request.s3_endpoint,
            s3_access_key: request.s3_access_key,
            s3_secret_key: request.s3_secret_key,
            s3_bucket_name: request.s3_bucket_name,
            backup_revision: revision.to_owned(),
            // Each is one of its own, however soon it comes after the last.
            request_id: uuid::Uuid::new_v4().to_string(),
            ..BackupRestore::default()
        }
    }

    pub(crate) fn restore(&self, revision: &str) -> Result<String, Status> {
        let restoration = self.restoration(revision);
        let answer = block_on(self.world.scheduler().restore(restoration))?;
        Ok(answer.into_inner().job_name)
    }

    /// Runs a schedule now, as a person would; gives the Job's name.
    pub(crate) fn run_now(&self, cron_job: &str) -> String {
        let name = format!("now-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let from = format!("--from=cronjob/{cron_job}");
        kubectl(&["-n", SYSTEM, "create", "job", &name, &from]);
        name
    }

    /// Waits for the end of a Job; gives whether it was a good one.
    pub(crate) fn end_of(&self, job: &str) -> bool {
        let jobs: Api<Job> = self.world.api();
        eventually(&format!("the end of {job}"), async || {
            let job = jobs.get(job).await.ok()?;
            let conditions = job.status?.conditions?;
            let ended = |it: &str| {
                conditions
                    .iter()
                    .any(|c| c.type_ == it && c.status == "True")
            };
            if ended("Complete") {
                Some(true)
            } else if ended("Failed") {
                Some(false)
            } else {
                None
            }
        })
    }

    pub(crate) fn succeeds(&self, job: &str) {
        let good = self.end_of(job);
        assert!(good, "{job}: {}", self.last_words(job));
    }

    pub(crate) fn pods_of(&self, job: &str) -> Vec<Pod> {
        let pods: Api<Pod> = self.world.api();
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        block_on(pods.list(&of_job)).unwrap().items
    }

    /// What the pods of a Job said when they ended.
    pub(crate) fn last_words(&self, job: &str) -> String {
        let said = self.pods_of(job).into_iter().filter_map(|pod| {
            let statuses = pod.status?.container_statuses?;
            statuses[0].state.clone()?.terminated?.message
        });
        said.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn cron_job(&self, name: &str) -> CronJob {
        let cron_jobs: Api<CronJob> = self.world.api();
        block_on(cron_jobs.get(name)).unwrap()
    }

    /// The folders of the complete backups.
    pub(crate) fn backups(&self) -> Vec<String> {
        let keys = self.keys();
        let manifests = keys
            .iter()
            .filter_map(|it| it.strip_suffix("/manifest.json"));
        manifests.map(str::to_owned).collect()
    }

    /// All keys in the bucket.
    pub(crate) fn keys(&self) -> Vec<String> {
        block_on(async {
            let store = self.store().await;
            let objects: Vec<_> = store.list("").await.unwrap();
            objects.into_iter().map(|it| it.key).collect()
        })
    }

    async fn store(&self) -> Arc<dyn Storage> {
        let endpoint = format!("http://{}:9000", self.world.s3);
        let settings: Settings = read_from([
            ("S3_ENDPOINT", endpoint.as_str()),
            ("S3_BUCKET_NAME", &self.name),
            ("S3_ACCESS_KEY", "e2e"),
            ("S3_SECRET_KEY", "e2e-secret"),
        ])
        .unwrap();
        connect(&settings.store.config().unwrap()).await.unwrap()
    }
}
