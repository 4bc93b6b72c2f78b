//! The operator: it works where this scheduler leads, and no operator beside it holds the Lease of them all.

use std::sync::Arc;

use backuper::runtime::failure::Failure;
use backuper::text;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Choice, Config};
use crate::engine::kubernetes::lease::Election;
use crate::metrics::objects::Census;
use crate::operator::{self, Operator};
use crate::service::Service;

/// The operator, and the Lease that dbtether holds while it works.
#[derive(Debug)]
pub struct Operating {
    operator: Arc<Operator>,
    election: Election,
}

impl Operating {
    /// The operator, where the settings ask for one.
    pub(super) async fn prepare(
        config: &Config,
        service: &Service,
    ) -> Result<Option<Self>, Failure> {
        let Some(settings) = config.operating.settings(config.workers.sslmode) else {
            return Ok(None);
        };
        if config.choice() == Choice::Local {
            return Err(Failure::refused(
                "OPERATOR=true needs the kubernetes engine: set ENGINE=kubernetes and SYSTEM_NAMESPACE, or leave OPERATOR out",
            ));
        }
        let operator = Operator::infer(settings).await;
        let operator = operator.map_err(|it| Failure::refused(text::chain(&it)))?;
        let election = Election::infer(operator::LEASE, &config.cluster.namespace).await;
        let election = election.map_err(|it| super::failure(&it))?;
        let operator = operator.serving(service.clone());
        Ok(Some(Self::new(Arc::new(operator), election)))
    }

    /// An operator that works while it wins an election.
    #[must_use]
    pub fn new(operator: Arc<Operator>, election: Election) -> Self {
        Self { operator, election }
    }

    /// What a scrape shows of the operator.
    #[must_use]
    pub fn census(&self) -> Census {
        self.operator.census()
    }

    /// Works whenever this scheduler leads and the Lease is ours, until stopped.
    pub async fn work(self, mut leads: watch::Receiver<bool>, stop: CancellationToken) {
        loop {
            let leading = tokio::select! {
                () = stop.cancelled() => return,
                leading = leads.wait_for(|it| *it) => leading.map(drop),
            };
            if leading.is_err() {
                return;
            }
            let until = stop.child_token();
            let ends = async {
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = leads.wait_for(|it| !*it) => {}
                }
                until.cancel();
            };
            tokio::join!(ends, self.work_while_elected(until.clone()));
        }
    }

    /// Who gives the Lease back has stopped to work.
    async fn work_while_elected(&self, stop: CancellationToken) {
        let (elected, is_elected) = watch::channel(false);
        let stopped = CancellationToken::new();
        let working = async {
            Box::pin(self.operator.clone().work(is_elected, stop)).await;
            stopped.cancel();
        };
        tokio::join!(working, self.election.keep(&stopped, &elected));
    }
}
