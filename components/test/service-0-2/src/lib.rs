//! A service of WASI 0.2, which does what the request's field `x-do` says; without
//! one it answers `ok`.
//!
//! | `x-do` | what happens |
//! | --- | --- |
//! | `echo` | the body comes back as it comes in, with its trailers |
//! | `request` | method, scheme, authority and path, joined by spaces, then its fields |
//! | `read-body` | how many bytes the body has, or `failed` |
//! | `trailers` | `hello` with the announced trailer `x-trailer: yes` |
//! | `length` | `hello` with the length that `x-length` says |
//! | `chunks` | `x-count` chunks of 64 KiB |
//! | `status` | the status that `x-status` says, without a body |
//! | `unset` | it returns without an answer |
//! | `refuse` | it drops the place for the answer |
//! | `error` | the error code `internal-error` with the message `as asked` |
//! | `cut` | half a body, which is then dropped unfinished |
//! | `trap`, `trap-late` | a trap, before the answer or after the first half of its body |
//! | `loop` | it computes for ever |
//! | `allocate` | it allocates without end |
//! | `linger` | answers, and then waits for `x-delay-ms` |
//! | `hoard` | has the host keep `x-count` (8,000) of what `x-kind` says, see [`hoard`] |
//! | `fetch` | a request to `http://` and what `x-authority` says: its status or error |
//! | anything else | what [`look`] makes of it |

use linkspan_wasi2::bindings::wasi::http::outgoing_handler;
use linkspan_wasi2::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};
use linkspan_wasi2::bindings::wasi::io::streams::{OutputStream, StreamError};
use linkspan_wasi2::look;

mod hoard;

mod export {
    #![allow(missing_docs, unused_qualifications, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({
        path: "../../../wit/wasi-0.2",
        world: "linkspan:wasi2/service",
        with: {
            "wasi:http/types@0.2.12": linkspan_wasi2::bindings::wasi::http::types,
            "wasi:io/error@0.2.12": linkspan_wasi2::bindings::wasi::io::error,
            "wasi:io/poll@0.2.12": linkspan_wasi2::bindings::wasi::io::poll,
            "wasi:io/streams@0.2.12": linkspan_wasi2::bindings::wasi::io::streams,
            "wasi:clocks/monotonic-clock@0.2.12": linkspan_wasi2::bindings::wasi::clocks::monotonic_clock,
        },
    });
    use super::Service;
    export!(Service with_types_in self);
}

struct Service;

impl export::exports::wasi::http::incoming_handler::Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let fields = request.headers();
        let field = |name: &str| {
            let values = fields.get(name);
            values.first().map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let number = |name: &str, default: u64| field(name).and_then(|n| n.parse().ok()).unwrap_or(default);
        match field("x-do").as_deref().unwrap_or("ok") {
            "ok" => answer(out, "ok"),
            "echo" => echo(&request, out),
            "request" => answer(out, &describe(&request)),
            "read-body" => match count(&request) {
                Some(bytes) => answer(out, &bytes.to_string()),
                None => answer(out, "failed"),
            },
            what @ ("trailers" | "length" | "chunks" | "status") => send(what, out, number),
            "unset" => core::mem::forget(out),
            "refuse" => drop(out),
            "error" => {
                let error = ErrorCode::InternalError(Some("as asked".to_owned()));
                ResponseOutparam::set(out, Err(error));
            }
            "cut" => {
                begin(out, 200, &[]).write(b"half");
            }
            "trap" => trap(),
            "trap-late" => {
                let body = begin(out, 200, &[]);
                body.write(b"half");
                trap();
            }
            "loop" => loop {
                core::hint::black_box(());
            },
            "allocate" => {
                let mut held = Vec::new();
                loop {
                    held.push(vec![1u8; 1 << 20]);
                    core::hint::black_box(&held);
                }
            }
            "hoard" => {
                hoard::hoard(&field("x-kind").unwrap_or_default(), number("x-count", 8_000));
                answer(out, "ok");
            }
            "linger" => {
                answer(out, "ok");
                look(&format!("sleep={}", number("x-delay-ms", 1000)));
            }
            "fetch" => {
                let text = fetch(&field("x-authority").unwrap_or_default());
                answer(out, &text.unwrap_or_else(|error| format!("{error:?}")));
            }
            other => answer(out, &look(other)),
        }
    }
}

