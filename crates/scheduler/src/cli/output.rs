//! Where answers go: a table for people, JSON and YAML for programs.

use std::io::{self, ErrorKind, Write};

use backuper::runtime::Failure;
use clap::ValueEnum;

use super::hints::hints;
use crate::api::client::{Message, json};

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people; it may change.
    Table,
    /// For programs, as the proto JSON mapping has it; a stream is a line for each message.
    Json,
    /// The same as YAML; a stream is a document for each message.
    Yaml,
}

/// Standard output and standard error.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Prints an answer; `name` is its message's.
    pub(super) fn give<M: Message>(
        &mut self,
        name: &str,
        answer: &M,
        table: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => table(answer),
            Format::Json => format!("{:#}\n", json(name, answer)?),
            Format::Yaml => yaml(name, answer)?,
        };
        self.print(&text)
    }

    /// Prints one of several answers.
    pub(super) fn give_line<M: Message>(
        &mut self,
        name: &str,
        answer: &M,
        line: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => line(answer),
            Format::Json => format!("{}\n", json(name, answer)?),
            Format::Yaml => format!("---\n{}", yaml(name, answer)?),
        };
        self.print(&text)
    }

    /// Prints a sentence or a line of a log.
    pub(super) fn say(&mut self, line: &str) -> Result<(), Failure> {
        self.print(&format!("{line}\n"))
    }

    /// Says on standard error what a worker's variables in a sentence are in a command.
    pub(super) fn hint(&mut self, sentence: &str) {
        // Where that is closed, there is nobody to be helped.
        drop(write!(io::stderr(), "{}", hints(sentence)));
    }

    /// Tells people, and no programs, something beside the answers.
    pub(super) fn note(&mut self, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.print(text),
            Format::Json | Format::Yaml => Ok(()),
        }
    }

    /// Says on standard error what is wrong.
    pub(super) fn complain(&mut self, sentence: &str) {
        // Where that is closed, the exit code tells it.
        drop(writeln!(io::stderr(), "{sentence}"));
    }

    /// Prints a text as it is.
    pub(super) fn print(&mut self, text: &str) -> Result<(), Failure> {
        let printed = self.write_all(text.as_bytes()).and_then(|()| self.flush());
        printed.map_err(|error| Failure::try_again(format!("standard output: {error}")))
    }
}

/// Whoever reads no more (`| head`) wants no more.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match io::stdout().write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match io::stdout().flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

fn yaml<M: Message>(name: &str, answer: &M) -> Result<String, Failure> {
    let text = serde_yaml_ng::to_string(&json(name, answer)?);
    text.map_err(|error| Failure::refused(format!("{name}: {error}")))
}
