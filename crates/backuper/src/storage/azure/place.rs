//! What names a container of Azure Blob Storage, and what lets us in.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;

/// A container of Azure Blob Storage.
#[derive(Clone, Debug)]
pub struct AzurePlace {
    /// The account's URL without a slash at the end; none is Microsoft's public cloud.
    pub endpoint: Option<String>,
    /// The storage account.
    pub account: Account,
    /// The container.
    pub container: Container,
    /// Who we are.
    pub credentials: AzureCredentials,
}

impl AzurePlace {
    /// Who answers there.
    #[must_use]
    pub fn server(&self) -> String {
        let public = || format!("https://{}.blob.core.windows.net", self.account);
        self.endpoint.clone().unwrap_or_else(public)
    }
}

/// Who we are at Azure.
#[derive(Clone, Debug)]
pub enum AzureCredentials {
    /// One of the account's two keys.
    Key(SecretString),
    /// A shared access signature: `sv=…&sig=…`.
    Sas(SecretString),
    /// An application and its secret.
    Secret {
        /// The application's id.
        client: String,
        /// The directory that it is in.
        tenant: String,
        /// Its secret.
        secret: SecretString,
        /// Who gives tokens; none is the public cloud's.
        authority: Option<String>,
    },
    /// A pod's own token, for which another is given.
    Federated {
        /// The application's id.
        client: String,
        /// The directory that it is in.
        tenant: String,
        /// The pod's token, which is renewed.
        token_file: PathBuf,
        /// Who gives tokens; none is the public cloud's.
        authority: Option<String>,
    },
    /// Whom the machine is.
    Ambient {
        /// Which of its identities, where it has several.
        client: Option<String>,
    },
}

/// A storage account's name: 3 to 24 lower-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(String);

/// A container's name: 3 to 63 lower-case letters, digits and single hyphens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container(String);

impl Account {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Container {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if (3..=24).contains(&text.len()) && text.chars().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err("a storage account's name has 3 to 24 lower-case letters and digits".to_owned())
    }
}

impl FromStr for Container {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (3..=63).contains(&text.len())
            && text.chars().all(plain)
            && !text.starts_with('-')
            && !text.ends_with('-')
            && !text.contains("--");
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err("a container's name has 3 to 63 lower-case letters, digits and single hyphens, and begins and ends with a letter or digit".to_owned())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Container {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
