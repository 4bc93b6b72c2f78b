//! Which databases are meant, as the server has them now.

use crate::databases::ended::{Ended, How};
use crate::job::BackupJob;
use crate::postgres::databases::{self, Listed};
use crate::postgres::{self, Kind, Target};
use crate::runtime::Failure;
use crate::selection::{Selection, written};

/// A database that is to be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meant {
    /// Its name.
    pub name: String,
    /// None where nobody has looked whether it is there.
    pub oid: Option<u32>,
    /// Whether it is written out: then it has to be there.
    pub is_named: bool,
    /// Why nobody can ask for it.
    pub unreadable: Option<String>,
}

/// What is meant, and what was found out meanwhile.
#[derive(Clone, Debug)]
pub struct Found {
    /// The server's major version, 0 where it was not asked.
    pub major: u32,
    /// The databases, by name.
    pub meant: Vec<Meant>,
}

/// Why it is not known what is meant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server has not told.
    #[error("{0}")]
    Server(#[source] postgres::Error),
    /// No database lets us in to ask.
    #[error("{0}; set MAINTENANCE_DB to a database that lets the role in, to list the others from")]
    Shut(#[source] postgres::Error),
    /// There is none.
    #[error("DB_NAME means no database of {server}: {why}")]
    Nothing {
        /// `host:port/LIST`.
        server: String,
        /// What there is.
        why: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Server(error) => error.into(),
            Error::Shut(_) | Error::Nothing { .. } => Self::refused(error.to_string()),
        }
    }
}

/// The databases that a list means: of those that there are, and all that it names.
///
/// # Errors
/// When there is none, and what the server said.
pub async fn meant(job: &BackupJob, selection: &Selection) -> Result<Found, Error> {
    let (major, listed) = if selection.has_patterns() {
        Box::pin(listed(job)).await?
    } else {
        (0, Vec::new())
    };
    let meant = chosen(&listed, selection).map_err(|why| Error::Nothing {
        server: job.database.target().to_string(),
        why,
    })?;
    Ok(Found { major, meant })
}

/// What is meant of what there is; an error is why there is nothing.
fn chosen(listed: &[Listed], selection: &Selection) -> Result<Vec<Meant>, String> {
    let (open, shut): (Vec<&Listed>, Vec<&Listed>) = listed
        .iter()
        .filter(|it| !it.is_template)
        .partition(|it| it.takes_connections);
    let is_named = |name: &str| selection.names().any(|it| it == name);
    let found = open.iter().filter(|it| selection.has(&it.name));
    let mut meant: Vec<Meant> = found.map(|it| of(it, is_named(&it.name))).collect();
    for closed in shut.iter().filter(|it| selection.has(&it.name)) {
        if !is_named(&closed.name) {
            tracing::info!(
                database = closed.name,
                "passed over: it takes no connections (ALLOW_CONNECTIONS false)"
            );
        }
    }
    for name in selection.names() {
        if meant.iter().all(|it| it.name != name) {
            // Perhaps it is a template, or gone: its server says so.
            meant.push(Meant {
                name: name.to_owned(),
                oid: None,
                is_named: true,
                unreadable: None,
            });
        }
    }
    meant.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<&str> = open.iter().map(|it| it.name.as_str()).collect();
    if !meant.is_empty() {
        for pattern in selection.idle_patterns(&names) {
            tracing::warn!(pattern, "there is no database of such a name");
        }
        return Ok(meant);
    }
    Err(if names.is_empty() {
        "there is none but templates, or all that are named are left out".to_owned()
    } else {
        let names: Vec<String> = names.into_iter().map(written).collect();
        format!("there are {}", names.join(", "))
    })
}

fn of(listed: &Listed, is_named: bool) -> Meant {
    let Listed {
        oid,
        name,
        is_readable,
        takes_connections: _,
        is_template: _,
    } = listed.clone();
    let unreadable = (!is_readable).then(|| {
        format!("the name {name:?} is no UTF-8 on the server, so nobody can ask for it; rename the database")
    });
    Meant {
        name,
        oid: Some(oid),
        is_named,
        unreadable,
    }
}

/// All databases of the server, as the first of the maintenance databases tells that lets us in.
async fn listed(job: &BackupJob) -> Result<(u32, Vec<Listed>), Error> {
    let server = job.database.target();
    let mut shut: Option<postgres::Error> = None;
    for candidate in job.several.maintenance_of(&server) {
        match ask(&candidate).await {
            Ok(listed) => {
                if let Some(error) = shut {
                    tracing::warn!(%error, "the databases were listed from {candidate} instead; MAINTENANCE_DB names another one");
                }
                return Ok(listed);
            }
            // Of two that do not let us in the first is the one that is meant to.
            Err(error) if is_shut(&error) => shut = shut.or(Some(error)),
            Err(error) => return Err(Error::Server(error)),
        }
    }
    match shut {
        Some(error) => Err(Error::Shut(error)),
        None => Ok((0, Vec::new())),
    }
}

async fn ask(target: &Target) -> Result<(u32, Vec<Listed>), postgres::Error> {
    let entrance = Box::pin(target.enter("backuper")).await?;
    let major = entrance.session.major();
    let listed = databases::list(entrance.session, target).await?;
    Ok((major, listed))
}

/// Whether it is this database that does not let us in, and another one may.
fn is_shut(error: &postgres::Error) -> bool {
    use tokio_postgres::error::SqlState;
    let refuses_all = Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    matches!(error.kind, Kind::NoDatabase | Kind::Denied) || error.state == refuses_all
}

/// What a pattern has found and somebody has dropped since, or has shut to everybody, has not failed. One that was
/// renamed has: it is there, and has no backup. So has one that is written out, whatever has become of it.
pub(super) async fn tell_gone(job: &BackupJob, failed: Vec<&mut Ended>) {
    if failed.iter().all(|it| it.oid.is_none()) {
        return;
    }
    let listed = match Box::pin(listed(job)).await {
        Ok((_, listed)) => listed,
        Err(error) => {
            tracing::debug!(%error, "nobody knows whether it was dropped");
            return;
        }
    };
    for ended in failed {
        let Some(oid) = ended.oid else { continue };
        match listed.iter().find(|it| it.oid == oid) {
            Some(now) if now.name != ended.name => ended.rename(&now.name),
            _ if ended.is_named => {}
            Some(now) if now.takes_connections => {}
            Some(_) => {
                tracing::warn!(
                    database = ended.name,
                    "it takes no connections any more since the run began (ALLOW_CONNECTIONS false): that it has no backup is no failure"
                );
                ended.how = How::Shut;
            }
            // Another one by its name is meant as well, and has none yet.
            None if listed.iter().any(|it| it.name == ended.name) => {}
            None => {
                tracing::warn!(
                    database = ended.name,
                    "it was dropped since the run began: that it has no backup is no failure"
                );
                ended.how = How::Dropped;
            }
        }
    }
}
