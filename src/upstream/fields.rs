//! A request's head as a server gets it, and a response's as it is handed on.

use super::error::Kind;
use crate::plan::{HostPolicy, Server};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// About one connection, whatever `Connection` says (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];

/// Takes off what belongs to one connection: what the gateway's front took off a request, a stage may have added, and
/// a response comes with its own.
pub(super) fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let values: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
        for option in values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
            if let Ok(name) = HeaderName::from_bytes(option.trim_ascii()) {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A request's head without a connection.
#[derive(Clone)]
pub(super) struct Head {
    pub method: Method,
    pub authority: Option<Authority>,
    pub path: PathAndQuery,
    pub headers: HeaderMap,
}

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// There is none.
    None,
    /// So many bytes, which the head says.
    Known(u64),
    /// To its end.
    Unknown,
}

impl Head {
    /// Brings the head in line with the body, of which `exact` says how long it is, if that is known.
    pub(super) fn settle(&mut self, empty: bool, exact: Option<u64>) -> Result<Length, Kind> {
        strip(&mut self.headers);
        let mut values = self.headers.get_all(CONTENT_LENGTH).iter();
        let declared = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => {
                let number =
                    value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let number = number.and_then(|text| text.parse::<u64>().ok());
                Some(number.ok_or(Kind::Unsendable("its `content-length` is no number"))?)
            }
            _ => return Err(Kind::Unsendable("it has more than one `content-length`")),
        };
        let exact = if empty { Some(0) } else { exact };
        match (declared, exact) {
            (Some(declared), Some(exact)) if declared != exact => {
                Err(Kind::Unsendable("its `content-length` is not the length of its body"))
            }
            (_, Some(0)) => {
                // A server that expects a body must not wait for one (RFC 9110 §8.6).
                if [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) {
                    self.headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
                }
                Ok(Length::None)
            }
            (Some(length), _) | (None, Some(length)) => {
                self.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                Ok(Length::Known(length))
            }
            (None, None) => Ok(Length::Unknown),
        }
    }

    /// The request for `server`, in the form of its protocol.
    pub(super) fn request<T>(
        mut self,
        server: &Server,
        policy: &HostPolicy,
        version: Version,
        length: Length,
        body: T,
    ) -> Result<Request<T>, Kind> {
        let bad = |_| Kind::Unsendable("its target or host is not valid");
        let authority = match (policy, self.authority) {
            (HostPolicy::Preserve, Some(authority)) => authority,
            (HostPolicy::Name(name), _) => Authority::try_from(name.as_str()).map_err(bad)?,
            (HostPolicy::Preserve | HostPolicy::Upstream, _) => {
                Authority::try_from(server.authority()).map_err(bad)?
            }
        };
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(self.path);
        self.headers.remove(HOST);
        // Trailers are always welcome: who can't have them loses them, which is allowed.
        self.headers.insert(TE, HeaderValue::from_static("trailers"));
        if version == Version::HTTP_2 {
            uri.scheme = Some(if server.tls { Scheme::HTTPS } else { Scheme::HTTP });
            uri.authority = Some(authority);
        } else {
            self.headers.insert(CONNECTION, HeaderValue::from_static("te"));
            let host = HeaderValue::try_from(authority.as_str());
            self.headers.insert(HOST, host.map_err(|_| Kind::Unsendable("its host is not valid"))?);
            if length == Length::Unknown {
                // hyper would leave the body of a GET out.
                self.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Kind::Unsendable("its target is not valid"))?;
        *request.headers_mut() = self.headers;
        *request.version_mut() = version;
        Ok(request)
    }
}

/// Whether a request may be sent twice (RFC 9110 §9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}
