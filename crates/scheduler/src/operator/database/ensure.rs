//! A database in its server, brought to what its object wants.

use std::time::Duration;

use backuper::postgres::{self, Kind, Session};
use backuper::text::sql::quote;

use super::TRANSIENT;
use crate::operator::crd::{Database, DatabaseKept};
use crate::operator::servers::Server;
use crate::operator::{Operator, REPAIR, keys};
use crate::postgres::database::{self, Claim, Found, Origin, Record};
use crate::postgres::failure::{self, Class};
use crate::postgres::owner::Owner;
use crate::postgres::server::{self, Facts};

/// What an object wants of its server.
pub(super) struct Wish<'a> {
    pub(super) name: String,
    pub(super) owner: Owner,
    pub(super) object: &'a Database,
    pub(super) operator: &'a Operator,
    pub(super) kept: Option<DatabaseKept>,
}

/// A database that is as its object wants it.
pub(super) struct Ensured {
    /// The database that the object had there, and that somebody has dropped.
    pub(super) lost: Option<DatabaseKept>,
    pub(super) tracked: bool,
    pub(super) kept: DatabaseKept,
}

/// Why a database is not as its object wants it.
pub(in crate::operator) enum Trouble {
    /// It is another's.
    Refused(String),
    /// What was being done, and what the server said.
    Postgres(&'static str, postgres::Error),
    /// The same of a statement about roles and privileges.
    Statement(&'static str, failure::Error),
}

impl From<postgres::Error> for Trouble {
    fn from(error: postgres::Error) -> Self {
        Self::Postgres("connection error", error)
    }
}

impl Trouble {
    /// Reason, message, and when to try again.
    pub(in crate::operator) fn told(&self) -> (&'static str, String, Duration) {
        match self {
            Self::Refused(message) => ("NotOwned", message.clone(), REPAIR),
            Self::Postgres("connection error", error) => (
                "ConnectionError",
                format!("connection error: {}", error.reason),
                if error.kind == Kind::Busy {
                    BUSY
                } else {
                    TRANSIENT
                },
            ),
            Self::Postgres(doing, error) if error.kind == Kind::Denied => (
                "InsufficientPrivileges",
                format!(
                    "{doing}: {}; give the DBCluster's role what it lacks",
                    error.reason
                ),
                REPAIR,
            ),
            Self::Postgres(doing, error) => (
                "Error",
                format!("transient error (will retry): {doing}: {}", error.reason),
                TRANSIENT,
            ),
            Self::Statement(doing, error) => {
                let message = format!("{doing}: {}", error.reason);
                match error.class {
                    Class::InsufficientPrivileges => (
                        "InsufficientPrivileges",
                        format!("{message}; give the DBCluster's role what it lacks"),
                        REPAIR,
                    ),
                    Class::DependentObjects => ("DependentObjects", message, TRANSIENT),
                    Class::Conflict => ("NotOwned", message, REPAIR),
                    _ => ("Error", message, TRANSIENT),
                }
            }
        }
    }
}

/// What was being done when a server refused.
pub(in crate::operator) fn doing(what: &'static str) -> impl Fn(postgres::Error) -> Trouble {
    move |error| Trouble::Postgres(what, error)
}

/// Before a server is asked again on which another administration was at work for longer than one waits for it.
const BUSY: Duration = Duration::from_secs(5);

const CREATING: &str = "failed to create database";
const REVOKING: &str = "failed to revoke public connect";
const EXTENDING: &str = "failed to create extensions";

/// The database, with what an object's status knows of it where no role of the server says it.
pub(in crate::operator) async fn found(
    session: &Session,
    server: &Server,
    name: &str,
    of: (&Owner, Option<&DatabaseKept>, &Facts),
) -> Result<Option<Found>, postgres::Error> {
    let (owner, kept, facts) = of;
    let mut found = database::find(session, &server.target, name).await?;
    if let (Some(found), Some(kept)) = (&mut found, kept)
        && found.record.is_none()
        && kept.oid == found.oid
        && kept.system_identifier == facts.system_identifier
    {
        found.record = Some(Record {
            cluster: owner.cluster.clone(),
            object: owner.uid.clone(),
            origin: if kept.origin == Origin::Created.to_string() {
                Origin::Created
            } else {
                Origin::Adopted
            },
            comment: kept.comment.clone(),
        });
    }
    Ok(found)
}

/// Drops the role of a database that is gone, unless it owns what users have left elsewhere.
pub(in crate::operator) async fn drop_role(session: &Session, server: &Server, oid: u32) {
    let sql = database::drop_owner_role(oid);
    let dropped = server::execute(session, &server.target, "dropping a role in", &sql).await;
    if let Err(error) = dropped {
        tracing::info!(%error, "the database's owner role stays");
    }
}

impl Wish<'_> {
    async fn find(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
    ) -> Result<Option<Found>, Trouble> {
        let of = (&self.owner, self.kept.as_ref(), facts);
        let found = found(session, server, &self.name, of).await;
        found.map_err(doing(CREATING))
    }

    pub(super) async fn ensure(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
    ) -> Result<Ensured, Trouble> {
        let force = keys::says(self.object, keys::FORCE_ADOPT);
        let before = self.find(server, session, facts).await?;
        if force && let Some(whose) = self.held_by_another_namespace(before.as_ref()) {
            return Err(Trouble::Refused(format!(
                "database {} is owned by {whose}, which is there: an annotation takes nothing from another namespace's object; delete that one first",
                self.name
            )));
        }
        let origin = match database::claim(&self.name, before.as_ref(), &self.owner, force) {
            Claim::Refused(why) => return Err(Trouble::Refused(why)),
            Claim::Create => {
                self.create(server, session, facts).await?;
                Origin::Created
            }
            Claim::Adopt => Origin::Adopted,
            Claim::Ours(origin) => origin,
        };
        let (found, lost) = match before {
            Some(found) => (found, None),
            None => {
                let lost = self.lost(facts);
                if let Some(lost) = lost {
                    drop_role(session, server, lost.oid).await;
                }
                let found = self.there(server, session, facts).await?;
                (found, lost.cloned())
            }
        };
        let tracked = self.mark(server, session, facts, (&found, origin)).await?;
        self.restrict(server, session, facts, &found).await?;
        self.extend(server).await?;
        Ok(Ensured {
            lost,
            tracked,
            kept: DatabaseKept {
                cluster_name: self.object.spec.cluster_ref.name.clone(),
                database_name: self.name.clone(),
                system_identifier: facts.system_identifier.clone(),
                oid: found.oid,
                origin: origin.to_string(),
                comment: found.record.map_or_else(
                    || found.comment.filter(|it| database::marked(it).is_none()),
                    |it| it.comment,
                ),
            },
        })
    }

    /// Makes the database under another name, and gives it its own with its marks: a database that an operator was
    /// killed over is never one that was there before.
    async fn create(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
    ) -> Result<(), Trouble> {
        let unfinished = database::unfinished(&self.owner);
        let target = &server.target;
        let found = async || {
            let found = database::find(session, target, &unfinished).await;
            found.map_err(doing(CREATING))
        };
        let made = match found().await? {
            Some(made) => Some(made),
            None => {
                let sql = database::create(&unfinished);
                let done = server::execute(session, target, "creating in", &sql).await;
                done.map_err(doing(CREATING))?;
                found().await?
            }
        };
        let Some(made) = made else {
            return Err(self.gone(server));
        };
        let names = (unfinished.as_str(), self.name.as_str());
        let sql = database::finish(names, &made, &self.owner, facts).join("; ");
        let done = server::execute(session, target, "naming a database in", &sql).await;
        done.map_err(doing(CREATING))
    }

    /// What the object had by this name on this server.
    fn lost(&self, facts: &Facts) -> Option<&DatabaseKept> {
        let kept = self.kept.as_ref()?;
        let is_it = kept.database_name == self.name
            && kept.cluster_name == self.object.spec.cluster_ref.name
            && kept.system_identifier == facts.system_identifier;
        is_it.then_some(kept)
    }

    /// The object of another namespace that a database is marked with, where it is there.
    fn held_by_another_namespace(&self, found: Option<&Found>) -> Option<String> {
        let (namespace, name) = database::marked(found?.comment.as_deref()?)?;
        let is_theirs =
            namespace != self.owner.namespace && self.operator.database(namespace, name).is_some();
        is_theirs.then(|| format!("{namespace}/{name}"))
    }

    async fn there(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
    ) -> Result<Found, Trouble> {
        let found = self.find(server, session, facts).await?;
        found.ok_or_else(|| self.gone(server))
    }

    fn gone(&self, server: &Server) -> Trouble {
        let name = quote(&self.name);
        let gone = format!("database {name} was dropped by somebody else");
        let target = &server.target;
        let error = postgres::Error::because(Kind::Other, "looking in", target, gone);
        Trouble::Postgres(CREATING, error)
    }

    /// Whether the database carries both marks.
    async fn mark(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
        of: (&Found, Origin),
    ) -> Result<bool, Trouble> {
        let (found, origin) = of;
        let statements = database::mark(&self.name, found, &self.owner, origin, facts);
        if statements.is_empty() {
            return Ok(true);
        }
        if !found.owned {
            return Ok(false);
        }
        // One message is one transaction.
        let sql = statements.join("; ");
        let marked = server::execute(session, &server.target, "marking a database in", &sql).await;
        marked.map_err(doing(CREATING))?;
        Ok(true)
    }

    async fn restrict(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
        found: &Found,
    ) -> Result<(), Trouble> {
        let statements = database::alter(&self.name, found, self.object.spec.revoke_public_connect);
        if statements.is_empty() {
            return Ok(());
        }
        let sql = statements.join("; ");
        let revoked = server::execute(session, &server.target, "revoking in", &sql).await;
        revoked.map_err(doing(REVOKING))?;
        // Whoever does not own a database is warned, and nothing is revoked.
        if self.there(server, session, facts).await?.public_connect {
            let why = format!(
                "CONNECT on database {} could not be revoked (not owner)",
                self.name
            );
            let error = postgres::Error::because(Kind::Denied, "revoking in", &server.target, why);
            return Err(Trouble::Postgres(REVOKING, error));
        }
        Ok(())
    }

    async fn extend(&self, server: &Server) -> Result<(), Trouble> {
        let wanted = &self.object.spec.extensions;
        if wanted.is_empty() {
            return Ok(());
        }
        let (session, target) = server.enter(&self.name).await.map_err(doing(EXTENDING))?;
        let missing = database::missing_extensions(&session, &target, wanted).await;
        for name in missing.map_err(doing(EXTENDING))? {
            let sql = database::create_extension(&name);
            let made = server::execute(&session, &target, "creating an extension in", &sql).await;
            made.map_err(doing(EXTENDING))?;
        }
        Ok(())
    }
}
