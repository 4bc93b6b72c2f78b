//! What workers say becomes lines of our log, with the run that they are of; each run's own file has them
//! for people.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use backuper::child::Listener;
use backuper::runtime::logging::{Field, Line};
use jiff::Timestamp;
use tracing::Level;

use crate::domain::run::Run;

/// Takes over a worker's lines, which are JSON, into our log and into the run's file.
pub(super) fn of(run: &Run, file: File) -> Listener {
    let own = fields(run);
    let file = Mutex::new(Some(file));
    Listener::new(move |said| {
        let parsed = Line::parse(said);
        let written = parsed.as_ref().map(Line::text);
        keep(&file, written.as_deref().unwrap_or(said), &own);
        // What is no line of a worker's is a panic or the system's word for what it cannot start.
        let line = parsed.unwrap_or_else(|| Line {
            time: Timestamp::now(),
            level: Level::WARN,
            message: said.to_owned(),
            fields: Vec::new(),
        });
        line.relay(&own);
        true
    })
}

/// What every line says of its run.
fn fields(run: &Run) -> Vec<Field> {
    let mut fields = vec![Field::new("run", run.name.as_str())];
    let schedule = run.schedule.as_deref();
    fields.extend(schedule.map(|it| Field::new("schedule", it)));
    if !run.database.is_empty() {
        fields.push(Field::new("database", run.database.as_str()));
    }
    fields
}

/// A file that takes no more is told of once.
fn keep(file: &Mutex<Option<File>>, line: &str, own: &[Field]) {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(open) = file.as_mut() else { return };
    if let Err(error) = writeln!(open, "{line}") {
        let line = Line {
            time: Timestamp::now(),
            level: Level::WARN,
            message: "its log file takes no more".to_owned(),
            fields: vec![Field::new("error", error.to_string())],
        };
        line.relay(own);
        *file = None;
    }
}
