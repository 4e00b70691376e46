//! The interfaces that a stage may import.
//!
//! Deny by default: an import that reaches beyond the stage itself needs a grant in the TOML. Imports that stay inside
//! (the stage's own configuration, log lines and counters) need none; types alone need none either.
//!
//! A component of WASI 0.2 imports much that it never uses: the start-up of its libc and of its language asks for
//! environment, directories and standard streams. If each import needed a grant, the grants would say nothing. Where an
//! answer can truthfully say that nothing is there (no variables, no directories, an end of input, access denied), an
//! import of 0.2 without its grant gets that answer, and is no error. A clock that stands still and a constant random
//! number would be false, so these need their grant in both versions. Components of 0.3 import what they call, and need
//! a grant for each import.

use super::scope::Scope;
use super::state::InstanceState;
use crate::component::Interface;
use crate::plan::{Grant, Grants};
use wasmtime::component::{Component, Linker};

/// The scope that a component's import of the given name reaches.
pub type Lookup<'l> = &'l dyn Fn(&str) -> wasmtime::Result<Scope>;

/// Links the answers to an interface, for a component.
type Link = fn(&mut Linker<InstanceState>, &Component, Lookup<'_>) -> wasmtime::Result<()>;

/// Who has an imported interface, when several stages share one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All stages of a chain together: the interface reveals nothing of other stages, or, as with `wasi:http/types`,
    /// its resources must be the same for all of them.
    Shared,
    /// Each stage has its own.
    Stage,
}

/// What happens to an import without its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// An error of the configuration.
    Refused,
    /// The import exists, and has no effect.
    Inert,
    /// The import exists, and has less behind it: only what is the stage's own.
    Less,
}

/// An interface on offer.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// `wasi:http/types`
    pub interface: &'static str,
    /// The [track](Interface::track) of the version on offer.
    pub track: &'static str,
    /// Who has the interface.
    pub reach: Reach,
    /// The grant that the interface needs, if it needs one.
    pub grant: Option<Grant>,
    /// What happens without that grant.
    pub without: Without,
    pub(super) link: Link,
}

/// The package and interface of the next stage, which the chain itself provides.
pub const HANDLER: (&str, &str) = ("wasi:http", "handler");

impl Offer {
    /// An interface that all stages of a chain share.
    pub(super) const fn shared(interface: &'static str, track: &'static str, link: Link) -> Self {
        Self { interface, track, reach: Reach::Shared, grant: None, without: Without::Refused, link }
    }

    /// An interface that each stage has for itself.
    pub(super) const fn own(interface: &'static str, track: &'static str, link: Link) -> Self {
        Self { reach: Reach::Stage, ..Self::shared(interface, track, link) }
    }

    /// The same, only with a grant.
    pub(super) const fn needs(self, grant: Grant) -> Self {
        Self { grant: Some(grant), ..self }
    }

    /// The same, without effect if the grant is not given.
    pub(super) const fn inert_without(self, grant: Grant) -> Self {
        Self { without: Without::Inert, ..self.needs(grant) }
    }

    /// The same, with more behind it if the grant is given.
    pub(super) const fn more_with(self, grant: Grant) -> Self {
        Self { without: Without::Less, ..self.needs(grant) }
    }

    /// Whether this offers `interface`, in any version.
    pub fn is_of(&self, interface: &Interface) -> bool {
        self.interface.split_once('/').is_some_and(|(package, name)| interface.is(package, name))
    }

    /// Whether a stage with `grants` may not have the interface.
    pub fn is_refused(&self, grants: &Grants) -> bool {
        self.without == Without::Refused && self.grant.is_some_and(|grant| !grant.is_in(grants))
    }
}
