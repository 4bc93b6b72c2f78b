//! Who owns what is restored. pg_restore is told `--no-owner`, and what it would have written is
//! written here, so that an owner that cannot be given is a warning and not a failure.
//!
//! Which entries have an owner, and how an object is named, is `_printTocEntry` and
//! `_getObjectDescription` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`.

use std::collections::{BTreeMap, BTreeSet};

use backuper::text::sql::{pattern, quote};

use super::plan::Plan;
use super::roles::Roles;
use super::tolerant::{Statement, Tolerance};
use super::{order, privileges};
use crate::archive::statements::words;
use crate::archive::toc::{Entry, Section, Toc};

/// Objects that are named by their schema and their tag.
const NAMED: [&str; 19] = [
    "COLLATION",
    "CONVERSION",
    "DOMAIN",
    "EVENT TRIGGER",
    "FOREIGN DATA WRAPPER",
    "FOREIGN TABLE",
    "MATERIALIZED VIEW",
    "PROCEDURAL LANGUAGE",
    "PUBLICATION",
    "SCHEMA",
    "SEQUENCE",
    "SERVER",
    "STATISTICS",
    "SUBSCRIPTION",
    "TABLE",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TYPE",
    "VIEW",
];

/// Objects whose name is in the statement that drops them, arguments and all.
const DESCRIBED: [&str; 6] = [
    "AGGREGATE",
    "FUNCTION",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURE",
];

/// Objects that may be there already, with an owner of their own.
const KEPT: [&str; 3] = ["SCHEMA", "PROCEDURAL LANGUAGE", "ACL"];

/// When owners are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After the section before the rows.
    BeforeRows,
    /// After the section after the rows, but for what comes last.
    AfterRows,
    /// After what comes last.
    Last,
}

/// Why an owner is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Withheld {
    /// The server has no such role.
    Missing,
    /// Our role may not give to it.
    Unreachable,
    /// Our role is a member of it, and cannot be it and have what it has.
    NotInherited,
    /// Only a superuser may own such an object, and it is none.
    NoSuperuser,
}

/// The statements that set owners at a moment, in an order in which they work: schemas first, with
/// what is granted on them, since the owner of an object must be let into its schema.
pub(crate) fn statements(toc: &Toc, plan: &Plan, moment: Moment) -> Vec<Statement> {
    if !plan.sets_owners() {
        return Vec::new();
    }
    let mut schemas = Vec::new();
    let (mut others, mut sequences) = (Vec::new(), Vec::new());
    for (entry, objects) in owned(toc, plan) {
        if moment_of(entry) != moment || withheld(entry, &plan.roles).is_some() {
            continue;
        }
        if entry.owner == plan.roles.me && !KEPT.contains(&entry.kind.as_str()) {
            continue;
        }
        let list = match entry.kind.as_str() {
            "SCHEMA" | "ACL" => &mut schemas,
            // One that belongs to a column has got the table's owner by then.
            "SEQUENCE" => &mut sequences,
            _ => &mut others,
        };
        let owner = quote(&entry.owner);
        list.extend(objects.iter().map(|object| {
            let sql = format!("ALTER {object} OWNER TO {owner}");
            let statement = Statement::new(sql, Tolerance::Denied);
            let statement = match &entry.namespace {
                Some(schema) => statement.giving(&entry.owner, schema),
                None => statement,
            };
            match entry.kind.as_str() {
                "SEQUENCE" => statement.following(),
                _ => statement,
            }
        }));
    }
    if moment == Moment::BeforeRows && !others.is_empty() {
        schemas.extend(privileges::on_schemas(toc, plan));
    }
    schemas.extend(others);
    schemas.extend(sequences);
    schemas
}

/// What keeps the owner of an entry from being given; none: nothing does.
pub(crate) fn withheld(entry: &Entry, roles: &Roles) -> Option<Withheld> {
    let Some(owner) = roles.get(&entry.owner) else {
        return Some(Withheld::Missing);
    };
    if entry.owner == roles.me {
        return None;
    }
    if !owner.superuser && needs_superuser(entry) {
        return Some(Withheld::NoSuperuser);
    }
    if roles.superuser || owner.reachable {
        return None;
    }
    Some(if owner.ours {
        Withheld::NotInherited
    } else {
        Withheld::Unreachable
    })
}

/// The entries whose owner cannot be given, with the reason and the names of their objects.
pub(crate) fn all_withheld<'a>(
    toc: &'a Toc,
    plan: &'a Plan,
) -> Vec<(&'a Entry, Withheld, Vec<String>)> {
    owned(toc, plan)
        .filter_map(|(entry, objects)| Some((entry, withheld(entry, &plan.roles)?, objects)))
        .collect()
}

