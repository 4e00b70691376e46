//! A middleware with the fault that the request's field `x-middleware-fault`
//! (or another one, by configuration: `field`) names; it passes on what names none. Sync.
//!
//! Beside the common ones (`linkspan_fault::Fault`), which come instead of the
//! next stage's answer:
//!
//! | name | what happens |
//! | --- | --- |
//! | `hang` | never calls the next stage |
//! | `slow` | calls it after `x-delay-ms` (1,000) |
//! | `compute` | calls it after `x-rounds` (1,000,000) of computing |
//! | `trap-after` | traps when the next stage has answered |
//! | `loop-after` | computes for ever when the next stage has answered |
//! | `drop-response` | forgets that answer, and gives its own: `ok` |
//! | `next-twice` | calls the next stage again, with a GET of its own |

use linkspan_fault::{Fault, Options, compute, number, ok, spin, trap, unknown};
use linkspan_sdk::{Error, Method, Next, Request, Response, block_on, clock, middleware};
use std::time::Duration;

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let Some(fault) = request.header(options.field.as_str()) else {
        return next.call(request);
    };
    if let Some(outcome) = Fault::common(&fault, &request) {
        return outcome;
    }
    match fault.as_str() {
        "hang" => {
            block_on(clock::sleep(Duration::MAX));
            Ok(ok())
        }
        "slow" => {
            let delay = number(&request, "x-delay-ms", 1_000);
            block_on(clock::sleep(Duration::from_millis(delay as u64)));
            next.call(request)
        }
        "compute" => {
            compute(number(&request, "x-rounds", 1_000_000));
            next.call(request)
        }
        "trap-after" => {
            let _response = next.call(request)?;
            trap()
        }
        "loop-after" => {
            let _response = next.call(request)?;
            spin()
        }
        "drop-response" => {
            drop(next.call(request)?);
            Ok(ok())
        }
        "next-twice" => {
            let again = copy(&request)?;
            drop(next.call(request)?);
            next.call(again)
        }
        _ => Ok(unknown()),
    }
}
middleware!(handle, Options);

/// A GET to where the request goes.
fn copy(request: &Request) -> Result<Request, Error> {
    let mut copy = Request::new(Method::Get, request.path_with_query().unwrap_or("/".into()));
    if let (Some(scheme), Some(authority)) = (request.scheme(), request.authority()) {
        copy.set_origin(scheme, &authority)?;
    }
    Ok(copy)
}
