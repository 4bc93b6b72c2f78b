//! Who can read a backup: public keys for whoever makes one. The private keys are a restorer's.

use std::path::PathBuf;

use clap::Args;

use super::parse::{Maybe, flag, maybe};
use super::var::Var;
use crate::archive::encryption::Recipients;

/// The public keys that a backup is encrypted to.
#[derive(Clone, Debug, Default, Args)]
pub struct EncryptionSettings {
    /// Public keys, age1… or ssh-ed25519 … or ssh-rsa …, separated by commas, blanks or lines: each of them alone opens the backup; empty: it is stored as it is, unless ENCRYPT_TO_FILE says more.
    #[arg(env = "ENCRYPT_TO", default_value = "", value_parser = maybe::<Recipients>)]
    pub encrypt_to: Maybe<Recipients>,

    /// File with more of them, one a line, # begins a comment.
    #[arg(env = "ENCRYPT_TO_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub encrypt_to_file: Maybe<PathBuf>,

    /// true: the names of tables, extensions and superusers in the manifest are encrypted too.
    #[arg(env = "ENCRYPT_MANIFEST", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub encrypt_manifest: bool,
}

impl EncryptionSettings {
    /// All public keys; none where a backup is stored as it is.
    ///
    /// # Errors
    /// A sentence that names the variable to change.
    pub fn recipients(&self) -> Result<Option<Recipients>, String> {
        let Some(path) = &self.encrypt_to_file else {
            if self.encrypt_manifest && self.encrypt_to.is_none() {
                return Err("ENCRYPT_MANIFEST is true and neither ENCRYPT_TO nor ENCRYPT_TO_FILE names a public key; set one of them".to_owned());
            }
            return Ok(self.encrypt_to.clone());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("ENCRYPT_TO_FILE: {}: {error}", path.display()))?;
        let of_file: Recipients = text
            .parse()
            .map_err(|error| format!("ENCRYPT_TO_FILE: {}: {error}", path.display()))?;
        Ok(Some(match self.encrypt_to.clone() {
            None => of_file,
            Some(recipients) => recipients.and(of_file),
        }))
    }

    /// The variables of this part of the contract; none where nothing is encrypted, so that older
    /// backupers run too.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            encrypt_to,
            encrypt_to_file,
            encrypt_manifest,
        } = self;
        let recipients = encrypt_to.as_ref().map(ToString::to_string);
        let file = encrypt_to_file.as_ref().map(|it| it.display().to_string());
        let mut vars = Vec::new();
        vars.extend(recipients.map(|it| Var::plain("ENCRYPT_TO", it)));
        vars.extend(file.map(|it| Var::plain("ENCRYPT_TO_FILE", it)));
        if *encrypt_manifest {
            vars.push(Var::plain("ENCRYPT_MANIFEST", "true"));
        }
        vars
    }
}
