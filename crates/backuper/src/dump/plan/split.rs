//! Whether the rows of a stream are read by one session or by several, each other pages of its tables.

use std::fmt;
use std::str::FromStr;

/// Tables with fewer bytes are read by one session.
const WORTH_SPLITTING: u64 = 64 << 20;

/// How many sessions read the rows of a large table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// Several, where jobs would idle behind it otherwise and its owner could harm the role in no other way than
    /// before.
    #[default]
    Auto,
    /// Several, whoever owns it.
    AnyOwner,
    /// As many as there are jobs, also of small ones and whoever owns them.
    Always,
    /// One.
    Never,
}

pub(super) const WORDS: [(Split, &str); 4] = [
    (Split::Auto, "auto"),
    (Split::AnyOwner, "any-owner"),
    (Split::Always, "always"),
    (Split::Never, "never"),
];

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.iter().find(|(split, _)| split == self);
        formatter.write_str(word.map_or("auto", |(_, word)| word))
    }
}

impl FromStr for Split {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let word = WORDS.iter().find(|(_, word)| *word == text);
        word.map(|(split, _)| *split)
            .ok_or("auto, any-owner, always or never is needed")
    }
}

impl Split {
    /// Whether a table may be split.
    pub(in crate::dump) fn takes(self, of_trusted_owner: bool) -> bool {
        match self {
            Self::Auto => of_trusted_owner,
            Self::AnyOwner | Self::Always => true,
            Self::Never => false,
        }
    }

    /// How many of `jobs` sessions read a table of so many bytes, where all have so many: its share.
    pub(super) fn sessions(self, bytes: u64, all: u64, jobs: usize) -> usize {
        let jobs = jobs.max(1);
        match self {
            Self::Never => 1,
            Self::Always => jobs,
            Self::Auto | Self::AnyOwner if bytes < WORTH_SPLITTING => 1,
            Self::Auto | Self::AnyOwner => {
                let (bytes, all) = (u128::from(bytes), u128::from(all.max(bytes)));
                // Rounded: a third of a session more is not worth the pages that it takes of the server's cache.
                let share = (2 * bytes * jobs as u128 + all) / (2 * all);
                usize::try_from(share).unwrap_or(jobs).clamp(1, jobs)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_share_of_the_sessions() {
        let of =
            |mebibytes: u64, all: u64, jobs| Split::Auto.sessions(mebibytes << 20, all << 20, jobs);
        assert_eq!(of(1_000, 1_000, 4), 4);
        assert_eq!(of(1_000, 1_500, 2), 1);
        assert_eq!(of(1_000, 1_300, 2), 2);
        assert_eq!([400, 600, 700].map(|it| of(it, 1_000, 4)), [2, 2, 3]);
        // Too little, and as it was not asked for.
        assert_eq!(of(60, 60, 4), 1);
        assert_eq!(of(1_000, 1_000, 1), 1);
        assert_eq!(Split::Never.sessions(1 << 40, 1 << 40, 4), 1);
        assert_eq!(Split::Always.sessions(0, 1 << 40, 4), 4);
        for (split, word) in WORDS {
            assert_eq!(word.parse(), Ok(split));
            assert_eq!(split.to_string(), word);
        }
        assert!("yes".parse::<Split>().is_err());
    }
}
