//! `grant` of a stage.

use super::tables::{key, optional, permission, required};
use super::{Kind, MAX_CALLS, Presence, Table, TextForm};

/// `grant` of a stage.
pub static GRANT: Table = Table {
    id: "grant",
    title: "`grant`",
    doc: "What a stage may use of the world outside. Everything is denied by default.",
    keys: &[
        permission("random", "Random numbers."),
        key(
            "clocks",
            Kind::BooleanOr(CLOCKS),
            Presence::Default,
            "false",
            "Clocks and timers; \"coarse\": in steps of a millisecond.",
        ),
        permission(
            "stdio",
            "Standard output and error, which go to the log line by line; standard input is empty.",
        ),
        optional(
            "env",
            Kind::Variables,
            "{ REGION = \"eu\" }",
            "Environment variables by name. A value is text, or a table with the one key `env` or `file`.",
        ),
        optional(
            "egress",
            Kind::List { item: &Kind::Text(TextForm::Origin), min: 0, max: 64 },
            "[\"https://api.example.com\"]",
            "Origins to which the stage may send requests; `https://*.example.com` means all hosts below the domain.",
        ),
        optional(
            "egress-networks",
            Kind::List { item: &Kind::Text(TextForm::Network), min: 0, max: 64 },
            "[\"10.0.0.0/8\"]",
            "Networks inside to which names in `egress` may lead; without it, only to addresses of the public internet.",
        ),
        optional(
            "calls",
            Kind::List { item: &Kind::Text(TextForm::Pipeline), min: 0, max: MAX_CALLS },
            "[\"inventory\"]",
            "Pipelines that the stage may call in this process, as `http://inventory.internal/…`.",
        ),
        optional(
            "filesystem",
            Kind::List { item: &Kind::Table(&MOUNT), min: 0, max: 16 },
            "[{ path = \"data\", as = \"/data\" }]",
            "Directories that the stage sees, and nothing outside of them.",
        ),
        optional(
            "sockets",
            Kind::List { item: &Kind::Text(TextForm::Socket), min: 0, max: 64 },
            "[\"tcp://10.0.0.5:5432\"]",
            "Addresses that the stage's sockets may reach: protocol://address[/prefix]:port[-port].",
        ),
    ],
};

/// The words of `clocks`, beside true and false.
const CLOCKS: &[&str] = &["coarse"];

/// One of `filesystem`.
pub static MOUNT: Table = Table {
    id: "mount",
    title: "one of `filesystem`",
    doc: "A directory that a stage sees.",
    keys: &[
        required(
            "path",
            Kind::Text(TextForm::Path),
            "\"data\"",
            "The directory, relative to this file's folder. It is opened when the configuration is loaded.",
        ),
        required("as", Kind::Text(TextForm::GuestPath), "\"/data\"", "Where the stage sees it."),
        permission("write", "Whether the stage may change what is in it."),
    ],
};
