//! Which backup a revision means.

mod named;
mod nothing;
mod parts;

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::origin::{self, Origin};
use super::{
    Backup, Error, Listing, Revision, damage_of_published, is_of_the_future, list, read_manifest,
};
use crate::archive::key::{Folder, Published};
use crate::archive::manifest::Manifest;
use crate::archive::{Identity, Layout, SourceId};
use crate::storage::{Object, Storage};

/// Which backup is asked for, and who asks.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which backup.
    pub revision: &'a Revision,
    /// The database that it is for: its name says which backups are looked at, its server which of
    /// them count.
    pub target: &'a Identity,
    /// Where dumps in plain SQL lie.
    pub layout: &'a Layout,
    /// With this, numbers skip what was not complete by then.
    pub as_of: Option<Timestamp>,
    /// This machine's clock.
    pub now: Timestamp,
    /// Whether the source was named as such: then its name is enough where its server is none of those
    /// in the store, and no other's backup is taken, not even by its name.
    pub by_name: bool,
}

/// What a revision means.
#[derive(Clone, Debug)]
pub enum Found {
    /// One of ours.
    Ours(Folder, Box<Manifest>),
    /// A single object: the published adapter's, or any that was named by its key.
    Object(Object),
}

/// The backup that was found, and what a person should know who expected another.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// What to restore.
    pub found: Found,
    /// Folders of the same source that are newer and have no manifest, newest first.
    pub incomplete: Vec<Backup>,
    /// The keys of backups of the future, which were not counted.
    pub misdated: Vec<String>,
    /// Folders of before servers were known by their identifier, which were not counted because
    /// another server has the same name.
    pub ambiguous: Vec<Folder>,
    /// What would be taken next, should this one turn out to be none.
    pub older: Option<Older>,
    /// Newer backups of the same source that have a part of the database alone, newest first: a number or a time
    /// means one that has all of it, where there is any.
    pub parts: Vec<Folder>,
}

/// The next older one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Older {
    /// What a revision names it by.
    pub key: String,
    /// When its run began, as its name says, UTC.
    pub started: Timestamp,
}

impl Resolution {
    fn of(found: Found) -> Self {
        Self {
            found,
            incomplete: Vec::new(),
            misdated: Vec::new(),
            ambiguous: Vec::new(),
            older: None,
            parts: Vec::new(),
        }
    }
}

/// Finds the backup that is asked for. Numbers and times look at the backups of the target's server
/// where it has some, of the only server where there is one, and at the published adapter's among
/// them.
///
/// # Errors
/// [`Error`], each a sentence for the person who asked.
pub async fn resolve(storage: &dyn Storage, request: Request<'_>) -> Result<Resolution, Error> {
    let question = Question { storage, request };
    let wanted = match request.revision {
        Revision::Named(name) => return question.named(name).await.map(Resolution::of),
        Revision::Count(count) => Wanted::Count(*count),
        Revision::At(time) => Wanted::At(*time),
    };
    let listing = list(storage, &request.target.database, request.layout).await?;
    if listing.complete.is_empty() && listing.published.is_empty() {
        return Err(question.nothing(&listing).await);
    }
    let sources = question.sources(&listing).await?;
    let (all, misdated) = question.candidates(&listing, &sources.ids);
    let until = match wanted {
        Wanted::Count(_) => request.as_of,
        Wanted::At(time) => Some(time),
    };
    let (found, candidates, parts) = question.whole(all, wanted).await?;
    let older = candidates.iter().skip_while(|it| !it.is(&found)).skip(1);
    let older = older
        .filter(|it| !it.is_empty())
        .map(Candidate::as_older)
        .next();
    let started = match &found {
        Found::Ours(folder, _) => folder.started(),
        Found::Object(_) => candidates
            .iter()
            .find(|it| it.is(&found))
            .map_or(request.now, Candidate::started),
    };
    let of = |id: SourceId| sources.ids.contains(&id);
    let incomplete = listing.incomplete.into_iter().filter(|it| {
        let time = it.folder.started();
        of(it.folder.source()) && time > started && until.is_none_or(|until| time <= until)
    });
    let complete = listing.complete.iter().map(|it| &it.folder);
    let ambiguous = complete.filter(|it| sources.ambiguous == Some(it.source()));
    Ok(Resolution {
        found,
        incomplete: incomplete.collect(),
        misdated,
        ambiguous: ambiguous.cloned().collect(),
        older,
        parts: parts
            .into_iter()
            .filter(|it| it.started() > started)
            .collect(),
    })
}

