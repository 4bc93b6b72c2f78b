//! DatabaseUser: a role that logs in, a Secret with its connection, and what it may do in databases.
//!
//! ```text
//! spec ─▶ elect (who owns a database) ─▶ resolve (where) ─▶ secret (whose, which password)
//!      ─▶ role (claimed, made) ─▶ Secrets written ─▶ access (what it may do) ─▶ told
//! ```
//!
//! All of it is compared at each repair, and nothing is written where nothing differs.

mod access;
mod connection;
mod elect;
mod external;
mod index;
mod login;
mod removal;
mod resolve;
mod role;
mod rotation;
mod secret;
mod secrets;
mod spec;
mod told;
mod turn;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::crd::{DatabaseUser, DatabaseUserStatus, UserKept};
use super::database::Trouble;
use super::object::{Namespaced, OnServer};
use super::waiting::Stop;
use super::{Error, Guarded, Operator, about, keys, now};
use crate::postgres::owner::Owner;
use access::{Access, Given};
use resolve::Place;
use secret::Standing;
use secrets::Refused;
use spec::Asked;
pub(super) use spec::Reference;
pub(super) use watching::{Users, control};

/// How many turns on its server a look at a user takes: its role, and what it may do.
pub(super) const TURNS: usize = 2;
/// Before a Secret that could not be written is tried again.
const SECRET: Duration = Duration::from_secs(60);

async fn reconcile(
    object: Arc<Guarded<DatabaseUser>>,
    operator: Arc<Operator>,
) -> Result<Action, Error> {
    let Some(object) = operator.readable(&object).await? else {
        return Ok(Action::await_change());
    };
    if object.metadata.deletion_timestamp.is_some() {
        return removal::reconcile(object, &operator).await;
    }
    let before = object.status.clone().unwrap_or_default();
    let asked = match spec::asked(object) {
        Ok(asked) => asked,
        Err(why) => {
            let stop = Stop::Refused("Invalid", format!("validation error: {why}"));
            return operator.halt(object, &before, stop).await;
        }
    };
    operator.hold(object).await?;
    let namespace = object.namespace().unwrap_or_default();
    let place = match operator.place(&namespace, &asked.entries).await? {
        Ok(place) => place,
        Err(stop) => return operator.halt(object, &before, stop).await,
    };
    let mut work = Work {
        owner: operator.owner(object).await?,
        operator: &operator,
        object,
        namespace,
        asked: &asked,
        place: &place,
        status: before,
    };
    let done = if asked.external {
        work.give_external().await
    } else {
        work.do_all().await.map(Ok)
    };
    let again = match done {
        Ok(Ok(again)) => again,
        Ok(Err(stop)) => return operator.halt(object, &work.status, stop).await,
        Err(Failure::Api(error)) => return Err(error),
        Err(Failure::Trouble(trouble)) => {
            let (reason, message, again) = trouble.told();
            work.fail(reason, &message).await?;
            again
        }
        Err(Failure::Secret(why)) => {
            let message = format!("secret error: {why}");
            work.fail("SecretError", &message).await?;
            SECRET
        }
    };
    Ok(Action::requeue(about(again, &object.metadata)))
}

/// Why a user is not as its object wants it.
enum Failure {
    /// The API server did not do what it was asked: tried again soon.
    Api(Error),
    Trouble(Trouble),
    Secret(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Api(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Secret(refused.0)
    }
}

/// What is done for one user.
struct Work<'a> {
    operator: &'a Operator,
    object: &'a DatabaseUser,
    namespace: String,
    owner: Owner,
    asked: &'a Asked,
    place: &'a Place,
    /// As it was last written.
    status: DatabaseUserStatus,
}

/// The role that a user has.
struct Kept {
    oid: u32,
    system_identifier: Option<String>,
    /// Whether its password is.
    is_new: bool,
    /// Its login; none of a role that others have made.
    turn: Option<turn::Turn>,
}

/// A Secret as it was found, and whose it is.
type Found = (Option<Secret>, Standing);

