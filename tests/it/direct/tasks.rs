//! Services that are lifted asynchronously with a callback.

use super::ends;
use super::guests::{self, PASS, REALLOC};

/// What such a guest's module imports, what it is, and its name among the imports.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    (
        "task-return",
        "task.return (result (result (own $response) (error $code))) (memory $memory)",
        "(param i32 i32 i32 i64 i32 i32 i32 i32)",
    ),
    ("task-cancel", "task.cancel", ""),
    ("context", "context.get i32 0", "(result i32)"),
    ("set-context", "context.set i32 0", "(param i32)"),
];

/// Where there is no next stage.
const NO_NEXT: &str = "(func $handle (param i32 i32) unreachable)";

/// What can be written in `handle` and in the callback, beside what the others have.
const HELPERS: &str = r#"
    ;; Returns what is at this address, as a function that is lifted synchronously would.
    (func $return (param $at i32) (local $case i32)
      (if (i32.ne (i32.load8_u (local.get $at)) (i32.const 1)) (then
        (call $task-return (i32.load8_u (local.get $at)) (i32.load offset=8 (local.get $at)) (i32.const 0) (i64.const 0)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (return)))
      (local.set $case (i32.load8_u offset=8 (local.get $at)))
      (if (i32.eq (local.get $case) (i32.const 14)) (then
        (call $task-return (i32.const 1) (local.get $case) (i32.load8_u offset=16 (local.get $at))
          (i64.load8_u offset=17 (local.get $at)) (i32.load8_u offset=20 (local.get $at)) (i32.load offset=24 (local.get $at))
          (i32.load offset=28 (local.get $at)) (i32.const 0))
        (return)))
      (if (i32.or (i32.eq (local.get $case) (i32.const 17)) (i32.eq (local.get $case) (i32.const 28))) (then
        (call $task-return (i32.const 1) (local.get $case) (i32.load8_u offset=16 (local.get $at))
          (i64.load offset=24 (local.get $at)) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (return)))
      (if (i32.eq (local.get $case) (i32.const 22)) (then
        (call $task-return (i32.const 1) (local.get $case) (i32.load8_u offset=16 (local.get $at))
          (i64.load8_u offset=20 (local.get $at)) (i32.load offset=24 (local.get $at)) (i32.load offset=28 (local.get $at))
          (i32.load8_u offset=32 (local.get $at)) (i32.load offset=36 (local.get $at)))
        (return)))
      (call $task-return (i32.const 1) (local.get $case) (i32.load8_u offset=16 (local.get $at))
        (i64.load32_u offset=20 (local.get $at)) (i32.load offset=24 (local.get $at)) (i32.load8_u offset=28 (local.get $at))
        (select (i32.load16_u offset=30 (local.get $at)) (i32.load offset=32 (local.get $at)) (i32.eq (local.get $case) (i32.const 1)))
        (i32.const 0)))
    (func $return-number (param $number i32) (call $return (call $number (local.get $number))))
    (func $return-empty (call $return (call $empty (call $fields-new))))
    ;; To wait for this set.
    (func $wait (param $set i32) (result i32) (i32.or (i32.shl (local.get $set) (i32.const 4)) (i32.const 2)))
    ;; A body of 20 bytes is returned; its ends that are written are at 1904 and 1908, and in the set at 1912.
    (func $return-body (local $v i64) (local $u i64)
      (local.set $v (call $stream)) (local.set $u (call $behind))
      (call $return (call $answer (call $announced) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u))))
      (i32.store (i32.const 1904) (call $w (local.get $v))) (i32.store (i32.const 1908) (call $w (local.get $u)))
      (i32.store (i32.const 1912) (call $set-new))
      (call $join (i32.load (i32.const 1904)) (i32.load (i32.const 1912))))
    (func $write (param $at i32) (param $count i32) (result i32)
      (call $stream-write (i32.load (i32.const 1904)) (local.get $at) (local.get $count)))
    ;; The end of such a body, without trailers.
    (func $end-body
      (call $stream-drop-writable (i32.load (i32.const 1904)))
      (drop (call $behind-write (i32.load (i32.const 1908)) (i32.const 1536))))
    (func $wait-for-body (result i32) (call $wait (i32.load (i32.const 1912))))"#;

