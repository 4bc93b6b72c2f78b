//! What a user may do, made so: where it connects, its privileges in each database, and none where it is no more.

use backuper::postgres::{self, Kind, Session};
use backuper::text::sql::quote;

use super::external;
use super::resolve::Here;
use super::role::failed;
use super::spec::{Asked, Entry};
use crate::operator::database::Trouble;
use crate::operator::servers::Server;
use crate::postgres::database;
use crate::postgres::failure::{self, Class};
use crate::postgres::membership;
use crate::postgres::owner::Owner;
use crate::postgres::privileges::{self, Preset, Problem, Wanted, access};
use crate::postgres::role::removal::{self, Definers};
use crate::postgres::server;
use crate::postgres::statement::{Statement, execute_each, execute_together};

pub(super) const SYNCING: &str = "failed to sync database access";
pub(super) const LEAVING: &str = "failed to revoke what the user had in a database";

/// What a user is to have.
pub(super) struct Access<'a> {
    pub(super) owner: &'a Owner,
    pub(super) asked: &'a Asked,
    /// What it is to do in each database: those of the object, less what another owner leaves.
    pub(super) entries: Vec<Entry>,
    pub(super) databases: &'a [Here],
    /// Databases that are the user's no more.
    pub(super) left: Vec<String>,
}

/// What has become of it.
#[derive(Default)]
pub(super) struct Given {
    /// For each database.
    pub(super) databases: Vec<GivenHere>,
    /// Databases where the user has nothing any more.
    pub(super) left: Vec<String>,
    /// Why there still is something in others.
    pub(super) unleft: Vec<String>,
    /// What everybody may do, and so the user.
    pub(super) open: Option<String>,
}

/// What has become of it in one database.
#[derive(Default)]
pub(super) struct GivenHere {
    /// What was to be and is not.
    pub(super) failed: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl Access<'_> {
    fn role(&self) -> &str {
        &self.asked.username
    }

    pub(super) async fn give(&self, server: &Server, session: &Session) -> Result<Given, Trouble> {
        let mut given = Given::default();
        // First: what goes in one database goes on all that databases share, CONNECT included.
        for name in &self.left {
            match self.leave(server, session, name).await {
                Ok(()) => given.left.push(name.clone()),
                Err(trouble) => given
                    .unleft
                    .push(format!("database {name}: {}", trouble.told().1)),
            }
        }
        given.open = self.connect(session).await?;
        for (entry, here) in self.entries.iter().zip(self.databases) {
            let done = self.give_here(server, session, (entry, here)).await;
            given
                .databases
                .push(done.unwrap_or_else(|trouble| GivenHere {
                    failed: vec![trouble.told().1],
                    problems: Vec::new(),
                }));
        }
        Ok(given)
    }

    async fn leave(&self, server: &Server, session: &Session, name: &str) -> Result<(), Trouble> {
        if self.asked.external {
            let of = (self.role(), self.asked.schemas.as_slice());
            return external::leave(server, session, of, name).await;
        }
        let left = leave(server, session, (self.role(), self.owner), name).await;
        left.map(drop)
    }

    /// Lets the user connect to its databases and to no others. Says where everybody may.
    async fn connect(&self, session: &Session) -> Result<Option<String>, Trouble> {
        let us = membership::administrator(session).await;
        let us = us.map_err(failed(SYNCING))?;
        let wanted: Vec<String> = self.databases.iter().map(|it| it.name.clone()).collect();
        let found = access::found(session, self.role(), &wanted).await;
        let found = found.map_err(failed(SYNCING))?;
        let (mut statements, problems) = access::plan(self.role(), &wanted, &found, &us);
        if self.asked.external {
            let own = external::own(found, self.databases);
            statements = access::plan(self.role(), &wanted, &own, &us).0;
        }
        refused_first(execute_each(session, &statements).await)?;
        let mut open = Vec::new();
        for Problem { kind, sentence } in problems {
            match kind {
                privileges::Kind::Public | privileges::Kind::Beyond => open.push(sentence),
                _ => {
                    let class = Class::InsufficientPrivileges;
                    let error = failure::Error::because(class, SYNCING, sentence);
                    return Err(Trouble::Statement(SYNCING, error));
                }
            }
        }
        Ok((!open.is_empty()).then(|| open.join("; ")))
    }

