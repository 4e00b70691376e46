//! The capabilities of a stage.
//!
//! A grant is declared once in each of three rooms. Its keys are in `config/keys/grants.rs`. Here, `grants!` declares
//! their checked form, and what the rest of the gateway asks about it. A file in `host/imports/` declares the
//! interfaces that the grant opens, and implements them. A part that is missing does not compile.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::lowering::{Lowering, Names, describe};
pub use crate::config::keys::Clocks;
use crate::config::keys::{Grant as GrantTable, Kind, Mount as MountTable};
use crate::config::{At, Decoded, Fault, Keys as _, Span, Text};
use crate::plan::{ConfigValue, EgressRule, HostPattern, Network, PipelineIndex, SocketRule, StorePlan};

/// Longest path at which a stage sees a directory, in bytes.
const MAX_GUEST_PATH: usize = 256;

/// The effect of a grant in a host other than linkspan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// A host can grant the same.
    Same,
    /// This part is lost.
    Lost(&'static str),
    /// The stage can't work there, for this reason.
    Impossible(&'static str),
}

fn lost_if(is_there: bool, what: &'static str) -> Elsewhere {
    if is_there { Elsewhere::Lost(what) } else { Elsewhere::Same }
}

/// Declares the grants: the checked form of the keys in brackets, whether the stage has what it imports for the grant,
/// and the effect in a host other than linkspan. Each key of the table belongs to one grant.
macro_rules! grants {
    (
        $lowering:ident, $pipelines:ident;
        $($(#[doc = $doc:literal])+ $grant:ident, $field:ident: $type:ty = [$($key:ident),+] $lower:expr;
            given $given:expr; elsewhere $elsewhere:expr;)+
    ) => {
        /// What a stage may use of the world outside; by default nothing. Its `Hash` covers what counts where two
        /// stages are compared: everything except places.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct Grants {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        /// Something that a stage may be granted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Grant {
            $($(#[doc = $doc])+ $grant,)+
        }

        impl Grant {
            /// All grants.
            pub const ALL: &[Self] = &[$(Self::$grant),+];

            /// The key under `grant`.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$grant => GrantTable::$field.name,)+
                }
            }

            /// Whether `grants` contain this one.
            pub fn is_in(self, grants: &Grants) -> bool {
                match self {
                    $(Self::$grant => {
                        let given: fn(&$type) -> bool = $given;
                        given(&grants.$field)
                    })+
                }
            }
        }

        impl Grants {
            pub(super) fn lower(table: &GrantTable, $lowering: &mut Lowering<'_>, $pipelines: &mut Names<'_>) -> Self {
                let GrantTable { $($($key),+),+ } = table;
                Self { $($field: $lower),+ }
            }

            /// The effect of each grant in a host other than linkspan.
            pub fn elsewhere(&self) -> impl Iterator<Item = Elsewhere> {
                [$({
                    let elsewhere: fn(&$type) -> Elsewhere = $elsewhere;
                    elsewhere(&self.$field)
                }),+]
                .into_iter()
            }
        }
    };
}

grants! {
    lowering, pipelines;

    /// Random numbers.
    Random, random: bool = [random] *random;
        given |it| *it; elsewhere |_| Elsewhere::Same;
    /// Clocks and timers.
    Clocks, clocks: Clocks = [clocks] *clocks;
        given |it| *it != Clocks::Denied;
        elsewhere |it| lost_if(*it == Clocks::Coarse, "coarse clocks");
    /// Standard output and error.
    Stdio, stdio: bool = [stdio] *stdio;
        given |it| *it; elsewhere |_| Elsewhere::Same;
    /// The environment; `Some` and empty grants an environment without variables. Names are unique.
    Env, env: Option<Vec<(String, ConfigValue)>> = [env] env.as_ref().map(|node| lowering.variables(node));
        given Option::is_some;
        elsewhere |it| match it {
            Some(variables) if !variables.is_empty() => Elsewhere::Impossible("it has an environment of its own"),
            _ => Elsewhere::Same,
        };
    /// Requests of its own.
    Egress, egress: Egress = [egress, egress_networks, calls] Egress {
            rules: egress.as_ref().map(|rules| lowering.parsed(rules, EgressRule::parse)),
            networks: lowering.parsed(egress_networks, Network::parse),
            calls: lowering.calls(calls, pipelines),
        };
        given |it| it.rules.is_some() || !it.calls.is_empty();
        elsewhere |it| match &it.calls[..] {
            [] => lost_if(it.rules.is_some(), "the bounds of its `egress`"),
            _ => Elsewhere::Impossible("it calls pipelines by their names"),
        };
    /// The directories that it sees; `Some` and empty grants a file system without any. Each `at` is unique.
    Filesystem, filesystem: Option<Vec<Mount>> = [filesystem] filesystem.as_ref().map(|it| lowering.mounts(it));
        given Option::is_some;
        elsewhere |it| lost_if(it.is_some(), "its directories (`filesystem`)");
    /// The addresses that its sockets may reach; `Some` and empty grants the interfaces, and nothing behind them.
    Sockets, sockets: Option<Vec<SocketRule>> =
        [sockets] sockets.as_ref().map(|rules| lowering.parsed(rules, SocketRule::parse));
        given Option::is_some;
        elsewhere |it| lost_if(it.is_some(), "the bounds of its `sockets`");
    /// The hosts whose addresses it may look up.
    Lookup, lookup: Option<Vec<HostPattern>> =
        [lookup] lookup.as_ref().map(|hosts| lowering.parsed(hosts, HostPattern::parse));
        given Option::is_some;
        elsewhere |it| lost_if(it.is_some(), "the bounds of its `lookup`");
    /// Spans of its own.
    Otel, otel: bool = [otel] *otel;
        given |it| *it; elsewhere |_| Elsewhere::Same;
    /// The stores that it may use, each once; `Some` and empty grants the interfaces, and nothing behind them.
    Stores, stores: Option<Vec<Arc<StorePlan>>> = [stores] stores.as_ref().map(|names| lowering.granted_stores(names));
        given Option::is_some;
        elsewhere |it| match it {
            Some(stores) if !stores.is_empty() => Elsewhere::Impossible("it has state in `[stores]`"),
            _ => Elsewhere::Same,
        };
}

impl fmt::Display for Grant {
    /// The TOML of the grant, with an example's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let declared = GrantTable::TABLE.keys.iter().find(|declared| declared.name == self.key());
        let value = declared.map_or("", |declared| match declared.kind {
            Kind::Boolean | Kind::BooleanOr(_) => "true",
            _ => declared.example,
        });
        write!(f, "{} = {value}", self.key())
    }
}

