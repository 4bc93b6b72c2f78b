//! Which of several schedulers leads, and what it alone tells.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use scheduler::domain::run::State;
use scheduler::engine::Engine;
use scheduler::engine::conformance::told;
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::metrics::Metrics;
use scheduler::observer::Observer;
use scheduler::service::ledger::Ledger;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::runs::run_now;
use super::{limited_client, schedule, settings, user};
use crate::cluster::{Cluster, Namespace, eventually};

const LASTS: Duration = Duration::from_secs(3);

/// A scheduler's work beside calls, as its process does it.
struct Replica {
    metrics: Metrics,
    leads: watch::Receiver<bool>,
    stop: CancellationToken,
    working: Vec<JoinHandle<()>>,
}

impl Replica {
    fn of(engine: Kubernetes) -> Self {
        let (leading, leads) = watch::channel(false);
        let (metrics, stop) = (Metrics::new().expect("metrics"), CancellationToken::new());
        let observer = Observer {
            engine: Arc::new(engine.clone()),
            ledger: Ledger::default(),
            metrics: metrics.clone(),
            leads: leads.clone(),
        };
        let stopped = stop.clone();
        let work = tokio::spawn(async move { engine.work(stopped, leading).await });
        let watching = tokio::spawn(observer.run(stop.clone()));
        Self {
            metrics,
            leads,
            stop,
            working: vec![work, watching],
        }
    }

    async fn start(namespace: &Namespace) -> Self {
        let settings = Settings {
            lease: LASTS,
            ..settings(namespace)
        };
        Self::of(Kubernetes::new(limited_client(namespace).await, settings))
    }

    fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// How many failures it has counted.
    fn failures(&self) -> usize {
        let text = self.metrics.text(|| scheduler::metrics::Shown {
            schedules: Vec::new(),
            runs: Vec::new(),
            under_way: Vec::new(),
            objects: None,
            verifications: Vec::new(),
        });
        let text = text.expect("text");
        let lines = text.lines().filter(|it| {
            it.starts_with("postgres_adapter_runs_finished_total") && it.contains("failed")
        });
        let counts = lines.filter_map(|it| it.rsplit(' ').next()?.parse::<usize>().ok());
        counts.sum()
    }

    async fn stop(self) {
        self.stop.cancel();
        for it in self.working {
            it.await.expect("no panic");
        }
    }

    /// As a process that is killed: nothing is given back.
    fn kill(self) {
        for it in self.working {
            it.abort();
        }
    }
}

async fn one_of(replicas: &[&Replica]) -> usize {
    eventually("one leads", async || {
        let leading: Vec<usize> = (0..replicas.len())
            .filter(|it| replicas[*it].leads())
            .collect();
        assert!(leading.len() <= 1, "{leading:?}");
        leading.first().copied()
    })
    .await
}

#[test]
fn s24_one_of_two_schedulers_leads_and_the_other_when_it_is_gone() {
    Cluster::shared().within(async |namespace| {
        let first = Replica::start(&namespace).await;
        one_of(&[&first]).await;
        let second = Replica::start(&namespace).await;
        for _ in 0..20 {
            assert!(first.leads() && !second.leads());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let asked = std::time::Instant::now();
        first.stop().await;
        one_of(&[&second]).await;
        assert!(asked.elapsed() < LASTS, "it was given back");
        let third = Replica::start(&namespace).await;
        second.kill();
        tokio::time::sleep(LASTS / 3).await;
        assert!(!third.leads(), "nobody knows yet that it is dead");
        one_of(&[&third]).await;
        let lease: Lease = namespace
            .api()
            .get("postgres-adapter-leader")
            .await
            .expect("it");
        assert_eq!(lease.spec.and_then(|it| it.lease_transitions), Some(4));
        third.stop().await;
    });
}

#[test]
fn s24_each_end_is_told_once_whoever_leads_and_whoever_watched() {
    Cluster::shared().within(async |namespace| {
        let engine = super::engine(&namespace).await;
        let wanted = schedule("backup-0a1b2c3d-postgres", "it");
        engine
            .put(&wanted, scheduler::engine::Whose::Its)
            .await
            .expect("made");
        let fail = async |job: &str| {
            run_now(&namespace, job).await;
            let pod = namespace.pod_of(job).await.name_any();
            namespace.end_pod(&pod, 2, "no such bucket").await;
        };
        // While nobody watches.
        fail("early").await;
        let both = [
            Replica::start(&namespace).await,
            Replica::start(&namespace).await,
        ];
        let leader = one_of(&[&both[0], &both[1]]).await;
        eventually("it is told", async || {
            (both[leader].failures() == 1).then_some(())
        })
        .await;
        fail("late").await;
        eventually("it is told", async || {
            (both[leader].failures() == 2).then_some(())
        })
        .await;
        assert_eq!(both[1 - leader].failures(), 0);
        let events = namespace.api::<k8s_openapi::api::events::v1::Event>();
        eventually("the CronJob says so", async || {
            let events = events.list(&Default::default()).await.expect("events");
            events.items.into_iter().find(|it| {
                let about = it.regarding.as_ref().and_then(|it| it.kind.as_deref());
                about == Some("Job") && it.reason.as_deref() == Some("BackupFailed")
            })
        })
        .await;
        for it in both {
            it.stop().await;
        }
        let next = Replica::start(&namespace).await;
        one_of(&[&next]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(next.failures(), 0, "it was told");
        next.stop().await;
    });
}

/// A run waits until its pod runs; one that is removed under its worker leaves no other trace.
#[test]
fn a_run_that_is_removed_is_told_once_it_ran() {
    Cluster::shared().within(async |namespace| {
        let engine: Arc<dyn Engine> = Arc::new(super::engine(&namespace).await);
        let replica = Replica::start(&namespace).await;
        one_of(&[&replica]).await;
        let removed = async |runs: bool| {
            let started = engine.start(&super::restore("dddd4444", "0")).await;
            let name = started.expect("started").name;
            let pod = namespace.pod_of(&name).await.name_any();
            let waits = told(&engine, |it| it.name == name).await;
            assert_eq!((waits.state, waits.started), (State::Waiting, None));
            if runs {
                namespace.run_pod(&pod).await;
                told(&engine, |it| it.name == name && it.state == State::Running).await;
            }
            let now = DeleteParams::background();
            let jobs = namespace.api::<Job>();
            jobs.delete(&name, &now).await.expect("removed");
            let grace = DeleteParams::default().grace_period(0);
            drop(namespace.api::<Pod>().delete(&pod, &grace).await);
            eventually("it is gone", async || {
                (namespace.jobs().await.is_empty() && namespace.pods().await.is_empty())
                    .then_some(())
            })
            .await;
        };
        removed(false).await;
        removed(true).await;
        eventually("it is told", async || {
            (replica.failures() == 1).then_some(())
        })
        .await;
        replica.stop().await;
    });
}

#[test]
fn without_the_right_to_a_lease_a_scheduler_leads_as_it_did() {
    Cluster::shared().within(async |namespace| {
        let client = namespace.cluster.client_as(&user(&namespace));
        let replica = Replica::of(Kubernetes::new(client, settings(&namespace)));
        one_of(&[&replica]).await;
        replica.stop().await;
    });
}
