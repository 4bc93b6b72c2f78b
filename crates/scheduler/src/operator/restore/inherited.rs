//! A Restore that dbtether has begun: its run is waited for, and never begun again.

use kube::runtime::controller::Action;

use super::{RUNNING, Working, told};
use crate::domain::run::Inherited;
use crate::operator::object::Phased as _;
use crate::operator::runs::{self, Observed};
use crate::operator::{Error, inherited, keys};

const LABELS: [&str; 2] = [keys::RESTORE, keys::RESTORE_NAMESPACE];

impl Working<'_> {
    async fn inherited(&self) -> Result<Vec<Inherited>, Error> {
        // Of what we begin ourselves we keep before what is to come back.
        if self.before.chosen.is_some() {
            return Ok(Vec::new());
        }
        inherited::of(&self.objects.service, self.object, LABELS).await
    }

    /// One whose status does not say so, as dbtether was ended between the two. One that has ended too: what came
    /// back must not come back once more over what was written since.
    pub(super) async fn inherited_before_its_status(&self) -> Result<Option<Inherited>, Error> {
        let is_told = !matches!(self.before.phase(), None | Some("Pending"));
        if is_told || self.before.last_run.is_some() {
            return Ok(None);
        }
        Ok(self.inherited().await?.into_iter().next())
    }

    pub(super) async fn take_over(&self, found: &Inherited, hash: &str) -> Result<Action, Error> {
        let of = found.labels.get(keys::SPEC_HASH);
        let begun = (
            found.run.name.as_str(),
            of.map_or(hash, String::as_str),
            None,
        );
        let at = runs::second(found.run.created);
        let mut after = told::running(self.object, &self.before, begun, at);
        after.run_id = inherited::run_id(&found.run.name);
        self.tell(&after).await?;
        Ok(Action::requeue(RUNNING))
    }

    /// A run that is none of ours may be dbtether's.
    pub(super) async fn or_inherited(
        &self,
        observed: Observed,
        name: &str,
    ) -> Result<Observed, Error> {
        if matches!(observed, Observed::Run(_)) {
            return Ok(observed);
        }
        let mut all = self.inherited().await?.into_iter();
        let found = all.find(|it| it.run.name == name);
        Ok(found.map_or(observed, |it| Observed::Run(Box::new(it.run))))
    }

    /// Ends what is under way, as its object goes; the sentence that tells it.
    pub(super) async fn end_inherited(&self) -> Result<Option<String>, Error> {
        let all = self.inherited().await?;
        let ended = inherited::end(&self.objects.service, &all).await?;
        Ok((!ended.is_empty()).then(|| {
            format!(
                "{} was under way and is ended: look at the database",
                ended.join(", ")
            )
        }))
    }
}
