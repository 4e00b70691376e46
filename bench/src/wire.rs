//! Requests over one connection, with as little work in this process as can be.
//!
//! HTTP/1.1 is written as bytes that were made once, and answers are read just far enough to find their end; HTTP/2 is
//! hyper's.

use crate::Result;
use crate::client::Local;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes that are read at once; a head may be as long.
const BUFFER: usize = 64 * 1024;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Plain,
    Tls,
    Http2,
}

/// A request that is sent over and over.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub fields: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Ask {
    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), fields: Vec::new(), body: Bytes::new() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", self.method, self.path);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    fn request(&self) -> Result<Request<Full<Bytes>>> {
        let uri = format!("https://localhost{}", self.path);
        let request = Request::builder().method(self.method).uri(uri);
        let request = self.fields.iter().fold(request, |it, (name, value)| it.header(*name, value));
        Ok(request.body(Full::new(self.body.clone()))?)
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in small letters.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Where to connect, how, and what to send.
pub struct Target {
    pub address: SocketAddr,
    pub protocol: Protocol,
    pub ask: Ask,
    bytes: Vec<u8>,
    connector: Option<TlsConnector>,
}

impl Target {
    /// With TLS, the server's certificate must be `certificate`, and sessions are not resumed.
    pub fn new(
        address: SocketAddr,
        protocol: Protocol,
        ask: Ask,
        certificate: &CertificateDer<'static>,
    ) -> Result<Self> {
        let bytes = ask.bytes();
        let connector = match protocol {
            Protocol::Plain => None,
            Protocol::Tls => Some(connector(b"http/1.1", certificate)?),
            Protocol::Http2 => Some(connector(b"h2", certificate)?),
        };
        Ok(Self { address, protocol, ask, bytes, connector })
    }

    /// A new connection.
    pub async fn open(&self) -> Result<Connection> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let Some(connector) = &self.connector else {
            return Ok(Connection::Plain(Wire::new(tcp)));
        };
        let tls = connector.connect(ServerName::try_from("localhost")?, tcp).await?;
        if self.protocol == Protocol::Tls {
            return Ok(Connection::Tls(Box::new(Wire::new(tls))));
        }
        let (sender, connection) = http2::Builder::new(Local).handshake(TokioIo::new(tls)).await?;
        tokio::task::spawn_local(async { drop(connection.await) });
        Ok(Connection::Http2(sender))
    }
}

