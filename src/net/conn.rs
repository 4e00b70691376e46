//! One accepted connection, from its TLS handshake to its end.
//!
//! What it speaks is settled before its first request: with TLS, ALPN decides between `h2` and `http/1.1` (a client without
//! ALPN gets HTTP/1.1; one that offers only other protocols gets the handshake's `no_application_protocol`); without TLS it
//! is HTTP/1.1. hyper's builder of that protocol then serves it directly.
//!
//! What bounds it: [`NetLimits`] and the constants below. A head that hyper's parser refuses (too large: 431, malformed:
//! 400) is answered by hyper with the status alone and the connection closes: there is no request yet that could have an id.
//!
//! Memory that one client can make a connection hold: HTTP/1.1 a read and a write buffer of `header-size` (at least
//! [`MIN_BUFFER`]) each; HTTP/2 [`CONNECTION_WINDOW`] of request bodies that nobody has read yet, and [`SEND_BUFFER`] of
//! response for each stream.

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, HeadTimer, InFlight, Overdue, Watchdog};
use super::addresses::Place;
use super::downloads::{Downloads, Pace};
use super::frames::Guarded;
use super::listener::{self, Origin};
use super::shutdown::Draining;
use super::transport::{Stream, Transport};
use super::{BoxError, ClientIdentity, NetLimits, Shutdown, TlsSource, Worker};

/// HTTP/1.1's buffers are not smaller than this, so that a small `header-size` does not make bodies slow.
pub const MIN_BUFFER: usize = 64 * 1024;

/// Unread request body that one HTTP/2 stream may have sent. Fixed, not adaptive: a bound that grows with the client's
/// distance is no bound.
pub const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all streams of a connection: four stalled ones before the others feel it.
pub const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Response bytes buffered for a stream whose client does not take them.
pub const SEND_BUFFER: usize = 64 * 1024;

/// A quiet HTTP/2 connection is asked whether it is still there (hyper also asks while requests run).
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Streams that a client may have reset before we have seen their requests; beyond, the connection ends (rapid reset,
/// CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Streams that we reset for a client's protocol errors before its connection ends.
const ERROR_RESETS: usize = 128;

/// How long an idle HTTP/2 connection has to end after GOAWAY.
const GOAWAY_GRACE: Duration = Duration::from_secs(5);

/// How long after a stop has begun a client without a request in flight may still begin one: it may have sent it before it
/// could know. The answer then says `Connection: close`; HTTP/2 has GOAWAY for that, which says what is still served. At most
/// half of `shutdown-timeout`, so that an idle connection is never among those that are cut.
pub const LAST_REQUEST: Duration = Duration::from_secs(1);

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What is known of a connection, the same for all of its requests.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The client's address.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// `None`: plain HTTP.
    pub tls: Option<TlsInfo>,
    /// The port of https that the listener sends every request to.
    pub redirect: Option<u16>,
    /// The client's address as a field's value, from the first request on that needs it.
    pub peer_value: OnceCell<HeaderValue>,
}

/// What the TLS handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The name that the client asked for (SNI), if it did: in lower case, never an address.
    pub server_name: Option<Box<str>>,
    /// The version of TLS.
    pub version: Option<rustls::ProtocolVersion>,
    /// `h2`, `http/1.1`, or none.
    pub alpn: Option<Box<[u8]>>,
    /// Who the client is, if it has shown a certificate; that is verified then.
    pub client: Option<Rc<ClientIdentity>>,
}

