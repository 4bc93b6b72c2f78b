//! Secrets of a command: from a file or from whoever sits before it, never from its arguments.

use std::io::Read as _;
use std::path::Path;

use backuper::runtime::Failure;
use secrecy::SecretString;

/// What a secret may have at most, in bytes.
const SECRET: u64 = 16 * 1024;

/// A secret in a file; a line's end is none of it.
pub(super) fn read(setting: &str, path: &Path) -> Result<SecretString, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::refused(format!("{setting}: {}: {why}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(|it| wrong(&it))?;
    let mut text = String::new();
    let read = file.take(SECRET + 1).read_to_string(&mut text);
    let length = read.map_err(|it| wrong(&it))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return Err(wrong(&"it is empty"));
    }
    if u64::try_from(length).is_ok_and(|it| it > SECRET) {
        return Err(wrong(&"it is longer than 16 KiB"));
    }
    Ok(SecretString::from(text))
}

/// Asks on the terminal, whatever the standard streams are; what is typed is not shown.
pub(super) fn ask(what: &str) -> Result<SecretString, Failure> {
    let typed = rpassword::prompt_password(what);
    let typed = typed.map_err(|error| {
        let why = "there is no terminal to ask on";
        Failure::refused(format!("{}: {why}: {error}", what.trim_end_matches(": ")))
    })?;
    if typed.is_empty() {
        let what = what.trim_end_matches(": ");
        return Err(Failure::refused(format!("{what}: nothing was typed")));
    }
    Ok(SecretString::from(typed))
}
