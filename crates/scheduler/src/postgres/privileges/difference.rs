//! Wanted and found privileges, compared; and for whom we may act to make them equal.

use std::collections::{BTreeMap, BTreeSet};

use backuper::text::sql::quote;

use super::catalogue::{Found, Item};
use super::{Kind, Problem, Wanted};
use crate::postgres::membership::{Reach, Role};
use crate::postgres::statement::{Statement, listed};

/// What has to be granted to a role and revoked from it on one object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) grant: Vec<String>,
    pub(super) revoke: Vec<String>,
    /// Privileges that stay, without the right to give them on.
    pub(super) revoke_option: Vec<String>,
    /// What others than the owner have granted beyond, which only they can revoke.
    pub(super) of_others: BTreeSet<u32>,
}

impl Difference {
    /// Compares an object's list with what the role is to have on it.
    pub(super) fn of(wanted: &BTreeSet<&str>, acl: &[Item], owner: u32, role: u32) -> Self {
        let mut difference = Self::default();
        let mut held = BTreeSet::new();
        for item in acl.iter().filter(|it| it.grantee == role) {
            let beyond = !wanted.contains(item.privilege.as_str());
            if item.grantor != owner {
                if beyond || item.grantable {
                    difference.of_others.insert(item.grantor);
                }
                continue;
            }
            held.insert(item.privilege.as_str());
            if beyond {
                difference.revoke.push(item.privilege.clone());
            } else if item.grantable {
                difference.revoke_option.push(item.privilege.clone());
            }
        }
        let lacking = wanted.iter().filter(|it| !held.contains(**it));
        difference.grant = lacking.map(|it| (*it).to_owned()).collect();
        difference
    }

    pub(super) fn is_empty(&self) -> bool {
        self.grant.is_empty() && self.revoke.is_empty() && self.revoke_option.is_empty()
    }

    /// As statements: `before` and `on` stand around each, such as nothing and `TABLE "public"."t"`.
    pub(super) fn statements(&self, before: &str, on: &str, role: &str) -> Vec<Statement> {
        let role = quote(role);
        let each = [
            (&self.revoke, "REVOKE ", "FROM"),
            (&self.revoke_option, "REVOKE GRANT OPTION FOR ", "FROM"),
            (&self.grant, "GRANT ", "TO"),
        ];
        let some = each
            .into_iter()
            .filter(|(privileges, ..)| !privileges.is_empty());
        some.map(|(privileges, verb, word)| {
            let privileges = privileges.join(", ");
            Statement::new(format!("{before}{verb}{privileges} ON {on} {word} {role}"))
        })
        .collect()
    }
}

/// For whom we act, and whom we could not act for with what that leaves undone.
pub(super) struct Reached<'a> {
    found: &'a Found,
    joined: BTreeSet<u32>,
    opened: BTreeSet<&'a str>,
    /// By the role that closes the way: what is not as wanted.
    undone: BTreeMap<u32, Vec<String>>,
    /// What runs with its owner's rights, and stays his for that.
    definers: Vec<String>,
}

impl<'a> Reached<'a> {
    pub(super) fn new(found: &'a Found) -> Self {
        Self {
            found,
            joined: BTreeSet::new(),
            opened: BTreeSet::new(),
            undone: BTreeMap::new(),
            definers: Vec::new(),
        }
    }

    /// Whether we may act for a role, if need be as a member from now on.
    pub(super) fn may_act_for(&mut self, role: u32) -> bool {
        match self.found.roles.get(&role).map(|it| it.reach) {
            Some(Reach::Usable) => true,
            Some(Reach::Grantable) => {
                self.joined.insert(role);
                true
            }
            Some(Reach::Closed) | None => false,
        }
    }

    /// Keeps in mind what is not done, since we may not act for a role.
    pub(super) fn leave(&mut self, role: u32, what: String) {
        self.undone.entry(role).or_default().push(what);
    }

    /// Keeps in mind what stays its owner's, since it would run with another one's rights.
    pub(super) fn keep(&mut self, what: String) {
        self.definers.push(what);
    }

    /// The owner role has to create in a schema, since it gets something there.
    pub(super) fn open(&mut self, schema: &'a str) {
        self.opened.insert(schema);
    }

    pub(super) fn name(&self, role: u32) -> &'a str {
        let role: Option<&'a Role> = self.found.roles.get(&role);
        role.map_or("that was dropped", |it| it.name.as_str())
    }

    pub(super) fn preparations(&mut self, wanted: &Wanted) -> Vec<Statement> {
        let owner_role = quote(&wanted.owner_role);
        let opened = std::mem::take(&mut self.opened);
        let mut grants = Vec::new();
        for schema in &self.found.schemas {
            if opened.contains(schema.name.as_str())
                && !schema.open_to_owner_role
                && self.may_act_for(schema.owner)
            {
                let name = quote(&schema.name);
                let sql = format!("GRANT USAGE, CREATE ON SCHEMA {name} TO {owner_role}");
                grants.push(Statement::new(sql));
            }
        }
        let joins = self
            .joined
            .iter()
            .map(|it| self.found.us.join(self.name(*it)));
        joins.chain(grants).collect()
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let us = &self.found.us.name;
        let sentence = |role: u32, what: &Vec<String>| {
            let name = self.name(role);
            format!(
                "role {us} may not act for role {name}, so these are not as wanted: {}; as a role that may, run GRANT {} TO {}",
                listed(what),
                quote(name),
                quote(us)
            )
        };
        let kept = (!self.definers.is_empty()).then(|| Problem {
            kind: Kind::Definer,
            sentence: format!(
                "{} stays its owner's: it runs with its owner's rights (SECURITY DEFINER, or a query or rule of his without security_invoker), and would run with those of another role; alter it, or its owner, by hand",
                listed(&self.definers)
            ),
        });
        let each = self.undone.iter();
        each.map(|(role, what)| Problem {
            kind: Kind::NotAllowed,
            sentence: sentence(*role, what),
        })
        .chain(kept)
        .collect()
    }
}
