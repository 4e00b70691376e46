//! An async middleware without timers and requests of its own, so that its lift
//! can be rewritten on trial. The request's field `x-mixed` names what it does;
//! without it, it passes on.
//!
//! | name | what happens |
//! | --- | --- |
//! | `request` | the next stage gets a further field |
//! | `response` | the response has a further field |
//! | `refuse` | 403, without a body, without the next stage |
//! | `error` | `internal-error` with the message that `x-message` is |
//! | `own` | 200, with a body of its own, without the next stage |
//! | `body` | the response's body in upper case |
//! | `echo-body` | the request's body in upper case |
//! | `trailers` | the response's trailers, with one more |
//! | `trap` | it traps, without the next stage |
//! | `trap-after` | it traps when the next stage has answered |
//! | `task` | the response, and a task that waits for ever |
//! | `edits` | the edits of the values of `x-edit-request` and `x-edit-response`: `set`, `append`, `default` or `remove`, a name, a value, with spaces between; as many removals as `many` says, or a value as `long` as it says |

use linkspan_sdk::bindings::wit_future;
use linkspan_sdk::{
    AsyncNext, Body, Error, Fields, HeaderEdits, Request, Response, StreamResult, internal, middleware,
    spawn_local,
};

async fn handle(mut request: Request, next: AsyncNext) -> Result<Response, Error> {
    let what = request.header("x-mixed").unwrap_or_default();
    match what.as_str() {
        "request" => request.headers_mut().set("content-type", "text/x-mixed"),
        "edits" => {
            let edits = request.header_values("x-edit-request");
            edit(request.headers_mut(), &edits);
        }
        "own" => {
            let mut response = Response::new(200);
            response.set_body(streamed("own"));
            return Ok(response);
        }
        "refuse" => return Ok(Response::new(403)),
        "error" => return Err(internal(request.header("x-message").unwrap_or_default())),
        "trap" => trap(),
        "echo-body" => {
            let body = request.take_body()?;
            request.set_body(upper_case(body));
        }
        _ => {}
    }
    let edits = match what.as_str() {
        "edits" => request.header_values("x-edit-response"),
        _ => Vec::new(),
    };
    let mut response = next.call(request).await?;
    match what.as_str() {
        "edits" => edit(response.headers_mut(), &edits),
        "trap-after" => trap(),
        "response" => response.headers_mut().append("x-mixed", "response"),
        "body" => {
            let body = response.take_body()?;
            response.set_body(upper_case(body));
        }
        "trailers" => {
            let body = response.take_body()?;
            response.set_body(more_trailers(body));
            // A body of known length ends there, without trailers.
            response.headers_mut().remove("content-length");
            response.headers_mut().set("trailer", "x-mixed");
        }
        "task" => spawn_local(never()),
        _ => {}
    }
    Ok(response)
}
middleware!(async handle);

fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    panic!("as asked")
}

fn edit(headers: &mut HeaderEdits, edits: &[Vec<u8>]) {
    for edit in edits {
        let text = String::from_utf8_lossy(edit);
        let mut parts = text.splitn(3, ' ').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        match (part().as_str(), part()) {
            ("set", name) => headers.set(name, part()),
            ("append", name) => headers.append(name, part()),
            ("default", name) => headers.set_default(name, part()),
            ("many", count) => {
                (0..count.parse().unwrap_or(0u32)).for_each(|i| headers.remove(format!("x-{i}")));
            }
            ("long", size) => headers.set("x-long", "v".repeat(size.parse().unwrap_or(0))),
            (_, name) => headers.remove(name),
        }
    }
}

/// Wait for a future that nobody will ever write.
async fn never() {
    let (writer, reader) = wit_future::new::<Result<(), Error>>(|| Ok(()));
    std::mem::forget(writer);
    let _ = reader.await;
}

fn streamed(text: &'static str) -> Body {
    let (mut writer, body) = Body::channel();
    spawn_local(async move {
        writer.contents.write_all(text.into()).await;
        drop(writer.contents);
        let _ = writer.trailers.write(Ok(None)).await;
    });
    body
}

fn upper_case(body: Body) -> Body {
    let Some((Some(mut contents), trailers)) = body.into_streams() else {
        return Body::empty();
    };
    let (mut writer, upper) = Body::channel();
    spawn_local(async move {
        let mut chunk = Vec::with_capacity(16 * 1024);
        loop {
            let result;
            (result, chunk) = contents.read(chunk).await;
            let unsent = writer.contents.write_all(chunk.to_ascii_uppercase()).await;
            chunk.clear();
            if result == StreamResult::Dropped || !unsent.is_empty() {
                break;
            }
        }
        drop((contents, writer.contents));
        let _ = writer.trailers.write(trailers.await).await;
    });
    upper
}

/// The body, and trailers that are known when the original ones are.
fn more_trailers(body: Body) -> Body {
    let Some((contents, trailers)) = body.into_streams() else { return Body::empty() };
    let (writer, more) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        let trailers = trailers.await.map(|trailers| {
            // Those that came are immutable where they came from the host.
            let fields = trailers.map(|trailers| Fields::from_list(&trailers.copy_all()));
            let fields = fields.and_then(Result::ok).unwrap_or_else(Fields::new);
            let _ = fields.append("x-mixed", b"trailers");
            Some(fields)
        });
        let _ = writer.write(trailers).await;
    });
    Body::from_streams(contents, more)
}
