//! What a user may do in a database: a preset and additional grants, exactly.
//!
//! Privileges are granted to the user's role itself, and not through a group role for each database and preset.
//! A group would make the second user of a preset cheaper, but each group is a role for the whole server that
//! has to be named, marked, kept out of foreign hands and removed with its database, and a membership says
//! nothing exact while the user may have privileges of its own beside it. Only what users leave behind belongs to
//! a role that cannot log in ([`super::database::owner_role`]).
//!
//! Exact are the schemas named: their CREATE and USAGE, their tables, views and sequences, and default
//! privileges for whoever creates there. Functions and types keep what PostgreSQL gives to everybody.
//! What PUBLIC has on tables is not ours to take: it is reported.

pub mod access;
pub mod catalogue;
mod difference;
mod grants;
mod ownership;

use std::collections::BTreeSet;
use std::str::FromStr;

use tokio_postgres::Client;

pub use self::catalogue::{Found, found};
use self::difference::Reached;
use super::failure::Error;
use super::statement::{Statement, execute_each};

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    /// Nothing at all: what a role has goes.
    Nothing,
    /// Read tables.
    Readonly,
    /// Read and write tables, and take numbers from sequences.
    Readwrite,
    /// Also create in the schemas, and truncate tables, refer to them and put triggers on them.
    Admin,
    /// Also own all that is in the schemas.
    Owner,
}

/// A privilege that an additional grant may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are PostgreSQL's")]
pub enum Privilege {
    Select,
    Insert,
    Update,
    Delete,
    Truncate,
    References,
    Trigger,
    Usage,
}

/// Privileges on tables that a preset does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Additional {
    /// Their names as they are; each is looked for in the schemas named, in their order.
    pub tables: Vec<String>,
    /// What is granted.
    pub privileges: BTreeSet<Privilege>,
}

/// What a user is to have in one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its role.
    pub role: String,
    /// What it may do.
    pub preset: Preset,
    /// Where: `public` where nobody says.
    pub schemas: Vec<String>,
    /// What it may do beside.
    pub grants: Vec<Additional>,
    /// The role that owns what users of this database leave behind.
    pub owner_role: String,
    /// Whether everybody keeps the right to create in the schemas, which PostgreSQL up to 14 gives, and a problem
    /// says so.
    pub public_may_create: bool,
}

/// What has to be done, in this order, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What lets us act for owners and creators.
    pub preparations: Vec<Statement>,
    /// Objects of a user who may not own any: they go to the owner role.
    pub given_up: Vec<Statement>,
    /// What is granted and revoked.
    pub grants: Vec<Statement>,
    /// Objects that an owner does not own yet.
    pub taken_over: Vec<Statement>,
    /// What is not as wanted and stays so until somebody else acts.
    pub problems: Vec<Problem>,
}

/// What we cannot make as it is wanted: one sentence, and what kind it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the caller can act on.
    pub kind: Kind,
    /// What is wrong and what to do.
    pub sentence: String,
}

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something that was named does not exist, or cannot have the privilege.
    Missing,
    /// A table of the additional grants is not in this database.
    NoTable,
    /// The administering role may not act for somebody.
    NotAllowed,
    /// A function stays its owner's, since it runs with his rights.
    Definer,
    /// The user has more than it should, by what somebody else has granted.
    Beyond,
    /// Everybody may do what the user should not.
    Public,
}

/// What could not be done when a plan was applied.
#[derive(Debug)]
pub struct Outcome {
    /// What failed, each for itself.
    pub failed: Vec<Error>,
    /// How many objects still have their old owner: one of them was in use, and the rest was not tried.
    pub put_off: usize,
}

