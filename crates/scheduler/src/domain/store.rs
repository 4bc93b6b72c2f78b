//! A bucket and how to get into it.

use backuper::storage::{Bucket, Endpoint};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use super::credential::Credential;

/// A bucket and how to get into it.
#[serde_as]
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Store {
    /// The server; none is AWS.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub endpoint: Option<Endpoint>,
    /// The bucket; none only below a directory.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub bucket: Option<Bucket>,
    /// The keys.
    pub keys: Credential<Keys>,
}

/// A pair of S3 keys.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The access key.
    pub access: SecretString,
    /// Its secret.
    pub secret: SecretString,
}

impl Store {
    /// `ENDPOINT/BUCKET`, as people read it; AWS has no endpoint.
    #[must_use]
    pub fn place(&self) -> String {
        let bucket = self.bucket.as_ref().map_or("", Bucket::as_str);
        match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/{bucket}"),
            None => bucket.to_owned(),
        }
    }
}
