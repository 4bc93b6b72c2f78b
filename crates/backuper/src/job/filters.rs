//! Which part of a database a backup has.

use clap::Args;

use super::var::Var;
use crate::text::patterns::{Error, Patterns};

/// Which part of a database a backup has: patterns as pg_dump takes them, separated by commas or lines; without any, all
/// of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct FilterSettings {
    /// Patterns of the schemas that are backed up, separated by commas or lines, such as shop,"Odd name",tenant_*; empty: all.
    #[arg(env = "INCLUDE_SCHEMAS", default_value = "", value_parser = schemas)]
    pub include_schemas: Patterns,

    /// Patterns of schemas that are not backed up.
    #[arg(env = "EXCLUDE_SCHEMAS", default_value = "", value_parser = schemas)]
    pub exclude_schemas: Patterns,

    /// Patterns of the tables that are backed up, such as shop.orders or shop.*; empty: all.
    #[arg(env = "INCLUDE_TABLES", default_value = "", value_parser = tables)]
    pub include_tables: Patterns,

    /// Patterns of tables that are not backed up.
    #[arg(env = "EXCLUDE_TABLES", default_value = "", value_parser = tables)]
    pub exclude_tables: Patterns,

    /// Patterns of tables that are backed up without their rows.
    #[arg(env = "EXCLUDE_TABLE_DATA", default_value = "", value_parser = tables)]
    pub exclude_table_data: Patterns,
}

impl FilterSettings {
    /// Whether all of the database is backed up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses settings of which pg_dump would pass over one.
    ///
    /// # Errors
    /// A sentence that names the variables to change.
    pub fn check(&self) -> Result<(), String> {
        if self.include_tables.is_empty() {
            return Ok(());
        }
        for (name, patterns) in [
            ("INCLUDE_SCHEMAS", &self.include_schemas),
            ("EXCLUDE_SCHEMAS", &self.exclude_schemas),
        ] {
            if !patterns.is_empty() {
                return Err(format!(
                    "INCLUDE_TABLES and {name} are both set, and pg_dump heeds no schemas where tables are named: name the tables by their schemas in INCLUDE_TABLES and EXCLUDE_TABLES, as in shop.*, and leave {name} empty"
                ));
            }
        }
        Ok(())
    }

    /// The variables of this part of the contract; none where all is backed up, so that older backupers run too.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            include_schemas,
            exclude_schemas,
            include_tables,
            exclude_tables,
            exclude_table_data,
        } = self;
        let all = [
            ("INCLUDE_SCHEMAS", include_schemas),
            ("EXCLUDE_SCHEMAS", exclude_schemas),
            ("INCLUDE_TABLES", include_tables),
            ("EXCLUDE_TABLES", exclude_tables),
            ("EXCLUDE_TABLE_DATA", exclude_table_data),
        ];
        let set = all.into_iter().filter(|(_, it)| !it.is_empty());
        set.map(|(name, it)| Var::plain(name, it.to_string()))
            .collect()
    }
}

fn schemas(text: &str) -> Result<Patterns, Error> {
    Patterns::of_schemas(text)
}

fn tables(text: &str) -> Result<Patterns, Error> {
    Patterns::of_tables(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_beside_tables_are_refused_since_pg_dump_passes_over_them() {
        let mut filters = FilterSettings {
            include_tables: tables("shop.*").unwrap(),
            exclude_tables: tables("shop.x").unwrap(),
            ..FilterSettings::default()
        };
        assert_eq!(filters.check(), Ok(()));
        filters.exclude_schemas = schemas("secret").unwrap();
        let error = filters.check().unwrap_err();
        assert!(error.contains("EXCLUDE_SCHEMAS"), "{error}");
        filters.include_tables = Patterns::default();
        assert_eq!(filters.check(), Ok(()));
    }
}
