//! A service with the fault that the request's field `x-fault` names; `ok` if
//! it names none. Async: the faults of bodies and of tasks are here.
//!
//! Beside the common ones (`linkspan_fault::Fault`):
//!
//! | name | what happens |
//! | --- | --- |
//! | `hang` | never answers |
//! | `slow` | answers after `x-delay-ms` (1,000) |
//! | `half-body` | announces 10 bytes, sends 5, then traps |
//! | `half-body-chunked` | the same, nothing announced |
//! | `body-error` | sends 5 bytes, then says that the body failed |
//! | `stalled-body` | sends 5 bytes, then nothing, for ever |
//! | `leftover` | answers, and leaves a task that waits for ever |
//! | `spin-after` | answers, then computes for ever |
//! | `trap-after` | answers, then traps |
//! | `many-chunks` | sends `x-count` bytes (1,000,000) one by one |
//! | `zero-writes` | sends `hello` with `x-count` (1,000) empty writes before |
//! | `trailers` | sends `hello`, then the trailer `x-trailer: yes` |
//! | `read-body` | reads the request's body, answers with its length |
//! | `hoard` | has the host keep `x-count` of what `x-kind` says, see [`hoard`] |

mod hoard;

use linkspan_fault::{Fault, number, ok, spin, trap, unknown};
use linkspan_sdk::bindings::wit_future;
use linkspan_sdk::{
    Body, BodyWriter, Error, Fields, Request, Response, StreamResult, clock, internal, service, spawn_local,
};
use std::time::Duration;

async fn handle(request: Request) -> Result<Response, Error> {
    let Some(fault) = request.header("x-fault") else {
        return Ok(ok());
    };
    if let Some(outcome) = Fault::common(&fault, &request) {
        return outcome;
    }
    match fault.as_str() {
        "hang" => {
            never().await;
            Ok(ok())
        }
        "slow" => {
            let delay = number(&request, "x-delay-ms", 1_000);
            clock::sleep(Duration::from_millis(delay as u64)).await;
            Ok(ok())
        }
        "leftover" => Ok(after(never())),
        "spin-after" => Ok(after(async { spin() })),
        "trap-after" => Ok(after(async { trap() })),
        "read-body" => read_body(request).await,
        "hoard" => {
            let kind = request.header("x-kind").unwrap_or_default();
            hoard::hoard(&kind, number(&request, "x-count", 8_000)).await?;
            Ok(ok())
        }
        other => body_fault(other, &request),
    }
}
service!(async handle);

/// The faults of the response's body.
fn body_fault(name: &str, request: &Request) -> Result<Response, Error> {
    let (writer, body) = Body::channel();
    let mut response = Response::new(200).with_body(body);
    match name {
        "half-body" => {
            response.headers_mut().set("content-length", "10");
            spawn_local(half(writer, End::Trap));
        }
        "half-body-chunked" => spawn_local(half(writer, End::Trap)),
        "body-error" => spawn_local(half(writer, End::Error)),
        "stalled-body" => spawn_local(half(writer, End::Never)),
        "many-chunks" => spawn_local(chunks(writer, number(request, "x-count", 1_000_000))),
        "zero-writes" => spawn_local(zero_writes(writer, number(request, "x-count", 1_000))),
        "trailers" => {
            // HTTP/1 sends only those that were announced (RFC 9110 §6.6.2).
            response.headers_mut().set("trailer", "x-trailer");
            spawn_local(trailers(writer));
        }
        _ => {
            spawn_local(finish(writer));
            return Ok(unknown());
        }
    }
    Ok(response)
}

/// An answer, and what goes on after it.
fn after(task: impl Future<Output = ()> + 'static) -> Response {
    spawn_local(async {
        // A turn of the event loop first, for the answer to be on its way.
        clock::sleep(Duration::from_millis(1)).await;
        task.await;
    });
    ok()
}

/// Wait for a future that nobody will ever write.
async fn never() {
    let (writer, reader) = wit_future::new::<Result<(), Error>>(|| Ok(()));
    std::mem::forget(writer);
    let _ = reader.await;
}

enum End {
    Trap,
    Error,
    Never,
}

async fn half(mut writer: BodyWriter, end: End) {
    writer.contents.write_all(b"hello".to_vec()).await;
    match end {
        End::Trap => trap(),
        End::Error => {
            drop(writer.contents);
            let _ = writer.trailers.write(Err(internal("as asked"))).await;
        }
        End::Never => {
            never().await;
            drop(writer);
        }
    }
}

async fn chunks(mut writer: BodyWriter, count: usize) {
    for _ in 0..count {
        if !writer.contents.write_all(vec![b'x']).await.is_empty() {
            break;
        }
    }
    finish(writer).await;
}

async fn zero_writes(mut writer: BodyWriter, count: usize) {
    for _ in 0..count {
        let (result, _) = writer.contents.write(Vec::new()).await;
        if result == StreamResult::Dropped {
            break;
        }
    }
    writer.contents.write_all(b"hello".to_vec()).await;
    finish(writer).await;
}

async fn trailers(mut writer: BodyWriter) {
    writer.contents.write_all(b"hello".to_vec()).await;
    drop(writer.contents);
    let list = [("x-trailer".to_string(), b"yes".to_vec())];
    let trailers = Fields::from_list(&list).map(Some);
    let trailers = trailers.map_err(|_| internal("the host refused a trailer"));
    let _ = writer.trailers.write(trailers).await;
}

async fn finish(writer: BodyWriter) {
    drop(writer.contents);
    let _ = writer.trailers.write(Ok(None)).await;
}

async fn read_body(request: Request) -> Result<Response, Error> {
    let Some((Some(mut contents), trailers)) = request.into_body()?.into_streams() else {
        return Err(internal("the request has no body to read"));
    };
    let mut length = 0;
    let mut chunk = Vec::with_capacity(64 * 1024);
    loop {
        let result;
        (result, chunk) = contents.read(chunk).await;
        length += chunk.len();
        chunk.clear();
        if result == StreamResult::Dropped {
            break;
        }
    }
    drop(contents);
    trailers.await?;
    Ok(Response::new(200).with_body(Body::bytes(length.to_string().into_bytes())))
}
