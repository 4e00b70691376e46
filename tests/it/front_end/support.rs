//! A server on real sockets with a service that does what it is told, and the clients that meet it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use linkspan::config::keys::GatewayLimits;
use linkspan::net::{
    Capacity, ChangeError, ConnInfo, Cut, Duplicate, Endpoint, EndpointChange, Protocol, Shared, TlsSource,
    Trigger, bind, changes, endpoint, serve_worker, shutdown, tls,
};
use tokio::sync::{mpsc, oneshot};

pub const MS: Duration = Duration::from_millis(1);
pub const HOUR: Duration = Duration::from_hours(1);

/// Long enough for anything that happens at once on a busy machine, and never waited for when it does.
pub const SOON: Duration = Duration::from_secs(60);

// ---- The service --------------------------------------------------------------------------------------------------------

enum Step {
    Data(&'static str),
    Wait(Duration),
    Trailers,
    Fail,
}

/// A response body that does what it is told.
struct Script {
    steps: std::vec::IntoIter<Step>,
    wait: Option<Pin<Box<tokio::time::Sleep>>>,
    _alive: Alive,
}

/// Counts what a vanished client should not leave behind.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            return Poll::Ready(match self.steps.next() {
                Some(Step::Wait(time)) => {
                    self.wait = Some(Box::pin(tokio::time::sleep(time)));
                    continue;
                }
                Some(Step::Data(data)) => Some(Ok(Frame::data(Bytes::from_static(data.as_bytes())))),
                Some(Step::Trailers) => {
                    let trailers =
                        HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("last"))]);
                    Some(Ok(Frame::trailers(trailers)))
                }
                Some(Step::Fail) => Some(Err(io::Error::other("the stage trapped"))),
                None => None,
            });
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

