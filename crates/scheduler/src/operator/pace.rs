//! How often a server's objects are looked at again: every few minutes, and where it has many of them, or answers
//! slowly, as often as a tenth of its time allows. What is new, or was changed, is not kept waiting by it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::objects::store;
use super::servers::Server;
use super::user::{Reference, TURNS as OF_A_USER};
use super::{Operator, REPAIR, on};

/// How much of a server's time that may take: one part of so many.
const SHARE: u32 = 10;
/// However slow it is.
const AT_LAST: Duration = Duration::from_secs(3600);
/// For how long it counts how many objects a server has.
const COUNTED: Duration = Duration::from_secs(60);
/// How much one turn changes what is usual: one part of so many.
const LATELY: u32 = 16;
/// And no turn counts for more than so many usual ones, or than this: to make a database takes long, and is done once.
const UNUSUAL: (u32, Duration) = (4, Duration::from_millis(100));

/// What the turns on a server take.
#[derive(Debug, Default)]
pub(super) struct Pace {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// How long a turn usually takes.
    usual: Duration,
    /// Turns that looking at each of its objects takes, and when they were counted.
    turns: Option<(u32, Instant)>,
}

impl Pace {
    /// A turn has taken so long, without the wait for it.
    pub(super) fn took(&self, turn: Duration) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (times, least) = UNUSUAL;
        let turn = turn.min(kept.usual.saturating_mul(times).max(least));
        kept.usual = kept.usual.saturating_mul(LATELY - 1).saturating_add(turn) / LATELY;
    }

    fn again(&self, count: impl FnOnce() -> u32) -> Duration {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = kept.turns.filter(|it| it.1.elapsed() < COUNTED);
        let counted = counted.unwrap_or_else(|| (count(), Instant::now()));
        let (turns, _) = *kept.turns.insert(counted);
        again(kept.usual, turns)
    }
}

/// When all is looked at again that takes so many turns.
fn again(usual: Duration, turns: u32) -> Duration {
    let round = usual.saturating_mul(turns).saturating_mul(SHARE);
    round.clamp(REPAIR, AT_LAST)
}

impl Operator {
    /// When an object on this DBCluster that is as it should be is looked at again.
    pub(super) fn repair_after(&self, cluster: &str, server: &Server) -> Duration {
        server.pace.again(|| self.turns_on(cluster))
    }

    /// The turns that looking at each object on a DBCluster takes: one for a Database.
    fn turns_on(&self, cluster: &str) -> u32 {
        let databases = store(&self.databases);
        let databases = databases.map(|it| on(&it, cluster)).unwrap_or_default();
        turns(databases.iter().map(|it| self.users.on(it)))
    }
}

/// Of Databases, each with its users: who uses several has its turns once.
fn turns(databases: impl Iterator<Item = Vec<Reference>>) -> u32 {
    let (mut count, mut all) = (0, BTreeSet::new());
    for users in databases {
        count += 1;
        all.extend(users);
    }
    u32::try_from(count + all.len() * OF_A_USER).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// operator-rules.md, 9: thousands of objects on a small server.
    #[test]
    fn objects_are_looked_at_every_five_minutes_or_as_often_as_a_tenth_of_a_servers_time_allows() {
        let milliseconds = Duration::from_millis;
        for (usual, turns, seconds) in [
            (0, 0, 300),
            (10, 30, 300),
            // 500 Databases with a user each.
            (10, 1_500, 300),
            (20, 1_500, 300),
            (40, 1_500, 600),
            (40, 6_000, 2_400),
            (400, 6_000, 3_600),
            (u64::MAX, u32::MAX, 3_600),
        ] {
            let found = again(milliseconds(usual), turns);
            assert_eq!(found, Duration::from_secs(seconds), "{usual} ms, {turns}");
        }
    }

    #[test]
    fn a_user_of_several_databases_has_its_turns_once() {
        let user = |name: &str| Reference {
            namespace: "team".to_owned(),
            name: name.to_owned(),
        };
        let each = [vec![user("a")], vec![user("a"), user("b")], vec![]];
        assert_eq!(turns(each.into_iter()), 3 + 2 * 2);
    }

    #[test]
    fn what_is_usual_follows_what_turns_take_and_not_one_of_them() {
        let pace = Pace::default();
        assert_eq!(pace.again(|| 1_500), REPAIR);
        let take = |turns: u32, milliseconds: u64| {
            for _ in 0..turns {
                pace.took(Duration::from_millis(milliseconds));
            }
            pace.again(|| unreachable!()).as_secs()
        };
        // A database is made, and another server is waited for.
        assert_eq!(take(3, 60_000), 300);
        assert!((590..610).contains(&take(100, 40)));
        assert!(take(1, 60_000) < 750);
        // A server that has become slow is left alone, and one that is well again is not.
        assert_eq!(take(100, 2_000), 3_600);
        assert!(take(200, 20) < 310);
    }
}