/// The owners that the server does not have; none where owners are not restored.
pub(crate) fn missing(toc: &Toc, plan: &Plan) -> BTreeSet<String> {
    if !plan.sets_owners() {
        return BTreeSet::new();
    }
    let withheld = all_withheld(toc, plan).into_iter();
    let missing = withheld.filter(|(_, why, _)| *why == Withheld::Missing);
    missing.map(|(entry, ..)| entry.owner.clone()).collect()
}

/// The one warning about owners that are not given, and what to do about it; none: all are.
pub(crate) fn warning(toc: &Toc, plan: &Plan) -> Option<(String, String)> {
    let mut counts: BTreeMap<(&str, Withheld), usize> = BTreeMap::new();
    let all = all_withheld(toc, plan);
    for (entry, why, objects) in &all {
        *counts.entry((&entry.owner, *why)).or_default() += objects.len();
    }
    if counts.is_empty() {
        return None;
    }
    let me = &quote(&plan.roles.me);
    let not_inherited = counts.keys().any(|(_, why)| *why == Withheld::NotInherited);
    let each: Vec<String> = counts
        .into_iter()
        .map(|((owner, why), count)| {
            let why = match why {
                Withheld::Missing => "there is no such role".to_owned(),
                Withheld::Unreachable => format!("{me} is not a member of it"),
                Withheld::NotInherited => format!("{me} is a member of it and does not inherit"),
                Withheld::NoSuperuser => "only a superuser may own them".to_owned(),
            };
            let objects = if count == 1 { "object" } else { "objects" };
            format!("{count} {objects} of {} ({why})", quote(owner))
        })
        .collect();
    let how = match (not_inherited, plan.roles.has_options) {
        (true, true) => format!("grant them to {me} WITH INHERIT TRUE, SET TRUE"),
        (true, false) => format!("grant them to {me} and run ALTER ROLE {me} INHERIT"),
        (false, _) => format!("grant them to {me}"),
    };
    let each = each.join(", ");
    Some((
        format!("these will belong to {me}: {each}"),
        format!("create the roles or {how}, and restore again"),
    ))
}

/// The entries of an archive that have an owner, with the names of their objects: one of large
/// objects stands for many.
fn owned<'a>(toc: &'a Toc, plan: &'a Plan) -> impl Iterator<Item = (&'a Entry, Vec<String>)> + 'a {
    let own = toc.entries.iter().filter(|it| plan.keeps(it));
    let beside = toc.streams.iter().flat_map(|it| &it.entries);
    own.chain(beside)
        .filter(|it| !it.owner.is_empty() && !it.drop.trim().is_empty())
        .map(|entry| (entry, objects(entry)))
        .filter(|(_, objects)| !objects.is_empty())
        .chain(owner_of_public(toc, plan).map(|it| (it, vec!["SCHEMA public".to_owned()])))
}

/// The privileges of the schema `public`, which alone say who owns it in a dump of 13 or 14. Such a
/// server gives it to a superuser, a newer one to the database's owner: where the backup has the
/// former, it stays as it is.
fn owner_of_public<'a>(toc: &'a Toc, plan: &Plan) -> Option<&'a Entry> {
    let of_public = |kind: &str| {
        let mut entries = toc.entries.iter();
        entries.find(|it| it.kind == kind && it.is_of("SCHEMA", "public"))
    };
    let privileges = of_public("ACL").filter(|_| of_public("SCHEMA").is_none())?;
    let owner = plan.roles.get(&privileges.owner)?;
    (!owner.superuser).then_some(privileges)
}

/// An entry's objects as `ALTER … OWNER TO` names them; none: its kind has no owner.
fn objects(entry: &Entry) -> Vec<String> {
    let kind = entry.kind.as_str();
    if kind == "BLOB" {
        return vec![format!("LARGE OBJECT {}", entry.tag)];
    }
    if kind == "BLOB METADATA" {
        let oids = entry.large_objects().into_iter();
        return oids.map(|oid| format!("LARGE OBJECT {oid}")).collect();
    }
    if NAMED.contains(&kind) {
        let name = match &entry.namespace {
            Some(schema) => pattern(schema, &entry.tag),
            None => quote(&entry.tag),
        };
        return vec![format!("{kind} {name}")];
    }
    if DESCRIBED.contains(&kind) {
        let described = entry.drop.trim().trim_end_matches(';');
        let described = described.strip_prefix("DROP ");
        return described.map(str::to_owned).into_iter().collect();
    }
    Vec::new()
}

fn moment_of(entry: &Entry) -> Moment {
    if order::is_last(entry) {
        Moment::Last
    } else if entry.section == Section::PreData && entry.kind != "BLOB" {
        Moment::BeforeRows
    } else {
        Moment::AfterRows
    }
}

/// PostgreSQL manual: ALTER FOREIGN DATA WRAPPER, ALTER EVENT TRIGGER, ALTER PUBLICATION.
fn needs_superuser(entry: &Entry) -> bool {
    match entry.kind.as_str() {
        "FOREIGN DATA WRAPPER" | "EVENT TRIGGER" => true,
        "PUBLICATION" => publishes_all(entry),
        _ => false,
    }
}

