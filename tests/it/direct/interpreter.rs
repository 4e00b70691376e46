//! Guests that do what a field of the request says: each request is a program.
//!
//! A program has steps of four characters: what is called, and three arguments, each by its place among [`ARGUMENTS`]. What
//! came of each call is counted with the stage's limiter, which is the one thing that outlives a trap and that a
//! test can read ([`counted`]).

use super::guests::REALLOC;
use super::outgoing::outgoing;
use super::outward::{self, ASYNC, ASYNC_SIDE, Function, OPTIONS, SYNC, SYNC_SIDE};
use super::passing;
use super::steps::{Lifted, Op, X, Y, Z, answered, came, done, kept, op, pair, refused};
use linkspan::stores::{Limiter, Quota};

/// What the interpreter passes: the request, what it kept last and before that, good places and lengths, and bad ones;
/// what it kept before all. From 1984 on is a result that it prepares; at 1299 is `/abc`, at 1100 `content-length`.
pub const ARGUMENTS: [&str; 27] = [
    "(local.get $q)",
    "(i32.const 0)",
    "(i32.const 0)",
    "(i32.const 256)",
    "(i32.const 1)",
    "(i32.const 128)",
    "(i32.const 16)",
    "(i32.const 1024)",
    "(i32.const 2)",
    "(i32.const 4)",
    "(i32.const 8)",
    "(i32.const 3)",
    "(i32.const 20)",
    "(i32.const 418)",
    "(i32.const 264)",
    "(i32.const 130)",
    "(i32.const 65528)",
    "(i32.const 65536)",
    "(i32.const -1)",
    "(i32.const 0x10000000)",
    "(i32.const 1536)",
    "(i32.const 1704)",
    "(i32.const 0)",
    "(i32.const 1984)",
    "(i32.const 1299)",
    "(i32.const 1100)",
    "(i32.const 14)",
];

/// Ends that a program can come to by itself, as [`OPS`] has them.
pub const ENDS: &str = "tuvLUMNOPS";

fn simple(lifted: Lifted) -> Vec<Op> {
    let (x, y, z) = (X, Y, Z);
    vec![
        op("handle", answered(lifted, if lifted == Lifted::Sync { "handle" } else { "next" })),
        op("drop request", format!("(call $drop-request {x})")),
        op("drop response", format!("(call $drop-response {x})")),
        op("drop fields", format!("(call $drop-fields {x})")),
        op(
            "edit-request",
            format!(
                "(call $an-edit (i32.and {z} (i32.const 3))) (call $edit {x} (i32.const 512) (i32.const 1) {y})"
            ),
        ),
        op("request-values", format!("(call $values {x} {y} {z} (i32.const 128))")),
        op("request.get-headers", kept(&format!("(call $fields-of {x})"))),
        op("response.get-status-code", kept(&format!("(call $status {x})"))),
        op("fields.get", format!("(call $get {x} {y} {z} (i32.const 128))")),
        op("fields.has", kept(&format!("(call $has {x} {y} {z})"))),
        op("request.get-method", format!("(call $method {x} {y})")),
        op("request.get-path-with-query", format!("(call $path {x} {y})")),
        op("request.get-authority", format!("(call $authority {x} {y})")),
        done("response.set-status-code", &format!("(call $set-status {x} {y})")),
        op("fields.copy-all", format!("(call $all {x} {y})")),
        op("config.get", format!("(call $key {x} {y} {z})")),
        op("config.get-all", format!("(call $keys {x})")),
        op("log", format!("(call $log {x} {y} {z} (i32.const 1024) (i32.const 20))")),
        refused(
            "rate-limiter.take",
            &format!("(call $take {x} {y} {z} (i64.const 1000000000000) (i32.const 128))"),
            128,
            136,
        ),
        op("", "(return (call $tell (i32.const 4)))".to_owned()),
        op("", format!("(return {x})")),
        op("", format!("(return (call $tell-text {x}))")),
    ]
}

