//! Where a worker's credential comes from. The secret itself is never part of what is kept of a
//! request: engines keep it where they keep secrets.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A credential, with the secret `T` as long as it is at hand.
#[derive(Clone, Debug, Default)]
pub enum Credential<T = SecretString> {
    /// The caller has given none: the worker's surroundings have one, or none is needed.
    #[default]
    Ambient,
    /// The caller has given it; none where only what was kept of the request is at hand.
    Inline(Option<T>),
}

impl<T> Credential<T> {
    /// Whether the caller has given one.
    #[must_use]
    pub fn is_given(&self) -> bool {
        matches!(self, Self::Inline(_))
    }
}

impl<T> From<Option<T>> for Credential<T> {
    fn from(given: Option<T>) -> Self {
        given.map_or(Self::Ambient, |it| Self::Inline(Some(it)))
    }
}

/// As it is kept: where it comes from, and nothing more.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kept {
    Ambient,
    Inline,
}

impl<T> Serialize for Credential<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = match self {
            Self::Ambient => Kept::Ambient,
            Self::Inline(_) => Kept::Inline,
        };
        kept.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Credential<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Kept::deserialize(deserializer)? {
            Kept::Ambient => Self::Ambient,
            Kept::Inline => Self::Inline(None),
        })
    }
}
