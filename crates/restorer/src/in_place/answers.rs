//! What psql prints when a script of ours asks it to.

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;

/// What psql prints before the number of the transaction.
pub(super) const NUMBER: &str = "oiler-transaction ";
/// What psql prints before what was asked in the transaction.
pub(super) const ANSWER: &str = "oiler-answer ";
/// What it prints behind that when it has taken binary rows.
pub(super) const TAKEN: &str = "taken";

/// Reads everything that psql prints: one whose output nobody reads stands still.
pub(super) fn printed(stdout: ChildStdout) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(stdout).lines();
        loop {
            match lines.next_line().await {
                Ok(Some(line)) if line.starts_with(NUMBER) || line.starts_with(ANSWER) => {
                    if sender.send(line).is_err() {
                        tracing::debug!("nobody waits for psql's answer any more");
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "psql's output cannot be read");
                    return;
                }
            }
        }
    });
    receiver
}