fn made() -> Vec<Op> {
    let (x, y, z) = (X, Y, Z);
    vec![
        op("fields.new", kept("(call $fields-new)")),
        refused(
            "fields.append",
            &format!("(call $append {x} (i32.const 1024) (i32.const 8) {y} {z} (i32.const 1640))"),
            1640,
            1644,
        ),
        refused("fields.delete", &format!("(call $delete {x} {y} {z} (i32.const 1640))"), 1640, 1644),
        op("fields.clone", kept(&format!("(call $clone {x})"))),
        pair("request.consume-body", &format!("(call $open-request {x} {y} (i32.const 1600))")),
        pair(
            "request.new",
            &format!(
                "(call $request-new {x} (i32.const 1) {y} {z} (i32.const 0) (i32.const 0) (i32.const 1600))"
            ),
        ),
        pair(
            "response.new",
            &format!("(call $response-new {x} (i32.and {y} (i32.const 1)) {y} {z} (i32.const 1600))"),
        ),
        op("waitable-set.new", kept("(call $set-new)")),
        op(
            "waitable-set.poll",
            format!(
                "(local.set $s (call $set-poll {x} (i32.const 1600)))
                (local.set $o (select (i32.add (local.get $s) (i32.const 48)) (i32.const 110) (local.get $s)))
                (i32.store (i32.const 140) (i32.add (i32.mul (i32.load (i32.const 140)) (i32.const 31))
                  (i32.add (local.get $s) (i32.load (i32.const 1604)))))"
            ),
        ),
        op("waitable-set.drop", format!("(call $set-drop {x})")),
        op("waitable.join", format!("(call $join {x} {y})")),
        came("stream.write", &format!("(call $stream-write {x} {y} {z})")),
        came("stream.read", &format!("(call $stream-read {x} {y} {z})")),
    ]
}

/// The functions of one kind of ends, which are kept when they are made: the reading one last.
macro_rules! of_ends {
    ($kind:literal, $name:literal) => {
        vec![
            op(
                concat!($name, ".new"),
                format!(
                    "(local.set $v (call ${})) {} {}",
                    $kind,
                    kept("(call $w (local.get $v))"),
                    kept("(call $r (local.get $v))")
                ),
            ),
            came(concat!($name, ".cancel-write"), &format!("(call ${}-cancel-write {X})", $kind)),
            came(concat!($name, ".cancel-read"), &format!("(call ${}-cancel-read {X})", $kind)),
            op(concat!($name, ".drop-writable"), format!("(call ${}-drop-writable {X})", $kind)),
            op(concat!($name, ".drop-readable"), format!("(call ${}-drop-readable {X})", $kind)),
        ]
    };
}

fn ends() -> Vec<Op> {
    let mut ops = of_ends!("stream", "stream");
    ops.extend(of_ends!("behind", "trailers"));
    ops.push(came("trailers.write", &format!("(call $behind-write {X} {Y})")));
    ops.push(came("trailers.read", &format!("(call $behind-read {X} {Y})")));
    ops.extend(of_ends!("received", "receipt"));
    ops.push(came("receipt.write", &format!("(call $received-write {X} {Y})")));
    ops.push(came("receipt.read", &format!("(call $received-read {X} {Y})")));
    ops.push(op(
        "",
        format!(
            "(i32.store8 (i32.const 256) (i32.const 0)) (i32.store (i32.const 264) {X}) (return (i32.const 256))"
        ),
    ));
    ops
}

/// What ends a call of a function or of its callback, which goes on later.
fn code(name: &'static str, code: &str) -> Op {
    op(name, format!("(call $set-context (local.get $p)) (return {code})"))
}

/// What only a guest does that is lifted asynchronously; any other one traps.
fn of_tasks(lifted: Lifted) -> Vec<Op> {
    let ops = [
        op("callback EXIT", "(return (i32.const 0))".to_owned()),
        code("callback YIELD", "(i32.const 1)"),
        code("callback WAIT", &format!("(call $wait {X})")),
        code("callback code", X),
        op("task.cancel", "(call $task-cancel)".to_owned()),
        op(
            "",
            format!(
                "(call $return-body) {} {} {}",
                kept("(i32.load (i32.const 1912))"),
                kept("(i32.load (i32.const 1908))"),
                kept("(i32.load (i32.const 1904))")
            ),
        ),
        code("callback WAIT", "(call $wait-for-body)"),
    ];
    ops.into_iter().map(|op| there(lifted != Lifted::Sync, op)).collect()
}

fn there(is_there: bool, op: Op) -> Op {
    if is_there { op } else { Op { name: "", call: "unreachable".to_owned() } }
}

/// What only a guest does that does not wait for what it calls.
fn of_subtasks(lifted: Lifted) -> Vec<Op> {
    let cancels = |name, call: &str| {
        let came = "(select (i32.const 98) (select (i32.const 114) (i32.const 101) (i32.eq (local.get $s) (i32.const 2)))
          (i32.eq (local.get $s) (i32.const -1)))";
        op(
            name,
            format!("(local.set $s (call ${call} {X})) (local.set $o {came}) {}", kept("(local.get $s)")),
        )
    };
    let waits = code("callback WAIT", "(call $wait-for-body)").call;
    let ops = [
        // It goes on at once if the next stage has returned.
        op(
            "callback WAIT",
            format!("(if (i32.ne (i32.load (i32.const 1932)) (i32.const 2)) (then {waits}))"),
        ),
        op("subtask.drop", format!("(call $subtask-drop {X})")),
        cancels("subtask.cancel", "cancel"),
        cancels("subtask.cancel async", "cancel-async"),
    ];
    ops.into_iter().map(|op| there(lifted != Lifted::Sync, op)).collect()
}

