//! What the status of a DatabaseUser tells.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::access::Given;
use super::elect::Lowered;
use super::resolve::Place;
use super::spec::{Asked, username, word};
use crate::operator::crd::{DatabaseUser, DatabaseUserStatus, UserDatabase, UserKept};
use crate::operator::database::TRANSIENT;
use crate::operator::object::{Pending, Phased};
use crate::operator::{REPAIR, now, object, status};
use crate::postgres::privileges::{Kind, Problem};

/// Whether a user may do all that its spec says.
const GRANTED: &str = "Granted";
/// Whether it may do nothing beside, by what everybody may do.
const ISOLATED: &str = "Isolated";

/// The status of an object that is not as its spec wants it.
pub(super) fn failed(
    object: &DatabaseUser,
    before: &DatabaseUserStatus,
    phase: &str,
    (reason, message): (&str, &str),
) -> DatabaseUserStatus {
    told(object, before, (phase, false), (reason, message))
}

fn told(
    object: &DatabaseUser,
    before: &DatabaseUserStatus,
    (phase, is_ready): (&str, bool),
    (reason, message): (&str, &str),
) -> DatabaseUserStatus {
    let generation = object.metadata.generation;
    let mut after = DatabaseUserStatus {
        phase: Some(phase.to_owned()),
        message: Some(message.to_owned()),
        observed_generation: generation,
        username: Some(username(object)),
        pending_since: None,
        ..before.clone()
    };
    let of = (generation, now());
    let condition = status::condition(status::READY, is_ready, reason, message, of);
    status::set(&mut after.conditions, condition);
    after
}

/// The names of the Secrets that a status knows.
pub(super) fn secrets(status: &DatabaseUserStatus) -> Vec<String> {
    let databases = status.databases.iter().flatten();
    let each = databases.filter_map(|it| it.secret_name.clone());
    let mut names: Vec<String> = status.secret_name.iter().cloned().chain(each).collect();
    names.sort();
    names.dedup();
    names.retain(|it| !it.is_empty());
    names
}

/// The databases in PostgreSQL where a user may have something.
pub(super) fn databases(status: &DatabaseUserStatus) -> Vec<String> {
    let told = status.databases.iter().flatten();
    let told = told.filter_map(|it| it.database_name.clone());
    let kept = status.kept.iter().flat_map(|it| it.databases.clone());
    let mut names: Vec<String> = told.chain(kept).collect();
    names.sort();
    names.dedup();
    names
}

fn shown(kept: &UserKept) -> String {
    let role = format!("role {}", kept.username);
    let of = kept.system_identifier.as_deref();
    object::shown(&role, &kept.cluster_name, of)
}

/// The status with the role that the object has from now on. Where it is the one that it had, what it was given
/// elsewhere is still known.
pub(super) fn keeping(before: &DatabaseUserStatus, mut kept: UserKept) -> DatabaseUserStatus {
    let place = |it: &UserKept| {
        (
            it.cluster_name.clone(),
            it.username.clone(),
            it.system_identifier.clone(),
        )
    };
    let mut other = None;
    match &before.kept {
        Some(had) if place(had) == place(&kept) => kept.databases.extend(databases(before)),
        Some(had) => other = Some(shown(had)),
        // An object of dbtether.
        None if before.cluster_name.as_ref() == Some(&kept.cluster_name) => {
            kept.databases.extend(databases(before));
        }
        None => {}
    }
    kept.databases.sort();
    kept.databases.dedup();
    DatabaseUserStatus {
        cluster_name: Some(kept.cluster_name.clone()),
        username: Some(kept.username.clone()),
        orphaned: object::left(before.orphaned.as_ref(), other, &shown(&kept)),
        kept: Some(kept),
        ..before.clone()
    }
}

/// What was done for a user.
pub(super) struct Outcome<'a> {
    pub(super) asked: &'a Asked,
    pub(super) place: &'a Place,
    /// What it is to do in each database, and who owns one that it wanted to.
    pub(super) lowered: &'a [Lowered],
    pub(super) given: &'a Given,
}

