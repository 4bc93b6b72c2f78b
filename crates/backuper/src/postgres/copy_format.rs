//! How rows pass between a server and us. PostgreSQL manual, COPY: file formats.

use std::str::FromStr;

/// In which of COPY's formats; what is stored is text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyFormat {
    /// In its binary format where that pays and all types are known.
    #[default]
    Auto,
    /// Wherever all types are known.
    Binary,
    /// As text.
    Text,
}

impl FromStr for CopyFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "binary" => Ok(Self::Binary),
            "text" => Ok(Self::Text),
            _ => Err("auto, binary or text is needed"),
        }
    }
}

impl std::fmt::Display for CopyFormat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Binary => "binary",
            Self::Text => "text",
        })
    }
}
