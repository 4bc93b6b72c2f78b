//! What a request may name. Credentials that a worker has of its surroundings (a cloud's identity, a
//! client certificate) are the administrator's and not the caller's, so they are lent for the places
//! alone that the administrator lists.

// From core, which cannot do I/O.
use core::net::IpAddr;
use std::str::FromStr;

use backuper::link_local::is_link_local;
use backuper::report::CoreAddress;
use backuper::storage::{Endpoint, StoreUrl};

use super::callers::matches;
use super::database::Database;
use super::name::is_number_like;
use super::store::{Place, Store};

/// What the administrator lists.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Buckets and containers that requests without keys may name.
    pub ambient_buckets: Vec<Listed>,
    /// Database hosts that are shown the workers' client certificate; in lower case, `*.` stands for
    /// everything below a domain.
    pub ambient_hosts: Vec<String>,
    /// Secrets that calls may name for credentials; a star stands for any text.
    pub secret_references: Vec<String>,
}

/// What a request names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    /// A database.
    pub database: Option<&'a Database>,
    /// A store.
    pub store: Option<&'a Store>,
    /// A core.
    pub core: Option<&'a CoreAddress>,
}

/// What of the stores is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Any bucket of any S3 server. What was listed so before there were other clouds lends nothing of
    /// theirs.
    AnyOfS3,
    /// Any bucket of Google's.
    AnyOfGoogle,
    /// Any container of any account of Azure's.
    AnyOfAzure,
    /// This bucket or container, or what is below a prefix in it.
    Place(Place),
    /// The store of calls that name none, and nothing below it.
    Default(Place),
}

impl FromStr for Listed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "*" | "s3://*" => return Ok(Self::AnyOfS3),
            "gs://*" => return Ok(Self::AnyOfGoogle),
            "az://*" => return Ok(Self::AnyOfAzure),
            _ => {}
        }
        let place = listed(text)?;
        if matches!(place, Place::Directory { .. }) {
            return Err("a directory needs no credentials, and is not listed".to_owned());
        }
        Ok(Self::Place(place))
    }
}

impl Listed {
    fn holds(&self, place: &Place) -> bool {
        match (self, place) {
            (Self::AnyOfS3, Place::S3 { .. })
            | (Self::AnyOfGoogle, Place::Google { .. })
            | (Self::AnyOfAzure, Place::Azure { .. }) => true,
            (Self::Place(listed), place) => listed.holds(place),
            (Self::Default(listed), place) => listed == place,
            (Self::AnyOfS3 | Self::AnyOfGoogle | Self::AnyOfAzure, _) => false,
        }
    }
}

/// A place as [`Place`] is shown, or as buckets were listed before there were URLs of stores.
fn listed(text: &str) -> Result<Place, String> {
    if let Some((url, server)) = text.split_once('@') {
        let place = Place::from(url.parse::<StoreUrl>()?);
        return match (place, server.parse()?) {
            (Place::S3 { bucket, prefix, .. }, Endpoint::Url(server)) => Ok(Place::S3 {
                server: Some(server),
                bucket,
                prefix,
            }),
            _ => Err("only s3://BUCKET/PREFIX has a server behind it".to_owned()),
        };
    }
    if ["s3://", "gs://", "az://", "file://"]
        .iter()
        .any(|it| text.starts_with(it))
    {
        return Ok(Place::from(text.parse::<StoreUrl>()?));
    }
    let (server, name) = match text.rsplit_once('/') {
        Some((server, name)) => (Some(server.parse()?), name),
        None => (None, text),
    };
    let place = Place::of_server(server, Some(name.parse()?));
    place.ok_or_else(|| "a bucket is needed".to_owned())
}

