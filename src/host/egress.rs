//! Requests that a stage sends out into the network: `wasi:http/client`.
//!
//! A request is denied unless one of the stage's `egress` rules names its scheme, host and port. A name that a rule
//! allows still can't lead to an internal address: it must resolve to a public address, unless the rule names the
//! address itself (or `localhost`, for loopback addresses), or the stage's `egress-networks` contain it. The request
//! connects to the very address that was checked, so that a name can't change in between (DNS rebinding). The guest
//! follows redirects, by another checked request.
//!
//! Bounds, from the stage's limits: requests at once, connections at once, for which requests wait, the time to connect
//! and agree on TLS, and the time to a response's head, including the wait. Each request has a connection of its own,
//! HTTP/1.1, with the web's certificate roots for https.

pub(super) mod reach;

use self::reach::Egress;
use super::context::Behalf;
use super::next::RequestHead;
use super::scope::StageScope;
use super::traced::traced;
use crate::plan::decimal;
use crate::telemetry::trace::{Destination, OpenSpan};
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::p3::bindings::http::types::{DnsErrorPayload, ErrorCode};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

impl Egress {
    fn allows(&self, target: &Target) -> bool {
        self.granted.allows(target.scheme(), &target.host, target.port)
    }

    /// Whether a request to `target`, which a rule allows, may go to `address`.
    fn may_reach(&self, target: &Target, address: IpAddr) -> bool {
        let named = match target.literal() {
            Some(literal) => literal == address,
            None => target.host == "localhost" && address.is_loopback(),
        };
        named || is_public(address) || self.granted.networks.iter().any(|network| network.contains(address))
    }
}

/// The target of a request.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, ErrorCode> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(ErrorCode::HttpRequestUriInvalid),
        };
        let authority = uri.authority().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(ErrorCode::HttpRequestUriInvalid);
        }
        let port = match &authority.as_str()[authority.host().len()..] {
            "" if tls => 443,
            "" => 80,
            port => port.strip_prefix(':').and_then(decimal).ok_or(ErrorCode::HttpRequestUriInvalid)?,
        };
        Ok(Self { tls, host: authority.host().to_ascii_lowercase(), port })
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The host as an address, if it is written as one.
    fn literal(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

/// A request that has left its store, as the network gets it.
///
/// # Errors
/// `HTTP-protocol-error` for a scheme other than `http` and `https`; `HTTP-request-URI-invalid` without a whole URI.
pub fn outgoing(head: RequestHead, body: WasiBody) -> Result<Request<WasiBody>, ErrorCode> {
    let RequestHead { method, scheme, authority, path_with_query, headers, options: _ } = head;
    let scheme = scheme.unwrap_or(Scheme::HTTPS);
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
        return Err(ErrorCode::HttpProtocolError);
    }
    let mut parts = http::uri::Parts::default();
    (parts.scheme, parts.authority, parts.path_and_query) = (Some(scheme), authority, path_with_query);
    let mut request = Request::new(body);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    (*request.method_mut(), *request.headers_mut()) = (method, headers);
    Ok(request)
}

