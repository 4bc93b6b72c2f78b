//! What a backup is made of, and where a dump in plain SQL lies.

use std::str::FromStr;

use clap::Args;

use super::parse::{Maybe, flag, maybe};
use super::var::Var;
use crate::archive::{KeyTemplate, Layout};
use crate::dump::Form;

/// What a backup is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A folder of archives in zstd, made by several streams, restored by several.
    #[default]
    Archive,
    /// One object with plain SQL in gzip, which `gunzip | psql` restores.
    SqlGz,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "archive" => Ok(Self::Archive),
            "sql.gz" => Ok(Self::SqlGz),
            _ => Err("archive or sql.gz is needed"),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Archive => "archive",
            Self::SqlGz => "sql.gz",
        })
    }
}

/// What a backup is made of.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct FormatSettings {
    /// archive: a folder, made and restored by several streams; sql.gz: one object with plain SQL in gzip.
    #[arg(env = "FORMAT", default_value = "archive", value_parser = Format::from_str)]
    pub format: Format,

    /// true: plain SQL sets owners and privileges, and needs their roles where it is restored.
    #[arg(env = "SQL_OWNERS", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub sql_owners: bool,

    /// true: plain SQL begins with what drops the objects that it makes, so that it can be restored over them.
    #[arg(env = "SQL_CLEAN", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub sql_clean: bool,
}

impl FormatSettings {
    /// What pg_dump writes.
    #[must_use]
    pub fn form(&self) -> Form {
        match self.format {
            Format::Archive => Form::Archives,
            Format::SqlGz => Form::Script {
                owners: self.sql_owners,
                clean: self.sql_clean,
            },
        }
    }

    /// The variables of this part of the contract; those that are as they are without it stay away.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            format,
            sql_owners,
            sql_clean,
        } = self;
        let mut vars = Vec::new();
        if *format != Format::default() {
            vars.push(Var::plain("FORMAT", format.to_string()));
        }
        for (name, is_set) in [("SQL_OWNERS", sql_owners), ("SQL_CLEAN", sql_clean)] {
            vars.extend(is_set.then(|| Var::plain(name, "true")));
        }
        vars
    }
}

/// Where dumps in plain SQL lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct LayoutSettings {
    /// Key of a dump in plain SQL, such as {{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz; empty: {{ .DatabaseName }}/{{ .Timestamp }}-{{ .RunID }}.sql.gz.
    #[arg(env = "KEY_TEMPLATE", default_value = "", value_parser = maybe::<KeyTemplate>)]
    pub key_template: Maybe<KeyTemplate>,

    /// What {{ .ClusterName }} stands for in KEY_TEMPLATE.
    #[arg(env = "CLUSTER_NAME", default_value = "", value_parser = maybe::<String>)]
    pub cluster_name: Maybe<String>,
}

impl LayoutSettings {
    /// The same as a [`Layout`].
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn layout(&self) -> Result<Layout, String> {
        let Self {
            key_template,
            cluster_name,
        } = self.clone();
        Layout::new(key_template, cluster_name).map_err(|error| error.to_string())
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            key_template,
            cluster_name,
        } = self;
        let template = key_template.as_ref();
        let template = template.map(|it| Var::plain("KEY_TEMPLATE", it.to_string()));
        let cluster = cluster_name.as_ref();
        let cluster = cluster.map(|it| Var::plain("CLUSTER_NAME", it));
        template.into_iter().chain(cluster).collect()
    }
}
