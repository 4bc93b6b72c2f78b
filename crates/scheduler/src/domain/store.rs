//! Where backups are kept, and how to get in.

use std::fmt;
use std::path::PathBuf;

use backuper::storage::{Account, Bucket, Container, Endpoint, Prefix, StoreUrl};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::credential::Credential;

mod kept;

/// Where backups are kept, and how to get in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "kept::Store", into = "kept::Store")]
pub struct Store {
    /// Where.
    pub place: Place,
    /// What is in `keys`, be it at hand or not.
    way: Way,
    /// What lets in.
    pub keys: Credential<Keys>,
    /// The region of a bucket of S3; none: as the administrator has set it.
    pub region: Option<String>,
}

/// Where backups are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A bucket of an S3 server.
    S3 {
        /// The server's URL; none is AWS.
        server: Option<String>,
        /// The bucket.
        bucket: Bucket,
        /// What keys begin with.
        prefix: Prefix,
    },
    /// A bucket of Google Cloud Storage.
    Google {
        /// The bucket.
        bucket: Bucket,
        /// What keys begin with.
        prefix: Prefix,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The storage account.
        account: Account,
        /// The container.
        container: Container,
        /// What keys begin with.
        prefix: Prefix,
    },
    /// A directory, as workers see it.
    Directory {
        /// An absolute path.
        path: PathBuf,
        /// A folder in it, which calls name as they name a bucket.
        folder: Option<Bucket>,
    },
}

/// What lets into a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A pair of S3 keys; at Google they are called HMAC keys.
    #[default]
    Pair,
    /// The JSON of a service account's key.
    ServiceAccount,
    /// A key of a storage account.
    AccountKey,
    /// A shared access signature.
    Signature,
}

/// The secrets of a [`Way`], in the order of its variables.
#[derive(Clone, Debug, Default)]
pub struct Keys(pub Vec<SecretString>);

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Pair,
        Self::ServiceAccount,
        Self::AccountKey,
        Self::Signature,
    ];

    /// The variables of a worker that have it.
    #[must_use]
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Pair => &["S3_ACCESS_KEY", "S3_SECRET_KEY"],
            Self::ServiceAccount => &["GOOGLE_SERVICE_ACCOUNT_KEY"],
            Self::AccountKey => &["AZURE_STORAGE_ACCOUNT_KEY"],
            Self::Signature => &["AZURE_STORAGE_SAS_TOKEN"],
        }
    }
}

/// That does not let into this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct NoWay(Way);

impl NoWay {
    fn sentence(self) -> &'static str {
        match self.0 {
            Way::Pair => {
                "a pair of keys is for s3:// and gs://; an az:// container has an account key or a shared access signature"
            }
            Way::ServiceAccount => "a service account's key is for gs:// alone",
            Way::AccountKey => "a storage account's key is for az:// alone",
            Way::Signature => "a shared access signature is for az:// alone",
        }
    }
}

impl Store {
    /// One that is reached without anything of the caller's.
    #[must_use]
    pub fn ambient(place: Place) -> Self {
        Self {
            place,
            way: Way::default(),
            keys: Credential::Ambient,
            region: None,
        }
    }

    /// One with what lets in.
    ///
    /// # Errors
    /// [`NoWay`].
    pub fn new(place: Place, way: Way, keys: Credential<Keys>) -> Result<Self, NoWay> {
        if keys.is_ambient() {
            return Ok(Self::ambient(place));
        }
        let fits = match way {
            // The core sends a pair beside a directory too.
            Way::Pair => !matches!(place, Place::Azure { .. }),
            Way::ServiceAccount => matches!(place, Place::Google { .. }),
            Way::AccountKey | Way::Signature => matches!(place, Place::Azure { .. }),
        };
        if fits {
            Ok(Self {
                place,
                way,
                keys,
                region: None,
            })
        } else {
            Err(NoWay(way))
        }
    }

    /// What lets in.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// The place, as everybody kept and compared it before there were prefixes; AWS has no server.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.place {
            Place::S3 {
                server: None,
                bucket,
                prefix,
            } if prefix.is_empty() => bucket.to_string(),
            Place::Directory { path, folder } => {
                let folder = folder.as_ref().map_or("", Bucket::as_str);
                format!("file://{}/{folder}", path.display())
            }
            place => place.to_string(),
        }
    }

    /// The variables of a worker that the caller's credentials are in.
    #[must_use]
    pub fn variables(&self) -> &'static [&'static str] {
        if self.keys.is_given() {
            self.way.variables()
        } else {
            &[]
        }
    }

    /// The key of the Secret that the caller has named for a variable.
    fn referenced(&self, variable: &str) -> Option<(&str, &str)> {
        let reference = self.keys.reference()?;
        let mut variables = self.way.variables().iter();
        let index = variables.position(|it| *it == variable)?;
        Some((&reference.secret, reference.keys.get(index)?))
    }
}

