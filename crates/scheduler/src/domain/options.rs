//! What a schedule asks for beside the administrator's settings: which backups it keeps, what they are
//! made of, under which keys they lie, who can read them. What it does not say is as the administrator
//! has set it.

pub mod filters;
mod retention;

use std::num::NonZeroU16;
use std::time::Duration;

use backuper::archive::KeyTemplate;
use backuper::archive::codec::CompressionLevel;
use backuper::archive::encryption::Recipients;
use backuper::job::{Format, Passwords};
use backuper::storage::Tags;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use super::drills::Verify;

pub use filters::Filters;
pub use retention::OwnRetention;

/// All that a schedule may have of its own.
#[serde_as]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// What is kept beside the newest ones that are counted; none: by the administrator's rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<OwnRetention>,
    /// What its backups are made of.
    #[serde(skip_serializing_if = "is_default")]
    pub format: OwnFormat,
    /// Under which keys its dumps in plain SQL lie.
    #[serde(skip_serializing_if = "is_default")]
    pub layout: OwnLayout,
    /// Who else can read them.
    #[serde(skip_serializing_if = "is_default")]
    pub encryption: MoreRecipients,
    /// Which part of the database they have.
    #[serde(skip_serializing_if = "is_default")]
    pub filters: Filters,
    /// What of the server is a part of them.
    #[serde(skip_serializing_if = "is_default")]
    pub globals: OwnGlobals,
    /// How many data streams run side by side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<NonZeroU16>,
    /// How its runs are tried.
    #[serde(skip_serializing_if = "is_default")]
    pub tries: OwnTries,
    /// What every object says of its backup.
    #[serde_as(as = "DisplayFromStr")]
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// How its backups are proved; none: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

/// How runs are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnTries {
    /// How often one that has failed is tried again, where that may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<u8>,
    /// How many seconds all tries may take together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u32>,
}

impl OwnTries {
    /// How long all tries may take together, where that is said here.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        let seconds = self.deadline?;
        Some(Duration::from_secs(seconds.into()))
    }
}

/// What backups are made of.
#[serde_as]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnFormat {
    /// A folder of archives, or plain SQL.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Whether plain SQL sets owners and privileges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_owners: Option<bool>,
    /// Whether plain SQL drops first what it makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_clean: Option<bool>,
    /// How strongly they are compressed.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<CompressionLevel>,
}

/// Under which keys dumps in plain SQL lie: whoever lists, restores or deletes them has to know it too.
#[serde_as]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnLayout {
    /// The template of their keys.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_template: Option<KeyTemplate>,
    /// What stands in it for the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
}

/// Public keys beside the administrator's: each of them alone opens a backup too.
#[serde_as]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MoreRecipients {
    /// The keys.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Recipients>,
    /// Whether the names in the manifest are encrypted too, where the administrator has not said so.
    #[serde(skip_serializing_if = "is_default")]
    pub manifest: bool,
}

/// What of the server is a part of backups.
#[serde_as]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnGlobals {
    /// Whether anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub globals: Option<bool>,
    /// What becomes of password hashes.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passwords: Option<Passwords>,
}

impl Options {
    /// Whether there is nothing of its own.
    #[must_use]
    pub fn are_none(&self) -> bool {
        is_default(self)
    }

    /// Whether single objects are judged that nobody knows the server of.
    #[must_use]
    pub fn judge_objects(&self) -> bool {
        self.retention.as_ref().is_some_and(|it| it.objects)
    }

    /// What of it stays where the schedule is given another database or another store: what it says of
    /// single objects was meant for those that lay in the first one, and names of tables and drills for the first
    /// database.
    #[must_use]
    pub fn elsewhere(mut self, is_same_database: bool) -> Self {
        if !is_same_database {
            self.filters = Filters::default();
            // Nobody has asked for that one's rows on a server of this one's.
            self.verify = None;
        }
        if let Some(retention) = &mut self.retention {
            retention.objects = false;
        }
        self
    }

    /// What differs, in the words of a request.
    #[must_use]
    pub fn changes_from(&self, before: &Self) -> [(&'static str, bool); 9] {
        let Self {
            retention,
            format,
            layout,
            encryption,
            filters,
            globals,
            jobs,
            tries,
            tags,
            verify,
        } = self;
        [
            ("retention", *retention != before.retention),
            (
                "format",
                (format, layout) != (&before.format, &before.layout),
            ),
            ("encryption", *encryption != before.encryption),
            ("filters", *filters != before.filters),
            ("globals", *globals != before.globals),
            ("jobs", *jobs != before.jobs),
            ("tries", *tries != before.tries),
            ("tags", *tags != before.tags),
            ("verify", *verify != before.verify),
        ]
    }
}

impl OwnLayout {
    /// Whether it is the administrator's.
    #[must_use]
    pub fn is_none(&self) -> bool {
        is_default(self)
    }
}

fn is_default<T: Default + PartialEq>(it: &T) -> bool {
    *it == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Options {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_kept_of_options_is_read_again_and_nothing_else_is_written() {
        assert_eq!(serde_json::to_string(&Options::default()).unwrap(), "{}");
        let whole = r#"{"retention":{"rules":{"hourly":1,"daily":2,"weekly":3,"monthly":4,"yearly":5,"days":6},"at_least":2,"zone":"Europe/Berlin","objects":true},"format":{"format":"sql.gz","sql_owners":true,"sql_clean":false,"compression_level":"9"},"layout":{"key_template":"{{ .ClusterName }}/{{ .DatabaseName }}/{{ .RunID }}","cluster_name":"größe"},"encryption":{"recipients":"age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa","manifest":true},"filters":{"include_schemas":["shop"],"exclude_table_data":["shop.log_*"]},"globals":{"globals":true,"passwords":"none"},"jobs":3}"#;
        assert_eq!(serde_json::to_string(&read(whole)).unwrap(), whole);
        assert!(read("{}").are_none());
    }

    #[test]
    fn each_thing_that_differs_has_a_word() {
        let none = Options::default();
        for (text, word) in [
            (r#"{"retention":{}}"#, "retention"),
            (r#"{"format":{"sql_clean":false}}"#, "format"),
            (r#"{"layout":{"cluster_name":"a"}}"#, "format"),
            (r#"{"encryption":{"manifest":true}}"#, "encryption"),
            (r#"{"filters":{"include_tables":["a"]}}"#, "filters"),
            (r#"{"globals":{"globals":false}}"#, "globals"),
            (r#"{"jobs":1}"#, "jobs"),
            (r#"{"tags":"a=b"}"#, "tags"),
            (r#"{"verify":{"cron":"@daily"}}"#, "verify"),
        ] {
            let changes = read(text).changes_from(&none);
            let words = changes.into_iter().filter_map(|(it, is)| is.then_some(it));
            assert_eq!(words.collect::<Vec<_>>(), [word], "{text}");
        }
    }

    /// What lies in another bucket nobody has said anything of.
    #[test]
    fn single_objects_are_judged_in_the_place_alone_that_it_was_said_for() {
        let text = r#"{"retention":{"rules":{"daily":7},"objects":true},"filters":{"include_tables":["a"]},"verify":{"cron":"@daily"}}"#;
        let moved = read(text).elsewhere(true);
        let rules = moved.retention.clone().map(|it| it.rules.daily);
        assert_eq!((rules, moved.judge_objects()), (Some(7), false));
        assert!(!moved.filters.0.is_empty() && moved.verify.is_some());
        let other = read(text).elsewhere(false);
        assert!(other.filters.0.is_empty() && other.verify.is_none());
    }
}
