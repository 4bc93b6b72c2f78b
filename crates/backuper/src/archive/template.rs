//! Under which key a dump in plain SQL lies: a template such as
//! `{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz`.
//!
//! The words are those of dbtether, which takes them for Go's text/template
//! (<https://pkg.go.dev/text/template>). Of that language fields and trim markers are understood, and all
//! else is refused. A template is read in both directions: it gives the key of a new dump, and tells the
//! dumps of one database from everything else in the bucket.

mod matcher;
mod parse;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::encryption::SUFFIX;
use super::key::{Folder, encode, is_of_something_else};

pub use matcher::{Matched, Matcher, is_dbtethers};
pub use parse::Refused;

/// What the key of a dump may have at most, in bytes: S3 takes 1024, and `.manifest.json` and the like
/// stand behind it.
const LONGEST: usize = 900;
/// What its last segment may have, in bytes: a file system takes 255, the same and that of encryption stand
/// behind it, and a file that is being written has another ending.
const LONGEST_NAME: usize = 140;
/// What another segment may have, in bytes.
const LONGEST_SEGMENT: usize = 255;

/// A field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    ClusterName,
    DatabaseName,
    Year,
    Month,
    Day,
    /// `20260120-143022`.
    Timestamp,
    /// Eight lower-case letters and digits.
    RunId,
}

impl Field {
    const ALL: [(&'static str, Self); 7] = [
        ("ClusterName", Self::ClusterName),
        ("DatabaseName", Self::DatabaseName),
        ("Year", Self::Year),
        ("Month", Self::Month),
        ("Day", Self::Day),
        ("Timestamp", Self::Timestamp),
        ("RunID", Self::RunId),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(it, _)| *it == name)
            .map(|(_, field)| *field)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

/// A template of keys. It names the database and tells two runs apart, and all that it gives is a safe key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    pieces: Vec<Piece>,
}

impl FromStr for KeyTemplate {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let pieces = parse::pieces(text)?;
        parse::check(&pieces)?;
        Ok(Self {
            text: text.to_owned(),
            pieces,
        })
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// What tells two runs of one second apart: eight lower-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(String);

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl RunId {
    /// One that no other run has.
    #[must_use]
    pub fn random() -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let bytes = Uuid::new_v4().into_bytes();
        let digit = |it: &u8| char::from(DIGITS[usize::from(*it) % DIGITS.len()]);
        Self(bytes.iter().take(8).map(digit).collect())
    }
}

/// A template gives no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// It names the cluster, and nobody has said which.
    #[error("KEY_TEMPLATE has {{{{ .ClusterName }}}}, and CLUSTER_NAME is empty; set it")]
    NoCluster,
    /// It is longer than stores take.
    #[error(
        "KEY_TEMPLATE gives the key {0}, of which a part is longer than stores take; make the template shorter"
    )]
    TooLong(String),
    /// It is the key of a manifest, of a mark, or of what else stands beside a backup.
    #[error(
        "KEY_TEMPLATE gives the key {0}, which is that of an object beside a backup; choose another template"
    )]
    Beside(String),
    /// It is the key of an encrypted dump.
    #[error(
        "KEY_TEMPLATE gives the key {0}, and {SUFFIX} is what encryption puts behind a key; choose another ending"
    )]
    Encrypted(String),
    /// It is the key of an object of the other format.
    #[error(
        "KEY_TEMPLATE gives the key {0}, which is one of FORMAT=archive; choose another template"
    )]
    OfAnArchive(String),
}

/// Where the dumps of one cluster's databases lie in a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    template: Option<KeyTemplate>,
    cluster: Option<String>,
    /// Whether new dumps are encrypted, and their keys say so.
    encrypted: bool,
}

impl Layout {
    /// The keys of this template, and without one those of [`KeyTemplate::DEFAULT`].
    ///
    /// # Errors
    /// [`NoKey::NoCluster`].
    pub fn new(template: Option<KeyTemplate>, cluster: Option<String>) -> Result<Self, NoKey> {
        let names_it = template
            .as_ref()
            .is_some_and(|it| it.has(Field::ClusterName));
        if names_it && cluster.as_deref().unwrap_or_default().is_empty() {
            return Err(NoKey::NoCluster);
        }
        Ok(Self {
            template,
            cluster,
            encrypted: false,
        })
    }

    /// The same for new dumps that are encrypted, or are not. Those that are there are told either way.
    #[must_use]
    pub fn of_new_dumps(self, encrypted: bool) -> Self {
        Self { encrypted, ..self }
    }

