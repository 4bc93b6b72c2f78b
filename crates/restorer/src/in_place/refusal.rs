//! What an error that has ended the transaction means.

use backuper::child;
use backuper::runtime::{Failure, NOTHING_CHANGED, Verdict};

use super::complaints::Complaint;

/// How the refusal begins when the transaction at the end is not the one of the beginning.
pub(super) const ENDED: &str = "the script has ended its transaction by itself";

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// Whether rows were refused, and may be taken when others are there.
    pub(super) of_rows: bool,
    /// Whether something may have been committed.
    unknown: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            of_rows: false,
            unknown: false,
        }
    }
}

/// psql says no more of it than that, where the server said nothing before.
const ENDED_SESSION: &str = ": the server, the network or somebody there has ended its session";

impl Refusal {
    /// Of a psql that has ended without the server's words. Its exit status 2 is a connection that was lost: PostgreSQL
    /// manual, psql: exit status.
    pub(super) fn without_words(error: &child::Error) -> Self {
        let lost = matches!(error, child::Error::Failed { ending, .. } if ending == "exited with status 2");
        let why = if lost { ENDED_SESSION } else { "" };
        Failure::try_again(format!("restoring: {error}{why}")).into()
    }

    /// By a server's error, in the rows or elsewhere.
    pub(super) fn of(failure: Failure, of_rows: bool) -> Self {
        Self {
            of_rows,
            ..failure.into()
        }
    }

    /// Of a transaction that may have been committed.
    pub(super) fn of_unknown(failure: Failure) -> Self {
        Self {
            unknown: true,
            ..failure.into()
        }
    }

    /// Why, without what became of the target.
    pub(super) fn why(&self) -> &str {
        let sentence = self.failure.sentence.as_str();
        let without = sentence.strip_suffix(NOTHING_CHANGED);
        without.map_or(sentence, |it| it.trim_end_matches("; "))
    }

    /// With what is true of each transaction of our own that was not committed.
    pub(super) fn told_whole(mut self) -> Self {
        let sentence = &mut self.failure.sentence;
        if !self.unknown && !sentence.contains(NOTHING_CHANGED) {
            sentence.push_str("; ");
            sentence.push_str(NOTHING_CHANGED);
        }
        self
    }

    /// The same where the transaction is known to be undone: it went with the session that was lost.
    pub(super) fn undone(mut self) -> Self {
        let sentence = &mut self.failure.sentence;
        if sentence.ends_with(ENDED_SESSION) {
            sentence.push_str("; nothing was changed, run the restore again");
        }
        self
    }
}

impl Complaint {
    /// Whether the transaction at the end was not the one of the beginning.
    pub(super) fn is_of_another_end(&self) -> bool {
        self.message.contains(ENDED)
    }

    /// Whether no statement behind it was done: the server or somebody there has ended the session.
    pub(super) fn ends_its_session(&self) -> bool {
        self.sqlstate.starts_with("57P")
    }

    /// Whether it may be for want of others' rows that these were refused. A function may raise an error
    /// of any code, and PostGIS raises internal ones where a reference system is missing. So it is
    /// all but what has nothing to do with rows: the connection, a rollback that the server decided on,
    /// resources, a lock, privileges, an operator, the system.
    pub(super) fn may_want_other_rows(&self) -> bool {
        let class = self.sqlstate.get(..2).unwrap_or_default();
        !["08", "40", "53", "57", "58"].contains(&class)
            && !["42501", "55P03"].contains(&self.sqlstate.as_str())
    }
}

/// What an error of the transaction means, by its code.
pub(super) fn refused(complaint: &Complaint, entry: Option<&str>) -> Failure {
    let said = complaint.sentence();
    if complaint.is_of_another_end() {
        return Failure::refused(format!(
            "{said}: what came before it was not one transaction; look at the database, take what ends it out of the script, and restore again"
        ));
    }
    let advice = match complaint.sqlstate.as_str() {
        // What depends on an object that would go, and what has the name of one that would come.
        "2BP01" | "42P07" | "42710" | "42723" | "42P06" => {
            "; drop or move it, or restore into another database"
        }
        // PostgreSQL manual, 20.12: max_locks_per_transaction.
        "53200" if complaint.is_of_locks => {
            ": the server has no room for the locks of one transaction that replaces all tables; raise its max_locks_per_transaction, which takes a restart of the server, or restore into an empty database, which needs no such transaction"
        }
        "53200" => {
            "; the server has too little memory for that: run the restore again when less is going on there, or give it more"
        }
        "42501" => "; grant it, or restore as a role that may",
        "55P03" => {
            "; somebody holds a lock on what is to be replaced; run the restore again, or give it a longer LOCK_WAIT_TIMEOUT"
        }
        "57P01" | "57P02" => {
            "; the server or somebody there has ended the session: run the restore again"
        }
        _ => "",
    };
    let entry = entry.map_or_else(String::new, |it| format!("{it}: "));
    Failure {
        verdict: Verdict::of(is_transient(complaint)),
        sentence: format!("{entry}{said}{advice}; nothing was changed"),
    }
}

/// Whether the same statement later may succeed: the connection, a deadlock, resources, a lock, an
/// operator, the system. PostgreSQL manual, appendix A.
fn is_transient(complaint: &Complaint) -> bool {
    let class = complaint.sqlstate.get(..2).unwrap_or_default();
    !complaint.is_of_locks && ["08", "40", "53", "55", "57", "58", "XX"].contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(sqlstate: &str) -> Complaint {
        Complaint {
            sqlstate: sqlstate.to_owned(),
            message: "x".to_owned(),
            ..Complaint::default()
        }
    }

    #[test]
    fn a_session_that_is_lost_is_told_from_a_psql_that_fails() {
        let told = |ending: &str| {
            let error = child::Error::Failed {
                program: "psql".to_owned(),
                ending: ending.to_owned(),
                stderr: vec!["psql:<stdin>:7: error: connection to server was lost".to_owned()],
            };
            Refusal::without_words(&error).undone().failure.sentence
        };
        let lost = told("exited with status 2");
        for words in ["has ended its session", "nothing was changed"] {
            assert!(lost.contains(words), "{lost}");
        }
        for ending in ["exited with status 3", "was killed by signal 9"] {
            assert!(!told(ending).contains("session"), "{ending}");
        }
    }

    /// F22.
    #[test]
    fn rows_may_be_refused_for_want_of_others_by_any_error_of_a_function() {
        let wants = |it: &&str| said(it).may_want_other_rows();
        let all = [
            "23514", "P0001", "P0002", "23502", "22P02", "XX000", "55000",
        ];
        assert!(all.iter().all(wants));
        let none = [
            "53100", "57014", "57P01", "40001", "08006", "55P03", "42501",
        ];
        assert!(!none.iter().any(wants));
    }

    #[test]
    fn what_never_helps_is_told_by_the_code_alone() {
        for (sqlstate, verdict) in [
            ("2BP01", Verdict::Refused),
            ("53200", Verdict::TryAgain),
            ("42501", Verdict::Refused),
            ("55P03", Verdict::TryAgain),
            ("23505", Verdict::Refused),
            ("40P01", Verdict::TryAgain),
        ] {
            assert_eq!(
                refused(&said(sqlstate), None).verdict,
                verdict,
                "{sqlstate}"
            );
        }
        let locks = Complaint {
            is_of_locks: true,
            ..said("53200")
        };
        let refusal = refused(&locks, None);
        assert_eq!(refusal.verdict, Verdict::Refused);
        assert!(refusal.sentence.contains("max_locks_per_transaction"));
    }
}
