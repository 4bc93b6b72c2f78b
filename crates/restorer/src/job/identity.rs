//! The private keys of encrypted backups: a restorer's alone.

use std::path::PathBuf;

use backuper::archive::encryption::Identities;
use backuper::job::{Maybe, Var, maybe, secret};
use clap::Args;
use secrecy::SecretString;

/// The private keys that open what is restored.
#[derive(Clone, Debug, Default, Args)]
pub struct IdentitySettings {
    /// Private keys of an encrypted backup, as `age-keygen` or `ssh-keygen` write them, without a passphrase; several may stand one below the other; empty: the backup is not encrypted, or AGE_IDENTITY_FILE has the key.
    #[arg(env = "AGE_IDENTITY", default_value = "", value_parser = secret)]
    pub age_identity: Maybe<SecretString>,

    /// File with more of them.
    #[arg(env = "AGE_IDENTITY_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub age_identity_file: Maybe<PathBuf>,
}

impl IdentitySettings {
    /// All private keys, of which there may be none.
    ///
    /// # Errors
    /// A sentence that names the variable to change, and nothing of what is in it.
    pub fn identities(&self) -> Result<Identities, String> {
        let of_text = match &self.age_identity {
            None => Identities::default(),
            Some(text) => {
                Identities::read(text).map_err(|error| format!("AGE_IDENTITY is wrong: {error}"))?
            }
        };
        let Some(path) = &self.age_identity_file else {
            return Ok(of_text);
        };
        let path_named = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("AGE_IDENTITY_FILE: {path_named}: {error}"))?;
        let of_file = Identities::read(&SecretString::from(text))
            .map_err(|error| format!("AGE_IDENTITY_FILE: {path_named}: {error}"))?;
        if of_file.is_empty() {
            return Err(format!(
                "AGE_IDENTITY_FILE: {path_named} has no private key in it"
            ));
        }
        Ok(of_text.and(of_file))
    }

    /// The variables of this part of the contract; none where there is no key, so that older restorers
    /// run too.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            age_identity,
            age_identity_file,
        } = self;
        let file = age_identity_file
            .as_ref()
            .map(|it| it.display().to_string());
        let mut vars = Vec::new();
        let identity = age_identity.as_ref();
        vars.extend(identity.map(|it| Var::secret("AGE_IDENTITY", it)));
        vars.extend(file.map(|it| Var::plain("AGE_IDENTITY_FILE", it)));
        vars
    }
}