/// Serves one connection to its end. Whatever goes wrong ends it; nothing is returned because nobody could do better.
pub(super) async fn serve<F, Fut, B>(
    mut tcp: TcpStream,
    peer: SocketAddr,
    origin: Rc<Origin>,
    worker: Rc<Worker<F>>,
    mut shutdown: Shutdown,
) where
    F: Fn(::http::Request<Incoming>, &Rc<ConnInfo>) -> Fut + 'static,
    Fut: Future<Output = ::http::Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    listener::prepare(&tcp);
    // Fails only if the client is gone.
    let Ok(local) = tcp.local_addr() else { return };
    let last = last_request(&worker.limits);
    let known = addresses(&mut tcp, (peer, local), &origin, &worker, &mut shutdown).await;
    let Some(((peer, local), _place)) = known else { return };
    let (stream, tls) = match &origin.tls {
        None => (Stream::Plain(tcp), None),
        Some(source) => {
            let deadline = Instant::now() + worker.limits.handshake_timeout;
            let handshake = handshake(tcp, source, &worker);
            let outcome = tokio::select! {
                outcome = timeout_at(deadline, handshake) => outcome,
                // A client that knows itself connected will send a request; one that is silent has none to lose.
                () = stopped_for(&mut shutdown, last) => return,
            };
            match secured(outcome, &origin, peer) {
                Some((stream, info)) => (Stream::Tls(Box::new(stream)), Some(info)),
                None => return,
            }
        }
    };
    let h2 = tls.as_ref().is_some_and(|tls| tls.alpn.as_deref() == Some(b"h2"));
    let protocol = if h2 { Protocol::Http2 } else { Protocol::Http1 };
    let (listener, redirect) = (Arc::clone(&origin.name), origin.redirect);
    let info =
        Rc::new(ConnInfo { listener, peer, local, protocol, tls, redirect, peer_value: OnceCell::new() });
    let activity = Activity::new(protocol, &worker.limits);
    let transport = Transport::new(stream, Arc::clone(&activity), &worker.limits);
    let total = Rc::clone(&origin.in_flight);
    let downloads = Downloads::new(&worker.limits);
    let watchdog = Watchdog::new(Arc::clone(&activity), Rc::clone(&downloads), worker.limits.download_grace);
    let requests =
        Requests { worker: Rc::clone(&worker), info, activity: Arc::clone(&activity), downloads, total };
    let ended = match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(transport);
            let conn = http1_builder(&worker.limits, &activity).serve_connection(io, requests);
            drive(conn, http1::Connection::graceful_shutdown, last, None, watchdog, shutdown).await
        }
        Protocol::Http2 => {
            let io = TokioIo::new(Guarded::new(transport, &worker.limits, Rc::clone(&origin)));
            let conn = http2_builder(&worker.limits).serve_connection(io, requests);
            drive(conn, http2::Connection::graceful_shutdown, last, Some(GOAWAY_GRACE), watchdog, shutdown)
                .await
        }
    };
    tracing::debug!(listener = &*origin.name, %peer, ?protocol, ?ended, "connection ended");
}

/// What came of a handshake, if a connection did.
fn secured(
    outcome: Result<std::io::Result<TlsStream<TcpStream>>, Elapsed>,
    origin: &Origin,
    peer: SocketAddr,
) -> Option<(TlsStream<TcpStream>, TlsInfo)> {
    let listener = &*origin.name;
    match outcome {
        Ok(Ok(stream)) => {
            let info = tls_info(&stream);
            if info.is_none() {
                let why = "a client's certificate has names that stages can't be told: refused";
                tracing::warn!(listener, %peer, "{why}");
            }
            Some((stream, info?))
        }
        Ok(Err(error)) => {
            tracing::debug!(listener, %peer, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(listener, %peer, "TLS handshake timed out");
            None
        }
    }
}

/// Source and destination of a connection: its `own`, or those that a proxy gives; and, for these, the source's place
/// among its connections. `None` if it is to be closed.
async fn addresses<F>(
    tcp: &mut TcpStream,
    own: (SocketAddr, SocketAddr),
    origin: &Origin,
    worker: &Worker<F>,
    shutdown: &mut Shutdown,
) -> Option<((SocketAddr, SocketAddr), Option<Place>)> {
    let Some(proxy) = &origin.proxy else { return Some((own, None)) };
    let outcome = tokio::select! {
        outcome = proxy.read(tcp, own.0.ip()) => outcome,
        () = stopped_for(shutdown, last_request(&worker.limits)) => return None,
    };
    let (listener, peer) = (&*origin.name, own.0);
    match outcome {
        // A proxy's own, for its health checks: nobody else's bound is used up.
        Ok(None) => Some((own, None)),
        Ok(Some(addresses)) => match worker.capacity.addresses.enter(addresses.0.ip()) {
            Some(place) => Some((addresses, Some(place))),
            None => {
                let client = addresses.0;
                tracing::debug!(listener, %peer, %client, "closed: as many connections as an address may have");
                None
            }
        },
        Err(error) => {
            tracing::debug!(listener, %peer, %error, "no PROXY header");
            None
        }
    }
}

/// The `ClientHello` is waited for without a handshake slot: silent clients could hold all of those, and nothing is
/// computed before it. The caller bounds the time of the whole.
async fn handshake<F>(
    tcp: TcpStream,
    source: &TlsSource,
    worker: &Worker<F>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
    let _slot = worker.capacity.handshakes.acquire().await;
    start.into_stream(source.ask()).await
}

fn last_request(limits: &NetLimits) -> Duration {
    LAST_REQUEST.min(limits.shutdown_timeout / 2)
}

async fn stopped_for(shutdown: &mut Shutdown, time: Duration) {
    shutdown.draining().await;
    sleep(time).await;
}

/// `None` if the client can't be named.
fn tls_info(stream: &TlsStream<TcpStream>) -> Option<TlsInfo> {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let client = certificate.map(|certificate| ClientIdentity::of(certificate).map(Rc::new));
    Some(TlsInfo {
        server_name: session.server_name().map(Into::into),
        version: session.protocol_version(),
        alpn: session.alpn_protocol().map(Into::into),
        client: client.map_or(Some(None), |client| client.map(Some))?,
    })
}

fn http1_builder(limits: &NetLimits, activity: &Arc<Activity>) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(HeadTimer(Arc::clone(activity)))
        // Never fires: it has hyper tell `HeadTimer` when it waits for a head.
        .header_read_timeout(limits.header_read_timeout)
        .max_headers(limits.header_count)
        .max_header_size(limits.header_size)
        .max_buf_size(limits.header_size.max(MIN_BUFFER))
        // A client that ends its side while it waits is gone: its request is dropped.
        .half_close(false)
        .pipeline_flush(false);
    builder
}

