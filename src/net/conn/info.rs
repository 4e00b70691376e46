//! What is known of a connection, whatever its protocol: the same for all of its requests.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use crate::net::tls::ClientIdentity;

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