fn further() -> Vec<Op> {
    let (x, y, z) = (X, Y, Z);
    // None, something, or no case.
    let maybe = format!("(i32.add (i32.ne {z} (i32.const 0)) (i32.shr_u {z} (i32.const 20)))");
    // The arguments' characters are the number's digits; the last one says how far it is shifted, and its sign.
    let digit = |at: &str| format!("(i32.shr_u (i32.sub (local.get ${at}) (i32.const 1792)) (i32.const 2))");
    let number = format!(
        "(local.set $s (i32.shl (i32.add (i32.mul {} (i32.const 94)) {}) (i32.and {} (i32.const 31))))",
        digit("x"),
        digit("y"),
        digit("z")
    );
    let signed = format!(
        "(if (i32.gt_u {} (i32.const 47)) (then (local.set $s (i32.sub (i32.const 0) (local.get $s)))))",
        digit("z")
    );
    let entry = "(i32.store (i32.const 1628) (i32.const 1037)) (i32.store (i32.const 1632) (i32.const 7))";
    vec![
        op("", format!("{number} {signed} {}", kept("(local.get $s)"))),
        op("", format!("(call $error-at (i32.const 256) {x} {y} {z}) (return (i32.const 256))")),
        op("", format!("(call $error-at (i32.const 1984) {x} {y} {z})")),
        op(
            "",
            format!(
                "(i32.store8 (i32.const 1984) (i32.const 0)) (i32.store8 (i32.const 1992) (i32.const 1))
                (i32.store (i32.const 1996) {x})"
            ),
        ),
        pair("response.consume-body", &format!("(call $open-response {x} {y} (i32.const 1600))")),
        op(
            "request.get-options",
            format!("(call $options-of {x} (i32.const 1640)) {}", kept("(i32.load (i32.const 1644))")),
        ),
        done("request.set-method", &format!("(call $set-method {x} {y} (i32.const 1300) {z})")),
        done("request.set-path-with-query", &format!("(call $set-path {x} {maybe} {y} {z})")),
        done(
            "request.set-scheme",
            &format!("(call $set-scheme {x} {maybe} {y} (i32.const 1300) (i32.const 3))"),
        ),
        done("request.set-authority", &format!("(call $set-authority {x} {maybe} {y} {z})")),
        op("drop request-options", format!("(call $drop-options {x})")),
        op(
            "fields.from-list",
            format!(
                "(i32.store (i32.const 1620) {y}) (i32.store (i32.const 1624) {z}) {entry}
                (call $from-list (i32.const 1620) {x} (i32.const 1640))
                (local.set $o (call $refused (i32.const 1640) (i32.const 1644))) {}",
                kept("(i32.load (i32.const 1644))")
            ),
        ),
        refused(
            "fields.set",
            &format!("{entry} (call $set {x} {y} {z} (i32.const 1628) (i32.const 1) (i32.const 1640))"),
            1640,
            1644,
        ),
        refused(
            "fields.get-and-delete",
            &format!("(call $take-out {x} {y} {z} (i32.const 1640))"),
            1640,
            1644,
        ),
    ]
}

fn of_the_host() -> Vec<Op> {
    let (x, y, z) = (X, Y, Z);
    vec![
        op("response.get-headers", kept(&format!("(call $response-fields {x})"))),
        op(
            "edit-response",
            format!(
                "(call $an-edit (i32.and {z} (i32.const 3))) (call $edit-response {x} (i32.const 512) (i32.const 1) {y})"
            ),
        ),
        op("response-values", format!("(call $response-values {x} {y} {z} (i32.const 128))")),
        op("request.get-scheme", format!("(call $scheme {x} {y})")),
        op("random.get-random-u64", "(drop (call $random))".to_owned()),
        op("monotonic-clock.now", "(drop (call $mark))".to_owned()),
        op("monotonic-clock.get-resolution", kept("(i32.wrap_i64 (call $step))")),
        op("system-clock.now", "(call $now (i32.const 2248))".to_owned()),
        op("system-clock.get-resolution", kept("(i32.wrap_i64 (call $resolution))")),
        op("", "(drop (memory.grow (i32.const 1)))".to_owned()),
    ]
}

