//! What the steps of programs are made of.

/// How a guest is lifted, and whether it calls the next stage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lifted {
    Sync,
    /// Asynchronously, a service.
    Service,
    /// Asynchronously, a middleware that does not wait for the next stage.
    Passing,
}

/// What a step calls.
pub struct Op {
    /// The function, by its name on the list; empty for what calls none.
    pub name: &'static str,
    pub call: String,
}

/// The arguments of a step.
pub const X: &str = "(i32.load (local.get $x))";
pub const Y: &str = "(i32.load (local.get $y))";
pub const Z: &str = "(i32.load (local.get $z))";

pub fn op(name: &'static str, call: String) -> Op {
    Op { name, call }
}

/// What is kept becomes an argument.
pub fn kept(call: &str) -> String {
    format!(
        "(i32.store (i32.const 2136) (i32.load (i32.const 2056)))
        (i32.store (i32.const 2056) (i32.load (i32.const 2052))) (i32.store (i32.const 2052) {call})"
    )
}

/// What a read, a write or a cancellation came to is told: it is added up at 140.
pub fn came(name: &'static str, call: &str) -> Op {
    op(
        name,
        format!(
            "(local.set $s {call}) (local.set $o (call $came (local.get $s)))
            (i32.store (i32.const 140) (i32.add (i32.mul (i32.load (i32.const 140)) (i32.const 31)) (local.get $s)))"
        ),
    )
}

/// A call whose result says with a number whether it is done.
pub fn done(name: &'static str, call: &str) -> Op {
    op(
        name,
        format!(
            "(local.set $s {call}) (local.set $o (select (i32.const 65) (i32.const 114) (local.get $s)))"
        ),
    )
}

/// A call whose result, at the first place, may be a refusal, whose reason is at the second one.
pub fn refused(name: &'static str, call: &str, at: u32, reason: u32) -> Op {
    op(name, format!("{call} (local.set $o (call $refused (i32.const {at}) (i32.const {reason})))"))
}

/// A call that gives two handles at 1600: the first one is kept last.
pub fn pair(name: &'static str, call: &str) -> Op {
    op(
        name,
        format!("{call} {} {}", kept("(i32.load (i32.const 1604))"), kept("(i32.load (i32.const 1600))")),
    )
}

/// A call of this function that gives an answer, which is kept, or the subtask that it is.
pub fn answered(lifted: Lifted, function: &str) -> String {
    match lifted {
        Lifted::Sync => format!(
            "(call ${function} {X} {Y}) (if (i32.lt_u {Y} (i32.const 65000)) (then
              (local.set $o (call $refused {Y} (i32.const 2240))) {}))",
            kept(&format!("(i32.load (i32.add {Y} (i32.const 8)))"))
        ),
        _ => begun(&format!("(call ${function} {X} (i32.const 256))"), &kept("(i32.load (i32.const 264))")),
    }
}

/// A call that a task does not wait for: what is done if it is over, or the subtask that it is.
pub fn begun(call: &str, over: &str) -> String {
    format!(
        "(call $begun {call}) (if (i32.eq (i32.load (i32.const 1932)) (i32.const 2)) (then {over}) (else
          (local.set $o (i32.const 98)) {}))",
        kept("(call $sub)")
    )
}
