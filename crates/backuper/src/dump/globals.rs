//! What a server has beside its databases, by pg_dumpall: roles, memberships, settings of roles, tablespaces.
//!
//! It is of the moment in which it is read and of no snapshot. It is read before the rows are, so that what is
//! wrong shows before hours of work and not after them.

use std::ffi::OsString;

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::pump::{Running, Share};
use super::{Dump, Error, Part, broken, failed};
use crate::archive::manifest::{Content, Globals, Stream};
use crate::archive::{encryption, key};
use crate::child::{Output, Program};
use crate::postgres::{self, Target, Traffic};
use crate::runtime::{Failure, Verdict};

/// What pg_dumpall's session calls itself.
const APPLICATION: &str = "backuper pg_dumpall";

/// The privilege that pg_dumpall needs to read password hashes.
const READS_HASHES: &str = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')";

impl Dump {
    /// Puts them into the store; with the roles' password hashes where these are wanted and our role may read
    /// them.
    ///
    /// # Errors
    /// Why they are not there.
    pub async fn globals(
        &self,
        session: &Client,
        passwords: bool,
        stop: &CancellationToken,
    ) -> Result<Globals, Failure> {
        let passwords = passwords && reads_hashes(session, &self.target).await?;
        let object = self.store_globals(passwords, stop).await.map_err(explain)?;
        tracing::info!(
            key = %object.key, raw = object.raw_bytes, stored = object.stored_bytes, passwords,
            "the server's roles and tablespaces are stored and verified"
        );
        Ok(Globals { object, passwords })
    }

    async fn store_globals(
        &self,
        passwords: bool,
        stop: &CancellationToken,
    ) -> Result<Stream, Error> {
        let part = self.part_of_globals();
        let program = self.program_for_globals(&part, passwords);
        if !program.path.is_file() {
            let why = format!(
                "{} is not there, and pg_dump is; install the whole postgresql-client-{}, or set GLOBALS=false",
                program.path.display(),
                self.tools.major()
            );
            return Err(broken(&part, why));
        }
        let (mut running, first) = Running::of(self, part, program, None)?;
        let first = tokio::select! {
            first = first => first,
            () = stop.cancelled() => {
                running.child.stop().await;
                return Err(broken(&running.part, "stopped before it was stored"));
            }
        };
        match first {
            Ok(Ok(first)) if !first.bytes.is_empty() => {
                let share = Share {
                    threads: 0,
                    turn: None,
                };
                running.ready(first).store(self, share, None, stop).await
            }
            Ok(Ok(_) | Err(_)) | Err(_) => {
                let Running { part, child, .. } = running;
                match child.finish(stop).await {
                    Err(error) => Err(failed(&part, error)),
                    Ok(()) => Err(broken(&part, "pg_dumpall has written nothing")),
                }
            }
        }
    }

    fn part_of_globals(&self) -> Part {
        let suffix = self.recipients.as_ref().map_or("", |_| encryption::SUFFIX);
        Part {
            name: format!("{}{suffix}", key::GLOBALS),
            content: Content::Globals,
            tables: Vec::new(),
            sessions: 1,
            large_objects: 0,
            selection: Vec::new(),
        }
    }

    fn program_for_globals(&self, part: &Part, passwords: bool) -> Program {
        let mut arguments: Vec<OsString> = vec![
            "--globals-only".into(),
            "--no-password".into(),
            format!("--encoding={}", self.encoding_of(part)).into(),
            // There may be no database postgres, and a name with `=` in it would be taken for more than a name.
            self.target.connection_for_globals(Traffic::Reads),
        ];
        if !passwords {
            arguments.push("--no-role-passwords".into());
        }
        let mut environment = self.target.child_environment(APPLICATION);
        // To the server, a time of zero is none at all.
        let limit = self.lock_wait_timeout.as_millis().to_string();
        if let Some(options) = self.way.options(&[("lock_timeout", &limit)]) {
            environment.set("PGOPTIONS", options);
        }
        Program {
            path: self.tools.program("pg_dumpall"),
            arguments,
            environment,
            stdin: false,
            stdout: Output::Piped,
        }
    }
}

/// Whether our role may read password hashes; managed servers let none do it.
async fn reads_hashes(session: &Client, target: &Target) -> Result<bool, Failure> {
    let row = session
        .query_one(READS_HASHES, &[])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let may: bool = row.get(0);
    if !may {
        tracing::warn!(
            database = %target,
            "our role may not read pg_authid, so the roles are in the backup without their password hashes; back up as a superuser or grant it SELECT on pg_authid, or set GLOBALS_PASSWORDS=none to have it so without a warning"
        );
    }
    Ok(may)
}

/// What cannot be mended by trying again is said so.
fn explain(error: Error) -> Failure {
    let refused = match &error {
        Error::Broken { reason, .. } => reason.contains("GLOBALS=false"),
        Error::Child { source, .. } => source.to_string().contains("permission denied"),
        Error::Copy { .. } | Error::Unfit { .. } | Error::Storage(_) => false,
    };
    let failure = Failure::from(error);
    if !refused || failure.verdict == Verdict::Refused {
        return failure;
    }
    Failure::refused(format!(
        "{}; without GLOBALS=true nobody asks for it",
        failure.sentence
    ))
}
