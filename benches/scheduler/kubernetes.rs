//! Calls, start and memory beside many CronJobs of a real API server.

use std::time::{Duration, Instant};

use futures::stream::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::DeleteParams;
use scheduler::api::proto::UpdateBackupRequest;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use super::cluster::Namespace;
use super::process::Process;
use super::testbed::env;
use super::{backup, count, restore, setting};

/// Once in a year: what is measured are calls and not runs.
const YEARLY: &str = "0 0 1 1 *";
/// Another.
const YEARLY_TOO: &str = "0 0 2 1 *";
/// How many calls there are side by side, where they are.
const AT_ONCE: usize = 16;

type Client = BackupServiceClient<Channel>;

pub(crate) async fn measure(namespace: Namespace) {
    println!("## Calls beside many schedules\n");
    println!(
        "| schedules | Backup p50 / p99 | ÷ none | Update p50 / p99 | ÷ none | Restore p50 / p99 | ÷ none | Backup a second, {AT_ONCE} at once | start | tidied | tidied with a new image | scrape | memory, at most |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let (mut present, mut version) = (0, 0);
    let mut none = None;
    for wanted in setting("BENCH_SCHEDULES", "0 100 1000 10000").split_whitespace() {
        let wanted: usize = wanted.parse().unwrap();
        let filling = start(&namespace, version);
        let begun = Instant::now();
        let names = (present..wanted).map(|it| format!("present-{it}"));
        make(&filling.client().await, names).await;
        eprintln!(
            "{} schedules made in {:.1?}",
            wanted - present,
            begun.elapsed()
        );
        present = wanted;
        filling.stop();
        let process = start(&namespace, version);
        let (serving, tidied) = (process.serving, process.tidied());
        process.stop();
        version += 1;
        let process = start(&namespace, version);
        let anew = process.tidied();
        let calls = Calls::measure(&namespace, &process.client().await).await;
        let none = none.get_or_insert_with(|| calls.clone());
        println!(
            "| {wanted} | {} | {} | {} | {:.0} | {serving:.1?} | {tidied:.1?} | {anew:.1?} | {:.1?} | {} MiB |",
            calls.backup.beside(&none.backup),
            calls.update.beside(&none.update),
            calls.restore.beside(&none.restore),
            calls.a_second,
            process.scrape().await.0,
            process.memory().1,
        );
        process.stop();
    }
    println!();
}

fn start(namespace: &Namespace, version: usize) -> Process {
    let kubeconfig = namespace.cluster.kubeconfig();
    Process::start(env([
        ("KUBECONFIG", kubeconfig.to_str().unwrap()),
        ("SYSTEM_NAMESPACE", &namespace.name),
        (
            "BACKUPER_VERSION",
            &format!("registry.local/backuper:{version}"),
        ),
        ("RESTORER_VERSION", "registry.local/restorer:1"),
    ]))
}

/// Makes schedules side by side; gives their names.
async fn make(client: &Client, databases: impl Iterator<Item = String>) -> Vec<String> {
    futures::stream::iter(databases)
        .map(async |database| {
            let answer = client.clone().backup(backup(database, YEARLY)).await?;
            Ok::<_, Status>(answer.into_inner().cronjob_name)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
        .expect("schedules")
}

/// How long calls took, one after the other.
#[derive(Clone)]
struct Times(Vec<Duration>);

impl Times {
    fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }

    fn beside(&self, none: &Self) -> String {
        let ratio = self.at(99).as_secs_f64() / none.at(99).as_secs_f64();
        format!("{:.1?} / {:.1?} | {ratio:.2}", self.at(50), self.at(99))
    }
}

/// The calls of one row.
#[derive(Clone)]
struct Calls {
    backup: Times,
    update: Times,
    restore: Times,
    /// Backup calls a second, side by side.
    a_second: f64,
}

impl Calls {
    /// Measures them, and takes away what they have made.
    async fn measure(namespace: &Namespace, client: &Client) -> Self {
        let calls = count("BENCH_CALLS", "1000");
        let database = |number: usize| format!("measured-{number}");
        let mut made = Vec::new();
        let backup_times = time(calls, async |number| {
            let request = backup(database(number), YEARLY);
            let answer = client.clone().backup(request).await?;
            made.push(answer.into_inner());
            Ok(())
        })
        .await;
        let update_times = time(calls, async |number| {
            let update = UpdateBackupRequest {
                request: Some(backup(database(number), YEARLY_TOO)),
                cronjob_name: made[number].cronjob_name.clone(),
                cronjob_namespace: made[number].cronjob_namespace.clone(),
            };
            client.clone().update(update).await.map(drop)
        })
        .await;
        let mut jobs = Vec::new();
        let restore_times = time(calls, async |number| {
            let answer = client.clone().restore(restore(database(number))).await?;
            jobs.push(answer.into_inner().job_name);
            Ok(())
        })
        .await;
        let begun = Instant::now();
        let more = make(client, (0..calls).map(|it| format!("crowd-{it}"))).await;
        #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
        let a_second = calls as f64 / begun.elapsed().as_secs_f64();
        let names = made.into_iter().map(|it| it.cronjob_name).chain(more);
        forget(namespace, names.collect(), jobs).await;
        Self {
            backup: backup_times,
            update: update_times,
            restore: restore_times,
            a_second,
        }
    }
}

async fn time(calls: usize, mut call: impl AsyncFnMut(usize) -> Result<(), Status>) -> Times {
    let mut took = Vec::with_capacity(calls);
    for number in 0..calls {
        let begun = Instant::now();
        call(number).await.expect("an answer");
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Times(took)
}

/// So that the next row has as many schedules as it says.
async fn forget(namespace: &Namespace, cron_jobs: Vec<String>, jobs: Vec<String>) {
    let how = DeleteParams::background();
    let cron_job_api = namespace.api::<CronJob>();
    let job_api = namespace.api::<Job>();
    futures::stream::iter(cron_jobs)
        .map(async |name| cron_job_api.delete(&name, &how).await.map(drop))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
        .expect("deleted");
    futures::stream::iter(jobs)
        .map(async |name| job_api.delete(&name, &how).await.map(drop))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
        .expect("deleted");
}
