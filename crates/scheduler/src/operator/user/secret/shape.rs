//! Which keys a Secret has, and the password that one has already.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use crate::operator::crd::UserSecretSpec;

/// RFC 3986, 2.3: what needs no escape anywhere.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const DSN: &str = "dsn";
/// Where a password may be that another template has written.
const PASSWORDS: [&str; 4] = [
    "password",
    "DB_PASSWORD",
    "DATABASE_PASSWORD",
    "POSTGRES_PASSWORD",
];

/// Which keys a Secret has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator::user) enum Template {
    /// One for each part of the connection.
    Parts {
        host: String,
        port: String,
        database: String,
        username: String,
        password: String,
        /// Whether it is the template raw, which lists several databases.
        lists: bool,
    },
    /// One URI.
    Dsn,
}

/// The connection that a Secret has.
#[derive(Clone, Debug)]
pub(in crate::operator::user) struct Values<'a> {
    pub(in crate::operator::user) host: &'a str,
    pub(in crate::operator::user) port: u16,
    pub(in crate::operator::user) database: &'a str,
    pub(in crate::operator::user) username: &'a str,
    pub(in crate::operator::user) password: &'a SecretString,
    pub(in crate::operator::user) sslmode: &'a str,
    /// All databases, where it is the Secret of all of them.
    pub(in crate::operator::user) databases: &'a [String],
}

impl Template {
    pub(in crate::operator::user) fn of(spec: Option<&UserSecretSpec>) -> Result<Self, String> {
        let prefixed = |prefix: &str, database: &str| Self::Parts {
            host: format!("{prefix}_HOST"),
            port: format!("{prefix}_PORT"),
            database: format!("{prefix}_{database}"),
            username: format!("{prefix}_USER"),
            password: format!("{prefix}_PASSWORD"),
            lists: false,
        };
        let keys = spec.and_then(|it| it.keys.clone()).unwrap_or_default();
        match spec.map_or("", |it| it.template.as_str()) {
            "" | "raw" => Ok(Self::Parts {
                host: "host".to_owned(),
                port: "port".to_owned(),
                database: "database".to_owned(),
                username: "username".to_owned(),
                password: "password".to_owned(),
                lists: true,
            }),
            "DB" => Ok(prefixed("DB", "NAME")),
            "DATABASE" => Ok(prefixed("DATABASE", "NAME")),
            "POSTGRES" => Ok(prefixed("POSTGRES", "DATABASE")),
            "custom" => {
                let named = |key: Option<String>, raw: &str| {
                    key.filter(|it| !it.is_empty())
                        .unwrap_or_else(|| raw.to_owned())
                };
                Ok(Self::Parts {
                    host: named(keys.host, "host"),
                    port: named(keys.port, "port"),
                    database: named(keys.database, "database"),
                    username: named(keys.username.or(keys.user), "username"),
                    password: named(keys.password, "password"),
                    lists: false,
                })
            }
            "dsn" => Ok(Self::Dsn),
            other => Err(format!(
                "secret.template {other:?}: raw, DB, DATABASE, POSTGRES, custom or dsn"
            )),
        }
    }

    /// What a Secret has, beside what it had.
    pub(in crate::operator::user) fn data(
        &self,
        values: &Values<'_>,
        before: Option<&BTreeMap<String, ByteString>>,
    ) -> BTreeMap<String, String> {
        let Self::Parts {
            host,
            port,
            database,
            username,
            password,
            lists,
        } = self
        else {
            let text = dsn(values);
            // dbtether wrote it without a mode of TLS: what reads that goes on with it until something else changes.
            let had = before.and_then(|it| std::str::from_utf8(&it.get(DSN)?.0).ok());
            let bare = text.split_once('?').map(|it| it.0);
            let text = had.filter(|it| Some(*it) == bare).unwrap_or(&text);
            return BTreeMap::from([(DSN.to_owned(), text.to_owned())]);
        };
        let mut data = BTreeMap::from([
            (host.clone(), values.host.to_owned()),
            (port.clone(), values.port.to_string()),
            (database.clone(), values.database.to_owned()),
            (username.clone(), values.username.to_owned()),
            (password.clone(), values.password.expose_secret().to_owned()),
        ]);
        if *lists && values.databases.len() > 1 {
            data.insert("databases".to_owned(), values.databases.join(","));
        }
        // dbtether 0.5 wrote that one, and whoever reads it goes on.
        if *lists && before.is_some_and(|it| it.contains_key("user")) {
            data.insert("user".to_owned(), values.username.to_owned());
        }
        data
    }

