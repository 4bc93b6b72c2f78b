//! What an error means to the person who reads the last line: what to do, and whether trying again
//! may help.

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
            postgres::Kind::Untrusted => "; check DB_SSLMODE and DB_SSLROOTCERT",
            postgres::Kind::Unavailable => "; check DB_HOST and DB_PORT, and that the server runs",
            postgres::Kind::Denied
            | postgres::Kind::Misconfigured
            | postgres::Kind::Busy
            | postgres::Kind::Unsupported
            | postgres::Kind::Other => "",
        };
        Self {
            verdict: Verdict::of(error.kind.may_pass()),
            sentence: format!("{error}{advice}"),
        }
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        let advice = match error.kind {
            storage::Kind::NoBucket => "; create the bucket or correct S3_BUCKET_NAME",
            storage::Kind::Denied => {
                "; check S3_ACCESS_KEY and S3_SECRET_KEY, and what their owner may do in the bucket"
            }
            storage::Kind::Misconfigured => "; check S3_ENDPOINT, S3_REGION and S3_CA_FILE",
            storage::Kind::Unavailable => "; check S3_ENDPOINT, and that the store runs",
            storage::Kind::Full => "; make room",
            storage::Kind::NotFound | storage::Kind::Corrupt | storage::Kind::Other => "",
        };
        Self {
            verdict: Verdict::of(error.kind.may_pass()),
            sentence: format!("{error}{advice}"),
        }
    }
}
