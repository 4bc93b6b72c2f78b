//! One folder of a store as a store of its own.
//!
//! What is above it does not know the prefix: manifests and catalogues have keys without it, so that
//! the folder can be copied elsewhere and restored from there.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Access, Body, Error, Locked, Object, Ours, Prefix, See, Storage, Stored, Survey, Upload,
};

/// A store of which only what is below a prefix is seen.
#[derive(Clone, Debug)]
pub(super) struct Prefixed {
    inner: Arc<dyn Storage>,
    prefix: Prefix,
}

impl Prefixed {
    pub(super) fn new(inner: Arc<dyn Storage>, prefix: &Prefix) -> Self {
        Self {
            inner,
            prefix: prefix.clone(),
        }
    }

    fn whole(&self, key: &str) -> String {
        format!("{}{key}", self.prefix.as_str())
    }

    /// A key as it is known above; none where it is not below the prefix.
    fn own<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.prefix.as_str())
    }
}

#[async_trait]
impl Storage for Prefixed {
    fn location(&self) -> String {
        format!("{} below {}/", self.inner.location(), self.prefix)
    }

    async fn probe(&self, prefix: &str, access: Access) -> Result<(), Error> {
        self.inner.probe(&self.whole(prefix), access).await
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        self.inner.put(&self.whole(key), body).await
    }

    async fn upload(&self, key: &str, expected: u64) -> Result<Box<dyn Upload>, Error> {
        self.inner.upload(&self.whole(key), expected).await
    }

    async fn stat(&self, key: &str) -> Result<Object, Error> {
        let found = self.inner.stat(&self.whole(key)).await?;
        Ok(Object {
            key: key.to_owned(),
            ..found
        })
    }

    async fn verify(&self, key: &str, stored: &Stored) -> Result<(), Error> {
        self.inner.verify(&self.whole(key), stored).await
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Bytes, Error> {
        self.inner.get(&self.whole(key), limit).await
    }

    async fn open(&self, key: &str) -> Result<Body, Error> {
        self.inner.open(&self.whole(key)).await
    }

    async fn visit(&self, prefix: &str, see: &mut See<'_>) -> Result<(), Error> {
        let mut own = |object: Object| {
            if let Some(key) = self.own(&object.key) {
                let key = key.to_owned();
                see(Object { key, ..object });
            }
        };
        self.inner.visit(&self.whole(prefix), &mut own).await
    }

    async fn delete(&self, keys: &[String]) -> Vec<(String, Error)> {
        let whole: Vec<String> = keys.iter().map(|it| self.whole(it)).collect();
        let left = self.inner.delete(&whole).await;
        let own = |(key, error): (String, Error)| match self.own(&key) {
            Some(own) => (own.to_owned(), error),
            None => (key, error),
        };
        left.into_iter().map(own).collect()
    }

    fn locks(&self) -> bool {
        self.inner.locks()
    }

    async fn lock(&self, keys: &[String]) -> Result<(), Error> {
        let whole: Vec<String> = keys.iter().map(|it| self.whole(it)).collect();
        self.inner.lock(&whole).await
    }

    async fn locked(&self, key: &str) -> Result<Option<Locked>, Error> {
        self.inner.locked(&self.whole(key)).await
    }

    async fn rehearse(&self, key: &str) -> Result<(), Error> {
        self.inner.rehearse(&self.whole(key)).await
    }

    async fn survey(&self, prefix: &str) -> Survey {
        self.inner.survey(&self.whole(prefix)).await
    }

    async fn abort_uploads(
        &self,
        prefix: &str,
        before: Timestamp,
        ours: &Ours<'_>,
    ) -> Result<usize, Error> {
        let own = |key: &str| self.own(key).is_some_and(ours);
        self.inner
            .abort_uploads(&self.whole(prefix), before, &own)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStorage;

    async fn keys(store: &dyn Storage, prefix: &str) -> Vec<String> {
        let listed = store.list(prefix).await.unwrap();
        listed.into_iter().map(|it| it.key).collect()
    }

    #[tokio::test]
    async fn a_folder_sees_and_deletes_nothing_beside_it() {
        let whole = MemoryStorage::default();
        let others = ["b/x", "ab/b/x", "a", "a-/b/x", "b/a/x", "x/a/b/x"];
        for key in others {
            whole.put(key, Bytes::from_static(b"theirs")).await.unwrap();
        }
        let folder = Prefixed::new(Arc::new(whole.clone()), &"a".parse().unwrap());
        assert!(keys(&folder, "").await.is_empty());
        assert!(folder.stat("b/x").await.is_err());

        folder.put("b/x", Bytes::from_static(b"own")).await.unwrap();
        assert_eq!(keys(&folder, "").await, ["b/x"]);
        assert_eq!(folder.get("b/x", 9).await.unwrap(), "own");
        assert_eq!(whole.get("b/x", 9).await.unwrap(), "theirs");
        assert_eq!(whole.get("a/b/x", 9).await.unwrap(), "own");

        let all = keys(&whole, "").await;
        assert!(folder.delete(&all).await.is_empty());
        let mut left = others.map(str::to_owned);
        left.sort();
        assert_eq!(keys(&whole, "").await, left);
    }

    /// Whoever has the whole key, as from a permission or the web page of a cloud, finds nothing by it.
    #[tokio::test]
    async fn keys_are_known_without_the_prefix_alone() {
        let whole = Arc::new(MemoryStorage::default());
        let folder = Prefixed::new(whole, &"team-a/prod".parse().unwrap());
        folder.put("b/x", Bytes::from_static(b"own")).await.unwrap();
        let missing = folder.stat("team-a/prod/b/x").await.unwrap_err();
        assert_eq!(missing.kind, crate::storage::Kind::NotFound);
        assert_eq!(folder.stat("b/x").await.unwrap().key, "b/x");
        assert_eq!(folder.location(), "memory below team-a/prod/");
    }
}
