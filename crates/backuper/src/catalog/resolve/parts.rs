//! Backups of a part of a database: a number or a time means one that has all of it, where there is any.

use super::{Candidate, Error, Found, Question, Wanted};
use crate::archive::key::Folder;

impl Question<'_> {
    /// The backup that is asked for, those among which it was, and those that have a part of the database alone. The
    /// object that marks such a one may be missing, where somebody copied it by hand; then its manifest tells.
    pub(super) async fn whole<'a>(
        &self,
        all: Vec<Candidate<'a>>,
        wanted: Wanted,
    ) -> Result<(Found, Vec<Candidate<'a>>, Vec<Folder>), Error> {
        let mut unmarked: Vec<Folder> = Vec::new();
        loop {
            let mut candidates = all.clone();
            let parts = pass_over_parts(&mut candidates, &unmarked);
            let found = match wanted {
                Wanted::Count(count) => self.count(&candidates, count).await?,
                Wanted::At(time) => self.at(&candidates, time).await?,
            };
            let more = self.unmarked(&candidates, &found, wanted).await;
            let before = unmarked.len();
            for folder in more {
                if !unmarked.contains(&folder) {
                    unmarked.push(folder);
                }
            }
            if unmarked.len() == before {
                return Ok((found, candidates, parts));
            }
        }
    }

    /// Parts without their mark: what was found, and those that were counted on the way to it.
    async fn unmarked(
        &self,
        candidates: &[Candidate<'_>],
        found: &Found,
        wanted: Wanted,
    ) -> Vec<Folder> {
        let mut unmarked = Vec::new();
        let is_counted = matches!(wanted, Wanted::Count(_));
        for candidate in candidates {
            let is_found = candidate.is(found);
            if let Candidate::Ours(backup) = candidate
                && backup.part().is_none()
                && (is_found || is_counted)
            {
                let is_part = match found {
                    Found::Ours(_, manifest) if is_found => manifest.part.is_some(),
                    // One that cannot be read counts as it always has.
                    _ => matches!(
                        self.open(candidate).await,
                        Ok(Found::Ours(_, manifest)) if manifest.part.is_some()
                    ),
                };
                if is_part {
                    unmarked.push(backup.folder.clone());
                }
            }
            if is_found {
                break;
            }
        }
        unmarked
    }
}

/// Takes out what has a part of the database alone, where something has all of it; gives it. Of those that are
/// `unmarked` only the manifest says so.
fn pass_over_parts(candidates: &mut Vec<Candidate<'_>>, unmarked: &[Folder]) -> Vec<Folder> {
    let part = |it: &Candidate<'_>| match it {
        Candidate::Ours(backup) => (backup.part().is_some() || unmarked.contains(&backup.folder))
            .then(|| backup.folder.clone()),
        Candidate::Published(..) => None,
    };
    let parts: Vec<Folder> = candidates.iter().filter_map(part).collect();
    if parts.len() == candidates.len() {
        return Vec::new();
    }
    candidates.retain(|it| part(it).is_none());
    parts
}
