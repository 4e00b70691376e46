//! HTTP/1.1 and HTTP/2 clients, with hyper directly, so that nothing is retried, pooled or decoded behind a test's
//! back.

use super::body::{self, TestBody};
use super::{Gateway, SOON, in_time, tls};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// With TLS.
    Http1Tls,
    /// With TLS, as always here.
    Http2,
}

impl Protocol {
    /// Where `gateway` speaks it.
    pub fn address(self, gateway: &Gateway) -> SocketAddr {
        match self {
            Self::Http1 => gateway.plain,
            Self::Http1Tls | Self::Http2 => gateway.tls,
        }
    }
}

/// The two framings: what most cases run over.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// Both protocols behind TLS.
pub const ENCRYPTED: [Protocol; 2] = [Protocol::Http1Tls, Protocol::Http2];

enum Sender {
    Http1(http1::SendRequest<TestBody>),
    Http2(http2::SendRequest<TestBody>),
}

/// One connection. Dropped, it is closed at once.
pub struct Client {
    sender: Sender,
    connection: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Client {
    pub async fn connect(gateway: &Gateway, protocol: Protocol) -> Self {
        Self::open(protocol.address(gateway), protocol).await
    }

    /// Connects to an address that [`Protocol::address`] gave.
    pub async fn open(address: SocketAddr, protocol: Protocol) -> Self {
        in_time(Self::handshake(address, protocol)).await.unwrap()
    }

    async fn handshake(address: SocketAddr, protocol: Protocol) -> Result<Self, Box<dyn std::error::Error>> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
                (Sender::Http1(sender), tokio::task::spawn_local(async { drop(connection.await) }))
            }
            Protocol::Http1Tls => {
                let tls = encrypt(tcp, b"http/1.1").await?;
                let (sender, connection) = http1::handshake(tls).await?;
                (Sender::Http1(sender), tokio::task::spawn_local(async { drop(connection.await) }))
            }
            Protocol::Http2 => {
                let tls = encrypt(tcp, b"h2").await?;
                let (sender, connection) = http2::Builder::new(Local).handshake(tls).await?;
                (Sender::Http2(sender), tokio::task::spawn_local(async { drop(connection.await) }))
            }
        };
        Ok(Self { sender, connection })
    }

    /// Waits until a request can be sent, and says whether that will ever be.
    pub async fn is_open(&mut self) -> bool {
        let ready = match &mut self.sender {
            Sender::Http1(sender) => in_time(sender.ready()).await,
            Sender::Http2(sender) => in_time(sender.ready()).await,
        };
        ready.is_ok()
    }

    /// Sends a request whose target is a path.
    pub async fn send(&mut self, mut request: Request<TestBody>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(absolute(request)).await
            }
        }
    }

    /// Starts a request over HTTP/2, while others are under way.
    pub fn start(
        &mut self,
        request: Request<TestBody>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        let Sender::Http2(sender) = &mut self.sender else { panic!("HTTP/1.1 has one request at a time") };
        sender.send_request(absolute(request))
    }

    /// Sends a request and reads all of its answer, in time.
    pub async fn ask(&mut self, request: Request<TestBody>) -> Answer {
        let what = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        self.try_ask(request).await.unwrap_or_else(|error| panic!("no answer to {what}: {error:?}"))
    }

    /// The same, where the connection or the stream may break before there is a head.
    pub async fn try_ask(&mut self, request: Request<TestBody>) -> hyper::Result<Answer> {
        let what = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let answer = async { Ok(Answer::read(self.send(request).await?).await) };
        match tokio::time::timeout(SOON, answer).await {
            Ok(answer) => answer,
            Err(_) => panic!("no answer in time to {what}"),
        }
    }

    /// A GET with header fields.
    pub async fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(get(path, fields)).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// HTTP/2's form of a request: the host is a part of the target.
fn absolute(mut request: Request<TestBody>) -> Request<TestBody> {
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.scheme = Some(http::uri::Scheme::HTTPS);
    let host = request.headers_mut().remove(HOST);
    let host = host.as_ref().map_or("localhost", |host| host.to_str().unwrap());
    uri.authority = Some(host.parse().unwrap());
    *request.uri_mut() = Uri::from_parts(uri).unwrap();
    request
}

async fn encrypt(
    tcp: TcpStream,
    alpn: &'static [u8],
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(tls::client(alpn)).connect(name, tcp).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    Ok(TokioIo::new(stream))
}

/// A request for `path` with header fields.
pub fn request(method: Method, path: &str, fields: &[(&str, &str)], body: TestBody) -> Request<TestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in fields {
        let name = HeaderName::try_from(*name).unwrap();
        request.headers_mut().append(name, HeaderValue::try_from(*value).unwrap());
    }
    request
}

/// A GET without a body.
pub fn get(path: &str, fields: &[(&str, &str)]) -> Request<TestBody> {
    request(Method::GET, path, fields, body::empty())
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
    /// Why the body broke off, if it did.
    pub cut: Option<hyper::Error>,
}

impl Answer {
    pub async fn read(response: Response<Incoming>) -> Self {
        let (parts, mut body) = response.into_parts();
        let (mut data, mut trailers, mut cut) = (Vec::new(), None, None);
        while let Some(frame) = body.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(bytes)) => data.extend_from_slice(&bytes),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(error) => {
                    cut = Some(error);
                    break;
                }
            }
        }
        Self { status: parts.status, headers: parts.headers, body: data.into(), trailers, cut }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The values of a field of the request, as the service `probe` saw it.
    pub fn seen(&self, name: &str) -> Vec<String> {
        let json = self.json();
        let pairs = json["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == name);
        pairs.map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
    }

    /// Checks that it is complete, and 200.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert!(self.cut.is_none(), "{self:?}");
        self
    }

    /// Checks that it is the gateway's own answer with `status`, and returns its request's id.
    #[track_caller]
    pub fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert!(self.cut.is_none(), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:linkspan:problem:{kind}"));
        let mut keys: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["detail", "request-id", "status", "title", "type"], "nothing else is told");
        let id = problem["request-id"].as_str().unwrap();
        assert!(id.len() >= 16, "{id}");
        id.to_owned()
    }
}
