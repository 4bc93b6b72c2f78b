//! One pg_restore of a load: how it is started, and what its end means.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::sync::Arc;

use backuper::child::{self, Output, Program};
use backuper::memfd::Memfd;
use backuper::postgres::Traffic;
use backuper::runtime::{Failure, Verdict};
use tokio_util::sync::CancellationToken;

use super::Loading;
use super::rows::{Mode, Part};
use crate::archive::schema::Schema;
use crate::archive::use_list::UseList;
use crate::diagnostics::{Diagnostics, Failed, Names};
use crate::feed::{self, Taking, feed};

/// `pg_restore --section`, before the rows and after them.
pub(super) const PRE_DATA: &str = "pre-data";
pub(super) const POST_DATA: &str = "post-data";
/// How often what a deadlock has ended is tried again. Its sessions are then one and those of the
/// streams that still load.
const TRIES: usize = 3;

/// What all programs of one load share.
#[derive(Clone, Copy)]
pub(super) struct Restoring<'a> {
    pub(super) loading: &'a Loading<'a>,
    pub(super) schema: &'a Schema,
    /// Its archive, as pg_restore is to read it.
    pub(super) file: &'a Memfd,
    /// Of the schema's entries.
    pub(super) names: &'a Arc<Names>,
    /// `PGOPTIONS`.
    pub(super) options: &'a str,
    pub(super) stop: &'a CancellationToken,
}

