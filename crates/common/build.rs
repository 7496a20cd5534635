//! Compiles `proto/` without a system `protoc`.

use prost::Message;
use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 5] = [
    "mosaic/agent/v1/agent.proto",
    "mosaic/agent/v1/agent_service.proto",
    "mosaic/federation/v1/command_service.proto",
    "mosaic/federation/v1/envelope.proto",
    "mosaic/federation/v1/operator_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        // Ordered, so that the same request is always encoded to the same bytes: a retry must be.
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
