//! How a worker ends: its exit code, and one sentence that says why.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::settings::Instead;
use super::shutdown::Shutdown;

/// The exit code of a worker that did not begin, since its time was over.
pub const EXPIRED: u8 = 4;

/// The exit code of a complete backup whose copy in the second store is not there.
pub const UNCOPIED: u8 = 5;

/// Bytes of a termination message. Kubernetes takes no more of it, and how a run ended stands at the beginning.
/// <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>
const MESSAGE: usize = 4096;

/// What trying again is worth; the exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Failed; trying again may help. Exit code 1.
    TryAgain,
    /// The request or the configuration is wrong. Exit code 2.
    Refused,
    /// Part of what was asked for is complete: some databases and not all, or all rows and not all that comes
    /// after them. Exit code 3.
    Incomplete,
    /// It had waited longer than it may, and did not begin. Exit code 4.
    Expired,
    /// The backup is complete, and its copy in the second store is not. Exit code 5.
    Uncopied,
    /// Stopped by this signal. Exit code 128 + the signal's number.
    Stopped(i32),
}

impl Verdict {
    /// [`Verdict::TryAgain`] where that may help.
    #[must_use]
    pub fn of(is_transient: bool) -> Self {
        if is_transient {
            Self::TryAgain
        } else {
            Self::Refused
        }
    }

    /// The number that the process ends with.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::TryAgain => 1,
            Self::Refused => 2,
            Self::Incomplete => 3,
            Self::Expired => EXPIRED,
            Self::Uncopied => UNCOPIED,
            Self::Stopped(signal) => 128 | u8::try_from(signal & 0x7f).unwrap_or(0),
        }
    }
}

/// What a sentence says where whatever was there before is as it was.
pub const NOTHING_CHANGED: &str = "nothing was changed";

/// Why a worker did not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// What trying again is worth.
    pub verdict: Verdict,
    /// What is wrong and what to do about it.
    pub sentence: String,
}

impl Failure {
    /// The request or the configuration is wrong.
    #[must_use]
    pub fn refused(sentence: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Refused,
            sentence: sentence.into(),
        }
    }

    /// Trying again may help.
    #[must_use]
    pub fn try_again(sentence: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::TryAgain,
            sentence: sentence.into(),
        }
    }

    /// We were asked to stop, and did: whatever failed on the way failed because of it.
    #[must_use]
    pub fn or_stopped(self, shutdown: &Shutdown, what: &str) -> Self {
        match shutdown.signal() {
            Some(signal) => Self {
                verdict: Verdict::Stopped(signal),
                sentence: match shutdown.instead() {
                    Some(instead) => {
                        format!("the {what} was stopped by signal {signal}; {instead}")
                    }
                    None if self.sentence.contains(NOTHING_CHANGED) => format!(
                        "the {what} was stopped by signal {signal} before it was complete; {NOTHING_CHANGED}, run it again"
                    ),
                    None => format!(
                        "the {what} was stopped by signal {signal} before it was complete; run it again"
                    ),
                },
            },
            None => self,
        }
    }
}

/// Writes the last sentence to the log and the termination message; gives the exit code.
#[must_use]
pub fn conclude(result: Result<String, Failure>, termination_message: &Path) -> ExitCode {
    let (sentence, code) = match result {
        Ok(sentence) => {
            tracing::info!("{sentence}");
            (sentence, ExitCode::SUCCESS)
        }
        Err(failure) => {
            tracing::error!("{}", failure.sentence);
            (
                failure.sentence,
                ExitCode::from(failure.verdict.exit_code()),
            )
        }
    };
    leave(&sentence, termination_message);
    code
}

/// Ends a program that does not begin its work.
#[must_use]
pub fn refuse_to_start(instead: Instead) -> ExitCode {
    match instead {
        Instead::Print(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_closed) => ExitCode::FAILURE,
        },
        Instead::Refuse(sentence) => {
            super::logging::start(super::settings::log_format());
            let nowhere_else = Path::new("/dev/termination-log");
            conclude(Err(Failure::refused(sentence)), nowhere_else)
        }
    }
}

/// The beginning of a text that has no more than so many bytes.
fn within(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Kubernetes makes the file and reads it; elsewhere there is none, and none is made.
fn leave(sentence: &str, path: &Path) {
    if !path.is_file() {
        return;
    }
    if let Err(error) = std::fs::write(path, within(sentence, MESSAGE)) {
        tracing::debug!(path = %path.display(), %error, "no termination message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_termination_message_keeps_the_beginning_of_a_long_sentence() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let long = format!("2 of 3 are backed up; {}", "ü".repeat(5_000));
        let _code = conclude(Err(Failure::refused(long)), path.path());
        let left = std::fs::read_to_string(path.path()).unwrap();
        assert!(left.starts_with("2 of 3 are backed up; ü"), "{left}");
        assert!(left.len() <= MESSAGE && left.len() > MESSAGE - 4);
    }
}
