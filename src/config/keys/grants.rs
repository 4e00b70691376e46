//! `grant` of a stage.

use crate::config::declare::{Spec, keys, node, path, permission, tables, text, texts};
use crate::config::kinds::{Kind, TextForm};
use crate::config::syntax::Node;
use crate::config::typed::{At, Decoded, Field, Found};

/// Most pipelines that one stage may call by name.
pub const MAX_CALLS: usize = 64;

keys! {
    /// The capabilities of a stage. Everything is denied by default.
    Grant = "grant", "`grant`";

    /// Random numbers: `wasi:random/*`.
    random: bool = permission();
    /// Clocks and timers: `wasi:clocks/monotonic-clock` and `system-clock` (0.2: `wall-clock`). `"coarse"`: in steps of
    /// a millisecond, see below.
    clocks: Clocks = Spec::new(Kind::BooleanOr(&["coarse"])).default("false");
    /// `wasi:cli/stdout` and `stderr`, which go to the log line by line, and `stdin`, which is empty.
    stdio: bool = permission();
    /// `wasi:cli/environment`, with these variables and no others. A value is text, or a table with the single key
    /// `env` or `file`. `{}` grants an environment without variables.
    env: Option<Node> = node(Kind::Variables).optional("{ NAME = \"value\" }", "none");
    /// `wasi:http/client` (0.2: `outgoing-handler`), to these origins and no others; at most 64. `[]` grants the import
    /// and nothing behind it.
    egress: Option<Vec<At<String>>> =
        texts(&Kind::Text(TextForm::Origin), 0, 64).optional("[\"https://api.example.com\"]", "none");
    /// Internal networks to which names in `egress` may resolve: `"10.0.0.0/8"`, `"fd00::/8"`, `"10.0.0.5"`; at most
    /// 64.
    egress_networks: Vec<At<String>> =
        texts(&Kind::Text(TextForm::Network), 0, 64).optional("[\"10.0.0.0/8\"]", "none");
    /// `wasi:http/client` (0.2: `outgoing-handler`), to these pipelines as `http://<pipeline>.internal`, see
    /// [Calls](calls.md); at most 64.
    calls: Vec<At<String>> = texts(&Kind::Text(TextForm::Pipeline), 0, MAX_CALLS).optional("[\"inventory\"]", "none");
    /// `wasi:filesystem`: these directories, each `{ path = "data", as = "/data", write = false }`, and nothing outside
    /// of them; at most 16. `[]` grants the import and no directory.
    filesystem: Option<Vec<Decoded<Mount>>> = tables(0, 16).optional("[{ path = \"data\", as = \"/data\" }]", "none");
    /// `wasi:sockets`: TCP and UDP to these addresses and no others; at most 64. `[]` grants the import and no address.
    sockets: Option<Vec<At<String>>> =
        texts(&Kind::Text(TextForm::Socket), 0, 64).optional("[\"tcp://10.0.0.5:5432\"]", "none");
    /// `wasi:sockets/ip-name-lookup` of WASI 0.3: the addresses of these hosts and no others, `"db.example.com"` or
    /// `"*.example.com"`; at most 64. What an address can be used for is up to `sockets`.
    lookup: Option<Vec<At<String>>> =
        texts(&Kind::Text(TextForm::Host), 0, 64).optional("[\"db.example.com\"]", "none");
    /// `wasi:otel/tracing`, `logs` and `metrics`: [spans of its own](tracing.md#spans-of-stages-own) in the request's trace, lines in the
    /// log, and [metrics](metrics.md#metrics-of-stages-own).
    otel: bool = permission();
    /// These [stores](#stores) and no others, by name; at most 16: the stage's counters can be there.
    stores: Option<Vec<At<String>>> = texts(&Kind::Text(TextForm::Store), 0, 16).optional("[\"shared\"]", "none");
}

keys! {
    /// A directory that a stage sees.
    Mount = "mount", "one of `filesystem`";

    /// The directory, relative to this file's folder. It is opened when the configuration is loaded.
    path: Option<At<String>> = path().required("\"data\"");
    /// Where the stage sees it.
    at as "as": Option<At<String>> = text(TextForm::GuestPath).required("\"/data\"");
    /// Whether the stage may change what is in it.
    write: bool = permission();
}

/// How well a stage may tell the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Clocks {
    /// Not at all.
    #[default]
    Denied,
    /// In steps that are too long to measure what a neighbour in the process does.
    Coarse,
    /// As well as the gateway.
    Real,
}

impl Field for Clocks {
    type Form = Self;
    const CAN_LACK: bool = false;

    fn read(found: Found<'_>) -> Self {
        match found.boolean_or_word() {
            Ok(false) => Self::Denied,
            Ok(true) => Self::Real,
            Err(_) => Self::Coarse,
        }
    }
}
