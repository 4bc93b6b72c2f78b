//! What an error means to the person who reads the last line: what to do, and whether trying again
//! may help.

use tokio_postgres::error::SqlState;

use crate::catalog;
use crate::postgres;
use crate::runtime::settings::misspelt::NAMES;
use crate::runtime::{Failure, Verdict};
use crate::storage::{self, Kind, Service};

/// What stands before the name of each variable of a store where it is the second store's.
const OF_COPIES: &str = "COPY_";

/// What a variable of a store is called for the second one; none where it is no variable of a store.
#[must_use]
pub fn name_for_copies(name: &str) -> Option<&'static str> {
    if name == "STORE_URL" {
        return Some("COPY_TO");
    }
    let is_it = |it: &&&str| it.strip_prefix(OF_COPIES) == Some(name);
    NAMES.iter().find(is_it).copied()
}

/// A sentence on the settings of a store, about the second one.
#[must_use]
pub fn of_copies(sentence: &str) -> String {
    let is_within = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = sentence.split_inclusive(|c| !is_within(c)).map(|piece| {
        let word = piece.trim_end_matches(|c| !is_within(c));
        match name_for_copies(word) {
            Some(name) => format!("{name}{}", &piece[word.len()..]),
            None => piece.to_owned(),
        }
    });
    words.collect()
}

/// What a store said and what to do about it, where it is the second one: its bucket is mostly named by COPY_TO.
#[must_use]
pub fn of_second_store(sentence: &str) -> String {
    const BUCKET: &str = "COPY_S3_BUCKET_NAME";
    of_copies(sentence).replace(BUCKET, &format!("COPY_TO or {BUCKET}"))
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        let advice = match error.kind {
            postgres::Kind::NoDatabase => "; check DB_NAME",
            postgres::Kind::Rejected => {
                "; check DB_USER and DB_PASSWORD, and the server's pg_hba.conf"
            }
            postgres::Kind::NoPassword => "; set DB_PASSWORD",
            postgres::Kind::NoTls => {
                "; switch TLS on there, or set DB_SSLMODE=prefer to do without it"
            }
            postgres::Kind::Untrusted => "; check DB_SSLMODE and DB_SSLROOTCERT",
            postgres::Kind::Unavailable if error.state == Some(SqlState::TOO_MANY_CONNECTIONS) => {
                "; end some connections, or raise max_connections or the CONNECTION LIMIT that is reached"
            }
            postgres::Kind::Unavailable if error.reason.contains(postgres::MAX_LOCKS) => {
                "; try again when fewer locks are held there, or raise that, which takes a restart of the server"
            }
            postgres::Kind::Unavailable if error.state == Some(SqlState::OUT_OF_MEMORY) => {
                "; the server has too little memory for that: try again when less is going on there, or give it more"
            }
            postgres::Kind::Unavailable if error.state == Some(SqlState::DISK_FULL) => {
                "; make room on the server's disk, and run it again"
            }
            postgres::Kind::Unavailable if !error.is_of_connecting() => {
                "; run it again: the server, the network or somebody there has ended a session of this run"
            }
            postgres::Kind::Unavailable => "; check DB_HOST and DB_PORT, and that the server runs",
            postgres::Kind::Denied
            | postgres::Kind::Misconfigured
            | postgres::Kind::Busy
            | postgres::Kind::Unsupported
            | postgres::Kind::Other => "",
        };
        // Some of the server's details end with a full stop.
        let sentence = error.to_string();
        Self {
            verdict: Verdict::of(error.kind.is_transient()),
            sentence: format!("{}{advice}", sentence.trim_end_matches('.')),
        }
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        let advice = match error.service() {
            Service::S3 => of_s3(error.kind),
            Service::Google => of_google(error.kind),
            Service::Azure => of_azure(error.kind),
        };
        Self {
            verdict: Verdict::of(error.kind.is_transient()),
            sentence: format!("{error}{advice}"),
        }
    }
}

