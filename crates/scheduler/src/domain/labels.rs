//! Labels that a caller puts on a schedule.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>

use std::collections::BTreeMap;

use super::name::{Wrong, object};

/// By their names.
pub type Labels = BTreeMap<String, String>;

/// Whose labels say which object of Kubernetes something was made for.
pub const OBJECTS: &str = "dbtether.io";
/// The label with the Backup that a schedule was made for: it runs when its object says so.
pub const BACKUP: &str = "dbtether.io/backup";

/// How long a name, and a value, may be.
const NAME: usize = 63;
/// How many a schedule may have.
const MOST: usize = 32;

/// Reads labels.
///
/// # Errors
/// What Kubernetes would refuse, and what is not a caller's to set.
pub fn labels(all: impl IntoIterator<Item = (String, String)>) -> Result<Labels, Wrong> {
    let all: Labels = all.into_iter().collect();
    if all.len() > MOST {
        return Err(Wrong("there are more than 32 labels"));
    }
    for (name, value) in &all {
        let (prefix, rest) = match name.split_once('/') {
            Some((prefix, rest)) => (Some(prefix), rest),
            None => (None, name.as_str()),
        };
        if rest.is_empty() || !is_word(rest) || prefix.is_some_and(|it| object(it).is_err()) {
            return Err(Wrong(
                "a label's name is letters, digits, dots, hyphens and underscores, 63 at most, perhaps behind a DNS name and a slash",
            ));
        }
        if !is_word(value) {
            return Err(Wrong(
                "a label's value is letters, digits, dots, hyphens and underscores, 63 at most",
            ));
        }
        // The Job controller's own, from before it had a prefix.
        let is_legacy = ["job-name", "controller-uid"].contains(&name.as_str());
        if is_legacy || prefix.is_some_and(is_reserved) {
            return Err(Wrong(
                "labels of Kubernetes, of Kueue and of the adapter are not for callers to set",
            ));
        }
    }
    Ok(all)
}

/// What selects the adapter's own objects, and what others act upon.
fn is_reserved(prefix: &str) -> bool {
    let ours = ["postgres-adapter", "postgres-adapter.io", OBJECTS];
    let others = ["kubernetes.io", "k8s.io", "x-k8s.io"];
    let is_below = |domain: &&str| prefix == *domain || prefix.ends_with(&format!(".{domain}"));
    ours.contains(&prefix) || others.iter().any(is_below)
}

/// Begins and ends with a letter or a digit; nothing is one too.
fn is_word(text: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= NAME
        && text.chars().all(is_inside)
        && is_edge(text.chars().next())
        && is_edge(text.chars().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Labels, Wrong> {
        labels([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_label_is_what_kubernetes_takes_and_is_nobody_elses() {
        for (name, value) in [
            ("team", "shop"),
            ("team", ""),
            ("example.com/cost-centre", "A_1.2"),
            ("x", &"v".repeat(63)),
        ] {
            assert!(read(name, value).is_ok(), "{name}={value}");
        }
        for (name, value) in [
            ("", "x"),
            ("team/", "x"),
            ("/team", "x"),
            ("-team", "x"),
            ("team", "x y"),
            ("team", "-x"),
            ("team", "\u{fc}"),
            ("Example.com/team", "x"),
            ("team", &"v".repeat(64)),
            ("app.kubernetes.io/component", "backup"),
            ("job-name", "x"),
            ("kueue.x-k8s.io/queue-name", "q"),
            ("postgres-adapter.io/place", "x"),
            ("dbtether.io/backup", "x"),
            ("batch.kubernetes.io/job-name", "x"),
        ] {
            assert!(read(name, value).is_err(), "{name}={value}");
        }
    }
}
