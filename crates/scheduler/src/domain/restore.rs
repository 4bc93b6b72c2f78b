//! What a call asks to be brought back.

use backuper::catalog::Revision;
use backuper::report::CoreAddress;
use jiff::Timestamp;
use restorer::job::{CreateRoles, Mode, Owners};
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};
use sha2::{Digest as _, Sha256};

use super::credential::Credential;
use super::database::Database;
use super::drills;
use super::kept::Kept;
use super::name::Name;
use super::options::OwnLayout;
use super::schedule::Schedule;
use super::store::{Store, Way, referenced};

/// A restore as it is asked for.
#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restore {
    /// Where to.
    pub target: Database,
    /// Where from.
    pub store: Store,
    /// Which backup.
    #[serde_as(as = "DisplayFromStr")]
    pub revision: Revision,
    /// The private key of an encrypted backup.
    #[serde(default, skip_serializing_if = "Credential::is_ambient")]
    pub identity: Credential,
    /// Who is told.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub core: Option<CoreAddress>,
    /// What the caller calls this request, so that repeating it is not asking twice; empty: nothing.
    pub request_id: String,
    /// A count means what it meant at this time; none where the revision is no count.
    pub as_of: Option<Timestamp>,
    /// It does not begin after this time, for it would take what was written meanwhile; none: whenever.
    pub begin_by: Option<Timestamp>,
    /// The database whose backups are meant, `host:port/dbname`; none: the one that is restored into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The schedule that lends it credentials; none: the request has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lent: Option<Lent>,
    /// What was asked for beside the administrator's settings.
    #[serde(default, skip_serializing_if = "Wishes::are_none")]
    pub wishes: Wishes,
    /// Under which keys the dumps lie among which it takes one, as the schedule has it whose they are.
    #[serde(default, skip_serializing_if = "OwnLayout::is_none")]
    pub layout: OwnLayout,
    /// That it is a drill; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
    /// Seconds that its run stays after its end, where runs go by their time; none: as the administrator has set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i32>,
}

/// A restore that proves a backup: into a database of its own, which is compared with what was dumped and dropped.
/// The target's database is no more than a name then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drill {
    /// What is asked of what has come back; no statement may say no.
    pub sql: Vec<String>,
    /// An image of PostgreSQL that runs beside the worker and serves no one else; none: the target's server is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl Drill {
    /// What a run of a drill is told of as its database: one that is nobody's.
    #[must_use]
    pub fn name(of: &str) -> String {
        format!("restore_drill_{of}")
    }

    /// Whether anything is asked.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.sql.is_empty()
    }

    /// All that is asked, for a worker; none: nothing is.
    #[must_use]
    pub fn question(&self) -> Option<String> {
        // A statement may end in a comment.
        (!self.sql.is_empty()).then(|| self.sql.join("\n;\n"))
    }
}

/// How a restore is to be done, where that was asked for.
#[serde_as]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// Which target it may be.
    #[serde_as(as = "DisplayFromStr")]
    pub mode: Mode,
    /// Whose everything becomes; none: as the administrator has set it.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub owners: Option<Owners>,
    /// Whether what cannot be made after the rows is left out; none: as the administrator has set it.
    pub keep_going: Option<bool>,
    /// Which roles are made; none: as the administrator has set it.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<CreateRoles>,
}

impl Kept for Restore {
    fn version(&self) -> u32 {
        let named = [
            self.target.password.reference(),
            self.store.keys.reference(),
        ];
        // Whose backups are meant, an older scheduler would not tell its worker.
        let is_of_another = self.source.is_some() || self.lent.is_some();
        let is_new = is_of_another
            || self.identity.is_given()
            || !self.wishes.are_none()
            || named.iter().any(Option::is_some);
        // One that reads all of that would take another backup for the newest, look elsewhere, or make no role.
        let is_newest = !self.layout.is_none()
            || self.store.place.is_new()
            || self.wishes.roles.is_some()
            || self.target.sslmode.is_some()
            || self.target.authorities.is_some()
            || self.store.region.is_some();
        let newest = match self.drill {
            // It would lend another password.
            Some(_) if self.lent.as_ref().is_some_and(|it| it.drills) => 5,
            // It would replace the target, or try to.
            Some(_) => 4,
            None if is_newest => 3,
            None => 1,
        };
        newest.max(1 + u32::from(is_new))
    }
}

impl Wishes {
    /// Those of a drill: roles of the backup are none of the throw-away database's, and everything belongs to the
    /// role that restores.
    #[must_use]
    pub fn of_a_drill() -> Self {
        Self {
            owners: Some(Owners::None),
            ..Self::default()
        }
    }

