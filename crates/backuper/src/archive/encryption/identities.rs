//! The private keys that open an encrypted backup.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use age::stream::StreamReader;
use age::{DecryptError, Decryptor, ssh, x25519};
use secrecy::{ExposeSecret as _, SecretString};

use super::{MAGIC, hint};

/// Private keys, which may be none.
#[derive(Clone, Default)]
pub struct Identities {
    keys: Vec<Arc<dyn age::Identity + Send + Sync>>,
    hints: Vec<String>,
}

/// Why a text has no private keys that can be used. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotIdentities {
    /// It is something else.
    #[error(
        "line {0} is no private key of age (AGE-SECRET-KEY-1…) or of SSH; nothing of it is repeated"
    )]
    Unknown(usize),
    /// It has public keys alone.
    #[error(
        "line {0} is a public key, which encrypts and opens nothing; give the private key of it (AGE-SECRET-KEY-1…, or the SSH private key)"
    )]
    Public(usize),
    /// A passphrase is needed, and nobody is there to type it.
    #[error(
        "the private key at line {0} is protected by a passphrase, and nobody can type it here; give a copy of it without one (`age -d KEYFILE`, or `ssh-keygen -p -N '' -f COPY`)"
    )]
    Passphrase(usize),
    /// A kind of SSH key that nothing can be encrypted to.
    #[error(
        "the SSH key at line {0} is of a kind that opens nothing here; ssh-ed25519 and ssh-rsa do, in OpenSSH's or PEM format"
    )]
    Kind(usize),
}

/// Why what is stored does not open.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// It is encrypted to other keys.
    #[error("none of the private keys opens it")]
    OtherKeys,
    /// It is not what was stored.
    #[error("it is not what was encrypted: {0}")]
    Damaged(&'static str),
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Identities {
    /// Reads private keys as age's key files and SSH's have them: several, with comments.
    ///
    /// # Errors
    /// [`NotIdentities`].
    pub fn read(text: &SecretString) -> Result<Self, NotIdentities> {
        let text = text.expose_secret();
        let mut keys: Vec<Arc<dyn age::Identity + Send + Sync>> = Vec::new();
        let mut hints = Vec::new();
        if text.trim_start().as_bytes().starts_with(MAGIC) {
            return Err(NotIdentities::Passphrase(1));
        }
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let number = number + 1;
            let line = line.trim();
            if line.starts_with('#') {
                continue;
            }
            if line.starts_with("-----BEGIN AGE ENCRYPTED") {
                return Err(NotIdentities::Passphrase(number));
            }
            if line.starts_with("-----BEGIN") {
                // It is copied once, and gone with this block.
                let mut block = format!("{line}\n");
                for (_, line) in lines.by_ref() {
                    block.push_str(line.trim());
                    block.push('\n');
                    if line.trim().starts_with("-----END") {
                        break;
                    }
                }
                let block = SecretString::from(block);
                let (key, hint) = of_ssh(&block, number)?;
                keys.push(Arc::new(key));
                hints.extend(hint);
                continue;
            }
            for word in line.split([' ', '\t', ',']).filter(|it| !it.is_empty()) {
                if word.starts_with("age1") || word.starts_with("ssh-") {
                    return Err(NotIdentities::Public(number));
                }
                let key: x25519::Identity = word
                    .parse()
                    .map_err(|_it_may_be_a_secret| NotIdentities::Unknown(number))?;
                hints.push(hint(&key.to_public().to_string()));
                keys.push(Arc::new(key));
            }
        }
        Ok(Self { keys, hints })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Those of both.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.keys.extend(more.keys);
        self.hints.extend(more.hints);
        self
    }

    /// How the public key of each is named to people.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// What `source` has inside. Each chunk of 64 KiB is given only when it has proved to be what was
    /// encrypted, and an end that is not the end is an error.
    ///
    /// # Errors
    /// [`Unopened`]; reading gives the errors of `source`, and `InvalidData` or `UnexpectedEof` for what
    /// was changed or cut.
    pub fn decrypt<R: Read>(&self, source: R) -> Result<StreamReader<R>, Unopened> {
        let decryptor = Decryptor::new(source).map_err(unopened)?;
        let keys = self.keys.iter().map(|it| &**it as &dyn age::Identity);
        decryptor.decrypt(keys).map_err(unopened)
    }
}

fn of_ssh(
    block: &SecretString,
    number: usize,
) -> Result<(ssh::Identity, Option<String>), NotIdentities> {
    let read = ssh::Identity::from_buffer(block.expose_secret().as_bytes(), None);
    let key = read.map_err(|_it_may_be_a_secret| NotIdentities::Unknown(number))?;
    match &key {
        ssh::Identity::Unencrypted(_) => {
            let public = ssh::Recipient::try_from(key.clone()).ok();
            Ok((key, public.map(|it| hint(&it.to_string()))))
        }
        ssh::Identity::Encrypted(_)
        | ssh::Identity::Unsupported(
            ssh::UnsupportedKey::EncryptedPem | ssh::UnsupportedKey::EncryptedSsh(_),
        ) => Err(NotIdentities::Passphrase(number)),
        ssh::Identity::Unsupported(_) => Err(NotIdentities::Kind(number)),
    }
}

fn unopened(error: DecryptError) -> Unopened {
    match error {
        DecryptError::NoMatchingKeys => Unopened::OtherKeys,
        DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Unopened::Damaged("it ends within its head")
        }
        DecryptError::Io(error) => Unopened::Io(error),
        DecryptError::InvalidMac => Unopened::Damaged("its head was changed"),
        DecryptError::UnknownFormat => Unopened::Damaged("it is of another version of age"),
        DecryptError::InvalidHeader => Unopened::Damaged("its head is none of age's"),
        _ => Unopened::Damaged("its key does not open"),
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identities({})", self.keys.len())
    }
}
