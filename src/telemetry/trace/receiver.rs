//! A receiver of spans: one request of OTLP over HTTP, on a connection of its own.
//!
//! A batch is sent once a second at most, so a connection that is kept would save little, and would have to be proven to
//! be alive. Whatever the receiver answers, no more than [`MOST_ANSWER`] bytes of it are read.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::plan::{Endpoint, ExportPlan, ServerHost};

/// The most bytes of an answer, and of its head, that are read.
const MOST_ANSWER: usize = 64 << 10;

/// Where spans are sent.
pub(super) struct Receiver {
    endpoint: Endpoint,
    headers: HeaderMap,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// Why a receiver did not take spans.
#[derive(Debug)]
pub(super) struct NotTaken {
    /// For the log.
    pub why: String,
    /// Whether it may take them another time.
    pub may_retry: bool,
    /// When, if the receiver says so.
    pub after: Option<Duration>,
}

impl NotTaken {
    /// What may be different next time.
    pub fn broken(what: &str, error: &dyn Display) -> Self {
        Self { why: format!("{what}: {error}"), may_retry: true, after: None }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Receiver {
    /// The receiver that `plan` names.
    ///
    /// # Errors
    /// Authorities whose certificates can't be used.
    pub fn new(plan: &ExportPlan) -> Result<Self, rustls::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("linkspan/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in &plan.headers {
            // The plan has valid values only.
            if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
                value.set_sensitive(true);
                headers.insert(name.clone(), value);
            }
        }
        let authority = plan.endpoint.server.authority();
        if let Ok(host) = HeaderValue::try_from(authority) {
            headers.insert(HOST, host);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let tls = plan.endpoint.server.tls.then(|| tls_config(plan)).transpose()?;
        Ok(Self { endpoint: plan.endpoint.clone(), headers, tls })
    }

    /// Sends a message, and returns the answer if it was taken.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn send(&self, message: Bytes) -> Result<Vec<u8>, NotTaken> {
        let stream = self.connect().await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MOST_ANSWER);
        let broken = |error: hyper::Error| NotTaken::broken("the exchange broke off", &error);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() =
            self.endpoint.path.parse().map_err(|error| NotTaken::broken("the path", &error))?;
        *request.headers_mut() = self.headers.clone();
        let mut exchange = pin!(async move {
            let response = sender.send_request(request).await.map_err(broken)?;
            taken(response).await
        });
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // What came before its end is still to be read.
            _ = &mut connection => exchange.await,
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, NotTaken> {
        let server = &self.endpoint.server;
        let tcp = match &server.host {
            ServerHost::Name(name) => TcpStream::connect((name.as_str(), server.port)).await,
            ServerHost::Address(address) => TcpStream::connect((*address, server.port)).await,
        };
        let tcp = tcp.map_err(|error| NotTaken::broken("cannot connect", &error))?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = server.host.certified().map_err(|error| NotTaken::broken("the name", &error))?;
        let stream = tokio_rustls::TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        Ok(Box::new(stream.map_err(|error| NotTaken::broken("TLS", &error))?))
    }
}

/// The answer, if it says that the message was taken. Which other ones are worth another attempt is OTLP's rule
/// ("OTLP/HTTP Response", retryable response codes).
async fn taken(response: http::Response<hyper::body::Incoming>) -> Result<Vec<u8>, NotTaken> {
    let (head, mut body) = response.into_parts();
    if !head.status.is_success() {
        let may_retry = matches!(
            head.status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        return Err(NotTaken {
            why: format!("the answer is {}", head.status.as_u16()),
            may_retry,
            after: after.map(Duration::from_secs),
        });
    }
    let mut answer = Vec::new();
    while let Some(frame) = body.frame().await {
        // The status has said it: what follows is only about parts of the message.
        let Ok(frame) = frame else { break };
        let Ok(data) = frame.into_data() else { break };
        if answer.len() + data.len() > MOST_ANSWER {
            break;
        }
        answer.extend_from_slice(&data);
    }
    Ok(answer)
}

fn tls_config(plan: &ExportPlan) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    match &plan.roots {
        Some(own) => own.iter().try_for_each(|root| roots.add(root.clone()))?,
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
