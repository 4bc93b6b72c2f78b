//! Encryption to public keys, in the format of <https://age-encryption.org/v1>: who can read what is
//! stored, and how it is read. Whoever encrypts holds no key that decrypts.

mod identities;
mod recipients;

pub use identities::{Identities, NotIdentities, Unopened};
pub use recipients::{NotRecipients, Recipients};

/// What everything begins with that is encrypted in this format.
pub const MAGIC: &[u8] = b"age-encryption.org/v1";

/// What the name of an encrypted object ends in.
pub const SUFFIX: &str = ".age";

/// What shows that a text is, or has, a private key.
fn is_private(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    text.contains("AGE-SECRET-KEY") || text.contains("PRIVATE KEY") || text.contains("AGE-PLUGIN")
}

/// How a recipient is named to people: enough to find the key by, and not the key.
fn hint(text: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use sha2::{Digest as _, Sha256};

    /// Of `age1…`: more characters than any two keys share by chance.
    const SHOWN: usize = 16;
    let mut words = text.split(' ');
    match (words.next(), words.next()) {
        // As `ssh-keygen -l` prints it.
        (Some(_kind), Some(key)) => {
            let key = STANDARD.decode(key).unwrap_or_default();
            format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
        }
        _ => format!("{}…", text.chars().take(SHOWN).collect::<String>()),
    }
}