/// Sends `request` for the stage of `scope`, if the stage may send it. `behalf` is the request that the stage works
/// on, if known.
///
/// # Errors
/// `HTTP-request-denied` without a rule; `destination-unavailable` while the stage judges its configuration; `destination-IP-prohibited` if a name led to an internal address;
/// `connection-limit-reached` beyond the stage's requests at once; `HTTP-response-timeout` without a response's head in
/// time; and the errors of connecting and sending.
pub async fn send(
    scope: &StageScope,
    behalf: Option<&Behalf>,
    mut request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<Response<WasiBody>, ErrorCode> {
    let (target, egress) = (Target::of(request.uri())?, &scope.egress);
    if !egress.allows(&target) {
        let message = format!("denied: {}://{}:{}", target.scheme(), target.host, target.port);
        scope.log(behalf, tracing::Level::WARN, "egress", &message);
        return Err(ErrorCode::HttpRequestDenied);
    }
    // A stage that judges its configuration learns whether it may send a request; nothing is sent.
    if scope.is_shut() {
        return Err(ErrorCode::DestinationUnavailable);
    }
    let place = behalf.and_then(Behalf::place);
    let mut span = place.as_ref().and_then(|place| place.send(request.method()));
    if let Some(trace) = behalf.and_then(|behalf| behalf.origin.trace.as_ref()) {
        let own = span.as_ref().and_then(OpenSpan::id).or(behalf.and_then(|behalf| behalf.span));
        trace.lead(request.headers_mut(), own);
    }
    if let Some(span) = &mut span {
        describe(span, scope, &target, request.uri());
    }
    let answer = permitted(scope, behalf, &target, request, options).await;
    match (&answer, &mut span) {
        (Ok(response), Some(span)) => span.set_answer(response.status(), Some(response.version())),
        (Err(code), Some(span)) => span.set_error(name_of(code), &"no response"),
        (_, None) => {}
    }
    Ok(answer?.map(|body| traced(body, span)))
}

/// Says of a span where its request goes.
fn describe(span: &mut OpenSpan, scope: &StageScope, target: &Target, uri: &Uri) {
    let root = PathAndQuery::from_static("/");
    let to = Destination { scheme: target.scheme(), host: &target.host, port: target.port };
    span.set_destination(to, uri.path_and_query().unwrap_or(&root));
    span.set("linkspan.stage", scope.id.to_string());
}

/// The name of an error code, without what it says beyond.
fn name_of(code: &ErrorCode) -> String {
    let text = format!("{code:?}");
    text[..text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len())].to_owned()
}

