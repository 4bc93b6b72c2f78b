//! What objects on S3 are written with.

use std::num::NonZeroU32;
use std::str::FromStr;

use clap::Args;
use secrecy::SecretString;

use crate::job::parse::{Maybe, maybe, secret};
use crate::job::var::Var;
use crate::storage::Tags;
use crate::storage::s3::options::{Checksum, Encryption, LockMode, Options, StorageClass};

/// Class, encryption, lock, tags and checksum of the objects on S3.
#[derive(Clone, Debug, Default, Args)]
pub struct S3Settings {
    /// Storage class of the objects with data (STANDARD_IA, GLACIER_IR, …); empty: the bucket's own.
    #[arg(env = "S3_STORAGE_CLASS", default_value = "", value_parser = maybe::<StorageClass>)]
    pub storage_class: Maybe<StorageClass>,

    /// AES256 or aws:kms: the server encrypts each object; empty: as the bucket does.
    #[arg(env = "S3_SSE", default_value = "", value_parser = maybe::<Encryption>)]
    pub sse: Maybe<Encryption>,

    /// Id or ARN of the key for S3_SSE=aws:kms; empty: the account's own.
    #[arg(env = "S3_SSE_KMS_KEY_ID", default_value = "", value_parser = maybe::<String>)]
    pub sse_kms_key_id: Maybe<String>,

    /// SSE-C: the key, 32 bytes in base64, that every reader needs too.
    #[arg(env = "S3_SSE_CUSTOMER_KEY", default_value = "", value_parser = secret)]
    pub sse_customer_key: Maybe<SecretString>,

    /// GOVERNANCE or COMPLIANCE: the objects of a complete backup are locked; empty: as the bucket does.
    #[arg(env = "S3_OBJECT_LOCK_MODE", default_value = "", value_parser = maybe::<LockMode>)]
    pub object_lock_mode: Maybe<LockMode>,

    /// For how many days S3_OBJECT_LOCK_MODE locks.
    #[arg(env = "S3_OBJECT_LOCK_DAYS", default_value = "", value_parser = days)]
    pub object_lock_days: Maybe<NonZeroU32>,

    /// Tags of every object: key=value, separated by commas, 10 at most.
    #[arg(env = "S3_TAGS", default_value = "", value_parser = Tags::from_str)]
    pub tags: Tags,

    /// auto, crc32c or md5: by what the server proves what has arrived; auto: CRC32C where it has that.
    #[arg(env = "S3_CHECKSUM", default_value = "auto", value_parser = Checksum::from_str)]
    pub checksum: Checksum,
}

/// As long as AWS takes.
fn days(text: &str) -> Result<Maybe<NonZeroU32>, String> {
    const MOST: u32 = 36_500;
    match maybe::<NonZeroU32>(text) {
        Ok(days) if days.is_none_or(|it| it.get() <= MOST) => Ok(days),
        _ => Err(format!("a number of days from 1 to {MOST} is needed")),
    }
}

impl S3Settings {
    /// The same as plain [`Options`].
    #[must_use]
    pub fn options(&self) -> Options {
        let Self {
            storage_class,
            sse,
            sse_kms_key_id,
            sse_customer_key,
            object_lock_mode,
            object_lock_days,
            tags,
            checksum,
        } = self.clone();
        Options {
            storage_class,
            encryption: sse,
            kms_key: sse_kms_key_id,
            customer_key: sse_customer_key,
            lock_mode: object_lock_mode,
            lock_days: object_lock_days,
            tags,
            checksum,
        }
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            storage_class,
            sse,
            sse_kms_key_id,
            sse_customer_key,
            object_lock_mode,
            object_lock_days,
            tags,
            checksum,
        } = self;
        let shown = [
            (
                "S3_STORAGE_CLASS",
                storage_class.as_ref().map(ToString::to_string),
            ),
            ("S3_SSE", sse.as_ref().map(ToString::to_string)),
            ("S3_SSE_KMS_KEY_ID", sse_kms_key_id.clone()),
            (
                "S3_OBJECT_LOCK_MODE",
                object_lock_mode.as_ref().map(ToString::to_string),
            ),
            (
                "S3_OBJECT_LOCK_DAYS",
                object_lock_days.as_ref().map(ToString::to_string),
            ),
            ("S3_TAGS", (!tags.is_empty()).then(|| tags.to_string())),
            // Said only where it is not the default.
            (
                "S3_CHECKSUM",
                (*checksum != Checksum::Auto).then(|| checksum.as_str().to_owned()),
            ),
        ];
        let mut vars: Vec<Var> = shown
            .into_iter()
            .filter_map(|(name, value)| Some(Var::plain(name, value?)))
            .collect();
        let key = sse_customer_key.as_ref();
        vars.extend(key.map(|it| Var::secret("S3_SSE_CUSTOMER_KEY", it)));
        vars
    }
}
