//! What workers are told of a store, and the store of calls that name none.

use std::str::FromStr as _;

use backuper::job::parse::{Maybe, maybe, secret};
use backuper::job::store::s3::S3Settings;
use backuper::job::store::{AzureSettings, GoogleSettings, StoreSettings};
use backuper::storage::{Endpoint, Prefix, StoreUrl};
use clap::Args;
use secrecy::SecretString;

use super::settings::{WorkerSettings, secret_keys};
use super::{Workers, at_hand};
use crate::domain::access::{Named, Refusal};
use crate::domain::credential::{Credential, Reference};
use crate::domain::store::{Keys, Place, Store, Way};

/// Where the core's calls go that do not say all of it.
#[derive(Clone, Debug, Default, Args)]
pub struct DefaultStore {
    /// s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX or file:///DIRECTORY: the store of the core's calls that name neither endpoint nor bucket; empty: those are refused.
    #[arg(env = "STORE_URL", default_value = "", value_parser = maybe::<StoreUrl>)]
    pub url: Maybe<StoreUrl>,

    /// The S3 server of STORE_URL; empty: AWS.
    #[arg(env = "S3_ENDPOINT", default_value = "", value_parser = maybe::<Endpoint>)]
    pub endpoint: Maybe<Endpoint>,

    /// Folders of the S3 buckets that the core's calls and STORE_URL name, as in team-a/prod; empty: none.
    #[arg(env = "S3_PREFIX", default_value = "", value_parser = Prefix::from_str)]
    pub prefix: Prefix,

    /// local: access key of STORE_URL; empty: whom the machine is.
    #[arg(env = "S3_ACCESS_KEY", default_value = "", value_parser = secret)]
    pub access_key: Maybe<SecretString>,

    /// local: secret key of S3_ACCESS_KEY.
    #[arg(env = "S3_SECRET_KEY", default_value = "", value_parser = secret)]
    pub secret_key: Maybe<SecretString>,

    /// kubernetes: Secret in the workers' namespace with the credentials of STORE_URL: NAME or NAME/KEY, and NAME/ACCESS_KEY/SECRET_KEY of s3://; empty: whom the workers' pods are.
    #[arg(env = "STORE_SECRET", default_value = "", value_parser = named)]
    pub secret: Maybe<Reference>,

    /// kubernetes: the same with a shared access signature of az://, NAME or NAME/KEY.
    #[arg(env = "STORE_SAS_SECRET", default_value = "", value_parser = named)]
    pub sas_secret: Maybe<Reference>,
}

/// What Secrets call the keys that have this, where nothing else is said.
#[must_use]
pub fn usual_keys(way: Way) -> &'static [&'static str] {
    match way {
        Way::Pair => &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        Way::ServiceAccount | Way::AccountKey | Way::Signature => way.variables(),
    }
}

fn named(text: &str) -> Result<Maybe<Reference>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut words = text.split('/');
    secret_keys(words.next().unwrap_or_default(), words).map(Some)
}

