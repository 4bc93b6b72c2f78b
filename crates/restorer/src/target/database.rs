//! What belongs to the database itself: its owner, its settings, its privileges, its comment. pg_dump
//! writes it into every archive under the name that the database had; it is applied to a database
//! that this restore has made, under that one's own name, and to no other. The owner comes before the load,
//! since from PostgreSQL 15 on the schema `public` is his (manual, 22.5: `pg_database_owner`).

use std::collections::BTreeSet;

use backuper::postgres::{self, Target};
use backuper::text::sql::{dollar_quoted, literal, quote};
use tokio_postgres::Client;

use super::plan::Plan;
use super::privileges;
use super::roles::named;
use super::tolerant::Statement;
use crate::archive::statements::{split, words};
use crate::archive::toc::{Entry, Toc};

/// A statement about the database.
#[derive(Debug, PartialEq, Eq)]
struct Own {
    /// What it sets, without its value: that may be a secret.
    what: String,
    sql: String,
}

/// Gives it its owner, where our role may, and what is granted on it, so that nobody is let in meanwhile whom the
/// database kept out; what cannot be done is a warning, as all of this. A role that is no superuser might shut itself
/// out, so its grants come at the end alone.
pub(crate) async fn give_owner_and_privileges(
    session: &Client,
    target: &Target,
    toc: &Toc,
    plan: &Plan,
) {
    let mut entries = toc.entries.iter();
    if let Some(owner) = entries.find_map(|it| owner(it, plan)) {
        let (name, owner) = (quote(target.database()), quote(owner));
        let sql = format!("ALTER DATABASE {name} OWNER TO {owner}");
        if let Err(error) = execute(session, target, &sql).await {
            tracing::warn!(
                "the database stays with the role that restores: {error}; whoever may runs: {sql}"
            );
        }
    }
    if !plan.gives_own() || !plan.roles.superuser {
        return;
    }
    let (grants, _absent) = granted(target.database(), toc, plan);
    for Own { what, sql } in grants {
        if let Err(error) = execute(session, target, &sql).await {
            tracing::debug!(%error, what, "tried again at the end");
        }
    }
}

/// Each for itself: a role may be let to some and not to others.
async fn execute(session: &Client, target: &Target, sql: &str) -> Result<(), postgres::Error> {
    let done = session
        .batch_execute(&format!("BEGIN; {sql}; COMMIT"))
        .await;
    let Err(error) = done else { return Ok(()) };
    if let Err(error) = session.batch_execute("ROLLBACK").await {
        tracing::debug!(%error, "the session is lost");
    }
    Err(postgres::Error::new("setting up", target, &error))
}

/// Applies the rest when all is loaded, since a setting may be one that a load does not survive, and before the
/// mark goes: whoever is ended in between finds a database that is not complete, and comes again. The contents
/// are complete without it, so what cannot be applied is a warning.
pub(crate) async fn apply(session: &Client, target: &Target, toc: &Toc, plan: &Plan) {
    let statements = applied(target, toc, plan);
    for Own { what, sql } in &statements {
        if let Err(error) = execute(session, target, sql).await {
            tracing::warn!("the contents are restored, but the database's {what} is not: {error}");
        }
    }
    if !statements.is_empty() {
        tracing::info!(database = %target, "the database has its own settings, privileges and comment again");
    }
}

/// The same as text for the transaction that loads: another session would wait for it for ever where what was loaded
/// sets something of the database too, as an extension's script may. The server's warnings say what is not applied.
pub(crate) fn within_transaction(target: &Target, toc: &Toc, plan: &Plan) -> String {
    let statements = applied(target, toc, plan);
    if statements.is_empty() {
        return String::new();
    }
    let warning = literal("the contents are restored, but the database's %s is not: %s");
    let guarded = |Own { what, sql }: &Own| {
        format!(
            "  BEGIN EXECUTE {}; EXCEPTION WHEN OTHERS THEN RAISE WARNING '%', pg_catalog.format({warning}, {}, SQLERRM); END;\n",
            literal(sql),
            literal(what),
        )
    };
    let guarded: String = statements.iter().map(guarded).collect();
    let body = format!("\nBEGIN\n{guarded}END\n");
    format!("DO {};\n", dollar_quoted(&body))
}

/// What is executed, after a warning of the roles that it would be for and that are missing.
fn applied(target: &Target, toc: &Toc, plan: &Plan) -> Vec<Own> {
    if !plan.gives_own() {
        return Vec::new();
    }
    let (statements, absent) = statements(target.database(), toc, plan);
    if !absent.is_empty() {
        tracing::warn!(
            database = %target,
            "these roles do not exist here, so what the database had for them is not restored: {}",
            named(&absent)
        );
    }
    statements
}

/// Says that it stays as it is in a database that was there.
pub(crate) fn leave(target: &Target, toc: &Toc) {
    let mut entries = toc.entries.iter();
    if entries.any(|it| is_own(it) && it.kind != "DATABASE") {
        tracing::info!(
            database = %target,
            "the backup also has settings, privileges or a comment of the database itself, which are applied only to a database that a restore makes; this one was there and keeps its own"
        );
    }
}

