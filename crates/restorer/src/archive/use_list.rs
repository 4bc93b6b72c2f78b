//! Which entries of an archive are restored, as `pg_restore --use-list` reads it.
//!
//! pg_restore takes a comment, which has no section, for one of the section before it, so it must
//! stay behind what it is on: the order is always the archive's.

use std::ffi::OsString;

use backuper::memfd::Memfd;
use backuper::runtime::Failure;

use crate::archive::toc::{Entry, Toc};

/// A list that is there as long as this value.
#[derive(Debug)]
pub(crate) struct UseList(Memfd);

impl UseList {
    /// The entries to keep.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn of(toc: &Toc, keep: impl Fn(&Entry) -> bool) -> Result<Self, Failure> {
        let file = Memfd::new("use-list", text(toc, keep).as_bytes());
        file.map(Self)
            .map_err(|error| Failure::try_again(format!("no memory for the list: {error}")))
    }

    /// What pg_restore is told.
    pub(crate) fn argument(&self) -> OsString {
        let mut argument = OsString::from("--use-list=");
        argument.push(self.0.path());
        argument
    }
}

fn text(toc: &Toc, keep: impl Fn(&Entry) -> bool) -> String {
    let kept = toc.entries.iter().filter(|it| keep(it));
    kept.map(|it| format!("{};\n", it.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_archives() {
        let entry = |id| Entry {
            id,
            ..Entry::default()
        };
        let toc = Toc {
            entries: [12, 3, 7, 5].map(entry).into(),
            ..Toc::default()
        };
        assert_eq!(text(&toc, |it| it.id != 7), "12;\n3;\n5;\n");
    }
}
