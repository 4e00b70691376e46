//! A service that answers with what it sees, as JSON: the request's head, its
//! own configuration, environment and arguments.

use linkspan_sdk::bindings::wasi::{cli::environment, config::store};
use linkspan_sdk::template::method_name;
use linkspan_sdk::{Body, Error, Request, Response, Scheme, internal, json, service};

/// Async, for an answer of any size.
async fn handle(request: Request) -> Result<Response, Error> {
    let headers = request.headers();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value)));
    let config = store::get_all().map_err(|_| internal("no configuration"))?;
    let environment = environment::get_environment();
    let fields = [
        ("method", json::string(&method_name(request.method()))),
        ("path", json::optional(request.path_with_query().as_deref())),
        ("scheme", json::optional(request.scheme().as_ref().map(scheme))),
        ("authority", json::optional(request.authority().as_deref())),
        ("headers", json::pairs(headers)),
        ("config", json::pairs(config.iter().map(|(k, v)| (k.as_str(), v)))),
        ("environment", json::pairs(environment.iter().map(|(k, v)| (k.as_str(), v)))),
        ("arguments", json::strings(environment::get_arguments())),
    ];
    Ok(Response::new(200)
        .with_header("content-type", "application/json")
        .with_body(Body::bytes(json::object(fields).into_bytes())))
}
service!(async handle);

fn scheme(scheme: &Scheme) -> &str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
        Scheme::Other(other) => other,
    }
}
