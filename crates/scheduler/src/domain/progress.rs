//! How far a worker is, as it says itself.

use backuper::runtime::logging::Line;
use jiff::SignedDuration;
use serde_json::Value;

/// What the line says.
const MESSAGE: &str = "under way";

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of rows that have passed.
    pub bytes: u64,
    /// Bytes a second.
    pub bytes_per_second: u64,
    /// Tables whose rows have passed.
    pub tables_done: u64,
    /// Of how many.
    pub tables: u64,
    /// How long it may still take.
    pub left: Option<SignedDuration>,
}

impl Progress {
    /// Reads the line that workers write every ten seconds, as text or as JSON; none: it is another line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let Some(Line {
            message, fields, ..
        }) = Line::parse(line)
        else {
            let (_, fields) = line.split_once(&format!(" INFO {MESSAGE}"))?;
            return Self::of(|name| in_text(fields, name).map(str::to_owned));
        };
        let value = |name: &str| match &fields.iter().find(|it| it.name == name)?.value {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        (message == MESSAGE).then(|| Self::of(value)).flatten()
    }

    fn of(value: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| value(name)?.parse().ok();
        let left = value("left").and_then(|it| humantime::parse_duration(&it).ok());
        Some(Self {
            bytes: number("bytes")?,
            bytes_per_second: number("bytes_per_second")?,
            tables_done: number("tables")?,
            tables: number("of")?,
            left: left.and_then(|it| SignedDuration::try_from(it).ok()),
        })
    }
}

/// The value of a field among ` name=value name="a value"`.
fn in_text<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = fields.split_once(&format!(" {name}="))?;
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(' ').next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_in_both_formats() {
        let expected = Progress {
            bytes: 5,
            bytes_per_second: 7,
            tables_done: 1,
            tables: 3,
            left: Some(SignedDuration::from_secs(90)),
        };
        let text = "2026-11-26T10:00:00.000000Z  INFO under way bytes=5 bytes_per_second=7 tables=1 of=3 left=\"1m 30s\"";
        assert_eq!(Progress::parse(text), Some(expected));
        let json = "{\"timestamp\":\"2026-11-26T10:00:00Z\",\"level\":\"INFO\",\"message\":\"under way\",\"bytes\":5,\"bytes_per_second\":7,\"tables\":1,\"of\":3,\"left\":\"1m 30s\"}";
        assert_eq!(Progress::parse(json), Some(expected));
        let unknown = text.replace("\"1m 30s\"", "unknown");
        let expected = Progress {
            left: None,
            ..expected
        };
        assert_eq!(Progress::parse(&unknown), Some(expected));
    }

    #[test]
    fn no_other_line_is_one() {
        for line in [
            "",
            "2026-11-26T10:00:00Z  INFO dumping table=\"under way bytes=1\"",
            "2026-11-26T10:00:00Z  INFO under way bytes=many bytes_per_second=7 tables=1 of=3 left=1s",
            "{\"timestamp\":\"2026-11-26T10:00:00Z\",\"level\":\"INFO\",\"message\":\"done\",\"bytes\":5}",
        ] {
            assert_eq!(Progress::parse(line), None, "{line}");
        }
    }
}
