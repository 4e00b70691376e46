//! Middleware that is lifted asynchronously with a callback, and does not wait for the next stage.

use super::tasks::{lifted, service};

/// What such a guest's module imports beside what a service does.
pub const FUNCTIONS: &[(&str, &str, &str)] = &[
    (
        "next",
        "lower (func $next \"handle\") async (memory $memory) (realloc $realloc)",
        "(param i32 i32) (result i32)",
    ),
    ("subtask-drop", "subtask.drop", "(param i32)"),
    ("cancel", "subtask.cancel", "(param i32) (result i32)"),
    ("cancel-async", "subtask.cancel async", "(param i32) (result i32)"),
];

/// What can be written in its functions, beside what a service has.
pub const HELPERS: &str = r#"
    ;; As if it were called synchronously: what has not returned is left alone.
    (func $handle (param i32 i32) (drop (call $next (local.get 0) (local.get 1))))
    ;; Calls the next stage, whose result is to be at 256. What it said is at 1932, the subtask at 1936; if there is one, it is
    ;; in the set at 1912.
    (func $ask (param $q i32)
      (i32.store (i32.const 1932) (call $next (local.get $q) (i32.const 256)))
      (i32.store (i32.const 1936) (i32.shr_u (i32.load (i32.const 1932)) (i32.const 4)))
      (i32.store (i32.const 1912) (call $set-new))
      (if (i32.load (i32.const 1936)) (then (call $join (call $sub) (i32.load (i32.const 1912))))))
    (func $sub (result i32) (i32.load (i32.const 1936)))
    (func $alone (call $join (call $sub) (i32.const 0)))
    ;; Returns what the next stage returned, if it has, or waits for that.
    (func $or-wait (result i32)
      (if (i32.eq (i32.load (i32.const 1932)) (i32.const 2)) (then (call $return (i32.const 256)) (return (i32.const 0))))
      (call $wait (i32.load (i32.const 1912))))
    (func $give (result i32) (call $subtask-drop (call $sub)) (call $return (i32.const 256)) (i32.const 0))
    ;; Tells these numbers.
    (func $tell-three (param i32 i32 i32) (result i32)
      (call $return-number (i32.add (i32.mul (i32.add (i32.mul (local.get 0) (i32.const 1009)) (local.get 1)) (i32.const 1009))
        (local.get 2)))
      (i32.const 0))"#;

/// A middleware with these bodies of `handle` and of its callback, which has `$kind`, `$end` and `$code`. Both return codes.
pub fn middleware(handle: &str, callback: &str) -> String {
    lifted(handle, callback, FUNCTIONS, HELPERS)
}

/// What it does, and the guest.
pub fn passing() -> Vec<(&'static str, String)> {
    PASSING.iter().map(|(what, handle, callback)| (*what, middleware(handle, callback))).collect()
}

/// One of them.
pub fn named(name: &str) -> String {
    let (_, handle, callback) = PASSING.iter().find(|(what, ..)| *what == name).expect("it is there");
    middleware(handle, callback)
}

/// What is called by such a middleware, and what it does.
pub fn called() -> Vec<(&'static str, String)> {
    let services = CALLED.iter().map(|(what, handle, callback)| (*what, service(handle, callback)));
    services.collect()
}

