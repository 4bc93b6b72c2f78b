//! What is found out about the target before it is touched.

use backuper::archive::manifest::Part;
use backuper::postgres::tools::{Directories, Tools};
use backuper::postgres::{self, Entrance, Kind, Target, lock, probe};
use backuper::runtime::{Failure, Shutdown};
use backuper::text::sql::quote;
use tokio_postgres::Client;

use super::conflicts;
use super::creation;
use super::extensions;
use super::making::{Maker, Making};
use super::mark;
use super::needed;
use super::part;
use super::plan::{Plan, Roled, Wishes};
use super::roles::Roles;
use super::tolerant::few;
use super::versions::{self, Server};
use crate::job::Mode;
use crate::resolve::Backup;

/// From this major on pg_restore sets `transaction_timeout` in each session, which an older server
/// refuses. PostgreSQL manual, 19.11: statement behavior.
const TRANSACTION_TIMEOUT: u32 = 17;

/// Anything that somebody has made, extensions among it: a database fresh from template0 has none.
pub(crate) const OBJECTS: &str = "
    SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema')
        OR EXISTS (SELECT FROM pg_namespace
                    WHERE oid >= 16384 AND nspname <> 'public' AND nspname NOT LIKE 'pg\\_%')
        OR EXISTS (SELECT FROM pg_proc WHERE oid >= 16384)
        OR EXISTS (SELECT FROM pg_type WHERE oid >= 16384 AND typnamespace <> 'pg_toast'::regnamespace)
        OR EXISTS (SELECT FROM pg_extension WHERE extname <> 'plpgsql')
        OR EXISTS (SELECT FROM pg_largeobject_metadata)
        OR EXISTS (SELECT FROM pg_operator WHERE oid >= 16384)
        OR EXISTS (SELECT FROM pg_collation WHERE oid >= 16384)
        OR EXISTS (SELECT FROM pg_cast WHERE oid >= 16384)
        OR EXISTS (SELECT FROM pg_event_trigger)
        OR EXISTS (SELECT FROM pg_publication)
        OR EXISTS (SELECT FROM pg_foreign_data_wrapper)
        OR EXISTS (SELECT FROM pg_ts_config WHERE oid >= 16384)
        OR EXISTS (SELECT FROM pg_default_acl)";

/// The target, found fit and locked.
#[derive(Debug)]
pub struct Ready {
    /// Its session holds the lock that keeps other restores and backups out.
    pub entrance: Entrance,
    /// Whether we made the database.
    pub created: bool,
    /// Whether we did, or a restore before us that was cut short: then it is to have what is its own.
    pub made: bool,
    /// Whether it holds nothing that anybody but us made.
    pub empty: bool,
    /// Whether pg_restore can speak to the server itself.
    pub parallel: bool,
    /// The programs to restore with.
    pub tools: Tools,
    /// The server's major.
    pub major: u32,
    /// What is restored, and how.
    pub plan: Plan,
}

/// Looks for everything that could make the restore fail later; creates a database that is
/// missing, and locks it.
///
/// # Errors
/// What is wrong, and where.
pub async fn target(
    target: &Target,
    programs: &Directories,
    backup: &Backup,
    wishes: Wishes<'_>,
    shutdown: &Shutdown,
) -> Result<Ready, Failure> {
    let (entrance, created) = match target.enter("restorer").await {
        Ok(entrance) => (entrance, false),
        Err(error) if error.kind == Kind::NoDatabase => {
            let created = creation::create(target, programs, backup, wishes.beside).await?;
            (target.enter("restorer").await?, created)
        }
        Err(error) => return Err(error.into()),
    };
    let session = &entrance.session;
    // Before anything else: whoever has the lock decides about the database, also about one that
    // we made and another restore was quicker to enter.
    lock::enter_for_restore(session, target).await?;
    let made = created || mark::is_of_made(session, target).await?;
    let only_empty = wishes.mode == Mode::Empty && !created;
    if only_empty && holds_something(session, target).await? {
        return Err(not_empty(session, target, backup.part()).await);
    }
    let examined = async {
        if created {
            // Before anything else can end us: nobody is to back up an empty database as the whole.
            mark::begin(session, target, backup).await?;
        }
        let asked = Asked {
            backup,
            wishes,
            created,
        };
        let mut found = examine(session, target, programs, asked).await?;
        // Somebody may have made something meanwhile, and it would be replaced.
        if only_empty && !found.empty {
            return Err(not_empty(session, target, backup.part()).await);
        }
        let making = std::mem::take(&mut found.making);
        if !making.names().is_empty() {
            if let Some(toc) = backup.toc().filter(|_| !found.empty) {
                conflicts::refuse(session, target, toc).await?;
                part::refuse(session, target, toc, backup.part()).await?;
            }
            // After all that can be refused here: what is made stays.
            making.run(session, target, wishes.made).await?;
            found.plan.roles = Roles::of(session, target, found.major).await?;
        }
        found.plan.warn_of_owners(target, backup);
        Ok(found)
    };
    let examined = examined.await;
    match examined {
        Ok(found) => Ok(Ready {
            created,
            made,
            empty: created || found.empty,
            // What is set for the role would hold for pg_restore's own sessions, and psql can unset it.
            parallel: found.parallel && (entrance.way.options || entrance.way.plain),
            tools: found.tools,
            major: found.major,
            plan: found.plan,
            entrance,
        }),
        Err(failure) => {
            if created {
                creation::drop_database(session, target, shutdown.clean_up_by()).await;
            }
            Err(failure)
        }
    }
}

