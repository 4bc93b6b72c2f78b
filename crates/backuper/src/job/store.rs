//! What names a store: the `S3_*` variables of the contract, or `STORE_URL` in the place of some of them.

mod azure;
mod google;
pub mod s3;

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::Args;
use secrecy::SecretString;

use super::parse::{Maybe, maybe, maybe_flag, secret, secure};
use super::var::Var;
pub use azure::AzureSettings;
pub use google::GoogleSettings;

use crate::storage::{Bucket, Config, Endpoint, Place, Prefix, S3Place, StoreUrl, Tags, Tls};
use s3::S3Settings;

/// Where backups are kept and how to get there.
#[derive(Clone, Debug, Args)]
pub struct StoreSettings {
    /// s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX or file:///DIRECTORY, in the place of S3_BUCKET_NAME and S3_PREFIX; empty: those say it.
    #[arg(env = "STORE_URL", default_value = "", value_parser = maybe::<StoreUrl>)]
    pub url: Maybe<StoreUrl>,

    /// Folders below which all keys are, as in team-a/prod; empty: none.
    #[arg(env = "S3_PREFIX", default_value = "", value_parser = Prefix::from_str)]
    pub prefix: Prefix,

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

    /// PEM file with certificate authorities to trust besides the system's, of any store.
    #[arg(env = "STORE_CA_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub store_ca_file: Maybe<PathBuf>,

    /// The older name of STORE_CA_FILE.
    #[arg(env = "S3_CA_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub ca_file: Maybe<PathBuf>,

    /// true: the bucket stands in the path; false: in the host name; empty: true when an endpoint is given.
    #[arg(env = "S3_FORCE_PATH_STYLE", default_value = "", value_parser = maybe_flag)]
    pub force_path_style: Maybe<bool>,

    /// false: do not verify the store's certificate (dangerous, kept for the published adapter's users).
    #[arg(env = "SECURE", default_value = "true", action = clap::ArgAction::Set, value_parser = secure)]
    pub secure: bool,

    /// What objects on S3 are written with.
    #[command(flatten)]
    pub s3: S3Settings,
    /// Who we are at Google, of gs://.
    #[command(flatten)]
    pub google: GoogleSettings,

    /// Who we are at Azure, of az://.
    #[command(flatten)]
    pub azure: AzureSettings,
}

impl Default for StoreSettings {
    /// No store is named.
    fn default() -> Self {
        Self {
            url: None,
            prefix: Prefix::default(),
            endpoint: None,
            bucket: None,
            access_key: None,
            secret_key: None,
            session_token: None,
            region: None,
            store_ca_file: None,
            ca_file: None,
            force_path_style: None,
            secure: true,
            s3: S3Settings::default(),
            google: GoogleSettings::default(),
            azure: AzureSettings::default(),
        }
    }
}