/// All that an interpreter can do.
fn ops(lifted: Lifted) -> Vec<Op> {
    let groups =
        [simple(lifted), made(), ends(), of_tasks(lifted), further(), of_the_host(), of_subtasks(lifted)];
    groups.into_iter().chain([outgoing(lifted)]).flatten().collect()
}

/// How many things there are to be done.
pub const OPS: usize = FIRST + 30;

/// How many of them a step calls by one letter.
const FIRST: usize = 90;

/// How the one with this number is counted.
fn letter(number: usize) -> char {
    let byte = match number {
        0..26 => number + 97,
        26..75 => number + 22,
        75..FIRST => number - 42,
        _ => number - FIRST + 1,
    };
    char::from(u8::try_from(byte).unwrap())
}

/// How a step calls the one with this number: by its letter, or by two, which leaves room for two arguments.
pub fn step(number: usize) -> String {
    let letter = letter(number);
    match number {
        0..FIRST => letter.to_string(),
        _ => format!("{{{}", char::from(letter as u8 + 32)),
    }
}

/// What is counted: the functions, by the letters of their steps.
pub fn functions() -> Vec<(char, &'static str)> {
    let ops = ops(Lifted::Passing).into_iter().enumerate().map(|(number, op)| (letter(number), op.name));
    let mut functions: Vec<_> = ops.filter(|(_, name)| !name.is_empty()).collect();
    functions.extend([
        ('{', "task.return"),
        ('|', "context.get"),
        ('}', "context.set"),
        ('~', "callback event"),
    ]);
    functions
}

/// How often something came of a call, as a stage has counted it.
pub fn counted(limiter: &Limiter, letter: char, outcome: char) -> u64 {
    let quota = Quota { burst: 1_000_000, interval: 10_000_000_000_000 };
    let taken = limiter.take(&format!("{letter}{outcome}"), quota).unwrap();
    u64::from(quota.burst - 1 - taken.remaining)
}

/// Reads the program to `$p`, and prepares the arguments.
fn begins(field: char) -> String {
    let words = ARGUMENTS.iter().enumerate();
    let words = words.map(|(at, word)| format!("(i32.store (i32.const {}) {word})", 2048 + 4 * at));
    format!(
        "(i32.store (i32.const 2168) (i32.const 0))
        (i32.store (i32.const 140) (i32.add (i32.load (i32.const 140)) (i32.load (i32.const 2164))))
        (i32.store8 (i32.const 1200) (i32.const {}))
        (call $values (local.get $q) (i32.const 1200) (i32.const 1) (i32.const 1208))
        {}
        (local.set $p (i32.load (i32.load (i32.const 1208))))",
        u32::from(field),
        words.collect::<String>(),
    )
}

/// Does what the program at `$p` says, which is behind each step when that is done; goes on as `next` says.
fn steps(ops: &[Op], next: &str) -> String {
    let steps: String = ops
        .iter()
        .enumerate()
        .map(|(number, op)| {
            let call = &op.call;
            format!("(if (i32.eq (local.get $op) (i32.const {number})) (then {call}))\n")
        })
        .collect();
    let argument = |at: u32| {
        format!(
            "(i32.add (i32.const 2048) (i32.mul (i32.const 4) (i32.sub (i32.load8_u offset={at} (local.get $p)) (i32.const 97))))"
        )
    };
    format!(
        "(loop
          (local.set $letter (i32.load8_u (local.get $p)))
          (local.set $op (i32.add (local.get $letter)
            (select (i32.const -97) (select (i32.const -22) (i32.const 42) (i32.ge_u (local.get $letter) (i32.const 48)))
              (i32.ge_u (local.get $letter) (i32.const 97)))))
          (local.set $x {}) (local.set $y {}) (local.set $z {})
          (if (i32.eq (local.get $letter) (i32.const 123)) (then
            (local.set $letter (i32.sub (i32.load8_u offset=1 (local.get $p)) (i32.const 32)))
            (local.set $op (i32.add (local.get $letter) (i32.const {})))
            (local.set $x (local.get $y)) (local.set $y (local.get $z)) (local.set $z (i32.const 2056))))
          (local.set $p (i32.add (local.get $p) (i32.const 4)))
          (local.set $o (i32.const 114))
          (call $note (local.get $letter) (i32.const 33))
          {steps}
          (call $note (local.get $letter) (local.get $o))
          {next})",
        argument(1),
        argument(2),
        argument(3),
        FIRST - 1,
    )
}

