//! The roles that a backup speaks of and the server does not have.

use std::collections::BTreeSet;

use super::plan::Plan;
use super::{database, owners, privileges, requirements};
use crate::archive::toc::Toc;

/// What no role may be called. PostgreSQL manual, `CREATE ROLE`; `IsReservedName` in its
/// `src/backend/catalog/catalog.c`.
fn is_reserved(name: &str) -> bool {
    name.starts_with("pg_") || name == "public" || name == "none"
}

/// Owners where owners are restored, grantees and grantors, whose policies, user mappings and default privileges
/// there are; of the database itself too, where the restore has made that.
pub(super) fn missing(toc: &Toc, plan: &Plan, created: bool) -> BTreeSet<String> {
    let mut all = owners::missing(toc, plan);
    all.extend(privileges::missing_of(toc, plan));
    all.extend(requirements::missing(toc, &plan.roles));
    if created {
        all.extend(database::missing(toc, plan));
    }
    all.retain(|it| !is_reserved(it) && !plan.roles.has(it));
    all
}
