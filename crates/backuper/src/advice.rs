//! What an error means to the person who reads the last line: what to do, and whether trying again
//! may help.

use tokio_postgres::error::SqlState;

use crate::catalog;
use crate::postgres;
use crate::runtime::{Failure, Verdict};
use crate::storage;

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
            postgres::Kind::Unavailable => "; check DB_HOST and DB_PORT, and that the server runs",
            postgres::Kind::Denied
            | postgres::Kind::Misconfigured
            | postgres::Kind::Busy
            | postgres::Kind::Unsupported
            | postgres::Kind::Other => "",
        };
        Self {
            verdict: Verdict::of(error.kind.is_transient()),
            sentence: format!("{error}{advice}"),
        }
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        use storage::Kind;
        let advice = match error.kind {
            Kind::NoBucket => "; create the bucket or correct S3_BUCKET_NAME",
            Kind::NoDirectory => {
                "; mkdir it, or mount the volume that holds it, or correct S3_ENDPOINT"
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
            Kind::SpeaksHttp => {
                "; the server speaks http and no https: write http:// in S3_ENDPOINT"
            }
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
        };
        Self {
            verdict: Verdict::of(error.kind.is_transient()),
            sentence: format!("{error}{advice}"),
        }
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
