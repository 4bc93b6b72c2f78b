//! Logs: one line an event, on stderr.

pub mod line;

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;

use jiff::Timestamp;
use serde_json::Value;
use tracing::field::{self, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::text::chain;
pub use line::{Field, Line};

/// Our own events from INFO up; of libraries only what a person may have to act on. What Kubernetes'
/// client says of a call that failed, we say with what it was for.
const FILTER: &str =
    "warn,backuper=info,restorer=info,scheduler=info,kube_client=off,kube_runtime=off";

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
    let started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(FILTER))
        .with_writer(io::stderr)
        .fmt_fields(OfSpans)
        .event_format(Lines(format))
        .try_init();
    if let Err(error) = started {
        tracing::debug!(%error, "logging had been started before");
    }
}

/// Writes events as lines. Ours has all causes of an error in both formats, and takes over the lines of
/// other programs; the library's JSON knows the outermost error alone.
#[derive(Clone, Copy, Debug)]
struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        spans: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = line_of(event, Timestamp::now());
        for span in spans.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.add(line::relayed(&fields.fields));
            }
        }
        let line = match self.0 {
            LogFormat::Text => line.text(),
            LogFormat::Json => line.json(),
        };
        writeln!(writer, "{line}")
    }
}

/// Keeps the fields of a span so that each line within it can have them.
#[derive(Clone, Copy, Debug)]
struct OfSpans;

impl<'writer> FormatFields<'writer> for OfSpans {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut said = Said::default();
        fields.record(&mut said);
        writer.write_str(&line::object(&said.fields))
    }
}

fn line_of(event: &Event<'_>, time: Timestamp) -> Line {
    let mut said = Said::default();
    event.record(&mut said);
    Line {
        time,
        level: *event.metadata().level(),
        message: said.message,
        fields: said.fields,
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<Field>,
}

impl Said {
    fn add(&mut self, field: &field::Field, value: impl Into<Value>, is_bare: bool) {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        let value = value.into();
        match (name, value) {
            ("message", Value::String(text)) => self.message = text,
            (line::RELAYED, Value::String(text)) => self.fields.extend(line::relayed(&text)),
            // What the crate `log` says of its own events, which their metadata say too.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => self.fields.push(Field {
                name: name.to_owned(),
                value,
                is_bare,
            }),
        }
    }
}

impl Visit for Said {
    fn record_f64(&mut self, field: &field::Field, value: f64) {
        self.add(field, value, true);
    }

    fn record_i64(&mut self, field: &field::Field, value: i64) {
        self.add(field, value, true);
    }

    fn record_u64(&mut self, field: &field::Field, value: u64) {
        self.add(field, value, true);
    }

    fn record_bool(&mut self, field: &field::Field, value: bool) {
        self.add(field, value, true);
    }

    fn record_str(&mut self, field: &field::Field, value: &str) {
        self.add(field, value, false);
    }

    fn record_error(&mut self, field: &field::Field, value: &(dyn Error + 'static)) {
        self.add(field, chain(value), true);
    }

    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"), true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("make the schedule")]
    struct Outer(#[source] io::Error);

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What is written of these events, without the time.
    fn written(format: LogFormat, events: impl FnOnce()) -> String {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(kept.clone())
            .fmt_fields(OfSpans)
            .event_format(Lines(format))
            .finish();
        tracing::subscriber::with_default(subscriber, events);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let time = first_time(&text);
        text.replace(&time, "T")
    }

    /// The first time in a text.
    fn first_time(text: &str) -> String {
        let start = text.find("20").unwrap();
        let end = text[start..].find('Z').unwrap();
        text[start..=start + end].to_owned()
    }

    fn failing() {
        let error = Outer(io::Error::other("no room"));
        let name = "a b";
        tracing::warn!(
            run = %"backup-1", name, tries = 3, again = true, missing = None::<u64>,
            error = &error as &dyn Error, "{} failed", "it"
        );
    }

    #[test]
    fn an_error_has_its_causes_in_both_formats() {
        assert_eq!(
            written(LogFormat::Text, failing),
            "T  WARN it failed run=backup-1 name=\"a b\" tries=3 again=true error=make the schedule: no room\n"
        );
        assert_eq!(
            written(LogFormat::Json, failing),
            "{\"timestamp\":\"T\",\"level\":\"WARN\",\"message\":\"it failed\",\"run\":\"backup-1\",\"name\":\"a b\",\"tries\":3,\"again\":true,\"error\":\"make the schedule: no room\"}\n"
        );
    }

    #[test]
    fn a_line_within_a_span_has_its_fields_and_its_own_of_the_same_name() {
        let within = || {
            tracing::info_span!("backup", database = %"db:1/x y", n = 7).in_scope(|| {
                tracing::info!(bytes = 1, "ready");
                tracing::info!(database = %"db:1/z", "other");
            });
        };
        let text = written(LogFormat::Text, within);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "T  INFO ready bytes=1 database=\"db:1/x y\" n=7");
        assert!(
            lines[1].ends_with("  INFO other database=db:1/z n=7"),
            "{text}"
        );
        let json = written(LogFormat::Json, within);
        assert!(
            json.lines()
                .next()
                .unwrap()
                .ends_with("\"message\":\"ready\",\"bytes\":1,\"database\":\"db:1/x y\",\"n\":7}"),
            "{json}"
        );
    }

    #[test]
    fn a_line_of_another_program_becomes_one_of_ours() {
        let theirs = "{\"timestamp\":\"2020-01-01T00:00:00Z\",\"level\":\"WARN\",\"message\":\"slow {}\",\"bytes\":7,\"database\":\"theirs\",\"key\":\"a/b\"}";
        let relay = || {
            let own = [
                Field::new("run", "backup-1"),
                Field::new("database", "db:1/x y"),
            ];
            Line::parse(theirs).unwrap().relay(&own);
        };
        assert_eq!(
            written(LogFormat::Text, relay),
            "T  WARN slow {} run=backup-1 database=\"db:1/x y\" bytes=7 key=a/b\n"
        );
        assert_eq!(
            written(LogFormat::Json, relay),
            "{\"timestamp\":\"T\",\"level\":\"WARN\",\"message\":\"slow {}\",\"run\":\"backup-1\",\"database\":\"db:1/x y\",\"bytes\":7,\"key\":\"a/b\"}\n"
        );
    }
}
