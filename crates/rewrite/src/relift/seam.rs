//! Where a component stands.

/// The functions that a component stands between, by the names of their interfaces in any version.
#[derive(Clone, Copy, Debug)]
pub struct Seam {
    /// Package and interface of the function that the component calls while it is called itself.
    pub callee: (&'static str, &'static str),
    /// That function.
    pub function: &'static str,
    /// What it is called in a refusal.
    pub noun: &'static str,
    /// Package and interface of the functions whose streams and futures are covered by the rule for ends that the
    /// component made: they come with a future of its own, or with the call.
    pub data: (&'static str, &'static str),
    /// Package and interface of a function that is not async, which the component may export beside the one that is
    /// rewritten: it stays as it is. The host calls it only while the other one does not work.
    pub beside: (&'static str, &'static str),
}
