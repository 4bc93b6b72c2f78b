//! The operator: databases as objects of Kubernetes.

use std::str::FromStr;

use backuper::job::flag;
use backuper::postgres::SslMode;
use clap::Args;

use crate::operator::Settings;

/// Databases as objects of Kubernetes.
#[derive(Clone, Debug, Args)]
pub struct Operating {
    /// true: databases, users, backups and restores are served as objects of dbtether.io; needs the kubernetes engine, and the kinds that `scheduler crds` prints.
    #[arg(env = "OPERATOR", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub operator: bool,

    /// Whose objects may use a DBCluster or a BackupStorage that does not say it, and a Database or its Backups from another namespace: those of all namespaces, or of none; shared: of all, but none a Database of another namespace.
    #[arg(env = "OPERATOR_ALLOWED_NAMESPACES", default_value = "all", value_parser = AllowedByDefault::from_str)]
    pub allowed_namespaces: AllowedByDefault,
}

/// Whose objects may use a DBCluster, or a Database, that does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedByDefault {
    /// Those of all namespaces.
    All,
    /// Those of all namespaces, and a Database those of its own.
    Shared,
    /// Nobody's.
    None,
}

impl FromStr for AllowedByDefault {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "all" => Ok(Self::All),
            "shared" => Ok(Self::Shared),
            "none" => Ok(Self::None),
            _ => Err("all, shared or none is needed"),
        }
    }
}

impl Operating {
    /// The operator's settings; none: there is none.
    #[must_use]
    pub fn settings(&self, sslmode: SslMode) -> Option<Settings> {
        self.operator.then_some(Settings {
            sslmode,
            all_namespaces: self.allowed_namespaces != AllowedByDefault::None,
            all_databases: self.allowed_namespaces == AllowedByDefault::All,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_a_server_and_a_storage_and_no_database() {
        for (text, expected) in [
            ("all", (true, true)),
            ("", (true, true)),
            ("shared", (true, false)),
            ("none", (false, false)),
        ] {
            let operating = Operating {
                operator: true,
                allowed_namespaces: text.parse().unwrap(),
            };
            let settings = operating.settings(SslMode::Prefer).unwrap();
            let found = (settings.all_namespaces, settings.all_databases);
            assert_eq!(found, expected, "{text}");
        }
        assert!("some".parse::<AllowedByDefault>().is_err());
    }
}
