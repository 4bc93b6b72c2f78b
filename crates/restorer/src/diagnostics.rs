//! What PostgreSQL's programs say when a statement fails, without the statement.
//!
//! They print what they were doing: `Command was: …` and all its lines, `LINE 1: …`, `CONTEXT: …`.
//! An archive's statements may hold passwords (user mappings, foreign servers, subscriptions), and
//! logs are read by many. So of what they print, only the lines that are known to be harmless go on
//! to our log; which entry of the archive failed is told by its name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backuper::child::Listener;
use tokio_util::sync::CancellationToken;

use crate::archive::toc::{Entry, Toc};

/// What begins a message: the program's name, and a word that says how bad it is. Jobs of one
/// pg_restore share its stderr and write each of these by itself, so they may stand in front of
/// another job's message, or be missing.
const BEGINNINGS: [&str; 4] = ["pg_restore:", "error: ", "warning: ", " "];

/// Which entry a message is about: `from TOC entry 215; 1259 16390 INDEX orders_day app`.
const ENTRY: &str = "from TOC entry ";
/// What the server said of a statement.
const STATEMENT: &str = "could not execute query: ";
/// What the server said of rows.
const ROWS: &str = "COPY failed for table ";
/// How many statements failed, at the end of a pg_restore that goes on.
const IGNORED: &str = "errors ignored on restore: ";
/// libpq's own words, which no setting of the server translates.
const LOST: [&str; 5] = [
    "no connection to the server",
    "server closed the connection unexpectedly",
    "SSL connection has been closed unexpectedly",
    "could not receive data from server",
    "could not send data to server",
];
/// What pg_restore says before them where it was sending rows.
const SENDING: &str = "error returned by PQputCopyData: ";
/// A detail that is a whole row.
const ROW: &str = "DETAIL:  Failing row contains";

/// The entries of an archive, as far as a message tells them apart.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Name>);

#[derive(Debug)]
struct Name {
    id: i64,
    object: (u32, u32),
    namespace: Option<String>,
    tag: String,
    whole: String,
}

impl Names {
    pub(crate) fn of(toc: &Toc) -> Arc<Self> {
        let name = |it: &Entry| Name {
            id: it.id,
            object: (it.catalog, it.oid),
            namespace: it.namespace.clone(),
            tag: it.tag.clone(),
            whole: it.to_string(),
        };
        Arc::new(Self(toc.entries.iter().map(name).collect()))
    }

    /// The entry that a message means by `215; 1259 16390 INDEX orders_day app`: its number, where it
    /// is one of ours, and its name. The rows are in archives of their own with other numbers, and
    /// have their table's oid.
    fn find(&self, text: &str) -> Option<(Option<i64>, String)> {
        let (id, rest) = text.split_once("; ")?;
        let id: i64 = id.parse().ok()?;
        let (catalog, rest) = rest.split_once(' ')?;
        let (oid, rest) = rest.split_once(' ')?;
        let object: (u32, u32) = (catalog.parse().ok()?, oid.parse().ok()?);
        let ours = |it: &&Name| it.id == id && it.object == object && rest.contains(&it.tag);
        if let Some(name) = self.0.iter().find(ours) {
            return Some((Some(id), name.whole.clone()));
        }
        let of_its_table = |it: &Name| {
            let namespace = it
                .namespace
                .as_deref()
                .filter(|_| it.object.1 == object.1)?;
            let (kind, _owner) = rest.split_once(&format!(" {} ", it.tag))?;
            Some(format!("{kind} {namespace}.{}", it.tag))
        };
        let without_owner = || rest.rsplit_once(' ').map_or(rest, |it| it.0).to_owned();
        let name = self.0.iter().find_map(of_its_table);
        Some((None, name.unwrap_or_else(without_owner)))
    }
}

/// A statement that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The number of its entry in the schema's archive.
    pub(crate) id: Option<i64>,
    /// The number of its entry in the archive that the program was given.
    pub(crate) number: Option<i64>,
    /// The entry's kind and name.
    pub(crate) entry: String,
    /// What the server said; empty where that cannot be told.
    pub(crate) reason: String,
}

