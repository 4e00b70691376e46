//! The implementations of stages' imports: a file for each grant, and for imports that need none.
//!
//! Each file has its [`Offer`]s, of WASI 0.3 and 0.2, which name the required grant and put the implementation into a
//! linker. Imports that belong to a stage use its [`Scope`](super::Scope). Imports that all stages of a store share are
//! mostly wasmtime-wasi's: types whose resources a stage can only get through imports of its own.

/// Declares what a file offers: whose it is, which interface of which version, what answers it, and what it needs. What
/// answers is the host's module of the interface, and the part of a store that it works on; or a closure that links it.
macro_rules! offers {
    ($($reach:ident $interface:literal $track:literal ($($answer:tt)+) $($rule:ident $grant:ident)?;)+) => {
        pub(super) const OFFERS: &[$crate::host::Offer] = &[$(
            $crate::host::Offer::$reach($interface, $track, link!($($answer)+))
                $(.$rule($crate::plan::Grant::$grant))?
        ),+];
    };
}

/// Links an interface. A stage's own interface gets the scope of each of the component's imports of it.
macro_rules! link {
    (|$linker:ident| $link:expr) => {
        |$linker, _, _| $link
    };
    ($interface:path as $has:ty, $part:expr) => {
        |linker, _, _| {
            use $interface as interface;
            interface::add_to_linker::<_, $has>(linker, $part)
        }
    };
    ($interface:path) => {
        |linker, component, lookup| {
            use $interface as interface;
            type Own = wasmtime::component::HasSelf<$crate::host::InstanceState>;
            interface::add_to_linker::<_, Own>(linker, component, |name| lookup(name), |state| state)
        }
    };
}

mod cli;
pub mod clocks;
mod config;
mod egress;
mod env;
mod filesystem;
mod http;
mod io;
pub mod limiter;
mod logging;
mod lookup;
mod otel;
mod random;
pub mod signatures;
mod sockets;
mod stdio;
mod types;

use super::catalog::{Lookup, Offer};
use super::state::InstanceState;
use crate::component::Interface;
use crate::plan::Grant;
use wasmtime::component::{Component, Linker};

/// Imports that need no grant.
const FREE: &[&[Offer]] =
    &[http::OFFERS, config::OFFERS, logging::OFFERS, signatures::OFFERS, io::OFFERS, cli::OFFERS];

/// Imports that a grant opens, and those that come with it.
const fn of(grant: Grant) -> &'static [Offer] {
    match grant {
        Grant::Random => random::OFFERS,
        Grant::Clocks => clocks::OFFERS,
        Grant::Stdio => stdio::OFFERS,
        Grant::Env => env::OFFERS,
        Grant::Egress => egress::OFFERS,
        Grant::Filesystem => filesystem::OFFERS,
        Grant::Sockets => sockets::OFFERS,
        Grant::Lookup => lookup::OFFERS,
        Grant::Otel => otel::OFFERS,
        Grant::Stores => limiter::OFFERS,
    }
}

/// All offers, apart from the next stage's handler.
pub fn offers() -> impl Iterator<Item = &'static Offer> {
    FREE.iter().copied().chain(Grant::ALL.iter().copied().map(of)).flatten()
}

/// The offer that satisfies an import of `interface`.
pub fn find(interface: &Interface) -> Option<&'static Offer> {
    offers().find(|offer| offer.is_of(interface) && interface.track() == offer.track)
}

/// Adds all offers to `linker`.
pub(super) fn add_to_linker(
    linker: &mut Linker<InstanceState>,
    component: &Component,
    lookup: Lookup<'_>,
) -> wasmtime::Result<()> {
    offers().try_for_each(|offer| (offer.link)(linker, component, lookup))
}

/// Whether a guest of `component` can wait in a call that holds its store: calls of `wasi:io` can.
pub fn may_hold(component: &Component) -> bool {
    let engine = component.engine();
    let holds = |name: &str| {
        let interface = Interface::parse(name);
        interface.is_some_and(|interface| io::OFFERS.iter().any(|offer| offer.is_of(&interface)))
    };
    component.component_type().imports(engine).any(|(name, _)| holds(name))
}

#[cfg(test)]
mod tests;