/// A service with these bodies of `handle` and of its callback, which has `$kind`, `$end` and `$code`. Both return codes.
pub fn service(handle: &str, callback: &str) -> String {
    lifted(handle, callback, &[], NO_NEXT)
}

/// The same of a guest that imports these as well, and has these helpers, of which one is `handle`.
pub fn lifted(handle: &str, callback: &str, more: &[(&str, &str, &str)], helpers: &str) -> String {
    let functions = || FUNCTIONS.iter().chain(more);
    let replaced = |guest: String, from: &str, to: &str| {
        assert_eq!(guest.matches(from).count(), 1, "{from}");
        guest.replace(from, to)
    };
    let canonicals: String =
        functions().map(|(name, canon, _)| format!("(core func ${name} (canon {canon}))\n")).collect();
    let exports: String =
        functions().map(|(name, ..)| format!("(export \"{name}\" (func ${name}))\n")).collect();
    let imports: String =
        functions().map(|(name, _, ty)| format!("(import \"h\" \"{name}\" (func ${name} {ty}))\n")).collect();
    let callback = format!(
        "(func (export \"callback\") (param $kind i32) (param $end i32) (param $code i32) (result i32)
          (local $x i32) (local $y i32) (local $v i64) (local $u i64)
          {callback})"
    );
    let guest = guests::make(REALLOC, &format!("(local $y i32) {handle}"), "");
    let lower =
        "(core func $handle (canon lower (func $next \"handle\") (memory $memory) (realloc $realloc)))";
    let guest = replaced(guest, lower, &canonicals);
    let import = "(import \"wasi:http/handler@0.3.0\" \"handle\" (func $handle (param i32 i32)))";
    let guest = replaced(guest, import, &imports);
    let guest = replaced(guest, "(func $pass ", &format!("{HELPERS} {helpers} {callback} (func $pass "));
    let with = "(with \"wasi:http/handler@0.3.0\" (instance (export \"handle\" (func $handle))))";
    let guest = replaced(guest, with, "");
    let guest = replaced(guest, "(with \"h\" (instance", &format!("(with \"h\" (instance {exports}"));
    let post = "(realloc $realloc) (post-return (func $main \"post\"))";
    replaced(guest, post, "async (callback (func $main \"callback\"))")
}

/// What it does, and the guest: those that are lifted synchronously and call nothing, lifted asynchronously.
pub fn relifted() -> Vec<(String, String)> {
    let sync = guests::HANDLES.iter().map(|(what, handle)| (*what, (*handle).to_owned()));
    sync.chain(ends::handles())
        .filter(|(_, handle)| !handle.contains("$pass") && *handle != PASS && !handle.contains("(return"))
        .map(|(what, handle)| {
            let y = if handle.contains("(local $y i32)") { "" } else { "(local $z i32)" };
            let handle = format!("{y} (call $return (block (result i32) {handle})) (i32.const 0)");
            (what.to_owned(), service(&handle, "unreachable"))
        })
        .collect()
}

/// What it does, and the guest.
pub fn services() -> Vec<(&'static str, String)> {
    let whole =
        |handle: &str| PARTS.iter().fold(handle.to_owned(), |text, (part, is)| text.replace(part, is));
    SERVICES.iter().map(|(what, handle, callback)| (*what, service(&whole(handle), callback))).collect()
}

/// Those whose requests wait until their deadline.
pub fn patient() -> Vec<(&'static str, String)> {
    PATIENT.iter().map(|(what, handle, callback)| (*what, service(handle, callback))).collect()
}

/// One of them.
pub fn named(name: &str) -> String {
    let all = SERVICES.iter().chain(PATIENT);
    let (_, handle, callback) = all.clone().find(|(what, ..)| *what == name).expect("it is there");
    service(handle, callback)
}

