//! What can be wrong with a stage, for the gateway's tests: the faults that the
//! services and middleware of `test/` have in common.
//!
//! A request chooses the fault by name, in a header field: see [`Fault`].

use linkspan_sdk::{Body, Error, Request, Response, internal};
use std::hint::black_box;

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

/// Compute for ever.
pub fn spin() -> ! {
    let mut i = 0u64;
    loop {
        i = black_box(i.wrapping_add(1));
    }
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
