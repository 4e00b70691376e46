//! A service with the fault that the request's field `x-fault` names; `ok` if
//! it names none. Sync: its instance is held while it waits.
//!
//! Beside the common ones (`linkspan_fault::Fault`):
//!
//! | name | what happens |
//! | --- | --- |
//! | `hang` | never answers |
//! | `slow` | answers after `x-delay-ms` (1,000) |

use linkspan_fault::{Fault, number, ok, unknown};
use linkspan_sdk::{Error, Request, Response, block_on, clock, service};
use std::time::Duration;

fn handle(request: Request) -> Result<Response, Error> {
    let Some(fault) = request.header("x-fault") else {
        return Ok(ok());
    };
    if let Some(outcome) = Fault::common(&fault, &request) {
        return outcome;
    }
    let delay = match fault.as_str() {
        "hang" => Duration::MAX,
        "slow" => Duration::from_millis(number(&request, "x-delay-ms", 1_000) as u64),
        _ => return Ok(unknown()),
    };
    block_on(clock::sleep(delay));
    Ok(ok())
}
service!(handle);
