//! The one owner that a Database has among the users that want to be it, and what the others get.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::spec::{Entry, Reference, entries};
use crate::operator::crd::DatabaseUser;
use crate::postgres::privileges::Preset;

/// A user that may want to own a Database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claimant {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) created: Option<Timestamp>,
    pub(super) deleting: bool,
    /// None: its spec cannot be.
    pub(super) entries: Option<Vec<Entry>>,
}

impl Claimant {
    pub(super) fn of(object: &DatabaseUser) -> Self {
        let metadata = &object.metadata;
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            created: metadata.creation_timestamp.as_ref().map(|it| it.0),
            deleting: metadata.deletion_timestamp.is_some(),
            entries: entries(object).ok(),
        }
    }

    /// The Databases that it would own.
    pub(super) fn owning(&self) -> impl Iterator<Item = &Reference> {
        let entries = self.entries.iter().flatten();
        let owning = entries.filter(|it| it.preset == Preset::Owner && !self.deleting);
        owning.map(|it| &it.database)
    }
}

/// Who owns a Database: the oldest of those that want to, and of two of one second the first by namespace and name.
pub(super) fn elect<'a>(claimants: &'a [Claimant], database: &Reference) -> Option<&'a Claimant> {
    let mut wanting: Vec<&Claimant> = claimants
        .iter()
        .filter(|it| it.owning().any(|it| it == database))
        .collect();
    wanting.sort_by_key(|it| (it.created, &it.namespace, &it.name));
    wanting.first().copied()
}

/// What a user is given in a database, and why that is less than its object wants.
pub(super) type Lowered = (Entry, Option<String>);

/// What a user gets beside others: its entries, and for each the sentence that says who owns it instead.
pub(super) fn lower(of: (&str, &str), entries: &[Entry], claimants: &[Claimant]) -> Vec<Lowered> {
    let each = entries.iter().map(|entry| {
        let owner = elect(claimants, &entry.database);
        let owner = owner.filter(|it| (it.namespace.as_str(), it.name.as_str()) != of);
        match owner {
            Some(owner) if entry.preset == Preset::Owner => {
                let Reference { namespace, name } = &entry.database;
                let lowered = Entry {
                    preset: entry.preset.of_second_owner(),
                    ..entry.clone()
                };
                let conflict = format!(
                    "owner conflict: DatabaseUser {}/{} already holds privileges=owner on Database {namespace}/{name}; only one owner per database",
                    owner.namespace, owner.name
                );
                (lowered, Some(conflict))
            }
            _ => (entry.clone(), None),
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::spec::tests::user;
    use super::*;

    fn claimant(namespace: &str, name: &str, second: i64, of: &[(&str, Preset)]) -> Claimant {
        let entry = |(name, preset): &(&str, Preset)| Entry {
            database: database(name),
            written: None,
            preset: *preset,
        };
        Claimant {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            created: Timestamp::from_second(second).ok(),
            deleting: false,
            entries: Some(of.iter().map(entry).collect()),
        }
    }

    fn database(name: &str) -> Reference {
        Reference {
            namespace: "team".to_owned(),
            name: name.to_owned(),
        }
    }

    fn elected(claimants: &[Claimant], name: &str) -> String {
        elect(claimants, &database(name))
            .map_or_else(String::new, |it| format!("{}/{}", it.namespace, it.name))
    }

    const OWNER: Preset = Preset::Owner;

    /// operator.md, O1 to O3.
    #[test]
    fn the_oldest_owns_and_of_two_of_one_second_the_first_by_name() {
        assert_eq!(elected(&[], "d"), "");
        let reader = claimant("a", "r", 1, &[("d", Preset::Admin)]);
        assert_eq!(elected(&[reader], "d"), "");
        let old = claimant("z", "z", 1, &[("d", OWNER)]);
        let new = claimant("a", "a", 2, &[("d", OWNER)]);
        assert_eq!(elected(std::slice::from_ref(&new), "d"), "a/a");
        assert_eq!(elected(&[old.clone(), new.clone()], "d"), "z/z");
        assert_eq!(elected(&[new, old.clone()], "d"), "z/z");
        let names = [
            claimant("z", "y", 1, &[("d", OWNER)]),
            claimant("y", "z", 1, &[("d", OWNER)]),
            old,
        ];
        assert_eq!(elected(&names, "d"), "y/z");
        assert_eq!(elected(&[names[2].clone(), names[0].clone()], "d"), "z/y");
    }

    /// operator.md, O4 to O6.
    #[test]
    fn a_database_is_owned_by_who_is_to_own_that_one_and_does_not_go() {
        let all = [
            claimant(
                "t",
                "spec",
                1,
                &[("orders", Preset::Readwrite), ("billing", OWNER)],
            ),
            claimant("t", "promoted", 2, &[("orders", OWNER)]),
        ];
        assert_eq!(elected(&all, "orders"), "t/promoted");
        assert_eq!(elected(&all, "billing"), "t/spec");
        let mut going = claimant("t", "old", 1, &[("d", OWNER)]);
        going.deleting = true;
        assert_eq!(elected(std::slice::from_ref(&going), "d"), "");
        let next = claimant("t", "next", 2, &[("d", OWNER)]);
        assert_eq!(elected(&[going, next], "d"), "t/next");
        let mut elsewhere = claimant("t", "u", 1, &[("d", OWNER)]);
        for entry in elsewhere.entries.iter_mut().flatten() {
            entry.database.namespace = "other".to_owned();
        }
        let here = claimant("t", "u", 2, &[("d", OWNER)]);
        let both = [elsewhere, here];
        assert_eq!(elect(&both, &database("d")), both.get(1));
    }

    /// operator.md, O7.
    #[test]
    fn a_claimant_whose_spec_cannot_be_owns_nothing() {
        let both =
            json!({"privileges": "owner", "database": {"name": "d"}, "databases": [{"name": "d"}]});
        let twice = json!({"privileges": "owner", "databases": [{"name": "d"}, {"name": "d"}]});
        for spec in [both, twice] {
            let invalid = Claimant::of(&user("u", spec));
            assert_eq!(elected(&[invalid], "d"), "");
        }
        let valid = json!({"privileges": "owner", "database": {"name": "d"}});
        assert_eq!(elected(&[Claimant::of(&user("u", valid))], "d"), "team/u");
    }

    /// operator.md, O8.
    #[test]
    fn a_loser_gets_admin_there_and_the_rest_as_it_is() {
        let winner = claimant("a", "w", 1, &[("d", OWNER)]);
        let loser = claimant(
            "a",
            "l",
            2,
            &[("d", OWNER), ("e", OWNER), ("f", Preset::Readonly)],
        );
        let entries = loser.entries.clone().unwrap();
        let all = [winner, loser];
        let lowered = lower(("a", "l"), &entries, &all);
        let presets: Vec<Preset> = lowered.iter().map(|it| it.0.preset).collect();
        assert_eq!(presets, [Preset::Admin, OWNER, Preset::Readonly]);
        assert_eq!(
            lowered[0].1.as_deref(),
            Some(
                "owner conflict: DatabaseUser a/w already holds privileges=owner on Database team/d; only one owner per database"
            )
        );
        assert!(lowered[1].1.is_none() && lowered[2].1.is_none());
        assert_eq!(entries[0].preset, OWNER);
    }
}
