//! What is known of a connection, independent of its protocol: the same for all of its requests.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use crate::net::tls::ClientIdentity;

/// The protocol of a connection.
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
    /// The gateway's address.
    pub local: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// `None`: plain HTTP.
    pub tls: Option<TlsInfo>,
    /// The port of https to which the listener redirects every request.
    pub redirect: Option<u16>,
    /// The client's address as a field's value, made at the first request that needs it.
    pub peer_value: OnceCell<HeaderValue>,
}

/// The result of the TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The name that the client asked for (SNI), in lower case; never an address.
    pub server_name: Option<Box<str>>,
    /// The version of TLS.
    pub version: Option<rustls::ProtocolVersion>,
    /// `h2`, `http/1.1`, or none.
    pub alpn: Option<Box<[u8]>>,
    /// The client's identity, if the client has shown a certificate, which then is verified.
    pub client: Option<Rc<ClientIdentity>>,
}
