//! The tables of the front end: its bounds, and TLS.

use std::time::Duration;

use super::tables::{HOUR, KIB, MIB, MINUTE, MS, count, key, optional, required, size, time};
use super::{Key, Kind, Presence, Table, TextForm};

/// Most certificates beside a listener's first.
pub const MAX_CERTIFICATES: usize = 256;

/// `[limits]`.
pub static LIMITS: Table = Table {
    id: "limits",
    title: "[limits]",
    doc: "Bounds of the whole process.",
    keys: &[
        count("connections", "10000", 1, 1_000_000, "Open connections."),
        count(
            "connections-per-address",
            "1000",
            1,
            1_000_000,
            "Open connections of one client: an address of IPv4, or the first 64 bits of one of IPv6. One more is closed.",
        ),
        count(
            "requests-per-connection",
            "1000000",
            1,
            1_000_000_000,
            "Requests of one connection; the last one's answer says that it was the last.",
        ),
        count("handshakes", "256", 1, 100_000, "TLS handshakes under way at once."),
        time("handshake-timeout", "10s", MS, MINUTE, "Longest TLS handshake."),
        time(
            "header-read-timeout",
            "10s",
            MS,
            HOUR,
            "HTTP/1: longest time to receive the head of a request.",
        ),
        time("idle-timeout", "75s", MS, HOUR, "How long a kept-alive connection may stay without a request."),
        size(
            "header-size",
            "64KiB",
            8 * KIB,
            MIB,
            "Head of a request: the buffer of HTTP/1, the largest header list of HTTP/2.",
        ),
        count("header-count", "100", 1, 1000, "Header fields of a request."),
        size("uri-size", "8KiB", 64, 64 * KIB, "Target of a request; at most `header-size`."),
        size("chunk-extensions", "256B", 0, 16 * KIB, "HTTP/1: chunk extensions in the body of a request."),
        count("streams", "128", 1, 10_000, "HTTP/2 streams at once on one connection."),
        count(
            "stream-resets",
            "200",
            1,
            1_000_000,
            "HTTP/2: streams of one connection that its client resets in 10 s, beyond those that were answered. One more \
             ends the connection.",
        ),
        count(
            "control-frames",
            "1000",
            16,
            1_000_000,
            "HTTP/2: frames of one connection in 10 s that bring no request on, such as PING and SETTINGS. One more ends \
             the connection.",
        ),
        size(
            "download-rate",
            "256B",
            0,
            MIB,
            "What a client takes of a response's body at least, a second, while there is something to take; then its \
             connection ends. \"0B\": no bound.",
        ),
        time(
            "download-grace",
            "60s",
            MS,
            HOUR,
            "How long a client may take nothing before `download-rate` holds.",
        ),
        time(
            "shutdown-timeout",
            "30s",
            Duration::ZERO,
            HOUR,
            "How long requests may take to finish on SIGTERM.",
        ),
        count("instances", "4000", 1, 100_000, "Instances of all pipelines and workers together."),
        count(
            "call-depth",
            "8",
            1,
            1000,
            "Pipelines that call each other in a row, beyond the one that a request was routed to; one more call is \
             refused.",
        ),
        count(
            "rate-limit-keys",
            "65536",
            1,
            16_777_216,
            "Keys that the rate limiter of one stage remembers.",
        ),
    ],
};

/// The words of `min-version`.
const VERSIONS: &[&str] = &["1.2", "1.3"];
/// The words of `alpn`.
const ALPN: &[&str] = &["h2", "http/1.1"];
/// The words of `fallback`.
const FALLBACKS: &[&str] = &["default", "refuse"];
/// The words of `mode`.
const MODES: &[&str] = &["required", "optional"];

