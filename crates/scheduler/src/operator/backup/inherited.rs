//! A Backup that dbtether has begun: its run is waited for, and what it has noted is told.

use std::collections::BTreeMap;

use kube::runtime::controller::Action;

use super::told::Begun;
use super::{RUNNING, Working, told};
use crate::domain::labels;
use crate::domain::run::Inherited;
use crate::operator::runs::{self, Observed};
use crate::operator::{Error, inherited, keys};

const LABELS: [&str; 2] = [labels::BACKUP, keys::BACKUP_NAMESPACE];

impl Working<'_> {
    pub(super) async fn inherited(&self) -> Result<Vec<Inherited>, Error> {
        // Of what we have begun ourselves we know where it is stored.
        if self.before.stored.is_some() {
            return Ok(Vec::new());
        }
        inherited::of(&self.objects.service, self.object, LABELS).await
    }

    /// One that is under way though the status does not say so: dbtether was ended between the two.
    pub(super) async fn inherited_under_way(&self) -> Result<Option<Inherited>, Error> {
        if self.before.last_run.is_some() {
            return Ok(None);
        }
        let all = self.inherited().await?;
        Ok(all.into_iter().find(inherited::is_under_way))
    }

    pub(super) async fn take_over(&self, found: &Inherited, hash: &str) -> Result<Action, Error> {
        let of = found.labels.get(keys::SPEC_HASH);
        let begun = Begun {
            run: &found.run.name,
            hash: of.map_or(hash, String::as_str),
            at: runs::second(found.run.created),
            stored: None,
            message: "backup job running",
        };
        let mut after = told::running(self.object, &self.before, begun);
        after.run_id = inherited::run_id(&found.run.name);
        self.tell(&after).await?;
        Ok(Action::requeue(RUNNING))
    }

    /// A run that is none of ours may be dbtether's; with what is noted on it.
    pub(super) async fn or_inherited(
        &self,
        observed: Observed,
        name: &str,
    ) -> Result<(Observed, BTreeMap<String, String>), Error> {
        if !matches!(observed, Observed::Run(_)) {
            let mut all = self.inherited().await?.into_iter();
            if let Some(found) = all.find(|it| it.run.name == name) {
                return Ok((Observed::Run(Box::new(found.run)), found.annotations));
            }
        }
        Ok((observed, BTreeMap::new()))
    }
}
