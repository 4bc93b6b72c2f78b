//! Where the hosts of a request lead: to no link-local address, whatever their names say.

use std::time::Duration;

use tokio::net::lookup_host;

use backuper::link_local::is_link_local;

use crate::domain::access::Refusal;

/// How long a name may take; one that nobody knows refuses nothing.
const LIMIT: Duration = Duration::from_secs(2);

/// Looks the names up.
pub(super) async fn permit(hosts: Vec<String>) -> Result<(), Refusal> {
    let lookups: Vec<_> = hosts.into_iter().map(refused).collect();
    let refused = futures::future::join_all(lookups).await;
    match refused.into_iter().flatten().next() {
        Some(host) => Err(Refusal::LinkLocal(host)),
        None => Ok(()),
    }
}

async fn refused(host: String) -> Option<String> {
    let looking = lookup_host((host.as_str(), 0));
    let found = tokio::time::timeout(LIMIT, looking).await.ok()?.ok()?;
    let addresses: Vec<_> = found.collect();
    let is_refused = addresses.iter().any(|it| is_link_local(it.ip()));
    is_refused.then_some(host)
}