/// Whether an entry speaks of the database and of nothing in it.
fn is_own(entry: &Entry) -> bool {
    match entry.kind.as_str() {
        "DATABASE" | "DATABASE PROPERTIES" => true,
        "ACL" | "COMMENT" | "SECURITY LABEL" => entry.tag.starts_with("DATABASE "),
        _ => false,
    }
}

/// What is executed after the load: privileges are granted by the owner, who has it by then. And the
/// roles that it would be for, and are missing.
fn statements(name: &str, toc: &Toc, plan: &Plan) -> (Vec<Own>, BTreeSet<String>) {
    let (mut statements, mut absent) = granted(name, toc, plan);
    let own = toc.entries.iter().filter(|it| is_own(it));
    for entry in own.filter(|it| it.kind != "ACL" && it.kind != "DATABASE") {
        for statement in split(&entry.definition) {
            match (role_of_setting(statement), renamed(statement, name)) {
                (Some(role), _) if !plan.roles.has(&role) => {
                    absent.insert(role);
                }
                (_, Some(sql)) => statements.push(Own {
                    what: what(entry, statement),
                    sql,
                }),
                (_, None) => {}
            }
        }
    }
    absent.retain(|it| !plan.roles.has(it));
    (statements, absent)
}

/// What is granted on the database, and the roles that it would be granted to, and are missing.
fn granted(name: &str, toc: &Toc, plan: &Plan) -> (Vec<Own>, BTreeSet<String>) {
    let (mut statements, mut absent) = (Vec::new(), BTreeSet::new());
    let own = toc.entries.iter().filter(|it| is_own(it));
    for entry in own.filter(|it| it.kind == "ACL") {
        for grant in privileges::of_entry(toc, entry, true) {
            let renamed = grant.with_sql(|it| renamed(it, name));
            match renamed.as_ref().and_then(|it| it.statement(&plan.roles)) {
                Some(Statement { sql, .. }) => {
                    let what = "privileges".to_owned();
                    statements.push(Own { what, sql });
                }
                None => absent.extend(grant.concerned()),
            }
        }
    }
    (statements, absent)
}

/// The roles that what belongs to the database speaks of, as far as the server does not have them.
pub(super) fn missing(toc: &Toc, plan: &Plan) -> BTreeSet<String> {
    let (_, mut absent) = statements("", toc, plan);
    let owners = toc.entries.iter().filter(|it| it.kind == "DATABASE");
    let owners = owners.filter(|it| plan.sets_owners() && !it.owner.is_empty());
    absent.extend(owners.map(|it| it.owner.clone()));
    absent.retain(|it| !plan.roles.has(it));
    absent
}

/// The owner that the database had, where our role can give it to that one.
fn owner<'a>(entry: &'a Entry, plan: &Plan) -> Option<&'a str> {
    if entry.kind != "DATABASE"
        || !plan.gives_own()
        || !plan.sets_owners()
        || entry.owner == plan.roles.me
    {
        return None;
    }
    let role = plan.roles.get(&entry.owner)?;
    (plan.roles.superuser || role.reachable).then_some(entry.owner.as_str())
}

/// A statement about the database of the backup as one about this database, byte for byte but for
/// the name: the word after `ALTER DATABASE`, `IN DATABASE` or `ON DATABASE`. A name that is one of
/// these words stands in small letters or between quotes. None where it is about something else.
fn renamed(statement: &str, name: &str) -> Option<String> {
    let mut words = words(statement);
    let mut before = words.next()?;
    loop {
        let word = words.next()?;
        let leads = ["ALTER", "IN", "ON"].iter().any(|it| before.is(it));
        if leads && word.is("DATABASE") {
            break;
        }
        before = word;
    }
    let found = words.next()?;
    let statement = statement.trim_end_matches(';');
    Some(format!(
        "{}{}{}",
        &statement[..found.start],
        quote(name),
        statement.get(found.end()..)?
    ))
}

/// The role of `ALTER ROLE x IN DATABASE y SET …`.
fn role_of_setting(statement: &str) -> Option<String> {
    let mut words = words(statement);
    let (first, second) = (words.next()?, words.next()?);
    let role = words.next()?;
    (first.is("ALTER") && second.is("ROLE")).then(|| role.name())
}

