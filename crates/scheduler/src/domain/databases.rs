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

    fn selection(&self) -> Option<Selection> {
        match self.source.name.parse() {
            Ok(Databases::Several(selection)) if self.several => Some(selection),
            _ => None,
        }
    }

    /// One of its databases; none where it is another's, or of another server.
    #[must_use]
    pub fn one(&self, source: &BackupSource) -> Option<Database> {
        let own = &self.source;
        let is_of_server = source.host == own.host && source.port == own.port;
        let has_it = match self.selection() {
            Some(selection) => selection.has(&source.database),
            None => !self.several && source.database == own.name,
        };
        (is_of_server && has_it).then(|| Database {
            name: source.database.clone(),
            ..own.clone()
        })
    }

    /// The database of one of its backups, by its key, where that says it.
    #[must_use]
    pub fn source_of(&self, key: &str) -> Option<BackupSource> {
        let (segment, name) = key.split_once('/')?;
        let is_folder = !name.contains('/') || name.ends_with("/manifest.json");
        let is_script = name.ends_with(".sql.gz");
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
        let is_kept = |it: &Self| !it.several && it.source.place() == self.source.place();
        if self.several && kept.is_some_and(is_kept) {
            self.several = false;
        }
        self
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
        assert_eq!(
            of("app1/2026-11-20T21-05-27Z.sql.gz"),
            None,
            "a template may begin with anything"
        );
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