/// Sends a request that a rule allows, within the stage's bounds.
async fn permitted(
    scope: &StageScope,
    behalf: Option<&Behalf>,
    target: &Target,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<Response<WasiBody>, ErrorCode> {
    let egress = &scope.egress;
    // Counted up to the response's head; after that, the body counts by its connection.
    let _counted = egress.requests.try_acquire().map_err(|_| ErrorCode::ConnectionLimitReached)?;
    let wanted = options.and_then(|options| options.first_byte_timeout);
    let patience = wanted.map_or(egress.timeout, |own| own.min(egress.timeout));
    let answer = tokio::time::timeout(patience, attempt(egress, target, request, options));
    let answer = answer.await.unwrap_or(Err(ErrorCode::HttpResponseTimeout));
    if matches!(answer, Err(ErrorCode::DestinationIpProhibited)) {
        let message = format!("denied: {} leads inside, to no network of `egress-networks`", target.host);
        scope.log(behalf, tracing::Level::WARN, "egress", &message);
    }
    answer
}

/// Sends a request that a rule allows, once there is a connection for it.
async fn attempt(
    egress: &Egress,
    target: &Target,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<Response<WasiBody>, ErrorCode> {
    let permit = Arc::clone(&egress.connections).acquire_owned().await;
    let permit = permit.map_err(|_| ErrorCode::ConnectionLimitReached)?;
    let wanted = options.and_then(|options| options.connect_timeout);
    let patience = wanted.map_or(egress.connect_timeout, |own| own.min(egress.connect_timeout));
    let stream = tokio::time::timeout(patience, open(egress, target));
    let stream = stream.await.map_err(|_| ErrorCode::ConnectionTimeout)??;
    exchange(stream, request, permit).await
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to `target`, with TLS if it is https.
async fn open(egress: &Egress, target: &Target) -> Result<Box<dyn Stream>, ErrorCode> {
    let stream = connect(egress, target, |host, port| async move {
        Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect())
    });
    let stream = stream.await?;
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(target.host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let connector = tokio_rustls::TlsConnector::from(tls_config());
    let stream = connector.connect(name, stream).await;
    Ok(Box::new(stream.map_err(|_| ErrorCode::TlsProtocolError)?))
}

/// Connects to the first allowed address of the target that answers. `lookup` is asked for a name once.
async fn connect<F>(
    egress: &Egress,
    target: &Target,
    lookup: impl FnOnce(String, u16) -> F,
) -> Result<TcpStream, ErrorCode>
where
    F: Future<Output = std::io::Result<Vec<SocketAddr>>>,
{
    let addresses = match target.literal() {
        Some(address) => vec![SocketAddr::new(address, target.port)],
        None => lookup(target.host.clone(), target.port)
            .await
            .map_err(|_| ErrorCode::DnsError(DnsErrorPayload { rcode: None, info_code: None }))?,
    };
    let mut last = ErrorCode::DestinationNotFound;
    for address in addresses {
        if !egress.may_reach(target, address.ip()) {
            last = ErrorCode::DestinationIpProhibited;
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Parts of a body are sent as soon as they are there; without this, they are sent later.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = refused(&error),
        }
    }
    Err(last)
}

/// The error code for a connection that failed.
fn refused(error: &std::io::Error) -> ErrorCode {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        std::io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        _ => ErrorCode::DestinationUnavailable,
    }
}

/// The error code for an exchange that broke off.
fn broken(error: hyper::Error) -> ErrorCode {
    let reset = std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>());
    match error.is_incomplete_message() || error.is_closed() || error.is_canceled() || reset {
        true => ErrorCode::ConnectionTerminated,
        false => ErrorCode::HttpProtocolError,
    }
}

/// Whether `address` is of the public internet, by the special-purpose registries of IANA (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                // Shared address space (RFC 6598), IETF assignments, 6to4 relays, benchmarking (RFC 2544).
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19))
                // The metadata server of a cloud, in every machine of it.
                || [a, b, c, d] == [168, 63, 129, 16])
        }
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_public(v4),
            // Only 2000::/3 is global unicast today; 2001:db8::/32 and 3fff::/20 are for documentation, 2001::/23 for
            // protocols (Teredo among them).
            None => {
                let [a, b, ..] = v6.segments();
                (0x2000..0x4000).contains(&a)
                    && !(a == 0x2001 && (b == 0x0db8 || b < 0x0200))
                    && !(a == 0x3fff && b < 0x1000)
            }
        },
    }
}

/// The IPv4 address that an IPv6 address contains, if any: mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded(v6: Ipv6Addr) -> Option<IpAddr> {
    let segments = v6.segments();
    let [.., high, low] = segments;
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::from([a, b, c, d]))
    };
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] if v6 != Ipv6Addr::LOCALHOST => v4(high, low),
        [0x0064, 0xff9b, 0, 0, 0, 0, ..] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

fn tls_config() -> Arc<rustls::ClientConfig> {
    static CONFIG: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for the versions that rustls speaks");
        Arc::new(versions.with_root_certificates(roots).with_no_client_auth())
    });
    Arc::clone(&CONFIG)
}

/// One request and its response on a new connection, which `permit` counts.
async fn exchange(
    stream: Box<dyn Stream>,
    mut request: Request<WasiBody>,
    permit: OwnedSemaphorePermit,
) -> Result<Response<WasiBody>, ErrorCode> {
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let host = authority.and_then(|authority| HeaderValue::try_from(authority).ok());
    request.headers_mut().insert(HOST, host.ok_or(ErrorCode::HttpRequestUriInvalid)?);
    // HTTP/1.1 needs the origin form (RFC 9112 §3.2.1).
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "requests of WASI 0.2 are sent by a task outside of the `LocalSet`, on the worker's thread as well"
    )]
    tokio::spawn(async move {
        // The task ends when the response's body was read or dropped. The body reports the same error.
        let _ = connection.await;
        drop(permit);
    });
    let response = sender.send_request(request).await.map_err(broken)?;
    Ok(response.map(|body| body.map_err(Error::Hyper).boxed_unsync()))
}

#[cfg(test)]
mod tests;
