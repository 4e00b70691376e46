//! Fields that concern one connection, or the framing of one message, and therefore not the other side (RFC 9110
//! §7.6.1). They are removed before the first stage sees a request and before the client sees a response; a stage could
//! not forward them, since `wasi:http` forbids setting them.
//!
//! A client can have its own fields removed by naming them in `Connection`, and no others: the gateway adds its fields
//! afterwards. Fields with `_` in their names are removed as well, because CGI and similar interfaces take them for
//! fields with `-` (`http.underscores`). Nothing here fails; a field that is not understood is removed.

use http::header::{
    self, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, EXPECT, HOST, TRAILER,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::kinds::{Kinds, is_claim, is_disguised, remove};
use crate::net::strip_hop_by_hop;

/// Fields that a recipient must know before the body or that decide who may do what: as trailers they would arrive
/// after every check (RFC 9110 §6.5.1).
static NOT_IN_TRAILERS: [HeaderName; 36] = [
    HOST,
    TRAILER,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    CONTENT_TYPE,
    EXPECT,
    COOKIE,
    header::AUTHORIZATION,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::AGE,
    header::CACHE_CONTROL,
    header::DATE,
    header::EXPIRES,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::ORIGIN,
    header::PRAGMA,
    header::RANGE,
    header::RETRY_AFTER,
    header::VARY,
    header::WARNING,
    header::FORWARDED,
    header::VIA,
    header::REFERER,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-consumer"),
];

/// Removes fields with `_` in their names, which CGI and similar interfaces don't distinguish from those with `-`: all
/// such fields, or, with `http.underscores = "keep"`, those that stand for a field with a meaning here.
pub fn take_disguised_off(headers: &mut HeaderMap, keep: bool) {
    remove(headers, |name| if keep { is_disguised(name) } else { name.contains('_') });
}

/// Prepares a request's fields for the stages: no fields of the connection; no `Host`, which has become the authority;
/// no `Expect`, which the gateway answers; and one `Cookie` field in place of several, into which HTTP/2 may split it
/// (RFC 9113 §8.2.3).
///
/// `kinds` are the kinds of fields in `headers`.
pub fn clean_request(headers: &mut HeaderMap, kinds: Kinds) {
    if kinds.has(Kinds::CONNECTION) {
        strip_hop_by_hop(headers);
    }
    headers.remove(HOST);
    if kinds.has(Kinds::EXPECT) {
        headers.remove(EXPECT);
    }
    if kinds.has(Kinds::COOKIE) {
        join_cookies(headers);
    }
}

/// Prepares a response's fields for the client: the front end decides about framing and connection.
pub fn clean_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
}

/// Removes from trailers, in either direction, fields that must not be trailers.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
    super::client_cert::strip(trailers);
    for name in &NOT_IN_TRAILERS {
        trailers.remove(name);
    }
    remove(trailers, |name| is_claim(name) || is_disguised(name));
}

/// The same for a request's trailers, in whose names no `_` may stand.
pub fn clean_request_trailers(trailers: &mut HeaderMap) {
    clean_trailers(trailers);
    take_disguised_off(trailers, false);
}

fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    // Valid values, joined by valid bytes, are a valid value.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn connection_and_what_it_names_are_removed_in_both_directions() {
        let fields = [
            ("connection", "keep-alive, X-One ,,\tx-two"),
            ("connection", "x-three, not a token, close"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-two", "22"),
            ("x-three", "3"),
            ("close", "a field of that name is nobody's business"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("proxy-authorization", "Basic QQ=="),
            ("x-kept", "yes"),
            ("trailer", "digest"),
        ];
        let mut headers = map(&fields);
        let kinds = Kinds::of(&headers);
        clean_request(&mut headers, kinds);
        assert_eq!(names(&headers), ["close", "trailer", "x-kept"]);
        let mut headers = map(&fields);
        clean_response(&mut headers);
        assert_eq!(names(&headers), ["close", "trailer", "x-kept"]);
    }

    #[test]
    fn host_and_expect_go_and_cookies_become_one() {
        let mut headers = map(&[
            ("host", "a.example"),
            ("expect", "100-continue"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("cookie", "c=3"),
            ("accept", "*/*"),
            ("accept", "text/html"),
        ]);
        let kinds = Kinds::of(&headers);
        clean_request(&mut headers, kinds);
        assert_eq!(names(&headers), ["accept", "cookie"]);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
        assert_eq!(headers.get_all("accept").iter().count(), 2);
    }

    #[test]
    fn underscores_do_not_hide_what_a_field_is() {
        let mut headers = map(&[
            ("content_length", "5"),
            ("transfer_encoding", "chunked"),
            ("transfer-encoding_", "another name"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded_proto", "https"),
            ("x_real_ip", "6.6.6.6"),
            ("some_field", "yes"),
        ]);
        take_disguised_off(&mut headers, true);
        assert_eq!(names(&headers), ["some_field", "transfer-encoding_"]);
        headers.insert("some-field", HeaderValue::from_static("yes"));
        take_disguised_off(&mut headers, false);
        assert_eq!(names(&headers), ["some-field"]);
    }

    #[test]
    fn trailers_keep_only_what_may_come_late() {
        let mut trailers = map(&[
            ("grpc-status", "0"),
            ("digest", "x"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Bearer x"),
            ("set-cookie", "a=1"),
            ("host", "b.example"),
            ("connection", "digest"),
            ("x-forwarded-for", "6.6.6.6"),
            ("transfer_encoding", "chunked"),
            ("x-consumer", "admin"),
        ]);
        clean_trailers(&mut trailers);
        assert_eq!(names(&trailers), ["grpc-status"]);
    }
}
