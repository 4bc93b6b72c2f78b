//! Which part of a database a backup has.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Which part of a database a backup has: the patterns that it was made with, as pg_dump takes them. Where names are
/// encrypted all of them are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    /// Of the schemas that it has alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_schemas: Vec<String>,
    /// Of schemas that it does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_schemas: Vec<String>,
    /// Of the tables that it has alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_tables: Vec<String>,
    /// Of tables that it does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Of tables whose rows it does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table_data: Vec<String>,
    /// The tables that it has without their rows, as SQL writes `schema.table`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_rows: Vec<String>,
}

impl Part {
    /// A name for the same choice, whatever it is called and in which order: what is counted apart from others.
    #[must_use]
    pub fn digest(&self) -> String {
        const BYTES: usize = 6;
        let Self {
            include_schemas,
            exclude_schemas,
            include_tables,
            exclude_tables,
            exclude_table_data,
            without_rows: _,
        } = self;
        let mut hash = Sha256::new();
        for patterns in [
            include_schemas,
            exclude_schemas,
            include_tables,
            exclude_tables,
            exclude_table_data,
        ] {
            let mut patterns = patterns.clone();
            patterns.sort();
            patterns.dedup();
            for pattern in patterns {
                hash.update(pattern.as_bytes());
                hash.update([0]);
            }
            hash.update([1]);
        }
        let bytes = hash.finalize();
        bytes
            .iter()
            .take(BYTES)
            .map(|it| format!("{it:02x}"))
            .collect()
    }
}

/// As the last line of a log says it: `only schema a, without rows of b`.
impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |what: &str, patterns: &[String]| {
            let names = patterns.join(", ");
            (!patterns.is_empty()).then(|| format!("{what} {names}"))
        };
        let several = |what: &str, patterns: &[String]| {
            let s = if patterns.len() > 1 { "s" } else { "" };
            named(&format!("{what}{s}"), patterns)
        };
        let said: Vec<String> = [
            several("only schema", &self.include_schemas),
            several("only table", &self.include_tables),
            several("without schema", &self.exclude_schemas),
            several("without table", &self.exclude_tables),
            named("without rows of", &self.exclude_table_data),
        ]
        .into_iter()
        .flatten()
        .collect();
        if said.is_empty() {
            return formatter.write_str("only a part of the database, whose names are encrypted");
        }
        formatter.write_str(&crate::text::visible(&said.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_in_words_what_it_has_and_has_one_name_in_any_order() {
        let texts = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let part = Part {
            include_schemas: texts(&["shop", "\"Odd one\""]),
            exclude_table_data: texts(&["shop.log"]),
            without_rows: texts(&["shop.log"]),
            ..Part::default()
        };
        assert_eq!(
            part.to_string(),
            "only schemas shop, \"Odd one\", without rows of shop.log"
        );
        let other = Part {
            include_schemas: texts(&["\"Odd one\"", "shop", "shop"]),
            without_rows: Vec::new(),
            ..part.clone()
        };
        assert_eq!(part.digest(), other.digest());
        let moved = Part {
            include_schemas: Vec::new(),
            exclude_schemas: part.include_schemas.clone(),
            ..part.clone()
        };
        assert_ne!(part.digest(), moved.digest());
        assert!(Part::default().to_string().contains("encrypted"));
    }
}