fn of_s3(kind: Kind) -> &'static str {
    match kind {
        Kind::NoBucket => "; create the bucket or correct S3_BUCKET_NAME",
        Kind::NoDirectory => {
            "; mkdir it, or mount the volume that holds it, or correct the setting that names it, STORE_URL or S3_ENDPOINT"
        }
        Kind::BucketName => "; correct S3_BUCKET_NAME: no bucket has such a name",
        Kind::Denied => "; allow it to the owner of S3_ACCESS_KEY, or use another key",
        Kind::NotPermitted => "; allow it to the user that this process runs as",
        Kind::NoCredentials | Kind::CredentialsUnavailable => {
            "; set S3_ACCESS_KEY and S3_SECRET_KEY, or give this machine a role"
        }
        Kind::UnknownKey => "; correct S3_ACCESS_KEY: the server does not know it",
        Kind::WrongSecret => "; correct S3_SECRET_KEY: it is not that of S3_ACCESS_KEY",
        Kind::SessionToken => "; set S3_SESSION_TOKEN and its two keys anew",
        Kind::NoRegion => "; set S3_REGION",
        Kind::WrongRegion => "; set S3_REGION to the bucket's region",
        Kind::ClockSkew => "; set this machine's clock: the server's is another",
        Kind::SpeaksHttp => "; the server speaks http and no https: write http:// in S3_ENDPOINT",
        Kind::SpeaksHttps => "; the server does not speak http: write https:// in S3_ENDPOINT",
        Kind::NotS3 => "; what answers there is no S3 server: correct S3_ENDPOINT",
        Kind::EndpointPath => {
            "; S3_ENDPOINT has a path: leave it out, a bucket's name belongs into S3_BUCKET_NAME"
        }
        Kind::Untrusted => "; give the certificate's authority in S3_CA_FILE",
        Kind::Misconfigured => "; check S3_ENDPOINT, S3_REGION and S3_CA_FILE",
        Kind::Unavailable => "; check S3_ENDPOINT, and that the store runs",
        Kind::Full => "; make room",
        Kind::Unsupported | Kind::NotFound | Kind::Corrupt | Kind::Other => "",
    }
}

fn of_google(kind: Kind) -> &'static str {
    match kind {
        Kind::NoBucket => "; create the bucket or correct it in STORE_URL",
        Kind::BucketName => "; correct the bucket in STORE_URL: none has such a name",
        Kind::Denied => {
            "; give the service account the role Storage Object User (roles/storage.objectUser) on the bucket"
        }
        Kind::NoCredentials | Kind::CredentialsUnavailable => {
            "; set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT_KEY, or give the pod's ServiceAccount an identity there"
        }
        Kind::UnknownKey | Kind::WrongSecret | Kind::SessionToken => {
            "; the key may be deleted or of a disabled account: set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT_KEY anew"
        }
        Kind::SpeaksHttp | Kind::SpeaksHttps | Kind::NotS3 => {
            "; what answers there is no Google Cloud Storage: correct STORAGE_EMULATOR_HOST"
        }
        Kind::Misconfigured => "; check STORE_URL, the credentials and STORE_CA_FILE",
        Kind::Unavailable => "; check that storage.googleapis.com can be reached from here",
        kind => of_any_cloud(kind),
    }
}

fn of_azure(kind: Kind) -> &'static str {
    match kind {
        Kind::NoBucket => "; create the container or correct it in STORE_URL",
        Kind::BucketName => "; correct the container in STORE_URL: none has such a name",
        Kind::Denied => {
            "; give the identity the role Storage Blob Data Contributor on the container, or the signature the permissions rcwdl"
        }
        Kind::NoCredentials | Kind::CredentialsUnavailable => {
            "; set AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_CLIENT_SECRET with its two ids, or give the pod an identity"
        }
        Kind::UnknownKey => {
            "; correct AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET: no token was given for them, or none that counts here"
        }
        Kind::WrongSecret => {
            "; correct AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN: it is not this account's"
        }
        Kind::SessionToken => {
            "; set AZURE_STORAGE_SAS_TOKEN anew: it has expired or does not hold yet"
        }
        Kind::SpeaksHttp | Kind::SpeaksHttps | Kind::NotS3 => {
            "; what answers there is no Azure Blob Storage: correct AZURE_STORAGE_ENDPOINT"
        }
        Kind::Misconfigured => "; check STORE_URL, the credentials and STORE_CA_FILE",
        Kind::Unavailable => {
            "; check the account in STORE_URL, and that its address can be reached from here"
        }
        kind => of_any_cloud(kind),
    }
}

fn of_any_cloud(kind: Kind) -> &'static str {
    match kind {
        Kind::ClockSkew => "; set this machine's clock: the server's is another",
        Kind::Untrusted => "; give the certificate's authority in STORE_CA_FILE",
        Kind::Full => "; make room",
        _ => "",
    }
}

impl From<catalog::Error> for Failure {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::Storage(error) => error.into(),
            error => Self::refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_on_the_second_store_names_the_variables_that_it_has() {
        for (sentence, wanted) in [
            (
                "opening /b: no such directory; correct STORE_URL or S3_ENDPOINT",
                "opening /b: no such directory; correct COPY_TO or COPY_S3_ENDPOINT",
            ),
            (
                "S3_ACCESS_KEY and S3_SECRET_KEY go together",
                "COPY_S3_ACCESS_KEY and COPY_S3_SECRET_KEY go together",
            ),
            (
                "correct S3_BUCKET_NAME: none",
                "correct COPY_TO or COPY_S3_BUCKET_NAME: none",
            ),
            (
                "COPY_TO, DB_NAME, ÜS3_REGIONS",
                "COPY_TO, DB_NAME, ÜS3_REGIONS",
            ),
        ] {
            assert_eq!(of_second_store(sentence), wanted);
        }
    }
}
