//! Whether an encrypted backup opens, before anything else is done with it.

use backuper::archive::encryption::{Identities, Unopened};
use backuper::archive::manifest::{Encryption, Hidden};
use backuper::archive::{Folder, Manifest};
use backuper::runtime::Failure;

/// The manifest with all that it hides. One that is not encrypted needs no key.
///
/// # Errors
/// Which key is needed, or what is damaged.
pub(crate) fn open(
    folder: &Folder,
    manifest: Manifest,
    identities: &Identities,
) -> Result<Manifest, Failure> {
    let Some(encryption) = manifest.encryption.clone() else {
        return Ok(manifest);
    };
    let prefix = folder.prefix();
    let key = prefix.trim_end_matches('/');
    if identities.is_empty() {
        return Err(Failure::refused(format!(
            "{key} is encrypted: set AGE_IDENTITY or AGE_IDENTITY_FILE to the private key of {}",
            encryption.named()
        )));
    }
    manifest.reveal(identities).map_err(|error| match error {
        Hidden::Unopened(error) => {
            let manifest = folder.key(backuper::archive::key::MANIFEST);
            unopened(&manifest, Some(&encryption), identities, &error)
        }
        error @ Hidden::Foreign => {
            Failure::refused(format!("{key} is damaged: {error}; choose another backup"))
        }
    })
}

/// Why an object does not open, and which key would.
pub(crate) fn unopened(
    key: &str,
    encryption: Option<&Encryption>,
    identities: &Identities,
    error: &Unopened,
) -> Failure {
    let wanted = encryption.map(|it| format!(" to {}", it.named()));
    let wanted = wanted.unwrap_or_default();
    match error {
        Unopened::OtherKeys => Failure::refused(format!(
            "{key} is encrypted{wanted}, and the private key that was given is that of {}; give the other one: without it, nobody can restore this backup",
            identities.hints().join(" and ")
        )),
        Unopened::Damaged(_) => {
            Failure::refused(format!("{key} is damaged: {error}; choose another backup"))
        }
        Unopened::Io(error) => Failure::try_again(format!("{key}: {error}")),
    }
}
