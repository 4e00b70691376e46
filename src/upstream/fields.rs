//! A request's head as a server receives it, and a response's head as it is passed on.

use super::error::ErrorKind;
use crate::net::strip_hop_by_hop;
use crate::plan::{HostPolicy, Server, decimal};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};

/// The number in a `Content-Length`.
fn length_in(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok().and_then(decimal)
}

/// A request's head without a connection.
#[derive(Clone)]
pub(super) struct UnsentHead {
    pub method: Method,
    pub authority: Option<Authority>,
    pub path: PathAndQuery,
    pub headers: HeaderMap,
}

/// The length of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// There is no body.
    None,
    /// The head says the length.
    Known(u64),
    /// Nothing says the length.
    Unknown,
}

impl UnsentHead {
    /// Makes the head agree with the body, whose length is `exact`, if it is known.
    pub(super) fn settle(&mut self, empty: bool, exact: Option<u64>) -> Result<Length, ErrorKind> {
        strip_hop_by_hop(&mut self.headers);
        let mut values = self.headers.get_all(CONTENT_LENGTH).iter();
        let declared = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => {
                Some(length_in(value).ok_or(ErrorKind::Unsendable("its `content-length` is no number"))?)
            }
            _ => return Err(ErrorKind::Unsendable("it has more than one `content-length`")),
        };
        let exact = if empty { Some(0) } else { exact };
        match (declared, exact) {
            (Some(declared), Some(exact)) if declared != exact => {
                Err(ErrorKind::Unsendable("its `content-length` is not the length of its body"))
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
    ) -> Result<Request<T>, ErrorKind> {
        let bad = |_| ErrorKind::Unsendable("its target or host is not valid");
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
        // `TE: trailers` is always sent: a client that can't receive trailers loses them, which is allowed.
        self.headers.insert(TE, HeaderValue::from_static("trailers"));
        if version == Version::HTTP_2 {
            uri.scheme = Some(if server.tls { Scheme::HTTPS } else { Scheme::HTTP });
            uri.authority = Some(authority);
        } else {
            self.headers.insert(CONNECTION, HeaderValue::from_static("te"));
            let host = HeaderValue::try_from(authority.as_str());
            self.headers.insert(HOST, host.map_err(|_| ErrorKind::Unsendable("its host is not valid"))?);
            if length == Length::Unknown {
                // hyper would omit the body of a GET.
                self.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() =
            Uri::from_parts(uri).map_err(|_| ErrorKind::Unsendable("its target is not valid"))?;
        *request.headers_mut() = self.headers;
        *request.version_mut() = version;
        Ok(request)
    }
}

/// Makes a response's head agree with its body, whose length is `exact`, if it is known. A response with two statements
/// of its length could be read differently by the next recipient.
///
/// # Errors
/// Why the response is wrong.
pub(super) fn settle_response(
    method: &Method,
    status: StatusCode,
    headers: &mut HeaderMap,
    exact: Option<u64>,
) -> Result<(), &'static str> {
    let bodiless =
        *method == Method::HEAD || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        if !bodiless && (!chunked || headers.contains_key(CONTENT_LENGTH)) {
            return Err("its `transfer-encoding` is not just `chunked`, or a `content-length` is beside it");
        }
        headers.remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(headers);
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next().cloned() else { return Ok(()) };
    let number = length_in(&length);
    if lengths.any(|other| *other != length) || number.is_none() || (!bodiless && number != exact) {
        return Err("its `content-length` is not the length of its body");
    }
    match status {
        StatusCode::NO_CONTENT => drop(headers.remove(CONTENT_LENGTH)),
        _ => drop(headers.insert(CONTENT_LENGTH, length)),
    }
    Ok(())
}

/// Whether a request may be sent twice (RFC 9110 §9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn head(method: Method, fields: &[(&'static str, &'static str)]) -> UnsentHead {
        let headers = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let path = PathAndQuery::from_static("/a?b");
        UnsentHead { method, authority: None, path, headers: headers.collect() }
    }

