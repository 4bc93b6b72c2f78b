//! Which databases of a server a schedule is of: one by its name, or all that a list means.

use backuper::job::BackupSource;
use backuper::selection::{Databases, Selection, Wrong};

use super::database::Database;
use super::name;
use super::options::Options;
use super::question::Given;
use super::schedule::Plan;

/// What a call's name of a database may have, in bytes.
const LONGEST: usize = 1_000;

/// Reads what a call names to be backed up: the name of one database, or a list; whether it is that.
///
/// # Errors
/// When it is neither.
pub fn named(text: &str) -> Result<(String, bool), String> {
    let identifier = |name: &str| name::identifier(name).map_err(|wrong| wrong.to_string());
    if !Databases::is_special(text) {
        return Ok((identifier(text)?, false));
    }
    if text.len() > LONGEST {
        return Err(format!("a list has {LONGEST} bytes at most"));
    }
    name::without_nul(text).map_err(|wrong| wrong.to_string())?;
    match text.parse().map_err(|wrong: Wrong| wrong.to_string())? {
        Databases::One(name) => Ok((identifier(&name)?, false)),
        Databases::Several(selection) => {
            for name in selection.names() {
                identifier(name)?;
            }
            Ok((selection.to_string(), true))
        }
    }
}

/// Whether a place that was backed up, `host:port/NAME` or `host:port/LIST`, has another one in it.
#[must_use]
pub fn covers(place: &str, other: &str) -> bool {
    let parts = place.split_once('/').zip(other.split_once('/'));
    let Some(((server, list), (other, name))) = parts else {
        return false;
    };
    let list = list.parse();
    server == other && matches!(list, Ok(Databases::Several(it)) if it.has(name))
}

/// Whether backups of one place, `host:port/NAME` or `host:port/LIST`, may be those of another. A server has many
/// addresses, and backups lie under the database's name: so names alone tell them apart.
#[must_use]
pub fn may_share_backups(place: &str, other: &str) -> bool {
    let databases = |place: &str| {
        let source: BackupSource = place.parse().ok()?;
        source.database.parse::<Databases>().ok()
    };
    match (databases(place), databases(other)) {
        (Some(Databases::One(one)), Some(Databases::One(other))) => one == other,
        (Some(Databases::Several(list)), Some(Databases::One(name)))
        | (Some(Databases::One(name)), Some(Databases::Several(list))) => list.has(&name),
        // Two lists, or what nobody understands.
        _ => true,
    }
}

impl Plan {
    /// What its worker is told of it: DB_NAME.
    #[must_use]
    pub fn databases(&self) -> String {
        if self.several {
            self.source.name.clone()
        } else {
            Databases::One(self.source.name.clone()).to_string()
        }
    }

    /// Whether a database of one name may be one of both, on whatever servers these are.
    #[must_use]
    pub fn may_share_a_name(&self, other: &Self) -> bool {
        let (own, its): (Result<Databases, _>, Result<Databases, _>) =
            (self.databases().parse(), other.databases().parse());
        // One that cannot be read may mean any.
        own.ok()
            .zip(its.ok())
            .is_none_or(|(own, its)| own.may_share(&its))
    }

    fn selection(&self) -> Option<Selection> {
        match self.source.name.parse() {
            Ok(Databases::Several(selection)) if self.several => Some(selection),
            _ => None,
        }
    }

