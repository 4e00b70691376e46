//! The request that is looked at: HTTP/1.1, plain or over TLS.

use super::options::Options;
use crate::cli::exchange::exchange;
use crate::cli::failed::Failed;
use crate::net::tls::{client_settings, load_roots};
use crate::telemetry::trace::{SpanId, TRACEPARENT, TraceId};
use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The most bytes of a response's body that are read.
const MOST: usize = 1 << 20;

/// A request, before it is sent.
pub(super) struct Sending {
    /// The trace that it names.
    pub(super) trace: TraceId,
    request: Request<Full<Bytes>>,
    url: Uri,
    /// `HOST:PORT`.
    connect: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Sending {
    /// The request that `options` describe, to `url`.
    ///
    /// # Errors
    /// What can't be sent.
    pub(super) fn new(options: &Options, url: &Uri) -> Result<Self, Failed> {
        let wrong = |why: &str| Failed::usage(format!("`{url}` can't be traced: {why}"));
        let secure = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("write http://HOST[:PORT]/PATH or https://…")),
        };
        let authority = url.authority().filter(|it| !it.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("it has no host, or a password"))?;
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let connect = options.connect.clone().unwrap_or_else(|| format!("{}:{port}", authority.host()));
        let has_body = options.data.is_some();
        let usual = if has_body { Method::POST } else { Method::GET };
        let trace = TraceId::random();
        let target = url.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder()
            .method(options.method.clone().unwrap_or(usual))
            .uri(target)
            .header(HOST, authority.as_str())
            .header(USER_AGENT, concat!("linkspan/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Full::new(Bytes::from(options.data.clone().unwrap_or_default())))
            .map_err(Failed::usage)?;
        for field in &options.fields {
            let (name, value) = field
                .split_once(':')
                .ok_or_else(|| Failed::usage(format!("`{field}` is no field: write `name: value`")))?;
            let name = HeaderName::try_from(name.trim()).map_err(Failed::usage)?;
            let value = HeaderValue::try_from(value.trim()).map_err(Failed::usage)?;
            match name == HOST || name == USER_AGENT {
                true => drop(request.headers_mut().insert(name, value)),
                false => drop(request.headers_mut().append(name, value)),
            }
        }
        // Not sampled, for whoever else believes it.
        let parent = format!("00-{trace}-{}-00", SpanId::random());
        request.headers_mut().insert(TRACEPARENT, HeaderValue::try_from(parent).map_err(Failed::usage)?);
        let tls = secure.then(|| tls(options)).transpose()?;
        Ok(Self { trace, request, url: url.clone(), connect, tls })
    }

    /// The host that it names, without the port.
    pub(super) fn host(&self) -> String {
        let named = self.request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let authority = named.and_then(|host| host.parse::<http::uri::Authority>().ok());
        authority.map_or_else(String::new, |authority| authority.host().to_ascii_lowercase())
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    /// Sends it, reads the response, and returns the status of that.
    ///
    /// # Errors
    /// If there is none.
    pub(super) async fn send(self) -> Result<StatusCode, Failed> {
        let stream = self.connect().await?;
        let failed = |error: hyper::Error| Failed::system(format!("no response: {error}"));
        exchange(stream, self.request, failed, async |response| {
            let (status, mut body) = (response.status(), response.into_body());
            let mut read = 0;
            // A body that breaks off is in the trace.
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > MOST {
                    break;
                }
            }
            Ok(status)
        })
        .await
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Failed> {
        let failed =
            |error: std::io::Error| Failed::system(format!("no connection to {}: {error}", self.connect));
        let tcp = TcpStream::connect(&self.connect).await.map_err(failed)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(Failed::usage)?;
        let stream = tokio_rustls::TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        Ok(Box::new(stream.map_err(|error| {
            Failed::system(format!("no TLS with {}: {error} (`--cacert` names an authority)", self.connect))
        })?))
    }
}

fn tls(options: &Options) -> Result<Arc<rustls::ClientConfig>, Failed> {
    let roots = options.cacert.as_deref().map(load_roots).transpose().map_err(Failed::system)?;
    let mut settings = client_settings(roots).map_err(Failed::system)?.with_no_client_auth();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(settings))
}
