//! A middleware that does nothing, in the sync form: the cost of a hop.

use linkspan_sdk::{Error, Next, Request, Response, middleware};

fn handle(request: Request, next: Next) -> Result<Response, Error> {
    next.call(request)
}
middleware!(handle);