/// The words of `cipher-suites`, as IANA has them, but for the names of TLS 1.3's, which begin with `TLS13_`.
pub const CIPHER_SUITES: &[&str] = &[
    "TLS13_AES_256_GCM_SHA384",
    "TLS13_AES_128_GCM_SHA256",
    "TLS13_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

const CERTIFICATE_FILE: Key = required(
    "certificate",
    Kind::Text(TextForm::Path),
    "\"cert.pem\"",
    "PEM file with the certificate chain, relative to this file's folder.",
);
const KEY_FILE: Key = required(
    "key",
    Kind::Text(TextForm::Path),
    "\"key.pem\"",
    "PEM file with the private key, relative to this file's folder.",
);
const OCSP_FILE: Key = optional(
    "ocsp",
    Kind::Text(TextForm::Path),
    "\"ocsp.der\"",
    "DER file with the OCSP response for the certificate, stapled until it expires. Default: none.",
);

/// `tls` of a listener.
pub static TLS: Table = Table {
    id: "tls",
    title: "`tls`",
    doc: "TLS of a listener: its certificates, and what is asked of clients.",
    keys: &[
        CERTIFICATE_FILE,
        KEY_FILE,
        OCSP_FILE,
        optional(
            "certificates",
            Kind::List { item: &Kind::Table(&CERTIFICATE), min: 1, max: MAX_CERTIFICATES },
            "[{ certificate = \"b.pem\", key = \"b.key\" }]",
            "Certificates for further names; the client's choice of name (SNI) decides.",
        ),
        key(
            "fallback",
            Kind::Text(TextForm::OneOf(FALLBACKS)),
            Presence::Default,
            "default",
            "What a client gets that asks for a name that no certificate has, or for none: \"default\", the first \
             certificate, or \"refuse\", an end of the handshake.",
        ),
        optional(
            "client-auth",
            Kind::Table(&CLIENT_AUTH),
            "{ roots = \"clients.pem\" }",
            "Certificates of clients. Default: none are asked for.",
        ),
        key(
            "min-version",
            Kind::Text(TextForm::OneOf(VERSIONS)),
            Presence::Default,
            "1.2",
            "The oldest version of TLS that is spoken.",
        ),
        optional(
            "cipher-suites",
            Kind::List {
                item: &Kind::Text(TextForm::OneOf(CIPHER_SUITES)),
                min: 1,
                max: CIPHER_SUITES.len(),
            },
            "[\"TLS13_AES_256_GCM_SHA384\"]",
            "The cipher suites that are spoken, most wanted first. Default: all.",
        ),
        optional(
            "alpn",
            Kind::List { item: &Kind::Text(TextForm::OneOf(ALPN)), min: 1, max: ALPN.len() },
            "[\"h2\", \"http/1.1\"]",
            "The protocols that a client may choose from (ALPN), most wanted first. Default: both.",
        ),
        key(
            "resumption",
            Kind::Boolean,
            Presence::Default,
            "true",
            "Whether a client may resume a session without a new key exchange of certificates.",
        ),
    ],
};

/// One of `tls.certificates`.
pub static CERTIFICATE: Table = Table {
    id: "certificate",
    title: "one of `certificates`",
    doc: "A certificate for names of its own.",
    keys: &[
        CERTIFICATE_FILE,
        KEY_FILE,
        OCSP_FILE,
        optional(
            "names",
            Kind::List { item: &Kind::Text(TextForm::Host), min: 1, max: 100 },
            "[\"b.example.com\", \"*.b.example.com\"]",
            "The names it is shown for. Default: all DNS names that it has.",
        ),
    ],
};

/// `client-auth` of `tls`.
pub static CLIENT_AUTH: Table = Table {
    id: "client-auth",
    title: "`client-auth`",
    doc: "Certificates of clients.",
    keys: &[
        required(
            "roots",
            Kind::Text(TextForm::Path),
            "\"clients.pem\"",
            "PEM file with the certificates that clients' chains must end in.",
        ),
        key(
            "mode",
            Kind::Text(TextForm::OneOf(MODES)),
            Presence::Default,
            "required",
            "\"required\": without a certificate there is no connection. \"optional\": a client may have none.",
        ),
        optional(
            "revoked",
            Kind::Text(TextForm::Path),
            "\"clients.crl\"",
            "PEM file with the certificate revocation lists of all authorities in clients' chains. Default: none.",
        ),
    ],
};
