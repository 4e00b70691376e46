//! What wit-bindgen makes of `wit/wasi-0.2`.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]
#![allow(clippy::undocumented_unsafe_blocks, reason = "generated code")]

wit_bindgen::generate!({
    path: "../../wit/wasi-0.2",
    world: "linkspan:wasi2/guest",
    generate_all,
});
