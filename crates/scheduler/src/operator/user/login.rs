//! The role of a user and its logins in the server: made, told apart, and shut when their time is over.

use kube::ResourceExt as _;

use super::role::{CREATING, Ensured, Wish, failed};
use super::secret::{self, Standing};
use super::spec::Reference;
use super::turn::{Seen, Turn};
use super::{Failure, Found, Work, rotation};
use crate::operator::{keys, now};
use crate::postgres::owner::Owner;
use crate::postgres::role::second;

const SHUTTING: &str = "failed to take the password from a login";

impl Work<'_> {
    /// What an annotation asks a new password for, where it was not made yet.
    fn asked_to_rotate(&self) -> Option<&String> {
        let asked = self.object.annotations().get(keys::ROTATE);
        asked.filter(|it| self.status.rotated_for.as_ref() != Some(*it))
    }

    /// The login that the user has from now on, and whether its password is to be another one.
    pub(super) fn turn(&self, found: &[Found]) -> Turn {
        let updated = self.status.password_updated_at.as_ref().map(|it| it.0);
        let takes = |it: &Found| matches!(it.1, Standing::Adopted | Standing::Merging);
        let mut known = found.iter().filter(|(_, standing)| standing.is_known());
        let secret = known.find_map(|(found, _)| {
            let data = found.as_ref()?.data.as_ref()?;
            self.asked.template.login(data)
        });
        Turn::of(Seen {
            asked: self.asked,
            status: &self.status,
            secret: secret.as_deref(),
            is_due: rotation::is_due(self.asked.days, updated, now())
                || updated.is_some() && self.asked_to_rotate().is_some(),
            takes: found.iter().any(takes),
            now: now(),
        })
    }

    pub(super) async fn ensure_role(
        &self,
        found: &[Found],
        turn: &Turn,
    ) -> Result<Ensured, Failure> {
        let holder = secret::holder(self.object);
        let known = found.iter().filter(|(_, standing)| standing.is_known());
        let mut known = known.filter_map(|(found, standing)| Some((found.as_ref()?, standing)));
        let password = known.find_map(|(found, standing)| {
            let password = self.asked.template.recover(found.data.as_ref()?)?;
            // One of dbtether's that has others' keys too is the object's by its uid.
            let is_evidence = *standing != Standing::Merged || secret::is_owned(found, &holder);
            Some((password, is_evidence))
        });
        let password = match password {
            Some(password) => Some(password),
            None => self.former_password().await?,
        };
        let first = self.place.databases.first();
        let role = &self.asked.username;
        let is_first = turn.login == *role;
        let is_evidence = password.as_ref().is_some_and(|it| it.1);
        let login = Wish {
            name: &turn.login,
            owner: &self.owner,
            settings: &self.asked.settings,
            length: self.asked.length,
            is_evidence,
            proof: &turn.login,
            // Of the other login's.
            password: password
                .map(|it| it.0)
                .filter(|_| !(turn.is_another && turn.renews)),
            renews: turn.renews,
            logs_in: true,
            force: keys::says(self.object, keys::FORCE_ADOPT),
            database: first.map_or("postgres", |it| &it.name),
        };
        let is_there = |other: &Owner| {
            let named = Reference {
                namespace: other.namespace.clone(),
                name: other.name.clone(),
            };
            self.operator.users.get(&named).is_some()
        };
        let server = &self.place.server;
        let ensured = server
            .in_turn(async |session, facts| {
                if is_first {
                    return login.ensure(server, session, facts, is_there).await;
                }
                let joined = second::is_joined(session, login.name, role).await;
                let role = Wish {
                    name: role,
                    // Anybody may have a role of the login's name.
                    is_evidence: login.is_evidence && joined.map_err(failed(CREATING))?,
                    renews: false,
                    logs_in: false,
                    ..login.clone()
                };
                let of = role.ensure(server, session, facts, is_there).await?;
                let mut ensured = login.ensure(server, session, facts, is_there).await?;
                let joined = second::join(session, login.name, role.name).await;
                joined.map_err(failed(CREATING))?;
                ensured.oid = of.oid;
                Ok(ensured)
            })
            .await;
        Ok(ensured?)
    }

    /// Takes its password from the login before the present one, when its time is over.
    pub(super) async fn shut_former(&mut self) -> Result<(), Failure> {
        let former = self.status.former_login.as_ref();
        let Some(former) = former.filter(|it| it.until.0 <= now()) else {
            return Ok(());
        };
        let server = &self.place.server;
        let shut = server
            .in_turn(async |session, _| {
                let shut = second::shut(session, &former.name, &self.owner).await;
                shut.map_err(failed(SHUTTING))
            })
            .await;
        shut?;
        let mut after = self.status.clone();
        after.former_login = None;
        Ok(self.tell(after).await?)
    }
}
