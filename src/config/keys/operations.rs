//! The tables for whoever runs the gateway: the admin listener and the access log.

use super::tables::{count, key, optional, permission, required};
use super::{Kind, Presence, Table, TextForm};

/// The words of `format`.
const FORMATS: &[&str] = &["json", "combined"];

/// `[admin]`.
pub static ADMIN: Table = Table {
    id: "admin",
    title: "[admin]",
    doc: "The admin listener: health, metrics, the state of the gateway, reload.",
    keys: &[
        required(
            "address",
            Kind::Text(TextForm::Address),
            "\"127.0.0.1:9180\"",
            "IP address and port, not one of `listeners`; port 0 takes a free one.",
        ),
        optional(
            "token",
            Kind::Secret,
            "{ env = \"LINKSPAN_ADMIN_TOKEN\" }",
            "What callers send as `Authorization: Bearer`: 16 to 1024 visible ASCII characters. Everything but \
             `/healthz` and `/readyz` needs it. Required where the address is not a loopback one.",
        ),
    ],
};

/// `[access-log]`.
pub static ACCESS_LOG: Table = Table {
    id: "access-log",
    title: "[access-log]",
    doc: "One line for each request, written when its response has ended.",
    keys: &[
        key(
            "path",
            Kind::Text(TextForm::Path),
            Presence::Default,
            "-",
            "The file that lines are appended to, relative to this file's folder; \"-\" is standard output.",
        ),
        key(
            "format",
            Kind::Text(TextForm::OneOf(FORMATS)),
            Presence::Default,
            "json",
            "\"json\": one object a line, with everything. \"combined\": the format of other web servers.",
        ),
        count(
            "queue",
            "8192",
            16,
            1_000_000,
            "Lines waiting to be written; beyond, lines are dropped and counted.",
        ),
        permission(
            "query",
            "Whether the queries of targets and referrers are logged. They may hold secrets.",
        ),
    ],
};