/// The targets of a stage's own requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Egress {
    /// The origins; `Some` and empty grants the interface, and nothing behind it.
    pub rules: Option<Vec<EgressRule>>,
    /// The networks that are not of the public internet to which names in the rules may lead all the same.
    pub networks: Vec<Network>,
    /// The pipelines that it may call by name, `http://<name>.internal`. No pipeline reaches itself that way. Each is
    /// there once.
    pub calls: Vec<Call>,
}

impl Egress {
    /// Whether any rule allows a request to `scheme://host:port`; see [`EgressRule::allows`].
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.rules.iter().flatten().any(|rule| rule.allows(scheme, host, port))
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

/// The name alone: the pipeline has an identity of its own.
impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { name, pipeline: _, span: _ } = self;
        name.hash(state);
    }
}

/// A directory of the gateway's machine that a stage sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub path: PathBuf,
    /// Where the stage sees it: an absolute path in normal form.
    pub at: String,
    /// Whether the stage may change what is in it.
    pub write: bool,
    /// Device and inode: another directory with the same name is another mount.
    pub node: (u64, u64),
    /// The place of `path`.
    pub span: Span,
}

impl Hash for Mount {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { path, at, write, node, span: _ } = self;
        // Not the path: two texts may name the same directory.
        (path.as_os_str(), at, write, node).hash(state);
    }
}

impl Lowering<'_> {
    /// The valid rules among `texts`.
    fn parsed<T>(&mut self, texts: &[At<String>], parse: fn(&str) -> Result<T, Fault>) -> Vec<T> {
        let parse = |text: &At<String>| {
            parse(&text.value).map_err(|fault| self.diagnostics.fault(text.span, fault)).ok()
        };
        texts.iter().filter_map(parse).collect()
    }

    fn mounts(&mut self, tables: &[Decoded<MountTable>]) -> Vec<Mount> {
        let mut mounts: Vec<(Mount, Span)> = Vec::new();
        for table in tables {
            let MountTable { path: Some(path), at: Some(at), write } = &**table else { continue };
            let directory = self.directory(path.text());
            if let Err(fault) = check_guest_path(&at.value) {
                self.diagnostics.fault(at.span, fault);
                continue;
            }
            if let Some((_, earlier)) = mounts.iter().find(|(mount, _)| mount.at == at.value) {
                self.diagnostics
                    .error(at.span, format!("two directories of one stage have the path `{}`", at.value))
                    .label("the same path")
                    .related(*earlier, "the first directory")
                    .help("choose another path for one of them");
                continue;
            }
            let Some((path, node, span)) = directory else { continue };
            mounts.push((Mount { path, at: at.value.clone(), write: *write, node, span }, at.span));
        }
        mounts.into_iter().map(|(mount, _)| mount).collect()
    }

    /// A directory that must exist.
    fn directory(&mut self, text: Text<'_>) -> Option<(PathBuf, (u64, u64), Span)> {
        let path = self.source.folder().join(text.text);
        let label = match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Some((path, (found.dev(), found.ino()), text.span)),
            Ok(_) => "not a directory".to_owned(),
            Err(error) => match error.kind() {
                std::io::ErrorKind::NotFound => "no such directory".to_owned(),
                _ => describe(&error),
            },
        };
        self.diagnostics
            .error(text.span, format!("cannot grant the directory `{}`", text.text))
            .label(label)
            .help(format!(
                "looked for {}; paths are relative to the configuration file's folder",
                path.display()
            ));
        None
    }
}

fn check_guest_path(text: &str) -> Result<(), Fault> {
    let fault = |label: &str| {
        let help = "write an absolute path in its plain form, such as \"/data\"";
        Err(Fault::new(format!("invalid path in a stage `{text}`"), label, help))
    };
    let Some(rest) = text.strip_prefix('/') else { return fault("does not begin with `/`") };
    if text.len() > MAX_GUEST_PATH {
        return fault("longer than 256 bytes");
    }
    if !rest.is_empty() && rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return fault("has an empty part, `.` or `..`");
    }
    if text.contains(char::is_control) {
        return fault("has a control character");
    }
    Ok(())
}