    /// The key of a dump of this database that begins at this time.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn key(&self, database: &str, at: Timestamp, run: &RunId) -> Result<String, NoKey> {
        let of_ours = [KeyTemplate::default_of_ours()];
        let template = self.template.as_ref().unwrap_or(&of_ours[0]);
        let cluster = self.cluster.as_deref().unwrap_or_default();
        let key = template.key(cluster, database, at, run)?;
        Ok(match self.encrypted {
            true => key + SUFFIX,
            false => key,
        })
    }

    /// Whether the keys of two runs differ whenever they begin.
    #[must_use]
    pub fn tells_runs(&self) -> bool {
        let template = self.template.as_ref();
        template.is_none_or(|it| it.pieces.contains(&Piece::Field(Field::RunId)))
    }

    /// What tells the dumps of this database: of the template, and those that lie beside our archives.
    #[must_use]
    pub fn matchers(&self, database: &str) -> Vec<Matcher> {
        let cluster = self.cluster.as_deref().unwrap_or_default();
        let names = (encode(cluster), encode(database));
        let names = (names.0.as_str(), names.1.as_str());
        let set = self.template.iter().map(|it| (it, true));
        // Where a template is set, what lies elsewhere without a manifest may be another cluster's. What has our
        // own form and no manifest is what a run of ours has left.
        let defaults = [
            (KeyTemplate::default_of_ours(), false),
            (KeyTemplate::without_run(), self.template.is_none()),
        ];
        let all = set.chain(
            defaults
                .iter()
                .map(|(it, tells_others)| (it, *tells_others)),
        );
        all.map(|(it, tells_others)| Matcher::of(&it.pieces, names, tells_others))
            .collect()
    }

    /// What the keys of all new dumps of this database begin with: a whole folder of the bucket, its slash
    /// included, or nothing.
    #[must_use]
    pub fn folder(&self, database: &str) -> String {
        let first = self.matchers(database).into_iter().next();
        let prefix = first.map_or_else(String::new, |it| it.prefix().to_owned());
        prefix
            .rfind('/')
            .map_or_else(String::new, |at| prefix[..=at].to_owned())
    }
}

impl KeyTemplate {
    /// Where dumps lie unless another template is set.
    pub const DEFAULT: &'static str = "{{ .DatabaseName }}/{{ .Timestamp }}-{{ .RunID }}.sql.gz";

    fn default_of_ours() -> Self {
        let text = |it: &str| Piece::Text(it.to_owned());
        Self {
            text: Self::DEFAULT.to_owned(),
            pieces: vec![
                Piece::Field(Field::DatabaseName),
                text("/"),
                Piece::Field(Field::Timestamp),
                text("-"),
                Piece::Field(Field::RunId),
                text(".sql.gz"),
            ],
        }
    }

    /// dbtether's own default, below a folder of the database's name.
    fn without_run() -> Self {
        let text = |it: &str| Piece::Text(it.to_owned());
        Self {
            text: "{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz".to_owned(),
            pieces: vec![
                Piece::Field(Field::DatabaseName),
                text("/"),
                Piece::Field(Field::Timestamp),
                text(".sql.gz"),
            ],
        }
    }

    fn has(&self, field: Field) -> bool {
        self.pieces.contains(&Piece::Field(field))
    }

