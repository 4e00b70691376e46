//! What can be wrong with a stage, for the gateway's tests: the faults that the
//! services and middleware of `test/` have in common.
//!
//! A request chooses the fault by name, in a header field: see [`Fault`].

use linkspan_sdk::{Body, Config, Error, FromConfig, HeaderName, Request, Response, internal};
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

/// The faults that don't depend on how a stage is lifted.
///
/// | name | what happens |
/// | --- | --- |
/// | `trap` | `unreachable` |
/// | `loop` | it computes for ever |
/// | `allocate` | it allocates, and touches, memory without end |
/// | `error` | `internal-error` with the message `as asked` |
/// | `deny` | the error code `HTTP-request-denied` |
/// | `drop-body` | answers `ok` without having read the request's body |
/// | `big-headers` | answers with a field of `x-size` bytes (100,000) |
/// | `many-headers` | answers with `x-count` fields (1,000) |
/// | `stale-length` | answers `hello` with `content-length: x-length` (100) |
/// | `bad-field` | sets a field that no response may have: `x-kind` is `line-end`, `nul`, `name` or `forbidden` |
/// | `remember` | keeps the value of `x-secret`, and answers `ok` |
/// | `recall` | answers how often the reverse of `x-reversed` is in its memory |
/// | `bad-status` | answers with the status 999 |
/// | `status` | answers with the status `x-status` (204), without a body |
/// | `status-with-body` | the same with the body `ok`, whatever the status allows |
pub struct Fault;

impl Fault {
    /// Do what `name` says; `None` if it is none of these.
    ///
    /// # Errors
    /// Those that were asked for.
    pub fn common(name: &str, request: &Request) -> Option<Result<Response, Error>> {
        Some(match name {
            "trap" => trap(),
            "loop" => spin(),
            "allocate" => allocate(),
            "error" => Err(internal("as asked")),
            "deny" => Err(Error::HttpRequestDenied),
            "drop-body" => Ok(ok()),
            "big-headers" => {
                let size = number(request, "x-size", 100_000);
                Ok(ok().with_header("x-big", "b".repeat(size)))
            }
            "many-headers" => {
                let mut response = ok();
                for i in 0..number(request, "x-count", 1_000) {
                    response.headers_mut().append(format!("x-{i}"), "many");
                }
                Ok(response)
            }
            "stale-length" => {
                let length = number(request, "x-length", 100).to_string();
                Ok(text("hello").with_header("content-length", length))
            }
            "bad-field" => {
                let (name, value) = match request.header("x-kind").as_deref() {
                    Some("line-end") => ("x-bad", "a\r\nx-injected: yes"),
                    Some("nul") => ("x-bad", "a\0b"),
                    Some("name") => ("x-bad\r\nx-injected", "yes"),
                    _ => ("transfer-encoding", "chunked"),
                };
                Ok(ok().with_header(name, value))
            }
            "remember" => {
                static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
                let secret = request.header("x-secret").unwrap_or_default();
                KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(secret.into_bytes());
                Ok(ok())
            }
            "recall" => {
                let reversed = request.header("x-reversed").unwrap_or_default();
                Ok(Response::new(200)
                    .with_body(Body::bytes(recall(reversed.as_bytes()).to_string().into_bytes())))
            }
            "bad-status" => Ok(Response::new(999)),
            "status" => Ok(Response::new(status(request))),
            "status-with-body" => {
                let body = Body::bytes(b"ok".as_slice());
                Ok(Response::new(status(request)).with_body(body))
            }
            _ => return None,
        })
    }
}

/// Where a middleware looks for the name of its fault, so that a request can choose
/// which of several it means.
pub struct Options {
    /// The field, by configuration; `x-middleware-fault` without one.
    pub field: HeaderName,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let field = config.or("field", HeaderName::from_static("x-middleware-fault"));
        Some(Self { field })
    }
}

/// The answer of a stage that nothing is wrong with.
pub fn ok() -> Response {
    text("ok")
}

/// 200 with a short text.
pub fn text(text: &'static str) -> Response {
    Response::new(200)
        .with_header("content-type", "text/plain; charset=utf-8")
        .with_body(Body::bytes(text.as_bytes()))
}

/// 400 for a fault that there is not.
pub fn unknown() -> Response {
    Response::problem(400, "There is no such fault")
}

fn status(request: &Request) -> u16 {
    number(request, "x-status", 204) as u16
}

/// A number from a header field, or what it is by default.
pub fn number(request: &Request, name: &str, default: usize) -> usize {
    request.header(name).and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Trap.
pub fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    panic!("as asked")
}

/// How often the bytes of `reversed`, from the last to the first, are in the linear
/// memory: reversed, so that the question is not found itself.
#[cfg(target_family = "wasm")]
fn recall(reversed: &[u8]) -> usize {
    let size = core::arch::wasm32::memory_size(0) << 16;
    // SAFETY: an address below the memory's size can be read; volatile, since nothing
    // is known of what is there.
    let byte = |at: usize| unsafe { core::ptr::read_volatile(core::ptr::with_exposed_provenance::<u8>(at)) };
    let is_at =
        |start: &usize| reversed.iter().rev().enumerate().all(|(at, wanted)| byte(start + at) == *wanted);
    // Address 0 is no object's.
    (1..size.saturating_sub(reversed.len())).filter(is_at).count()
}

#[cfg(not(target_family = "wasm"))]
fn recall(_reversed: &[u8]) -> usize {
    0
}

/// Compute for ever.
pub fn spin() -> ! {
    let mut i = 0u64;
    loop {
        i = black_box(i.wrapping_add(1));
    }
}

/// Compute for so many rounds.
pub fn compute(rounds: usize) {
    (0..rounds).for_each(|round| _ = black_box(round));
}

/// Allocate for ever, until it is not let: then the allocation traps.
fn allocate() -> ! {
    let mut held = Vec::new();
    loop {
        // Not zeros, which the host might not have to back.
        held.push(vec![1u8; 1 << 20]);
        black_box(&held);
    }
}
