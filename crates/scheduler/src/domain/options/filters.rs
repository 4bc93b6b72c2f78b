//! Which part of its database a schedule backs up.

use backuper::job::FilterSettings;
use backuper::text::patterns::{Error, Pattern, Patterns};
use serde::{Deserialize, Serialize};

/// Which part of its database a schedule backs up; without any pattern, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Texts", into = "Texts")]
pub struct Filters(pub FilterSettings);

/// The patterns as they are given and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Texts {
    /// Of the schemas that are backed up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_schemas: Vec<String>,
    /// Of those that are not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_schemas: Vec<String>,
    /// Of the tables that are backed up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_tables: Vec<String>,
    /// Of those that are not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Of those that are backed up without their rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table_data: Vec<String>,
}

/// Reads names of schemas, an entry for each pattern or for several.
///
/// # Errors
/// Which one is none.
pub fn of_schemas(texts: &[String]) -> Result<Patterns, Error> {
    patterns(texts, Patterns::of_schemas)
}

/// Reads names of tables, as [`of_schemas`].
///
/// # Errors
/// Which one is none.
pub fn of_tables(texts: &[String]) -> Result<Patterns, Error> {
    patterns(texts, Patterns::of_tables)
}

fn patterns(
    texts: &[String],
    read: impl Fn(&str) -> Result<Patterns, Error>,
) -> Result<Patterns, Error> {
    // No quote of one goes on in the next.
    for text in texts {
        read(text)?;
    }
    read(&texts.join("\n"))
}

impl TryFrom<Texts> for Filters {
    type Error = Error;

    fn try_from(texts: Texts) -> Result<Self, Error> {
        let Texts {
            include_schemas,
            exclude_schemas,
            include_tables,
            exclude_tables,
            exclude_table_data,
        } = texts;
        Ok(Self(FilterSettings {
            include_schemas: of_schemas(&include_schemas)?,
            exclude_schemas: of_schemas(&exclude_schemas)?,
            include_tables: of_tables(&include_tables)?,
            exclude_tables: of_tables(&exclude_tables)?,
            exclude_table_data: of_tables(&exclude_table_data)?,
        }))
    }
}

impl From<Filters> for Texts {
    fn from(Filters(settings): Filters) -> Self {
        let FilterSettings {
            include_schemas,
            exclude_schemas,
            include_tables,
            exclude_tables,
            exclude_table_data,
        } = settings;
        let texts = |it: &Patterns| it.iter().map(Pattern::as_str).map(str::to_owned).collect();
        Self {
            include_schemas: texts(&include_schemas),
            exclude_schemas: texts(&exclude_schemas),
            include_tables: texts(&include_tables),
            exclude_tables: texts(&exclude_tables),
            exclude_table_data: texts(&exclude_table_data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_and_quotes_are_read_again_as_they_are() {
        let texts = vec![
            r#""odd, ""name"""."tab.le""#.to_owned(),
            "tenant_*.größe".to_owned(),
        ];
        let given = Texts {
            exclude_table_data: texts.clone(),
            ..Texts::default()
        };
        let filters = Filters::try_from(given).unwrap();
        assert_eq!(filters.0.exclude_table_data.iter().count(), 2);
        let kept = serde_json::to_string(&filters).unwrap();
        let again: Filters = serde_json::from_str(&kept).unwrap();
        assert_eq!(again, filters);
        assert_eq!(Texts::from(again).exclude_table_data, texts);
        let open = ["\"a".to_owned(), "b\"".to_owned()];
        assert!(of_tables(&open).is_err());
        assert!(serde_json::from_str::<Filters>(r#"{"include_schemas":["a.b"]}"#).is_err());
    }
}
