//! What a stage may use of the world outside.

use std::path::PathBuf;

use super::{ConfigValue, EgressRule, Network, PipelineIndex, SocketRule};
use crate::config::Span;
use crate::config::keys::Kind;
pub use crate::config::keys::{Clocks, Grant as GrantTable};
use crate::config::{KeyOf, Keys as _};

/// What a stage may use of the world outside; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Random numbers.
    pub random: bool,
    /// Clocks and timers.
    pub clocks: Clocks,
    /// Standard output and error.
    pub stdio: bool,
    /// The environment; `Some` and empty grants an environment without variables. Names are unique.
    pub env: Option<Vec<(String, ConfigValue)>>,
    /// Where it may send requests; `Some` and empty grants the interface, and nothing behind it.
    pub egress: Option<Vec<EgressRule>>,
    /// The networks that are not of the public internet to which names in `egress` may lead all the same.
    pub egress_networks: Vec<Network>,
    /// The pipelines that it may call by name, `http://<name>.internal`. No pipeline reaches itself that way. Each is
    /// there once.
    pub calls: Vec<Call>,
    /// The directories that it sees; none means no file system at all. Each `at` is unique; at most
    /// [`Grants::MAX_MOUNTS`].
    pub filesystem: Vec<Mount>,
    /// The addresses that its sockets may reach; none means no sockets at all.
    pub sockets: Vec<SocketRule>,
    /// The place of the `grant` table, if there is one.
    pub span: Option<Span>,
}

impl Grants {
    /// Most directories of one stage.
    pub const MAX_MOUNTS: usize = 16;

    /// The TOML that grants what a key of the table stands for, with an example's value.
    pub fn example(key: KeyOf<GrantTable>) -> String {
        let declared = GrantTable::TABLE.keys.iter().find(|declared| declared.name == key.name);
        let value = declared.map_or("", |declared| match declared.kind {
            Kind::Boolean | Kind::BooleanOr(_) => "true",
            _ => declared.example,
        });
        format!("{} = {value}", key.name)
    }

    /// Whether any egress rule allows a request to `scheme://host:port`; see [`EgressRule::allows`].
    pub fn allows_egress(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.egress.iter().flatten().any(|rule| rule.allows(scheme, host, port))
    }
}

/// A pipeline that a stage may call by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The pipeline.
    pub pipeline: PipelineIndex,
    /// The place of the name.
    pub span: Span,
}

/// A directory of the gateway's that a stage sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub path: PathBuf,
    /// Where the stage sees it: an absolute path in normal form.
    pub at: String,
    /// Whether the stage may change what is in it.
    pub write: bool,
    /// Device and inode: another directory of the same name is another mount.
    pub node: (u64, u64),
    /// The place of `path`.
    pub span: Span,
}
