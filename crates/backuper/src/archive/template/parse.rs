//! Reads a template, and refuses what is none of ours, each with its place.

use super::{Field, Piece};
use crate::archive::encryption::SUFFIX;
use crate::archive::key::is_of_something_else;

/// Why a text is no template of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `{{` without its end.
    #[error("the {{{{ at character {0} has no }}}}")]
    Unclosed(usize),
    /// A field that there is not.
    #[error(
        "there is no field .{name} (at character {at}); those that there are: .ClusterName, .DatabaseName, .Year, .Month, .Day, .Timestamp, .RunID"
    )]
    NoSuchField {
        /// Where it stands, from 1.
        at: usize,
        /// Its name.
        name: String,
    },
    /// More of Go's language than a field.
    #[error(
        "{text:?} (at character {at}) is more than a field; only fields such as {{{{ .Timestamp }}}} are understood"
    )]
    NoField {
        /// Where it stands, from 1.
        at: usize,
        /// What stands there.
        text: String,
    },
    /// A character that has no place in a key.
    #[error("{what} (at character {at}) cannot be a part of a key")]
    Character {
        /// Where it stands, from 1.
        at: usize,
        /// What stands there.
        what: String,
    },
    /// A part between slashes that is no name.
    #[error("a key may have no part {0:?} between slashes, and none may be empty")]
    Part(String),
    /// It begins with what a store keeps for itself.
    #[error("a key may not begin with a dot")]
    Hidden,
    /// It ends as what stands beside a dump.
    #[error(
        "a key that ends in manifest.json, .running, .pinned, .schedule.… or .restoring.… is that of an object beside a backup; choose another ending"
    )]
    Beside,
    /// It ends as an encrypted dump.
    #[error(
        "a key may not end in {SUFFIX}: encryption puts {SUFFIX} behind each key itself, so leave it out"
    )]
    Encrypted,
    /// Two databases would have one key.
    #[error(
        "it needs {{{{ .DatabaseName }}}}: without it, one database's dumps would be another's"
    )]
    NoDatabase,
    /// Two runs would have one key.
    #[error(
        "it needs {{{{ .Timestamp }}}} or {{{{ .RunID }}}}: without one, each dump would overwrite the one before"
    )]
    NoRun,
    /// Two pairs of names would have one key.
    #[error(
        "put a slash between {{{{ .ClusterName }}}} and {{{{ .DatabaseName }}}}: without it, one database's dumps would be another's"
    )]
    Ambiguous,
}

/// What Go trims: text/template, "Text and spaces".
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