impl Outcome<'_> {
    /// What is wrong in a database, the worst first.
    fn wrong(&self, index: usize) -> Vec<String> {
        let conflict = self.lowered.get(index).and_then(|it| it.1.clone());
        let given = self.given.databases.get(index);
        let failed = given.into_iter().flat_map(|it| it.failed.clone());
        failed.chain(conflict).collect()
    }

    /// What is missing there without anything having failed.
    fn missing(&self, index: usize) -> Vec<&Problem> {
        let all = &self.given.databases;
        let is_everywhere = |problem: &&Problem| {
            // A table that one database does not have, another may.
            problem.kind != Kind::NoTable || all.iter().all(|it| it.problems.contains(problem))
        };
        let here = all.get(index).into_iter().flat_map(|it| &it.problems);
        let here = here.filter(|it| it.kind != Kind::Public);
        here.filter(is_everywhere).collect()
    }

    fn entries(&self) -> Vec<UserDatabase> {
        let each = self.lowered.iter().zip(&self.place.databases).enumerate();
        each.map(|(index, ((entry, _), here))| {
            let wrong = self.wrong(index);
            let missing = self.missing(index);
            let missing = missing.into_iter().map(|it| it.sentence.clone());
            let said: Vec<String> = wrong.iter().cloned().chain(missing).collect();
            let secret = self.asked.secrets.get(index);
            UserDatabase {
                name: entry.database.name.clone(),
                namespace: entry.written.clone(),
                database_name: Some(here.name.clone()),
                phase: Some(if wrong.is_empty() { "Ready" } else { "Failed" }.to_owned()),
                privileges: Some(word(entry.preset).to_owned()),
                secret_name: secret.filter(|_| self.asked.per_database).cloned(),
                message: (!said.is_empty()).then(|| said.join("; ")),
            }
        })
        .collect()
    }

    /// Phase, reason, and message.
    fn verdict(&self) -> (&'static str, &'static str, String) {
        let given = self.given.databases.iter().zip(&self.place.databases);
        let failed = given.filter(|it| !it.0.failed.is_empty());
        let failed: Vec<&str> = failed.map(|it| it.1.name.as_str()).collect();
        let conflicts: Vec<&str> = self
            .lowered
            .iter()
            .filter_map(|it| it.1.as_deref())
            .collect();
        let conflicts = conflicts.join("; ");
        if failed.is_empty() && conflicts.is_empty() {
            let count = self.place.databases.len();
            let message = if self.asked.external {
                format!("role of others has access to {count} database(s)")
            } else {
                format!("user created with access to {count} database(s)")
            };
            return ("Ready", "Ready", message);
        }
        if failed.is_empty() {
            return ("Failed", "OwnerConflict", conflicts);
        }
        let mut message = format!(
            "failed to apply privileges for database(s): {}",
            failed.join(", ")
        );
        if !conflicts.is_empty() {
            message = format!("{message}; {conflicts}");
        }
        ("Failed", "PrivilegesFailed", message)
    }

    fn open(&self) -> Vec<&str> {
        let of_databases = self.given.databases.iter().flat_map(|it| &it.problems);
        let of_databases = of_databases.filter(|it| it.kind == Kind::Public);
        let connect = self.given.open.as_deref();
        let mut all: Vec<&str> = connect
            .into_iter()
            .chain(of_databases.map(|it| it.sentence.as_str()))
            .collect();
        all.dedup();
        all
    }
}

