//! What every engine promises, kept on Kubernetes.

use std::sync::Arc;

use scheduler::engine::conformance;

use super::{engine, nothing_runs_without_its_secret};
use crate::cluster::Cluster;

#[test]
fn the_kubernetes_engine_keeps_every_engines_promises() {
    Cluster::shared().within(async |namespace| {
        let engine = Arc::new(engine(&namespace).await);
        conformance::keeps_its_promises(engine).await;
        nothing_runs_without_its_secret(&namespace).await;
    });
}
