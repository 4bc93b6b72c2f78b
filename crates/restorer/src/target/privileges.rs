//! Privileges, statement by statement: a GRANT to a role that the target lacks is a warning that
//! names the role, and not a failure.
//!
//! pg_dump writes them as differences from what an object has when it is made by its owner. What
//! somebody else has granted, by a grant option, stands between `SET SESSION AUTHORIZATION` and
//! `RESET SESSION AUTHORIZATION`: `buildACLCommands` in PostgreSQL's `src/bin/pg_dump/dumputils.c`.

use std::collections::BTreeSet;

use backuper::postgres::Target;
use backuper::text::sql::quote;

use super::plan::Plan;
use super::roles::{Roles, named};
use super::tolerant::{Statement, Tolerance};
use crate::archive::statements::{split, words};
use crate::archive::toc::{Entry, Toc};

/// A statement that grants or revokes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    sql: String,
    /// Who grants, where it is not the owner.
    grantor: Option<String>,
    /// Whether the backup makes the object.
    of_the_backup: bool,
}

/// The statements of an archive that grant and revoke, without those that concern a role that the
/// target lacks; these roles are named in a warning.
pub(crate) fn statements(target: &Target, toc: &Toc, plan: &Plan) -> Vec<Statement> {
    let grants: Vec<Grant> = all(toc, plan).collect();
    let missing = missing(&grants, &plan.roles);
    if !missing.is_empty() {
        tracing::warn!(
            database = %target,
            "these roles do not exist here, so their privileges are not restored: {}; create the roles and restore again, or grant by hand",
            named(&missing)
        );
    }
    grants
        .iter()
        .filter_map(|it| it.statement(&plan.roles))
        .collect()
}

/// What is granted on schemas: whoever gets an object needs it before the privileges come, which
/// come last.
pub(crate) fn on_schemas(toc: &Toc, plan: &Plan) -> Vec<Statement> {
    let grants = all(toc, plan).filter(|it| it.grantor.is_none() && it.is_on(&["SCHEMA"]));
    let grants = grants.filter(|it| it.sql.starts_with("GRANT "));
    let statements = grants.filter_map(|it| it.statement(&plan.roles));
    statements
        .map(|it| Statement::new(it.sql, Tolerance::Silent))
        .collect()
}

/// The grants of one entry.
pub(crate) fn of_entry(toc: &Toc, entry: &Entry, of_the_backup: bool) -> Vec<Grant> {
    let (mut grants, mut grantor) = (Vec::new(), None);
    for statement in expand(toc, entry) {
        let mut first = words(&statement);
        match (first.next(), first.nth(1), first.next()) {
            (Some(verb), Some(what), Some(role)) if verb.is("SET") && what.is("AUTHORIZATION") => {
                grantor = Some(role.name());
            }
            (Some(verb), ..) if verb.is("RESET") => grantor = None,
            (Some(verb), ..) if ["GRANT", "REVOKE", "ALTER"].iter().any(|it| verb.is(it)) => {
                grants.push(Grant {
                    sql: statement,
                    grantor: grantor.clone(),
                    of_the_backup,
                });
            }
            _ => {}
        }
    }
    grants
}

impl Grant {
    /// The same with another text, where there is one.
    pub(crate) fn with_sql(&self, change: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let sql = change(&self.sql)?;
        Some(Self {
            sql,
            ..self.clone()
        })
    }

    /// What is executed; none where a role that it names is missing. A grantor that our role cannot
    /// become leaves the owner to grant.
    pub(crate) fn statement(&self, roles: &Roles) -> Option<Statement> {
        if !self.concerned().iter().all(|it| roles.has(it)) {
            return None;
        }
        let grantor = self.grantor.as_deref().filter(|name| {
            let role = roles.get(name);
            role.is_some_and(|it| roles.superuser || it.reachable)
        });
        let sql = self.sql.trim_end_matches(';');
        let sql = match grantor {
            None => sql.to_owned(),
            Some(role) => format!("SET LOCAL ROLE {}; {sql}; RESET ROLE", quote(role)),
        };
        let tolerance = if self.of_the_backup {
            Tolerance::Denied
        } else {
            Tolerance::Missing
        };
        Some(Statement::new(sql, tolerance))
    }

