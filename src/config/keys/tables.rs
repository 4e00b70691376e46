//! The tables themselves: one for each kind of table in the file, the file first.

use std::time::Duration;

use super::front::{LIMITS, TLS};
use super::grants::GRANT;
use super::http::HTTP;
use super::operations::{ACCESS_LOG, ADMIN};
use super::upstreams::UPSTREAM;
use super::when::{PIN, WHEN};
use super::{Key, Kind, MAX_MIDDLEWARE, MAX_NEXT, Presence, Table, TextForm};

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) const fn key(
    name: &'static str,
    kind: Kind,
    presence: Presence,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, kind, presence, example, doc }
}

pub(super) const fn required(
    name: &'static str,
    kind: Kind,
    example: &'static str,
    doc: &'static str,
) -> Key {
    key(name, kind, Presence::Required, example, doc)
}

pub(super) const fn optional(
    name: &'static str,
    kind: Kind,
    example: &'static str,
    doc: &'static str,
) -> Key {
    key(name, kind, Presence::Optional, example, doc)
}

pub(super) const fn count(
    name: &'static str,
    default: &'static str,
    min: u64,
    max: u64,
    doc: &'static str,
) -> Key {
    key(name, Kind::Count { min, max }, Presence::Default, default, doc)
}

pub(super) const fn size(
    name: &'static str,
    default: &'static str,
    min: u64,
    max: u64,
    doc: &'static str,
) -> Key {
    key(name, Kind::Size { min, max }, Presence::Default, default, doc)
}

pub(super) const fn time(
    name: &'static str,
    default: &'static str,
    min: Duration,
    max: Duration,
    doc: &'static str,
) -> Key {
    key(name, Kind::Duration { min, max }, Presence::Default, default, doc)
}

pub(super) const fn permission(name: &'static str, doc: &'static str) -> Key {
    key(name, Kind::Boolean, Presence::Default, "false", doc)
}

/// The file.
pub static ROOT: Table = Table {
    id: "file",
    title: "the file",
    doc: "Configuration of a linkspan gateway.",
    keys: &[
        optional("gateway", Kind::Table(&GATEWAY), "{ workers = 2 }", "The process."),
        optional("limits", Kind::Table(&LIMITS), "{ connections = 10000 }", "Bounds of the whole process."),
        optional(
            "http",
            Kind::Table(&HTTP),
            "{ trusted-proxies = [\"10.0.0.0/8\"] }",
            "What is taken for HTTP, and what requests carry along.",
        ),
        optional(
            "admin",
            Kind::Table(&ADMIN),
            "{ address = \"127.0.0.1:9180\" }",
            "The admin listener. Default: none.",
        ),
        optional(
            "access-log",
            Kind::Table(&ACCESS_LOG),
            "{ path = \"-\" }",
            "The access log. Default: none.",
        ),
        optional(
            "listeners",
            Kind::List { item: &Kind::Table(&LISTENER), min: 0, max: 64 },
            "[{ address = \"127.0.0.1:8080\" }]",
            "Addresses on which requests are accepted; at least one.",
        ),
        optional(
            "components",
            Kind::Named { table: &COMPONENT, max: 1000 },
            "{ hello = { path = \"hello.wasm\" } }",
            "WebAssembly components by name (kebab case, at most 64 characters).",
        ),
        optional(
            "upstreams",
            Kind::Named { table: &UPSTREAM, max: 1000 },
            "{ backend = { servers = [\"http://127.0.0.1:8081\"] } }",
            "Servers in which pipelines may end, by name (kebab case, at most 64 characters).",
        ),
        optional(
            "pipelines",
            Kind::Named { table: &PIPELINE, max: 1000 },
            "{ edge = { service = { component = \"hello\" } } }",
            "Pipelines by name (kebab case, at most 64 characters); at least one.",
        ),
        optional(
            "routes",
            Kind::List { item: &Kind::Table(&ROUTE), min: 0, max: 10_000 },
            "[{ pipeline = \"edge\" }]",
            "Which requests go to which pipeline; at least one. The most specific route wins: an exact host before a \
             wildcard before none, then the longest path, then a route with methods before one without.",
        ),
    ],
};

