//! An API server that refuses any one call, or does not answer it: what is asked for is done all the
//! same, or the error says that asking again may help; and nothing half made is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Engine as _, Error, Kind, Whose};

use super::between::{Between, Fate};
use super::{
    is_suspended, limited_client, nothing_runs_without_its_secret, restore, schedule, settings,
};
use crate::cluster::{Cluster, Namespace};

const REFUSALS: [Fate; 5] = [
    Fate::Refused(410),
    Fate::Refused(429),
    Fate::Refused(500),
    Fate::Refused(503),
    Fate::Silent,
];

/// An engine whose call of this number is refused, and no other; how many it has made.
async fn refused(
    namespace: &Namespace,
    which: usize,
    refusal: &Fate,
) -> (Kubernetes, Arc<AtomicUsize>) {
    let (calls, refusal) = (Arc::new(AtomicUsize::new(0)), refusal.clone());
    let counted = calls.clone();
    let between = Between::new(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        call if call == which => refusal.clone(),
        _ => Fate::Sent,
    });
    let settings = Settings {
        call_timeout: Duration::from_secs(1),
        ..settings(namespace)
    };
    (between.engine(namespace, settings).await, calls)
}

/// Does something with any one of its calls refused, and then without.
fn at_each_call(
    attempt: &impl AsyncFn(&Kubernetes) -> Result<(), Error>,
    then: &impl AsyncFn(&Namespace),
) {
    Cluster::shared().within(async |outer| {
        for refusal in &REFUSALS {
            for which in 0.. {
                let namespace = Namespace::create(outer.cluster).await;
                let (engine, calls) = refused(&namespace, which, refusal).await;
                if let Err(error) = attempt(&engine).await {
                    assert_eq!(
                        error.kind(),
                        Kind::Unavailable,
                        "{which} {refusal:?}: {error:?}"
                    );
                }
                nothing_runs_without_its_secret(&namespace).await;
                let calls = calls.load(Ordering::SeqCst);
                let settings = Settings {
                    abandoned_after: Duration::ZERO,
                    ..settings(&namespace)
                };
                let whole = Kubernetes::new(limited_client(&namespace).await, settings);
                attempt(&whole).await.expect("nothing is in its way");
                nothing_runs_without_its_secret(&namespace).await;
                then(&namespace).await;
                namespace.remove().await;
                if calls <= which {
                    assert!(which >= 3, "it takes more calls than {which}");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_schedule_is_made_or_can_be_asked_for_again_whichever_call_is_refused() {
    at_each_call(
        &async |engine: &Kubernetes| {
            let wanted = schedule("backup-0a1b2c3d-postgres", "it");
            engine.put(&wanted, Whose::Its).await.map(drop)
        },
        &async |namespace: &Namespace| {
            let all = namespace.cron_jobs().await;
            assert!(all.len() == 1 && !is_suspended(&all[0]), "{all:?}");
        },
    );
}

#[test]
fn a_restore_is_begun_once_or_can_be_asked_for_again_whichever_call_is_refused() {
    at_each_call(
        &async |engine: &Kubernetes| engine.start(&restore("shop", "0")).await.map(drop),
        &async |namespace: &Namespace| assert_eq!(namespace.started_jobs().await.len(), 1),
    );
}