/// Which of several candidates is asked for.
#[derive(Clone, Copy)]
enum Wanted {
    /// Counted from the newest, which is 0.
    Count(u32),
    /// The newest whose snapshot is at or before this time.
    At(Timestamp),
}

/// Whether a moment is after a time. One that is said without a fraction is all of its second, as people
/// are shown it.
fn is_after(moment: Timestamp, time: Timestamp) -> bool {
    if time.subsec_nanosecond() == 0 {
        moment.as_second() > time.as_second()
    } else {
        moment > time
    }
}

struct Question<'a> {
    storage: &'a dyn Storage,
    request: Request<'a>,
}

/// Whose backups count.
struct Sources {
    ids: BTreeSet<SourceId>,
    /// What folders carry that may be the target's or those of another server of its name.
    ambiguous: Option<SourceId>,
}

impl Sources {
    fn of(ids: BTreeSet<SourceId>) -> Self {
        Self {
            ids,
            ambiguous: None,
        }
    }
}

/// A backup that a number or a time may mean.
#[derive(Clone, Copy)]
enum Candidate<'a> {
    Ours(&'a Backup),
    Published(&'a Published, &'a Object),
}

impl Candidate<'_> {
    fn started(&self) -> Timestamp {
        match self {
            Self::Ours(backup) => backup.folder.started(),
            Self::Published(published, _) => published.started,
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Ours(backup) => backup.folder.prefix(),
            Self::Published(published, _) => published.key.clone(),
        }
    }

    fn is(&self, found: &Found) -> bool {
        match (self, found) {
            (Self::Ours(backup), Found::Ours(folder, _)) => backup.folder == *folder,
            (Self::Published(_, it), Found::Object(object)) => it.key == object.key,
            _ => false,
        }
    }

    /// Whether nobody can restore it, as the listing shows.
    fn is_empty(&self) -> bool {
        matches!(self, Self::Published(_, object) if damage_of_published(object).is_some())
    }

    fn as_older(&self) -> Older {
        Older {
            key: self.key().trim_end_matches('/').to_owned(),
            started: self.started(),
        }
    }
}

