//! Names: of schedules, and of what calls speak of.

// From core, which cannot do I/O.
use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use serde_with::{DeserializeFromStr, SerializeDisplay};
use sha2::{Digest as _, Sha256};

/// What a CronJob's name may have: eleven characters less than a label, since Kubernetes appends
/// the time to it. <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>
const LONGEST: usize = 52;
/// What PostgreSQL keeps of an identifier, in bytes.
const IDENTIFIER: usize = 63;

/// The longest name of a request.
const REQUEST_ID: usize = 128;

/// Why a text is not what it should be. It never repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub &'static str);

/// The name of a schedule: a DNS label of at most 52 characters.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr,
)]
pub struct Name(String);

impl Name {
    /// The name of the first schedule that backs one database up into one bucket; each `turn` gives
    /// another.
    #[must_use]
    pub fn of_place(source: &str, endpoint: &str, bucket: &str, turn: u8) -> Self {
        // The database's name is the one part that may hold a line break, so it comes last.
        let mut identity = format!("{endpoint}\n{bucket}\n{source}");
        if turn > 0 {
            identity = format!("{turn}\n{identity}");
        }
        Self(format!("backup-{}-postgres", short_hash(&identity)))
    }

    /// The name of a further schedule of that database and bucket, which runs at these times.
    #[must_use]
    pub fn of_times(source: &str, endpoint: &str, bucket: &str, times: &str, turn: u8) -> Self {
        let identity = format!("{turn}\n{times}\n{endpoint}\n{bucket}\n{source}");
        Self(format!("backup-{}-postgres", short_hash(&identity)))
    }

    /// The name of a run that somebody asks for beside the schedule's times; with the same request it is
    /// the same. It has a label's 63 characters at most.
    #[must_use]
    pub fn run_now(&self, request: &str) -> String {
        let hash = hex::encode(&Sha256::digest(format!("{}\n{request}", self.0))[..3]);
        format!("{}-now-{hash}", self.0)
    }

    /// The name of a Job that answers a question about the schedule, once for each call.
    #[must_use]
    pub fn question(&self, call: &str) -> String {
        let hash = hex::encode(&Sha256::digest(call)[..3]);
        format!("{}-lst-{hash}", self.0)
    }

    /// Whether it looks like one of those that are made of a place.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        let inside = self.0.strip_prefix("backup-");
        let hash = inside.and_then(|it| it.strip_suffix("-postgres"));
        hash.is_some_and(|it| it.len() == 8 && it.chars().all(|c| c.is_ascii_hexdigit()))
    }

    /// A name that a caller gives to a schedule: none that another kind of object of ours could have.
    ///
    /// # Errors
    /// Why not.
    pub fn given(text: &str) -> Result<Self, Wrong> {
        let is_ours = text.contains("-now-") || text.contains("-lst-");
        if is_ours || text == "restores" || text.starts_with("restore-") {
            return Err(Wrong(
                "names with -now- or -lst- in them, restores, and those that begin with restore- are for runs",
            ));
        }
        text.parse()
    }

    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=LONGEST).contains(&text.len())
            && text.chars().all(inside)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Wrong(
                "a name of 1 to 52 lower-case letters, digits and hyphens is needed, as the answer to Backup has it",
            ))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Eight hex digits for a text. Two texts may have the same: whoever meets another's takes the next
/// turn.
fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..4])
}

/// Sixteen hex digits for a text, which no two texts of a cluster have.
pub(super) fn long_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

/// A host name or an IP address in one spelling: lower case, without a dot at the end.
///
/// # Errors
/// When it is neither.
pub fn host(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong("a host name or an IP address is needed"));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let bare = text.strip_suffix('.').unwrap_or(text);
    if is_number_like(bare) {
        return Err(Wrong(
            "an IPv4 address is written as four decimal numbers, such as 10.0.0.1",
        ));
    }
    // Underscores are in no host name, and in many that people have given to containers.
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label =
        |it: &str| (1..=63).contains(&it.len()) && it.chars().all(inside) && !it.starts_with('-');
    if bare.len() <= 253 && bare.split('.').all(label) {
        Ok(bare.to_ascii_lowercase())
    } else {
        Err(Wrong(
            "a host name or an IP address is needed, without scheme, port or path",
        ))
    }
}

