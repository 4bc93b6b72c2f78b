//! The scheduler's own process on Kubernetes: start, calls, a new version, signals.

use std::time::Duration;

use kube::ResourceExt as _;
use nix::sys::signal::Signal;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::{BackupRequest, UpdateBackupRequest};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::calls::requests;
use crate::cluster::{Cluster, Namespace, eventually};
use crate::testbed::postgres::free_port;
use crate::testbed::programs::{Running, scheduler};
use crate::testbed::{Env, block_on, env, folder};

/// What a stop may take.
const STOP: Duration = Duration::from_secs(10);

pub(super) struct Process {
    pub(super) running: Running,
    pub(super) port: u16,
    admin_port: u16,
}

impl Process {
    fn start(kubeconfig: &str, namespace: &str, version: &str) -> Self {
        Self::start_with(kubeconfig, namespace, version, &Env::new())
    }

    pub(super) fn start_with(kubeconfig: &str, namespace: &str, version: &str, more: &Env) -> Self {
        let (port, admin_port) = (free_port(), free_port());
        let mut env = env([
            ("KUBECONFIG", kubeconfig),
            ("SYSTEM_NAMESPACE", namespace),
            (
                "BACKUPER_VERSION",
                &format!("registry.local/backuper:{version}"),
            ),
            (
                "RESTORER_VERSION",
                &format!("registry.local/restorer:{version}"),
            ),
            ("LISTEN_ADDRESS", "127.0.0.1"),
            ("PORT", &port.to_string()),
            ("ADMIN_PORT", &admin_port.to_string()),
        ]);
        env.extend(more.iter().cloned());
        let running = scheduler(&env).start();
        Self {
            running,
            port,
            admin_port,
        }
    }

    async fn status(&self, path: &str) -> Option<u16> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin_port);
        let answer = reqwest::get(url).await.ok()?;
        Some(answer.status().as_u16())
    }

    pub(super) async fn ready(&self) -> BackupServiceClient<Channel> {
        eventually("it is ready", async || {
            (self.status("/readyz").await == Some(200)).then_some(())
        })
        .await;
        let address = format!("http://127.0.0.1:{}", self.port);
        let channel = Endpoint::from_shared(address).unwrap().connect().await;
        BackupServiceClient::new(channel.unwrap())
    }

    #[track_caller]
    pub(super) fn stop(self) {
        self.running.signal(Signal::SIGTERM);
        self.running.wait_within(STOP).expect_code(0);
    }
}

fn in_namespace(namespace: &Namespace, version: &str) -> Process {
    let kubeconfig = namespace.cluster.kubeconfig();
    Process::start(kubeconfig.to_str().unwrap(), &namespace.name, version)
}

#[test]
fn u33_u46_calls_reach_the_cluster_and_a_signal_ends_the_process() {
    Cluster::shared().within(async |namespace| {
        let process = in_namespace(&namespace, "1");
        let mut client = process.ready().await;
        let made = client
            .backup(requests::backup())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(made.cronjob_namespace, namespace.name);
        let cron_jobs = namespace.cron_jobs().await;
        assert_eq!(cron_jobs.len(), 1);
        assert_eq!(cron_jobs[0].name_any(), made.cronjob_name);
        let changed = UpdateBackupRequest {
            request: Some(BackupRequest {
                schedule: "0 5 * * *".to_owned(),
                ..requests::backup()
            }),
            cronjob_name: made.cronjob_name,
            cronjob_namespace: made.cronjob_namespace,
        };
        client.update(changed.clone()).await.expect("changed");
        let spec = namespace.cron_jobs().await[0].spec.clone().unwrap();
        assert_eq!(spec.schedule, "0 5 * * *");
        let gone = UpdateBackupRequest {
            cronjob_name: "backup-gone-postgres".to_owned(),
            ..changed
        };
        let status = client.update(gone).await.expect_err("gone");
        assert_eq!(status.code(), Code::NotFound);
        let run = client.restore(requests::restore("0")).await.unwrap();
        let again = client.restore(requests::restore("0")).await.unwrap();
        assert_eq!(run.into_inner().job_name, again.into_inner().job_name);
        assert_eq!(namespace.started_jobs().await.len(), 1);
        process.stop();
    });
}

#[test]
fn u45_a_new_version_brings_its_images_to_the_schedules_that_exist() {
    Cluster::shared().within(async |namespace| {
        let process = in_namespace(&namespace, "1");
        let mut client = process.ready().await;
        client.backup(requests::backup()).await.expect("made");
        process.stop();
        let process = in_namespace(&namespace, "2");
        process.ready().await;
        // Calls are answered while it tidies.
        eventually("the new images", async || {
            let text = format!("{:?}", namespace.cron_jobs().await);
            let is_new = text.contains("registry.local/backuper:2");
            (is_new && !text.contains("registry.local/backuper:1")).then_some(())
        })
        .await;
        process.stop();
    });
}

#[test]
fn a_cluster_that_does_not_answer_is_waited_for() {
    let kubeconfig = folder("kubeconfig").join("config");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": nobody}}],
        "users": [{"name": "it", "user": {}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let mut process = Process::start(kubeconfig.to_str().unwrap(), "any", "1");
    process
        .running
        .wait_until_it_prints("the engine is not ready yet");
    process.running.wait_until_it_prints("serving");
    block_on(async {
        assert_eq!(process.status("/livez").await, Some(200));
        assert_eq!(process.status("/readyz").await, Some(503));
    });
    process.stop();
}