    fn key(
        &self,
        cluster: &str,
        database: &str,
        at: Timestamp,
        run: &RunId,
    ) -> Result<String, NoKey> {
        let at = at.to_zoned(TimeZone::UTC);
        let field = |field: &Field| match field {
            Field::ClusterName => encode(cluster),
            Field::DatabaseName => encode(database),
            Field::Year => at.strftime("%Y").to_string(),
            Field::Month => at.strftime("%m").to_string(),
            Field::Day => at.strftime("%d").to_string(),
            Field::Timestamp => at.strftime("%Y%m%d-%H%M%S").to_string(),
            Field::RunId => run.0.clone(),
        };
        let pieces = self.pieces.iter().map(|it| match it {
            Piece::Text(text) => text.clone(),
            Piece::Field(it) => field(it),
        });
        let key: String = pieces.collect();
        let name = key.rsplit('/').next().unwrap_or_default().len();
        if key.len() > LONGEST
            || name > LONGEST_NAME
            || key.split('/').any(|it| it.len() > LONGEST_SEGMENT)
        {
            return Err(NoKey::TooLong(key));
        }
        if Folder::parse_key(&key).is_ok() {
            return Err(NoKey::OfAnArchive(key));
        }
        if is_of_something_else(&key) {
            return Err(NoKey::Beside(key));
        }
        if key.ends_with(SUFFIX) {
            return Err(NoKey::Encrypted(key));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn layout(template: &str, cluster: &str) -> Layout {
        let cluster = (!cluster.is_empty()).then(|| cluster.to_owned());
        Layout::new(Some(template.parse().unwrap()), cluster).unwrap()
    }

    fn rendered(template: &str) -> String {
        let run = RunId("abc12345".to_owned());
        let layout = layout(template, "prod");
        let time = at("2026-01-02T03:04:05Z");
        layout.key("my_app", time, &run).unwrap()
    }

    /// B20.
    #[test]
    fn a_template_gives_the_keys_that_dbtether_gives() {
        for (template, key) in [
            (
                "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz",
                "prod/my_app/20260102-030405.sql.gz",
            ),
            (
                "{{.ClusterName}}/{{.DatabaseName}}/{{.Year}}/{{.Month}}/{{.Day}}/{{.RunID}}.sql.gz",
                "prod/my_app/2026/01/02/abc12345.sql.gz",
            ),
            (
                "b/  {{- .DatabaseName -}}  -{{ .Timestamp }}-{{ .RunID }}.gz",
                "b/my_app-20260102-030405-abc12345.gz",
            ),
            (
                KeyTemplate::DEFAULT,
                "my_app/20260102-030405-abc12345.sql.gz",
            ),
        ] {
            assert_eq!(rendered(template), key, "{template}");
        }
        let default = KeyTemplate::default_of_ours();
        assert_eq!(KeyTemplate::DEFAULT.parse(), Ok(default));
        let other = KeyTemplate::without_run();
        assert_eq!(other.to_string().parse(), Ok(other));
    }

    #[test]
    fn a_name_never_leaves_its_place() {
        let run = RunId::random();
        let layout = layout(
            "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}",
            "..",
        );
        for database in ["../../etc", "a/b", "..", ".", "größe", "a\nb"] {
            let key = layout
                .key(database, at("2026-01-02T03:04:05Z"), &run)
                .unwrap();
            assert_eq!(key.split('/').count(), 3, "{key}");
            assert!(key.starts_with("%2E%2E/"), "{key}");
            assert!(!key.split('/').any(|it| it == ".." || it == "."), "{key}");
            assert!(!key.contains(char::is_control), "{key}");
        }
    }

    #[test]
    fn what_no_store_takes_is_no_key() {
        let layout = layout("{{ .DatabaseName }}-{{ .Timestamp }}", "");
        let run = RunId::random();
        let long = layout.key(&"é".repeat(60), at("2026-01-02T03:04:05Z"), &run);
        assert!(matches!(long, Err(NoKey::TooLong(_))), "{long:?}");
        let named = Layout::new(
            "{{.ClusterName}}/{{.DatabaseName}}/{{.RunID}}".parse().ok(),
            None,
        );
        let said = named.unwrap_err().to_string();
        assert_eq!(
            said,
            "KEY_TEMPLATE has {{ .ClusterName }}, and CLUSTER_NAME is empty; set it"
        );
    }

    /// T1, T12.
    #[test]
    fn a_template_tells_its_keys_and_their_times_from_others() {
        let layout = layout(
            "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz",
            "prod",
        );
        let started = |key: &str| {
            let matchers = layout.matchers("app");
            matchers
                .iter()
                .find_map(|it| it.read(key))
                .map(|it| it.started)
        };
        let time = Some(Some(at("2026-01-20T14:30:22Z")));
        for key in [
            "prod/app/20260120-143022.sql.gz",
            "app/20260120-143022.sql.gz",
            "app/20260120-143022-a1b2c3d4.sql.gz",
        ] {
            assert_eq!(started(key), time, "{key}");
        }
        // A day that there is not is no time, and the key is one all the same.
        assert_eq!(started("prod/app/20269920-143022.sql.gz"), Some(None));
        for key in [
            "prod/app/manual.sql.gz",
            "prod/app/2026-01-20.sql.gz",
            "prod/app/20260120-143022.sql.gz.manifest.json",
            "prod/app/x/20260120-143022.sql.gz",
            "x/prod/app/20260120-143022.sql.gz",
            "prod/app2/20260120-143022.sql.gz",
            "staging/app/20260120-143022.sql.gz",
            "app/20260120-143022-A1B2C3D4.sql.gz",
            "app/20260120-143022-a1b2c3d.sql.gz",
            "app/20260120-143022.sql",
            "",
        ] {
            assert_eq!(started(key), None, "{key}");
        }
    }

    #[test]
    fn what_is_listed_begins_with_all_that_is_known() {
        for (template, prefix, folder) in [
            (
                "{{.ClusterName}}/{{.DatabaseName}}/{{.Timestamp}}",
                "prod/app/",
                "prod/app/",
            ),
            ("{{.Year}}/{{.DatabaseName}}/{{.Timestamp}}", "", ""),
            ("b/{{.DatabaseName}}-{{.Timestamp}}", "b/app-", "b/"),
            ("{{.DatabaseName}}-{{.Timestamp}}", "app-", ""),
        ] {
            let layout = layout(template, "prod");
            assert_eq!(layout.matchers("app")[0].prefix(), prefix);
            assert_eq!(layout.folder("app"), folder, "{template}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_read_back_for_its_database_and_for_no_other(
            database in "[a-z0-9_/.é%-]{1,12}",
            other in "[a-z0-9_/.é%-]{1,12}",
            second in 0i64..4_000_000_000,
            which in 0usize..4,
        ) {
            let template = [
                "{{.ClusterName}}/{{.DatabaseName}}/{{.Timestamp}}.sql.gz",
                "{{.DatabaseName}}-{{.Timestamp}}-{{.RunID}}",
                "{{.Year}}/x{{.DatabaseName}}{{.Timestamp}}/{{.Month}}",
                KeyTemplate::DEFAULT,
            ][which];
            let layout = layout(template, "prod");
            let time = Timestamp::from_second(second).unwrap();
            let key = layout.key(&database, time, &RunId::random()).unwrap();
            prop_assert_eq!(layout.matchers(&database)[0].read(&key), Some(Matched { started: Some(time) }));
            if other != database {
                prop_assert_eq!(layout.matchers(&other)[0].read(&key), None);
            }
        }

        #[test]
        fn whatever_is_taken_for_a_template_gives_safe_keys(text in "[ab{}. /-]{0,8}\\{\\{ ?\\.(DatabaseName|Timestamp|RunID|Foo) ?\\}\\}[a./{}-]{0,6}\\{\\{ ?\\.(DatabaseName|Timestamp) ?\\}\\}[a./]{0,6}") {
            if let Ok(template) = text.parse::<KeyTemplate>() {
                let time = Timestamp::UNIX_EPOCH;
                let key = template.key("c", "..", time, &RunId::random()).unwrap();
                prop_assert!(!key.starts_with('/'), "{}", key);
                prop_assert!(key.split('/').all(|it| !["", ".", ".."].contains(&it)), "{}", key);
            }
        }
    }

    #[test]
    fn no_key_is_that_of_something_beside_a_backup() {
        for ending in [
            "/manifest.json",
            "/pinned",
            "/running",
            ".pinned",
            ".running",
            ".manifest.json",
            ".restoring.x",
            ".schedule.x",
            "/schedule.x",
        ] {
            let text = format!("{{{{.DatabaseName}}}}/{{{{.Timestamp}}}}{ending}");
            assert!(text.parse::<KeyTemplate>().is_err(), "{text}");
        }
        // What a name makes of it is seen when it is there.
        let template = "{{.DatabaseName}}/{{.Timestamp}}.{{.ClusterName}}".parse();
        let layout = |cluster: &str| {
            let template: Result<KeyTemplate, _> = template.clone();
            Layout::new(template.ok(), Some(cluster.to_owned())).unwrap()
        };
        let key =
            |cluster: &str| layout(cluster).key("app", Timestamp::UNIX_EPOCH, &RunId::random());
        assert!(key("prod").is_ok());
        assert!(matches!(key("pinned"), Err(NoKey::Beside(_))));
    }

    #[test]
    fn a_key_says_whether_its_dump_is_encrypted_and_both_are_of_the_database() {
        let prod = layout(
            "{{.ClusterName}}/{{.DatabaseName}}/{{.Timestamp}}.sql.gz",
            "prod",
        );
        let time = at("2026-01-02T03:04:05Z");
        for (layout, folder) in [(prod, "prod/app/"), (Layout::default(), "app/")] {
            let key = |encrypted| {
                let layout = layout.clone().of_new_dumps(encrypted);
                layout.key("app", time, &RunId("abc12345".to_owned()))
            };
            let (plain, encrypted) = (key(false).unwrap(), key(true).unwrap());
            assert_eq!(encrypted, format!("{plain}.age"));
            assert!(plain.starts_with(folder) && plain.ends_with(".sql.gz"));
            let matchers = layout.matchers("app");
            let read = |key: &str| matchers.iter().find_map(|it| it.read(key));
            for key in [&plain, &encrypted] {
                assert_eq!(read(key).unwrap().started, Some(time), "{key}");
            }
            for other in [".age.age", ".AGE", ".ag", ".age/x"] {
                assert_eq!(read(&format!("{plain}{other}")), None, "{other}");
            }
        }
        // Nobody could say of such a key whether it is one's or the other's.
        let text = "{{.DatabaseName}}/{{.Timestamp}}.sql.gz.age";
        let refused = text.parse::<KeyTemplate>().unwrap_err().to_string();
        assert!(refused.contains("encryption puts .age behind"), "{refused}");
        let by_name = layout("{{.Timestamp}}-{{.DatabaseName}}", "");
        let key = by_name.key("my.age", time, &RunId::random());
        assert!(matches!(key, Err(NoKey::Encrypted(_))), "{key:?}");
    }
}