/// `[gateway]`.
pub static GATEWAY: Table = Table {
    id: "gateway",
    title: "[gateway]",
    doc: "The process.",
    keys: &[
        optional(
            "workers",
            Kind::Count { min: 1, max: 256 },
            "2",
            "Worker threads, each with its own connections and instances. Default: the number of available CPUs.",
        ),
        time(
            "watch",
            "500ms",
            Duration::ZERO,
            HOUR,
            "How often the files of the configuration are looked at; a change that has settled is loaded. \"0s\": never.",
        ),
        time(
            "retire-timeout",
            "10m",
            MS,
            DAY,
            "How long requests of a replaced configuration may go on; then they are cut.",
        ),
        count("history", "5", 1, 100, "Replaced configurations that a rollback can bring back."),
        optional(
            "compile-cache",
            Kind::Text(TextForm::Path),
            "\"/var/cache/linkspan\"",
            "A folder for compiled components, made if it is missing, which only its owner may write. Default: none.",
        ),
        time(
            "drain-delay",
            "0s",
            Duration::ZERO,
            HOUR,
            "On SIGTERM: how long requests are still accepted while `/readyz` says no.",
        ),
        optional(
            "handover",
            Kind::Text(TextForm::Path),
            "\"/run/linkspan/handover.sock\"",
            "A Unix socket over which a new process takes the listening sockets from the old one. Default: none.",
        ),
        count(
            "calls",
            "1024",
            1,
            1_000_000,
            "Embedded in a program: requests on their way to a worker, for each of them; one more is answered 503.",
        ),
    ],
};

/// `[[listeners]]`.
pub static LISTENER: Table = Table {
    id: "listener",
    title: "a listener",
    doc: "An address on which requests are accepted.",
    keys: &[
        required(
            "address",
            Kind::Text(TextForm::Address),
            "\"127.0.0.1:8443\"",
            "IP address and port; port 0 takes a free one.",
        ),
        optional(
            "tls",
            Kind::Table(&TLS),
            "{ certificate = \"cert.pem\", key = \"key.pem\" }",
            "TLS. Default: plain HTTP.",
        ),
        optional(
            "redirect",
            Kind::Text(TextForm::OneOf(SECURE)),
            "\"https\"",
            "\"https\": every request is answered 308 with the same target under https. Only without `tls`.",
        ),
        optional(
            "redirect-port",
            Kind::Count { min: 1, max: 65_535 },
            "8443",
            "The port of https that clients are sent to. Default: 443.",
        ),
        optional(
            "proxy-protocol",
            Kind::Text(TextForm::OneOf(PROXY_PROTOCOL)),
            "\"v2\"",
            "Each connection begins with a header of the PROXY protocol, of this version, from one of \
             `http.trusted-proxies`; others are closed. Default: none does.",
        ),
        time(
            "proxy-timeout",
            "5s",
            MS,
            MINUTE,
            "How long the header of the PROXY protocol may take; then the connection closes.",
        ),
    ],
};

/// The words of `proxy-protocol`.
pub const PROXY_PROTOCOL: &[&str] = &["v1", "v2"];

/// `[components.<name>]`.
pub static COMPONENT: Table = Table {
    id: "component",
    title: "a component",
    doc: "A WebAssembly component.",
    keys: &[
        required(
            "path",
            Kind::Text(TextForm::Path),
            "\"hello.wasm\"",
            "The component's file, relative to this file's folder.",
        ),
        optional(
            "sha256",
            Kind::Text(TextForm::Digest),
            "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
            "SHA-256 of the file in hexadecimal. A file with another digest is refused.",
        ),
    ],
};

/// `[pipelines.<name>]`.
pub static PIPELINE: Table = Table {
    id: "pipeline",
    title: "a pipeline",
    doc: "Stages that a request goes through, and the service or upstream that answers it.",
    keys: &[
        key(
            "link",
            Kind::Text(TextForm::OneOf(LINKS)),
            Presence::Default,
            "static",
            "How the stages are linked where they do not say it themselves.",
        ),
        key(
            "isolation",
            Kind::Text(TextForm::OneOf(ISOLATIONS)),
            Presence::Default,
            "reuse",
            "Whether an instance serves many requests, or each request has a fresh one.",
        ),
        key(
            "lift",
            Kind::Text(TextForm::OneOf(LIFTS)),
            Presence::Default,
            "as-is",
            "Whether async-lifted middleware is rewritten to a sync lift, where it does not say it itself.",
        ),
        optional(
            "stages",
            Kind::List { item: &Kind::Table(&STAGE), min: 0, max: MAX_MIDDLEWARE },
            "[{ component = \"request-id\" }]",
            "Middleware in the order in which a request meets it, at most 16.",
        ),
        optional(
            "service",
            Kind::Table(&STAGE),
            "{ component = \"hello\" }",
            "The service that answers. Either this, `upstream` or `native`.",
        ),
        optional(
            "upstream",
            Kind::Text(TextForm::Upstream),
            "\"backend\"",
            "A name under `upstreams`: its servers answer.",
        ),
        optional(
            "native",
            Kind::Text(TextForm::Native),
            "\"app\"",
            "A service of the program that embeds the gateway, by the name that the program gave it.",
        ),
        optional(
            "limits",
            Kind::Table(&PIPELINE_LIMITS),
            "{ deadline = \"30s\" }",
            "Bounds of the pipeline.",
        ),
    ],
};