/// Answers with a body that is more than a text.
fn send(what: &str, out: ResponseOutparam, number: impl Fn(&str, u64) -> u64) {
    match what {
        "trailers" => {
            let body = begin(out, 200, &[("trailer", "x-trailer")]);
            body.write(b"hello");
            let trailers = Fields::from_list(&[("x-trailer".to_owned(), b"yes".to_vec())]);
            body.finish(trailers.ok());
        }
        "length" => {
            let length = number("x-length", 5).to_string();
            let body = begin(out, 200, &[("content-length", &length)]);
            body.write(b"hello");
            body.finish(None);
        }
        "chunks" => {
            let body = begin(out, 200, &[]);
            let chunk = vec![b'x'; 64 << 10];
            for _ in 0..number("x-count", 10) {
                if !body.write(&chunk) {
                    return;
                }
            }
            body.finish(None);
        }
        "status" => {
            begin(out, number("x-status", 204) as u16, &[]).finish(None);
        }
        _ => trap(),
    }
}

fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    panic!("as asked")
}

/// A body that is written. Dropped without its end, it is cut.
struct Body {
    // Before the body, whose child it is.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Body {
    /// Whether all of `bytes` was taken.
    fn write(&self, bytes: &[u8]) -> bool {
        bytes.chunks(4096).all(|chunk| self.stream.blocking_write_and_flush(chunk).is_ok())
    }

    fn finish(self, trailers: Option<Fields>) {
        drop(self.stream);
        let _ = OutgoingBody::finish(self.body, trailers);
    }
}

/// Sends a head, and gives what its body is written to.
fn begin(out: ResponseOutparam, status: u16, fields: &[(&str, &str)]) -> Body {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let response = OutgoingResponse::new(Fields::from_list(&fields).unwrap_or_else(|_| Fields::new()));
    let _ = response.set_status_code(status);
    let body = response.body().unwrap_or_else(|()| trap());
    let stream = body.write().unwrap_or_else(|()| trap());
    ResponseOutparam::set(out, Ok(response));
    Body { stream, body }
}

fn answer(out: ResponseOutparam, text: &str) {
    let length = text.len().to_string();
    let body = begin(out, 200, &[("content-type", "text/plain"), ("content-length", &length)]);
    body.write(text.as_bytes());
    body.finish(None);
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let kept: Vec<_> = request
        .headers()
        .entries()
        .into_iter()
        .filter(|(name, _)| ["content-type", "content-length"].contains(&name.as_str()))
        .collect();
    let kept: Vec<_> =
        kept.iter().map(|(name, value)| (name.as_str(), str::from_utf8(value).unwrap_or_default())).collect();
    let (Ok(incoming), outgoing) = (request.consume(), begin(out, 200, &kept)) else { return };
    {
        let Ok(from) = incoming.stream() else { return };
        loop {
            match outgoing.stream.blocking_splice(&from, 1 << 16) {
                Ok(_) => {}
                // Which of the two has ended, only the other one tells.
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(_)) => return,
            }
        }
    }
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    let trailers = match trailers.get() {
        Some(Ok(Ok(trailers))) => trailers.map(|fields| fields.clone()),
        _ => return,
    };
    outgoing.finish(trailers);
}

fn count(request: &IncomingRequest) -> Option<u64> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = 0;
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(read) => bytes += read.len() as u64,
            Err(StreamError::Closed) => return Some(bytes),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
    }
}

fn describe(request: &IncomingRequest) -> String {
    let method = match request.method() {
        Method::Other(other) => other,
        Method::Get => "GET".to_owned(),
        Method::Post => "POST".to_owned(),
        _ => "one of the others".to_owned(),
    };
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        _ => "other",
    };
    let authority = request.authority().unwrap_or_default();
    let mut text = format!("{method} {scheme} {authority} {}", request.path_with_query().unwrap_or_default());
    for (name, value) in request.headers().entries() {
        text += &format!("\n{name}: {}", String::from_utf8_lossy(&value));
    }
    text
}

fn fetch(authority: &str) -> Result<String, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(authority));
    let _ = request.set_path_with_query(Some("/"));
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(result)) => Ok(result?.status().to_string()),
        _ => Ok("no response".to_owned()),
    }
}
