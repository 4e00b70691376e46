//! Upstreams: servers in which pipelines may end.

use std::time::Duration;

use crate::config::declare::{choices, count, keys, one_of, path, table, text, texts, time};
use crate::config::kinds::{Kind, TextForm};
use crate::config::typed::{At, Decoded};
use crate::config::units::{DAY, HOUR, MINUTE, MS};

/// Most servers of one upstream.
pub const MAX_SERVERS: usize = 64;

keys! {
    /// Servers that do the same, in which pipelines may end.
    Upstream = "upstream", "an upstream";

    /// `http://host:port` or `https://host:port`, 1 to 64; without a port, 80 or 443.
    servers: Vec<At<String>> =
        texts(&Kind::Text(TextForm::Server), 1, MAX_SERVERS).required("[\"http://10.0.0.1:8080\", \"http://10.0.0.2:8080\"]");
    /// `"auto"`: the server's choice by ALPN; without TLS, HTTP/1.1. `"http1"`, `"h2"`: only that protocol.
    protocol: UpstreamProtocol = one_of().default("auto");
    /// `"round-robin"` or `"least-requests"`.
    balance: Balance = one_of().default("round-robin");
    /// The `Host` that servers get: the request's own (`"preserve"`), the server's (`"upstream"`), or a name,
    /// optionally with a port.
    host: At<String> = text(TextForm::Authority).default("preserve");
    /// For `https`: `roots`, a PEM file; `certificate` and `key`, PEM files of the gateway's own; `name`, in place of
    /// the server's host.
    tls: Option<Decoded<UpstreamTls>> = table().optional("{ roots = \"ca.pem\" }", "the web's roots");
    /// Health checks of the servers, below.
    health: Option<Decoded<Health>> = table().optional("{ path = \"/healthz\" }", "none");
    /// Ejection: servers that failed get no requests for a time, below.
    ejection: Ejection = table().optional("{ failures = 5, time = \"10s\" }", "");
    /// Which requests are [sent again](upstreams.md#what-is-sent-again), below.
    retry: Retry = table().optional("{ attempts = 1, budget = 20 }", "");
    /// Bounds of the upstream, below.
    limits: UpstreamLimits = table().optional("{ response-timeout = \"10s\" }", "");
}

keys! {
    /// Certificates of the servers, and the gateway's own.
    UpstreamTls = "upstream-tls", "the `tls` of an upstream";

    /// PEM file with the authorities that must have issued a server's certificate.
    roots: Option<At<String>> = path().optional("\"ca.pem\"", "the web's authorities");
    /// PEM file with a certificate chain that is shown to servers that ask. Only with `key`.
    certificate: Option<At<String>> = path().optional("\"client.pem\"", "");
    /// PEM file with the private key of `certificate`.
    key: Option<At<String>> = path().optional("\"client.key\"", "");
    /// The name that linkspan asks for (SNI) and that the certificate must have.
    name: Option<At<String>> = text(TextForm::Host).optional("\"api.internal\"", "the server's host");
}

keys! {
    /// Health checks of the servers.
    Health = "health", "`health`";

    /// Path and query of the request, a GET.
    path: Option<At<String>> = text(TextForm::Target).required("\"/healthz\"");
    /// The status of a healthy server.
    status: Option<u16> = count(200, 599).optional("204", "200 to 299");
    /// Time between two requests to a server.
    interval: Duration = time(MS, HOUR).default("5s");
    /// Time to the head of the answer, including the connection.
    timeout: Duration = time(MS, MINUTE).default("2s");
    /// Good answers in a row after which a server is up again.
    healthy: usize = count(1, 100).default("2");
    /// Bad or missing answers in a row after which a server is down.
    unhealthy: usize = count(1, 100).default("3");
}

keys! {
    /// Ejection: servers that failed get no requests for a time.
    Ejection = "ejection", "`ejection`";

    /// Failures in a row that eject a server. 0: never.
    failures: usize = count(0, 1_000_000).default("5");
    /// How long a server is ejected.
    time: Duration = time(MS, DAY).default("10s");
    /// Percent of the servers that may be ejected at once, rounded down.
    share: usize = count(0, 100).default("50");
}

keys! {
    /// Which requests are sent a second time.
    Retry = "retry", "`retry`";

    /// Retries of one request.
    attempts: usize = count(0, 10).default("1");
    /// Retries in percent of the requests. 0: never.
    budget: usize = count(0, 100).default("20");
}

keys! {
    /// Bounds of an upstream; counts are per worker.
    UpstreamLimits = "upstream-limits", "the limits of an upstream";

    /// Time to look up a name, connect and do the TLS handshake. Then 504.
    connect_timeout: Duration = time(MS, MINUTE).default("5s");
    /// How long the server may take, from the last byte of the request that was sent to the head of the response. Then
    /// 504. The pipeline's `deadline` applies, too; a server that exceeds only the `deadline` has not failed.
    response_timeout: Duration = time(MS, HOUR).default("25s");
    /// Longest wait for the next piece of a response's body. Then the response is cut. The pipeline's
    /// `body-idle-timeout` applies, too.
    idle_timeout: Duration = time(MS, HOUR).default("60s");
    /// From the head of the request to the end of the response. Then 504, or the response is cut.
    total_timeout: Duration = time(MS, DAY).default("1h");
    /// Connections to one server.
    connections: usize = count(1, 65_536).default("256");
    /// HTTP/2: requests at once on one connection.
    streams: usize = count(1, 10_000).default("100");
    /// Requests that wait for a connection. One more gets 503.
    pending: usize = count(0, 1_000_000).default("1024");
    /// How long a request may wait for a connection. Then 503.
    pending_timeout: Duration = time(MS, HOUR).default("5s");
    /// HTTP/1.1: connections to one server that are kept without a request.
    keep_alive: usize = count(0, 65_536).default("32");
    /// How long a connection without a request is kept.
    keep_alive_timeout: Duration = time(MS, HOUR).default("60s");
    /// How long the addresses of a name are used before the name is looked up again.
    resolve: Duration = time(MS, DAY).default("30s");
}

choices! {
    /// The protocol of the servers.
    #[derive(Default)]
    UpstreamProtocol {
        /// The server's choice by ALPN; without TLS, HTTP/1.1.
        #[default]
        Auto = "auto",
        /// HTTP/1.1.
        Http1 = "http1",
        /// HTTP/2; without TLS, from the first byte on (RFC 9113 §3.3).
        Http2 = "h2",
    }
}

choices! {
    /// Which server gets a request.
    #[derive(Default)]
    Balance {
        /// The next server.
        #[default]
        RoundRobin = "round-robin",
        /// The server with the fewest requests of this worker under way.
        LeastRequests = "least-requests",
    }
}
