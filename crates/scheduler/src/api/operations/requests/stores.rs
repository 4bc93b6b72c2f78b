//! Stores in messages.

use backuper::job::maybe;
use backuper::storage::{Endpoint, Prefix, StoreUrl};
use secrecy::SecretString;

use super::places::reference;
use crate::api::door::{Door, secret};
use crate::api::proto::v1;
use crate::domain::credential::Credential;
use crate::domain::name::{self, Wrong};
use crate::domain::store::{Keys, Place, Store, Way};
use crate::workers::usual_keys;

/// One way to be let in, as a message has it.
struct Given {
    way: Way,
    /// The field that is told of.
    field: &'static str,
    keys: Credential<Keys>,
}

impl Door {
    /// A store and how to get into it.
    pub(super) fn store_of(&mut self, field: &'static str, message: v1::Store) -> Option<Store> {
        self.below(field);
        let store = self.store(message);
        self.below("");
        store
    }

    fn store(&mut self, message: v1::Store) -> Option<Store> {
        let v1::Store {
            endpoint,
            bucket,
            access_key,
            secret_key,
            keys_secret,
            url,
            prefix,
            service_account_key,
            service_account_secret,
            account_key,
            account_key_secret,
            sas_token,
            sas_token_secret,
        } = message;
        let place = if url.is_empty() {
            self.bucket(&endpoint, &bucket)
        } else {
            self.url(&url, &endpoint, &bucket)
        };
        let place = self.prefixed(place, &prefix);
        let ways = [
            self.pair([access_key, secret_key], keys_secret),
            self.service_account(&service_account_key, service_account_secret),
            self.azure(Way::AccountKey, &account_key, account_key_secret),
            self.azure(Way::Signature, &sas_token, sas_token_secret),
        ];
        // What is wrong with one of them is told by now.
        let ways: Vec<Given> = ways.into_iter().collect::<Option<_>>()?;
        let mut given = ways.into_iter().filter(|it| it.keys.is_given());
        let Some(first) = given.next() else {
            return place.map(Store::ambient);
        };
        if let Some(second) = given.next() {
            let why = format!("{} is there too, and one kind is enough", first.field);
            return self.take(second.field, Err(why));
        }
        self.take(first.field, Store::new(place?, first.way, first.keys))
    }

    /// What was there before there were URLs of stores.
    fn bucket(&mut self, endpoint: &str, bucket: &str) -> Option<Place> {
        let endpoint = self.take("endpoint", maybe(endpoint));
        let on_disk = matches!(endpoint, Some(Some(Endpoint::Directory(_))));
        let bucket = if bucket.is_empty() && !on_disk {
            self.take("bucket", Err(Wrong("it is empty")))
        } else {
            self.take("bucket", maybe(bucket))
        };
        Place::of_server(endpoint?, bucket?)
    }

    fn url(&mut self, url: &str, endpoint: &str, bucket: &str) -> Option<Place> {
        let endpoint = self.take("endpoint", maybe::<Endpoint>(endpoint));
        if !bucket.is_empty() {
            let why = "url names the bucket already; leave one of them out";
            self.take::<()>("bucket", Err(Wrong(why)));
        }
        let mut place = Place::from(self.take("url", url.parse::<StoreUrl>())?);
        match (&mut place, endpoint?) {
            (_, None) => Some(place),
            (Place::S3 { server, .. }, Some(Endpoint::Url(url))) => {
                *server = Some(url);
                Some(place)
            }
            _ => {
                let why = "only s3:// has a server beside it, http:// or https://; leave it out";
                self.take("endpoint", Err(Wrong(why)))
            }
        }
    }

    fn prefixed(&mut self, place: Option<Place>, prefix: &str) -> Option<Place> {
        let prefix = self.take("prefix", prefix.parse::<Prefix>())?;
        let place = place?;
        let of_url = place.prefix();
        if prefix.is_empty() || prefix == of_url {
            return Some(place);
        }
        if !of_url.is_empty() {
            let why = "url has another one; leave one of them out";
            return self.take("prefix", Err(Wrong(why)));
        }
        let why = "a directory has none; name the folder in its path";
        self.take("prefix", place.below(prefix).ok_or(Wrong(why)))
    }

