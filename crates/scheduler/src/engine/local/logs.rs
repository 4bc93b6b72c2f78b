//! What workers have said: each run's own file, from its end on, and as it grows.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::time::Duration;

use futures::stream::{StreamExt as _, unfold};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncSeekExt as _, BufReader};

use super::Local;
use crate::domain::run::State;
use crate::engine::{Error, Kind, Lines};

/// How much of a file is read, from its end.
const FROM_END: u64 = 1024 * 1024;
/// Before a file that has ended is read on.
const PAUSE: Duration = Duration::from_millis(250);

impl Local {
    pub(super) async fn read_lines(&self, run: &str, follow: bool) -> Result<Lines, Error> {
        let doing = || format!("read the log of {run}");
        let Some(found) = self.store.run(run.to_owned()).await? else {
            return Err(Error::new(doing(), Kind::NotFound, "there is no such run"));
        };
        let mut reading = Reading {
            engine: self.clone(),
            run: run.to_owned(),
            path: self.programs.log_path(run, found.schedule.as_deref()),
            file: None,
            line: Vec::new(),
            is_whole: !follow || matches!(found.state, State::Ended(_)),
        };
        if !reading.open().await? && reading.is_whole {
            let why = "its worker has said nothing";
            return Err(Error::new(doing(), Kind::NotFound, why));
        }
        let lines = unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                Ok(line) => line.map(|it| (Ok(it), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(lines.boxed())
    }
}

#[derive(Debug)]
struct Reading {
    engine: Local,
    run: String,
    path: PathBuf,
    /// None as long as the worker has not begun.
    file: Option<BufReader<File>>,
    /// What was read of the line that is being written.
    line: Vec<u8>,
    /// Whether nothing will be added to the file.
    is_whole: bool,
}

impl Reading {
    /// Opens the file; whether it is there.
    async fn open(&mut self) -> Result<bool, Error> {
        let opened = async {
            let mut file = File::open(&self.path).await?;
            let size = file.metadata().await?.len();
            let from = size.saturating_sub(FROM_END);
            file.seek(SeekFrom::Start(from)).await?;
            let mut file = BufReader::new(file);
            if from > 0 {
                file.read_until(b'\n', &mut Vec::new()).await?;
            }
            Ok::<_, std::io::Error>(file)
        };
        match opened.await {
            Ok(file) => {
                self.file = Some(file);
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The next line; none when there is no more.
    async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            if self.file.is_some() || self.open().await? {
                let Some(file) = &mut self.file else { continue };
                let read = file.read_until(b'\n', &mut self.line).await;
                read.map_err(|error| self.failed(error))?;
                if self.line.ends_with(b"\n") {
                    return Ok(Some(self.take()));
                }
            }
            if self.is_whole {
                return Ok((!self.line.is_empty()).then(|| self.take()));
            }
            // What it says before it ends is there when it has ended.
            self.is_whole = match self.engine.store.run(self.run.clone()).await? {
                Some(run) => matches!(run.state, State::Ended(_)),
                None => true,
            };
            if !self.is_whole {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn take(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::new(
            format!("read the log of {}", self.run),
            Kind::Internal,
            error,
        )
    }
}
