//! The surroundings of a configuration: the process's environment, or a program that embeds the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The input of a configuration, apart from the files that it names.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Environment variables.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The program that embeds the gateway, if one does.
    pub program: Option<&'a Program>,
}

impl Surroundings<'static> {
    /// The environment of the process; a variable that is not UTF-8 counts as not set.
    pub fn process() -> Self {
        Self { env: &|name| std::env::var(name).ok(), program: None }
    }
}

/// A program that embeds the gateway. The program listens, so its configuration needs neither listeners nor routes.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Components in its memory, by their names: their files are not read.
    pub components: BTreeMap<String, Given>,
    /// Its services, in which pipelines may end.
    pub natives: BTreeSet<String>,
}

/// The bytes of a component.
#[derive(Clone, PartialEq, Eq)]
pub struct Given(pub Arc<[u8]>);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