/// The guest with an allocator that calls out if it is told so, which it must not.
fn calling_out(guest: &str) -> String {
    let local = "(local $at i32)";
    let calls =
        format!("{local} (if (i32.load (i32.const 2168)) (then (call_indirect (type $out) (i32.const 0))))");
    guest.replace(REALLOC, &REALLOC.replace(local, &calls))
}

const LOCALS: &str = "(local $op i32) (local $letter i32) (local $s i32) (local $o i32) (local $z i32)";

/// A middleware that does what this field says.
pub fn interpreter(field: char) -> String {
    let ops = ops(Lifted::Sync);
    assert_eq!(ops.len(), OPS);
    let handle = format!(
        "(local $p i32) (local $end i32) (local $y i32) {LOCALS}
        {}
        (local.set $end (i32.add (local.get $p) (i32.load offset=4 (i32.load (i32.const 1208)))))
        {}
        (i32.const 256)",
        begins(field),
        steps(&ops, "(br_if 0 (i32.lt_u (local.get $p) (local.get $end)))"),
    );
    let functions: Vec<_> = [SYNC, OPTIONS, &[SYNC_SIDE]].concat();
    // How often it ran is told by the next ones.
    let post = "(i32.store (i32.const 2164) (i32.add (i32.load (i32.const 2164)) (i32.const 1)))";
    calling_out(&outward::synchronous(&handle, post, &functions))
}

/// A service that does what this field says.
pub fn interpreting_service(field: char) -> String {
    let subtasks = passing::FUNCTIONS.iter().filter(|(name, ..)| *name != "next").copied();
    let none =
        "(func $handle (param i32 i32) unreachable) (func $next (param i32 i32) (result i32) unreachable)
        (func $sub (result i32) (i32.load (i32.const 1936)))";
    asynchronous(Lifted::Service, field, subtasks.collect(), none)
}

/// A middleware that does what this field says, and does not wait for the next stage.
pub fn passing_interpreter(field: char) -> String {
    asynchronous(Lifted::Passing, field, passing::FUNCTIONS.to_vec(), passing::HELPERS)
}

/// Notes what a call said: that at 1932, the subtask at 1936; if there is one, it is in the set at 1912.
const BEGUN: &str = "(func $begun (param $status i32)
    (i32.store (i32.const 1932) (local.get $status))
    (i32.store (i32.const 1936) (i32.shr_u (local.get $status) (i32.const 4)))
    (i32.store (i32.const 1912) (call $set-new))
    (if (call $sub) (then (call $join (call $sub) (i32.load (i32.const 1912))))))";

/// A guest whose callback goes on with its program, where it waits and yields.
fn asynchronous(lifted: Lifted, field: char, functions: Vec<Function>, helpers: &str) -> String {
    let mut ops = ops(lifted);
    for op in &mut ops {
        if !op.name.starts_with("callback") {
            let returns = "(call $note (i32.const 123) (i32.const 33)) (call $return ";
            op.call = op.call.replace("(return ", returns);
            if op.call.contains("$return") {
                op.call.push_str("(call $note (i32.const 123) (i32.const 114))");
            }
        }
    }
    let handle = format!("(local $p i32) {} (call $set-context (local.get $p)) (call $go-on)", begins(field));
    let returned = kept("(i32.load (i32.const 264))");
    let callback = format!(
        "(call $note (i32.const 126) (i32.add (local.get $kind) (i32.const 48)))
        (i32.store (i32.const 140) (i32.add (i32.mul (i32.load (i32.const 140)) (i32.const 31))
          (i32.add (i32.mul (local.get $kind) (i32.const 7)) (local.get $code))))
        (if (i32.eq (local.get $kind) (i32.const 1)) (then
          (if (i32.eq (local.get $code) (i32.const 2)) (then {returned}))
          (if (i32.ne (local.get $code) (i32.const 1)) (then (call $subtask-drop (local.get $end)) (local.set $end (i32.const 0))))))
        (if (i32.and (i32.ne (local.get $end) (i32.const 0)) (i32.ne (local.get $end) (i32.load (i32.const 2052))))
          (then {}))
        (call $go-on))
        (func $go-on (result i32) (local $p i32) (local $x i32) (local $y i32) (local $v i64) {LOCALS}
          (local.set $p (call $context))
          (call $note (i32.const 124) (i32.const 114)) (call $note (i32.const 125) (i32.const 114))
          {}
          unreachable",
        kept("(local.get $end)"),
        steps(&ops, "(br 0)")
    );
    let functions = [functions, ASYNC.to_vec(), OPTIONS.to_vec(), vec![ASYNC_SIDE]].concat();
    calling_out(&outward::asynchronous(&handle, &callback, &functions, &format!("{helpers} {BEGUN}")))
}
