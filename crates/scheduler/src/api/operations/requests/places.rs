//! Databases and stores in messages.

use backuper::archive::encryption::Identities;
use backuper::job::BackupSource;

use crate::api::door::{Door, filled, secret};
use crate::api::proto::v1;
use crate::domain::credential::{Credential, Reference};
use crate::domain::database::{self, Database};
use crate::domain::databases;
use crate::domain::name::{self, Wrong};
use crate::service::restores::Elsewhere;
use crate::workers::IDENTITY;

/// Host, port and role; within, what was not said.
type Said = (
    Option<Option<String>>,
    Option<Option<u16>>,
    Option<Option<String>>,
);

impl Door {
    /// A database and how to get into it.
    pub(super) fn database(
        &mut self,
        field: &'static str,
        message: v1::Database,
    ) -> Option<Database> {
        let named = |name: &str| name::identifier(name).map(|it| (it, false));
        let read = self.entry(field, message, named);
        read.map(|(database, _)| database)
    }

    /// A database or several, and whether it is several, and how to get into each.
    pub(super) fn databases(
        &mut self,
        field: &'static str,
        message: v1::Database,
    ) -> Option<(Database, bool)> {
        self.entry(field, message, databases::named)
    }

    fn entry<E: std::fmt::Display>(
        &mut self,
        field: &'static str,
        message: v1::Database,
        named: fn(&str) -> Result<(String, bool), E>,
    ) -> Option<(Database, bool)> {
        self.below(field);
        let v1::Database {
            host,
            port,
            dbname,
            user,
            password,
            password_secret,
        } = message;
        let host = self.take("host", name::host(&host));
        let port = self.port(port);
        let name = self.take("dbname", named(&dbname));
        let user = self.take("user", filled(&user));
        let password = self.password(&password, password_secret);
        self.below("");
        let (name, several) = name?;
        let database = Database {
            host: host?,
            port: port?.unwrap_or(database::PORT),
            name,
            user: user?,
            password: password?,
            sslmode: None,
            authorities: None,
        };
        Some((database, several))
    }

    /// What of a restore's target is said; the name always is where there is a target, unless it is the
    /// schedule's own database that is meant.
    pub(super) fn target(
        &mut self,
        message: Option<v1::Target>,
        in_place: bool,
    ) -> Option<Elsewhere> {
        let Some(message) = message else {
            return Some(Elsewhere::default());
        };
        self.below("target.");
        let v1::Target {
            host,
            port,
            dbname,
            user,
            password,
            password_secret,
        } = message;
        let (host, port, user) = self.said_login(host, port, user);
        // What a variable that is not set makes of a name would be the schedule's own database.
        let name = (!in_place).then(|| name::identifier(&dbname));
        let name = self.take("dbname", name.transpose());
        if in_place && (host != Some(None) || port != Some(None) || !dbname.is_empty()) {
            let why = "with in_place it is the schedule's own: leave out host, port and dbname";
            self.take::<()>("dbname", Err(Wrong(why)));
        }
        let password = self.password(&password, password_secret);
        self.below("");
        Some(Elsewhere {
            host: host?,
            port: port?,
            name: name?,
            user: user?,
            password: password?,
        })
    }

    /// The server of a drill, as far as it is said; `of` is the database whose drill it is, where there is no
    /// schedule to say it.
    pub(super) fn drill_server(
        &mut self,
        field: &'static str,
        message: Option<v1::DrillServer>,
        of: Option<String>,
    ) -> Option<Elsewhere> {
        let v1::DrillServer {
            host,
            port,
            user,
            password,
            password_secret,
        } = message.unwrap_or_default();
        self.below(field);
        let (host, port, user) = self.said_login(host, port, user);
        let password = self.password(&password, password_secret);
        self.below("");
        Some(Elsewhere {
            host: host?,
            port: port?,
            name: of,
            user: user?,
            password: password?,
        })
    }

    /// Host, port and role, as far as they are said.
    fn said_login(&mut self, host: String, port: i32, user: String) -> Said {
        let given = |text: String| (!text.is_empty()).then_some(text);
        let host = self.take("host", given(host).map(|it| name::host(&it)).transpose());
        let port = self.port(port);
        let user = self.take("user", given(user).map(|it| filled(&it)).transpose());
        (host, port, user)
    }

    /// Which of a schedule's databases is meant, where it is of several.
    pub(super) fn one_of(&mut self, text: &str) -> Option<Option<BackupSource>> {
        match text {
            "" => Some(None),
            text => self.source(text).map(Some),
        }
    }

    /// Whose backups are meant.
    pub(super) fn source(&mut self, text: &str) -> Option<BackupSource> {
        self.take("source", text.parse())
    }

    fn port(&mut self, port: i32) -> Option<Option<u16>> {
        let given = (port != 0).then(|| name::port(port.into()));
        self.take("port", given.transpose())
    }

    fn password(
        &mut self,
        password: &str,
        named: Option<v1::PasswordSecret>,
    ) -> Option<Credential> {
        let given = self.take("password", name::without_nul(password))?;
        let Some(v1::PasswordSecret { name, key }) = named else {
            return Some(Credential::from(secret(given)));
        };
        if !given.is_empty() {
            return self.take(
                "password_secret",
                Err(Wrong("there is a password beside it")),
            );
        }
        let keys = [(key, "password")];
        let reference = self.take("password_secret", reference(&name, keys));
        reference.map(Credential::Reference)
    }

    /// The private key of an encrypted backup, or where it is.
    pub(super) fn identity(
        &mut self,
        identity: &str,
        named: Option<v1::IdentitySecret>,
    ) -> Option<Credential> {
        let given = secret(self.take("identity", name::without_nul(identity))?);
        let Some(v1::IdentitySecret { name, key }) = named else {
            let read = given.as_ref().map(Identities::read).transpose();
            self.take("identity", read.map_err(|error| error.to_string()))?;
            return Some(Credential::from(given));
        };
        if given.is_some() {
            let why = "there is an identity beside it";
            return self.take("identity_secret", Err(Wrong(why)));
        }
        let reference = self.take("identity_secret", reference(&name, [(key, IDENTITY)]));
        reference.map(Credential::Reference)
    }
}

/// Keys of a Secret, each with what it is called where nothing else is said.
pub(super) fn reference<'a>(
    secret: &str,
    keys: impl IntoIterator<Item = (String, &'a str)>,
) -> Result<Reference, Wrong> {
    let secret = name::object(secret)?;
    let named = |(key, default): (String, &str)| match key.as_str() {
        "" => Ok(default.to_owned()),
        key => name::secret_key(key),
    };
    let keys = keys.into_iter().map(named).collect::<Result<_, _>>()?;
    Ok(Reference { secret, keys })
}