impl Preset {
    /// What it has on tables and views.
    #[must_use]
    pub fn on_tables(self) -> BTreeSet<&'static str> {
        let all = [
            "SELECT",
            "INSERT",
            "UPDATE",
            "DELETE",
            "TRUNCATE",
            "REFERENCES",
            "TRIGGER",
        ];
        let count = match self {
            Self::Nothing => 0,
            Self::Readonly => 1,
            Self::Readwrite => 4,
            Self::Admin | Self::Owner => 7,
        };
        all.into_iter().take(count).collect()
    }

    /// What it has on sequences.
    #[must_use]
    pub fn on_sequences(self) -> BTreeSet<&'static str> {
        match self {
            Self::Nothing | Self::Readonly => BTreeSet::new(),
            _ => BTreeSet::from(["SELECT", "USAGE"]),
        }
    }

    /// What it has on schemas.
    #[must_use]
    pub fn on_schemas(self) -> BTreeSet<&'static str> {
        match self {
            Self::Nothing => BTreeSet::new(),
            Self::Readonly | Self::Readwrite => BTreeSet::from(["USAGE"]),
            Self::Admin | Self::Owner => BTreeSet::from(["CREATE", "USAGE"]),
        }
    }

    /// What a user gets who wanted to be the owner when another one is (O8).
    #[must_use]
    pub fn of_second_owner(self) -> Self {
        self.min(Self::Admin)
    }

    /// Whether what the user made stays its own.
    fn may_own(self) -> bool {
        self >= Self::Admin
    }
}

impl Privilege {
    /// As SQL has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Truncate => "TRUNCATE",
            Self::References => "REFERENCES",
            Self::Trigger => "TRIGGER",
            Self::Usage => "USAGE",
        }
    }
}

/// No privilege that may be granted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0} is no privilege that can be granted on tables")]
pub struct UnknownPrivilege(String);

impl FromStr for Privilege {
    type Err = UnknownPrivilege;

    fn from_str(text: &str) -> Result<Self, UnknownPrivilege> {
        let all = [
            Self::Select,
            Self::Insert,
            Self::Update,
            Self::Delete,
            Self::Truncate,
            Self::References,
            Self::Trigger,
            Self::Usage,
        ];
        let found = all
            .into_iter()
            .find(|it| it.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownPrivilege(text.to_owned()))
    }
}

/// Compares what is wanted with what is there.
#[must_use]
pub fn plan(wanted: &Wanted, found: &Found) -> Plan {
    planned(wanted, found, true)
}

/// The same of a role that is not ours: what it owns stays its own, and nothing is said of it.
#[must_use]
pub fn plan_grants(wanted: &Wanted, mut found: Found) -> Plan {
    let own = found.role;
    found.relations.retain(|it| it.owner != own);
    planned(wanted, &found, false)
}

fn planned(wanted: &Wanted, found: &Found, with_owners: bool) -> Plan {
    let mut reached = Reached::new(found);
    let mut plan = Plan::default();
    for name in &wanted.schemas {
        if !found.schemas.iter().any(|it| it.name == *name) {
            let sentence = format!(
                "schema {name} does not exist, so role {} gets nothing there: create it, or take it out of the schemas",
                wanted.role
            );
            plan.problems.push(Problem {
                kind: Kind::Missing,
                sentence,
            });
        }
    }
    if with_owners {
        plan.given_up = ownership::give_up(wanted, found, &mut reached);
    }
    grants::on_schemas(wanted, found, &mut reached, &mut plan);
    grants::on_relations(wanted, found, &mut reached, &mut plan);
    grants::by_default(wanted, found, &mut reached, &mut plan);
    if with_owners {
        plan.taken_over = ownership::take_over(wanted, found, &mut reached);
        if wanted.preset.may_own() {
            // What the user makes is for us to back up, and CREATEROLE alone reads nothing of it.
            reached.may_act_for(found.role);
        }
    }
    plan.preparations = reached.preparations(wanted);
    plan.problems.extend(reached.problems());
    plan
}

impl Plan {
    /// Everything that is executed, in order.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        let first = self.preparations.iter().chain(&self.given_up);
        first.chain(&self.grants).chain(&self.taken_over)
    }

    /// Executes it in the database that it was made for.
    ///
    /// # Errors
    /// Only where the session has ended.
    pub async fn apply(&self, client: &Client) -> Result<Outcome, Error> {
        let mut failed = execute_each(client, &self.preparations).await?;
        let mut put_off = ownership::change(client, &self.given_up, &mut failed).await?;
        failed.extend(execute_each(client, &self.grants).await?);
        put_off += ownership::change(client, &self.taken_over, &mut failed).await?;
        Ok(Outcome { failed, put_off })
    }
}

#[cfg(test)]
mod tests;
