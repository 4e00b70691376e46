//! Puts components into the binary, compressed, so that an installed one has them: the standard ones, and those that
//! `linkspan bench` measures.
//!
//! They are those in `components/dist`, where `cargo xtask components` has made them; one that is missing is left out, and
//! what needs it says so.

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

/// The names of standard components: each is there as `NAME` and as `NAME-in-place`.
const STANDARD: [&str; 18] = [
    "basic-auth",
    "body-limit",
    "compress",
    "cors",
    "csrf",
    "forward-auth",
    "headers",
    "ip",
    "jwt",
    "jwt-remote",
    "key-auth",
    "maintenance",
    "rate-limit",
    "redirect",
    "request-id",
    "respond",
    "rewrite",
    "security-headers",
];

fn main() {
    let folder =
        Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("components/dist");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    let out = Path::new(&out);
    let mut missing = false;
    // The compressed component, as an expression.
    let mut carry = |name: &str| {
        let Ok(bytes) = fs::read(folder.join(name).with_extension("wasm")) else {
            missing = true;
            return None;
        };
        println!("cargo:rerun-if-changed=components/dist/{name}.wasm");
        let file = out.join(name);
        let mut compressed = ZlibEncoder::new(Vec::new(), Compression::best());
        compressed.write_all(&bytes).expect("memory");
        fs::write(&file, compressed.finish().expect("memory")).expect("cargo's own folder");
        Some(format!("include_bytes!({file:?})"))
    };
    let (mut guests, mut standard) = (String::from("&[\n"), String::from("&[\n"));
    for name in GUESTS {
        if let Some(bytes) = carry(name) {
            writeln!(guests, "    ({name:?}, {bytes}),").expect("a string");
        }
    }
    for name in STANDARD {
        if let (Some(portable), Some(in_place)) = (carry(name), carry(&format!("{name}-in-place"))) {
            writeln!(standard, "    ({name:?}, {portable}, {in_place}),").expect("a string");
        }
    }
    for (name, table) in [("guests.rs", guests), ("standard.rs", standard)] {
        fs::write(out.join(name), table + "]").expect("cargo's own folder");
    }
    if missing {
        // A folder that comes to be is noticed in the one around it.
        let watched = if folder.is_dir() { "components/dist" } else { "components" };
        println!("cargo:rerun-if-changed={watched}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
