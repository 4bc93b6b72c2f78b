//! The labels and annotations of our objects. Those that the version before this one has had under
//! another key are written under both and read under both: while an update rolls, and after it is
//! rolled back, that version must know what it looks at, and neither begin nor remove it again.

use std::collections::BTreeMap;

/// The label that says an object is ours.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const MANAGER: &str = "postgres-adapter";
/// The label that says whether an object is for backups or for restores.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The label that says which release of the chart an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The label of a Job that Kueue lets go when its queue allows.
/// <https://kueue.sigs.k8s.io/docs/tasks/run/jobs/>
pub const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// The annotation of a Job that a person has made from a CronJob; `kubectl create job` writes it too.
pub const INSTANTIATED: &str = "cronjob.kubernetes.io/instantiate";

/// The label of a Job with the name of its schedule.
pub const SCHEDULE: Key = Key {
    now: "postgres-adapter.io/schedule",
    before: Some("postgres-adapter/schedule"),
};
/// The label with sixteen hex digits for the database, `host:port/dbname`.
pub const PLACE: Key = Key {
    now: "postgres-adapter.io/place",
    before: Some("postgres-adapter/database"),
};
/// The label with the database's name, as far as a label can have it; the annotation of the same name
/// has `host:port/dbname` in full.
pub const DATABASE: Key = Key::new("postgres-adapter.io/database");
/// The label with the database's host, as far as a label can have it.
pub const HOST: Key = Key::new("postgres-adapter.io/host");
/// The annotation of a CronJob or of a restore with the request that it was made for, whole and
/// without secrets.
pub const SPEC: Key = Key::new("postgres-adapter.io/spec");
/// The annotation of a CronJob with the version that has rendered it.
pub const VERSION: Key = Key::new("postgres-adapter.io/version");
/// The annotation of a CronJob with its worker's variables, as the version before this one reads it.
pub const PARAMETERS: Key = Key {
    now: "postgres-adapter/parameters",
    before: None,
};
/// The annotation of a CronJob that tells whether rendering it anew would change it. A CronJob
/// without it was left in the middle of being made.
pub const RENDERED: Key = Key {
    now: "postgres-adapter.io/rendered",
    before: Some("postgres-adapter/rendered"),
};
/// The annotation of a CronJob with the Secrets of earlier renderings, which Jobs may still read.
pub const RETIRED: Key = Key {
    now: "postgres-adapter.io/retired-secrets",
    before: Some("postgres-adapter/retired-secrets"),
};
/// The annotation of a restore that tells requests apart.
pub const REQUEST: Key = Key {
    now: "postgres-adapter.io/request",
    before: Some("postgres-adapter/request"),
};
/// The annotation of a restore that was let go; without it, it has never run.
pub const STARTED: Key = Key {
    now: "postgres-adapter.io/started",
    before: Some("postgres-adapter/started"),
};
/// The label of a Job that answers a question, with the schedule that it is about.
pub const QUESTION: Key = Key::new("postgres-adapter.io/question");
/// The annotation of a Job that somebody has cancelled.
pub const CANCELLED: Key = Key::new("postgres-adapter.io/cancelled");
/// The annotation of a Job whose end was told, with that end.
pub const TOLD: Key = Key::new("postgres-adapter.io/told");

/// The annotation of a CronJob with how far its schedule's drills are.
pub const DRILLS: Key = Key::new("postgres-adapter.io/drills");

/// What a label's value may have at most.
const LABEL: usize = 63;

/// The key of a label or an annotation.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As this version writes it.
    pub now: &'static str,
    /// As the version before this one writes and reads it.
    pub before: Option<&'static str>,
}

impl Key {
    const fn new(now: &'static str) -> Self {
        Self { now, before: None }
    }

    /// Sets it.
    pub(crate) fn set(self, all: &mut BTreeMap<String, String>, value: &str) {
        for key in std::iter::once(self.now).chain(self.before) {
            all.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Its value.
    pub fn of(self, all: &BTreeMap<String, String>) -> Option<&str> {
        let before = || all.get(self.before?);
        all.get(self.now).or_else(before).map(String::as_str)
    }

    /// Whether this version, and none before it, has written it.
    pub(crate) fn is_new(self, all: &BTreeMap<String, String>) -> bool {
        all.contains_key(self.now)
    }
}

/// What a label can have of a text: others than letters, digits, dots, hyphens and underscores become
/// hyphens, and it begins and ends with a letter or a digit.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>
pub(crate) fn label(text: &str) -> String {
    let inside = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            c
        } else {
            '-'
        }
    };
    let text: String = text.chars().map(inside).take(LABEL).collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_label_has_what_labels_may_have() {
        for (text, expected) in [
            ("shop", "shop"),
            ("db.example-1", "db.example-1"),
            ("Größe", "Gr--e"),
            ("2001:db8::1", "2001-db8--1"),
            ("::1", "1"),
            ("-_.", ""),
            ("price $(DB_HOST) in $$", "price---DB_HOST--in"),
        ] {
            assert_eq!(label(text), expected, "{text}");
        }
        assert_eq!(label(&"x".repeat(100)).len(), 63);
    }
}
