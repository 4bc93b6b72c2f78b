//! The PostgreSQL programs that are installed, and which of them fits.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use futures::future::join_all;

use crate::child;

/// Where Debian and the PostgreSQL project's packages put each major's programs.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Where others put the only ones they have.
const SINGLE: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/usr/local/pgsql/bin"];
/// What Debian's postgresql-client-common puts before the programs.
const WRAPPER: &str = "postgresql-common/pg_wrapper";

/// More directories to look at, first of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directories(Vec<PathBuf>);

impl FromStr for Directories {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let paths = text.split(':').filter(|it| !it.is_empty());
        let paths: Vec<PathBuf> = paths.map(PathBuf::from).collect();
        if paths.iter().all(|it| it.is_absolute()) {
            Ok(Self(paths))
        } else {
            Err("absolute paths are needed, separated by colons")
        }
    }
}

impl fmt::Display for Directories {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(|it| it.to_string_lossy()).collect();
        formatter.write_str(&all.join(":"))
    }
}

impl Directories {
    /// Whether none is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One directory with pg_dump, pg_restore and psql of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    directory: PathBuf,
    version: String,
    major: u32,
}

/// No program fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no PostgreSQL client of version {needed} or newer is installed (there is: {}); use an image with one, or install postgresql-client-{needed}",
    if .installed.is_empty() { "none" } else { .installed }
)]
pub struct NoneFits {
    needed: u32,
    installed: String,
}

impl Tools {
    /// The smallest installed major that is not older than `needed`: a dump by the server's own
    /// major restores into the server's own major.
    ///
    /// # Errors
    /// [`NoneFits`].
    pub async fn find(needed: u32, more: &Directories) -> Result<Self, NoneFits> {
        let installed = Self::installed(more).await;
        choose(&installed, needed).cloned().ok_or_else(|| NoneFits {
            needed,
            installed: installed
                .iter()
                .map(|it| it.version.clone())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// Every directory with programs that answer, one a major, smallest major first.
    pub async fn installed(more: &Directories) -> Vec<Self> {
        let mut directories = more.0.clone();
        let debian = std::fs::read_dir(DEBIAN).into_iter().flatten();
        directories.extend(debian.filter_map(|it| Some(it.ok()?.path().join("bin"))));
        directories.extend(SINGLE.iter().map(PathBuf::from));
        let asked = join_all(directories.iter().map(|it| Self::at(it))).await;
        let mut found: Vec<Self> = asked.into_iter().flatten().collect();
        found.sort_by_key(|it| it.major);
        found.dedup_by_key(|it| it.major);
        found
    }

    async fn at(directory: &Path) -> Option<Self> {
        let programs = ["pg_dump", "pg_restore", "psql"];
        if !programs.iter().all(|it| directory.join(it).is_file()) {
            return None;
        }
        if is_wrapper(&directory.join("pg_dump")) {
            return None;
        }
        let answer = child::ask(&directory.join("pg_dump"), &["--version"]).await;
        match answer {
            Ok(answer) => {
                let (version, major) = version_of(&answer)?;
                Some(Self {
                    directory: directory.to_owned(),
                    version,
                    major,
                })
            }
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "this pg_dump does not run");
                None
            }
        }
    }

    /// Its version, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its major, such as 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The file of one program: `pg_dump`, `pg_restore` or `psql`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Debian's `/usr/bin/pg_dump` is a Perl script that starts one of those that we look at anyway.
fn is_wrapper(program: &Path) -> bool {
    std::fs::canonicalize(program).is_ok_and(|it| it.ends_with(WRAPPER))
}

fn choose(installed: &[Tools], needed: u32) -> Option<&Tools> {
    installed
        .iter()
        .filter(|it| it.major >= needed)
        .min_by_key(|it| it.major)
}

/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; `19beta1` is major 19.
fn version_of(answer: &str) -> Option<(String, u32)> {
    let version = answer.split_whitespace().nth(2)?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((version.to_owned(), digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(major: u32) -> Tools {
        Tools {
            directory: PathBuf::from("/x"),
            version: format!("{major}.1"),
            major,
        }
    }

    /// operator.md, R15.
    #[test]
    fn u19_the_smallest_client_that_is_not_older_than_the_server_is_chosen() {
        let installed = [tools(14), tools(15), tools(17)];
        assert_eq!(choose(&installed, 13), Some(&tools(14)));
        assert_eq!(choose(&installed, 15), Some(&tools(15)));
        assert_eq!(choose(&installed, 16), Some(&tools(17)));
        assert_eq!(choose(&installed, 18), None);
    }

    #[test]
    fn versions_are_read_with_and_without_a_vendor() {
        let debian = "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(version_of(debian), Some(("15.18".to_owned(), 15)));
        assert_eq!(
            version_of("pg_dump (PostgreSQL) 19beta1"),
            Some(("19beta1".to_owned(), 19))
        );
        assert_eq!(version_of("what"), None);
    }

    #[test]
    fn debians_wrapper_is_told_from_a_program() {
        let root = tempfile::tempdir().unwrap();
        let (share, bin) = (
            root.path().join("postgresql-common"),
            root.path().join("bin"),
        );
        std::fs::create_dir(&share).unwrap();
        std::fs::create_dir(&bin).unwrap();
        std::fs::write(share.join("pg_wrapper"), "").unwrap();
        std::fs::write(bin.join("psql"), "").unwrap();
        std::os::unix::fs::symlink(share.join("pg_wrapper"), bin.join("pg_dump")).unwrap();
        assert!(is_wrapper(&bin.join("pg_dump")));
        assert!(!is_wrapper(&bin.join("psql")));
    }

    #[tokio::test]
    async fn what_is_installed_here_answers() {
        let installed = Tools::installed(&Directories::default()).await;
        assert!(!installed.is_empty(), "install postgresql-client");
    }
}
