//! Each store against a real server: what every store promises, and a whole backup and back.

mod faults;
mod whole;

use std::sync::OnceLock;

use backuper::storage;

use super::cluster::kept_by_with;
use super::s3_faults::store;
use super::testbed::clouds::{Azure, Google};
use super::testbed::versitygw::Versitygw;
use super::testbed::{Env, block_on};
use super::workers::{var, with};

#[path = "../../crates/backuper/src/storage/conformance/promises.rs"]
mod promises;

use promises::Tried;

pub(crate) fn google() -> &'static Google {
    Google::shared(|| kept_by_with("go-program.sh", &["fake-gcs-server"]))
}

pub(crate) fn azure() -> &'static Azure {
    Azure::shared(|| kept_by_with("npm-program.sh", &["azurite"]))
}

pub(crate) fn versitygw() -> &'static Versitygw {
    static SHARED: OnceLock<Versitygw> = OnceLock::new();
    SHARED.get_or_init(Versitygw::start)
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

macro_rules! on_versitygw {
    ($($promise:ident,)*) => {
        mod on_versitygw {
            use super::*;

            $(
                #[test]
                fn $promise() {
                    let server = versitygw();
                    let plain = server.env(&server.bucket());
                    let below = with(&server.env(&server.bucket()), &var("S3_PREFIX", "a/b"));
                    let kept = server.env(&server.bucket_with_lock());
                    for (name, env) in [
                        ("versitygw", plain),
                        ("versitygw with a prefix", below),
                        ("versitygw with versions", kept),
                    ] {
                        let tried = tried(name, &env);
                        block_on(promises::$promise(&tried));
                    }
                }
            )*
        }
    };
}
promises::all_promises!(on_versitygw);
