//! The one psql session, and how its transaction ends.
//!
//! Whether it was committed is what the server says of its number (`pg_xact_status`), asked in
//! another session: psql may be led astray by a script, or lose the answer to its COMMIT.

use std::time::Duration;

use backuper::child::{Child, Output, Program, pipe};
use backuper::postgres::session::SETTINGS;
use backuper::postgres::{self, Target, Traffic};
use backuper::runtime::{Failure, Verdict};
use backuper::text::sql::dollar_quoted;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::complaints::{Complaint, Complaints};
use super::failed;
use crate::summary::Loaded;

/// What psql prints before the number of the transaction.
const NUMBER: &str = "oiler-transaction ";
/// How the refusal begins when the transaction at the end is not the one of the beginning.
const ENDED: &str = "the script has ended its transaction by itself";
/// How long a server may take to end a transaction whose session is gone.
const ENDING: Duration = Duration::from_secs(10);

/// Bytes of lines that are written at once.
const GATHERED: usize = 64 << 10;

/// The psql session that holds the transaction.
pub(super) struct Transaction {
    child: Child,
    stdin: ChildStdin,
    complaints: Complaints,
    /// The transaction's own number, an xid8.
    number: String,
    /// Lines that psql has been given.
    lines: u64,
    /// The entries of the archive that were given after the rows, each with its first line.
    labels: Vec<(u64, String)>,
}

impl Transaction {
    /// Starts psql, and in it a transaction with these settings.
    pub(super) async fn begin(
        program: std::path::PathBuf,
        target: &Target,
        settings: &str,
    ) -> Result<Self, Failure> {
        let arguments = [
            "--no-psqlrc",
            "--quiet",
            "--no-password",
            "--output=/dev/null",
            // With the line of each error, which psql says of a file alone.
            "--file=-",
            "--set=ON_ERROR_STOP=1",
            "--set=VERBOSITY=verbose",
        ];
        let complaints = Complaints::default();
        let mut child = Program {
            path: program,
            arguments: arguments
                .map(Into::into)
                .into_iter()
                .chain([target.connection_argument(Traffic::Writes)])
                .collect(),
            environment: target.child_environment("restorer psql"),
            stdin: true,
            stdout: Output::Piped,
        }
        .start_heard(complaints.listener())
        .map_err(|error| failed(&error))?;
        let (Some(stdin), Some(stdout)) = (child.take_stdin(), child.take_stdout()) else {
            return Err(Failure::try_again("psql has no stdin"));
        };
        pipe::widen(&stdin);
        let mut transaction = Self {
            child,
            stdin,
            complaints,
            number: String::new(),
            lines: 0,
            labels: Vec::new(),
        };
        let begin = format!(
            "{SETTINGS}BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\nSET LOCAL client_min_messages = warning;\n{settings}SELECT pg_catalog.pg_current_xact_id() AS oiler_transaction \\gset\n\\echo {NUMBER}:oiler_transaction\n"
        );
        let begun = transaction.write(&begin).await;
        match number(stdout).await {
            Some(number) if begun.is_ok() => transaction.number = number,
            _ => return Err(transaction.ended().await),
        }
        Ok(transaction)
    }

    /// Gives psql a text of our own, which is in UTF-8, whatever the script before it is in.
    pub(super) async fn write(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_ascii() {
            return self.give(text.as_bytes()).await;
        }
        let text = format!("SET client_encoding = 'UTF8';\n{text}\nRESET client_encoding;\n");
        self.give(text.as_bytes()).await
    }

    async fn give(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.lines += bytes.iter().filter(|it| **it == b'\n').count() as u64;
        let written = self.stdin.write_all(bytes).await;
        written.map_err(|_closed| gone())
    }