    async fn give_here(
        &self,
        server: &Server,
        session: &Session,
        (entry, here): (&Entry, &Here),
    ) -> Result<GivenHere, Trouble> {
        const DOING: &str = "failed to apply privileges";
        let (owner_role, has_role) = owner_role(server, session, &here.name).await?;
        let (client, _) = server.enter(&here.name).await?;
        let wanted = Wanted {
            role: self.role().to_owned(),
            preset: entry.preset,
            schemas: self.asked.schemas.clone(),
            grants: self.asked.grants.clone(),
            owner_role,
            public_may_create: !here.is_made,
        };
        let mut found = privileges::found(&client, &wanted)
            .await
            .map_err(failed(DOING))?;
        let is_external = self.asked.external;
        if !is_external && !has_role && gives_up(&wanted, &found) {
            make_owner_role(session, &wanted.owner_role).await?;
            found = privileges::found(&client, &wanted)
                .await
                .map_err(failed(DOING))?;
        }
        let plan = if is_external {
            privileges::plan_grants(&wanted, found)
        } else {
            privileges::plan(&wanted, &found)
        };
        let outcome = plan.apply(&client).await.map_err(failed(DOING))?;
        let mut here = GivenHere::default();
        for problem in plan.problems {
            if problem.kind == privileges::Kind::NotAllowed {
                here.failed.push(problem.sentence);
            } else {
                here.problems.push(problem);
            }
        }
        here.failed
            .extend(outcome.failed.into_iter().map(|it| it.reason));
        if outcome.put_off > 0 {
            here.failed.push(format!(
                "{} objects still have their old owner, since one is in use; they are tried again",
                outcome.put_off
            ));
        }
        Ok(here)
    }
}

/// The first of the statements about connecting that was refused.
pub(super) fn refused_first(
    refused: Result<Vec<failure::Error>, failure::Error>,
) -> Result<(), Trouble> {
    let refused = refused.map_err(failed(SYNCING))?;
    match refused.into_iter().next() {
        Some(first) => Err(Trouble::Statement(SYNCING, first)),
        None => Ok(()),
    }
}

/// Whether a user owns what it may not, so that it needs somebody to give it to.
fn gives_up(wanted: &Wanted, found: &privileges::Found) -> bool {
    let mut owners = found
        .relations
        .iter()
        .map(|it| it.owner)
        .chain(found.objects.iter().map(|it| it.owner));
    wanted.preset < Preset::Admin && owners.any(|it| it == found.role)
}

/// The role that owns what users of a database leave, and whether it is there.
async fn owner_role(
    server: &Server,
    session: &Session,
    name: &str,
) -> Result<(String, bool), Trouble> {
    let found = database::find(session, &server.target, name).await?;
    match found {
        Some(found) => Ok((database::owner_role(found.oid), found.has_role)),
        None => {
            let gone = format!("database {} does not exist", quote(name));
            let target = &server.target;
            let error = postgres::Error::because(Kind::NoDatabase, "looking in", target, gone);
            Err(Trouble::Postgres("failed to apply privileges", error))
        }
    }
}

async fn make_owner_role(session: &Session, name: &str) -> Result<(), Trouble> {
    let sql = format!("CREATE ROLE {} NOLOGIN", quote(name));
    let made = execute_together(session, &[Statement::new(sql)]).await;
    made.map_err(failed(LEAVING))
}

/// Gives what a user owns in a database to its owner role, and takes what it may do there. A database that is gone
/// has nothing of it. Gives what ran with its rights.
pub(super) async fn leave(
    server: &Server,
    session: &Session,
    (role, owner): (&str, &Owner),
    name: &str,
) -> Result<Definers, Trouble> {
    let found = database::find(session, &server.target, name).await?;
    let Some(found) = found else {
        return Ok(Definers::default());
    };
    let owner_role = database::owner_role(found.oid);
    if !found.has_role {
        make_owner_role(session, &owner_role).await?;
    }
    let target = server.target.with_database(name);
    let client = server::connect(&target).await?;
    let left = removal::leave_database(&client, role, owner, &owner_role).await;
    left.map_err(failed(LEAVING))
}
