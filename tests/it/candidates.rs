//! Components of a release candidate, and of the bindings of its time: what they were made for still works.

use crate::chain_test;
use crate::harness::{
    Chain, Client, Gateway, PROTOCOLS, Setup, binary, body, dist, get, in_time, request, run,
};
use http::Method;
use http_body_util::BodyExt as _;
use linkspan_rewrite::detach::detach;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

/// The same service with the oldest and the newest wit-bindgen of that time.
const BINDINGS: [&str; 2] = ["hello-p3-0-54", "hello-p3-0-57"];

/// A pipeline for each of [`BINDINGS`], at a path of its own.
fn setup(chain: Chain) -> Setup {
    Setup::of(BINDINGS.map(|name| chain.named(name, name).route(&format!("path = \"/{name}\""))))
}

chain_test! {
    /// A body and its trailers, written by a spawned task: all of it arrives, time after time in one instance.
    fn bodies_and_trailers_are_complete(chain) {
        let gateway = Gateway::start(&setup(chain));
        run(async {
            for (name, protocol) in BINDINGS.into_iter().flat_map(|name| PROTOCOLS.map(|protocol| (name, protocol))) {
                let mut client = Client::connect(&gateway, protocol).await;
                for _ in 0..5 {
                    let answer = client.get(&format!("/{name}"), &[("te", "trailers")]).await.ok();
                    assert_eq!(answer.text(), format!("Hello from P3, /{name}!\n"), "{protocol:?}");
                    assert_eq!(answer.trailers.as_ref().unwrap()["x-parts"], "1", "{name} {protocol:?}");
                    let answer = client.get(&format!("/{name}/20"), &[("te", "trailers")]).await.ok();
                    assert_eq!(answer.body.len(), 20 * 16 * 1024, "{name} {protocol:?}");
                    assert_eq!(answer.trailers.as_ref().unwrap()["x-parts"], "20", "{name} {protocol:?}");
                }
            }
        });
        assert_eq!(gateway.count(|line| line["level"] == "ERROR" || line["level"] == "WARN"), 0, "{:#?}", gateway.log());
        gateway.stop();
    }
}

chain_test! {
    /// Clients that leave in the middle of a body do no harm to those that stay.
    fn clients_leave_early(chain) {
        let gateway = Gateway::start(&setup(chain));
        run(async {
            for (name, protocol) in BINDINGS.into_iter().flat_map(|name| PROTOCOLS.map(|protocol| (name, protocol))) {
                let mut stays = Client::connect(&gateway, protocol).await;
                for _ in 0..4 {
                    let mut leaves = Client::connect(&gateway, protocol).await;
                    let response = in_time(leaves.send(get(&format!("/{name}/2000"), &[]))).await.unwrap();
                    let mut body = response.into_body();
                    assert!(in_time(body.frame()).await.unwrap().unwrap().is_data());
                    drop((body, leaves));
                    let answer = stays.get(&format!("/{name}/3"), &[("te", "trailers")]).await.ok();
                    assert_eq!(answer.body.len(), 3 * 16 * 1024, "{name} {protocol:?}");
                    assert_eq!(answer.trailers.as_ref().unwrap()["x-parts"], "3", "{name} {protocol:?}");
                }
            }
        });
        assert_eq!(gateway.count(|line| line.to_string().contains("trap")), 0, "{:#?}", gateway.log());
        gateway.stop();
    }
}

chain_test! {
    /// A middleware of that time, as its author made it and with its lift rewritten.
    fn middleware_waits_for_the_next_stage(chain) {
        let gateway = Gateway::start(&Setup::of(["as-is", "sync"].map(|lift| {
            let pipeline = chain.named(lift, "echo").route(&format!("path = \"/{lift}\""));
            pipeline.stage_with("pass-p3", &format!("lift = \"{lift}\"")).stage_with("pass-p3", "link = \"dynamic\"")
        })));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (lift, size) in ["as-is", "sync"].into_iter().flat_map(|lift| [0, 10, 100_000].map(|size| (lift, size))) {
                    let request = request(Method::POST, &format!("/{lift}"), &[], body::stream(size).1);
                    let answer = client.ask(request).await.ok();
                    assert_eq!(body::digest_of(&answer.body), body::digest(size), "{lift} {protocol:?}, {size} bytes");
                }
            }
        });
        assert_eq!(gateway.count(|line| line.to_string().contains("trap")), 0, "{:#?}", gateway.log());
        gateway.stop();
    }
}

