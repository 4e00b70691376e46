//! Which form a segment has.
//!
//! A segment has the direct form (see [`direct`]) if its pipeline does not forbid that, and all its stages' components
//! are on the list; else the component form, with a reason. The component form of the same segment is always there: it
//! is what a segment is proven in, and what takes over when the direct form disagrees with itself
//! [`MOST_DISAGREEMENTS`] times.

use super::compose::{Member, next_label};
use crate::component::{Component, Digest};
use crate::direct::{self, Chain, NotDirect, Program, Reading};
use crate::host::{Next, Rehearsal, Scope};
use crate::plan::Form as Wanted;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use wasmtime::{Engine, Module};

/// Disagreements of the direct form with itself after which a segment goes back to the component form.
pub const MOST_DISAGREEMENTS: u32 = 3;

/// The code of a segment's direct form, or why there is none: the index of a stage, if the reason is one, and the
/// reason.
pub type DirectCode = Result<Arc<Program>, (Option<usize>, NotDirect)>;

/// What the direct form needs to know of `members`, if they may have it.
fn readings(members: &[Member<'_>], wanted: Wanted) -> Result<Vec<Reading>, (Option<usize>, NotDirect)> {
    if wanted == Wanted::Component {
        return Err((None, NotDirect::new("`form = \"component\"`")));
    }
    let mut readings = Vec::new();
    // A rewritten stage may be so because of one of the others, which is then the reason.
    for member in members.iter().filter(|member| !member.component.relifted) {
        readings.push(direct::read(member.component).map_err(|why| (Some(member.index), why))?);
    }
    if let Some(member) = members.iter().find(|member| member.component.relifted) {
        return Err((Some(member.index), NotDirect::new("its lift is rewritten")));
    }
    direct::order(&readings).map_err(|(at, why)| (members.get(at).map(|member| member.index), why))?;
    Ok(readings)
}

/// What is known of components, each of which is read once. For a look at forms before anything is composed.
#[derive(Default)]
pub struct Readings(HashMap<(Digest, bool), Option<Reading>>);

impl Readings {
    /// Whether a segment of `components`, one for each stage, would have the direct form.
    pub fn are_direct(&mut self, components: &[&Component], wanted: Wanted) -> bool {
        if wanted == Wanted::Component {
            return false;
        }
        let key = |component: &Component| (component.digest, component.relifted);
        for component in components {
            if self.0.entry(key(component)).or_insert_with(|| direct::read(component).ok()).is_none() {
                return false;
            }
        }
        let stages: Vec<_> = components.iter().filter_map(|it| self.0.get(&key(it))?.as_ref()).collect();
        direct::order(&stages).is_ok()
    }
}

/// The direct form's code for `members`, of which `module` makes the core modules.
pub(super) fn code(
    engine: &Engine,
    members: &[Member<'_>],
    wanted: Wanted,
    module: impl FnMut(&[u8]) -> wasmtime::Result<Module>,
) -> DirectCode {
    let failed = |error: wasmtime::Error| (None, NotDirect::new(format!("it can't be compiled: {error:#}")));
    Program::new(engine, readings(members, wanted)?, module).map(Arc::new).map_err(failed)
}

/// The form of a segment, which may change once. It is shown as `direct`, or as `component` with the reason.
pub struct SegmentForm {
    chain: Option<Chain>,
    /// Why it has the component form.
    reason: OnceLock<String>,
    disagreements: AtomicU32,
}

impl SegmentForm {
    /// The form of a segment with this code, of stages with these scopes, in front of `next`, and of those that are `named`
    /// as in its composition.
    pub(super) fn new(
        code: &DirectCode,
        scopes: &[Scope],
        next: Option<Next>,
        named: &[(String, Next)],
        rehearsal: &Arc<Rehearsal>,
    ) -> Self {
        let form = Self { chain: None, reason: OnceLock::new(), disagreements: AtomicU32::new(0) };
        match code {
            Ok(program) => {
                let reached = |(scope, names): (&Scope, &[String])| {
                    let label = |name: &String| next_label(scope.id.index, name);
                    let find =
                        |name| Some(Arc::clone(&named.iter().find(|(known, _)| *known == label(name))?.1));
                    // What is missing is missing in the composition as well, which can't be linked then.
                    names.iter().filter_map(find).collect()
                };
                let reached = scopes.iter().zip(program.names()).map(reached).collect();
                let chain = Chain::new(Arc::clone(program), scopes, next, reached, Arc::clone(rehearsal));
                Self { chain: Some(chain), ..form }
            }
            Err((stage, why)) => {
                let scope = scopes.iter().find(|scope| Some(scope.id.index) == *stage);
                form.give_up(match scope {
                    Some(scope) => format!("{}: {why}", scope.id.label()),
                    None => why.to_string(),
                });
                form
            }
        }
    }

    /// What an instance is made of in the direct form, if that is the segment's form now.
    pub fn direct(&self) -> Option<&Chain> {
        self.chain.as_ref().filter(|_| self.reason.get().is_none())
    }

    /// The same whatever form the segment has now: for an instance that was made in the direct form.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// Why the segment has the component form, if it has.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Changes to the component form. The first reason is kept.
    pub(super) fn give_up(&self, reason: String) {
        let _ = self.reason.set(reason);
    }

    /// Counts a disagreement of the direct form with itself; `true` if this one makes the component form take over.
    pub fn disagree(&self) -> bool {
        let before = self.disagreements.fetch_add(1, Ordering::Relaxed);
        let over = before + 1 == MOST_DISAGREEMENTS;
        if over {
            self.give_up(format!("the direct form disagreed with itself {MOST_DISAGREEMENTS} times"));
        }
        over
    }
}

impl fmt::Display for SegmentForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            Some(reason) => write!(f, "component ({reason})"),
            None => f.write_str("direct"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_form_takes_over_after_several_disagreements() {
        let form = SegmentForm { chain: None, reason: OnceLock::new(), disagreements: AtomicU32::new(0) };
        assert_eq!(form.to_string(), "direct");
        for _ in 1..MOST_DISAGREEMENTS {
            assert!(!form.disagree() && form.reason().is_none());
        }
        assert!(form.disagree(), "it is told once");
        assert!(!form.disagree());
        assert_eq!(form.to_string(), "component (the direct form disagreed with itself 3 times)");
        form.give_up("another reason".to_owned());
        assert_eq!(form.reason(), Some("the direct form disagreed with itself 3 times"));
    }
}
