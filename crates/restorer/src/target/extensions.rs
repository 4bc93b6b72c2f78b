//! Extensions, which a backup names and does not hold.

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::quote;
use tokio_postgres::Client;

use super::trial::{self, Refusal, SCHEMA};
use crate::resolve::Backup;

/// What the server has of each, and whether only a superuser may install what it would install.
/// PostgreSQL manual, 54.2: `pg_available_extension_versions`.
const THERE: &str = "
    SELECT wanted.name, wanted.version, coalesce(e.extversion, a.default_version),
           EXISTS (SELECT FROM pg_available_extension_versions v
                    WHERE v.name::text = wanted.name AND v.version = wanted.version),
           e.oid IS NULL AND EXISTS (SELECT FROM pg_available_extension_versions v
                    WHERE v.name::text = wanted.name AND v.version = a.default_version
                      AND v.superuser AND NOT v.trusted)
      FROM unnest($1::text[], $2::text[]) AS wanted(name, version)
      LEFT JOIN pg_available_extensions a ON a.name::text = wanted.name
      LEFT JOIN pg_extension e ON e.extname::text = wanted.name
     ORDER BY 1";

/// Looks whether the server has them, and lets our role install them.
///
/// # Errors
/// A refusal that names those that are missing, or what the server said.
pub(super) async fn examine(
    session: &Client,
    target: &Target,
    backup: &Backup,
) -> Result<(), Failure> {
    let (names, versions): (Vec<String>, Vec<String>) = wanted(backup).into_iter().unzip();
    if names.is_empty() {
        return Ok(());
    }
    let rows = session
        .query(THERE, &[&names, &versions])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let (mut missing, mut guarded) = (Vec::new(), Vec::new());
    for row in &rows {
        let (name, version): (String, String) = (row.get(0), row.get(1));
        let Some(here) = row.get::<_, Option<String>>(2) else {
            missing.push(name);
            continue;
        };
        if !row.get::<_, bool>(3) && !version.is_empty() && here != version {
            tracing::warn!(
                database = %target,
                "the backup was made with {name} {version}, which the server does not have; it is restored with {here}"
            );
        }
        if row.get(4) {
            guarded.push(name);
        }
    }
    if !missing.is_empty() {
        return Err(Failure::refused(format!(
            "the server of {target} does not have the extension {}; install it there first",
            missing.join(", ")
        )));
    }
    may_install(session, target, guarded).await
}

/// Whether a backup makes an extension: of a part of a database only some do.
fn brings(backup: &Backup, name: &str) -> bool {
    match (backup.part(), backup.toc()) {
        (None, _) => true,
        (Some(_), Some(toc)) => {
            let mut entries = toc.entries.iter();
            entries.any(|it| it.kind == "EXTENSION" && it.tag == name)
        }
        (Some(part), None) => part.include_schemas.is_empty() && part.include_tables.is_empty(),
    }
}

/// Names and versions; an archive does not say the version.
fn wanted(backup: &Backup) -> Vec<(String, String)> {
    match backup {
        Backup::Archive(_, toc, _) => {
            let all = toc.entries.iter().filter(|it| it.kind == "EXTENSION");
            all.map(|it| (it.tag.clone(), String::new())).collect()
        }
        Backup::Folder(..) | Backup::Script(..) => {
            let manifest = backup.manifest();
            let all = manifest.iter().flat_map(|it| &it.source.extensions);
            all.filter(|it| brings(backup, &it.name))
                .map(|it| (it.name.clone(), it.version.clone()))
                .collect()
        }
    }
}

async fn may_install(
    session: &Client,
    target: &Target,
    guarded: Vec<String>,
) -> Result<(), Failure> {
    let superuser: bool = session
        .query_one(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?
        .get(0);
    if superuser {
        return Ok(());
    }
    let tries: Vec<String> = guarded
        .iter()
        .map(|it| format!("CREATE EXTENSION {} SCHEMA {SCHEMA}", quote(it)))
        .collect();
    let refusals = trial::refusals(session, target, &tries).await?;
    let denied: Vec<String> = guarded
        .into_iter()
        .zip(refusals)
        .filter(|(_, refusal)| *refusal == Some(Refusal::Denied))
        .map(|(name, _)| name)
        .collect();
    if denied.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "role {} may not install the extension {} in {target}; let a superuser create it there first, or restore as one; nothing was changed",
        target.user(),
        denied.join(", ")
    )))
}
