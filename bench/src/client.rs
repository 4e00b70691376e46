//! Connections over TLS, and request bodies.

use crate::Result;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes of a streamed body in one frame.
pub const CHUNK: usize = 4096;

/// A request's body: so many frames with repetitions of one byte, and without a declared length.
pub struct Payload {
    left: usize,
    byte: u8,
}

impl Payload {
    /// No body.
    pub fn empty() -> Self {
        Self { left: 0, byte: 0 }
    }

    /// `frames` times [`CHUNK`] bytes.
    pub fn stream(frames: usize, byte: u8) -> Self {
        Self { left: frames, byte }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![self.byte; CHUNK])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.left == 0 { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// Runs tasks on this thread.
#[derive(Clone, Copy)]
pub struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move { drop(future.await) });
    }
}

/// The ways to a gateway.
pub struct Network {
    address: SocketAddr,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Network {
    /// To `address`, whose certificate must be one of these.
    pub fn new(address: SocketAddr, certificates: &[CertificateDer<'static>]) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate.clone())?;
        }
        let connector = |alpn: &[u8]| -> Result<TlsConnector> {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self { address, http1: connector(b"http/1.1")?, http2: connector(b"h2")? })
    }

    /// A new connection.
    pub async fn open(&self, http2: bool) -> Result<Sender> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let connector = if http2 { &self.http2 } else { &self.http1 };
        let tls = TokioIo::new(connector.connect(name, tcp).await?);
        Ok(if http2 {
            let (sender, connection) = http2::Builder::new(Local).handshake(tls).await?;
            tokio::task::spawn_local(async { drop(connection.await) });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(tls).await?;
            tokio::task::spawn_local(async { drop(connection.await) });
            Sender::Http1(sender)
        })
    }
}

/// One connection, which ends when its last sender and its last answer are dropped.
pub enum Sender {
    Http1(http1::SendRequest<Payload>),
    Http2(http2::SendRequest<Payload>),
}

impl Sender {
    /// Waits until a request can be sent, and returns whether that is still possible.
    pub async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends a request whose target is a path.
    pub fn send(
        &mut self,
        request: Request<Payload>,
    ) -> Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>> {
        match self {
            Self::Http1(sender) => Box::pin(sender.send_request(request)),
            Self::Http2(sender) => Box::pin(sender.send_request(request)),
        }
    }

    /// The beginning of a request's target, before its path.
    pub fn origin(&self) -> &'static str {
        match self {
            Self::Http1(_) => "",
            Self::Http2(_) => "https://localhost",
        }
    }
}
