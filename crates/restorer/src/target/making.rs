//! The roles that a restore makes: those that the backup needs and the server lacks, of the backup's globals.
//!
//! A backup may come from a store that others can write to, and a role is not of one database but of all. So
//! nothing that was there before is changed, and what is made gets no more than a role of its own has: no
//! attribute that reaches beyond, no membership in a role that was there, no setting but those that every role
//! may make for itself. What that leaves out is told with the statement that gives it.

use std::collections::{BTreeMap, BTreeSet};

use backuper::postgres::{self, Kind, Target};
use backuper::runtime::Failure;
use backuper::text::sql::{literal, quote};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Client;

use super::made::Made;
use super::roles::{Roles, named};
use crate::archive::globals::{Attribute, Globals, Membership, Role};

/// What is never given: each reaches beyond what is restored. CREATEROLE of a server before 16 gives any role
/// but a superuser's.
const WITHHELD: [Attribute; 4] = [
    Attribute::Superuser,
    Attribute::Replication,
    Attribute::BypassRls,
    Attribute::CreateRole,
];

/// From this major on a membership has options beside ADMIN, and CREATEDB is given by who has it.
/// PostgreSQL 16 manual, release notes.
const OPTIONS: u32 = 16;

/// Who makes roles, and where.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    name: String,
    superuser: bool,
    creates_roles: bool,
    creates_databases: bool,
    major: u32,
    /// The settings that every role may make for itself, in small letters.
    settable: BTreeSet<String>,
}

/// What is executed for one role.
#[derive(Debug)]
struct Step {
    /// What it does, without a value.
    what: String,
    sql: SecretString,
    /// Whether the roles are as good as made when the server refuses it.
    optional: bool,
}

/// Roles that are about to be made.
#[derive(Debug, Default)]
pub struct Making {
    names: Vec<String>,
    steps: Vec<Step>,
    /// By role, what gives it what it had and does not get.
    withheld: BTreeMap<String, Vec<String>>,
    /// What makes roles that were there members of them again.
    outside: Vec<String>,
}

impl Maker {
    /// Asks the server, which is of this major.
    ///
    /// # Errors
    /// What it said.
    pub(super) async fn of(session: &Client, target: &Target, major: u32) -> Result<Self, Failure> {
        let failed =
            |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
        let row = session
            .query_one(
                "SELECT rolname::text, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user",
                &[],
            )
            .await
            .map_err(failed)?;
        let settable = session
            .query(
                "SELECT lower(name) FROM pg_settings WHERE context = 'user'",
                &[],
            )
            .await
            .map_err(failed)?;
        Ok(Self {
            name: row.get(0),
            superuser: row.get(1),
            creates_roles: row.get(2),
            creates_databases: row.get(3),
            major,
            settable: settable.iter().map(|row| row.get(0)).collect(),
        })
    }
}

impl Maker {
    /// Whether this is our role, and becomes a member of what it makes by itself.
    fn joins(&self, member: &str) -> bool {
        !self.superuser && member == self.name
    }
}

impl Making {
    /// Decides how the missing ones are made, beside those that are there. Those that the globals do not have
    /// stay missing.
    ///
    /// # Errors
    /// A refusal, where our role may make none.
    pub(super) fn of(
        missing: &BTreeSet<String>,
        globals: &Globals,
        maker: &Maker,
        there: &Roles,
    ) -> Result<Self, Failure> {
        let made: BTreeMap<&String, &Role> = globals
            .roles
            .iter()
            .filter(|(name, _)| missing.contains(*name))
            .collect();
        let mut making = Self::default();
        if made.is_empty() {
            return Ok(making);
        }
        making.names = made.keys().map(|it| (*it).clone()).collect();
        if !maker.superuser && !maker.creates_roles {
            return Err(Failure::refused(format!(
                "the backup needs the roles {}, and role {} may not make them; give it CREATEROLE, or make them by hand, or set RESTORE_ROLES=none; nothing was changed",
                named(&making.names),
                quote(&maker.name)
            )));
        }
        for (name, role) in &made {
            making.add(name, role, maker);
        }
        for membership in &globals.memberships {
            let (of, member) = (&membership.role, &membership.member);
            if made.contains_key(of) && made.contains_key(member) {
                making.join(membership, maker);
            } else if made.contains_key(member) {
                making.withhold(member, grant(membership, maker.major));
            } else if made.contains_key(of) && there.has(member) && !maker.joins(member) {
                let statement = grant(membership, maker.major);
                making.outside.push(statement);
            }
        }
        Ok(making)
    }

