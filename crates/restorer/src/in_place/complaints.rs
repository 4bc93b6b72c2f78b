//! What psql says of errors: which one, by its SQLSTATE, and in which line of its input.
//!
//! Texts of statements stay out of our log and of our errors, since they may hold passwords; and
//! nothing is decided by words, since the server may speak any language. psql says both with
//! `VERBOSITY=verbose`: `psql:<stdin>:12: ERROR:  42P01: relation "t" does not exist`, with the
//! labels of libpq in front of what follows (`pqBuildErrorMessage3` in `fe-protocol3.c`).

use std::sync::{Arc, Mutex, PoisonError};

use backuper::child::Listener;
use backuper::postgres::MAX_LOCKS;

/// One message of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The line of psql's input that its statement ended in.
    pub(super) line: u64,
    /// PostgreSQL manual, appendix A.
    pub(super) sqlstate: String,
    /// In the server's language.
    pub(super) message: String,
    /// What it names, where it names more.
    pub(super) detail: Option<String>,
    /// Whether its hint says that the table of locks is full: what is short of memory otherwise has the same code.
    pub(super) is_of_locks: bool,
    /// Whether the server calls it that or less, in English: some have the code of an error.
    pub(super) is_warning: bool,
}

impl Complaint {
    /// Whether it is more than a notice or a warning.
    fn is_error(&self) -> bool {
        !self.is_warning
            && !["00", "01", "02"].contains(&self.sqlstate.get(..2).unwrap_or_default())
    }

    /// The message with its detail.
    pub(super) fn sentence(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} ({detail})", self.message),
            None => self.message.clone(),
        }
    }
}

/// The errors of one psql, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaints(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    errors: Vec<Complaint>,
    last: Last,
}

/// What the line before belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    /// The message of an error.
    Message,
    /// Its detail.
    Detail,
    /// What is of no use to us, the text of a statement for one.
    #[default]
    Else,
}

/// What may follow a message.
const LABELS: [&str; 10] = [
    "DETAIL:  ",
    "HINT:  ",
    "QUERY:  ",
    "CONTEXT:  ",
    "SCHEMA NAME:  ",
    "TABLE NAME:  ",
    "COLUMN NAME:  ",
    "DATATYPE NAME:  ",
    "CONSTRAINT NAME:  ",
    "LOCATION:  ",
];

impl Complaints {
    /// Hears psql's stderr. Of all its lines, warnings alone go to our log as they are.
    pub(super) fn listener(&self) -> Listener {
        let this = self.clone();
        Listener::new(move |line| this.read(line))
    }

    /// All errors until now.
    pub(super) fn errors(&self) -> Vec<Complaint> {
        let reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reported.errors.clone()
    }

    /// Takes a line; true when it is to be kept out of the log.
    fn read(&self, line: &str) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(complaint) = complaint(line) {
            if complaint.is_error() {
                reported.last = Last::Message;
                reported.errors.push(complaint);
                return true;
            }
            reported.last = Last::Else;
            tracing::warn!(sqlstate = %complaint.sqlstate, "{}", complaint.message);
            return true;
        }
        // psql itself speaks, of a connection that does not come about or is lost.
        if line.starts_with("psql: ") || line.starts_with("psql:<stdin>:") {
            reported.last = Last::Else;
            return false;
        }
        let label = LABELS.iter().find(|it| line.starts_with(**it));
        let last = reported.last;
        let error = reported.errors.last_mut();
        match (label, last, error) {
            (Some(&"DETAIL:  "), Last::Message, Some(error)) => {
                error.detail = line.strip_prefix("DETAIL:  ").map(str::to_owned);
                reported.last = Last::Detail;
            }
            (Some(&"HINT:  "), Last::Message | Last::Detail, Some(error)) => {
                error.is_of_locks = line.contains(MAX_LOCKS);
                reported.last = Last::Else;
            }
            (Some(_), ..) => reported.last = Last::Else,
            // `LINE 1: …` and the caret below it are the text of a statement.
            (None, ..) if line.starts_with("LINE ") => reported.last = Last::Else,
            (None, Last::Message, Some(error)) => {
                error.message.push(' ');
                error.message.push_str(line.trim());
            }
            (None, Last::Detail, Some(error)) => {
                let more = error.detail.get_or_insert_default();
                more.push_str("; ");
                more.push_str(line.trim());
            }
            (None, ..) => {}
        }
        true
    }
}

