//! Names in objects that users of dbtether know: finalizers and annotations.

/// Holds a Database until PostgreSQL has been looked at.
pub(super) const DATABASE_FINALIZER: &str = "dbtether.io/finalizer";
/// Takes a database over that is another object's or another cluster's.
pub(super) const FORCE_ADOPT: &str = "dbtether.io/force-adopt";
/// Lets an object go though PostgreSQL could not be looked at.
pub(super) const FORCE_RELEASE: &str = "dbtether.io/force-release";

/// Whether an annotation says so: nothing but `true` does.
pub(super) fn says<K: kube::ResourceExt>(object: &K, annotation: &str) -> bool {
    object
        .annotations()
        .get(annotation)
        .is_some_and(|it| it == "true")
}
