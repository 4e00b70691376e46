//! One accepted connection, from its TLS handshake to its end.
//!
//! The protocol is settled before the first request: with TLS, ALPN decides between `h2` and `http/1.1` (a client
//! without ALPN gets HTTP/1.1; a client that offers only other protocols gets the handshake's
//! `no_application_protocol`); without TLS, the protocol is HTTP/1.1. hyper's builder of that protocol then serves the
//! connection directly.
//!
//! Bounds: [`GatewayLimits`] and the constants below. hyper answers a head that its parser refuses (too large: 431,
//! malformed: 400) with the status alone and closes the connection: there is no request yet that could have an id.
//!
//! Memory that one client can make a connection hold: for HTTP/1.1, a read and a write buffer of `header-size` (at
//! least [`http1::MIN_BUFFER`]) each; for HTTP/2, [`http2::CONNECTION_WINDOW`] of request bodies that nobody has read
//! yet, and [`http2::SEND_BUFFER`] of response for each stream.

mod activity;
mod context;
mod downloads;
mod drive;
mod handshake;
pub mod http1;
pub mod http2;
mod info;
mod listener;
pub mod proxy_protocol;
mod rejection;
mod requests;
mod transport;

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1 as hyper1, http2 as hyper2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use self::activity::{Activity, Watchdog};
pub use self::context::Rejected;
pub(super) use self::context::ServeContext;
use self::downloads::Downloads;
use self::drive::Ended;
use self::drive::drive;
use self::handshake::{handshake, secured};
use self::http2::frames::Guarded;
use self::http2::streams::Streams;
pub use self::info::{ConnInfo, Protocol, TlsInfo};
pub(super) use self::listener::ListenerState;
pub use self::rejection::Rejection;
use self::requests::Requests;
use self::transport::{Stream, Transport};
use super::BoxError;
use super::addresses::Place;
use super::shutdown::Shutdown;
use crate::config::keys::GatewayLimits;

/// How long after the beginning of a stop a client without a request in progress may still begin one: the client may
/// have sent it before it could know. The response then has `Connection: close`; HTTP/2 has GOAWAY, which says which
/// requests are still served. The time is at most half of `shutdown-timeout`, so that an idle connection is never among
/// those that are cut.
pub const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Serves one connection to its end. Every error ends the connection; nothing is returned because no caller could do
/// better.
pub(super) async fn serve<F, Fut, B>(
    mut tcp: TcpStream,
    peer: SocketAddr,
    listener: Rc<ListenerState>,
    worker: Rc<ServeContext<F>>,
    mut shutdown: Shutdown,
) where
    F: Fn(http::Request<Incoming>, &Rc<ConnInfo>) -> Fut + 'static,
    Fut: Future<Output = http::Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    // Small answers go out at once. Fails only if the client is gone, which the first read reports.
    let _ = tcp.set_nodelay(true);
    // Fails only if the client is gone.
    let Ok(local) = tcp.local_addr() else { return };
    let last = last_request(&worker.limits);
    let known = addresses(&mut tcp, (peer, local), &listener, &worker, &mut shutdown).await;
    let Some(((peer, local), _place)) = known else { return };
    let (stream, tls) = match &listener.tls {
        None => (Stream::Plain(tcp), None),
        Some(source) => {
            let deadline = Instant::now() + worker.limits.handshake_timeout;
            let handshake = handshake(tcp, source, &worker);
            let outcome = tokio::select! {
                outcome = timeout_at(deadline, handshake) => outcome,
                // A client that sees itself connected will send a request; a silent client has none to lose.
                () = stopped_for(&mut shutdown, last) => return,
            };
            match secured(outcome, &listener, peer, &worker.capacity.lost_handshakes) {
                Some((stream, info)) => (Stream::Tls(Box::new(stream)), Some(info)),
                None => return,
            }
        }
    };
    let h2 = tls.as_ref().is_some_and(|tls| tls.alpn.as_deref() == Some(b"h2"));
    let protocol = if h2 { Protocol::Http2 } else { Protocol::Http1 };
    let info = Rc::new(ConnInfo {
        listener: Arc::clone(&listener.name),
        peer,
        local,
        protocol,
        tls,
        redirect: listener.redirect,
        peer_value: OnceCell::new(),
    });
    let ended = speak(stream, info, &listener, worker, shutdown).await;
    tracing::debug!(listener = &*listener.name, %peer, ?protocol, ?ended, "connection ended");
}

