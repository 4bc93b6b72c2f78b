//! Whether two places are one, or one of them lies in the other: by their addresses, and of directories by what
//! the machine says of them.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::config::{Bucket, Config, Place};

/// How a place lies in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Both are one.
    Same,
    /// It is a folder of the other, or of one of its folders.
    Within,
}

impl Config {
    /// How `other` lies in this place, as far as the addresses tell; none: it lies elsewhere.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Option<Overlap> {
        let (server, place) = self.address();
        let (others_server, others_place) = other.address();
        if server != others_server {
            return None;
        }
        within(&place, &others_place)
    }

    /// The same of two directories, by what they are on this machine: a link or a mount leads to one by another
    /// name. Waits for the disk, or for whoever serves it.
    ///
    /// # Errors
    /// A directory cannot be looked at. That one is not there is no error.
    pub fn overlap_on_disk(&self, other: &Self) -> io::Result<Option<Overlap>> {
        let (Some(place), Some(others_place)) = (self.directory(), other.directory()) else {
            return Ok(None);
        };
        let (real, missing) = real(&place)?;
        let (others_real, others_missing) = self::real(&others_place)?;
        let is_it = identity(&real)?;
        for above in others_real.ancestors() {
            if identity(above)? == is_it {
                let from_there = others_real.strip_prefix(above).unwrap_or(&others_real);
                return Ok(within(&missing, &from_there.join(&others_missing)));
            }
        }
        Ok(None)
    }

    fn directory(&self) -> Option<PathBuf> {
        matches!(self.place, Place::Directory { .. }).then(|| self.address().1)
    }

    /// Who answers there and where in it: of one place always the same, however it is reached.
    fn address(&self) -> (String, PathBuf) {
        let (server, root) = match &self.place {
            Place::S3(place) => {
                let endpoint = place.endpoint.as_deref().map(host);
                let server = endpoint.filter(|it| !it.ends_with(".amazonaws.com"));
                (
                    server.unwrap_or_default(),
                    PathBuf::from(place.bucket.as_str()),
                )
            }
            Place::Gcs(place) => (host(&place.server()), PathBuf::from(place.bucket.as_str())),
            Place::Azure(place) => {
                let root = format!("{}/{}", place.account, place.container);
                (host(&place.server()), PathBuf::from(root))
            }
            Place::Directory { path, folder } => {
                let folder = folder.as_ref().map_or("", Bucket::as_str);
                ("file".to_owned(), path.join(folder))
            }
        };
        // Components, so that a slash at the end or two in the middle are none.
        (
            server,
            root.join(self.prefix.as_str()).components().collect(),
        )
    }
}

/// The host and its port, whatever is spoken with it.
fn host(url: &str) -> String {
    let (_, host) = url.split_once("://").unwrap_or(("", url));
    host.trim_end_matches('/').to_lowercase()
}

/// How one path lies in another, part by part.
fn within(place: &Path, other: &Path) -> Option<Overlap> {
    if place == other {
        return Some(Overlap::Same);
    }
    other.starts_with(place).then_some(Overlap::Within)
}

/// A path without links as far as it is there, and what is not there of it.
fn real(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    for above in path.ancestors() {
        match std::fs::canonicalize(above) {
            Ok(real) => {
                let missing = path.strip_prefix(above).unwrap_or(path);
                return Ok((real, missing.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// By which the system tells a directory from all others, however it is reached.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::super::{GcsPlace, S3Place, Tags, Tls, s3::options::Options};
    use super::*;

    fn directory(path: &str, folder: Option<&str>, prefix: &str) -> Config {
        Config {
            place: Place::Directory {
                path: path.into(),
                folder: folder.map(|it| it.parse().unwrap()),
            },
            prefix: prefix.parse().unwrap(),
            tls: Tls::default(),
            tags: Tags::default(),
        }
    }

    fn s3(endpoint: Option<&str>, bucket: &str, prefix: &str) -> Config {
        Config {
            place: Place::S3(S3Place {
                endpoint: endpoint.map(str::to_owned),
                bucket: bucket.parse().unwrap(),
                access_key: None,
                secret_key: None,
                session_token: None,
                region: None,
                force_path_style: None,
                options: Options::default(),
            }),
            ..directory("/", None, prefix)
        }
    }

    #[test]
    fn a_place_is_the_same_however_it_is_reached() {
        let google = Config {
            place: Place::Gcs(GcsPlace {
                endpoint: None,
                bucket: "backups".parse().unwrap(),
                credentials: super::super::GcsCredentials::Ambient,
            }),
            ..directory("/", None, "")
        };
        let hmac = s3(Some("https://storage.googleapis.com"), "backups", "");
        let aws = "https://s3.eu-central-1.amazonaws.com";
        for (one, other) in [
            (
                directory("/b", Some("app"), ""),
                directory("/b/", None, "app"),
            ),
            (s3(None, "backups", ""), s3(Some(aws), "backups", "")),
            (
                s3(Some("http://s3"), "backups", "a"),
                s3(Some("https://s3"), "backups", "a"),
            ),
            (google.clone(), hmac),
        ] {
            assert_eq!(
                one.overlap(&other),
                Some(Overlap::Same),
                "{one:?} {other:?}"
            );
        }
        for (one, other) in [
            (directory("/b", None, "app"), directory("/b", None, "")),
            (directory("/b", None, ""), directory("/bc", None, "")),
            (
                s3(None, "backups", ""),
                s3(Some("https://s3"), "backups", ""),
            ),
            (s3(None, "backups", "a"), s3(None, "backups", "ab")),
            (s3(None, "backups", ""), google.clone()),
        ] {
            assert_eq!(one.overlap(&other), None, "{one:?} {other:?}");
        }
        for (one, other) in [
            (directory("/b", None, ""), directory("/b", None, "app")),
            (s3(None, "backups", ""), s3(None, "backups", "copies")),
            (s3(None, "backups", "a"), s3(Some(aws), "backups", "a/b")),
        ] {
            assert_eq!(
                one.overlap(&other),
                Some(Overlap::Within),
                "{one:?} {other:?}"
            );
        }
        let names = [
            directory("/b", Some("app"), "x"),
            s3(None, "backups", ""),
            google,
        ];
        let names = names.map(|it| it.name());
        assert_eq!(names, ["file:///b/app/x", "s3://backups", "gs://backups"]);
    }

    #[test]
    fn a_link_leads_to_the_same_directory_and_what_is_not_there_yet_is_told_by_what_it_lies_in() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name).display().to_string();
        for name in ["store", "away"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("store"), at("link")).unwrap();
        let overlap = |one: &Config, other: &Config| one.overlap_on_disk(other).unwrap();
        let store = directory(&at("store"), None, "");
        let of = |name: &str, prefix: &str| directory(&at(name), None, prefix);
        assert_eq!(overlap(&store, &of("link", "")), Some(Overlap::Same));
        assert_eq!(overlap(&of("link", ""), &store), Some(Overlap::Same));
        assert_eq!(overlap(&store, &of("link", "a/b")), Some(Overlap::Within));
        let folder = of("store", "a");
        assert_eq!(overlap(&folder, &of("link", "a")), Some(Overlap::Same));
        assert_eq!(overlap(&folder, &of("link", "a/b")), Some(Overlap::Within));
        for other in [
            of("link", ""),
            of("link", "ab"),
            of("away", ""),
            of("gone", "a"),
        ] {
            assert_eq!(overlap(&folder, &other), None, "{other:?}");
        }
        assert_eq!(
            overlap(&of("gone", ""), &of("gone", "")),
            Some(Overlap::Same)
        );
    }
}
