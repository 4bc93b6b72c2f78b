//! Whether a server can take a backup at all: its version and our programs decide it, so it is known before
//! anything is made there.

use backuper::postgres::Target;
use backuper::postgres::tools::{Directories, Tools};
use backuper::runtime::Failure;

use crate::resolve::Backup;

/// A server, as far as that matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'a> {
    pub(super) major: u32,
    /// As it says it itself.
    pub(super) version: &'a str,
}

/// The programs to restore into it with.
///
/// # Errors
/// A refusal: the backup is of a newer server, or no program here can read it.
pub(super) async fn fit(
    target: &Target,
    programs: &Directories,
    backup: &Backup,
    server: Server<'_>,
) -> Result<Tools, Failure> {
    let (server_major, dump_major) = majors(backup);
    if let Some(newer) = server_major.filter(|it| *it > server.major) {
        return Err(Failure::refused(format!(
            "the backup is of PostgreSQL {newer} and {target} runs {}: a dump does not go back to an older server; restore into {newer} or newer",
            server.version
        )));
    }
    let needed = dump_major
        .unwrap_or(0)
        .max(server.major.min(dump_major.unwrap_or(server.major)));
    let found = Tools::find(needed, programs).await;
    found.map_err(|error| Failure::refused(error.to_string()))
}

/// Of the server that was dumped, and of the pg_dump that did it.
fn majors(backup: &Backup) -> (Option<u32>, Option<u32>) {
    match backup {
        Backup::Archive(_, toc, _) => (toc.server_major(), toc.dump_major()),
        Backup::Folder(..) | Backup::Script(..) => {
            let Some(manifest) = backup.manifest() else {
                return (None, None);
            };
            let digits = manifest.tools.pg_dump.split(|c: char| !c.is_ascii_digit());
            let dump = digits.into_iter().next().and_then(|it| it.parse().ok());
            (Some(manifest.source.major()), dump)
        }
    }
}
