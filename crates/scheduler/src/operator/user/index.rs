//! Which users a Database has, so that none has to be looked for among all.

use std::collections::{BTreeSet, HashMap};

use super::elect::Claimant;
use super::spec::Reference;

/// Users by Database, each by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Index {
    users: HashMap<Reference, BTreeSet<Reference>>,
    claims: HashMap<Reference, Claims>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    uses: BTreeSet<Reference>,
    owns: BTreeSet<Reference>,
}

impl Index {
    /// The users of a Database.
    pub(super) fn of(&self, database: &Reference) -> Vec<Reference> {
        let users = self.users.get(database).into_iter().flatten();
        users.cloned().collect()
    }

    /// Keeps what a user is for now; none: it is gone. Gives the Databases of which it wants to be the owner, or
    /// wanted, where that is new.
    pub(super) fn set(&mut self, user: &Reference, now: Option<&Claimant>) -> Vec<Reference> {
        let claims = now.map(|it| Claims {
            uses: it
                .entries
                .iter()
                .flatten()
                .map(|it| it.database.clone())
                .collect(),
            owns: it.owning().cloned().collect(),
        });
        let before = match claims.clone() {
            Some(claims) => self.claims.insert(user.clone(), claims),
            None => self.claims.remove(user),
        };
        let (before, claims) = (before.unwrap_or_default(), claims.unwrap_or_default());
        for database in before.uses.difference(&claims.uses) {
            if let Some(users) = self.users.get_mut(database) {
                users.remove(user);
                if users.is_empty() {
                    self.users.remove(database);
                }
            }
        }
        for database in claims.uses {
            self.users.entry(database).or_default().insert(user.clone());
        }
        before
            .owns
            .symmetric_difference(&claims.owns)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::spec::tests::user;
    use super::*;

    fn named(name: &str) -> Reference {
        Reference {
            namespace: "team".to_owned(),
            name: name.to_owned(),
        }
    }

    fn claimant(spec: Value) -> Claimant {
        Claimant::of(&user("u", spec))
    }

    #[test]
    fn a_database_knows_its_users_and_who_stops_to_own_it_is_told() {
        let mut index = Index::default();
        let reads = claimant(json!({"databases": [{"name": "d"}, {"name": "e"}]}));
        assert!(index.set(&named("u"), Some(&reads)).is_empty());
        assert_eq!(index.of(&named("d")), [named("u")]);
        let owns = claimant(json!({"database": {"name": "d", "privileges": "owner"}}));
        assert_eq!(index.set(&named("u"), Some(&owns)), [named("d")]);
        assert!(index.set(&named("u"), Some(&owns)).is_empty());
        assert!(index.of(&named("e")).is_empty());
        let mut going = owns.clone();
        going.deleting = true;
        assert_eq!(index.set(&named("u"), Some(&going)), [named("d")]);
        assert_eq!(index.of(&named("d")), [named("u")]);
        assert!(index.set(&named("u"), None).is_empty());
        assert!(index.of(&named("d")).is_empty() && index.users.is_empty());
    }
}
