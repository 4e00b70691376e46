//! What a request allocates: the measure of the hot paths that is the same on every machine.
//!
//! Times differ from run to run and from machine to machine, and the engine's own code runs where no counter of
//! instructions may be had; how often a request allocates differs only when somebody changed that, and is most of what
//! makes a hop slower without anyone noticing. Each path has a mark. More than it is a regression; fewer by more than
//! [`SLACK`] wants the mark lowered, so that the next regression is found, too.

use crate::harness::dist;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty};
use linkspan::gateway::inputs::{Inputs, Shapes, load_components};
use linkspan::gateway::{Live, Workshop, build};
use linkspan::http::record::Recorder;
use linkspan::http::service::Service;
use linkspan::http::way::EmbeddedCall;
use linkspan::net::{ConnInfo, Protocol};
use linkspan::telemetry::Metrics;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, OnceCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts what each thread allocates.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator is one; this one hands everything on")]
// SAFETY: as the system's allocator, which does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Allocations by which a path may be below its mark, at least; a fifth of it where that is more. An optimised build
/// may have some fewer than one that is not.
const SLACK: u64 = 3;

/// Stages of the chains of which one's share is told.
const DEPTH: usize = 8;

/// Pipelines, each at its path: the name is the path.
fn text(pipelines: &[(&str, String)]) -> String {
    let mut text = "[gateway]\nworkers = 1\n[[listeners]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for (name, keys) in pipelines {
        text +=
            &format!("[[routes]]\npath = \"/{name}\"\npipeline = \"{name}\"\n[pipelines.{name}]\n{keys}\n");
    }
    text += "[components]\n";
    for component in ["empty", "hello", "pass-through-async", "pass-through-sync", "security-headers"] {
        if text.contains(&format!("\"{component}\"")) {
            text += &format!("{component}.path = {:?}\n", dist(component));
        }
    }
    text
}

fn chain(component: &str, more: &str, keys: &str) -> String {
    let stage = format!("{{ component = \"{component}\"{more} }}");
    let stages = vec![stage; DEPTH].join(", ");
    format!("stages = [{stages}]\nservice = {{ component = \"empty\" }}\n{keys}")
}

/// Allocations of a request to each of these pipelines, from its head to the end of its response: the most frequent
/// count, since now and then a table grows.
fn measure(pipelines: &[(&str, String)]) -> Vec<u64> {
    let text = text(pipelines);
    let (plan, _) = linkspan::plan::parse(Path::new("marks.toml"), &text, &|_| None).unwrap();
    let mut found = plan.diagnostics();
    let components = load_components(&plan, &Shapes::default(), &mut found);
    let inputs = Inputs::bare(plan, components);
    let generation = build(&inputs, &Workshop::default()).unwrap();
    crate::harness::run(async {
        let metrics = Metrics::new();
        let worker = linkspan::engine::Worker::start(0, Arc::clone(&metrics));
        let service = Service::new(Arc::new(Live::new(generation)), worker, Recorder::new(0, metrics, None));
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let conn = Rc::new(ConnInfo {
            listener: "here".into(),
            peer: nowhere,
            local: nowhere,
            protocol: Protocol::Http1,
            tls: None,
            redirect: None,
            peer_value: OnceCell::new(),
        });
        let mut counts = Vec::new();
        for (name, _) in pipelines {
            let mut seen = Vec::new();
            for number in 0..300 {
                let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
                let mut request = Request::new(body);
                *request.uri_mut() = format!("http://localhost/{name}").parse().unwrap();
                request
                    .headers_mut()
                    .extend(HeaderMap::from_iter([(http::header::HOST, "localhost".parse().unwrap())]));
                let before = COUNT.get();
                let response = Rc::clone(&service).enter(request, &conn, EmbeddedCall::default()).await;
                assert_eq!(response.status(), 200, "{name}");
                response.into_body().collect().await.unwrap();
                // Let what comes after the response be done.
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                if number >= 100 {
                    seen.push(COUNT.get() - before);
                }
            }
            let often = |count: &u64| seen.iter().filter(|seen| *seen == count).count();
            counts.push(*seen.iter().max_by_key(|count| often(count)).unwrap());
        }
        counts
    })
}

/// Allocations of a request to a service alone, and those that each middleware adds.
#[test]
fn hot_paths_allocate_no_more_than_their_marks() {
    let pipelines = [
        ("empty", "service = { component = \"empty\" }".to_owned()),
        ("component", "form = \"component\"\nservice = { component = \"empty\" }".to_owned()),
        ("hello", "service = { component = \"hello\" }".to_owned()),
        ("sync", chain("pass-through-sync", "", "")),
        ("rewritten", chain("pass-through-async", ", lift = \"sync\"", "")),
        ("async", chain("pass-through-async", "", "")),
        ("async-component", chain("pass-through-async", ", lift = \"as-is\"", "form = \"component\"")),
        ("dynamic-sync", chain("pass-through-sync", "", "link = \"dynamic\"")),
        ("dynamic-async", chain("pass-through-async", "", "link = \"dynamic\"")),
        ("headers", chain("security-headers", "", "")),
    ];
    let found = measure(&pipelines);
    let mut wrong = String::new();
    let marks: [u64; 10] = [21, 50, 33, 0, 5, 3, 22, 22, 19, 23];
    for (((name, keys), count), mark) in pipelines.iter().zip(&found).zip(marks) {
        // Of a chain, what one stage adds to the service in the same form, rounded up.
        let alone = found[usize::from(matches!(*name, "rewritten" | "async-component"))];
        let count = match keys.contains("stages") {
            true => (count - alone).div_ceil(DEPTH as u64),
            false => *count,
        };
        if count > mark || count + SLACK.max(mark / 5) < mark {
            wrong += &format!("{name}: {count} allocations, its mark is {mark}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A stage that does not apply costs nothing: not one allocation, however it is linked.
#[test]
fn what_does_not_apply_allocates_nothing() {
    let when = ", when = { header = { name = \"x-none\" } }";
    let found = measure(&[
        ("empty", "service = { component = \"empty\" }".to_owned()),
        ("static", chain("security-headers", when, "")),
        ("dynamic", chain("security-headers", when, "link = \"dynamic\"")),
    ]);
    assert_eq!(found, [found[0]; 3]);
}