/// A read of a body that comes slowly is cancelled: `$x` is its end, which is in the set at 1912, and what it said is at 1900. What
/// is there at once is told.
const READS: &str = "$READS $WAITS";
const READS_IN_A_SET: &str = "(i32.store (i32.const 1912) (call $set-new)) $READS $WAITS";
const PARTS: [(&str, &str); 2] = [
    (
        "$READS",
        "(local.set $x (call $open (local.get $q))) (local.set $y (call $stream-read (local.get $x) (i32.const 1700) (i32.const 20)))
        (if (i32.ne (local.get $y) (i32.const -1)) (then (call $return-number (local.get $y)) (return (i32.const 0))))
        (if (i32.load (i32.const 1912)) (then (call $join (local.get $x) (i32.load (i32.const 1912)))))
        (local.set $y (call $stream-cancel-read-async (local.get $x)))",
    ),
    (
        "$WAITS",
        "(i32.store (i32.const 1900) (local.get $y))
        (if (i32.eqz (i32.load (i32.const 1912))) (then (i32.store (i32.const 1912) (call $set-new))))
        (call $join (local.get $x) (i32.load (i32.const 1912))) (call $wait (i32.load (i32.const 1912)))",
    ),
];
const TELLS: &str = "(call $return-number (i32.add (i32.load (i32.const 1900)) (i32.add (i32.mul (i32.add
    (i32.mul (local.get $kind) (i32.const 31)) (local.get $end)) (i32.const 31)) (local.get $code)))) (i32.const 0)";
const POLLS: &str =
    "(call $return-number (i32.add (call $set-poll (i32.load (i32.const 1912)) (i32.const 1944))
    (i32.load (i32.const 1948)))) (i32.const 0)";

const PATIENT: &[(&str, &str, &str)] = &[
    ("it waits for nothing", "(call $wait (call $set-new))", "unreachable"),
    ("it yields for ever", "(i32.const 1)", "(i32.const 1)"),
    ("it waits for what it never writes", "(local.set $v (call $stream)) (local.set $x (call $set-new))
      (call $join (call $r (local.get $v)) (local.get $x))
      (drop (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 20))) (call $wait (local.get $x))",
      "unreachable"),
    ("it returns a body that it never writes", "(call $return-body) (call $wait-for-body)", "unreachable"),
];

