//! What guests of the tests reach beside the next stage: pipelines by name and servers, with options, timers, and a handler under a
//! name of their own.

use super::guests::{REALLOC, make};
use super::tasks::lifted;

/// A function's name, how it is lowered, and its core type.
pub type Function = (&'static str, &'static str, &'static str);

/// What is imported beside the others, by name.
const TYPES: &str = r#"
    (export "[constructor]request-options" (func (result (own $options))))
    (export "[method]request-options.clone" (func (param "self" (borrow $options)) (result (own $options))))
    (type $oe' (variant (case "not-supported") (case "immutable") (case "other" (option string))))
    (export "request-options-error" (type $oe (eq $oe')))
    TIMES
    (export "[constructor]fields""#;
const TIME: &str = r#"
    (export "[method]request-options.get-NAME-timeout" (func (param "self" (borrow $options)) (result (option u64))))
    (export "[method]request-options.set-NAME-timeout"
      (func (param "self" (borrow $options)) (param "duration" (option u64)) (result (result (error $oe)))))"#;
const TIMERS: &str = r#"(import "wasi:clocks/monotonic-clock@0.3.0" (instance $monotonic
    (export "wait-for" (func async (param "how-long" u64))) (export "wait-until" (func async (param "when" u64)))"#;
const CLIENT: &str = r#"(import "wasi:http/client@0.3.0" (instance $client
    (alias outer 1 $request (type $rq')) (export "request" (type $rq (eq $rq')))
    (alias outer 1 $response (type $rs')) (export "response" (type $rs (eq $rs')))
    (alias outer 1 $code (type $c')) (export "error-code" (type $c (eq $c')))
    (export "send" (func async (param "request" (own $rq)) (result (result (own $rs) (error $c)))))))
  (import "linkspan:gateway/headers@0.1.0""#;
const SIDE: &str = r#"(import "side" (implements "wasi:http/handler@0.3.0") (instance $side
    (alias outer 1 $request (type $rq')) (export "request" (type $rq (eq $rq')))
    (alias outer 1 $response (type $rs')) (export "response" (type $rs (eq $rs')))
    (alias outer 1 $code (type $c')) (export "error-code" (type $c (eq $c')))
    (export "handle" (func async (param "request" (own $rq)) (result (result (own $rs) (error $c)))))))
  (import "wasi:http/client@0.3.0""#;

macro_rules! options {
    ($($short:literal: $name:literal),+) => {
        &[
            ("options-new", "lower (func $types \"[constructor]request-options\")", "(result i32)"),
            (
                "options-clone",
                "lower (func $types \"[method]request-options.clone\")",
                "(param i32) (result i32)",
            ),
            $(
                (
                    concat!("get-", $short),
                    concat!("lower (func $types \"[method]request-options.get-", $name, "-timeout\") (memory $memory)"),
                    "(param i32 i32)",
                ),
                (
                    concat!("set-", $short),
                    concat!(
                        "lower (func $types \"[method]request-options.set-",
                        $name,
                        "-timeout\") (memory $memory) (realloc $realloc)"
                    ),
                    "(param i32 i32 i64 i32)",
                ),
            )+
        ]
    };
}

/// Those of options.
pub const OPTIONS: &[Function] =
    options!("connect": "connect", "first": "first-byte", "between": "between-bytes");
/// Those that a guest may have to wait for, if it is lifted synchronously.
pub const SYNC: &[Function] = &[
    ("send", "lower (func $client \"send\") (memory $memory) (realloc $realloc)", "(param i32 i32)"),
    ("wait-for", "lower (func $monotonic \"wait-for\")", "(param i64)"),
    ("wait-until", "lower (func $monotonic \"wait-until\")", "(param i64)"),
];
/// The same of one that is lifted asynchronously.
pub const ASYNC: &[Function] = &[
    (
        "send",
        "lower (func $client \"send\") async (memory $memory) (realloc $realloc)",
        "(param i32 i32) (result i32)",
    ),
    ("wait-for", "lower (func $monotonic \"wait-for\") async", "(param i64) (result i32)"),
    ("wait-until", "lower (func $monotonic \"wait-until\") async", "(param i64) (result i32)"),
];
/// The handler under a name of its own, which a guest has if it imports this.
pub const SYNC_SIDE: Function =
    ("side", "lower (func $side \"handle\") (memory $memory) (realloc $realloc)", "(param i32 i32)");
pub const ASYNC_SIDE: Function = (
    "side",
    "lower (func $side \"handle\") async (memory $memory) (realloc $realloc)",
    "(param i32 i32) (result i32)",
);

/// Where requests may go: each is at [`AUTHORITY`] and so many times 32, its length at [`LENGTHS`] and so many.
pub const AUTHORITIES: [&str; 5] =
    ["side.internal", "other.internal", "me@side.internal", "127.0.0.1:1", "side.internal:80"];
pub const AUTHORITY: usize = 3000;
pub const LENGTHS: usize = 3200;

/// A guest that has the interfaces of this file, too.
fn outward(guest: &str, functions: &[Function]) -> String {
    let data: String = (AUTHORITIES.iter().enumerate())
        .map(|(at, text)| {
            let (place, length) = (AUTHORITY + 32 * at, LENGTHS + at);
            format!(
                "(data (i32.const {place}) {text:?}) (data (i32.const {length}) \"\\{:02x}\")",
                text.len()
            )
        })
        .collect();
    let times: String =
        ["connect", "first-byte", "between-bytes"].iter().map(|name| TIME.replace("NAME", name)).collect();
    let mut guest = guest.to_owned();
    let has_side = functions.iter().any(|(name, ..)| *name == "side");
    for (from, to) in [
        ("\n    (export \"[constructor]fields\"", &*TYPES.replace("TIMES", &times)),
        ("(import \"wasi:clocks/monotonic-clock@0.3.0\" (instance $monotonic", TIMERS),
        ("(import \"linkspan:gateway/headers@0.1.0\"", CLIENT),
        ("(data (i32.const 1024)", &format!("{data} (data (i32.const 1024)")),
        (
            "(import \"wasi:http/client@0.3.0\"",
            if has_side { SIDE } else { "(import \"wasi:http/client@0.3.0\"" },
        ),
    ] {
        assert_eq!(guest.matches(from).count(), 1, "{from}");
        guest = guest.replace(from, to);
    }
    guest
}

/// A guest that is lifted synchronously, with these bodies of `handle` and of its post-return, and what it imports.
pub fn synchronous(handle: &str, post: &str, functions: &[Function]) -> String {
    let each = |write: fn(&Function) -> String| functions.iter().map(write).collect::<String>();
    let canonicals = each(|(name, canon, _)| format!("(core func ${name} (canon {canon}))"));
    let exports = each(|(name, ..)| format!("(export \"{name}\" (func ${name}))"));
    let imports = each(|(name, _, ty)| format!("(import \"h\" \"{name}\" (func ${name} {ty}))"));
    let guest = make(REALLOC, handle, post);
    let guest = guest.replacen("(core module $main", &format!("{canonicals} (core module $main"), 1);
    let guest = guest.replacen("(with \"h\" (instance", &format!("(with \"h\" (instance {exports}"), 1);
    outward(&guest.replacen("(import \"h\" ", &format!("{imports} (import \"h\" "), 1), functions)
}

/// The same of one that is lifted asynchronously, with these helpers.
pub fn asynchronous(handle: &str, callback: &str, functions: &[Function], helpers: &str) -> String {
    outward(&lifted(handle, callback, functions, helpers), functions)
}