fn http2_builder(limits: &NetLimits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS);
    builder
}

/// How a connection ended, for the log.
#[derive(Debug)]
enum Ended {
    /// By the protocol, or by its client.
    Closed,
    /// By an error of the client, of the transport, or of a response's body.
    Error(#[expect(dead_code, reason = "only its Debug form is used")] hyper::Error),
    Overdue(#[expect(dead_code, reason = "only its Debug form is used")] Overdue),
}

/// How far a stop has come for one connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    None,
    /// Answers say that they are the last; there may be one more request.
    Begun,
    /// hyper closes the connection as soon as it can.
    Told,
}

/// Runs hyper's connection beside its timeouts and the stop. `last_request`: as [`LAST_REQUEST`]. `farewell`: how long an idle connection gets after it has been
/// asked to end, for a protocol in which it can be asked.
async fn drive<C, G>(
    conn: C,
    graceful_shutdown: G,
    last_request: Duration,
    farewell: Option<Duration>,
    mut watchdog: Watchdog,
    shutdown: Shutdown,
) -> Ended
where
    C: Future<Output = hyper::Result<()>>,
    G: Fn(Pin<&mut C>),
{
    let mut conn = pin!(conn);
    let activity = Arc::clone(watchdog.activity());
    let mut over = pin!(sleep(last_request));
    let mut draining = Draining::new(shutdown);
    let mut stop = Stop::None;
    let overdue = loop {
        tokio::select! {
            // hyper first: what it has just done decides whether the connection is overdue.
            biased;
            ended = conn.as_mut() => return ended.map_or_else(Ended::Error, |()| Ended::Closed),
            overdue = std::future::poll_fn(|cx| watchdog.poll_overdue(cx)) => break overdue,
            () = std::future::poll_fn(|cx| draining.poll(cx)), if stop == Stop::None => {
                stop = Stop::Begun;
                activity.stop();
                if activity.may_be_told_to_go() {
                    stop = Stop::Told;
                    graceful_shutdown(conn.as_mut());
                } else {
                    over.as_mut().reset(Instant::now() + last_request);
                }
            }
            () = std::future::poll_fn(|_| activity.poll_worn_out()), if stop == Stop::None => {
                // What is in flight is still served; HTTP/1.1's last answer has said so.
                stop = Stop::Told;
                graceful_shutdown(conn.as_mut());
            }
            () = over.as_mut(), if stop == Stop::Begun => {
                stop = Stop::Told;
                if activity.is_silent() {
                    return Ended::Closed;
                }
                graceful_shutdown(conn.as_mut());
            }
        }
    };
    if let (Overdue::Idle, Some(grace)) = (overdue, farewell) {
        // A request that the client sent before it saw GOAWAY is still served.
        graceful_shutdown(conn.as_mut());
        tokio::select! {
            ended = conn.as_mut() => return ended.map_or_else(Ended::Error, |()| Ended::Closed),
            () = sleep(grace) => {}
        }
    }
    Ended::Overdue(overdue)
}

/// Runs HTTP/2 streams on this thread.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<Fut: Future<Output = ()> + 'static> hyper::rt::Executor<Fut> for LocalExecutor {
    fn execute(&self, future: Fut) {
        tokio::task::spawn_local(future);
    }
}

