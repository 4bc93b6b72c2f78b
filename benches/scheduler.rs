//! What many schedules cost: the Kubernetes engine against a real API server with 0, 1,000 and
//! 10,000 CronJobs present. `cargo bench -p scheduler --bench scheduler`; the figures that it
//! prints stand in docs/performance.md.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks to a person, and stands on the testbed of the tests"
)]

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/integration/cluster.rs"]
mod cluster;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests use all of it, and the bench what it needs"
)]
#[path = "../tests/integration/testbed.rs"]
mod testbed;

use std::time::{Duration, Instant};

use backuper::job::Var;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Engine as _, Error, Schedule};
use secrecy::SecretString;

use cluster::{Cluster, Namespace};

/// How many schedules are there when the calls are measured.
const PRESENT: [usize; 3] = [0, 1_000, 10_000];
/// How many calls of each kind are measured.
const CALLS: usize = 300;
/// How many calls fill the cluster side by side.
const AT_ONCE: usize = 16;

fn main() {
    Cluster::shared().within(measure);
}

async fn measure(namespace: Namespace) {
    println!(
        "| schedules | start | start, new image | Backup p50 / p99 | Update p50 / p99 | memory |"
    );
    println!("|---|---|---|---|---|---|");
    let mut present = 0;
    for (round, wanted) in PRESENT.into_iter().enumerate() {
        let filling = engine(&namespace, round);
        let began = Instant::now();
        fill(&filling, present..wanted).await.expect("schedules");
        eprintln!(
            "{} schedules made in {:?}",
            wanted - present,
            began.elapsed()
        );
        // Each round's image differs from the last one's, so that the start has all to change.
        let newer = engine(&namespace, round + 1);
        let new_image = refresh(&newer, wanted).await;
        let start = refresh(&newer, wanted).await;
        let backups = time(CALLS, async |call| {
            newer
                .ensure(&schedule(&format!("measured-{round}-{call}"), 0))
                .await
        })
        .await;
        let updates = time(CALLS, async |call| {
            let name = format!("measured-{round}-{call}");
            newer
                .update(&namespace.name, &schedule(&name, call + 1))
                .await
        })
        .await;
        println!(
            "| {wanted} | {start:.1?} | {new_image:.1?} | {backups} | {updates} | {} MiB |",
            resident_kib() / 1024
        );
        present = wanted;
    }
}

fn engine(namespace: &Namespace, version: usize) -> Kubernetes {
    let settings = Settings::new(
        &namespace.name,
        format!("registry.local/backuper:{version}"),
        "registry.local/restorer:1",
    );
    Kubernetes::new(namespace.cluster.client(), settings)
}

fn schedule(name: &str, kept: usize) -> Schedule {
    let secret = SecretString::from("a-password-of-some-length");
    Schedule {
        name: name.to_owned(),
        // Once in a year: what is measured are calls and not runs.
        cron: "0 0 1 1 *".to_owned(),
        vars: vec![
            Var::plain("DB_HOST", "postgres.some-namespace.svc.cluster.local"),
            Var::plain("DB_PORT", "5432"),
            Var::plain("DB_USER", "backup"),
            Var::plain("DB_NAME", name),
            Var::plain("S3_ENDPOINT", "https://s3.example"),
            Var::plain("S3_BUCKET_NAME", "backups"),
            Var::plain("MAX_BACKUP_COUNT", kept.to_string()),
            Var::secret("DB_PASSWORD", &secret),
            Var::secret("S3_ACCESS_KEY", &secret),
            Var::secret("S3_SECRET_KEY", &secret),
        ],
    }
}

async fn fill(engine: &Kubernetes, numbers: std::ops::Range<usize>) -> Result<(), Error> {
    futures::stream::iter(numbers)
        .map(async |number| {
            engine
                .ensure(&schedule(&format!("present-{number}"), 7))
                .await
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

async fn refresh(engine: &Kubernetes, at_least: usize) -> Duration {
    let began = Instant::now();
    let refreshed = engine.refresh().await.expect("refreshed");
    assert!(
        refreshed.unchanged + refreshed.updated >= at_least,
        "{refreshed:?}"
    );
    began.elapsed()
}

async fn time(calls: usize, call: impl AsyncFn(usize) -> Result<(), Error>) -> String {
    let mut took = Vec::with_capacity(calls);
    for number in 0..calls {
        let began = Instant::now();
        call(number).await.expect("an answer");
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    format!("{:.1?} / {:.1?}", at(50), at(99))
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status
        .lines()
        .find(|it| it.starts_with("VmRSS:"))
        .expect("VmRSS");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}
