//! What is found out about the target before it is touched.

use std::time::Duration;

use backuper::archive::manifest::Locale;
use backuper::postgres::tools::{Directories, Tools};
use backuper::postgres::{self, Entrance, Kind, Session, Target, lock, probe};
use backuper::runtime::Failure;
use backuper::text::sql::{literal, quote};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::resolve::Backup;

/// From this major on pg_restore sets `transaction_timeout` in each session, which an older server
/// refuses. PostgreSQL manual, 19.11: statement behavior.
const TRANSACTION_TIMEOUT: u32 = 17;

/// How long dropping a database may last: with the children's grace a stopped run ends well within
/// its 30 seconds.
const DROPPING: Duration = Duration::from_secs(10);

/// Databases to speak to while the target is not there yet.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// Anything that somebody has made, extensions among it: a database fresh from template0 has none.
const OBJECTS: &str = "
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
    /// Whether it holds nothing that anybody made.
    pub empty: bool,
    /// Whether pg_restore can speak to the server itself.
    pub parallel: bool,
    /// The programs to restore with.
    pub tools: Tools,
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
) -> Result<Ready, Failure> {
    let (entrance, created) = match target.enter("restorer").await {
        Ok(entrance) => (entrance, false),
        Err(error) if error.kind == Kind::NoDatabase => {
            let created = create(target, backup).await?;
            (target.enter("restorer").await?, created)
        }
        Err(error) => return Err(error.into()),
    };
    let session = &entrance.session;
    // Before anything else: whoever has the lock decides about the database, also about one that
    // we made and another restore was quicker to enter.
    lock::enter_for_restore(session, target).await?;
    let examined = examine(session, target, programs, backup).await;
    match examined {
        Ok(found) => Ok(Ready {
            created,
            empty: found.empty,
            // What is set for the role would hold for pg_restore's own sessions, and psql can unset it.
            parallel: found.parallel && (entrance.way.options || entrance.way.plain),
            tools: found.tools,
            entrance,
        }),
        Err(failure) => {
            if created {
                drop_database(session, target).await;
            }
            Err(failure)
        }
    }
}

struct Found {
    tools: Tools,
    empty: bool,
    parallel: bool,
}

async fn examine(
    session: &Client,
    target: &Target,
    programs: &Directories,
    backup: &Backup,
) -> Result<Found, Failure> {
    let here = probe::describe(session, target).await?;
    let (server_major, dump_major) = majors(backup);
    if server_major.is_some_and(|it| it > here.major()) {
        return Err(Failure::refused(format!(
            "the backup is of PostgreSQL {} and {target} runs {}: a dump does not go back to an older server; restore into {} or newer",
            server_major.unwrap_or_default(),
            here.server_version,
            server_major.unwrap_or_default()
        )));
    }
    let needed = dump_major
        .unwrap_or(0)
        .max(here.major().min(dump_major.unwrap_or(here.major())));
    let tools = Tools::find(needed, programs)
        .await
        .map_err(|error| Failure::refused(error.to_string()))?;
    extensions(session, target, backup).await?;
    may_restore(session, target).await?;
    let row = session
        .query_one(OBJECTS, &[])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let occupied: bool = row.get(0);
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
    })
}

/// Of the server that was dumped, and of the pg_dump that did it.
fn majors(backup: &Backup) -> (Option<u32>, Option<u32>) {
    match backup {
        Backup::Folder(_, manifest) => {
            let digits = manifest.tools.pg_dump.split(|c: char| !c.is_ascii_digit());
            let dump = digits.into_iter().next().and_then(|it| it.parse().ok());
            (Some(manifest.source.major()), dump)
        }
        Backup::Archive(_, toc, _) => (toc.server_major(), toc.dump_major()),
        Backup::Script(..) => (None, None),
    }
}

async fn extensions(session: &Client, target: &Target, backup: &Backup) -> Result<(), Failure> {
    let wanted: Vec<String> = match backup {
        Backup::Folder(_, manifest) => {
            let all = manifest.source.extensions.iter();
            all.map(|it| it.name.clone()).collect()
        }
        Backup::Archive(_, toc, _) => {
            let all = toc.entries.iter().filter(|it| it.kind == "EXTENSION");
            all.map(|it| it.tag.clone()).collect()
        }
        Backup::Script(..) => Vec::new(),
    };
    let rows = session
        .query(
            "SELECT wanted FROM unnest($1::text[]) AS wanted
              WHERE wanted NOT IN (SELECT name::text FROM pg_available_extensions) ORDER BY 1",
            &[&wanted],
        )
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let missing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the server of {target} does not have the extension {}; install it there first",
        missing.join(", ")
    )))
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
    Err(Failure::refused(format!(
        "role {} may not create anything in {target}; grant it CREATE on the database, or use the owner",
        target.user()
    )))
}

