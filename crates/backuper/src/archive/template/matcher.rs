//! A template as the description of keys that are there.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Field, Piece};
use crate::archive::encryption::SUFFIX;

/// Tells the dumps of one database of one cluster: the whole key has to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    parts: Vec<Part>,
    /// Whether a dump of another program's is the database's too, where its key fits: nothing but the key
    /// says whose it is.
    pub tells_others: bool,
}

/// What a key says of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// When it was begun, UTC, to the second; none: its template has no time, or it is none.
    pub started: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// So many decimal digits.
    Digits(usize),
    /// `20260120-143022`.
    Timestamp,
    /// Eight lower-case letters and digits.
    RunId,
}

impl Matcher {
    /// Of a template's pieces; the names are encoded.
    pub(super) fn of(
        pieces: &[Piece],
        (cluster, database): (&str, &str),
        tells_others: bool,
    ) -> Self {
        let mut parts = Vec::new();
        let mut known = String::new();
        for piece in pieces {
            let part = match piece {
                Piece::Text(text) => {
                    known.push_str(text);
                    continue;
                }
                Piece::Field(Field::ClusterName) => {
                    known.push_str(cluster);
                    continue;
                }
                Piece::Field(Field::DatabaseName) => {
                    known.push_str(database);
                    continue;
                }
                Piece::Field(Field::Year) => Part::Digits(4),
                Piece::Field(Field::Month | Field::Day) => Part::Digits(2),
                Piece::Field(Field::Timestamp) => Part::Timestamp,
                Piece::Field(Field::RunId) => Part::RunId,
            };
            parts.push(Part::Text(std::mem::take(&mut known)));
            parts.push(part);
        }
        parts.push(Part::Text(known));
        Self {
            parts,
            tells_others,
        }
    }

    /// What all keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Reads a whole key, that of an encrypted dump too; none: it is another's.
    #[must_use]
    pub fn read(&self, key: &str) -> Option<Matched> {
        let (mut rest, mut started) = (key, None);
        for part in &self.parts {
            rest = match part {
                Part::Text(text) => rest.strip_prefix(text.as_str())?,
                Part::Digits(count) => take(rest, *count, |it| it.is_ascii_digit())?.1,
                Part::RunId => {
                    let is_one = |it: u8| it.is_ascii_digit() || it.is_ascii_lowercase();
                    take(rest, 8, is_one)?.1
                }
                Part::Timestamp => {
                    let (text, tail) = timestamp(rest)?;
                    started = started.or_else(|| time_of(text));
                    tail
                }
            };
        }
        ["", SUFFIX].contains(&rest).then_some(Matched { started })
    }
}

/// So many bytes of this kind, and what follows.
fn take(text: &str, count: usize, of: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let (taken, rest) = text.split_at_checked(count)?;
    taken.bytes().all(of).then_some((taken, rest))
}

/// `20260120-143022`, and what follows.
fn timestamp(text: &str) -> Option<(&str, &str)> {
    let (all, rest) = text.split_at_checked("20260120-143022".len())?;
    let (day, time) = all.split_once('-')?;
    let digits = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    (day.len() == 8 && digits(day) && digits(time)).then_some((all, rest))
}

fn time_of(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y%m%d-%H%M%S", text).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

/// Whether an object's name is one that dbtether gives unless it is told another: `20260120-143022.sql.gz`,
/// and with the run's name behind the time.
#[must_use]
pub fn is_dbtethers(name: &str) -> bool {
    let parts = || {
        let (_, rest) = timestamp(name)?;
        let rest = match rest.strip_prefix('-') {
            Some(run) => take(run, 8, |it| it.is_ascii_digit() || it.is_ascii_lowercase())?.1,
            None => rest,
        };
        (rest == ".sql.gz").then_some(())
    };
    parts().is_some()
}