impl Restoring<'_> {
    fn program(&self, arguments: &[&str], goes_on: bool, stdin: bool) -> Program {
        let target = self.loading.target;
        let mut environment = target.child_environment("restorer pg_restore");
        environment.set("PGOPTIONS", self.options);
        let mut all: Vec<OsString> = vec![
            "--no-owner".into(),
            "--no-acl".into(),
            "--no-password".into(),
            // It says which table it is at, and which entry has failed: of errors alone it names none.
            "--verbose".into(),
            target.connection_argument(Traffic::Writes),
        ];
        all.extend(self.loading.plan.arguments().iter().map(OsString::from));
        all.extend((!goes_on).then(|| "--exit-on-error".into()));
        all.extend(arguments.iter().map(OsString::from));
        Program {
            path: self.loading.tools.program("pg_restore"),
            arguments: all,
            environment,
            stdin,
            stdout: Output::Null,
        }
    }

    /// Restores entries of a section of the schema's archive, so many at once. Gives those that failed
    /// where the load keeps going.
    pub(super) async fn entries(
        &self,
        section: &str,
        jobs: usize,
        entries: &BTreeSet<i64>,
    ) -> Result<Vec<Failed>, Failure> {
        let mut failed = self.attempt(section, jobs, entries).await?;
        for _ in 0..TRIES {
            if !failed.iter().any(Failed::is_deadlock) {
                break;
            }
            tracing::warn!(
                entries = failed.len(),
                "sessions of this restore waited for each other (a deadlock); what the server has ended is restored again, one after the other"
            );
            let again = failed.iter().filter_map(|it| it.id).collect();
            let nameless: Vec<Failed> = failed.into_iter().filter(|it| it.id.is_none()).collect();
            failed = self.attempt(section, 1, &again).await?;
            failed.extend(nameless);
        }
        match failed.first() {
            Some(first) if !self.loading.keep_going => Err(self.because_of(first)),
            _ => Ok(failed),
        }
    }

    /// Gives what failed where another try may help, or where the load keeps going.
    async fn attempt(
        &self,
        section: &str,
        jobs: usize,
        entries: &BTreeSet<i64>,
    ) -> Result<Vec<Failed>, Failure> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let keep_going = self.loading.keep_going;
        // What comes after the rows is tried to its end while there is hope.
        let goes_on = keep_going || section == POST_DATA;
        let mut program = self.program(&[&format!("--section={section}")], goes_on, false);
        let list = UseList::of(&self.schema.toc, |entry| entries.contains(&entry.id))?;
        let file = self.file.path().into_os_string();
        let jobs = (jobs > 1).then(|| format!("--jobs={jobs}").into());
        program.arguments.extend(jobs);
        program.arguments.extend([list.argument(), file]);
        let diagnostics = Diagnostics::new(self.names);
        let hopeless = self.stop.child_token();
        let listener = if keep_going {
            diagnostics.listener()
        } else {
            diagnostics.listener_until_hopeless(hopeless.clone())
        };
        let child = program.start_listening(listener);
        let child = child.map_err(|error| self.failure(&error, &diagnostics))?;
        let ended = child.finish(&hopeless).await;
        let Err(error) = ended else {
            return Ok(Vec::new());
        };
        let first = diagnostics
            .failed()
            .into_iter()
            .find(|it| !it.reason.is_empty());
        match (error, first) {
            (error, _) if self.stop.is_cancelled() => Err(self.failure(&error, &diagnostics)),
            (_, Some(first)) if hopeless.is_cancelled() && diagnostics.lost().is_none() => {
                Err(self.because_of(&first))
            }
            (error @ child::Error::Failed { .. }, _) => self.left_out(&error, &diagnostics),
            (error, _) => Err(self.failure(&error, &diagnostics)),
        }
    }

    /// A load that is to bring everything or nothing ends with it.
    fn because_of(&self, failed: &Failed) -> Failure {
        Failure {
            verdict: self.verdict(failed),
            sentence: format!(
                "{}; nothing is restored; RESTORE_KEEP_GOING=true restores all rows, and names what cannot be made",
                named(failed)
            ),
        }
    }

    /// Whether another try may help. pg_restore prints no codes, so it is the server's words that tell,
    /// where they are the ones that we know.
    fn verdict(&self, failed: &Failed) -> Verdict {
        Verdict::of(!self.loading.way.language || failed.is_transient())
    }

    fn failure(&self, error: &child::Error, diagnostics: &Diagnostics) -> Failure {
        let failed = diagnostics.failed().into_iter().next();
        match (failed, diagnostics.lost(), error) {
            (_, Some(lost), child::Error::Failed { .. }) => lost_session(&lost),
            (Some(failed), None, child::Error::Failed { .. }) if !failed.reason.is_empty() => {
                Failure {
                    verdict: self.verdict(&failed),
                    sentence: named(&failed),
                }
            }
            (Some(failed), None, child::Error::Failed { .. }) => {
                Failure::try_again(format!("restoring {}: {error}", failed.entry))
            }
            _ => Failure::try_again(format!("restoring: {error}")),
        }
    }

    /// What a pg_restore has left out that went on to its end. One that did not, or had no connection any
    /// more, has left out more than it says.
    fn left_out(
        &self,
        error: &child::Error,
        diagnostics: &Diagnostics,
    ) -> Result<Vec<Failed>, Failure> {
        let mut failed = diagnostics.failed();
        let Some(count) = diagnostics
            .ignored()
            .filter(|_| diagnostics.lost().is_none())
        else {
            return Err(self.failure(error, diagnostics));
        };
        if failed.is_empty() {
            failed.push(Failed {
                entry: format!("{count} statements that pg_restore does not name"),
                ..Failed::default()
            });
        }
        Ok(failed)
    }

    /// Restores a part of the rows.
    pub(super) async fn stream(&self, part: &Part<'_>) -> Result<Arrived, Failure> {
        let Loading { storage, .. } = self.loading;
        let Part { expected, list, .. } = part;
        let goes_on = part.mode == Mode::GoesOn;
        let arguments: &[&str] = match part.mode {
            Mode::OneTransaction => &["--section=data", "--single-transaction"],
            Mode::Ends | Mode::GoesOn => &["--section=data"],
        };
        let mut program = self.program(arguments, goes_on, true);
        program
            .arguments
            .extend(list.as_ref().map(UseList::argument));
        let progress = part.progress.stream();
        let diagnostics = Diagnostics::new(self.names);
        let child = program.start_listening(diagnostics.listener().and(progress.listener()));
        let mut child = child.map_err(|error| self.failure(&error, &diagnostics))?;
        let sink = feed::sink(&mut child)?;
        let taking = Taking {
            all: list.is_none(),
            counted: part.counted.clone(),
            progress: Arc::clone(&progress),
            binary: part.binary.clone(),
        };
        // Not left to `feed`: it waits for pg_restore to take what it has, which a server that
        // stands still can put off for ever.
        let fed = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(feed::Error::Stopped),
            // One that goes on would read all that is left before it says so.
            () = diagnostics.until_lost(), if goes_on => {
                let lost = diagnostics.lost().unwrap_or_default();
                child.stop().await;
                return Err(lost_session(&lost));
            }
            fed = feed(storage, expected, sink, taking, self.stop) => fed,
        };
        match fed {
            Ok(fed) => {
                let refused = match child.finish(self.stop).await {
                    Ok(()) => Vec::new(),
                    Err(error @ child::Error::Failed { .. }) if goes_on => {
                        self.left_out(&error, &diagnostics)?
                    }
                    Err(error) => return Err(self.failure(&error, &diagnostics)),
                };
                progress.end();
                fed.tell(&expected.key);
                Ok(Arrived {
                    counted: fed.rows,
                    refused,
                })
            }
            // It went first, so it knows why.
            Err(feed::Error::Closed { key }) => {
                if let Err(error) = child.finish(self.stop).await {
                    feed::prove(storage, expected, self.stop).await?;
                    return Err(self.failure(&error, &diagnostics));
                }
                Err(Failure::try_again(format!(
                    "{key}: pg_restore read only a part of it"
                )))
            }
            Err(error) => {
                child.stop().await;
                Err(error.into())
            }
        }
    }
}

/// What is said of a session that was lost, in libpq's words.
fn lost_session(said: &str) -> Failure {
    Failure::try_again(format!(
        "restoring: pg_restore: {said}; run it again: the server, the network or somebody there has ended a session of this restore"
    ))
}

/// The entry, and never its statement.
fn named(Failed { entry, reason, .. }: &Failed) -> String {
    if reason.is_empty() {
        format!("restoring {entry}: pg_restore could not make it; its messages are above")
    } else {
        format!("restoring {entry}: {reason}")
    }
}

/// What has come of a part of the rows.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The rows of entries that were counted.
    pub(super) counted: BTreeMap<i64, u64>,
    /// What the server refused, where the part goes on then.
    pub(super) refused: Vec<Failed>,
}
