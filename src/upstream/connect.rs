//! From a server to a connection with it.

use super::Core;
use super::body::{Payload, Upload};
use super::error::{ErrorKind, chain};
use super::health::ServerState;
use super::link::{Http1, Http2, Link};
use crate::plan::{ServerHost, UpstreamProtocol};
use crate::telemetry::UpstreamMetrics;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// Windows of HTTP/2: how much a server may send ahead of a slow client, for one stream and for a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Largest head of a response over HTTP/2.
const MAX_HEADER_LIST: u32 = 64 << 10;

/// Counts an open connection until it is dropped.
pub(super) struct OpenGuard {
    open: Rc<Cell<usize>>,
    metrics: Arc<UpstreamMetrics>,
}

impl OpenGuard {
    pub fn new(open: &Rc<Cell<usize>>, metrics: &Arc<UpstreamMetrics>) -> Self {
        open.set(open.get() + 1);
        metrics.connected();
        Self { open: Rc::clone(open), metrics: Arc::clone(metrics) }
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
        self.metrics.disconnected();
    }
}

/// Runs what hyper needs for HTTP/2 on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The two kinds of streams.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A connection before it speaks HTTP.
pub(super) struct Connected {
    pub stream: Box<dyn Stream>,
    pub address: SocketAddr,
    /// Whether it is to speak HTTP/2.
    pub http2: bool,
}

/// Connects to a server, and agrees on TLS and a protocol with it, in time.
pub(super) async fn connect(core: &Core, server: &ServerState) -> Result<Connected, ErrorKind> {
    timeout(core.plan.limits.connect_timeout, open(core, server))
        .await
        .unwrap_or(Err(ErrorKind::ConnectTimeout))
}

async fn open(core: &Core, server: &ServerState) -> Result<Connected, ErrorKind> {
    let unreachable =
        |what: &str, error: &dyn std::fmt::Display| ErrorKind::Unreachable(format!("{what}: {error}"));
    let mut last = ErrorKind::Unreachable("the name has no address".to_owned());
    for address in resolve(core, server).await?.iter().copied() {
        let stream = match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(error) => {
                last = unreachable(&address.to_string(), &error);
                continue;
            }
        };
        // Heads and last chunks are small and must not wait for further bytes.
        stream.set_nodelay(true).map_err(|error| unreachable("TCP", &error))?;
        let Some(tls) = core.tls.as_ref().filter(|_| server.server.tls) else {
            let http2 = core.plan.protocol == UpstreamProtocol::Http2;
            return Ok(Connected { stream: Box::new(stream), address, http2 });
        };
        let name = tls.name(&server.server).map_err(|error| unreachable("TLS", &error))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls.config));
        let stream = connector.connect(name, stream).await.map_err(|error| unreachable("TLS", &error))?;
        let agreed = stream.get_ref().1.alpn_protocol();
        let http2 = match (core.plan.protocol, agreed) {
            (UpstreamProtocol::Http2, Some(b"h2")) | (UpstreamProtocol::Auto, Some(b"h2")) => true,
            (UpstreamProtocol::Http2, _) => {
                return Err(ErrorKind::Unreachable(
                    "TLS: the server does not speak HTTP/2 (ALPN)".to_owned(),
                ));
            }
            _ => false,
        };
        return Ok(Connected { stream: Box::new(stream), address, http2 });
    }
    Err(last)
}

/// The addresses of a server. A name is looked up on tokio's blocking threads; while the look-up fails, earlier
/// addresses stay in use.
pub(super) async fn resolve(core: &Core, server: &ServerState) -> Result<Arc<[SocketAddr]>, ErrorKind> {
    let (known, stale) = server.addresses(core.plan.limits.resolve);
    let ServerHost::Name(name) = &server.server.host else { return Ok(known) };
    if !stale && !known.is_empty() {
        return Ok(known);
    }
    match tokio::net::lookup_host((name.as_str(), server.server.port)).await {
        Ok(found) => Ok(server.resolved(found.collect())),
        Err(_) if !known.is_empty() => Ok(known),
        Err(error) => Err(ErrorKind::Unreachable(format!("the name can't be looked up: {error}"))),
    }
}

/// Starts HTTP on a connection.
pub(super) async fn start<B: Payload>(connected: Connected, open: OpenGuard) -> Result<Link<B>, ErrorKind> {
    let Connected { stream, address, http2: is_http2 } = connected;
    let unreachable = |error: hyper::Error| ErrorKind::Unreachable(format!("HTTP: {}", chain(&error)));
    let io = TokioIo::new(stream);
    if !is_http2 {
        let (sender, connection) =
            http1::Builder::new().handshake::<_, Upload<B>>(io).await.map_err(unreachable)?;
        // An error of the connection is reported to its request, or in the response's body.
        let task = drive(async { drop(connection.await) }, open);
        return Ok(Link::Http1(Http1 { sender, task, address, used: false }));
    }
    let (sender, connection) = http2::Builder::new(Local)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST)
        .handshake::<_, Upload<B>>(io)
        .await
        .map_err(unreachable)?;
    let (allowed, mut connection) = (Rc::new(Cell::new(usize::MAX)), connection);
    let told = Rc::clone(&allowed);
    let connection = std::future::poll_fn(move |cx| {
        let ended = Pin::new(&mut connection).poll(cx).map(drop);
        told.set(connection.current_max_send_streams());
        ended
    });
    let task = drive(connection, open);
    Ok(Link::Http2(Rc::new(Http2 {
        sender,
        address,
        streams: Cell::new(0),
        allowed,
        draining: Cell::new(false),
        proven: Cell::new(false),
        idle_since: Cell::new(Instant::now()),
        task,
    })))
}

/// Runs a connection until it ends.
fn drive(connection: impl Future<Output = ()> + 'static, open: OpenGuard) -> AbortHandle {
    let task = tokio::task::spawn_local(async move {
        connection.await;
        drop(open);
    });
    task.abort_handle()
}
