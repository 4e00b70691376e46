//! `linkspan bench micro`: the parts of a hop's cost.
//!
//! From the bottom up: a call inside WebAssembly, a resource that crosses from component to component, a call of the
//! host; a native layer, for comparison; a hop in all its forms, and with real middleware; and the same separation
//! between processes, a request over a loopback connection. Everything has a turn in every round, and the best round
//! counts.

use super::guests::{Guests, Source};
use super::hops::send;
use super::native::{Connection, Stack, layers, loopback};
use super::{Failure, run_here};
use crate::chain::{PoolSize, Runtime};
use crate::engine::{Onward, Worker};
use crate::gateway::inputs::{Inputs, Shapes, load_components};
use crate::gateway::{Workshop, build};
use crate::plan::PipelineIndex;
use crate::telemetry::Metrics;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;
use wasmtime::component::{Component, Linker, TypedFunc};

/// The component of `floor.wat`.
const FLOOR: &[u8] = include_bytes!("floor.wasm");

/// The number of middleware in the chains from which one hop's share is calculated.
const DEPTH: usize = 8;

/// The key that `key-auth` knows, and that requests send.
const KEY: &str = "bench-key-bench-key";

/// How it is measured.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    components: Source,
    /// Rounds of which the best counts
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Requests in a turn
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    requests: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A measured operation.
struct Row {
    group: &'static str,
    name: String,
    what: What,
    /// The least nanoseconds for one unit, of all turns.
    best: f64,
}

enum What {
    /// Iterations inside of WebAssembly.
    Floor(TypedFunc<(u32,), (u32,)>),
    /// Layers of a native stack.
    Native(Stack),
    /// A chain; the cost is that of each of so many middleware, beyond what the row with this name costs.
    Chain(Onward, usize, &'static str),
    /// A request and its answer, over a connection.
    Loopback(Box<Connection>),
}

/// Iterations of a loop inside of WebAssembly, for each request of a turn.
const LOOPS: u32 = 1_000;

/// Measures, and returns the result.
///
/// # Errors
/// If a measured chain can't be made, or does not answer well.
pub fn run(options: &Options) -> Result<String, Failure> {
    let rows = run_here(measure(options))?;
    Ok(if options.json { format!("{:#}\n", json(&rows)) } else { table(options, &rows) })
}

async fn measure(options: &Options) -> Result<Vec<Row>, Failure> {
    let (mut store, mut rows) = floor().await?;
    rows.push(row("native", "a tower layer that does nothing", What::Native(layers(DEPTH))));
    rows.extend(chains(&options.components.open()?)?);
    rows.push(row("loopback", "HTTP/1.1, client and server", What::Loopback(Box::new(loopback().await?))));
    let worker = Worker::start(0, Metrics::new());
    // The first round warms up.
    for round in 0..=options.rounds {
        let requests = if round == 0 { options.requests / 10 + 1 } else { options.requests };
        for row in &mut rows {
            let nanos = row.turn(&mut store, &worker, requests).await?;
            row.best = if round == 0 { f64::INFINITY } else { row.best.min(nanos) };
        }
    }
    relate(&mut rows);
    Ok(rows)
}

fn row(group: &'static str, name: impl Into<String>, what: What) -> Row {
    Row { group, name: name.into(), what, best: f64::INFINITY }
}

impl Row {
    /// Nanoseconds for one.
    async fn turn(
        &mut self,
        store: &mut wasmtime::Store<()>,
        worker: &Rc<Worker>,
        requests: u64,
    ) -> Result<f64, Failure> {
        let start = Instant::now();
        let mut count = requests as f64;
        match &mut self.what {
            What::Floor(function) => {
                for _ in 0..requests {
                    function.call_async(&mut *store, (LOOPS,)).await.map_err(Failure::wrong)?;
                }
                count *= f64::from(LOOPS);
            }
            What::Native(stack) => {
                for _ in 0..requests {
                    stack.ask().await?;
                }
                count *= DEPTH as f64;
            }
            What::Chain(chain, ..) => send(worker, &self.name, chain, &fields(), requests).await?,
            What::Loopback(sender) => {
                for _ in 0..requests {
                    sender.ask(&[]).await?;
                }
            }
        }
        Ok(start.elapsed().as_nanos() as f64 / count)
    }
}

/// Subtracts what does not belong to the operation: the loop around a call, the service behind middleware.
fn relate(rows: &mut [Row]) {
    let found: Vec<_> = rows.iter().map(|row| (row.name.clone(), row.best)).collect();
    let find = |name: &str| found.iter().find(|row| row.0 == name).map_or(0.0, |row| row.1);
    for row in rows {
        match row.what {
            What::Floor(_) if row.name != "an empty loop" => row.best -= find("an empty loop"),
            What::Chain(_, depth, base) if depth > 0 => row.best = (row.best - find(base)) / depth as f64,
            _ => {}
        }
    }
}

/// The parts of a hop.
async fn floor() -> Result<(wasmtime::Store<()>, Vec<Row>), Failure> {
    let size = PoolSize {
        instances: 1,
        core_instances: 8,
        memories: 1,
        tables: 1,
        stages: 2,
        ..PoolSize::default()
    };
    let runtime = Runtime::new(&[size], 1, None).map_err(Failure::system)?;
    let engine = runtime.engine();
    let component = Component::new(engine, FLOOR).map_err(Failure::wrong)?;
    let mut linker: Linker<()> = Linker::new(engine);
    let host = |_: wasmtime::StoreContextMut<'_, ()>, (x,): (u32,)| Ok((x.wrapping_add(1),));
    linker.root().func_wrap("host", host).map_err(Failure::wrong)?;
    let mut store = wasmtime::Store::new(engine, ());
    // Nothing here runs for long; the clock's ticks are as they are when requests are served.
    store.epoch_deadline_callback(|_| Ok(wasmtime::UpdateDeadline::Continue(1)));
    store.set_epoch_deadline(1);
    let instance = linker.instantiate_async(&mut store, &component).await.map_err(Failure::wrong)?;
    let mut rows = Vec::new();
    for (export, name) in [
        ("nothing", "an empty loop"),
        ("call", "a call to another component, of a number"),
        ("handle", "a resource made there, and handed back"),
        ("host", "a call of the host"),
    ] {
        let function = instance.get_typed_func(&mut store, export).map_err(Failure::wrong)?;
        rows.push(row("floor", name, What::Floor(function)));
    }
    Ok((store, rows))
}

/// The grants that the middleware here need.
fn keys(component: &str) -> &'static str {
    match component {
        "key-auth" | "key-auth-in-place" => ", config = { keys = { bench = \"bench-key-bench-key\" } }",
        "request-id" => ", grant = { random = true }",
        "rate-limit" => ", config = { rate = \"1000000/s\", burst = 1000000 }",
        _ => "",
    }
}

