//! Compiles proto/metrics.proto into a client. protox stands in for protoc, so that
//! `cargo build` needs nothing but cargo.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["../../proto/metrics.proto"];
    println!("cargo:rerun-if-changed={}", protos[0]);
    let descriptors = protox::compile(protos, ["../../proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(descriptors)?;
    Ok(())
}
