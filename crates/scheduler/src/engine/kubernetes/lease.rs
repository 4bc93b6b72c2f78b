//! Which of several leads: the one that holds a Lease of the namespace.
//! <https://kubernetes.io/docs/concepts/architecture/leases/>
//!
//! A holder is given up when its Lease has not changed for as long as it lasts, by the clock of whoever
//! waits: nobody's clock is compared with another's.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::{Client, Config, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Kubernetes;
use super::apply::{Objects, creating};
use super::error::{answered, is_forbidden, is_lost_race};
use crate::engine::{Error, Kind};

/// Looks at a Lease within the time that it lasts.
const LOOKS: u32 = 3;

/// How long a Lease lasts that its holder does not renew.
pub(super) const LASTS: Duration = Duration::from_secs(15);
/// How long one call to the API server may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A Lease that several contend for.
#[derive(Clone, Debug)]
pub struct Election {
    objects: Objects,
    /// The Lease's name.
    name: String,
    /// How long it lasts that its holder does not renew.
    lasts: Duration,
    /// Whether everybody leads where nobody may look at the Lease, as before there was one.
    leads_when_denied: bool,
}

/// One contender's view of the Lease.
#[derive(Debug)]
struct Candidate {
    /// Who we are: unlike any other, and unlike us after a restart.
    name: String,
    /// The version of the Lease that was seen last, and since when it has been that.
    seen: Option<(String, Instant)>,
    /// Until when we surely hold it.
    held_until: Option<Instant>,
    /// Whom the log has named as its holder.
    told: Option<String>,
}

impl Candidate {
    fn holds(&self) -> bool {
        self.held_until.is_some_and(|it| Instant::now() < it)
    }

    /// Does something that may take long; leads no more as soon as the Lease may be another's. None when
    /// that came first, or a stop.
    async fn while_held<T>(
        &mut self,
        stop: &CancellationToken,
        leads: &watch::Sender<bool>,
        work: impl AsyncFnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let until = self.held_until;
        let ends = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            done = work(self) => Some(done),
            () = ends => None,
        };
        if done.is_none() {
            self.held_until = None;
            lead(leads, false);
        }
        done
    }

    /// Says in the log, once, who has the Lease that we wait for.
    fn tell(&mut self, lease: &str, holder: &str) {
        if self.told.as_deref() != Some(holder) {
            tracing::info!(
                lease,
                holder,
                "another one leads: we wait until it gives the Lease up, or does not renew it"
            );
            self.told = Some(holder.to_owned());
        }
    }
}

fn lead(leads: &watch::Sender<bool>, lead: bool) {
    if leads.send_if_modified(|it| std::mem::replace(it, lead) != lead) {
        tracing::info!(leads = lead, "who leads has changed");
    }
}

impl Objects {
    async fn lease(&self, name: &str) -> Result<Option<Lease>, Error> {
        self.call(
            || format!("read Lease {name}"),
            || self.leases.get_opt(name),
        )
        .await
    }

    /// A [`Kind::Conflict`] when there is one of that name.
    async fn create_lease(&self, lease: &Lease) -> Result<Lease, Error> {
        let params = creating();
        self.call(
            || format!("create Lease {}", lease.name_any()),
            || self.leases.create(&params, lease),
        )
        .await
    }

    /// A [`Kind::Conflict`] when it has changed since it was read.
    async fn replace_lease(&self, lease: &Lease) -> Result<Lease, Error> {
        let (name, params) = (lease.name_any(), creating());
        self.call(
            || format!("write Lease {name}"),
            || self.leases.replace(&name, &params, lease),
        )
        .await
    }
}

impl Kubernetes {
    /// Which of several schedulers leads.
    pub(super) fn election(&self) -> Election {
        let release = self.settings.release.as_deref();
        Election {
            objects: self.objects.clone(),
            name: format!("{}-leader", release.unwrap_or("postgres-adapter")),
            lasts: self.settings.lease,
            leads_when_denied: true,
        }
    }
}

impl Election {
    /// A Lease in a namespace of the cluster that we run in, or that the kubeconfig names.
    ///
    /// # Errors
    /// When there is no cluster, or its configuration is unusable.
    pub async fn infer(name: &str, namespace: &str) -> Result<Self, Error> {
        let config = Config::infer()
            .await
            .map_err(|error| Error::new("find a cluster to speak to", Kind::Precondition, error))?;
        let client = Client::try_from(config)
            .map_err(|error| answered("prepare to speak to the cluster", error))?;
        Ok(Self::new(client, name, namespace))
    }

    /// A Lease in a namespace.
    #[must_use]
    pub fn new(client: Client, name: &str, namespace: &str) -> Self {
        Self {
            objects: Objects::new(client, namespace, CALL_TIMEOUT),
            name: name.to_owned(),
            lasts: LASTS,
            leads_when_denied: false,
        }
    }

    /// A Lease that lasts otherwise.
    #[must_use]
    pub fn lasting(self, lasts: Duration) -> Self {
        Self { lasts, ..self }
    }

