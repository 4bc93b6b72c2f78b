//! Compiles proto/backup.proto: the server, a client for tests and the demo, and the descriptors
//! that reflection serves. protox stands in for protoc, so that `cargo build` needs nothing but
//! cargo.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["../../proto/backup.proto"];
    println!("cargo:rerun-if-changed={}", protos[0]);
    let descriptors = protox::compile(protos, ["../../proto"])?;
    std::fs::write(
        out_dir()?.join("backup_descriptor.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
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
