//! Text that others read: names in SQL and patterns for them, and the causes of an error.

use std::borrow::Cow;

pub mod patterns;
pub mod sql;

/// The deepest cause of an error, which is the one that says most.
#[must_use]
pub fn deepest_cause(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}

/// An error with all its causes, in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = causes(error);
    let mut text = causes.next().map_or_else(String::new, ToString::to_string);
    for cause in causes {
        // Some libraries' errors repeat their causes.
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A text as a person sees it: what would do something to a terminal, or begin a line, is shown as its
/// escape.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || turns_text(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether a character has what follows shown in another order: Unicode's bidirectional controls.
fn turns_text(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// As much of a text as some bytes hold, and no half of a character.
#[must_use]
pub fn within(text: &str, bytes: usize) -> &str {
    let mut ends = (0..=bytes.min(text.len())).rev();
    let end = ends.find(|it| text.is_char_boundary(*it));
    &text[..end.unwrap_or(0)]
}

/// An error and its causes, the outermost first.
pub fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |it| it.source())
}

/// How many lines end in it.
#[must_use]
pub fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// As many characters of a text, and a sign where there are more.
#[must_use]
pub fn shortened(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
