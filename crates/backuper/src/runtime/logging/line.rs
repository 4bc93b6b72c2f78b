//! A line of the log: made of an event, or of the line that another of our programs has written as JSON,
//! and written as text or as JSON.

use std::fmt::{self, Write as _};
use std::str::FromStr as _;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use tracing::Level;

/// The field by which an event brings the fields of a line that another program has written, whose names
/// no event of ours can know.
pub(super) const RELAYED: &str = "relayed";

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When it was written, UTC.
    pub time: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// What happened.
    pub message: String,
    /// With what, in the order in which it was said.
    pub fields: Vec<Field>,
}

/// A name and a value beside a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Value,
    /// Whether text has it without quotes.
    pub is_bare: bool,
}

impl Field {
    /// A value from another program, or one that a caller has named: quoted where its end would not be
    /// clear.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Self {
        let value = value.into();
        let is_clear = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'=\\".contains(c);
        let is_bare = match &value {
            Value::String(text) => !text.is_empty() && text.chars().all(is_clear),
            _ => true,
        };
        Self {
            name: name.into(),
            value,
            is_bare,
        }
    }
}

impl Line {
    /// Reads what one of our programs has written with `LOG_FORMAT=json`; none: it is something else,
    /// such as what a panic prints.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Fields(fields) = serde_json::from_str(text).ok()?;
        let (mut time, mut level, mut message, mut others) = (None, None, None, Vec::new());
        for (name, value) in fields {
            match (name.as_str(), &value) {
                ("timestamp", Value::String(text)) => time = text.parse().ok(),
                ("level", Value::String(text)) => level = Level::from_str(text).ok(),
                ("message", Value::String(text)) => message = Some(text.clone()),
                _ => others.push(Field::new(name, value)),
            }
        }
        Some(Self {
            time: time?,
            level: level?,
            message: message?,
            fields: others,
        })
    }

    /// Writes it into our own log as a line of ours: at our time, and at its level. `own` fields come first,
    /// and instead of those of the same name.
    pub fn relay(&self, own: &[Field]) {
        let others = self.fields.iter();
        let others = others.filter(|it| own.iter().all(|own| own.name != it.name));
        let relayed = object(own.iter().chain(others));
        let message = &self.message;
        match self.level {
            Level::ERROR => tracing::error!(relayed, "{message}"),
            Level::WARN => tracing::warn!(relayed, "{message}"),
            Level::INFO => tracing::info!(relayed, "{message}"),
            Level::DEBUG => tracing::debug!(relayed, "{message}"),
            Level::TRACE => tracing::trace!(relayed, "{message}"),
        }
    }

    /// Adds fields, but for those whose names it has already.
    pub(super) fn add(&mut self, fields: Vec<Field>) {
        for field in fields {
            if self.fields.iter().all(|it| it.name != field.name) {
                self.fields.push(field);
            }
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            time,
            level,
            message,
            fields,
        } = self;
        let mut text = format!("{time:.6} {level:>5} {message}");
        for Field {
            name,
            value,
            is_bare,
        } in fields
        {
            let _infallible = match value {
                Value::String(value) if *is_bare => write!(text, " {name}={value}"),
                Value::String(value) => write!(text, " {name}={value:?}"),
                value => write!(text, " {name}={value}"),
            };
        }
        escaped(&text, |character| {
            character.escape_default().collect::<String>()
        })
    }

    /// One JSON object, for machines.
    #[must_use]
    pub fn json(&self) -> String {
        let Self {
            time,
            level,
            message,
            fields,
        } = self;
        let head = [
            ("timestamp", format!("{time:.6}")),
            ("level", level.to_string()),
            ("message", message.clone()),
        ];
        let head = head.map(|(name, value)| pair(&Field::new(name, value)));
        let all: Vec<_> = head.into_iter().chain(fields.iter().map(pair)).collect();
        // serde_json leaves those that are no ASCII.
        escaped(&format!("{{{}}}", all.join(",")), |character| {
            format!("\\u{:04x}", u32::from(character))
        })
    }
}

/// Fields as one JSON object, which [`relayed`] reads.
pub(super) fn object<'a>(fields: impl IntoIterator<Item = &'a Field>) -> String {
    let pairs: Vec<_> = fields.into_iter().map(pair).collect();
    format!("{{{}}}", pairs.join(","))
}

fn pair(Field { name, value, .. }: &Field) -> String {
    format!("{}:{value}", Value::from(name.as_str()))
}

/// One line, whatever is in its values: a database's name may have line breaks and escape sequences in it.
fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.push_str(&escape(character));
        } else {
            line.push(character);
        }
    }
    line
}

/// The fields of a line that was relayed.
pub(super) fn relayed(text: &str) -> Vec<Field> {
    let Fields(fields) = serde_json::from_str(text).unwrap_or_default();
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| Field::new(name, value))
        .collect()
}

/// An object's members in the order in which they stand there, which a map of serde_json does not keep.
#[derive(Default)]
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = members.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: Vec<Field>) -> Line {
        Line {
            time: "2026-11-26T08:02:33.5Z".parse().unwrap(),
            level: Level::INFO,
            message: "backing up".to_owned(),
            fields,
        }
    }

    #[test]
    fn a_value_forges_no_line() {
        let name = "shop\n2026 ERROR forged\u{1b}[2J\u{9b}2J größe";
        let mut line = line(vec![Field::new("database", name)]);
        let quoted = "2026-11-26T08:02:33.500000Z  INFO backing up database=\"shop\\n2026 ERROR forged\\u{1b}[2J\\u{9b}2J größe\"";
        assert_eq!(line.text(), quoted);
        line.fields[0].is_bare = true;
        assert_eq!(line.text(), quoted.replace('"', ""));
        let json = line.json();
        assert!(!json.chars().any(char::is_control), "{json}");
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["database"], name);
    }

    #[test]
    fn what_was_written_is_read_and_what_is_no_line_is_not() {
        let line = line(vec![
            Field::new("run", "backup-1"),
            Field::new("bytes", 7),
            Field::new("error", "it broke: no room"),
            Field::new("again", true),
        ]);
        let json = line.json();
        assert!(json.starts_with("{\"timestamp\":\"2026-11-26T08:02:33.500000Z\",\"level\":\"INFO\",\"message\":\"backing up\",\"run\":"), "{json}");
        assert_eq!(Line::parse(&json), Some(line.clone()));
        let text = "2026-11-26T08:02:33.500000Z  INFO backing up run=backup-1 bytes=7 error=\"it broke: no room\" again=true";
        assert_eq!(line.text(), text);
        for other in [
            "",
            "thread 'main' panicked at src/main.rs:1:1:",
            "7",
            "{}",
            "{\"level\":\"INFO\",\"message\":\"x\"}",
            "{\"timestamp\":\"now\",\"level\":\"INFO\",\"message\":\"x\"}",
            text,
        ] {
            assert_eq!(Line::parse(other), None, "{other}");
        }
    }
}
