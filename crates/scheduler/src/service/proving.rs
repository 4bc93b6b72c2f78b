//! Drills at times of their own, as our own calls and the administrator's file ask for them with a schedule.

use super::put::making;
use super::restores::{Elsewhere, may_ask_sql};
use super::{Service, may};
use crate::domain::access::Named;
use crate::domain::callers::{Caller, Verb};
use crate::domain::credential::Credential;
use crate::domain::cron::Cron;
use crate::domain::database::Database;
use crate::domain::drills::Verify;
use crate::domain::name::Name;
use crate::domain::schedule::{Plan, Schedule};
use crate::engine::{Error, Kind};

/// Drills that are asked for.
#[derive(Clone, Debug)]
pub struct Proving {
    /// When.
    pub cron: Cron,
    /// Where and as which role, as far as that is not the schedule's own.
    pub server: Elsewhere,
    /// What is asked of what has come back.
    pub sql: Vec<String>,
}

impl Service {
    /// How a schedule is proved, where a caller may have that. A password that is not given stays as it was, for the
    /// same role of the same server.
    ///
    /// # Errors
    /// [`Kind::Denied`], and what is wrong with it.
    pub(super) async fn proving(
        &self,
        caller: &Caller,
        name: &Name,
        (plan, found): (&Plan, Option<&Schedule>),
        wanted: Option<Proving>,
    ) -> Result<Option<Verify>, Error> {
        let Some(Proving { cron, server, sql }) = wanted else {
            return Ok(None);
        };
        if plan.several {
            let why = "verify: backups of several databases are proved one by one (VerifyBackup, `scheduler verify` with --source); leave it out";
            return Err(Error::new(making(name), Kind::Invalid, why));
        }
        let mut verify = Verify {
            cron,
            server: its_own(server, &plan.source)?,
            sql,
        };
        let server = verify.server.as_ref().unwrap_or(&plan.source);
        may(caller, Verb::Restore, &plan.source.place())?;
        may(caller, Verb::Restore, &server.place())?;
        let before = found.and_then(|it| Some((it.verify()?, &it.plan.source)));
        let is_said_already = before.is_some_and(|(before, source)| {
            before.sql == verify.sql && verify.has_login_of(&plan.source, before, source)
        });
        if !is_said_already {
            may_ask_sql(caller, !verify.sql.is_empty(), &server.password)?;
        }
        self.permit_places(Named {
            database: Some(server),
            store: None,
            core: None,
        })
        .await?;
        let before = before.and_then(|(before, _)| before.server.as_ref());
        if let (Some(server), Some(before)) = (&mut verify.server, before) {
            keep_password(name, server, before)?;
        }
        Ok(Some(verify))
    }
}

/// The server that drills have for themselves; none: it is the schedule's own role there.
fn its_own(server: Elsewhere, source: &Database) -> Result<Option<Database>, Error> {
    let is_given = server.password.is_given();
    let (server, _) = server.beside(Some(source))?;
    Ok(Some(server).filter(|it| is_given || !it.has_login_of(source)))
}

/// What a new login has no password for may be meant so, or forgotten: it does not lose it unsaid.
fn keep_password(name: &Name, server: &mut Database, before: &Database) -> Result<(), Error> {
    if server.password.is_given() || !before.password.is_given() {
        return Ok(());
    }
    if before.has_login_of(server) {
        server.password = match &before.password {
            Credential::Inline(_) => Credential::Inline(None),
            other => other.clone(),
        };
        return Ok(());
    }
    let why = format!(
        "the password that is kept for drills is for another login, and none is given for {} at {}:{}; give it, or put the schedule without verify first if none is needed",
        server.user, server.host, server.port
    );
    let doing = format!("change schedule {name}");
    Err(Error::new(doing, Kind::Precondition, why))
}
