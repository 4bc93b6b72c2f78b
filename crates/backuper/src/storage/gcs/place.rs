//! What names a bucket of Google Cloud Storage, and what lets us in.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::storage::config::Bucket;

/// Where Google answers.
pub(in crate::storage) const GOOGLE: &str = "https://storage.googleapis.com";

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug)]
pub struct GcsPlace {
    /// A URL without a slash at the end; none is Google.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: Bucket,
    /// Who we are.
    pub credentials: GcsCredentials,
}

impl GcsPlace {
    /// Who answers there.
    #[must_use]
    pub fn server(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| GOOGLE.to_owned())
    }
}

/// Who we are at Google.
#[derive(Clone, Debug)]
pub enum GcsCredentials {
    /// Whom the machine or its pod is.
    Ambient,
    /// The JSON of a service account's or of a user's key.
    File(PathBuf),
    /// The same of a service account, at hand.
    Key(SecretString),
    /// Nobody, as emulators want it.
    Anonymous,
}
