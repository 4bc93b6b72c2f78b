//! The backups of all databases that a list means, of those that have backups in a store.

use super::{Listed, newest};
use crate::archive::Layout;
use crate::runtime::Failure;
use crate::selection::Databases;
use crate::storage::Storage;

/// How many are listed: the newest.
const MOST: usize = 5_000;

/// All of them, the newest first.
pub(super) async fn all(
    storage: &dyn Storage,
    databases: &str,
    layout: &Layout,
) -> Result<Vec<Listed>, Failure> {
    let meant: Databases = databases.parse().map_err(|wrong| {
        Failure::refused(format!("the DBNAME of BACKUP_SOURCE is wrong: {wrong}"))
    })?;
    let is_meant = |name: &String| match &meant {
        Databases::One(own) => own == name,
        Databases::Several(selection) => selection.has(name),
    };
    let mut names = newest::databases(storage).await?;
    names.retain(is_meant);
    let mut all = Vec::new();
    for name in &names {
        all.extend(super::all(storage, name, layout).await?);
    }
    all.sort_by_key(|it| std::cmp::Reverse(it.started_at));
    all.truncate(MOST);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStorage;

    #[tokio::test]
    async fn the_backups_of_all_that_a_list_means_are_listed_the_newest_first() {
        let storage = MemoryStorage::default();
        for key in [
            "app/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-22-21-05-27-backup-1f3a9c0e/manifest.json",
            "%2A/2026-11-21-21-05-27-backup-1f3a9c0e/manifest.json",
            "test_1/2026-11-21-21-05-27-backup-1f3a9c0e/manifest.json",
            "old/2026-11-19-21-05-27-backup.sql",
        ] {
            storage.put(key, "x".into()).await.unwrap();
        }
        let keys = async |list: &str| {
            let all = all(&storage, list, &Layout::default()).await.unwrap();
            let keys = all.into_iter().map(|it| it.key);
            keys.map(|it| {
                it[..it.find('-').unwrap()].to_owned() + &it[it.find("-11-").unwrap() + 3..][..3]
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(
            keys("*,!test_*").await,
            ["app/2026-22", "%2A/2026-21", "app/2026-20", "old/2026-19"]
        );
        assert_eq!(keys("\"*\"").await, ["%2A/2026-21"]);
        assert!(keys("x*").await.is_empty());
        assert!(all(&storage, "!x", &Layout::default()).await.is_err());
    }
}
