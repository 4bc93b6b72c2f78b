//! What of a backup is restored into this target, and to whom it belongs there: decided before
//! anything is loaded.

use std::collections::{BTreeMap, BTreeSet};

use backuper::postgres::Target;
use backuper::runtime::Failure;
use backuper::text::sql::quote;
use tokio_postgres::Client;

use super::attached;
use super::beside::Beside;
use super::definers::{self, Definers};
use super::made::Made;
use super::owners;
use super::requirements::{self, Unmet};
use super::roles::{Roles, named};
use super::tolerant::few;
use crate::archive::globals::Globals;
use crate::archive::toc::{Entry, Toc};
use crate::job::{Mode, Owners};
use crate::resolve::Backup;

/// What whoever restores has asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// What may be in the database.
    pub mode: Mode,
    /// Who is to own what is restored.
    pub owners: Owners,
    /// Whether to go on without what cannot be restored.
    pub keep_going: bool,
    /// Which roles are made.
    pub roles: Roled<'a>,
    /// Where those are noted that were made.
    pub made: &'a Made,
    /// The database whose place the restored one is to take; none: it is restored into its own place.
    pub beside: Option<&'a Beside>,
}

/// Which roles are made.
#[derive(Clone, Copy, Debug)]
pub enum Roled<'a> {
    /// None.
    None,
    /// Those that the backup needs and the server lacks, of these globals; none: the backup has none.
    Missing(Option<&'a Globals>),
}

/// Kinds that hold rows: nothing goes on without them.
const ROWS: [&str; 6] = [
    "TABLE",
    "SEQUENCE",
    "TABLE DATA",
    "SEQUENCE SET",
    "BLOB",
    "BLOBS",
];

/// What is restored, and how.
#[derive(Debug)]
pub struct Plan {
    /// The roles of the server.
    pub(crate) roles: Roles,
    owners: Owners,
    /// Whether what belongs to the database itself is the backup's, and not another database's.
    own: bool,
    tablespaces: bool,
    left_out: BTreeMap<i64, String>,
}

impl Plan {
    /// Compares the backup with the server, which has these roles; what differs and does not matter
    /// is a warning.
    ///
    /// # Errors
    /// A refusal that names what cannot be restored, or what the server said.
    pub(super) async fn of(
        session: &Client,
        target: &Target,
        roles: Roles,
        backup: &Backup,
        wishes: Wishes<'_>,
    ) -> Result<Self, Failure> {
        let mut plan = Self::bare(roles, wishes.owners);
        plan.own = wishes.beside.is_none();
        let Some(toc) = backup.toc() else {
            return Ok(plan);
        };
        plan.examine_tablespaces(session, target, toc).await?;
        let unmet = requirements::unmet(session, target, toc, &plan.roles).await?;
        plan.leave_out(target, toc, unmet, wishes.keep_going)?;
        if backup.part().is_some() {
            let attached = attached::indexes(session, target, toc).await?;
            plan.left_out.extend(attached);
        }
        plan.refuse_definers(target, toc, &superusers(backup))?;
        Ok(plan)
    }

    /// Says in one warning whose owners are not restored, by the roles as they are.
    pub(super) fn warn_of_owners(&self, target: &Target, backup: &Backup) {
        let Some(toc) = backup.toc().filter(|_| self.sets_owners()) else {
            return;
        };
        let Some((mut warning, advice)) = owners::warning(toc, self) else {
            return;
        };
        let definers = self.definers(toc, &superusers(backup));
        if !definers.is_empty() {
            let names = few(definers.into_iter().map(|it| it.1));
            warning.push_str(&format!(
                "; among them, with the rights of {} from now on: {names}",
                quote(&self.roles.me)
            ));
        }
        tracing::warn!(database = %target, "not all owners can be restored: {warning}; {advice}");
    }

    /// With nothing left out.
    pub(super) fn bare(roles: Roles, owners: Owners) -> Self {
        Self {
            roles,
            owners,
            own: true,
            tablespaces: true,
            left_out: BTreeMap::new(),
        }
    }

    /// Whether an entry of the schema's archive is restored.
    #[must_use]
    pub fn keeps(&self, entry: &Entry) -> bool {
        !self.left_out.contains_key(&entry.id)
    }

    /// What is not restored, each with the reason.
    #[must_use]
    pub fn omissions(&self) -> Vec<String> {
        let mut all: Vec<String> = self.left_out.values().cloned().collect();
        all.retain(|it| !it.is_empty());
        all
    }

