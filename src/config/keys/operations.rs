//! Operations: the admin listener, the log and the access log.

use crate::config::declare::{choices, count, keys, node, one_of, path, permission, size, text};
use crate::config::kinds::{Kind, TextForm};
use crate::config::syntax::Node;
use crate::config::typed::At;
use crate::config::units::{GIB, KIB};

keys! {
    /// The admin listener: health, metrics, the state of the gateway, reload.
    Admin = "admin", "[admin]";

    /// IP address and port, not one of `listeners`; port 0 takes a free port.
    address: Option<At<String>> = text(TextForm::Address).required("\"127.0.0.1:9180\"");
    /// The token that callers send as `Authorization: Bearer`. Required if the address is not a loopback address. Keep
    /// the token in a variable or a file: a finding shows its line of the configuration.
    token: Option<Node> = node(Kind::Secret).optional("{ env = \"LINKSPAN_ADMIN_TOKEN\" }", "none");
    /// A second token, for callers that may look and change nothing: a scraper, a dashboard. It needs `token`.
    read_token: Option<Node> = node(Kind::Secret).optional("{ env = \"LINKSPAN_READ_TOKEN\" }", "none");
}

keys! {
    /// The log on standard error. Nothing waits for its reader.
    Log = "log", "[log]";

    /// Lines waiting to be written. When the queue is full, lines are dropped and counted.
    queue: usize = size(256 * KIB, GIB).default("1MiB");
    /// Lines per second of one kind: from one place in the code, about one pipeline, stage, upstream, server or
    /// listener. Ten times as many may come at once. Further lines are left out, and the log says every 10 s how many.
    /// A stage's own log lines have a [separate bound](writing-a-stage.md#log).
    rate: u32 = count(1, 1_000_000).default("100");
    /// Longest message or other value in a line, including escapes. The rest is cut off.
    value_size: usize = size(256, 64 * KIB).default("8KiB");
}

keys! {
    /// One line for each request, written when its response has ended.
    AccessLog = "access-log", "[access-log]";

    /// The file to which lines are appended, in a folder that exists; `-` is standard output.
    path: At<String> = path().default("-");
    /// `"json"`: one JSON object per line, with all fields. `"combined"`: the format of other web servers.
    format: AccessFormat = one_of().default("json");
    /// Lines waiting to be written. A request never waits for its line: when the queue is full, lines are dropped and
    /// counted.
    queue: usize = count(16, 1_000_000).default("8192");
    /// Whether the queries of targets and referrers are logged. They may hold secrets.
    query: bool = permission();
}

choices! {
    /// How a line of the access log looks.
    #[derive(Default)]
    AccessFormat {
        /// One JSON object.
        #[default]
        Json = "json",
        /// The combined log format.
        Combined = "combined",
    }
}
