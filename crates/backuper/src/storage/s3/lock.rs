//! S3 Object Lock: locks on the objects of complete backups, and those that are found.
//!
//! The server only keeps what is locked if its bucket was made for it, and a deletion without a version
//! hides what is locked behind a marker instead of refusing: so both are asked for.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::{Timestamp, ToSpan as _};

use super::bucket::{Bucket, time};
use super::error::meaning;
use super::options::LockMode;
use crate::storage::{Error, Kind, Locked};

/// Objects that are locked at once.
const LOCKED_AT_ONCE: usize = 8;

impl Bucket {
    /// Whether objects of this bucket can be locked by us: asked with a key that no object has, so that
    /// nothing is.
    pub(super) async fn can_lock(&self, prefix: &str) -> Result<(), Error> {
        let Some((mode, _)) = self.lock else {
            return Ok(());
        };
        let action = "asking for the Object Lock of";
        let request = self.client.get_object_lock_configuration();
        if let Err(error) = request.bucket(&self.name).send().await {
            match meaning(action, &self.at(prefix), &error) {
                // The keys may lock objects without this right.
                denied if denied.kind == Kind::Denied => {}
                error if error.kind == Kind::Unavailable => return Err(error),
                error => return Err(unlockable(error)),
            }
        }
        let key = format!("{prefix}oiler-probe-{}", uuid::Uuid::new_v4());
        let until = Timestamp::now() + 1.hour();
        match self.retain(&key, mode, until).await {
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(not_locked(error)),
            Ok(()) => return Err(self.unheld(&key)),
        }
        let request = self.client.get_object_retention().bucket(&self.name);
        match request.key(&key).send().await {
            Err(error) => match meaning("reading the lock of", &self.at(&key), &error) {
                denied if denied.kind == Kind::Denied => Err(not_locked(denied)),
                // There is no such object, in whatever words.
                _ => Ok(()),
            },
            Ok(_) => Ok(()),
        }
    }

    /// Locks objects, and proves of each that it is.
    pub(super) async fn lock(&self, keys: &[String]) -> Result<(), Error> {
        let Some((mode, days)) = self.lock else {
            return Ok(());
        };
        let until = Timestamp::now() + (i64::from(days.get()) * 24).hours();
        futures::stream::iter(keys.to_vec())
            .map(|key| self.lock_one(key, mode, until))
            .buffer_unordered(LOCKED_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    async fn lock_one(&self, key: String, mode: LockMode, until: Timestamp) -> Result<(), Error> {
        self.retain(&key, mode, until).await.map_err(not_locked)?;
        // By the second, as some servers keep it.
        match self.locked(&key).await? {
            Some(it)
                if it
                    .until
                    .is_none_or(|it| it.as_second() >= until.as_second()) =>
            {
                Ok(())
            }
            _ => Err(self.unheld(&key)),
        }
    }

    /// What keeps an object from being deleted.
    pub(super) async fn locked(&self, key: &str) -> Result<Option<Locked>, Error> {
        let request = self.headers.head(self.client.head_object());
        let found = request
            .bucket(&self.name)
            .key(key)
            .send()
            .await
            .map_err(|error| meaning("reading", &self.at(key), &error))?;
        let hold = found.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On);
        let until = found.object_lock_retain_until_date();
        let until = until.map(|it| time(Some(it)));
        Ok(match (hold, until) {
            (true, _) => Some(Locked { until: None }),
            (false, Some(until)) => Some(Locked { until: Some(until) }),
            (false, None) => None,
        })
    }

    async fn retain(&self, key: &str, mode: LockMode, until: Timestamp) -> Result<(), Error> {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::from(mode.as_str()))
            .retain_until_date(DateTime::from_secs(until.as_second()))
            .build();
        let request = self.client.put_object_retention().bucket(&self.name);
        let answer = request.key(key).retention(retention).send().await;
        answer
            .map(drop)
            .map_err(|error| meaning("locking", &self.at(key), &error))
    }

    fn unheld(&self, key: &str) -> Error {
        Error {
            kind: Kind::Unsupported,
            action: "locking",
            location: self.at(key),
            reason: "the server took the lock and does not show it; use a store that has Object Lock, or allow s3:GetObjectRetention to the owner of S3_ACCESS_KEY".to_owned(),
        }
    }
}

fn unlockable(error: Error) -> Error {
    Error {
        kind: Kind::Unsupported,
        reason: format!(
            "S3_OBJECT_LOCK_MODE is set, and the bucket has no Object Lock ({}); switch it on there, or leave S3_OBJECT_LOCK_MODE out",
            error.reason
        ),
        ..error
    }
}

/// A denial of its own, since the keys may do everything else.
fn not_locked(error: Error) -> Error {
    let reason = match error.kind {
        Kind::Denied => format!(
            "{}; S3_OBJECT_LOCK_MODE needs s3:PutObjectRetention and s3:GetObjectRetention",
            error.reason
        ),
        _ => error.reason,
    };
    Error { reason, ..error }
}