    fn pair(
        &mut self,
        [access, secret_key]: [String; 2],
        named: Option<v1::KeysSecret>,
    ) -> Option<Given> {
        let both = "access_key and secret_key go together: give both or neither";
        let alone = match (access.is_empty(), secret_key.is_empty()) {
            (true, false) => Some("access_key"),
            (false, true) => Some("secret_key"),
            (true, true) | (false, false) => None,
        };
        if let Some(field) = alone {
            self.take::<()>(field, Err(Wrong(both)));
        }
        let access = self.take("access_key", name::header(&access));
        let secret_key = self.take("secret_key", name::header(&secret_key));
        let given = secret(access?).zip(secret(secret_key?));
        let given = given.map(|(access, secret)| vec![access, secret]);
        let named = named.map(|it| (it.name, vec![it.access_key, it.secret_key]));
        self.given((Way::Pair, ["access_key", "keys_secret"]), given, named)
    }

    fn service_account(&mut self, key: &str, named: Option<v1::StoreSecret>) -> Option<Given> {
        let field = "service_account_key";
        let key = secret(self.take(field, name::without_nul(key))?);
        let key = key.map(service_account).transpose();
        let key = self.take(field, key)?.map(|it| vec![it]);
        let named = named.map(|it| (it.name, vec![it.key]));
        let fields = [field, "service_account_secret"];
        self.given((Way::ServiceAccount, fields), key, named)
    }

    fn azure(&mut self, way: Way, key: &str, named: Option<v1::StoreSecret>) -> Option<Given> {
        let fields = match way {
            Way::Signature => ["sas_token", "sas_token_secret"],
            Way::Pair | Way::ServiceAccount | Way::AccountKey => {
                ["account_key", "account_key_secret"]
            }
        };
        let key = secret(self.take(fields[0], name::header(key))?).map(|it| vec![it]);
        let named = named.map(|it| (it.name, vec![it.key]));
        self.given((way, fields), key, named)
    }