/// Whether a host would be taken for an IPv4 address in one of the forms that inet_aton(3) reads
/// (`2130706433`, `0x7f.1`), of which no name is one: a name does not end in a number.
#[must_use]
pub fn is_number_like(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_decimal = !last.is_empty() && last.chars().all(|it| it.is_ascii_digit());
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    is_decimal || hex.is_some_and(|it| it.chars().all(|c| c.is_ascii_hexdigit()))
}

/// A port that something can listen on.
///
/// # Errors
/// When it is not from 1 to 65535.
pub fn port(number: i64) -> Result<u16, Wrong> {
    match u16::try_from(number) {
        Ok(port @ 1..) => Ok(port),
        Ok(0) | Err(_) => Err(Wrong("a port from 1 to 65535 is needed")),
    }
}

/// A name that PostgreSQL can have given: 1 to 63 bytes without NUL.
///
/// # Errors
/// When it cannot.
pub fn identifier(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong("it is empty"));
    }
    if text.len() > IDENTIFIER {
        return Err(Wrong("PostgreSQL's names have 63 bytes at most"));
    }
    without_nul(text)
}

/// What a caller calls a request: up to 128 printable characters, or nothing.
///
/// # Errors
/// When it is longer, or has others in it.
pub fn request_id(text: &str) -> Result<String, Wrong> {
    if text.len() <= REQUEST_ID && text.chars().all(|it| it.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(Wrong(
            "128 printable ASCII characters at most are needed, without spaces",
        ))
    }
}

/// Reads the name of a Kubernetes object: a DNS subdomain of at most 253 characters.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
///
/// # Errors
/// When it is none.
pub fn object(text: &str) -> Result<String, Wrong> {
    let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = |it: &str| {
        !it.is_empty() && it.chars().all(is_inside) && !it.starts_with('-') && !it.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err(Wrong(
        "the name of a Kubernetes object is needed: lower-case letters, digits, hyphens and dots",
    ))
}

/// Reads a key of a Secret.
/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data>
///
/// # Errors
/// When it is none.
pub fn secret_key(text: &str) -> Result<String, Wrong> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=253).contains(&text.len()) && text.chars().all(is_inside) {
        return Ok(text.to_owned());
    }
    Err(Wrong(
        "a Secret's key is letters, digits, hyphens, underscores and dots",
    ))
}

/// A key that can stand in an HTTP header; empty is none.
///
/// # Errors
/// When it has others than printable ASCII characters, or is too long.
pub fn header(text: &str) -> Result<String, Wrong> {
    if !text.chars().all(|it| it.is_ascii_graphic()) {
        return Err(Wrong("it has others than printable ASCII characters in it"));
    }
    without_nul(text)
}

/// A text that can stand in an environment.
///
/// # Errors
/// When it has NUL in it or is too long.
pub fn without_nul(text: &str) -> Result<String, Wrong> {
    if text.contains('\0') {
        return Err(Wrong("it has a NUL character in it"));
    }
    if text.len() > 16 * 1024 {
        return Err(Wrong("it is longer than 16 KiB"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_the_source_and_the_bucket_alone() {
        let name = Name::of_place("db:5432/shop", "https://s3", "backups", 0);
        assert_eq!(
            name,
            Name::of_place("db:5432/shop", "https://s3", "backups", 0)
        );
        assert!(name.as_str().parse::<Name>().is_ok(), "{name}");
        for other in [
            Name::of_place("db:5433/shop", "https://s3", "backups", 0),
            Name::of_place("db:5432/shop", "https://s4", "backups", 0),
            Name::of_place("db:5432/shop", "https://s3", "backups2", 0),
            Name::of_place("db:5432/shop", "https://s", "3backups", 0),
            Name::of_place("db:5432/shop", "https://s3", "backups", 1),
        ] {
            assert_ne!(name, other);
        }
    }

    #[test]
    fn names_are_labels_that_leave_room_for_a_time() {
        for good in ["a", "backup-0a1b2c3d-postgres", &"x".repeat(52)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "a/b", &"x".repeat(53)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_and_no_urls() {
        for good in [
            "db",
            "DB.example.org",
            "db.example.org.",
            "10.0.0.1",
            "::1",
            "my_db",
        ] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "postgres://db",
            "db:5432",
            "db/x",
            "a b",
            "a\0",
            "user@db",
            "/var/run",
            "a..b",
            "-oProxy",
            "db,other",
            "2852015437",
            "0xa9fe4d4d",
            "169.254.19789",
            "0251.0376.0115.0115",
            &"x".repeat(254),
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
