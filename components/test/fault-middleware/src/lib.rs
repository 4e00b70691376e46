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
//! | `trap-after` | traps when the next stage has answered |
//! | `loop-after` | computes for ever when the next stage has answered |
//! | `drop-response` | forgets that answer, and gives its own: `ok` |
//! | `next-twice` | calls the next stage again, with a GET of its own |
//! | `user-info` | sends the request on to `me@localhost` |
//! | `leftover` | passes the answer on, and leaves a task that waits for ever |
//! | `transform-request` | sends the body on in upper case, its length unsaid |
//! | `transform-response` | the same with the body of the answer |
//! | `transform-stale` | the same, doubled, with the old `content-length` |

use linkspan_fault::{Fault, Options, number, ok, spin, trap, unknown};
use linkspan_sdk::bindings::wit_future;
use linkspan_sdk::{
    AsyncNext, Body, Error, Method, Request, Response, Scheme, StreamResult, clock, middleware, spawn_local,
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
        "leftover" => spawn_local(never()),
        "transform-request" => {
            let body = request.take_body()?;
            request.set_body(upper_case(body, 1));
            request.headers_mut().remove("content-length");
        }
        "transform-response" | "transform-stale" => {
            let mut response = next.call(request).await?;
            let body = response.take_body()?;
            let stale = fault == "transform-stale";
            response.set_body(upper_case(body, if stale { 2 } else { 1 }));
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
async fn never() {
    let (writer, reader) = wit_future::new::<Result<(), Error>>(|| Ok(()));
    std::mem::forget(writer);
    let _ = reader.await;
}

/// The same body in upper case, every chunk of it `times`, and its trailers.
fn upper_case(body: Body, times: usize) -> Body {
    let Some((Some(mut contents), trailers)) = body.into_streams() else {
        return Body::empty();
    };
    let (mut writer, upper) = Body::channel();
    spawn_local(async move {
        let mut chunk = Vec::with_capacity(16 * 1024);
        loop {
            let result;
            (result, chunk) = contents.read(chunk).await;
            let sent = writer.contents.write_all(chunk.to_ascii_uppercase().repeat(times)).await;
            chunk.clear();
            if result == StreamResult::Dropped || !sent.is_empty() {
                break;
            }
        }
        drop((contents, writer.contents));
        let trailers = trailers.await;
        let _ = writer.trailers.write(trailers).await;
    });
    upper
}
