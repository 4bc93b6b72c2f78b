//! The role of a user in its server: claimed, made, and logged in to with the password that the Secret has.

use backuper::postgres::{Session, Target};
use secrecy::SecretString;
use tokio_postgres::error::SqlState;

use crate::operator::database::Trouble;
use crate::operator::servers::Server;
use crate::postgres::failure::{self, Class};
use crate::postgres::owner::Owner;
use crate::postgres::password;
use crate::postgres::role::{self, Claim, Evidence, Found};
use crate::postgres::scram::{Form, encode};
use crate::postgres::server::{APPLICATION, Facts};
use crate::postgres::statement::execute_together;

const CHECKING: &str = "failed to check user";
pub(super) const CREATING: &str = "failed to create user";
const SETTING: &str = "failed to set password";

/// What an object wants of its role.
#[derive(Clone)]
pub(super) struct Wish<'a> {
    pub(super) name: &'a str,
    pub(super) owner: &'a Owner,
    pub(super) settings: &'a role::Settings,
    pub(super) length: usize,
    /// The password that the Secret has.
    pub(super) password: Option<SecretString>,
    /// Whether that Secret is this very object's: then it may prove whose the role is.
    pub(super) is_evidence: bool,
    /// The login whose password that is.
    pub(super) proof: &'a str,
    /// Whether the password becomes another one.
    pub(super) renews: bool,
    /// Whether it is the login that the Secret has: the password of another one is left as it is.
    pub(super) logs_in: bool,
    /// An administrator's annotation.
    pub(super) force: bool,
    /// The database to log in to.
    pub(super) database: &'a str,
}

/// A role that is as its object wants it.
pub(super) struct Ensured {
    pub(super) oid: u32,
    /// The name to log in with.
    pub(super) login: String,
    pub(super) system_identifier: Option<String>,
    pub(super) password: SecretString,
    pub(super) is_new: bool,
}

/// What a login with a password says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    /// It is the role's.
    Right,
    /// It is not.
    Wrong,
    /// Something else was in the way.
    Unknown,
}

impl Login {
    fn of(state: Option<&SqlState>) -> Self {
        match state {
            Some(it) if *it == SqlState::INVALID_PASSWORD => Self::Wrong,
            // CONNECT is asked for after the password. That there are too many sessions is said before it too.
            Some(it) if *it == SqlState::INSUFFICIENT_PRIVILEGE => Self::Right,
            _ => Self::Unknown,
        }
    }
}

/// What was being done when a server refused a statement.
pub(super) fn failed(what: &'static str) -> impl Fn(failure::Error) -> Trouble {
    move |error| Trouble::Statement(what, error)
}

/// An annotation takes no role from another namespace's object, as long as that is there.
pub(super) fn refuse_theft(
    found: Option<&Found>,
    owner: &Owner,
    is_there: impl Fn(&Owner) -> bool,
) -> Result<(), Trouble> {
    let marked = found.and_then(|it| Owner::parse(it.comment.as_deref()?));
    match marked {
        Some(other) if other.namespace != owner.namespace && is_there(&other) => {
            Err(Trouble::Refused(format!(
                "role {} belongs to {other}, which is there: an annotation takes nothing from another namespace's object; choose another username",
                found.map_or("", |it| it.name.as_str())
            )))
        }
        _ => Ok(()),
    }
}

