//! What a task prints for whoever started it: lines of JSON on standard output. The log goes elsewhere, or
//! between them.

use std::io::Write as _;

use serde::Serialize;

use super::Failure;

/// Writes a line for each, all at once.
///
/// # Errors
/// When standard output is closed.
pub fn print<T: Serialize>(lines: impl IntoIterator<Item = T>) -> Result<(), Failure> {
    let mut text = String::new();
    for line in lines {
        let line = serde_json::to_string(&line);
        text.push_str(&line.map_err(|error| Failure::refused(error.to_string()))?);
        text.push('\n');
    }
    let printed = std::io::stdout().write_all(text.as_bytes());
    printed.map_err(|error| Failure::try_again(format!("standard output: {error}")))
}