    /// Copies a script to psql, as fast as the server takes it.
    pub(super) async fn pour(
        &mut self,
        script: impl Into<std::os::fd::OwnedFd>,
    ) -> Result<(), Failure> {
        let mut script = opened(script)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = script.read(&mut buffer).await;
            match read.map_err(|error| unreadable(&error))? {
                0 => return Ok(()),
                count => self.give(&buffer[..count]).await?,
            }
        }
    }

    /// As [`Transaction::pour`], and remembers which line belongs to which entry: pg_restore names
    /// each in a comment before it.
    pub(super) async fn pour_labelled(
        &mut self,
        script: impl Into<std::os::fd::OwnedFd>,
    ) -> Result<(), Failure> {
        let mut script = BufReader::with_capacity(256 << 10, opened(script)?);
        let (mut gathered, mut at) = (Vec::with_capacity(GATHERED), self.lines);
        loop {
            let begin = gathered.len();
            let read = script.read_until(b'\n', &mut gathered).await;
            let count = read.map_err(|error| unreadable(&error))?;
            if let Some(label) = label(&gathered[begin..]) {
                self.labels.push((at, label));
            }
            at += 1;
            if count == 0 || gathered.len() >= GATHERED {
                self.give(&gathered).await?;
                gathered.clear();
            }
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// From here on a statement that fails is undone alone, and the others go on.
    pub(super) async fn outlive_errors(&mut self, outlive: bool) -> Result<(), Failure> {
        let (stop, rollback) = if outlive { (0, "on") } else { (1, "off") };
        self.write(&format!(
            "\\set ON_ERROR_ROLLBACK {rollback}\n\\set ON_ERROR_STOP {stop}\n"
        ))
        .await
    }

    /// Commits a whole replacement; lets anything else roll back, and asks psql why where it was
    /// psql that ended. Gives what was left out while errors were outlived.
    pub(super) async fn end(
        mut self,
        outcome: Result<u64, Failure>,
        session: &Client,
        target: &Target,
    ) -> Result<Loaded, Failure> {
        let bytes = match outcome {
            Ok(bytes) => bytes,
            Err(failure) if failure == gone() => return Err(self.ended().await),
            Err(failure) => {
                // Killed rather than closed: what psql has buffered must not go on.
                self.child.signal(nix::sys::signal::Signal::SIGKILL);
                self.child.stop().await;
                return Err(failure);
            }
        };
        let check = dollar_quoted(&format!(
            " BEGIN IF pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text IS DISTINCT FROM '{}' THEN RAISE EXCEPTION '{ENDED}'; END IF; END ",
            self.number
        ));
        // A psql that has ended says so below.
        let written = self.write(&format!("DO {check};\nCOMMIT;\n")).await;
        let number = self.number.clone();
        let labels = self.labels.clone();
        let complaints = self.complaints.clone();
        let ended = self.finish().await;
        if written.is_ok() && ended.is_ok() {
            return match status(session, target, &number).await?.as_str() {
                "committed" => Ok(Loaded {
                    bytes,
                    omissions: omissions(&labels, &complaints.errors()),
                }),
                other => Err(Failure::try_again(format!(
                    "the server says that the transaction is {other}; nothing was changed, run the restore again"
                ))),
            };
        }
        let failure = ended.err().unwrap_or_else(gone);
        match status(session, target, &number).await?.as_str() {
            // Its answer was lost, and not the transaction.
            "committed" if complaints.errors().is_empty() => {
                tracing::warn!(error = %failure.sentence, "the answer to COMMIT was lost, and the server says that it was committed");
                Ok(Loaded {
                    bytes,
                    omissions: Vec::new(),
                })
            }
            "committed" => Err(Failure {
                verdict: Verdict::Refused,
                sentence: format!(
                    "{}: a part of the script was committed; look at the database",
                    failure.sentence
                ),
            }),
            _ => Err(failure),
        }
    }

    /// Why psql took no more.
    async fn ended(self) -> Failure {
        match self.finish().await {
            Err(failure) => failure,
            Ok(()) => gone(),
        }
    }

    /// Closes psql's input and waits for its end: from here on the server decides, and stopping
    /// now could not undo a COMMIT.
    async fn finish(self) -> Result<(), Failure> {
        let Self {
            child,
            stdin,
            complaints,
            labels,
            ..
        } = self;
        drop(stdin);
        let finished = child.finish(&CancellationToken::new()).await;
        finished.map_err(|error| match complaints.errors().last() {
            Some(complaint) => refused(complaint, &labels),
            None => failed(&error),
        })
    }
}

/// Reads the number of the transaction, and then everything that follows: a psql whose output
/// nobody reads stands still.
async fn number(stdout: ChildStdout) -> Option<String> {
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    stdout.read_line(&mut line).await.ok()?;
    let number = line.trim_end().strip_prefix(NUMBER)?.to_owned();
    tokio::spawn(async move {
        let read = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
        if let Err(error) = read {
            tracing::debug!(%error, "psql's output cannot be read");
        }
    });
    Some(number)
}

/// `committed`, `aborted` or `in progress`. PostgreSQL manual, 9.26.8: transaction ID functions.
async fn status(session: &Client, target: &Target, number: &str) -> Result<String, Failure> {
    let begun = tokio::time::Instant::now();
    loop {
        let asked = session
            .query_one(
                "SELECT coalesce(pg_xact_status($1::text::xid8), 'too old to be known')",
                &[&number],
            )
            .await;
        let status: String = match asked {
            Ok(row) => row.get(0),
            Err(error) => {
                let error = postgres::Error::new("asking", target, &error);
                return Err(Failure::try_again(format!(
                    "{error}; nobody could ask the server whether the transaction {number} was committed (SELECT pg_xact_status('{number}')); look at the database before you restore again"
                )));
            }
        };
        if status != "in progress" || begun.elapsed() > ENDING {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The entry that a comment of pg_restore names:
/// `-- Name: t_pkey; Type: CONSTRAINT; Schema: public; Owner: me`.
fn label(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let named = line.strip_prefix("-- Name: ")?;
    let (name, rest) = named.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let (schema, _owner) = rest.split_once("; ")?;
    Some(match schema {
        "-" => format!("{kind} {name}"),
        _ => format!("{kind} {schema}.{name}"),
    })
}

/// The entry that a line belongs to.
fn entry_of(labels: &[(u64, String)], line: u64) -> Option<&str> {
    let at = labels.partition_point(|(begin, _)| *begin < line);
    labels.get(at.checked_sub(1)?).map(|(_, it)| it.as_str())
}

/// The entries that failed, each of which the log says why.
fn omissions(labels: &[(u64, String)], errors: &[Complaint]) -> Vec<String> {
    let each = errors.iter().map(|error| {
        let entry = entry_of(labels, error.line).unwrap_or("a statement");
        tracing::warn!(entry, error = %error.sentence(), sqlstate = %error.sqlstate, "left out");
        entry.to_owned()
    });
    each.collect()
}

fn opened(
    script: impl Into<std::os::fd::OwnedFd>,
) -> Result<tokio::net::unix::pipe::Receiver, Failure> {
    let script = tokio::net::unix::pipe::Receiver::from_owned_fd(script.into());
    script.map_err(|error| Failure::try_again(format!("no pipe: {error}")))
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::try_again(format!("reading a script: {error}"))
}

/// Stands for "psql took no more", until psql is asked why.
fn gone() -> Failure {
    Failure::try_again("psql ended before the restore did")
}

/// What an error of the transaction means, by its code.
fn refused(complaint: &Complaint, labels: &[(u64, String)]) -> Failure {
    let said = complaint.sentence();
    if complaint.message.contains(ENDED) {
        return Failure::refused(format!(
            "{said}: what came before it was not one transaction; look at the database, take what ends it out of the script, and restore again"
        ));
    }
    let advice = match complaint.sqlstate.as_str() {
        // What depends on an object that would go, and what has the name of one that would come.
        "2BP01" | "42P07" | "42710" | "42723" | "42P06" => {
            "; it stands in the way: drop or move it, or restore into another database"
        }
        // PostgreSQL manual, 20.12: max_locks_per_transaction.
        "53200" => {
            ": the server has no room for the locks of one transaction that replaces all tables; raise its max_locks_per_transaction, which takes a restart of the server, or restore into an empty database, which needs no such transaction"
        }
        "42501" => "; grant it, or restore as a role that may",
        "55P03" => {
            "; somebody holds a lock on what is to be replaced; run the restore again, or give it a longer LOCK_WAIT_TIMEOUT"
        }
        _ => "",
    };
    let entry = entry_of(labels, complaint.line).map_or_else(String::new, |it| format!("{it}: "));
    Failure {
        verdict: Verdict::of(may_pass(&complaint.sqlstate)),
        sentence: format!("{entry}{said}{advice}; nothing was changed"),
    }
}

/// Whether the same statement later may succeed: the connection, a deadlock, resources, a lock, an
/// operator, the system. PostgreSQL manual, appendix A.
fn may_pass(sqlstate: &str) -> bool {
    let class = sqlstate.get(..2).unwrap_or_default();
    sqlstate != "53200" && ["08", "40", "53", "55", "57", "58", "XX"].contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_a_line_of_it() {
        let text = b"-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: me\n";
        assert_eq!(label(text).as_deref(), Some("CONSTRAINT public.t t_pkey"));
        let text = b"-- Name: EXTENSION hstore; Type: COMMENT; Schema: -; Owner: \n";
        assert_eq!(label(text).as_deref(), Some("COMMENT EXTENSION hstore"));
        assert_eq!(label(b"-- Data of another kind\n"), None);
        let labels = [(3, "a".to_owned()), (8, "b".to_owned())];
        let found = [3, 4, 8, 9, 100].map(|it| entry_of(&labels, it));
        assert_eq!(found, [None, Some("a"), Some("a"), Some("b"), Some("b")]);
    }

    #[test]
    fn what_never_helps_is_told_by_the_code_alone() {
        let said = |sqlstate: &str| Complaint {
            sqlstate: sqlstate.to_owned(),
            message: "x".to_owned(),
            ..Complaint::default()
        };
        for (sqlstate, verdict) in [
            ("2BP01", Verdict::Refused),
            ("53200", Verdict::Refused),
            ("42501", Verdict::Refused),
            ("55P03", Verdict::TryAgain),
            ("23505", Verdict::Refused),
            ("40P01", Verdict::TryAgain),
        ] {
            assert_eq!(refused(&said(sqlstate), &[]).verdict, verdict, "{sqlstate}");
        }
    }
}
