//! Whether the role may read everything: what every backup asks before it begins.

use super::Asking;
use crate::doctor::finding::Finding;
use crate::postgres::probe::{self, Reading};

async fn may_read(asking: Asking<'_>, reading: Reading, otherwise: &str) -> Finding {
    let answer = probe::may_read(asking.client(), asking.target, reading, None).await;
    Finding::answered(answer, otherwise)
}

pub(super) async fn tables(asking: Asking<'_>) -> Finding {
    let otherwise = "the role may read all tables and sequences";
    may_read(asking, Reading::Tables, otherwise).await
}

pub(super) async fn large_objects(asking: Asking<'_>) -> Finding {
    let otherwise = "the role may read all large objects";
    may_read(asking, Reading::LargeObjects, otherwise).await
}

pub(super) async fn row_security(asking: Asking<'_>) -> Finding {
    let otherwise = "no policy hides rows from the role";
    may_read(asking, Reading::Rows, otherwise).await
}

pub(super) async fn names(asking: Asking<'_>) -> Finding {
    let answer = probe::has_readable_names(asking.client(), asking.target).await;
    Finding::answered(answer, "all names are text")
}