fn connector(alpn: &[u8], certificate: &CertificateDer<'static>) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

pub enum Connection {
    Plain(Wire<TcpStream>),
    Tls(Box<Wire<tokio_rustls::client::TlsStream<TcpStream>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Sends the target's request: status, and bytes of the body.
    pub async fn send(&mut self, target: &Target) -> Result<(u16, usize)> {
        match self {
            Self::Plain(wire) => wire.exchange(&target.bytes, None).await,
            Self::Tls(wire) => wire.exchange(&target.bytes, None).await,
            Self::Http2(sender) => {
                sender.ready().await?;
                let response = sender.send_request(target.ask.request()?).await?;
                let status = response.status().as_u16();
                let mut body = response.into_body();
                let mut length = 0;
                while let Some(frame) = body.frame().await {
                    length += frame?.data_ref().map_or(0, Bytes::len);
                }
                Ok((status, length))
            }
        }
    }

    /// Whether the server has closed it; known without TLS alone.
    pub fn was_closed(&self) -> bool {
        match self {
            Self::Plain(wire) => matches!(wire.stream.try_read(&mut [0]), Ok(0)),
            Self::Tls(_) | Self::Http2(_) => false,
        }
    }

    /// Sends a request of HTTP/1.1 and leaves its answer.
    pub async fn begin(&mut self, target: &Target) -> Result<()> {
        match self {
            Self::Plain(wire) => Ok(wire.stream.write_all(&target.bytes).await?),
            Self::Tls(wire) => Ok(wire.stream.write_all(&target.bytes).await?),
            Self::Http2(_) => Err("not over HTTP/2".into()),
        }
    }

    /// Reads the answer to what [`Connection::begin`] sent.
    pub async fn finish(&mut self) -> Result<u16> {
        match self {
            Self::Plain(wire) => Ok(wire.read(None).await?.0),
            Self::Tls(wire) => Ok(wire.read(None).await?.0),
            Self::Http2(_) => Err("not over HTTP/2".into()),
        }
    }

    /// Keeps no memory that only work needs.
    pub fn rest(&mut self) {
        match self {
            Self::Plain(wire) => wire.buffer = Vec::new(),
            Self::Tls(wire) => wire.buffer = Vec::new(),
            Self::Http2(_) => {}
        }
    }

    /// The same, with all that came back.
    pub async fn ask(&mut self, target: &Target) -> Result<Reply> {
        let mut reply = Reply::default();
        match self {
            Self::Plain(wire) => drop(wire.exchange(&target.bytes, Some(&mut reply)).await?),
            Self::Tls(wire) => drop(wire.exchange(&target.bytes, Some(&mut reply)).await?),
            Self::Http2(sender) => {
                sender.ready().await?;
                let (head, body) = sender.send_request(target.ask.request()?).await?.into_parts();
                reply.status = head.status.as_u16();
                let text = |value: &hyper::header::HeaderValue| {
                    String::from_utf8_lossy(value.as_bytes()).into_owned()
                };
                let fields = head.headers.iter();
                reply.fields = fields.map(|(name, value)| (name.to_string(), text(value))).collect();
                reply.body = body.collect().await?.to_bytes().to_vec();
            }
        }
        Ok(reply)
    }
}

/// HTTP/1.1 over a stream.
pub struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were read, and of those the ones that were used.
    filled: usize,
    used: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn exchange(&mut self, request: &[u8], reply: Option<&mut Reply>) -> Result<(u16, usize)> {
        // A server may answer before it has read all of a large body; neither may wait for the other.
        if request.len() > BUFFER {
            return self.echo(request, reply).await;
        }
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.read(reply).await
    }

    async fn echo(&mut self, request: &[u8], reply: Option<&mut Reply>) -> Result<(u16, usize)> {
        let (reader, mut writer) = tokio::io::split(&mut self.stream);
        let mut inner = Wire { stream: reader, buffer: Vec::new(), filled: 0, used: 0 };
        let write = async {
            writer.write_all(request).await?;
            writer.flush().await?;
            Result::Ok(())
        };
        let (wrote, read) = tokio::join!(write, inner.read(reply));
        wrote?;
        read
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), filled: 0, used: 0 }
    }

    /// Reads more; an end is an error.
    async fn fill(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            self.buffer.resize(BUFFER, 0);
        }
        if self.used > 0 {
            self.buffer.copy_within(self.used..self.filled, 0);
            (self.filled, self.used) = (self.filled - self.used, 0);
        }
        if self.filled == self.buffer.len() {
            return Err("a head of more than 64 KiB".into());
        }
        match self.stream.read(&mut self.buffer[self.filled..]).await? {
            0 => Err("the connection was closed".into()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }

    /// Takes what there is up to the next `end`, which is taken, too.
    async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            let there = &self.buffer[self.used..self.filled];
            if let Some(at) = there.windows(end.len()).position(|window| window == end) {
                let taken = there[..at].to_vec();
                self.used += at + end.len();
                return Ok(taken);
            }
            self.fill().await?;
        }
    }

    /// Takes so many bytes of a body.
    async fn take(&mut self, mut wanted: usize, mut into: Option<&mut Vec<u8>>) -> Result<()> {
        loop {
            let there = (self.filled - self.used).min(wanted);
            if let Some(into) = &mut into {
                into.extend_from_slice(&self.buffer[self.used..self.used + there]);
            }
            (self.used, wanted) = (self.used + there, wanted - there);
            if wanted == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn read(&mut self, mut reply: Option<&mut Reply>) -> Result<(u16, usize)> {
        let head = self.until(b"\r\n\r\n").await?;
        let head = std::str::from_utf8(&head)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or("no status")?;
        let (mut length, mut chunked) = (0_usize, false);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = true;
            }
            if let Some(reply) = &mut reply {
                reply.fields.push((name.to_lowercase(), value.to_owned()));
            }
        }
        if let Some(reply) = &mut reply {
            reply.status = status;
        }
        if !chunked {
            self.take(length, reply.map(|reply| &mut reply.body)).await?;
            return Ok((status, length));
        }
        length = 0;
        loop {
            let size = self.until(b"\r\n").await?;
            let size = usize::from_str_radix(std::str::from_utf8(&size)?.trim(), 16)?;
            self.take(size, reply.as_mut().map(|reply| &mut reply.body)).await?;
            length += size;
            // Behind a chunk, or in the place of trailers.
            self.until(b"\r\n").await?;
            if size == 0 {
                return Ok((status, length));
            }
        }
    }
}
