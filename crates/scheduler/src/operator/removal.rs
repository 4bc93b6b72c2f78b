//! A Database whose object goes: its database is dropped, let go, or left alone.

use backuper::postgres::Session;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use super::crd::{Database, DatabaseKept};
use super::database::{Trouble, doing, drop_role, found, is_possible, name};
use super::leaving::Last;
use super::object::UNASKED;
use super::servers::Server;
use super::{Error, Operator, keys, object};
use crate::postgres::database::{self, Removal};
use crate::postgres::owner::Owner;
use crate::postgres::role;
use crate::postgres::server::{self, Facts};

const DROPPING: &str = "failed to drop database";
const RELEASING: &str = "failed to release database";

/// What has become of a database, for the event that tells it.
struct Removed {
    reason: &'static str,
    note: String,
}

pub(super) async fn reconcile(object: &Database, operator: &Operator) -> Result<Action, Error> {
    if !object::is_held(object) {
        return Ok(Action::await_change());
    }
    let before = object.status.clone().unwrap_or_default();
    let named = before
        .kept
        .as_ref()
        .map_or(&object.spec.cluster_ref.name, |it| &it.cluster_name);
    let drops = object.spec.deletion_policy == "Delete";
    if before.kept.is_none() && (named.is_empty() || !is_possible(&name(object))) {
        let note = "the object never had a database: nothing was done in PostgreSQL";
        return operator
            .let_go(object, EventType::Normal, "Left", note)
            .await;
    }
    let server = match operator.last(named).await? {
        Last::Server(server) => server,
        Last::Unasked => return Ok(Action::requeue(UNASKED)),
        Last::Unseen => return operator.go_unseen(object, named, drops).await,
        Last::Gone => {
            let note = format!("DBCluster '{named}' is gone: nothing was done in PostgreSQL");
            return operator
                .let_go(object, EventType::Warning, "Left", &note)
                .await;
        }
    };
    let drops = drops && !operator.loses_its_kind::<Database>().await?;
    let going = Going {
        name: before
            .kept
            .as_ref()
            .map_or_else(|| name(object), |it| it.database_name.clone()),
        owner: operator.owner(object).await?,
        kept: before.kept.clone(),
        drops,
        force: keys::says(object, keys::FORCE_ADOPT),
    };
    let removed = server
        .in_turn(async |session, facts| going.remove(&server, session, facts).await)
        .await;
    match removed {
        Ok(Removed { reason, note }) => {
            let type_ = match reason {
                "Left" => EventType::Warning,
                _ => EventType::Normal,
            };
            operator.let_go(object, type_, reason, &note).await
        }
        Err(trouble) => operator.stay(object, &trouble).await,
    }
}

/// An object that goes, and the database that it had.
struct Going {
    name: String,
    owner: Owner,
    kept: Option<DatabaseKept>,
    drops: bool,
    force: bool,
}

impl Going {
    async fn remove(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
    ) -> Result<Removed, Trouble> {
        let name = &self.name;
        let left = |note: String| Removed {
            reason: "Left",
            note,
        };
        if let Some(kept) = &self.kept
            && kept.system_identifier != facts.system_identifier
        {
            return Ok(left(format!(
                "the server is another than the one that has database {name} (system identifier {}): nothing was done there",
                kept.system_identifier.as_deref().unwrap_or("unknown")
            )));
        }
        self.drop_unfinished(server, session).await?;
        let of = (&self.owner, self.kept.as_ref(), facts);
        // Asked here, where it is acted on: whose it was before may be another's now.
        let found = found(session, server, name, of)
            .await
            .map_err(doing(DROPPING))?;
        if let (None, Some(kept)) = (&found, &self.kept) {
            // An operator that was killed has dropped the database, and not its role.
            let is_there = database::is_there(session, &server.target, kept.oid).await;
            if !is_there.map_err(doing(DROPPING))? {
                drop_role(session, server, kept.oid).await;
            }
        }
        let removal = database::removal(name, found.as_ref(), &self.owner, self.drops, self.force);
        let found = match (&removal, found) {
            (Removal::Leave(why), _) => return Ok(left(format!("{why}: nothing was done"))),
            (_, None) => return Ok(left(format!("there is no database {name}"))),
            (_, Some(found)) => found,
        };
        let removed = if removal == Removal::Drop {
            let joined = role::removal::join_those_in(session, name).await;
            joined.map_err(|error| Trouble::Statement(DROPPING, error))?;
            let sql = database::drop_database(name);
            let done = server::execute(session, &server.target, "dropping in", &sql).await;
            done.map_err(doing(DROPPING))?;
            Removed {
                reason: "Dropped",
                note: format!("database {name} was dropped"),
            }
        } else {
            let sql = database::release(name, &found).join("; ");
            let done = server::execute(session, &server.target, "releasing in", &sql).await;
            done.map_err(doing(RELEASING))?;
            let why = if self.drops {
                "; it was there before the object, and what an object has not made is not dropped unless annotation dbtether.io/force-adopt is \"true\""
            } else {
                ""
            };
            Removed {
                reason: "Retained",
                note: format!("database {name} stays, without the object's mark{why}"),
            }
        };
        if found.has_role {
            drop_role(session, server, found.oid).await;
        }
        Ok(removed)
    }

    /// One that was being made when its operator was killed: nobody has ever been in it, whatever the policy.
    async fn drop_unfinished(&self, server: &Server, session: &Session) -> Result<(), Trouble> {
        let unfinished = database::unfinished(&self.owner);
        let found = database::find(session, &server.target, &unfinished).await;
        if found.map_err(doing(DROPPING))?.is_some() {
            let sql = database::drop_database(&unfinished);
            let done = server::execute(session, &server.target, "dropping in", &sql).await;
            done.map_err(doing(DROPPING))?;
        }
        Ok(())
    }
}