/// `inspect` says what was changed, and why; it is silent of what was made since.
#[test]
fn inspect_says_that_a_component_is_adapted() {
    let inspect = |name: &str| {
        let output = binary(&["inspect", dist(name).to_str().unwrap()]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (name, made_with) in [
        ("hello-p3-0-54", "wit-bindgen-rust 0.54.0"),
        ("hello-p3-0-57", "wit-bindgen-rust 0.57.1"),
        ("hello-rc", "wit-bindgen-rust 0.54.0"),
    ] {
        let text = inspect(name);
        let line = format!(
            "adapted    leaves a waitable set before it waits synchronously (made with {made_with})\n"
        );
        assert!(
            text.contains("built for  WASI 0.3.0-rc-2026-03-15, linked as 0.3.0\n") && text.contains(&line),
            "{text}"
        );
    }
    assert!(!inspect("plain-async").contains("adapted"));
}

/// A guest that cancels each kind of operation while its end is in a set, twice, and says what came of it; and a read
/// whose event is there, but not delivered.
const CANCELS: &str = r#"(component
  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $memory))
  (type $stream (stream u8))
  (type $future (future u8))
  (core func $stream-new (canon stream.new $stream))
  (core func $stream-read (canon stream.read $stream async (memory $memory)))
  (core func $stream-write (canon stream.write $stream async (memory $memory)))
  (core func $stream-cancel-read (canon stream.cancel-read $stream))
  (core func $stream-cancel-write (canon stream.cancel-write $stream))
  (core func $future-new (canon future.new $future))
  (core func $future-read (canon future.read $future async (memory $memory)))
  (core func $future-write (canon future.write $future async (memory $memory)))
  (core func $future-cancel-read (canon future.cancel-read $future))
  (core func $future-cancel-write (canon future.cancel-write $future))
  (core func $set-new (canon waitable-set.new))
  (core func $join (canon waitable.join))
  (core module $main
    (import "m" "stream-new" (func $stream-new (result i64)))
    (import "m" "stream-read" (func $stream-read (param i32 i32 i32) (result i32)))
    (import "m" "stream-write" (func $stream-write (param i32 i32 i32) (result i32)))
    (import "m" "stream-cancel-read" (func $stream-cancel-read (param i32) (result i32)))
    (import "m" "stream-cancel-write" (func $stream-cancel-write (param i32) (result i32)))
    (import "m" "future-new" (func $future-new (result i64)))
    (import "m" "future-read" (func $future-read (param i32 i32) (result i32)))
    (import "m" "future-write" (func $future-write (param i32 i32) (result i32)))
    (import "m" "future-cancel-read" (func $future-cancel-read (param i32) (result i32)))
    (import "m" "future-cancel-write" (func $future-cancel-write (param i32) (result i32)))
    (import "m" "set-new" (func $set-new (result i32)))
    (import "m" "join" (func $join (param i32 i32)))
    (func $blocked (param i32) local.get 0 i32.const -1 i32.ne if unreachable end)
    (func $read-end (param i64) (result i32) local.get 0 i32.wrap_i64)
    (func $write-end (param i64) (result i32) local.get 0 i64.const 32 i64.shr_u i32.wrap_i64)
    (func $joined (param i32) local.get 0 call $set-new call $join)
    (func $stream-read-once (param $end i32) (result i32)
      (call $blocked (call $stream-read (local.get $end) (i32.const 0) (i32.const 1)))
      (call $joined (local.get $end))
      (call $stream-cancel-read (local.get $end)))
    (func $stream-write-once (param $end i32) (result i32)
      (call $blocked (call $stream-write (local.get $end) (i32.const 0) (i32.const 1)))
      (call $joined (local.get $end))
      (call $stream-cancel-write (local.get $end)))
    (func $future-read-once (param $end i32) (result i32)
      (call $blocked (call $future-read (local.get $end) (i32.const 0)))
      (call $joined (local.get $end))
      (call $future-cancel-read (local.get $end)))
    (func $future-write-once (param $end i32) (result i32)
      (call $blocked (call $future-write (local.get $end) (i32.const 0)))
      (call $joined (local.get $end))
      (call $future-cancel-write (local.get $end)))
    (func (export "stream-read") (result i32) (local $end i32)
      (local.set $end (call $read-end (call $stream-new)))
      (i32.or (call $stream-read-once (local.get $end)) (i32.shl (call $stream-read-once (local.get $end)) (i32.const 8))))
    (func (export "stream-write") (result i32) (local $end i32)
      (local.set $end (call $write-end (call $stream-new)))
      (i32.or (call $stream-write-once (local.get $end)) (i32.shl (call $stream-write-once (local.get $end)) (i32.const 8))))
    (func (export "future-read") (result i32) (local $end i32)
      (local.set $end (call $read-end (call $future-new)))
      (i32.or (call $future-read-once (local.get $end)) (i32.shl (call $future-read-once (local.get $end)) (i32.const 8))))
    (func (export "future-write") (result i32) (local $end i32)
      (local.set $end (call $write-end (call $future-new)))
      (i32.or (call $future-write-once (local.get $end)) (i32.shl (call $future-write-once (local.get $end)) (i32.const 8))))
    (func (export "event") (result i32) (local $ends i64) (local $end i32)
      (local.set $ends (call $stream-new))
      (local.set $end (call $read-end (local.get $ends)))
      (call $blocked (call $stream-read (local.get $end) (i32.const 0) (i32.const 1)))
      (call $joined (local.get $end))
      (drop (call $stream-write (call $write-end (local.get $ends)) (i32.const 8) (i32.const 1)))
      (call $stream-cancel-read (local.get $end))))
  (core instance $main (instantiate $main (with "m" (instance
    (export "stream-new" (func $stream-new)) (export "stream-read" (func $stream-read))
    (export "stream-write" (func $stream-write)) (export "stream-cancel-read" (func $stream-cancel-read))
    (export "stream-cancel-write" (func $stream-cancel-write)) (export "future-new" (func $future-new))
    (export "future-read" (func $future-read)) (export "future-write" (func $future-write))
    (export "future-cancel-read" (func $future-cancel-read))
    (export "future-cancel-write" (func $future-cancel-write))
    (export "set-new" (func $set-new)) (export "join" (func $join))))))
  (func (export "stream-read") async (result u32) (canon lift (core func $main "stream-read")))
  (func (export "stream-write") async (result u32) (canon lift (core func $main "stream-write")))
  (func (export "future-read") async (result u32) (canon lift (core func $main "future-read")))
  (func (export "future-write") async (result u32) (canon lift (core func $main "future-write")))
  (func (export "event") async (result u32) (canon lift (core func $main "event"))))"#;