impl StoreSettings {
    /// The same as a plain [`Config`], where all of it fits together.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn config(&self) -> Result<Config, String> {
        if self.access_key.is_some() != self.secret_key.is_some() {
            return Err(
                "S3_ACCESS_KEY and S3_SECRET_KEY go together; set both or neither".to_owned(),
            );
        }
        let place = self.place()?;
        match &place {
            Place::S3(place) => place.options.check(place.endpoint.as_deref())?,
            Place::Directory { .. } | Place::Gcs(_) | Place::Azure(_) => {
                self.s3.options().fit_another_store()?;
            }
        }
        Ok(Config {
            place,
            prefix: self.whole_prefix()?,
            tls: Tls {
                ca_file: self.authorities()?,
                verify: self.secure,
            },
            tags: Tags::default(),
        })
    }

    /// Whether anything says which store is meant.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.url.is_some() || self.endpoint.is_some() || self.bucket.is_some()
    }

    fn place(&self) -> Result<Place, String> {
        let Some(url) = &self.url else {
            return self.contract();
        };
        match (url, &self.endpoint) {
            (_, None) | (StoreUrl::S3 { .. }, Some(Endpoint::Url(_))) => {}
            (StoreUrl::Directory(path), Some(Endpoint::Directory(other))) if path == other => {}
            _ => return Err(contradicted("S3_ENDPOINT")),
        }
        let named = match url {
            StoreUrl::S3 { bucket, .. } | StoreUrl::Gcs { bucket, .. } => Some(bucket),
            StoreUrl::Azure { .. } | StoreUrl::Directory(_) => None,
        };
        if self.bucket.is_some() && self.bucket.as_ref() != named {
            return Err(contradicted("S3_BUCKET_NAME"));
        }
        Ok(match url {
            StoreUrl::S3 { bucket, .. } => Place::S3(self.s3(bucket)),
            StoreUrl::Gcs { bucket, .. } => self.gcs(bucket)?,
            StoreUrl::Azure {
                account, container, ..
            } => Place::Azure(self.azure.place(account, container)?),
            StoreUrl::Directory(path) => Place::Directory {
                path: path.clone(),
                folder: None,
            },
        })
    }

    /// What the contract's own variables name.
    fn contract(&self) -> Result<Place, String> {
        match (&self.endpoint, &self.bucket) {
            (Some(Endpoint::Directory(path)), folder) => Ok(Place::Directory {
                path: path.clone(),
                folder: folder.clone(),
            }),
            (_, Some(bucket)) => Ok(Place::S3(self.s3(bucket))),
            (_, None) => Err("S3_BUCKET_NAME is empty; set it to the bucket's name".to_owned()),
        }
    }

    /// With a pair of HMAC keys Google's bucket is one of S3's: its other API takes no others.
    fn gcs(&self, bucket: &Bucket) -> Result<Place, String> {
        let place = self.google.place(bucket)?;
        if self.access_key.is_none() {
            return Ok(Place::Gcs(place));
        }
        if self.google.has_key() {
            return Err("S3_ACCESS_KEY is an HMAC key beside another of Google's; leave out S3_ACCESS_KEY and S3_SECRET_KEY, or the other".to_owned());
        }
        Ok(Place::S3(S3Place {
            endpoint: Some(place.server()),
            region: Some(self.region.clone().unwrap_or_else(|| "auto".to_owned())),
            ..self.s3(bucket)
        }))
    }

    fn s3(&self, bucket: &Bucket) -> S3Place {
        S3Place {
            endpoint: match &self.endpoint {
                Some(Endpoint::Url(url)) => Some(url.clone()),
                Some(Endpoint::Directory(_)) | None => None,
            },
            bucket: bucket.clone(),
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            session_token: self.session_token.clone(),
            region: self.region.clone(),
            force_path_style: self.force_path_style,
            options: self.s3.options(),
        }
    }

    fn whole_prefix(&self) -> Result<Prefix, String> {
        let of_url = self.url.as_ref().map(StoreUrl::prefix).unwrap_or_default();
        if of_url.is_empty() {
            return Ok(self.prefix.clone());
        }
        if !self.prefix.is_empty() && self.prefix != of_url {
            return Err(contradicted("S3_PREFIX"));
        }
        Ok(of_url)
    }

    fn authorities(&self) -> Result<Option<PathBuf>, String> {
        match (&self.store_ca_file, &self.ca_file) {
            (Some(one), Some(other)) if one != other => Err(
                "STORE_CA_FILE and S3_CA_FILE name two files; set one of them, with all authorities in it"
                    .to_owned(),
            ),
            (one, other) => Ok(one.clone().or_else(|| other.clone())),
        }
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            url,
            prefix,
            endpoint,
            bucket,
            access_key,
            secret_key,
            session_token,
            region,
            store_ca_file,
            ca_file,
            force_path_style,
            secure,
            s3,
            google,
            azure,
        } = self;
        let mut vars = Vec::new();
        vars.extend(
            url.as_ref()
                .map(|it| Var::plain("STORE_URL", it.to_string())),
        );
        if !prefix.is_empty() {
            vars.push(Var::plain("S3_PREFIX", prefix.to_string()));
        }
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
        for (name, file) in [("STORE_CA_FILE", store_ca_file), ("S3_CA_FILE", ca_file)] {
            vars.extend(
                file.as_ref()
                    .map(|it| Var::plain(name, it.to_string_lossy())),
            );
        }
        vars.extend(force_path_style.map(|it| Var::plain("S3_FORCE_PATH_STYLE", it.to_string())));
        // Said only where it is not the default: an absent SECURE verifies.
        if !secure {
            vars.push(Var::plain("SECURE", "false"));
        }
        vars.extend(s3.to_env());
        vars.extend(google.to_env());
        vars.extend(azure.to_env());
        vars
    }
}

