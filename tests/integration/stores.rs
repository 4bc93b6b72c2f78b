//! Each store against a real server: what every store promises, and a whole backup and back.

mod faults;
mod whole;

use backuper::storage;

use super::cluster::kept_by_with;
use super::s3_faults::store;
use super::testbed::clouds::{Azure, Google};
use super::testbed::{Env, block_on};

#[path = "../../crates/backuper/src/storage/conformance/promises.rs"]
mod promises;

use promises::Tried;

pub(crate) fn google() -> &'static Google {
    Google::shared(|| kept_by_with("go-program.sh", &["fake-gcs-server"]))
}

pub(crate) fn azure() -> &'static Azure {
    Azure::shared(|| kept_by_with("npm-program.sh", &["azurite"]))
}

fn tried(name: &'static str, env: &Env) -> Tried {
    Tried {
        name,
        store: store(env, &[]),
        folder: None,
        _held: Box::new(()),
    }
}

macro_rules! on_google {
    ($($promise:ident,)*) => {
        mod on_google {
            use super::*;

            $(
                #[test]
                fn $promise() {
                    for (name, prefix) in [("gcs", ""), ("gcs with a prefix", "a/b")] {
                        let tried = tried(name, &google().env(prefix));
                        block_on(promises::$promise(&tried));
                    }
                }
            )*
        }
    };
}
promises::all_promises!(on_google);

macro_rules! on_azure {
    ($($promise:ident,)*) => {
        mod on_azure {
            use super::*;

            $(
                #[test]
                fn $promise() {
                    for (name, prefix) in [("azure", ""), ("azure with a prefix", "a/b")] {
                        let tried = tried(name, &azure().env(prefix));
                        block_on(promises::$promise(&tried));
                    }
                }
            )*
        }
    };
}
promises::all_promises!(on_azure);
