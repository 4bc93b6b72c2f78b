//! Who we are at Google.

use object_store::gcp::GoogleCloudStorageBuilder;
use secrecy::ExposeSecret as _;

use super::error::meaning;
use crate::storage::cloud::Client;
use crate::storage::cloud::identity::{Identity, TokenEndpoint};
use crate::storage::http::Http;
use crate::storage::{Error, GcsCredentials, GcsPlace, Kind, Tls};
use crate::text::deepest_cause;

/// A client that tries a request as often as this; nothing is sent.
pub(super) fn client(place: &GcsPlace, tls: &Tls, attempts: u32) -> Result<Client, Error> {
    let http = Http::new(tls)?;
    Ok(Client {
        identity: identity(place, &http, attempts)?,
        http,
        attempts,
        meaning,
    })
}

fn identity(place: &GcsPlace, http: &Http, attempts: u32) -> Result<Identity, Error> {
    let tokens = TokenEndpoint::new(http);
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(place.bucket.as_str())
        .with_http_connector(tokens.clone())
        .with_retry(TokenEndpoint::retries(attempts));
    let (builder, of) = match &place.credentials {
        GcsCredentials::Anonymous => return Ok(Identity::Anonymous),
        GcsCredentials::Ambient => (builder, "the machine's own credentials"),
        GcsCredentials::File(path) => {
            let path = path.to_string_lossy();
            let file = builder.with_application_credentials(path);
            (file, "GOOGLE_APPLICATION_CREDENTIALS")
        }
        GcsCredentials::Key(key) => {
            let key = builder.with_service_account_key(key.expose_secret());
            (key, "GOOGLE_SERVICE_ACCOUNT_KEY")
        }
    };
    let store = builder.build().map_err(|error| Error {
        kind: Kind::Misconfigured,
        action: "preparing to speak to",
        location: format!("gs://{}", place.bucket),
        reason: format!("{of} cannot be used: {}", reason(place, &error)),
    })?;
    Ok(Identity::Google {
        credentials: store.credentials().clone(),
        tokens,
    })
}

/// A parser's words may have a piece of the key in them, so only those about a file are told.
fn reason(place: &GcsPlace, error: &object_store::Error) -> String {
    match &place.credentials {
        GcsCredentials::Key(_) => {
            "it is not the JSON of a service account's key, or its private key is none".to_owned()
        }
        GcsCredentials::File(path) if path.exists() => format!(
            "{} is not the JSON of a service account's or of a user's key",
            path.display()
        ),
        _ => deepest_cause(error),
    }
}
