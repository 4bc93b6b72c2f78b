//! Stores and their credentials among a command's arguments.

use std::path::{Path, PathBuf};

use backuper::runtime::Failure;
use backuper::runtime::settings::secret;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use super::secrets::{ask, read};
use crate::api::proto::v1;

/// What a store is.
pub(super) const NEEDED: &str = "s3://BUCKET/PREFIX, https://ENDPOINT/BUCKET, gs://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX or file:///DIRECTORY";

/// A store, where no schedule says it.
#[derive(Debug, Args)]
pub(in crate::cli) struct StoreAsked {
    /// s3://BUCKET/PREFIX, https://ENDPOINT/BUCKET, gs://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX or
    /// file:///DIRECTORY, as `ls` prints it.
    #[arg(long)]
    pub(in crate::cli) store: Option<String>,
    /// The S3 server of s3://BUCKET; without it AWS.
    #[arg(long, requires = "store")]
    endpoint: Option<String>,
    /// File with what lets in. Of S3 two lines: the access key and its secret, which ADAPTER_S3_ACCESS_KEY and
    /// ADAPTER_S3_SECRET_KEY may have too. Of gs:// the same of HMAC keys, or the JSON of a service account's key
    /// (ADAPTER_GOOGLE_SERVICE_ACCOUNT_KEY). Of az:// one line: a key of the account
    /// (ADAPTER_AZURE_STORAGE_ACCOUNT_KEY) or a shared access signature (ADAPTER_AZURE_STORAGE_SAS_TOKEN).
    #[arg(long, requires = "store")]
    keys_file: Option<PathBuf>,
    /// Kubernetes Secret that has it: NAME, or with the key in it NAME/KEY, and NAME/ACCESS_KEY/SECRET_KEY of a pair.
    #[arg(long, requires = "store", conflicts_with = "keys_file")]
    keys_secret: Option<String>,
    /// Kubernetes Secret with a shared access signature of az://: NAME, or NAME/KEY.
    #[arg(long, requires = "store", conflicts_with_all = ["keys_file", "keys_secret"])]
    sas_secret: Option<String>,
    /// Ask for it.
    #[arg(long, requires = "store", conflicts_with_all = ["keys_file", "keys_secret", "sas_secret"])]
    ask_keys: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    S3,
    Google,
    Azure,
    Directory,
}

impl StoreAsked {
    /// The store, where one is named.
    pub(in crate::cli) fn message(&self) -> Result<Option<v1::Store>, Failure> {
        let Some(text) = &self.store else {
            return Ok(None);
        };
        let (kind, mut store) = self.place(text)?;
        match (&self.keys_secret, &self.sas_secret) {
            (Some(named), _) => by_secret(&mut store, kind, named),
            (None, Some(named)) => store.sas_token_secret = Some(one_key(named)),
            (None, None) => match &self.keys_file {
                Some(path) => in_file(&mut store, kind, path)?,
                None if self.ask_keys => asked(&mut store, kind)?,
                None => in_environment(&mut store, kind),
            },
        }
        Ok(Some(store))
    }

