//! What of the server is a part of a backup, beside its database: roles, their memberships and settings, tablespaces.

use std::str::FromStr;

use clap::Args;

use super::parse::flag;
use super::var::Var;

/// What becomes of password hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passwords {
    /// They are in it, and only who has the backup's private key reads them.
    #[default]
    Encrypted,
    /// They are left out.
    None,
    /// They are in it, whoever reads the store.
    Unencrypted,
}

impl FromStr for Passwords {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "encrypted" => Ok(Self::Encrypted),
            "none" => Ok(Self::None),
            "unencrypted" => Ok(Self::Unencrypted),
            _ => Err("encrypted, none or unencrypted is needed"),
        }
    }
}

impl std::fmt::Display for Passwords {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Encrypted => "encrypted",
            Self::None => "none",
            Self::Unencrypted => "unencrypted",
        })
    }
}

/// What of the server is a part of the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct GlobalsSettings {
    /// true: the server's roles, memberships, role settings and tablespaces are a part of the backup.
    #[arg(env = "GLOBALS", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub globals: bool,

    /// Password hashes in them: encrypted, which needs ENCRYPT_TO or ENCRYPT_TO_FILE; none: left out; unencrypted: for whoever reads the store.
    #[arg(env = "GLOBALS_PASSWORDS", default_value = "encrypted", value_parser = Passwords::from_str)]
    pub globals_passwords: Passwords,
}

impl GlobalsSettings {
    /// The variables of this part of the contract; none where it is as it is without it, so that older
    /// backupers run too.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            globals,
            globals_passwords,
        } = self;
        let mut vars = Vec::new();
        vars.extend(globals.then(|| Var::plain("GLOBALS", "true")));
        if *globals_passwords != Passwords::default() {
            let word = globals_passwords.to_string();
            vars.push(Var::plain("GLOBALS_PASSWORDS", word));
        }
        vars
    }
}
