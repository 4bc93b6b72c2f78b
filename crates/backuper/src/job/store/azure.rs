//! Who we are at Azure Blob Storage: the variables of its own tools.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::Args;
use secrecy::SecretString;

use super::super::parse::{Maybe, maybe, secret};
use super::super::var::Var;
use crate::storage::{Account, AzureCredentials, AzurePlace, Container, Endpoint};

/// Who we are at Azure Blob Storage.
#[derive(Clone, Debug, Default, Args)]
pub struct AzureSettings {
    /// One of the storage account's two keys.
    #[arg(env = "AZURE_STORAGE_ACCOUNT_KEY", default_value = "", value_parser = secret)]
    pub account_key: Maybe<SecretString>,

    /// A shared access signature of the container or the account: sv=…&sig=….
    #[arg(env = "AZURE_STORAGE_SAS_TOKEN", default_value = "", value_parser = secret)]
    pub sas_token: Maybe<SecretString>,

    /// Application (client) id, of a secret, of workload identity, or of one of the machine's identities.
    #[arg(env = "AZURE_CLIENT_ID", default_value = "", value_parser = maybe::<String>)]
    pub client_id: Maybe<String>,

    /// Secret of AZURE_CLIENT_ID.
    #[arg(env = "AZURE_CLIENT_SECRET", default_value = "", value_parser = secret)]
    pub client_secret: Maybe<SecretString>,

    /// Directory (tenant) id of AZURE_CLIENT_ID.
    #[arg(env = "AZURE_TENANT_ID", default_value = "", value_parser = maybe::<String>)]
    pub tenant_id: Maybe<String>,

    /// File with the pod's token, which AKS's workload identity sets.
    #[arg(env = "AZURE_FEDERATED_TOKEN_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub federated_token_file: Maybe<PathBuf>,

    /// https://HOST that gives tokens; empty: the public cloud's.
    #[arg(env = "AZURE_AUTHORITY_HOST", default_value = "", value_parser = url)]
    pub authority: Maybe<Endpoint>,

    /// The account's URL, of another cloud or an emulator; empty: https://ACCOUNT.blob.core.windows.net.
    #[arg(env = "AZURE_STORAGE_ENDPOINT", default_value = "", value_parser = url)]
    pub account_endpoint: Maybe<Endpoint>,
}

fn url(text: &str) -> Result<Maybe<Endpoint>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match Endpoint::from_str(text)? {
        Endpoint::Directory(_) => Err("http:// or https:// is needed".to_owned()),
        endpoint @ Endpoint::Url(_) => Ok(Some(endpoint)),
    }
}

impl AzureSettings {
    pub(super) fn place(
        &self,
        account: &Account,
        container: &Container,
    ) -> Result<AzurePlace, String> {
        Ok(AzurePlace {
            endpoint: self.account_endpoint.as_ref().map(ToString::to_string),
            account: account.clone(),
            container: container.clone(),
            credentials: self.credentials()?,
        })
    }

    /// Keys stand before identities, since AKS sets those of its own accord.
    fn credentials(&self) -> Result<AzureCredentials, String> {
        match (&self.account_key, &self.sas_token) {
            (Some(_), Some(_)) => {
                return Err("AZURE_STORAGE_ACCOUNT_KEY and AZURE_STORAGE_SAS_TOKEN are both set, and only one of them may be".to_owned());
            }
            (Some(key), None) => return Ok(AzureCredentials::Key(key.clone())),
            (None, Some(token)) => return Ok(AzureCredentials::Sas(token.clone())),
            (None, None) => {}
        }
        let authority = self.authority.as_ref().map(ToString::to_string);
        let application = self.client_id.clone().zip(self.tenant_id.clone());
        match (application, &self.client_secret, &self.federated_token_file) {
            (Some((client, tenant)), Some(secret), _) => Ok(AzureCredentials::Secret {
                client,
                tenant,
                secret: secret.clone(),
                authority,
            }),
            (None, Some(_), _) => Err(
                "AZURE_CLIENT_SECRET needs AZURE_CLIENT_ID and AZURE_TENANT_ID; set all three"
                    .to_owned(),
            ),
            (Some((client, tenant)), None, Some(file)) => Ok(AzureCredentials::Federated {
                client,
                tenant,
                token_file: file.clone(),
                authority,
            }),
            (None, None, Some(_)) => Err(
                "AZURE_FEDERATED_TOKEN_FILE needs AZURE_CLIENT_ID and AZURE_TENANT_ID; set all three"
                    .to_owned(),
            ),
            (_, None, None) => Ok(AzureCredentials::Ambient {
                client: self.client_id.clone(),
            }),
        }
    }

    /// All of it, where it is lent, or nothing.
    #[must_use]
    pub fn lent(self, is_lent: bool) -> Self {
        if is_lent { self } else { Self::default() }
    }

    pub(super) fn to_env(&self) -> Vec<Var> {
        let Self {
            account_key,
            sas_token,
            client_id,
            client_secret,
            tenant_id,
            federated_token_file,
            authority,
            account_endpoint,
        } = self;
        let file = federated_token_file.as_ref();
        let file = file.map(|it| it.to_string_lossy().into_owned());
        let plain = [
            ("AZURE_CLIENT_ID", client_id.clone()),
            ("AZURE_TENANT_ID", tenant_id.clone()),
            ("AZURE_FEDERATED_TOKEN_FILE", file),
            (
                "AZURE_AUTHORITY_HOST",
                authority.as_ref().map(ToString::to_string),
            ),
            (
                "AZURE_STORAGE_ENDPOINT",
                account_endpoint.as_ref().map(ToString::to_string),
            ),
        ];
        let secret = [
            ("AZURE_STORAGE_ACCOUNT_KEY", account_key),
            ("AZURE_STORAGE_SAS_TOKEN", sas_token),
            ("AZURE_CLIENT_SECRET", client_secret),
        ];
        let plain = plain
            .into_iter()
            .filter_map(|(name, value)| Some(Var::plain(name, value?)));
        let secret = secret
            .into_iter()
            .filter_map(|(name, value)| Some(Var::secret(name, value.as_ref()?)));
        plain.chain(secret).collect()
    }
}