    fn place(&self, text: &str) -> Result<(Kind, v1::Store), Failure> {
        let wrong = || Failure::refused(format!("--store: {NEEDED} is needed"));
        let endpoint = self.endpoint.clone().unwrap_or_default();
        let at = |kind: Kind, endpoint: String, url: &str| {
            let url = url.to_owned();
            let store = v1::Store {
                endpoint,
                url,
                ..v1::Store::default()
            };
            Ok((kind, store))
        };
        let in_bucket = |endpoint: String, bucket: &str| {
            let bucket = bucket.to_owned();
            let store = v1::Store {
                endpoint,
                bucket,
                ..v1::Store::default()
            };
            Ok((Kind::S3, store))
        };
        if text.starts_with("gs://") {
            return at(Kind::Google, endpoint, text);
        }
        if text.starts_with("az://") {
            return at(Kind::Azure, endpoint, text);
        }
        if text.starts_with("file://") {
            if !endpoint.is_empty() {
                return at(Kind::Directory, endpoint, text);
            }
            let (_, store) = in_bucket(text.to_owned(), "")?;
            return Ok((Kind::Directory, store));
        }
        if let Some(place) = text.strip_prefix("s3://") {
            let (place, server) = match place.split_once('@') {
                Some((place, server)) if endpoint.is_empty() => (place, server.to_owned()),
                Some(_) => return Err(wrong()),
                None => (place, endpoint),
            };
            let place = place.trim_end_matches('/');
            // A scheduler that knows of no URLs knows this.
            return if place.contains('/') {
                at(Kind::S3, server, &format!("s3://{place}"))
            } else {
                in_bucket(server, place)
            };
        }
        if !text.contains('/') {
            return in_bucket(endpoint, text);
        }
        match text.rsplit_once('/') {
            Some((server, bucket))
                if endpoint.is_empty()
                    && (server.starts_with("http://") || server.starts_with("https://")) =>
            {
                in_bucket(server.to_owned(), bucket)
            }
            _ => Err(wrong()),
        }
    }
}

fn by_secret(store: &mut v1::Store, kind: Kind, named: &str) {
    let is_pair = kind == Kind::S3 || named.matches('/').count() == 2;
    match kind {
        Kind::Google if !is_pair => store.service_account_secret = Some(one_key(named)),
        Kind::Azure => store.account_key_secret = Some(one_key(named)),
        Kind::S3 | Kind::Google | Kind::Directory => {
            let mut words = named.splitn(3, '/').map(str::to_owned);
            store.keys_secret = Some(v1::KeysSecret {
                name: words.next().unwrap_or_default(),
                access_key: words.next().unwrap_or_default(),
                secret_key: words.next().unwrap_or_default(),
            });
        }
    }
}

fn one_key(named: &str) -> v1::StoreSecret {
    let (name, key) = named.split_once('/').unwrap_or((named, ""));
    v1::StoreSecret {
        name: name.to_owned(),
        key: key.to_owned(),
    }
}

fn in_file(store: &mut v1::Store, kind: Kind, path: &Path) -> Result<(), Failure> {
    let text = read("--keys-file", path)?;
    let text = text.expose_secret();
    match kind {
        Kind::Google if text.trim_start().starts_with('{') => {
            text.clone_into(&mut store.service_account_key);
        }
        Kind::Azure => azure(store, text),
        Kind::S3 | Kind::Google | Kind::Directory => {
            let (access, key) = text.split_once('\n').ok_or_else(|| {
                let why = "two lines are needed, the access key and its secret";
                Failure::refused(format!("--keys-file: {}: {why}", path.display()))
            })?;
            access.trim().clone_into(&mut store.access_key);
            key.trim().clone_into(&mut store.secret_key);
        }
    }
    Ok(())
}

fn asked(store: &mut v1::Store, kind: Kind) -> Result<(), Failure> {
    match kind {
        Kind::Azure => {
            let typed = ask("Account key or signature: ")?;
            azure(store, typed.expose_secret());
        }
        Kind::Google => {
            return Err(Failure::refused(
                "--ask-keys: a service account's key is not typed; use --keys-file",
            ));
        }
        Kind::S3 | Kind::Directory => {
            store.access_key = text(Some(ask("S3 access key: ")?));
            store.secret_key = text(Some(ask("S3 secret key: ")?));
        }
    }
    Ok(())
}

/// What the environment says for other stores is not for this one.
fn in_environment(store: &mut v1::Store, kind: Kind) {
    match kind {
        Kind::S3 => {
            store.access_key = text(secret("ADAPTER_S3_ACCESS_KEY"));
            store.secret_key = text(secret("ADAPTER_S3_SECRET_KEY"));
        }
        Kind::Google => {
            store.service_account_key = text(secret("ADAPTER_GOOGLE_SERVICE_ACCOUNT_KEY"));
        }
        Kind::Azure => {
            store.account_key = text(secret("ADAPTER_AZURE_STORAGE_ACCOUNT_KEY"));
            store.sas_token = text(secret("ADAPTER_AZURE_STORAGE_SAS_TOKEN"));
        }
        Kind::Directory => {}
    }
}