struct Found {
    tools: Tools,
    empty: bool,
    parallel: bool,
    major: u32,
    plan: Plan,
    making: Making,
}

/// What is to be restored, and into what.
#[derive(Clone, Copy)]
struct Asked<'a> {
    backup: &'a Backup,
    wishes: Wishes<'a>,
    created: bool,
}

async fn examine(
    session: &Client,
    target: &Target,
    programs: &Directories,
    asked: Asked<'_>,
) -> Result<Found, Failure> {
    let Asked { backup, wishes, .. } = asked;
    let here = probe::describe(session, target).await?;
    let server = Server {
        major: here.major(),
        version: &here.server_version,
    };
    let tools = versions::fit(target, programs, backup, server).await?;
    extensions::examine(session, target, backup).await?;
    if let (Some(part), Some(toc)) = (backup.part(), backup.toc()) {
        let first = part::first(asked.created, wishes.mode);
        part::has_schemas(session, target, (toc, part), first).await?;
    }
    may_restore(session, target).await?;
    let roles = Roles::of(session, target, here.major()).await?;
    let making = making(session, target, here.major(), asked, &roles).await?;
    let roles = roles.with(making.names());
    let plan = Plan::of(session, target, roles, backup, wishes).await?;
    let occupied = holds_something(session, target).await?;
    let parallel = tools.major() < TRANSACTION_TIMEOUT || here.major() >= TRANSACTION_TIMEOUT;
    if !parallel {
        tracing::info!(
            server = %here.server_version, pg_restore = %tools.version(),
            "this pg_restore sets what the server does not know, so one session restores; with the server's own client several would"
        );
    }
    Ok(Found {
        tools,
        empty: !occupied,
        parallel,
        major: here.major(),
        plan,
        making,
    })
}

/// The roles to make, where that is wanted.
async fn making(
    session: &Client,
    target: &Target,
    major: u32,
    asked: Asked<'_>,
    roles: &Roles,
) -> Result<Making, Failure> {
    let Asked {
        backup,
        wishes,
        created,
    } = asked;
    let Some(toc) = backup.toc() else {
        if matches!(wishes.roles, Roled::Missing(_)) {
            tracing::warn!(
                "RESTORE_ROLES has no effect on a script, which does not say which roles it needs"
            );
        }
        return Ok(Making::default());
    };
    let plan = Plan::bare(roles.clone(), wishes.owners);
    let missing = needed::missing(toc, &plan, created && wishes.beside.is_none());
    if missing.is_empty() {
        return Ok(Making::default());
    }
    let Roled::Missing(globals) = wishes.roles else {
        if backup.manifest().is_some_and(|it| it.globals.is_some()) {
            tracing::warn!(
                database = %target,
                "the server does not have the roles {}, and the backup has them: with RESTORE_ROLES=missing the restore makes them", few(missing.iter().map(|it| quote(it)))
            );
        }
        return Ok(Making::default());
    };
    let Some(globals) = globals else {
        return Err(Failure::refused(format!(
            "{target} does not have the roles {}, and the backup does not have its server's roles, since it was made without GLOBALS=true: make them by hand, or set RESTORE_ROLES=none to restore without them; nothing was changed",
            few(missing.iter().map(|it| quote(it)))
        )));
    };
    let maker = Maker::of(session, target, major).await?;
    Making::of(&missing, globals, &maker, roles)
}

async fn holds_something(session: &Client, target: &Target) -> Result<bool, Failure> {
    let row = session
        .query_one(OBJECTS, &[])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    Ok(row.get(0))
}

async fn not_empty(session: &Client, target: &Target, part: Option<&Part>) -> Failure {
    if let Ok(Some(key)) = mark::is_left_of(session, target).await {
        return Failure::refused(format!(
            "{target} is not empty: what it holds is left of a restore of {key} that was cut short; set RESTORE_MODE=auto, which removes that before it restores, or drop the database; nothing was changed"
        ));
    }
    let replaced = part.map_or_else(
        || " to replace what is there".to_owned(),
        |it| {
            format!(", which replaces what this part of a database has ({it}) and leaves all else")
        },
    );
    Failure::refused(format!(
        "{target} is not empty, and RESTORE_MODE=empty restores into no such database; restore into another one, drop this one, or set RESTORE_MODE=auto{replaced}; nothing was changed"
    ))
}

async fn may_restore(session: &Client, target: &Target) -> Result<(), Failure> {
    let row = session
        .query_one(
            "SELECT rolsuper OR has_database_privilege(current_database(), 'CREATE'),
                    pg_is_in_recovery()
               FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    if row.get(1) {
        return Err(Failure::refused(format!(
            "{target} is a standby and read-only; restore into its primary"
        )));
    }
    if row.get(0) {
        return Ok(());
    }
    let role = probe::acting_role(session, target).await?;
    Err(Failure::refused(format!(
        "role {role} may not create anything in {target}; grant it CREATE on the database, or use the owner"
    )))
}
