//! What names a store: the `S3_*` variables of the contract.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::parse::{Maybe, maybe, maybe_flag, secret, secure};
use super::var::Var;
use crate::storage::{Bucket, Config, Endpoint};

/// Where backups are kept and how to get there.
#[derive(Clone, Debug, Args)]
pub struct StoreSettings {
    /// http://…, https://…, a bare host (https), or file:///directory; empty: AWS.
    #[arg(env = "S3_ENDPOINT", default_value = "", value_parser = maybe::<Endpoint>)]
    pub endpoint: Maybe<Endpoint>,

    /// Bucket; below file:///directory it is a folder and may be empty.
    #[arg(env = "S3_BUCKET_NAME", default_value = "", value_parser = maybe::<Bucket>)]
    pub bucket: Maybe<Bucket>,

    /// Access key; with an empty one, AWS's own chain is asked (IRSA, instance profile, …).
    #[arg(env = "S3_ACCESS_KEY", default_value = "", value_parser = secret)]
    pub access_key: Maybe<SecretString>,

    /// Secret key of S3_ACCESS_KEY.
    #[arg(env = "S3_SECRET_KEY", default_value = "", value_parser = secret)]
    pub secret_key: Maybe<SecretString>,

    /// Session token, for temporary keys.
    #[arg(env = "S3_SESSION_TOKEN", default_value = "", value_parser = secret)]
    pub session_token: Maybe<SecretString>,

    /// Region; empty: us-east-1 for an endpoint, AWS's own chain without one.
    #[arg(env = "S3_REGION", default_value = "", value_parser = maybe::<String>)]
    pub region: Maybe<String>,

    /// PEM file with certificate authorities to trust besides the system's.
    #[arg(env = "S3_CA_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub ca_file: Maybe<PathBuf>,

    /// true: the bucket stands in the path; false: in the host name; empty: true when an endpoint is given.
    #[arg(env = "S3_FORCE_PATH_STYLE", default_value = "", value_parser = maybe_flag)]
    pub force_path_style: Maybe<bool>,

    /// false: do not verify the S3 server's certificate (dangerous, kept for the published adapter's users).
    #[arg(env = "SECURE", default_value = "true", action = clap::ArgAction::Set, value_parser = secure)]
    pub secure: bool,
}

impl StoreSettings {
    /// The same as a plain [`Config`].
    #[must_use]
    pub fn config(&self) -> Config {
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
        } = self.clone();
        Config {
            endpoint,
            bucket,
            access_key,
            secret_key,
            session_token,
            region,
            ca_file,
            force_path_style,
            secure,
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
