//! A scenario: the same request to several servers.

use super::configs::{Answer, Chain};
use super::filter::Filter;
use crate::wire::{Ask, Protocol};

/// A server with its configuration.
#[derive(Clone, Debug)]
pub enum Setup {
    Linkspan(Chain),
    /// The chain composed for other hosts, and arguments of `wasmtime serve`.
    Wasmtime(Chain, &'static [&'static str]),
    /// With so many of these filters.
    Envoy(Answer, (Filter, usize)),
    Nginx(Answer),
    Haproxy(Answer),
}

/// One of the servers of a scenario.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Unique in its scenario; linkspan's begin with its name.
    pub name: String,
    pub setup: Setup,
    /// Those with the same word must answer alike.
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
    /// What an nginx answers that those with [`Answer::Behind`] are in front of.
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
}