impl DefaultStore {
    /// Whether an engine finds its credentials where it looks for them.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn check(&self, settings: &WorkerSettings, has_secrets: bool) -> Result<(), String> {
        if self.place()?.is_none() {
            return Ok(());
        }
        self.reference()?;
        if self.access_key.is_some() != self.secret_key.is_some() {
            return Err("S3_ACCESS_KEY and S3_SECRET_KEY go together; set both or none".to_owned());
        }
        if has_secrets && let Some(name) = settings.secret_at_hand() {
            return Err(format!(
                "{name}: on Kubernetes the workers read it from a Secret, which STORE_SECRET names, or from the pod template; leave it out"
            ));
        }
        if !has_secrets && (self.secret.is_some() || self.sas_secret.is_some()) {
            return Err("STORE_SECRET and STORE_SAS_SECRET name Secrets of Kubernetes; set the credentials themselves".to_owned());
        }
        Ok(())
    }

    /// The place of calls that name none.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn place(&self) -> Result<Option<Place>, String> {
        // One file of variables may be meant for all of our programs: without a store, what is said of one
        // is a worker's.
        let Some(url) = self.url.clone() else {
            return Ok(None);
        };
        let mut place = Place::from(url);
        match (&mut place, &self.endpoint) {
            (_, None) => {}
            (Place::S3 { server, .. }, Some(Endpoint::Url(url))) => *server = Some(url.clone()),
            _ => return Err("S3_ENDPOINT is for s3:// alone; leave it out".to_owned()),
        }
        if matches!(place, Place::S3 { .. }) && place.prefix().is_empty() {
            place = place.below(self.prefix.clone()).unwrap_or(place);
        }
        Ok(Some(place))
    }

    /// The Secret with its credentials, and what is in it.
    fn reference(&self) -> Result<Option<(Way, Reference)>, String> {
        let (name, way, reference) = match (&self.secret, &self.sas_secret, self.place()?) {
            (None, None, _) | (_, _, None) => return Ok(None),
            (Some(_), Some(_), _) => {
                return Err(
                    "STORE_SECRET and STORE_SAS_SECRET are both set, and one of them is enough"
                        .to_owned(),
                );
            }
            (None, Some(it), Some(Place::Azure { .. })) => ("STORE_SAS_SECRET", Way::Signature, it),
            (None, Some(_), Some(_)) => {
                return Err("STORE_SAS_SECRET is for az:// alone; set STORE_SECRET".to_owned());
            }
            (Some(it), None, Some(place)) => match place {
                Place::S3 { .. } => ("STORE_SECRET", Way::Pair, it),
                Place::Google { .. } => ("STORE_SECRET", Way::ServiceAccount, it),
                Place::Azure { .. } => ("STORE_SECRET", Way::AccountKey, it),
                Place::Directory { .. } => {
                    return Err("STORE_SECRET: a directory needs none; leave it out".to_owned());
                }
            },
        };
        let usual = usual_keys(way);
        let keys = match reference.keys.len() {
            0 => usual.iter().map(|it| (*it).to_owned()).collect(),
            count if count == usual.len() => reference.keys.clone(),
            _ => return Err(format!("{name} names {} keys of its Secret", usual.len())),
        };
        let secret = reference.secret.clone();
        Ok(Some((way, Reference { secret, keys })))
    }

    /// The store of calls that name none. Credentials that are at hand are put in when a worker is told of
    /// it, so that they may change.
    #[must_use]
    pub fn store(&self) -> Option<Store> {
        // What is wrong with it was said when the scheduler started.
        let place = self.place().ok()??;
        match self.reference().ok()? {
            Some((way, reference)) => Store::new(place, way, Credential::Reference(reference)).ok(),
            None => Some(Store::ambient(place)),
        }
    }

    /// The pair of keys, where this is the store.
    fn pair(&self, place: &Place) -> Option<[SecretString; 2]> {
        let pair = [self.access_key.clone()?, self.secret_key.clone()?];
        (self.place().ok()?? == *place).then_some(pair)
    }
}

impl WorkerSettings {
    /// A variable with a store's credentials, where one is set.
    fn secret_at_hand(&self) -> Option<&'static str> {
        let Self {
            default,
            google,
            azure,
            ..
        } = self;
        let all = [
            ("S3_ACCESS_KEY", &default.access_key),
            ("GOOGLE_SERVICE_ACCOUNT_KEY", &google.service_account_key),
            ("AZURE_STORAGE_ACCOUNT_KEY", &azure.account_key),
            ("AZURE_STORAGE_SAS_TOKEN", &azure.sas_token),
            ("AZURE_CLIENT_SECRET", &azure.client_secret),
        ];
        all.into_iter()
            .find_map(|(name, it)| it.is_some().then_some(name))
    }

    /// Without the credentials of stores: Kubernetes has Secrets for them.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        (self.default.access_key, self.default.secret_key) = (None, None);
        self.google.service_account_key = None;
        self.azure.account_key = None;
        self.azure.sas_token = None;
        self.azure.client_secret = None;
        self
    }
}

impl Workers {
    /// What workers are told of a store.
    #[must_use]
    pub fn store(&self, store: &Store) -> StoreSettings {
        let mut told = StoreSettings {
            s3: self.written_with(store),
            ..self.no_store()
        };
        match store.place.clone() {
            Place::S3 {
                server,
                bucket,
                prefix,
            } => {
                told.endpoint = server.map(Endpoint::Url);
                told.region = store.region.clone().or(told.region);
                if prefix.is_empty() {
                    told.bucket = Some(bucket);
                } else {
                    // A worker that knows of no prefix would do without it; of this it knows no bucket.
                    told.url = Some(StoreUrl::S3 { bucket, prefix });
                }
            }
            Place::Directory { path, folder } => {
                told.endpoint = Some(Endpoint::Directory(path));
                told.bucket = folder;
            }
            Place::Google { bucket, prefix } => {
                told.url = Some(StoreUrl::Gcs { bucket, prefix });
            }
            Place::Azure {
                account,
                container,
                prefix,
            } => {
                told.url = Some(StoreUrl::Azure {
                    account,
                    container,
                    prefix,
                });
            }
        }
        if matches!(store.place, Place::Google { .. } | Place::Azure { .. }) {
            told.region = None;
            told.force_path_style = None;
        }
        self.let_in(&mut told, store);
        told
    }