/// What the server says, in its own language, of what may pass by itself. PostgreSQL manual, appendix A:
/// classes 08, 40, 53, 55P03, 57 and 58.
const TRANSIENT: [&str; 14] = [
    "No space left on device",
    "could not extend file",
    "could not write",
    "could not read",
    "could not fsync",
    "could not open",
    "could not obtain lock",
    "could not resize shared memory",
    "out of memory",
    "canceling statement",
    "terminating connection",
    "the database system is",
    "connection slots",
    "tuple concurrently",
];

impl Failed {
    /// Whether another try may help, by the server's words in its own language; also where it is not
    /// known what it said.
    pub(crate) fn is_transient(&self) -> bool {
        self.reason.is_empty()
            || self.is_deadlock()
            || TRANSIENT.iter().any(|it| self.reason.contains(it))
    }

    /// Whether the server has ended the statement since two sessions waited for each other: alone it
    /// may succeed. A detail has the lock's name in it, which no language translates. PostgreSQL
    /// manual, 13.3.4: deadlocks.
    pub(crate) fn is_deadlock(&self) -> bool {
        let words = ["deadlock detected", "ShareLock", "ExclusiveLock"];
        words.iter().any(|it| self.reason.contains(it))
    }
}

/// Hears one program.
#[derive(Debug)]
pub(crate) struct Diagnostics {
    names: Arc<Names>,
    reported: Arc<Mutex<Reported>>,
    /// Cancelled when the connection is lost.
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct Reported {
    /// Whether the program has said anything: what comes before that is its loader's.
    begun: bool,
    failed: Vec<Failed>,
    /// Those of them whose reason has not come yet.
    open: Vec<usize>,
    /// Reasons that have come, of which nobody can say whose they are.
    unplaced: usize,
    /// The one that a detail belongs to.
    last: Option<usize>,
    ignored: Option<usize>,
    lost: Option<String>,
}

impl Diagnostics {
    pub(crate) fn new(names: &Arc<Names>) -> Self {
        Self {
            names: Arc::clone(names),
            reported: Arc::default(),
            gone: CancellationToken::new(),
        }
    }

    /// For the program's stderr; what it does not keep out may be logged.
    pub(crate) fn listener(&self) -> Listener {
        let (names, reported) = (Arc::clone(&self.names), Arc::clone(&self.reported));
        let gone = self.gone.clone();
        Listener::new(move |line| {
            let mut reported = lock(&reported);
            let shown = reported.read(line, &names);
            if reported.lost.is_some() {
                gone.cancel();
            }
            !shown
        })
    }

    /// Waits until the program says that its connection is lost.
    pub(crate) async fn until_lost(&self) {
        self.gone.cancelled().await;
    }

    /// The same, and cancels a token as soon as a statement has failed that no other try will mend.
    pub(crate) fn listener_until_hopeless(&self, hopeless: CancellationToken) -> Listener {
        let (names, reported) = (Arc::clone(&self.names), Arc::clone(&self.reported));
        Listener::new(move |line| {
            let mut reported = lock(&reported);
            let shown = reported.read(line, &names);
            if reported.is_hopeless() {
                hopeless.cancel();
            }
            !shown
        })
    }

    /// The statements that failed, in the order in which that was said.
    pub(crate) fn failed(&self) -> Vec<Failed> {
        lock(&self.reported).failed.clone()
    }

    /// How many statements failed of a pg_restore that has gone on to its end; none where it has
    /// not, or none failed.
    pub(crate) fn ignored(&self) -> Option<usize> {
        lock(&self.reported).ignored
    }

