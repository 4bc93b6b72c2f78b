//! Which servers the backups of one database come from.

use std::collections::BTreeSet;

use super::{Error, Listing, read_manifest};
use crate::archive::{Folder, Identity, SourceId};
use crate::storage::{Kind, Storage};

/// One server's backups among those of a database.
#[derive(Clone, Debug)]
pub struct Origin {
    /// As the newest backup names it; none where its manifest cannot be read.
    pub identity: Option<Identity>,
    /// What the folders of its backups carry.
    pub ids: BTreeSet<SourceId>,
    /// The newest backup of it.
    pub newest: Folder,
}

impl Origin {
    /// Its newest backup, ready to be asked for: `DBNAME/FOLDER (of host:port, time)`.
    #[must_use]
    pub fn offer(&self) -> String {
        let prefix = self.newest.prefix();
        let of = self.identity.as_ref().map_or_else(
            || "an unreadable manifest".to_owned(),
            |it| format!("of {it}"),
        );
        format!(
            "{} ({of}, {})",
            prefix.trim_end_matches('/'),
            self.newest.started()
        )
    }
}

/// What backups whose folders carry these ids come from, the newest backup's first. One manifest is
/// read for each id.
///
/// # Errors
/// What the store said.
pub async fn of(
    storage: &dyn Storage,
    listing: &Listing,
    ids: impl IntoIterator<Item = SourceId>,
) -> Result<Vec<Origin>, Error> {
    let mut origins = Vec::new();
    for id in ids {
        let Some(newest) = listing.newest(id) else {
            continue;
        };
        let identity = match read_manifest(storage, &newest.folder).await {
            Ok(manifest) => Some(manifest.source.identity()),
            Err(Error::Storage(error)) if error.kind != Kind::NotFound => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "nobody knows whose backup this is");
                None
            }
        };
        origins.push(Origin {
            identity,
            ids: BTreeSet::from([id]),
            newest: newest.folder.clone(),
        });
    }
    origins.sort_by(|one, other| other.newest.cmp(&one.newest));
    Ok(origins)
}

/// What the folders of a database's backups carry: by its name, by its identifier where that is known,
/// and of a server whose newest backup has its name, which may have had another before.
///
/// # Errors
/// What the store said.
pub async fn ids_of(
    storage: &dyn Storage,
    listing: &Listing,
    source: &Identity,
) -> Result<BTreeSet<SourceId>, Error> {
    let mut ids = BTreeSet::from([source.id(), source.id_by_name()]);
    for origin in of(storage, listing, listing.ids()).await? {
        let identity = origin.identity.as_ref();
        if identity.is_some_and(|it| source.is_same_as(it)) {
            ids.extend(origin.ids);
        }
    }
    Ok(ids)
}

/// Folders of before a server was known by its identifier belong to the only server of that name.
#[must_use]
pub fn united(origins: Vec<Origin>) -> Vec<Origin> {
    let known = |it: &Origin| it.identity.as_ref().is_some_and(|it| it.system.is_some());
    let (mut servers, older): (Vec<Origin>, Vec<Origin>) = origins.into_iter().partition(known);
    for mut origin in older {
        let mut namesakes: Vec<&mut Origin> = servers
            .iter_mut()
            .filter(|it| {
                let server = it.identity.as_ref();
                server.is_some_and(|it| origin.ids.contains(&it.id_by_name()))
            })
            .collect();
        match namesakes.as_mut_slice() {
            [only] => {
                only.ids.append(&mut origin.ids);
                only.newest = only.newest.clone().max(origin.newest);
            }
            _ => servers.push(origin),
        }
    }
    servers.sort_by(|one, other| other.newest.cmp(&one.newest));
    servers
}