const SERVICES: &[(&str, &str, &str)] = &[
    ("it cancels a read and goes on", READS, TELLS),
    ("it cancels a read in its set and goes on", READS_IN_A_SET, TELLS),
    ("it cancels a read, and polls", "(i32.store (i32.const 1912) (call $set-new)) $READS (local.set $y (call $set-poll (i32.load (i32.const 1912)) (i32.const 1944))) (i32.const 1)",
      POLLS),
    ("it cancels a read twice", "$READS (local.set $y (call $stream-cancel-read-async (local.get $x))) $WAITS", TELLS),
    ("it cancels a read once more when that is over", "$READS (i32.store (i32.const 1924) (local.get $x)) (i32.const 1)",
      "(call $return-number (call $stream-cancel-read-async (i32.load (i32.const 1924)))) (i32.const 0)"),
    ("it cancels a read, and waits for that", "$READS (call $join (local.get $x) (i32.const 0))
      (call $return-number (call $stream-cancel-read (local.get $x))) (i32.const 0)", "unreachable"),
    ("it cancels a read, and drops its end", "$READS (call $stream-drop-readable (local.get $x)) $WAITS", TELLS),
    ("it cancels a read, and reads", "$READS (drop (call $stream-read (local.get $x) (i32.const 1700) (i32.const 7))) $WAITS", TELLS),
    ("it cancels a read, and reads when that is over", READS,
      "(if (i32.eqz (i32.load (i32.const 1928))) (then (i32.store (i32.const 1928) (i32.const 1))
        (local.set $x (call $stream-read (local.get $end) (i32.const 1700) (i32.const 20)))
        (if (i32.eq (local.get $x) (i32.const -1)) (then (return (call $wait (i32.load (i32.const 1912))))))
        (call $return-number (local.get $x)) (return (i32.const 0))))
      (call $return-number (i32.add (local.get $code) (i32.load (i32.const 1700)))) (i32.const 0)"),
    ("its tasks wake each other", "(if (i32.load (i32.const 1960)) (then
        (drop (call $units-write (i32.load (i32.const 1960)) (i32.const -1) (i32.const 3))) (i32.store (i32.const 1960) (i32.const 0))))
      (local.set $v (call $units)) (local.set $x (call $set-new)) (call $join (call $r (local.get $v)) (local.get $x))
      (local.set $y (call $units-read (call $r (local.get $v)) (i32.const 0x7fffffff) (i32.const 2)))
      (i32.store (i32.const 1900) (call $units-write (call $w (local.get $v)) (i32.const -1) (i32.const 1)))
      (i32.store (i32.const 1960) (call $w (local.get $v))) (call $wait (local.get $x))", TELLS),
    ("it passes units on as a body", "(local.set $v (call $units)) (call $response-new (call $fields-new) (i32.const 1) (call $r (local.get $v))
      (call $r (call $behind)) (i32.const 1600)) (i32.const 0)", "unreachable"),
    ("it reads units as bytes", "(drop (call $stream-read (call $r (call $units)) (i32.const 1700) (i32.const 2))) (i32.const 0)", "unreachable"),
    ("it reads bytes as units", "(drop (call $units-read (call $r (call $stream)) (i32.const 1700) (i32.const 2))) (i32.const 0)", "unreachable"),
    ("it writes too many units", "(drop (call $units-write (call $w (call $units)) (i32.const 0) (i32.const 0x10000000))) (i32.const 0)", "unreachable"),
    ("it cancels no read", "(drop (call $stream-cancel-read-async (call $r (call $stream)))) (i32.const 0)", "unreachable"),
    ("it cancels a read of what it writes", "(drop (call $stream-cancel-read-async (call $w (call $stream)))) (i32.const 0)", "unreachable"),
    ("it cancels a read of its own stream", "(local.set $v (call $stream)) (drop (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 7)))
      (call $return-number (call $stream-cancel-read-async (call $r (local.get $v)))) (i32.const 0)", "unreachable"),
    ("it cancels a read that has something", "(local.set $v (call $stream)) (drop (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 7)))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 5)))
      (call $return-number (call $stream-cancel-read-async (call $r (local.get $v)))) (i32.const 0)", "unreachable"),
    ("it cancels a write of its own stream", "(local.set $v (call $stream)) (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 7)))
      (call $return-number (call $stream-cancel-write-async (call $w (local.get $v)))) (i32.const 0)", "unreachable"),
    ("it cancels the read of trailers", "(drop (call $open (local.get $q))) (local.set $x (i32.load (i32.const 1604)))
      (local.set $y (call $behind-read (local.get $x) (i32.const 1704)))
      (if (i32.ne (local.get $y) (i32.const -1)) (then (call $return-number (local.get $y)) (return (i32.const 0))))
      (local.set $y (call $behind-cancel-read-async (local.get $x))) $WAITS", TELLS),
    ("it cancels the read of a receipt", "(local.set $v (call $stream)) (local.set $u (call $behind))
      (call $response-new (call $fields-new) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)) (i32.const 1600))
      (local.set $x (i32.load (i32.const 1604))) (local.set $y (call $received-read (local.get $x) (i32.const 1704)))
      (if (i32.ne (local.get $y) (i32.const -1)) (then (unreachable)))
      (local.set $y (call $received-cancel-read-async (local.get $x))) $WAITS", TELLS),
    ("it cancels the write of its body", "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 8)))
      (if (i32.ne (call $write (i32.const 1032) (i32.const 7)) (i32.const -1)) (then (unreachable)))
      (if (i32.ne (call $stream-cancel-write-async (i32.load (i32.const 1904))) (i32.const -1)) (then (unreachable))) (call $wait-for-body)",
      "(if (i32.ne (local.get $code) (i32.const 2)) (then (unreachable)))
      (drop (call $write (i32.const 1024) (i32.const 12))) (call $end-body) (i32.const 0)"),
    ("it returns and is over", "(call $return-empty) (i32.const 0)", "unreachable"),
    ("it is over without an answer", "(i32.const 0)", "unreachable"),
    ("it is over with upper bits", "(call $return-empty) (i32.const 0x70)", "unreachable"),
    ("it returns twice", "(call $return-empty) (call $return-empty) (i32.const 0)", "unreachable"),
    ("it returns once more in its callback", "(call $return-empty) (i32.const 1)", "(call $return-empty) (i32.const 0)"),
    ("it cancels itself", "(call $task-cancel) (i32.const 0)", "unreachable"),
    ("it cancels itself after it returned", "(call $return-empty) (call $task-cancel) (i32.const 0)", "unreachable"),
    ("a code that is none", "(call $return-empty) (i32.const 3)", "unreachable"),
    ("a code far off", "(call $return-empty) (i32.const -1)", "unreachable"),
    ("a code that is none, before it returned", "(i32.const 7)", "unreachable"),
    ("it returns no case", "(call $task-return (i32.const 2) (i32.const 1) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns the request", "(call $task-return (i32.const 0) (local.get $q) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns no error", "(call $task-return (i32.const 1) (i32.const 39) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns an error far off", "(call $task-return (i32.const 1) (i32.const 256) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns an option of no case", "(call $task-return (i32.const 1) (i32.const 38) (i32.const 2) (i64.const 16) (i32.const 1) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns a text", "(call $task-return (i32.const 1) (i32.const 38) (i32.const 1) (i64.const 1024) (i32.const 20) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns a text whose place is wide", "(call $task-return (i32.const 1) (i32.const 38) (i32.const 1) (i64.const 0x700000400) (i32.const 20)
      (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns a text that is not UTF-8", "(call $task-return (i32.const 1) (i32.const 38) (i32.const 1) (i64.const 16) (i32.const 3) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns a text out of bounds", "(call $task-return (i32.const 1) (i32.const 38) (i32.const 1) (i64.const 65530) (i32.const 20) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns no text, out of bounds", "(call $task-return (i32.const 1) (i32.const 38) (i32.const 0) (i64.const -1) (i32.const -1) (i32.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 0)", "unreachable"),
    ("it returns a DNS error", "(call $task-return (i32.const 1) (i32.const 1) (i32.const 1) (i64.const 1024) (i32.const 8) (i32.const 1)
      (i32.const 0x12345) (i32.const 9)) (i32.const 0)", "unreachable"),
    ("it returns an alert", "(call $task-return (i32.const 1) (i32.const 14) (i32.const 1) (i64.const 0x123) (i32.const 1) (i32.const 1024)
      (i32.const 8) (i32.const 9)) (i32.const 0)", "unreachable"),
    ("it returns half an alert", "(call $task-return (i32.const 1) (i32.const 14) (i32.const 0) (i64.const 0x123) (i32.const 1) (i32.const 1024)
      (i32.const 8) (i32.const 9)) (i32.const 0)", "unreachable"),
    ("it returns a size", "(call $task-return (i32.const 1) (i32.const 17) (i32.const 1) (i64.const 0x123456789abc) (i32.const 1) (i32.const 2)
      (i32.const 3) (i32.const 4)) (i32.const 0)", "unreachable"),
    ("it returns the size of a field", "(call $task-return (i32.const 1) (i32.const 24) (i32.const 1) (i64.const 1024) (i32.const 8) (i32.const 1)
      (i32.const 7) (i32.const 4)) (i32.const 0)", "unreachable"),
    ("it returns the size of a head", "(call $task-return (i32.const 1) (i32.const 22) (i32.const 1) (i64.const 1) (i32.const 1024) (i32.const 8)
      (i32.const 1) (i32.const -1)) (i32.const 0)", "unreachable"),
    ("it returns no size of a head", "(call $task-return (i32.const 1) (i32.const 22) (i32.const 0) (i64.const 9) (i32.const 1024) (i32.const 8)
      (i32.const 9) (i32.const -1)) (i32.const 0)", "unreachable"),
    ("it traps", "unreachable", "unreachable"),
    ("it traps after it returned", "(call $return-empty) unreachable", "unreachable"),
    ("it traps in its callback", "(i32.const 1)", "unreachable"),
    ("it traps in its callback after it returned", "(call $return-empty) (i32.const 1)", "unreachable"),
    ("it traps in its callback after it returned a body", "(call $return-body) (i32.const 1)", "unreachable"),
    ("it traps when its body is read", "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 20))) (call $wait-for-body)",
      "unreachable"),
    ("it yields, and returns", "(i32.const 1)", "(call $return-number (i32.add (i32.mul (i32.add (i32.mul (local.get $kind) (i32.const 31))
      (local.get $end)) (i32.const 31)) (local.get $code))) (i32.const 0)"),
    ("it yields some times", "(i32.const 1)", "(i32.store (i32.const 1900) (i32.add (i32.load (i32.const 1900)) (i32.const 1)))
      (if (i32.eqz (i32.and (i32.load (i32.const 1900)) (i32.const 7))) (then (call $return-number (i32.load (i32.const 1900))) (return (i32.const 0))))
      (i32.const 1)"),
    ("it returns, and yields some times", "(call $return-empty) (i32.const 1)",
      "(i32.store (i32.const 1900) (i32.add (i32.load (i32.const 1900)) (i32.const 1)))
      (i32.ne (i32.and (i32.load (i32.const 1900)) (i32.const 7)) (i32.const 0))"),
    ("it keeps a number", "(call $set-context (i32.add (call $context) (i32.const 7))) (i32.const 1)",
      "(call $return-number (call $context)) (i32.const 0)"),
    ("a body of twenty bytes", "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 20))) (call $wait-for-body)",
      "(call $end-body) (i32.const 0)"),
    ("a body that is ended at once", "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 20))) (i32.const 0)", "unreachable"),
    ("a body that is begun before it is returned", "(local.set $v (call $stream)) (local.set $u (call $behind))
      (i32.store (i32.const 1904) (call $w (local.get $v))) (i32.store (i32.const 1908) (call $w (local.get $u)))
      (local.set $x (call $set-new)) (call $join (call $w (local.get $v)) (local.get $x))
      (drop (call $write (i32.const 1024) (i32.const 20)))
      (call $return (call $answer (call $announced) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u))))
      (call $wait (local.get $x))", "(call $end-body) (i32.const 0)"),
    ("a body in two pieces", "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 7))) (call $wait-for-body)",
      "(if (i32.eq (local.get $code) (i32.const 0x70)) (then
        (if (i32.eq (call $write (i32.const 1031) (i32.const 13)) (i32.const -1)) (then (return (call $wait-for-body))))))
      (call $end-body) (i32.const 0)"),
    ("a body in twenty pieces", "(call $return-body) (i32.store (i32.const 1916) (i32.const 0))
      (drop (call $write (i32.const 1024) (i32.const 1))) (call $wait-for-body)",
      "(loop (i32.store (i32.const 1916) (i32.add (i32.load (i32.const 1916)) (i32.const 1)))
        (if (i32.eq (i32.load (i32.const 1916)) (i32.const 20)) (then (call $end-body) (return (i32.const 0))))
        (if (i32.eq (call $write (i32.add (i32.const 1024) (i32.load (i32.const 1916))) (i32.const 1)) (i32.const -1))
          (then (return (call $wait-for-body))))
        (br 0)) unreachable"),
    ("a body that is too long", "(call $return-body) (drop (call $write (i32.const 1020) (i32.const 24))) (call $wait-for-body)",
      "(call $end-body) (i32.const 0)"),
    // No body that is too short: in the component form, its reader may not be told.
    ("a body with trailers", "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 20))) (call $wait-for-body)",
      "(i32.store8 (i32.const 1544) (i32.const 1)) (i32.store (i32.const 1548) (call $announced)) (call $end-body) (i32.const 0)"),
    ("a body with trailers that are waited for", "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 20))) (call $wait-for-body)",
      "(if (i32.eq (local.get $kind) (i32.const 5)) (then (call $behind-drop-writable (local.get $end)) (return (i32.const 0))))
      (call $join (i32.load (i32.const 1908)) (i32.load (i32.const 1912))) (call $end-body) (call $wait-for-body)"),
    ("a body whose set is dropped", "(call $return-body) (drop (call $write (i32.const 1024) (i32.const 20)))
      (call $join (i32.load (i32.const 1904)) (i32.const 0)) (call $set-drop (i32.load (i32.const 1912))) (call $wait-for-body)", "unreachable"),
    ("it drops the set for which another task waits", "(if (i32.load (i32.const 1920)) (then
        (call $set-drop (i32.load (i32.const 1920))) (return (i32.const 0))))
      (i32.store (i32.const 1920) (call $set-new)) (call $return-empty) (call $wait (i32.load (i32.const 1920)))", "unreachable"),
    ("it waits for a forged set", "(call $wait (i32.const 99))", "unreachable"),
    ("it waits for the request", "(call $wait (local.get $q))", "unreachable"),
    ("it waits for no set", "(call $wait (i32.const 0))", "unreachable"),
    ("it waits for a set, and reads itself", "(local.set $v (call $stream)) (local.set $x (call $set-new))
      (call $join (call $w (local.get $v)) (local.get $x)) (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (drop (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 7))) (call $wait (local.get $x))",
      "(call $return-number (i32.add (i32.mul (i32.add (i32.mul (local.get $kind) (i32.const 31)) (local.get $end)) (i32.const 31))
        (local.get $code))) (i32.const 0)"),
    ("the request's body is read", "(local.set $x (call $open (local.get $q))) (i32.store (i32.const 1904) (local.get $x))
      (i32.store (i32.const 1912) (call $set-new)) (call $join (local.get $x) (i32.load (i32.const 1912))) (i32.store (i32.const 1916) (i32.const 0))
      (i32.const 1)",
      "(local.set $x (local.get $code))
      (if (i32.eqz (local.get $kind)) (then (local.set $x (call $stream-read (i32.load (i32.const 1904)) (i32.const 1700) (i32.const 7)))))
      (loop
        (if (i32.eq (local.get $x) (i32.const -1)) (then (return (call $wait-for-body))))
        (i32.store (i32.const 1916) (i32.add (i32.load (i32.const 1916)) (i32.shr_u (local.get $x) (i32.const 4))))
        (if (i32.and (local.get $x) (i32.const 1)) (then
          (call $return-number (i32.load (i32.const 1916))) (return (i32.const 0))))
        (local.set $x (call $stream-read (i32.load (i32.const 1904)) (i32.const 1700) (i32.const 7)))
        (br 0)) unreachable"),
    ("the request's trailers are read", "(local.set $x (call $open (local.get $q))) (call $stream-drop-readable (local.get $x))
      (i32.store (i32.const 1912) (call $set-new)) (call $join (i32.load (i32.const 1604)) (i32.load (i32.const 1912)))
      (drop (call $behind-read (i32.load (i32.const 1604)) (i32.const 1704))) (call $wait-for-body)",
      "(call $return-number (i32.add (i32.mul (i32.load8_u (i32.const 1704)) (i32.const 31)) (i32.load8_u (i32.const 1712)))) (i32.const 0)"),
    ("the request is dropped unread", "(call $drop-request (local.get $q)) (call $return-body)
      (drop (call $write (i32.const 1024) (i32.const 20))) (call $wait-for-body)", "(call $end-body) (i32.const 0)"),
    ("what becomes of its body is waited for", "(local.set $v (call $stream)) (local.set $u (call $behind))
      (call $response-new (call $announced) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)) (i32.const 1600))
      (i32.store (i32.const 1904) (call $w (local.get $v))) (i32.store (i32.const 1908) (call $w (local.get $u)))
      (i32.store (i32.const 1912) (call $set-new)) (call $join (i32.load (i32.const 1604)) (i32.load (i32.const 1912)))
      (drop (call $received-read (i32.load (i32.const 1604)) (i32.const 1704)))
      (i32.store8 (i32.const 256) (i32.const 0)) (i32.store (i32.const 264) (i32.load (i32.const 1600))) (call $return (i32.const 256))
      (drop (call $write (i32.const 1024) (i32.const 20))) (call $join (i32.load (i32.const 1904)) (i32.load (i32.const 1912)))
      (call $wait-for-body)",
      "(if (i32.eq (local.get $kind) (i32.const 3)) (then (call $end-body) (return (call $wait-for-body))))
      (if (i32.load8_u (i32.const 1704)) (then unreachable)) (i32.const 0)"),
    ("what its last body came to", "(local.set $x (i32.load (i32.const 1924))) (i32.store (i32.const 1924) (i32.const 1))
      (if (local.get $x) (then (call $return-number (i32.load (i32.const 1928))) (return (i32.const 0))))
      (call $return-body) (drop (call $write (i32.const 1024) (i32.const 20))) (call $wait-for-body)",
      "(i32.store (i32.const 1928) (local.get $code)) (call $end-body) (i32.const 0)"),
];
