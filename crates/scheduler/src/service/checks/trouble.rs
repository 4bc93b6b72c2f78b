//! What an error means to somebody who is not the worker: one table for what the other side has
//! answered and for what may be our own surroundings' fault.

use backuper::databases::found;
use backuper::runtime::{Failure, Verdict};
use backuper::{catalog, postgres, storage};

/// Why something was not found to be as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The other side has said so.
    Wrong(String),
    /// It cannot be known from here.
    Unknown(String),
}

impl From<postgres::Error> for Trouble {
    fn from(error: postgres::Error) -> Self {
        use postgres::Kind;
        let is_answer = match error.kind {
            // What lets hosts in by their addresses may let in the worker's; libpq's file has the same
            // name in every language.
            Kind::Rejected => !error.reason.contains("pg_hba.conf"),
            Kind::NoDatabase
            | Kind::NoPassword
            | Kind::NoTls
            | Kind::Denied
            | Kind::Unsupported => true,
            // Certificates and their authorities may be in the worker's pods alone.
            Kind::Untrusted
            | Kind::Misconfigured
            | Kind::Unavailable
            | Kind::Busy
            | Kind::Other => false,
        };
        Self::of(is_answer, Failure::from(error))
    }
}

impl From<found::Error> for Trouble {
    fn from(error: found::Error) -> Self {
        match error {
            found::Error::Server(error) => error.into(),
            found::Error::Shut(_) | found::Error::Nothing { .. } => {
                Self::Wrong(Failure::from(error).sentence)
            }
        }
    }
}

impl From<storage::Error> for Trouble {
    fn from(error: storage::Error) -> Self {
        use storage::Kind;
        let is_answer = match error.kind {
            Kind::NoBucket
            | Kind::NoDirectory
            | Kind::BucketName
            | Kind::Denied
            | Kind::NotPermitted
            | Kind::UnknownKey
            | Kind::WrongSecret
            | Kind::SessionToken
            | Kind::WrongRegion
            | Kind::SpeaksHttp
            | Kind::SpeaksHttps
            | Kind::NotS3
            | Kind::EndpointPath
            | Kind::Corrupt => true,
            // Our clock, our authorities, our files, our way there. What is not found has gone in
            // between, as retention takes it.
            Kind::NotFound
            | Kind::NoCredentials
            | Kind::CredentialsUnavailable
            | Kind::NoRegion
            | Kind::ClockSkew
            | Kind::Untrusted
            | Kind::Misconfigured
            | Kind::Unsupported
            | Kind::Unavailable
            | Kind::Full
            | Kind::Other => false,
        };
        Self::of(is_answer, Failure::from(error))
    }
}

impl From<catalog::Error> for Trouble {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::Storage(error) => error.into(),
            error => Self::Wrong(error.to_string()),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::of(failure.verdict == Verdict::Refused, failure)
    }
}

impl Trouble {
    fn of(is_answer: bool, failure: Failure) -> Self {
        if is_answer {
            Self::Wrong(failure.sentence)
        } else {
            Self::Unknown(failure.sentence)
        }
    }
}

/// Both, or what is wrong with either; what is wrong is told before what is not known.
pub(super) fn both<A, B>(
    one: Result<A, Trouble>,
    other: Result<B, Trouble>,
) -> Result<(A, B), Trouble> {
    use Trouble::{Unknown, Wrong};
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(Wrong(one)), Err(Wrong(other))) => Err(Wrong(format!("{one}; and {other}"))),
        (Err(Wrong(sentence)), _) | (_, Err(Wrong(sentence))) => Err(Wrong(sentence)),
        (Err(Unknown(one)), Err(Unknown(other))) => Err(Unknown(format!("{one}; and {other}"))),
        (Err(Unknown(sentence)), _) | (_, Err(Unknown(sentence))) => Err(Unknown(sentence)),
    }
}

#[cfg(test)]
mod tests {
    use backuper::postgres::{Error, Kind, SslMode, Target};

    use super::*;

    /// Addresses and certificates are the worker's; what else is rejected is the role.
    #[test]
    fn a_server_that_lets_in_by_address_may_let_in_the_worker() {
        let target = Target {
            host: "db".to_owned(),
            port: 5432,
            user: "u".to_owned(),
            password: None,
            database: "shop".to_owned(),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            at: None,
        };
        let rejected = |why: &str| {
            let error = Error::because(Kind::Rejected, "connecting to", &target, why);
            matches!(Trouble::from(error), Trouble::Wrong(_))
        };
        assert!(rejected("role \"u\" does not exist"));
        assert!(!rejected("no pg_hba.conf entry for host \"10.0.0.1\""));
        assert!(!rejected("kein pg_hba.conf-Eintrag für Host »10.0.0.1«"));
    }
}