/// `[pipelines.<name>.limits]`.
pub static PIPELINE_LIMITS: Table = Table {
    id: "pipeline-limits",
    title: "the limits of a pipeline",
    doc: "Bounds of one pipeline.",
    keys: &[
        time(
            "deadline",
            "30s",
            MS,
            HOUR,
            "From the head of the request to the head of the response; then 504.",
        ),
        time(
            "total",
            "24h",
            MS,
            MONTH,
            "From the head of the response to the end of its body; then the response is cut.",
        ),
        time("body-idle-timeout", "60s", MS, HOUR, "Longest pause in a body, in either direction."),
        size(
            "upload-rate",
            "256B",
            0,
            MIB,
            "What a client sends of a request's body at least, a second, while it is waited for; then 408. \"0B\": no bound.",
        ),
        time(
            "upload-grace",
            "60s",
            MS,
            HOUR,
            "How long a client may send nothing before `upload-rate` holds.",
        ),
        time("cpu", "1s", MS, MINUTE, "Longest computation without waiting."),
        time("linger", "2s", Duration::ZERO, HOUR, "How long work left behind may go on after the response."),
        size("request-body", "64MiB", 0, 1024 * GIB, "Body of a request; a larger one is answered 413."),
        count("instances", "64", 1, 1000, "Instances per worker."),
        count("concurrency", "32", 1, 1000, "Requests at once in one instance, for async guests."),
        count("reuse", "10000", 1, 1_000_000, "Requests after which an instance is replaced."),
        time("instance-idle-timeout", "60s", MS, DAY, "How long an instance may stay without a request."),
        count(
            "queue",
            "256",
            0,
            100_000,
            "Requests waiting for an instance, per worker; one more is answered 503.",
        ),
        time("queue-timeout", "5s", MS, HOUR, "How long a request may wait for an instance; then 503."),
    ],
};

/// The words of `redirect`.
const SECURE: &[&str] = &["https"];
/// The words of `link`.
const LINKS: &[&str] = &["static", "dynamic"];
/// The words of `isolation`.
const ISOLATIONS: &[&str] = &["reuse", "request"];
/// The words of `lift`.
const LIFTS: &[&str] = &["auto", "as-is", "sync"];
/// The words of `on-failure`.
const ON_FAILURE: &[&str] = &["fail", "skip"];
/// The words of a breaker's `then`.
const THEN: &[&str] = &["skip", "close"];

/// `breaker` of a stage.
pub static BREAKER: Table = Table {
    id: "breaker",
    title: "`breaker`",
    doc: "Takes a stage that keeps failing out of the way, and probes it back in.",
    keys: &[
        count("failures", "5", 1, 1_000_000, "Failures within the window that open it."),
        time("window", "10s", MS, HOUR, "How long a failure counts."),
        time("open", "5s", MS, HOUR, "How long it stays open before one request probes the stage."),
        key(
            "then",
            Kind::Text(TextForm::OneOf(THEN)),
            Presence::Default,
            "skip",
            "While it is open: \"skip\" passes the stage over, \"close\" answers 503.",
        ),
    ],
};