    /// The roles that it names: after the last `TO` or `FROM`, and after `FOR ROLE`.
    pub(crate) fn concerned(&self) -> Vec<String> {
        let words: Vec<_> = words(&self.sql).collect();
        let is = |at: usize, word: &str| words.get(at).is_some_and(|it| it.is(word));
        let mut at = Vec::new();
        if let Some(last) = (0..words.len()).rfind(|it| is(*it, "TO") || is(*it, "FROM")) {
            at.push(last + 1);
        }
        if let Some(role) = (1..words.len()).find(|it| is(*it, "ROLE") && is(it - 1, "FOR")) {
            at.push(role + 1);
        }
        at.into_iter()
            .filter_map(|it| words.get(it))
            .filter(|it| !it.is("PUBLIC"))
            .map(|it| it.name())
            .collect()
    }

    /// Whether it is on an object of this kind, as in `ON LARGE OBJECT`.
    fn is_on(&self, kind: &[&str]) -> bool {
        let mut after = words(&self.sql).skip_while(|it| !it.is_outside("ON"));
        after.next();
        kind.iter()
            .all(|word| after.next().is_some_and(|it| it.is(word)))
    }
}

/// Those of an archive and of the streams beside it, without those on the database itself.
fn all<'a>(toc: &'a Toc, plan: &'a Plan) -> impl Iterator<Item = Grant> + 'a {
    let entries = toc.all().flat_map(move |each| {
        let made = made(each);
        let own = std::ptr::eq(each, toc);
        let entries = each.entries.iter().filter(move |it| !own || plan.keeps(it));
        entries.map(move |it| (each, it, made.contains(&it.id)))
    });
    entries
        .filter(|(_, it, _)| it.kind == "ACL" || it.kind == "DEFAULT ACL")
        .flat_map(|(toc, entry, of_the_backup)| of_entry(toc, entry, of_the_backup))
        .filter(|it| !it.is_on(&["DATABASE"]))
}

/// The privileges whose objects the archive makes. Those of columns need those of their table.
fn made(toc: &Toc) -> BTreeSet<i64> {
    let mut made: BTreeSet<i64> = BTreeSet::new();
    let mut all: BTreeSet<i64> = BTreeSet::new();
    for entry in &toc.entries {
        let is_acl = entry.kind == "ACL";
        if !is_acl {
            all.insert(entry.id);
        }
        if entry.kind == "DEFAULT ACL" || entry.needs.iter().any(|it| all.contains(it)) {
            made.insert(entry.id);
            all.insert(entry.id);
        }
    }
    made
}

/// The roles that an archive's grants speak of, and whoever granted, as far as the server does not have them.
pub(crate) fn missing_of(toc: &Toc, plan: &Plan) -> BTreeSet<String> {
    let grants: Vec<Grant> = all(toc, plan).collect();
    let mut missing = missing(&grants, &plan.roles);
    let grantors = grants.into_iter().filter_map(|it| it.grantor);
    missing.extend(grantors.filter(|it| !plan.roles.has(it)));
    missing
}

fn missing(grants: &[Grant], roles: &Roles) -> BTreeSet<String> {
    let named = grants.iter().flat_map(Grant::concerned);
    named.filter(|it| !roles.has(it)).collect()
}