    #[test]
    fn a_head_says_what_its_body_is() {
        let mut get = head(Method::GET, &[]);
        assert_eq!(get.settle(true, None), Ok(Length::None));
        assert!(get.headers.is_empty());
        let mut post = head(Method::POST, &[]);
        assert_eq!(post.settle(true, None), Ok(Length::None));
        assert_eq!(post.headers[CONTENT_LENGTH], "0");
        let mut known = head(Method::POST, &[("content-length", "5")]);
        assert_eq!(known.settle(false, None), Ok(Length::Known(5)));
        assert_eq!(head(Method::POST, &[]).settle(false, Some(7)), Ok(Length::Known(7)));
        assert_eq!(head(Method::GET, &[]).settle(false, None), Ok(Length::Unknown));
        for (value, exact) in [("5", Some(4)), ("+5", None), ("5, 5", None), ("", None), ("5", Some(0))] {
            let mut wrong = head(Method::POST, &[("content-length", value)]);
            assert!(wrong.settle(exact == Some(0), exact).is_err(), "{value} {exact:?}");
        }
        let mut twice = head(Method::POST, &[]);
        twice.headers.append(CONTENT_LENGTH, HeaderValue::from(5));
        twice.headers.append(CONTENT_LENGTH, HeaderValue::from(5));
        assert!(twice.settle(false, None).is_err());
    }

    #[test]
    fn a_request_has_the_form_of_its_protocol() {
        let server = Server::parse("https://api.example:8443").unwrap();
        let make = |policy: &HostPolicy, version, length| {
            let mut head =
                head(Method::GET, &[("host", "evil"), ("upgrade", "x"), ("connection", "x-a"), ("x-a", "1")]);
            head.authority = Some(Authority::from_static("client.example"));
            head.settle(false, None).unwrap();
            head.request(&server, policy, version, length, ()).unwrap()
        };
        let request = make(&HostPolicy::Preserve, Version::HTTP_11, Length::Unknown);
        assert_eq!(request.uri(), "/a?b");
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["connection", "host", "te", "transfer-encoding"]);
        assert_eq!(request.headers()[HOST], "client.example");
        let request = make(&HostPolicy::Upstream, Version::HTTP_2, Length::Unknown);
        assert_eq!(request.uri(), "https://api.example:8443/a?b");
        assert_eq!(request.headers().keys().collect::<Vec<_>>(), [TE]);
        let request = make(&HostPolicy::Name("in.example".to_owned()), Version::HTTP_2, Length::None);
        assert_eq!(request.uri(), "https://in.example/a?b");
    }

    #[test]
    fn a_response_says_one_thing_of_its_length() {
        let settle = |method: Method, status: u16, fields: &[(&'static str, &'static str)], exact| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            settle_response(&method, StatusCode::from_u16(status).unwrap(), &mut headers, exact).map(|()| {
                headers
                    .get_all(CONTENT_LENGTH)
                    .iter()
                    .map(|it| it.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            })
        };
        let (length, chunked) = (("content-length", "5"), ("transfer-encoding", "chunked"));
        assert_eq!(settle(Method::GET, 200, &[length], Some(5)).unwrap(), ["5"]);
        assert_eq!(settle(Method::GET, 200, &[length, length], Some(5)).unwrap(), ["5"]);
        assert!(settle(Method::GET, 200, &[chunked], None).unwrap().is_empty());
        assert!(settle(Method::GET, 200, &[], None).unwrap().is_empty());
        assert_eq!(settle(Method::HEAD, 200, &[length], Some(0)).unwrap(), ["5"]);
        assert_eq!(settle(Method::GET, 304, &[length], Some(0)).unwrap(), ["5"]);
        assert!(settle(Method::GET, 204, &[length], Some(0)).unwrap().is_empty());
        assert!(settle(Method::HEAD, 200, &[length, chunked], Some(0)).unwrap().is_empty());
        for wrong in [
            &[length, chunked][..],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "gzip")],
            &[chunked, chunked],
            &[length, ("content-length", "6")],
            &[("content-length", "+5")],
            &[("content-length", "4")],
        ] {
            assert!(settle(Method::GET, 200, wrong, Some(5)).is_err(), "{wrong:?}");
        }
    }
}
