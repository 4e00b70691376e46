//! Every interface that a stage may import.
//!
//! Deny by default: what reaches beyond the stage itself needs a grant in the
//! TOML. What stays inside (its own configuration, its own log lines, its own
//! counters) needs none, nor do types alone.
//!
//! A component of WASI 0.2 imports much merely by existing: the start-up of its libc
//! and of its language asks for environment, directories and standard streams. With
//! a grant for each, the grants would say nothing. So where it can be told that
//! nothing is there (no variables, no directories, an end of input, access denied),
//! an import of 0.2 without its grant is told so, and is no error. A clock that
//! stands still and a random number that is none would be lies, so these need their
//! grant in both. Components of 0.3 import what they call, and need it for all.

use crate::component::Interface;
use crate::plan::{Clocks, GrantTable, Grants, KeyOf};
use std::fmt;

/// Whose an imported interface is when several stages share one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One for all stages of a chain: it tells a stage nothing of another, or, as
    /// `wasi:http/types`, its resources must be the same for all of them.
    Shared,
    /// Each stage's own.
    Stage,
}

/// The key under `grant` that allows an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Needs none.
    None,
    /// `random = true`
    Random,
    /// `clocks = true` or `"coarse"`
    Clocks,
    /// `stdio = true`
    Stdio,
    /// `env = { ... }`
    Env,
    /// `egress = [...]` or `calls = [...]`
    Egress,
    /// `filesystem = [...]`
    Filesystem,
    /// `sockets = [...]`
    Sockets,
}

impl Grant {
    /// All that there are.
    pub const ALL: [Self; 7] =
        [Self::Random, Self::Clocks, Self::Stdio, Self::Env, Self::Egress, Self::Filesystem, Self::Sockets];

    fn declared(self) -> Option<KeyOf<GrantTable>> {
        Some(match self {
            Self::None => return None,
            Self::Random => GrantTable::random,
            Self::Clocks => GrantTable::clocks,
            Self::Stdio => GrantTable::stdio,
            Self::Env => GrantTable::env,
            Self::Egress => GrantTable::egress,
            Self::Filesystem => GrantTable::filesystem,
            Self::Sockets => GrantTable::sockets,
        })
    }

    /// Its key.
    pub fn key(self) -> &'static str {
        self.declared().map_or("", |key| key.name)
    }

    /// Whether `grants` include this one.
    pub fn is_in(self, grants: &Grants) -> bool {
        match self {
            Self::None => true,
            Self::Random => grants.random,
            Self::Clocks => grants.clocks != Clocks::Denied,
            Self::Stdio => grants.stdio,
            Self::Env => grants.env.is_some(),
            Self::Egress => grants.egress.is_some() || !grants.calls.is_empty(),
            Self::Filesystem => !grants.filesystem.is_empty(),
            Self::Sockets => !grants.sockets.is_empty(),
        }
    }
}

impl fmt::Display for Grant {
    /// The TOML that grants it, with an example's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.declared().map_or(Ok(()), |key| f.write_str(&Grants::example(key)))
    }
}

/// An interface on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `wasi:http`
    pub package: &'static str,
    /// `types`
    pub name: &'static str,
    /// The [track](Interface::track) of the version on offer.
    pub track: &'static str,
    /// Whose it is.
    pub reach: Reach,
    /// What it needs.
    pub grant: Grant,
    /// What it is without that.
    pub without: Without,
}

/// What an interface is to a stage that has no grant for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// An error of the configuration.
    Refused,
    /// There, and without effect.
    Inert,
}

/// The package and interface of the next stage, which the chain itself provides.
pub const HANDLER: (&str, &str) = ("wasi:http", "handler");

