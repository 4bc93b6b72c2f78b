//! What is kept of a schedule's credentials, put in where a request is tried before it is answered.

use crate::domain::credential::Credential;
use crate::domain::store::{Keys, Store};
use crate::engine::Secrets;

/// Puts what is kept into those that are not at hand; the password is kept under this name.
pub(super) fn fill(
    password: Option<(&str, &mut Credential)>,
    store: Option<&mut Store>,
    mut secrets: Secrets,
) {
    let mut secret = |name: &str| secrets.remove(name).unwrap_or_default();
    if let Some((name, password)) = password {
        *password = Credential::Inline(Some(secret(name)));
    }
    if let Some(store) = store {
        let variables = store.way().variables().iter();
        let keys = Keys(variables.map(|it| secret(it)).collect());
        store.keys = Credential::Inline(Some(keys));
    }
}