const CALLED: &[(&str, &str, &str)] = &[
    ("returns at once", "(call $return-empty) (i32.const 0)", "unreachable"),
    ("returns, and yields", "(call $return-empty) (i32.const 1)", "(i32.const 0)"),
    (
        "yields, and returns",
        "(i32.const 1)",
        "(call $return-number (i32.add (local.get $kind) (i32.const 100))) (i32.const 0)",
    ),
    (
        "returns a text",
        "(i32.store8 (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (i32.const 1024))
      (i32.store (i32.const 280) (i32.const 20)) (call $return (call $fail (i32.const 38))) (i32.const 0)",
        "unreachable",
    ),
    (
        "yields, and returns a text",
        "(i32.const 1)",
        "(i32.store8 (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (i32.const 1024))
      (i32.store (i32.const 280) (i32.const 20)) (call $return (call $fail (i32.const 38))) (i32.const 0)",
    ),
    (
        "returns a body",
        "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 20))) (call $wait-for-body)",
        "(call $end-body) (i32.const 0)",
    ),
    (
        "ends early if it is to",
        "(call $wait (call $set-new))",
        "(if (i32.ne (local.get $kind) (i32.const 6)) (then unreachable)) (call $task-cancel) (i32.const 0)",
    ),
    (
        "returns if it is to end early",
        "(call $wait (call $set-new))",
        "(call $return-number (local.get $kind)) (i32.const 0)",
    ),
    (
        "yields once more if it is to end early",
        "(call $wait (call $set-new))",
        "(if (i32.eq (local.get $kind) (i32.const 6)) (then (return (i32.const 1)))) (call $task-cancel) (i32.const 0)",
    ),
    (
        "ends early unasked",
        "(i32.const 1)",
        "(if (i32.ne (local.get $kind) (i32.const 6)) (then (call $return-empty)) (else (call $task-cancel))) (i32.const 0)",
    ),
    (
        "ends early, and returns",
        "(call $wait (call $set-new))",
        "(call $task-cancel) (call $return-empty) (i32.const 0)",
    ),
    (
        "ends early twice",
        "(call $wait (call $set-new))",
        "(call $task-cancel) (call $task-cancel) (i32.const 0)",
    ),
    ("traps", "unreachable", "unreachable"),
    ("yields, and traps", "(i32.const 1)", "unreachable"),
    ("is over without an answer", "(i32.const 1)", "(i32.const 0)"),
    (
        "returns a wrong handle",
        "(i32.const 1)",
        "(call $task-return (i32.const 0) (i32.const 77) (i32.const 0) (i64.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0)",
    ),
    ("returns twice", "(call $return-empty) (i32.const 1)", "(call $return-empty) (i32.const 0)"),
];

