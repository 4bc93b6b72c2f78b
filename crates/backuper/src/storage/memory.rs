//! Objects in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    Access, Body, Error, Kind, Locked, Object, Ours, See, Storage, Stored, Survey, Upload,
};

type Objects = Arc<Mutex<BTreeMap<String, (Bytes, Timestamp)>>>;

/// A store that ends with the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    objects: Objects,
}

fn lock(objects: &Objects) -> MutexGuard<'_, BTreeMap<String, (Bytes, Timestamp)>> {
    // A test that panicked elsewhere has left whole objects: there is no half-done insert.
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stored(body: &[u8]) -> Stored {
    Stored {
        size: body.len() as u64,
        sha256: hex::encode(Sha256::digest(body)),
        etag: None,
    }
}

fn not_found(key: &str) -> Error {
    Error {
        kind: Kind::NotFound,
        action: "reading",
        location: key.to_owned(),
        reason: "there is no such object".to_owned(),
    }
}

impl MemoryStorage {
    fn find(&self, key: &str) -> Result<(Bytes, Timestamp), Error> {
        lock(&self.objects)
            .get(key)
            .cloned()
            .ok_or_else(|| not_found(key))
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    async fn probe(&self, _prefix: &str, _access: Access) -> Result<(), Error> {
        Ok(())
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        let stored = stored(&body);
        lock(&self.objects).insert(key.to_owned(), (body, Timestamp::now()));
        Ok(stored)
    }

    async fn upload(&self, key: &str, _expected: u64) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(Gathering {
            objects: Arc::clone(&self.objects),
            key: key.to_owned(),
            body: BytesMut::new(),
        }))
    }

    async fn stat(&self, key: &str) -> Result<Object, Error> {
        let (body, modified) = self.find(key)?;
        Ok(Object {
            key: key.to_owned(),
            size: body.len() as u64,
            modified,
            etag: None,
        })
    }

    async fn verify(&self, key: &str, expected: &Stored) -> Result<(), Error> {
        let (body, _) = self.find(key)?;
        let found = stored(&body);
        if (found.size, &found.sha256) == (expected.size, &expected.sha256) {
            Ok(())
        } else {
            Err(super::differs(key, expected, &found))
        }
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Bytes, Error> {
        let (body, _) = self.find(key)?;
        super::within(key, body.len() as u64, limit)?;
        Ok(body)
    }

    async fn open(&self, key: &str) -> Result<Body, Error> {
        let (body, _) = self.find(key)?;
        let chunks: Vec<_> = body.chunks(1 << 16).map(Bytes::copy_from_slice).collect();
        Ok(futures::stream::iter(chunks.into_iter().map(Ok)).boxed())
    }

    async fn visit(&self, prefix: &str, see: &mut See<'_>) -> Result<(), Error> {
        let objects = lock(&self.objects);
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        for (key, (body, modified)) in found {
            see(Object {
                key: key.clone(),
                size: body.len() as u64,
                modified: *modified,
                etag: None,
            });
        }
        Ok(())
    }

    async fn delete(&self, keys: &[String]) -> Vec<(String, Error)> {
        let mut objects = lock(&self.objects);
        for key in keys {
            objects.remove(key);
        }
        Vec::new()
    }

    fn locks(&self) -> bool {
        false
    }

    async fn lock(&self, _keys: &[String]) -> Result<(), Error> {
        Ok(())
    }

    async fn locked(&self, _key: &str) -> Result<Option<Locked>, Error> {
        Ok(None)
    }

    async fn rehearse(&self, _key: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn survey(&self, _prefix: &str) -> Survey {
        Survey::default()
    }

    async fn abort_uploads(
        &self,
        _prefix: &str,
        _before: Timestamp,
        _ours: &Ours<'_>,
    ) -> Result<usize, Error> {
        // An upload ends with the value that holds it.
        Ok(0)
    }
}

struct Gathering {
    objects: Objects,
    key: String,
    body: BytesMut,
}

#[async_trait]
impl Upload for Gathering {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.body.extend_from_slice(&chunk);
        Ok(())
    }

    async fn complete(&mut self) -> Result<Stored, Error> {
        let body = std::mem::take(&mut self.body).freeze();
        let stored = stored(&body);
        lock(&self.objects).insert(self.key.clone(), (body, Timestamp::now()));
        Ok(stored)
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
