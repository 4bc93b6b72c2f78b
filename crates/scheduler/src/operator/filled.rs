//! Which kinds are known: all of their objects have been listed once. The stores of kube say so too, but of those who
//! wait for one only the last is woken, its own controller or a reconciliation, and the others wait for ever.
//! So nobody but a store's controller asks it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::Resource;
use tokio::sync::watch;

/// By kind, whether it is known.
#[derive(Default)]
pub(super) struct Filled(Mutex<HashMap<String, watch::Receiver<bool>>>);

impl Filled {
    /// A kind is watched anew.
    pub(super) fn set<K: Resource<DynamicType = ()>>(&self, known: watch::Receiver<bool>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(K::kind(&()).into_owned(), known);
    }

    /// Whether a kind is known.
    pub(super) fn is<K: Resource<DynamicType = ()>>(&self) -> bool {
        self.get::<K>().is_some_and(|it| *it.borrow())
    }

    /// Waits until a kind is known; whether it is. It never will be where nobody watches it.
    pub(super) async fn wait<K: Resource<DynamicType = ()>>(&self) -> bool {
        match self.get::<K>() {
            Some(mut known) => known.wait_for(|it| *it).await.is_ok(),
            None => false,
        }
    }

    fn get<K: Resource<DynamicType = ()>>(&self) -> Option<watch::Receiver<bool>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(K::kind(&()).as_ref()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;
    use crate::operator::crd::{Backup, Database};

    /// As the reconciliations of many objects wait, and a scrape asks in between.
    #[tokio::test]
    async fn all_who_wait_for_a_kind_are_woken() {
        let filled = Filled::default();
        let (all, known) = watch::channel(false);
        filled.set::<Database>(known);
        let mut waiting = Box::pin(join_all((0..3).map(|_| filled.wait::<Database>())));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(!filled.is::<Database>());
        all.send_replace(true);
        assert_eq!(waiting.await, [true; 3]);
        assert!(filled.is::<Database>());
        // What was known stays so, and what nobody watches never is.
        drop(all);
        assert!(filled.wait::<Database>().await);
        assert!(!filled.wait::<Backup>().await && !filled.is::<Backup>());
        let (gone, known) = watch::channel(false);
        filled.set::<Backup>(known);
        drop(gone);
        assert!(!filled.wait::<Backup>().await);
    }
}