/// Which key of which Secret a worker's variable is in, where the caller has named one.
#[must_use]
pub fn referenced<'a>(
    variable: &str,
    password: Option<&'a Credential>,
    store: Option<&'a Store>,
) -> Option<(&'a str, &'a str)> {
    if variable == "DB_PASSWORD" {
        let reference = password?.reference()?;
        return Some((&reference.secret, reference.keys.first()?));
    }
    store?.referenced(variable)
}

impl Place {
    /// What a server and a bucket name, or a directory and a folder in it.
    #[must_use]
    pub fn of_server(endpoint: Option<Endpoint>, bucket: Option<Bucket>) -> Option<Self> {
        let server = match endpoint {
            Some(Endpoint::Directory(path)) => {
                return Some(Self::Directory {
                    path,
                    folder: bucket,
                });
            }
            Some(Endpoint::Url(url)) => Some(url),
            None => None,
        };
        Some(Self::S3 {
            server,
            bucket: bucket?,
            prefix: Prefix::default(),
        })
    }

    /// The same below a prefix; a directory has none, since its path says it all.
    #[must_use]
    pub fn below(&self, below: Prefix) -> Option<Self> {
        let mut place = self.clone();
        match &mut place {
            Self::S3 { prefix, .. } | Self::Google { prefix, .. } | Self::Azure { prefix, .. } => {
                *prefix = below;
            }
            Self::Directory { .. } if below.is_empty() => {}
            Self::Directory { .. } => return None,
        }
        Some(place)
    }

    /// What keys begin with.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        match self {
            Self::S3 { prefix, .. } | Self::Google { prefix, .. } | Self::Azure { prefix, .. } => {
                prefix.clone()
            }
            Self::Directory { .. } => Prefix::default(),
        }
    }

    /// Whether the other one is in this one: the same bucket, and this prefix or one below it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        let whole = |it: &Self| it.below(Prefix::default());
        whole(self) == whole(other) && other.prefix().as_str().starts_with(self.prefix().as_str())
    }

    /// Whether it is neither S3's nor a directory, and so was not there before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        let is_cloud = matches!(self, Self::Google { .. } | Self::Azure { .. });
        is_cloud || !self.prefix().is_empty()
    }

    /// Two words that tell it apart, by which schedules have their names: a server, and what is in it.
    #[must_use]
    pub fn words(&self) -> (String, String) {
        let below = |it: &dyn fmt::Display, prefix: &Prefix| {
            if prefix.is_empty() {
                it.to_string()
            } else {
                format!("{it}/{prefix}")
            }
        };
        match self {
            Self::S3 {
                server,
                bucket,
                prefix,
            } => (server.clone().unwrap_or_default(), below(bucket, prefix)),
            Self::Google { bucket, prefix } => ("gs://".to_owned(), below(bucket, prefix)),
            Self::Azure {
                account,
                container,
                prefix,
            } => (format!("az://{account}"), below(container, prefix)),
            Self::Directory { path, folder } => (
                format!("file://{}", path.display()),
                folder.as_ref().map(Bucket::to_string).unwrap_or_default(),
            ),
        }
    }
}

impl From<StoreUrl> for Place {
    fn from(url: StoreUrl) -> Self {
        match url {
            StoreUrl::S3 { bucket, prefix } => Self::S3 {
                server: None,
                bucket,
                prefix,
            },
            StoreUrl::Gcs { bucket, prefix } => Self::Google { bucket, prefix },
            StoreUrl::Azure {
                account,
                container,
                prefix,
            } => Self::Azure {
                account,
                container,
                prefix,
            },
            StoreUrl::Directory(path) => Self::Directory { path, folder: None },
        }
    }
}

