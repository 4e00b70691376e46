//! Puts the components that `linkspan bench` measures into the binary, compressed, so that an installed one can run it.
//!
//! They are those in `components/dist`, where `cargo xtask components` has made them; one that is missing is left out, and
//! the command says so.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::{env, fs};

/// The components' names. `src/measure/` knows which of them it needs for what.
const GUESTS: [&str; 15] = [
    "caller",
    "empty",
    "hello",
    "key-auth",
    "key-auth-in-place",
    "measured",
    "measured-async",
    "measured-in-place",
    "pass-through-async",
    "pass-through-sync",
    "plain-async",
    "rate-limit",
    "request-id",
    "security-headers",
    "security-headers-in-place",
];

fn main() {
    let folder =
        Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("components/dist");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    let mut table = String::from("&[\n");
    for name in GUESTS {
        let Ok(bytes) = fs::read(folder.join(name).with_extension("wasm")) else { continue };
        println!("cargo:rerun-if-changed=components/dist/{name}.wasm");
        let file = Path::new(&out).join(name);
        let mut compressed = ZlibEncoder::new(Vec::new(), Compression::best());
        compressed.write_all(&bytes).expect("memory");
        fs::write(&file, compressed.finish().expect("memory")).expect("cargo's own folder");
        writeln!(table, "    ({name:?}, include_bytes!({file:?})),").expect("a string");
    }
    table.push(']');
    fs::write(Path::new(&out).join("guests.rs"), table).expect("cargo's own folder");
    if GUESTS.iter().any(|name| !folder.join(name).with_extension("wasm").is_file()) {
        // A folder that comes to be is noticed in the one around it.
        let watched = if folder.is_dir() { "components/dist" } else { "components" };
        println!("cargo:rerun-if-changed={watched}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