    /// Takes the Lease when it is free, keeps it, and gives it back when stopped.
    pub async fn keep(&self, stop: &CancellationToken, leads: &watch::Sender<bool>) {
        let mut candidate = Candidate {
            name: format!("postgres-adapter-{}", uuid::Uuid::new_v4()),
            seen: None,
            held_until: None,
            told: None,
        };
        let mut is_denied = false;
        while !stop.is_cancelled() {
            let outcome = candidate.while_held(stop, leads, async |it| self.try_lease(it).await);
            match outcome.await {
                Some(Ok(())) => is_denied = false,
                Some(Err(error)) if is_forbidden(&error) => {
                    if !is_denied {
                        self.tell_denied(&error);
                    }
                    is_denied = true;
                }
                Some(Err(error)) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "the Lease is looked at again"
                    );
                }
                None => continue,
            }
            // Where the Role is that of a version without a Lease, all schedulers lead, as they did.
            lead(
                leads,
                candidate.holds() || is_denied && self.leads_when_denied,
            );
            let pause = self.lasts / LOOKS;
            let waiting = async |_: &mut Candidate| tokio::time::sleep(pause).await;
            candidate.while_held(stop, leads, waiting).await;
        }
        leads.send_replace(false);
        if candidate.held_until.is_some() {
            self.give_back(&candidate).await;
        }
    }

    fn tell_denied(&self, error: &Error) {
        let error = error.chain();
        if self.leads_when_denied {
            tracing::warn!(
                error,
                "without the right to Leases every scheduler tidies and tells by itself; give the Role that right"
            );
        } else {
            tracing::warn!(
                error,
                lease = self.name,
                "without the right to this Lease the operator does nothing; give the Role that right"
            );
        }
    }

    async fn try_lease(&self, candidate: &mut Candidate) -> Result<(), Error> {
        let asked = Instant::now();
        let Some(found) = self.objects.lease(&self.name).await? else {
            let lease = self.lease(&candidate.name, None);
            return self.take(candidate, asked, &lease).await;
        };
        let version = found.resource_version().unwrap_or_default();
        let holder = found
            .spec
            .as_ref()
            .and_then(|it| it.holder_identity.as_deref());
        let is_ours = holder == Some(&candidate.name);
        let is_free = holder.is_none_or(str::is_empty);
        if !is_ours {
            candidate.held_until = None;
        }
        let since = match &candidate.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => asked,
        };
        candidate.seen = Some((version, since));
        let has_ended = since.elapsed() > lasting(&found).unwrap_or(self.lasts);
        if !(is_ours || is_free || has_ended) {
            candidate.tell(&self.name, holder.unwrap_or_default());
            return Ok(());
        }
        let lease = self.lease(&candidate.name, Some(&found));
        self.take(candidate, asked, &lease).await
    }

    /// Makes the Lease where it names no version that it replaces.
    async fn take(
        &self,
        candidate: &mut Candidate,
        asked: Instant,
        lease: &Lease,
    ) -> Result<(), Error> {
        let taken = match lease.resource_version() {
            None => self.objects.create_lease(lease).await,
            Some(_) => self.objects.replace_lease(lease).await,
        };
        match taken {
            Ok(taken) => {
                let version = taken.resource_version().unwrap_or_default();
                candidate.seen = Some((version, Instant::now()));
                candidate.held_until = Some(asked + self.lasts);
                candidate.told = None;
                Ok(())
            }
            // Somebody was quicker.
            Err(error) if is_lost_race(&error) => {
                candidate.held_until = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The Lease as its next holder has it, in place of what was found.
    fn lease(&self, holder: &str, found: Option<&Lease>) -> Lease {
        let before = found.and_then(|it| it.spec.as_ref());
        let is_same = before.and_then(|it| it.holder_identity.as_deref()) == Some(holder);
        let now = MicroTime(Timestamp::now());
        let transitions = before.and_then(|it| it.lease_transitions).unwrap_or(0);
        let acquired = before.and_then(|it| it.acquire_time.clone());
        let seconds = i32::try_from(self.lasts.as_secs()).unwrap_or(i32::MAX);
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: found.and_then(ResourceExt::resource_version),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(seconds.max(1)),
                acquire_time: acquired.filter(|_| is_same).or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(if is_same {
                    transitions
                } else {
                    transitions.saturating_add(1)
                }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// The next one need not wait until it ends.
    async fn give_back(&self, candidate: &Candidate) {
        let giving = async {
            let Some(found) = self.objects.lease(&self.name).await? else {
                return Ok(());
            };
            let holder = found
                .spec
                .as_ref()
                .and_then(|it| it.holder_identity.as_deref());
            if holder != Some(&candidate.name) {
                return Ok(());
            }
            self.objects
                .replace_lease(&self.lease("", Some(&found)))
                .await
                .map(drop)
        };
        if let Err(error) = giving.await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the Lease stays until it ends"
            );
        }
    }
}

/// How long a Lease lasts that its holder has made.
fn lasting(lease: &Lease) -> Option<Duration> {
    let seconds = lease.spec.as_ref()?.lease_duration_seconds?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}
