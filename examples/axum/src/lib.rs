//! An axum application whose routes stand behind two WebAssembly stages.
//!
//! `key-auth` lets in who has a key, and says who it is; `request-id` names each request. To the routes they are what a
//! native middleware would be: what they add to a request is in its header fields.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use linkspan::embed::{Diagnostics, Layer, Pipeline, Stage};

/// The application: `/healthz` for everybody, the rest for who has a key.
pub fn app(plugins: &Layer) -> Router {
    let plugged = Router::new()
        .route("/hello/{name}", get(hello))
        .route("/upload", post(upload))
        .layer(plugins.clone());
    Router::new().route("/healthz", get(async || "well")).merge(plugged)
}

/// The two stages, with the components in `folder`. `key` is alice's.
///
/// # Errors
/// Everything that is wrong with them.
pub fn plugins(folder: &std::path::Path, key: &str) -> Result<Layer, Diagnostics> {
    let file = |name: &str| folder.join(name).with_extension("wasm");
    Pipeline::new("plugins")
        .stage(Stage::new("key-auth", file("key-auth")).config("keys.alice", key).set("link", "dynamic"))
        .stage(Stage::new("request-id", file("request-id")).grant("random", true))
        .limit("deadline", "10s")
        .limit("request-body", "1GiB")
        .layer()
}

async fn hello(Path(name): Path<String>, headers: HeaderMap) -> String {
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("nobody").to_owned();
    format!("Hello, {name}! You are {}, and this is {}.\n", field("x-consumer"), field("x-request-id"))
}

/// Sends back what comes, as it comes.
async fn upload(body: Body) -> Body {
    body
}