const PASSING: &[(&str, &str, &str)] = &[
    ("it passes", "(call $ask (local.get $q)) (call $or-wait)", "(call $give)"),
    ("it tells the first word", "(call $ask (local.get $q)) (if (i32.eq (i32.load (i32.const 1932)) (i32.const 2)) (then
      (return (call $or-wait)))) (call $tell-three (i32.load (i32.const 1932)) (i32.const 0) (i32.const 0)) (call $wait (i32.load (i32.const 1912)))
      return", "(call $subtask-drop (call $sub)) (i32.const 0)"),
    ("it tells the event", "(call $ask (local.get $q)) (call $or-wait)",
      "(call $subtask-drop (local.get $end)) (call $tell-three (local.get $kind) (local.get $end) (local.get $code))"),
    ("it does not drop it", "(call $ask (local.get $q)) (call $or-wait)", "(call $return (i32.const 256)) (i32.const 0)"),
    ("it drops what runs", "(call $ask (local.get $q)) (call $subtask-drop (call $sub)) (call $or-wait)", "(call $give)"),
    ("it drops it twice", "(call $ask (local.get $q)) (call $or-wait)", "(call $subtask-drop (call $sub)) (call $give)"),
    ("it drops what is not told", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (call $alone) (i32.store (i32.const 1940) (i32.const 3)) (i32.const 1)",
      "(i32.store (i32.const 1940) (i32.sub (i32.load (i32.const 1940)) (i32.const 1)))
      (if (i32.load (i32.const 1940)) (then (return (i32.const 1)))) (call $subtask-drop (call $sub)) (call $give)"),
    ("it drops a forged one", "(call $subtask-drop (i32.const 77)) (i32.const 0)", "unreachable"),
    ("it drops the request as one", "(call $subtask-drop (local.get $q)) (i32.const 0)", "unreachable"),
    ("it drops a set as one", "(call $subtask-drop (call $set-new)) (i32.const 0)", "unreachable"),
    ("it drops a stream as one", "(call $subtask-drop (call $r (call $stream))) (i32.const 0)", "unreachable"),
    ("it reads it as a stream", "(call $ask (local.get $q)) (drop (call $stream-read (call $sub) (i32.const 1700) (i32.const 7)))
      (call $or-wait)", "(call $give)"),
    ("it drops it as a request", "(call $ask (local.get $q)) (call $drop-request (call $sub)) (call $or-wait)", "(call $give)"),
    ("it drops the set", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (call $set-drop (i32.load (i32.const 1912))) (call $or-wait)", "(call $give)"),
    ("it drops the set when it has waited", "(call $ask (local.get $q)) (call $or-wait)",
      "(call $set-drop (i32.load (i32.const 1912))) (call $give)"),
    ("it polls", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait)))) (i32.const 1)",
      "(if (i32.eqz (call $set-poll (i32.load (i32.const 1912)) (i32.const 1944))) (then (return (i32.const 1))))
      (call $subtask-drop (i32.load (i32.const 1944))) (call $tell-three (local.get $kind) (i32.load (i32.const 1944)) (i32.load (i32.const 1948)))"),
    ("it moves it from set to set", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (local.set $x (call $set-new)) (call $join (call $sub) (local.get $x)) (call $set-drop (i32.load (i32.const 1912)))
      (call $wait (local.get $x))", "(call $give)"),
    ("a result out of bounds", "(drop (call $next (local.get $q) (i32.const 65528))) (call $wait (call $set-new))", "unreachable"),
    ("a result that is not aligned", "(drop (call $next (local.get $q) (i32.const 260))) (call $wait (call $set-new))", "unreachable"),
    ("no request", "(call $ask (i32.const 0)) (call $or-wait)", "(call $give)"),
    ("a request twice", "(call $ask (local.get $q)) (call $ask (local.get $q)) (call $or-wait)", "(call $give)"),
    ("it reads the request it passed on", "(call $ask (local.get $q)) (call $drop-fields (call $fields-of (local.get $q))) (call $or-wait)", "(call $give)"),
    ("the handles are told", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (i32.store (i32.const 1952) (call $fields-new)) (call $wait (i32.load (i32.const 1912)))",
      "(call $subtask-drop (call $sub)) (call $tell-three (call $sub) (i32.load (i32.const 1952)) (call $fields-new))"),
    ("it answers first", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (call $return-empty) (call $wait (i32.load (i32.const 1912)))", "(call $subtask-drop (call $sub)) (i32.const 0)"),
    ("it traps while the next one works", "(call $ask (local.get $q)) unreachable", "unreachable"),
    ("it traps after the next one", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then unreachable)) (call $or-wait)", "unreachable"),
    ("it cancels", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait)))) (call $alone)
      (local.set $x (call $cancel (call $sub))) (call $subtask-drop (call $sub)) (call $tell-three (local.get $x) (i32.const 0) (i32.const 0))",
      "unreachable"),
    ("it cancels in its set", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (drop (call $cancel (call $sub))) (call $or-wait)", "(call $give)"),
    ("it cancels later", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait)))) (call $alone) (i32.const 1)",
      "(local.set $x (call $cancel (call $sub))) (call $subtask-drop (call $sub))
      (call $tell-three (local.get $x) (local.get $kind) (i32.const 0))"),
    ("it cancels what is told", "(call $ask (local.get $q)) (call $or-wait)", "(call $alone) (drop (call $cancel (call $sub))) (call $give)"),
    ("it cancels asynchronously", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (local.set $x (call $cancel-async (call $sub))) (if (i32.eq (local.get $x) (i32.const -1)) (then (return (call $wait (i32.load (i32.const 1912))))))
      (call $subtask-drop (call $sub)) (call $tell-three (local.get $x) (i32.const 0) (i32.const 1))",
      "(call $subtask-drop (call $sub)) (call $tell-three (local.get $kind) (local.get $end) (local.get $code))"),
    ("it cancels twice", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (drop (call $cancel-async (call $sub))) (local.set $x (call $cancel-async (call $sub)))
      (if (i32.eq (local.get $x) (i32.const -1)) (then (return (call $wait (i32.load (i32.const 1912))))))
      (call $subtask-drop (call $sub)) (call $tell-three (local.get $x) (i32.const 0) (i32.const 1))",
      "(call $subtask-drop (call $sub)) (call $tell-three (local.get $kind) (local.get $end) (local.get $code))"),
    ("it cancels a forged one", "(drop (call $cancel (i32.const 77))) (i32.const 0)", "unreachable"),
    ("it cancels the request", "(drop (call $cancel-async (local.get $q))) (i32.const 0)", "unreachable"),
    ("it cancels itself", "(call $ask (local.get $q)) (call $task-cancel) (i32.const 0)", "unreachable"),
    ("it goes while the next one works", "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then (return (call $or-wait))))
      (call $return-empty) (i32.const 0)", "unreachable"),
    ("it keeps what it has in mind", "(call $set-context (i32.const 7)) (call $ask (local.get $q)) (i32.store (i32.const 1952) (call $context))
      (call $set-context (i32.const 9)) (if (i32.eqz (call $sub)) (then (return (call $or-wait)))) (call $wait (i32.load (i32.const 1912)))",
      "(call $subtask-drop (call $sub)) (call $tell-three (i32.load (i32.const 1952)) (call $context) (i32.const 0))"),
];
