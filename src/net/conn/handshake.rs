//! The TLS handshake of a connection, and its result.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::context::ServeContext;
use super::info::TlsInfo;
use super::listener::ListenerState;
use crate::net::capacity::{Lost, LostHandshakes};
use crate::net::tls::{ClientIdentity, TlsSource};

/// No handshake slot is held while the `ClientHello` is awaited: silent clients could hold all of them, and nothing is
/// computed before it. The caller bounds the time of the whole handshake.
pub(super) async fn handshake<F>(
    tcp: TcpStream,
    source: &TlsSource,
    worker: &ServeContext<F>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
    let _slot = worker.capacity.handshakes.acquire().await;
    start.into_stream(source.ask()).await
}

/// The result of a handshake that gave a connection.
pub(super) fn secured(
    outcome: Result<std::io::Result<TlsStream<TcpStream>>, Elapsed>,
    listener: &ListenerState,
    peer: SocketAddr,
    lost: &LostHandshakes,
) -> Option<(TlsStream<TcpStream>, TlsInfo)> {
    let listener = &*listener.name;
    match outcome {
        Ok(Ok(stream)) => {
            let info = tls_info(&stream);
            if info.is_none() {
                let why = "a client's certificate was refused: its names do not fit into fields for stages";
                tracing::warn!(listener, %peer, "{why}");
                lost.count(Lost::ClientName);
            }
            Some((stream, info?))
        }
        Ok(Err(error)) => {
            tracing::debug!(listener, %peer, %error, "TLS handshake failed");
            let is_tls = error.get_ref().is_some_and(|error| error.is::<rustls::Error>());
            lost.count(if is_tls { Lost::Refused } else { Lost::Gone });
            None
        }
        Err(_) => {
            tracing::debug!(listener, %peer, "TLS handshake timed out");
            lost.count(Lost::Timeout);
            None
        }
    }
}

/// `None` if the names in the client's certificate can't be represented.
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
