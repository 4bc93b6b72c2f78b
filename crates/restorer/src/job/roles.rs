//! Which roles a restore makes.

use std::str::FromStr;

/// What becomes of roles that the backup needs and the target lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreateRoles {
    /// Nothing is made: what is for them is left out, with a warning.
    #[default]
    None,
    /// They are made of the backup's globals.
    Missing,
}

impl FromStr for CreateRoles {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "none" => Ok(Self::None),
            "missing" => Ok(Self::Missing),
            _ => Err("none or missing is needed"),
        }
    }
}

impl std::fmt::Display for CreateRoles {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Missing => "missing",
        })
    }
}
