//! A user whose role others make: a provider, for those who log in with IAM or Entra. It is never made, altered,
//! given a password, or dropped; what it may do in its databases is all that is ours.

use std::time::Duration;

use backuper::postgres::Session;
use kube::ResourceExt as _;

use super::access::{LEAVING, SYNCING, refused_first};
use super::resolve::Here;
use super::role::failed;
use super::spec::{self, Reference};
use super::{Failure, Kept, Work};
use crate::operator::crd::DatabaseUser;
use crate::operator::database::Trouble;
use crate::operator::servers::Server;
use crate::operator::waiting::{Stop, Waiting};
use crate::postgres::database;
use crate::postgres::membership::{self, is_reserved};
use crate::postgres::owner::Owner;
use crate::postgres::privileges::{self, Preset, Wanted, access};
use crate::postgres::role::{self, Found};
use crate::postgres::server::{self, Facts};
use crate::postgres::statement::execute_each;

/// Before a role that is not there is looked for again.
const MISSING: Duration = Duration::from_secs(60);

/// Why a role is not one that others make for its user.
///
/// # Errors
/// In one sentence that says what to do.
pub(super) fn check(name: &str, found: &Found) -> Result<(), String> {
    let refused = |what: &str| {
        Err(format!(
            "role {name} {what}, so it is given nothing: choose another username"
        ))
    };
    if is_reserved(name) {
        return refused("belongs to PostgreSQL or to the server's provider");
    }
    if found.is_ours {
        return refused("is the one that administers the server, or acts for it");
    }
    if found.superuser || found.oid < 16_384 {
        return refused("is a superuser or a role of the system");
    }
    match found.comment.as_deref().and_then(Owner::parse) {
        Some(owner) => refused(&format!(
            "belongs to {owner}, and external is for roles that no object has made"
        )),
        None => Ok(()),
    }
}

impl Work<'_> {
    /// Gives the role of others what its object wants; gives when to look again, or why it waits.
    pub(super) async fn give_external(&mut self) -> Result<Result<Duration, Stop>, Failure> {
        if let Some(elder) = self.elder() {
            let name = &self.asked.username;
            let Reference {
                namespace,
                name: of,
            } = elder;
            let why = format!(
                "role {name} has what DatabaseUser {namespace}/{of} says in one of these Databases: one object for a role and a Database"
            );
            return Ok(Err(Stop::Refused("NotOwned", why)));
        }
        let name = &self.asked.username;
        let server = &self.place.server;
        let found = server
            .in_turn(async |session, facts| {
                let found = role::found(session, name).await;
                let found = found.map_err(failed("failed to check user"))?;
                Ok::<_, Trouble>((found, facts.system_identifier.clone()))
            })
            .await?;
        let (Some(found), system_identifier) = found else {
            return Ok(Err(Stop::Waiting(Waiting {
                phase: "Pending",
                message: format!(
                    "waiting for role '{name}': the server's provider makes it, and it is not there"
                ),
                again: MISSING,
            })));
        };
        check(name, &found).map_err(Trouble::Refused)?;
        self.keep(Kept {
            oid: found.oid,
            system_identifier,
            is_new: false,
            turn: None,
        })
        .await?;
        let entries = self.asked.entries.iter().cloned();
        let lowered: Vec<_> = entries.map(|it| (it, None)).collect();
        Ok(Ok(self.finish(&lowered).await?))
    }

    /// An older object that gives the same role something in one of these Databases: the two would undo each
    /// other's grants for ever.
    fn elder(&self) -> Option<Reference> {
        let users = &self.operator.users;
        let of = |it: &DatabaseUser| {
            let created = it.creation_timestamp().map(|it| it.0);
            (created, it.namespace(), it.name_any())
        };
        let own = of(self.object);
        let databases = self.asked.entries.iter().map(|it| &it.database);
        let mut others = databases.flat_map(|it| users.of(it));
        others.find(|it| {
            users.get(it).is_some_and(|it| {
                let Ok(other) = &it.0 else {
                    return false;
                };
                let is_same = spec::username(other) == self.asked.username && other.spec.external;
                is_same && other.metadata.deletion_timestamp.is_none() && of(other) < own
            })
        })
    }
}