/// A signature is a query, and a key is Base64.
fn azure(store: &mut v1::Store, given: &str) {
    let given = given.trim();
    let field = if given.contains('&') && given.contains("sig=") {
        &mut store.sas_token
    } else {
        &mut store.account_key
    };
    given.clone_into(field);
}

fn text(secret: Option<SecretString>) -> String {
    secret.map_or_else(String::new, |it| it.expose_secret().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        store: StoreAsked,
    }

    fn message(arguments: &[&str]) -> Result<v1::Store, Failure> {
        let arguments = [&["scheduler", "--store"][..], arguments].concat();
        let only = Only::try_parse_from(arguments).expect("arguments");
        only.store.message().map(|it| it.expect("a store"))
    }

    #[test]
    fn a_store_is_named_as_it_is_printed() {
        for (arguments, [endpoint, bucket, url]) in [
            (&["backups"][..], ["", "backups", ""]),
            (&["s3://backups/"], ["", "backups", ""]),
            (
                &["s3://backups", "--endpoint", "http://s3"],
                ["http://s3", "backups", ""],
            ),
            (
                &["http://s3:9000/backups"],
                ["http://s3:9000", "backups", ""],
            ),
            (&["s3://backups/a/b/"], ["", "", "s3://backups/a/b"]),
            (
                &["s3://backups/a@http://s3:9000"],
                ["http://s3:9000", "", "s3://backups/a"],
            ),
            (&["gs://backups/a"], ["", "", "gs://backups/a"]),
            (&["az://acme/backups/a"], ["", "", "az://acme/backups/a"]),
            (&["file:///backups"], ["file:///backups", "", ""]),
        ] {
            let store = message(arguments).unwrap_or_else(|it| panic!("{arguments:?}: {it}"));
            let told = [store.endpoint, store.bucket, store.url];
            assert_eq!(told, [endpoint, bucket, url], "{arguments:?}");
        }
        for wrong in [
            &["ftp://backups/a"][..],
            &["backups/a"],
            &["s3://backups/a@http://s3", "--endpoint", "http://other"],
        ] {
            let error = message(wrong).expect_err("refused");
            assert!(error.sentence.contains("--store"), "{error}");
        }
    }

    #[test]
    fn a_file_has_what_lets_into_that_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let told = |store: &str, text: &str| {
            std::fs::write(&path, text).expect("written");
            message(&[store, "--keys-file", &path.to_string_lossy()]).expect("read")
        };
        let store = told("gs://backups", "{\"private_key\": \"x\"}\n");
        assert!(store.service_account_key.starts_with('{'));
        let store = told("gs://backups", "GOOG1\nhunter2\n");
        assert_eq!(
            (&*store.access_key, &*store.secret_key),
            ("GOOG1", "hunter2")
        );
        let store = told("az://acme/backups", "aHVudGVyMg==\n");
        assert_eq!(store.account_key, "aHVudGVyMg==");
        let store = told("az://acme/backups", "sv=2025-01-05&sig=aHVudGVyMg%3D%3D\n");
        assert!(store.account_key.is_empty() && store.sas_token.contains("sig="));
    }

    #[test]
    fn a_secret_is_named_with_the_keys_in_it() {
        let named = |store: &str, option: &str, named: &str| {
            message(&[store, option, named]).expect("a store")
        };
        let store = named("gs://backups", "--keys-secret", "google/key.json");
        assert_eq!(store.service_account_secret.expect("named").key, "key.json");
        let store = named("gs://backups", "--keys-secret", "google/a/b");
        assert_eq!(store.keys_secret.expect("named").secret_key, "b");
        let store = named("az://acme/backups", "--keys-secret", "azure");
        assert_eq!(store.account_key_secret.expect("named").name, "azure");
        let store = named("az://acme/backups", "--sas-secret", "azure/sas");
        assert_eq!(store.sas_token_secret.expect("named").key, "sas");
    }
}