/// All that is on offer, beside the next stage's [`HANDLER`].
pub const OFFERS: &[Offer] = &[
    offer("wasi:http", "types", "0.3", Reach::Shared, Grant::None),
    offer("wasi:http", "client", "0.3", Reach::Stage, Grant::Egress),
    offer("wasi:cli", "types", "0.3", Reach::Shared, Grant::None),
    offer("wasi:cli", "environment", "0.3", Reach::Stage, Grant::Env),
    offer("wasi:cli", "stdin", "0.3", Reach::Stage, Grant::Stdio),
    offer("wasi:cli", "stdout", "0.3", Reach::Stage, Grant::Stdio),
    offer("wasi:cli", "stderr", "0.3", Reach::Stage, Grant::Stdio),
    offer("wasi:clocks", "types", "0.3", Reach::Shared, Grant::None),
    offer("wasi:clocks", "monotonic-clock", "0.3", Reach::Stage, Grant::Clocks),
    offer("wasi:clocks", "system-clock", "0.3", Reach::Stage, Grant::Clocks),
    offer("wasi:random", "random", "0.3", Reach::Shared, Grant::Random),
    offer("wasi:random", "insecure", "0.3", Reach::Shared, Grant::Random),
    offer("wasi:random", "insecure-seed", "0.3", Reach::Shared, Grant::Random),
    // An open file is whose directory it was found in.
    offer("wasi:filesystem", "types", "0.3", Reach::Shared, Grant::Filesystem),
    offer("wasi:filesystem", "preopens", "0.3", Reach::Stage, Grant::Filesystem),
    // A stage that makes sockets of 0.3 has a store of its own.
    offer("wasi:sockets", "types", "0.3", Reach::Shared, Grant::Sockets),
    offer("wasi:config", "store", "0.2.0-rc.1", Reach::Stage, Grant::None),
    offer("wasi:logging", "logging", "0.1.0-draft", Reach::Stage, Grant::None),
    offer("linkspan:gateway", "rate-limiter", "0.1", Reach::Stage, Grant::None),
    // It does nothing that `wasi:http/types` doesn't, to the same resources.
    offer("linkspan:gateway", "headers", "0.1", Reach::Shared, Grant::None),
    offer("wasi:http", "types", "0.2", Reach::Shared, Grant::None),
    inert("wasi:http", "outgoing-handler", "0.2", Reach::Stage, Grant::Egress),
    offer("wasi:io", "error", "0.2", Reach::Shared, Grant::None),
    offer("wasi:io", "poll", "0.2", Reach::Shared, Grant::None),
    offer("wasi:io", "streams", "0.2", Reach::Shared, Grant::None),
    inert("wasi:cli", "environment", "0.2", Reach::Stage, Grant::Env),
    offer("wasi:cli", "exit", "0.2", Reach::Shared, Grant::None),
    inert("wasi:cli", "stdin", "0.2", Reach::Stage, Grant::Stdio),
    inert("wasi:cli", "stdout", "0.2", Reach::Stage, Grant::Stdio),
    inert("wasi:cli", "stderr", "0.2", Reach::Stage, Grant::Stdio),
    offer("wasi:cli", "terminal-input", "0.2", Reach::Shared, Grant::None),
    offer("wasi:cli", "terminal-output", "0.2", Reach::Shared, Grant::None),
    offer("wasi:cli", "terminal-stdin", "0.2", Reach::Shared, Grant::None),
    offer("wasi:cli", "terminal-stdout", "0.2", Reach::Shared, Grant::None),
    offer("wasi:cli", "terminal-stderr", "0.2", Reach::Shared, Grant::None),
    offer("wasi:clocks", "monotonic-clock", "0.2", Reach::Stage, Grant::Clocks),
    offer("wasi:clocks", "wall-clock", "0.2", Reach::Stage, Grant::Clocks),
    offer("wasi:random", "random", "0.2", Reach::Shared, Grant::Random),
    offer("wasi:random", "insecure", "0.2", Reach::Shared, Grant::Random),
    offer("wasi:random", "insecure-seed", "0.2", Reach::Shared, Grant::Random),
    inert("wasi:filesystem", "types", "0.2", Reach::Shared, Grant::Filesystem),
    inert("wasi:filesystem", "preopens", "0.2", Reach::Stage, Grant::Filesystem),
    // A socket knows whose it is from the function that makes it; the rest is shared.
    inert("wasi:sockets", "tcp-create-socket", "0.2", Reach::Stage, Grant::Sockets),
    inert("wasi:sockets", "udp-create-socket", "0.2", Reach::Stage, Grant::Sockets),
    inert("wasi:sockets", "network", "0.2", Reach::Shared, Grant::Sockets),
    inert("wasi:sockets", "instance-network", "0.2", Reach::Shared, Grant::Sockets),
    inert("wasi:sockets", "tcp", "0.2", Reach::Shared, Grant::Sockets),
    inert("wasi:sockets", "udp", "0.2", Reach::Shared, Grant::Sockets),
    // Never answers: rules name addresses, and a look-up tells a server the name.
    inert("wasi:sockets", "ip-name-lookup", "0.2", Reach::Shared, Grant::Sockets),
];

const fn offer(
    package: &'static str,
    name: &'static str,
    track: &'static str,
    reach: Reach,
    grant: Grant,
) -> Offer {
    Offer { package, name, track, reach, grant, without: Without::Refused }
}

const fn inert(
    package: &'static str,
    name: &'static str,
    track: &'static str,
    reach: Reach,
    grant: Grant,
) -> Offer {
    Offer { without: Without::Inert, ..offer(package, name, track, reach, grant) }
}

impl Offer {
    /// The offer that satisfies an import of `interface`.
    pub fn find(interface: &Interface) -> Option<&'static Self> {
        OFFERS
            .iter()
            .find(|offer| interface.is(offer.package, offer.name) && interface.track() == offer.track)
    }

    /// Whether a stage with `grants` may not have it.
    pub fn is_refused(&self, grants: &Grants) -> bool {
        self.without == Without::Refused && !self.grant.is_in(grants)
    }
}

#[cfg(test)]
mod tests {
    use super::{OFFERS, Offer};
    use crate::component::Interface;

    #[test]
    fn later_patch_versions_are_on_offer_and_other_tracks_are_not() {
        let find = |name: &str| Offer::find(&Interface::parse(name).expect("an interface"));
        assert!(find("wasi:http/types@0.3.0").is_some());
        assert!(find("wasi:http/types@0.3.4").is_some());
        assert_eq!(find("wasi:http/types@0.2.0").map(|offer| offer.track), Some("0.2"));
        assert!(find("wasi:http/types@0.3.0-rc-2026-03-15").is_none());
        assert!(find("wasi:http/handler@0.2.0").is_none());
        assert!(find("wasi:sockets/ip-name-lookup@0.3.0").is_none());
    }

    #[test]
    fn no_interface_is_offered_twice() {
        for (at, offer) in OFFERS.iter().enumerate() {
            let key = |o: &Offer| (o.package, o.name, o.track);
            assert!(OFFERS[..at].iter().all(|o| key(o) != key(offer)));
        }
    }
}
