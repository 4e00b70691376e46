//! Servers behind the gateway: some of hyper that behave, some of raw sockets that don't.

use crate::harness::body::{self, TestBody};
use crate::harness::{SOON, identity, run};
use crate::swap::support::Served;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// What a server of hyper speaks.
#[derive(Clone)]
pub enum Speaks {
    Http1,
    Http2,
    Tls(Arc<rustls::ServerConfig>),
}

/// What a server has seen.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub open: AtomicUsize,
    pub heads: Mutex<Vec<http::request::Parts>>,
    /// Request bodies that broke off.
    pub broken: AtomicUsize,
    /// Health checks fail.
    pub ill: AtomicBool,
}

/// A server of hyper, on a thread of its own. Dropped, it ends with its connections.
pub struct Origin {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Origin {
    pub fn start() -> Self {
        Self::speaking(Speaks::Http1)
    }

    pub fn speaking(speaks: Speaks) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), speaks)
    }

    /// One that listens there, again if there was one before.
    pub fn at(address: SocketAddr, speaks: Speaks) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let seen = Arc::new(Seen::default());
        let known = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            run(async move {
                let listener = tokio::net::TcpListener::bind(address).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let accept = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        stream.set_nodelay(true).unwrap();
                        let (seen, speaks) = (Arc::clone(&known), speaks.clone());
                        tokio::task::spawn_local(serve(stream, speaks, seen));
                    }
                };
                tokio::select! { () = accept => {}, _ = stopped => {} }
            });
        });
        let address = told.recv_timeout(SOON).unwrap();
        Self { address, seen, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    pub fn open(&self) -> usize {
        self.seen.open.load(SeqCst)
    }

    /// How many requests came, health checks left out.
    pub fn requests(&self) -> usize {
        self.seen.heads.lock().unwrap().len()
    }

    /// The last request's head.
    pub fn last(&self) -> http::request::Parts {
        self.seen.heads.lock().unwrap().last().unwrap().clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take().unwrap().join());
    }
}

#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

async fn serve(stream: tokio::net::TcpStream, speaks: Speaks, seen: Arc<Seen>) {
    seen.connections.fetch_add(1, SeqCst);
    seen.open.fetch_add(1, SeqCst);
    let counted = Arc::clone(&seen);
    let service = service_fn(move |request| {
        let seen = Arc::clone(&counted);
        async move { Ok::<_, std::convert::Infallible>(answer(request, seen).await) }
    });
    // Clients that break off are what some tests are about.
    match speaks {
        Speaks::Http1 => {
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        }
        Speaks::Http2 => {
            let builder = hyper::server::conn::http2::Builder::new(Local);
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        }
        Speaks::Tls(config) => {
            if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let io = TokioIo::new(stream);
                if http2 {
                    let builder = hyper::server::conn::http2::Builder::new(Local);
                    drop(builder.serve_connection(io, service).await);
                } else {
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
                }
            }
        }
    }
    seen.open.fetch_sub(1, SeqCst);
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Response<TestBody> {
    let (parts, mut upload) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if path == "/health" {
        return status(if seen.ill.load(SeqCst) { 500 } else { 200 });
    }
    seen.heads.lock().unwrap().push(parts.clone());
    match path.as_str() {
        "/echo" => echo(upload, &parts.headers),
        "/digest" => digest(upload, &seen).await,
        "/stream" => {
            let size = parts.uri.query().unwrap().parse().unwrap();
            let mut response = Response::new(body::stream(size).1);
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
            response
        }
        "/trailers" => {
            let mut response =
                Response::new(body::with_trailers("hello", &[("x-sum", "5"), ("x-other", "1")]));
            response.headers_mut().insert(TRAILER, HeaderValue::from_static("x-sum, x-other"));
            response
        }
        "/204" => status(204),
        "/304" => status(304),
        "/503" => status(503),
        "/fields" => {
            let mut response = Response::new(body::whole("fields"));
            for (name, value) in [
                ("x-kept", "1"),
                ("x-kept", "2"),
                ("connection", "x-own"),
                ("x-own", "1"),
                ("keep-alive", "timeout=5"),
            ] {
                response.headers_mut().append(name, HeaderValue::from_static(value));
            }
            response
        }
        "/early" => {
            tokio::task::spawn_local(async move { while let Some(Ok(_)) = upload.frame().await {} });
            Response::new(body::whole("early"))
        }
        "/never" => std::future::pending().await,
        "/first-and-never" => {
            let (feeder, body) = body::channel();
            feeder.send(Frame::data(Bytes::from_static(b"first"))).await.unwrap();
            let seen = Arc::clone(&seen);
            tokio::task::spawn_local(async move {
                feeder.closed().await;
                seen.broken.fetch_add(1, SeqCst);
            });
            Response::new(body)
        }
        _ => {
            let mut response = Response::new(body::whole(format!("{} {path}", parts.method)));
            if parts.method == Method::HEAD {
                *response.body_mut() = body::whole("x".repeat(1000));
            }
            response
        }
    }
}

