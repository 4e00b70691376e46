//! The tables of upstreams: servers in which pipelines may end.

use super::tables::{DAY, HOUR, MINUTE, MS, count, key, optional, required, time};
use super::{Kind, Presence, Table, TextForm};

/// Most servers of one upstream.
pub const MAX_SERVERS: usize = 64;

/// The words of `protocol`.
const PROTOCOLS: &[&str] = &["auto", "http1", "h2"];
/// The words of `balance`.
const BALANCES: &[&str] = &["round-robin", "least-requests"];

/// `[upstreams.<name>]`.
pub static UPSTREAM: Table = Table {
    id: "upstream",
    title: "an upstream",
    doc: "Servers that do the same, in which pipelines may end.",
    keys: &[
        required(
            "servers",
            Kind::List { item: &Kind::Text(TextForm::Server), min: 1, max: MAX_SERVERS },
            "[\"http://10.0.0.1:8080\", \"http://10.0.0.2:8080\"]",
            "`http://host:port` or `https://host:port`, 1 to 64; without port, 80 or 443.",
        ),
        key(
            "protocol",
            Kind::Text(TextForm::OneOf(PROTOCOLS)),
            Presence::Default,
            "auto",
            "\"auto\": what the server chooses (ALPN), HTTP/1.1 without TLS. \"http1\" or \"h2\": only that.",
        ),
        key(
            "balance",
            Kind::Text(TextForm::OneOf(BALANCES)),
            Presence::Default,
            "round-robin",
            "Which server gets a request: the next one, or the one with the fewest requests under way.",
        ),
        key(
            "host",
            Kind::Text(TextForm::Authority),
            Presence::Default,
            "preserve",
            "The `Host` that the server gets: \"preserve\" for the client's, \"upstream\" for the server's own, or a name.",
        ),
        optional(
            "tls",
            Kind::Table(&UPSTREAM_TLS),
            "{ roots = \"ca.pem\" }",
            "For `https`. Default: the web's certificate authorities, no certificate of our own.",
        ),
        optional(
            "health",
            Kind::Table(&HEALTH),
            "{ path = \"/healthz\" }",
            "Requests that ask the servers whether they are well. Default: none.",
        ),
        optional(
            "ejection",
            Kind::Table(&EJECTION),
            "{ failures = 5, time = \"10s\" }",
            "Which servers get no requests for a time because they failed.",
        ),
        optional(
            "retry",
            Kind::Table(&RETRY),
            "{ attempts = 1, budget = 20 }",
            "Which requests are sent a second time.",
        ),
        optional(
            "limits",
            Kind::Table(&UPSTREAM_LIMITS),
            "{ response-timeout = \"10s\" }",
            "Bounds of the upstream.",
        ),
    ],
};

/// `tls` of an upstream.
pub static UPSTREAM_TLS: Table = Table {
    id: "upstream-tls",
    title: "the `tls` of an upstream",
    doc: "What the servers must show, and what is shown to them.",
    keys: &[
        optional(
            "roots",
            Kind::Text(TextForm::Path),
            "\"ca.pem\"",
            "PEM file with the certificates that a server's must come from. Default: the web's authorities.",
        ),
        optional(
            "certificate",
            Kind::Text(TextForm::Path),
            "\"client.pem\"",
            "PEM file with a certificate chain that is shown to servers that ask. Only with `key`.",
        ),
        optional("key", Kind::Text(TextForm::Path), "\"client.key\"", "PEM file with its private key."),
        optional(
            "name",
            Kind::Text(TextForm::Host),
            "\"api.internal\"",
            "The name that is asked for (SNI) and that the certificate must have. Default: the server's host.",
        ),
    ],
};

/// `health` of an upstream.
pub static HEALTH: Table = Table {
    id: "health",
    title: "`health`",
    doc: "Requests that ask the servers whether they are well.",
    keys: &[
        required(
            "path",
            Kind::Text(TextForm::Target),
            "\"/healthz\"",
            "The path and query that is asked for.",
        ),
        optional(
            "status",
            Kind::Count { min: 200, max: 599 },
            "204",
            "The status of a server that is well. Default: every one from 200 to 299.",
        ),
        time("interval", "5s", MS, HOUR, "Between two requests to a server."),
        time("timeout", "2s", MS, MINUTE, "Longest time to the head of the answer."),
        count("healthy", "2", 1, 100, "Good answers in a row that bring a server back."),
        count("unhealthy", "3", 1, 100, "Bad or missing answers in a row that take a server out."),
    ],
};

/// `ejection` of an upstream.
pub static EJECTION: Table = Table {
    id: "ejection",
    title: "`ejection`",
    doc: "Which servers get no requests for a time because they failed.",
    keys: &[
        count("failures", "5", 0, 1_000_000, "Failures in a row that eject a server; 0: never."),
        time("time", "10s", MS, DAY, "How long it is ejected."),
        count("share", "50", 0, 100, "Percent of the servers that may be ejected at once, rounded down."),
    ],
};

/// `retry` of an upstream.
pub static RETRY: Table = Table {
    id: "retry",
    title: "`retry`",
    doc: "Which requests are sent a second time.",
    keys: &[
        count("attempts", "1", 0, 10, "Retries of one request; 0: never."),
        count("budget", "20", 0, 100, "Retries, in percent of the requests."),
    ],
};

/// `limits` of an upstream.
pub static UPSTREAM_LIMITS: Table = Table {
    id: "upstream-limits",
    title: "the limits of an upstream",
    doc: "Bounds of an upstream; counts are per worker.",
    keys: &[
        time(
            "connect-timeout",
            "5s",
            MS,
            MINUTE,
            "Longest time to look a name up, connect and agree on TLS.",
        ),
        time(
            "response-timeout",
            "25s",
            MS,
            HOUR,
            "From the request's last byte to the head of the response; then 504.",
        ),
        time("idle-timeout", "60s", MS, HOUR, "Longest pause in a response's body; then it is cut."),
        time("total-timeout", "1h", MS, DAY, "From the request's head to the end of the response."),
        count("connections", "256", 1, 65_536, "Connections to one server."),
        count("streams", "100", 1, 10_000, "HTTP/2: requests at once on one connection."),
        count(
            "pending",
            "1024",
            0,
            1_000_000,
            "Requests that wait for a connection; one more is answered 503.",
        ),
        time("pending-timeout", "5s", MS, HOUR, "How long a request may wait for a connection; then 503."),
        count("keep-alive", "32", 0, 65_536, "Connections to one server that are kept without a request."),
        time("keep-alive-timeout", "60s", MS, HOUR, "How long they are kept."),
        time(
            "resolve",
            "30s",
            MS,
            DAY,
            "How long the addresses of a name are used before it is looked up again.",
        ),
    ],
};
