//! A service that streams the request's body and trailers back, without the
//! bytes entering the component. It keeps `content-type` and `content-length`.

use linkspan_sdk::{Error, Request, Response, service};

const KEPT: [&str; 2] = ["content-type", "content-length"];

fn handle(request: Request) -> Result<Response, Error> {
    let mut response = Response::new(200);
    for name in KEPT {
        if let Some(value) = request.header_values(name).first() {
            response.headers_mut().set(name, value);
        }
    }
    response.set_body(request.into_body()?);
    Ok(response)
}
service!(handle);
