//! A service that reads files: built for wasm32-wasip2, where Rust's standard library has a file system.
//!
//! `GET /NAME` is answered with the file `NAME.LOCALE.txt` of the directory that the stage is granted at `/texts`, where
//! the field `x-locale` says which; without one in that language, with `NAME.txt`.

use linkspan_sdk::{Body, Error, Method, Request, Response, internal, service};
use std::fs;
use std::io::ErrorKind;

fn handle(request: Request) -> Result<Response, Error> {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Ok(Response::problem(405, "Method Not Allowed").with_header("allow", "GET, HEAD"));
    }
    let path = request.path_with_query().unwrap_or_default();
    let name = path.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned();
    let locale = request.header("x-locale").unwrap_or_default();
    // Neither leads anywhere else: what is not a word is not the name of a notice.
    if !is_word(&name) {
        return Ok(Response::problem(404, "Not Found"));
    }
    let mut files = Vec::new();
    if is_word(&locale) {
        files.push(format!("/texts/{name}.{locale}.txt"));
    }
    files.push(format!("/texts/{name}.txt"));
    for file in files {
        match fs::read(&file) {
            Ok(text) => {
                let response = Response::new(200).with_header("content-type", "text/plain; charset=utf-8");
                return Ok(response.with_body(Body::bytes(text)));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(internal(format!("{file}: {error}"))),
        }
    }
    Ok(Response::problem(404, "Not Found"))
}
service!(handle);

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
