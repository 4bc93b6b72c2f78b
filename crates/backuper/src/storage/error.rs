//! What goes wrong in a store, by what a caller can act on.

use super::Stored;

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
#[error("{action} {location}: {reason}")]
pub struct Error {
    /// What the caller can act on.
    pub kind: Kind,
    /// A verb phrase, such as `writing` or `listing`.
    pub action: &'static str,
    /// The bucket and key, for people; of Google's and of Azure's it begins with `gs://` and `az://`.
    pub location: String,
    /// What the store said, in one line, without secrets.
    pub reason: String,
}

impl Error {
    /// Whose variables mend it.
    #[must_use]
    pub fn service(&self) -> Service {
        match self.location.split_once("://") {
            Some(("gs", _)) => Service::Google,
            Some(("az", _)) => Service::Azure,
            Some(_) | None => Service::S3,
        }
    }
}

/// What a store is reached by, and so which variables name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// S3, or a directory that is named by the same variables.
    S3,
    /// Google Cloud Storage's own API.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// What a caller can act on, each with a remedy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No such key.
    NotFound,
    /// No such bucket.
    NoBucket,
    /// No such directory.
    NoDirectory,
    /// The server takes no bucket of such a name.
    BucketName,
    /// The key's owner may not do this.
    Denied,
    /// This process's user may not do this in the directory.
    NotPermitted,
    /// No access key was given, and none was found.
    NoCredentials,
    /// No access key was given, and whoever hands them out to this machine did not.
    CredentialsUnavailable,
    /// The server does not know the access key.
    UnknownKey,
    /// The secret key does not belong to the access key.
    WrongSecret,
    /// The session token has expired, or belongs to other keys.
    SessionToken,
    /// No region was given, and none was found.
    NoRegion,
    /// The bucket is in another region.
    WrongRegion,
    /// The clocks of this machine and of the server differ by more than the server bears.
    ClockSkew,
    /// Spoken to in https, the server answers in http.
    SpeaksHttp,
    /// Spoken to in http, the server wants https.
    SpeaksHttps,
    /// What answers is no S3 server.
    NotS3,
    /// The endpoint has a path, and what lies there is no bucket's parent.
    EndpointPath,
    /// The server's certificate is not one of an authority that we trust, or not for this host.
    Untrusted,
    /// A file or an address of the settings cannot be used.
    Misconfigured,
    /// The server does not do what a setting asks for, or not for this key; the reason says what to do.
    Unsupported,
    /// Did not answer, or not in time, after all retries.
    Unavailable,
    /// No room left.
    Full,
    /// What is stored is not what was written.
    Corrupt,
    /// Anything else.
    Other,
}

impl Kind {
    /// Whether the same call later may succeed though nobody changes a setting.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Unavailable
            | Self::CredentialsUnavailable
            | Self::ClockSkew
            | Self::Full
            | Self::Corrupt
            | Self::Other => true,
            Self::NotFound
            | Self::NoBucket
            | Self::NoDirectory
            | Self::BucketName
            | Self::Denied
            | Self::NotPermitted
            | Self::NoCredentials
            | Self::UnknownKey
            | Self::WrongSecret
            | Self::SessionToken
            | Self::NoRegion
            | Self::WrongRegion
            | Self::SpeaksHttp
            | Self::SpeaksHttps
            | Self::NotS3
            | Self::EndpointPath
            | Self::Untrusted
            | Self::Misconfigured
            | Self::Unsupported => false,
        }
    }
}

pub(super) fn differs(location: &str, expected: &Stored, found: &Stored) -> Error {
    let reason = if found.size == expected.size {
        format!(
            "its SHA-256 is {} and should be {}",
            found.sha256, expected.sha256
        )
    } else {
        format!(
            "it has {} bytes and should have {}",
            found.size, expected.size
        )
    };
    Error {
        kind: Kind::Corrupt,
        action: "verifying",
        location: location.to_owned(),
        reason,
    }
}

pub(super) fn within(key: &str, size: u64, limit: usize) -> Result<(), Error> {
    if size <= limit as u64 {
        return Ok(());
    }
    Err(Error {
        kind: Kind::Corrupt,
        action: "reading",
        location: key.to_owned(),
        reason: format!("it has more than {limit} bytes, which such an object never has"),
    })
}