    /// The roles.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    fn add(&mut self, name: &str, role: &Role, maker: &Maker) {
        let mut sql = format!("CREATE ROLE {}", quote(name));
        for attribute in [Attribute::Login, Attribute::Inherit, Attribute::CreateDb] {
            let word = attribute.keyword();
            let may_give = attribute != Attribute::CreateDb
                || maker.superuser
                || maker.creates_databases
                || maker.major < OPTIONS;
            match (role.has(attribute), may_give) {
                (true, true) => sql.push_str(&format!(" {word}")),
                (true, false) => self.withhold(name, format!("ALTER ROLE {} {word}", quote(name))),
                (false, _) => sql.push_str(&format!(" NO{word}")),
            }
        }
        if let Some(limit) = role.connection_limit {
            sql.push_str(&format!(" CONNECTION LIMIT {limit}"));
        }
        if let Some(hash) = &role.password {
            sql.push_str(&format!(" PASSWORD {}", literal(hash.expose_secret())));
        }
        if let Some(time) = &role.valid_until {
            sql.push_str(&format!(" VALID UNTIL {}", literal(time)));
        }
        self.step(format!("making role {}", quote(name)), sql, false);
        if !maker.superuser {
            // Who owns nothing of a role's can give it nothing.
            let mut sql = format!("GRANT {} TO CURRENT_USER", quote(name));
            if maker.major >= OPTIONS {
                // A member that does not inherit would have nothing of the role's otherwise.
                sql.push_str(" WITH INHERIT TRUE, SET TRUE");
            }
            self.step(
                format!("becoming a member of role {}", quote(name)),
                sql,
                true,
            );
        }
        let withheld: Vec<&str> = WITHHELD
            .iter()
            .filter(|it| role.has(**it))
            .map(|it| it.keyword())
            .collect();
        if !withheld.is_empty() {
            let sql = format!("ALTER ROLE {} {}", quote(name), withheld.join(" "));
            self.withhold(name, sql);
        }
        for setting in &role.settings {
            let (role, parameter) = (quote(name), quote(&setting.name));
            if !maker.settable.contains(&setting.name.to_lowercase()) {
                // Its value may be a secret.
                self.withhold(name, format!("ALTER ROLE {role} SET {parameter} TO …"));
                continue;
            }
            let values: Vec<String> = setting.values.iter().map(|it| literal(it)).collect();
            let sql = format!("ALTER ROLE {role} SET {parameter} TO {}", values.join(", "));
            self.step(
                format!("setting {} of role {role}", setting.name),
                sql,
                true,
            );
        }
        if let Some(comment) = &role.comment {
            let sql = format!("COMMENT ON ROLE {} IS {}", quote(name), literal(comment));
            self.step(format!("the comment of role {}", quote(name)), sql, true);
        }
    }

    fn join(&mut self, membership: &Membership, maker: &Maker) {
        let Membership { role, member, .. } = membership;
        let what = format!("making role {} a member of {}", quote(member), quote(role));
        self.step(what, grant(membership, maker.major), true);
    }

    fn step(&mut self, what: String, sql: String, optional: bool) {
        let sql = SecretString::from(sql);
        self.steps.push(Step {
            what,
            sql,
            optional,
        });
    }

    fn withhold(&mut self, role: &str, statement: String) {
        let all = self.withheld.entry(role.to_owned()).or_default();
        all.push(statement);
    }

    /// Makes all of them, or none; notes them in `noted`.
    ///
    /// # Errors
    /// What the server said, and about which.
    pub(super) async fn run(
        self,
        session: &Client,
        target: &Target,
        noted: &Made,
    ) -> Result<(), Failure> {
        if self.names.is_empty() {
            return Ok(());
        }
        let made = self.transaction(session, target, noted).await;
        if made.is_err() && !session.is_closed() {
            let ended = session.batch_execute("ROLLBACK").await;
            if let Err(error) = ended {
                tracing::debug!(%error, "the session is lost");
            }
        }
        made?;
        tracing::info!(database = %target, roles = %named(&self.names), "made the roles that the backup needs and the server did not have");
        for (role, statements) in &self.withheld {
            tracing::warn!(
                "role {} was made without what reaches beyond this database; whoever wants it so runs: {}",
                quote(role),
                statements.join("; ")
            );
        }
        if !self.outside.is_empty() {
            tracing::warn!(
                "roles that were there are not changed, so they are not members of the roles that were made, as they were in the backup's server; whoever wants it so runs: {}",
                self.outside.join("; ")
            );
        }
        Ok(())
    }

    async fn transaction(
        &self,
        session: &Client,
        target: &Target,
        noted: &Made,
    ) -> Result<(), Failure> {
        const DOING: &str = "making roles in";
        let failed = |error: &tokio_postgres::Error| postgres::Error::new(DOING, target, error);
        session
            .batch_execute("BEGIN; SET LOCAL lock_timeout = '60s'")
            .await
            .map_err(|error| failed(&error))?;
        for Step {
            what,
            sql,
            optional,
        } in &self.steps
        {
            session
                .batch_execute("SAVEPOINT one")
                .await
                .map_err(|error| failed(&error))?;
            match session.batch_execute(sql.expose_secret()).await {
                Ok(()) => {}
                Err(error) if *optional && error.code().is_some() => {
                    let why = failed(&error).reason;
                    tracing::warn!(database = %target, "{what} was refused and is left out: {why}");
                    session
                        .batch_execute("ROLLBACK TO SAVEPOINT one")
                        .await
                        .map_err(|error| failed(&error))?;
                }
                Err(error) => {
                    let error = failed(&error);
                    let sentence = format!(
                        "{what}: {}; no role was made and nothing was restored",
                        error.reason
                    );
                    return Err(match error.kind {
                        Kind::Unavailable => error.into(),
                        _ => Failure::refused(sentence),
                    });
                }
            }
        }
        noted.asked(&self.names);
        let ended = session.batch_execute("COMMIT").await;
        match &ended {
            Ok(()) => noted.are(&self.names),
            Err(error) if error.as_db_error().is_some() => noted.are_not(),
            // Nobody knows.
            Err(_) => {}
        }
        ended.map_err(|error| failed(&error).into())
    }
}

/// What makes a role a member of another, on a server of this major.
fn grant(membership: &Membership, major: u32) -> String {
    let Membership {
        role,
        member,
        admin,
        inherit,
        set,
    } = membership;
    let mut options = Vec::new();
    if *admin {
        options.push("ADMIN OPTION".to_owned());
    }
    if major >= OPTIONS {
        for (name, value) in [("INHERIT", inherit), ("SET", set)] {
            let word = |it: bool| if it { "TRUE" } else { "FALSE" };
            options.extend(value.map(|it| format!("{name} {}", word(it))));
        }
    }
    let sql = format!("GRANT {} TO {}", quote(role), quote(member));
    if options.is_empty() {
        sql
    } else {
        format!("{sql} WITH {}", options.join(", "))
    }
}

#[cfg(test)]
mod tests;
