//! A scheduler that dies between any two of its calls.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::{Engine as _, Whose};

use super::between::{Between, Fate};
use super::{
    is_suspended, limited_client, nothing_runs_without_its_secret, restore, schedule, settings,
};
use crate::cluster::{Cluster, Namespace};

const NAME: &str = "backup-0a1b2c3d-postgres";

/// When the process dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// The call is not sent.
    Before,
    /// The call is done and its answer is not heard.
    After,
}

/// An engine that dies at its call number `calls` (counted from 0).
async fn mortal(namespace: &Namespace, calls: usize, death: Death) -> Kubernetes {
    let so_far = AtomicUsize::new(0);
    let between = Between::new(move |_| {
        let call = so_far.fetch_add(1, Ordering::SeqCst);
        match (call.cmp(&calls), death) {
            (Less, _) => Fate::Sent,
            (Equal, Death::After) => Fate::Unheard,
            (Equal, Death::Before) | (Greater, _) => Fate::Lost,
        }
    });
    between.engine(namespace, settings(namespace)).await
}

async fn immortal(namespace: &Namespace) -> Kubernetes {
    let mut settings = settings(namespace);
    settings.abandoned_after = Duration::ZERO;
    Kubernetes::new(limited_client(namespace).await, settings)
}

/// Every call of the way, sent or not; `true` from the attempt ends it: it lived through.
async fn at_each_call(attempt: impl AsyncFn(usize, Death) -> bool) {
    for death in [Death::Before, Death::After] {
        let mut calls = 0;
        while !attempt(calls, death).await {
            calls += 1;
            assert!(calls < 20, "it never lived through");
        }
        assert!(calls >= 3, "it takes more calls than {calls}");
    }
}

#[test]
fn a_crash_while_a_schedule_is_made_is_mended_by_the_next_call() {
    at_each_call_of_a_schedule(&async |namespace: &Namespace| {
        let engine = immortal(namespace).await;
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("made");
        let all = namespace.cron_jobs().await;
        assert!(all.len() == 1 && !is_suspended(&all[0]), "{all:?}");
        assert_eq!(namespace.secrets().await.len(), 1);
    });
}

#[test]
fn a_crash_while_a_schedule_is_made_leaves_nothing_after_the_next_start() {
    at_each_call_of_a_schedule(&async |namespace: &Namespace| {
        let engine = immortal(namespace).await;
        engine.tidy().await.expect("tidied");
        let all = namespace.cron_jobs().await;
        assert!(all.iter().all(|it| !is_suspended(it)), "{all:?}");
        crate::cluster::eventually("the Secret follows", async || {
            (namespace.secrets().await.len() == all.len()).then_some(())
        })
        .await;
    });
}

fn at_each_call_of_a_schedule(then: &impl AsyncFn(&Namespace)) {
    Cluster::shared().within(async |outer| {
        at_each_call(async |calls, death| {
            let namespace = Namespace::create(outer.cluster).await;
            let dying = mortal(&namespace, calls, death).await;
            let lived = dying.put(&schedule(NAME, "it"), Whose::Its).await.is_ok();
            nothing_runs_without_its_secret(&namespace).await;
            then(&namespace).await;
            nothing_runs_without_its_secret(&namespace).await;
            namespace.remove().await;
            lived
        })
        .await;
    });
}

#[test]
fn a_crash_while_a_restore_is_started_is_mended_by_the_next_call() {
    at_each_call_of_a_restore(&async |namespace: &Namespace| {
        let engine = immortal(namespace).await;
        let running = engine
            .start(&restore("aaaa1111", "0"))
            .await
            .expect("started");
        assert_eq!(namespace.jobs().await.len(), 1);
        namespace.pod_of(&running.name).await;
    });
}

#[test]
fn a_restore_that_a_crash_kept_from_starting_does_not_stand_in_anothers_way() {
    at_each_call_of_a_restore(&async |namespace: &Namespace| {
        let engine = immortal(namespace).await;
        let has_started = !namespace.started_jobs().await.is_empty();
        let other = engine.start(&restore("aaaa1111", "1")).await;
        assert_eq!(other.is_err(), has_started, "{other:?}");
        assert_eq!(namespace.jobs().await.len(), 1);
    });
}

#[test]
fn a_crash_while_a_restore_is_started_leaves_nothing_after_the_next_start() {
    at_each_call_of_a_restore(&async |namespace: &Namespace| {
        let has_started = namespace.started_jobs().await.len();
        immortal(namespace).await.tidy().await.expect("tidied");
        assert_eq!(namespace.jobs().await.len(), has_started);
        crate::cluster::eventually("the Secret follows", async || {
            (namespace.secrets().await.len() == has_started).then_some(())
        })
        .await;
    });
}

fn at_each_call_of_a_restore(then: &impl AsyncFn(&Namespace)) {
    Cluster::shared().within(async |outer| {
        at_each_call(async |calls, death| {
            let namespace = Namespace::create(outer.cluster).await;
            let dying = mortal(&namespace, calls, death).await;
            let lived = dying.start(&restore("aaaa1111", "0")).await.is_ok();
            nothing_runs_without_its_secret(&namespace).await;
            then(&namespace).await;
            namespace.remove().await;
            lived
        })
        .await;
    });
}