/// Serves the requests of a connection, in the connection's protocol.
async fn speak<F, Fut, B>(
    stream: Stream,
    info: Rc<ConnInfo>,
    listener: &Rc<ListenerState>,
    worker: Rc<ServeContext<F>>,
    shutdown: Shutdown,
) -> Ended
where
    F: Fn(http::Request<Incoming>, &Rc<ConnInfo>) -> Fut + 'static,
    Fut: Future<Output = http::Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let (protocol, last) = (info.protocol, last_request(&worker.limits));
    let activity = Activity::new(protocol, &worker.limits);
    let transport = Transport::new(stream, Arc::clone(&activity), &worker.limits);
    let total = Rc::clone(&listener.in_flight);
    let downloads = Downloads::new(&worker.limits);
    let watchdog = Watchdog::new(Arc::clone(&activity), Rc::clone(&downloads), worker.limits.download_grace);
    let report = {
        let (worker, info) = (Rc::clone(&worker), Rc::clone(&info));
        move |rejection| (worker.rejected)(&info, rejection)
    };
    let requests = |opened| {
        let (worker, activity) = (Rc::clone(&worker), Arc::clone(&activity));
        Requests { worker, info, activity, opened, downloads, total }
    };
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(transport);
            let conn = http1::builder(&worker.limits, &activity).serve_connection(io, requests(None));
            let ended =
                drive(conn, hyper1::Connection::graceful_shutdown, last, None, watchdog, shutdown).await;
            if let Ended::Error(error) = &ended
                && let Some(rejection) = Rejection::of_http1(error, activity.fault())
            {
                report(rejection);
            }
            ended
        }
        Protocol::Http2 => {
            let streams = Rc::new(Streams::new(report));
            let guarded = Guarded::new(transport, &worker.limits, Rc::clone(&streams), Rc::clone(listener));
            let io = TokioIo::new(guarded);
            let conn = http2::builder(&worker.limits).serve_connection(io, requests(Some(streams)));
            let grace = Some(http2::GOAWAY_GRACE);
            drive(conn, hyper2::Connection::graceful_shutdown, last, grace, watchdog, shutdown).await
        }
    }
}

/// Source and destination of a connection: its `own`, or those that a proxy gives, together with the source's place
/// among its connections. `None` if the connection is to be closed.
async fn addresses<F>(
    tcp: &mut TcpStream,
    own: (SocketAddr, SocketAddr),
    listener: &ListenerState,
    worker: &ServeContext<F>,
    shutdown: &mut Shutdown,
) -> Option<((SocketAddr, SocketAddr), Option<Place>)> {
    let Some(proxy) = &listener.proxy else { return Some((own, None)) };
    let outcome = tokio::select! {
        outcome = proxy.read(tcp, own.0.ip()) => outcome,
        () = stopped_for(shutdown, last_request(&worker.limits)) => return None,
    };
    let (listener, peer) = (&*listener.name, own.0);
    match outcome {
        // A connection of the proxy itself, for its health checks: it counts against no client's bound.
        Ok(None) => Some((own, None)),
        Ok(Some(addresses)) => match worker.capacity.addresses.enter(addresses.0.ip()) {
            Some(place) => Some((addresses, Some(place))),
            None => {
                let client = addresses.0;
                tracing::debug!(listener, %peer, %client, "closed: the address has reached `limits.connections-per-address`");
                None
            }
        },
        Err(error) => {
            tracing::debug!(listener, %peer, %error, "no PROXY header");
            None
        }
    }
}

fn last_request(limits: &GatewayLimits) -> Duration {
    LAST_REQUEST.min(limits.shutdown_timeout / 2)
}

async fn stopped_for(shutdown: &mut Shutdown, time: Duration) {
    shutdown.draining().await;
    sleep(time).await;
}
