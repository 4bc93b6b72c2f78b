//! The object that claims something in a server: a database, a role.

use std::fmt;

/// The object that something in a server belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a namesake that comes later is another object.
    pub uid: String,
    /// The Kubernetes cluster's identity, the uid of its namespace kube-system: two clusters may share a server.
    pub cluster: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)?;
        let uid = self.uid.get(..8).unwrap_or(&self.uid);
        write!(formatter, " ({uid}… of cluster {})", self.cluster)
    }
}
