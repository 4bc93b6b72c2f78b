//! A table of contents with other statements than the archive's.

use std::io::{self, Read};
use std::ops::Range;

use super::reader::{Places, Reader};
use super::{Entry, Error, Layout};

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its rows go elsewhere.
    Copy(Copy),
    /// Its owner has it from the moment on at which it is made: what makes it gives it to him in the same message,
    /// which is one transaction (PostgreSQL manual, 55.2.2.1: multiple statements in a simple query).
    Given,
}

/// What takes the rows of an entry instead of its own COPY statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The statement.
    pub statement: String,
    /// Whether another entry follows that is the same with its own statement.
    pub again: bool,
}

/// The head of an archive, as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its bytes, up to where the rows begin.
    pub bytes: Vec<u8>,
    /// How what follows is written.
    pub layout: Layout,
    /// The numbers of entries that stand there twice, and those that the others got.
    pub again: Vec<(i64, i64)>,
}

/// An entry as it is written.
struct Written {
    bytes: Vec<u8>,
    id: i64,
    /// Another text than its own: where it stands, with the length before it, and what is written there.
    other: Option<(Range<usize>, Vec<u8>)>,
    again: bool,
}

impl Changed {
    /// Reads the head of an archive and leaves `source` where its rows begin. Each entry is shown with its
    /// COPY statement, in the archive's encoding; of an archive whose rows are compressed no COPY is changed.
    ///
    /// # Errors
    /// [`Error`]; a source that fails is one that ends.
    pub fn of(
        source: impl Read,
        mut change: impl FnMut(&Entry, &[u8]) -> Option<Change>,
    ) -> Result<Self, Error> {
        let mut reader = Reader::begin(Recorded {
            source,
            bytes: Vec::new(),
        })?;
        let (_, count) = reader.beginning()?;
        let layout = reader.layout;
        let mut bytes = std::mem::take(&mut reader.source.bytes);
        bytes.truncate(bytes.len().saturating_sub(1 + layout.int_size));
        let mut entries = Vec::new();
        for _ in 0..count {
            let begin = reader.position;
            let entry = reader.entry()?;
            let bytes = std::mem::take(&mut reader.source.bytes);
            let places = reader.places.within(begin);
            let text = |place: &Range<usize>| {
                let text = place.start + 1 + layout.int_size..place.end;
                bytes.get(text).unwrap_or_default()
            };
            let mut again = false;
            let other = match change(&entry, text(&places.copy)) {
                Some(Change::Copy(copy)) if !layout.compressed => {
                    again = copy.again;
                    Some((places.copy, copy.statement.into_bytes()))
                }
                Some(Change::Given) => {
                    let given = giving(text(&places.drop), text(&places.owner));
                    let made = text(&places.definition);
                    given.map(|given| (places.definition.clone(), [made, &given].concat()))
                }
                Some(Change::Copy(_)) | None => None,
            };
            entries.push(Written {
                id: entry.id,
                bytes,
                other,
                again,
            });
        }
        let last = entries.iter().map(|it| it.id).max().unwrap_or_default();
        let twice = entries.iter().filter(|it| it.again).map(|it| it.id);
        let again: Vec<(i64, i64)> = twice.zip(last.saturating_add(1)..).collect();
        let number = |value: i64| layout.number(value);
        bytes.extend(number(count.saturating_add_unsigned(again.len() as u64))?);
        for entry in &entries {
            let Some((place, text)) = &entry.other else {
                bytes.extend(&entry.bytes);
                continue;
            };
            bytes.extend(entry.bytes.get(..place.start).unwrap_or_default());
            bytes.extend(number(i64::try_from(text.len()).unwrap_or(i64::MAX))?);
            bytes.extend(text);
            bytes.extend(entry.bytes.get(place.end..).unwrap_or_default());
            if let Some((_, id)) = again.iter().find(|it| it.0 == entry.id) {
                bytes.extend(number(*id)?);
                bytes.extend(entry.bytes.get(1 + layout.int_size..).unwrap_or_default());
            }
        }
        Ok(Self {
            bytes,
            layout,
            again,
        })
    }
}

impl Places {
    /// The same, counted from here.
    fn within(&self, begin: usize) -> Self {
        let within = |it: &Range<usize>| it.start - begin..it.end - begin;
        Self {
            definition: within(&self.definition),
            drop: within(&self.drop),
            copy: within(&self.copy),
            owner: within(&self.owner),
        }
    }
}

/// The statement that gives an object to its owner, in the archive's encoding: what drops it says what it is called. No
/// encoding has a double quote within a character.
fn giving(drop: &[u8], owner: &[u8]) -> Option<Vec<u8>> {
    let named = drop.strip_prefix(b"DROP ")?.trim_ascii_end();
    let named = named.strip_suffix(b";")?;
    let doubled = owner.iter().flat_map(|it| match it {
        b'"' => &b"\"\""[..],
        it => std::slice::from_ref(it),
    });
    let owner: Vec<u8> = doubled.copied().collect();
    Some([b"ALTER ", named, b" OWNER TO \"", &owner, b"\";\n"].concat())
}

/// Keeps what is read.
struct Recorded<R> {
    source: R,
    bytes: Vec<u8>,
}

impl<R: Read> Read for Recorded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.bytes.extend(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_named_as_what_drops_it_names_it() {
        let given = |drop: &str, owner: &str| {
            let given = giving(drop.as_bytes(), owner.as_bytes());
            given.map(|it| String::from_utf8(it).unwrap())
        };
        assert_eq!(
            given("DROP FUNCTION s.f(a integer, \"B;\" text);\n", "a\"b"),
            Some("ALTER FUNCTION s.f(a integer, \"B;\" text) OWNER TO \"a\"\"b\";\n".to_owned())
        );
        assert_eq!(given("", "a"), None);
        let latin1 = giving(b"DROP PROCEDURE s.\xe4();\n", b"\xe4").unwrap();
        assert_eq!(latin1, b"ALTER PROCEDURE s.\xe4() OWNER TO \"\xe4\";\n");
    }
}
