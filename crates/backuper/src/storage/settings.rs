//! What names a store: the `S3_*` variables of the contract.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use secrecy::SecretString;

use crate::job::{Maybe, Var, maybe, secret};

/// Where backups are kept and how to get there.
#[derive(Clone, Debug, Args)]
pub struct StoreSettings {
    /// http://…, https://…, a bare host (https), or file:///directory; empty: AWS.
    #[arg(env = "S3_ENDPOINT", default_value = "", hide_default_value = true, value_parser = maybe::<Endpoint>, hide_env_values = true)]
    pub endpoint: Maybe<Endpoint>,

    /// Bucket; below file:///directory it is a folder and may be empty.
    #[arg(env = "S3_BUCKET_NAME", default_value = "", hide_default_value = true, value_parser = maybe::<Bucket>, hide_env_values = true)]
    pub bucket: Maybe<Bucket>,

    /// Access key; with an empty one, AWS's own chain is asked (IRSA, instance profile, …).
    #[arg(env = "S3_ACCESS_KEY", default_value = "", hide_default_value = true, value_parser = secret, hide_env_values = true)]
    pub access_key: Maybe<SecretString>,

    /// Secret key of S3_ACCESS_KEY.
    #[arg(env = "S3_SECRET_KEY", default_value = "", hide_default_value = true, value_parser = secret, hide_env_values = true)]
    pub secret_key: Maybe<SecretString>,

    /// Session token, for temporary keys.
    #[arg(env = "S3_SESSION_TOKEN", default_value = "", hide_default_value = true, value_parser = secret, hide_env_values = true)]
    pub session_token: Maybe<SecretString>,

    /// Region; empty: us-east-1 for an endpoint, AWS's own chain without one.
    #[arg(env = "S3_REGION", default_value = "", hide_default_value = true, value_parser = maybe::<String>, hide_env_values = true)]
    pub region: Maybe<String>,

    /// PEM file with certificate authorities to trust besides the system's.
    #[arg(env = "S3_CA_FILE", default_value = "", hide_default_value = true, value_parser = maybe::<PathBuf>, hide_env_values = true)]
    pub ca_file: Maybe<PathBuf>,

    /// true: the bucket stands in the path; false: in the host name; empty: true when an endpoint is given.
    #[arg(env = "S3_FORCE_PATH_STYLE", default_value = "", hide_default_value = true, value_parser = maybe::<bool>, hide_env_values = true)]
    pub force_path_style: Maybe<bool>,

    /// false: do not verify the S3 server's certificate (dangerous, kept for the published adapter's users).
    #[arg(env = "SECURE", default_value = "true", action = clap::ArgAction::Set, value_parser = secure, hide_env_values = true)]
    pub secure: bool,
}

/// What the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A bucket of an S3 server.
    Bucket(Bucket),
    /// A directory of this machine, in which the bucket is a folder.
    Directory(PathBuf),
}

impl StoreSettings {
    /// What the settings name. Without an endpoint and a bucket it is a bucket whose name is
    /// empty, which [`StoreSettings::check`] refuses.
    #[must_use]
    pub fn location(&self) -> Location {
        match (&self.endpoint, &self.bucket) {
            (Some(Endpoint::Directory(directory)), _) => Location::Directory(directory.clone()),
            (_, bucket) => Location::Bucket(bucket.clone().unwrap_or_default()),
        }
    }

    /// Checks what no single variable can: that the parts fit together.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn check(&self) -> Result<(), String> {
        let on_disk = matches!(self.endpoint, Some(Endpoint::Directory(_)));
        if !on_disk && self.bucket.is_none() {
            return Err("S3_BUCKET_NAME is empty; set it to the bucket's name".to_owned());
        }
        if self.access_key.is_some() != self.secret_key.is_some() {
            return Err(
                "S3_ACCESS_KEY and S3_SECRET_KEY go together; set both or neither".to_owned(),
            );
        }
        Ok(())
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            endpoint,
            bucket,
            access_key,
            secret_key,
            session_token,
            region,
            ca_file,
            force_path_style,
            secure,
        } = self;
        let mut vars = Vec::new();
        vars.extend(
            endpoint
                .as_ref()
                .map(|it| Var::plain("S3_ENDPOINT", it.to_string())),
        );
        vars.extend(
            bucket
                .as_ref()
                .map(|it| Var::plain("S3_BUCKET_NAME", it.to_string())),
        );
        for (name, value) in [
            ("S3_ACCESS_KEY", access_key),
            ("S3_SECRET_KEY", secret_key),
            ("S3_SESSION_TOKEN", session_token),
        ] {
            vars.extend(value.as_ref().map(|it| Var::secret(name, it)));
        }
        vars.extend(region.as_ref().map(|it| Var::plain("S3_REGION", it)));
        vars.extend(
            ca_file
                .as_ref()
                .map(|it| Var::plain("S3_CA_FILE", it.to_string_lossy())),
        );
        vars.extend(force_path_style.map(|it| Var::plain("S3_FORCE_PATH_STYLE", it.to_string())));
        // Said only where it is not the default: an absent SECURE verifies.
        if !secure {
            vars.push(Var::plain("SECURE", "false"));
        }
        vars
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
                Ok(Self::Directory(path))
            } else {
                Err("file:// needs an absolute path, as in file:///var/backups".to_owned())
            };
        }
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
        if uri.authority().is_none_or(|it| it.as_str().contains('@')) {
            return Err("a host is needed, and credentials do not belong here".to_owned());
        }
        Ok(Self::Url(url.trim_end_matches('/').to_owned()))
    }
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

/// `false` in any of Go's spellings switches verification off; what cannot be read is an error
/// rather than a guess.
///
/// # Errors
/// When it is neither.
pub fn secure(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "true" | "t" | "1" | "yes" => Ok(true),
        "false" | "f" | "0" | "no" => Ok(false),
        _ => Err("true or false is needed".to_owned()),
    }
}
