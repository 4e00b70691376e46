//! A service that answers 200 without a body: what is left of a request's cost
//! when the service costs nothing.

use linkspan_sdk::{Error, Request, Response, service};

fn handle(_: Request) -> Result<Response, Error> {
    Ok(Response::new(200))
}
service!(handle);