async fn answer(request: Request<Incoming>, conn: Rc<ConnInfo>, alive: Arc<AtomicUsize>) -> Response<Script> {
    let here = Alive::new(&alive);
    let path = request.uri().path().to_owned();
    let mut steps = vec![Step::Data("hello")];
    let mut length = None;
    match path.as_str() {
        "/slow" => {
            tokio::time::sleep(1_000 * MS).await;
            steps = vec![Step::Data("slow "), Step::Wait(300 * MS), Step::Data("done")];
        }
        "/never" => tokio::time::sleep(HOUR).await,
        "/drip" => steps = vec![Step::Data("a"), Step::Wait(HOUR)],
        "/flood" => steps = (0..4096).map(|_| Step::Data(&FLOOD)).collect(),
        "/trailers" => steps.push(Step::Trailers),
        "/break" => steps = vec![Step::Data("half"), Step::Wait(50 * MS), Step::Fail],
        "/break-length" => {
            length = Some(100);
            steps = vec![Step::Data("half"), Step::Wait(50 * MS), Step::Fail];
        }
        "/length" => length = Some(5),
        "/read" => drop(request.into_body().collect().await),
        "/echo-size" => {
            let size = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            assert_eq!(size, 1 << 20);
        }
        _ => {}
    }
    let mut response = Response::new(Script { steps: steps.into_iter(), wait: None, _alive: here });
    let headers = response.headers_mut();
    headers.insert(
        "x-protocol",
        HeaderValue::from_static(if conn.protocol == Protocol::Http2 { "h2" } else { "h1" }),
    );
    if let Some(tls) = &conn.tls {
        headers.insert("x-sni", HeaderValue::from_str(tls.server_name.as_deref().unwrap_or("none")).unwrap());
    }
    if let Some(length) = length {
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// More, in all, than any socket buffers.
static FLOOD: LazyLock<String> = LazyLock::new(|| "x".repeat(64 * 1024));

// ---- The server ---------------------------------------------------------------------------------------------------------

pub struct Server {
    pub address: SocketAddr,
    pub trigger: Trigger,
    pub capacity: Capacity,
    pub alive: Arc<AtomicUsize>,
    /// Of its first listener, `test`.
    pub shared: Shared,
    changes: Vec<mpsc::Sender<EndpointChange>>,
    workers: Vec<JoinHandle<Cut>>,
}

/// The defaults, but a test that hangs at its end hangs for seconds only.
pub fn limits() -> GatewayLimits {
    GatewayLimits { shutdown_timeout: Duration::from_secs(5), ..GatewayLimits::default() }
}

impl Server {
    pub fn plain(limits: &GatewayLimits) -> Self {
        Self::start(limits, None, 1)
    }

    pub fn tls(limits: &GatewayLimits) -> Self {
        let files = certificate();
        Self::start(limits, Some(&tls::load(&files.certificate, &files.key).unwrap()), 1)
    }

    pub fn start(limits: &GatewayLimits, tls: Option<&Arc<rustls::ServerConfig>>, workers: usize) -> Self {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), workers).unwrap();
        let tls = tls.map(|config| TlsSource::from(Arc::clone(config)));
        Self::on(
            limits,
            sockets.into_iter().map(|socket| vec![socket]).collect(),
            &Shared::default(),
            tls.as_ref(),
        )
    }

    /// A worker for each list of sockets.
    pub fn on(
        limits: &GatewayLimits,
        sockets: Vec<Vec<std::net::TcpListener>>,
        shared: &Shared,
        tls: Option<&TlsSource>,
    ) -> Self {
        let address = sockets[0][0].local_addr().unwrap();
        let (trigger, shutdown) = shutdown::channel();
        let capacity = Capacity::new(limits);
        let alive = Arc::new(AtomicUsize::new(0));
        let start = |sockets: Vec<_>| {
            let endpoint = |socket| endpoint("test", socket, tls.cloned(), shared);
            let endpoints = sockets.into_iter().map(endpoint).collect();
            let (limits, capacity, shutdown) = (limits.clone(), capacity.clone(), shutdown.clone());
            let (alive, (sender, receiver)) = (Arc::clone(&alive), changes());
            let thread = std::thread::spawn(move || {
                let service =
                    move |request, conn: &Rc<ConnInfo>| answer(request, Rc::clone(conn), alive.clone());
                let rejected = Rc::new(|_: &_, _| {});
                run(serve_worker(endpoints, receiver, limits, capacity, service, rejected, shutdown)).unwrap()
            });
            (sender, thread)
        };
        let (changes, workers) = sockets.into_iter().map(start).unzip();
        Self { address, trigger, capacity, alive, shared: shared.clone(), changes, workers }
    }

    /// Has the first worker make a change.
    pub fn change(&self, change: impl FnOnce(endpoint::Done) -> EndpointChange) -> Result<(), ChangeError> {
        let (done, answer) = oneshot::channel();
        self.changes[0].blocking_send(change(done)).unwrap();
        answer.blocking_recv().unwrap()
    }

    /// What another process would get: all sockets of all workers, asked for whenever it is called.
    pub fn sockets(&self) -> impl Fn() -> io::Result<Vec<Duplicate>> + Send + use<> {
        let changes = self.changes.clone();
        move || {
            let mut sockets = Vec::new();
            for worker in &changes {
                let (answer, answered) = oneshot::channel();
                worker.blocking_send(EndpointChange::Sockets(answer)).map_err(io::Error::other)?;
                sockets.extend(answered.blocking_recv().map_err(io::Error::other)??);
            }
            Ok(sockets)
        }
    }

    /// Waits for the end of a stop that has been triggered.
    pub fn ended(mut self) -> Cut {
        let mut cut = Cut::default();
        for worker in self.workers.drain(..) {
            cut += worker.join().unwrap();
        }
        cut
    }

    pub fn ended_by_drain(self) -> Cut {
        self.trigger.drain();
        self.ended()
    }

    pub fn connect(&self) -> TcpStream {
        connect_to(self.address).unwrap()
    }

    pub fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < SOON, "not in time: {what}");
            std::thread::sleep(5 * MS);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.trigger.cut();
        for worker in self.workers.drain(..) {
            let ended = worker.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

pub fn endpoint(
    name: &str,
    socket: std::net::TcpListener,
    tls: Option<TlsSource>,
    shared: &Shared,
) -> Endpoint {
    Endpoint { name: name.into(), socket, tls, redirect: None, proxy: None, shared: shared.clone() }
}

pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub fn directory(name: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let unique = format!("linkspan-front-end-{}-{}-{name}", std::process::id(), NEXT.fetch_add(1, SeqCst));
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

pub fn certificate() -> Files {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let directory = directory("tls");
    let files = Files { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

// ---- Clients ------------------------------------------------------------------------------------------------------------

/// All that comes until the server closes; the error if it closes badly.
pub fn read_all(stream: &mut impl Read) -> (String, io::Result<()>) {
    let mut bytes = Vec::new();
    let result = stream.read_to_end(&mut bytes).map(drop);
    (String::from_utf8_lossy(&bytes).into_owned(), result)
}

/// Asks for `path` on a connection that stays open, and says what comes.
pub fn ask(stream: &mut TcpStream, path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.ends_with("0\r\n\r\n") {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed after {text:?}")));
        }
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    Ok(text)
}

pub fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// Clients that come and ask until it is dropped; [`Load::done`] says how many answers there were, and fails on any
/// failure.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<io::Result<usize>>>,
}

impl Load {
    /// Each of `fresh` clients takes a new connection for each request; each of `kept` stays on one until it is told
    /// `Connection: close`. They pause a little, so that the machine is not what fails.
    pub fn on(address: SocketAddr, fresh: usize, kept: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |keep: bool| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut kept, mut count) = (None, 0);
                while !stop.load(SeqCst) {
                    let mut stream = kept.take().map_or_else(|| connect_to(address), Ok)?;
                    let text = ask(&mut stream, "/")?;
                    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
                    kept = (keep && !text.contains("connection: close")).then_some(stream);
                    count += 1;
                    std::thread::sleep(MS);
                }
                Ok(count)
            })
        };
        let clients = (0..fresh).map(|_| client(false)).chain((0..kept).map(|_| client(true))).collect();
        Self { stop, clients }
    }

    pub fn done(self) -> usize {
        self.stop.store(true, SeqCst);
        self.clients.into_iter().map(|client| client.join().unwrap().expect("no request fails")).sum()
    }
}