/// How often a middleware stands in its chain: one that removes the key leaves none for another.
fn depth(component: &str) -> usize {
    if component.starts_with("key-auth") { 1 } else { DEPTH }
}

fn fields() -> HeaderMap {
    let field = (HeaderName::from_static("x-api-key"), HeaderValue::from_static(KEY));
    HeaderMap::from_iter([field])
}

/// A chain of hops: its row's group and name, and its stages with their link, lift and form.
struct Kind {
    group: &'static str,
    name: String,
    component: &'static str,
    keys: &'static str,
    link: &'static str,
    lift: &'static str,
    form: &'static str,
    /// How many there are, which are told for themselves, beyond what the row of this name has.
    depth: usize,
    base: &'static str,
    /// The service has a store of its own, and a stage that does nothing is in front of the others.
    apart: bool,
    service: &'static str,
}

const ALONE: &str = "the service alone";
const ONE_DIRECT: &str = "one stage in front of another segment, direct form";
const ONE_COMPONENT: &str = "one stage in front of another segment, component form";

/// The same chains in both forms: of stages that can have the direct form, in front of another segment.
fn both_forms() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (form, base, words) in [("auto", ONE_DIRECT, "direct"), ("component", ONE_COMPONENT, "component")] {
        let kind = |name: String, component| {
            let kind = kind("form", name, component, keys(component), "static", "as-is");
            Kind { form, base, apart: true, ..kind }
        };
        kinds.push(Kind { depth: 0, ..kind(base.to_owned(), "pass-through-sync") });
        for component in [
            "pass-through-sync",
            "pass-through-async",
            "plain-async",
            "security-headers-in-place",
            "security-headers",
            "key-auth",
        ] {
            kinds.push(kind(format!("{component}, {words} form"), component));
        }
        // It does not reach what the others have in front of them.
        let refused = kind(format!("key-auth refuses, the whole request, {words} form"), "key-auth");
        kinds.push(Kind {
            keys: ", config = { keys = { bench = \"a-key-that-nobody-has\" } }",
            base: "",
            ..refused
        });
        for (service, what) in [("empty", "no body"), ("hello", "a body, asynchronously")] {
            let name = format!("a service, {what}, the whole request, {words} form");
            let alone = kind(name, "pass-through-sync");
            kinds.push(Kind { depth: 0, base: "", apart: false, service, ..alone });
        }
    }
    kinds
}

