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
    /// A Secret has it that the caller has named.
    Reference(Reference),
}

/// Keys of a Secret that is somebody else's to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The Secret's name.
    pub secret: String,
    /// The keys in it: a password's, or an access key's and then its secret's.
    pub keys: Vec<String>,
}

impl<T> Credential<T> {
    /// Whether there is one that the caller has given or named.
    #[must_use]
    pub fn is_given(&self) -> bool {
        match self {
            Self::Ambient => false,
            Self::Inline(_) | Self::Reference(_) => true,
        }
    }

    /// Whether the caller has given none.
    #[must_use]
    pub fn is_ambient(&self) -> bool {
        !self.is_given()
    }

    /// Whether it is kept, and not at hand.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Inline(None))
    }

    /// Whether it is at hand.
    #[must_use]
    pub fn is_at_hand(&self) -> bool {
        matches!(self, Self::Inline(Some(_)))
    }

    /// Whether the caller has given it, be it at hand or not.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }

    /// The Secret that the caller has named.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Reference(reference) => Some(reference),
            Self::Ambient | Self::Inline(_) => None,
        }
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
    Reference(Reference),
}

impl<T> Serialize for Credential<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = match self {
            Self::Ambient => Kept::Ambient,
            Self::Inline(_) => Kept::Inline,
            Self::Reference(reference) => Kept::Reference(reference.clone()),
        };
        kept.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Credential<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Kept::deserialize(deserializer)? {
            Kept::Ambient => Self::Ambient,
            Kept::Inline => Self::Inline(None),
            Kept::Reference(reference) => Self::Reference(reference),
        })
    }
}