/// One chunked response, from a connection that stays open.
pub fn read_response(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("0\r\n\r\n") {
        assert_ne!(stream.read(&mut byte).unwrap(), 0, "closed after {text:?}");
        text.push(char::from(byte[0]));
    }
    text
}

pub fn exchange(server: &Server, request: &str) -> (String, io::Result<()>) {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    read_all(&mut stream)
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

type TlsClient = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

pub fn client_config(
    alpn: &[&str],
    version: &'static rustls::SupportedProtocolVersion,
) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    config
}

pub async fn connect_tls(server: &Server, alpn: &[&str]) -> io::Result<TlsClient> {
    connect_tls_to(server.address, alpn).await
}

pub async fn connect_tls_to(address: SocketAddr, alpn: &[&str]) -> io::Result<TlsClient> {
    let config = Arc::new(client_config(alpn, &rustls::version::TLS13));
    let tcp = tokio::net::TcpStream::connect(address).await?;
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(config).connect(name, tcp).await
}

type H2<B> = hyper::client::conn::http2::SendRequest<B>;

#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// An HTTP/2 client; the task ends when its connection does.
pub async fn connect_h2<B>(server: &Server) -> (H2<B>, tokio::task::JoinHandle<hyper::Result<()>>)
where
    B: Body<Data = Bytes, Error = std::convert::Infallible> + Unpin + 'static,
{
    let tls = connect_tls(server, &["h2"]).await.unwrap();
    let (sender, conn) =
        hyper::client::conn::http2::Builder::new(Local).handshake(TokioIo::new(tls)).await.unwrap();
    (sender, tokio::task::spawn_local(conn))
}

pub fn get(method: &str, path: &str) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri(format!("https://localhost{path}")).body(Empty::new()).unwrap()
}

pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}
