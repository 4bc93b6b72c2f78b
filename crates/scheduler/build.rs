//! Compiles proto/: the servers, clients for tests, the demo and people, and the descriptors that
//! reflection serves. protox stands in for protoc, so that `cargo build` needs nothing but
//! cargo.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for name in ["backup", "operations"] {
        let proto = format!("../../proto/{name}.proto");
        println!("cargo:rerun-if-changed={proto}");
        let descriptors = protox::compile([proto], ["../../proto"])?;
        let path = out_dir()?.join(format!("{name}_descriptor.bin"));
        std::fs::write(path, descriptors.encode_to_vec())?;
        tonic_prost_build::configure().compile_fds(descriptors)?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is how cargo speaks to a build script"
)]
fn out_dir() -> Result<PathBuf, &'static str> {
    std::env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .ok_or("cargo sets OUT_DIR")
}
