//! A backuper as a child process that answers a question.

use std::time::Duration;

use backuper::child::{Output, Program};
use backuper::job::Var;
use backuper::runtime::logging::{Line, LogFormat};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use super::secrets;
use super::supervisor::Programs;
use crate::engine::{Error, Kind};

/// How much it may print, in bytes.
const PRINTED: u64 = 16 << 20;

impl Programs {
    /// What a worker answers; `kept` is what is secret of what it is asked about.
    pub(super) async fn ask(
        &self,
        [doing, kept]: [&str; 2],
        vars: Vec<Var>,
        limit: Duration,
    ) -> Result<Vec<String>, Error> {
        let failed = |kind, why: String| Error::new(doing, kind, why);
        let Some(mut environment) = secrets::environment(vars, kept) else {
            let why = "what is secret of it cannot be read".to_owned();
            return Err(failed(Kind::Internal, why));
        };
        let words = self.words.join(format!("answer-{}", uuid::Uuid::new_v4()));
        // A worker writes into a file that is there, and makes none.
        std::fs::write(&words, "").map_err(|error| failed(Kind::Unavailable, error.to_string()))?;
        environment.set("TERMINATION_MESSAGE_PATH", words.as_os_str());
        environment.set("LOG_FORMAT", LogFormat::Json.to_string());
        let program = Program {
            path: self.backuper.clone(),
            arguments: Vec::new(),
            environment,
            stdin: false,
            stdout: Output::Piped,
        };
        let outcome = tokio::time::timeout(limit, answered(program)).await;
        let said = std::fs::read_to_string(&words).unwrap_or_default();
        if let Err(error) = std::fs::remove_file(&words) {
            tracing::warn!(%error, "the last words of an answer stay");
        }
        match outcome {
            Ok(Ok(Some(lines))) => Ok(lines),
            Ok(Ok(None)) if !said.is_empty() => Err(failed(Kind::Precondition, said)),
            Ok(Ok(None)) => {
                let why = "its worker failed and has not said why";
                Err(failed(Kind::Unavailable, why.to_owned()))
            }
            Ok(Err(why)) => Err(failed(Kind::Unavailable, why)),
            Err(_elapsed) => {
                let why = format!("its worker did not answer within {} s", limit.as_secs());
                Err(failed(Kind::Unavailable, why))
            }
        }
    }
}

/// What it prints; none: it has failed.
async fn answered(program: Program) -> Result<Option<Vec<String>>, String> {
    let own = |line: &str| Line::parse(line).is_some();
    let listener = backuper::child::Listener::new(own);
    let mut child = program
        .start_listening(listener)
        .map_err(|error| error.to_string())?;
    let mut printed = String::new();
    if let Some(stdout) = child.take_stdout() {
        let read = stdout.take(PRINTED).read_to_string(&mut printed).await;
        read.map_err(|error| error.to_string())?;
    }
    let status = child.wait(&CancellationToken::new()).await;
    let status = status.map_err(|error| error.to_string())?;
    let lines = printed.lines().map(str::to_owned);
    Ok(status.success().then(|| lines.collect()))
}