/// The length and the digest of what came.
async fn digest(mut upload: Incoming, seen: &Seen) -> Response<TestBody> {
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(frame) = upload.frame().await {
        let Ok(frame) = frame else {
            seen.broken.fetch_add(1, SeqCst);
            return status(400);
        };
        if let Some(data) = frame.data_ref() {
            size += data.len();
            hash.update(data);
        }
    }
    let hex = hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    Response::new(body::whole(format!("{size} {hex}")))
}

fn status(status: u16) -> Response<TestBody> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn echo(mut upload: Incoming, headers: &HeaderMap) -> Response<TestBody> {
    let (feeder, body) = body::channel();
    let mut response = Response::new(body);
    if let Some(trailer) = headers.get(TRAILER) {
        response.headers_mut().insert(TRAILER, trailer.clone());
    }
    tokio::task::spawn_local(async move {
        while let Some(Ok(frame)) = upload.frame().await {
            if feeder.send(frame).await.is_err() {
                return;
            }
        }
    });
    response
}

// ---- Raw sockets --------------------------------------------------------------------------------------------------------

/// A server that does with each connection what it is told; the number counts connections from 0.
pub struct Raw {
    pub address: SocketAddr,
    pub accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Raw {
    pub fn start(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped, serve) = (Arc::clone(&accepted), Arc::clone(&stop), Arc::new(serve));
        std::thread::spawn(move || {
            loop {
                let (stream, _) = listener.accept().unwrap();
                if stopped.load(SeqCst) {
                    return;
                }
                stream.set_read_timeout(Some(SOON)).unwrap();
                let (number, serve) = (count.fetch_add(1, SeqCst), Arc::clone(&serve));
                std::thread::spawn(move || serve(stream, number));
            }
        });
        Self { address, accepted, stop }
    }

    /// One that reads each request's head and says the same to each, then closes.
    pub fn saying(text: &'static str) -> Self {
        Self::start(move |mut stream, _| {
            if read_head(&mut stream).is_some() {
                drop(stream.write_all(text.as_bytes()));
            }
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

/// A request's head, unless the connection ends before.
pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// Closes a connection with a reset.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

pub use crate::harness::free as nowhere;

// ---- The gateway --------------------------------------------------------------------------------------------------------

/// The upstream `backend` of these servers, with further keys, and a pipeline `main` of these stages that ends in it.
pub fn configuration(servers: &[String], keys: &str, stages: &str) -> String {
    format!(
        "[pipelines.main]\nstages = [{stages}]\nupstream = \"backend\"\n\n[[routes]]\npipeline = \"main\"\n\n\
         [upstreams.backend]\nservers = {servers:?}\n{keys}\n"
    )
}

/// A gateway in front of these servers, without stages.
pub fn gateway(servers: &[String], keys: &str) -> Served {
    Served::start("", &configuration(servers, keys, ""))
}

/// What may stand in front of an upstream.
pub const STAGES: [&str; 4] = [
    "",
    "{ component = \"pass-through-sync\" }",
    "{ component = \"pass-through-async\", link = \"dynamic\" }",
    "{ component = \"pass-through-async\" }, { component = \"pass-through-sync\", link = \"dynamic\" }",
];

/// TLS of a server with the test's certificate; `clients` must show that one, too.
pub fn tls(alpn: &[&str], clients: bool) -> Speaks {
    use rustls::pki_types::pem::PemObject as _;
    let identity = identity();
    let certificate =
        rustls::pki_types::CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        false => builder.with_no_client_auth(),
        true => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(certificate.clone()).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Speaks::Tls(Arc::new(config))
}

impl Served {
    /// The value of a metric of upstreams, by its labels as they are written.
    pub async fn of_upstream(&self, name: &str, labels: &str) -> f64 {
        let mut client = crate::harness::Client::open(self.admin, crate::harness::Protocol::Http1).await;
        let answer = client.get("/metrics", &[]).await.ok();
        let start = format!("linkspan_upstream_{name}{{{labels}}} ");
        let value = answer.text().lines().find_map(|line| line.strip_prefix(&start));
        value.unwrap_or_else(|| panic!("no {start} in {}", answer.text())).parse().unwrap()
    }

    /// What the admin listener says of the servers.
    pub async fn servers(&self) -> serde_json::Value {
        let (_, answer) = self.ask(Method::GET, "/generations").await;
        answer["live"]["upstreams"][0]["servers"].clone()
    }
}
