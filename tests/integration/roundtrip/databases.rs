//! The databases of the round trips. To add one: a file in `databases/` and a line in one of the lists
//! below.
//!
//! A file is SQL for psql, which begins with an empty database. It may count on the roles `app` (may
//! log in and create databases), `reader` and `writer`, on the extensions in `extensions/`, and on
//! psql's variables `from_14` … `from_18` (`\if :from_15`). What follows a line `--@ WORD` is not a part of
//! the contents:
//!
//! - `--@ changed`: what happens after the backup, before it is restored over the database;
//! - `--@ stays`: what must succeed after that, and takes away again what the backup does not know;
//! - `--@ prepared`: what a target that is empty gets beforehand, by the superuser;
//! - `--@ lacking`: what the target lacks, or what cannot come back: it is run after the backup, and
//!   what it leaves is what a restore is to bring;
//! - `--@ script`: a script of somebody's own to restore by key, in place of pg_dump's.

use super::trial::Way;

/// How a restore is to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// All of it comes back.
    Whole,
    /// It comes back without what the target lacks, and a warning has these words in it.
    Warned(&'static [&'static str]),
    /// Refused with exit code 2 and these words before anything changes, unless this is set.
    Refused(&'static [&'static str], Option<Unless>),
    /// Fails with one of these words, and nothing has changed. With this set all of them are named.
    Failed(&'static [&'static str], Unless),
}

/// A setting with which a restore goes on, and the exit code that it then has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unless {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    pub(super) code: i32,
}

/// All rows, and as much of the rest as can be had.
const KEEP_GOING: Unless = Unless {
    name: "RESTORE_KEEP_GOING",
    value: "true",
    code: 3,
};

/// What has no owner here is ours.
const OWNERS_NONE: Unless = Unless {
    name: "RESTORE_OWNERS",
    value: "none",
    code: 0,
};

/// One database: its file, and what is particular about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    /// The rows of the table of faults that it is about.
    pub(super) rows: &'static str,
    /// Words for CREATE DATABASE.
    pub(super) made_with: &'static str,
    /// The versions that it is for.
    pub(super) versions: (u32, u32),
    /// Whether the workers are the role `app`, who owns the database, and not the superuser.
    pub(super) as_app: bool,
    pub(super) ending: Ending,
    /// What must be named when it is to be restored over the changed database: what the backup does
    /// not know and would lose.
    pub(super) in_the_way: &'static [&'static str],
    /// Why stock pg_dump and pg_restore cannot do it.
    pub(super) stock_cannot: Option<&'static str>,
    /// Why psql cannot read the script that pg_dump writes.
    pub(super) psql_cannot: Option<&'static str>,
    /// Whether the backup may be refused with exit code 2.
    pub(super) backup_may_refuse: bool,
}

macro_rules! database {
    ($name:literal) => {
        Sample::new($name, include_str!(concat!("databases/", $name, ".sql")))
    };
}

/// Every database.
pub(super) fn all() -> Vec<Sample> {
    let groups = [
        kinds(),
        oddities(),
        of_the_database(),
        changed(),
        extensions(),
        lacking(),
    ];
    groups.into_iter().flatten().collect()
}

/// One for each kind of object.
pub(super) fn kinds() -> Vec<Sample> {
    vec![
        database!("types"),
        database!("tables"),
        database!("constraints"),
        database!("partitions"),
        database!("indexes"),
        database!("views"),
        database!("functions"),
        database!("language"),
        database!("triggers"),
        database!("policies"),
        database!("privileges"),
        database!("owners").rows("F11"),
        database!("comments"),
        database!("sequences"),
        database!("large_objects"),
        database!("publications"),
        database!("subscription").rows("F03"),
        database!("foreign"),
        database!("extensions"),
    ]
}

