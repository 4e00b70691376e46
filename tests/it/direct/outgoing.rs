//! Steps by which a program waits for somebody else than the next stage, or cancels without waiting.

use super::outward::{AUTHORITY, LENGTHS};
use super::steps::{Lifted, Op, X, Y, answered, begun, came, kept, op, pair, refused};

/// Up to 7 ms by the last digits of the first argument, or very long.
fn time() -> String {
    format!(
        "(select (i64.const 900000000000) (i64.mul (i64.extend_i32_u (i32.and {X} (i32.const 7))) (i64.const 1000000))
          (i32.eq {Y} (i32.const -1)))"
    )
}

fn timer(lifted: Lifted, call: &str) -> String {
    match lifted {
        Lifted::Sync => call.to_owned(),
        _ => begun(call, ""),
    }
}

/// A time of options, which is what was kept first.
fn set_time(name: &'static str, function: &str) -> Op {
    let call =
        format!("(call ${function} {X} {Y} (i64.extend_i32_u (i32.load (i32.const 2136))) (i32.const 1640))");
    refused(name, &call, 1640, 1644)
}

/// What is done by steps of two letters, `{` and the next ones from `!` on.
pub fn outgoing(lifted: Lifted) -> Vec<Op> {
    // The request goes to the authority with this number.
    let aim = format!(
        "(drop (call $set-authority {X} (i32.const 1)
          (i32.add (i32.const {AUTHORITY}) (i32.shl (i32.and {Y} (i32.const 3)) (i32.const 5)))
          (i32.load8_u (i32.add (i32.const {LENGTHS}) (i32.and {Y} (i32.const 3))))))"
    );
    let time = time();
    vec![
        op("client.send", answered(lifted, "send")),
        op("", aim),
        op("wait-for", timer(lifted, &format!("(call $wait-for {time})"))),
        op("wait-until", timer(lifted, &format!("(call $wait-until (i64.add (call $mark) {time}))"))),
        op("request-options.new", kept("(call $options-new)")),
        op("request-options.clone", kept(&format!("(call $options-clone {X})"))),
        op("request-options.get-connect-timeout", format!("(call $get-connect {X} {Y})")),
        op("request-options.get-first-byte-timeout", format!("(call $get-first {X} {Y})")),
        op("request-options.get-between-bytes-timeout", format!("(call $get-between {X} {Y})")),
        set_time("request-options.set-connect-timeout", "set-connect"),
        set_time("request-options.set-first-byte-timeout", "set-first"),
        set_time("request-options.set-between-bytes-timeout", "set-between"),
        pair(
            "request.new",
            &format!(
                "(call $request-new (call $fields-new) (i32.const 0) (i32.const 0) {X} (i32.const 1) {Y} (i32.const 1600))"
            ),
        ),
        op("handle by name", answered(lifted, "side")),
        came("stream.cancel-write async", &format!("(call $stream-cancel-write-async {X})")),
        came("stream.cancel-read async", &format!("(call $stream-cancel-read-async {X})")),
        came("trailers.cancel-write async", &format!("(call $behind-cancel-write-async {X})")),
        came("trailers.cancel-read async", &format!("(call $behind-cancel-read-async {X})")),
        came("receipt.cancel-write async", &format!("(call $received-cancel-write-async {X})")),
        came("receipt.cancel-read async", &format!("(call $received-cancel-read-async {X})")),
        op(
            "units.new",
            format!(
                "(local.set $v (call $units)) {} {}",
                kept("(call $w (local.get $v))"),
                kept("(call $r (local.get $v))")
            ),
        ),
        came("units.write", &format!("(call $units-write {X} (i32.const -1) {Y})")),
        came("units.read", &format!("(call $units-read {X} (i32.const 0) {Y})")),
        came("units.cancel-write", &format!("(call $units-cancel-write {X})")),
        came("units.cancel-read", &format!("(call $units-cancel-read {X})")),
        came("units.cancel-write async", &format!("(call $units-cancel-write-async {X})")),
        came("units.cancel-read async", &format!("(call $units-cancel-read-async {X})")),
        op("units.drop-writable", format!("(call $units-drop-writable {X})")),
        op("units.drop-readable", format!("(call $units-drop-readable {X})")),
        // From here on, its allocator calls out.
        op("", format!("(i32.store (i32.const 2168) {X})")),
    ]
}
