//! The application as its clients meet it, over TCP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails there says where")]
#![allow(clippy::disallowed_methods, reason = "an application is no worker of a gateway")]

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::{TcpListener, TcpStream};

/// Serves the application, as long as the test runs.
async fn serve() -> SocketAddr {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../components/dist");
    let plugins = axum_example::plugins(&dist, "s3cret").unwrap_or_else(|wrong| {
        panic!("{wrong}\nare the components built? (cargo xtask components)");
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, axum_example::app(&plugins)).await });
    address
}

async fn ask(address: SocketAddr, request: Request<Body>) -> Response<Incoming> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

fn request(method: &str, path: &str, key: Option<&str>) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path).header("host", "app.example");
    match key {
        Some(key) => request.header("x-api-key", key),
        None => request,
    }
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_behind_the_stages() {
    let address = serve().await;
    let get = |path, key| request("GET", path, key).body(Body::empty()).unwrap();
    assert_eq!(text(ask(address, get("/healthz", None)).await).await, "well");
    for key in [None, Some("wrong")] {
        let refused = ask(address, get("/hello/bob", key)).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(refused.headers().contains_key("www-authenticate"));
    }
    let answer = ask(address, get("/hello/bob", Some("s3cret"))).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(text(answer).await, format!("Hello, bob! You are alice, and this is {id}.\n"));
    let head = request("HEAD", "/hello/bob", Some("s3cret")).body(Body::empty()).unwrap();
    let answer = ask(address, head).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers().contains_key("content-length") && text(answer).await.is_empty());
    // What axum answers itself goes through the stages, too.
    assert_eq!(ask(address, get("/upload", Some("s3cret"))).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask(address, get("/nowhere", None)).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(address, get("/nowhere", Some("s3cret"))).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_through_stages_and_routes() {
    let address = serve().await;
    let bytes: Bytes = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
    let upload = request("POST", "/upload", Some("s3cret")).body(Body::from(bytes.clone())).unwrap();
    let answer = ask(address, upload).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.into_body().collect().await.unwrap().to_bytes() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once() {
    let address = serve().await;
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            tokio::spawn(async move {
                let request = request("GET", &format!("/hello/{number}"), Some("s3cret"));
                let answer = ask(address, request.body(Body::empty()).unwrap()).await;
                assert!(text(answer).await.starts_with(&format!("Hello, {number}! You are alice")));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