    /// Whom a Secret lets log in.
    pub(in crate::operator::user) fn login(
        &self,
        data: &BTreeMap<String, ByteString>,
    ) -> Option<String> {
        let text = |key: &str| std::str::from_utf8(&data.get(key)?.0).ok();
        match self {
            Self::Parts { username, .. } => text(username).map(str::to_owned),
            Self::Dsn => Some(of_dsn(text(DSN)?)?.0),
        }
    }

    /// The password that a Secret has, whatever template has written it.
    pub(in crate::operator::user) fn recover(
        &self,
        data: &BTreeMap<String, ByteString>,
    ) -> Option<SecretString> {
        let own = match self {
            Self::Parts { password, .. } => Some(password.as_str()),
            Self::Dsn => None,
        };
        let text = |key: &str| {
            let text = std::str::from_utf8(&data.get(key)?.0).ok()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let of_dsn = || of_dsn(&text(DSN)?).map(|it| it.1);
        let own = match self {
            Self::Dsn => of_dsn(),
            Self::Parts { .. } => own.and_then(text),
        };
        own.or_else(|| PASSWORDS.into_iter().find_map(text))
            .or_else(of_dsn)
            .map(SecretString::from)
    }
}

fn dsn(values: &Values<'_>) -> String {
    let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let host = match values.host {
        address if address.contains(':') => format!("[{address}]"),
        name => name.to_owned(),
    };
    format!(
        "postgres://{}:{}@{host}:{}/{}?sslmode={}",
        escaped(values.username),
        escaped(values.password.expose_secret()),
        values.port,
        escaped(values.database),
        values.sslmode
    )
}

/// The username and the password of a URI.
fn of_dsn(dsn: &str) -> Option<(String, String)> {
    let (_, rest) = dsn.split_once("://")?;
    let (login, _) = rest.split_once('@')?;
    let (username, password) = login.split_once(':')?;
    let decoded = |text| percent_decode_str(text).decode_utf8().ok();
    let (username, password) = (decoded(username)?, decoded(password)?);
    (!password.is_empty()).then(|| (username.into_owned(), password.into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn template(secret: Value) -> Template {
        let spec: UserSecretSpec = serde_json::from_value(secret).unwrap();
        Template::of(Some(&spec)).unwrap()
    }

    fn made(template: &Template, databases: &[&str]) -> BTreeMap<String, String> {
        let databases: Vec<String> = databases.iter().map(|it| (*it).to_owned()).collect();
        let password = SecretString::from("p:w/ü@");
        let values = Values {
            host: "db.example",
            port: 5432,
            database: &databases[0],
            username: "app",
            password: &password,
            sslmode: "require",
            databases: &databases,
        };
        template.data(&values, None)
    }

    /// operator.md, 5.7: a Secret of dbtether stays as it is while its connection is the same.
    #[test]
    fn a_uri_of_dbtether_stays_until_it_is_another() {
        let databases = ["d".to_owned()];
        let data = |password: &str, before: &str| {
            let values = Values {
                host: "h",
                port: 5432,
                database: "d",
                username: "u",
                password: &SecretString::from(password),
                sslmode: "require",
                databases: &databases,
            };
            let before = [("dsn".to_owned(), ByteString(before.as_bytes().to_vec()))];
            Template::Dsn.data(&values, Some(&before.into()))["dsn"].clone()
        };
        let theirs = "postgres://u:p@h:5432/d";
        assert_eq!(data("p", theirs), theirs);
        assert_eq!(data("q", theirs), "postgres://u:q@h:5432/d?sslmode=require");
        assert_eq!(data("p", ""), "postgres://u:p@h:5432/d?sslmode=require");
    }

    fn keys(template: &Template) -> String {
        let data = made(template, &["a"]);
        let key = |of: &str| {
            let found = data.iter().find(|it| it.1 == of);
            found.map_or("", |it| it.0.as_str())
        };
        ["db.example", "5432", "a", "app", "p:w/ü@"]
            .map(key)
            .join(" ")
    }

    /// operator.md, U6.
    #[test]
    fn each_template_has_its_keys() {
        assert_eq!(
            keys(&Template::of(None).unwrap()),
            "host port database username password"
        );
        for (name, expected) in [
            ("raw", "host port database username password"),
            ("DB", "DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD"),
            (
                "DATABASE",
                "DATABASE_HOST DATABASE_PORT DATABASE_NAME DATABASE_USER DATABASE_PASSWORD",
            ),
            (
                "POSTGRES",
                "POSTGRES_HOST POSTGRES_PORT POSTGRES_DATABASE POSTGRES_USER POSTGRES_PASSWORD",
            ),
            ("custom", "host port database username password"),
        ] {
            assert_eq!(keys(&template(json!({"template": name}))), expected);
        }
        let partial =
            json!({"template": "custom", "keys": {"host": "h", "password": "pw", "user": "u"}});
        assert_eq!(keys(&template(partial)), "h port database u pw");
        let both = json!({"template": "custom", "keys": {"user": "u", "username": "name"}});
        assert_eq!(keys(&template(both)), "host port database name password");
    }

    /// operator.md, U7; §5.7.
    #[test]
    fn several_databases_are_listed_by_the_template_raw_only() {
        let raw = template(json!({"template": "raw"}));
        assert_eq!(
            made(&raw, &["app_db", "cache_db"])["databases"],
            "app_db,cache_db"
        );
        assert!(!made(&raw, &["a"]).contains_key("databases"));
        let postgres = template(json!({"template": "POSTGRES"}));
        assert!(!made(&postgres, &["a", "b"]).contains_key("databases"));
    }

    /// operator.md, W10; operator-rules.md, decided 12.
    #[test]
    fn a_dsn_is_escaped_and_says_how_connections_are_encrypted() {
        let dsn = template(json!({"template": "dsn"}));
        let data = made(&dsn, &["a"]);
        assert_eq!(
            data["dsn"],
            "postgres://app:p%3Aw%2F%C3%BC%40@db.example:5432/a?sslmode=require"
        );
        assert_eq!(data.len(), 1);
        assert_eq!(
            of_dsn(&data["dsn"]).unwrap(),
            ("app".to_owned(), "p:w/ü@".to_owned())
        );
    }

    /// operator.md, §5.7: a template that changes keeps the password.
    #[test]
    fn a_password_is_found_whatever_template_has_written_it() {
        let data = |pairs: &[(&str, &str)]| -> BTreeMap<String, ByteString> {
            let pairs = pairs.iter();
            pairs
                .map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec())))
                .collect()
        };
        let custom = template(json!({"template": "custom", "keys": {"password": "pw"}}));
        let dsn = template(json!({"template": "dsn"}));
        for (template, pairs, expected) in [
            (&custom, vec![("pw", "1"), ("password", "2")], Some("1")),
            (&custom, vec![("pw", ""), ("password", "2")], Some("2")),
            (&custom, vec![("POSTGRES_PASSWORD", "3")], Some("3")),
            (&custom, vec![("dsn", "postgres://u:4%25@h/d")], Some("4%")),
            (
                &dsn,
                vec![("password", "5"), ("dsn", "postgres://u:6@h/d")],
                Some("6"),
            ),
            (&dsn, vec![("password", "5")], Some("5")),
            (&dsn, vec![("dsn", "nonsense")], None),
            (&custom, vec![("other", "7")], None),
        ] {
            let found = template.recover(&data(&pairs));
            let found = found.as_ref().map(|it| it.expose_secret());
            assert_eq!(found, expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_key_that_dbtether_5_wrote_stays_where_it_is() {
        let raw = template(json!({"template": "raw"}));
        let before = BTreeMap::from([("user".to_owned(), ByteString(b"old".to_vec()))]);
        let password = SecretString::from("p");
        let values = Values {
            host: "h",
            port: 1,
            database: "d",
            username: "app",
            password: &password,
            sslmode: "require",
            databases: &[],
        };
        let data = raw.data(&values, Some(&before));
        assert_eq!(
            (data["user"].as_str(), data["username"].as_str()),
            ("app", "app")
        );
    }
}
