//! Which databases of a server are meant: one by its exact name, or a list with patterns. It is read from
//! the text alone: by which databases there are, somebody who may make one could change what is meant.

mod pattern;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

/// What makes a text more than one exact name wherever it stands, and what does where it stands first.
const SPECIAL: [char; 3] = ['*', '?', ','];
const SPECIAL_IN_FRONT: [char; 2] = ['!', '"'];

/// Which databases are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Databases {
    /// The one of this name, exactly as PostgreSQL knows it.
    One(String),
    /// All that a list means.
    Several(Selection),
}

/// A list of names and patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    wanted: Vec<Item>,
    left_out: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Name(String),
    Pattern(String),
}

/// Why a text says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Nothing between two commas, or in quotes.
    #[error(
        "a name is missing in it; between commas go names and patterns (* any text, ? one character, ! in front leaves out)"
    )]
    Empty,
    /// A quote that no other one ends.
    #[error("a double quote in it is not closed")]
    Open,
    /// A quote or an exclamation mark within.
    #[error(
        "{0:?} has a double quote or an exclamation mark within: put the whole name in double quotes, and write each of its own twice"
    )]
    Within(String),
    /// Something behind a closing quote.
    #[error("something follows a closing quote in it; a comma is needed there")]
    Behind,
    /// Nothing but what is left out.
    #[error("it says only what is left out; put what is meant in front, such as *")]
    OnlyLeftOut,
}

impl Databases {
    /// Whether a text is more than one exact name, bare as it stands there.
    #[must_use]
    pub fn is_special(text: &str) -> bool {
        text.contains(SPECIAL) || text.trim_start().starts_with(SPECIAL_IN_FRONT)
    }
}

impl Databases {
    /// Whether a database of one name may be meant by both. What is left out is heeded for names alone: two
    /// patterns that meet are taken to share one.
    #[must_use]
    pub fn may_share(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(name), other) => other.has(name),
            (Self::Several(own), Self::One(name)) => own.has(name),
            (Self::Several(own), Self::Several(its)) => {
                let mut names = own.names().chain(its.names());
                names.any(|it| own.has(it) && its.has(it))
                    || own
                        .patterns()
                        .any(|own| its.patterns().any(|its| pattern::meet(own, its)))
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::One(own) => own == name,
            Self::Several(selection) => selection.has(name),
        }
    }
}

impl FromStr for Databases {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        if !Self::is_special(text) {
            return match text {
                "" => Err(Wrong::Empty),
                name => Ok(Self::One(name.to_owned())),
            };
        }
        let (mut wanted, mut left_out) = (Vec::new(), Vec::new());
        let mut rest = text;
        loop {
            let (is_left_out, item, behind) = next(rest)?;
            let list = if is_left_out {
                &mut left_out
            } else {
                &mut wanted
            };
            if !list.contains(&item) {
                list.push(item);
            }
            match behind {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        match (wanted.as_slice(), left_out.as_slice()) {
            ([], _) => Err(Wrong::OnlyLeftOut),
            ([Item::Name(name)], []) => Ok(Self::One(name.clone())),
            _ => Ok(Self::Several(Selection { wanted, left_out })),
        }
    }
}

/// The next of a list: whether it is left out, what it is, and what is behind its comma.
fn next(text: &str) -> Result<(bool, Item, Option<&str>), Wrong> {
    let text = text.trim_start();
    let (is_left_out, text) = match text.strip_prefix('!') {
        Some(text) => (true, text),
        None => (false, text),
    };
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, behind) = unquoted(quoted)?;
        let behind = behind.trim_start();
        let behind = match behind.strip_prefix(',') {
            Some(behind) => Some(behind),
            None if behind.is_empty() => None,
            None => return Err(Wrong::Behind),
        };
        return if name.is_empty() {
            Err(Wrong::Empty)
        } else {
            Ok((is_left_out, Item::Name(name), behind))
        };
    }
    let (item, behind) = match text.split_once(',') {
        Some((item, behind)) => (item, Some(behind)),
        None => (text, None),
    };
    let item = item.trim();
    if item.is_empty() {
        return Err(Wrong::Empty);
    }
    if item.contains(['"', '!']) {
        return Err(Wrong::Within(item.to_owned()));
    }
    let item = if item.contains(['*', '?']) {
        Item::Pattern(item.to_owned())
    } else {
        Item::Name(item.to_owned())
    };
    Ok((is_left_out, item, behind))
}

/// What is between two quotes, the first of which is gone already, and what is behind them.
fn unquoted(text: &str) -> Result<(String, &str), Wrong> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"').ok_or(Wrong::Open)?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(behind) => {
                name.push('"');
                rest = behind;
            }
            None => return Ok((name, behind)),
        }
    }
}

impl Selection {
    /// Whether a database of this name is meant.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.wanted.iter().any(|it| it.means(name)) && !self.leaves_out(name)
    }

    fn leaves_out(&self, name: &str) -> bool {
        self.left_out.iter().any(|it| it.means(name))
    }

    /// Those that are meant by their names, whether they are there or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.wanted.iter().filter_map(|it| match it {
            Item::Name(name) => Some(name.as_str()),
            Item::Pattern(_) => None,
        });
        names.filter(|it| !self.leaves_out(it))
    }

    /// Whether it depends on which databases there are.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.patterns().next().is_some()
    }

    fn patterns(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().filter_map(|it| match it {
            Item::Pattern(pattern) => Some(pattern.as_str()),
            Item::Name(_) => None,
        })
    }

    /// The patterns that mean none of these names.
    #[must_use]
    pub fn idle_patterns(&self, names: &[&str]) -> Vec<&str> {
        let is_idle = |it: &&str| !names.iter().any(|name| pattern::matches(it, name));
        self.patterns().filter(is_idle).collect()
    }
}

impl Item {
    fn means(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Pattern(pattern) => pattern::matches(pattern, name),
        }
    }
}

/// A name as it is written where patterns may stand, in quotes where it needs them.
#[must_use]
pub fn written(name: &str) -> String {
    let is_bare = !name.contains(SPECIAL) && !name.contains(SPECIAL_IN_FRONT);
    if !is_bare || name.trim() != name {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

impl fmt::Display for Databases {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A bare name is taken as it is, spaces included.
            Self::One(name) if !Self::is_special(name) => formatter.write_str(name),
            Self::One(name) => formatter.write_str(&written(name)),
            Self::Several(selection) => selection.fmt(formatter),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = self.wanted.iter().map(|it| ("", it));
        let left_out = self.left_out.iter().map(|it| ("!", it));
        for (at, (mark, item)) in wanted.chain(left_out).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match item {
                Item::Name(name) => write!(formatter, "{comma}{mark}{}", written(name))?,
                Item::Pattern(pattern) => write!(formatter, "{comma}{mark}{pattern}")?,
            }
        }
        Ok(())
    }
}
