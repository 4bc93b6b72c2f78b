//! What stands against a swap: all of it is told in one sentence, before anything is done.

use backuper::archive::manifest::Part;
use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::{literal, quote};
use tokio_postgres::{Client, Row};

use crate::target::creation::MAINTENANCE;
use crate::target::tolerant::few;

/// What the role may do, and whose the database is. From PostgreSQL 16 on a membership says whether it lets its
/// member SET ROLE (manual, 22.3).
const RIGHTS: &str = "
    SELECT r.rolname::text, r.rolsuper OR r.rolcreatedb, pg_get_userbyid(d.datdba)::text,
           pg_has_role(d.datdba, 'USAGE')
           AND pg_has_role(d.datdba, CASE WHEN current_setting('server_version_num')::int4 >= 160000
                                          THEN 'SET' ELSE 'MEMBER' END),
           pg_is_in_recovery()
      FROM pg_roles r, pg_database d
     WHERE r.rolname = current_user AND d.datname = current_database()";

/// A slot of logical replication is of one database, whatever that is called. PostgreSQL manual, 54.19.
const SLOTS: &str = "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database() ORDER BY 1";

/// One that is enabled would go on in the database that makes room.
const SUBSCRIPTIONS: &str = "
    SELECT s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
     WHERE d.datname = current_database() AND s.subenabled ORDER BY 1";

/// A database that has some is not renamed.
const PREPARED: &str =
    "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1";

/// Sessions that the role may not end: those of superusers and of processes without a role, unless it is one, and
/// those of roles whose rights it does not have, unless it may signal all. Workers of autovacuum make room by
/// themselves. PostgreSQL manual, 9.28.2: `pg_terminate_backend`.
const SESSIONS: &str = "
    SELECT coalesce(a.usename::text, a.backend_type), coalesce(nullif(a.application_name, ''), a.backend_type),
           a.pid, host(a.client_addr), coalesce(r.rolsuper, true)
      FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
       AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
       AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
       AND (coalesce(r.rolsuper, true)
            OR NOT (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
     ORDER BY a.pid";

/// What a database is swapped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A restore, which could also be one in place.
    Restore,
    /// Bringing back what was there.
    Back,
}

/// What stands against a swap, each with what to do.
#[derive(Debug)]
pub(super) struct Obstacles {
    others: Vec<String>,
    sessions: Vec<String>,
}

impl Obstacles {
    /// Asks the server, by a session in the database.
    ///
    /// # Errors
    /// What it said.
    pub(super) async fn of(session: &Client, target: &Target) -> Result<Self, Failure> {
        let failed =
            |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
        let rights = session.query_one(RIGHTS, &[]).await.map_err(failed)?;
        let role: String = rights.get(0);
        let mut others = of_rights(&rights, target.database());
        for (sql, sentence) in [
            (
                SLOTS,
                "slots of logical replication are bound to it and would stay with the database that makes room (@): drop them with pg_drop_replication_slot, and make them again afterwards",
            ),
            (
                SUBSCRIPTIONS,
                "subscriptions in it would go on in the database that makes room (@): ALTER SUBSCRIPTION … DISABLE, or drop them",
            ),
            (
                PREPARED,
                "prepared transactions hold it (@): COMMIT PREPARED or ROLLBACK PREPARED each",
            ),
        ] {
            let rows = session.query(sql, &[]).await.map_err(failed)?;
            let quoted = if sql == PREPARED { literal } else { quote };
            if !rows.is_empty() {
                let names = few(rows.iter().map(|it| quoted(it.get(0))));
                others.push(sentence.replace('@', &names));
            }
        }
        let rows = session.query(SESSIONS, &[]).await.map_err(failed)?;
        let (of_superusers, of_others): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|it| it.get::<_, bool>(4));
        let mut sessions = Vec::new();
        let me = quote(&role);
        if !of_superusers.is_empty() {
            let who = few(of_superusers.into_iter().map(session_of));
            sessions.push(format!(
                "only a superuser may end the sessions of {who}: end them, or restore as a superuser"
            ));
        }
        if !of_others.is_empty() {
            let who = few(of_others.into_iter().map(session_of));
            sessions.push(format!(
                "role {me} may not end the sessions of {who}: GRANT pg_signal_backend TO {me}"
            ));
        }
        Ok(Self { others, sessions })
    }

    /// One more, where there is one.
    pub(super) fn add(&mut self, obstacle: Option<String>) {
        self.others.extend(obstacle);
    }

    /// Without the sessions that cannot be ended.
    pub(super) fn but_sessions(self) -> Self {
        Self {
            sessions: Vec::new(),
            ..self
        }
    }

    /// Goes on where there are none.
    ///
    /// # Errors
    /// A refusal that has them all.
    pub(super) fn refuse(self, target: &Target, way: Way) -> Result<(), Failure> {
        let Self {
            mut others,
            sessions,
        } = self;
        others.extend(sessions);
        if others.is_empty() {
            return Ok(());
        }
        let (what, instead) = match way {
            Way::Restore => (
                "no other database can take the place of",
                "; or set RESTORE_MODE=auto, which replaces the contents in place",
            ),
            Way::Back => ("nothing can be swapped back into the place of", ""),
        };
        let all = others.join("; ");
        Err(Failure::refused(format!(
            "{what} {target}: {all}{instead}; nothing was changed"
        )))
    }
}

fn of_rights(row: &Row, database: &str) -> Vec<String> {
    let role = quote(row.get(0));
    let (may_create, may_own, is_standby): (bool, bool, bool) =
        (row.get(1), row.get(3), row.get(4));
    let owner = quote(row.get(2));
    let mut found = Vec::new();
    if MAINTENANCE.contains(&database) || database == "template0" {
        found.push(
            "it is a database that programs connect to while another one is renamed".to_owned(),
        );
    }
    if is_standby {
        found.push("the server is a standby and read-only: name its primary".to_owned());
    }
    if !may_create {
        let sql = format!("ALTER ROLE {role} CREATEDB");
        found.push(format!(
            "role {role} may not make and rename databases: {sql}"
        ));
    }
    if !may_own {
        found.push(format!(
            "role {role} has not the rights of its owner, {owner}: GRANT {owner} TO {role}, from PostgreSQL 16 on WITH INHERIT TRUE, SET TRUE"
        ));
    }
    found
}

/// A pooler may know the one database and not the other, and keeps sessions of its own.
pub(super) fn of_way(options_arrive: bool) -> Option<String> {
    (!options_arrive)
        .then(|| "a connection pooler stands before the server: name the server itself".to_owned())
}

/// All else of the database would be gone.
pub(super) fn of_part(part: &Part) -> String {
    format!(
        "this backup is a part of a database ({part}), and all else would not be in the new one"
    )
}

/// Who a session is, for a sentence.
pub(super) fn session_of(row: &Row) -> String {
    let (role, application, pid): (String, String, i32) = (row.get(0), row.get(1), row.get(2));
    let from: Option<String> = row.get(3);
    let from = from.map_or_else(String::new, |it| format!(", from {it}"));
    format!("{} ({application}, pid {pid}{from})", quote(&role))
}
