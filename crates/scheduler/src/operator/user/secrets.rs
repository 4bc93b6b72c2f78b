//! The Secrets of users, read and written.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Error as KubeError, ResourceExt as _};

use super::secret::{self, Holder};
use crate::operator::{Error, Operator};

/// A Secret that could not be written as the API server was asked to, and its sentence.
pub(super) struct Refused(pub(super) String);

/// Whether a Secret is written, or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Done,
    Tried,
}

impl Operator {
    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// A Secret, or why it cannot be read.
    pub(super) async fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Result<Option<Secret>, Refused>, Error> {
        let found = self.secrets(namespace).get_opt(name).await;
        said(found, || format!("read Secret {namespace}/{name}"))
    }

    /// Writes a Secret as it is to be: a new one, or in place of the one that was read.
    pub(super) async fn write_secret(
        &self,
        namespace: &str,
        secret: &Secret,
        writing: Writing,
    ) -> Result<Result<(), Refused>, Error> {
        let api = self.secrets(namespace);
        let name = secret.name_any();
        let params = PostParams {
            dry_run: writing == Writing::Tried,
            ..PostParams::default()
        };
        let written = match secret.metadata.resource_version {
            Some(_) => api.replace(&name, &params, secret).await,
            None => api.create(&params, secret).await,
        };
        let written = said(written, || format!("write Secret {namespace}/{name}"))?;
        Ok(written.map(drop))
    }

    /// What becomes of a Secret that a user has no more: its own goes, and one of others loses the user's keys.
    pub(super) async fn leave_secret(
        &self,
        namespace: &str,
        name: &str,
        holder: &Holder,
    ) -> Result<Result<(), Refused>, Error> {
        let found = match self.secret(namespace, name).await? {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Ok(())),
            Err(refused) => return Ok(Err(refused)),
        };
        if secret::is_merged(&found, holder) {
            let stripped = secret::stripped(&found, holder);
            return self.write_secret(namespace, &stripped, Writing::Done).await;
        }
        if !secret::is_owned(&found, holder) {
            return Ok(Ok(()));
        }
        let this = DeleteParams {
            preconditions: Some(Preconditions {
                uid: found.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = self.secrets(namespace).delete(name, &this).await;
        match deleted {
            Err(KubeError::Api(status)) if status.code == 404 => Ok(Ok(())),
            other => Ok(said(other, || format!("delete Secret {namespace}/{name}"))?.map(drop)),
        }
    }

    /// What becomes of a Secret whose user goes and leaves it.
    pub(super) async fn release_secret(
        &self,
        namespace: &str,
        name: &str,
        holder: &Holder,
    ) -> Result<Result<(), Refused>, Error> {
        let found = match self.secret(namespace, name).await? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let released = found.and_then(|it| secret::released(&it, holder));
        match released {
            Some(released) => self.write_secret(namespace, &released, Writing::Done).await,
            None => Ok(Ok(())),
        }
    }
}

/// What the API server refuses is told in the object's status; what it did not answer is tried again soon, and so is
/// what somebody else has changed meanwhile.
fn said<T>(
    done: Result<T, KubeError>,
    doing: impl FnOnce() -> String,
) -> Result<Result<T, Refused>, Error> {
    match done {
        Ok(it) => Ok(Ok(it)),
        Err(KubeError::Api(status)) if (400..500).contains(&status.code) && status.code != 409 => {
            Ok(Err(Refused(status.message.clone())))
        }
        Err(error) => Err(Error::api(doing())(error)),
    }
}
