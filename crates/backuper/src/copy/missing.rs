//! Which backups the second store lacks: those that its retention would keep if it had all there are.

use jiff::Timestamp;

use crate::archive::Folder;
use crate::catalog::Backup;
use crate::cleanup::Made;
use crate::cleanup::judgement::is_counted_with;
use crate::retention::{self, Candidate, Decision, Hold, Reason};

/// Those of the source, the schedule and the part of the database of this one, which is among them: a part stands for
/// no whole one, and is none of what the rules keep of those.
#[must_use]
pub fn counted_together<'a>(complete: &'a [Backup], made: &Folder) -> Vec<&'a Backup> {
    let Some(own) = complete.iter().find(|it| it.folder == *made) else {
        return Vec::new();
    };
    complete
        .iter()
        .filter(|it| it.folder.source() == made.source() && is_counted_with(it, own))
        .collect()
}

/// What the second store lacks of those of one schedule and part here that are older than the one that was just made,
/// newest first. What its retention has removed it would remove again, so that is not missing.
#[must_use]
pub fn missing<'a>(here: &[&'a Backup], there: &'a [Backup], made: Made<'_>) -> Vec<&'a Backup> {
    let there = counted_together(there, made.folder);
    let is_in =
        |backups: &[&Backup], it: &Backup| backups.iter().any(|other| other.folder == it.folder);
    let only_there = there.iter().filter(|it| !is_in(here, it));
    let mut all: Vec<(String, &Backup)> = here
        .iter()
        .chain(only_there)
        .map(|it| (it.folder.prefix(), *it))
        .collect();
    all.sort_by(|(name, one), (others, other)| {
        (other.folder.started(), others).cmp(&(one.folder.started(), name))
    });
    let hold = |it: &Backup| {
        let pinned = it.is_pinned().then_some(Hold::Pinned);
        (it.folder == *made.folder).then_some(Hold::Made).or(pinned)
    };
    let candidates: Vec<Candidate<'_>> = all
        .iter()
        .map(|(name, it)| Candidate {
            name,
            time: it.folder.started(),
            whole: true,
            hold: hold(it),
        })
        .collect();
    let decisions = retention::decide(&candidates, made.rules, Timestamp::now(), None);
    let wanted = all.iter().zip(decisions).filter(|(_, it)| is_wanted(*it));
    wanted
        .map(|((_, it), _)| *it)
        .filter(|it| it.folder.started() < made.folder.started() && !is_in(&there, it))
        .collect()
}

/// Whether a rule keeps it, and not only that nothing is removed at the time.
fn is_wanted(decision: Decision) -> bool {
    match decision {
        Decision::Goes(_) | Decision::Kept(Reason::Paused(_) | Reason::Future) => false,
        Decision::Kept(
            Reason::NoRule
            | Reason::Last(_)
            | Reason::Young(_)
            | Reason::Newest(..)
            | Reason::AtLeast(_)
            | Reason::Held(_),
        ) => true,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Span;

    use super::*;
    use crate::archive::key::{PINNED, part};
    use crate::archive::{Layout, Manifest};
    use crate::catalog::whole::tests::{put, server};
    use crate::retention::{Calendar, Retention, Rules};
    use crate::storage::Storage;
    use crate::storage::memory::MemoryStorage;

    /// Backups of so many hours ago, newest first.
    async fn backups(hours: &[i64]) -> Vec<Backup> {
        let mut all = Vec::new();
        for ago in hours {
            let at = Timestamp::now() - Span::new().hours(*ago);
            all.push(put(&MemoryStorage::default(), &server("db"), at).await);
        }
        all
    }

    async fn manifest() -> Manifest {
        let storage = MemoryStorage::default();
        let made = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        let json = storage
            .get(&made.folder.key("manifest.json"), 1 << 20)
            .await;
        Manifest::read(&json.unwrap()).unwrap()
    }

    /// The places of those that are missing in `here`, where `there` has those at these places.
    async fn missing_of(here: &[Backup], there: &[usize], rules: Rules) -> Vec<usize> {
        let there: Vec<Backup> = there.iter().map(|it| here[*it].clone()).collect();
        let made = Made {
            folder: &here[0].folder,
            manifest: &manifest().await,
            rules: &rules,
            objects: false,
            layout: &Layout::default(),
        };
        let own = counted_together(here, made.folder);
        let missing = missing(&own, &there, made);
        let place = |it: &&Backup| here.iter().position(|other| other == *it).unwrap();
        missing.iter().map(place).collect()
    }

    fn last(count: u32) -> Rules {
        Rules {
            last: Retention(count),
            ..Rules::default()
        }
    }

    #[tokio::test]
    async fn all_that_the_retention_there_would_keep_is_missing_and_nothing_else() {
        let here = backups(&[0, 1, 2, 3, 4]).await;
        assert_eq!(missing_of(&here, &[0], last(0)).await, [1, 2, 3, 4]);
        assert_eq!(missing_of(&here, &[0, 2], last(0)).await, [1, 3, 4]);
        assert_eq!(missing_of(&here, &[0, 2], last(3)).await, [1]);
        assert_eq!(missing_of(&here, &[0], last(1)).await, [] as [usize; 0]);
    }

    #[tokio::test]
    async fn an_outage_is_made_good_by_the_calendar_too_and_what_it_removed_does_not_come_back() {
        let here = backups(&[0, 24, 48, 72, 96, 97, 98]).await;
        let daily = || Rules {
            calendar: Calendar {
                daily: 30,
                ..Calendar::default()
            },
            ..Rules::default()
        };
        // One of three within two hours, or two of them where midnight is between.
        let at_first = missing_of(&here, &[0], daily()).await;
        assert_eq!(at_first[..4], [1, 2, 3, 4]);
        assert!(at_first.len() < 6, "{at_first:?}");
        // Copies of before and after the outage: the days between are missing all the same.
        let mut there = vec![0, 1];
        there.extend(&at_first[3..]);
        assert_eq!(missing_of(&here, &there, daily()).await, [2, 3]);
    }

    #[tokio::test]
    async fn what_is_pinned_here_is_missing_there_however_old_it_is() {
        let mut here = backups(&[0, 1, 2]).await;
        let mut pin = here[2].objects[0].clone();
        pin.key = here[2].folder.key(PINNED);
        here[2].objects.push(pin);
        assert_eq!(missing_of(&here, &[0], last(1)).await, [2]);
    }

    /// A schedule that has been given filters, and is without them again.
    #[tokio::test]
    async fn a_part_is_neither_missing_as_a_whole_one_nor_counted_as_one() {
        let mut here = backups(&[0, 1, 2, 3]).await;
        let mut mark = here[1].objects[0].clone();
        mark.key = here[1].folder.key(&part("a1"));
        here[1].objects.push(mark);
        assert_eq!(missing_of(&here, &[0], last(2)).await, [2]);
        assert_eq!(missing_of(&here, &[0], last(0)).await, [2, 3]);
        assert_eq!(
            missing_of(&here[1..], &[0], last(0)).await,
            [] as [usize; 0]
        );
    }
}