    /// Whether a database of this name is one of its own.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self.selection() {
            Some(selection) => selection.has(name),
            None => !self.several && self.source.name == name,
        }
    }

    /// Whether both are of one database of one server, or of one list.
    #[must_use]
    pub fn has_databases_of(&self, other: &Self) -> bool {
        self.several == other.several && self.source.place() == other.source.place()
    }

    /// One of its databases; none where it is another's, or of another server.
    #[must_use]
    pub fn one(&self, source: &BackupSource) -> Option<Database> {
        let own = &self.source;
        let is_of_server = source.host == own.host && source.port == own.port;
        (is_of_server && self.has(&source.database)).then(|| Database {
            name: source.database.clone(),
            ..own.clone()
        })
    }

    /// The database of one of its backups, by its key, where that says it.
    #[must_use]
    pub fn source_of(&self, key: &str) -> Option<BackupSource> {
        let (segment, name) = key.split_once('/')?;
        let is_folder = !name.contains('/') || name.ends_with("/manifest.json");
        // A template may begin with anything.
        let is_script = [".sql.gz", ".sql.gz.age"]
            .iter()
            .any(|it| name.ends_with(it));
        let database = backuper::archive::key::decode(segment).ok()?;
        let source = BackupSource {
            host: self.source.host.clone(),
            port: self.source.port,
            database,
        };
        let is_its = is_folder && !is_script && self.one(&source).is_some();
        is_its.then_some(source)
    }

    /// A name that was one database's when the schedule was made stays that, whatever it looks like.
    #[must_use]
    pub fn as_kept(mut self, kept: Option<&Self>) -> Self {
        if let Some(kept) = kept.filter(|it| self.may_be_kept_as_one(it)) {
            self.several = false;
            self.source.name.clone_from(&kept.source.name);
        }
        self
    }

    /// Whether it is written as the one database of another schedule is called, which may be older than lists
    /// are. A list is written in one way, whatever spaces and order it was given with.
    #[must_use]
    pub fn may_be_kept_as_one(&self, kept: &Self) -> bool {
        let (own, its) = (&self.source, &kept.source);
        let is_of_server = (&own.host, own.port) == (&its.host, its.port);
        match (self.selection(), its.name.parse()) {
            (Some(own), Ok(Databases::Several(its))) => is_of_server && !kept.several && own == its,
            _ => false,
        }
    }

    /// What a question is about: one of its databases, or all of them; with what the schedule has of its own.
    #[must_use]
    pub fn given(self, of: Option<&BackupSource>, options: Options) -> Given {
        let one = of.and_then(|it| self.one(it));
        let several = self.several && one.is_none();
        let database = one.unwrap_or(self.source);
        Given {
            source: database.as_source(),
            several,
            database: Some(database),
            store: Some(self.store),
            options,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance::schedule;

    fn plan(databases: &str) -> Plan {
        let mut plan = schedule("it").plan;
        (plan.source.name, plan.several) = named(databases).unwrap();
        plan
    }

    #[test]
    fn a_call_names_one_database_or_a_list() {
        let read = |text: &str| named(text).unwrap();
        assert_eq!(read("shop"), ("shop".to_owned(), false));
        assert_eq!(read("\"*\""), ("*".to_owned(), false));
        assert_eq!(read("a\"b"), ("a\"b".to_owned(), false));
        assert_eq!(read("*, !x"), ("*,!x".to_owned(), true));
        assert_eq!(plan("*,!x").databases(), "*,!x");
        assert_eq!(plan("\"a,b\"").databases(), "\"a,b\"");
        assert_eq!(plan(" x ").databases(), " x ");
        let long = "x".repeat(64);
        for text in [
            "",
            "!x",
            "\"ab",
            "a*\0",
            &long,
            &format!("{long},a"),
            &"a*,".repeat(400),
        ] {
            assert!(named(text).is_err(), "{text}");
        }
    }

    /// What was one database's stays that after an update to this version.
    #[test]
    fn a_name_that_was_kept_as_one_stays_one() {
        let mut kept = plan("shop");
        kept.source.name = "a,b".to_owned();
        let asked = plan("a,b");
        assert!(asked.several);
        assert!(!asked.clone().as_kept(Some(&kept)).several);
        assert_eq!(kept.databases(), "\"a,b\"");
        assert!(asked.clone().as_kept(None).several);
        assert!(asked.clone().as_kept(Some(&plan("a,b"))).several);
        assert!(asked.as_kept(Some(&plan("b"))).several);
        // Neither spaces nor the order make another name of it.
        for (name, text) in [("a, b", "a, b"), ("!x, *", "!x, *"), ("a,b,a", "a,b,a")] {
            kept.source.name = name.to_owned();
            let still = plan(text).as_kept(Some(&kept));
            assert!(!still.several, "{text}");
            assert_eq!(still.source.name, name);
        }
    }

    #[test]
    fn a_list_and_a_database_that_is_called_so_are_two_places() {
        let (list, one) = (plan("a,b"), plan("\"a,b\""));
        assert_eq!(list.source.name, one.source.name);
        assert!(!list.has_place_of(&one) && !list.has_databases_of(&one));
        assert!(!list.is_same_schedule(&one));
        assert!(list.has_place_of(&plan("a, b")));
    }

    #[test]
    fn two_schedules_may_share_a_name_as_lists_and_as_names() {
        for (one, other, shares) in [
            ("*", "shop", true),
            ("app*", "app1", true),
            ("app*,!app1", "app1", false),
            ("\"a,b\"", "a", false),
            ("a,b", "a", true),
            ("shop", "shop", true),
            ("app*", "shop*", false),
        ] {
            let (one, other) = (plan(one), plan(other));
            assert_eq!(one.may_share_a_name(&other), shares, "{one:?} {other:?}");
            assert_eq!(other.may_share_a_name(&one), shares, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_schedule_of_several_knows_which_databases_are_its_own() {
        let plan = plan("app*,!app_x");
        let source = |name: &str| -> BackupSource {
            let place = Database {
                name: name.to_owned(),
                ..plan.source.clone()
            };
            place.as_source().unwrap()
        };
        let one = plan.one(&source("app1")).unwrap();
        assert_eq!((one.name.as_str(), &one.user), ("app1", &plan.source.user));
        assert!(plan.one(&source("app_x")).is_none());
        assert!(plan.one(&source("shop")).is_none());
        let elsewhere: BackupSource = "elsewhere:5432/app1".parse().unwrap();
        assert!(plan.one(&elsewhere).is_none());
        let of = |key: &str| plan.source_of(key).map(|it| it.database);
        let folder = "app%2C1/2026-11-20-21-05-27-backup-1f3a9c0e";
        assert_eq!(of(folder).as_deref(), Some("app,1"));
        assert_eq!(
            of(&format!("{folder}/manifest.json")).as_deref(),
            Some("app,1")
        );
        assert_eq!(of("shop/2026-11-20-21-05-27-backup-1f3a9c0e"), None);
        for ending in ["", ".age"] {
            let key = format!("app1/2026-11-20T21-05-27Z.sql.gz{ending}");
            assert_eq!(of(&key), None, "a template may begin with anything");
        }
        let all = plan.clone().given(None, Options::default());
        assert!(all.several && all.source.unwrap().database == "app*,!app_x");
        let one = plan
            .clone()
            .given(Some(&source("app1")), Options::default());
        assert!(!one.several && one.source.unwrap().database == "app1");
        assert!(covers("db:5432/app*", "db:5432/app1"));
        for (place, other) in [
            ("db:5432/app*", "x:5432/app1"),
            ("db:5432/app", "db:5432/app"),
            ("", ""),
        ] {
            assert!(!covers(place, other));
        }
    }
}
