//! One server of each version for the whole suite: with the roles that the databases speak of, and
//! with extensions of our own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::testbed::postgres::{self, Cluster, Version};
use crate::testbed::programs::{Prepared, repository};
use crate::testbed::{Env, folder};
use crate::versions;

/// The versions that the tests install, and which pg_dump a worker is to choose for each.
const VERSIONS: [(u32, &str); 6] = [
    (13, "13"),
    (14, "15"),
    (15, "15"),
    (16, "17"),
    (17, "17"),
    (18, "18"),
];

/// What every database file may count on.
const ROLES: &str = "\
    CREATE ROLE app LOGIN CREATEDB PASSWORD 'app''s own'; \
    CREATE ROLE reader; \
    CREATE ROLE writer";

/// Nobody but the restorer analyzes; and what is small is not compiled.
const SETTINGS: &str = "\
    ALTER SYSTEM SET autovacuum = off;
    ALTER SYSTEM SET jit = off;
    SELECT pg_reload_conf()";

/// The password of the role `app`.
pub(super) const PASSWORD_OF_APP: &str = "app's own";

/// A server that the suite's databases share.
pub(crate) struct Server {
    pub(super) major: u32,
    pub(crate) cluster: Cluster,
    /// Where the workers find the clients that this version is tested with.
    pub(super) clients: Env,
    /// The major of the pg_dump that a backup is to be made with.
    pub(super) pg_dump: &'static str,
}

/// The server of a version, started when it is first asked for.
pub(crate) fn of(major: u32) -> &'static Server {
    static SERVERS: [OnceLock<Server>; VERSIONS.len()] =
        [const { OnceLock::new() }; VERSIONS.len()];
    let place = VERSIONS.iter().position(|(it, _)| *it == major);
    let place = place.unwrap_or_else(|| panic!("the tests install no PostgreSQL {major}"));
    SERVERS[place].get_or_init(|| start(major, VERSIONS[place].1))
}

fn start(major: u32, pg_dump: &'static str) -> Server {
    let (bin, kept): (PathBuf, &[u32]) = match major {
        15 => (postgres::installed(), &[]),
        16 => (versions::bin_of(16), &[17]),
        _ => (versions::bin_of(major), &[13, 17, 18]),
    };
    let clients = match major {
        14 => postgres::installed(),
        16 => versions::bin_of(17),
        _ => bin.clone(),
    };
    let with_extensions = with_our_extensions(&bin);
    let cluster = Cluster::of(Version::at(&with_extensions, Some(&clients)), false);
    cluster.sql("postgres", ROLES);
    cluster.sql("postgres", SETTINGS);
    Server {
        major,
        cluster,
        clients: versions::clients(kept),
        pg_dump,
    }
}

/// A second installation of a server, made of links into the first and of our extensions. A server
/// looks for its files beside the place that its own program lies in, so that one is copied.
fn with_our_extensions(bin: &Path) -> PathBuf {
    let first = bin.parent().expect("bin lies in a folder");
    let major = first.file_name().expect("the version's folder");
    let whole = first.join("share/postgresql");
    let ours = folder("server").join("lib/postgresql").join(major);
    let (share, our_share) = if whole.exists() {
        (whole, ours.join("share/postgresql"))
    } else {
        // Debian's: lib/postgresql/15/bin and share/postgresql/15 are in one folder.
        let above = |it: &Path| {
            it.ancestors()
                .nth(3)
                .expect("a prefix")
                .join("share/postgresql")
        };
        (above(first).join(major), above(&ours).join(major))
    };
    std::fs::create_dir_all(ours.join("bin")).expect("folders");
    std::fs::create_dir_all(our_share.join("extension")).expect("folders");
    for program in ["postgres", "initdb"] {
        std::fs::copy(bin.join(program), ours.join("bin").join(program)).expect("a copy");
    }
    link(&first.join("lib"), &ours.join("lib"));
    link_all_in(&share, &our_share);
    link_all_in(&share.join("extension"), &our_share.join("extension"));
    let extensions = repository().join("tests/integration/roundtrip/extensions");
    Prepared::new("cp")
        .arg("-R")
        .arg(extensions.join("."))
        .arg(our_share.join("extension"))
        .succeed();
    ours.join("bin")
}

fn link_all_in(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from)
        .expect("a folder of PostgreSQL")
        .flatten()
    {
        let link_at = to.join(entry.file_name());
        if !link_at.exists() {
            link(&entry.path(), &link_at);
        }
    }
}

fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).expect("a link");
}