/// Whether a publication holds all tables, those of the future too.
pub(crate) fn publishes_all(entry: &Entry) -> bool {
    let words: Vec<_> = words(&entry.definition).take(6).collect();
    words
        .windows(3)
        .any(|it| it[0].is("FOR") && it[1].is("ALL") && it[2].is("TABLES"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, tag: &str, drop: &str) -> Entry {
        Entry {
            kind: kind.to_owned(),
            tag: tag.to_owned(),
            drop: drop.to_owned(),
            namespace: Some("s".to_owned()),
            owner: "app".to_owned(),
            section: Section::PreData,
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

    fn sql(toc: &Toc, roles: Roles) -> Vec<String> {
        let plan = Plan::sample(roles);
        let statements = statements(toc, &plan, Moment::BeforeRows);
        statements.into_iter().map(|it| it.sql).collect()
    }

    #[test]
    fn an_object_is_named_as_pg_restore_names_it() {
        for (kind, tag, drop, wanted) in [
            (
                "TABLE",
                "t\"x",
                "DROP TABLE s.\"t\"\"x\";\n",
                "TABLE \"s\".\"t\"\"x\"",
            ),
            (
                "FUNCTION",
                "f(integer, text)",
                "DROP FUNCTION s.f(a integer, \"B b\" text);\n",
                "FUNCTION s.f(a integer, \"B b\" text)",
            ),
            (
                "OPERATOR CLASS",
                "o",
                "DROP OPERATOR CLASS s.o USING hash;\n",
                "OPERATOR CLASS s.o USING hash",
            ),
            (
                "BLOB",
                "4711",
                "SELECT pg_catalog.lo_unlink('4711');\n",
                "LARGE OBJECT 4711",
            ),
        ] {
            assert_eq!(objects(&entry(kind, tag, drop)), [wanted]);
        }
        assert!(objects(&entry("CAST", "CAST (a AS b)", "DROP CAST (a AS b);\n")).is_empty());
    }

    #[test]
    fn schemas_come_first_and_sequences_last() {
        let mut schema = entry("SCHEMA", "s", "DROP SCHEMA s;\n");
        schema.namespace = None;
        let toc = toc(vec![
            entry("SEQUENCE", "a", "DROP SEQUENCE s.a;\n"),
            entry("TABLE", "t", "DROP TABLE s.t;\n"),
            schema,
        ]);
        assert_eq!(
            sql(&toc, Roles::sample(true, &[("app", false)])),
            [
                "ALTER SCHEMA \"s\" OWNER TO \"app\"",
                "ALTER TABLE \"s\".\"t\" OWNER TO \"app\"",
                "ALTER SEQUENCE \"s\".\"a\" OWNER TO \"app\"",
            ]
        );
    }

    #[test]
    fn what_cannot_be_given_is_counted_by_role() {
        let toc = toc(vec![
            entry("TABLE", "t", "DROP TABLE s.t;\n"),
            entry("TABLE", "u", "DROP TABLE s.u;\n"),
            entry(
                "FOREIGN DATA WRAPPER",
                "w",
                "DROP FOREIGN DATA WRAPPER w;\n",
            ),
        ]);
        let warned = |plan: &Plan| {
            let (what, advice) = warning(&toc, plan).unwrap();
            format!("{what}; {advice}")
        };
        let missing = Plan::sample(Roles::sample(true, &[]));
        assert_eq!(
            warned(&missing),
            ("these will belong to \"me\": 3 objects of \"app\" (there is no such role); create the roles or grant them to \"me\", and restore again")
        );
        assert!(statements(&toc, &missing, Moment::BeforeRows).is_empty());
        let others = Plan::sample(Roles::sample(false, &[("app", false)]));
        assert_eq!(
            warned(&others),
            ("these will belong to \"me\": 2 objects of \"app\" (\"me\" is not a member of it), 1 object of \"app\" (only a superuser may own them); create the roles or grant them to \"me\", and restore again")
        );
        let reachable = Roles::sample(false, &[("app", true)]);
        assert_eq!(sql(&toc, reachable).len(), 2);
    }

    #[test]
    fn what_is_ours_needs_no_statement_unless_it_was_there() {
        let mut table = entry("TABLE", "t", "DROP TABLE s.t;\n");
        let mut schema = entry("SCHEMA", "s", "DROP SCHEMA s;\n");
        (table.owner, schema.owner) = ("me".to_owned(), "me".to_owned());
        schema.namespace = None;
        let toc = toc(vec![schema, table]);
        assert_eq!(
            sql(&toc, Roles::sample(true, &[])),
            ["ALTER SCHEMA \"s\" OWNER TO \"me\""]
        );
    }
}