/// Why a place may not be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A link-local address.
    #[error(
        "{0} is a link-local address: what answers there is this machine's or its cloud's, and no database or store of yours"
    )]
    LinkLocal(String),
    /// An address in a form that hides which one it is.
    #[error("{0} is an address in another form than four decimal numbers")]
    Disguised(String),
    /// No keys, and the bucket is not listed.
    #[error(
        "no S3 keys were given, and the workers' own credentials are lent for listed buckets alone; give s3_access_key and s3_secret_key, or list {0} in AMBIENT_BUCKETS"
    )]
    NotLent(String),
    /// No credentials, and the place is not listed.
    #[error(
        "no credentials were given for {0}, and the workers' own are lent for listed places alone; give some, or list {0} in AMBIENT_BUCKETS"
    )]
    CloudNotLent(String),
    /// Objects are encrypted with the administrator's key, and the bucket is not listed.
    #[error(
        "objects are encrypted with a key of the administrator's (S3_SSE_CUSTOMER_KEY), which every request for one shows to the server, so only listed buckets are given it; list {0} in AMBIENT_BUCKETS"
    )]
    KeyNotLent(String),
    /// The Secret is not listed.
    #[error(
        "the Secret {0} is none that calls may name; the administrator lists those in SECRET_REFERENCES"
    )]
    NotListed(String),
}

impl Places {
    /// Whether a request may name this database and this bucket.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn permit(&self, named: Named<'_>) -> Result<(), Refusal> {
        for host in named.hosts() {
            if host.parse().is_ok_and(is_link_local) {
                return Err(Refusal::LinkLocal(host));
            }
            if host.parse::<IpAddr>().is_err() && is_number_like(&host) {
                return Err(Refusal::Disguised(host));
            }
        }
        let Some(store) = named.store else {
            return Ok(());
        };
        let needs_no_keys = matches!(store.place, Place::Directory { .. });
        if needs_no_keys || store.keys.is_given() || self.lends_for(store) {
            return Ok(());
        }
        Err(match store.place {
            Place::S3 { .. } => Refusal::NotLent(store.place()),
            Place::Google { .. } | Place::Azure { .. } | Place::Directory { .. } => {
                Refusal::CloudNotLent(store.place())
            }
        })
    }

    /// Whether a call may name a Secret.
    ///
    /// # Errors
    /// [`Refusal::NotListed`].
    pub fn permit_secret(&self, secret: &str) -> Result<(), Refusal> {
        let mut listed = self.secret_references.iter();
        if listed.any(|it| matches(it, secret)) {
            return Ok(());
        }
        Err(Refusal::NotListed(secret.to_owned()))
    }

    /// Whether a database's host is shown the workers' client certificate.
    #[must_use]
    pub fn shows_certificate_to(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.ambient_hosts.iter().any(|listed| {
            let below = listed.strip_prefix('*').filter(|it| it.starts_with('.'));
            *listed == host || below.is_some_and(|it| host.ends_with(it))
        })
    }

    /// Whether a bucket is listed, so that what is the administrator's may go to it.
    #[must_use]
    pub fn lends_for(&self, store: &Store) -> bool {
        let mut listed = self.ambient_buckets.iter();
        listed.any(|it| it.holds(&store.place))
    }
}

impl Named<'_> {
    /// The hosts of all of it.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        // Those of the other clouds are the clouds' own, or the administrator's.
        let endpoint = match self.store.map(|it| &it.place) {
            Some(Place::S3 { server, .. }) => server.clone(),
            Some(Place::Google { .. } | Place::Azure { .. } | Place::Directory { .. }) | None => {
                None
            }
        };
        let core = self.core.map(ToString::to_string);
        let urls = endpoint.into_iter().chain(core);
        let named = urls.filter_map(|it| host_of(&it));
        let host = self.database.map(|it| it.host.clone());
        host.into_iter().chain(named).collect()
    }
}

