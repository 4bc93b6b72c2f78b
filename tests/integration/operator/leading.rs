//! The Lease `dbtether.io`: of all operators in a namespace, ours and dbtether's, one works.

use std::sync::Arc;
use std::time::Duration;

use backuper::postgres::SslMode;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use scheduler::engine::kubernetes::lease::Election;
use scheduler::operator::{LEASE, Operator, Settings};
use scheduler::run::operating::Operating;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::served;
use crate::cluster::{Namespace, eventually};

const LASTS: Duration = Duration::from_secs(2);

/// dbtether's own, as client-go writes it.
async fn renew(leases: &Api<Lease>, holder: &str) {
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(LEASE.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(2),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    };
    let params = PatchParams::apply("dbtether").force();
    leases
        .patch(LEASE, &params, &Patch::Apply(&lease))
        .await
        .unwrap();
}

async fn holder(leases: &Api<Lease>) -> String {
    let found = leases.get(LEASE).await.unwrap().spec.unwrap();
    found.holder_identity.unwrap_or_default()
}

/// An operator of a scheduler that leads, whose Lease lasts shorter.
fn start(
    namespace: &Namespace,
    leads: watch::Receiver<bool>,
) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let settings = Settings {
        sslmode: SslMode::Prefer,
        all_namespaces: true,
        all_databases: true,
    };
    // It can do nothing: what the others here make is the one's that all tests have.
    let nobody = namespace.cluster.client_as("nobody");
    let operator = Arc::new(Operator::new(nobody, settings));
    let election = Election::new(namespace.cluster.client(), LEASE, &namespace.name);
    let operating = Operating::new(operator, election.lasting(LASTS));
    let stop = CancellationToken::new();
    let working = tokio::spawn(operating.work(leads, stop.clone()));
    (stop, working)
}

/// operator.md, 1.2: a cluster is taken over without two masters.
#[test]
fn while_dbtether_renews_its_lease_our_operator_waits_and_then_holds_it() {
    served().within(async |namespace| {
        let leases: Api<Lease> = namespace.api();
        renew(&leases, "dbtether-7d9f_a").await;
        let (leading, leads) = watch::channel(true);
        let (stop, working) = start(&namespace, leads.clone());
        let began = std::time::Instant::now();
        while began.elapsed() < 2 * LASTS {
            renew(&leases, "dbtether-7d9f_a").await;
            assert_eq!(holder(&leases).await, "dbtether-7d9f_a");
            tokio::time::sleep(LASTS / 8).await;
        }
        // It is gone, and gives nothing back.
        eventually("it is ours", async || {
            let holder = holder(&leases).await;
            holder.starts_with("postgres-adapter-").then_some(())
        })
        .await;
        // Who does not lead any more gives it back, and who leads again takes it.
        leading.send_replace(false);
        eventually("it is given back", async || {
            holder(&leases).await.is_empty().then_some(())
        })
        .await;
        leading.send_replace(true);
        eventually("it is ours again", async || {
            (!holder(&leases).await.is_empty()).then_some(())
        })
        .await;
        // Another one that takes it, by force, is let.
        renew(&leases, "by-force").await;
        tokio::time::sleep(LASTS / 2).await;
        assert_eq!(holder(&leases).await, "by-force");
        stop.cancel();
        working.await.unwrap();
    });
}
