//! A service that sends the request that it gets, body and all, to the first of the
//! origins in the field `x-way`, with the others in that field, and answers with the
//! response; with `204` where there is no origin left.
//!
//! What gave no response is answered 502, with the error code's name as text, or with
//! the error code itself where the field `x-pass-error` asks for that. It waits no
//! longer than `x-patience-ms`, if that is there. With
//! `x-times`, it sends so many requests without a body, one after the other, and
//! answers how many of them were answered 200.

use linkspan_sdk::{Body, Error, Method, Request, Response, Scheme, internal, send, service};
use std::time::Duration;

async fn handle(mut request: Request) -> Result<Response, Error> {
    let way = request.header("x-way").unwrap_or_default();
    if way.is_empty() {
        return Ok(Response::new(204));
    }
    let (first, rest) = way.split_once(',').unwrap_or((&way, ""));
    let (scheme, authority) = first.split_once("://").ok_or_else(|| internal("x-way has no origin"))?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    if let Some(times) = request.header("x-times").and_then(|times| times.parse().ok()) {
        return repeat(times, &scheme, authority).await;
    }
    if request.set_origin(scheme, authority).is_err() {
        return Ok(text(502, "refused by set-authority".into()));
    }
    request.headers_mut().set("x-way", rest);
    if let Some(patience) = request.header("x-patience-ms").and_then(|patience| patience.parse().ok()) {
        request.set_timeout(Duration::from_millis(patience))?;
    }
    let pass_error = request.has_header("x-pass-error");
    match send(request).await {
        Err(error) if !pass_error => Ok(text(502, format!("{error:?}"))),
        answer => answer,
    }
}
service!(async handle);

async fn repeat(times: u32, scheme: &Scheme, authority: &str) -> Result<Response, Error> {
    let mut answered = 0;
    for _ in 0..times {
        let mut request = Request::new(Method::Get, "/");
        request.set_origin(scheme.clone(), authority)?;
        answered += u32::from(send(request).await?.status() == 200);
    }
    Ok(text(200, answered.to_string()))
}

fn text(status: u16, text: String) -> Response {
    Response::new(status)
        .with_header("content-type", "text/plain; charset=utf-8")
        .with_body(Body::bytes(text.into_bytes()))
}
