//! Objects of a kind as they change.

use std::time::Duration;

use backuper::text;
use futures::{Stream, TryStreamExt as _};
use kube::api::Api;
use kube::core::object::HasStatus;
use kube::runtime::reflector::{Store, store};
use kube::runtime::utils::Backoff;
use kube::runtime::{Predicate as _, WatchStreamExt as _, predicates, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::object::Phased;
use super::{Guarded, Operator};

impl Operator {
    /// Objects of a kind: all of them, and those that have changed otherwise than by our own status. Who listens
    /// hears of each change, that of a status too, as soon as the store has it.
    pub(super) fn watch<K, L>(
        &self,
        listener: L,
    ) -> (
        Store<Guarded<K>>,
        impl Stream<Item = Result<Guarded<K>, watcher::Error>> + Send + use<K, L>,
    )
    where
        L: Fn(&watcher::Event<Guarded<K>>) + Send + 'static,
        K: Resource<DynamicType = ()>
            + HasStatus<Status: Phased>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        let (reader, writer) = store();
        self.census.watch(&reader);
        let objects = watcher(
            Api::<Guarded<K>>::all(self.client.clone()),
            watcher::Config::default(),
        )
        .backoff(Patience::default())
        .inspect_err(|error| told::<K>(error))
        .modify(|it| it.managed_fields_mut().clear())
        .reflect(writer)
        .inspect_ok(listener)
        .applied_objects()
        .predicate_filter(
            predicates::generation.combine(predicates::annotations),
            kube::runtime::PredicateConfig::default(),
        );
        (reader, objects)
    }
}

/// Says why a kind cannot be watched.
fn told<K: Resource<DynamicType = ()>>(error: &watcher::Error) {
    let kind = K::kind(&());
    tracing::warn!(%kind, error = text::chain(error), "objects cannot be watched: what changes of them is seen later");
}

/// Longer and longer, until it has gone well for a while. Whoever begins a watch anew has not succeeded by that, as
/// [`watcher::DefaultBackoff`] takes it to be: it would begin one each second for ever.
#[derive(Default)]
pub(super) struct Patience(watcher::DefaultBackoff);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_cannot_be_begins_less_and_less_often() {
        let mut patience = Patience::default();
        let waits: Vec<Duration> = (0..8)
            .map(|_| {
                patience.reset();
                patience.next().unwrap()
            })
            .collect();
        assert!(waits[7] >= Duration::from_secs(15), "{waits:?}");
    }
}