    /// All of it, for [`Restore::request`]: what came later stands apart, so that a request from before it
    /// stays the same.
    fn asked(&self) -> String {
        let Self {
            mode,
            owners,
            keep_going,
            roles,
        } = self;
        let mut text = format!(
            "\nWishes {{ mode: {mode:?}, owners: {owners:?}, keep_going: {keep_going:?} }}"
        );
        if let Some(roles) = roles {
            text.push_str(&format!("\nroles: {roles:?}"));
        }
        text
    }

    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Credentials of a schedule that a restore uses without anybody's having them in hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// The schedule; the keys of its store are lent in any case.
    pub by: Name,
    /// Whether the password of its database is lent too.
    pub password: bool,
    /// Whether the password of the server is lent that its drills have for themselves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drills: bool,
}

impl Lent {
    /// By a schedule, with or without its database's password.
    #[must_use]
    pub fn by(by: Name, password: bool) -> Self {
        Self {
            by,
            password,
            drills: false,
        }
    }

    /// The name under which the schedule keeps what a worker's variable has; none: it does not lend it.
    #[must_use]
    pub fn of(&self, variable: &str) -> Option<&'static str> {
        if variable == "DB_PASSWORD" {
            let own = self.password.then_some("DB_PASSWORD");
            return self.drills.then_some(drills::PASSWORD).or(own);
        }
        let mut stores = Way::ALL.into_iter().flat_map(Way::variables);
        stores.find(|it| **it == variable).copied()
    }

    /// All that it may lend, by the names of a worker's variables.
    pub fn variables() -> impl Iterator<Item = &'static str> {
        let stores = Way::ALL.into_iter().flat_map(Way::variables);
        stores.copied().chain(["DB_PASSWORD"])
    }
}

impl Restore {
    /// Whether a schedule is still for what it was to lend its credentials for.
    #[must_use]
    pub fn may_borrow_of(&self, lender: &Schedule) -> bool {
        let plan = &lender.plan;
        let source = self.source.as_ref().and_then(|it| it.parse().ok());
        let is_source = source.is_some_and(|it| plan.one(&it).is_some());
        let lent = |it: fn(&Lent) -> bool| self.lent.as_ref().is_some_and(it);
        let is_login = !lent(|it| it.password) || plan.source.has_login_of(&self.target);
        let server = lender.verify().and_then(|it| it.server.as_ref());
        let is_server = server.is_some_and(|it| it.has_login_of(&self.target));
        let is_drills = !lent(|it| it.drills) || is_server;
        is_source && is_login && is_drills && plan.store.place == self.store.place
    }

    /// Which key of which Secret a worker's variable is in, where the caller or the administrator has named
    /// one.
    #[must_use]
    pub fn named(&self, variable: &str) -> Option<(&str, &str)> {
        if variable == "AGE_IDENTITY" {
            let reference = self.identity.reference()?;
            return Some((&reference.secret, reference.keys.first()?));
        }
        referenced(variable, Some(&self.target.password), Some(&self.store))
    }