/// The host of a URL, or of `host:port`.
fn host_of(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.trim_start_matches('/').split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => authority.split(':').next(),
    };
    host.filter(|it| !it.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::Credential;
    use crate::domain::store::{Keys, Way};

    fn login(host: &str) -> Database {
        Database {
            host: host.to_owned(),
            port: 5432,
            name: "shop".to_owned(),
            user: "u".to_owned(),
            password: Credential::Ambient,
            sslmode: None,
            authorities: None,
        }
    }

    fn store(endpoint: &str, bucket: &str, key: Option<&str>) -> Store {
        let endpoint = (!endpoint.is_empty()).then(|| endpoint.parse().unwrap());
        let bucket = (!bucket.is_empty()).then(|| bucket.parse().unwrap());
        let place = Place::of_server(endpoint, bucket).unwrap();
        let keys = key.map(|it| Keys(vec![it.into(), it.into()]));
        Store::new(place, Way::Pair, Credential::from(keys)).unwrap()
    }

    fn at(url: &str) -> Store {
        Store::ambient(listed(url).unwrap())
    }

    fn named<'a>(
        database: &'a Database,
        store: &'a Store,
        core: Option<&'a CoreAddress>,
    ) -> Named<'a> {
        Named {
            database: Some(database),
            store: Some(store),
            core,
        }
    }

    #[test]
    fn a_call_names_listed_secrets_alone() {
        let places = places(&[]);
        for secret in ["shop-login", "team-a", "team-"] {
            assert!(places.permit_secret(secret).is_ok(), "{secret}");
        }
        for secret in ["shop-login-2", "xteam-a", "", "postgres-adapter-tls"] {
            assert!(places.permit_secret(secret).is_err(), "{secret}");
        }
    }

    fn places(buckets: &[&str]) -> Places {
        Places {
            ambient_buckets: buckets.iter().map(|it| it.parse().unwrap()).collect(),
            ambient_hosts: vec!["db.example".to_owned(), "*.prod.example".to_owned()],
            secret_references: vec!["shop-login".to_owned(), "team-*".to_owned()],
        }
    }

    /// S01.
    #[test]
    fn the_workers_own_credentials_are_lent_for_listed_buckets_alone() {
        let db = login("db");
        let of_aws = store("", "backups", None);
        let of_ours = store("https://s3.example", "backups", None);
        let listed = places(&["backups"]);
        assert!(listed.permit(named(&db, &of_aws, None)).is_ok());
        let refused = listed.permit(named(&db, &of_ours, None)).unwrap_err();
        assert_eq!(
            refused,
            Refusal::NotLent("https://s3.example/backups".to_owned())
        );
        let listed = places(&["https://S3.example:443/backups", "others"]);
        assert!(listed.permit(named(&db, &of_ours, None)).is_ok());
        assert!(listed.permit(named(&db, &of_aws, None)).is_err());
        assert!(places(&["*"]).permit(named(&db, &of_ours, None)).is_ok());
        let none = places(&[]);
        assert!(none.permit(named(&db, &of_aws, None)).is_err());
        assert!(
            none.permit(named(&db, &store("", "backups", Some("key")), None))
                .is_ok()
        );
        assert!(
            none.permit(named(&db, &store("file:///backups", "", None), None))
                .is_ok()
        );
    }

    #[test]
    fn what_is_listed_is_lent_with_what_is_below_it_and_nothing_beside_it() {
        let lent = |list: &[&str], url: &str| places(list).lends_for(&at(url));
        for (listed, store) in [
            ("backups", "s3://backups/team-a"),
            ("s3://backups", "s3://backups"),
            ("s3://backups/team-a", "s3://backups/team-a"),
            ("s3://backups/team-a/", "s3://backups/team-a/prod"),
            ("https://s3/backups", "s3://backups/team-a@https://s3"),
            (
                "s3://backups/team-a@https://s3",
                "s3://backups/team-a@https://S3:443",
            ),
            ("gs://backups", "gs://backups/team-a"),
            ("gs://*", "gs://backups"),
            ("az://acme/backups/a", "az://acme/backups/a/b"),
            ("az://*", "az://acme/backups"),
            ("*", "s3://backups/team-a"),
        ] {
            assert!(lent(&[listed], store), "{listed} {store}");
        }
        for (listed, store) in [
            ("s3://backups/team-a", "s3://backups"),
            ("s3://backups/team-a", "s3://backups/team-ab"),
            ("s3://backups/team-a", "s3://backups/team-b/team-a"),
            ("s3://backups/team-a/prod", "s3://backups/team-a"),
            ("s3://backups", "s3://backups@https://s3"),
            ("s3://backups/team-a@https://s3", "s3://backups/team-a"),
            (
                "https://s3/gateway/backups",
                "s3://gateway/backups@https://s3",
            ),
            ("backups", "gs://backups"),
            ("gs://backups", "s3://backups"),
            (
                "gs://backups",
                "s3://backups@https://storage.googleapis.com",
            ),
            ("gs://backups", "gs://backups-2"),
            ("gs://*", "az://acme/backups"),
            ("az://acme/backups", "az://other/backups"),
            ("az://acme/backups", "az://acme/backups2"),
            ("az://acme/backups/a", "az://acme/backups"),
            ("*", "gs://backups"),
            ("*", "az://acme/backups"),
        ] {
            assert!(!lent(&[listed], store), "{listed} {store}");
            let refused = places(&[listed]).permit(Named {
                store: Some(&at(store)),
                ..Named::default()
            });
            assert!(refused.is_err(), "{listed} {store}");
        }
    }

    #[test]
    fn what_is_no_place_is_not_listed() {
        for wrong in [
            "",
            "file:///backups",
            "gs://",
            "gs://b*",
            "az://acme",
            "az://acme/*",
            "s3://backups/../others",
            "gs://backups@https://s3",
            "s3://backups@file:///x",
            "ftp://backups/x",
        ] {
            assert!(wrong.parse::<Listed>().is_err(), "{wrong}");
        }
    }

    /// S01.
    #[test]
    fn link_local_addresses_are_never_named() {
        let keys = |endpoint: &str| store(endpoint, "backups", Some("key"));
        for host in [
            "169.254.169.254",
            "fe80::1",
            "::ffff:169.254.1.1",
            "fd00:ec2::254",
        ] {
            let refused = places(&["*"]).permit(named(&login(host), &keys("https://s3"), None));
            assert!(matches!(refused, Err(Refusal::LinkLocal(_))), "{host}");
        }
        for endpoint in [
            "http://169.254.169.254",
            "http://169.254.1.1:9000/x",
            "http://[fe80::1]:9000",
        ] {
            let refused = places(&["*"]).permit(named(&login("db"), &keys(endpoint), None));
            assert!(matches!(refused, Err(Refusal::LinkLocal(_))), "{endpoint}");
        }
        for endpoint in [
            "http://2852015437",
            "http://0xa9fe4d4d:9000",
            "http://0251.0376.1",
        ] {
            let refused = places(&["*"]).permit(named(&login("db"), &keys(endpoint), None));
            assert!(matches!(refused, Err(Refusal::Disguised(_))), "{endpoint}");
        }
        for core in [
            "169.254.1.1:80",
            "http://169.254.169.254:80",
            "dns:///169.254.169.254:80",
        ] {
            let core = core.parse().ok();
            let refused =
                places(&["*"]).permit(named(&login("db"), &keys("https://s3"), core.as_ref()));
            assert!(matches!(refused, Err(Refusal::LinkLocal(_))), "{core:?}");
        }
        for host in ["10.0.0.1", "127.0.0.1", "::1", "169.254.example"] {
            assert!(
                places(&[])
                    .permit(named(&login(host), &keys("http://[::1]:9000"), None))
                    .is_ok(),
                "{host}"
            );
        }
    }

    #[test]
    fn a_client_certificate_is_shown_to_listed_hosts_alone() {
        let places = places(&[]);
        for host in [
            "db.example",
            "DB.example",
            "a.prod.example",
            "a.b.prod.example",
        ] {
            assert!(places.shows_certificate_to(host), "{host}");
        }
        for host in [
            "prod.example",
            "xdb.example",
            "db.example.evil",
            "aprod.example",
        ] {
            assert!(!places.shows_certificate_to(host), "{host}");
        }
    }
}