/// The status of a user for whom all was done that could be, and when to try again; none: nothing is left to do.
pub(super) fn done(
    object: &DatabaseUser,
    before: &DatabaseUserStatus,
    outcome: &Outcome<'_>,
) -> (DatabaseUserStatus, Option<Duration>) {
    let (phase, reason, message) = outcome.verdict();
    let entries = outcome.entries();
    let is_ready = phase == "Ready";
    let mut after = told(object, before, (phase, is_ready), (reason, &message));
    let of = (object.metadata.generation, now());
    if is_ready && !outcome.asked.external {
        after.password_updated_at.get_or_insert_with(|| Time(now()));
    }
    let said: Vec<&str> = entries
        .iter()
        .filter_map(|it| it.message.as_deref())
        .collect();
    let unleft = outcome.given.unleft.iter().map(String::as_str);
    let said: Vec<&str> = said.into_iter().chain(unleft).collect();
    let again = match reason {
        "PrivilegesFailed" => Some(TRANSIENT),
        _ => (!is_ready || !said.is_empty()).then_some(REPAIR),
    };
    let granted = if said.is_empty() {
        let all = "the user may do what its spec says";
        status::condition(GRANTED, true, "Granted", all, of)
    } else {
        status::condition(GRANTED, false, "Incomplete", &said.join("; "), of)
    };
    let open = outcome.open();
    let isolated = if open.is_empty() {
        let none = "everybody may do nothing that the user should not";
        status::condition(ISOLATED, true, "Isolated", none, of)
    } else {
        status::condition(ISOLATED, false, "Public", &open.join("; "), of)
    };
    status::set(&mut after.conditions, granted);
    status::set(&mut after.conditions, isolated);
    let first = outcome.place.databases.first();
    after.databases_summary = first.map(|it| match outcome.place.databases.len() {
        1 => it.name.clone(),
        more => format!("{} (+{})", it.name, more - 1),
    });
    after.databases = Some(entries);
    if let Some(kept) = &mut after.kept {
        kept.databases.retain(|it| !outcome.given.left.contains(it));
    }
    (after, again)
}

impl Phased for DatabaseUserStatus {
    fn phase(&self) -> Option<&str> {
        self.phase.as_deref()
    }

    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl Pending for DatabaseUserStatus {
    fn pending_since(&self) -> Option<Timestamp> {
        self.pending_since.as_ref().map(|it| it.0)
    }

    fn set_pending_since(&mut self, since: Timestamp) {
        self.pending_since = Some(Time(since));
    }
}

#[cfg(test)]
mod tests {
    use backuper::postgres::{SslMode, Target};
    use serde_json::json;

    use super::super::access::GivenHere;
    use super::super::elect::lower;
    use super::super::resolve::Here;
    use super::super::spec::{asked, tests::user};
    use super::*;
    use crate::operator::servers::Servers;

    fn place(names: &[&str]) -> Place {
        let target = Target {
            host: "h".to_owned(),
            port: 1,
            user: "u".to_owned(),
            password: None,
            database: "postgres".to_owned(),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            at: None,
        };
        let here = |name: &&str| Here {
            name: (*name).to_owned(),
            is_made: true,
        };
        Place {
            cluster: "c".to_owned(),
            server: Servers::default().set("c", (String::new(), 1), target),
            databases: names.iter().map(here).collect(),
        }
    }

    fn told_of(before: &DatabaseUserStatus, given: &Given) -> DatabaseUserStatus {
        done_of(before, given).0
    }

    fn done_of(
        before: &DatabaseUserStatus,
        given: &Given,
    ) -> (DatabaseUserStatus, Option<Duration>) {
        let object = user("u", json!({"databases": [{"name": "d"}, {"name": "e"}]}));
        let asked = asked(&object).unwrap();
        let outcome = Outcome {
            asked: &asked,
            place: &place(&["d", "e"]),
            lowered: &lower(("team", "u"), &asked.entries, &[]),
            given,
        };
        done(&object, before, &outcome)
    }

    fn given(first: GivenHere, second: GivenHere) -> Given {
        Given {
            databases: vec![first, second],
            ..Given::default()
        }
    }

    fn without_a_table() -> GivenHere {
        let problem = Problem {
            kind: Kind::NoTable,
            sentence: "no table".to_owned(),
        };
        GivenHere {
            problems: vec![problem],
            ..GivenHere::default()
        }
    }

    fn message<'a>(status: &'a DatabaseUserStatus, type_: &str) -> (&'a str, &'a str) {
        let mut all = status.conditions.iter().flatten();
        let it = all.find(|it| it.type_ == type_).unwrap();
        (&it.status, &it.message)
    }

    /// However seldom the objects of its server are looked at: a table that is not there yet, and what could not be revoked.
    #[test]
    fn a_user_that_lacks_something_is_tried_again_within_minutes() {
        let nothing = GivenHere::default;
        let failed = GivenHere {
            failed: vec!["permission denied".to_owned()],
            ..nothing()
        };
        let unleft = Given {
            unleft: vec!["database f: canceled".to_owned()],
            ..given(nothing(), nothing())
        };
        for (given, again) in [
            (given(nothing(), nothing()), None),
            (given(without_a_table(), without_a_table()), Some(REPAIR)),
            (unleft, Some(REPAIR)),
            (given(failed, nothing()), Some(TRANSIENT)),
        ] {
            let told = done_of(&DatabaseUserStatus::default(), &given);
            assert_eq!(told.1, again, "{:?}", told.0.conditions);
        }
    }

