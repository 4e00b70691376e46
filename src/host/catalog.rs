//! Every interface that a stage may import.
//!
//! Deny by default: what reaches beyond the stage itself needs a grant in the
//! TOML. What stays inside (its own configuration, its own log lines, its own
//! counters) needs none.

use crate::component::Interface;
use crate::plan::Grants;
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
    /// `clocks = true`
    Clocks,
    /// `stdio = true`
    Stdio,
    /// `env = { ... }`
    Env,
    /// `egress = [...]`
    Egress,
}

impl Grant {
    /// Whether `grants` include this one.
    pub fn is_in(self, grants: &Grants) -> bool {
        match self {
            Self::None => true,
            Self::Random => grants.random,
            Self::Clocks => grants.clocks,
            Self::Stdio => grants.stdio,
            Self::Env => grants.env.is_some(),
            Self::Egress => !grants.egress.is_empty(),
        }
    }
}

impl fmt::Display for Grant {
    /// The TOML that grants it, with an example's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::Random => "random = true",
            Self::Clocks => "clocks = true",
            Self::Stdio => "stdio = true",
            Self::Env => "env = { NAME = \"value\" }",
            Self::Egress => "egress = [\"https://api.example.com\"]",
        })
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
    offer("wasi:clocks", "monotonic-clock", "0.3", Reach::Shared, Grant::Clocks),
    offer("wasi:clocks", "system-clock", "0.3", Reach::Shared, Grant::Clocks),
    offer("wasi:random", "random", "0.3", Reach::Shared, Grant::Random),
    offer("wasi:random", "insecure", "0.3", Reach::Shared, Grant::Random),
    offer("wasi:random", "insecure-seed", "0.3", Reach::Shared, Grant::Random),
    offer("wasi:config", "store", "0.2.0-rc.1", Reach::Stage, Grant::None),
    offer("wasi:logging", "logging", "0.1.0-draft", Reach::Stage, Grant::None),
    offer("linkspan:gateway", "rate-limiter", "0.1", Reach::Stage, Grant::None),
];

const fn offer(
    package: &'static str,
    name: &'static str,
    track: &'static str,
    reach: Reach,
    grant: Grant,
) -> Offer {
    Offer { package, name, track, reach, grant }
}

impl Offer {
    /// The offer that satisfies an import of `interface`.
    pub fn find(interface: &Interface) -> Option<&'static Self> {
        OFFERS
            .iter()
            .find(|offer| interface.is(offer.package, offer.name) && interface.track() == offer.track)
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
        assert!(find("wasi:http/types@0.2.0").is_none());
        assert!(find("wasi:http/types@0.3.0-rc-2026-03-15").is_none());
        assert!(find("wasi:filesystem/types@0.3.0").is_none());
    }

    #[test]
    fn no_interface_is_offered_twice() {
        for (at, offer) in OFFERS.iter().enumerate() {
            assert!(OFFERS[..at].iter().all(|o| (o.package, o.name) != (offer.package, offer.name)));
        }
    }
}
