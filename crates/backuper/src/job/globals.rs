//! What of the server is a part of a backup, beside its database: roles, their memberships and settings, tablespaces.

use std::str::FromStr;

use clap::Args;

use super::format::Format;
use super::parse::{Maybe, flag};
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
    /// What becomes of password hashes in a backup of this form; none: it has no globals.
    ///
    /// # Errors
    /// A sentence that names the variables to change: nothing is read then.
    pub fn wanted(self, format: Format, is_encrypted: bool) -> Result<Maybe<Passwords>, String> {
        if !self.globals {
            return Ok(None);
        }
        if format == Format::SqlGz {
            return Err("GLOBALS=true is for backups in archives, and FORMAT is sql.gz: set FORMAT=archive, or GLOBALS=false".to_owned());
        }
        if self.globals_passwords == Passwords::Encrypted && !is_encrypted {
            return Err("GLOBALS=true puts password hashes into the backup, and nothing encrypts it: name a public key in ENCRYPT_TO, or leave the hashes out with GLOBALS_PASSWORDS=none, or let whoever reads the store read them with GLOBALS_PASSWORDS=unencrypted".to_owned());
        }
        Ok(Some(self.globals_passwords))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(passwords: Passwords) -> GlobalsSettings {
        GlobalsSettings {
            globals: true,
            globals_passwords: passwords,
        }
    }

    #[test]
    fn hashes_are_wanted_where_something_encrypts_them_or_somebody_has_said_so() {
        let wanted = |passwords, format, is_encrypted| {
            let wanted = settings(passwords).wanted(format, is_encrypted);
            wanted.map_err(|sentence| sentence.contains("GLOBALS_PASSWORDS=none"))
        };
        use Format::{Archive, SqlGz};
        use Passwords::{Encrypted, Unencrypted};
        assert_eq!(wanted(Encrypted, Archive, true), Ok(Some(Encrypted)));
        assert_eq!(wanted(Encrypted, Archive, false), Err(true));
        for passwords in [Passwords::None, Unencrypted] {
            assert_eq!(wanted(passwords, Archive, false), Ok(Some(passwords)));
            assert_eq!(wanted(passwords, SqlGz, false), Err(false));
        }
        let without = GlobalsSettings::default().wanted(SqlGz, false);
        assert_eq!(without, Ok(None));
    }

    #[test]
    fn without_globals_an_older_backuper_is_told_nothing_that_it_does_not_know() {
        assert!(GlobalsSettings::default().to_env().is_empty());
        let vars = settings(Passwords::None).to_env();
        let names: Vec<&str> = vars.iter().map(|it| it.name).collect();
        assert_eq!(names, ["GLOBALS", "GLOBALS_PASSWORDS"]);
    }
}
