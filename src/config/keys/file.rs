//! The file, the process, and components.

use std::time::Duration;

use super::http::Http;
use super::limits::GatewayLimits;
use super::listeners::Listener;
use super::operations::{AccessLog, Admin, Log};
use super::pipelines::Pipeline;
use super::routes::Route;
use super::stores::Store;
use super::telemetry::Telemetry;
use super::upstreams::Upstream;
use crate::config::declare::{boolean, count, keys, named, path, size, table, tables, text, time};
use crate::config::fields::Named;
use crate::config::kinds::TextForm;
use crate::config::typed::{At, Decoded};
use crate::config::units::{DAY, GIB, HOUR, MIB, MINUTE, MS};

keys! {
    /// Configuration of a linkspan gateway.
    File = "file", "the file";

    /// The process.
    gateway: Gateway = table().optional("{ workers = 2 }", "");
    /// Bounds of the whole process.
    limits: Decoded<GatewayLimits> = table().optional("{ connections = 10000 }", "");
    /// Rules for requests, and fields that the gateway adds to them.
    http: Decoded<Http> = table().optional("{ trusted-proxies = [\"10.0.0.0/8\"] }", "");
    /// The admin listener.
    admin: Option<Decoded<Admin>> = table().optional("{ address = \"127.0.0.1:9180\" }", "none").restart();
    /// The log.
    log: Decoded<Log> = table().optional("{ rate = 20 }", "");
    /// The access log.
    access_log: Option<Decoded<AccessLog>> = table().optional("{ path = \"-\" }", "none").restart();
    /// Addresses on which requests are accepted; at least one.
    listeners: Vec<Decoded<Listener>> = tables(0, 64).optional("[{ address = \"127.0.0.1:8080\" }]", "");
    /// WebAssembly components by name (kebab case, at most 64 characters).
    components: Vec<Named<Decoded<Component>>> = named(1000).optional("{ hello = { path = \"hello.wasm\" } }", "");
    /// Servers in which pipelines may end, by name (kebab case, at most 64 characters).
    upstreams: Vec<Named<Decoded<Upstream>>> =
        named(1000).optional("{ backend = { servers = [\"http://127.0.0.1:8081\"] } }", "");
    /// State that stages share, by name (kebab case, at most 64 characters).
    stores: Vec<Named<Decoded<Store>>> = named(64).optional("{ shared = { kind = \"memory\" } }", "");
    /// Pipelines by name (kebab case, at most 64 characters); at least one.
    pipelines: Vec<Named<Decoded<Pipeline>>> =
        named(1000).optional("{ edge = { service = { component = \"hello\" } } }", "");
    /// Which requests go to which pipeline; at least one. The most specific route wins: an exact host before a wildcard
    /// before none, then the longest path, then a route with methods before a route without.
    routes: Vec<Decoded<Route>> = tables(0, 10_000).optional("[{ pipeline = \"edge\" }]", "");
    /// Traces.
    telemetry: Decoded<Telemetry> = table().optional("{ endpoint = \"http://127.0.0.1:4318\" }", "");
}

keys! {
    /// The process.
    Gateway = "gateway", "[gateway]";

    /// Worker threads, each with its own connections and instances.
    workers: Option<usize> = count(1, 256).optional("2", "the number of available CPUs, at most 256").restart();
    /// How often linkspan looks for changed files of the configuration; a change that has settled is
    /// [loaded](operations.md#reload). `"0s"`: never.
    watch: Duration = time(Duration::ZERO, HOUR).default("500ms");
    /// How long requests of a replaced configuration may continue. Then they are cut.
    retire_timeout: Duration = time(MS, DAY).default("10m");
    /// How long a new configuration waits, before it serves, for workers to make the [first
    /// instances](operations.md#first-instances) of what is new in it. `"0s"`: requests make them.
    warm_up: Duration = time(Duration::ZERO, MINUTE).default("1s");
    /// Replaced configurations that a [rollback](operations.md#rollback) can bring back, kept in memory with their
    /// components.
    history: usize = count(1, 100).default("5");
    /// A folder for [compiled components](operations.md#compile-cache), to which only its owner may write, and which is
    /// made if it is missing; or `"off"`.
    compile_cache: Option<At<String>> =
        path().optional("\"/var/cache/linkspan\"", "the service's or the user's cache folder").restart();
    /// Size of the compile cache on disk. The files that were unused for the longest time are removed.
    compile_cache_size: u64 = size(MIB, 1024 * GIB).default("1GiB").restart();
    /// On SIGTERM: how long requests are still accepted while `/readyz` answers 503.
    drain_delay: Duration = time(Duration::ZERO, HOUR).default("0s").restart();
    /// A Unix socket over which a new process [takes the listening sockets](operations.md#restart-without-loss) from
    /// the old one.
    handover: Option<At<String>> = path().optional("\"/run/linkspan/handover.sock\"", "none").restart();
    /// For a gateway that is [embedded](embedding.md) in a program: requests on their way to a worker, for each worker.
    /// One more gets 503.
    calls: usize = count(1, 1_000_000).default("1024");
    /// Whether new stages are [started once](operations.md#proof) and asked to judge their configuration before they
    /// serve: at a start, a reload, and in `check`.
    prove: bool = boolean().default("true");
}

keys! {
    /// A WebAssembly component.
    Component = "component", "a component";

    /// The component's file, at most 256 MiB.
    path: Option<At<String>> = path().required("\"hello.wasm\"");
    /// SHA-256 of the file, 64 hexadecimal digits. A file with another digest is refused.
    sha256: Option<At<String>> =
        text(TextForm::Digest).optional("\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"", "not checked");
}
