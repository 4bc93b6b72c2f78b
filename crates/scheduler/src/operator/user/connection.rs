//! The Secrets with a user's connection: whose each is, the password in them, and what they are to hold.

use k8s_openapi::api::core::v1::Secret;
use secrecy::SecretString;

use super::role::Ensured;
use super::secret::{self, Policy, Standing, Values};
use super::secrets::Writing;
use super::spec::Reference;
use super::{Failure, Found, Work, told};

impl Work<'_> {
    pub(super) async fn read_secrets(&self) -> Result<Vec<Found>, Failure> {
        let policy = if self.asked.per_database {
            Policy::Fail
        } else {
            self.asked.policy
        };
        let holder = secret::holder(self.object);
        let is_there = |name: &str| {
            let named = Reference {
                namespace: self.namespace.clone(),
                name: name.to_owned(),
            };
            self.operator.users.get(&named).is_some()
        };
        let mut all = Vec::new();
        for name in &self.asked.secrets {
            let found = self.operator.secret(&self.namespace, name).await??;
            let standing = secret::standing(found.as_ref(), &holder, policy, is_there);
            if let Standing::Refused(why) = standing {
                return Err(Failure::Secret(why));
            }
            all.push((found, standing));
        }
        Ok(all)
    }

    /// The password in a Secret that had another name, and whether that is this very object's.
    pub(super) async fn former_password(&self) -> Result<Option<(SecretString, bool)>, Failure> {
        let holder = secret::holder(self.object);
        for name in told::secrets(&self.status) {
            if self.asked.secrets.contains(&name) {
                continue;
            }
            let found = self.operator.secret(&self.namespace, &name).await??;
            let found = found.filter(|it| secret::is_owned(it, &holder));
            let data = found.and_then(|it| it.data);
            if let Some(password) = data.and_then(|it| self.asked.template.recover(&it)) {
                return Ok(Some((password, true)));
            }
        }
        Ok(None)
    }

    /// The Secrets that are not as they are to be with this password.
    fn secrets(&self, found: &[Found], (login, password): (&str, &SecretString)) -> Vec<Secret> {
        let names = self.place.names();
        let mut all = Vec::new();
        let target = &self.place.server.target;
        let sslmode = target.sslmode.to_string();
        for (index, name) in self.asked.secrets.iter().enumerate() {
            let (found, standing) = found
                .get(index)
                .map_or((None, &Standing::Absent), |it| (it.0.as_ref(), &it.1));
            let values = Values {
                host: &target.host,
                port: target.port,
                database: names.get(index).map_or("", String::as_str),
                username: login,
                password,
                sslmode: &sslmode,
                databases: if self.asked.per_database { &[] } else { &names },
            };
            let database = self.asked.entries.get(index);
            let database = database.filter(|_| self.asked.per_database);
            let wanted = secret::Wanted {
                name,
                standing,
                database: database.map(|it| it.database.name.as_str()),
                data: self
                    .asked
                    .template
                    .data(&values, secret::own_data(found, standing).as_ref()),
            };
            all.extend(secret::desired(found, wanted, self.object));
        }
        all
    }

    /// Whether the Secrets could be written, with a password that is none.
    pub(super) async fn try_secrets(&self, found: &[Found], login: &str) -> Result<(), Failure> {
        for secret in self.secrets(found, (login, &SecretString::from("x"))) {
            self.operator
                .write_secret(&self.namespace, &secret, Writing::Tried)
                .await??;
        }
        Ok(())
    }

    /// Writes the Secrets as they are to be, and then leaves those that had another name.
    pub(super) async fn write_secrets(
        &self,
        found: &[Found],
        ensured: &Ensured,
    ) -> Result<(), Failure> {
        for secret in self.secrets(found, (&ensured.login, &ensured.password)) {
            self.operator
                .write_secret(&self.namespace, &secret, Writing::Done)
                .await??;
        }
        let holder = secret::holder(self.object);
        for name in told::secrets(&self.status) {
            if !self.asked.secrets.contains(&name) {
                self.operator
                    .leave_secret(&self.namespace, &name, &holder)
                    .await??;
            }
        }
        Ok(())
    }
}
