//! Who we are at Google Cloud Storage: the variables of its own tools.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::Args;
use secrecy::SecretString;

use super::super::parse::{Maybe, maybe, secret};
use super::super::var::Var;
use crate::storage::{Bucket, Endpoint, GcsCredentials, GcsPlace};

/// Who we are at Google Cloud Storage.
#[derive(Clone, Debug, Default, Args)]
pub struct GoogleSettings {
    /// File with the JSON of a service account's or of a user's key; empty: whom the machine or its pod is.
    #[arg(env = "GOOGLE_APPLICATION_CREDENTIALS", default_value = "", value_parser = maybe::<PathBuf>)]
    pub credentials_file: Maybe<PathBuf>,

    /// The JSON of a service account's key itself.
    #[arg(env = "GOOGLE_SERVICE_ACCOUNT_KEY", default_value = "", value_parser = secret)]
    pub service_account_key: Maybe<SecretString>,

    /// http://HOST:PORT of an emulator, in the place of Google; without a key nobody's name is told to it.
    #[arg(env = "STORAGE_EMULATOR_HOST", default_value = "", value_parser = emulator)]
    pub emulator: Maybe<Endpoint>,
}

/// As Google's own libraries read it: without a scheme it is http.
fn emulator(text: &str) -> Result<Maybe<Endpoint>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    match Endpoint::from_str(&url)? {
        Endpoint::Directory(_) => Err("http:// or https:// is needed".to_owned()),
        endpoint @ Endpoint::Url(_) => Ok(Some(endpoint)),
    }
}

impl GoogleSettings {
    pub(super) fn place(&self, bucket: &Bucket) -> Result<GcsPlace, String> {
        let credentials = match (&self.credentials_file, &self.service_account_key) {
            (Some(_), Some(_)) => {
                return Err("GOOGLE_APPLICATION_CREDENTIALS and GOOGLE_SERVICE_ACCOUNT_KEY are both set, and only one of them may be".to_owned());
            }
            (Some(file), None) => GcsCredentials::File(file.clone()),
            (None, Some(key)) => GcsCredentials::Key(key.clone()),
            (None, None) if self.emulator.is_some() => GcsCredentials::Anonymous,
            (None, None) => GcsCredentials::Ambient,
        };
        Ok(GcsPlace {
            endpoint: self.emulator.as_ref().map(ToString::to_string),
            bucket: bucket.clone(),
            credentials,
        })
    }

    /// All of it, where it is lent, or nothing.
    #[must_use]
    pub fn lent(self, is_lent: bool) -> Self {
        if is_lent { self } else { Self::default() }
    }

    /// Whether a key is at hand, or a file that has one.
    pub(super) fn has_key(&self) -> bool {
        self.credentials_file.is_some() || self.service_account_key.is_some()
    }

    pub(super) fn to_env(&self) -> Vec<Var> {
        let Self {
            credentials_file,
            service_account_key,
            emulator,
        } = self;
        let file = credentials_file
            .as_ref()
            .map(|it| Var::plain("GOOGLE_APPLICATION_CREDENTIALS", it.to_string_lossy()));
        let key = service_account_key.as_ref();
        let key = key.map(|it| Var::secret("GOOGLE_SERVICE_ACCOUNT_KEY", it));
        let emulator = emulator.as_ref();
        let emulator = emulator.map(|it| Var::plain("STORAGE_EMULATOR_HOST", it.to_string()));
        [file, key, emulator].into_iter().flatten().collect()
    }
}