/// Takes what the role has in a database that is its user's no more; a database that is gone has nothing of it.
pub(super) async fn leave(
    server: &Server,
    session: &Session,
    (role, schemas): (&str, &[String]),
    name: &str,
) -> Result<(), Trouble> {
    let found = database::find(session, &server.target, name).await?;
    let Some(found) = found else {
        return Ok(());
    };
    let wanted = Wanted {
        role: role.to_owned(),
        preset: Preset::Nothing,
        schemas: schemas.to_vec(),
        grants: Vec::new(),
        owner_role: database::owner_role(found.oid),
        public_may_create: true,
    };
    let client = server::connect(&server.target.with_database(name)).await?;
    let found = privileges::found(&client, &wanted).await;
    let found = found.map_err(failed(LEAVING))?;
    let plan = privileges::plan_grants(&wanted, found);
    let outcome = plan.apply(&client).await.map_err(failed(LEAVING))?;
    if let Some(first) = outcome.failed.into_iter().next() {
        return Err(Trouble::Statement(LEAVING, first));
    }
    let us = membership::administrator(session).await;
    let us = us.map_err(failed(SYNCING))?;
    let found = access::found(session, role, &[]).await;
    let mut found = found.map_err(failed(SYNCING))?;
    found.databases.retain(|it| it.name == name);
    let (statements, _) = access::plan(role, &[], &found, &us);
    refused_first(execute_each(session, &statements).await)
}

/// What goes with an object: the grants of a role that stays. Gives the event's reason and note.
pub(super) async fn part(
    server: &Server,
    session: &Session,
    facts: &Facts,
    going: &Going<'_>,
) -> Result<(&'static str, String), Trouble> {
    let name = going.name;
    let found = role::found(session, name).await;
    let found = found.map_err(failed(LEAVING))?;
    let is_elsewhere = going.system_identifier != facts.system_identifier.as_ref();
    // Asked here, where it is acted on: the role of that name may be an object's by now.
    let may = found.as_ref().is_some_and(|it| check(name, it).is_ok());
    if !may || is_elsewhere {
        let note = format!(
            "role {name} is not there, or not one that others made for this object: nothing was done"
        );
        return Ok(("Left", note));
    }
    for database in going.databases {
        leave(server, session, (name, going.schemas), database).await?;
    }
    let note = format!("role {name} stays, and what the object gave it is taken back");
    Ok(("Retained", note))
}

/// An object that goes, and the role that it gave something.
pub(super) struct Going<'a> {
    pub(super) name: &'a str,
    pub(super) system_identifier: Option<&'a String>,
    pub(super) schemas: &'a [String],
    pub(super) databases: &'a [String],
}

/// Of all that is known of who connects where, what is about these databases: others are not the object's to say.
pub(super) fn own(mut found: access::Found, here: &[Here]) -> access::Found {
    found
        .databases
        .retain(|it| here.iter().any(|own| own.name == it.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::role::marker::tests::owner;

    /// operator-rules.md, decided 12, 4.3 to 4.5.
    #[test]
    fn a_role_that_others_made_is_one_that_no_object_has_and_that_administers_nothing() {
        let found = Found {
            oid: 20_000,
            // Of those that IAM lets in, each is a member of its provider's role.
            elevated: true,
            ..Found::default()
        };
        assert_eq!(check("alice@example.com", &found), Ok(()));
        assert_eq!(check("sa@project.iam", &found), Ok(()));
        let ours = Found {
            is_ours: true,
            ..found.clone()
        };
        let superuser = Found {
            superuser: true,
            ..found.clone()
        };
        let system = Found {
            oid: 10,
            ..found.clone()
        };
        let marked = Found {
            comment: Some(owner().role_marker()),
            ..found.clone()
        };
        for (name, found, why) in [
            ("a", &ours, "administers"),
            ("a", &superuser, "superuser"),
            ("a", &system, "system"),
            ("a", &marked, "belongs to"),
            ("rds_iam", &found, "provider"),
            ("azure_pg_admin", &found, "provider"),
        ] {
            let said = check(name, found).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