impl fmt::Display for Place {
    /// As commands take it: a URL, and a prefix of another server than AWS with the server behind it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 {
                server: Some(server),
                bucket,
                prefix,
            } => {
                if prefix.is_empty() {
                    write!(formatter, "{server}/{bucket}")
                } else {
                    write!(formatter, "s3://{bucket}/{prefix}@{server}")
                }
            }
            Self::S3 { .. } => {
                let (_, within) = self.words();
                write!(formatter, "s3://{within}")
            }
            Self::Google { .. } => {
                let (_, within) = self.words();
                write!(formatter, "gs://{within}")
            }
            Self::Azure { .. }
            | Self::Directory {
                folder: Some(_), ..
            } => {
                let (server, within) = self.words();
                write!(formatter, "{server}/{within}")
            }
            Self::Directory { path, folder: None } => {
                write!(formatter, "file://{}", path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::Reference;

    fn at(url: &str) -> Place {
        Place::from(url.parse::<StoreUrl>().unwrap())
    }

    fn kept(store: &Store) -> String {
        serde_json::to_string(store).unwrap()
    }

    fn read(text: &str) -> Store {
        serde_json::from_str(text).unwrap_or_else(|it| panic!("{text}: {it}"))
    }

    /// As schedulers kept it that knew of S3 and directories alone.
    #[test]
    fn what_is_kept_of_before_is_read_written_and_named_the_same() {
        for (text, place, words) in [
            (
                r#"{"endpoint":null,"bucket":"backups","keys":"ambient"}"#,
                "backups",
                ["", "backups"],
            ),
            (
                r#"{"endpoint":"https://s3.example","bucket":"backups","keys":"inline"}"#,
                "https://s3.example/backups",
                ["https://s3.example", "backups"],
            ),
            (
                r#"{"endpoint":"file:///backups","bucket":null,"keys":"ambient"}"#,
                "file:///backups/",
                ["file:///backups", ""],
            ),
            (
                r#"{"endpoint":"file:///backups","bucket":"team","keys":{"reference":{"secret":"s","keys":["a","b"]}}}"#,
                "file:///backups/team",
                ["file:///backups", "team"],
            ),
        ] {
            let store = read(text);
            assert_eq!(kept(&store), text);
            assert_eq!(store.place(), place);
            let (server, bucket) = store.place.words();
            assert_eq!([&*server, &*bucket], words);
            assert!(!store.place.is_new(), "{text}");
        }
    }

    #[test]
    fn what_is_new_is_kept_without_its_secrets_and_read_back() {
        let given = || Credential::Inline(Some(Keys(vec!["hunter2".into(), "hunter2".into()])));
        let named = Credential::Reference(Reference {
            secret: "azure".to_owned(),
            keys: vec!["sas".to_owned()],
        });
        for store in [
            Store::new(at("s3://backups/team-a"), Way::Pair, given()).unwrap(),
            Store::new(at("gs://backups/team-a"), Way::ServiceAccount, given()).unwrap(),
            Store::new(at("gs://backups"), Way::Pair, given()).unwrap(),
            Store::new(at("az://acme/backups"), Way::AccountKey, given()).unwrap(),
            Store::new(at("az://acme/backups/a/b"), Way::Signature, named).unwrap(),
        ] {
            let text = kept(&store);
            assert!(!text.contains("hunter2"), "{text}");
            let back = read(&text);
            assert_eq!(back.place, store.place, "{text}");
            assert_eq!(back.variables(), store.variables(), "{text}");
            assert_eq!(back.keys.reference(), store.keys.reference(), "{text}");
            assert!(store.place.is_new(), "{text}");
        }
    }

    #[test]
    fn no_two_places_have_the_same_words() {
        let places = [
            "s3://backups",
            "s3://backups/a",
            "s3://backups/a/b",
            "gs://backups",
            "gs://backups/a",
            "az://acme/backups",
            "az://acme/backups/a",
            "file:///backups",
            "file:///backups/a",
        ];
        let mut words: Vec<_> = places.iter().map(|it| at(it).words()).collect();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), places.len());
    }

    #[test]
    fn what_is_in_a_secret_of_a_callers_is_read_by_that_stores_variables_alone() {
        let named = Credential::Reference(Reference {
            secret: "azure".to_owned(),
            keys: vec!["sas".to_owned()],
        });
        let store = Store::new(at("az://acme/backups"), Way::Signature, named).unwrap();
        let of = |variable: &str| referenced(variable, None, Some(&store));
        assert_eq!(of("AZURE_STORAGE_SAS_TOKEN"), Some(("azure", "sas")));
        for other in ["AZURE_STORAGE_ACCOUNT_KEY", "S3_ACCESS_KEY", "DB_PASSWORD"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