    /// What pg_restore is told beside the rest.
    #[must_use]
    pub fn arguments(&self) -> &'static [&'static str] {
        if self.tablespaces {
            &[]
        } else {
            &["--no-tablespaces"]
        }
    }

    /// Whether a database that is made gets what belonged to the backup's itself.
    pub(crate) fn gives_own(&self) -> bool {
        self.own
    }

    /// Whether owners are restored.
    pub(crate) fn sets_owners(&self) -> bool {
        self.owners == Owners::Auto
    }

    async fn examine_tablespaces(
        &mut self,
        session: &Client,
        target: &Target,
        toc: &Toc,
    ) -> Result<(), Failure> {
        let missing = requirements::tablespaces(session, target, toc).await?;
        if !missing.is_empty() {
            tracing::warn!(
                database = %target,
                "the server does not have the tablespaces {}, or role {} may not use them, so everything is restored into the database's own; make them and restore again, or move the tables by hand",
                missing.join(", "), quote(&self.roles.me)
            );
            self.tablespaces = false;
        }
        Ok(())
    }

    /// Leaves out what cannot be restored, and what needs it.
    fn leave_out(
        &mut self,
        target: &Target,
        toc: &Toc,
        unmet: Vec<Unmet>,
        keep_going: bool,
    ) -> Result<(), Failure> {
        if unmet.is_empty() {
            return Ok(());
        }
        let reasons: Vec<String> = unmet.iter().map(|it| it.why.clone()).collect();
        for why in &reasons {
            tracing::warn!(database = %target, "cannot be restored: {why}");
        }
        if !keep_going {
            return Err(Failure::refused(format!(
                "what the backup holds cannot be restored into {target}: {}; make there what is missing, or restore as a role that may, or go on without with RESTORE_KEEP_GOING=true; nothing was changed",
                few(reasons)
            )));
        }
        self.left_out = unmet.into_iter().map(|it| (it.entry, it.why)).collect();
        // An entry stands behind what it needs.
        for entry in &toc.entries {
            let needed = entry.needs.iter().find(|it| self.left_out.contains_key(it));
            if needed.is_none() || self.left_out.contains_key(&entry.id) {
                continue;
            }
            let name = name(entry);
            if ROWS.contains(&entry.kind.as_str()) {
                return Err(Failure::refused(format!(
                    "what the backup holds cannot be restored into {target}: {}, and {name} needs it; make there what is missing, or restore as a role that may; nothing was changed",
                    few(reasons)
                )));
            }
            // A comment or a privilege needs no word of its own.
            let belongs = ["COMMENT", "ACL", "SECURITY LABEL"].contains(&entry.kind.as_str());
            let why = if belongs {
                String::new()
            } else {
                format!("{name} (it needs what is left out)")
            };
            self.left_out.insert(entry.id, why);
        }
        Ok(())
    }

    /// Refuses what would get more rights by another owner.
    fn refuse_definers(
        &self,
        target: &Target,
        toc: &Toc,
        superusers: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let definers = self.definers(toc, superusers);
        if !self.sets_owners() || !self.roles.superuser || definers.is_empty() {
            return Ok(());
        }
        let owners: BTreeSet<&String> = definers.iter().map(|it| &it.0.owner).collect();
        let owners = named(owners);
        Err(Failure::refused(format!(
            "{} would run with the rights of {}, a superuser, since {target} does not have their owners: {owners}; create these roles first, or set RESTORE_OWNERS=none to have it so; nothing was changed",
            few(definers.into_iter().map(|it| it.1)),
            quote(&self.roles.me),
        )))
    }

    /// What runs with its owner's rights and does not get that owner, who was no superuser.
    fn definers<'a>(
        &'a self,
        toc: &'a Toc,
        superusers: &BTreeSet<String>,
    ) -> Vec<(&'a Entry, String)> {
        let definers = Definers::of(toc);
        let withheld = owners::all_withheld(toc, self).into_iter();
        withheld
            .filter(|(entry, ..)| !superusers.contains(&entry.owner))
            .filter_map(|(entry, ..)| Some((entry, definers.name(entry)?)))
            .collect()
    }

    /// Whether an entry is given to its owner in the statement that makes it: until it were given it would run with our
    /// rights, for everybody who is in the database. A role that is no superuser has to wait until the owner is let into
    /// the schema.
    pub(crate) fn gives_at_once(&self, entry: &Entry) -> bool {
        self.sets_owners()
            && self.roles.superuser
            && definers::is_open(entry)
            && owners::withheld(entry, &self.roles).is_none()
    }

    /// A plan for tests: everything is restored.
    #[cfg(test)]
    pub(crate) fn sample(roles: Roles) -> Self {
        Self::bare(roles, Owners::Auto)
    }
}

/// Owners that were superusers where the backup was made. A manifest names them; beside that, nobody
/// else can own an event trigger or a foreign-data wrapper.
fn superusers(backup: &Backup) -> BTreeSet<String> {
    let named = match backup {
        Backup::Folder(_, manifest, _) => manifest.source.superusers.clone().unwrap_or_default(),
        Backup::Archive(..) | Backup::Script(..) => Vec::new(),
    };
    let entries = backup.toc().into_iter().flat_map(|it| &it.entries);
    let shown = entries
        .filter(|it| it.kind == "EVENT TRIGGER" || it.kind == "FOREIGN DATA WRAPPER")
        .map(|it| it.owner.clone());
    named.into_iter().chain(shown).collect()
}

fn name(entry: &Entry) -> String {
    let schema = entry.namespace.as_deref();
    let schema = schema.map_or_else(String::new, |it| format!("{it}."));
    format!("{} {schema}{}", entry.kind.to_lowercase(), entry.tag)
}