/// What a statement sets, for a sentence.
fn what(entry: &Entry, statement: &str) -> String {
    if entry.kind != "DATABASE PROPERTIES" {
        return entry.kind.to_lowercase();
    }
    let setting = words(statement).skip_while(|it| !it.is("SET")).nth(1);
    let of = role_of_setting(statement).map_or_else(String::new, |it| format!(" for role {it}"));
    match setting {
        Some(setting) => format!("setting {}{of}", setting.name()),
        None => "connection limit".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::roles::Roles;
    use super::*;

    fn entry(kind: &str, tag: &str, definition: &str) -> Entry {
        Entry {
            kind: kind.to_owned(),
            tag: tag.to_owned(),
            definition: definition.to_owned(),
            owner: "app".to_owned(),
            ..Entry::default()
        }
    }

    fn all(entries: Vec<Entry>, roles: Roles) -> (Vec<String>, Vec<String>) {
        let toc = Toc {
            database: String::new(),
            server_version: String::new(),
            dump_version: String::new(),
            entries,
            ..Toc::default()
        };
        let (statements, absent) = statements(r#"co"py"#, &toc, &Plan::sample(roles));
        let statements = statements.into_iter().map(|it| it.sql).collect();
        (statements, absent.into_iter().collect())
    }

    #[test]
    fn only_the_name_of_the_database_is_another() {
        for (statement, wanted) in [
            (
                "ALTER DATABASE prod CONNECTION LIMIT = 7;",
                r#"ALTER DATABASE "co""py" CONNECTION LIMIT = 7"#,
            ),
            (
                r#"ALTER DATABASE "p""r;od" SET search_path TO 's', 'p"r;od', 'IN DATABASE x';"#,
                r#"ALTER DATABASE "co""py" SET search_path TO 's', 'p"r;od', 'IN DATABASE x'"#,
            ),
            (
                "ALTER ROLE prod IN DATABASE prod SET a.b TO 'prod';",
                r#"ALTER ROLE prod IN DATABASE "co""py" SET a.b TO 'prod'"#,
            ),
            (
                r#"ALTER ROLE "x IN DATABASE y" IN DATABASE database SET a TO '1';"#,
                r#"ALTER ROLE "x IN DATABASE y" IN DATABASE "co""py" SET a TO '1'"#,
            ),
            (
                "COMMENT ON DATABASE prod IS 'ON DATABASE prod; ''prod''';",
                r#"COMMENT ON DATABASE "co""py" IS 'ON DATABASE prod; ''prod'''"#,
            ),
            (
                "GRANT CREATE,CONNECT ON DATABASE prod TO prod WITH GRANT OPTION;",
                r#"GRANT CREATE,CONNECT ON DATABASE "co""py" TO prod WITH GRANT OPTION"#,
            ),
            (
                "SECURITY LABEL FOR x ON DATABASE prod IS 'y';",
                r#"SECURITY LABEL FOR x ON DATABASE "co""py" IS 'y'"#,
            ),
        ] {
            assert_eq!(renamed(statement, r#"co"py"#).as_deref(), Some(wanted));
        }
        let other = "UPDATE pg_database SET datname = 'ON DATABASE x'";
        assert_eq!(renamed(other, "y"), None);
    }

    #[test]
    fn what_is_for_missing_roles_is_named_and_left() {
        let entries = vec![
            entry("DATABASE", "prod", "CREATE DATABASE prod;\n"),
            entry(
                "COMMENT",
                "DATABASE prod",
                "COMMENT ON DATABASE prod IS 'x';\n",
            ),
            entry(
                "DATABASE PROPERTIES",
                "prod",
                "ALTER DATABASE prod SET work_mem TO '5MB';
ALTER ROLE app IN DATABASE prod SET work_mem TO '6MB';
ALTER ROLE \"G one\" IN DATABASE prod SET work_mem TO '7MB';
",
            ),
            entry(
                "ACL",
                "DATABASE prod",
                "REVOKE CONNECT,TEMPORARY ON DATABASE prod FROM PUBLIC;
GRANT CONNECT ON DATABASE prod TO gone;
",
            ),
            entry("ACL", "TABLE t", "GRANT SELECT ON TABLE t TO app;\n"),
        ];
        let (statements, absent) = all(entries.clone(), Roles::sample(true, &[("app", false)]));
        assert_eq!(
            statements,
            [
                r#"REVOKE CONNECT,TEMPORARY ON DATABASE "co""py" FROM PUBLIC"#,
                r#"COMMENT ON DATABASE "co""py" IS 'x'"#,
                r#"ALTER DATABASE "co""py" SET work_mem TO '5MB'"#,
                r#"ALTER ROLE app IN DATABASE "co""py" SET work_mem TO '6MB'"#,
            ]
        );
        assert_eq!(absent, ["G one", "gone"]);
        let (statements, absent) = all(entries, Roles::sample(true, &[]));
        let about_app = statements.iter().any(|it| it.contains("app"));
        assert!(!about_app, "{statements:?}");
        assert_eq!(absent, ["G one", "app", "gone"]);
    }

    #[test]
    fn a_value_is_not_told() {
        let entry = entry("DATABASE PROPERTIES", "prod", "");
        let setting = "ALTER ROLE app IN DATABASE prod SET \"my.key\" TO 'hunter2';";
        assert_eq!(what(&entry, setting), "setting my.key for role app");
        let limit = "ALTER DATABASE prod CONNECTION LIMIT = 7;";
        assert_eq!(what(&entry, limit), "connection limit");
    }
}