/// What the guest's export `name` says, in an instance of its own.
fn call(bytes: &[u8], name: &str) -> wasmtime::Result<u32> {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, bytes)?;
    let mut store = Store::new(&engine, ());
    futures::executor::block_on(async {
        let instance = Linker::new(&engine).instantiate_async(&mut store, &component).await?;
        let function = instance.get_typed_func::<(), (u32,)>(&mut store, name)?;
        Ok(function.call_async(&mut store, ()).await?.0)
    })
}

/// Every operation can be cancelled in a set once the guest is adapted, and none before.
#[test]
fn ends_leave_their_sets_before_they_are_cancelled() {
    let guest = wat::parse_str(CANCELS).unwrap();
    let adapted = detach(&guest).unwrap();
    const CANCELLED: u32 = 2;
    let twice = CANCELLED | CANCELLED << 8;
    for (name, expected) in [
        ("stream-read", twice),
        ("stream-write", twice),
        ("future-read", twice),
        ("future-write", twice),
        // One byte was read.
        ("event", CANCELLED | 1 << 4),
    ] {
        let error = format!("{:?}", call(&guest, name).unwrap_err());
        assert!(error.contains("while added to a waitable set"), "{name}: {error}");
        assert_eq!(call(&adapted, name).unwrap(), expected, "{name}");
    }
}
