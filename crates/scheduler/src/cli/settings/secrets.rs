//! Secrets of a command: from a file or from whoever sits before it, never from its arguments.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use backuper::runtime::Failure;
use backuper::runtime::settings::secret;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use crate::api::proto::v1;

/// What a secret may have at most, in bytes.
const SECRET: u64 = 16 * 1024;

/// The private key of an encrypted backup, or where it is.
#[derive(Debug, Args)]
pub(super) struct IdentityAsked {
    /// File with the private keys of an encrypted backup, without a passphrase; ADAPTER_AGE_IDENTITY may have
    /// them too.
    #[arg(short = 'i', long)]
    identity_file: Option<PathBuf>,
    /// Kubernetes Secret that has them: NAME, or NAME/KEY with the key in it.
    #[arg(long, conflicts_with = "identity_file")]
    identity_secret: Option<String>,
    /// Ask for one.
    #[arg(long, conflicts_with_all = ["identity_file", "identity_secret"])]
    ask_identity: bool,
}

impl IdentityAsked {
    /// The private keys, or the Secret that has them.
    pub(super) fn identity(&self) -> Result<(String, Option<v1::IdentitySecret>), Failure> {
        if let Some(named) = &self.identity_secret {
            let (name, key) = named.split_once('/').unwrap_or((named, ""));
            let named = v1::IdentitySecret {
                name: name.to_owned(),
                key: key.to_owned(),
            };
            return Ok((String::new(), Some(named)));
        }
        let given = match &self.identity_file {
            Some(path) => Some(read("--identity-file", path)?),
            None if self.ask_identity => Some(ask("Private key: ")?),
            None => secret("ADAPTER_AGE_IDENTITY"),
        };
        let given = given.map_or_else(String::new, |it| it.expose_secret().to_owned());
        Ok((given, None))
    }
}

/// A secret in a file; a line's end is none of it.
pub(super) fn read(setting: &str, path: &Path) -> Result<SecretString, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::refused(format!("{setting}: {}: {why}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(|it| wrong(&it))?;
    let mut text = String::new();
    let read = file.take(SECRET + 1).read_to_string(&mut text);
    let length = read.map_err(|it| wrong(&it))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return Err(wrong(&"it is empty"));
    }
    if u64::try_from(length).is_ok_and(|it| it > SECRET) {
        return Err(wrong(&"it is longer than 16 KiB"));
    }
    Ok(SecretString::from(text))
}

/// Asks on the terminal, whatever the standard streams are; what is typed is not shown.
pub(super) fn ask(what: &str) -> Result<SecretString, Failure> {
    let typed = rpassword::prompt_password(what);
    let typed = typed.map_err(|error| {
        let why = "there is no terminal to ask on";
        Failure::refused(format!("{}: {why}: {error}", what.trim_end_matches(": ")))
    })?;
    if typed.is_empty() {
        let what = what.trim_end_matches(": ");
        return Err(Failure::refused(format!("{what}: nothing was typed")));
    }
    Ok(SecretString::from(typed))
}
