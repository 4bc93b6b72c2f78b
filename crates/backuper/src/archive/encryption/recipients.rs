//! The public keys that a backup is encrypted to.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use age::stream::StreamWriter;
use age::{Encryptor, ssh, x25519};

use super::{hint, is_private};

/// Public keys, one at least: each of them alone opens what is encrypted to them.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipients(Vec<Recipient>);

/// A public key in its usual text, without a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recipient {
    text: String,
}

/// Why a text is no list of public keys. None of it is repeated: what stands there by mistake may be a
/// private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRecipients {
    /// There is none.
    #[error(
        "it names no public key; give one or more, such as age1… or ssh-ed25519 AAAA…, or leave it empty to store backups as they are"
    )]
    Empty,
    /// A private key.
    #[error(
        "entry {0} is, or has, a private key, which must never be here, and is not repeated; give its public key, which `age-keygen -y KEYFILE` prints, and make a new pair if others may have seen this setting"
    )]
    Private(usize),
    /// Something else.
    #[error(
        "entry {0} is no public key of age (age1…, not one of a plugin) or of SSH (ssh-ed25519 AAAA… or ssh-rsa AAAA… of 2048 to 16384 bits); it is not repeated, since it may be a secret"
    )]
    Unknown(usize),
}

impl Recipient {
    fn read(text: String) -> Option<Self> {
        let recipient = Self { text };
        recipient.key().map(|_key| recipient)
    }

    fn key(&self) -> Option<Box<dyn age::Recipient + Send + Sync>> {
        if self.text.starts_with("ssh-") {
            let key = self.text.parse::<ssh::Recipient>().ok()?;
            return Some(Box::new(key));
        }
        let key = self.text.parse::<x25519::Recipient>().ok()?;
        Some(Box::new(key))
    }
}

impl Recipients {
    /// How many.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is one at least")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each as text, without a comment.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|it| it.text.clone()).collect()
    }

    /// Those of both, each once.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        for recipient in more.0 {
            if !self.0.contains(&recipient) {
                self.0.push(recipient);
            }
        }
        self
    }

    /// How each is named to people: the beginning of an age key, or an SSH key's fingerprint.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        self.0.iter().map(|it| hint(&it.text)).collect()
    }

    /// What is written goes to `sink` encrypted. Without the writer's `finish` it is cut short, and
    /// nobody takes it for whole.
    ///
    /// # Errors
    /// Those of `sink`, and of a key that cannot be encrypted to.
    pub fn encrypt<W: Write>(&self, sink: W) -> io::Result<StreamWriter<W>> {
        let keys: Vec<_> = self.0.iter().filter_map(Recipient::key).collect();
        let keys = keys.iter().map(|it| &**it as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(keys).map_err(io::Error::other)?;
        encryptor.wrap_output(sink)
    }
}

/// Separated by commas, blanks or lines; a line that begins with # is a comment, and so is what follows
/// an SSH key up to the next comma or line, or to the next key.
impl FromStr for Recipients {
    type Err = NotRecipients;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut found: Vec<Recipient> = Vec::new();
        let mut number = 0;
        let lines = text.lines().filter(|it| !it.trim_start().starts_with('#'));
        for piece in lines.flat_map(|it| it.split(',')) {
            let mut after_ssh_key = false;
            let mut words = piece.split_whitespace();
            while let Some(word) = words.next() {
                let begins = word.starts_with("age1") || word.starts_with("ssh-");
                if is_private(word) || (!begins && is_private(piece)) {
                    return Err(NotRecipients::Private(number + 1));
                }
                if after_ssh_key && !begins {
                    continue;
                }
                number += 1;
                after_ssh_key = word.starts_with("ssh-");
                let text = if after_ssh_key {
                    format!("{word} {}", words.next().unwrap_or_default())
                } else {
                    word.to_owned()
                };
                let recipient = Recipient::read(text).ok_or(NotRecipients::Unknown(number))?;
                if !found.contains(&recipient) {
                    found.push(recipient);
                }
            }
        }
        if found.is_empty() {
            return Err(NotRecipients::Empty);
        }
        Ok(Self(found))
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Recipients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(|it| it.text.as_str()).collect();
        formatter.write_str(&texts.join(","))
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Recipients({self})")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const SSH: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    fn public() -> String {
        x25519::Identity::generate().to_public().to_string()
    }

    #[test]
    fn a_list_may_have_commas_blanks_lines_and_comments() {
        let (a, b) = (public(), public());
        for text in [
            format!("{a},{b},{SSH}"),
            format!("  {a} {b}\t{SSH} me@host and more\n"),
            format!("# of the two admins\n{a}\r\n\n{b}\n  # and\n{SSH} me@host\n{a}"),
            format!("{SSH} a comment, {a} {b}"),
        ] {
            let read: Recipients = text.parse().unwrap();
            assert_eq!(read.len(), 3, "{text}");
            assert_eq!(read.to_string().parse(), Ok(read));
        }
    }

    #[test]
    fn a_key_is_hinted_at_as_people_find_it() {
        let read: Recipients = SSH.parse().unwrap();
        assert!(read.hints()[0].starts_with("SHA256:"));
        let a = public();
        let read: Recipients = a.parse().unwrap();
        assert!(a.starts_with(read.hints()[0].trim_end_matches('…')));
        assert_eq!(read.hints()[0].chars().count(), 17);
    }

    #[test]
    fn a_private_key_is_refused_and_not_repeated() {
        let private = x25519::Identity::generate().to_string();
        let private = private.expose_secret();
        for text in [
            private.to_owned(),
            private.to_lowercase(),
            format!("{},{private}", public()),
            format!("{SSH} {private}"),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza\n-----END OPENSSH PRIVATE KEY-----"
                .to_owned(),
        ] {
            let error = text.parse::<Recipients>().unwrap_err();
            assert!(matches!(error, NotRecipients::Private(_)), "{error:?}");
            assert!(!error.to_string().contains(&private[20..]));
        }
    }

    #[test]
    fn nothing_at_all_is_no_list() {
        for text in ["", " ,\n", "# age1later"] {
            assert_eq!(text.parse::<Recipients>(), Err(NotRecipients::Empty));
        }
        let broken = format!("{}x", public());
        for text in ["hunter2", "ssh-ed25519", "age1", broken.as_str()] {
            assert_eq!(text.parse::<Recipients>(), Err(NotRecipients::Unknown(1)));
        }
    }
}