pub(super) fn pieces(template: &str) -> Result<Vec<Piece>, Refused> {
    let mut pieces = Vec::new();
    let (mut rest, mut trims) = (template, false);
    loop {
        let begins = rest.find("{{");
        let text = &rest[..begins.unwrap_or(rest.len())];
        let place = |tail: &str| {
            let before = &template[..template.len() - tail.len()];
            before.chars().count() + 1
        };
        let at = place(rest);
        let mut text = if trims {
            text.trim_start_matches(SPACES)
        } else {
            text
        };
        let Some(begins) = begins else {
            push(&mut pieces, text, at)?;
            return Ok(pieces);
        };
        let action = &rest[begins + 2..];
        let here = place(action) - 2;
        let Some(ends) = action.find("}}") else {
            return Err(Refused::Unclosed(here));
        };
        rest = &action[ends + 2..];
        let mut action = &action[..ends];
        if let Some(trimming) = action.strip_prefix('-').filter(|it| it.starts_with(SPACES)) {
            text = text.trim_end_matches(SPACES);
            action = trimming;
        }
        trims = false;
        if let Some(trimming) = action.strip_suffix('-').filter(|it| it.ends_with(SPACES)) {
            trims = true;
            action = trimming;
        }
        push(&mut pieces, text, at)?;
        pieces.push(Piece::Field(field(action.trim_matches(SPACES), here)?));
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str, at: usize) -> Result<(), Refused> {
    let odd = text
        .chars()
        .enumerate()
        .find(|(_, it)| it.is_control() || *it == '\\');
    if let Some((number, odd)) = odd {
        return Err(Refused::Character {
            at: at + number,
            what: format!("{odd:?}"),
        });
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

fn field(action: &str, at: usize) -> Result<Field, Refused> {
    let name = action.strip_prefix('.').filter(|it| {
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        !it.is_empty() && it.chars().all(plain)
    });
    let Some(name) = name else {
        return Err(Refused::NoField {
            at,
            text: action.to_owned(),
        });
    };
    Field::named(name).ok_or_else(|| Refused::NoSuchField {
        at,
        name: name.to_owned(),
    })
}

/// Whether all that a template gives is a safe key, of one database and one run.
pub(super) fn check(pieces: &[Piece]) -> Result<(), Refused> {
    // A field is never empty, and never one or two dots.
    let shape: String = pieces
        .iter()
        .map(|it| match it {
            Piece::Text(text) => text.as_str(),
            Piece::Field(_) => "x",
        })
        .collect();
    if let Some(part) = shape.split('/').find(|it| ["", ".", ".."].contains(it)) {
        return Err(Refused::Part(part.to_owned()));
    }
    if shape.starts_with('.') {
        return Err(Refused::Hidden);
    }
    if is_of_something_else(&shape) {
        return Err(Refused::Beside);
    }
    if shape.ends_with(SUFFIX) {
        return Err(Refused::Encrypted);
    }
    let has = |field| pieces.contains(&Piece::Field(field));
    if !has(Field::DatabaseName) {
        return Err(Refused::NoDatabase);
    }
    if !has(Field::Timestamp) && !has(Field::RunId) {
        return Err(Refused::NoRun);
    }
    if is_ambiguous(pieces) {
        return Err(Refused::Ambiguous);
    }
    Ok(())
}

/// Whether the end of one name may be the beginning of the other: names have no slash in a key, and all
/// other fields have a fixed length.
fn is_ambiguous(pieces: &[Piece]) -> bool {
    let mut before: Option<Field> = None;
    for piece in pieces {
        match piece {
            Piece::Text(text) if text.contains('/') => before = None,
            Piece::Field(field @ (Field::ClusterName | Field::DatabaseName)) => {
                if before.replace(*field).is_some_and(|it| it != *field) {
                    return true;
                }
            }
            Piece::Text(_) | Piece::Field(_) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::KeyTemplate;

    /// B20.
    #[test]
    fn what_is_no_template_is_refused_with_its_place() {
        let rest = "/{{ .DatabaseName }}/{{ .Timestamp }}";
        for (template, words) in [
            ("é{{ .Foo }}", "there is no field .Foo (at character 2)"),
            ("{{ .Random }}", "there is no field .Random"),
            ("{{ printf \"%s\" .RunID }}", "is more than a field"),
            ("{{ .Timestamp | js }}", "is more than a field"),
            ("{{ if .RunID }}", "is more than a field"),
            ("{{/* x */}}", "is more than a field"),
            ("{{ }}", "is more than a field"),
            ("{{ . }}", "is more than a field"),
            ("{{ Timestamp }}", "is more than a field"),
            ("{{-.Timestamp}}", "is more than a field"),
            ("{{ .timestamp }}", "no field .timestamp"),
            ("{{ .A.B }}", "is more than a field"),
            ("a\nb", "'\\n' (at character 2)"),
            ("a\\b", "cannot be a part of a key"),
            ("a\u{0}", "cannot be a part of a key"),
            ("..", "no part \"..\""),
            ("a/.", "no part \".\""),
            ("a//b", "none may be empty"),
            ("", "none may be empty"),
            (".uploads", "may not begin with a dot"),
        ] {
            let error = format!("{template}{rest}").parse::<KeyTemplate>();
            let said = error.expect_err(template).to_string();
            assert!(said.contains(words), "{template}: {said}");
            assert!(!said.contains('\n'), "{said}");
        }
        for (template, words) in [
            ("é{{ .Timestamp", "the {{ at character 2 has no }}"),
            ("/{{.DatabaseName}}/{{.RunID}}", "none may be empty"),
            ("{{.DatabaseName}}/{{.RunID}}/", "none may be empty"),
            (
                "{{.ClusterName}}/{{.Timestamp}}",
                "needs {{ .DatabaseName }}",
            ),
            (
                "{{.DatabaseName}}/{{.Year}}{{.Day}}",
                "needs {{ .Timestamp }} or",
            ),
            (
                "{{.ClusterName}}-{{.DatabaseName}}/{{.RunID}}",
                "put a slash between",
            ),
            (
                "{{.DatabaseName}}{{.RunID}}{{.ClusterName}}",
                "put a slash between",
            ),
            (
                "{{.DatabaseName}}/{{.RunID}}.manifest.json",
                "choose another ending",
            ),
        ] {
            let said = template.parse::<KeyTemplate>().unwrap_err().to_string();
            assert!(said.contains(words), "{template}: {said}");
        }
    }
}
