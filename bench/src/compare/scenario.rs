//! A scenario: the same request to several servers.

use super::configs::{Answer, Chain};
use super::filter::Filter;
use super::real::Real;
use crate::wire::{Ask, Protocol};

/// A server with its configuration.
#[derive(Clone, Debug)]
pub enum Setup {
    Linkspan(Chain),
    /// The same chain in the build of `--before`.
    Before(Chain),
    /// The chain composed for other hosts, and arguments of `wasmtime serve`.
    Wasmtime(Chain, &'static [&'static str]),
    /// With so many of these filters.
    Envoy(Answer, (Filter, usize)),
    /// With what does the work of five real middleware.
    EnvoyReal(Real),
    Nginx(Answer),
    Haproxy(Answer),
}

/// One of the servers of a scenario.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Unique in its scenario; linkspan's begin with its name.
    pub name: String,
    pub setup: Setup,
    /// Contenders with the same word must answer alike.
    pub like: &'static str,
}

/// The same request to several servers.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub title: String,
    pub protocol: Protocol,
    pub ask: Ask,
    /// A new connection for each request.
    pub fresh: bool,
    /// The answer of an nginx behind contenders with [`Answer::Behind`].
    pub behind: Option<Answer>,
    pub contenders: Vec<Contender>,
}

impl Scenario {
    pub fn new(name: &str, title: &str, protocol: Protocol, ask: Ask) -> Self {
        let (name, title) = (name.to_owned(), title.to_owned());
        Self { name, title, protocol, ask, fresh: false, behind: None, contenders: Vec::new() }
    }

    pub fn contender(self, name: &str, setup: Setup) -> Self {
        self.contender_like("", name, setup)
    }

    pub fn contender_like(mut self, like: &'static str, name: &str, setup: Setup) -> Self {
        self.contenders.push(Contender { name: name.to_owned(), setup, like });
        self
    }

    /// With another build of linkspan beside each linkspan, so that both have the same minutes of the machine.
    pub fn with_before(mut self) -> Self {
        let twice = |contender: Contender| {
            let before = match &contender.setup {
                Setup::Linkspan(chain) => Some(Contender {
                    name: before(&contender.name),
                    setup: Setup::Before(chain.clone()),
                    like: contender.like,
                }),
                _ => None,
            };
            [Some(contender), before].into_iter().flatten()
        };
        self.contenders = self.contenders.into_iter().flat_map(twice).collect();
        self
    }
}

/// The name of the contender `name` in the build of `--before`.
pub fn before(name: &str) -> String {
    name.replacen("linkspan", "linkspan before", 1)
}
