//! The one psql session, and how its transaction ends.
//!
//! Whether it was committed is what the server says of its number (`pg_xact_status`), asked in
//! another session: psql may be led astray by a script, or lose the answer to its COMMIT.

use backuper::child::{self, Child, Output, Program};
use backuper::postgres::session::SETTINGS;
use backuper::postgres::{Target, Traffic, Way};
use backuper::runtime::Failure;
use backuper::text::line_ends;
use backuper::text::sql::dollar_quoted;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answers::{ANSWER, NUMBER, TAKEN, printed};
use super::binary::BinaryRows;
use super::complaints::{Complaint, Complaints};
use super::decided::{Decided, unheard};
use super::labels::{Lines, entry_of, label, omissions};
use super::pieces::Piece;
use super::pipes;
use super::refusal::{ENDED, Refusal, refused};
use super::sections::failed;
use crate::summary::Loaded;

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
    /// The entries of the archive that were given beside the rows, each with its first line.
    labels: Vec<(u64, String)>,
    rows: Lines,
    /// Whose errors undo their statement alone.
    outlived: Lines,
    /// What psql prints.
    printed: mpsc::UnboundedReceiver<String>,
}

impl Transaction {
    /// Starts psql, and in it a transaction with these settings.
    pub(super) async fn begin(
        program: std::path::PathBuf,
        target: &Target,
        way: Way,
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
        let mut environment = target.child_environment("restorer psql");
        // What is set for the role or the database may end psql before its first statement is done.
        if let Some(options) = way.options(&[]) {
            environment.set("PGOPTIONS", options);
        }
        let complaints = Complaints::default();
        let mut child = Program {
            path: program,
            arguments: arguments
                .map(Into::into)
                .into_iter()
                .chain([target.connection_argument(Traffic::Writes)])
                .collect(),
            environment,
            stdin: true,
            stdout: Output::Piped,
        }
        .start_listening(complaints.listener())
        .map_err(|error| failed(&error))?;
        let (Some(stdin), Some(stdout)) = (child.take_stdin(), child.take_stdout()) else {
            return Err(Failure::try_again("psql has no stdin"));
        };
        child::pipe::widen(&stdin);
        let mut transaction = Self {
            rows: Lines::default(),
            outlived: Lines::default(),
            printed: printed(stdout),
            child,
            stdin,
            complaints,
            number: String::new(),
            lines: 0,
            labels: Vec::new(),
        };
        // What a database's owner has in its path must not be called by statements of ours.
        let begin = format!(
            "SET search_path = pg_catalog;\n{SETTINGS}BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\nSET LOCAL client_min_messages = warning;\n{settings}SELECT pg_catalog.pg_current_xact_id() AS oiler_transaction \\gset\n\\echo {NUMBER}:oiler_transaction\n"
        );
        let begun = transaction.write(&begin).await;
        match transaction.answer(NUMBER).await {
            Some(number) if begun.is_ok() => transaction.number = number,
            _ => return Err(transaction.ended().await.failure),
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
        self.lines += line_ends(bytes);
        let written = self.stdin.write_all(bytes).await;
        written.map_err(|_closed| gone())
    }

    /// For a script that may rely on the path of the role or the database.
    pub(super) async fn unpin(&mut self) -> Result<(), Failure> {
        self.write("RESET search_path;\n").await
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

    /// Gives psql the pieces of a script as they come.
    pub(super) async fn take(&mut self, mut pieces: mpsc::Receiver<Piece>) -> Result<(), Failure> {
        let mut rows: Option<BinaryRows> = None;
        loop {
            let next = tokio::select! {
                next = pieces.recv() => next,
                // It was asked nothing, so it has ended.
                _ = self.printed.recv() => return Err(gone()),
            };
            let Some(piece) = next else {
                // Where rows are under way, who takes the script apart knows why no more come.
                return Ok(());
            };
            match (piece, &mut rows) {
                (Piece::Script(bytes), None) => self.give(&bytes).await?,
                (Piece::Begin { into, restricted }, None) => {
                    let begun = rows.insert(BinaryRows::begin()?);
                    let command = begun.command(&into, restricted.as_deref());
                    self.give(&command).await?;
                }
                (Piece::Rows(bytes), Some(rows)) => tokio::select! {
                    written = rows.write(&bytes) => written.map_err(|_closed| gone())?,
                    _ = self.printed.recv() => return Err(gone()),
                },
                (Piece::End, Some(_)) => {
                    let pipe = rows.take().map(BinaryRows::end);
                    let answer = self.answer(ANSWER).await.ok_or_else(gone)?;
                    drop(pipe);
                    if answer != TAKEN {
                        return Err(unexpected());
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// Asks within the transaction: a query that gives a text, `oiler_answer`.
    pub(super) async fn ask(&mut self, query: &str) -> Result<String, Failure> {
        let asked = format!(
            "SET client_encoding = 'UTF8';\n{query} \\gset\n\\echo {ANSWER}:oiler_answer\nRESET client_encoding;\n"
        );
        self.give(asked.as_bytes()).await?;
        self.answer(ANSWER).await.ok_or_else(gone)
    }

    async fn answer(&mut self, beginning: &str) -> Option<String> {
        let line = self.printed.recv().await?;
        line.strip_prefix(beginning).map(|it| it.trim().to_owned())
    }

    /// Rows follow.
    pub(super) fn rows_begin(&mut self) {
        self.rows.begin(self.lines);
    }

    /// No more rows follow.
    pub(super) fn rows_end(&mut self) {
        self.rows.end(self.lines);
    }

    /// From here on a statement that fails is undone alone, and the others go on.
    pub(super) async fn outlive_errors(&mut self, outlive: bool) -> Result<(), Failure> {
        let (stop, rollback) = if outlive {
            self.outlived.begin(self.lines);
            (0, "on")
        } else {
            self.outlived.end(self.lines);
            (1, "off")
        };
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
        decided: Decided<'_>,
    ) -> Result<Loaded, Refusal> {
        let bytes = match outcome {
            Ok(bytes) => bytes,
            Err(failure) if failure == gone() => return Err(self.ended().await),
            Err(failure) => {
                // Killed rather than closed: what psql has buffered must not go on.
                self.child.signal(nix::sys::signal::Signal::SIGKILL);
                self.child.stop().await;
                return Err(failure.into());
            }
        };
        let check = dollar_quoted(&format!(
            " BEGIN IF pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text IS DISTINCT FROM '{}' THEN RAISE EXCEPTION '{ENDED}'; END IF; END ",
            self.number
        ));
        decided.by_the_server(&self.number);
        let last = self.lines;
        // A psql that has ended says so below.
        let written = self.write(&format!("DO {check};\nCOMMIT;\n")).await;
        let (number, outlived) = (self.number.clone(), self.outlived);
        let labels = self.labels.clone();
        let complaints = self.complaints.clone();
        let ended = self.finish().await;
        let errors = complaints.errors().into_iter();
        let (left_out, others): (Vec<_>, Vec<_>) =
            errors.partition(|it| outlived.contains(it.line));
        // What is said while it commits is no error of what was committed.
        let is_a_part = |it: &Complaint| it.line <= last || it.is_of_another_end();
        let refusal = match (written, ended) {
            (Ok(()), Ok(())) => None,
            (_, ended) => Some(ended.err().unwrap_or_else(|| gone().into())),
        };
        let status = decided.status(&number).await.map_err(Refusal::of_unknown)?;
        match (status.as_str(), refusal) {
            ("committed", Some(refusal)) if others.iter().any(is_a_part) => {
                let part = "a part of the script was committed; look at the database";
                let sentence = format!("{}: {part}", refusal.why());
                Err(Refusal::of_unknown(Failure::refused(sentence)))
            }
            ("committed", refusal) => {
                if let Some(refusal) = refusal {
                    // Its answer was lost, and not the transaction.
                    tracing::warn!(error = %refusal.why(), "the answer to COMMIT was lost, and the server says that it was committed");
                }
                Ok(Loaded {
                    bytes,
                    omissions: omissions(&labels, &left_out),
                })
            }
            ("aborted", Some(refusal)) => Err(refusal.undone()),
            ("aborted", None) => Err(Failure::try_again(
                "the server had said that it was committed, and says now that it was not, as one does that another has taken over from; look at the database, and run the restore again",
            )
            .into()),
            (status, None) => {
                let why = format!("the server says that it is {status}");
                Err(Refusal::of_unknown(unheard(&why, &number)))
            }
            (_, Some(refusal)) => Err(Refusal::of_unknown(unheard(refusal.why(), &number))),
        }
    }

    /// Why psql took no more; it was never told to commit.
    async fn ended(self) -> Refusal {
        match self.finish().await {
            Err(refusal) => refusal.undone(),
            Ok(()) => gone().into(),
        }
    }

    /// Closes psql's input and waits for its end: from here on the server decides, and stopping
    /// now could not undo a COMMIT.
    async fn finish(self) -> Result<(), Refusal> {
        let Self {
            child,
            stdin,
            complaints,
            labels,
            rows,
            outlived,
            ..
        } = self;
        drop(stdin);
        let finished = child.finish(&CancellationToken::new()).await;
        let mut complaints = complaints.errors().into_iter();
        let complaint = complaints.rfind(|it| it.ends_its_session() || !outlived.contains(it.line));
        finished.map_err(|error| match &complaint {
            Some(complaint) => {
                let of_rows = rows.contains(complaint.line);
                let entry = entry_of(&labels, complaint.line).filter(|_| !of_rows);
                Refusal::of(
                    refused(complaint, entry),
                    of_rows && complaint.may_want_other_rows(),
                )
            }
            None => Refusal::without_words(&error),
        })
    }
}

fn opened(script: impl Into<std::os::fd::OwnedFd>) -> Result<pipe::Receiver, Failure> {
    let script = pipe::Receiver::from_owned_fd(script.into());
    script.map_err(|error| pipes::none(&error))
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::try_again(format!("reading a script: {error}"))
}

/// What no script that is taken apart comes to.
fn unexpected() -> Failure {
    Failure::try_again("the rows of a stream are out of order")
}

/// Stands for "psql took no more", until psql is asked why.
fn gone() -> Failure {
    Failure::try_again("psql ended before the restore did")
}