impl Question<'_> {
    async fn count(&self, candidates: &[Candidate<'_>], count: u32) -> Result<Found, Error> {
        let mut passed = 0;
        for candidate in candidates {
            let Some(found) = self.complete_by(candidate).await? else {
                continue;
            };
            if passed == count {
                return match found {
                    Some(found) => Ok(found),
                    None => self.open(candidate).await,
                };
            }
            passed += 1;
        }
        Err(self.no_such(format!("there are {passed}, and the newest is 0")))
    }

    async fn at(&self, candidates: &[Candidate<'_>], time: Timestamp) -> Result<Found, Error> {
        for candidate in candidates.iter().filter(|it| it.started() <= time) {
            match self.open(candidate).await? {
                // Its folder's time is older than its snapshot, by the time that took.
                Found::Ours(_, manifest) if is_after(manifest.snapshot_at, time) => {}
                found => return Ok(found),
            }
        }
        let oldest = candidates.last().map(Candidate::started);
        Err(self.no_such(oldest.map_or_else(
            || "there is none".to_owned(),
            |it| format!("the oldest is of {it}"),
        )))
    }

    /// `None` when the candidate was not complete in time; otherwise the backup, where it had to be
    /// opened to know.
    async fn complete_by(&self, candidate: &Candidate<'_>) -> Result<Option<Option<Found>>, Error> {
        let Some(as_of) = self.request.as_of else {
            return Ok(Some(None));
        };
        if candidate.started() > as_of {
            return Ok(None);
        }
        Ok(match self.open(candidate).await? {
            Found::Ours(_, manifest) if manifest.finished_at > as_of => None,
            Found::Object(object) if object.modified > as_of => None,
            found => Some(Some(found)),
        })
    }

    async fn open(&self, candidate: &Candidate<'_>) -> Result<Found, Error> {
        Ok(match candidate {
            Candidate::Ours(backup) => {
                let manifest = read_manifest(self.storage, &backup.folder).await?;
                Found::Ours(backup.folder.clone(), Box::new(manifest))
            }
            Candidate::Published(_, object) => Found::Object((*object).clone()),
        })
    }

    /// Those of these ids and the published adapter's, newest first; and the keys of those of the
    /// future. Where all are of the future, it is this machine's clock that is wrong, and they count.
    fn candidates<'a>(
        &self,
        listing: &'a Listing,
        ids: &BTreeSet<SourceId>,
    ) -> (Vec<Candidate<'a>>, Vec<String>) {
        let ours = listing
            .complete
            .iter()
            .filter(|it| ids.contains(&it.folder.source()))
            .map(Candidate::Ours);
        let published = listing
            .published
            .iter()
            .map(|(published, object)| Candidate::Published(published, object));
        let (mut misdated, mut counted): (Vec<_>, Vec<_>) = ours
            .chain(published)
            .partition(|it| is_of_the_future(it.started(), self.request.now));
        if counted.is_empty() {
            std::mem::swap(&mut misdated, &mut counted);
        }
        counted.sort_by_key(|it| std::cmp::Reverse(it.started()));
        let misdated = misdated.iter().map(Candidate::key).collect();
        (counted, misdated)
    }

    /// Whose backups count. Manifests are read only where folders of others are there too.
    async fn sources(&self, listing: &Listing) -> Result<Sources, Error> {
        let target = self.request.target;
        let (own, others): (BTreeSet<_>, BTreeSet<_>) =
            listing.ids().into_iter().partition(|it| target.owns(*it));
        if others.is_empty() {
            return Ok(Sources::of(own));
        }
        if target.system.is_none() {
            return self.called_like_the_target(listing).await;
        }
        if own.is_empty() && self.request.by_name {
            return self.called_like_the_target(listing).await;
        }
        if own.is_empty() {
            let origins = origin::united(origin::of(self.storage, listing, others).await?);
            return match origins.as_slice() {
                [only] => Ok(Sources::of(only.ids.clone())),
                several => Err(self.several(several)),
            };
        }
        let by_name = target.id_by_name();
        if !own.contains(&by_name) {
            return Ok(Sources::of(own));
        }
        // Older folders of its name, and other servers: one of those may have the same name.
        let servers = origin::of(self.storage, listing, others.clone()).await?;
        let namesake = |it: &Origin| {
            let server = it.identity.as_ref();
            server.is_some_and(|it| target.is_namesake_of(it))
        };
        if !servers.iter().any(namesake) {
            return Ok(Sources::of(own));
        }
        let ids: BTreeSet<_> = own.into_iter().filter(|it| *it != by_name).collect();
        if ids.is_empty() {
            let all = others.into_iter().chain([by_name]);
            return Err(self.several(&origin::of(self.storage, listing, all).await?));
        }
        Ok(Sources {
            ids,
            ambiguous: Some(by_name),
        })
    }

    /// The target's server does not tell which one it is: its name has to do.
    async fn called_like_the_target(&self, listing: &Listing) -> Result<Sources, Error> {
        let origins = origin::united(origin::of(self.storage, listing, listing.ids()).await?);
        let (named, others): (Vec<Origin>, Vec<Origin>) = origins
            .into_iter()
            .partition(|it| self.is_called_like_the_target(it));
        // That a database of this name is the only one does not make it the one that is named.
        if named.is_empty() && self.request.by_name {
            // Those of the published adapter say nothing of their server, and have always counted.
            if !listing.published.is_empty() {
                return Ok(Sources::of(BTreeSet::new()));
            }
            let source = self.request.target;
            return Err(self.no_such(format!(
                "no server's newest backup of a database of this name was made at {}:{}; name the source as that one does, or the backup by its folder",
                source.host, source.port
            )));
        }
        match (named.as_slice(), others.as_slice()) {
            ([only], _) | ([], [only]) => Ok(Sources::of(only.ids.clone())),
            ([], several) | (several, _) => Err(self.several(several)),
        }
    }

    fn is_called_like_the_target(&self, origin: &Origin) -> bool {
        let by_name = self.request.target.id_by_name();
        let server = origin.identity.as_ref();
        origin.ids.contains(&by_name) || server.is_some_and(|it| it.id_by_name() == by_name)
    }

    fn several(&self, origins: &[Origin]) -> Error {
        // Who names a source is told of no other's.
        let is_told = |it: &&Origin| !self.request.by_name || self.is_called_like_the_target(it);
        Error::SeveralSources {
            database: self.request.target.database.clone(),
            location: self.storage.location(),
            newest: origins.iter().filter(is_told).map(Origin::offer).collect(),
        }
    }

    fn no_such(&self, reason: impl Into<String>) -> Error {
        Error::NoSuch {
            revision: self.request.revision.to_string(),
            database: self.request.target.database.clone(),
            location: self.storage.location(),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::SystemIdentifier;
    use crate::archive::key::{self, MANIFEST};
    use crate::storage::memory::MemoryStorage;

    const NOW: &str = "2026-11-25T12:00:00Z";

    fn server(host: &str, system: Option<u64>) -> Identity {
        Identity {
            host: host.to_owned(),
            port: 5432,
            database: "app".to_owned(),
            system: system.map(SystemIdentifier::from),
        }
    }

    fn manifest(of: &Identity, at: Timestamp) -> Vec<u8> {
        let mut json = serde_json::json!({
            "format_version": 1,
            "source": {
                "host": of.host, "port": of.port, "database": of.database,
                "server_version": "15.1", "server_version_num": 150_001, "encoding": "UTF8",
                "locale": { "provider": "libc", "collate": "C", "ctype": "C" },
                "extensions": [], "size_bytes": 1
            },
            "snapshot_at": at, "started_at": at, "finished_at": at,
            "tools": { "backuper": "0", "pg_dump": "15.1", "zstd": "1" },
            "streams": [{
                "name": "schema.dump", "key": "app/x/schema.dump", "content": "schema",
                "compression": "none", "raw_bytes": 1, "stored_bytes": 1, "sha256": "0"
            }]
        });
        if let Some(system) = of.system {
            json["source"]["system_identifier"] = system.to_string().into();
        }
        serde_json::to_vec(&json).unwrap()
    }

    fn at(day: &str) -> Timestamp {
        format!("2026-11-{day}T00:00:00Z").parse().unwrap()
    }

    /// A store with a backup of each server on its day of this November.
    async fn store(backups: &[(&Identity, &str)]) -> MemoryStorage {
        let storage = MemoryStorage::default();
        for (of, day) in backups {
            put(&storage, of, at(day), MANIFEST).await;
        }
        storage
    }

    async fn put(storage: &MemoryStorage, of: &Identity, started: Timestamp, object: &str) {
        let folder = Folder::new("app", started, of.id());
        let json = manifest(of, started);
        storage.put(&folder.key(object), json.into()).await.unwrap();
    }

    async fn ask(
        storage: &MemoryStorage,
        target: &Identity,
        revision: &str,
    ) -> Result<Resolution, Error> {
        asked(storage, target, revision, false).await
    }

    /// The same, where the source was named as such.
    async fn ask_by_name(
        storage: &MemoryStorage,
        target: &Identity,
        revision: &str,
    ) -> Result<Resolution, Error> {
        asked(storage, target, revision, true).await
    }

    async fn asked(
        storage: &MemoryStorage,
        target: &Identity,
        revision: &str,
        by_name: bool,
    ) -> Result<Resolution, Error> {
        let revision = revision.parse().unwrap();
        let request = Request {
            layout: &Layout::default(),
            revision: &revision,
            target,
            as_of: None,
            now: NOW.parse().unwrap(),
            by_name,
        };
        resolve(storage, request).await
    }

    /// Nobody reads another's backup by knowing its name, and a server that was made anew finds its own.
    #[tokio::test]
    async fn a_source_that_is_named_is_found_by_its_name_and_no_other_is_taken() {
        let (one, other) = (server("db1", Some(1)), server("db2", Some(2)));
        // The same server, by another address.
        let before = server("db0", Some(1));
        let storage = store(&[(&before, "09"), (&one, "10"), (&other, "11")]).await;
        let anew = server("db1", Some(3));
        assert!(ask(&storage, &anew, "0").await.is_err());
        let found = ask_by_name(&storage, &anew, "0").await.unwrap();
        assert_eq!(day(&found), "10");
        let folder = |of: &Identity, day: &str| {
            let folder = Folder::new("app", at(day), of.id()).prefix();
            folder.trim_end_matches('/').to_owned()
        };
        let own = ask_by_name(&storage, &anew, &folder(&one, "10")).await;
        assert_eq!(day(&own.unwrap()), "10");
        let own = ask_by_name(&storage, &anew, &folder(&before, "09")).await;
        assert_eq!(day(&own.unwrap()), "09");
        let theirs = folder(&other, "11");
        let (_, bare) = theirs.split_once('/').unwrap();
        for key in [
            &theirs,
            bare,
            "crm/2026-11-11-00-00-00-backup-0a1b2c3d",
            "other/secret",
        ] {
            let error = ask_by_name(&storage, &anew, key).await.unwrap_err();
            assert!(matches!(error, Error::NoSuch { .. }), "{key}: {error}");
        }
        let error = ask_by_name(&storage, &anew, &theirs).await.unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("another server than db1:5432") && !told.contains("db2"),
            "{told}"
        );
    }

    /// Of two servers that are called as the source is, it is asked which one is meant, and no third is named.
    #[tokio::test]
    async fn who_names_a_source_is_told_of_those_that_are_called_so_alone() {
        let (one, other) = (server("db", Some(1)), server("db", Some(2)));
        let (before, third) = (server("db", None), server("secret", Some(3)));
        let all = [
            (&one, "10"),
            (&other, "11"),
            (&before, "12"),
            (&third, "13"),
        ];
        let storage = store(&all).await;
        for target in [server("db", Some(4)), server("db", None)] {
            let error = ask_by_name(&storage, &target, "0").await.unwrap_err();
            assert!(matches!(error, Error::SeveralSources { .. }), "{error}");
            let told = error.to_string();
            assert!(
                told.contains("system 1") && !told.contains("secret"),
                "{told}"
            );
            let error = ask(&storage, &target, "0").await.unwrap_err();
            assert!(matches!(error, Error::SeveralSources { .. }), "{error}");
        }
    }

    /// A moment is shown to people without its fraction, and is found by what they were shown.
    #[test]
    fn a_time_without_a_fraction_is_all_of_its_second() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        for (moment, wanted, expected) in [
            ("2026-11-20T10:00:00.5Z", "2026-11-20T10:00:00Z", false),
            ("2026-11-20T10:00:01Z", "2026-11-20T10:00:00Z", true),
            ("2026-11-20T10:00:00.5Z", "2026-11-20T10:00:00.4Z", true),
            ("2026-11-20T10:00:00.5Z", "2026-11-20T10:00:00.5Z", false),
        ] {
            assert_eq!(
                is_after(time(moment), time(wanted)),
                expected,
                "{moment} {wanted}"
            );
        }
    }

    /// The day of the backup that was found.
    fn day(resolution: &Resolution) -> String {
        match &resolution.found {
            Found::Ours(folder, _) => folder.started().strftime("%d").to_string(),
            Found::Object(object) => object.key.clone(),
        }
    }

    /// F06.
    #[tokio::test]
    async fn two_servers_of_one_name_are_two_sources_and_two_names_of_one_server_are_one() {
        let (one, other) = (server("db", Some(1)), server("db", Some(2)));
        let spelt = server("127.0.0.1", Some(1));
        let storage = store(&[(&one, "10"), (&other, "11"), (&spelt, "12"), (&other, "13")]).await;
        for (target, revision, wanted) in [
            (&one, "0", "12"),
            (&spelt, "1", "10"),
            (&other, "0", "13"),
            (&other, "1", "11"),
        ] {
            let found = ask(&storage, target, revision).await.unwrap();
            assert_eq!(day(&found), wanted, "{target} {revision}");
        }
        for (target, revision) in [(&one, "2"), (&other, "2")] {
            let error = ask(&storage, target, revision).await.unwrap_err();
            assert!(error.to_string().contains("there are 2"), "{error}");
        }
    }

    /// F06: the names are ready to copy.
    #[tokio::test]
    async fn a_third_server_is_asked_which_one_is_meant() {
        let (one, other) = (server("db1", Some(1)), server("db2", Some(2)));
        let storage = store(&[(&one, "10"), (&other, "11"), (&one, "12")]).await;
        let third = server("db1", Some(3));
        let sentence = ask(&storage, &third, "0").await.unwrap_err().to_string();
        for (of, day) in [(&one, "12"), (&other, "11")] {
            let folder = Folder::new("app", at(day), of.id()).prefix();
            let offer = format!(
                "{} (of {}:5432, system {}, 2026-11-{day}T00:00:00Z)",
                folder.trim_end_matches('/'),
                of.host,
                of.system.unwrap()
            );
            assert!(sentence.contains(&offer), "{offer}: {sentence}");
        }
        assert!(sentence.contains("BACKUP_REVISION"), "{sentence}");
    }

    /// F06: restoring to another server needs no word where there is nothing to confuse.
    #[tokio::test]
    async fn the_only_server_in_the_store_is_meant_by_every_target() {
        let (before, now) = (server("db", None), server("db", Some(1)));
        let storage = store(&[(&before, "10"), (&now, "11")]).await;
        for target in [server("elsewhere", Some(9)), server("elsewhere", None)] {
            for (revision, wanted) in [("0", "11"), ("1", "10")] {
                let found = ask(&storage, &target, revision).await.unwrap();
                assert_eq!(day(&found), wanted, "{target}");
            }
        }
    }

    /// That nobody else is in the store makes no other's backups those of the source that is named.
    #[tokio::test]
    async fn the_only_server_in_the_store_is_not_meant_by_who_names_another() {
        let storage = store(&[(&server("db", Some(1)), "10")]).await;
        for target in [server("elsewhere", Some(9)), server("elsewhere", None)] {
            for revision in ["0", "2026-11-20T00:00:00Z"] {
                let error = ask_by_name(&storage, &target, revision).await.unwrap_err();
                assert!(matches!(error, Error::NoSuch { .. }), "{target}: {error}");
                assert!(
                    error.to_string().contains("was made at elsewhere"),
                    "{error}"
                );
            }
        }
    }

    /// F06: what was backed up before the identifier was known counts by its name, unless another
    /// server has that name.
    #[tokio::test]
    async fn older_folders_count_by_name_where_the_name_is_of_one_server() {
        let (before, now) = (server("db", None), server("db", Some(1)));
        let stranger = server("other", Some(2));
        let storage = store(&[(&before, "10"), (&now, "11"), (&stranger, "12")]).await;
        let found = ask(&storage, &now, "1").await.unwrap();
        assert_eq!(day(&found), "10");
        assert!(found.ambiguous.is_empty());

        let namesake = server("db", Some(3));
        put(&storage, &namesake, at("13"), MANIFEST).await;
        let found = ask(&storage, &now, "0").await.unwrap();
        assert_eq!(day(&found), "11");
        assert_eq!(found.ambiguous.len(), 1);
        let error = ask(&storage, &now, "1").await.unwrap_err();
        assert!(error.to_string().contains("there are 1"), "{error}");

        let storage = store(&[(&before, "10"), (&namesake, "13")]).await;
        match ask(&storage, &now, "0").await.unwrap_err() {
            Error::SeveralSources { newest, .. } => assert_eq!(newest.len(), 2, "{newest:?}"),
            other => panic!("{other}"),
        }
    }

    /// F06: where the server does not tell its identifier, its name has to do.
    #[tokio::test]
    async fn a_target_without_an_identifier_is_found_by_its_name() {
        let (one, other) = (server("db1", Some(1)), server("db2", Some(2)));
        let storage = store(&[(&one, "10"), (&other, "11")]).await;
        let found = ask(&storage, &server("db1", None), "0").await.unwrap();
        assert_eq!(day(&found), "10");
        let storage = store(&[(&server("db1", Some(3)), "10"), (&one, "11")]).await;
        let error = ask(&storage, &server("db1", None), "0").await.unwrap_err();
        assert!(matches!(error, Error::SeveralSources { .. }), "{error}");
    }

    /// F13.
    #[tokio::test]
    async fn newer_folders_without_a_manifest_are_told_of() {
        let (one, other) = (server("db", Some(1)), server("db", Some(2)));
        let storage = store(&[(&one, "10"), (&one, "12")]).await;
        for (of, day) in [(&one, "11"), (&one, "13"), (&other, "14")] {
            put(&storage, of, at(day), key::SCHEMA).await;
        }
        let found = ask(&storage, &one, "0").await.unwrap();
        assert_eq!(found.incomplete.len(), 1);
        assert_eq!(found.incomplete[0].folder.started(), at("13"));
        let found = ask(&storage, &one, "2026-11-11T12:00:00Z").await.unwrap();
        assert_eq!(found.incomplete.len(), 1);
        assert_eq!(found.incomplete[0].folder.started(), at("11"));
    }

    /// F05.
    #[tokio::test]
    async fn a_folder_of_the_future_is_not_the_newest_unless_all_are() {
        let one = server("db", Some(1));
        let storage = store(&[(&one, "10"), (&one, "28")]).await;
        let found = ask(&storage, &one, "0").await.unwrap();
        assert_eq!(day(&found), "10");
        assert_eq!(found.misdated.len(), 1);
        // Then it is the clock here that is wrong.
        let storage = store(&[(&one, "27"), (&one, "28")]).await;
        let found = ask(&storage, &one, "0").await.unwrap();
        assert_eq!(day(&found), "28");
        assert!(found.misdated.is_empty());
    }

    #[tokio::test]
    async fn what_could_be_taken_in_its_place_is_found_with_it() {
        let one = server("db", Some(1));
        let storage = store(&[(&one, "10"), (&one, "13")]).await;
        for (object, body) in [
            ("app/2026-11-11-00-00-00-backup.sql", "x"),
            ("app/2026-11-12-00-00-00-backup.sql", ""),
        ] {
            storage.put(object, body.into()).await.unwrap();
        }
        let older = async |revision: &str| {
            let found = ask(&storage, &one, revision).await.unwrap();
            found.older.map(|it| it.key)
        };
        let published = Some("app/2026-11-11-00-00-00-backup.sql".to_owned());
        assert_eq!(older("0").await, published, "what is empty is passed over");
        assert_eq!(older("1").await, published);
        let folder = Folder::new("app", at("10"), one.id()).prefix();
        let folder = folder.trim_end_matches('/').to_owned();
        assert_eq!(older("2").await.as_ref(), Some(&folder));
        assert_eq!(older("3").await, None);
        assert_eq!(older("2026-11-13T12:00:00Z").await, published);
        assert_eq!(older(&folder).await, None, "a name means that one alone");
    }

    /// A number and a time never mean a part as the whole, whatever has become of the object that marks it.
    #[tokio::test]
    async fn a_part_that_has_lost_its_mark_is_passed_over_where_something_has_all() {
        let one = server("db", Some(1));
        let unmarked = async |storage: &MemoryStorage, day: &str| {
            let mut json: serde_json::Value =
                serde_json::from_slice(&manifest(&one, at(day))).unwrap();
            json["format_version"] = 4.into();
            json["part"] = serde_json::json!({ "include_schemas": ["shop"] });
            let folder = Folder::new("app", at(day), one.id());
            let json = json.to_string();
            storage
                .put(&folder.key(MANIFEST), json.into())
                .await
                .unwrap();
        };
        let storage = store(&[(&one, "10"), (&one, "11")]).await;
        unmarked(&storage, "12").await;
        unmarked(&storage, "13").await;
        for (revision, wanted) in [("0", "11"), ("1", "10"), ("2026-11-14T00:00:00Z", "11")] {
            let found = ask(&storage, &one, revision).await.unwrap();
            assert_eq!(day(&found), wanted, "{revision}");
        }
        let found = ask(&storage, &one, "0").await.unwrap();
        assert_eq!(found.parts.len(), 2, "they are told of");
        // Where there is nothing else, it is meant.
        let storage = store(&[]).await;
        unmarked(&storage, "12").await;
        let found = ask(&storage, &one, "0").await.unwrap();
        assert_eq!(day(&found), "12");
    }

    #[tokio::test]
    async fn who_finds_nothing_is_told_what_there_is() {
        let one = server("db", Some(1));
        let storage = store(&[(&one, "10")]).await;
        let target = Identity {
            database: "shop".to_owned(),
            ..one
        };
        let sentence = ask(&storage, &target, "0").await.unwrap_err().to_string();
        for words in [
            "backups of app (app/2026-11-10-",
            "DB_NAME",
            "BACKUP_REVISION",
        ] {
            assert!(sentence.contains(words), "{sentence}");
        }
    }
}