    /// What is given, or the Secret that has it.
    fn given(
        &mut self,
        (way, [field, by_secret]): (Way, [&'static str; 2]),
        given: Option<Vec<SecretString>>,
        named: Option<(String, Vec<String>)>,
    ) -> Option<Given> {
        let Some((name, keys)) = named else {
            let keys = Credential::from(given.map(Keys));
            return Some(Given { way, field, keys });
        };
        if given.is_some() {
            return self.take(by_secret, Err(Wrong("there are keys beside it")));
        }
        let keys = keys.into_iter().zip(usual_keys(way).iter().copied());
        let reference = self.take(by_secret, reference(&name, keys))?;
        Some(Given {
            way,
            field: by_secret,
            keys: Credential::Reference(reference),
        })
    }
}

/// The JSON of a service account's key; what a parser says of another text may have a piece of it.
fn service_account(key: SecretString) -> Result<SecretString, Wrong> {
    use secrecy::ExposeSecret as _;
    let wrong = Wrong("it is not the JSON of a service account's key");
    let read: serde_json::Value =
        serde_json::from_str(key.expose_secret()).map_err(|_has_a_piece_of_it| wrong)?;
    let has = |name: &str| read.get(name).is_some_and(serde_json::Value::is_string);
    if has("client_email") && has("private_key") {
        Ok(key)
    } else {
        Err(Wrong(
            "it is not the JSON of a service account's key; client_email and private_key are in one",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::Violation;

    fn read(message: v1::Store) -> Result<Store, Vec<Violation>> {
        let mut door = Door::default();
        let store = door.store_of("store.", message);
        door.opened(store)
    }

    fn at(url: &str) -> v1::Store {
        v1::Store {
            url: url.to_owned(),
            ..v1::Store::default()
        }
    }

    fn named(name: &str) -> Option<v1::StoreSecret> {
        Some(v1::StoreSecret {
            name: name.to_owned(),
            key: String::new(),
        })
    }

    const ACCOUNT: &str = r#"{"client_email": "a@b", "private_key": "hunter2"}"#;

    #[test]
    fn a_store_is_read_as_it_is_shown() {
        for (message, shown) in [
            (at("s3://backups"), "s3://backups"),
            (at("s3://backups/team-a/"), "s3://backups/team-a"),
            (
                v1::Store {
                    endpoint: "S3.example".to_owned(),
                    ..at("s3://backups/team-a")
                },
                "s3://backups/team-a@https://s3.example",
            ),
            (
                v1::Store {
                    endpoint: "http://s3".to_owned(),
                    bucket: "backups".to_owned(),
                    ..at("")
                },
                "http://s3/backups",
            ),
            (
                v1::Store {
                    bucket: "backups".to_owned(),
                    prefix: "team-a".to_owned(),
                    ..at("")
                },
                "s3://backups/team-a",
            ),
            (
                v1::Store {
                    prefix: "team-a/".to_owned(),
                    ..at("gs://backups/team-a")
                },
                "gs://backups/team-a",
            ),
            (at("az://acme/backups/a/b"), "az://acme/backups/a/b"),
            (at("file:///var//backups/"), "file:///var/backups"),
        ] {
            let text = format!("{message:?}");
            let store = read(message).unwrap_or_else(|it| panic!("{text}: {it:?}"));
            assert_eq!(store.place.to_string(), shown);
        }
    }

    #[test]
    fn each_kind_of_credentials_lets_into_its_own_stores() {
        let keys = |message: v1::Store| v1::Store {
            access_key: "a".to_owned(),
            secret_key: "b".to_owned(),
            ..message
        };
        let account = |message: v1::Store| v1::Store {
            service_account_key: ACCOUNT.to_owned(),
            ..message
        };
        let signed = |message: v1::Store| v1::Store {
            sas_token_secret: named("sas"),
            ..message
        };
        for (message, variables) in [
            (keys(at("s3://backups")), Way::Pair.variables()),
            (keys(at("gs://backups")), Way::Pair.variables()),
            (account(at("gs://backups")), Way::ServiceAccount.variables()),
            (signed(at("az://acme/backups")), Way::Signature.variables()),
            (at("az://acme/backups"), &[]),
        ] {
            assert_eq!(read(message).unwrap().variables(), variables);
        }
        for (message, field) in [
            (keys(at("az://acme/backups")), "store.access_key"),
            (account(at("s3://backups")), "store.service_account_key"),
            (signed(at("gs://backups")), "store.sas_token_secret"),
            (
                keys(account(at("gs://backups"))),
                "store.service_account_key",
            ),
            (
                v1::Store {
                    account_key: "a".to_owned(),
                    ..signed(at("az://acme/backups"))
                },
                "store.sas_token_secret",
            ),
            (
                v1::Store {
                    service_account_key: "hunter2".to_owned(),
                    ..at("gs://backups")
                },
                "store.service_account_key",
            ),
            (
                v1::Store {
                    service_account_secret: named("google"),
                    ..account(at("gs://backups"))
                },
                "store.service_account_secret",
            ),
            (
                v1::Store {
                    account_key_secret: named("No Name"),
                    ..at("az://acme/backups")
                },
                "store.account_key_secret",
            ),
        ] {
            let wrong = read(message).unwrap_err();
            assert_eq!(wrong[0].field, field, "{wrong:?}");
            assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
        }
    }

    #[test]
    fn what_names_no_store_or_two_is_refused_by_its_field() {
        for (message, field) in [
            (at(""), "store.bucket"),
            (at("ftp://backups/x"), "store.url"),
            (at("gs://backups/../x"), "store.url"),
            (at("s3://key:hunter2@backups"), "store.url"),
            (
                v1::Store {
                    bucket: "backups".to_owned(),
                    ..at("s3://backups")
                },
                "store.bucket",
            ),
            (
                v1::Store {
                    endpoint: "https://s3".to_owned(),
                    ..at("gs://backups")
                },
                "store.endpoint",
            ),
            (
                v1::Store {
                    endpoint: "file:///backups".to_owned(),
                    ..at("s3://backups")
                },
                "store.endpoint",
            ),
            (
                v1::Store {
                    prefix: "a".to_owned(),
                    ..at("s3://backups/b")
                },
                "store.prefix",
            ),
            (
                v1::Store {
                    prefix: "../a".to_owned(),
                    ..at("s3://backups")
                },
                "store.prefix",
            ),
            (
                v1::Store {
                    prefix: "a".to_owned(),
                    ..at("file:///backups")
                },
                "store.prefix",
            ),
        ] {
            let wrong = read(message).unwrap_err();
            assert_eq!(wrong[0].field, field, "{wrong:?}");
            assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
        }
    }
}