/// The worker's service as hyper wants it: counts requests from their head to the end of their response's body.
struct Requests<F> {
    worker: Rc<Worker<F>>,
    info: Rc<ConnInfo>,
    activity: Arc<Activity>,
    downloads: Rc<Downloads>,
    total: Rc<Cell<usize>>,
}

impl<F, Fut, B> hyper::service::Service<::http::Request<Incoming>> for Requests<F>
where
    F: Fn(::http::Request<Incoming>, &Rc<ConnInfo>) -> Fut,
    Fut: Future<Output = ::http::Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = ::http::Response<CountedBody<B>>;
    type Error = Infallible;
    type Future = Counted<Fut>;

    fn call(&self, request: ::http::Request<Incoming>) -> Counted<Fut> {
        let in_flight = InFlight::begin(&self.activity, &self.total, !request.body().is_end_stream());
        let head_only = request.method() == Method::HEAD;
        let old = request.version() < ::http::Version::HTTP_11;
        Counted {
            future: (self.worker.service)(request, &self.info),
            in_flight: Some(in_flight),
            pace: Some(Pace::new(&self.downloads)),
            head_only,
            old,
        }
    }
}

pin_project! {
    struct Counted<Fut> {
        #[pin]
        future: Fut,
        in_flight: Option<InFlight>,
        pace: Option<Pace>,
        head_only: bool,
        // HTTP/1.0: the end of the connection can be the end of a body.
        old: bool,
    }
}

impl<Fut, B> Future for Counted<Fut>
where
    Fut: Future<Output = ::http::Response<B>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<::http::Response<CountedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx));
        let (in_flight, pace) = (this.in_flight.take(), this.pace.take());
        let via_h2 = in_flight.as_ref().is_some_and(|request| request.protocol() == Protocol::Http2);
        if in_flight.as_ref().is_some_and(InFlight::is_last) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(in_flight) = &in_flight
        {
            in_flight.upgrade();
        }
        let bodiless = via_h2 && drop_body(&mut response, *this.head_only);
        Poll::Ready(Ok(response.map(|body| {
            let body = (!bodiless).then_some(body);
            CountedBody { body, in_flight, pace, old: *this.old, broken: None }
        })))
    }
}

/// Whether the response may have no body; hyper sees to that in HTTP/1.1, but in HTTP/2 it would send what it is given. The
/// length that the body would have had stays visible to HEAD (RFC 9110 §9.3.2).
fn drop_body<B: Body>(response: &mut ::http::Response<B>, head_only: bool) -> bool {
    if head_only && let Some(length) = response.body().size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    head_only || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

pin_project! {
    /// A response body that holds its request's count, and tells the transport if it breaks off.
    ///
    /// What breaks off in HTTP/1.1 has a length or chunks that say so; the end of an HTTP/1.0 body may be told by a reset
    /// only. The error waits for a turn, in which hyper writes out what it has: the head, and the bytes before the break.
    struct CountedBody<B: Body> {
        #[pin]
        body: Option<B>,
        in_flight: Option<InFlight>,
        pace: Option<Pace>,
        old: bool,
        broken: Option<B::Error>,
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if let Some(error) = this.broken.take() {
            match this.in_flight {
                Some(in_flight) if *this.old => in_flight.break_off(),
                in_flight => *in_flight = None,
            }
            return Poll::Ready(Some(Err(error)));
        }
        let Some(mut body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        if let Some(pace) = this.pace {
            pace.asked();
        }
        match ready!(body.as_mut().poll_frame(cx)) {
            Some(Err(error)) => {
                *this.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => {
                // After the last piece nobody asks for more.
                if let (Some(pace), Some(Ok(frame)), false) = (this.pace, &frame, body.is_end_stream()) {
                    pace.given(frame.data_ref().map_or(0, Bytes::len));
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
