//! Logs: one line an event, on stderr.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// Our own events from INFO up; of libraries only what a person may have to act on. What Kubernetes'
/// client says of a call that failed, we say with what it was for.
const FILTER: &str = "warn,backuper=info,restorer=info,scheduler=info,kube_client=off";

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json is needed".to_owned()),
        }
    }
}

/// Starts logging. A second call changes nothing, which tests in one process rely on.
pub fn start(format: LogFormat) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(FILTER))
        .with_writer(|| OneLine(io::stderr()))
        .with_target(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging had been started before");
    }
}

/// Writes each event as one line, whatever is in its values: a database's name may have line breaks
/// and escape sequences in it.
#[derive(Debug)]
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        let mut text = String::with_capacity(event.len());
        for character in String::from_utf8_lossy(line).chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.push('\n');
        self.0.write_all(text.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_forges_no_line() {
        let mut log = OneLine(Vec::new());
        let event = "INFO backing up database=shop\n2026 ERROR forged\u{1b}[2J\u{9b}2J größe\n";
        log.write_all(event.as_bytes()).unwrap();
        let written = String::from_utf8(log.0).unwrap();
        let wanted = "INFO backing up database=shop\\n2026 ERROR forged\\u{1b}[2J\\u{9b}2J größe\n";
        assert_eq!(written, wanted);
    }
}