impl Work<'_> {
    /// Brings the user to what its object wants; gives when to look again.
    async fn do_all(&mut self) -> Result<Duration, Failure> {
        let databases = self.asked.entries.iter().map(|it| &it.database);
        let mut claimants = self.operator.users.claimants(databases);
        for claimant in &mut claimants {
            self.keep_consented(claimant).await?;
        }
        let of = (self.namespace.as_str(), self.owner.name.as_str());
        let lowered = elect::lower(of, &self.asked.entries, &claimants);
        let found = self.read_secrets().await?;
        let turn = self.turn(&found);
        if turn.renews {
            // A password that nobody could be told locks its user out.
            self.try_secrets(&found, &turn.login).await?;
        }
        self.announce().await?;
        let ensured = self.ensure_role(&found, &turn).await?;
        self.write_secrets(&found, &ensured).await?;
        self.keep(Kept {
            oid: ensured.oid,
            system_identifier: ensured.system_identifier.clone(),
            is_new: ensured.is_new || turn.is_another,
            turn: Some(turn),
        })
        .await?;
        self.shut_former().await?;
        let again = self.finish(&lowered).await?;
        let due = rotation::again(self.asked.days, &self.status, now());
        Ok(due.map_or(again, |it| again.min(it)))
    }

    /// Leaves of what another wants to own what it may be on at all.
    async fn keep_consented(&self, claimant: &mut elect::Claimant) -> Result<(), Failure> {
        let Some(entries) = claimant.entries.take() else {
            return Ok(());
        };
        let mut kept = Vec::new();
        for entry in entries {
            let database = (
                entry.database.namespace.as_str(),
                entry.database.name.as_str(),
            );
            let consent = self.operator.admits(database, &claimant.namespace);
            if consent.await.map_err(Failure::Api)?.is_ok() {
                kept.push(entry);
            }
        }
        claimant.entries = Some(kept);
        Ok(())
    }

    /// Writes on which DBCluster the role will be before there is one: whoever is stopped in between, and finds the
    /// object deleted with its Databases, knows where to look.
    async fn announce(&mut self) -> Result<(), Failure> {
        if self.status.cluster_name.is_some() {
            return Ok(());
        }
        let after = DatabaseUserStatus {
            cluster_name: Some(self.place.cluster.clone()),
            ..self.status.clone()
        };
        Ok(self.tell(after).await?)
    }

    /// Writes what the user has now, before anything else can fail: its role, where it will be given something, and
    /// since when it has its password.
    async fn keep(&mut self, had: Kept) -> Result<(), Failure> {
        let place = self.place;
        let kept = UserKept {
            cluster_name: place.cluster.clone(),
            username: self.asked.username.clone(),
            system_identifier: had.system_identifier,
            oid: had.oid,
            databases: place.names(),
            external: self.asked.external,
        };
        let mut after = told::keeping(&self.status, kept);
        after.secret_name = self.asked.secrets.first().cloned();
        after.rotated_for = self.object.annotations().get(keys::ROTATE).cloned();
        after.login = had.turn.as_ref().map(|it| it.login.clone());
        after.login.take_if(|it| *it == self.asked.username);
        after.former_login = had.turn.and_then(|it| it.former);
        if had.is_new {
            after.password_updated_at = Some(Time(now()));
        }
        let before = self.status.orphaned.clone();
        self.tell(after).await?;
        let after = self.status.orphaned.as_ref();
        self.operator
            .warn_of_orphans(self.object, before.as_ref(), after)
            .await;
        Ok(())
    }

    /// Gives the role what it may do, and tells what came of it; gives when to look again.
    async fn finish(&mut self, lowered: &[elect::Lowered]) -> Result<Duration, Failure> {
        let entries = lowered.iter().map(|it| it.0.clone()).collect();
        let given = self.give(entries).await?;
        let outcome = told::Outcome {
            asked: self.asked,
            place: self.place,
            lowered,
            given: &given,
        };
        let (after, again) = told::done(self.object, &self.status, &outcome);
        self.tell(after).await?;
        let Place {
            cluster, server, ..
        } = self.place;
        Ok(again.unwrap_or_else(|| self.operator.repair_after(cluster, server)))
    }

    async fn give(&self, entries: Vec<spec::Entry>) -> Result<Given, Failure> {
        let names = self.place.names();
        let kept = self.status.kept.iter().flat_map(|it| &it.databases);
        let access = Access {
            owner: &self.owner,
            asked: self.asked,
            entries,
            databases: &self.place.databases,
            left: kept.filter(|it| !names.contains(it)).cloned().collect(),
        };
        let server = &self.place.server;
        let given = server
            .in_turn(async |session, _| access.give(server, session).await)
            .await;
        Ok(given?)
    }

    async fn fail(&mut self, reason: &str, message: &str) -> Result<(), Error> {
        let after = told::failed(self.object, &self.status, "Failed", (reason, message));
        self.tell(after).await
    }

    async fn tell(&mut self, after: DatabaseUserStatus) -> Result<(), Error> {
        self.operator
            .tell(self.object, &self.status, &after)
            .await?;
        self.status = after;
        Ok(())
    }
}

impl Namespaced for DatabaseUser {
    const FINALIZER: &'static str = keys::USER_FINALIZER;
}

impl OnServer for DatabaseUser {
    const GOING: &'static str = "Failed";
    const WAITING: &'static str = "Pending";
    const THING: &'static str = "role";

    fn failed(
        &self,
        before: &DatabaseUserStatus,
        phase: &str,
        of: (&str, &str),
    ) -> DatabaseUserStatus {
        told::failed(self, before, phase, of)
    }
}
