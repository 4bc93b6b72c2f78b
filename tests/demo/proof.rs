//! That rows came back: a checksum over those of every table.

use std::fmt;

use crate::screen::say;
use crate::testbed::postgres::Database;

/// The tables of a database, how many rows each has, and a checksum over them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows(String);

impl Rows {
    pub(crate) fn of(database: &Database<'_>) -> Self {
        Self(database.checksums())
    }
}

/// In short.
impl fmt::Display for Rows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |line: &str| line.split(' ').rev().nth(1)?.parse::<u64>().ok();
        let rows: u64 = self.0.lines().filter_map(count).sum();
        write!(formatter, "{} tables, {rows} rows", self.0.lines().count())
    }
}

/// Shows which tables are the same.
///
/// # Errors
/// When not all of them are, or what lies beside them is not.
pub(crate) fn compare(database: &Database<'_>, before: &Rows, after: &Rows) -> Result<(), String> {
    for line in after.0.lines() {
        let is_same = before.0.lines().any(|it| it == line);
        let word = if is_same { "same" } else { "DIFFERENT" };
        say(format_args!("{word} {line}"));
    }
    if after != before {
        return Err(format!(
            "the tables differ; before:\n{}\nafter:\n{}",
            before.0, after.0
        ));
    }
    let invoices = database.sql("SELECT last_value FROM shop.invoices");
    let objects = database.sql("SELECT count(*) FROM pg_largeobject_metadata");
    if (invoices.as_str(), objects.as_str()) != ("4711", "1") {
        return Err(format!(
            "the sequence says {invoices}, and there are {objects} large objects"
        ));
    }
    say("same the sequence, and the large object");
    Ok(())
}
