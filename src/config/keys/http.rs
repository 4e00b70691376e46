//! The table of what is taken for HTTP, and of what requests carry along.

use super::tables::{key, optional};
use super::{Kind, Presence, Table, TextForm};

/// The words of `forwarded`.
pub const FORWARDED: &[&str] = &["x-forwarded", "forwarded", "none"];
/// The words of `request-id`.
pub const REQUEST_ID: &[&str] = &["pass", "make", "accept"];
/// The words of `traceparent`.
pub const TRACEPARENT: &[&str] = &["pass", "make"];
/// The words of `encoded-slash`.
pub const ENCODED_SLASH: &[&str] = &["reject", "keep", "decode"];
/// The words of `sni`.
pub const SNI: &[&str] = &["strict", "ignore"];

const fn word(
    name: &'static str,
    words: &'static [&'static str],
    default: &'static str,
    doc: &'static str,
) -> super::Key {
    key(name, Kind::Text(TextForm::OneOf(words)), Presence::Default, default, doc)
}

/// `[http]`.
pub static HTTP: Table = Table {
    id: "http",
    title: "[http]",
    doc: "What is taken for HTTP, and what requests carry along.",
    keys: &[
        optional(
            "trusted-proxies",
            Kind::List { item: &Kind::Text(TextForm::Network), min: 0, max: 1000 },
            "[\"10.0.0.0/8\", \"2001:db8::/32\"]",
            "Addresses and networks whose word about the client is taken: in `X-Forwarded-*` or `Forwarded`, and in the \
             PROXY protocol. Default: none.",
        ),
        word(
            "forwarded",
            FORWARDED,
            "x-forwarded",
            "The form in which stages are told of the client, and trusted proxies are understood: \"x-forwarded\" \
             (`X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, `X-Real-IP`), \"forwarded\" (RFC 7239), or \"none\".",
        ),
        optional(
            "via",
            Kind::Text(TextForm::FieldName),
            "\"edge\"",
            "The gateway's name in `Via`, which is added to requests and responses. Default: no `Via`.",
        ),
        word(
            "request-id",
            REQUEST_ID,
            "pass",
            "`X-Request-Id`: \"pass\" leaves it as it is, \"make\" sets it to the gateway's id, \"accept\" does so unless a \
             trusted proxy sent a valid one.",
        ),
        word(
            "traceparent",
            TRACEPARENT,
            "pass",
            "W3C `traceparent`: \"pass\" keeps a valid one, \"make\" also makes one where there is none. An invalid one is \
             removed, and `tracestate` with it.",
        ),
        word(
            "encoded-slash",
            ENCODED_SLASH,
            "reject",
            "`%2F` in a path: \"reject\" answers 400, \"keep\" takes it for a character, \"decode\" for a slash.",
        ),
        key(
            "merge-slashes",
            Kind::Boolean,
            Presence::Default,
            "true",
            "Whether several slashes in a row are one.",
        ),
        word(
            "sni",
            SNI,
            "strict",
            "With \"strict\", a request for another host than the one that the TLS handshake named is answered 421.",
        ),
    ],
};
