//! The scheduler as its users run it: a process, and calls by gRPC.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::testbed::programs::{Running, scheduler};
use super::testbed::{Env, env};

/// How long a start may take: with a new image every CronJob is written.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Process {
    running: Running,
    port: u16,
    admin_port: u16,
    begun: Instant,
    /// From the start until it serves.
    pub(crate) serving: Duration,
}

impl Process {
    pub(crate) fn start(more: Env) -> Self {
        let (port, admin_port) = (free_port(), free_port());
        let mut all = env([
            ("LISTEN_ADDRESS", "127.0.0.1"),
            ("PORT", &port.to_string()),
            ("ADMIN_PORT", &admin_port.to_string()),
            // What is measured is the scheduler, and not how soon a name is not found.
            ("CHECK_REQUESTS", "false"),
        ]);
        all.extend(more);
        let prepared = scheduler(&all);
        let begun = Instant::now();
        let running = prepared.start();
        while !running.printed().contains("serving") {
            assert!(begun.elapsed() < PATIENCE, "{}", running.printed());
            std::thread::sleep(Duration::from_millis(1));
        }
        Self {
            serving: begun.elapsed(),
            running,
            port,
            admin_port,
            begun,
        }
    }

    /// From the start until all schedules are as this version wants them.
    pub(crate) fn tidied(&self) -> Duration {
        while !self.running.printed().contains("up to date") {
            let took = self.begun.elapsed();
            assert!(took < PATIENCE, "{}", self.running.printed());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.begun.elapsed()
    }

    /// How long a scrape of the metrics takes, and how many lines it has.
    pub(crate) async fn scrape(&self) -> (Duration, usize) {
        let begun = Instant::now();
        let url = format!("http://127.0.0.1:{}/metrics", self.admin_port);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        (begun.elapsed(), text.lines().count())
    }

    pub(crate) async fn client(&self) -> BackupServiceClient<Channel> {
        let address = format!("http://127.0.0.1:{}", self.port);
        let channel = Endpoint::from_shared(address).unwrap().connect().await;
        BackupServiceClient::new(channel.unwrap())
    }

    /// MiB of its resident set now, and at most since it began.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.running.id());
        let status = std::fs::read_to_string(path).unwrap();
        let mebibytes = |name: &str| {
            let line = status.lines().find(|it| it.starts_with(name)).unwrap();
            let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kibibytes / 1024
        };
        (mebibytes("VmRSS:"), mebibytes("VmHWM:"))
    }

    /// Seconds of CPU that it has had, without its children.
    pub(crate) fn cpu(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.running.id());
        let stat = std::fs::read_to_string(path).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        // utime and stime, in hundredths of a second (proc(5)).
        let ticks = |at: usize| -> f64 { fields[at].parse().unwrap() };
        (ticks(11) + ticks(12)) / 100.0
    }

    pub(crate) fn stop(self) {
        self.running.signal(Signal::SIGTERM);
        self.running
            .wait_within(Duration::from_secs(30))
            .expect_code(0);
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