async fn maintenance(target: &Target) -> Result<(Session, Target), Failure> {
    let mut refusal = None;
    for name in MAINTENANCE {
        let other = target.with_database(name);
        match other.enter("restorer").await {
            Ok(entrance) => return Ok((entrance.session, other)),
            Err(error) => refusal = Some(error),
        }
    }
    Err(match refusal {
        Some(error) => error.into(),
        None => Failure::refused("no maintenance database"),
    })
}

/// Makes the database as the backup's was; gives whether it was us.
async fn create(target: &Target, backup: &Backup) -> Result<bool, Failure> {
    let (client, other) = maintenance(target).await?;
    let mut sql = format!("CREATE DATABASE {}", quote(target.database()));
    if let Backup::Folder(_, manifest) = backup {
        let row = client
            .query_one("SELECT current_setting('server_version_num')::int4", &[])
            .await
            .map_err(|error| postgres::Error::new("examining", &other, &error))?;
        let number: i32 = row.get(0);
        let source = &manifest.source;
        sql.push_str(&format!(
            " TEMPLATE template0 ENCODING {}{}",
            literal(&source.encoding),
            locale(&source.locale, number / 10_000)
        ));
    }
    match client.batch_execute(&sql).await {
        Ok(()) => {
            tracing::info!(database = %target, "created the database");
            Ok(true)
        }
        // Somebody was quicker: then it is there, and theirs. The second code is the catalogue's
        // index speaking, when both were at it at once.
        Err(error)
            if matches!(
                error.code(),
                Some(&SqlState::DUPLICATE_DATABASE | &SqlState::UNIQUE_VIOLATION)
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(postgres::Error::new("creating", target, &error).into()),
    }
}

/// The options of `CREATE DATABASE`, as far as this major knows them.
fn locale(locale: &Locale, major: i32) -> String {
    let mut sql = format!(
        " LC_COLLATE {} LC_CTYPE {}",
        literal(&locale.collate),
        literal(&locale.ctype)
    );
    if major >= 15 && locale.provider != "libc" {
        sql.push_str(&format!(" LOCALE_PROVIDER {}", locale.provider));
        let option = if locale.provider == "builtin" {
            "BUILTIN_LOCALE"
        } else {
            "ICU_LOCALE"
        };
        if let Some(name) = &locale.locale {
            sql.push_str(&format!(" {option} {}", literal(name)));
        }
        if let Some(rules) = locale.icu_rules.as_ref().filter(|_| major >= 16) {
            sql.push_str(&format!(" ICU_RULES {}", literal(rules)));
        }
    }
    sql
}

/// Removes a database that we made and did not fill. `session` holds the lock on it until the
/// server ends it; without that lock another restore may have entered, and the database stays.
pub async fn drop_database(session: &Client, target: &Target) {
    if session.is_closed() {
        tracing::warn!(database = %target, "the connection is lost, so the database that this restore had created is still there and is not complete; run the restore again, it replaces it");
        return;
    }
    let removed = async {
        let (client, other) = maintenance(target).await?;
        // FORCE (PostgreSQL 13): our own session is there, and a program of ours may be.
        let sql = format!(
            "DROP DATABASE IF EXISTS {} WITH (FORCE)",
            quote(target.database())
        );
        client
            .batch_execute(&sql)
            .await
            .map_err(|error| postgres::Error::new("dropping", &other, &error))?;
        Ok::<_, Failure>(())
    };
    match tokio::time::timeout(DROPPING, removed).await {
        Ok(Ok(())) => {
            tracing::info!(database = %target, "dropped the database that this restore had created");
        }
        Err(_elapsed) => {
            tracing::warn!(database = %target, "the server does not answer; the database that this restore had created is still there and is not complete; drop it");
        }
        Ok(Err(error)) => {
            tracing::warn!(database = %target, %error, "the database that this restore had created is still there and is not complete; drop it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_given_as_far_as_the_server_knows_it() {
        let icu = Locale {
            provider: "icu".to_owned(),
            collate: "C".to_owned(),
            ctype: "C".to_owned(),
            locale: Some("de-AT".to_owned()),
            icu_rules: Some("&a < b".to_owned()),
        };
        let base = " LC_COLLATE 'C' LC_CTYPE 'C'";
        assert_eq!(locale(&icu, 14), base);
        let icu15 = format!("{base} LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'");
        assert_eq!(locale(&icu, 15), icu15);
        assert_eq!(locale(&icu, 16), format!("{icu15} ICU_RULES '&a < b'"));
    }
}
