//! A restore that is told not to care for owners.

use super::databases::owned;
use super::server;
use super::subject::{Revision, Subject};
use crate::workers::var;

/// Row F11: as before, everything belongs to the role that restores.
#[test]
fn without_owners_everything_belongs_to_the_role_that_restores() {
    let subject = Subject::new(server::of(15), owned());
    subject.create(&[Some(subject.sample.contents())]);
    subject.back_up().expect_code(0);
    assert!(subject.owners().contains("app"), "others own something");
    let none = var("RESTORE_OWNERS", "none");
    subject.restore(Revision::Latest, &none).expect_code(0);
    // Schemas stay where they are, in whose hands they are.
    assert_eq!(subject.owner_of("app.t"), "postgres", "in place");
    subject.drop();
    subject.restore(Revision::Latest, &none).expect_code(0);
    assert_eq!(subject.owners(), "postgres", "into nothing");
    subject.drop();
}
