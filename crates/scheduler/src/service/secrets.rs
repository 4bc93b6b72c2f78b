//! What is kept of a schedule's credentials, put in where a request is tried before it is answered.

use crate::domain::credential::Credential;
use crate::domain::store::Keys;
use crate::engine::Secrets;

/// Puts what is kept into those that are not at hand.
pub(super) fn fill(
    password: Option<&mut Credential>,
    keys: Option<&mut Credential<Keys>>,
    mut secrets: Secrets,
) {
    let mut secret = |name: &str| secrets.remove(name).unwrap_or_default();
    if let Some(password) = password {
        *password = Credential::Inline(Some(secret("DB_PASSWORD")));
    }
    if let Some(keys) = keys {
        *keys = Credential::Inline(Some(Keys {
            access: secret("S3_ACCESS_KEY"),
            secret: secret("S3_SECRET_KEY"),
        }));
    }
}
