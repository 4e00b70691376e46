//! A middleware with the fault that the request's field `x-middleware-fault`
//! (or another one, by configuration: `field`) names; it passes on what names none. Async: the faults of bodies and of
//! tasks are here.
//!
//! Beside the common ones (`linkspan_fault::Fault`), which come instead of the
//! next stage's answer:
//!
//! | name | what happens |
//! | --- | --- |
//! | `hang` | never calls the next stage |
//! | `slow` | calls it after `x-delay-ms` (1,000) |
//! | `compute` | calls it after `x-rounds` (1,000,000) of computing |
//! | `trap-after` | traps when the next stage has answered |
//! | `loop-after` | computes for ever when the next stage has answered |
//! | `drop-response` | forgets that answer, and gives its own: `ok` |
//! | `next-twice` | calls the next stage again, with a GET of its own |
//! | `user-info` | sends the request on to `me@localhost` |
//! | `leftover` | passes the answer on, and leaves a task that waits for ever |
//! | `transform-request` | sends the body on in upper case, its length unsaid |
//! | `transform-response` | the same with the body of the answer |
//! | `transform-stale` | the same, doubled, with the old `content-length` |
//! | `swallow-request` | as `transform-request`, and says that the body is complete, even if it broke off |
//! | `swallow-response` | the same with the body of the answer |
//! | `hold-request` | the same, and goes on for ever when the body ends |
//! | `log` | writes a line to the log, and calls the next stage |
//! | `splice-request` | as `transform-request`, and hands on the trailers as they are |

use linkspan_fault::{Fault, Options, compute, number, ok, spin, trap, unknown};
use linkspan_sdk::bindings::{wit_future, wit_stream};
use linkspan_sdk::{
    AsyncNext, Body, Error, Method, Request, Response, Scheme, StreamReader, StreamResult, StreamWriter,
    clock, middleware, spawn_local,
};
use std::time::Duration;

async fn handle(options: &'static Options, mut request: Request, next: AsyncNext) -> Result<Response, Error> {
    let Some(fault) = request.header(options.field.as_str()) else {
        return next.call(request).await;
    };
    if let Some(outcome) = Fault::common(&fault, &request) {
        return outcome;
    }
    match fault.as_str() {
        "hang" => never().await,
        "slow" => {
            let delay = number(&request, "x-delay-ms", 1_000);
            clock::sleep(Duration::from_millis(delay as u64)).await;
        }
        "compute" => compute(number(&request, "x-rounds", 1_000_000)),
        "trap-after" => {
            let _response = next.call(request).await?;
            trap()
        }
        "loop-after" => {
            let _response = next.call(request).await?;
            spin()
        }
        "drop-response" => {
            drop(next.call(request).await?);
            return Ok(ok());
        }
        "next-twice" => {
            let again = copy(&request)?;
            drop(next.call(request).await?);
            return next.call(again).await;
        }
        "user-info" => {
            let scheme = request.scheme().unwrap_or(Scheme::Http);
            request.set_origin(scheme, "me@localhost")?;
        }
        "leftover" => spawn_local(async { never().await }),
        "transform-request" | "swallow-request" | "hold-request" => {
            let after = match fault.as_str() {
                "swallow-request" => Trailers::None,
                "hold-request" => Trailers::Never,
                _ => Trailers::Copied,
            };
            let body = request.take_body()?;
            request.set_body(upper_case(body, 1, after));
            request.headers_mut().remove("content-length");
        }
        "log" => linkspan_sdk::warn!("as asked"),
        "splice-request" => {
            let body = request.take_body()?;
            request.set_body(spliced(body));
            request.headers_mut().remove("content-length");
        }
        "transform-response" | "transform-stale" | "swallow-response" => {
            let mut response = next.call(request).await?;
            let body = response.take_body()?;
            let stale = fault == "transform-stale";
            let trailers = if fault == "swallow-response" { Trailers::None } else { Trailers::Copied };
            response.set_body(upper_case(body, if stale { 2 } else { 1 }, trailers));
            if !stale {
                response.headers_mut().remove("content-length");
            }
            return Ok(response);
        }
        _ => return Ok(unknown()),
    }
    next.call(request).await
}
middleware!(async handle, Options);

/// A GET to where the request goes.
fn copy(request: &Request) -> Result<Request, Error> {
    let mut copy = Request::new(Method::Get, request.path_with_query().unwrap_or("/".into()));
    if let (Some(scheme), Some(authority)) = (request.scheme(), request.authority()) {
        copy.set_origin(scheme, &authority)?;
    }
    Ok(copy)
}

/// Wait for a future that nobody will ever write.
async fn never() -> ! {
    let (writer, reader) = wit_future::new::<Result<(), Error>>(|| Ok(()));
    std::mem::forget(writer);
    let _ = reader.await;
    trap()
}

/// What comes after a transformed body.
enum Trailers {
    /// What came after the original.
    Copied,
    /// Nothing, whatever became of the original.
    None,
    /// They never come, and neither does the end of the bytes.
    Never,
}

/// The same body in upper case, every chunk of it `times`, and its trailers.
fn upper_case(body: Body, times: usize, after: Trailers) -> Body {
    let Some((Some(contents), trailers)) = body.into_streams() else {
        return Body::empty();
    };
    let (writer, upper) = Body::channel();
    spawn_local(async move {
        let bytes = copy_upper(contents, writer.contents, times).await;
        let trailers = match after {
            Trailers::Copied => {
                drop(bytes);
                trailers.await
            }
            Trailers::None => {
                drop(bytes);
                Ok(None)
            }
            Trailers::Never => never().await,
        };
        let _ = writer.trailers.write(trailers).await;
    });
    upper
}

/// The same, with the original's trailers.
fn spliced(body: Body) -> Body {
    let Some((Some(contents), trailers)) = body.into_streams() else {
        return Body::empty();
    };
    let (writer, upper) = wit_stream::new();
    spawn_local(async move { drop(copy_upper(contents, writer, 1).await) });
    Body::from_streams(Some(upper), trailers)
}

/// Copies all bytes, and gives back what ends them.
async fn copy_upper(
    mut contents: StreamReader<u8>,
    mut upper: StreamWriter<u8>,
    times: usize,
) -> StreamWriter<u8> {
    let mut chunk = Vec::with_capacity(16 * 1024);
    loop {
        let result;
        (result, chunk) = contents.read(chunk).await;
        let sent = upper.write_all(chunk.to_ascii_uppercase().repeat(times)).await;
        chunk.clear();
        if result == StreamResult::Dropped || !sent.is_empty() {
            return upper;
        }
    }
}
