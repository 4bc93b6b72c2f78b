//! The headers of requests for objects, as the options want them, and what the server has to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder as Create;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder as Get;
use aws_sdk_s3::operation::head_object::builders::HeadObjectFluentBuilder as Head;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder as Put;
use aws_sdk_s3::operation::upload_part::builders::UploadPartFluentBuilder as Part;
use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use secrecy::ExposeSecret as _;

use super::options::{CustomerKey, Encryption, Options};
use crate::storage::{Error, Kind, Tags};

/// The only algorithm that SSE-C has.
const CUSTOMER_ALGORITHM: &str = "AES256";

/// What a browser or a proxy takes an object for, by the ending of its key; none: as the server has it. Never a
/// content encoding, since some clients would unpack it on the way.
fn content_type(key: &str) -> Option<String> {
    key.ends_with(".gz").then(|| "application/gzip".to_owned())
}

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It holds what was dumped.
    Data,
    /// A manifest or a mark: small, and read by every listing.
    Mark,
}

/// What the options say, as headers have it.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    class: Option<StorageClass>,
    encryption: Option<Encryption>,
    kms_key: Option<String>,
    customer: Option<CustomerKey>,
    /// The administrator's: without them nothing is written.
    tags: Tags,
    /// What is said of the backup as well, where the server takes it.
    wished: Wished,
}

/// Tags that are left out from when on a server has refused them.
#[derive(Clone, Debug, Default)]
struct Wished {
    tags: Tags,
    refused: Arc<AtomicBool>,
}

impl Headers {
    /// # Errors
    /// A sentence on what is wrong with the customer's key.
    pub(super) fn of(options: &Options, wished: &Tags) -> Result<Self, String> {
        let customer = options.customer_key.as_ref().map(CustomerKey::parse);
        let missing = options.tags.and(wished).lacks(wished);
        if !missing.is_empty() {
            tracing::warn!(missing = %missing.join(", "), "S3_TAGS have these keys with other values, or an object has no room for more than ten tags, so these of OBJECT_TAGS are on none");
        }
        Ok(Self {
            class: options
                .storage_class
                .as_ref()
                .map(|it| StorageClass::from(it.to_string().as_str())),
            encryption: options.encryption,
            kms_key: options.kms_key.clone(),
            customer: customer.transpose()?,
            tags: options.tags.clone(),
            wished: Wished {
                tags: wished.clone(),
                refused: Arc::default(),
            },
        })
    }

    pub(super) fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// The same without tags, which some keys may not set.
    pub(super) fn without_tags(&self) -> Self {
        Self {
            tags: Tags::default(),
            ..self.without_wished()
        }
    }

    /// Whether it may be for what is said of the backup that a server has refused a request.
    pub(super) fn may_be_of_wished(&self, kind: Kind) -> bool {
        let is_asked = !self.wished.tags.is_empty() && !self.wished.refused.load(Ordering::Relaxed);
        is_asked && matches!(kind, Kind::Denied | Kind::Other | Kind::Unsupported)
    }

    /// The same without what is said of the backup.
    pub(super) fn without_wished(&self) -> Self {
        Self {
            wished: Wished::default(),
            ..self.clone()
        }
    }

    /// From now on nothing is said of the backup.
    pub(super) fn refused(&self, error: &Error) {
        if !self.wished.refused.swap(true, Ordering::Relaxed) {
            let advice = match error.kind {
                Kind::Denied => "allow s3:PutObjectTagging to the owner of S3_ACCESS_KEY",
                _ => "name tags that it takes, or leave OBJECT_TAGS out",
            };
            tracing::warn!(%error, advice, "the server refuses OBJECT_TAGS, and gets this object and those after it without");
        }
    }

    fn tagging(&self) -> Option<String> {
        if self.wished.refused.load(Ordering::Relaxed) {
            return self.tags.header();
        }
        self.tags.and(&self.wished.tags).header()
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        let encryption = self.encryption.map(Encryption::as_str);
        encryption.map(ServerSideEncryption::from)
    }

    fn class(&self, role: Role) -> Option<StorageClass> {
        self.class.clone().filter(|_| role == Role::Data)
    }

    /// Algorithm, key and the key's MD5.
    fn customer(&self) -> [Option<String>; 3] {
        let Some(CustomerKey { key, md5 }) = &self.customer else {
            return [None, None, None];
        };
        let key = key.expose_secret().to_owned();
        [CUSTOMER_ALGORITHM.to_owned(), key, md5.clone()].map(Some)
    }

    pub(super) fn put(&self, request: Put, name: &str, role: Role) -> Put {
        let [algorithm, key, md5] = self.customer();
        request
            .key(name)
            .set_content_type(content_type(name))
            .set_storage_class(self.class(role))
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.kms_key.clone())
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(key)
            .set_sse_customer_key_md5(md5)
            .set_tagging(self.tagging())
    }

    pub(super) fn create(&self, request: Create, name: &str) -> Create {
        let [algorithm, key, md5] = self.customer();
        request
            .key(name)
            .set_content_type(content_type(name))
            .set_storage_class(self.class(Role::Data))
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.kms_key.clone())
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(key)
            .set_sse_customer_key_md5(md5)
            .set_tagging(self.tagging())
    }

    pub(super) fn part(&self, request: Part) -> Part {
        let [algorithm, key, md5] = self.customer();
        request
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(key)
            .set_sse_customer_key_md5(md5)
    }

    pub(super) fn get(&self, request: Get) -> Get {
        let [algorithm, key, md5] = self.customer();
        request
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(key)
            .set_sse_customer_key_md5(md5)
    }

    pub(super) fn head(&self, request: Head) -> Head {
        let [algorithm, key, md5] = self.customer();
        request
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(key)
            .set_sse_customer_key_md5(md5)
    }

    /// Whether an answer to a write says that the object is encrypted as it was asked for: a server that
    /// does not know a header passes over it.
    ///
    /// # Errors
    /// A sentence on what the server did not do.
    pub(super) fn fulfilled(
        &self,
        encryption: Option<&ServerSideEncryption>,
        customer_md5: Option<&str>,
    ) -> Result<(), String> {
        if let Some(wanted) = self.encryption
            && encryption.map(ServerSideEncryption::as_str) != Some(wanted.as_str())
        {
            return Err(format!(
                "the server takes S3_SSE={wanted} and does not say that it encrypts; leave S3_SSE out, or use a store that has it"
            ));
        }
        if let Some(key) = &self.customer
            && customer_md5 != Some(&key.md5)
        {
            return Err("the server takes S3_SSE_CUSTOMER_KEY and does not say that it encrypts with it; leave it out, or use a store that has SSE-C".to_owned());
        }
        Ok(())
    }
}
