//! A place that is told in one word: `s3://bucket/prefix`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::azure::place::{Account, Container};
use super::config::{Bucket, Endpoint};
use super::prefix::Prefix;

/// What a URL of a store names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `s3://BUCKET/PREFIX`; whose bucket it is stands elsewhere.
    S3 {
        /// The bucket.
        bucket: Bucket,
        /// What keys begin with.
        prefix: Prefix,
    },
    /// `gs://BUCKET/PREFIX` of Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: Bucket,
        /// What keys begin with.
        prefix: Prefix,
    },
    /// `az://ACCOUNT/CONTAINER/PREFIX` of Azure Blob Storage.
    Azure {
        /// The storage account.
        account: Account,
        /// The container.
        container: Container,
        /// What keys begin with.
        prefix: Prefix,
    },
    /// `file:///DIRECTORY`.
    Directory(PathBuf),
}

impl StoreUrl {
    /// What keys begin with; a directory has none besides its path.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        match self {
            Self::S3 { prefix, .. } | Self::Gcs { prefix, .. } | Self::Azure { prefix, .. } => {
                prefix.clone()
            }
            Self::Directory(_) => Prefix::default(),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(unknown());
        };
        if rest.contains('@') && scheme != "file" {
            return Err("credentials do not belong into a store's URL".to_owned());
        }
        match scheme {
            "s3" => {
                let (bucket, prefix) = parts(rest);
                Ok(Self::S3 {
                    bucket: bucket.parse()?,
                    prefix: prefix.parse()?,
                })
            }
            "gs" => {
                let (bucket, prefix) = parts(rest);
                Ok(Self::Gcs {
                    bucket: bucket.parse()?,
                    prefix: prefix.parse()?,
                })
            }
            "az" => {
                let (account, rest) = parts(rest);
                let (container, prefix) = parts(rest);
                Ok(Self::Azure {
                    account: account.parse()?,
                    container: container.parse()?,
                    prefix: prefix.parse()?,
                })
            }
            "file" => match text.parse()? {
                Endpoint::Directory(path) => Ok(Self::Directory(path)),
                Endpoint::Url(_) => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}

/// What stands before the first slash, and what behind it.
fn parts(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or((text, ""))
}

fn unknown() -> String {
    "a store is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX or file:///DIRECTORY".to_owned()
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, .. } => write!(formatter, "s3://{bucket}")?,
            Self::Gcs { bucket, .. } => write!(formatter, "gs://{bucket}")?,
            Self::Azure {
                account, container, ..
            } => write!(formatter, "az://{account}/{container}")?,
            Self::Directory(path) => write!(formatter, "file://{}", path.display())?,
        }
        let prefix = self.prefix();
        if prefix.is_empty() {
            return Ok(());
        }
        write!(formatter, "/{prefix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_written_the_same() {
        for (text, wanted) in [
            ("s3://backups", "s3://backups"),
            ("s3://backups/", "s3://backups"),
            ("s3://backups/team-a/prod/", "s3://backups/team-a/prod"),
            ("gs://backups/team-a/", "gs://backups/team-a"),
            ("az://acme/backups", "az://acme/backups"),
            ("az://acme/backups/team-a/", "az://acme/backups/team-a"),
            ("file:///var//backups/", "file:///var/backups"),
        ] {
            let url: StoreUrl = text.parse().unwrap_or_else(|it| panic!("{text}: {it}"));
            assert_eq!(url.to_string(), wanted, "{text}");
            assert_eq!(wanted.parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for wrong in [
            "",
            "backups",
            "s3:backups",
            "s3://",
            "s3:///backups",
            "s3://backups//a",
            "s3://backups/a/../b",
            "s3://backups/%2e%2e/b",
            "s3://backups/a?x=1",
            "s3://backups?x=1",
            "s3://key:secret@backups",
            "S3://backups",
            "gs://",
            "gs://backups//a",
            "az://acme",
            "az://acme/",
            "az://Acme/backups",
            "az://acme/back--ups",
            "az://acme/backups/../others",
            "file://relative",
            "https://host/bucket",
            "ftp://host",
        ] {
            assert!(wrong.parse::<StoreUrl>().is_err(), "{wrong}");
        }
        let sentence = "s3://key:hunter2@backups".parse::<StoreUrl>().unwrap_err();
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }
}
