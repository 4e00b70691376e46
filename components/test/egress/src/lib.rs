//! A service that sends a request to the URL in the request's field `x-url`,
//! and answers 200 with what came of it as text: the status, or the name of
//! the error code. 400 if there is no such URL.
//!
//! With the field `x-body`, what it sends is a POST with that as its body, whose length
//! it does not say.

use linkspan_sdk::{Body, Error, Method, Request, Response, Scheme, send, service};

async fn handle(request: Request) -> Result<Response, Error> {
    let url = request.header("x-url").unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(text(400, "x-url is no URL".into()));
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let body = request.header("x-body");
    let method = if body.is_some() { Method::Post } else { Method::Get };
    let mut outgoing = Request::new(method, if path.is_empty() { "/" } else { path });
    outgoing.set_origin(scheme, authority)?;
    if let Some(body) = body {
        outgoing.set_body(Body::bytes(body.into_bytes()));
    }
    let outcome = match send(outgoing).await {
        Ok(response) => response.status().to_string(),
        Err(error) => format!("{error:?}"),
    };
    Ok(text(200, outcome))
}
service!(async handle);

fn text(status: u16, text: String) -> Response {
    Response::new(status)
        .with_header("content-type", "text/plain; charset=utf-8")
        .with_body(Body::bytes(text.into_bytes()))
}
