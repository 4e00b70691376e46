//! A middleware that does a small piece of real work, for the benchmarks. One
//! source is built in each form that a middleware can have, so that what they
//! cost can be compared: sync-lifted, with the feature `in-place`, and with the
//! feature `async` as an async-lifted one.
//!
//! | `work` | what it does |
//! | --- | --- |
//! | `header` | appends the field `x-measured` to the response |
//! | `key` | refuses a request whose `x-api-key` is not `key`, and sets `x-consumer` on the others |
//! | `log` | says the request's path in the log |

#[cfg(feature = "async")]
use linkspan_sdk::AsyncNext;
#[cfg(not(feature = "async"))]
use linkspan_sdk::Next;
use linkspan_sdk::{Config, Error, FromConfig, Request, Response, info, middleware, secret};

enum Work {
    Header,
    Key(String),
    Log,
}

impl FromConfig for Work {
    fn from_config(config: &mut Config) -> Option<Self> {
        let work: String = config.required("work")?;
        match work.as_str() {
            "header" => Some(Self::Header),
            "key" => Some(Self::Key(config.required("key")?)),
            "log" => Some(Self::Log),
            _ => {
                config.reject("work", "must be `header`, `key` or `log`");
                None
            }
        }
    }
}

impl Work {
    /// What is done before the next stage is called; the answer of who may not go there.
    fn before(&self, request: &mut Request) -> Result<(), Response> {
        match self {
            Self::Header => {}
            Self::Key(key) => {
                let offered = request.header("x-api-key").unwrap_or_default();
                if !secret::equal(offered.as_bytes(), key.as_bytes()) {
                    return Err(Response::new(401));
                }
                request.headers_mut().set("x-consumer", "measured");
            }
            Self::Log => info!("{}", request.path_with_query().unwrap_or_default()),
        }
        Ok(())
    }

    /// What is done to its response.
    fn after(&self, mut response: Response) -> Response {
        if matches!(self, Self::Header) {
            response.headers_mut().append("x-measured", "0123456789abcdef");
        }
        response
    }
}

#[cfg(feature = "async")]
async fn handle(work: &'static Work, mut request: Request, next: AsyncNext) -> Result<Response, Error> {
    match work.before(&mut request) {
        Ok(()) => Ok(work.after(next.call(request).await?)),
        Err(refusal) => Ok(refusal),
    }
}
#[cfg(feature = "async")]
middleware!(async handle, Work);

#[cfg(not(feature = "async"))]
fn handle(work: &'static Work, mut request: Request, next: Next) -> Result<Response, Error> {
    match work.before(&mut request) {
        Ok(()) => Ok(work.after(next.call(request)?)),
        Err(refusal) => Ok(refusal),
    }
}
#[cfg(not(feature = "async"))]
middleware!(handle, Work);