    /// operator.md, U12, U15, U21 and U22; W13: a second look writes nothing.
    #[test]
    fn a_user_that_is_as_it_was_has_the_status_that_it_had() {
        let waited = DatabaseUserStatus {
            pending_since: Some(Time(now())),
            secret_name: Some("s".to_owned()),
            ..DatabaseUserStatus::default()
        };
        let none = || given(GivenHere::default(), GivenHere::default());
        let mut first = told_of(&waited, &none());
        assert_eq!(first.phase.as_deref(), Some("Ready"));
        assert_eq!(first.databases_summary.as_deref(), Some("d (+1)"));
        assert_eq!(
            (first.pending_since.as_ref(), first.secret_name.as_deref()),
            (None, Some("s"))
        );
        assert!(first.password_updated_at.is_some());
        // A minute ago: what would be set anew shows.
        let ago = jiff::Timestamp::from_second(1_000_000).unwrap();
        first.password_updated_at = Some(Time(ago));
        for condition in first.conditions.iter_mut().flatten() {
            condition.last_transition_time = Time(ago);
        }
        assert_eq!(told_of(&first, &none()), first);
        let object = user("u", json!({}));
        let lost = failed(&object, &first, "Failed", ("ConnectionError", "no"));
        assert_eq!(lost.password_updated_at, first.password_updated_at);
        assert_eq!(lost.databases, first.databases);
    }

    /// operator.md, W27 and §5.3.
    #[test]
    fn what_fails_in_a_database_fails_the_user_and_a_table_may_be_in_one_of_several() {
        let before = DatabaseUserStatus::default();
        let broken = GivenHere {
            failed: vec!["may not".to_owned()],
            ..GivenHere::default()
        };
        let failed = told_of(&before, &given(GivenHere::default(), broken));
        assert_eq!(failed.phase.as_deref(), Some("Failed"));
        assert_eq!(
            failed.message.as_deref(),
            Some("failed to apply privileges for database(s): e")
        );
        assert!(failed.password_updated_at.is_none());
        let entries = failed.databases.as_ref().unwrap();
        assert_eq!(entries[0].phase.as_deref(), Some("Ready"));
        assert_eq!(entries[1].message.as_deref(), Some("may not"));
        let one = told_of(&before, &given(without_a_table(), GivenHere::default()));
        assert_eq!(message(&one, GRANTED).0, "True");
        let both = told_of(&before, &given(without_a_table(), without_a_table()));
        assert_eq!(both.phase.as_deref(), Some("Ready"));
        assert_eq!(message(&both, GRANTED), ("False", "no table; no table"));
        assert_eq!(message(&both, ISOLATED).0, "True");
    }

    /// operator-rules.md, decided 9: what an object had by another name or elsewhere is told.
    #[test]
    fn a_role_of_another_name_is_left_and_databases_of_the_same_are_known() {
        let kept = |name: &str, databases: &[&str]| UserKept {
            cluster_name: "c".to_owned(),
            username: name.to_owned(),
            system_identifier: Some("7".to_owned()),
            oid: 1,
            databases: databases.iter().map(|it| (*it).to_owned()).collect(),
            external: false,
        };
        let first = keeping(&DatabaseUserStatus::default(), kept("a", &["d", "e"]));
        let fewer = keeping(&first, kept("a", &["e"]));
        assert_eq!(databases(&fewer), ["d", "e"]);
        assert_eq!(fewer.orphaned, None);
        let renamed = keeping(&fewer, kept("b", &["e"]));
        let left = "role a on DBCluster c (system identifier 7)".to_owned();
        assert_eq!(renamed.orphaned, Some(vec![left]));
        assert_eq!(databases(&renamed), ["e"]);
        let back = keeping(&renamed, kept("a", &["e"]));
        let left = "role b on DBCluster c (system identifier 7)".to_owned();
        assert_eq!(back.orphaned, Some(vec![left]));
    }
}
