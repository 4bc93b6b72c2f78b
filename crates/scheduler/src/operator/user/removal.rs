//! A DatabaseUser whose object goes: its role is dropped and what it owned stays, or all stays as it is.

use backuper::postgres::Session;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use super::access::leave;
use super::role::failed;
use super::{SECRET, external, secret, spec, told};
use crate::operator::crd::{DatabaseUser, UserKept};
use crate::operator::database::{Trouble, name};
use crate::operator::leaving::Last;
use crate::operator::object::UNASKED;
use crate::operator::servers::Server;
use crate::operator::{Error, Operator, keys, object};
use crate::postgres::owner::Owner;
use crate::postgres::role::removal::{self, Definers};
use crate::postgres::role::{self, Claim, Evidence, second};
use crate::postgres::server::Facts;
use crate::postgres::statement::execute_together;

const DROPPING: &str = "failed to drop user";

/// What has become of a role, for the event that tells it: reason and note.
type Removed = (&'static str, String);

pub(super) async fn reconcile(object: &DatabaseUser, operator: &Operator) -> Result<Action, Error> {
    if !object::is_held(object) {
        return Ok(Action::await_change());
    }
    let mut drops = object.spec.deletion_policy != "Retain";
    if drops {
        drops = !operator.loses_its_kind::<DatabaseUser>().await?;
    }
    let Some((cluster, databases)) = operator.whereabouts(object) else {
        let note = "the object never had a role: nothing was done in PostgreSQL";
        return operator.part(object, drops, ("Left", note)).await;
    };
    let server = match operator.last(&cluster).await? {
        Last::Server(server) => server,
        Last::Unasked => return Ok(Action::requeue(UNASKED)),
        Last::Unseen if drops && !keys::says(object, keys::FORCE_RELEASE) => {
            return operator.go_unseen(object, &cluster, drops).await;
        }
        Last::Unseen => {
            let note =
                format!("DBCluster '{cluster}' is not connected: nothing was done in PostgreSQL");
            return operator.part(object, drops, ("Left", &note)).await;
        }
        Last::Gone => {
            let note = format!("DBCluster '{cluster}' is gone: nothing was done in PostgreSQL");
            return operator.part(object, drops, ("Left", &note)).await;
        }
    };
    let kept = object.status.as_ref().and_then(|it| it.kept.clone());
    let going = Going {
        external: kept.as_ref().map_or(object.spec.external, |it| it.external),
        schemas: object.spec.schemas.clone(),
        name: match &kept {
            Some(kept) => kept.username.clone(),
            None => spec::username(object),
        },
        owner: operator.owner(object).await?,
        kept,
        databases,
        drops,
    };
    let removed = server
        .in_turn(async |session, facts| match going.external {
            true => going.take_back(&server, session, facts).await,
            false => going.remove(&server, session, facts).await,
        })
        .await;
    match removed {
        Ok((reason, note)) => operator.part(object, drops, (reason, &note)).await,
        Err(trouble) if keys::says(object, keys::FORCE_RELEASE) => {
            let (_, message, _) = trouble.told();
            operator.part(object, drops, ("Left", &message)).await
        }
        Err(trouble) => operator.stay(object, &trouble).await,
    }
}

impl Operator {
    /// The DBCluster that a user's role is on and the databases where it may have something: by its status, or by
    /// what its Databases say now. None: they are gone, and it never had one.
    fn whereabouts(&self, object: &DatabaseUser) -> Option<(String, Vec<String>)> {
        let status = object.status.clone().unwrap_or_default();
        let known = told::databases(&status);
        let named = status
            .kept
            .map(|it| it.cluster_name)
            .or(status.cluster_name);
        if let Some(cluster) = named.filter(|it| !it.is_empty()) {
            return Some((cluster, known));
        }
        let entries = spec::entries(object).ok()?;
        let found = entries
            .iter()
            .filter_map(|it| self.database(&it.database.namespace, &it.database.name));
        let found: Vec<(String, String)> = found
            .filter_map(|it| {
                let database = it.0.as_ref().ok()?;
                Some((database.spec.cluster_ref.name.clone(), name(database)))
            })
            .collect();
        let cluster = found.first()?.0.clone();
        Some((cluster, found.into_iter().map(|it| it.1).collect()))
    }

    /// Lets a user go, after its Secrets: they go with a role that is dropped, and stay with one that stays.
    async fn part(
        &self,
        object: &DatabaseUser,
        drops: bool,
        (reason, note): (&'static str, &str),
    ) -> Result<Action, Error> {
        let namespace = object.namespace().unwrap_or_default();
        let holder = secret::holder(object);
        let mut names = told::secrets(&object.status.clone().unwrap_or_default());
        names.extend(spec::asked(object).map(|it| it.secrets).unwrap_or_default());
        for name in names {
            let done = if drops {
                self.leave_secret(&namespace, &name, &holder).await?
            } else {
                self.release_secret(&namespace, &name, &holder).await?
            };
            if let Err(refused) = done
                && !keys::says(object, keys::FORCE_RELEASE)
            {
                let message = format!("secret error: {}", refused.0);
                return self
                    .hold_on(object, ("SecretError", &message), SECRET)
                    .await;
            }
        }
        let type_ = match reason {
            "Left" => EventType::Warning,
            _ => EventType::Normal,
        };
        self.let_go(object, type_, reason, note).await
    }
}

/// An object that goes, and the role that it had.
struct Going {
    name: String,
    owner: Owner,
    kept: Option<UserKept>,
    databases: Vec<String>,
    drops: bool,
    /// Whether others have made the role: then only what it was given goes.
    external: bool,
    schemas: Vec<String>,
}

impl Going {
    async fn take_back(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
    ) -> Result<Removed, Trouble> {
        let name = &self.name;
        if !self.drops {
            let note = format!("role {name} stays, with what it was given");
            return Ok(("Retained", note));
        }
        let Some(kept) = &self.kept else {
            return Ok(("Left", format!("role {name} was given nothing")));
        };
        let going = external::Going {
            name,
            system_identifier: kept.system_identifier.as_ref(),
            schemas: &self.schemas,
            databases: &self.databases,
        };
        external::part(server, session, facts, &going).await
    }

    async fn remove(
        &self,
        server: &Server,
        session: &Session,
        facts: &Facts,
    ) -> Result<Removed, Trouble> {
        let name = &self.name;
        if let Some(kept) = &self.kept
            && kept.system_identifier != facts.system_identifier
        {
            let identifier = kept.system_identifier.as_deref().unwrap_or("unknown");
            let note = format!(
                "the server is another than the one that has role {name} (system identifier {identifier}): nothing was done there"
            );
            return Ok(("Left", note));
        }
        // Asked here, where it is acted on: whose it was before may be another's now.
        let found = role::found(session, name).await.map_err(failed(DROPPING))?;
        let Some(found) = found else {
            return Ok(("Left", format!("there is no role {name}")));
        };
        if let Claim::Refused(_) | Claim::Adopt =
            role::claim(name, Some(&found), &self.owner, Evidence::None)
        {
            let note = format!("role {name} is not this object's: nothing was done");
            return Ok(("Left", note));
        }
        let mut all = vec![found];
        if let Some(second) = second::name(name) {
            let found = role::found(session, &second).await;
            let found = found.map_err(failed(DROPPING))?;
            let claim = role::claim(&second, found.as_ref(), &self.owner, Evidence::None);
            // First, since it acts for the other.
            all.splice(0..0, found.filter(|_| claim == Claim::Ours));
        }
        if !self.drops {
            let unmark = |it: &role::Found| role::unmark(&it.name, it.comment.as_deref());
            let unmark: Vec<_> = all.iter().map(unmark).collect();
            let done = execute_together(session, &unmark).await;
            done.map_err(failed("failed to release user"))?;
            let note = format!("role {name} stays, without the object's mark");
            return Ok(("Retained", note));
        }
        let mut definers = Definers::default();
        for role in &all {
            let begun = removal::begin(session, &role.name, &self.owner).await;
            begun.map_err(failed(DROPPING))?;
            for database in &self.databases {
                let left = leave(server, session, (&role.name, &self.owner), database).await;
                let Definers { turned, closed } = left?;
                definers.turned.extend(turned);
                definers.closed.extend(closed);
            }
            let finished = removal::finish(session, &role.name, &self.owner).await;
            finished.map_err(failed(DROPPING))?;
        }
        let mut note = format!("role {name} was dropped; what it owned is the databases' now");
        for (what, names) in [
            (
                "ran with its rights, and run with their callers' from now on",
                definers.turned,
            ),
            (
                "are views with its rights, which nobody else may use from now on",
                definers.closed,
            ),
        ] {
            if !names.is_empty() {
                note.push_str(&format!("; these {what}: {}", names.join(", ")));
            }
        }
        Ok(("Dropped", note))
    }
}
