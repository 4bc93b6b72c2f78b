//! What a child says: every line goes to our log, and the last ones into the error.

use std::collections::VecDeque;
use std::fmt;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStderr;

/// How many lines an error keeps.
const KEPT_LINES: usize = 20;

/// Hears each line of a child's stderr, and says whether it is to be kept out of our log.
pub struct Listener(Box<dyn Fn(&str) -> bool + Send + Sync>);

impl Listener {
    /// One that is called with each line.
    pub fn new(listen: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(listen))
    }

    /// Both listen each line, and either may keep it out of our log.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::new(move |line| (self.0)(line) | (other.0)(line))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Listener")
    }
}

/// What begins the server's own words in a line of pg_dump's.
const FROM_SERVER: &str = "Error message from server: ";

/// The line that says what is wrong stands first in what libpq's programs print last; where the
/// server's words stand in a line of their own, these say why.
pub(super) fn reason(stderr: &[String]) -> String {
    let wrong = stderr.iter().position(|it| is_error(it));
    let Some(line) = wrong.map_or(stderr.last(), |at| stderr.get(at)) else {
        return String::new();
    };
    let from_server = stderr.iter().find_map(|it| it.split_once(FROM_SERVER));
    match from_server {
        Some((_, words)) if !words.is_empty() && !line.contains(words) => {
            format!(": {line} {words}")
        }
        _ => format!(": {line}"),
    }
}

fn is_error(line: &str) -> bool {
    ["error:", "ERROR:", "FATAL:"]
        .iter()
        .any(|it| line.contains(it))
}

/// Keeps a line, at the cost of the oldest but for one that says what is wrong: pg_dump prints the
/// query that failed after that, all its lines.
fn keep(kept: &mut VecDeque<String>, line: String) {
    if kept.len() == KEPT_LINES {
        let wrong = kept
            .front()
            .is_some_and(|it| is_error(it) || it.contains(FROM_SERVER));
        kept.remove(usize::from(wrong));
    }
    kept.push_back(line);
}

/// Reads to the end; gives the lines that an error keeps.
pub(super) async fn follow(
    program: String,
    stderr: Option<ChildStderr>,
    listener: Option<Listener>,
) -> Vec<String> {
    let mut kept = VecDeque::with_capacity(KEPT_LINES);
    let Some(stderr) = stderr else {
        return Vec::new();
    };
    let mut lines = BufReader::new(stderr).split(b'\n');
    loop {
        match lines.next_segment().await {
            Ok(Some(line)) => {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if listener.as_ref().is_some_and(|it| (it.0)(&line)) {
                    continue;
                }
                tracing::info!(%program, "{line}");
                keep(&mut kept, line);
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%program, %error, "its stderr cannot be read");
                break;
            }
        }
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_kept_before_any_number_of_lines() {
        let wrong = "pg_dump: error: query failed: ERROR:  out of shared memory";
        let mut kept = VecDeque::new();
        for line in ["one", "two", wrong] {
            keep(&mut kept, line.to_owned());
        }
        for number in 0..100 {
            keep(&mut kept, format!("a.att{number},"));
        }
        assert_eq!(kept.len(), KEPT_LINES);
        assert_eq!(kept[0], wrong);
        assert_eq!(kept[KEPT_LINES - 1], "a.att99,");
    }

    #[test]
    fn the_servers_words_say_why() {
        let lines = [
            "pg_dump: error: Dumping the contents of table \"t\" failed: PQgetResult() failed.",
            "pg_dump: detail: Error message from server: FATAL:  terminating connection due to conflict with recovery",
            "DETAIL:  User was holding a relation lock for too long.",
            "server closed the connection unexpectedly",
        ];
        let reason = reason(&lines.map(str::to_owned));
        assert!(
            reason.ends_with(
                "PQgetResult() failed. FATAL:  terminating connection due to conflict with recovery"
            ),
            "{reason}"
        );
    }
}
