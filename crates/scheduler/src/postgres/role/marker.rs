//! Whose a role is, as its comment says: any role that may create roles can write it, and everybody read it.

use crate::postgres::owner::Owner;

/// How the first line of a marked comment begins, as upstream's markers of databases do.
const PREFIX: &str = "dbtether:";

impl Owner {
    /// The first line of a role's comment.
    #[must_use]
    pub fn role_marker(&self) -> String {
        let Self {
            namespace,
            name,
            uid,
            cluster,
        } = self;
        format!("{PREFIX}{namespace}/{name} uid={uid} cluster={cluster}")
    }

    /// Whose a comment says that the role is; none where it carries no marker. What a marker does not say
    /// is empty, which is nobody's.
    #[must_use]
    pub fn parse(comment: &str) -> Option<Self> {
        let line = comment.lines().next()?.strip_prefix(PREFIX)?;
        let mut words = line.split_whitespace();
        let (namespace, name) = words.next()?.split_once('/')?;
        let mut owner = Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: String::new(),
            cluster: String::new(),
        };
        for word in words {
            match word.split_once('=') {
                Some(("uid", value)) => value.clone_into(&mut owner.uid),
                Some(("cluster", value)) => value.clone_into(&mut owner.cluster),
                _ => {}
            }
        }
        Some(owner)
    }

    /// Whether both are objects of one name in one cluster, one after the other.
    #[must_use]
    pub fn is_same_object_again(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.namespace.clone(), it.name.clone(), it.cluster.clone());
        place(self) == place(other)
    }

    /// The marker, and below it what the comment says without one.
    pub(super) fn beside(&self, comment: Option<&str>) -> String {
        match without(comment) {
            None => self.role_marker(),
            Some(rest) => format!("{}\n{rest}", self.role_marker()),
        }
    }
}

/// What a comment says beside a marker.
pub(super) fn without(comment: Option<&str>) -> Option<String> {
    let comment = comment?;
    let rest = match Owner::parse(comment) {
        None => comment,
        Some(_) => comment.split_once('\n').map_or("", |(_, rest)| rest),
    };
    (!rest.is_empty()).then(|| rest.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn owner() -> Owner {
        Owner {
            namespace: "team".to_owned(),
            name: "app".to_owned(),
            uid: "0f1e2d3c-4b5a".to_owned(),
            cluster: "kube-system-uid".to_owned(),
        }
    }

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        assert_eq!(
            owner().role_marker(),
            "dbtether:team/app uid=0f1e2d3c-4b5a cluster=kube-system-uid"
        );
        assert_eq!(Owner::parse(&owner().role_marker()), Some(owner()));
        for comment in [
            "",
            "dbtether:",
            "dbtether:team",
            "the team's",
            "x dbtether:a/b",
        ] {
            assert_eq!(Owner::parse(comment), None, "{comment}");
        }
        assert_ne!(Owner::parse("dbtether:team/app"), Some(owner()));
    }

    #[test]
    fn somebodys_comment_stays_beside_the_marker() {
        let marked = owner().beside(Some("of the shop"));
        assert_eq!(Owner::parse(&marked), Some(owner()));
        assert_eq!(owner().beside(Some(&marked)), marked);
        assert_eq!(without(Some(&marked)).as_deref(), Some("of the shop"));
        assert_eq!(without(Some(&owner().role_marker())), None);
    }
}