    /// What lets in: the caller's, and nothing of ours beside it; or else ours, for listed places.
    fn let_in(&self, told: &mut StoreSettings, store: &Store) {
        let WorkerSettings { google, azure, .. } = &self.settings;
        let lends = store.keys.is_ambient() && self.places.lends_for(store);
        match store.place {
            Place::Google { .. } => {
                told.google = GoogleSettings {
                    emulator: google.emulator.clone(),
                    ..google.clone().lent(lends)
                };
            }
            Place::Azure { .. } => {
                told.azure = AzureSettings {
                    account_endpoint: azure.account_endpoint.clone(),
                    ..azure.clone().lent(lends)
                };
            }
            Place::S3 { .. } | Place::Directory { .. } => {}
        }
        if store.keys.is_ambient() {
            if let Some([access, key]) = self.settings.default.pair(&store.place) {
                (told.access_key, told.secret_key) = (Some(access), Some(key));
            }
            return;
        }
        let Keys(keys) = at_hand(store.keys.clone()).unwrap_or_default();
        let mut keys = keys.into_iter();
        let mut key = || Some(keys.next().unwrap_or_default());
        match store.way() {
            Way::Pair => (told.access_key, told.secret_key) = (key(), key()),
            Way::ServiceAccount => told.google.service_account_key = key(),
            Way::AccountKey => told.azure.account_key = key(),
            Way::Signature => told.azure.sas_token = key(),
        }
    }

    /// What workers are told that are told of no store.
    pub(super) fn no_store(&self) -> StoreSettings {
        StoreSettings {
            url: None,
            prefix: Prefix::default(),
            endpoint: None,
            bucket: None,
            access_key: None,
            secret_key: None,
            session_token: None,
            region: self.settings.region.clone(),
            store_ca_file: None,
            ca_file: self.settings.ca_file.clone(),
            force_path_style: self.settings.force_path_style,
            secure: self.settings.secure,
            s3: S3Settings::default(),
            google: GoogleSettings::default(),
            azure: AzureSettings::default(),
        }
    }

    /// Other stores have none of it, and workers refuse what would not be done. The administrator's key goes to
    /// listed buckets alone: every request for an object shows it to the server.
    fn written_with(&self, store: &Store) -> S3Settings {
        if !matches!(store.place, Place::S3 { .. }) {
            return S3Settings::default();
        }
        let mut options = self.settings.s3.clone();
        if !self.places.lends_for(store) {
            options.sse_customer_key = None;
        }
        options
    }

