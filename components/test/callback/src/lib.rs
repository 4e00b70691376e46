//! A service for the W3C's tests of Trace Context: it gets a list of requests to make, as JSON
//! (`[{"url": "http://…", "arguments": []}, …]`), sends each as a POST with an empty list, without
//! any field of the request that it got, and answers 200 when all are answered.
//!
//! In these tests, no list has another one in it, and no URL an escape.

use linkspan_sdk::{Body, Error, Method, Request, Response, Scheme, internal, send, service};

/// The longest list, in bytes.
const MOST: usize = 1 << 16;

/// What stands before a URL in a list.
const URL: &str = "\"url\": \"http://";

async fn handle(request: Request) -> Result<Response, Error> {
    let list = request.into_body()?.into_bytes(MOST).await?;
    let list = String::from_utf8(list).map_err(|_| internal("the list is not UTF-8"))?;
    for rest in list.split(URL).skip(1) {
        let (url, _) = rest.split_once('"').ok_or_else(|| internal("a URL has no end"))?;
        let slash = url.find('/').ok_or_else(|| internal("a URL has no path"))?;
        let (authority, path) = url.split_at(slash);
        let mut callback = Request::new(Method::Post, path);
        callback.set_origin(Scheme::Http, authority)?;
        callback.headers_mut().set("content-type", "application/json");
        callback.set_body(Body::bytes(&b"[]"[..]));
        send(callback).await?;
    }
    Ok(Response::new(200).with_header("content-type", "application/json").with_body(Body::bytes(&b"[]"[..])))
}
service!(async handle);