    /// What it said when it lost its connection, after which all statements fail.
    pub(crate) fn lost(&self) -> Option<String> {
        lock(&self.reported).lost.clone()
    }
}

fn lock(reported: &Mutex<Reported>) -> MutexGuard<'_, Reported> {
    reported.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reported {
    /// Whether a statement has failed for a reason of its own. After a deadlock others fail that need
    /// what was to be made, so nothing is hopeless then.
    fn is_hopeless(&self) -> bool {
        let known = |it: &&Failed| !it.reason.is_empty();
        // The detail of the last one may still come.
        let mut told = (0..self.failed.len())
            .filter(|it| self.last != Some(*it))
            .filter_map(|it| self.failed.get(it))
            .filter(known);
        let deadlock = self.failed.iter().any(Failed::is_deadlock);
        !deadlock && told.next().is_some()
    }

    /// Takes a line; gives whether it may be shown.
    fn read(&mut self, line: &str, names: &Names) -> bool {
        let message = without_beginning(line);
        let said = message.strip_prefix(STATEMENT).unwrap_or(message);
        let said = said.strip_prefix(SENDING).unwrap_or(said);
        if LOST.iter().any(|it| said.starts_with(it)) {
            self.lost.get_or_insert_with(|| said.to_owned());
        }
        if let Some(text) = message.strip_prefix(ENTRY) {
            self.begun = true;
            let number = text.split_once("; ").and_then(|it| it.0.parse().ok());
            self.entry(number, names.find(text));
            return true;
        }
        if let Some(reason) = message.strip_prefix(STATEMENT) {
            self.begun = true;
            self.reason(without_severity(reason));
            return true;
        }
        let own = ["pg_restore:", "psql:"]
            .iter()
            .any(|it| line.starts_with(it));
        if own {
            self.begun = true;
            self.last = None;
            if let Some(count) = message.strip_prefix(IGNORED) {
                self.ignored = count.trim().parse().ok();
            } else if message.starts_with(ROWS) {
                let reason = message.split_once("\": ").map_or(message, |it| it.1);
                self.reason(without_severity(reason));
            } else if line.contains("error: ") {
                self.reason(message);
            }
            // The others are those of --verbose.
            return !line.starts_with("pg_restore:")
                || ["error: ", "warning: "].iter().any(|it| line.contains(it));
        }
        let last = self.last.take();
        if line.starts_with("DETAIL:  ") && !line.starts_with(ROW) {
            if let Some(failed) = last.and_then(|it| self.failed.get_mut(it)) {
                let detail = line.trim_start_matches("DETAIL:  ");
                failed.reason.push_str(&format!(" ({detail})"));
            }
            return true;
        }
        line.starts_with("HINT:  ") || !self.begun
    }

    fn entry(&mut self, number: Option<i64>, found: Option<(Option<i64>, String)>) {
        let (id, entry) = found.unwrap_or((None, "an entry without a name".to_owned()));
        self.open.push(self.failed.len());
        self.last = None;
        self.failed.push(Failed {
            id,
            number,
            entry,
            reason: String::new(),
        });
    }

    fn reason(&mut self, reason: &str) {
        self.last = None;
        if let [one] = *self.open {
            if let Some(failed) = self.failed.get_mut(one) {
                reason.clone_into(&mut failed.reason);
                self.last = Some(one);
            }
            self.open.clear();
            return;
        }
        // Two jobs have failed at once: which reason is whose, nobody can say, and which entries
        // failed is certain all the same.
        self.unplaced += 1;
        if self.unplaced >= self.open.len() {
            self.open.clear();
            self.unplaced = 0;
        }
    }
}

fn without_beginning(line: &str) -> &str {
    let mut rest = line;
    while let Some(next) = BEGINNINGS.iter().find_map(|it| rest.strip_prefix(it)) {
        rest = next;
    }
    rest
}

/// `ERROR:  ` in any language.
fn without_severity(text: &str) -> &str {
    match text.split_once(":  ") {
        Some((word, rest)) if word.chars().all(char::is_alphabetic) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toc() -> Toc {
        let entry = |id, catalog, oid, kind: &str, tag: &str| Entry {
            id,
            catalog,
            oid,
            kind: kind.to_owned(),
            tag: tag.to_owned(),
            namespace: Some("app".to_owned()),
            ..Entry::default()
        };
        Toc {
            entries: vec![
                entry(215, 1259, 16390, "TABLE", "a b"),
                entry(3412, 1259, 16400, "INDEX", "i"),
                entry(3413, 2606, 16401, "CONSTRAINT", "a b k"),
            ],
            ..Toc::default()
        }
    }

    /// The lines that may be shown, and what failed.
    fn reported(text: &str) -> (Vec<&str>, Reported) {
        let (names, mut reported) = (Names::of(&toc()), Reported::default());
        let shown = text
            .lines()
            .filter(|it| reported.read(it, &names))
            .collect();
        (shown, reported)
    }

    #[test]
    fn a_statement_is_kept_out_and_its_entry_named() {
        let (shown, reported) = reported(
            "pg_restore: creating INDEX \"app.i\"
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3412; 1259 16400 INDEX i app owner
pg_restore: error: could not execute query: ERROR:  could not create unique index \"i\"
DETAIL:  Key (n)=(1) is duplicated.
CONTEXT:  SQL function \"f\" with 'hunter2'
LINE 1: CREATE INDEX i ON app.t USING f('hunter2')
                                        ^
Command was: CREATE INDEX i
  ON app.t ('hunter2');

'hunter2'",
        );
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(!shown.concat().contains("hunter2"), "{shown:?}");
        let failed = Failed {
            id: Some(3412),
            number: Some(3412),
            entry: "INDEX app.i".to_owned(),
            reason: "could not create unique index \"i\" (Key (n)=(1) is duplicated.)".to_owned(),
        };
        assert_eq!(reported.failed, [failed]);
        assert_eq!((reported.ignored, reported.lost), (None, None));
    }

    #[test]
    fn rows_are_named_by_their_table_and_not_shown() {
        let (shown, reported) = reported(
            "pg_restore: from TOC entry 9; 0 16390 TABLE DATA a b owner
pg_restore: error: COPY failed for table \"a b\": FEHLER:  neue Zeile verletzt Check-Constraint
DETAIL:  Failing row contains (1, hunter2).
CONTEXT:  COPY a b, line 1: \"1	hunter2\"",
        );
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert_eq!(
            (reported.failed[0].id, reported.failed[0].number),
            (None, Some(9))
        );
        assert_eq!(reported.failed[0].entry, "TABLE DATA app.a b");
        assert!(
            reported.failed[0].reason.starts_with("neue Zeile"),
            "{reported:?}"
        );
    }

    #[test]
    fn jobs_that_fail_at_once_are_told_apart_by_their_entries() {
        let (shown, reported) = reported(
            "pg_restore:pg_restore: from TOC entry 3412; 1259 16400 INDEX i app owner
 from TOC entry 3413; 2606 16401 CONSTRAINT a b k owner
pg_restore:pg_restore: error: could not execute query: ERROR:  one
error: Command was: SELECT 'hunter2'
could not execute query: ERROR:  two
Command was: SELECT 'hunter2'
pg_restore: from TOC entry 215; 1259 16390 TABLE a b owner
pg_restore: error: could not execute query: ERROR:  three
Command was: SELECT 'hunter2'
pg_restore: warning: errors ignored on restore: 3",
        );
        assert!(!shown.concat().contains("hunter2"), "{shown:?}");
        let ids: Vec<_> = reported.failed.iter().map(|it| it.id).collect();
        assert_eq!(ids, [Some(3412), Some(3413), Some(215)]);
        let reasons: Vec<_> = reported
            .failed
            .iter()
            .map(|it| it.reason.as_str())
            .collect();
        assert_eq!(reasons, ["", "", "three"]);
        assert_eq!(reported.ignored, Some(3));
    }

    #[test]
    fn a_lost_connection_is_no_failed_statement() {
        let (_, reported) = reported(
            "pg_restore: from TOC entry 3412; 1259 16400 INDEX i app owner
pg_restore: error: could not execute query: FATAL:  terminating connection
server closed the connection unexpectedly
Command was: CREATE INDEX",
        );
        let lost = reported.lost.as_deref();
        assert_eq!(lost, Some("server closed the connection unexpectedly"));
    }

    #[test]
    fn what_a_loader_says_before_the_program_is_shown() {
        let (shown, _) =
            reported("setpriv: failed to execute pg_restore: No such file or directory");
        assert_eq!(shown.len(), 1);
    }

    #[test]
    fn psql_shows_its_errors_and_no_statement() {
        let (shown, _) = reported(
            "psql:<stdin>:12: ERROR:  user mapping for \"a\" already exists
LINE 1: CREATE USER MAPPING ... password 'hunter2'
                                ^
psql:<stdin>:13: NOTICE:  done
DETAIL:  app.a depends on it",
        );
        assert_eq!(shown.len(), 3, "{shown:?}");
    }
}
