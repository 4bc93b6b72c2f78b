//! Who we are at Azure.

use object_store::azure::MicrosoftAzureBuilder;
use secrecy::ExposeSecret as _;

use super::error::meaning;
use crate::storage::cloud::Client;
use crate::storage::cloud::identity::{Identity, TokenEndpoint};
use crate::storage::http::Http;
use crate::storage::{AzureCredentials, AzurePlace, Error, Kind, Tls};

/// A client that tries a request as often as this; nothing is sent.
pub(super) fn client(place: &AzurePlace, tls: &Tls, attempts: u32) -> Result<Client, Error> {
    let http = Http::new(tls)?;
    Ok(Client {
        identity: identity(place, &http, attempts)?,
        http,
        attempts,
        meaning,
    })
}

fn identity(place: &AzurePlace, http: &Http, attempts: u32) -> Result<Identity, Error> {
    let tokens = TokenEndpoint::new(http);
    let builder = MicrosoftAzureBuilder::new()
        .with_account(place.account.as_str())
        .with_container_name(place.container.as_str())
        .with_endpoint(place.server())
        .with_allow_http(true)
        .with_http_connector(tokens.clone())
        .with_retry(TokenEndpoint::retries(attempts));
    let (builder, wrong) = match &place.credentials {
        AzureCredentials::Key(key) => (
            builder.with_access_key(key.expose_secret()),
            "AZURE_STORAGE_ACCOUNT_KEY is not one: it is Base64",
        ),
        AzureCredentials::Sas(token) => {
            let pairs = object_store::azure::split_sas(token.expose_secret());
            // Its parser's words may have the signature in them.
            let pairs = pairs.map_err(|_secret| {
                misconfigured(
                    place,
                    "AZURE_STORAGE_SAS_TOKEN is not one: it is sv=…&sig=…",
                )
            })?;
            (
                builder.with_sas_authorization(pairs),
                "AZURE_STORAGE_SAS_TOKEN cannot be used",
            )
        }
        AzureCredentials::Secret {
            client,
            tenant,
            secret,
            authority,
        } => {
            let builder =
                builder.with_client_secret_authorization(client, secret.expose_secret(), tenant);
            (
                at(builder, authority.as_ref()),
                "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET cannot be used",
            )
        }
        AzureCredentials::Federated {
            client,
            tenant,
            token_file,
            authority,
        } => {
            let builder = builder
                .with_client_id(client)
                .with_tenant_id(tenant)
                .with_federated_token_file(token_file.to_string_lossy());
            (
                at(builder, authority.as_ref()),
                "AZURE_FEDERATED_TOKEN_FILE cannot be used",
            )
        }
        AzureCredentials::Ambient { client } => (
            match client {
                Some(client) => builder.with_client_id(client),
                None => builder,
            },
            "the machine's own identity cannot be used",
        ),
    };
    let store = builder
        .build()
        .map_err(|_secret| misconfigured(place, wrong))?;
    Ok(Identity::Azure {
        credentials: store.credentials().clone(),
        account: place.account.to_string(),
        tokens,
    })
}

fn at(builder: MicrosoftAzureBuilder, authority: Option<&String>) -> MicrosoftAzureBuilder {
    match authority {
        Some(authority) => builder.with_authority_host(authority.trim_end_matches('/')),
        None => builder,
    }
}

fn misconfigured(place: &AzurePlace, reason: &str) -> Error {
    Error {
        kind: Kind::Misconfigured,
        action: "preparing to speak to",
        location: format!("az://{}/{}", place.account, place.container),
        reason: reason.to_owned(),
    }
}