/// One of `stages`, or `service`.
pub static STAGE: Table = Table {
    id: "stage",
    title: "a stage",
    doc: "A component at its place in a pipeline.",
    keys: &[
        required("component", Kind::Text(TextForm::Component), "\"hello\"", "A name under `components`."),
        optional(
            "config",
            Kind::Settings,
            "{ header = \"x-request-id\" }",
            "What the component reads as its configuration, nested keys joined by dots. A table with the one key `env` \
             or `file` stands for the value of that environment variable or the content of that file.",
        ),
        optional(
            "grant",
            Kind::Table(&GRANT),
            "{ clocks = true }",
            "What the stage may use. Default: nothing.",
        ),
        optional(
            "when",
            Kind::Table(&WHEN),
            "{ path = \"/api\" }",
            "Which requests it applies to. Default: all.",
        ),
        optional("limits", Kind::Table(&STAGE_LIMITS), "{ memory = \"64MiB\" }", "Bounds of the stage."),
        optional(
            "link",
            Kind::Text(TextForm::OneOf(LINKS)),
            "\"static\"",
            "\"static\": composed with its neighbours into one component and one store. \"dynamic\": a store of its \
             own, linked at run time. Default: the pipeline's.",
        ),
        optional(
            "isolation",
            Kind::Text(TextForm::OneOf(ISOLATIONS)),
            "\"request\"",
            "As the pipeline's, for a dynamically linked stage. Default: the pipeline's.",
        ),
        optional(
            "lift",
            Kind::Text(TextForm::OneOf(LIFTS)),
            "\"auto\"",
            "\"as-is\": as its author lifted it. \"auto\": rewritten to a sync lift, where that is known to change \
             nothing else. \"sync\": rewritten, or refused. Default: the pipeline's.",
        ),
        key(
            "on-failure",
            Kind::Text(TextForm::OneOf(ON_FAILURE)),
            Presence::Default,
            "fail",
            "What happens to a request whose dynamically linked middleware fails: \"fail\", or \"skip\" to pass it over.",
        ),
        optional(
            "breaker",
            Kind::Table(&BREAKER),
            "{ failures = 5, open = \"5s\" }",
            "Takes a dynamically linked middleware that keeps failing out of the way. Default: none.",
        ),
        optional(
            "next",
            Kind::Texts { form: TextForm::Pipeline, max: MAX_NEXT },
            "{ a = \"edge\", b = \"edge-next\" }",
            "The pipelines that the component reaches under the names of its further `handler` imports.",
        ),
    ],
};

/// `limits` of a stage.
pub static STAGE_LIMITS: Table = Table {
    id: "stage-limits",
    title: "the limits of a stage",
    doc: "Bounds of a stage: of one instance, and of the requests of its own.",
    keys: &[
        size("memory", "64MiB", 64 * KIB, 4 * GIB, "Each linear memory."),
        count("table-elements", "20000", 1, 10_000_000, "Elements of each table."),
        count(
            "egress-requests",
            "256",
            1,
            100_000,
            "Requests of its own that the stage may have under way at once, over all its instances.",
        ),
        count(
            "egress-connections",
            "64",
            1,
            100_000,
            "Connections for them; a request that finds none free waits.",
        ),
        time(
            "egress-connect-timeout",
            "10s",
            MS,
            MINUTE,
            "Longest time to look up, connect and agree on TLS for one of them.",
        ),
        time(
            "egress-timeout",
            "30s",
            MS,
            HOUR,
            "From sending one of them to the head of its response, waiting for a connection included.",
        ),
    ],
};

/// `[[routes]]`.
pub static ROUTE: Table = Table {
    id: "route",
    title: "a route",
    doc: "Which requests go to a pipeline.",
    keys: &[
        optional(
            "host",
            Kind::Text(TextForm::Host),
            "\"api.example.com\"",
            "A host without port, or `*.example.com` for all hosts below the domain. Default: every host.",
        ),
        key(
            "path",
            Kind::Text(TextForm::Prefix),
            Presence::Default,
            "/",
            "A path and everything below it: `/v1` means `/v1` and `/v1/users`, not `/v10`.",
        ),
        optional(
            "methods",
            Kind::List { item: &Kind::Text(TextForm::Method), min: 1, max: 32 },
            "[\"GET\", \"POST\"]",
            "Request methods. Default: all.",
        ),
        optional(
            "pipeline",
            Kind::Text(TextForm::Pipeline),
            "\"edge\"",
            "A name under `pipelines`. Either this or `split`.",
        ),
        optional(
            "split",
            Kind::List { item: &Kind::Table(&SPLIT), min: 1, max: 16 },
            "[{ pipeline = \"edge\", weight = 99 }, { pipeline = \"edge-next\", weight = 1 }]",
            "Pipelines that share the requests by weight.",
        ),
        optional(
            "pin",
            Kind::Table(&PIN),
            "{ cookie = \"session\" }",
            "What decides between the pipelines of `split`, instead of chance.",
        ),
        optional(
            "mirror",
            Kind::Text(TextForm::Pipeline),
            "\"edge-next\"",
            "A pipeline that gets a copy of each request; its answers are dropped.",
        ),
    ],
};

/// One of `split`.
pub static SPLIT: Table = Table {
    id: "split",
    title: "one of `split`",
    doc: "A pipeline and its share of a route's requests.",
    keys: &[
        required("pipeline", Kind::Text(TextForm::Pipeline), "\"edge\"", "A name under `pipelines`."),
        count("weight", "1", 0, 1_000_000, "Its share, relative to the sum of all weights."),
    ],
};
