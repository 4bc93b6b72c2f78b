//! Objects of a kind as they change.

use std::time::{Duration, Instant};

use backuper::text;
use futures::{Stream, TryStreamExt as _};
use kube::api::Api;
use kube::core::object::HasStatus;
use kube::runtime::reflector::{Store, store};
use kube::runtime::utils::Backoff;
use kube::runtime::{Predicate as _, WatchStreamExt as _, predicates, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

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
        let (all, known) = watch::channel(false);
        self.filled.set::<K>(known.clone());
        self.census.watch(&reader, known);
        let objects = watcher(
            Api::<Guarded<K>>::all(self.client.clone()),
            watcher::Config::default(),
        )
        .backoff(Patience::default())
        .inspect_err(|error| told::<K>(error))
        .modify(|it| it.managed_fields_mut().clear())
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                all.send_replace(true);
            }
            listener(event);
        })
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

/// Since when a watch has to go well before a failure is its first one again.
const WELL: Duration = Duration::from_secs(5);

/// Longer and longer, until it has gone well for a while. Whoever begins a watch anew has not succeeded by that, as
/// [`watcher::DefaultBackoff`] takes it to be: it would begin one each second for ever.
#[derive(Default)]
pub(super) struct Patience {
    backoff: watcher::DefaultBackoff,
    /// When it first went well after it had failed.
    well: Option<Instant>,
}

impl Patience {
    fn goes_well(&mut self, now: Instant) {
        let since = *self.well.get_or_insert(now);
        if now.duration_since(since) >= WELL {
            self.backoff.reset();
        }
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.well = None;
        self.backoff.next()
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.goes_well(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_cannot_be_begins_less_and_less_often() {
        let mut patience = Patience::default();
        let mut now = Instant::now();
        let waits: Vec<Duration> = (0..8)
            .map(|_| {
                patience.goes_well(now);
                patience.goes_well(now + Duration::from_secs(1));
                now += Duration::from_secs(40);
                patience.next().unwrap()
            })
            .collect();
        assert!(waits[7] >= Duration::from_secs(15), "{waits:?}");
        patience.goes_well(now);
        patience.goes_well(now + WELL);
        let wait = patience.next().unwrap();
        assert!(wait < Duration::from_secs(3), "{wait:?}");
    }
}
