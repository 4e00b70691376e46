//! Lets the linker leave out the coverage counters of functions that a target can't reach. libFuzzer looks through all
//! counters after each execution: with those of all of linkspan, that takes longer than most targets.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,-z,start-stop-gc");
}