/// Contents that are odd.
pub(super) fn oddities() -> Vec<Sample> {
    vec![
        database!("nothing"),
        database!("public_schema").rows("F34"),
        database!("names").rows("F27"),
        database!("keywords")
            .rows("F02")
            .psql_cannot("it takes a function's name `begin` for the beginning of a body"),
        database!("transaction_words").rows("F02"),
        database!("copy_options").rows("F08"),
        database!("texts"),
        database!("event_trigger").rows("F10"),
        database!("check_function").rows("F22"),
        database!("check_order")
            .rows("F22")
            .stock_cannot("it loads tables by name, whatever their checks read"),
        database!("generated_lookup").rows("F22"),
    ]
}

/// What belongs to the database itself: settings, encodings, collations, its owner.
pub(super) fn of_the_database() -> Vec<Sample> {
    vec![
        database!("database").rows("F28"),
        database!("settings")
            .rows("F20, F21")
            .stock_cannot("it sets what the database has first, and then may not write"),
        database!("latin1")
            .rows("F24")
            .made_with("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"),
        database!("euc_jp")
            .rows("F24")
            .made_with("ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C'"),
        database!("sql_ascii")
            .rows("F24")
            .made_with("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"),
        database!("sql_ascii_names")
            .rows("F24")
            .made_with("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
            .backup_may_refuse(),
        database!("icu")
            .from(15)
            .made_with("LOCALE_PROVIDER icu ICU_LOCALE 'de-AT-u-co-phonebk'"),
        database!("builtin_locale")
            .from(17)
            .made_with("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
        database!("as_owner").as_app(),
    ]
}

/// What has happened to the database when a restore is in place.
pub(super) fn changed() -> Vec<Sample> {
    vec![
        database!("migrated").rows("F25"),
        database!("renamed_table")
            .rows("F25")
            .in_the_way(&["orders_2026"]),
        database!("strangers"),
        database!("kept_privileges").rows("F34"),
        database!("extension_member")
            .rows("F35")
            .in_the_way(&["adopted", "hstore"]),
        database!("later_parts").rows("F36"),
        database!("owned_sequence")
            .rows("F36")
            .in_the_way(&["invoice_numbers"]),
    ]
}

/// Extensions with rows of their own.
pub(super) fn extensions() -> Vec<Sample> {
    vec![
        database!("extension_settings"),
        database!("extension_topology").rows("F31"),
        database!("extension_circle")
            .rows("F31")
            .stock_cannot("each of its COPYs is a transaction of its own"),
        database!("extension_not_ours")
            .rows("F32")
            .as_app()
            .stock_cannot("it may not write the extension's table, not even no row, and ends"),
        database!("extension_rows_not_ours")
            .rows("F32")
            .as_app()
            .ends(Ending::Warned(&["reference_systems"]))
            .stock_cannot("it may not write the extension's table, and ends"),
        database!("extension_zones")
            .rows("F33")
            .stock_cannot("it loads tables by name, and not those of extensions first"),
        database!("postgis")
            .rows("F33")
            .only(15)
            .stock_cannot("it loads tables by name, and not those of extensions first"),
        database!("postgis_topology").rows("F31").only(15),
    ]
}

/// What the target lacks, and what cannot come back.
pub(super) fn lacking() -> Vec<Sample> {
    vec![
        database!("search_path")
            .rows("F23")
            .ends(Ending::Failed(&["places_label", "quotients"], KEEP_GOING))
            .stock_cannot(
                "the function finds nothing without a search_path, the view divides by zero",
            ),
        database!("duplicate_key")
            .rows("F23")
            .ends(Ending::Failed(&["words_word"], KEEP_GOING))
            .stock_cannot("two rows have the same key"),
        database!("subscription_and_failure")
            .rows("F03")
            .ends(Ending::Failed(&["fails"], KEEP_GOING))
            .stock_cannot("the view divides by zero"),
        database!("lost_role")
            .rows("F26")
            .ends(Ending::Warned(&["lost_role"]))
            .stock_cannot("the role is missing"),
        database!("lost_default_role")
            .rows("F26")
            .ends(Ending::Warned(&["lost_default_role"]))
            .stock_cannot("the role is missing"),
        database!("lost_owner")
            .rows("F11")
            .ends(Ending::Warned(&["lost_owner"]))
            .stock_cannot("the owner is missing"),
        database!("lost_definer")
            .rows("F11")
            .ends(Ending::Refused(
                &["definer", "acts_for_owner"],
                Some(OWNERS_NONE),
            ))
            .stock_cannot("the owner is missing"),
        database!("lost_policy_role")
            .rows("F26")
            .ends(Ending::Refused(&["lost_policy_role"], Some(KEEP_GOING)))
            .stock_cannot("the role is missing"),
        database!("lost_tablespace")
            .rows("F26")
            .ends(Ending::Warned(&["lost_tablespace"]))
            .stock_cannot("the tablespace is missing"),
        database!("lost_function")
            .rows("F26")
            .ends(Ending::Warned(&["reset_all"]))
            .stock_cannot("the function is missing"),
        database!("lost_locale")
            .rows("F26")
            .ends(Ending::Refused(&["xx_YY"], None))
            .stock_cannot("the locale is missing"),
    ]
}

/// The one whose objects belong to many.
pub(super) fn owned() -> Sample {
    Sample {
        name: "owners_none",
        ..database!("owners")
    }
}

impl Sample {
    /// One without a file.
    pub(super) fn bare(name: &'static str) -> Self {
        Self::new(name, "")
    }

    fn new(name: &'static str, text: &'static str) -> Self {
        Self {
            name,
            text,
            rows: "",
            made_with: "",
            versions: (0, u32::MAX),
            as_app: false,
            ending: Ending::Whole,
            in_the_way: &[],
            stock_cannot: None,
            psql_cannot: None,
            backup_may_refuse: false,
        }
    }

    fn rows(self, rows: &'static str) -> Self {
        Self { rows, ..self }
    }

    fn made_with(self, made_with: &'static str) -> Self {
        Self { made_with, ..self }
    }

    fn from(self, first: u32) -> Self {
        let versions = (first, self.versions.1);
        Self { versions, ..self }
    }

    fn only(self, version: u32) -> Self {
        let versions = (version, version);
        Self { versions, ..self }
    }

    fn as_app(self) -> Self {
        Self {
            as_app: true,
            ..self
        }
    }

    fn ends(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    fn in_the_way(self, in_the_way: &'static [&'static str]) -> Self {
        Self { in_the_way, ..self }
    }

    fn stock_cannot(self, reason: &'static str) -> Self {
        Self {
            stock_cannot: Some(reason),
            ..self
        }
    }

    fn psql_cannot(self, reason: &'static str) -> Self {
        Self {
            psql_cannot: Some(reason),
            ..self
        }
    }

    fn backup_may_refuse(self) -> Self {
        Self {
            backup_may_refuse: true,
            ..self
        }
    }

    /// Whether a way says anything about it.
    pub(super) fn has(&self, way: Way) -> bool {
        way != Way::OverChanged || self.part("changed").is_some()
    }

    /// Whether it is for this version.
    pub(super) fn is_for(&self, major: u32) -> bool {
        (self.versions.0..=self.versions.1).contains(&major)
    }

    /// The contents: what stands before the first other part.
    pub(super) fn contents(&self) -> &'static str {
        self.parts().next().map_or("", |(_, text)| text)
    }

    /// Another part of the file.
    pub(super) fn part(&self, name: &str) -> Option<&'static str> {
        let mut parts = self.parts().skip(1);
        parts.find(|(it, _)| *it == name).map(|(_, text)| text)
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let mut parts = self.text.split("\n--@ ");
        let contents = parts.next().unwrap_or_default();
        let others = parts.map(|it| it.split_once('\n').unwrap_or((it, "")));
        std::iter::once(("contents", contents)).chain(others)
    }
}
