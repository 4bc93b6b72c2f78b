//! The authorities that sign servers' certificates: a file that has them, or the certificates themselves.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use crate::memfd::Memfd;

/// What PEM begins with, and no path of anybody's.
const PEM: &str = "-----BEGIN ";
/// Where there is no file.
const NOWHERE: &str = "/nonexistent";

/// The authorities that sign servers' certificates. `Display` is what [`FromStr`] reads.
#[derive(Clone, Debug)]
pub enum Authorities {
    /// A PEM file, or libpq's word for those that the system trusts.
    File(PathBuf),
    /// Certificates in PEM, which no disk has.
    Given(Arc<Given>),
}

/// Certificates in PEM.
#[derive(Debug)]
pub struct Given {
    pem: String,
    /// Made for those who read nothing but files; it is there as long as this is.
    file: OnceLock<Option<Memfd>>,
}

impl Authorities {
    /// The path of a file with them. Where the system has no memory for one, a path of nothing: whoever opens that
    /// trusts nobody.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Given(given) => {
                let made = || Memfd::new("authorities", given.pem.as_bytes()).ok();
                let file = given.file.get_or_init(made).as_ref();
                file.map_or_else(|| PathBuf::from(NOWHERE), Memfd::path)
            }
        }
    }

    /// The certificates, of which `path` has them if they are in a file.
    pub(super) fn certificates(
        &self,
        path: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
        match self {
            Self::File(_) => CertificateDer::pem_file_iter(path)?.collect(),
            Self::Given(given) => CertificateDer::pem_slice_iter(given.pem.as_bytes()).collect(),
        }
    }

    /// How many certificates there are, of those that are given in PEM.
    ///
    /// # Errors
    /// Why they cannot be read, in a sentence.
    pub fn count(&self) -> Result<usize, String> {
        match self {
            Self::File(_) => Ok(0),
            Self::Given(_) => {
                let all = self.certificates(Path::new(NOWHERE));
                all.map(|it| it.len()).map_err(|error| error.to_string())
            }
        }
    }
}

impl FromStr for Authorities {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if !text.trim_start().starts_with(PEM) {
            return Ok(Self::File(PathBuf::from(text)));
        }
        Ok(Self::Given(Arc::new(Given {
            pem: text.to_owned(),
            file: OnceLock::new(),
        })))
    }
}

impl fmt::Display for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Given(given) => formatter.write_str(&given.pem),
        }
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Authorities {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_have_a_file_for_those_who_ask_for_one_and_a_path_is_a_path() {
        let file: Authorities = "/etc/ca.pem".parse().unwrap();
        assert_eq!(file.path(), Path::new("/etc/ca.pem"));
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let given: Authorities = pem.parse().unwrap();
        assert_eq!(std::fs::read_to_string(given.path()).unwrap(), pem);
        assert_eq!(given.clone().path(), given.path());
        assert_eq!(given.to_string(), pem);
        assert_eq!(given.count(), Ok(1));
        assert_ne!(given, file);
        let broken: Authorities = "-----BEGIN CERTIFICATE-----\n".parse().unwrap();
        assert!(broken.count().is_err());
    }
}
