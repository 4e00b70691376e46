//! One page of what three pipelines say: the client asks once, and no request leaves the process.
//!
//! The stage names the pipelines: `next = { greeting = "…", notice = "…", farewell = "…" }`. They get the path of the
//! request, and its language in the field `x-locale`. What one of them does not answer with 200 is left out.

use linkspan_sdk::{
    Body, Error, Method, Request, Response, Scheme, StreamResult, call_named_async, internal, service,
};

mod bindings {
    #![allow(missing_docs, unused_qualifications, clippy::all, clippy::undocumented_unsafe_blocks)]
    wit_bindgen::generate!({
        inline: "
            package linkspan:page;
            world page {
                import greeting: wasi:http/handler@0.3.0;
                import notice: wasi:http/handler@0.3.0;
                import farewell: wasi:http/handler@0.3.0;
            }
        ",
        path: "../../wit",
        with: {
            "wasi:http/types@0.3.0": linkspan_sdk::bindings::wasi::http::types,
            "wasi:clocks/types@0.3.0": linkspan_sdk::bindings::wasi::clocks::types,
        },
        generate_all,
    });
}

/// Bytes that a part may have.
const LONGEST: usize = 64 << 10;

async fn handle(request: Request) -> Result<Response, Error> {
    let mut page = Vec::new();
    add(&mut page, call_named_async(bindings::greeting::handle, part(&request)?).await?).await?;
    add(&mut page, call_named_async(bindings::notice::handle, part(&request)?).await?).await?;
    add(&mut page, call_named_async(bindings::farewell::handle, part(&request)?).await?).await?;
    let response = Response::new(200).with_header("content-type", "text/plain; charset=utf-8");
    Ok(response.with_body(Body::bytes(page)))
}
service!(async handle);

/// The request for a part: for the same path, in the same language.
fn part(request: &Request) -> Result<Request, Error> {
    let mut part = Request::new(Method::Get, request.path_with_query().unwrap_or_default());
    part.set_origin(request.scheme().unwrap_or(Scheme::Http), &request.authority().unwrap_or_default())?;
    if let Some(locale) = request.header("x-locale") {
        part.headers_mut().set("x-locale", locale);
    }
    Ok(part)
}

/// Reads a part into the page, or says what is wrong with it.
async fn add(page: &mut Vec<u8>, mut part: Response) -> Result<(), Error> {
    let Some((Some(mut contents), trailers)) = part.take_body()?.into_streams() else {
        return Ok(());
    };
    let mut text = Vec::new();
    loop {
        let (result, read) = contents.read(Vec::with_capacity(4096)).await;
        text.extend(read);
        match result {
            StreamResult::Complete(_) if text.len() <= LONGEST => {}
            StreamResult::Complete(_) => return Err(internal("a part of the page is longer than 64 KiB")),
            _ => break,
        }
    }
    drop(contents);
    // Where a part was cut short, so would the page be.
    trailers.await?;
    if part.status() == 200 {
        page.append(&mut text);
    }
    Ok(())
}