    /// Tells requests apart: by all that was asked for, but neither by secrets nor by the time of the
    /// call. A call that is repeated after its answer was lost is the same.
    #[must_use]
    pub fn request(&self) -> String {
        let Self {
            target,
            store,
            revision,
            identity,
            core,
            request_id,
            as_of: _,
            begin_by: _,
            source,
            lent,
            wishes,
            layout,
            drill,
            ttl: _,
        } = self;
        // Quoted, so that no value can pass for two.
        let mut text = format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
            target.place(),
            target.user,
            store.place(),
            revision.to_string(),
            core.as_ref().map(ToString::to_string),
            request_id,
        );
        if let Some(source) = source.as_ref().filter(|it| **it != target.place()) {
            text.push_str(&format!("\n{source:?}"));
        }
        if let Some(Lent {
            by,
            password,
            drills,
        }) = lent
        {
            text.push_str(&format!("\n{:?}\n{password}", by.as_str()));
            if *drills {
                text.push_str("\ndrills");
            }
        }
        if !wishes.are_none() {
            text.push_str(&wishes.asked());
        }
        let named = [target.password.reference(), store.keys.reference()];
        if named.iter().any(Option::is_some) {
            text.push_str(&format!("\n{named:?}"));
        }
        if let Some(reference) = identity.reference() {
            text.push_str(&format!("\n{reference:?}"));
        }
        if !layout.is_none() {
            text.push_str(&format!("\n{layout:?}"));
        }
        if let Some(drill) = drill {
            text.push_str(&format!("\n{drill:?}"));
        }
        hex::encode(&Sha256::digest(text)[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::kept;
    use crate::engine::conformance::{restore, workers};

    /// What came later than the other wishes does not make another request of one from before it.
    #[test]
    fn a_wish_for_roles_is_kept_and_makes_a_request_of_its_own() {
        let mut plain = restore("copy", "0", 0);
        plain.wishes.keep_going = Some(true);
        let without = serde_json::to_string(&plain.wishes).unwrap();
        assert!(!without.contains("roles"), "{without}");
        let before = plain.wishes.asked();
        assert_eq!(
            before,
            "\nWishes { mode: Auto, owners: None, keep_going: Some(true) }"
        );
        let mut asked = plain.clone();
        asked.wishes.roles = Some(CreateRoles::Missing);
        assert_ne!(asked.request(), plain.request());
        let read: Restore = kept::read(&kept::write(&asked).unwrap()).unwrap();
        assert_eq!(read.wishes, asked.wishes);
        let job = workers().restore(&read);
        let vars = job.to_env();
        assert!(vars.iter().any(|it| it.name == "RESTORE_ROLES"));
        let vars = workers().restore(&plain).to_env();
        assert!(!vars.iter().any(|it| it.name == "RESTORE_ROLES"));
    }

    /// An older scheduler would restore over what is there.
    #[test]
    fn a_drill_is_kept_from_older_schedulers_and_told_to_workers_that_know_drills() {
        let mut drill = restore("copy", "0", 0);
        drill.drill = Some(Drill {
            sql: vec!["SELECT 1 -- one".to_owned(), "SELECT 2".to_owned()],
            image: None,
        });
        let kept = kept::write(&drill).unwrap();
        assert!(kept.starts_with(r#"{"version":4,"#), "{kept}");
        let read: Restore = kept::read(&kept).unwrap();
        assert_eq!(read.drill, drill.drill);
        assert_ne!(drill.request(), restore("copy", "0", 0).request());
        let vars = workers().restore(&read).to_env();
        assert!(!vars.iter().any(|it| it.name == "DB_NAME"));
        let told = |name: &str| {
            let var = vars.iter().find(|it| it.name == name).unwrap();
            format!("{:?}", var.value)
        };
        assert!(told("RESTORE_DRILL").contains("copy"));
        assert!(told("RESTORE_DRILL_SQL").contains(r"SELECT 1 -- one\n;\nSELECT 2"));
        let lent = |password, drills| {
            let by = "nightly".parse().unwrap();
            Lent {
                by,
                password,
                drills,
            }
        };
        assert_eq!(lent(true, false).of("DB_PASSWORD"), Some("DB_PASSWORD"));
        assert_eq!(lent(false, false).of("DB_PASSWORD"), None);
        assert_eq!(lent(false, true).of("DB_PASSWORD"), Some(drills::PASSWORD));
        assert_eq!(lent(false, true).of(drills::PASSWORD), None);
        drill.lent = Some(lent(false, true));
        // It would lend the schedule's own password, and to another server.
        assert!(kept::write(&drill).unwrap().starts_with(r#"{"version":5,"#));
        assert_ne!(drill.request(), read.request());
    }

    /// A drill has no target whose place could be taken, and who asks for a mode gets it.
    #[test]
    fn the_administrators_mode_is_that_of_restores_that_ask_for_none() {
        let mut workers = workers();
        workers.settings.restore_mode = Mode::Swap;
        workers.settings.keep_old = std::time::Duration::ZERO;
        let plain = restore("copy", "0", 0);
        let job = workers.restore(&plain);
        assert_eq!((job.mode, job.keep_old.is_zero()), (Mode::Swap, true));
        let mut only_empty = plain.clone();
        only_empty.wishes.mode = Mode::Empty;
        assert_eq!(workers.restore(&only_empty).mode, Mode::Empty);
        let mut drill = plain;
        drill.drill = Some(Drill::default());
        assert_eq!(workers.restore(&drill).mode, Mode::Auto);
    }

    /// After a rollback an older scheduler would take the target's own backups.
    #[test]
    fn a_restore_that_says_whose_backup_it_takes_is_kept_from_older_schedulers() {
        let version = |it: &Restore| {
            let kept: serde_json::Value = serde_json::from_str(&kept::write(it).unwrap()).unwrap();
            kept["version"].as_u64()
        };
        let plain = restore("copy", "0", 0);
        assert_eq!(version(&plain), Some(1));
        let mut of_another = plain.clone();
        of_another.source = Some("db.example:5432/shop".to_owned());
        let mut only_empty = plain.clone();
        only_empty.wishes.mode = Mode::Empty;
        for it in [of_another, only_empty] {
            assert_eq!(version(&it), Some(2), "{it:?}");
        }
        let mut elsewhere = plain.clone();
        elsewhere.layout.cluster_name = Some("prod".to_owned());
        assert_eq!(version(&elsewhere), Some(3));
        let mut with_roles = plain.clone();
        with_roles.wishes.roles = Some(CreateRoles::None);
        assert_eq!(version(&with_roles), Some(3));
        assert_ne!(elsewhere.request(), plain.request());
    }
}
