//! What stands against a restore over this database, and what one has left there.

use super::Asking;
use super::state::counted;
use crate::doctor::finding::Finding;
use crate::postgres::{lock, mark, probe};

/// What the role may do: everything, make databases, create in this one, own it; and whether the
/// server takes no change at all.
const ROLE: &str = "
    SELECT r.rolsuper, r.rolcreatedb, has_database_privilege(d.oid, 'CREATE'), pg_is_in_recovery()
      FROM pg_roles r, pg_database d
     WHERE r.rolname = current_user AND d.datname = current_database()";

/// What a restore would replace and only its owner may.
const OTHERS: &str = "
    SELECT name FROM (
        SELECT format('table %I.%I', n.nspname, c.relname) AS name
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't'
           AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
           AND NOT pg_has_role(c.relowner, 'USAGE')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                              AND d.objid = c.oid AND d.deptype = 'e')
        UNION ALL
        SELECT format('schema %I', n.nspname)
          FROM pg_namespace n
         WHERE n.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_%' AND NOT pg_has_role(n.nspowner, 'USAGE')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                              AND d.objid = n.oid AND d.deptype = 'e')
        UNION ALL
        SELECT format('function %I.%I', n.nspname, p.proname)
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_%' AND NOT pg_has_role(p.proowner, 'USAGE')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                              AND d.objid = p.oid AND d.deptype = 'e')) AS others
     ORDER BY 1";

/// Whether a restore was cut short here.
pub(super) async fn mark(asking: Asking<'_>) -> Finding {
    match mark::find(asking.client()).await {
        Ok(None) => Finding::ok("no restore was cut short here"),
        Ok(Some(found)) => Finding::wrong(mark::refusal(&found.comment)),
        Err(error) => asking.unanswered(&error),
    }
}

/// Whether one of our own runs keeps others out.
pub(super) async fn runs(asking: Asking<'_>) -> Finding {
    match lock::under_way(asking.client(), asking.target).await {
        Err(error) => Finding::unknown(error.to_string()),
        Ok((_, true)) => Finding::wrong(
            "a restore into this database is under way; run the backup when it has ended",
        ),
        Ok((true, false)) => Finding::ok(
            "a backup of this database is under way: another one may run beside it, and a restore when it has ended",
        ),
        Ok((false, false)) => Finding::ok("no backup and no restore of this database is under way"),
    }
}

/// What a restore over this database would need that the role does not have.
pub(super) async fn rights(asking: Asking<'_>) -> Finding {
    let row = match asking.client().query_one(ROLE, &[]).await {
        Ok(row) => row,
        Err(error) => return asking.unanswered(&error),
    };
    let (superuser, creates_databases): (bool, bool) = (row.get(0), row.get(1));
    let (creates, standby): (bool, bool) = (row.get(2), row.get(3));
    if standby {
        return Finding::warning(
            "a restore over this database needs its primary: the server is a standby and read-only",
        );
    }
    if superuser {
        return Finding::ok("the role is a superuser, which may restore anything");
    }
    let rows = match asking.client().query(OTHERS, &[]).await {
        Ok(rows) => rows,
        Err(error) => return asking.unanswered(&error),
    };
    let others: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut needs = Vec::new();
    if !creates {
        needs.push("CREATE on the database".to_owned());
    }
    if !others.is_empty() {
        needs.push(format!("the owner's rights on {}", counted(&others)));
    }
    let missing = if creates_databases {
        "may create one that is missing"
    } else {
        "needs CREATEDB where the database is missing"
    };
    if needs.is_empty() {
        return Finding::ok(format!(
            "the role may restore over this database, and {missing}"
        ));
    }
    let role = probe::acting_role(asking.client(), asking.target).await;
    let role = role.unwrap_or_else(|_unasked| asking.target.user().to_owned());
    Finding::warning(format!(
        "a restore over this database needs {}, which role {role} does not have, and {missing}; restore as the owner, or make the role a member of it",
        needs.join(" and ")
    ))
}
