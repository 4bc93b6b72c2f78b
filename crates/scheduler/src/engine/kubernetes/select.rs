//! Which objects of the namespace are meant: label selectors.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>

use kube::api::ListParams;

use super::keys::{COMPONENT, Key, MANAGED_BY, MANAGER, PLACE};
use crate::domain::run::Component;

/// What selects our objects.
pub(super) fn selector(component: Option<Component>) -> String {
    let ours = format!("{MANAGED_BY}={MANAGER}");
    match component {
        Some(component) => format!("{ours},{COMPONENT}={}", component.word()),
        None => ours,
    }
}

pub(super) fn selected(component: Component) -> ListParams {
    ListParams::default().labels(&selector(Some(component)))
}

/// Restores that were begun by the version before have half of the digits.
pub(super) fn into(database: &str, params: ListParams) -> ListParams {
    let half = database.get(..8).unwrap_or(database);
    labelled(PLACE, &[database, half], params)
}

/// What the version before this one has made has its key, and what this one makes has both.
pub(super) fn labelled(key: Key, values: &[&str], mut params: ListParams) -> ListParams {
    let key = key.before.unwrap_or(key.now);
    if let Some(labels) = &mut params.label_selector {
        labels.push_str(&format!(",{key} in ({})", values.join(",")));
    }
    params
}
