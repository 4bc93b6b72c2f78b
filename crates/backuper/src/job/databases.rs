//! How several databases of one server are backed up, where DB_NAME means several.

use std::num::NonZeroU16;

use clap::Args;

use super::parse::{Maybe, maybe};
use super::var::Var;
use crate::postgres::Target;
use crate::selection::Databases;

use super::DatabaseSettings;

/// From where they are found, and how many at once.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SeveralSettings {
    /// Where DB_NAME has patterns: the database that is asked which others there are; empty: postgres, or else template1.
    #[arg(env = "MAINTENANCE_DB", default_value = "", value_parser = maybe::<String>)]
    pub maintenance_db: Maybe<String>,

    /// How many databases are backed up side by side, each with BACKUP_JOBS streams.
    #[arg(env = "DATABASE_JOBS", default_value = "1", value_parser = at_once)]
    pub database_jobs: NonZeroU16,
}

impl Default for SeveralSettings {
    fn default() -> Self {
        Self {
            maintenance_db: None,
            database_jobs: NonZeroU16::MIN,
        }
    }
}

fn at_once(text: &str) -> Result<NonZeroU16, String> {
    let asked: Maybe<NonZeroU16> =
        maybe(text).map_err(|_no_count| format!("a number from 1 to {} is needed", u16::MAX))?;
    Ok(asked.unwrap_or(NonZeroU16::MIN))
}

impl SeveralSettings {
    /// The databases that are asked for a list of all, one after another until one lets in.
    #[must_use]
    pub fn maintenance_of(&self, server: &Target) -> Vec<Target> {
        let names = match &self.maintenance_db {
            Some(name) => vec![name.as_str()],
            None => vec!["postgres", "template1"],
        };
        let targets = names.into_iter().map(|it| server.with_database(it));
        targets.collect()
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            maintenance_db,
            database_jobs,
        } = self;
        let mut vars = Vec::new();
        let maintenance = maintenance_db.as_ref();
        vars.extend(maintenance.map(|it| Var::plain("MAINTENANCE_DB", it)));
        if *database_jobs != NonZeroU16::MIN {
            vars.push(Var::plain("DATABASE_JOBS", database_jobs.to_string()));
        }
        vars
    }
}

impl DatabaseSettings {
    /// Which databases DB_NAME means for a backup; a restore is of the one of that very name.
    ///
    /// # Errors
    /// A sentence that names the variable.
    pub fn databases(&self) -> Result<Databases, String> {
        let databases = self.name.parse();
        databases.map_err(|wrong| format!("DB_NAME is wrong: {wrong}"))
    }
}
