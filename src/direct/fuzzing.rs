//! What is fuzzed: the canonical functions, called by guests in the order and with the values that the bytes say.
//!
//! Of three stages, the first two do what they find in their memory: one is lifted synchronously, one asynchronously. The
//! third one drops what it gets. Whatever they do, there is no panic and no [`Disagreement`], a trap is theirs, and the
//! third one's memory and handles are as they were.

mod guest;

use super::chain::{Chain, Entered, Program, Trap};
use super::disagreement::Disagreement;
use super::state::State;
use crate::host::{Behalf, Budget, InstanceState, RequestHead, RequestOrigin, Scope};
use bytes::Bytes;
use guest::{CANARY, PROGRAM};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Store};
use wasmtime_wasi::sockets::WasiSocketsCtx;
use wasmtime_wasi_http::{FieldMap, WasiBody};

/// How often something that waits is asked again: what guests wait for comes at once, or never.
const PATIENCE: usize = 6;

/// The turns that tasks have, and the frames of a body that are read, at most.
const TURNS: usize = 12;

/// The most bytes of a stage's program.
const LENGTH: usize = 2048;

const BUDGET: Budget = Budget {
    memory: 4 << 16,
    one_memory: 1 << 16,
    table_elements: 64,
    host_memory: 1 << 20,
    field_bytes: 8 << 10,
    cpu: Duration::from_secs(1),
};

static PROGRAM_CODE: LazyLock<Arc<Program>> = LazyLock::new(|| {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(16).total_memories(8).total_tables(8).total_stacks(8);
    pool.max_memory_size(1 << 16).table_elements(64);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config).expect("an engine");
    let stages = vec![guest::caller(false), guest::caller(true), guest::victim()];
    let program = Program::new(&engine, stages, |bytes| Module::new(&engine, bytes));
    Arc::new(program.expect("the guests are sound"))
});

/// The first stage's program, the second one's, and two bytes about the request and what becomes of its answer.
pub fn run(data: &[u8], scopes: &[Scope; 3]) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    let Some((&[about, split], programs)) = data.split_first_chunk() else { return };
    let (first, second) = programs.split_at(usize::from(split).min(programs.len()));
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let chain = Chain::new(Arc::clone(&PROGRAM_CODE), scopes, None, Arc::default(), Arc::default());
            let host = InstanceState::new(BUDGET, Arc::default(), WasiSocketsCtx::default());
            let mut store = chain.store(host);
            let guests = chain.instantiate(&mut store).await.expect("there is room for one");
            for (stage, program) in [first, second].into_iter().enumerate() {
                let program = &program[..program.len().min(LENGTH)];
                let memory = store.data().stages[stage].memory.expect("it has one");
                memory.data_mut(&mut store)[PROGRAM..PROGRAM + program.len()].copy_from_slice(program);
            }
            let mut fields = FieldMap::new_immutable(store.data_mut().host.http().hooks, canary());
            fields.set_immutable();
            let handle = store.data_mut().push(2, Box::new(fields)).expect("there is room for one");
            exchanges(&mut store, &guests, about).await;
            let stage = &mut store.data_mut().stages[2];
            let seen = stage.handles.get::<FieldMap>(handle).expect("it was nobody's to take");
            assert!(seen.iter().eq(canary().iter()), "the handles of a stage are its own");
            let memory = stage.memory.expect("it has one");
            let seen = &memory.data(&store)[CANARY.start..CANARY.end];
            assert!(seen.iter().all(|byte| *byte == 0xa5), "the memory of a stage is its own");
        });
    });
}

fn canary() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("its own"))])
}

/// One request, or two, until the instance ends or something waits.
async fn exchanges(store: &mut Store<State>, guests: &super::Guests, about: u8) {
    for number in 0..=u64::from(about & 1) {
        let head = RequestHead { headers: canary(), ..RequestHead::default() };
        let behalf = Behalf { origin: RequestOrigin::new(number, http::Extensions::default()), span: None };
        let Some(entered) = patiently(guests.handle(store, (head, body(about)), behalf, None, drop)).await
        else {
            return;
        };
        let reply = match entered {
            Ok(Entered::Answered(reply)) => Some(reply),
            Ok(Entered::Later(_) | Entered::Told) => unreachable!("the first stage is lifted synchronously"),
            Ok(Entered::Broke(_, trap)) | Err(trap) => return assert_theirs(&trap),
        };
        if let Err(trap) = guests.after(store) {
            return assert_theirs(&trap);
        }
        let mut body =
            reply.and_then(Result::ok).and_then(Result::ok).map(|(response, _)| response.into_body());
        if about & 2 != 0 {
            body = None;
        }
        for _ in 0..TURNS {
            if let Some(body) = &mut body {
                let _ = patiently(body.frame()).await;
            }
            match patiently(guests.turn(store, true)).await {
                Some(Ok(_)) => {}
                Some(Err(trap)) => return assert_theirs(&trap),
                None => return,
            }
        }
    }
}

fn assert_theirs(trap: &Trap) {
    assert!(!trap.error.is::<Disagreement>(), "{:?}", trap.error);
    assert!(trap.stage.is_none_or(|stage| stage < 2), "the last stage is blamed: {:?}", trap.error);
}

/// A request's body: none, one that is there, or one that comes and breaks off.
fn body(about: u8) -> WasiBody {
    let frame = || Ok(Frame::data(Bytes::from_static(b"a body")));
    let trailers = || Ok(Frame::trailers(canary()));
    let frames = match about >> 2 & 3 {
        0 => return Empty::new().map_err(|never| match never {}).boxed_unsync(),
        1 => vec![frame()],
        2 => vec![frame(), frame(), trailers()],
        _ => vec![frame(), Err(wasmtime_wasi_http::Error::ConnectionTerminated)],
    };
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

/// What comes of `work`, if it does not wait for long.
async fn patiently<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..PATIENCE {
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}
