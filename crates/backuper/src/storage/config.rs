//! What names a store, and what it takes to reach it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;

use super::prefix::Prefix;
use super::s3::options::Options;
use super::{AzurePlace, GcsPlace, Tags};

/// Where objects are kept and how to get there.
#[derive(Clone, Debug)]
pub struct Config {
    /// The service, the place in it, and what it takes to be let in.
    pub place: Place,
    /// What every key begins with there; nobody above this sees it.
    pub prefix: Prefix,
    /// Whose certificates are trusted.
    pub tls: Tls,
    /// What every object says of the backup, where the store takes that.
    pub tags: Tags,
}

impl Config {
    /// The place in a few words, for people: `s3://bucket/prefix`.
    #[must_use]
    pub fn name(&self) -> String {
        let place = match &self.place {
            Place::S3(place) => format!("s3://{}", place.bucket),
            Place::Gcs(place) => format!("gs://{}", place.bucket),
            Place::Azure(place) => format!("az://{}/{}", place.account, place.container),
            Place::Directory { path, folder } => {
                let folder = folder.as_ref().map(|it| format!("/{it}"));
                let path = path.display().to_string();
                format!(
                    "file://{}{}",
                    path.trim_end_matches('/'),
                    folder.unwrap_or_default()
                )
            }
        };
        if self.prefix.is_empty() {
            return place;
        }
        format!("{place}/{}", self.prefix.as_str().trim_end_matches('/'))
    }
}

/// What the settings name.
#[derive(Clone, Debug)]
pub enum Place {
    /// A bucket of an S3 server.
    S3(S3Place),
    /// A bucket of Google Cloud Storage.
    Gcs(GcsPlace),
    /// A container of Azure Blob Storage.
    Azure(AzurePlace),
    /// A directory of this machine.
    Directory {
        /// An absolute path, which must be there.
        path: PathBuf,
        /// The folder in it that keeps the objects; none: the directory itself.
        folder: Option<Bucket>,
    },
}

impl Place {
    /// Who answers there, for people and as S3_ENDPOINT has it.
    #[must_use]
    pub fn server(&self) -> String {
        match self {
            Self::S3(place) => place.endpoint.clone().unwrap_or_else(|| "AWS".to_owned()),
            Self::Gcs(place) => place.server(),
            Self::Azure(place) => place.server(),
            Self::Directory { path, .. } => format!("file://{}", path.display()),
        }
    }

    /// The place, as errors tell it.
    #[must_use]
    pub fn location(&self) -> String {
        let server = self.server();
        match self {
            Self::S3(_) | Self::Directory { .. } => server,
            Self::Gcs(place) => format!("gs://{} at {server}", place.bucket),
            Self::Azure(place) => {
                format!("az://{}/{} at {server}", place.account, place.container)
            }
        }
    }
}

/// A bucket of an S3 server, and how it is asked.
#[derive(Clone, Debug)]
pub struct S3Place {
    /// A URL with scheme http or https and without a trailing slash; none is AWS.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: Bucket,
    /// None asks AWS's own chain.
    pub access_key: Option<SecretString>,
    /// Belongs to the access key.
    pub secret_key: Option<SecretString>,
    /// For temporary keys.
    pub session_token: Option<SecretString>,
    /// None is the default: us-east-1 for an endpoint, AWS's own chain without one.
    pub region: Option<String>,
    /// Whether the bucket stands in the path; none: where an endpoint is given.
    pub force_path_style: Option<bool>,
    /// What objects are written with.
    pub options: Options,
}

/// Whose certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the server's certificate is verified.
    pub verify: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            ca_file: None,
            verify: true,
        }
    }
}

/// An S3 server's address, or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A URL with scheme http or https and without a trailing slash.
    Url(String),
    /// An absolute path.
    Directory(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                // One spelling: without empty parts, `.` and a slash at the end.
                Ok(Self::Directory(path.components().collect()))
            } else {
                Err("file:// needs an absolute path, as in file:///var/backups".to_owned())
            };
        }
        // The oiler command line writes `://host:port` for an endpoint without a scheme.
        let text = text.strip_prefix("://").unwrap_or(text);
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let uri: http::Uri = url
            .parse()
            .map_err(|error| format!("not a URL or a host: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("the scheme must be http, https or file, or left out for https".to_owned());
        }
        let authority = uri.authority().filter(|it| !it.as_str().contains('@'));
        let Some(authority) = authority else {
            return Err("a host is needed, and credentials do not belong here".to_owned());
        };
        if uri.query().is_some() {
            return Err("a query does not belong here".to_owned());
        }
        Ok(Self::Url(one_spelling(&uri, authority)))
    }
}

/// The same place has one name, by which schedules and runs are told apart. RFC 3986, 6.2:
/// normalization.
fn one_spelling(uri: &http::Uri, authority: &http::uri::Authority) -> String {
    let scheme = uri.scheme_str().unwrap_or("https");
    let host = authority.host().to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let port = match (scheme, authority.port_u16()) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let path = uri.path().trim_end_matches('/');
    format!("{scheme}://{host}{port}{path}")
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => formatter.write_str(url),
            Self::Directory(path) => write!(formatter, "file://{}", path.display()),
        }
    }
}

/// A bucket's name: 3 to 63 of `a-z`, `0-9`, `.` and `-`, beginning and ending with a letter
/// or digit; upper case and `_` pass too, since older servers have such buckets.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket(String);

impl Bucket {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Bucket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let fits = (3..=63).contains(&text.len())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            && edge(text.chars().next())
            && edge(text.chars().last())
            && !text.contains("..");
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("a bucket's name has 3 to 63 letters, digits, dots and hyphens, and begins and ends with a letter or digit".to_owned())
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S19.
    #[test]
    fn one_place_has_one_spelling() {
        for (text, wanted) in [
            ("S3.Example", "https://s3.example"),
            ("s3.example.", "https://s3.example"),
            ("https://s3.example:443/", "https://s3.example"),
            ("http://s3.example:80", "http://s3.example"),
            ("http://s3.example:443", "http://s3.example:443"),
            ("HTTPS://S3.example/Gateway//", "https://s3.example/Gateway"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("://s3.example:9000", "https://s3.example:9000"),
            ("file:///a//b/./c/", "file:///a/b/c"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap_or_else(|it| panic!("{text}: {it}"));
            assert_eq!(endpoint.to_string(), wanted, "{text}");
        }
        for wrong in [
            "",
            "://",
            "ftp://s3",
            "https://",
            "https://key@s3",
            "https://s3?x=1",
            "file://b",
        ] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