impl Wish<'_> {
    pub(super) async fn ensure(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
        is_there: impl Fn(&Owner) -> bool,
    ) -> Result<Ensured, Trouble> {
        let name = self.name;
        let before = role::found(session, name).await.map_err(failed(CHECKING))?;
        let evidence = self.evidence(server, before.as_ref()).await;
        if evidence == Evidence::Annotation {
            refuse_theft(before.as_ref(), self.owner, is_there)?;
        }
        let comment = before.as_ref().and_then(|it| it.comment.as_deref());
        let is_created = match role::claim(name, before.as_ref(), self.owner, evidence) {
            Claim::Refused(why) => return Err(Trouble::Refused(why)),
            Claim::Create => true,
            Claim::Adopt => {
                let mark = role::mark(name, comment, self.owner);
                let marked = execute_together(session, &[mark]).await;
                marked.map_err(failed(CHECKING))?;
                false
            }
            Claim::Ours => false,
        };
        let is_new = self.renews || !self.logs_in || self.password.is_none();
        let password = match &self.password {
            Some(password) if !is_new => password.clone(),
            _ => self.generate()?,
        };
        let form = Form::of_server(if facts.md5 { "md5" } else { "" });
        if is_created {
            let encoded = encode(&password, name, form);
            let create = role::create(name, &encoded, self.owner);
            let created = execute_together(session, &create).await;
            created.map_err(failed(CREATING))?;
        } else if self.logs_in
            && (is_new || self.log_in(server, name, &password).await == Login::Wrong)
        {
            let encoded = encode(&password, name, form);
            let change = role::change_password(name, &encoded);
            let changed = execute_together(session, &[change]).await;
            changed.map_err(failed(SETTING))?;
        }
        Ok(Ensured {
            oid: self.set(session, before, is_created).await?,
            login: name.to_owned(),
            system_identifier: facts.system_identifier.clone(),
            password,
            is_new,
        })
    }

    /// Brings the role's settings to what is wanted, and gives its oid.
    async fn set(
        &self,
        session: &Session,
        before: Option<Found>,
        is_created: bool,
    ) -> Result<u32, Trouble> {
        let found = match before {
            Some(found) if !is_created => Some(found),
            _ => role::found(session, self.name)
                .await
                .map_err(failed(CHECKING))?,
        };
        let Some(found) = found else {
            let gone = format!("role {} was dropped by somebody else", self.name);
            let error = failure::Error::because(Class::Transient, CHECKING, gone);
            return Err(Trouble::Statement(CHECKING, error));
        };
        let settings = role::settings(self.name, Some(&found), self.settings);
        let done = execute_together(session, &settings).await;
        done.map_err(failed("failed to set connection limit and timeout"))?;
        Ok(found.oid)
    }

    fn generate(&self) -> Result<SecretString, Trouble> {
        password::generate(self.length).map_err(|error| {
            let error = failure::Error::because(Class::Other, SETTING, error.to_string());
            Trouble::Statement(SETTING, error)
        })
    }

    /// What speaks for the object where the role does not carry its marker.
    async fn evidence(&self, server: &Server, found: Option<&Found>) -> Evidence {
        let Some(found) = found else {
            return Evidence::None;
        };
        let marked = found.comment.as_deref().and_then(Owner::parse);
        if marked.as_ref() == Some(self.owner) {
            return Evidence::None;
        }
        if self.force {
            return Evidence::Annotation;
        }
        match &self.password {
            Some(password)
                if self.is_evidence
                    && self.log_in(server, self.proof, password).await == Login::Right =>
            {
                Evidence::Secret
            }
            _ => Evidence::None,
        }
    }

    async fn log_in(&self, server: &Server, name: &str, password: &SecretString) -> Login {
        let target = Target {
            user: name.to_owned(),
            password: Some(password.clone()),
            ..server.target.with_database(self.database)
        };
        match target.log_in(APPLICATION).await {
            Ok(()) => Login::Right,
            Err(error) => Login::of(error.state.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::role::marker::tests::owner;

    /// operator-rules.md, decided 7: a password is altered where it is known to be wrong.
    #[test]
    fn what_a_login_says_of_a_password() {
        for (state, login) in [
            (Some(SqlState::INVALID_PASSWORD), Login::Wrong),
            // A server that is full says so before it asks for the password.
            (Some(SqlState::TOO_MANY_CONNECTIONS), Login::Unknown),
            (Some(SqlState::INSUFFICIENT_PRIVILEGE), Login::Right),
            (
                Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
                Login::Unknown,
            ),
            (Some(SqlState::CANNOT_CONNECT_NOW), Login::Unknown),
            (None, Login::Unknown),
        ] {
            assert_eq!(Login::of(state.as_ref()), login, "{state:?}");
        }
    }

    /// operator.md, W1.
    #[test]
    fn an_annotation_takes_nothing_from_an_object_of_another_namespace_that_is_there() {
        let theirs = |namespace: &str| Found {
            name: "app".to_owned(),
            comment: Some(
                Owner {
                    namespace: namespace.to_owned(),
                    ..owner()
                }
                .role_marker(),
            ),
            ..Found::default()
        };
        for (namespace, there, is_refused) in [
            ("rivals", true, true),
            ("rivals", false, false),
            ("team", true, false),
        ] {
            let found = theirs(namespace);
            let refused = refuse_theft(Some(&found), &owner(), |_| there);
            assert_eq!(refused.is_err(), is_refused, "{namespace} {there}");
        }
        assert!(refuse_theft(None, &owner(), |_| true).is_ok());
    }
}