/// Since PostgreSQL 17 one entry speaks for many large objects: its text names the first, and the
/// entry that it needs lists them all.
fn expand(toc: &Toc, entry: &Entry) -> Vec<String> {
    let own = split(&entry.definition).into_iter().map(str::to_owned);
    let own: Vec<String> = own.collect();
    if !entry.tag.starts_with("LARGE OBJECTS ") {
        return own;
    }
    let listed = toc
        .entries
        .iter()
        .find(|it| it.kind == "BLOB METADATA" && entry.needs.contains(&it.id));
    let oids: Vec<&str> = listed.map(Entry::large_objects).unwrap_or_default();
    let Some(first) = oids.first() else {
        return own;
    };
    let first = format!("LARGE OBJECT {first} ");
    let each = |oid: &&str| {
        let this = format!("LARGE OBJECT {oid} ");
        own.iter()
            .map(|it| it.replace(&first, &this))
            .collect::<Vec<_>>()
    };
    oids.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(definition: &str) -> Entry {
        Entry {
            kind: "ACL".to_owned(),
            definition: definition.to_owned(),
            ..Entry::default()
        }
    }

    fn toc(entries: Vec<Entry>) -> Toc {
        Toc {
            database: String::new(),
            server_version: String::new(),
            dump_version: String::new(),
            entries,
            ..Toc::default()
        }
    }

    fn sql(definition: &str, roles: Roles) -> Vec<String> {
        let toc = toc(vec![acl(definition)]);
        let plan = Plan::sample(roles);
        let grants = all(&toc, &plan).filter_map(|it| it.statement(&plan.roles));
        grants.map(|it| it.sql).collect()
    }

    #[test]
    fn only_statements_about_roles_that_are_missing_are_left_out() {
        let definition = "GRANT SELECT ON TABLE public.\"TO gone\" TO PUBLIC;
GRANT SELECT ON TABLE public.t TO here WITH GRANT OPTION;
GRANT SELECT ON TABLE public.t TO \"Go\"\"ne\";
ALTER DEFAULT PRIVILEGES FOR ROLE away IN SCHEMA s GRANT SELECT ON TABLES  TO here;
";
        let roles = Roles::sample(true, &[("here", false)]);
        assert_eq!(
            sql(definition, roles.clone()),
            [
                "GRANT SELECT ON TABLE public.\"TO gone\" TO PUBLIC",
                "GRANT SELECT ON TABLE public.t TO here WITH GRANT OPTION"
            ]
        );
        let grants = of_entry(&toc(Vec::new()), &acl(definition), true);
        assert_eq!(
            missing(&grants, &roles),
            BTreeSet::from(["Go\"ne".to_owned(), "away".to_owned()])
        );
    }

    #[test]
    fn whoever_granted_grants_again_where_that_can_be() {
        let definition = "GRANT SELECT ON TABLE s.t TO chain WITH GRANT OPTION;
SET SESSION AUTHORIZATION chain;
GRANT SELECT ON TABLE s.t TO reader;
RESET SESSION AUTHORIZATION;
GRANT INSERT ON TABLE s.t TO reader;
";
        let others = [("chain", false), ("reader", false)];
        let by_chain = "SET LOCAL ROLE \"chain\"; GRANT SELECT ON TABLE s.t TO reader; RESET ROLE";
        let by_owner = "GRANT SELECT ON TABLE s.t TO reader";
        let last = "GRANT INSERT ON TABLE s.t TO reader";
        let all = sql(definition, Roles::sample(true, &others));
        assert_eq!(all[1..], [by_chain, last]);
        let all = sql(definition, Roles::sample(false, &others));
        assert_eq!(all[1..], [by_owner, last]);
        let all = sql(definition, Roles::sample(true, &[("reader", false)]));
        assert_eq!(all, [by_owner, last]);
    }

    #[test]
    fn what_is_granted_on_a_database_is_no_matter_of_another() {
        let roles = Roles::sample(true, &[("here", false)]);
        let definition = "GRANT CONNECT ON DATABASE \"a b\" TO here;\n";
        assert!(sql(definition, roles.clone()).is_empty());
        let definition = "GRANT SELECT ON TABLE public.\"DATABASE\" TO here;\n";
        assert_eq!(sql(definition, roles).len(), 1);
    }

    #[test]
    fn what_the_backup_does_not_make_may_be_missing() {
        let entry = |id, kind: &str, needs: &[i64]| Entry {
            id,
            kind: kind.to_owned(),
            needs: needs.to_vec(),
            ..Entry::default()
        };
        let toc = toc(vec![
            entry(1, "TABLE", &[]),
            entry(2, "ACL", &[1]),
            entry(3, "ACL", &[2, 1]),
            entry(4, "ACL", &[900]),
            entry(5, "ACL", &[4, 900]),
            entry(6, "DEFAULT ACL", &[]),
        ]);
        let made = made(&toc);
        let of_the_backup: Vec<i64> = (2..=6).filter(|it| made.contains(it)).collect();
        assert_eq!(of_the_backup, [2, 3, 6]);
    }
}
