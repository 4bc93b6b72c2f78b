//! The one psql session, and how its transaction ends.

use backuper::child::{self, Child};
use backuper::runtime::{Failure, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio_util::sync::CancellationToken;

use super::{failed, removal};

/// What psql says after the COMMIT, and only then.
const COMMITTED: &str = "oiler-committed";

/// Set for our transaction alone: PostgreSQL forgets it with the transaction.
pub(super) const MARK: &str = "SET LOCAL oiler.transaction = 'ours';\n";
/// How the refusal begins when the transaction at the end is not the one of the beginning.
const ENDED: &str = "the script has ended its transaction by itself";

/// The psql session that holds the transaction.
pub(super) struct Transaction {
    pub(super) child: Child,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
}

impl Transaction {
    pub(super) async fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.stdin.write_all(text.as_bytes()).await;
        written.map_err(|_closed| gone())
    }

    /// Copies a script to psql, as fast as the server takes it.
    pub(super) async fn pour(
        &mut self,
        script: impl Into<std::os::fd::OwnedFd>,
    ) -> Result<(), Failure> {
        let script = tokio::net::unix::pipe::Receiver::from_owned_fd(script.into());
        let mut script = script.map_err(|error| Failure::try_again(format!("no pipe: {error}")))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = script
                .read(&mut buffer)
                .await
                .map_err(|error| Failure::try_again(format!("reading a script: {error}")))?;
            if count == 0 {
                return Ok(());
            }
            let written = self.stdin.write_all(&buffer[..count]).await;
            written.map_err(|_closed| gone())?;
        }
    }

    /// Commits a whole replacement; lets anything else roll back, and asks psql why where it was
    /// psql that ended.
    pub(super) async fn end(self, outcome: Result<u64, Failure>) -> Result<u64, Failure> {
        let Self {
            mut child,
            mut stdin,
            mut stdout,
        } = self;
        match outcome {
            Ok(bytes) => {
                let last = format!(
                    "DO $oiler$ BEGIN IF coalesce(current_setting('oiler.transaction', true), '') <> 'ours' THEN RAISE EXCEPTION '{ENDED}'; END IF; END $oiler$;\nCOMMIT;\n\\echo {COMMITTED}\n"
                );
                // A psql that has ended says so below.
                let written = stdin.write_all(last.as_bytes()).await.is_ok();
                drop(stdin);
                let mut said = String::new();
                let read = stdout.read_to_string(&mut said).await;
                // From here on the server decides: stopping now could not undo a COMMIT.
                let never = CancellationToken::new();
                child
                    .finish(&never)
                    .await
                    .map_err(|error| refused(&error))?;
                if written && read.is_ok() && said.contains(COMMITTED) {
                    return Ok(bytes);
                }
                Err(Failure::try_again(
                    "psql ended without saying that the transaction was committed; run the restore again",
                ))
            }
            Err(failure) if failure == gone() => {
                drop(stdin);
                let never = CancellationToken::new();
                match child.finish(&never).await {
                    Err(error) => Err(refused(&error)),
                    Ok(()) => Err(failure),
                }
            }
            Err(failure) => {
                // Killed rather than closed: what psql has buffered must not go on.
                child.signal(nix::sys::signal::Signal::SIGKILL);
                drop(stdin);
                child.stop().await;
                Err(failure)
            }
        }
    }
}

/// Stands for "psql took no more", until psql is asked why.
fn gone() -> Failure {
    Failure::try_again("psql ended before the restore did")
}

/// psql's error with its detail, which names what stands in the way.
fn refused(error: &child::Error) -> Failure {
    let child::Error::Failed { stderr, .. } = error else {
        return failed(error);
    };
    let after = |mark: &str| {
        let line = stderr.iter().find_map(|it| it.split_once(mark));
        line.map(|(_, text)| text.trim().to_owned())
    };
    let Some(message) = after("ERROR: ").or_else(|| after("FATAL: ")) else {
        return failed(error);
    };
    let detail = after("DETAIL: ").map_or_else(String::new, |it| format!(" ({it})"));
    if message.contains(ENDED) {
        return Failure::refused(format!(
            "{message}, with a COMMIT, END or ROLLBACK that does not stand on a line of its own: what came before it was not one transaction; look at the database, take that out of the script, and restore again"
        ));
    }
    let in_the_way = message.contains(removal::IN_THE_WAY);
    // PostgreSQL manual, 20.12: max_locks_per_transaction.
    let no_locks = message.contains("out of shared memory");
    let advice = if in_the_way {
        "; drop or move it, or restore into another database"
    } else if no_locks {
        ": the server has no room for the locks of one transaction that replaces all tables; raise its max_locks_per_transaction, which takes a restart of the server, or restore into an empty database, which needs no such transaction"
    } else {
        ""
    };
    Failure {
        verdict: Verdict::of(!in_the_way && !no_locks && !message.contains("permission denied")),
        sentence: format!("{message}{detail}{advice}; nothing was changed"),
    }
}