/// Hops of all kinds.
fn kinds() -> Vec<Kind> {
    let forms = [
        ("hop", "pass-through-sync", "static", "as-is"),
        ("hop", "pass-through-async", "static", "sync"),
        ("hop", "pass-through-async", "static", "as-is"),
        ("hop", "pass-through-sync", "dynamic", "as-is"),
        ("hop", "pass-through-async", "dynamic", "sync"),
        ("hop", "pass-through-async", "dynamic", "as-is"),
        ("guest", "security-headers", "static", "as-is"),
        ("guest", "security-headers-in-place", "static", "as-is"),
        ("guest", "key-auth", "static", "as-is"),
        ("guest", "key-auth-in-place", "static", "as-is"),
        ("guest", "request-id", "static", "as-is"),
        ("guest", "rate-limit", "static", "as-is"),
        ("guest", "plain-async", "static", "sync"),
        ("guest", "plain-async", "static", "as-is"),
    ];
    let whole = forms.map(|(group, component, link, lift)| {
        let rewritten = if lift == "sync" { ", rewritten" } else { "" };
        let name = format!("{component}, {link}{rewritten}");
        kind(group, name, component, keys(component), link, lift)
    });
    // One source in each form that a middleware can have.
    let works = [
        ("a field appended", ", config = { work = \"header\" }"),
        ("a key compared, a field set", ", config = { work = \"key\", key = \"bench-key-bench-key\" }"),
        ("a line for the log", ", config = { work = \"log\" }"),
    ];
    let built = [
        ("as it is", "measured-async", "as-is"),
        ("rewritten", "measured-async", "sync"),
        ("sync", "measured", "as-is"),
        ("sync, in place", "measured-in-place", "as-is"),
    ];
    let measured = works.into_iter().flat_map(|(work, keys)| {
        built.map(|(form, component, lift)| {
            let name = format!("{work}, {form}");
            kind("work", name, component, keys, "static", lift)
        })
    });
    whole.into_iter().chain(measured).chain(both_forms()).collect()
}

/// Middleware in front of a service, composed with it if they are linked statically.
fn kind(
    group: &'static str,
    name: String,
    component: &'static str,
    keys: &'static str,
    link: &'static str,
    lift: &'static str,
) -> Kind {
    let depth = depth(component);
    let (form, base, service) = ("auto", ALONE, "empty");
    Kind { group, name, component, keys, link, lift, form, depth, base, apart: false, service }
}

/// Chains of hops in all their forms, built as `serve` builds them.
fn chains(guests: &Guests) -> Result<Vec<Row>, Failure> {
    let kinds = kinds();
    let mut text = "[gateway]\nworkers = 1\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[[routes]]\npipeline = \"none\"\n[pipelines.none]\nservice = { component = \"empty\" }\n".to_owned();
    for (at, Kind { component, keys, link, lift, form, depth, apart, service, .. }) in
        kinds.iter().enumerate()
    {
        let stage = format!("{{ component = \"{component}\"{keys} }}");
        let mut stages = vec![stage; *depth];
        if *apart {
            stages.insert(0, "{ component = \"pass-through-sync\" }".to_owned());
        }
        let stages = stages.join(", ");
        let apart = if *apart { ", link = \"dynamic\"" } else { "" };
        text += &format!(
            "[pipelines.p{at}]\nlink = \"{link}\"\nlift = \"{lift}\"\nform = \"{form}\"\nstages = [{stages}]\n\
             service = {{ component = \"{service}\"{apart} }}\n"
        );
    }
    let mut components: Vec<_> = kinds.iter().map(|kind| kind.component).chain(["empty", "hello"]).collect();
    components.sort_unstable();
    components.dedup();
    text += "[components]\n";
    for component in components {
        text += &format!("{component}.path = {:?}\n", guests.find(component)?);
    }
    let (plan, _) = crate::plan::parse(Path::new("micro.toml"), &text, &|_| None).map_err(Failure::wrong)?;
    let mut found = plan.diagnostics();
    let components = load_components(&plan, &Shapes::default(), &mut found);
    if found.has_errors() {
        return Err(Failure::wrong(found));
    }
    let inputs = Inputs::bare(plan, components);
    let generation = build(&inputs, &Workshop::default()).map_err(Failure::wrong)?;
    let chain = |at| generation.pipeline(PipelineIndex(at)).clone();
    let mut rows = vec![row("hop", ALONE, What::Chain(chain(0), 0, ALONE))];
    for (at, Kind { group, name, depth, base, .. }) in kinds.into_iter().enumerate() {
        rows.push(row(group, name, What::Chain(chain(at + 1), depth, base)));
    }
    Ok(rows)
}

fn table(options: &Options, rows: &[Row]) -> String {
    let mut text = format!("{:<10}{:<48}{:>12}\n", "", "", "ns");
    for row in rows {
        text += &format!("{:<10}{:<48}{:>12.1}\n", row.group, row.name, row.best);
    }
    text + &format!(
        "\nMiddleware: what each adds to the service alone, in a chain of {DEPTH}, or of one if it is `key-auth`. One request at a time on one thread; best of {} \
         rounds of {}.\n",
        options.rounds, options.requests
    )
}

fn json(rows: &[Row]) -> serde_json::Value {
    rows.iter()
        .map(|row| serde_json::json!({ "group": row.group, "name": row.name, "ns": row.best }))
        .collect()
}

#[cfg(test)]
mod tests {
    /// `BLESS=1` writes the component again.
    #[test]
    fn the_floor_is_what_its_text_says() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/measure");
        let bytes = wat::parse_file(folder.join("floor.wat")).expect("a component");
        if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
            std::fs::write(folder.join("floor.wasm"), &bytes).expect("a file");
        }
        assert!(super::FLOOR == bytes, "floor.wasm is not what its text says (BLESS=1 makes it anew)");
    }
}
