//! What objects are written with: storage class, encryption, tags, Object Lock and checksum, as the
//! settings say it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use crate::storage::Tags;

/// All of it. The default is a plain object.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Of the objects that hold data; what is read by every listing keeps the bucket's own.
    pub storage_class: Option<StorageClass>,
    /// With a key that the server has.
    pub encryption: Option<Encryption>,
    /// With `aws:kms`: the key's id or ARN; none is the account's own.
    pub kms_key: Option<String>,
    /// SSE-C: 32 bytes in base64 that every request for an object has to show.
    pub customer_key: Option<SecretString>,
    /// How the objects of a complete backup are locked.
    pub lock_mode: Option<LockMode>,
    /// For how many days.
    pub lock_days: Option<NonZeroU32>,
    /// On every object.
    pub tags: Tags,
    /// By what the server proves what has arrived.
    pub checksum: Checksum,
}

impl Options {
    /// Whether the parts fit together, and the server's address.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn check(&self, endpoint: Option<&str>) -> Result<(), String> {
        if self.kms_key.is_some() && self.encryption != Some(Encryption::Kms) {
            return Err("S3_SSE_KMS_KEY_ID needs S3_SSE=aws:kms".to_owned());
        }
        if let Some(key) = &self.customer_key {
            if self.encryption.is_some() {
                return Err(
                    "S3_SSE and S3_SSE_CUSTOMER_KEY exclude each other; set one of them".to_owned(),
                );
            }
            if endpoint.is_some_and(|it| it.starts_with("http://")) {
                return Err(
                    "S3_SSE_CUSTOMER_KEY would be sent in the clear; write https:// in S3_ENDPOINT"
                        .to_owned(),
                );
            }
            CustomerKey::parse(key)?;
        }
        if self.lock_mode.is_some() != self.lock_days.is_some() {
            return Err(
                "S3_OBJECT_LOCK_MODE and S3_OBJECT_LOCK_DAYS go together; set both or neither"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Whether nothing is asked for that only S3 can give, and that somebody would rely on.
    ///
    /// # Errors
    /// A sentence that names the variables.
    pub fn fit_another_store(&self) -> Result<(), String> {
        if self.encryption.is_some() || self.customer_key.is_some() || self.lock_mode.is_some() {
            return Err("S3_SSE, S3_SSE_CUSTOMER_KEY and S3_OBJECT_LOCK_MODE are for S3 alone, and the store is another one; leave them out".to_owned());
        }
        Ok(())
    }

    /// The lock, where both parts of it are set.
    pub(super) fn lock(&self) -> Option<(LockMode, NonZeroU32)> {
        self.lock_mode.zip(self.lock_days)
    }
}

/// A storage class from which objects can be read at once: verification, retention and restores read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageClass(String);

impl FromStr for StorageClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if matches!(text, "GLACIER" | "DEEP_ARCHIVE") {
            return Err(format!(
                "objects of {text} cannot be read before somebody has restored them in S3; GLACIER_IR can, and a lifecycle rule may move old backups"
            ));
        }
        let is_part = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_';
        if text.is_empty() || !text.bytes().all(is_part) {
            return Err("a storage class such as STANDARD_IA is needed".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which key of the server encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// SSE-S3.
    S3,
    /// SSE-KMS.
    Kms,
}

impl Encryption {
    /// S3's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "AES256",
            Self::Kms => "aws:kms",
        }
    }
}

impl FromStr for Encryption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "AES256" => Ok(Self::S3),
            "aws:kms" => Ok(Self::Kms),
            _ => Err("AES256 or aws:kms is needed; for SSE-C, S3_SSE_CUSTOMER_KEY alone"),
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A customer's key of 256 bits, as headers have it.
#[derive(Clone, Debug)]
pub(super) struct CustomerKey {
    /// In base64.
    pub(super) key: SecretString,
    /// Its MD5 in base64, by which the server notices a damaged one.
    pub(super) md5: String,
}

impl CustomerKey {
    pub(super) fn parse(text: &SecretString) -> Result<Self, String> {
        use md5::Digest as _;
        // What cannot be decoded is named in no error: it may be most of a key.
        let bytes = STANDARD.decode(text.expose_secret()).unwrap_or_default();
        if bytes.len() != 32 {
            return Err("S3_SSE_CUSTOMER_KEY is not 32 bytes in base64, as `openssl rand -base64 32` prints them".to_owned());
        }
        Ok(Self {
            key: text.clone(),
            md5: STANDARD.encode(md5::Md5::digest(&bytes)),
        })
    }
}

/// Who may shorten a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Who has `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody.
    Compliance,
}

impl LockMode {
    /// S3's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

impl FromStr for LockMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "GOVERNANCE" => Ok(Self::Governance),
            "COMPLIANCE" => Ok(Self::Compliance),
            _ => Err("GOVERNANCE or COMPLIANCE is needed"),
        }
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// By what a server proves that it has got the bytes that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// CRC32C where the server answers with one, and Content-MD5 elsewhere.
    #[default]
    Auto,
    /// `x-amz-checksum-crc32c`.
    Crc32c,
    /// `Content-MD5`.
    Md5,
}

impl Checksum {
    /// The setting's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Crc32c => "crc32c",
            Self::Md5 => "md5",
        }
    }
}

impl FromStr for Checksum {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "crc32c" => Ok(Self::Crc32c),
            "md5" => Ok(Self::Md5),
            _ => Err("auto, crc32c or md5 is needed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_cannot_be_read_at_once_is_refused() {
        for class in ["STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING"] {
            assert_eq!(class.parse::<StorageClass>().unwrap().to_string(), class);
        }
        for class in ["GLACIER", "DEEP_ARCHIVE", "standard", "A B", ""] {
            assert!(class.parse::<StorageClass>().is_err(), "{class}");
        }
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused() {
        let key = |text: &str| Some(SecretString::from(text));
        let whole = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        let with = |options: Options, endpoint| options.check(endpoint).err().unwrap_or_default();
        let customer = Options {
            customer_key: key(whole),
            ..Options::default()
        };
        assert_eq!(with(customer.clone(), Some("https://s3")), "");
        assert_eq!(with(customer.clone(), None), "");
        for (options, endpoint, words) in [
            (customer.clone(), Some("http://s3"), "in the clear"),
            (
                Options {
                    encryption: Some(Encryption::S3),
                    ..customer
                },
                None,
                "exclude",
            ),
            (
                Options {
                    customer_key: key("hunter2"),
                    ..Options::default()
                },
                None,
                "32 bytes",
            ),
            (
                Options {
                    customer_key: key("aHVudGVyMg=="),
                    ..Options::default()
                },
                None,
                "32 bytes",
            ),
            (
                Options {
                    kms_key: Some("k".to_owned()),
                    ..Options::default()
                },
                None,
                "aws:kms",
            ),
            (
                Options {
                    lock_mode: Some(LockMode::Compliance),
                    ..Options::default()
                },
                None,
                "together",
            ),
            (
                Options {
                    lock_days: NonZeroU32::new(1),
                    ..Options::default()
                },
                None,
                "together",
            ),
        ] {
            let said = with(options, endpoint);
            assert!(said.contains(words), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