/// `psql:<stdin>:LINE: SEVERITY:  SQLSTATE: MESSAGE`, with a severity in any language.
fn complaint(line: &str) -> Option<Complaint> {
    let (number, rest) = line.strip_prefix("psql:<stdin>:")?.split_once(": ")?;
    let (severity, rest) = rest.split_once(":  ")?;
    let (sqlstate, message) = rest.split_once(": ")?;
    let code = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    (sqlstate.len() == 5 && sqlstate.chars().all(code)).then_some(())?;
    Some(Complaint {
        line: number.parse().ok()?,
        sqlstate: sqlstate.to_owned(),
        message: message.to_owned(),
        detail: None,
        is_of_locks: false,
        is_warning: ["WARNING", "NOTICE", "INFO", "LOG"].contains(&severity),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(text: &str) -> Vec<Complaint> {
        let complaints = Complaints::default();
        for line in text.lines() {
            complaints.read(line);
        }
        complaints.errors()
    }

    #[test]
    fn f46_an_error_is_known_by_its_code_in_any_language() {
        let said = reported(
            "psql:<stdin>:7: FEHLER:  2BP01: kann Tabelle t nicht löschen\n\
             DETAIL:  Sicht v hängt ab\nSicht w hängt ab\nHINT:  CASCADE\nLOCATION:  reportDependentObjects, dependency.c:1189",
        );
        assert_eq!(said.len(), 1);
        assert_eq!((said[0].line, said[0].sqlstate.as_str()), (7, "2BP01"));
        assert_eq!(
            said[0].sentence(),
            "kann Tabelle t nicht löschen (Sicht v hängt ab; Sicht w hängt ab)"
        );
    }

    #[test]
    fn what_is_for_want_of_locks_is_known_by_the_hint_alone() {
        let said = reported(
            "psql:<stdin>:3: FEHLER:  53200: Shared Memory aufgebraucht\n\
             HINT:  Sie müssen möglicherweise »max_locks_per_transaction« erhöhen.\nLOCATION:  LockAcquireExtended, lock.c:1037\n\
             psql:<stdin>:4: FEHLER:  53200: Speicher aufgebraucht\n\
             DETAIL:  Fehler bei Anfrage mit Größe 64.\nLOCATION:  AllocSetAlloc, aset.c:1082",
        );
        let of_locks: Vec<bool> = said.iter().map(|it| it.is_of_locks).collect();
        assert_eq!(of_locks, [true, false]);
    }

    #[test]
    fn f12_no_statement_is_kept() {
        let said = reported(
            "psql:<stdin>:9: ERROR:  42704: server \"s\" does not exist\n\
             LINE 1: CREATE USER MAPPING FOR u SERVER s OPTIONS (password 'hunter2');\n                ^\n\
             QUERY:  SELECT 'hunter2'\nCONTEXT:  SQL statement \"SELECT 'hunter2'\"\nmore 'hunter2'",
        );
        assert_eq!(said.len(), 1);
        assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
    }

    #[test]
    fn a_warning_is_no_error() {
        assert!(reported("psql:<stdin>:3: WARNUNG:  01000: nicht wiederhergestellt").is_empty());
        // Of a publication, where wal_level is replica.
        let code = "WARNING:  55000: wal_level is insufficient to publish logical changes";
        assert!(reported(&format!("psql:<stdin>:3: {code}")).is_empty());
    }

    #[test]
    fn a_message_of_several_lines_stays_one() {
        let said = reported("psql:<stdin>:1: ERROR:  P0001: one\ntwo\nDETAIL:  three");
        assert_eq!(said[0].sentence(), "one two (three)");
    }
}