fn contradicted(name: &str) -> String {
    format!("STORE_URL names another place than {name}; leave {name} out")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::runtime::settings::{Instead, read_from};

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        store: StoreSettings,
    }

    fn config(vars: &[(&'static str, &'static str)]) -> Result<Config, String> {
        let read: Result<Only, _> = read_from(vars.iter().copied());
        match read {
            Ok(only) => only.store.config(),
            Err(Instead::Refuse(sentence)) => Err(sentence),
            Err(Instead::Print(text)) => panic!("{text}"),
        }
    }

    /// The place, for people.
    fn place(vars: &[(&'static str, &'static str)]) -> String {
        let config = config(vars).unwrap_or_else(|it| panic!("{vars:?}: {it}"));
        let at = match config.place {
            Place::S3(it) => format!("{:?} {}", it.endpoint, it.bucket),
            Place::Gcs(it) => format!("{} {:?}", it.server(), it.credentials),
            Place::Azure(it) => format!("{} {:?}", it.server(), it.credentials),
            Place::Directory { path, folder } => format!("{path:?} {folder:?}"),
        };
        format!("{at} {}", config.prefix.as_str())
    }

    #[test]
    fn a_url_says_what_the_contracts_variables_say() {
        let apart = [("S3_BUCKET_NAME", "backups"), ("S3_PREFIX", "a/b")];
        let url = [("STORE_URL", "s3://backups/a/b/")];
        assert_eq!(place(&apart), place(&url));
        assert_eq!(place(&[&apart[..], &url].concat()), place(&url));
        let mixed = [("STORE_URL", "s3://backups"), ("S3_PREFIX", "a/b")];
        assert_eq!(place(&mixed), place(&url));
        let endpoint = ("S3_ENDPOINT", "http://s3:9000");
        assert_eq!(place(&[apart[0], endpoint]), place(&[mixed[0], endpoint]));
        let directory = [("STORE_URL", "file:///var/backups")];
        assert_eq!(
            place(&directory),
            place(&[("S3_ENDPOINT", "file:///var/backups")])
        );
    }

    #[test]
    fn two_places_are_refused() {
        for (vars, name) in [
            (
                [("STORE_URL", "s3://one"), ("S3_BUCKET_NAME", "two")],
                "S3_BUCKET_NAME",
            ),
            (
                [("STORE_URL", "s3://one/a"), ("S3_PREFIX", "b")],
                "S3_PREFIX",
            ),
            (
                [("STORE_URL", "s3://one"), ("S3_ENDPOINT", "file:///one")],
                "S3_ENDPOINT",
            ),
            (
                [("STORE_URL", "file:///one"), ("S3_ENDPOINT", "http://s3")],
                "S3_ENDPOINT",
            ),
            (
                [("STORE_URL", "file:///one"), ("S3_BUCKET_NAME", "two")],
                "S3_BUCKET_NAME",
            ),
            (
                [("STORE_CA_FILE", "/a"), ("S3_CA_FILE", "/b")],
                "S3_CA_FILE",
            ),
        ] {
            let with_bucket = [&vars[..], &[("S3_BUCKET_NAME", "backups")]].concat();
            let vars = if name == "S3_CA_FILE" {
                &with_bucket
            } else {
                &vars[..]
            };
            let sentence = config(vars).unwrap_err();
            assert!(sentence.contains(name), "{vars:?}: {sentence}");
        }
    }

    #[test]
    fn each_clouds_own_variables_let_in() {
        let gs = ("STORE_URL", "gs://backups/a");
        let az = ("STORE_URL", "az://acme/backups/a");
        let id = [("AZURE_CLIENT_ID", "app"), ("AZURE_TENANT_ID", "dir")];
        for (vars, wanted) in [
            (vec![gs], "googleapis.com Ambient a/"),
            (
                vec![gs, ("GOOGLE_APPLICATION_CREDENTIALS", "/k.json")],
                "File(\"/k.json\")",
            ),
            (vec![gs, ("GOOGLE_SERVICE_ACCOUNT_KEY", "hunter2")], "Key("),
            (
                vec![gs, ("STORAGE_EMULATOR_HOST", "gcs:4443")],
                "http://gcs:4443 Anonymous",
            ),
            (
                vec![gs, ("S3_ACCESS_KEY", "GOOG1"), ("S3_SECRET_KEY", "hunter2")],
                "Some(\"https://storage.googleapis.com\") backups a/",
            ),
            (
                vec![az],
                "https://acme.blob.core.windows.net Ambient { client: None } a/",
            ),
            (vec![az, id[0]], "Ambient { client: Some(\"app\") }"),
            (vec![az, ("AZURE_STORAGE_ACCOUNT_KEY", "hunter2")], "Key("),
            (
                vec![az, id[0], id[1], ("AZURE_STORAGE_SAS_TOKEN", "hunter2")],
                "Sas(",
            ),
            (
                vec![az, id[0], id[1], ("AZURE_CLIENT_SECRET", "hunter2")],
                "Secret {",
            ),
            (
                vec![az, id[0], id[1], ("AZURE_FEDERATED_TOKEN_FILE", "/t")],
                "Federated {",
            ),
            (
                vec![
                    az,
                    ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:10000/acme/"),
                ],
                "http://127.0.0.1:10000/acme ",
            ),
        ] {
            let place = place(&vars);
            assert!(place.contains(wanted), "{vars:?}: {place}");
            assert!(!place.contains("hunter2"), "{place}");
        }
    }

    #[test]
    fn what_lets_in_twice_or_not_at_all_is_refused() {
        let gs = ("STORE_URL", "gs://backups/a");
        let az = ("STORE_URL", "az://acme/backups/a");
        let id = ("AZURE_CLIENT_ID", "app");
        for (vars, name) in [
            (vec![gs, ("S3_ENDPOINT", "http://s3")], "S3_ENDPOINT"),
            (vec![gs, ("S3_BUCKET_NAME", "others")], "S3_BUCKET_NAME"),
            (vec![az, ("S3_BUCKET_NAME", "backups")], "S3_BUCKET_NAME"),
            (
                vec![az, ("AZURE_CLIENT_SECRET", "hunter2"), id],
                "AZURE_TENANT_ID",
            ),
            (
                vec![az, ("AZURE_FEDERATED_TOKEN_FILE", "/t")],
                "AZURE_CLIENT_ID",
            ),
            (
                vec![
                    az,
                    ("AZURE_STORAGE_ACCOUNT_KEY", "k"),
                    ("AZURE_STORAGE_SAS_TOKEN", "hunter2"),
                ],
                "AZURE_STORAGE_SAS_TOKEN",
            ),
            (
                vec![
                    gs,
                    ("GOOGLE_APPLICATION_CREDENTIALS", "/k"),
                    ("GOOGLE_SERVICE_ACCOUNT_KEY", "hunter2"),
                ],
                "GOOGLE_SERVICE_ACCOUNT_KEY",
            ),
            (
                vec![
                    gs,
                    ("GOOGLE_APPLICATION_CREDENTIALS", "/k"),
                    ("S3_ACCESS_KEY", "k"),
                    ("S3_SECRET_KEY", "hunter2"),
                ],
                "S3_ACCESS_KEY",
            ),
        ] {
            let sentence = config(&vars).unwrap_err();
            assert!(sentence.contains(name), "{vars:?}: {sentence}");
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
    }

    #[test]
    fn a_prefix_that_leads_elsewhere_is_refused_with_its_name() {
        for prefix in ["../b", "/b", "a//b", "a%2Fb"] {
            let sentence = config(&[("S3_BUCKET_NAME", "backups"), ("S3_PREFIX", prefix)]);
            assert!(sentence.unwrap_err().contains("S3_PREFIX"), "{prefix}");
        }
    }
}