    /// Whether a request may name these.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn permit(&self, named: Named<'_>) -> Result<(), Refusal> {
        self.places.permit(named)?;
        let is_bucket = |it: &&Store| matches!(it.place, Place::S3 { .. });
        let Some(store) = named.store.filter(is_bucket) else {
            return Ok(());
        };
        if self.settings.s3.sse_customer_key.is_some() && !self.places.lends_for(store) {
            return Err(Refusal::KeyNotLent(store.place()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use backuper::job::{Value, Var};
    use backuper::runtime::settings::{Instead, read_from};
    use clap::Parser;

    use super::*;
    use crate::domain::access::{Listed, Places};

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        workers: WorkerSettings,
    }

    fn settings(vars: &[(&'static str, &'static str)]) -> WorkerSettings {
        match read_from::<Only, _>(vars.iter().copied()) {
            Ok(only) => only.workers,
            Err(Instead::Refuse(why) | Instead::Print(why)) => panic!("{why}"),
        }
    }

    fn told(settings: WorkerSettings, listed: &[&str], store: &Store) -> Vec<Var> {
        let ambient_buckets: Vec<Listed> = listed.iter().map(|it| it.parse().unwrap()).collect();
        let places = Places {
            ambient_buckets,
            ..Places::default()
        };
        Workers { settings, places }.store(store).to_env()
    }

    fn names(vars: &[Var]) -> Vec<&'static str> {
        vars.iter().map(|it| it.name).collect()
    }

    fn at(url: &str) -> Store {
        Store::ambient(url.parse::<StoreUrl>().unwrap().into())
    }

    #[test]
    fn a_default_store_on_kubernetes_has_its_credentials_in_a_secret() {
        for (vars, variables, key) in [
            (
                [("STORE_URL", "gs://b-1/core"), ("STORE_SECRET", "cloud")],
                "GOOGLE_SERVICE_ACCOUNT_KEY",
                "GOOGLE_SERVICE_ACCOUNT_KEY",
            ),
            (
                [("STORE_URL", "az://acme/core"), ("STORE_SECRET", "cloud/k")],
                "AZURE_STORAGE_ACCOUNT_KEY",
                "k",
            ),
            (
                [
                    ("STORE_URL", "az://acme/core"),
                    ("STORE_SAS_SECRET", "cloud/s"),
                ],
                "AZURE_STORAGE_SAS_TOKEN",
                "s",
            ),
            (
                [("STORE_URL", "s3://b-1"), ("STORE_SECRET", "cloud/a/b")],
                "S3_ACCESS_KEY",
                "a",
            ),
        ] {
            let settings = settings(&vars);
            settings.default.check(&settings, true).unwrap();
            assert!(
                settings.default.check(&settings, false).is_err(),
                "{vars:?}"
            );
            let store = settings.default.store().unwrap();
            assert_eq!(store.variables()[0], variables);
            let reference = store.keys.reference().unwrap();
            assert_eq!((&*reference.secret, &*reference.keys[0]), ("cloud", key));
        }
        for wrong in [
            &[("STORE_URL", "s3://b-1"), ("STORE_SECRET", "cloud/a")][..],
            &[("STORE_URL", "s3://b-1"), ("STORE_SAS_SECRET", "cloud")],
            &[("STORE_URL", "gs://b-1"), ("S3_ENDPOINT", "https://s3")],
            &[
                ("STORE_URL", "gs://b-1"),
                ("AZURE_CLIENT_SECRET", "hunter2"),
            ],
        ] {
            let settings = settings(wrong);
            let why = settings.default.check(&settings, true).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn what_is_said_of_a_store_and_none_is_named_is_a_workers() {
        let settings = settings(&[
            ("S3_ENDPOINT", "https://s3"),
            ("S3_ACCESS_KEY", "a"),
            ("S3_SECRET_KEY", "b"),
        ]);
        settings.default.check(&settings, true).unwrap();
        assert!(settings.default.store().is_none());
    }

    #[test]
    fn our_credentials_go_to_listed_places_alone_and_to_no_caller_who_has_others() {
        let vars = [
            ("GOOGLE_SERVICE_ACCOUNT_KEY", "ours"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "ours"),
            ("STORE_URL", "s3://b-1/core"),
            ("S3_ACCESS_KEY", "ours"),
            ("S3_SECRET_KEY", "ours"),
        ];
        let is_ours = |vars: &[Var]| {
            use secrecy::ExposeSecret as _;
            vars.iter().any(|it| match &it.value {
                Value::Secret(text) => text.expose_secret() == "ours",
                Value::Plain(_) => false,
            })
        };
        for url in ["gs://b-1/a", "az://acme/b-1/a"] {
            assert!(is_ours(&told(settings(&vars), &[url], &at(url))), "{url}");
            let beside = format!("{url}b");
            let vars = told(settings(&vars), &[url], &at(&beside));
            assert_eq!(names(&vars), ["STORE_URL"], "{beside}");
        }
        assert!(is_ours(&told(settings(&vars), &[], &at("s3://b-1/core"))));
        for other in ["s3://b-1", "s3://b-1/core/x", "s3://b-2/core"] {
            assert!(
                !is_ours(&told(settings(&vars), &["*"], &at(other))),
                "{other}"
            );
        }
        let theirs = Credential::Inline(Some(Keys(vec!["theirs".into()])));
        let place = at("az://acme/b-1/a").place;
        let store = Store::new(place, Way::Signature, theirs).unwrap();
        let vars = told(settings(&vars), &["az://*"], &store);
        assert_eq!(names(&vars), ["STORE_URL", "AZURE_STORAGE_SAS_TOKEN"]);
    }

    /// It would write beside the prefix, and call that a backup.
    #[test]
    fn a_worker_that_knows_of_no_prefix_is_told_of_no_bucket() {
        let vars = told(settings(&[]), &[], &at("s3://backups/team-a"));
        assert_eq!(names(&vars), ["STORE_URL"]);
        let vars = told(settings(&[]), &[], &at("s3://backups"));
        assert_eq!(names(&vars), ["S3_BUCKET_NAME"]);
    }
}
