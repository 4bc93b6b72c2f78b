//! The roles of the server that is restored into, and what our own may do with them.

use std::collections::BTreeMap;

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::quote;
use tokio_postgres::Client;

/// From this major on a membership says whether it lets its member SET ROLE.
/// PostgreSQL 16 manual, 22.3: role membership.
const SET_OPTION: u32 = 16;

/// A role of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Role {
    /// Whether our role may give objects to it, and still do with them what their owner may.
    pub(crate) reachable: bool,
    /// Whether our role is a member of it, in whatever way.
    pub(crate) ours: bool,
    /// Whether it is a superuser.
    pub(crate) superuser: bool,
}

/// Names of roles as SQL writes them: one may have a comma in it.
pub(crate) fn named<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|it| quote(it)).collect();
    names.join(", ")
}

/// All roles of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roles {
    /// The name of our own.
    pub(crate) me: String,
    /// Whether our own is a superuser.
    pub(crate) superuser: bool,
    /// Whether a membership says by itself what it gives: [`SET_OPTION`].
    pub(crate) has_options: bool,
    all: BTreeMap<String, Role>,
}

impl Roles {
    /// Asks the server, which is of this major.
    ///
    /// # Errors
    /// What it said.
    pub(crate) async fn of(session: &Client, target: &Target, major: u32) -> Result<Self, Failure> {
        let becomes = if major >= SET_OPTION { "SET" } else { "MEMBER" };
        let rows = session
            .query(
                "SELECT rolname::text, rolsuper, rolname = current_user,
                        pg_has_role(oid, 'USAGE') AND pg_has_role(oid, $1),
                        pg_has_role(oid, 'MEMBER')
                   FROM pg_roles",
                &[&becomes],
            )
            .await
            .map_err(|error| postgres::Error::new("examining", target, &error))?;
        let mut roles = Self {
            has_options: major >= SET_OPTION,
            ..Self::default()
        };
        for row in &rows {
            let (name, superuser): (String, bool) = (row.get(0), row.get(1));
            if row.get(2) {
                roles.me.clone_from(&name);
                roles.superuser = superuser;
            }
            let (reachable, ours) = (row.get(3), row.get(4));
            roles.all.insert(
                name,
                Role {
                    reachable,
                    ours,
                    superuser,
                },
            );
        }
        Ok(roles)
    }

    /// The role of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Role> {
        self.all.get(name).copied()
    }

    /// With roles that are about to be made, which ours can give to.
    pub(crate) fn with(mut self, made: &[String]) -> Self {
        let role = Role {
            reachable: true,
            ours: true,
            superuser: false,
        };
        let made = made.iter().map(|it| (it.clone(), role));
        self.all.extend(made);
        self
    }

    /// Whether there is a role of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// Roles for tests: our own, and others that it can reach or cannot.
    #[cfg(test)]
    pub(crate) fn sample(superuser: bool, others: &[(&str, bool)]) -> Self {
        let mut roles = Self {
            me: "me".to_owned(),
            superuser,
            has_options: true,
            all: BTreeMap::new(),
        };
        let own = Role {
            reachable: true,
            ours: true,
            superuser,
        };
        roles.all.insert("me".to_owned(), own);
        for (name, reachable) in others {
            let role = Role {
                reachable: *reachable,
                ours: *reachable,
                superuser: false,
            };
            roles.all.insert((*name).to_owned(), role);
        }
        roles
    }
}
