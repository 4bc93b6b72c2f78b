//! What a manifest says of the encryption of its backup, and what of itself it hides.

use std::io::{self, Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Extension, Manifest, Part};
use crate::archive::encryption::{Identities, Recipients, Unopened};

/// How every object beside the manifest is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// The format.
    pub method: Method,
    /// The keys that open it, each of them alone: the beginning of an age key, or an SSH key's
    /// fingerprint. Enough to find the private key by, and not the public key itself.
    pub recipients: Vec<String>,
    /// With `ENCRYPT_MANIFEST`: what the manifest does not say openly ([`Hidden`]) as JSON, encrypted to
    /// the same keys, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<String>,
}

/// A format of encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// <https://age-encryption.org/v1>, binary.
    Age,
}

/// What a manifest does not say openly, where that was asked for.
#[derive(Serialize, Deserialize)]
struct Hidden {
    extensions: Vec<Extension>,
    superusers: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
    streams: Vec<Names>,
}

/// The tables of one stream, which is known by its checksum: so this belongs to no other backup.
#[derive(Serialize, Deserialize)]
struct Names {
    sha256: String,
    tables: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rows: Vec<Option<u64>>,
}

/// Why what a manifest hides cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keys, or what they open.
    #[error(transparent)]
    Unopened(#[from] Unopened),
    /// It opens, and is not of this manifest.
    #[error("what it hides is not its own")]
    Foreign,
}

impl Encryption {
    /// To these keys, with nothing hidden.
    #[must_use]
    pub fn to(recipients: &Recipients) -> Self {
        Self {
            method: Method::Age,
            recipients: recipients.hints(),
            hidden: None,
        }
    }

    /// The keys, as a sentence names them.
    #[must_use]
    pub fn named(&self) -> String {
        self.recipients.join(" or ")
    }
}

impl Manifest {
    /// Whether the names of tables, extensions and superusers are not to be seen in it.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        let encryption = self.encryption.as_ref();
        encryption.is_some_and(|it| it.hidden.is_some())
    }

    /// The same without the names of tables, extensions and superusers, which only these keys show.
    ///
    /// # Errors
    /// Of a key that cannot be encrypted to.
    pub fn hide(mut self, recipients: &Recipients) -> io::Result<Self> {
        let names = self.streams.iter_mut().map(|it| Names {
            sha256: it.sha256.clone(),
            tables: std::mem::take(&mut it.tables),
            rows: std::mem::take(&mut it.rows),
        });
        let hidden = Hidden {
            streams: names.collect(),
            extensions: std::mem::take(&mut self.source.extensions),
            superusers: self.source.superusers.take(),
            part: self.part.as_mut().map(std::mem::take),
        };
        let mut writer = recipients.encrypt(Vec::new())?;
        writer.write_all(&serde_json::to_vec(&hidden)?)?;
        self.encryption = Some(Encryption {
            hidden: Some(STANDARD.encode(writer.finish()?)),
            ..Encryption::to(recipients)
        });
        Ok(self)
    }

    /// The same with all names, where it hides some.
    ///
    /// # Errors
    /// [`Error`].
    pub fn reveal(mut self, identities: &Identities) -> Result<Self, Error> {
        let encryption = self.encryption.as_mut();
        let Some(hidden) = encryption.and_then(|it| it.hidden.take()) else {
            return Ok(self);
        };
        let damaged = |_why| Unopened::Damaged("it is no base64");
        let hidden = STANDARD.decode(hidden).map_err(damaged)?;
        let mut json = Vec::new();
        let mut reader = identities.decrypt(&hidden[..])?;
        reader.read_to_end(&mut json).map_err(Unopened::Io)?;
        let Hidden {
            extensions,
            superusers,
            part,
            streams,
        } = serde_json::from_slice(&json).map_err(|_it_has_names| Error::Foreign)?;
        let own = self.streams.iter().map(|it| &it.sha256);
        if !own.eq(streams.iter().map(|it| &it.sha256)) {
            return Err(Error::Foreign);
        }
        for (stream, names) in self.streams.iter_mut().zip(streams) {
            stream.tables = names.tables;
            stream.rows = names.rows;
        }
        self.source.extensions = extensions;
        self.source.superusers = superusers;
        // That it is a part is said openly too.
        if self.part.is_some() != part.is_some() {
            return Err(Error::Foreign);
        }
        self.part = part;
        Ok(self)
    }
}
